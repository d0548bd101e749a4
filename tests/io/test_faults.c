/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation on the way of a request fails once: the request may fail, nothing else. Server
 * and client share one loop, since failures are per thread. */
#include "io/http_client.h"

#include "base/clock.h"
#include "base/mem.h"
#include "tests/support/support.h"
#include "tests/support/tls_peer.h"

#include <string.h>

#define SWEEP_MAX 2000
#define PATIENCE_NS (5 * SM_NS_PER_S)

static void on_request(void *ctx, sm_http_exchange *x)
{
    const sm_http_header fields[] = {SM_HEADER("content-type", SM_LIT("text/plain"))};
    (void)ctx;
    sm_http_reply(x, 200, fields, 1, SM_LIT("hello\n"));
}

struct world {
    sm_loop *loop;
    sm_listener *listener;
    sm_http_server *server;
    sm_tls_server *tls;
    sm_tls_client *tls_client;
};

struct seen {
    sm_http_client *client;
    bool closed;
    bool call_closed;
    unsigned status;
};

static void on_headers(void *ctx, sm_http_call *call, unsigned status,
                       const sm_http_header *headers, size_t count)
{
    struct seen *s = ctx;
    (void)call;
    (void)headers;
    (void)count;
    s->status = status;
}

static void on_call_closed(void *ctx, sm_http_call *call, sm_err err)
{
    struct seen *s = ctx;
    (void)call;
    s->call_closed = true;
    if (!sm_ok(err)) {
        s->status = 0;
    }
    sm_http_client_close(s->client);
}

static const struct sm_http_call_ops call_ops = {.on_headers = on_headers,
                                                 .on_close = on_call_closed};

static void on_connected(void *ctx, sm_err err, const sm_diag *diag)
{
    struct seen *s = ctx;
    sm_http_call *call = NULL;
    (void)diag;
    if (sm_ok(err)) {
        err = sm_http_call_start(s->client, SM_LIT("GET"), SM_LIT("/"), NULL, 0, SM_SLICE_NONE,
                                 true, &call_ops, s, &call);
        if (!sm_ok(err)) {
            sm_http_client_close(s->client);
        }
    }
}

static void on_closed(void *ctx, sm_err err)
{
    struct seen *s = ctx;
    (void)err;
    s->closed = true;
}

static const struct sm_http_client_ops client_ops = {on_connected, on_closed};

static void make_world(struct world *w, bool secure)
{
    *w = (struct world){.loop = NULL};
    struct sm_listener_config config = {
        .name = "faults", .address = "127.0.0.1:0", .inherited_fd = -1, .loops = 1};
    sm_http_limits_default(&config.limits);
    if (secure) {
        const struct sm_tls_client_config client = {.ca_file = sm_tls_test_pem("root"),
                                                    .server_name = "localhost"};
        w->tls = sm_tls_test_plain_server();
        assert_sm_ok(sm_tls_client_new(&client, &w->tls_client, NULL));
        config.tls = w->tls;
    }
    const struct sm_http_handler handler = {on_request, NULL};
    assert_sm_ok(sm_loop_new(&w->loop, NULL));
    assert_sm_ok(sm_listener_new(&config, &w->listener, NULL));
    assert_sm_ok(sm_http_server_start(w->loop, w->listener, 0, handler, &w->server));
}

static void end_world(struct world *w)
{
    sm_http_server_free(&w->server);
    sm_loop_free(&w->loop);
    sm_listener_free(&w->listener);
    sm_tls_server_free(&w->tls);
    sm_tls_client_free(&w->tls_client);
}

/* One request with the n-th allocation failing (0: none). Its status, or 0. */
static unsigned ask(struct world *w, size_t n, bool *failed)
{
    char address[32];
    struct seen seen = {.client = NULL};
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", sm_listener_port(w->listener));
    sm_mem_fail_at(n);
    sm_err err = sm_http_client_connect(w->loop, address, w->tls_client, &client_ops, &seen,
                                        &seen.client, NULL);
    uint64_t until_ns = sm_clock_mono_ns() + PATIENCE_NS;
    while (sm_ok(err) && !seen.closed && sm_clock_mono_ns() < until_ns) {
        sm_loop_turn(w->loop, 20);
    }
    *failed = n != 0 && sm_mem_has_failed() != 0;
    sm_mem_fail_at(0);
    if (sm_ok(err)) {
        assert_true(seen.closed); /* it ends, one way or the other */
        sm_http_client_free(&seen.client);
    }
    return sm_ok(err) ? seen.status : 0;
}

/* A new server each time: later requests find spare buffers and exchanges, and allocate little. */
static void faults__each_allocation_may_fail(void **state)
{
    struct world w;
    bool failed = true;
    size_t n = 0;
    for (n = 1; failed && n < SWEEP_MAX; n++) {
        make_world(&w, *state != NULL);
        unsigned status = ask(&w, n, &failed);
        assert_true(status == 200 || failed);
        bool none;
        assert_int_equal(ask(&w, 0, &none), 200); /* the server has taken no harm */
        end_world(&w);
    }
    assert_false(failed);
    print_message("%zu allocations\n", n - 2);
    assert_true(n > 8);
}

int main(void)
{
    static int secure;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(faults__each_allocation_may_fail, NULL),
        cmocka_unit_test_prestate(faults__each_allocation_may_fail, &secure),
    };
    return cmocka_run_group_tests(tests, sm_tls_test_make_pki, sm_tls_test_remove_pki);
}
