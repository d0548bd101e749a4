/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-time passwords: checked here, used by the write of the certificate that they are for.
 *
 * A password is random and long, so that a keyed hash of it is enough. The first request that is accepted binds
 * it: the certificate's write replaces the record on condition that it is still what was checked, so that two
 * requests never use the same place. The same request again gets the same certificate.
 *
 * Threads:   blocks: service threads.
 * Limits:    SM_OTP_LENGTH_MIN and _MAX characters; SM_OTP_CREATE_MAX at a time; SM_OTP_PER_ENTITY_MAX of
 *            an entity that have not expired; lock-out, see otp.c.
 * Security:  stored as HMAC-SHA-256 under a salt of each; compared in constant time; an entity that does not exist
 *            costs and answers the same as a wrong password.
 * Standards: none.
 */
#pragma once

#include "api/api.h"
#include "base/arena.h"
#include "gen/sealmill/v1/record.pb-c.h"

#define SM_OTP_LENGTH_MIN 16
#define SM_OTP_LENGTH_DEFAULT 24
#define SM_OTP_LENGTH_MAX 64
#define SM_OTP_CREATE_MAX 1000
#define SM_OTP_ENTITY_MAX 128
#define SM_OTP_PER_ENTITY_MAX 64

struct sm_otp_claim {
    sm_slice entity; /* what stands before the colon */
    sm_slice password;
    sm_slice label;      /* that the request came by */
    sm_slice profile;    /* the label's */
    sm_slice csr_sha256; /* 32 octets */
    sm_slice address;    /* where it came from, without the port */
};

struct sm_otp_found {
    sm_slice key; /* of META */
    sm_slice old; /* the record's octets as they were read */
    Sealmill__Record__V1__OtpRecord *record;
    sm_slice
        repeats; /* the serial number that the same request got before; empty: it is a new one */
    sm_slice
        approval; /* the id under which the same request waits for a person; empty: it does not */
};

/* Everything is in the arena. Errors: UNAUTHENTICATED (unknown, wrong, used up, expired, revoked, for another
 * label, or bound to another request), RATE_LIMITED (locked: `retry_after_s`), DISK, NO_MEMORY. */
SM_FALLIBLE sm_otp_check(sm_api *api, const struct sm_otp_claim *claim, sm_arena *arena,
                         struct sm_otp_found *out, unsigned *retry_after_s, sm_diag *diag);
/* The condition and the row that make a certificate's write use it. Errors: NO_MEMORY. */
SM_FALLIBLE sm_otp_use(const struct sm_otp_found *found, sm_slice csr_sha256, sm_slice serial,
                       sm_arena *arena, struct sm_store_cond *cond, struct sm_store_put *put);
/* The same for the write of a request that waits for a person: from then on it is good for that request alone, also
 * after it has expired. Errors: NO_MEMORY. */
SM_FALLIBLE sm_otp_use_for_approval(const struct sm_otp_found *found, sm_slice csr_sha256,
                                    sm_slice approval, sm_arena *arena, struct sm_store_cond *cond,
                                    struct sm_store_put *put);
/* Lock-out of other kinds of credentials goes by the same rules: 0, or the seconds that are left. Where nobody is named, an
 * empty `entity` counts what came from the address alone. */
unsigned sm_otp_locked_s(sm_api *api, sm_slice entity, sm_slice address);
void sm_otp_failed(sm_api *api, sm_slice entity, sm_slice address);
