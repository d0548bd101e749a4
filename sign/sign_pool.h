/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside sign: workers for keys too slow for a loop.
 *
 * Threads:   submit from any loop; each worker is a thread of base/thread.h.
 * Limits:    SM_SIGN_POOL_MAX threads; the batchers bound the jobs.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "sign/batch.h"

#define SM_SIGN_POOL_MAX 64

/* Runs the job on the worker with the least to do, then posts job->msg to `home`. */
void sm_sign_pool_submit(sm_sign_pool *pool, sm_crypt_job *job);
