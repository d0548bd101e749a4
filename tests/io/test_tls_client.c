/* SPDX-License-Identifier: Apache-2.0 */
/* TLS over memory: our client against our server. */
#include "base/check.h"
#include "base/mem.h"
#include "tests/support/pki.h"
#include "tests/support/tls_peer.h"

/* ---- our client ---- */

static sm_tls_client *new_client(const char *ca, const char *cert, const char *name, bool resume)
{
    sm_tls_client *client = NULL;
    const struct sm_tls_client_config config = {
        .ca_file = sm_tls_test_pem(ca),
        .certificate_file = cert == NULL ? NULL : sm_tls_test_pem(cert),
        .key_file = cert == NULL ? NULL : sm_tls_test_key(cert),
        .server_name = name,
        .resume = resume,
    };
    assert_sm_ok(sm_tls_client_new(&config, &client, NULL));
    return client;
}

static sm_err pump(sm_tls_conn *conn, sm_buf *in, sm_buf *out)
{
    uint8_t plain[256];
    size_t len = 1;
    sm_tls_conn_feed(conn, sm_buf_slice(in));
    if (!sm_tls_conn_is_up(conn)) {
        SM_TRY(sm_tls_conn_handshake(conn, out));
    }
    while (sm_tls_conn_is_up(conn) && len > 0) {
        SM_TRY(sm_tls_conn_read(conn, plain, sizeof(plain), &len, out));
    }
    sm_buf_reset(in);
    return SM_NO_ERR;
}

/* Both ends are ours. */
static void meet(sm_tls_client *client, sm_tls_server *server, sm_tls_conn **c, sm_tls_conn **s,
                 sm_err *client_err, sm_err *server_err)
{
    sm_buf to_s = sm_buf_init(1U << 20);
    sm_buf to_c = sm_buf_init(1U << 20);
    assert_sm_ok(sm_tls_client_open(client, c));
    *s = sm_tls_test_open(server);
    *client_err = *server_err = SM_NO_ERR;
    for (int i = 0; i < 10; i++) {
        if (sm_ok(*client_err)) {
            *client_err = pump(*c, &to_c, &to_s);
        }
        if (sm_ok(*server_err)) {
            *server_err = pump(*s, &to_s, &to_c);
        }
    }
    sm_buf_deinit(&to_s);
    sm_buf_deinit(&to_c);
}

static void client__verifies_chain_and_name(void **state)
{
    (void)state;
    const struct {
        const char *ca;
        const char *name;
        bool good;
    } rows[] = {
        {"root", "localhost", true},        {"root", "127.0.0.1", true},
        {"root", "127.0.0.2", false},       {"root", "a.example", false},
        {"other-root", "localhost", false},
    };
    sm_tls_server *server = sm_tls_test_plain_server();
    for (size_t i = 0; i < SM_ARRAY_LEN(rows); i++) {
        sm_tls_conn *c = NULL;
        sm_tls_conn *s = NULL;
        sm_err client_err;
        sm_err server_err;
        sm_tls_client *client = new_client(rows[i].ca, NULL, rows[i].name, false);
        meet(client, server, &c, &s, &client_err, &server_err);
        assert_int_equal(sm_ok(client_err), rows[i].good);
        assert_int_equal(sm_tls_conn_is_up(c), rows[i].good);
        if (!rows[i].good) {
            assert_sm_err(client_err, UNAUTHENTICATED);
            assert_string_not_equal(sm_tls_conn_why(c), "");
        }
        sm_tls_conn_free(&c);
        sm_tls_conn_free(&s);
        sm_tls_client_free(&client);
    }
    sm_tls_server_free(&server);
}

static void client__shows_its_certificate_and_resumes(void **state)
{
    (void)state;
    sm_tls_server *server = sm_tls_test_asking_server(SM_TLS_CLIENT_REQUIRED);
    sm_tls_client *client = new_client("root", "client", "localhost", true);
    for (int i = 0; i < 3; i++) {
        sm_tls_conn *c = NULL;
        sm_tls_conn *s = NULL;
        sm_err client_err;
        sm_err server_err;
        meet(client, server, &c, &s, &client_err, &server_err);
        assert_sm_ok(client_err);
        assert_sm_ok(server_err);
        assert_int_equal(sm_tls_conn_info(s)->resumed, i > 0);
        assert_true(sm_tls_conn_info(s)->peer_verified);
        assert_true(sm_slice_equal(sm_tls_conn_alpn(c), SM_LIT("h2")));
        sm_tls_conn_free(&c);
        sm_tls_conn_free(&s);
    }
    sm_tls_client_free(&client);
    sm_tls_server_free(&server);
}

/* TLS 1.3: the client believes that all is well until the server's alert. */
static void client__learns_that_its_certificate_is_missing(void **state)
{
    (void)state;
    sm_tls_server *server = sm_tls_test_asking_server(SM_TLS_CLIENT_REQUIRED);
    sm_tls_client *client = new_client("root", NULL, "localhost", false);
    sm_tls_conn *c = NULL;
    sm_tls_conn *s = NULL;
    sm_err client_err;
    sm_err server_err;
    meet(client, server, &c, &s, &client_err, &server_err);
    assert_sm_err(server_err, UNAUTHENTICATED);
    assert_sm_err(client_err, UNAUTHENTICATED);
    sm_tls_conn_free(&c);
    sm_tls_conn_free(&s);
    sm_tls_client_free(&client);
    sm_tls_server_free(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client__verifies_chain_and_name),
        cmocka_unit_test(client__shows_its_certificate_and_resumes),
        cmocka_unit_test(client__learns_that_its_certificate_is_missing),
    };
    return cmocka_run_group_tests(tests, sm_tls_test_make_pki, sm_tls_test_remove_pki);
}
