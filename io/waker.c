/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a loop that other threads touch. Who posts or stops may still be inside its call when
 * the message has run and the loop is gone, so this part is never freed: it waits for the next
 * loop. A late wake-up is then an idle turn of that loop, and nothing worse. */
#include "base/mem.h"
#include "io/ring_p.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER; /* covers the list */
static struct loop_waker *spare;

/* The poster has put its message on the list (or set `stopping`) and now looks at `asleep`; the
 * loop sets `asleep` and then looks at the list. Both in sequentially consistent order, so at least
 * one of them sees the other, and a loop that is awake costs its posters no system call. */
void sm_waker_wake(void *ctx)
{
    struct loop_waker *w = ctx;
    if (atomic_load(&w->asleep)) {
        uint64_t one = 1;
        ssize_t n = write(w->event_fd, &one, sizeof(one));
        (void)n; /* the counter cannot be full: the loop reads it before it sleeps again */
    }
}

static struct loop_waker *make(void)
{
    struct loop_waker *w = sm_calloc(1, sizeof(*w));
    if (w == NULL) {
        return NULL;
    }
    w->event_fd = eventfd(0, EFD_CLOEXEC);
    if (w->event_fd < 0) {
        sm_free(w);
        return NULL;
    }
    sm_mailbox_init(&w->mailbox, sm_waker_wake, w);
    return w;
}

struct loop_waker *sm_waker_take(void)
{
    (void)pthread_mutex_lock(&spare_lock);
    struct loop_waker *w = spare;
    if (w != NULL) {
        spare = w->next;
    }
    (void)pthread_mutex_unlock(&spare_lock);
    if (w == NULL) {
        w = make();
    }
    if (w != NULL) {
        atomic_store(&w->stopping, false);
    }
    return w;
}

void sm_waker_give(struct loop_waker *w)
{
    (void)sm_mailbox_drain(
        &w->mailbox); /* the next loop shall not run what was meant for this one */
    (void)pthread_mutex_lock(&spare_lock);
    w->next = spare;
    spare = w;
    (void)pthread_mutex_unlock(&spare_lock);
}
