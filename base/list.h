/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive doubly-linked list: the node is embedded in what it links.
 *
 * Threads:   one owner at a time.
 * Limits:    none.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct sm_list {
    struct sm_list *prev;
    struct sm_list *next;
} sm_list;

/* Makes an empty list head, or an unlinked node. */
static inline void sm_list_init(sm_list *l)
{
    l->prev = l;
    l->next = l;
}

static inline bool sm_list_empty(const sm_list *l)
{
    return l->next == l;
}

static inline void sm_list_insert_before(sm_list *at, sm_list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

static inline void sm_list_push_back(sm_list *head, sm_list *node)
{
    sm_list_insert_before(head, node);
}

static inline void sm_list_push_front(sm_list *head, sm_list *node)
{
    sm_list_insert_before(head->next, node);
}

/* Unlinks; the node is then an empty list, so that a second removal does nothing. */
static inline void sm_list_remove(sm_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    sm_list_init(node);
}

/* The first node, unlinked, or NULL. */
static inline sm_list *sm_list_pop_front(sm_list *head)
{
    sm_list *node = head->next;
    if (node == head) {
        return NULL;
    }
    sm_list_remove(node);
    return node;
}

/* Moves every node of `from` to the end of `to`. */
static inline void sm_list_splice_back(sm_list *to, sm_list *from)
{
    if (sm_list_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    from->prev->next = to;
    to->prev->next = from->next;
    to->prev = from->prev;
    sm_list_init(from);
}

#define SM_LIST_FOR(it, head) for (sm_list *it = (head)->next; it != (head); it = it->next)

/* Safe when the body removes `it`. */
#define SM_LIST_FOR_SAFE(it, tmp, head) \
    for (sm_list *it = (head)->next, *tmp = it->next; it != (head); it = tmp, tmp = it->next)
