/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one durable write costs: a certificate record, a state record on request, and a log record,
 * by how many are in flight. CPU time is of all threads of the process (RocksDB's background work
 * included).
 *
 *     bench_store [--dir DIR] [--memory] [--seconds S] [--in-flight N[,N...]] [--index] [--absent]
 * [--value N]
 */
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "store/store.h"

#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define CERT_BYTES 700 /* a P-256 device certificate with its record's other fields */
#define LOG_BYTES 80
#define KEY_BYTES 20
#define MAX_IN_FLIGHT 4096
#define DEFAULT_SECONDS 3

struct options {
    const char *dir;
    const char *in_flight;
    double seconds;
    size_t value;
    bool memory;
    bool index;
    bool absent;
};

struct bench {
    const struct options *options;
    sm_store *store;
    sm_mailbox box;
    pthread_mutex_t lock; /* covers `woken` */
    pthread_cond_t cond;
    bool woken;
    bool running;
    size_t in_air;
    uint64_t done;
    uint64_t failed;
};

struct job {
    sm_store_write op;
    struct bench *bench;
    struct sm_store_put put;
    struct sm_store_cond cond;
    sm_slice record;
    uint8_t key[KEY_BYTES];
    uint8_t value[CERT_BYTES * 16];
    uint8_t log[LOG_BYTES];
};

static void on_wake(void *ctx)
{
    struct bench *b = ctx;
    (void)pthread_mutex_lock(&b->lock);
    b->woken = true;
    (void)pthread_cond_signal(&b->cond);
    (void)pthread_mutex_unlock(&b->lock);
}

/* Serials as the service makes them: the time in milliseconds, then random octets. */
static void next_serial(uint8_t key[KEY_BYTES])
{
    uint64_t now = (uint64_t)sm_clock_wall_ms();
    for (int i = 0; i < 6; i++) {
        key[i] = (uint8_t)(now >> (40 - 8 * i));
    }
    sm_rand_bytes(key + 6, KEY_BYTES - 6);
}

static void submit(struct job *job);

static void on_done(sm_store_write *op)
{
    struct job *job = SM_CONTAINER_OF(op, struct job, op);
    struct bench *b = job->bench;
    b->in_air--;
    b->done++;
    b->failed += !sm_ok(op->err);
    if (b->running) {
        submit(job);
    }
}

static void submit(struct job *job)
{
    struct bench *b = job->bench;
    next_serial(job->key);
    sm_slice key = sm_slice_of(job->key, KEY_BYTES);
    job->put = (struct sm_store_put){SM_PUT, SM_FAMILY_CERT, key,
                                     sm_slice_of(job->value, b->options->value)};
    job->cond = (struct sm_store_cond){SM_COND_ABSENT, SM_FAMILY_CERT, key, SM_SLICE_NONE};
    job->record = sm_slice_of(job->log, LOG_BYTES);
    memcpy(job->log, job->key, KEY_BYTES);
    job->op = (sm_store_write){.home = &b->box,
                               .conds = &job->cond,
                               .cond_count = b->options->absent,
                               .puts = &job->put,
                               .put_count = 1,
                               .log = &job->record,
                               .log_count = 1,
                               .done = on_done};
    b->in_air++;
    SM_CHECK(sm_ok(sm_store_submit_write(b->store, &job->op)));
}

static void run_until(struct bench *b, uint64_t end_ns)
{
    while (b->in_air > 0) {
        (void)pthread_mutex_lock(&b->lock);
        while (!b->woken) {
            (void)pthread_cond_wait(&b->cond, &b->lock);
        }
        b->woken = false;
        (void)pthread_mutex_unlock(&b->lock);
        b->running = sm_clock_mono_ns() < end_ns;
        (void)sm_mailbox_drain(&b->box);
    }
}

static double cpu_us(void)
{
    struct rusage u;
    SM_CHECK(getrusage(RUSAGE_SELF, &u) == 0);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* What a certificate's index is in the least: its subject and its key, each to its serial. */
static sm_err index_record(void *ctx, sm_store *store, uint64_t sequence, sm_slice record,
                           sm_store_emit emit, void *emitter)
{
    uint8_t key[1 + 32 + KEY_BYTES];
    (void)ctx;
    (void)store;
    (void)sequence;
    memset(key, 0x5a, sizeof(key));
    memcpy(key + 1, record.ptr + 8, 12);
    memcpy(key + 33, record.ptr, KEY_BYTES);
    for (uint8_t kind = 1; kind <= 3; kind++) {
        key[0] = kind;
        emit(emitter, SM_PUT, sm_slice_of(key, sizeof(key)), SM_SLICE_NONE);
    }
    return SM_NO_ERR;
}

static struct job *make_jobs(struct bench *b)
{
    struct job *jobs = sm_calloc(MAX_IN_FLIGHT, sizeof(*jobs));
    SM_CHECK(jobs != NULL);
    for (size_t i = 0; i < MAX_IN_FLIGHT; i++) {
        jobs[i].bench = b;
        sm_rand_bytes(jobs[i].value, sizeof(jobs[i].value));
        sm_rand_bytes(jobs[i].log, sizeof(jobs[i].log));
    }
    return jobs;
}

/* What this process has sent to disks, compactions included. */
static double disk_bytes(void)
{
    char line[128];
    double bytes = 0;
    FILE *io = fopen("/proc/self/io", "r");
    while (io != NULL && fgets(line, sizeof(line), io) != NULL) {
        (void)sscanf(line, "write_bytes: %lf", &bytes);
    }
    if (io != NULL) {
        (void)fclose(io);
    }
    return bytes;
}

static void measure(struct bench *b, struct job *jobs, size_t in_flight)
{
    b->done = 0;
    b->running = true;
    double cpu = cpu_us();
    double disk = disk_bytes();
    uint64_t start = sm_clock_mono_ns();
    for (size_t i = 0; i < in_flight; i++) {
        submit(&jobs[i]);
    }
    run_until(b, start + (uint64_t)(b->options->seconds * 1e9));
    double took = (double)(sm_clock_mono_ns() - start) / 1e9;
    cpu = cpu_us() - cpu;
    (void)printf("%9zu %12.0f %14.2f %12.0f %12.0f\n", in_flight, (double)b->done / took,
                 cpu / (double)b->done, took * 1e6 * (double)in_flight / (double)b->done,
                 (disk_bytes() - disk) / (double)b->done);
    (void)fflush(stdout);
}

static void run(const struct options *o)
{
    struct bench b = {
        .options = o, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct sm_store_config config = {.dir = o->memory ? NULL : o->dir,
                                     .create = true,
                                     .indexer = o->index ? index_record : NULL};
    sm_diag diag = {.reason = ""};
    sm_mailbox_init(&b.box, on_wake, &b);
    struct job *jobs = make_jobs(&b);
    if (!sm_ok(sm_store_open(&config, &b.store, &diag))) {
        (void)fprintf(stderr, "%s\n", diag.reason);
        exit(1);
    }
    (void)printf("# %s, %zu + %d octets, index %s, conditions %s\n",
                 o->memory ? "memory" : "rocksdb", o->value, LOG_BYTES, o->index ? "on" : "off",
                 o->absent ? "on" : "off");
    (void)printf("in_flight     writes/s   cpu_us/write   latency_us   disk_octets\n");
    for (const char *at = o->in_flight; *at != '\0';) {
        char *end;
        size_t n = (size_t)strtoul(at, &end, 10);
        SM_CHECK(n >= 1 && n <= MAX_IN_FLIGHT);
        measure(&b, jobs, n);
        at = *end == ',' ? end + 1 : end;
    }
    double cpu = cpu_us();
    sm_store_close(&b.store);
    (void)printf("# failed %" PRIu64 ", close took %.0f ms of CPU\n", b.failed,
                 (cpu_us() - cpu) / 1000);
    sm_free(jobs);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"dir", required_argument, NULL, 'd'},     {"memory", no_argument, NULL, 'm'},
        {"seconds", required_argument, NULL, 's'}, {"in-flight", required_argument, NULL, 'n'},
        {"index", no_argument, NULL, 'i'},         {"absent", no_argument, NULL, 'a'},
        {"value", required_argument, NULL, 'v'},   {NULL, 0, NULL, 0},
    };
    char dir[] = "/tmp/sealmill-bench-XXXXXX";
    struct options o = {
        .in_flight = "1,16,64,256,1024", .seconds = DEFAULT_SECONDS, .value = CERT_BYTES};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'd':
            o.dir = optarg;
            break;
        case 'm':
            o.memory = true;
            break;
        case 's':
            o.seconds = atof(optarg);
            break;
        case 'n':
            o.in_flight = optarg;
            break;
        case 'i':
            o.index = true;
            break;
        case 'a':
            o.absent = true;
            break;
        case 'v':
            o.value = strtoul(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    SM_CHECK(o.value <= sizeof(((struct job *)0)->value));
    bool own_dir = o.dir == NULL && !o.memory;
    if (own_dir) {
        o.dir = mkdtemp(dir);
        SM_CHECK(o.dir != NULL);
    }
    run(&o);
    if (own_dir) {
        char command[64];
        (void)snprintf(command, sizeof(command), "rm -rf -- %s", dir);
        return system(command) == 0 ? 0 : 1;
    }
    return 0;
}
