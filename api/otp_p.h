/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside api: where one-time passwords are in the store, and how many. Keys: "otp/", the entity's hash, the id.
 *
 * Threads:   no state.
 * Limits:    SM_OTP_PER_ENTITY_MAX of an entity; SM_OTP_PURGE_MAX old ones go in a write.
 * Security:  see otp.h.
 * Standards: none.
 */
#pragma once

#include "api/otp.h"
#include "store/store.h"

#define SM_OTP_ENTITY_HASH 16 /* octets of SHA-256: entities that collide share a search */

/* Of an entity's rows: from here, to the end. Errors: NO_MEMORY. */
SM_FALLIBLE sm_otp_prefix(sm_slice entity, sm_arena *arena, sm_slice *out);
SM_FALLIBLE sm_otp_prefix_end(sm_slice prefix, sm_arena *arena, sm_slice *out);
void sm_otp_hash(sm_slice salt, sm_slice password, uint8_t out[32]);

/* Nobody can come by it any more, nor by the request that it was used for: its row may go. */
bool sm_otp_is_over(const Sealmill__Record__V1__OtpRecord *r, int64_t now_s);
/* Neither over nor revoked; it may be used up, which its request may still come by. */
bool sm_otp_is_live(const Sealmill__Record__V1__OtpRecord *r, int64_t now_s);

#define SM_OTP_PURGE_MAX 1000

/* Whether each entity has room for one more for each time that it is named. Appends deletions of their rows that are over to
 * `puts`, which has room for SM_OTP_PURGE_MAX more. Errors: PRECONDITION with the diag, DISK, CORRUPT, NO_MEMORY. */
SM_FALLIBLE sm_otp_make_room(sm_store *store, char *const *entities, size_t count, sm_arena *arena,
                             struct sm_store_put *puts, size_t *put_count, sm_diag *diag);
