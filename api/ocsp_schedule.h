/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts what signs pre-signed OCSP answers anew (ocsp-cache/ocsp_refresh.h) with the world's CAs as its
 * issuers.
 *
 * Threads:   start from main, after the start's changes of the world; it is stopped by sm_api_free.
 * Limits:    ocsp.refresh_share and ocsp.refresh_share_behind, percent of a core.
 * Security:  keys are borrowed from the world that it is attached to.
 * Standards: none.
 */
#pragma once

#include "api/api.h"

/* Without a thread: for tests, which turn it themselves. `pool` may be NULL. Errors: NO_MEMORY. */
SM_FALLIBLE sm_ocsp_schedule_new(sm_api *api, sm_sign_pool *pool);
/* With its thread. Errors: the same; OS. */
SM_FALLIBLE sm_ocsp_schedule_start(sm_api *api, sm_sign_pool *pool);
/* It signs no more; before the pool is freed. */
void sm_ocsp_schedule_stop(sm_api *api);
/* Appends a line for /readyz when it is too late to be overlooked. Any thread. */
void sm_ocsp_schedule_tell(sm_api *api, sm_buf *text);
