/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside sign: workers for jobs too slow for a loop.
 *
 * All workers take from one set of lanes, so that none idles while another has a queue, and batches
 * fill where multi-buffer wants them full.
 *
 * Threads:   submit from any loop; each worker is a thread of base/thread.h.
 * Limits:    SM_SIGN_POOL_MAX threads; the batchers bound the jobs.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "sign/batch.h"

#define SM_SIGN_POOL_MAX 64

/* Runs the job on a worker, then gives it to sm_batcher_return. */
void sm_sign_pool_submit(sm_sign_pool *pool, sm_crypt_job *job);

/* In batch.c: posts the job to its batcher's home, where its `done` runs. Any thread. */
void sm_batcher_return(sm_crypt_job *job);
