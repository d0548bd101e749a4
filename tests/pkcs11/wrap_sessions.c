/* SPDX-License-Identifier: Apache-2.0 */
/* Which sessions are open on which token: for limits, and for losing them. */
#include "wrap_p.h"

#include <pthread.h>

struct session {
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE handle; /* 0 while it is being opened: no handle is 0 */
    bool lost;                /* closed behind the caller's back, who still has the handle */
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

/* Needs the lock, as those after it do: the open sessions of a token, or of all (NULL). */
static size_t count(const CK_SLOT_ID *slot)
{
    size_t n = 0;
    for (size_t i = 0; i < table.n; i++) {
        n += !table.at[i].lost && (slot == NULL || table.at[i].slot == *slot);
    }
    return n;
}

static void drop(size_t i)
{
    if (i < table.n) {
        table.at[i] = table.at[--table.n];
    }
}

static void make_room(void)
{
    for (size_t i = table.n; table.n == SM_WRAP_MAX_SESSIONS && i > 0; i--) {
        if (table.at[i - 1].lost) {
            drop(i - 1);
        }
    }
}

bool sm_wrap_session_reserve(CK_SLOT_ID slot)
{
    (void)pthread_mutex_lock(&table.lock);
    make_room();
    bool ok = table.n < SM_WRAP_MAX_SESSIONS && (table.max == 0 || count(&slot) < table.max);
    if (ok) {
        table.at[table.n++] = (struct session){.slot = slot};
        size_t open = count(NULL);
        table.peak = open > table.peak ? open : table.peak;
    } else {
        table.refused++;
    }
    (void)pthread_mutex_unlock(&table.lock);
    return ok;
}

/* The index of a session, table.n when it is not there. */
static size_t find(CK_SLOT_ID slot, bool any_slot, CK_SESSION_HANDLE handle)
{
    size_t i = 0;
    while (i < table.n &&
           (table.at[i].handle != handle || (!any_slot && table.at[i].slot != slot))) {
        i++;
    }
    return i;
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
        if (seen == n && n < max && !table.at[i].lost) {
            out[n++] = table.at[i].slot;
        }
    }
    (void)pthread_mutex_unlock(&table.lock);
    return n;
}

static void mark_lost(const CK_SESSION_HANDLE *session, CK_SLOT_ID slot)
{
    (void)pthread_mutex_lock(&table.lock);
    for (size_t i = 0; i < table.n; i++) {
        struct session *s = &table.at[i];
        s->lost = s->lost ||
                  (s->handle != 0 && (session != NULL ? s->handle == *session : s->slot == slot));
    }
    (void)pthread_mutex_unlock(&table.lock);
}

/* Shared by calls that have a session, alone for its loss, which is not to wait for ever. */
static pthread_rwlock_t inside = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

void sm_wrap_session_use(void)
{
    (void)pthread_rwlock_rdlock(&inside);
}

void sm_wrap_session_done(void)
{
    (void)pthread_rwlock_unlock(&inside);
}

void sm_wrap_lose_session(CK_SESSION_HANDLE session)
{
    (void)pthread_rwlock_wrlock(&inside);
    (void)sm_wrap_real->C_CloseSession(session);
    mark_lost(&session, 0);
    (void)pthread_rwlock_unlock(&inside);
}

void sm_wrap_lose_sessions(CK_SLOT_ID slot)
{
    (void)pthread_rwlock_wrlock(&inside);
    (void)sm_wrap_real->C_CloseAllSessions(slot);
    mark_lost(NULL, slot);
    (void)pthread_rwlock_unlock(&inside);
}

void sm_wrap_lose_login(CK_SESSION_HANDLE session)
{
    (void)pthread_rwlock_wrlock(&inside);
    (void)sm_wrap_real->C_Logout(session);
    (void)pthread_rwlock_unlock(&inside);
}

void sm_wrap_sessions_write(FILE *out)
{
    (void)pthread_mutex_lock(&table.lock);
    (void)fprintf(out, "sessions open=%zu peak=%zu refused=%lu\n", count(NULL), table.peak,
                  table.refused);
    (void)pthread_mutex_unlock(&table.lock);
}
