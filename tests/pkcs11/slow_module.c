/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module in the shape of an HSM: it wraps another (see wrap.h) and makes each C_Sign take
 * a set time, a set number of them at once:
 *     SM_P11_LATENCY_US    what one C_Sign takes at least, microseconds; the default is 1000
 *     SM_P11_CONCURRENCY   how many C_Sign at once; more wait; 0, the default: no bound
 *     SM_P11_DEVICE_CPU    the processor that the wrapped module's own work is done on, since an HSM has one of its own:
 *                          the caller's thread goes there for it and comes back; the default: wherever the caller is
 * The time is slept, not spun, and the wrapped module's own work counts towards it, so that n busy
 * sessions of a token with c places make at most min(n, c) / latency signatures a second: 32,000/s
 * at 1 ms and 32.
 *
 * Threads:   any.
 * Limits:    those of wrap.h.
 * Security:  for tests alone.
 * Standards: PKCS#11 v2.40 5.11.
 */
#include "wrap.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#define DEFAULT_LATENCY_US 1000

static struct {
    pthread_mutex_t lock; /* covers what follows */
    pthread_cond_t free;
    unsigned long places; /* 0: without bound */
    unsigned long busy;
    unsigned long peak;
    unsigned long waited;
} token = {.lock = PTHREAD_MUTEX_INITIALIZER, .free = PTHREAD_COND_INITIALIZER};

static unsigned long latency_us;
static unsigned long device_cpu; /* NOWHERE: the caller's */
#define NOWHERE 4096

static void take_place(void)
{
    (void)pthread_mutex_lock(&token.lock);
    token.waited += token.places != 0 && token.busy >= token.places;
    while (token.places != 0 && token.busy >= token.places) {
        (void)pthread_cond_wait(&token.free, &token.lock);
    }
    token.busy++;
    token.peak = token.busy > token.peak ? token.busy : token.peak;
    (void)pthread_mutex_unlock(&token.lock);
}

static void give_place(void)
{
    (void)pthread_mutex_lock(&token.lock);
    token.busy--;
    (void)pthread_cond_signal(&token.free);
    (void)pthread_mutex_unlock(&token.lock);
}

/* The kernel lets a sleeping thread lie for 50 us more than it asked, which no HSM's interrupt
 * does. */
static void wake_sharply(void)
{
    static _Thread_local bool done;
    if (!done) {
        (void)prctl(PR_SET_TIMERSLACK, 1UL);
        done = true;
    }
}

static struct timespec later(unsigned long us)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(us / 1000000);
    t.tv_nsec += (long)(us % 1000000) * 1000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* The wrapped module's work, on the device's processor. */
static CK_RV sign_on_device(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *sig,
                            CK_ULONG *sig_len, const struct timespec *until)
{
    cpu_set_t home;
    cpu_set_t device;
    bool away = device_cpu < NOWHERE && sched_getaffinity(0, sizeof(home), &home) == 0;
    if (away) {
        CPU_ZERO(&device);
        CPU_SET(device_cpu, &device);
        away = sched_setaffinity(0, sizeof(device), &device) == 0;
    }
    CK_RV rv = sm_wrap_real->C_Sign(session, data, len, sig, sig_len);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, until, NULL) != 0) {
    }
    if (away) {
        (void)sched_setaffinity(0, sizeof(home), &home);
    }
    return rv;
}

/* A question for the length alone (no `sig`) is answered by the driver, not by the device. */
static CK_RV slow_sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *sig,
                       CK_ULONG *sig_len)
{
    struct sm_wrap_call call = {.fn = FN_C_Sign, .has_session = true, .session = session};
    CK_RV rv = sm_wrap_enter(&call);
    if (rv != CKR_OK) {
        return sm_wrap_leave(&call, rv);
    }
    if (sig == NULL) {
        return sm_wrap_leave(&call, sm_wrap_real->C_Sign(session, data, len, sig, sig_len));
    }
    wake_sharply();
    take_place();
    struct timespec until = later(latency_us);
    rv = sign_on_device(session, data, len, sig, sig_len, &until);
    give_place();
    return sm_wrap_leave(&call, rv);
}

void sm_wrap_on_load(void)
{
    sm_wrap_table.C_Sign = slow_sign;
}

CK_RV sm_wrap_on_initialize(const CK_C_INITIALIZE_ARGS *args)
{
    (void)args;
    latency_us = sm_wrap_setting_number("SM_P11_LATENCY_US", DEFAULT_LATENCY_US);
    device_cpu = sm_wrap_setting_number("SM_P11_DEVICE_CPU", NOWHERE);
    (void)pthread_mutex_lock(&token.lock);
    token.places = sm_wrap_setting_number("SM_P11_CONCURRENCY", 0);
    (void)pthread_mutex_unlock(&token.lock);
    return CKR_OK;
}

CK_RV sm_wrap_on_call(const struct sm_wrap_call *call)
{
    (void)call;
    return CKR_OK;
}

CK_RV sm_wrap_on_return(const struct sm_wrap_call *call, CK_RV rv)
{
    (void)call;
    return rv;
}

void sm_wrap_on_counts(FILE *out)
{
    (void)pthread_mutex_lock(&token.lock);
    (void)fprintf(out, "places busy=%lu peak=%lu waited=%lu\n", token.busy, token.peak,
                  token.waited);
    (void)pthread_mutex_unlock(&token.lock);
}
