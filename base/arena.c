/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

#define ARENA_FIRST_BLOCK 4096 /* holds a usual request whole */
#define ARENA_ALIGN 16

/* Under AddressSanitizer what has not been given out is poisoned, so that reading past an object
 * inside a block is seen. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN
#endif
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

struct sm_arena_block {
    sm_arena_block *next; /* older */
    size_t size;          /* of `bytes` */
    _Alignas(ARENA_ALIGN) uint8_t bytes[];
};

void sm_arena_init(sm_arena *arena, size_t cap)
{
    *arena = (sm_arena){.cap = cap};
}

static void wipe_block(const sm_arena *arena, sm_arena_block *block)
{
    if (arena->secret) {
        ASAN_UNPOISON_MEMORY_REGION(block->bytes, block->size);
        sm_wipe(block->bytes, block->size);
    }
}

static void free_block(const sm_arena *arena, sm_arena_block *block)
{
    wipe_block(arena, block);
    sm_free(block);
}

static void free_blocks(sm_arena *arena)
{
    sm_arena_block *block = arena->head;
    while (block != NULL) {
        sm_arena_block *next = block->next;
        free_block(arena, block);
        block = next;
    }
}

void sm_arena_deinit(sm_arena *arena)
{
    free_blocks(arena);
    sm_arena_init(arena, arena->cap);
}

void sm_arena_reset(sm_arena *arena)
{
    sm_arena_block *first = arena->head;
    if (first == NULL) {
        return;
    }
    while (first->next != NULL) {
        sm_arena_block *older = first->next;
        free_block(arena, first);
        first = older;
    }
    wipe_block(arena, first);
    arena->head = first;
    arena->at = first->bytes;
    arena->end = first->bytes + first->size;
    arena->used = first->size;
    ASAN_POISON_MEMORY_REGION(first->bytes, first->size);
}

static bool add_block(sm_arena *arena, size_t need)
{
    size_t left = arena->cap - arena->used;
    if (need > left) {
        return false;
    }
    size_t size = arena->head == NULL ? ARENA_FIRST_BLOCK : arena->head->size * 2;
    if (size < need || size > left) {
        size = need;
    }
    sm_arena_block *block = sm_malloc(sizeof(*block) + size);
    if (block == NULL) {
        return false;
    }
    block->next = arena->head;
    block->size = size;
    arena->head = block;
    arena->at = block->bytes;
    arena->end = block->bytes + size;
    arena->used += size;
    ASAN_POISON_MEMORY_REGION(block->bytes, size);
    return true;
}

void *sm_arena_alloc(sm_arena *arena, size_t size)
{
    /* No object is this large; with it no sum below can wrap. */
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    size_t need = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (need == 0) {
        need = ARENA_ALIGN;
    }
    if ((size_t)(arena->end - arena->at) < need && !add_block(arena, need)) {
        return NULL;
    }
    void *out = arena->at;
    arena->at += need;
    ASAN_UNPOISON_MEMORY_REGION(out, size);
    return out;
}

void *sm_arena_zalloc(sm_arena *arena, size_t size)
{
    void *out = sm_arena_alloc(arena, size);
    return out == NULL ? NULL : memset(out, 0, size);
}

sm_err sm_arena_copy(sm_arena *arena, sm_slice in, sm_slice *out)
{
    uint8_t *to = sm_arena_alloc(arena, in.len);
    if (to == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    if (in.len > 0) {
        memcpy(to, in.ptr, in.len);
    }
    *out = sm_slice_of(to, in.len);
    return SM_NO_ERR;
}

char *sm_arena_strdup(sm_arena *arena, sm_slice in)
{
    char *to = in.len == SIZE_MAX ? NULL : sm_arena_alloc(arena, in.len + 1);
    if (to == NULL) {
        return NULL;
    }
    if (in.len > 0) {
        memcpy(to, in.ptr, in.len);
    }
    to[in.len] = '\0';
    return to;
}

char *sm_arena_printf(sm_arena *arena, const char *fmt, ...)
{
    va_list args;
    va_list again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    char *to = n < 0 ? NULL : sm_arena_alloc(arena, (size_t)n + 1);
    if (to != NULL) {
        (void)vsnprintf(to, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    va_end(args);
    return to;
}
