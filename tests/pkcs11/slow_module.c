/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module in the shape of an HSM: it wraps another (see wrap.h) and makes each C_Sign take
 * a set time, a set number of them at once:
 *     SM_P11_LATENCY_US    what one C_Sign takes at least, microseconds; the default is 1000
 *     SM_P11_CONCURRENCY   how many C_Sign at once; more wait; 0, the default: no bound
 *     SM_P11_DEVICE_CPU    the processor that signs, since an HSM has one of its own: see slow_device.h; the default: the
 *                          caller's. Keys that are made under it are extractable: the device takes them out
 * The time is slept, not spun, and the wrapped module's own work counts towards it, so that n busy
 * sessions of a token with c places make at most min(n, c) / latency signatures a second: 32,000/s
 * at 1 ms and 32.
 *
 * Threads:   any.
 * Limits:    those of wrap.h.
 * Security:  for tests alone.
 * Standards: PKCS#11 v2.40 5.11.
 */
#include "slow_device.h"

#include <pthread.h>
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

static CK_RV sign_here(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *sig,
                       CK_ULONG *sig_len)
{
    take_place();
    struct timespec until = later(latency_us);
    CK_RV rv = sm_wrap_real->C_Sign(session, data, len, sig, sig_len);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {
    }
    give_place();
    return rv;
}

static CK_RV slow_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                            CK_OBJECT_HANDLE key)
{
    struct sm_wrap_call call = {.fn = FN_C_SignInit, .has_session = true, .session = session};
    CK_RV rv = sm_wrap_enter(&call);
    if (rv == CKR_OK) {
        rv = device_cpu < NOWHERE ? sm_device_sign_init(session, mechanism, key)
                                  : sm_wrap_real->C_SignInit(session, mechanism, key);
    }
    return sm_wrap_leave(&call, rv);
}

/* The device holds the keys that it makes: the wrapped module is to let them out. */
static CK_RV slow_generate(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *pub,
                           CK_ULONG pubs, CK_ATTRIBUTE *priv, CK_ULONG privs,
                           CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
    static CK_BBOOL yes = CK_TRUE;
    static CK_BBOOL no = CK_FALSE;
    struct sm_wrap_call call = {
        .fn = FN_C_GenerateKeyPair, .has_session = true, .session = session};
    CK_RV rv = sm_wrap_enter(&call);
    for (CK_ULONG i = 0; device_cpu < NOWHERE && i < privs; i++) {
        if (priv[i].type == CKA_SENSITIVE) {
            priv[i].pValue = &no;
        } else if (priv[i].type == CKA_EXTRACTABLE) {
            priv[i].pValue = &yes;
        }
    }
    if (rv == CKR_OK) {
        rv = sm_wrap_real->C_GenerateKeyPair(session, mechanism, pub, pubs, priv, privs, public_key,
                                             private_key);
    }
    return sm_wrap_leave(&call, rv);
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
    if (sig == NULL && device_cpu == NOWHERE) {
        return sm_wrap_leave(&call, sm_wrap_real->C_Sign(session, data, len, sig, sig_len));
    }
    wake_sharply();
    rv = device_cpu < NOWHERE ? sm_device_sign(session, data, len, sig, sig_len)
                              : sign_here(session, data, len, sig, sig_len);
    return sm_wrap_leave(&call, rv);
}

void sm_wrap_on_load(void)
{
    sm_wrap_table.C_SignInit = slow_sign_init;
    sm_wrap_table.C_Sign = slow_sign;
    sm_wrap_table.C_GenerateKeyPair = slow_generate;
}

CK_RV sm_wrap_on_initialize(const CK_C_INITIALIZE_ARGS *args)
{
    (void)args;
    latency_us = sm_wrap_setting_number("SM_P11_LATENCY_US", DEFAULT_LATENCY_US);
    device_cpu = sm_wrap_setting_number("SM_P11_DEVICE_CPU", NOWHERE);
    (void)pthread_mutex_lock(&token.lock);
    token.places = sm_wrap_setting_number("SM_P11_CONCURRENCY", 0);
    unsigned long places = token.places;
    (void)pthread_mutex_unlock(&token.lock);
    if (device_cpu < NOWHERE) {
        sm_device_start(device_cpu, places == 0 ? DEVICE_PLACES_MAX : places, latency_us);
    }
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
