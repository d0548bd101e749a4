/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who answers OCSP for a generation of a CA, and by which rules: its part of the world.
 *
 * Threads:   constant after it was made.
 * Limits:    SM_OCSP_PAST_MAX.
 * Security:  keys are borrowed from the generation.
 * Standards: RFC 6960 4.2.2.2, RFC 9919.
 */
#pragma once

#include "api/world.h"
#include "ocsp-cache/ocsp_single.h"

/* Responders of before that are still told: more could only come of validities of minutes. */
#define SM_OCSP_PAST_MAX 16

enum sm_ocsp_of_nobody {
    SM_OCSP_SAY_UNKNOWN,
    SM_OCSP_SAY_REVOKED,
    SM_OCSP_SAY_UNAUTHORIZED,
    SM_OCSP_SAY_GOOD /* of CAs that sealmill does not run, where that was said */
};

struct sm_ocsp_rules {
    int64_t validity_s; /* nextUpdate - now */
    int64_t backdate_s; /* now - thisUpdate */
    int64_t keep_expired_s;
    int64_t max_age_s; /* of answers in HTTP caches */
    bool eager;
    bool ca_signs;
    bool by_name;
    enum sm_key_type further[SM_OCSP_FURTHER_MAX]; /* types of keys that it is to have besides */
    size_t further_count;
    enum sm_ocsp_of_nobody of_nobody;
};

struct sm_ocsp_responder {
    struct sm_ocsp_issuer issuer;
    struct sm_ocsp_rules rules;
    struct sm_ocsp_signer signers[1 + SM_OCSP_PAST_MAX]; /* the first one signs */
    size_t signer_count;                                 /* 0: nobody answers */
    struct sm_ocsp_signer further[SM_OCSP_FURTHER_MAX];  /* for clients that prefer them */
    size_t further_count;
    bool foreign; /* sealmill does not run the CA: see ocsp-cache/ocsp_foreign.h */
    bool offline; /* nor signs for it: answers are loaded */
};

/* Makes it, in the world's arena. `foreign` NULL: one of ours. A generation without a certificate has none (`*out` NULL). Errors:
 * NO_MEMORY, CRYPTO; MALFORMED for certificates in the record that are none. */
SM_FALLIBLE sm_ocsp_responder_make(const Sealmill__Config__V1__Config *config, const char *ca_name,
                                   const Sealmill__Record__V1__ForeignCa *foreign,
                                   const Sealmill__Record__V1__CaGeneration *record,
                                   const struct sm_ca_generation *g, sm_arena *arena,
                                   struct sm_ocsp_responder **out);

/* Who signs now, with a key and a valid certificate; NULL: nobody. */
const struct sm_ocsp_signer *sm_ocsp_current_signer(const struct sm_ocsp_responder *r, int64_t now);
/* The signer that a client prefers to the usual one, with a key and a valid certificate (RFC 6960 4.4.7); NULL: the usual
 * one will do, or there is no such. `preferred`: its algorithms, the dearest first. */
const struct sm_ocsp_signer *sm_ocsp_preferred_signer(const struct sm_ocsp_responder *r,
                                                      const enum sm_sig_alg *preferred,
                                                      size_t count, int64_t now);
/* Who signed an answer; NULL: none that we know. */
const struct sm_ocsp_signer *sm_ocsp_signer_of(const struct sm_ocsp_responder *r, uint32_t id);
/* Fills the times of an answer that is signed now. */
void sm_ocsp_times(const struct sm_ocsp_responder *r, const struct sm_ocsp_signer *signer,
                   int64_t now, struct sm_ocsp_said *said);
/* The generation that issued a certificate, by its name and key identifier; NULL: none of ours. */
const struct sm_ca_generation *sm_ocsp_issuer_of(const sm_world *world, const struct sm_cert *cert);
/* A text of the configuration: "echo" and the like. Errors: INVALID with the field in diag. */
SM_FALLIBLE sm_ocsp_config_check(const Sealmill__Config__V1__Ocsp *ocsp, sm_diag *diag);
