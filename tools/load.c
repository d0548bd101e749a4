/* SPDX-License-Identifier: Apache-2.0 */
/* `sealmill load`: many connections, many calls in flight, distinct requests with distinct keys; over gRPC, or over EST. */
#include "api/ca_cert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "proto/grpc.h"
#include "proto/message.h"
#include "sign/der.h"
#include "tools/client.h"
#include "tools/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CSRS_DEFAULT 20000
#define CONNECTIONS_MAX 1024
#define IN_FLIGHT_MAX 4096

struct load;

struct connection {
    struct load *load;
    sm_http_client *client;
    size_t in_flight;
    bool up;
    bool closed;
};

struct request {
    struct connection *connection;
    uint64_t start_ns;
    bool ok;
    bool headed; /* headers came */
    bool answered;
    sm_buf answer;
};

struct load {
    struct client_target target;
    const char *profile;
    const char *ca;       /* "": the only one that issues the profile */
    const char *est_path; /* NULL: gRPC */
    sm_slice *bodies;     /* framed IssueRequests, or base64 of PKCS#10 requests */
    size_t body_count;
    size_t next_body;
    uint64_t want; /* calls in all; 0: until `end_ns` */
    uint64_t end_ns;
    uint64_t started;
    uint64_t done;
    uint64_t errors;
    uint32_t *latencies_us;
    size_t latency_room;
    size_t in_flight_max;
    struct connection connections[CONNECTIONS_MAX];
    size_t connection_count;
    FILE *serials;
    sm_diag first_error;
};

/* ---- requests made before the clock starts ---- */

static sm_err make_csr(size_t number, enum sm_key_type type, sm_arena *scratch, sm_slice *out)
{
    char subject[64];
    struct sm_name name;
    sm_key *key;
    (void)snprintf(subject, sizeof(subject), "CN=load-%zu", number);
    SM_TRY(sm_name_from_text(sm_slice_str(subject), scratch, &name, NULL));
    sm_buf der = sm_buf_init(4096);
    sm_name_write(&der, &name);
    SM_TRY(sm_key_generate(type, &key));
    sm_err err = sm_ca_csr_make(sm_buf_slice(&der), key, scratch, out);
    sm_key_detach(&key);
    sm_buf_deinit(&der);
    return err;
}

static sm_err frame(const struct load *l, sm_slice csr, sm_buf *out)
{
    Sealmill__V1__IssueRequest r;
    union {
        const char *in;
        char *out;
    } profile = {l->profile}, ca = {l->ca};
    union {
        const uint8_t *in;
        uint8_t *out;
    } ptr = {csr.ptr};
    sealmill__v1__issue_request__init(&r);
    r.profile = profile.out;
    r.ca = ca.out;
    r.csr.data = ptr.out;
    r.csr.len = csr.len;
    sm_grpc_frame_header(out, (uint32_t)sealmill__v1__issue_request__get_packed_size(&r), false);
    return sm_message_pack(&r.base, out);
}

static sm_err make_body(const struct load *l, size_t number, enum sm_key_type type,
                        sm_arena *scratch, sm_arena *keep, sm_slice *out)
{
    sm_slice csr;
    sm_buf body = sm_buf_init(65536);
    SM_TRY(make_csr(number, type, scratch, &csr));
    sm_err err = SM_NO_ERR;
    if (l->est_path != NULL) {
        sm_base64_encode(&body, csr);
    } else {
        err = frame(l, csr, &body);
    }
    err = sm_ok(err) ? sm_arena_copy(keep, sm_buf_slice(&body), out) : err;
    sm_buf_deinit(&body);
    return err;
}

static sm_err make_bodies(struct load *l, enum sm_key_type type, sm_arena *keep)
{
    sm_arena scratch;
    sm_arena_init(&scratch, 1U << 20);
    l->bodies = sm_calloc(l->body_count, sizeof(*l->bodies));
    sm_err err = l->bodies == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
    bool terminal = isatty(2) == 1;
    for (size_t i = 0; i < l->body_count && sm_ok(err); i++) {
        err = make_body(l, i, type, &scratch, keep, &l->bodies[i]);
        sm_arena_reset(&scratch);
        if (terminal && i % 1000 == 0) {
            (void)fprintf(stderr, "\rmaking requests: %zu of %zu", i, l->body_count);
        }
    }
    if (terminal) {
        (void)fprintf(stderr, "\r\033[K");
    }
    sm_arena_deinit(&scratch);
    return err;
}

/* ---- calls ---- */

static void start_calls(struct connection *c);

static bool wants_more(const struct load *l)
{
    return l->want > 0 ? l->started < l->want : sm_clock_mono_ns() < l->end_ns;
}

static void on_headers(void *ctx, sm_http_call *call, unsigned status,
                       const sm_http_header *headers, size_t count)
{
    struct request *r = ctx;
    struct load *l = r->connection->load;
    (void)call;
    r->headed = true;
    if (l->est_path != NULL) {
        r->answered = true;
        r->ok = status == 200;
        if (!r->ok && l->first_error.reason[0] == '\0') {
            (void)sm_ok(sm_diag_set(&l->first_error, SM_ERR(UNAVAILABLE), "",
                                    "the server answered %u", status));
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (sm_slice_equal(headers[i].name, SM_LIT("grpc-status"))) {
            r->ok = sm_ok(client_status(headers, count, &l->first_error));
            r->answered = true;
        }
    }
}

static void on_body(void *ctx, sm_http_call *call, sm_slice bytes)
{
    struct request *r = ctx;
    (void)call;
    if (r->connection->load->serials != NULL) {
        sm_buf_put(&r->answer, bytes);
    }
}

static void on_trailers(void *ctx, sm_http_call *call, const sm_http_header *trailers, size_t count)
{
    struct request *r = ctx;
    (void)call;
    r->ok = sm_ok(client_status(trailers, count, &r->connection->load->first_error));
    r->answered = true;
}

static void write_serial(struct request *r)
{
    Sealmill__V1__IssueResponse *m = r->answer.len < SM_GRPC_FRAME_HEADER
                                         ? NULL
                                         : sealmill__v1__issue_response__unpack(
                                               NULL, r->answer.len - SM_GRPC_FRAME_HEADER,
                                               r->answer.ptr + SM_GRPC_FRAME_HEADER);
    if (m != NULL) {
        (void)fprintf(r->connection->load->serials, "%s\n", m->serial);
        (void)fflush(r->connection->load->serials);
        sealmill__v1__issue_response__free_unpacked(m, NULL);
    }
}

static void end_if_idle(struct connection *c)
{
    if (c->in_flight == 0 && !wants_more(c->load)) {
        c->up = false;
        sm_http_client_close(c->client);
    }
}

static void on_call_close(void *ctx, sm_http_call *call, sm_err err)
{
    struct request *r = ctx;
    struct connection *c = r->connection;
    struct load *l = c->load;
    (void)call;
    bool good = sm_ok(err) && r->answered && r->ok;
    if (good) {
        if (l->done < l->latency_room) {
            l->latencies_us[l->done] = (uint32_t)((sm_clock_mono_ns() - r->start_ns) / 1000);
        }
        l->done++;
        if (l->serials != NULL) {
            write_serial(r);
        }
    } else {
        l->errors++;
        if (!r->answered) {
            err = client_no_status(&l->target, r->headed, err, &l->first_error);
        }
    }
    sm_buf_deinit(&r->answer);
    sm_free(r);
    c->in_flight--;
    if (!c->closed && c->up) {
        start_calls(c);
        end_if_idle(c);
    }
}

static const struct sm_http_call_ops call_ops = {on_headers, on_body, on_trailers, on_call_close};

static bool start_call(struct connection *c)
{
    struct load *l = c->load;
    char authorization[300];
    struct request *r = sm_calloc(1, sizeof(*r));
    sm_http_call *call;
    if (r == NULL) {
        return false;
    }
    (void)snprintf(authorization, sizeof(authorization), "Bearer %s", l->target.token);
    const bool est = l->est_path != NULL;
    const sm_http_header headers[] = {
        SM_HEADER("content-type", est ? SM_LIT("application/pkcs10") : SM_LIT("application/grpc")),
        est ? SM_HEADER("accept", SM_LIT("*/*")) : SM_HEADER("te", SM_LIT("trailers")),
        SM_HEADER("authorization", sm_slice_str(authorization))};
    size_t count = l->target.token[0] == '\0' ? 2 : 3;
    r->connection = c;
    r->start_ns = sm_clock_mono_ns();
    r->answer = sm_buf_init(1U << 20);
    sm_slice body = l->bodies[l->next_body++ % l->body_count];
    if (!sm_ok(sm_http_call_start(c->client, SM_LIT("POST"),
                                  est ? sm_slice_str(l->est_path)
                                      : SM_LIT("/sealmill.v1.CertificateService/Issue"),
                                  headers, count, body, true, &call_ops, r, &call))) {
        sm_free(r);
        return false;
    }
    l->started++;
    c->in_flight++;
    return true;
}

static void start_calls(struct connection *c)
{
    while (c->in_flight < c->load->in_flight_max && wants_more(c->load) && start_call(c)) {
    }
}

static void on_connected(void *ctx, sm_err err, const sm_diag *diag)
{
    struct connection *c = ctx;
    if (!sm_ok(err)) {
        err = client_no_connection(&c->load->target, err, diag, &c->load->first_error);
        c->load->errors++;
        return;
    }
    c->up = true;
    start_calls(c);
    end_if_idle(c);
}

static void on_closed(void *ctx, sm_err err)
{
    struct connection *c = ctx;
    (void)err;
    c->closed = true;
}

static const struct sm_http_client_ops client_ops = {on_connected, on_closed};

/* ---- running and reporting ---- */

static bool all_closed(const struct load *l)
{
    for (size_t i = 0; i < l->connection_count; i++) {
        if (!l->connections[i].closed) {
            return false;
        }
    }
    return true;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t percentile(const struct load *l, size_t n, unsigned per_mille)
{
    return n == 0 ? 0 : l->latencies_us[(n - 1) * per_mille / 1000];
}

static void report(struct load *l, uint64_t ns, bool json)
{
    size_t n = l->done < l->latency_room ? (size_t)l->done : l->latency_room;
    double seconds = (double)ns / 1e9;
    double rate = seconds > 0 ? (double)l->done / seconds : 0;
    qsort(l->latencies_us, n, sizeof(*l->latencies_us), compare);
    if (l->errors > 0) { /* beside the figures, which a program may read */
        (void)fprintf(stderr, "sealmill: the first of %llu errors: %s\n",
                      (unsigned long long)l->errors, l->first_error.reason);
    }
    if (json) {
        (void)printf("{\"certificates_per_second\":%.1f,\"certificates\":%llu,\"seconds\":%.3f,"
                     "\"errors\":%llu,"
                     "\"latency_us\":{\"p50\":%u,\"p90\":%u,\"p99\":%u,\"p999\":%u,\"max\":%u}}\n",
                     rate, (unsigned long long)l->done, seconds, (unsigned long long)l->errors,
                     percentile(l, n, 500), percentile(l, n, 900), percentile(l, n, 990),
                     percentile(l, n, 999), percentile(l, n, 1000));
        return;
    }
    (void)printf("%llu certificates in %.2f s: %.0f a second, %llu errors\n"
                 "latency: p50 %u us, p90 %u us, p99 %u us, p99.9 %u us, max %u us\n",
                 (unsigned long long)l->done, seconds, rate, (unsigned long long)l->errors,
                 percentile(l, n, 500), percentile(l, n, 900), percentile(l, n, 990),
                 percentile(l, n, 999), percentile(l, n, 1000));
}

static sm_err run(struct load *l, sm_tls_client *tls, uint64_t *ns)
{
    sm_loop *loop;
    SM_TRY(sm_loop_new(&loop, &l->first_error));
    uint64_t start = sm_clock_mono_ns();
    uint64_t told = start;
    l->end_ns += l->want > 0 ? 0 : start;
    sm_err err = SM_NO_ERR;
    for (size_t i = 0; i < l->connection_count && sm_ok(err); i++) {
        l->connections[i].load = l;
        err = sm_http_client_connect(loop, l->target.server, tls, &client_ops, &l->connections[i],
                                     &l->connections[i].client, &l->first_error);
    }
    while (sm_ok(err) && !all_closed(l)) {
        sm_loop_turn(loop, 100);
        uint64_t now = sm_clock_mono_ns();
        if (isatty(2) == 1 && now - told > SM_NS_PER_S / 4) {
            told = now;
            (void)fprintf(stderr, "\r%llu certificates, %llu errors", (unsigned long long)l->done,
                          (unsigned long long)l->errors);
        }
    }
    *ns = sm_clock_mono_ns() - start;
    if (isatty(2) == 1) {
        (void)fprintf(stderr, "\r\033[K");
    }
    for (size_t i = 0; i < l->connection_count && sm_ok(err); i++) {
        sm_http_client_free(&l->connections[i].client);
    }
    sm_loop_free(&loop);
    return err;
}

static int run_load(struct cli_args *args)
{
    static struct load l;
    sm_arena keep;
    sm_tls_client *tls;
    uint64_t ns = 0;
    long seconds = cli_number(args, "seconds", 0, 1, 86400);
    const char *type = cli_get(args, "key-type");
    enum sm_key_type key_type = sm_key_type_parse(sm_slice_str(type == NULL ? "p256" : type));
    client_target_from(args, false, &l.target);
    l.est_path = cli_get(args, "est");
    l.ca = cli_get(args, "ca") == NULL ? "" : cli_get(args, "ca");
    l.profile = cli_get(args, "profile") == NULL ? "device" : cli_get(args, "profile");
    l.want = seconds > 0 ? 0 : (uint64_t)cli_number(args, "count", 10000, 1, 100000000);
    l.end_ns = (uint64_t)seconds * SM_NS_PER_S;
    l.connection_count = (size_t)cli_number(args, "connections", 8, 1, CONNECTIONS_MAX);
    l.in_flight_max = (size_t)cli_number(args, "in-flight", 64, 1, IN_FLIGHT_MAX);
    l.body_count = (size_t)cli_number(
        args, "csrs", l.want > 0 && l.want < 1000000 ? (long)l.want : CSRS_DEFAULT, 1, 10000000);
    l.latency_room = l.want > 0 ? (size_t)l.want : 50000000;
    if (key_type == SM_KEY_NONE) {
        cli_usage("--key-type wants p256, p384, rsa-2048, ...");
    }
    if (l.est_path != NULL && cli_has(args, "serials")) {
        cli_usage("--serials goes with the API: EST answers tell none");
    }
    if (cli_get(args, "serials") != NULL) {
        l.serials = fopen(cli_get(args, "serials"), "w");
        if (l.serials == NULL) {
            cli_usage("--serials: %s: %s", cli_get(args, "serials"), strerror(errno));
        }
    }
    l.latencies_us = sm_calloc(l.latency_room, sizeof(*l.latencies_us));
    sm_arena_init(&keep, SIZE_MAX / 2);
    sm_err err = l.latencies_us == NULL ? SM_ERR(NO_MEMORY) : make_bodies(&l, key_type, &keep);
    err = sm_ok(err) ? client_open_tls(&l.target, &tls, &l.first_error) : err;
    err = sm_ok(err) ? run(&l, tls, &ns) : err;
    if (!sm_ok(err)) {
        return cli_fail(err, &l.first_error);
    }
    report(&l, ns, cli_has(args, "json"));
    sm_tls_client_free(&tls);
    sm_arena_deinit(&keep);
    sm_free(l.bodies);
    sm_free(l.latencies_us);
    if (l.serials != NULL) {
        (void)fclose(l.serials);
    }
    return l.errors == 0 ? 0 : 1;
}

static const struct cli_option load_options[] = {
    CLIENT_OPTIONS,
    {"profile", "NAME", "Default device"},
    {"ca", "NAME", "Needed where several CAs issue the profile"},
    {"count", "N", "So many certificates (default 10000)"},
    {"seconds", "N", "For so long, instead of --count"},
    {"connections", "N", "Default 8"},
    {"in-flight", "N", "Calls under way on each connection (default 64)"},
    {"key-type", "TYPE", "Of the requests' keys (default p256)"},
    {"csrs", "N", "Distinct requests to make before the clock starts (default: --count, or 20000)"},
    {"est", "PATH", "Enrol over EST at this path of --server, instead of calling the API"},
    {"serials", "FILE", "Write each serial that was answered"},
    {NULL, NULL, NULL},
};

const struct cli_command command_load = {
    "load",
    NULL,
    "Measure: have many certificates issued",
    "  sealmill load --dir ./ca --count 20000\n  sealmill load --dir ./ca --seconds 10 "
    "--connections 8 --in-flight 64 --json\n"
    "  sealmill load --dir ./ca --server 127.0.0.1:9001 --est /.well-known/est/simpleenroll\n",
    load_options,
    run_load,
};
