/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local size_t fail_at;
static _Thread_local int failed;

/* True when this allocation is the one that a test wants to fail. */
static int must_fail(void)
{
    if (fail_at == 0 || --fail_at != 0) {
        return 0;
    }
    failed = 1;
    return 1;
}

void *sm_malloc(size_t size)
{
    return must_fail() ? NULL : malloc(size == 0 ? 1 : size);
}

void *sm_calloc(size_t count, size_t size)
{
    size_t product;
    if (__builtin_mul_overflow(count, size, &product) || must_fail()) {
        return NULL;
    }
    return product == 0 ? calloc(1, 1) : calloc(count, size);
}

void *sm_realloc(void *ptr, size_t size)
{
    return must_fail() ? NULL : realloc(ptr, size == 0 ? 1 : size);
}

void sm_free(void *ptr)
{
    free(ptr);
}

char *sm_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = sm_malloc(size);
    if (copy != NULL) {
        memcpy(copy, s, size);
    }
    return copy;
}

void sm_wipe(void *ptr, size_t len)
{
    if (ptr != NULL && len > 0) {
        explicit_bzero(ptr, len);
    }
}

void sm_mem_fail_at(size_t n)
{
    fail_at = n;
    failed = 0;
}

int sm_mem_has_failed(void)
{
    return failed;
}
