/* SPDX-License-Identifier: Apache-2.0 */
#include "io/h2_memory_p.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LARGE ((size_t)16384) /* from here on a mapping is worth its calls */

static void *get(size_t size, void *user)
{
    struct h2_memory *m = user;
    if (size < LARGE || m->mapped != NULL) {
        return malloc(size);
    }
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        return malloc(size);
    }
    m->mapped = p;
    m->mapped_size = size;
    return p;
}

static void release(void *ptr, void *user)
{
    struct h2_memory *m = user;
    if (ptr == NULL || ptr != m->mapped) {
        free(ptr);
        return;
    }
    (void)munmap(m->mapped, m->mapped_size);
    m->mapped = NULL;
}

static void *get_zeros(size_t count, size_t size, void *user)
{
    (void)user;
    return calloc(count, size);
}

static void *resize(void *ptr, size_t size, void *user)
{
    struct h2_memory *m = user;
    if (ptr == NULL) {
        return get(size, m);
    }
    if (ptr != m->mapped) {
        return realloc(ptr, size);
    }
    void *moved = malloc(size);
    if (moved != NULL) {
        memcpy(moved, ptr, size < m->mapped_size ? size : m->mapped_size);
        release(ptr, m);
    }
    return moved;
}

void sm_h2_memory_init(struct h2_memory *m)
{
    *m = (struct h2_memory){.mem = {m, get, release, get_zeros, resize}};
}
