/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing OCSP answers anew, P-256: the limit (bare crypto_mb calls), signing and encoding alone, and whole passes
 * over rows in a store, written back as tables or as puts. One line of JSON. Pin it to one core: everything that
 * it does, RocksDB's background work too, is then of that core.
 *
 *     bench_ocsp_refresh limit|sign|tables|puts [--rows N] [--passes N] [--seconds S] [--dir DIR]
 */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "ocsp-cache/ocsp_refresh_p.h"
#include "sign/key_p.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#ifdef SM_HAVE_CRYPTO_MB
#include <crypto_mb/ec_nistp256.h>
#endif

#define VALIDITY (12 * 3600)
#define RUN 16384

struct bench {
    const char *dir;
    size_t rows;
    unsigned passes;
    double seconds;
    sm_store *store;
    sm_ocsp_cache *cache;
    sm_ocsp_refresh *refresh;
    sm_key *key;
    struct sm_ocsp_issuer issuer;
    struct sm_ocsp_signer signer;
    uint8_t certificate[600];
};

static struct bench bench = {.rows = 1000000, .passes = 3, .seconds = 3};

static void must(sm_err err, const char *what)
{
    if (!sm_ok(err)) {
        (void)fprintf(stderr, "bench_ocsp_refresh: %s: %s\n", what, sm_err_name(err));
        exit(1);
    }
}

static double seconds_since(uint64_t start)
{
    return (double)(sm_clock_mono_ns() - start) / 1e9;
}

static double processor_s(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void show(double per_second, size_t answers, double seconds, double processor)
{
    (void)printf("{\"answers_per_second\":%.1f,\"answers\":%zu,\"seconds\":%.3f,"
                 "\"processor_seconds\":%.3f}\n",
                 per_second, answers, seconds, processor);
}

/* ---- the limit ---- */

static void limit(void)
{
#ifdef SM_HAVE_CRYPTO_MB
    static uint64_t k[8][4];
    static uint8_t r[8][32], s[8][32], d[8][32];
    int8u *pr[8], *ps[8];
    const int8u *pm[8];
    const int64u *pk[8], *pd[8];
    sm_rand_bytes(k, sizeof(k));
    sm_rand_bytes(d, sizeof(d));
    for (int i = 0; i < 8; i++) {
        k[i][3] >>= 1; /* below the order */
        pr[i] = r[i];
        ps[i] = s[i];
        pm[i] = d[i];
        pk[i] = (const int64u *)k[i];
        pd[i] = (const int64u *)bench.key->numbers->u.ec.d;
    }
    uint64_t start = sm_clock_mono_ns();
    double cpu = processor_s();
    size_t done = 0;
    while (seconds_since(start) < bench.seconds) {
        for (int i = 0; i < 32; i++) {
            SM_CHECK(mbx_nistp256_ecdsa_sign_mb8(pr, ps, pm, pk, pd, NULL) == 0);
        }
        done += 256;
    }
    cpu = processor_s() - cpu;
    show((double)done / cpu, done, seconds_since(start), cpu);
#else
    (void)fprintf(stderr, "built without crypto_mb\n");
    exit(1);
#endif
}

/* ---- the refresh's surroundings ---- */

static void *attach(void *ctx, struct sm_ocsp_refresh_settings *out)
{
    *out = (struct sm_ocsp_refresh_settings){.share = 100, .number = 1};
    return ctx;
}

static void detach(void *held)
{
    (void)held;
}

static bool get_issuer(void *held, size_t at, struct sm_ocsp_refresh_issuer *out)
{
    (void)held;
    *out = (struct sm_ocsp_refresh_issuer){.issuer = &bench.issuer,
                                           .signers = &bench.signer,
                                           .signer_count = 1,
                                           .validity_s = VALIDITY,
                                           .backdate_s = 300};
    return at == 0;
}

static bool no_cert(sm_slice record, struct sm_ocsp_refresh_cert *out)
{
    (void)record;
    (void)out;
    return false;
}

static void prepare(void)
{
    static const uint8_t responder[] = {0xa2, 0x16, 0x04, 0x14, 1, 2, 3, 4, 5, 6, 7, 8,
                                        9,    10,   11,   12,   1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t hash[32];
    sm_diag diag = {.reason = ""};
    sm_rand_bytes(hash, sizeof(hash));
    must(sm_key_generate(SM_KEY_P256, &bench.key), "a key");
    sm_ocsp_issuer_init(&bench.issuer, 1, 1, hash, hash, hash, hash);
    bench.signer = (struct sm_ocsp_signer){
        .id = 7,
        .alg = sm_sig_alg_for(SM_KEY_P256, SM_DIGEST_NONE, false),
        .type = SM_KEY_P256,
        .responder = sm_slice_of(responder, sizeof(responder)),
        .certificate = sm_slice_of(bench.certificate, sizeof(bench.certificate)),
        .not_after = sm_clock_wall_s() + INT64_C(1000) * 86400,
        .key = bench.key};
    const struct sm_store_config config = {.dir = bench.dir, .create = true};
    must(sm_store_open(&config, &bench.store, &diag), diag.reason);
    must(sm_ocsp_cache_new((size_t)512 << 20, &bench.cache), "memory");
    const struct sm_ocsp_refresh_config refresh = {.store = bench.store,
                                                   .cache = bench.cache,
                                                   .attach = attach,
                                                   .issuer = get_issuer,
                                                   .detach = detach,
                                                   .read_cert = no_cert};
    must(sm_ocsp_refresh_new(&refresh, &bench.refresh), "refresh");
}

static void end(void)
{
    sm_ocsp_refresh_free(&bench.refresh);
    sm_store_close(&bench.store);
    sm_ocsp_cache_free(&bench.cache);
    sm_key_detach(&bench.key);
}

/* Serial numbers as sealmill's: the time, then random octets. */
static void fill_run(struct run *run, size_t first, size_t count)
{
    struct sm_ocsp_refresh_issuer issuer;
    (void)get_issuer(NULL, 0, &issuer);
    static struct sm_ocsp_refresh_issuer kept;
    kept = issuer;
    must(sm_ocsp_run_begin(run, bench.refresh, &kept, RUN), "a run");
    for (size_t i = first; i < first + count; i++) {
        uint8_t serial[20] = {0x11};
        uint8_t row_key[SM_OCSP_ROW_KEY_MAX];
        struct row *row;
        sm_rand_bytes(serial + 6, 14);
        for (int k = 0; k < 5; k++) {
            serial[1 + k] = (uint8_t)((uint64_t)i >> (32 - 8 * k));
        }
        struct sm_ocsp_key key = {1, 1, SM_OCSP_SHA1, sm_slice_of(serial, sizeof(serial))};
        must(sm_ocsp_run_add(run, sm_slice_of(row_key, sm_ocsp_row_key(&key, row_key)), &key, &row),
             "a row");
        row->not_after = sm_clock_wall_s() + INT64_C(365) * 86400;
    }
    must(sm_ocsp_run_read_states(run), "states");
}

/* ---- signing and encoding alone ---- */

static void sign(void)
{
    size_t done = 0;
    double cpu = 0;
    uint64_t start = sm_clock_mono_ns();
    while (cpu < bench.seconds) {
        struct run run;
        fill_run(&run, 0, RUN);
        double before = processor_s();
        must(sm_ocsp_run_sign(&run), "signing");
        cpu += processor_s() - before;
        done += run.count;
        sm_ocsp_run_end(&run);
    }
    show((double)done / cpu, done, seconds_since(start), cpu);
}

/* ---- whole passes ---- */

static void load(void)
{
    for (size_t at = 0; at < bench.rows; at += RUN) {
        struct run run;
        fill_run(&run, at, bench.rows - at < RUN ? bench.rows - at : RUN);
        must(sm_ocsp_run_sign(&run), "signing");
        must(sm_ocsp_run_write(&run), "writing");
        sm_ocsp_run_end(&run);
    }
}

/* From its first row to its last, without a rest. */
static void one_pass(struct schedule *s)
{
    do {
        sm_ocsp_refresh_step(bench.refresh, s, true);
        SM_CHECK(s->not_before_ns == 0);
    } while (!s->pass.done);
}

static void passes(bool tables)
{
    uint64_t wait_ns;
    load();
    bench.refresh->no_tables = !tables;
    bench.refresh->warm.done = true;
    while (sm_ocsp_refresh_turn(bench.refresh, &wait_ns)) { /* it counts */
    }
    struct schedule *s = sm_ocsp_schedule_of(bench.refresh, 1, 1);
    uint64_t start = sm_clock_mono_ns();
    double cpu = processor_s();
    int64_t before = sm_metric_value(bench.refresh->metrics.renewed);
    for (unsigned i = 1; i <= bench.passes; i++) {
        sm_clock_set_offset_s((int64_t)i * VALIDITY / 2);
        one_pass(s);
    }
    size_t done = (size_t)(sm_metric_value(bench.refresh->metrics.renewed) - before);
    SM_CHECK(done == bench.rows * bench.passes);
    end(); /* what is still to be flushed counts */
    double took = seconds_since(start);
    show((double)done / took, done, took, processor_s() - cpu);
}

static void read_options(int argc, char **argv)
{
    static const struct option longs[] = {{"dir", required_argument, NULL, 'd'},
                                          {"rows", required_argument, NULL, 'r'},
                                          {"passes", required_argument, NULL, 'p'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'd':
            bench.dir = optarg;
            break;
        case 'r':
            bench.rows = strtoul(optarg, NULL, 10);
            break;
        case 'p':
            bench.passes = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            bench.seconds = atof(optarg);
            break;
        default:
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    sm_diag diag = {.reason = ""};
    char made[] = "/tmp/sealmill-bench-XXXXXX";
    char command[64] = "true";
    read_options(argc, argv);
    const char *mode = optind < argc ? argv[optind] : "";
    bool on_disk = strcmp(mode, "tables") == 0 || strcmp(mode, "puts") == 0;
    sm_log_configure(SM_LOG_WARN, SM_LOG_KEY_VALUE, 2);
    must(sm_sign_init(&diag), diag.reason);
    if (on_disk && bench.dir == NULL) {
        bench.dir = mkdtemp(made);
        (void)snprintf(command, sizeof(command), "rm -rf -- %s", made);
    }
    bench.dir = on_disk ? bench.dir : NULL;
    prepare();
    if (strcmp(mode, "limit") == 0) {
        limit();
    } else if (strcmp(mode, "sign") == 0) {
        sign();
    } else if (on_disk) {
        passes(mode[0] == 't');
    } else {
        (void)fprintf(stderr, "usage: %s limit|sign|tables|puts [options]\n", argv[0]);
        return 2;
    }
    return system(command) == 0 ? 0 : 1;
}
