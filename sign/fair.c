/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/fair.h"

void sm_fair_init(struct sm_fair *f)
{
    *f = (struct sm_fair){.occupied = 0};
    for (size_t q = 0; q < SM_FAIR_QUEUES; q++) {
        sm_list_init(&f->queues[q]);
    }
}

void sm_fair_push(struct sm_fair *f, sm_crypt_job *job)
{
    unsigned queue = job->caller % SM_FAIR_QUEUES;
    sm_list_push_back(&f->queues[queue], &job->node);
    f->occupied |= UINT64_C(1) << queue;
    f->waiting++;
}

/* The first occupied queue at or after `turn`. */
static unsigned next_queue(const struct sm_fair *f)
{
    uint64_t after = f->occupied >> f->turn;
    return after != 0 ? f->turn + (unsigned)__builtin_ctzll(after)
                      : (unsigned)__builtin_ctzll(f->occupied);
}

sm_crypt_job *sm_fair_pop(struct sm_fair *f)
{
    if (f->waiting == 0) {
        return NULL;
    }
    unsigned queue = next_queue(f);
    sm_list *node = sm_list_pop_front(&f->queues[queue]);
    if (sm_list_empty(&f->queues[queue])) {
        f->occupied &= ~(UINT64_C(1) << queue);
    }
    f->turn = (queue + 1) % SM_FAIR_QUEUES;
    f->waiting--;
    return SM_CONTAINER_OF(node, sm_crypt_job, node);
}
