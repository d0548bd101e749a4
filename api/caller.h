/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who calls, and what they may do.
 *
 * Threads:   a caller is a value of its request.
 * Limits:    grants come from tokens and configuration.
 * Security:  token secrets are compared as SHA-256 digests through a hash table keyed by a
 *            random key.
 * Standards: RFC 6750 (Bearer).
 */
#pragma once

#include "api/api.h"
#include "base/arena.h"
#include "base/slice.h"

enum sm_role_bits {
    SM_ROLE_ADMIN = 1U << SEALMILL__V1__ROLE__ROLE_ADMIN,
    SM_ROLE_OPERATOR = 1U << SEALMILL__V1__ROLE__ROLE_OPERATOR,
    SM_ROLE_RA = 1U << SEALMILL__V1__ROLE__ROLE_RA,
    SM_ROLE_AUDITOR = 1U << SEALMILL__V1__ROLE__ROLE_AUDITOR,
    SM_ROLE_READER = 1U << SEALMILL__V1__ROLE__ROLE_READER,
    SM_ROLE_ANY = SM_ROLE_ADMIN | SM_ROLE_OPERATOR | SM_ROLE_RA | SM_ROLE_AUDITOR | SM_ROLE_READER,
    SM_ROLE_NONE_NEEDED = 0, /* health, reflection */
};

struct sm_caller {
    const char *name;   /* for logs and audit */
    const char *method; /* "mtls", "token", "none" */
    Sealmill__V1__Grant *const *grants;
    size_t grant_count;
    uint32_t number;    /* for fairness */
    int64_t expires_at; /* the last second that the credentials are good for, unix */
    const char *detail; /* what the audit says of it besides; NULL: nothing */
};

/* What a connection and a request bring. */
struct sm_credentials {
    sm_slice peer_certificate; /* DER, verified by TLS; empty: none */
    sm_slice authorization;    /* the header's value; empty: none */
    sm_store *store; /* where our own certificates' revocations are; NULL: they are not looked up */
};

/* Finds the caller. Without any credentials: a caller of method "none" without grants. Errors:
 * UNAUTHENTICATED for a bad token, or a certificate that cannot be read, has expired since the
 * connection was made, or is one of our own and revoked or on hold (looked up without waiting
 * where the row is in memory, else by one read of the disk). Strings borrow from `world` or
 * `arena`. */
SM_FALLIBLE sm_caller_identify(const sm_world *world, const struct sm_credentials *credentials,
                               sm_arena *arena, struct sm_caller *out, sm_diag *diag);

/* The same for a certificate whose time may be over (`expired`): who asked has decided that. */
SM_FALLIBLE sm_caller_identify_expired(const sm_world *world,
                                       const struct sm_credentials *credentials, bool expired,
                                       sm_arena *arena, struct sm_caller *out, sm_diag *diag);

/* Errors: FORBIDDEN (or UNAUTHENTICATED for a caller without credentials), diag naming the
 * roles. */
SM_FALLIBLE sm_caller_require(const struct sm_caller *caller, unsigned roles, sm_diag *diag);
/* The right to issue or revoke with this CA and profile. Errors: as above. */
SM_FALLIBLE sm_caller_require_ra(const struct sm_caller *caller, const char *ca,
                                 const char *profile, sm_diag *diag);

/* SHA-256 of a token's secret, and making one: "sealmill_" and 43 characters of base64url. */
#define SM_TOKEN_SECRET_SIZE 64
void sm_token_make(char out[SM_TOKEN_SECRET_SIZE]);
SM_FALLIBLE sm_token_hash(sm_slice secret, uint8_t out[32]);
