/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside api: where one-time passwords are in the store. Keys: "otp/", the entity's hash, the id.
 *
 * Threads:   no state.
 * Limits:    none.
 * Security:  see otp.h.
 * Standards: none.
 */
#pragma once

#include "api/otp.h"

#define SM_OTP_ENTITY_HASH 16 /* octets of SHA-256: entities that collide share a search */

/* Of an entity's rows: from here, to the end. Errors: NO_MEMORY. */
SM_FALLIBLE sm_otp_prefix(sm_slice entity, sm_arena *arena, sm_slice *out);
SM_FALLIBLE sm_otp_prefix_end(sm_slice prefix, sm_arena *arena, sm_slice *out);
void sm_otp_hash(sm_slice salt, sm_slice password, uint8_t out[32]);
