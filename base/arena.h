/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's memory: allocate many, free once.
 *
 * Threads:   one owner at a time (an arena moves between threads with its request).
 * Limits:    `cap` bytes in all, given at birth; over it allocation fails, the process does not.
 * Security:  nothing is wiped, but in an arena that is marked secret.
 * Standards: none.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

typedef struct sm_arena_block sm_arena_block;

typedef struct sm_arena {
    sm_arena_block *head;
    uint8_t *at;
    uint8_t *end;
    size_t used; /* bytes allocated from the heap so far */
    size_t cap;
    bool
        secret; /* wiped before it is freed, or emptied; set while it is empty, and gone with its end */
} sm_arena;

/* An empty arena; the first block comes with the first allocation. */
void sm_arena_init(sm_arena *arena, size_t cap);

/* Frees every block. The arena may be used again. */
void sm_arena_deinit(sm_arena *arena);

/* Empties the arena and keeps its first block for the next request. */
void sm_arena_reset(sm_arena *arena);

/* `size` bytes aligned for any type, not zeroed; NULL when memory or the cap is exhausted. */
void *sm_arena_alloc(sm_arena *arena, size_t size);

/* The same, zeroed. */
void *sm_arena_zalloc(sm_arena *arena, size_t size);

/* A copy of the bytes; `out->ptr` is NULL on failure only if in.len > 0. */
SM_FALLIBLE sm_arena_copy(sm_arena *arena, sm_slice in, sm_slice *out);

/* A NUL-terminated copy, or NULL. Embedded NULs are copied as they are. */
char *sm_arena_strdup(sm_arena *arena, sm_slice in);

/* printf into the arena; NULL when exhausted. */
__attribute__((format(printf, 2, 3))) char *sm_arena_printf(sm_arena *arena, const char *fmt, ...);

#define SM_ARENA_NEW(arena, type) ((type *)sm_arena_zalloc((arena), sizeof(type)))
