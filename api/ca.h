/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CaService's operations, also used by `sealmill dev` and by offline commands.
 *
 * Threads:   blocking: service threads, or main before the loops run.
 * Limits:    SM_CAS_MAX.
 * Security:  callers were checked by the skin.
 * Standards: RFC 5280, RFC 4210 4.4 (rollover).
 */
#pragma once

#include "api/api.h"
#include "api/caller.h"
#include "base/arena.h"
#include "gen/sealmill/v1/ca.pb-c.h"

struct sm_admin {
    sm_api *api;
    sm_arena *arena;
    const char *caller;
    sm_slice correlation_id;
    sm_diag *diag;
};

SM_FALLIBLE sm_ca_create(const struct sm_admin *a, const Sealmill__V1__CreateCaRequest *r,
                         Sealmill__V1__Ca **out);
SM_FALLIBLE sm_ca_import(const struct sm_admin *a,
                         const Sealmill__V1__ImportCaCertificateRequest *r, Sealmill__V1__Ca **out);
SM_FALLIBLE sm_ca_rollover(const struct sm_admin *a, const Sealmill__V1__RolloverCaRequest *r,
                           Sealmill__V1__Ca **out);
SM_FALLIBLE sm_ca_set_state(const struct sm_admin *a, const char *name, bool active,
                            Sealmill__V1__Ca **out);
/* CAs that sealmill does not run (ca_responder.c). */
SM_FALLIBLE sm_ca_create_responder(const struct sm_admin *a,
                                   const Sealmill__V1__CreateResponderRequest *r,
                                   Sealmill__V1__Ca **out);
SM_FALLIBLE sm_ca_import_responder(const struct sm_admin *a,
                                   const Sealmill__V1__ImportResponderCertificateRequest *r,
                                   Sealmill__V1__Ca **out);
/* Warns of responders of CAs that sealmill does not run whose certificates are missing or end. Any thread. */
void sm_ca_look_at_foreign(sm_api *api);
/* Another number: something of the CAs, the profiles or the configuration has changed. Any thread. */
uint64_t sm_ca_world_number(sm_api *api);
/* Renews the OCSP responders' certificates that end within a quarter of their life; makes missing ones: of `max` CAs, from
 * place `*at` on. `*at` is where to go on, 0 once all were looked at. Each is a change of the world: with many CAs the
 * administration gets its turn between calls. A CA for which that fails is logged, and tried again with the next round.
 * Errors: DISK, NO_MEMORY, when the others were tried. */
SM_FALLIBLE sm_ca_renew_responders(const struct sm_admin *a, size_t max, size_t *at);
