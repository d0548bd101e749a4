/* SPDX-License-Identifier: Apache-2.0 */
/* TLS over memory: client certificates and resumption. */
#include "base/check.h"
#include "base/mem.h"
#include "tests/support/pki.h"
#include "tests/support/tls_peer.h"

#include "base/clock.h"

#include <openssl/x509v3.h>
#include <string.h>

/* ---- client certificates ---- */

static sm_err try_client(enum sm_tls_client_auth auth, const char *cert, int version,
                         struct sm_tls_info *seen)
{
    sm_tls_server *server = sm_tls_test_asking_server(auth);
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(cert);
    assert_int_equal(SSL_set_max_proto_version(p->ssl, version), 1);
    sm_err err = sm_tls_peer_shake(p, conn);
    *seen = *sm_tls_conn_info(conn);
    seen->peer_chain = NULL;
    if (sm_ok(err)) {
        assert_true(sm_tls_conn_is_up(conn));
        assert_true(SSL_is_init_finished(p->ssl));
    }
    sm_tls_test_end(p, &conn, &server);
    return err;
}

static void tls__client_certificate_by_mode(void **state)
{
    int version = (int)(intptr_t)*state;
    const enum sm_tls_client_auth none = SM_TLS_CLIENT_NONE;
    const enum sm_tls_client_auth optional = SM_TLS_CLIENT_OPTIONAL;
    const enum sm_tls_client_auth required = SM_TLS_CLIENT_REQUIRED;
    const enum sm_tls_client_auth unverified = SM_TLS_CLIENT_UNVERIFIED;
    const struct {
        enum sm_tls_client_auth auth;
        const char *cert;
        bool good;
        bool seen;
        bool verified;
    } rows[] = {
        {none, NULL, true, false, false},
        {none, "client", true, false, false}, /* not asked for: not sent */
        {optional, NULL, true, false, false},
        {optional, "client", true, true, true},
        {optional, "stranger", false, false, false},
        {optional, "self", false, false, false},
        {required, NULL, false, false, false},
        {required, "client", true, true, true},
        {required, "stranger", false, false, false},
        {required, "expired", false, false, false},
        {required, "wrong-use", false, false, false},
        {unverified, NULL, true, false, false},
        {unverified, "client", true, true, false}, /* no CA: verified by none */
        {unverified, "stranger", true, true, false},
        {unverified, "self", true, true, false},
        {unverified, "expired", true, true, false},
        {unverified, "wrong-use", true, true, false},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(rows); i++) {
        struct sm_tls_info seen;
        sm_err err = try_client(rows[i].auth, rows[i].cert, version, &seen);
        if (sm_ok(err) != rows[i].good) {
            print_error("row %zu: %s\n", i, sm_err_name(err));
        }
        assert_int_equal(sm_ok(err), rows[i].good);
        if (!rows[i].good) {
            assert_sm_err(err, UNAUTHENTICATED);
            continue;
        }
        assert_int_equal(seen.peer_certificate.len > 0, rows[i].seen);
        assert_int_equal(seen.peer_verified, rows[i].verified);
    }
}

static void tls__peer_chain_is_leaf_first(void **state)
{
    (void)state;
    sm_tls_server *server = sm_tls_test_asking_server(SM_TLS_CLIENT_REQUIRED);
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new("client");
    assert_sm_ok(sm_tls_peer_shake(p, conn));
    const struct sm_tls_info *info = sm_tls_conn_info(conn);
    assert_int_equal(info->peer_chain_count, 2);
    assert_true(sm_slice_equal(info->peer_chain[0], info->peer_certificate));
    const char *const expected[] = {"client", "sub"};
    for (size_t i = 0; i < 2; i++) {
        char cn[32] = "";
        const uint8_t *der = info->peer_chain[i].ptr;
        X509 *cert = d2i_X509(NULL, &der, (long)info->peer_chain[i].len);
        assert_non_null(cert);
        (void)X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn,
                                        sizeof(cn));
        assert_string_equal(cn, expected[i]);
        X509_free(cert);
    }
    sm_tls_test_end(p, &conn, &server);
}

/* ---- resumption ---- */

static bool resumes(sm_tls_server *server, SSL_SESSION *session, const char *cert, int version,
                    bool *has_certificate)
{
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(cert);
    assert_int_equal(SSL_set_max_proto_version(p->ssl, version), 1);
    assert_int_equal(SSL_set_session(p->ssl, session), 1);
    assert_sm_ok(sm_tls_peer_shake(p, conn));
    bool resumed = sm_tls_conn_info(conn)->resumed;
    assert_int_equal(resumed, SSL_session_reused(p->ssl));
    if (has_certificate != NULL) {
        *has_certificate = sm_tls_conn_info(conn)->peer_certificate.len > 0 &&
                           sm_tls_conn_info(conn)->peer_verified;
    }
    sm_tls_test_end(p, &conn, &(sm_tls_server *){NULL});
    return resumed;
}

static void tls__resumes_and_remembers_the_client(void **state)
{
    int version = (int)(intptr_t)*state;
    sm_tls_server *server = sm_tls_test_asking_server(SM_TLS_CLIENT_REQUIRED);
    SSL_SESSION *session = sm_tls_test_first_session(server, "client", version);
    assert_non_null(session);
    bool has_certificate = false;
    assert_true(resumes(server, session, "client", version, &has_certificate));
    assert_true(has_certificate);
    SSL_SESSION_free(session);
    sm_tls_server_free(&server);
}

static void tls__sessions_survive_a_reload_but_not_another_client_ca(void **state)
{
    (void)state;
    static const char *const names[] = {"server", NULL};
    char ca[512];
    (void)snprintf(ca, sizeof(ca), "%s", sm_pki_path(sm_tls_test_dir, "client-ca", ".pem"));
    assert_true(sm_pki_copy(sm_tls_test_pem("root"), ca));
    sm_tls_server *server = sm_tls_test_server(
        &(struct sm_tls_server_config){.client_auth = SM_TLS_CLIENT_OPTIONAL, .client_ca_file = ca},
        names);
    SSL_SESSION *session = sm_tls_test_first_session(server, NULL, TLS1_2_VERSION);
    assert_sm_ok(sm_tls_server_reload(server, NULL));
    assert_true(resumes(server, session, NULL, TLS1_2_VERSION, NULL));
    assert_true(sm_pki_copy(sm_tls_test_pem("other-root"), ca));
    assert_sm_ok(sm_tls_server_reload(server, NULL));
    assert_false(resumes(server, session, NULL, TLS1_2_VERSION, NULL));
    SSL_SESSION_free(session);
    sm_tls_server_free(&server);
}

static void tls__another_servers_ticket_is_not_taken(void **state)
{
    (void)state;
    sm_tls_server *one = sm_tls_test_plain_server();
    sm_tls_server *two = sm_tls_test_plain_server();
    SSL_SESSION *session = sm_tls_test_first_session(one, NULL, TLS1_3_VERSION);
    assert_non_null(session);
    assert_false(resumes(two, session, NULL, TLS1_3_VERSION, NULL));
    SSL_SESSION_free(session);
    sm_tls_server_free(&one);
    sm_tls_server_free(&two);
}

static void tls__no_resumption_when_it_is_off(void **state)
{
    (void)state;
    static const char *const names[] = {"server", NULL};
    sm_tls_server *server = sm_tls_test_server(
        &(struct sm_tls_server_config){.no_resumption = true}, names);
    SSL_SESSION *session = sm_tls_test_first_session(server, NULL, TLS1_3_VERSION);
    if (session != NULL) { /* a session without a ticket */
        assert_false(resumes(server, session, NULL, TLS1_3_VERSION, NULL));
        SSL_SESSION_free(session);
    }
    session = sm_tls_test_first_session(server, NULL, TLS1_2_VERSION);
    if (session != NULL) {
        assert_false(resumes(server, session, NULL, TLS1_2_VERSION, NULL));
        SSL_SESSION_free(session);
    }
    sm_tls_server_free(&server);
}

#define DAY_NS (TLS_TICKET_LIFE_S * SM_NS_PER_S)

static void tickets__rotate_by_the_day(void **state)
{
    (void)state;
    static const uint8_t zeros[sizeof(struct tls_ticket_key)];
    struct tls_tickets t;
    struct tls_ticket_key first[2];
    sm_tls_tickets_init(&t, 1000);
    assert_memory_not_equal(&t.keys[0], zeros, sizeof(zeros));
    assert_memory_not_equal(&t.keys[1], zeros, sizeof(zeros)); /* nobody may know it */
    memcpy(first, t.keys, sizeof(first));
    sm_tls_tickets_rotate(&t, 1000 + DAY_NS);
    assert_memory_equal(first, t.keys, sizeof(first));
    sm_tls_tickets_rotate(&t, 1001 + DAY_NS);
    assert_memory_equal(&first[0], &t.keys[1], sizeof(first[0]));
    assert_memory_not_equal(&first[0], &t.keys[0], sizeof(first[0]));
    memcpy(first, t.keys, sizeof(first));
    sm_tls_tickets_rotate(&t, 5000 + 4 * DAY_NS); /* idle for days: both are too old */
    for (int i = 0; i < 2; i++) {
        assert_memory_not_equal(&first[0], &t.keys[i], sizeof(first[0]));
        assert_memory_not_equal(&first[1], &t.keys[i], sizeof(first[0]));
    }
    sm_tls_tickets_deinit(&t);
}

int main(void)
{
    void *v2 = (void *)(intptr_t)TLS1_2_VERSION;
    void *v3 = (void *)(intptr_t)TLS1_3_VERSION;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(tls__client_certificate_by_mode, v2),
        cmocka_unit_test_prestate(tls__client_certificate_by_mode, v3),
        cmocka_unit_test(tls__peer_chain_is_leaf_first),
        cmocka_unit_test_prestate(tls__resumes_and_remembers_the_client, v2),
        cmocka_unit_test_prestate(tls__resumes_and_remembers_the_client, v3),
        cmocka_unit_test(tls__sessions_survive_a_reload_but_not_another_client_ca),
        cmocka_unit_test(tls__another_servers_ticket_is_not_taken),
        cmocka_unit_test(tls__no_resumption_when_it_is_off),
        cmocka_unit_test(tickets__rotate_by_the_day),
    };
    return cmocka_run_group_tests(tests, sm_tls_test_make_pki, sm_tls_test_remove_pki);
}
