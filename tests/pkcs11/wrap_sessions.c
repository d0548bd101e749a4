/* SPDX-License-Identifier: Apache-2.0 */
/* Which sessions are open on which token: for limits, and for losing them. */
#include "wrap_p.h"

#include <pthread.h>

struct session {
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE handle; /* 0 while it is being opened: no handle is 0 */
};

static struct {
    pthread_mutex_t lock; /* covers what follows */
    struct session at[SM_WRAP_MAX_SESSIONS];
    size_t n;
    size_t peak;
    unsigned long max;
    unsigned long refused;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

void sm_wrap_sessions_limit(unsigned long max)
{
    (void)pthread_mutex_lock(&table.lock);
    table.max = max;
    (void)pthread_mutex_unlock(&table.lock);
}

static size_t count(CK_SLOT_ID slot)
{
    size_t n = 0;
    for (size_t i = 0; i < table.n; i++) {
        n += table.at[i].slot == slot;
    }
    return n;
}

bool sm_wrap_session_reserve(CK_SLOT_ID slot)
{
    (void)pthread_mutex_lock(&table.lock);
    bool ok = table.n < SM_WRAP_MAX_SESSIONS && (table.max == 0 || count(slot) < table.max);
    if (ok) {
        table.at[table.n++] = (struct session){.slot = slot};
        table.peak = table.n > table.peak ? table.n : table.peak;
    } else {
        table.refused++;
    }
    (void)pthread_mutex_unlock(&table.lock);
    return ok;
}

/* Needs the lock: the index of a session, table.n when it is not there. */
static size_t find(CK_SLOT_ID slot, bool any_slot, CK_SESSION_HANDLE handle)
{
    size_t i = 0;
    while (i < table.n &&
           (table.at[i].handle != handle || (!any_slot && table.at[i].slot != slot))) {
        i++;
    }
    return i;
}

static void drop(size_t i)
{
    if (i < table.n) {
        table.at[i] = table.at[--table.n];
    }
}

void sm_wrap_session_release(CK_SLOT_ID slot)
{
    (void)pthread_mutex_lock(&table.lock);
    drop(find(slot, false, 0));
    (void)pthread_mutex_unlock(&table.lock);
}

void sm_wrap_session_record(CK_SLOT_ID slot, CK_SESSION_HANDLE session)
{
    (void)pthread_mutex_lock(&table.lock);
    size_t i = find(slot, false, 0);
    if (i < table.n) {
        table.at[i].handle = session;
    }
    (void)pthread_mutex_unlock(&table.lock);
}

void sm_wrap_session_forget(CK_SESSION_HANDLE session)
{
    (void)pthread_mutex_lock(&table.lock);
    if (session != 0) {
        drop(find(0, true, session));
    }
    (void)pthread_mutex_unlock(&table.lock);
}

/* Sessions that are being opened are not closed by this, and stay. */
void sm_wrap_sessions_forget(const CK_SLOT_ID *slot)
{
    (void)pthread_mutex_lock(&table.lock);
    for (size_t i = table.n; i > 0; i--) {
        if (table.at[i - 1].handle != 0 && (slot == NULL || table.at[i - 1].slot == *slot)) {
            drop(i - 1);
        }
    }
    (void)pthread_mutex_unlock(&table.lock);
}

bool sm_wrap_slot_of(CK_SESSION_HANDLE session, CK_SLOT_ID *slot)
{
    (void)pthread_mutex_lock(&table.lock);
    size_t i = session == 0 ? table.n : find(0, true, session);
    bool found = i < table.n;
    if (found) {
        *slot = table.at[i].slot;
    }
    (void)pthread_mutex_unlock(&table.lock);
    return found;
}

size_t sm_wrap_slots(CK_SLOT_ID *out, size_t max)
{
    size_t n = 0;
    (void)pthread_mutex_lock(&table.lock);
    for (size_t i = 0; i < table.n; i++) {
        size_t seen = 0;
        while (seen < n && out[seen] != table.at[i].slot) {
            seen++;
        }
        if (seen == n && n < max) {
            out[n++] = table.at[i].slot;
        }
    }
    (void)pthread_mutex_unlock(&table.lock);
    return n;
}

void sm_wrap_lose_session(CK_SESSION_HANDLE session)
{
    (void)sm_wrap_real->C_CloseSession(session);
    sm_wrap_session_forget(session);
}

void sm_wrap_lose_sessions(CK_SLOT_ID slot)
{
    (void)sm_wrap_real->C_CloseAllSessions(slot);
    sm_wrap_sessions_forget(&slot);
}

void sm_wrap_sessions_write(FILE *out)
{
    (void)pthread_mutex_lock(&table.lock);
    (void)fprintf(out, "sessions open=%zu peak=%zu refused=%lu\n", table.n, table.peak,
                  table.refused);
    (void)pthread_mutex_unlock(&table.lock);
}
