/* SPDX-License-Identifier: Apache-2.0 */
/* Two loops behind one listener: what they share is counts, TLS contexts and ticket keys. */
#include "base/check.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "io/http.h"
#include "tests/support/io_server.h"
#include "tests/support/tls_peer.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define LOOPS 2
#define CLIENTS 3
#define CONNECTIONS 120 /* of each client, one after the other */

struct served {
    sm_thread thread;
    sm_loop *loop;
    sm_listener *listener;
    sm_http_server *server;
    unsigned index;
    _Atomic unsigned requests;
    _Atomic bool ready;
    _Atomic bool drained;
    sm_msg drain;
};

static struct served loops[LOOPS];

static void on_request(void *ctx, sm_http_exchange *x)
{
    struct served *s = ctx;
    atomic_fetch_add(&s->requests, 1);
    sm_http_reply(x, 200, NULL, 0, SM_LIT("hello\n"));
}

static void on_drained(void *ctx)
{
    struct served *s = ctx;
    atomic_store(&s->drained, true);
    sm_loop_stop(s->loop);
}

static void run_drain(sm_msg *msg)
{
    struct served *s = SM_CONTAINER_OF(msg, struct served, drain);
    sm_http_server_drain(s->server, on_drained, s);
}

static void serve(void *ctx)
{
    struct served *s = ctx;
    const struct sm_http_handler handler = {on_request, s};
    assert_sm_ok(sm_loop_new(&s->loop, NULL));
    assert_sm_ok(sm_http_server_start(s->loop, s->listener, s->index, handler, &s->server));
    atomic_store(&s->ready, true);
    sm_loop_run(s->loop);
    sm_http_server_free(&s->server);
    sm_loop_free(&s->loop);
}

static sm_listener *start(sm_tls_server *tls)
{
    sm_listener *listener = NULL;
    struct sm_listener_config config = {
        .name = "loops", .address = "127.0.0.1:0", .inherited_fd = -1, .tls = tls, .loops = LOOPS};
    sm_http_limits_default(&config.limits);
    assert_sm_ok(sm_listener_new(&config, &listener, NULL));
    for (unsigned i = 0; i < LOOPS; i++) {
        loops[i] = (struct served){.listener = listener, .index = i, .drain.run = run_drain};
        assert_sm_ok(sm_thread_start(&loops[i].thread, "loop", serve, &loops[i]));
        while (!atomic_load(&loops[i].ready)) {
            (void)usleep(100);
        }
    }
    return listener;
}

static void drain_and_join(sm_listener *listener)
{
    for (unsigned i = 0; i < LOOPS; i++) {
        sm_mailbox_post(sm_loop_mailbox(loops[i].loop), &loops[i].drain);
    }
    for (unsigned i = 0; i < LOOPS; i++) {
        sm_thread_join(&loops[i].thread);
        assert_true(atomic_load(&loops[i].drained));
    }
    sm_listener_free(&listener);
}

struct asker {
    sm_thread thread;
    uint16_t port;
    bool secure;
    unsigned answers;
    unsigned resumed;
};

static void ask_plain(struct asker *a)
{
    char text[512];
    int fd = sm_io_connect(a->port);
    sm_io_send(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    (void)sm_io_read_until(fd, "hello\n", text, sizeof(text));
    a->answers += strstr(text, "200 OK") != NULL ? 1 : 0;
    (void)close(fd);
}

/* One ticket is used at whichever loop answers. */
static void ask_tls(struct asker *a, SSL_CTX *ctx, SSL_SESSION **session)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    char text[512] = "";
    int fd = sm_io_connect(a->port);
    SSL *ssl = SSL_new(ctx);
    assert_non_null(ssl);
    if (*session != NULL) {
        assert_int_equal(SSL_set_session(ssl, *session), 1);
    }
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_true(SSL_write(ssl, request, sizeof(request) - 1) > 0);
    (void)SSL_read(ssl, text, sizeof(text) - 1);
    a->answers += strstr(text, "200 OK") != NULL ? 1 : 0;
    a->resumed += SSL_session_reused(ssl) ? 1 : 0;
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(ssl);
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
    (void)close(fd);
}

static void ask(void *ctx)
{
    struct asker *a = ctx;
    SSL_CTX *tls = a->secure ? SSL_CTX_new(TLS_client_method()) : NULL;
    SSL_SESSION *session = NULL;
    for (int i = 0; i < CONNECTIONS; i++) {
        if (a->secure) {
            ask_tls(a, tls, &session);
        } else {
            ask_plain(a);
        }
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(tls);
}

static void run_askers(uint16_t port, sm_tls_server *tls)
{
    struct asker askers[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        askers[i] = (struct asker){.port = port, .secure = tls != NULL};
        assert_sm_ok(sm_thread_start(&askers[i].thread, "asker", ask, &askers[i]));
    }
    for (int i = 0; tls != NULL && i < 20; i++) {
        assert_sm_ok(sm_tls_server_reload(tls, NULL)); /* in the middle of it all */
        (void)usleep(5000);
    }
    for (int i = 0; i < CLIENTS; i++) {
        sm_thread_join(&askers[i].thread);
        assert_int_equal(askers[i].answers, CONNECTIONS);
        if (tls != NULL) {
            assert_int_equal(askers[i].resumed, CONNECTIONS - 1);
        }
    }
}

static void check(sm_tls_server *tls)
{
    sm_listener *listener = start(tls);
    run_askers(sm_listener_port(listener), tls);
    unsigned total = 0;
    for (unsigned i = 0; i < LOOPS; i++) {
        assert_true(atomic_load(&loops[i].requests) > 0); /* the kernel spreads connections */
        total += atomic_load(&loops[i].requests);
    }
    assert_int_equal(total, CLIENTS * CONNECTIONS);
    drain_and_join(listener);
    sm_metric gauge = sm_metric_register(SM_GAUGE, "sealmill_connections", "",
                                         "listener=\"loops\"");
    assert_int_equal(sm_metric_value(gauge), 0);
}

static void loops__share_a_listener(void **state)
{
    (void)state;
    check(NULL);
}

static void loops__share_tls_tickets_and_reloads(void **state)
{
    (void)state;
    sm_tls_server *tls = sm_tls_test_plain_server();
    check(tls);
    sm_tls_server_free(&tls);
}

static void listener__says_which_address_is_taken(void **state)
{
    (void)state;
    sm_listener *one = NULL;
    sm_listener *two = NULL;
    sm_diag diag = {.reason = ""};
    char address[32];
    struct sm_listener_config config = {
        .name = "api", .address = "127.0.0.1:0", .inherited_fd = -1, .loops = 2};
    sm_http_limits_default(&config.limits);
    assert_sm_ok(sm_listener_new(&config, &one, NULL));
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", sm_listener_port(one));
    config.address = address;
    assert_sm_err(sm_listener_new(&config, &two, &diag), OS); /* SO_REUSEPORT notwithstanding */
    assert_non_null(strstr(diag.reason, address));
    assert_non_null(strstr(diag.reason, "in use"));
    assert_string_equal(diag.field, "api");
    sm_listener_free(&one);
    assert_sm_ok(sm_listener_new(&config, &two, NULL));
    sm_listener_free(&two);
}

static void listener__refuses_nonsense(void **state)
{
    (void)state;
    sm_listener *l = NULL;
    sm_diag diag = {.reason = ""};
    struct sm_listener_config config = {
        .name = "api", .address = "somewhere", .inherited_fd = -1, .loops = 1};
    sm_http_limits_default(&config.limits);
    assert_sm_err(sm_listener_new(&config, &l, &diag), INVALID);
    assert_non_null(strstr(diag.reason, "somewhere"));
    config.address = "127.0.0.1:0";
    config.loops = 0;
    assert_sm_err(sm_listener_new(&config, &l, NULL), INVALID);
    config.loops = 1;
    config.address = "192.0.2.1:9"; /* nobody's (RFC 5737) */
    sm_diag_clear(&diag);
    assert_sm_err(sm_listener_new(&config, &l, &diag), OS);
    assert_string_not_equal(diag.reason, "");
    config.inherited_fd = 9999; /* not open */
    assert_sm_err(sm_listener_new(&config, &l, NULL), OS);
    assert_null(l);
}

/* As systemd does: the socket is made by another, and lives on when we have drained. */
static void listener__serves_an_inherited_socket_and_leaves_it_open(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    int keeper = dup(fd); /* systemd's own */
    struct sm_listener_config config = {.name = "loops", .inherited_fd = fd, .loops = LOOPS};
    sm_listener *listener = NULL;
    sm_http_limits_default(&config.limits);
    assert_sm_ok(sm_listener_new(&config, &listener, NULL));
    assert_int_equal(sm_listener_port(listener), ntohs(in.sin_port));
    for (unsigned i = 0; i < LOOPS; i++) {
        loops[i] = (struct served){.listener = listener, .index = i, .drain.run = run_drain};
        assert_sm_ok(sm_thread_start(&loops[i].thread, "loop", serve, &loops[i]));
        while (!atomic_load(&loops[i].ready)) {
            (void)usleep(100);
        }
    }
    struct asker a = {.port = ntohs(in.sin_port)};
    ask_plain(&a);
    assert_int_equal(a.answers, 1);
    drain_and_join(listener);
    int waits = sm_io_connect(a.port); /* for the next one to serve */
    assert_true(waits >= 0);
    (void)close(waits);
    (void)close(keeper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops__share_a_listener),
        cmocka_unit_test(loops__share_tls_tickets_and_reloads),
        cmocka_unit_test(listener__says_which_address_is_taken),
        cmocka_unit_test(listener__refuses_nonsense),
        cmocka_unit_test(listener__serves_an_inherited_socket_and_leaves_it_open),
    };
    return cmocka_run_group_tests(tests, sm_tls_test_make_pki, sm_tls_test_remove_pki);
}
