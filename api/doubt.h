/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of status whose write failed, and that may be durable all the same: the octets of a batch whose fsync failed can
 * have reached the disk, which is seen when the database is opened anew. Until then the old status stands, and whoever asked
 * for the change was told that it failed. From then on memory must not say what was so before.
 *
 * Threads:   any.
 * Limits:    SM_DOUBTS_MAX changes; of more the log says that memory may lag, until their answers are renewed.
 * Security:  see above.
 * Standards: none.
 */
#pragma once

#include "api/api.h"

#define SM_DOUBTS_MAX 4096

typedef struct sm_doubts sm_doubts;

/* Errors: NO_MEMORY. Given. */
SM_FALLIBLE sm_doubts_new(sm_doubts **out);
void sm_doubts_free(sm_doubts **doubts);

/* A change of this certificate's status failed with `err`: kept, unless that says that it was not written. */
void sm_doubt_add(sm_api *api, uint32_t ca_id, uint32_t generation, sm_slice serial, sm_err err);
/* Takes from memory what is in doubt, now and for some seconds after the store is up again. To be called each second. */
void sm_doubts_settle(sm_api *api);
