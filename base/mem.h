/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap, with failures on command.
 *
 * Every heap allocation of the project goes through these, so that tests can make the n-th one fail
 * (an allocation-failure sweep) and so that secrets have one way to be wiped.
 *
 * Threads:   any; the failure counter is per thread.
 * Limits:    none.
 * Security:  sm_wipe is not optimised away.
 * Standards: none.
 */
#pragma once

#include <stddef.h>

/* As malloc, calloc, realloc and free; NULL on failure. */
__attribute__((malloc, alloc_size(1))) void *sm_malloc(size_t size);
__attribute__((malloc, alloc_size(1, 2))) void *sm_calloc(size_t count, size_t size);
__attribute__((alloc_size(2))) void *sm_realloc(void *ptr, size_t size);
void sm_free(void *ptr);

/* A NUL-terminated heap copy, or NULL. */
char *sm_strdup(const char *s);

/* Overwrites with zeros, for certain. */
void sm_wipe(void *ptr, size_t len);

/* Makes the `n`-th allocation of this thread from now on fail (1 = the next one); 0 switches it
 * off. Tests only. */
void sm_mem_fail_at(size_t n);

/* Whether the failure asked for has happened. */
int sm_mem_has_failed(void);
