/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRLs of each CA's generations: when they are made, where they lie, what is served.
 *
 * They are files in the folder `crl` beside the database: NAME.N.crl and NAME.N.delta.crl of generation N, and
 * NAME.N.pPPPP.crl and NAME.N.pPPPP.delta.crl of its partitions (crl_partition.h). A
 * thread of its own looks every few seconds which are due; an administrator may have one made at once.
 *
 * Threads:   new, start, stop, free: main. turn and make: any that may block, one at a time by a lock. status: any.
 * Limits:    see crl_build.h.
 * Security:  a CRL's number is durable before the CRL is: numbers never come twice, whatever breaks. A CA whose
 *            key is not at hand keeps the CRL that it has.
 * Standards: RFC 5280 5.
 */
#pragma once

#include "api/world.h"
#include "ocsp-cache/crl_entry.h"

typedef struct sm_crls sm_crls;

/* Whether a configuration's section can be used (NULL: there is none). Errors: INVALID, OUT_OF_RANGE, with the field. */
SM_FALLIBLE sm_crl_config_check(const Sealmill__Config__V1__CrlRules *rules, sm_diag *diag);

/* `folder` is made where it is missing. Errors: DISK, NO_MEMORY. Given. */
SM_FALLIBLE sm_crls_new(sm_api *api, const char *folder, sm_crls **out, sm_diag *diag);
/* Stops the thread. */
void sm_crls_free(sm_crls **crls);
/* Errors: OS. */
SM_FALLIBLE sm_crls_start(sm_crls *crls);

/* Makes durable what certificates of a world will say of partitions, before anybody sees that world: a partition that a
 * certificate names is published whatever becomes of the configuration. `crls` NULL: it is not started yet. Blocks, for as
 * long as a CRL is being made. Errors: DISK, CORRUPT, QUEUE_FULL, DRAINING, NO_MEMORY. */
SM_FALLIBLE sm_crls_promise(sm_crls *crls, sm_store *store, const sm_world *world);

/* Makes what is due; how many. Blocks. */
size_t sm_crls_turn(sm_crls *crls);
/* Appends metrics of each CRL, as the last turn found them; of a thousand at the most, those that end first. `crls` may be
 * NULL. Any thread. */
void sm_crls_tell(sm_crls *crls, sm_buf *text);
/* A CRL: of a generation, or of one partition of it. */
struct sm_crl_name {
    const struct sm_ca *ca;
    const struct sm_ca_generation *g;
    uint32_t partition; /* from 1; 0: the complete one */
    bool delta;
};

/* The name of its file, as it is published too: NAME.N[.pPPPP][.delta].crl. NULL without memory. */
const char *sm_crl_file(const struct sm_crl_name *name, sm_arena *arena);
/* What is published of a scope. Blocks. Errors: DISK, CORRUPT, NO_MEMORY. `out` is to be deinitialised. */
SM_FALLIBLE sm_crls_state(sm_crls *crls, const struct sm_crl_name *name, struct sm_crl_state *out);
/* Makes one now. Blocks. Errors: PRECONDITION (no certificate yet, or a delta CRL without a full one),
 * NOT_FOUND (no such partition), UNAVAILABLE (no key at hand), those of building. */
SM_FALLIBLE sm_crls_make(sm_crls *crls, const struct sm_crl_name *name,
                         struct sm_crl_published *out, sm_diag *diag);

/* Publishes one that was made elsewhere, of a CA whose key is not at hand: what it is, in `name`. Blocks. Errors: those of
 * sm_crl_read_parse, BAD_SIGNATURE, PRECONDITION (the key is here; its times; a delta without its base, or older than
 * the full one), UNSUPPORTED (no number, no nextUpdate, of some certificates alone), EXISTS (an older one), DISK. */
SM_FALLIBLE sm_crls_load(sm_crls *crls, const struct sm_ca *ca, sm_slice der,
                         struct sm_crl_name *name, struct sm_crl_published *out, sm_diag *diag);

/* Whether a path below /crl/ names a CRL: NAME.crl (the current generation's), NAME.N.crl, NAME.N.pPPPP.crl,
 * and each with .delta before .crl. Its file's path and what is published of it. Blocks. Errors: NOT_FOUND, DISK. */
SM_FALLIBLE sm_crls_find(sm_crls *crls, const sm_world *world, sm_slice file, char path[4096],
                         struct sm_crl_name *name, struct sm_crl_published *out);
