/* SPDX-License-Identifier: Apache-2.0 */
#include "store/gate_p.h"

#include <stdatomic.h>

/* The share of the calling thread, of every gate. */
static pthread_rwlock_t *my_lock(struct gate *gate)
{
    static _Atomic unsigned next;
    static _Thread_local unsigned mine; /* 0: none yet */
    if (mine == 0) {
        mine = 1 + atomic_fetch_add(&next, 1) % GATE_SHARES;
    }
    return &gate->shares[mine - 1].lock;
}

void sm_gate_init(struct gate *gate)
{
    for (int i = 0; i < GATE_SHARES; i++) {
        (void)pthread_rwlock_init(&gate->shares[i].lock, NULL);
    }
}

void sm_gate_deinit(struct gate *gate)
{
    for (int i = 0; i < GATE_SHARES; i++) {
        (void)pthread_rwlock_destroy(&gate->shares[i].lock);
    }
}

void sm_gate_enter(struct gate *gate)
{
    (void)pthread_rwlock_rdlock(my_lock(gate));
}

bool sm_gate_try_enter(struct gate *gate)
{
    return pthread_rwlock_tryrdlock(my_lock(gate)) == 0;
}

void sm_gate_leave(struct gate *gate)
{
    (void)pthread_rwlock_unlock(my_lock(gate));
}

void sm_gate_close(struct gate *gate)
{
    for (int i = 0; i < GATE_SHARES; i++) {
        (void)pthread_rwlock_wrlock(&gate->shares[i].lock);
    }
}

void sm_gate_open(struct gate *gate)
{
    for (int i = 0; i < GATE_SHARES; i++) {
        (void)pthread_rwlock_unlock(&gate->shares[i].lock);
    }
}
