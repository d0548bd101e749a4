/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mailbox.h"

void sm_mailbox_init(sm_mailbox *box, void (*wake)(void *ctx), void *ctx)
{
    atomic_init(&box->head, NULL);
    box->wake = wake;
    box->ctx = ctx;
}

void sm_mailbox_post(sm_mailbox *box, sm_msg *msg)
{
    /* Once the message is on the list its owner may run and free it, so nothing of it is read
     * later. */
    sm_msg *old = atomic_load_explicit(&box->head, memory_order_relaxed);
    do {
        msg->next = old;
    } while (!atomic_compare_exchange_weak_explicit(&box->head, &old, msg, memory_order_seq_cst,
                                                    memory_order_relaxed));
    if (old == NULL) {
        box->wake(box->ctx);
    }
}

size_t sm_mailbox_drain(sm_mailbox *box)
{
    sm_msg *newest = atomic_exchange_explicit(&box->head, NULL, memory_order_acq_rel);
    sm_msg *oldest = NULL;
    while (newest != NULL) {
        sm_msg *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    size_t count = 0;
    while (oldest != NULL) {
        sm_msg *next = oldest->next;
        oldest->run(oldest);
        oldest = next;
        count++;
    }
    return count;
}

bool sm_mailbox_is_empty(const sm_mailbox *box)
{
    return atomic_load_explicit(&box->head, memory_order_seq_cst) == NULL;
}
