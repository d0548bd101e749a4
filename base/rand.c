/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rand.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#define POOL 2048 /* one getrandom call pays for 64 nonces or 120 serial numbers */

static _Thread_local uint8_t pool[POOL];
static _Thread_local size_t left;
static _Thread_local unsigned pool_generation;

/* Counts forks: a child must not hand out the parent's pool. */
static unsigned generation;

static void on_fork(void)
{
    generation++;
}

__attribute__((constructor)) static void watch_forks(void)
{
    SM_CHECK(pthread_atfork(NULL, NULL, on_fork) == 0);
}

static void fill(uint8_t *out, size_t len)
{
    while (len > 0) {
        ssize_t n = getrandom(out, len, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        SM_CHECK(n > 0);
        out += n;
        len -= (size_t)n;
    }
}

void sm_rand_bytes(void *out, size_t len)
{
    if (len > POOL / 16) {
        fill(out, len);
        return;
    }
    if (left < len || pool_generation != generation) {
        fill(pool, POOL);
        left = POOL;
        pool_generation = generation;
    }
    left -= len;
    memcpy(out, pool + left, len);
    sm_wipe(pool + left, len);
}

uint64_t sm_rand_u64(void)
{
    uint64_t v;
    sm_rand_bytes(&v, sizeof(v));
    return v;
}
