/* SPDX-License-Identifier: Apache-2.0 */
#include "slow_device.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define P256_OCTETS 32

struct order {
    struct order *next;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    CK_MECHANISM mechanism;
    CK_RSA_PKCS_PSS_PARAMS pss;
    CK_BYTE *data;
    CK_ULONG len;
    CK_BYTE *sig;
    CK_ULONG *sig_len;
    CK_RV rv;
    bool done; /* under the device's lock */
    pthread_cond_t answered;
};

struct engine { /* a key that the device holds; none: the wrapped module keeps it */
    CK_OBJECT_HANDLE key;
    EVP_PKEY *pkey;
};

static struct {
    pthread_mutex_t lock; /* covers what follows */
    pthread_cond_t come;
    struct order *first;
    struct order **last;
    struct engine engines[DEVICE_KEYS_MAX];
    size_t engine_count;
    bool started;
    unsigned long cpu;
    unsigned long latency_us;
} device = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .come = PTHREAD_COND_INITIALIZER, .last = &device.first};

/* What C_SignInit said, by session: handles are small numbers here, and one session is one caller's. */
static struct order pending[SM_WRAP_MAX_SESSIONS];

/* ---- keys ---- */

static EVP_PKEY *pkey_of(const CK_BYTE *scalar, CK_ULONG len)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    BIGNUM *d = BN_bin2bn(scalar, (int)len, NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (b != NULL && d != NULL && ctx != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, d) == 1 &&
        (params = OSSL_PARAM_BLD_to_param(b)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1) {
        (void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params);
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(b);
    BN_clear_free(d);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

/* A P-256 key that the wrapped module lets out; NULL: it is another, or stays there. */
static EVP_PKEY *let_out(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    static const CK_BYTE p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
    CK_BYTE curve[64];
    CK_BYTE scalar[P256_OCTETS + 1];
    CK_ATTRIBUTE ask[] = {{CKA_EC_PARAMS, curve, sizeof(curve)},
                          {CKA_VALUE, scalar, sizeof(scalar)}};
    CK_RV rv = sm_wrap_real->C_GetAttributeValue(session, key, ask, 2);
    bool is_p256 = rv == CKR_OK && ask[0].ulValueLen == sizeof(p256) &&
                   memcmp(curve, p256, sizeof(p256)) == 0;
    return is_p256 ? pkey_of(scalar, ask[1].ulValueLen) : NULL;
}

static EVP_PKEY *engine_of(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    size_t i = 0;
    (void)pthread_mutex_lock(&device.lock);
    while (i < device.engine_count && device.engines[i].key != key) {
        i++;
    }
    if (i == device.engine_count && i < DEVICE_KEYS_MAX) {
        device.engines[device.engine_count++] = (struct engine){key, let_out(session, key)};
    }
    EVP_PKEY *pkey = i < DEVICE_KEYS_MAX ? device.engines[i].pkey : NULL;
    (void)pthread_mutex_unlock(&device.lock);
    return pkey;
}

/* ---- signing ---- */

/* ECDSA as PKCS#11 wants it: r and s, each as long as the order (2.3.1). */
static CK_RV spread(const unsigned char *der, size_t len, CK_BYTE *sig)
{
    ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool ok = parsed != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(parsed), sig, P256_OCTETS) > 0 &&
              BN_bn2binpad(ECDSA_SIG_get0_s(parsed), sig + P256_OCTETS, P256_OCTETS) > 0;
    ECDSA_SIG_free(parsed);
    return ok ? CKR_OK : CKR_DEVICE_ERROR;
}

static CK_RV sign_here(EVP_PKEY *pkey, struct order *o)
{
    static _Thread_local EVP_PKEY_CTX *ctx;
    static _Thread_local EVP_PKEY *of;
    unsigned char der[80];
    size_t len = sizeof(der);
    if (*o->sig_len < 2 * P256_OCTETS) {
        return CKR_BUFFER_TOO_SMALL;
    }
    if (of != pkey) {
        EVP_PKEY_CTX_free(ctx);
        ctx = EVP_PKEY_CTX_new(pkey, NULL);
        of = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 ? pkey : NULL;
    }
    if (of == NULL || EVP_PKEY_sign(ctx, der, &len, o->data, o->len) != 1) {
        return CKR_DEVICE_ERROR;
    }
    *o->sig_len = 2 * P256_OCTETS;
    return spread(der, len, o->sig);
}

static CK_RV sign(struct order *o)
{
    EVP_PKEY *pkey = o->mechanism.mechanism == CKM_ECDSA ? engine_of(o->session, o->key) : NULL;
    if (pkey != NULL) {
        return sign_here(pkey, o);
    }
    CK_RV rv = sm_wrap_real->C_SignInit(o->session, &o->mechanism, o->key);
    return rv == CKR_OK ? sm_wrap_real->C_Sign(o->session, o->data, o->len, o->sig, o->sig_len)
                        : rv;
}

/* ---- the device's threads ---- */

static struct order *take(void)
{
    (void)pthread_mutex_lock(&device.lock);
    while (device.first == NULL) {
        (void)pthread_cond_wait(&device.come, &device.lock);
    }
    struct order *o = device.first;
    device.first = o->next;
    device.last = device.first == NULL ? &device.first : device.last;
    (void)pthread_mutex_unlock(&device.lock);
    return o;
}

static void answer(struct order *o)
{
    (void)pthread_mutex_lock(&device.lock);
    o->done = true;
    (void)pthread_cond_signal(&o->answered);
    (void)pthread_mutex_unlock(&device.lock);
}

static void *place(void *ctx)
{
    (void)ctx;
    cpu_set_t home;
    CPU_ZERO(&home);
    CPU_SET(device.cpu, &home);
    (void)sched_setaffinity(0, sizeof(home), &home);
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    for (;;) {
        struct order *o = take();
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)(device.latency_us % 1000000) * 1000;
        until.tv_sec += (time_t)(device.latency_us / 1000000) + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        o->rv = sign(o);
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {
        }
        answer(o);
    }
    return NULL;
}

void sm_device_start(unsigned long cpu, unsigned long places, unsigned long latency_us)
{
    (void)pthread_mutex_lock(&device.lock);
    bool first = !device.started;
    device.started = true;
    device.cpu = cpu;
    device.latency_us = latency_us;
    device.engine_count = 0; /* handles of before are void */
    (void)pthread_mutex_unlock(&device.lock);
    for (unsigned long i = 0; first && i < places && i < DEVICE_PLACES_MAX; i++) {
        pthread_t id;
        if (pthread_create(&id, NULL, place, NULL) != 0) {
            abort();
        }
        (void)pthread_detach(id);
    }
}

/* ---- the driver's side ---- */

CK_RV sm_device_sign_init(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism,
                          CK_OBJECT_HANDLE key)
{
    struct order *o = &pending[session % SM_WRAP_MAX_SESSIONS];
    if (mechanism->mechanism == CKM_RSA_PKCS_PSS) {
        if (mechanism->ulParameterLen != sizeof(o->pss)) {
            return CKR_MECHANISM_PARAM_INVALID;
        }
        memcpy(&o->pss, mechanism->pParameter, sizeof(o->pss));
        o->mechanism = (CK_MECHANISM){CKM_RSA_PKCS_PSS, &o->pss, sizeof(o->pss)};
    } else {
        o->mechanism = (CK_MECHANISM){mechanism->mechanism, NULL, 0};
    }
    o->session = session;
    o->key = key;
    return CKR_OK;
}

CK_RV sm_device_sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *sig,
                     CK_ULONG *sig_len)
{
    struct order *o = &pending[session % SM_WRAP_MAX_SESSIONS];
    if (o->session != session) {
        return CKR_OPERATION_NOT_INITIALIZED;
    }
    *o = (struct order){.session = session,
                        .key = o->key,
                        .mechanism = o->mechanism,
                        .pss = o->pss,
                        .data = data,
                        .len = len,
                        .sig = sig,
                        .sig_len = sig_len,
                        .answered = PTHREAD_COND_INITIALIZER};
    (void)pthread_mutex_lock(&device.lock);
    *device.last = o;
    device.last = &o->next;
    (void)pthread_cond_signal(&device.come);
    while (!o->done) {
        (void)pthread_cond_wait(&o->answered, &device.lock);
    }
    (void)pthread_mutex_unlock(&device.lock);
    o->session = 0; /* over: no handle is 0 */
    return o->rv;
}
