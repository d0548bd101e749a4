/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for a key, and the keys that have some. A key without any costs nobody anything: it is in no list, and
 * has no queue of its own. All under the set's lock. */
#include "base/mem.h"
#include "sign/p11_pool_p.h"

#define SPARE_MAX 64 /* queues kept for keys to come: one is some 1,100 octets */

size_t sm_p11_waiting(const struct sm_token_key *key)
{
    return (key->queue == NULL ? 0 : key->queue->fair.waiting) + key->again_count;
}

static struct p11_queue *borrow(sm_tokens *set)
{
    struct p11_queue *q = set->spare;
    if (q != NULL) {
        set->spare = q->next;
        set->spare_count--;
        return q;
    }
    q = sm_malloc(sizeof(*q));
    if (q != NULL) {
        sm_fair_init(&q->fair);
    }
    return q;
}

static void give_back(sm_tokens *set, struct p11_queue *q)
{
    if (set->spare_count == SPARE_MAX) {
        sm_free(q);
        return;
    }
    q->next = set->spare;
    set->spare = q;
    set->spare_count++;
}

static void enlist(struct sm_token_key *key)
{
    if (sm_p11_waiting(key) == 1) { /* its first */
        sm_list_push_back(&key->set->keys, &key->node);
    }
}

sm_err sm_p11_queue_put(struct sm_token_key *key, sm_crypt_job *job)
{
    if (key->queue == NULL && (key->queue = borrow(key->set)) == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sm_fair_push(&key->queue->fair, job);
    enlist(key);
    return SM_NO_ERR;
}

void sm_p11_queue_put_again(struct sm_token_key *key, sm_crypt_job *job)
{
    sm_list_push_back(&key->again, &job->node);
    key->again_count++;
    enlist(key);
}

sm_crypt_job *sm_p11_queue_take(struct sm_token_key *key)
{
    return key->queue == NULL ? NULL : sm_fair_pop(&key->queue->fair);
}

void sm_p11_queue_take_again(struct sm_token_key *key, sm_crypt_job *job)
{
    sm_list_remove(&job->node);
    key->again_count--;
}

void sm_p11_queue_taken(struct sm_token_key *key)
{
    sm_list_remove(&key->node);
    if (sm_p11_waiting(key) > 0) {
        sm_list_push_back(&key->set->keys, &key->node);
    }
    if (key->queue != NULL && key->queue->fair.waiting == 0) {
        give_back(key->set, key->queue);
        key->queue = NULL;
    }
}

void sm_p11_queues_free(sm_tokens *set)
{
    while (set->spare != NULL) {
        struct p11_queue *q = set->spare;
        set->spare = q->next;
        sm_free(q);
    }
}
