/* SPDX-License-Identifier: Apache-2.0 */
/* Our HTTP/2 client against our server, on real sockets. */
#include "io/http_client.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "io/ring_p.h"
#include "tests/support/io_server.h"
#include "tests/support/tls_peer.h"

#include <string.h>
#include <unistd.h>

static struct sm_io_server server;
static sm_loop *loop;

/* ---- one connection and what became of it ---- */

struct conn_seen {
    sm_http_client *client;
    bool connected; /* on_connected has come */
    bool closed;
    sm_err err;
    char reason[SM_DIAG_REASON_MAX];
};

static void on_connected(void *ctx, sm_err err, const sm_diag *diag)
{
    struct conn_seen *c = ctx;
    assert_false(c->connected);
    assert_false(c->closed);
    c->connected = true;
    c->err = err;
    (void)snprintf(c->reason, sizeof(c->reason), "%s", diag->reason);
}

static void on_closed(void *ctx, sm_err err)
{
    struct conn_seen *c = ctx;
    assert_true(c->connected);
    assert_false(c->closed);
    c->closed = true;
    if (sm_ok(c->err)) {
        c->err = err;
    }
}

static const struct sm_http_client_ops client_ops = {on_connected, on_closed};

/* ---- one call ---- */

struct call_seen {
    unsigned status;
    size_t octets;
    char body[64];
    int closed;
    sm_err err;
    int *open; /* how many calls are under way */
};

static void on_headers(void *ctx, sm_http_call *call, unsigned status,
                       const sm_http_header *headers, size_t count)
{
    struct call_seen *c = ctx;
    (void)call;
    (void)headers;
    (void)count;
    c->status = status;
}

static void on_body(void *ctx, sm_http_call *call, sm_slice bytes)
{
    struct call_seen *c = ctx;
    (void)call;
    size_t room = sizeof(c->body) - 1 -
                  (c->octets < sizeof(c->body) - 1 ? c->octets : sizeof(c->body) - 1);
    size_t n = bytes.len < room ? bytes.len : room;
    memcpy(c->body + (c->octets < sizeof(c->body) ? c->octets : 0), bytes.ptr, n);
    c->octets += bytes.len;
}

static void on_call_closed(void *ctx, sm_http_call *call, sm_err err)
{
    struct call_seen *c = ctx;
    (void)call;
    c->closed++;
    c->err = err;
    (*c->open)--;
}

static const struct sm_http_call_ops call_ops = {
    .on_headers = on_headers, .on_body = on_body, .on_close = on_call_closed};

static int open_calls;

static sm_http_call *get(struct conn_seen *c, const char *path, struct call_seen *seen)
{
    sm_http_call *call = NULL;
    *seen = (struct call_seen){.open = &open_calls};
    assert_sm_ok(sm_http_call_start(c->client, SM_LIT("GET"), sm_slice_str(path), NULL, 0,
                                    SM_SLICE_NONE, true, &call_ops, seen, &call));
    open_calls++;
    return call;
}

/* ---- turning ---- */

static void turn_until(const bool *done)
{
    uint64_t until = sm_clock_mono_ns() + 10 * SM_NS_PER_S;
    while (!*done && sm_clock_mono_ns() < until) {
        sm_loop_turn(loop, 50);
    }
    assert_true(*done);
}

static void turn_until_calls_closed(void)
{
    uint64_t until = sm_clock_mono_ns() + 20 * SM_NS_PER_S;
    while (open_calls > 0 && sm_clock_mono_ns() < until) {
        sm_loop_turn(loop, 50);
    }
    assert_int_equal(open_calls, 0);
}

static void connect_to(struct conn_seen *c, uint16_t port, sm_tls_client *tls)
{
    char address[32];
    *c = (struct conn_seen){.client = NULL};
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    assert_sm_ok(sm_http_client_connect(loop, address, tls, &client_ops, c, &c->client, NULL));
    assert_false(c->connected); /* never inside */
}

static void connect_and_wait(struct conn_seen *c, uint16_t port, sm_tls_client *tls)
{
    connect_to(c, port, tls);
    turn_until(&c->connected);
    assert_sm_ok(c->err);
}

static void close_and_free(struct conn_seen *c)
{
    sm_http_client_close(c->client);
    turn_until(&c->closed);
    sm_http_client_free(&c->client);
    assert_null(c->client);
}

static int set_up(void **state)
{
    unsigned without = (unsigned)(uintptr_t)*state;
    open_calls = 0;
    sm_io_server_start(&server, without, NULL, NULL, NULL);
    return sm_ok(sm_loop_new_without(without, &loop, NULL)) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sm_io_server_stop(&server);
    sm_loop_free(&loop);
    return 0;
}

/* ---- calls ---- */

static void client__gets_an_answer(void **state)
{
    (void)state;
    struct conn_seen c;
    struct call_seen seen;
    connect_and_wait(&c, server.port, NULL);
    (void)get(&c, "/hello", &seen);
    turn_until_calls_closed();
    assert_int_equal(seen.status, 200);
    assert_string_equal(seen.body, "hello\n");
    assert_sm_ok(seen.err);
    assert_int_equal(seen.closed, 1);
    close_and_free(&c);
}

#define MANY 3000

/* More than the server allows at once: the rest waits its turn. */
static void client__makes_many_calls_at_once(void **state)
{
    (void)state;
    struct conn_seen c;
    struct call_seen *seen = sm_calloc(MANY, sizeof(*seen));
    assert_non_null(seen);
    connect_and_wait(&c, server.port, NULL);
    for (int i = 0; i < MANY; i++) {
        (void)get(&c, "/hello", &seen[i]);
    }
    turn_until_calls_closed();
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(seen[i].status, 200);
        assert_string_equal(seen[i].body, "hello\n");
    }
    close_and_free(&c);
    sm_free(seen);
}

#define BODY (5U << 20)

static void client__sends_and_receives_large_bodies(void **state)
{
    (void)state;
    struct conn_seen c;
    struct call_seen seen = {.open = &open_calls};
    sm_http_call *call = NULL;
    uint8_t *body = sm_calloc(1, BODY);
    assert_non_null(body);
    connect_and_wait(&c, server.port, NULL);
    assert_sm_ok(sm_http_call_start(c.client, SM_LIT("POST"), SM_LIT("/echo"), NULL, 0,
                                    sm_slice_of(body, BODY / 2), false, &call_ops, &seen, &call));
    open_calls++;
    (void)sm_http_call_write(call, sm_slice_of(body, BODY - BODY / 2));
    sm_http_call_end(call);
    turn_until_calls_closed();
    assert_sm_ok(seen.err);
    assert_int_equal(seen.status, 200);
    assert_int_equal(seen.octets, BODY);
    close_and_free(&c);
    sm_free(body);
}

static void client__a_cancelled_call_closes_once(void **state)
{
    (void)state;
    struct conn_seen c;
    struct call_seen seen;
    struct call_seen other;
    connect_and_wait(&c, server.port, NULL);
    sm_http_call *call = get(&c, "/never", &seen);
    for (int i = 0; i < 5; i++) {
        sm_loop_turn(loop, 10);
    }
    sm_http_call_cancel(call);
    (void)get(&c, "/hello", &other);
    turn_until_calls_closed();
    assert_sm_err(seen.err, CANCELLED);
    assert_int_equal(seen.closed, 1);
    assert_int_equal(other.status, 200);
    close_and_free(&c);
}

/* ---- ends ---- */

static void client__says_who_refused(void **state)
{
    (void)state;
    struct conn_seen c;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0); /* but does not listen */
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    connect_to(&c, ntohs(in.sin_port), NULL);
    turn_until(&c.closed);
    assert_sm_err(c.err, UNAVAILABLE);
    assert_non_null(strstr(c.reason, "127.0.0.1:"));
    assert_non_null(strstr(c.reason, "refused"));
    sm_http_client_free(&c.client);
    (void)close(fd);
}

static void client__refuses_what_is_no_address(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",     ":",     "127.0.0.1",    "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
        "[::1", "[::1]", "host name:80", "::1:80x"};
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        struct conn_seen c = {.client = NULL};
        sm_diag diag = {.reason = ""};
        sm_err err = sm_http_client_connect(loop, bad[i], NULL, &client_ops, &c, &c.client, &diag);
        assert_sm_err(err, INVALID);
        assert_null(c.client);
        assert_string_not_equal(diag.reason, "");
    }
}

static void client__may_be_closed_before_it_is_connected(void **state)
{
    (void)state;
    struct conn_seen c;
    connect_to(&c, server.port, NULL);
    sm_http_client_close(c.client);
    sm_http_client_close(c.client);
    turn_until(&c.closed);
    sm_http_client_free(&c.client);
}

static void client__no_call_without_a_connection(void **state)
{
    (void)state;
    struct conn_seen c;
    struct call_seen seen;
    sm_http_call *call = NULL;
    connect_to(&c, server.port, NULL);
    assert_sm_err(sm_http_call_start(c.client, SM_LIT("GET"), SM_LIT("/"), NULL, 0, SM_SLICE_NONE,
                                     true, &call_ops, &seen, &call),
                  CLOSED);
    turn_until(&c.connected);
    close_and_free(&c);
}

static void client__calls_end_when_the_server_goes(void **state)
{
    (void)state;
    struct conn_seen c;
    struct call_seen waits;
    connect_and_wait(&c, server.port, NULL);
    (void)get(&c, "/wait", &waits);
    for (int i = 0; i < 5; i++) {
        sm_loop_turn(loop, 10);
    }
    sm_io_server_drain(&server); /* GOAWAY: what has begun may end */
    for (int i = 0; i < 5; i++) {
        sm_loop_turn(loop, 10);
    }
    sm_io_server_answer_waiting(&server);
    turn_until_calls_closed();
    assert_int_equal(waits.status, 200);
    turn_until(&c.closed);
    assert_true(sm_io_server_is_drained_within(&server, 2000));
    sm_http_client_free(&c.client);
}

/* ---- TLS ---- */

static sm_tls_client *tls_client(const char *cert, const char *ca, const char *name)
{
    sm_tls_client *client = NULL;
    const struct sm_tls_client_config config = {
        .ca_file = sm_tls_test_pem(ca),
        .certificate_file = cert == NULL ? NULL : sm_tls_test_pem(cert),
        .key_file = cert == NULL ? NULL : sm_tls_test_key(cert),
        .server_name = name,
        .resume = true,
    };
    assert_sm_ok(sm_tls_client_new(&config, &client, NULL));
    return client;
}

static void client__speaks_tls_and_resumes(void **state)
{
    (void)state;
    struct sm_io_server secure;
    sm_tls_server *tls = sm_tls_test_asking_server(SM_TLS_CLIENT_REQUIRED);
    sm_tls_client *client = tls_client("client", "root", "localhost");
    sm_io_server_start(&secure, 0, tls, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        struct conn_seen c;
        struct call_seen seen;
        connect_and_wait(&c, secure.port, client);
        (void)get(&c, "/tls", &seen);
        turn_until_calls_closed();
        assert_int_equal(seen.status, 200);
        assert_non_null(strstr(seen.body, i == 0 ? "resumed=0" : "resumed=1"));
        close_and_free(&c);
    }
    sm_io_server_stop(&secure);
    sm_tls_client_free(&client);
    sm_tls_server_free(&tls);
}

static void check_tls_refusal(struct sm_io_server *secure, const char *cert, const char *ca,
                              const char *name, const char *word)
{
    struct conn_seen c;
    sm_tls_client *client = tls_client(cert, ca, name);
    connect_to(&c, secure->port, client);
    turn_until(&c.closed);
    assert_sm_err(c.err, UNAUTHENTICATED);
    if (word != NULL) {
        assert_non_null(strstr(c.reason, word));
    }
    sm_http_client_free(&c.client);
    sm_tls_client_free(&client);
}

static void client__says_why_tls_failed(void **state)
{
    (void)state;
    struct sm_io_server secure;
    sm_tls_server *tls = sm_tls_test_asking_server(SM_TLS_CLIENT_REQUIRED);
    sm_io_server_start(&secure, 0, tls, NULL, NULL);
    check_tls_refusal(&secure, "client", "root", "a.example", "hostname mismatch");
    check_tls_refusal(&secure, "client", "other-root", "localhost", "certificate");
    check_tls_refusal(&secure, NULL, "root", "localhost", NULL); /* after the handshake */
    check_tls_refusal(&secure, "stranger", "root", "localhost", NULL);
    sm_io_server_stop(&secure);
    sm_tls_server_free(&tls);
}

static void client__a_cleartext_server_is_no_tls_server(void **state)
{
    (void)state;
    struct conn_seen c;
    sm_tls_client *client = tls_client(NULL, "root", "localhost");
    connect_to(&c, server.port, client);
    turn_until(&c.closed);
    assert_false(sm_ok(c.err));
    assert_non_null(strstr(c.reason, "TLS handshake"));
    sm_http_client_free(&c.client);
    sm_tls_client_free(&client);
}

#define EVERY_WAY(test)                                                                \
    {#test, test, set_up, tear_down, NULL},                                            \
        {#test " (no multishot)", test, set_up, tear_down, (void *)(uintptr_t)3U},     \
    {                                                                                  \
#test " (no provided buffers)", test, set_up, tear_down, (void *)(uintptr_t)4U \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERY_WAY(client__gets_an_answer),
        EVERY_WAY(client__makes_many_calls_at_once),
        EVERY_WAY(client__sends_and_receives_large_bodies),
        EVERY_WAY(client__a_cancelled_call_closes_once),
        EVERY_WAY(client__says_who_refused),
        cmocka_unit_test_setup_teardown(client__refuses_what_is_no_address, set_up, tear_down),
        EVERY_WAY(client__may_be_closed_before_it_is_connected),
        EVERY_WAY(client__no_call_without_a_connection),
        EVERY_WAY(client__calls_end_when_the_server_goes),
        EVERY_WAY(client__speaks_tls_and_resumes),
        EVERY_WAY(client__says_why_tls_failed),
        EVERY_WAY(client__a_cleartext_server_is_no_tls_server),
    };
    return cmocka_run_group_tests(tests, sm_tls_test_make_pki, sm_tls_test_remove_pki);
}
