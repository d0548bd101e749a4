/* SPDX-License-Identifier: Apache-2.0 */
/* Timers in a binary heap: exact, and few (connections use a coarse tick of their server). */
#include "base/clock.h"
#include "base/mem.h"
#include "io/ring_p.h"

static void place(sm_loop *loop, uint32_t at, sm_timer *timer)
{
    loop->heap[at] = timer;
    timer->heap_at = at + 1;
}

static void sift_up(sm_loop *loop, uint32_t at)
{
    sm_timer *timer = loop->heap[at];
    while (at > 0 && loop->heap[(at - 1) / 2]->due_ns > timer->due_ns) {
        place(loop, at, loop->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(loop, at, timer);
}

static void sift_down(sm_loop *loop, uint32_t at)
{
    sm_timer *timer = loop->heap[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= loop->heap_count) {
            break;
        }
        if (child + 1 < loop->heap_count &&
            loop->heap[child + 1]->due_ns < loop->heap[child]->due_ns) {
            child++;
        }
        if (loop->heap[child]->due_ns >= timer->due_ns) {
            break;
        }
        place(loop, at, loop->heap[child]);
        at = child;
    }
    place(loop, at, timer);
}

void sm_timer_init(sm_timer *timer, void (*on_fire)(sm_timer *timer))
{
    *timer = (sm_timer){.on_fire = on_fire};
}

void sm_timer_stop(sm_loop *loop, sm_timer *timer)
{
    if (timer->heap_at == 0) {
        return;
    }
    uint32_t at = timer->heap_at - 1;
    sm_timer *last = loop->heap[--loop->heap_count];
    timer->heap_at = 0;
    if (last != timer) {
        place(loop, at, last);
        sift_down(loop, at);
        sift_up(loop, last->heap_at - 1);
    }
}

sm_err sm_timer_start(sm_loop *loop, sm_timer *timer, uint64_t delay_ms)
{
    sm_timer_stop(loop, timer);
    if (loop->heap_count == loop->heap_room) {
        uint32_t room = loop->heap_room == 0 ? 16 : loop->heap_room * 2;
        sm_timer **bigger = sm_realloc(loop->heap, room * sizeof(*bigger));
        if (bigger == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        loop->heap = bigger;
        loop->heap_room = room;
    }
    uint64_t now_ns = sm_clock_mono_ns();
    bool never = delay_ms > (UINT64_MAX - now_ns) / SM_NS_PER_MS;
    timer->due_ns = never ? UINT64_MAX : now_ns + delay_ms * SM_NS_PER_MS;
    place(loop, loop->heap_count++, timer);
    sift_up(loop, timer->heap_at - 1);
    return SM_NO_ERR;
}

uint64_t sm_timers_wait_ns(const sm_loop *loop)
{
    if (loop->heap_count == 0) {
        return UINT64_MAX;
    }
    uint64_t now = sm_clock_mono_ns();
    uint64_t due = loop->heap[0]->due_ns;
    return due <= now ? 0 : due - now;
}

void sm_timers_run(sm_loop *loop)
{
    while (loop->heap_count > 0 && loop->heap[0]->due_ns <= loop->now_ns) {
        sm_timer *timer = loop->heap[0];
        sm_timer_stop(loop, timer);
        timer->on_fire(timer);
    }
}
