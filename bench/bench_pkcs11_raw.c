/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a PKCS#11 module gives without sealmill: N threads with a session each, C_SignInit and
 * C_Sign in a loop. The peer for the session pools. One JSON object per N; the last signature of
 * every session is verified by the module.
 *
 *     bench_pkcs11_raw --module PATH --token LABEL --pin PIN --key LABEL
 *                      [--sessions N[,N...]] [--seconds S]
 */
#include "base/clock.h"

#include <dlfcn.h>
#include <getopt.h>
#include <inttypes.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MAX_SESSIONS 1024
#define MAX_SAMPLES (1U << 16) /* latencies kept of each session; the first ones */
#define DEFAULT_SECONDS 3
#define MAX_SLOTS 64
#define MAX_SIG 1024

struct options {
    const char *module;
    const char *token;
    const char *pin;
    const char *key;
    const char *sessions;
    double seconds;
};

struct bench {
    CK_FUNCTION_LIST *f;
    CK_SLOT_ID slot;
    CK_MECHANISM_TYPE mechanism;
    CK_BYTE data[64];
    CK_ULONG data_len;
    const struct options *options;
    pthread_barrier_t start;
    atomic_bool stop;
};

struct lane {
    struct bench *bench;
    pthread_t thread;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE priv;
    CK_OBJECT_HANDLE pub;
    uint64_t done;
    uint32_t *samples; /* microseconds */
    size_t n_samples;
};

static uint64_t now_us(void)
{
    return sm_clock_mono_ns() / 1000;
}

static void need(CK_RV rv, const char *what)
{
    if (rv != CKR_OK) {
        (void)fprintf(stderr, "%s: 0x%lx\n", what, rv);
        exit(1);
    }
}

static CK_FUNCTION_LIST *load(const char *path)
{
    CK_FUNCTION_LIST *f = NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    union {
        void *symbol;
        CK_C_GetFunctionList get;
    } entry = {library == NULL ? NULL : dlsym(library, "C_GetFunctionList")};
    if (entry.symbol == NULL) {
        (void)fprintf(stderr, "%s: %s\n", path, dlerror());
        exit(1);
    }
    need(entry.get(&f), "C_GetFunctionList");
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    need(f->C_Initialize(&args), "C_Initialize");
    return f;
}

static CK_SLOT_ID find_token(CK_FUNCTION_LIST *f, const char *label)
{
    CK_SLOT_ID slots[MAX_SLOTS];
    CK_ULONG n = MAX_SLOTS;
    CK_BYTE wanted[32];
    (void)memset(wanted, ' ', sizeof(wanted));
    size_t len = strlen(label);
    (void)memcpy(wanted, label, len < sizeof(wanted) ? len : sizeof(wanted));
    need(f->C_GetSlotList(1, slots, &n), "C_GetSlotList");
    for (CK_ULONG i = 0; i < n; i++) {
        CK_TOKEN_INFO info;
        if (f->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            memcmp(info.label, wanted, sizeof(wanted)) == 0) {
            return slots[i];
        }
    }
    (void)fprintf(stderr, "no token %s\n", label);
    exit(1);
}

static CK_OBJECT_HANDLE find_key(struct bench *b, CK_SESSION_HANDLE session, CK_OBJECT_CLASS class)
{
    char label[64];
    size_t len = (size_t)snprintf(label, sizeof(label), "%s", b->options->key);
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, label, len}};
    CK_OBJECT_HANDLE key = 0;
    CK_ULONG n = 0;
    need(b->f->C_FindObjectsInit(session, wanted, 2), "C_FindObjectsInit");
    need(b->f->C_FindObjects(session, &key, 1, &n), "C_FindObjects");
    need(b->f->C_FindObjectsFinal(session), "C_FindObjectsFinal");
    if (n != 1) {
        (void)fprintf(stderr, "no key %s\n", b->options->key);
        exit(1);
    }
    return key;
}

/* A SHA-256 digest's worth of octets for ECDSA and EdDSA, a DigestInfo's for RSA. */
static void choose_mechanism(struct bench *b, const struct lane *lane)
{
    CK_KEY_TYPE type = 0;
    CK_ATTRIBUTE wanted = {CKA_KEY_TYPE, &type, sizeof(type)};
    need(b->f->C_GetAttributeValue(lane->session, lane->priv, &wanted, 1), "CKA_KEY_TYPE");
    b->mechanism = type == CKK_RSA ? CKM_RSA_PKCS : type == CKK_EC ? CKM_ECDSA : CKM_EDDSA;
    b->data_len = type == CKK_RSA ? 51 : 32;
    (void)memset(b->data, 0x5a, sizeof(b->data));
}

static void open_lane(struct bench *b, struct lane *lane)
{
    *lane = (struct lane){.bench = b};
    need(b->f->C_OpenSession(b->slot, CKF_SERIAL_SESSION, NULL, NULL, &lane->session),
         "C_OpenSession");
    char pin[256];
    size_t len = (size_t)snprintf(pin, sizeof(pin), "%s", b->options->pin);
    CK_RV rv = b->f->C_Login(lane->session, CKU_USER, (CK_BYTE *)pin, len);
    need(rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv, "C_Login");
    lane->priv = find_key(b, lane->session, CKO_PRIVATE_KEY);
    lane->pub = find_key(b, lane->session, CKO_PUBLIC_KEY);
    lane->samples = calloc(MAX_SAMPLES, sizeof(*lane->samples));
    if (lane->samples == NULL) {
        need(CKR_HOST_MEMORY, "samples");
    }
}

static void *sign_loop(void *arg)
{
    struct lane *lane = arg;
    struct bench *b = lane->bench;
    CK_MECHANISM mechanism = {.mechanism = b->mechanism};
    CK_BYTE data[sizeof(b->data)];
    CK_BYTE sig[MAX_SIG];
    CK_ULONG len = 0;
    (void)memcpy(data, b->data, sizeof(data));
    (void)pthread_barrier_wait(&b->start);
    while (!atomic_load_explicit(&b->stop, memory_order_relaxed)) {
        uint64_t begun = now_us();
        len = sizeof(sig);
        (void)memcpy(data, &lane->done, sizeof(lane->done));
        need(b->f->C_SignInit(lane->session, &mechanism, lane->priv), "C_SignInit");
        need(b->f->C_Sign(lane->session, data, b->data_len, sig, &len), "C_Sign");
        lane->done++;
        if (lane->n_samples < MAX_SAMPLES) {
            lane->samples[lane->n_samples++] = (uint32_t)(now_us() - begun);
        }
    }
    if (lane->done > 0) {
        need(b->f->C_VerifyInit(lane->session, &mechanism, lane->pub), "C_VerifyInit");
        need(b->f->C_Verify(lane->session, data, b->data_len, sig, len), "C_Verify");
    }
    return NULL;
}

static double cpu_seconds(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(const struct bench *b, struct lane *lanes, size_t n, double wall, double cpu)
{
    uint64_t done = 0;
    size_t samples = 0;
    uint32_t *all = calloc(n, MAX_SAMPLES * sizeof(*all));
    for (size_t i = 0; i < n; i++) {
        done += lanes[i].done;
        if (all != NULL) {
            (void)memcpy(all + samples, lanes[i].samples,
                         lanes[i].n_samples * sizeof(*lanes[i].samples));
            samples += lanes[i].n_samples;
        }
    }
    if (samples == 0) {
        need(CKR_GENERAL_ERROR, "not one signature");
    }
    qsort(all, samples, sizeof(*all), by_value);
    (void)printf("{\"bench\":\"pkcs11_raw\",\"module\":\"%s\",\"key\":\"%s\",\"sessions\":%zu,"
                 "\"seconds\":%.3f,\"signatures\":%" PRIu64 ",\"per_second\":%.0f,"
                 "\"cpu_us_per_signature\":%.2f,\"p50_us\":%" PRIu32 ",\"p99_us\":%" PRIu32 "}\n",
                 b->options->module, b->options->key, n, wall, done, (double)done / wall,
                 cpu * 1e6 / (double)done, all[samples / 2], all[samples * 99 / 100]);
    (void)fflush(stdout);
    free(all);
}

static void run(struct bench *b, size_t n)
{
    struct lane *lanes = calloc(n, sizeof(*lanes));
    if (lanes == NULL) {
        need(CKR_HOST_MEMORY, "lanes");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        open_lane(b, &lanes[i]);
    }
    choose_mechanism(b, &lanes[0]);
    atomic_store(&b->stop, false);
    (void)pthread_barrier_init(&b->start, NULL, (unsigned)n + 1);
    for (size_t i = 0; i < n; i++) {
        need((CK_RV)pthread_create(&lanes[i].thread, NULL, sign_loop, &lanes[i]), "thread");
    }
    (void)pthread_barrier_wait(&b->start);
    double cpu = cpu_seconds();
    uint64_t begun = now_us();
    struct timespec nap = {.tv_sec = (time_t)b->options->seconds};
    nap.tv_nsec = (long)((b->options->seconds - (double)nap.tv_sec) * 1e9);
    (void)nanosleep(&nap, NULL);
    atomic_store(&b->stop, true);
    for (size_t i = 0; i < n; i++) {
        (void)pthread_join(lanes[i].thread, NULL);
    }
    double wall = (double)(now_us() - begun) / 1e6;
    report(b, lanes, n, wall, cpu_seconds() - cpu);
    need(b->f->C_CloseAllSessions(b->slot), "C_CloseAllSessions");
    for (size_t i = 0; i < n; i++) {
        free(lanes[i].samples);
    }
    free(lanes);
    (void)pthread_barrier_destroy(&b->start);
}

static struct options parse(int argc, char **argv)
{
    struct options o = {.sessions = "1,2,8,32", .seconds = DEFAULT_SECONDS};
    static const struct option longs[] = {
        {"module", required_argument, NULL, 'm'},
        {"token", required_argument, NULL, 't'},
        {"pin", required_argument, NULL, 'p'},
        {"key", required_argument, NULL, 'k'},
        {"sessions", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    int c = 0;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'm':
            o.module = optarg;
            break;
        case 't':
            o.token = optarg;
            break;
        case 'p':
            o.pin = optarg;
            break;
        case 'k':
            o.key = optarg;
            break;
        case 'n':
            o.sessions = optarg;
            break;
        case 's':
            o.seconds = strtod(optarg, NULL);
            break;
        default:
            exit(2);
        }
    }
    if (o.module == NULL || o.token == NULL || o.pin == NULL || o.key == NULL) {
        (void)fprintf(stderr, "--module, --token, --pin and --key are needed\n");
        exit(2);
    }
    return o;
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);
    struct bench b = {.f = load(o.module), .options = &o};
    b.slot = find_token(b.f, o.token);
    const char *at = o.sessions;
    while (*at != 0) {
        char *end = NULL;
        unsigned long n = strtoul(at, &end, 10);
        if (end == at || n == 0 || n > MAX_SESSIONS) {
            (void)fprintf(stderr, "--sessions: 1 to %d\n", MAX_SESSIONS);
            return 2;
        }
        run(&b, n);
        at = *end == ',' ? end + 1 : end;
    }
    need(b.f->C_Finalize(NULL), "C_Finalize");
    return 0;
}
