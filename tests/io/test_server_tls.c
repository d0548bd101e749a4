/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS server on real sockets, against a plain OpenSSL client that blocks. */
#include "base/check.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "io/ring_p.h"
#include "tests/support/io_server.h"
#include "tests/support/pki.h"
#include "tests/support/tls_peer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct sm_io_server server;
static char text[1 << 16];

static unsigned without_of(void **state)
{
    return (unsigned)(uintptr_t)*state;
}

struct wire {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static struct wire wire_open(uint16_t port, const char *alpn)
{
    struct wire w = {.ctx = SSL_CTX_new(TLS_client_method()), .fd = sm_io_connect(port)};
    assert_non_null(w.ctx);
    assert_true(w.fd >= 0);
    assert_int_equal(SSL_CTX_load_verify_file(w.ctx, sm_tls_test_pem("root")), 1);
    SSL_CTX_set_verify(w.ctx, SSL_VERIFY_PEER, NULL);
    w.ssl = SSL_new(w.ctx);
    assert_non_null(w.ssl);
    assert_int_equal(SSL_set1_host(w.ssl, "localhost"), 1);
    if (alpn != NULL) {
        assert_int_equal(
            SSL_set_alpn_protos(w.ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn)), 0);
    }
    assert_int_equal(SSL_set_fd(w.ssl, w.fd), 1);
    assert_int_equal(SSL_connect(w.ssl), 1);
    return w;
}

static void wire_close(struct wire *w)
{
    SSL_free(w->ssl);
    SSL_CTX_free(w->ctx);
    (void)close(w->fd);
}

static void wire_send(struct wire *w, const char *request)
{
    assert_int_equal(SSL_write(w->ssl, request, (int)strlen(request)), (int)strlen(request));
}

static void wire_read_until(struct wire *w, const char *needle)
{
    size_t len = 0;
    text[0] = 0;
    while (len + 1 < sizeof(text) && strstr(text, needle) == NULL) {
        int n = SSL_read(w->ssl, text + len, (int)(sizeof(text) - len - 1));
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
        text[len] = 0;
    }
}

static int64_t open_connections(void)
{
    return sm_metric_value(
        sm_metric_register(SM_GAUGE, "sealmill_connections", "", "listener=\"test\""));
}

/* ---- serving ---- */

static void server_tls__answers_over_http_1(void **state)
{
    sm_tls_server *tls = sm_tls_test_plain_server();
    sm_io_server_start(&server, without_of(state), tls, NULL, NULL);
    struct wire w = wire_open(server.port, "\x08http/1.1");
    wire_send(&w, "GET /tls HTTP/1.1\r\nHost: x\r\n\r\n");
    wire_read_until(&w, "certificate=");
    assert_non_null(strstr(text, "used=1 resumed=0 version=304 group=X25519MLKEM768"));
    wire_send(&w, "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    wire_read_until(&w, "hello\n");
    int n = SSL_read(w.ssl, text, sizeof(text));
    assert_int_equal(SSL_get_error(w.ssl, n), SSL_ERROR_ZERO_RETURN); /* a proper close_notify */
    wire_close(&w);
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

static void check_http_2(unsigned without, const char *alpn)
{
    sm_tls_server *tls = sm_tls_test_plain_server();
    sm_io_server_start(&server, without, tls, NULL, NULL);
    struct wire w = wire_open(server.port, alpn);
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    assert_int_equal(SSL_write(w.ssl, preface, sizeof(preface)), (int)sizeof(preface));
    uint8_t head[9];
    assert_int_equal(SSL_read(w.ssl, head, sizeof(head)), (int)sizeof(head));
    assert_int_equal(head[3], 4); /* SETTINGS come first (RFC 9113 3.4) */
    wire_close(&w);
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

static void server_tls__alpn_h2_speaks_http_2(void **state)
{
    check_http_2(without_of(state), "\x02h2");
}

static void server_tls__http_2_by_prior_knowledge(void **state)
{
    check_http_2(without_of(state), NULL);
}

static void server_tls__streams_a_large_answer(void **state)
{
    sm_tls_server *tls = sm_tls_test_plain_server();
    sm_io_server_start(&server, without_of(state), tls, NULL, NULL);
    struct wire w = wire_open(server.port, NULL);
    wire_send(&w, "GET /big?8000000 HTTP/1.0\r\n\r\n");
    size_t got = 0;
    int n;
    while ((n = SSL_read(w.ssl, text, sizeof(text))) > 0) {
        got += (size_t)n;
    }
    assert_true(got > 8000000 && got < 8001000); /* and its head */
    assert_int_equal(SSL_get_error(w.ssl, n), SSL_ERROR_ZERO_RETURN);
    wire_close(&w);
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

/* Key updates come in while answers go out: what TLS has to say must not disturb the send in
 * flight. */
static void server_tls__key_updates_during_a_large_answer(void **state)
{
    sm_tls_server *tls = sm_tls_test_plain_server();
    sm_io_server_start(&server, without_of(state), tls, NULL, NULL);
    struct wire w = wire_open(server.port, NULL);
    wire_send(&w, "GET /big?30000000 HTTP/1.0\r\n\r\n");
    size_t got = 0;
    int n = 1;
    for (int i = 0; n > 0; i++) {
        if (i < 40) {
            assert_int_equal(SSL_key_update(w.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
            assert_int_equal(SSL_do_handshake(w.ssl), 1);
            (void)usleep(1000);
        }
        n = SSL_read(w.ssl, text, sizeof(text));
        got += n > 0 ? (size_t)n : 0;
    }
    assert_true(got > 30000000 && got < 30001000); /* every record was whole and in its place */
    wire_close(&w);
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

static void server_tls__resumes_over_connections(void **state)
{
    (void)state;
    sm_tls_server *tls = sm_tls_test_plain_server();
    sm_io_server_start(&server, 0, tls, NULL, NULL);
    struct wire w = wire_open(server.port, NULL);
    wire_send(&w, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    wire_read_until(&w, "hello\n"); /* the ticket has come before it */
    SSL_SESSION *session = SSL_get1_session(w.ssl);
    assert_true(SSL_SESSION_is_resumable(session));
    SSL_set_shutdown(w.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    wire_close(&w);
    struct wire again = {.ctx = SSL_CTX_new(TLS_client_method()), .fd = sm_io_connect(server.port)};
    again.ssl = SSL_new(again.ctx);
    assert_int_equal(SSL_set_session(again.ssl, session), 1);
    assert_int_equal(SSL_set_fd(again.ssl, again.fd), 1);
    assert_int_equal(SSL_connect(again.ssl), 1);
    wire_send(&again, "GET /tls HTTP/1.1\r\nHost: x\r\n\r\n");
    wire_read_until(&again, "certificate=");
    assert_non_null(strstr(text, "resumed=1"));
    SSL_SESSION_free(session);
    wire_close(&again);
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

/* ---- channel bindings ---- */

/* As the client has it: the first Finished is its own, and the server's where the session was resumed. */
static void expect_binding(const struct wire *w, int version, char *out, size_t room)
{
    uint8_t octets[64];
    char hex[2 * sizeof(octets) + 1];
    size_t len = 32;
    if (version == TLS1_3_VERSION) {
        assert_int_equal(SSL_export_keying_material(w->ssl, octets, len, "EXPORTER-Channel-Binding",
                                                    24, (const unsigned char *)"", 0, 1),
                         1);
    } else if (SSL_session_reused(w->ssl)) {
        len = SSL_get_peer_finished(w->ssl, octets, sizeof(octets));
    } else {
        len = SSL_get_finished(w->ssl, octets, sizeof(octets));
    }
    (void)snprintf(out, room, "binding=%s.", sm_hex_format(sm_slice_of(octets, len), hex));
}

static SSL_SESSION *check_binding(int version, SSL_SESSION *session)
{
    char wanted[256];
    struct wire w = {.ctx = SSL_CTX_new(TLS_client_method()), .fd = sm_io_connect(server.port)};
    assert_int_equal(SSL_CTX_set_max_proto_version(w.ctx, version), 1);
    w.ssl = SSL_new(w.ctx);
    assert_int_equal(session == NULL ? 1 : SSL_set_session(w.ssl, session), 1);
    assert_int_equal(SSL_set_fd(w.ssl, w.fd), 1);
    assert_int_equal(SSL_connect(w.ssl), 1);
    assert_int_equal(SSL_session_reused(w.ssl), session != NULL);
    wire_send(&w, "GET /binding HTTP/1.1\r\nHost: x\r\n\r\n");
    wire_read_until(&w, ".\n");
    expect_binding(&w, version, wanted, sizeof(wanted));
    assert_non_null(strstr(text, wanted));
    SSL_SESSION *kept = SSL_get1_session(w.ssl);
    SSL_set_shutdown(w.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    wire_close(&w);
    SSL_SESSION_free(session);
    return kept;
}

static void server_tls__has_the_clients_channel_binding(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    sm_tls_server *tls = sm_tls_test_plain_server();
    sm_io_server_start(&server, 0, tls, NULL, NULL);
    for (size_t i = 0; i < SM_ARRAY_LEN(versions); i++) {
        SSL_SESSION *session = check_binding(versions[i], NULL);
        session = check_binding(versions[i], session);
        SSL_SESSION_free(session);
    }
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

/* The certificate that the client was shown, hashed, or `error` where it has no one hash. */
static void check_end_point(const char *server_name, int version, const char *error)
{
    char wanted[256];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    struct wire w = {.ctx = SSL_CTX_new(TLS_client_method()), .fd = sm_io_connect(server.port)};
    assert_int_equal(SSL_CTX_set_max_proto_version(w.ctx, version), 1);
    w.ssl = SSL_new(w.ctx);
    assert_int_equal(server_name == NULL ? 1 : SSL_set_tlsext_host_name(w.ssl, server_name), 1);
    assert_int_equal(SSL_set_fd(w.ssl, w.fd), 1);
    assert_int_equal(SSL_connect(w.ssl), 1);
    assert_int_equal(X509_digest(SSL_get0_peer_certificate(w.ssl), EVP_sha256(), hash, &len), 1);
    (void)snprintf(wanted, sizeof(wanted), "end_point=%s.",
                   error != NULL ? error : sm_hex_format(sm_slice_of(hash, len), hex));
    wire_send(&w, "GET /end_point HTTP/1.1\r\nHost: x\r\n\r\n");
    wire_read_until(&w, ".\n");
    assert_non_null(strstr(text, wanted));
    wire_close(&w);
}

static void server_tls__has_the_hash_of_the_certificate_that_it_shows(void **state)
{
    (void)state;
    static const char *const names[] = {"server", "a", NULL};
    sm_tls_server *tls = sm_tls_test_server(&(struct sm_tls_server_config){.minimum_version = 0},
                                            names);
    sm_io_server_start(&server, 0, tls, NULL, NULL);
    check_end_point(NULL, TLS1_2_VERSION, NULL);
    check_end_point(NULL, TLS1_3_VERSION, NULL);
    check_end_point("a.example", TLS1_2_VERSION, NULL);
    check_end_point("a.example", TLS1_3_VERSION, NULL);
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

/* RFC 5929 4.1: nothing is defined for a signature without a digest of its own. */
static void server_tls__has_no_hash_of_an_ed25519_certificate(void **state)
{
    (void)state;
    static const char *const names[] = {"edwards", NULL};
    const struct sm_pki_spec spec = {.name = "edwards", .key_type = "ED25519"};
    assert_true(sm_pki_make(sm_tls_test_dir, &spec));
    sm_tls_server *tls = sm_tls_test_server(&(struct sm_tls_server_config){.minimum_version = 0},
                                            names);
    sm_io_server_start(&server, 0, tls, NULL, NULL);
    check_end_point(NULL, TLS1_3_VERSION, "precondition");
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

/* ---- bad and slow peers ---- */

static void server_tls__says_in_words_that_it_wants_tls(void **state)
{
    sm_tls_server *tls = sm_tls_test_plain_server();
    sm_io_server_start(&server, without_of(state), tls, NULL, NULL);
    int fd = sm_io_connect(server.port);
    sm_io_send(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(sm_io_read_to_end(fd, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "400 Bad Request"));
    const char *body = strstr(text, "\r\n\r\n") + 4;
    const char *length = strstr(text, "Content-Length: ") + 16;
    assert_int_equal((size_t)strtoul(length, NULL, 10), strlen(body));
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

static void server_tls__answers_garbage_with_an_alert(void **state)
{
    sm_tls_server *tls = sm_tls_test_plain_server();
    sm_io_server_start(&server, without_of(state), tls, NULL, NULL);
    int fd = sm_io_connect(server.port);
    sm_io_send(fd, "\x16\x03\x01\x01\x01garbage, and a lot of it, that is no ClientHello");
    sm_io_send(fd, "garbage garbage garbage garbage garbage garbage garbage garbage garbage "
                   "garbage garbage garbage garbage garbage garbage garbage garbage garbage "
                   "garbage garbage garbage garbage garbage garbage garbage garbage garbage ");
    assert_true(sm_io_read_to_end(fd, text, sizeof(text)) >= 7);
    assert_int_equal(text[0], 0x15);
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

static void server_tls__closes_who_does_not_shake_hands(void **state)
{
    sm_tls_server *tls = sm_tls_test_plain_server();
    struct sm_http_limits l;
    sm_http_limits_default(&l);
    l.handshake_timeout_ms = 500;
    sm_io_server_start(&server, without_of(state), tls, &l, NULL);
    int silent = sm_io_connect(server.port);
    int trickle = sm_io_connect(server.port);
    bool closed = false;
    sm_io_send(trickle, "\x16");
    for (int i = 0; i < 20 && !closed; i++) {
        (void)send(trickle, "\x03", 1, MSG_NOSIGNAL); /* a trickle does not buy time */
        closed = sm_io_is_closed_within(trickle, 100);
    }
    assert_true(closed);
    assert_true(sm_io_is_closed_within(silent, 4000));
    (void)close(silent);
    (void)close(trickle);
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

/* Opened in advance: the handshake's time-out is over, the idle one counts. */
static void server_tls__keeps_who_is_silent_after_the_handshake_until_idle(void **state)
{
    (void)state;
    sm_tls_server *tls = sm_tls_test_plain_server();
    struct sm_http_limits l;
    sm_http_limits_default(&l);
    l.handshake_timeout_ms = 500;
    l.idle_timeout_ms = 2500;
    sm_io_server_start(&server, 0, tls, &l, NULL);
    struct wire silent = wire_open(server.port, "\x02h2");
    struct wire late = wire_open(server.port, "\x08http/1.1");
    (void)usleep(1800000);
    wire_send(&late, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    wire_read_until(&late, "hello\n");
    assert_non_null(strstr(text, "200 OK"));
    int n = SSL_read(silent.ssl, text, sizeof(text));
    assert_int_equal(SSL_get_error(silent.ssl, n), SSL_ERROR_ZERO_RETURN);
    wire_close(&silent);
    wire_close(&late);
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

static void server_tls__drain_ends_who_is_silent(void **state)
{
    (void)state;
    sm_tls_server *tls = sm_tls_test_plain_server();
    sm_io_server_start(&server, 0, tls, NULL, NULL);
    struct wire silent = wire_open(server.port, "\x02h2");
    (void)usleep(50000); /* our end of the handshake */
    sm_io_server_drain(&server);
    int n = SSL_read(silent.ssl, text, sizeof(text));
    assert_int_equal(SSL_get_error(silent.ssl, n), SSL_ERROR_ZERO_RETURN);
    wire_close(&silent);
    assert_true(sm_io_server_is_drained_within(&server, 3000));
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

static void server_tls__a_required_certificate_is_required(void **state)
{
    sm_tls_server *tls = sm_tls_test_asking_server(SM_TLS_CLIENT_REQUIRED);
    sm_io_server_start(&server, without_of(state), tls, NULL, NULL);
    struct wire w = wire_open(server.port, NULL); /* TLS 1.3: the client is through already */
    int n = SSL_read(w.ssl, text, sizeof(text));
    assert_true(n <= 0);
    assert_int_equal(SSL_get_error(w.ssl, n), SSL_ERROR_SSL); /* an alert, not a reset */
    wire_close(&w);
    for (int i = 0; i < 3000 && open_connections() > 0; i++) {
        (void)usleep(1000);
    }
    assert_int_equal(open_connections(), 0);
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

static void server_tls__reload_leaves_connections_alone(void **state)
{
    (void)state;
    sm_tls_server *tls = sm_tls_test_plain_server();
    sm_io_server_start(&server, 0, tls, NULL, NULL);
    struct wire w = wire_open(server.port, NULL);
    for (int i = 0; i < 5; i++) {
        assert_sm_ok(sm_tls_server_reload(tls, NULL)); /* from this thread, as the loop serves */
        wire_send(&w, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
        wire_read_until(&w, "hello\n");
        assert_non_null(strstr(text, "200 OK"));
        struct wire fresh = wire_open(server.port, NULL);
        wire_close(&fresh);
    }
    wire_close(&w);
    sm_io_server_stop(&server);
    sm_tls_server_free(&tls);
}

#define EVERY_WAY(test)                                                                            \
    cmocka_unit_test_prestate(test, NULL), cmocka_unit_test_prestate(test, (void *)(uintptr_t)3U), \
        cmocka_unit_test_prestate(test, (void *)(uintptr_t)4U)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERY_WAY(server_tls__answers_over_http_1),
        EVERY_WAY(server_tls__alpn_h2_speaks_http_2),
        cmocka_unit_test(server_tls__http_2_by_prior_knowledge),
        EVERY_WAY(server_tls__streams_a_large_answer),
        EVERY_WAY(server_tls__key_updates_during_a_large_answer),
        cmocka_unit_test(server_tls__resumes_over_connections),
        cmocka_unit_test(server_tls__has_the_clients_channel_binding),
        cmocka_unit_test(server_tls__has_the_hash_of_the_certificate_that_it_shows),
        cmocka_unit_test(server_tls__has_no_hash_of_an_ed25519_certificate),
        EVERY_WAY(server_tls__says_in_words_that_it_wants_tls),
        EVERY_WAY(server_tls__answers_garbage_with_an_alert),
        EVERY_WAY(server_tls__closes_who_does_not_shake_hands),
        cmocka_unit_test(server_tls__keeps_who_is_silent_after_the_handshake_until_idle),
        cmocka_unit_test(server_tls__drain_ends_who_is_silent),
        EVERY_WAY(server_tls__a_required_certificate_is_required),
        cmocka_unit_test(server_tls__reload_leaves_connections_alone),
    };
    return cmocka_run_group_tests(tests, sm_tls_test_make_pki, sm_tls_test_remove_pki);
}
