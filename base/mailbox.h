/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way across threads: many producers post messages, one owner takes them all.
 *
 * Posting pushes onto a lock-free list; the first post after a drain wakes the owner through the
 * wake function that the owner gave (a loop's ring message or eventfd, a worker's futex). Messages
 * are embedded in the job that they complete: nothing is allocated, so a post cannot fail.
 *
 * Threads:   sm_mailbox_post from any; everything else from the owner's.
 * Limits:    none here; whoever creates jobs bounds them.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "base/check.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct sm_msg sm_msg;
typedef struct sm_mailbox sm_mailbox;

/* Embedded in a job; pinned from post until `run`. */
struct sm_msg {
    sm_msg *next;
    void (*run)(sm_msg *msg); /* called on the owner's thread; may free the message */
};

struct sm_mailbox {
    _Atomic(sm_msg *) head;
    void (*wake)(void *ctx); /* any thread; must not block */
    void *ctx;
};

void sm_mailbox_init(sm_mailbox *box, void (*wake)(void *ctx), void *ctx);

/* Posts; the owner's thread will call msg->run(msg) exactly once. Wakes the owner if the box was
 * empty. The box must live until the call returns, which may be after the message has run: an owner
 * ends only once its producers have ended or are joined. */
void sm_mailbox_post(sm_mailbox *box, sm_msg *msg);

/* Takes all messages that have been posted, oldest first, and runs each; messages posted meanwhile
 * wait for the next drain. Returns how many ran. */
size_t sm_mailbox_drain(sm_mailbox *box);

bool sm_mailbox_is_empty(const sm_mailbox *box);
