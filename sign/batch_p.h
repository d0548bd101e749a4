/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside sign: how a pool gives a job back.
 *
 * Threads:   any.
 * Limits:    none.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "sign/batch.h"

/* Posts the job to its batcher's home; its `done` runs there. */
void sm_batcher_return(sm_crypt_job *job);
