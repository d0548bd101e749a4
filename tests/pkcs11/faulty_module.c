/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module that fails on command: it wraps another (see wrap.h) and does what its control
 * file says (see faults.h):
 *     SM_P11_CONTROL       the file, looked at before every call and while a call hangs; read again
 * when it is another one or has another size or time; none means no faults. Write beside it and
 * rename, so that it is never read half written. SM_P11_SERIAL        `abort` or `count`: as the
 * word `serial` in the file, from the beginning A file that means nothing aborts the process: a
 * test with a misspelt fault proves nothing.
 *
 * Threads:   any; in serial mode one at a time, which is what it is there to prove.
 * Limits:    those of wrap.h and faults.h; HANG_POLL_MS between looks while a call hangs.
 * Security:  for tests alone.
 * Standards: PKCS#11 v2.40 5.1, 5.4, 5.5.
 */
#include "faults.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HANG_POLL_MS 2
#define MAX_SLOTS 64
#define MAX_SIG 1024

static struct {
    pthread_mutex_t lock; /* covers what follows */
    char path[SM_WRAP_SETTING_LEN];
    struct stat seen; /* zero: no file */
    struct sm_faults faults;
    unsigned long generation; /* counts the readings */
} control = {.lock = PTHREAD_MUTEX_INITIALIZER};

static atomic_uint serial;        /* enum sm_fault_serial in force */
static enum sm_fault_serial born; /* from the setting */
static atomic_uint inside;        /* threads between a call's entry and its return */
static atomic_uint inside_fn;     /* the last to enter */
static atomic_ulong overlaps;

/* What the present call is to suffer on its way out. */
static _Thread_local struct sm_fault pending;

static void sleep_ms(unsigned long ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0) {
    }
}

/* ---- The control file ---- */

static bool has_label(CK_SLOT_ID slot, const char *label)
{
    CK_TOKEN_INFO info;
    size_t len = strlen(label);
    if (len == 0) {
        return true;
    }
    if (sm_wrap_real->C_GetTokenInfo(slot, &info) != CKR_OK ||
        memcmp(info.label, label, len) != 0) {
        return false;
    }
    while (len < sizeof(info.label) && info.label[len] == ' ') {
        len++;
    }
    return len == sizeof(info.label);
}

static void read_control(void)
{
    char text[SM_FAULTS_TEXT + 1];
    int fd = open(control.path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text));
    if (fd >= 0) {
        (void)close(fd);
    }
    if (n < 0 || n > SM_FAULTS_TEXT) {
        (void)fprintf(stderr, "%s cannot be read, or is too long\n", control.path);
        abort();
    }
    text[n] = 0;
    unsigned line = sm_faults_parse(text, &control.faults);
    if (line != 0) {
        (void)fprintf(stderr, "%s:%u means nothing\n", control.path, line);
        abort();
    }
}

/* A token that is pulled takes its sessions with it, also when nobody calls while it is out. */
static void pull_tokens(void)
{
    CK_SLOT_ID slots[MAX_SLOTS];
    size_t n = sm_wrap_slots(slots, MAX_SLOTS);
    for (size_t i = 0; i < control.faults.n; i++) {
        const struct sm_fault *f = &control.faults.at[i];
        for (size_t s = 0; f->action == SM_FAULT_REMOVED && s < n; s++) {
            if (has_label(slots[s], f->token)) {
                sm_wrap_lose_sessions(slots[s]);
            }
        }
    }
}

/* Needs the lock. */
static void look_again(void)
{
    struct stat st;
    if (control.path[0] == 0) {
        return;
    }
    if (stat(control.path, &st) != 0) {
        st = (struct stat){0};
    }
    const struct stat *was = &control.seen;
    if (st.st_ino == was->st_ino && st.st_size == was->st_size &&
        st.st_mtim.tv_sec == was->st_mtim.tv_sec && st.st_mtim.tv_nsec == was->st_mtim.tv_nsec &&
        st.st_ctim.tv_sec == was->st_ctim.tv_sec && st.st_ctim.tv_nsec == was->st_ctim.tv_nsec) {
        return;
    }
    control.seen = st;
    control.generation++;
    read_control();
    atomic_store(&serial,
                 control.faults.serial != SM_FAULT_PARALLEL ? control.faults.serial : born);
    pull_tokens();
    if (control.faults.counts) {
        sm_wrap_counts_write();
    }
}

/* ---- Which fault a call meets ---- */

/* A call of the whole module has no token: only faults without one fit it. */
static bool is_of_token(const struct sm_fault *f, const struct sm_wrap_call *call)
{
    CK_SLOT_ID slot = call->slot;
    if (f->token[0] == 0) {
        return true;
    }
    return (call->has_slot || (call->has_session && sm_wrap_slot_of(call->session, &slot))) &&
           has_label(slot, f->token);
}

static bool fits(const struct sm_fault *f, const struct sm_wrap_call *call)
{
    bool named = f->fn == call->fn ||
                 (f->fn == SM_WRAP_FN_COUNT && (call->has_slot || call->has_session));
    return named && is_of_token(f, call);
}

/* C_GetSlotInfo is about the slot, which stays. */
static CK_RV removed_answer(const struct sm_wrap_call *call)
{
    if (call->fn == FN_C_GetSlotInfo) {
        return CKR_OK;
    }
    return call->has_session ? CKR_DEVICE_REMOVED : CKR_TOKEN_NOT_PRESENT;
}

/* Needs the lock: takes the call's fault, and the sum of the delays before it. */
static struct sm_fault choose(const struct sm_wrap_call *call, unsigned long *delay_ms)
{
    for (size_t i = 0; i < control.faults.n; i++) {
        struct sm_fault *f = &control.faults.at[i];
        if (f->left == 0 || !fits(f, call)) {
            continue;
        }
        f->left -= f->left != (unsigned long)-1;
        if (f->action == SM_FAULT_DELAY) {
            *delay_ms += f->ms;
            continue;
        }
        struct sm_fault chosen = *f;
        if (f->action == SM_FAULT_REMOVED) {
            chosen.action = SM_FAULT_ANSWER;
            chosen.rv = removed_answer(call);
        }
        return chosen;
    }
    return (struct sm_fault){.action = SM_FAULT_NONE};
}

static void hang(const struct sm_wrap_call *call, unsigned long generation)
{
    for (bool hung = true; hung;) {
        sleep_ms(HANG_POLL_MS);
        (void)pthread_mutex_lock(&control.lock);
        look_again();
        hung = control.generation == generation;
        for (size_t i = 0; !hung && i < control.faults.n; i++) {
            const struct sm_fault *f = &control.faults.at[i];
            hung = f->action == SM_FAULT_HANG && fits(f, call);
        }
        (void)pthread_mutex_unlock(&control.lock);
    }
}

static void lose_sessions(const struct sm_wrap_call *call)
{
    CK_SLOT_ID slot = call->slot;
    if (call->has_slot || (call->has_session && sm_wrap_slot_of(call->session, &slot))) {
        sm_wrap_lose_sessions(slot);
    }
}

static CK_RV suffer(const struct sm_fault *f, const struct sm_wrap_call *call,
                    unsigned long generation)
{
    switch (f->action) {
    case SM_FAULT_HANG:
        hang(call, generation);
        return f->rv;
    case SM_FAULT_SESSION_LOST:
        sm_wrap_lose_session(call->session);
        return f->rv;
    case SM_FAULT_SESSIONS_LOST:
        lose_sessions(call);
        return f->rv;
    case SM_FAULT_LOGIN_LOST:
        sm_wrap_lose_login(call->session);
        return f->rv;
    case SM_FAULT_ANSWER:
        return f->rv;
    default: /* on the way out */
        pending = *f;
        return CKR_OK;
    }
}

/* ---- The way in and out ---- */

static void check_alone(unsigned others, const struct sm_wrap_call *call, unsigned other_fn)
{
    unsigned mode = atomic_load(&serial);
    if (others == 0 || mode == SM_FAULT_PARALLEL) {
        return;
    }
    atomic_fetch_add(&overlaps, 1);
    if (mode == SM_FAULT_SERIAL_ABORT) {
        (void)fprintf(stderr, "two threads in a module for one: %s during %s\n",
                      sm_wrap_name(call->fn), sm_wrap_name((enum sm_wrap_fn)other_fn));
        sm_wrap_counts_write();
        abort();
    }
}

CK_RV sm_wrap_on_call(const struct sm_wrap_call *call)
{
    unsigned other_fn = atomic_exchange(&inside_fn, (unsigned)call->fn);
    check_alone(atomic_fetch_add(&inside, 1), call, other_fn);
    unsigned long delay_ms = 0;
    (void)pthread_mutex_lock(&control.lock);
    look_again();
    struct sm_fault f = choose(call, &delay_ms);
    unsigned long generation = control.generation;
    (void)pthread_mutex_unlock(&control.lock);
    pending.action = SM_FAULT_NONE;
    if (delay_ms > 0) {
        sleep_ms(delay_ms);
    }
    return suffer(&f, call, generation);
}

CK_RV sm_wrap_on_return(const struct sm_wrap_call *call, CK_RV rv)
{
    (void)call;
    rv = rv == CKR_OK && pending.action == SM_FAULT_LATE ? pending.rv : rv;
    pending.action = SM_FAULT_NONE;
    atomic_fetch_sub(&inside, 1);
    return rv;
}

/* `long` says more octets than there are; it writes one more only where there is room for it. */
static void spoil(CK_BYTE *sig, CK_ULONG *len, CK_ULONG room)
{
    if (pending.action == SM_FAULT_CORRUPT) {
        sig[*len / 2] ^= 1;
    } else if (pending.action == SM_FAULT_SHORT) {
        (*len)--;
    } else if (pending.action == SM_FAULT_LONG) {
        if (*len < room) {
            sig[*len] = 0;
        }
        (*len)++;
    }
}

/* PKCS#11 5.11: whatever C_Sign answers, but for CKR_BUFFER_TOO_SMALL, ends the operation. So it
 * ends in the wrapped module too when that is not asked. */
static void end_operation(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_RV answer)
{
    CK_BYTE sig[MAX_SIG];
    CK_ULONG sig_len = sizeof(sig);
    if (answer == CKR_BUFFER_TOO_SMALL) {
        return;
    }
    if (data != NULL) {
        (void)sm_wrap_real->C_Sign(session, data, len, sig, &sig_len);
    } else {
        (void)sm_wrap_real->C_SignFinal(session, sig, &sig_len);
    }
}

/* A question for the length alone (no `sig`) meets no fault, so that `n` counts signatures. */
static CK_RV faulty_sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *sig,
                         CK_ULONG *sig_len)
{
    struct sm_wrap_call call = {.fn = FN_C_Sign, .has_session = true, .session = session};
    if (sig == NULL || data == NULL || sig_len == NULL) {
        return sm_wrap_real->C_Sign(session, data, len, sig, sig_len);
    }
    CK_ULONG room = *sig_len;
    CK_RV rv = sm_wrap_enter(&call);
    if (rv != CKR_OK) {
        end_operation(session, data, len, rv);
        return sm_wrap_leave(&call, rv);
    }
    rv = sm_wrap_real->C_Sign(session, data, len, sig, sig_len);
    if (rv == CKR_OK) {
        spoil(sig, sig_len, room);
    }
    return sm_wrap_leave(&call, rv);
}

static CK_RV faulty_sign_final(CK_SESSION_HANDLE session, CK_BYTE *sig, CK_ULONG *sig_len)
{
    struct sm_wrap_call call = {.fn = FN_C_SignFinal, .has_session = true, .session = session};
    if (sig == NULL || sig_len == NULL) {
        return sm_wrap_real->C_SignFinal(session, sig, sig_len);
    }
    CK_ULONG room = *sig_len;
    CK_RV rv = sm_wrap_enter(&call);
    if (rv != CKR_OK) {
        end_operation(session, NULL, 0, rv);
        return sm_wrap_leave(&call, rv);
    }
    rv = sm_wrap_real->C_SignFinal(session, sig, sig_len);
    if (rv == CKR_OK) {
        spoil(sig, sig_len, room);
    }
    return sm_wrap_leave(&call, rv);
}

/* ---- Slots without their token ---- */

static bool is_removed(CK_SLOT_ID slot)
{
    bool removed = false;
    (void)pthread_mutex_lock(&control.lock);
    for (size_t i = 0; i < control.faults.n; i++) {
        const struct sm_fault *f = &control.faults.at[i];
        removed = removed || (f->action == SM_FAULT_REMOVED && has_label(slot, f->token));
    }
    (void)pthread_mutex_unlock(&control.lock);
    return removed;
}

/* PKCS#11 5.5: the number alone when `list` is NULL; CKR_BUFFER_TOO_SMALL sets the number too. */
static CK_RV list_slots(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *n)
{
    CK_SLOT_ID slots[MAX_SLOTS];
    CK_ULONG all = MAX_SLOTS;
    CK_ULONG kept = 0;
    CK_ULONG room = n == NULL ? 0 : *n;
    /* With NULL SoftHSM2 looks for new tokens; with a list it does not. */
    CK_RV rv = sm_wrap_real->C_GetSlotList(present, list == NULL ? NULL : slots, &all);
    if (rv == CKR_OK && list == NULL) {
        all = MAX_SLOTS;
        rv = sm_wrap_real->C_GetSlotList(present, slots, &all);
    }
    if (rv != CKR_OK || n == NULL) {
        return rv == CKR_OK ? CKR_ARGUMENTS_BAD : rv;
    }
    for (CK_ULONG i = 0; i < all; i++) {
        if (!present || !is_removed(slots[i])) {
            slots[kept++] = slots[i];
        }
    }
    *n = kept;
    if (list != NULL && kept > room) {
        return CKR_BUFFER_TOO_SMALL;
    }
    if (list != NULL) {
        (void)memcpy(list, slots, kept * sizeof(*list));
    }
    return CKR_OK;
}

static CK_RV faulty_get_slot_list(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *n)
{
    struct sm_wrap_call call = {.fn = FN_C_GetSlotList};
    CK_RV rv = sm_wrap_enter(&call);
    return sm_wrap_leave(&call, rv == CKR_OK ? list_slots(present, list, n) : rv);
}

static CK_RV faulty_get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    struct sm_wrap_call call = {.fn = FN_C_GetSlotInfo, .has_slot = true, .slot = slot};
    CK_RV rv = sm_wrap_enter(&call);
    if (rv == CKR_OK) {
        rv = sm_wrap_real->C_GetSlotInfo(slot, info);
    }
    if (rv == CKR_OK && is_removed(slot)) {
        info->flags &= ~CKF_TOKEN_PRESENT;
    }
    return sm_wrap_leave(&call, rv);
}

/* ---- Setting up ---- */

static enum sm_fault_serial setting_of(const char *mode)
{
    if (*mode == 0) {
        return SM_FAULT_PARALLEL;
    }
    if (strcmp(mode, "abort") != 0 && strcmp(mode, "count") != 0) {
        (void)fprintf(stderr, "SM_P11_SERIAL: %s means nothing\n", mode);
        abort();
    }
    return strcmp(mode, "abort") == 0 ? SM_FAULT_SERIAL_ABORT : SM_FAULT_SERIAL_COUNT;
}

static void configure(void)
{
    char mode[SM_WRAP_SETTING_LEN] = "";
    (void)sm_wrap_setting("SM_P11_SERIAL", mode);
    (void)pthread_mutex_lock(&control.lock);
    born = setting_of(mode);
    if (control.faults.serial == SM_FAULT_PARALLEL) {
        atomic_store(&serial, born);
    }
    if (!sm_wrap_setting("SM_P11_CONTROL", control.path)) {
        control.path[0] = 0;
    }
    look_again();
    (void)pthread_mutex_unlock(&control.lock);
}

void sm_wrap_on_load(void)
{
    sm_wrap_table.C_Sign = faulty_sign;
    sm_wrap_table.C_SignFinal = faulty_sign_final;
    sm_wrap_table.C_GetSlotList = faulty_get_slot_list;
    sm_wrap_table.C_GetSlotInfo = faulty_get_slot_info;
    configure();
}

/* PKCS#11 5.4: who asks for locking, by the system's or its own, means to call from several
 * threads. */
CK_RV sm_wrap_on_initialize(const CK_C_INITIALIZE_ARGS *args)
{
    configure();
    bool threads = args != NULL &&
                   ((args->flags & CKF_OS_LOCKING_OK) != 0 || args->CreateMutex != NULL);
    return threads && atomic_load(&serial) != SM_FAULT_PARALLEL ? CKR_CANT_LOCK : CKR_OK;
}

void sm_wrap_on_counts(FILE *out)
{
    (void)fprintf(out, "serial overlaps=%lu\n", atomic_load(&overlaps));
}
