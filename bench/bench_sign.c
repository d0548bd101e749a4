/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What signatures cost: the batcher with each backend, beside loops over plain OpenSSL EVP and over
 * bare crypto_mb calls (the limit). One thread; pin it: taskset -c 1 bench_sign.
 *
 *     bench_sign [--seconds S] [--in-flight N] [--type T[,T...]] [--imports] [--json]
 *
 * For each type of key: verifications a second (every one under another public key, as a CA sees
 * them), signatures a second, and pairs of both (one issuance).
 */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "sign/backend.h"
#include "sign/kat.h"
#include "sign/key_p.h"

#include <getopt.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef SM_HAVE_CRYPTO_MB
#include <crypto_mb/ec_nistp256.h>
#include <crypto_mb/ec_nistp384.h>
#include <crypto_mb/ec_nistp521.h>
#include <crypto_mb/rsa.h>
#endif

#define KEYS 64
#define IN_FLIGHT_MAX 4096
#define MESSAGE_LEN 420 /* a P-256 CertificationRequestInfo or TBSCertificate */

struct bench {
    double seconds;
    size_t in_flight;
    enum sm_key_type type;
    enum sm_sig_alg alg;
    sm_key *ca;
    sm_key *keys[KEYS];
    size_t key_count;
    uint8_t message[MESSAGE_LEN];
    uint8_t signatures[KEYS][SM_SIGNATURE_MAX]; /* by each key */
    size_t signature_len[KEYS];
    bool json;
    bool first;
};

static void must(bool good, const char *what)
{
    if (!good) {
        (void)fprintf(stderr, "bench_sign: %s failed\n", what);
        exit(1);
    }
}

static void show(struct bench *b, const char *how, const char *what, double each_second)
{
    if (b->json) {
        (void)printf(
            "%s\n  {\"key\": \"%s\", \"how\": \"%s\", \"what\": \"%s\", \"per_second\": %.1f}",
            b->first ? "" : ",", sm_key_type_name(b->type), how, what, each_second);
    } else {
        (void)printf("%-10s %-24s %-12s %12.0f /s %10.2f us\n", sm_key_type_name(b->type), how,
                     what, each_second, 1e6 / each_second);
    }
    b->first = false;
    (void)fflush(stdout);
}

/* Time of this thread on the processor: other work on the machine then disturbs less. */
static double processor_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Repeats `once`, which does `count` operations, and returns operations a second. */
static double rate(const struct bench *b, void (*once)(void *ctx), void *ctx, size_t count)
{
    once(ctx); /* warm */
    double begin = processor_s();
    uint64_t until = sm_clock_mono_ns() + (uint64_t)(b->seconds * (double)SM_NS_PER_S);
    size_t done = 0;
    while (sm_clock_mono_ns() < until) {
        once(ctx);
        done += count;
    }
    return (double)done / (processor_s() - begin);
}

static void prepare(struct bench *b, enum sm_key_type type)
{
    bool rsa = type >= SM_KEY_RSA_2048 && type <= SM_KEY_RSA_4096;
    b->type = type;
    b->alg = sm_sig_alg_for(type, SM_DIGEST_NONE, false);
    b->key_count =
        rsa ? 1
            : KEYS; /* importing a key costs the same each time, and RSA keys take long to make */
    memset(b->message, 'm', sizeof(b->message));
    must(sm_ok(sm_kat_key(type, &b->ca)), "a key");
    for (size_t i = 0; i < b->key_count; i++) {
        sm_buf out = sm_buf_init(SM_SIGNATURE_MAX);
        must(sm_ok(sm_kat_key(type, &b->keys[i])), "a key");
        must(sm_ok(sm_sign_now(b->keys[i], b->alg, sm_slice_of(b->message, MESSAGE_LEN), &out)),
             "a signature");
        memcpy(b->signatures[i], out.ptr, out.len);
        b->signature_len[i] = out.len;
        sm_buf_deinit(&out);
    }
}

static void unprepare(struct bench *b)
{
    sm_key_detach(&b->ca);
    for (size_t i = 0; i < b->key_count; i++) {
        sm_key_detach(&b->keys[i]);
    }
}

/* ---- plain EVP, one at a time ---- */

struct evp {
    struct bench *bench;
    size_t at;
    const EVP_MD *md;
};

static void evp_verify(void *ctx)
{
    struct evp *e = ctx;
    struct bench *b = e->bench;
    size_t k = e->at++ % b->key_count;
    const struct sm_public_key *key = sm_key_public(b->keys[k]);
    const unsigned char *spki = key->spki.ptr;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &spki, (long)key->spki.len);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    must(EVP_DigestVerifyInit(md, NULL, e->md, NULL, pkey) > 0 &&
             EVP_DigestVerify(md, b->signatures[k], b->signature_len[k], b->message, MESSAGE_LEN) ==
                 1,
         "EVP_DigestVerify");
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(pkey);
}

static void evp_sign(void *ctx)
{
    struct evp *e = ctx;
    uint8_t out[SM_SIGNATURE_MAX];
    size_t len = sizeof(out);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    must(EVP_DigestSignInit(md, NULL, e->md, NULL, e->bench->ca->pkey) > 0 &&
             EVP_DigestSign(md, out, &len, e->bench->message, MESSAGE_LEN) > 0,
         "EVP_DigestSign");
    EVP_MD_CTX_free(md);
}

static double pairs(double verify, double sign)
{
    return 1 / (1 / verify + 1 / sign);
}

static void bench_evp(struct bench *b)
{
    static const EVP_MD *(*const mds[])(void) = {NULL, EVP_sha256, EVP_sha384, EVP_sha512};
    enum sm_digest digest = sm_sig_alg_digest(b->alg);
    struct evp e = {b, 0, digest == SM_DIGEST_NONE ? NULL : mds[digest]()};
    double verify = rate(b, evp_verify, &e, 1);
    double sign = rate(b, evp_sign, &e, 1);
    show(b, "openssl evp loop", "verify", verify);
    show(b, "openssl evp loop", "sign", sign);
    show(b, "openssl evp loop", "pairs", pairs(verify, sign));
}

/* ---- bare crypto_mb calls, everything made ready before ---- */

#ifdef SM_HAVE_CRYPTO_MB

struct bare {
    struct bench *bench;
    uint64_t x[8][SM_CURVE_WORDS], y[8][SM_CURVE_WORDS], k[8][SM_CURVE_WORDS];
    uint8_t r[8][SM_CURVE_OCTETS], s[8][SM_CURVE_OCTETS], d[8][SM_CURVE_OCTETS];
    uint8_t in[8][512], out[8][512];
    const int64u *px[8], *py[8], *pk[8], *pd[8];
    int8u *pr[8], *ps[8];
    const int8u *pm[8];
};

static mbx_status bare_ec(struct bare *a, bool sign)
{
    const int8u *const *r = (const int8u *const *)a->pr;
    const int8u *const *s = (const int8u *const *)a->ps;
    switch (a->bench->type) {
    case SM_KEY_P256:
        return sign ? mbx_nistp256_ecdsa_sign_mb8(a->pr, a->ps, a->pm, a->pk, a->pd, NULL)
                    : mbx_nistp256_ecdsa_verify_mb8(r, s, a->pm, a->px, a->py, NULL, NULL);
    case SM_KEY_P384:
        return sign ? mbx_nistp384_ecdsa_sign_mb8(a->pr, a->ps, a->pm, a->pk, a->pd, NULL)
                    : mbx_nistp384_ecdsa_verify_mb8(r, s, a->pm, a->px, a->py, NULL, NULL);
    default:
        return sign ? mbx_nistp521_ecdsa_sign_mb8(a->pr, a->ps, a->pm, a->pk, a->pd, NULL)
                    : mbx_nistp521_ecdsa_verify_mb8(r, s, a->pm, a->px, a->py, NULL, NULL);
    }
}

static mbx_status bare_rsa(struct bare *a, bool sign)
{
    const struct sm_key_numbers *k = a->bench->ca->numbers;
    int bits = (int)sm_key_public(a->bench->ca)->modulus.len * 8;
    const int8u *from[8];
    int8u *to[8];
    const int64u *n[8], *p[8], *q[8], *dp[8], *dq[8], *iq[8];
    for (int i = 0; i < 8; i++) {
        from[i] = a->in[i];
        to[i] = a->out[i];
        n[i] = (const int64u *)k->u.rsa.n;
        p[i] = (const int64u *)k->u.rsa.p;
        q[i] = (const int64u *)k->u.rsa.q;
        dp[i] = (const int64u *)k->u.rsa.dp;
        dq[i] = (const int64u *)k->u.rsa.dq;
        iq[i] = (const int64u *)k->u.rsa.iq;
    }
    return sign ? mbx_rsa_private_crt_mb8(from, to, p, q, dp, dq, iq, bits,
                                          mbx_RSA_private_crt_Method(bits), NULL)
                : mbx_rsa_public_mb8(from, to, n, bits, mbx_RSA_pub65537_Method(bits), NULL);
}

static void bare_call(struct bare *a, bool sign)
{
    bool ec = sm_curve_of(a->bench->type) != NULL;
    must((ec ? bare_ec(a, sign) : bare_rsa(a, sign)) == 0, "crypto_mb");
}

static void bare_sign(void *ctx)
{
    bare_call(ctx, true);
}

static void bare_verify(void *ctx)
{
    bare_call(ctx, false);
}

static void bare_fill(struct bare *a)
{
    const struct sm_curve *curve = sm_curve_of(a->bench->type);
    const struct sm_public_key *key = sm_key_public(a->bench->ca);
    for (int i = 0; i < 8 && curve != NULL; i++) {
        memset(a->d[i] + 2, 7 + i, curve->octets - 2);
        sm_words_from_octets(a->x[i], curve->words, key->x);
        sm_words_from_octets(a->y[i], curve->words, key->y);
        sm_words_from_octets(a->k[i], curve->words, sm_slice_of(a->d[i], curve->octets));
        a->px[i] = (const int64u *)a->x[i];
        a->py[i] = (const int64u *)a->y[i];
        a->pk[i] = (const int64u *)a->k[i];
        a->pd[i] = (const int64u *)a->bench->ca->numbers->u.ec.d;
        a->pr[i] = a->r[i];
        a->ps[i] = a->s[i];
        a->pm[i] = a->d[i];
    }
}

static double bench_bare(struct bench *b)
{
    if (!sm_backend_mb.applicable(SM_CRYPT_SIGN, b->type) || b->type == SM_KEY_ED25519) {
        return 0;
    }
    struct bare *a = sm_calloc(1, sizeof(*a));
    must(a != NULL, "memory");
    a->bench = b;
    bare_fill(a);
    double sign = rate(b, bare_sign, a, 8);
    double verify = rate(b, bare_verify, a, 8);
    show(b, "crypto_mb calls (limit)", "verify", verify);
    show(b, "crypto_mb calls (limit)", "sign", sign);
    show(b, "crypto_mb calls (limit)", "pairs", pairs(verify, sign));
    sm_free(a);
    return pairs(verify, sign);
}

#else

static double bench_bare(struct bench *b)
{
    (void)b;
    return 0;
}

#endif

/* ---- the batcher ---- */

enum kind { VERIFY, SIGN, PAIRS };

struct engine {
    struct bench *bench;
    enum kind kind;
    sm_mailbox home;
    sm_batcher *batcher;
    bool stopping;
    uint64_t done;
    size_t in_air;
    size_t next_key;
};

struct item {
    sm_crypt_job job;
    struct engine *engine;
    uint8_t out[SM_SIGNATURE_MAX];
};

static void on_done(sm_crypt_job *job);

static void submit(struct item *item, enum sm_crypt_op op)
{
    struct engine *e = item->engine;
    struct bench *b = e->bench;
    size_t k = e->next_key++ % b->key_count;
    item->job = (sm_crypt_job){.op = op,
                               .alg = b->alg,
                               .message = sm_slice_of(b->message, MESSAGE_LEN),
                               .public_key = sm_key_public(b->keys[k]),
                               .signature = sm_slice_of(b->signatures[k], b->signature_len[k]),
                               .key = b->ca,
                               .out = item->out,
                               .out_room = sizeof(item->out),
                               .done = on_done};
    must(sm_ok(sm_batcher_submit(e->batcher, &item->job)), "submit");
}

static void on_done(sm_crypt_job *job)
{
    struct item *item = SM_CONTAINER_OF(job, struct item, job);
    struct engine *e = item->engine;
    must(sm_ok(job->err), "a job");
    if (e->kind == PAIRS && job->op == SM_CRYPT_VERIFY) {
        submit(item, SM_CRYPT_SIGN);
        return;
    }
    e->done++;
    if (!e->stopping) {
        submit(item, e->kind == SIGN ? SM_CRYPT_SIGN : SM_CRYPT_VERIFY);
    } else {
        e->in_air--;
    }
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static double run_engine(struct bench *b, enum kind kind)
{
    struct engine e = {.bench = b, .kind = kind, .in_air = b->in_flight};
    struct item *items = sm_calloc(b->in_flight, sizeof(*items));
    must(items != NULL, "memory");
    sm_mailbox_init(&e.home, nothing, NULL);
    const struct sm_batcher_config config = {&e.home, NULL, nothing, NULL};
    must(sm_ok(sm_batcher_new(&config, &e.batcher)), "a batcher");
    double begin = processor_s();
    uint64_t until = sm_clock_mono_ns() + (uint64_t)(b->seconds * (double)SM_NS_PER_S);
    for (size_t i = 0; i < b->in_flight; i++) {
        items[i].engine = &e;
        submit(&items[i], kind == SIGN ? SM_CRYPT_SIGN : SM_CRYPT_VERIFY);
    }
    while (e.in_air > 0) {
        (void)sm_batcher_run(e.batcher);
        e.stopping = sm_clock_mono_ns() >= until;
    }
    double seconds = processor_s() - begin;
    sm_batcher_free(&e.batcher);
    sm_free(items);
    return (double)e.done / seconds;
}

static double bench_batcher(struct bench *b, const char *how)
{
    show(b, how, "verify", run_engine(b, VERIFY));
    show(b, how, "sign", run_engine(b, SIGN));
    double both = run_engine(b, PAIRS);
    show(b, how, "pairs", both);
    return both;
}

static void limit_to(enum sm_key_type type, unsigned from)
{
    const struct sm_backend_choice choice = {from, "bench", 0, 0};
    sm_backend_set_choice(SM_CRYPT_SIGN, type, &choice);
    sm_backend_set_choice(SM_CRYPT_VERIFY, type, &choice);
}

static void bench_type(struct bench *b, enum sm_key_type type)
{
    struct sm_backend_choice sign = *sm_backend_get_choice(SM_CRYPT_SIGN, type);
    struct sm_backend_choice verify = *sm_backend_get_choice(SM_CRYPT_VERIFY, type);
    prepare(b, type);
    bench_evp(b);
    limit_to(type, SM_BACKEND_NEVER);
    (void)bench_batcher(b, "batcher, openssl");
    sm_backend_set_choice(SM_CRYPT_SIGN, type, &sign);
    sm_backend_set_choice(SM_CRYPT_VERIFY, type, &verify);
    if (sign.from <= SM_BACKEND_LANES || verify.from <= SM_BACKEND_LANES) {
        double limit = bench_bare(b);
        double both = bench_batcher(b, "batcher, multi-buffer");
        if (sm_curve_of(type) != NULL) {
            sm_key_set_check(b->ca, true);
            show(b, "the same, checked", "sign", run_engine(b, SIGN));
            sm_key_set_check(b->ca, false);
        }
        if (!b->json) {
            (void)printf("%-10s the batcher reaches %.2f of the limit\n", sm_key_type_name(type),
                         both / limit);
        }
    }
    unprepare(b);
}

/* ---- how a public key is best imported, to be used once ---- */

static void import_d2i(void *ctx)
{
    const struct bench *b = ctx;
    const struct sm_public_key *key = sm_key_public(b->ca);
    const unsigned char *spki = key->spki.ptr;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &spki, (long)key->spki.len);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(pkey, NULL);
    must(EVP_PKEY_verify_init(c) > 0, "d2i_PUBKEY");
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(pkey);
}

static void import_fromdata(void *ctx)
{
    const struct bench *b = ctx;
    const struct sm_public_key *key = sm_key_public(b->ca);
    uint8_t point[1 + 2 * SM_CURVE_OCTETS];
    char group[] = "P-256";
    memcpy(point, key->bits.ptr, key->bits.len);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, key->bits.len),
        OSSL_PARAM_construct_end()};
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *from = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    must(EVP_PKEY_fromdata_init(from) > 0 && EVP_PKEY_fromdata(from, &pkey, EVP_PKEY_PUBLIC_KEY,
                                                               (OSSL_PARAM *)(uintptr_t)params) > 0,
         "EVP_PKEY_fromdata");
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(pkey, NULL);
    must(EVP_PKEY_verify_init(c) > 0, "EVP_PKEY_verify_init");
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(pkey);
    EVP_PKEY_CTX_free(from);
}

static void import_curve(void *ctx)
{
    const struct bench *b = ctx;
    const struct sm_public_key *key = sm_key_public(b->ca);
    must(sm_ok(sm_curve_holds(sm_curve_of(b->type), key->x, key->y)), "sm_curve_holds");
}

static void import_point(void *ctx)
{
    const struct bench *b = ctx;
    static EC_GROUP *group;
    static EC_POINT *point;
    static BN_CTX *bn;
    if (group == NULL) {
        group = EC_GROUP_new_by_curve_name(sm_curve_of(b->type)->nid);
        point = EC_POINT_new(group);
        bn = BN_CTX_new();
    }
    sm_slice bits = sm_key_public(b->ca)->bits;
    must(EC_POINT_oct2point(group, point, bits.ptr, bits.len, bn) == 1, "EC_POINT_oct2point");
}

static void bench_imports(struct bench *b)
{
    prepare(b, SM_KEY_P256);
    show(b, "d2i_PUBKEY, init", "import", rate(b, import_d2i, b, 1));
    show(b, "EVP_PKEY_fromdata, init", "import", rate(b, import_fromdata, b, 1));
    show(b, "EC_POINT (EC_KEY)", "import", rate(b, import_point, b, 1));
    show(b, "on-curve check alone", "import", rate(b, import_curve, b, 1));
    unprepare(b);
}

static void usage(void)
{
    (void)fprintf(
        stderr,
        "usage: bench_sign [--seconds S] [--in-flight N] [--type T[,T...]] [--imports] [--json]\n");
    exit(2);
}

static void run_types(struct bench *b, const char *types)
{
    sm_slice rest = sm_slice_str(types);
    while (rest.len > 0) {
        enum sm_key_type type = sm_key_type_parse(sm_slice_split(&rest, ','));
        if (type == SM_KEY_NONE) {
            usage();
        }
        bench_type(b, type);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seconds", required_argument, NULL, 's'}, {"in-flight", required_argument, NULL, 'n'},
        {"type", required_argument, NULL, 't'},    {"imports", no_argument, NULL, 'i'},
        {"json", no_argument, NULL, 'j'},          {NULL, 0, NULL, 0},
    };
    struct bench *b = sm_calloc(1, sizeof(*b));
    const char *types = "p256,p384,p521,rsa2048,rsa3072,rsa4096,ed25519";
    bool imports = false;
    must(b != NULL, "memory");
    *b = (struct bench){.seconds = 0.5, .in_flight = 256, .first = true};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 's':
            b->seconds = strtod(optarg, NULL);
            break;
        case 'n':
            b->in_flight = (size_t)strtoul(optarg, NULL, 10);
            break;
        case 't':
            types = optarg;
            break;
        case 'i':
            imports = true;
            break;
        case 'j':
            b->json = true;
            break;
        default:
            usage();
        }
    }
    if (b->in_flight == 0 || b->in_flight > IN_FLIGHT_MAX || b->seconds <= 0) {
        usage();
    }
    sm_log_configure(SM_LOG_WARN, SM_LOG_KEY_VALUE, 2);
    must(sm_ok(sm_sign_init(NULL)), "sm_sign_init");
    (void)printf("%s", b->json ? "[" : "");
    if (imports) {
        bench_imports(b);
    } else {
        run_types(b, types);
    }
    (void)printf("%s", b->json ? "\n]\n" : "");
    sm_sign_thread_deinit();
    sm_free(b);
    return 0;
}
