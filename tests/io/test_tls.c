/* SPDX-License-Identifier: Apache-2.0 */
/* TLS over memory: what is agreed on, names, and octets. */
#include "base/check.h"
#include "base/mem.h"
#include "tests/support/pki.h"
#include "tests/support/tls_peer.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

/* ---- agreeing ---- */

static void tls__agrees_on_1_3_with_the_hybrid_group(void **state)
{
    (void)state;
    sm_tls_server *server = sm_tls_test_plain_server();
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    assert_sm_ok(sm_tls_peer_shake(p, conn));
    assert_true(sm_tls_conn_is_up(conn));
    const struct sm_tls_info *info = sm_tls_conn_info(conn);
    assert_true(info->used);
    assert_int_equal(info->version, TLS1_3_VERSION);
    assert_string_equal(info->group, "X25519MLKEM768");
    assert_string_equal(SSL_get0_group_name(p->ssl), "X25519MLKEM768");
    assert_int_equal(info->peer_certificate.len, 0);
    assert_false(info->peer_verified);
    assert_false(info->resumed);
    sm_tls_test_end(p, &conn, &server);
}

static void tls__handshake_survives_single_octets(void **state)
{
    (void)state;
    sm_tls_server *server = sm_tls_test_plain_server();
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    assert_sm_ok(sm_tls_peer_shake_steps(p, conn, 1));
    assert_true(sm_tls_conn_is_up(conn));
    sm_tls_test_end(p, &conn, &server);
}

static void tls__a_client_without_the_hybrid_group_gets_a_classical_one(void **state)
{
    (void)state;
    sm_tls_server *server = sm_tls_test_plain_server();
    const char *const groups[] = {"X25519", "P-256", "P-384"};
    for (size_t i = 0; i < SM_ARRAY_LEN(groups); i++) {
        sm_tls_conn *conn = sm_tls_test_open(server);
        struct sm_tls_peer *p = sm_tls_peer_new(NULL);
        assert_int_equal(SSL_set1_groups_list(p->ssl, groups[i]), 1);
        assert_sm_ok(sm_tls_peer_shake(p, conn));
        assert_string_equal(sm_tls_conn_info(conn)->group, SSL_get0_group_name(p->ssl));
        sm_tls_test_end(p, &conn, &(sm_tls_server *){NULL});
    }
    sm_tls_server_free(&server);
}

static void tls__speaks_1_2_with_forward_secrecy_alone(void **state)
{
    (void)state;
    sm_tls_server *server = sm_tls_test_plain_server();
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    assert_int_equal(SSL_set_max_proto_version(p->ssl, TLS1_2_VERSION), 1);
    assert_sm_ok(sm_tls_peer_shake(p, conn));
    assert_int_equal(sm_tls_conn_info(conn)->version, TLS1_2_VERSION);
    assert_non_null(strstr(sm_tls_conn_info(conn)->cipher, "ECDHE-"));
    sm_tls_test_end(p, &conn, &(sm_tls_server *){NULL});
    conn = sm_tls_test_open(server);
    p = sm_tls_peer_new(NULL);
    assert_int_equal(SSL_set_max_proto_version(p->ssl, TLS1_2_VERSION), 1);
    assert_int_equal(SSL_set_cipher_list(p->ssl, "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"), 1);
    assert_sm_err(sm_tls_peer_shake(p, conn), CLOSED);
    assert_false(sm_tls_conn_is_up(conn));
    assert_string_not_equal(sm_tls_conn_why(conn), "");
    sm_tls_test_end(p, &conn, &server);
}

static void tls__minimum_version_is_kept(void **state)
{
    (void)state;
    static const char *const names[] = {"server", NULL};
    sm_tls_server *server = sm_tls_test_server(
        &(struct sm_tls_server_config){.minimum_version = TLS1_3_VERSION}, names);
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    assert_int_equal(SSL_set_max_proto_version(p->ssl, TLS1_2_VERSION), 1);
    assert_sm_err(sm_tls_peer_shake(p, conn), CLOSED);
    sm_tls_test_end(p, &conn, &server);
}

static sm_slice agreed_alpn(sm_tls_server *server, const unsigned char *offer, unsigned len,
                            char to[32], sm_err *err)
{
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    assert_int_equal(SSL_set_alpn_protos(p->ssl, offer, len), 0);
    *err = sm_tls_peer_shake(p, conn);
    sm_slice alpn = sm_tls_conn_alpn(conn);
    assert_true(alpn.len < 32);
    if (alpn.len > 0) {
        memcpy(to, alpn.ptr, alpn.len);
    }
    size_t n = alpn.len;
    sm_tls_test_end(p, &conn, &(sm_tls_server *){NULL});
    return sm_slice_of(to, n);
}

static void tls__alpn_prefers_h2_and_refuses_strangers(void **state)
{
    (void)state;
    static const char *const names[] = {"server", NULL};
    char name[32];
    sm_err err;
    sm_tls_server *server = sm_tls_test_plain_server();
    sm_slice both = agreed_alpn(server, (const unsigned char *)"\x08http/1.1\x02h2", 12, name,
                                &err);
    assert_sm_ok(err);
    assert_true(sm_slice_equal(both, SM_LIT("h2")));
    sm_slice old = agreed_alpn(server, (const unsigned char *)"\x08http/1.1", 9, name, &err);
    assert_sm_ok(err);
    assert_true(sm_slice_equal(old, SM_LIT("http/1.1")));
    (void)agreed_alpn(server,
                      (const unsigned char *)"\x03"
                                             "foo",
                      4, name, &err);
    assert_sm_err(err, CLOSED);
    sm_tls_server_free(&server);
    server = sm_tls_test_server(&(struct sm_tls_server_config){.no_http2 = true}, names);
    sm_slice kept = agreed_alpn(server, (const unsigned char *)"\x02h2\x08http/1.1", 12, name,
                                &err);
    assert_sm_ok(err);
    assert_true(sm_slice_equal(kept, SM_LIT("http/1.1")));
    sm_tls_server_free(&server);
}

static void tls__garbage_ends_in_an_alert(void **state)
{
    (void)state;
    sm_tls_server *server = sm_tls_test_plain_server();
    sm_tls_conn *conn = sm_tls_test_open(server);
    sm_buf out = sm_buf_init(4096);
    sm_tls_conn_feed(conn, SM_LIT("\x16\x03\x01\x00\x05hello, this is no ClientHello"));
    assert_sm_err(sm_tls_conn_handshake(conn, &out), CLOSED);
    assert_true(out.len > 0);
    assert_int_equal(out.ptr[0], 0x15); /* an alert record */
    sm_buf_deinit(&out);
    sm_tls_test_end(NULL, &conn, &server);
}

static void tls__bulk_data_arrives_whole_in_both_directions(void **state)
{
    (void)state;
    enum { BULK = 300000 };
    sm_tls_server *server = sm_tls_test_plain_server();
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    assert_sm_ok(sm_tls_peer_shake(p, conn));
    uint8_t *bulk = sm_malloc(BULK);
    uint8_t *back = sm_malloc(BULK);
    assert_true(bulk != NULL && back != NULL);
    for (size_t i = 0; i < BULK; i++) {
        bulk[i] = (uint8_t)(i * 7 + i / 251);
    }
    sm_buf out = sm_buf_init(1U << 20);
    assert_sm_ok(sm_tls_conn_write(conn, sm_slice_of(bulk, BULK), &out));
    assert_true(out.len > BULK && out.len < BULK + BULK / 100); /* records of 16 KB */
    sm_tls_peer_receive(p, &out);
    int got = 0;
    int n;
    while (got < BULK && (n = SSL_read(p->ssl, back + got, BULK - got)) > 0) {
        got += n;
    }
    assert_int_equal(got, BULK);
    assert_memory_equal(bulk, back, BULK);
    assert_int_equal(SSL_write(p->ssl, bulk, BULK), BULK);
    size_t at = 0;
    char octets[3000];
    while ((n = BIO_read(SSL_get_wbio(p->ssl), octets, sizeof(octets))) > 0) {
        size_t len = 1;
        sm_tls_conn_feed(conn, sm_slice_of(octets, (size_t)n));
        while (len > 0 && at < BULK) {
            assert_sm_ok(sm_tls_conn_read(conn, back + at, BULK - at, &len, &out));
            at += len;
        }
    }
    assert_int_equal(at, BULK);
    assert_memory_equal(bulk, back, BULK);
    sm_free(bulk);
    sm_free(back);
    sm_buf_deinit(&out);
    sm_tls_test_end(p, &conn, &server);
}

static void tls__sees_and_says_the_end(void **state)
{
    (void)state;
    sm_tls_server *server = sm_tls_test_plain_server();
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    sm_buf out = sm_buf_init(4096);
    char byte;
    assert_sm_ok(sm_tls_peer_shake(p, conn));
    assert_false(sm_tls_conn_peer_closed(conn));
    (void)SSL_shutdown(p->ssl);
    assert_sm_ok(sm_tls_peer_to_server(p, conn, &out, 4096));
    assert_true(sm_tls_conn_peer_closed(conn));
    sm_tls_conn_shutdown(conn, &out);
    assert_true(out.len > 0);
    sm_tls_peer_receive(p, &out);
    int rc = SSL_read(p->ssl, &byte, 1);
    assert_int_equal(SSL_get_error(p->ssl, rc), SSL_ERROR_ZERO_RETURN);
    sm_buf_deinit(&out);
    sm_tls_test_end(p, &conn, &server);
}

/* ---- names ---- */

static void tls__sni_chooses_the_certificate(void **state)
{
    (void)state;
    static const char *const names[] = {"server", "a", "wild", NULL};
    sm_tls_server *server = sm_tls_test_server(&(struct sm_tls_server_config){.groups = NULL},
                                               names);
    sm_tls_test_check_sni(server, NULL, "server");
    sm_tls_test_check_sni(server, "a.example", "a");
    sm_tls_test_check_sni(server, "A.Example", "a");
    sm_tls_test_check_sni(server, "both.example", "a"); /* the first that has the name */
    sm_tls_test_check_sni(server, "x.wild.example", "wild");
    sm_tls_test_check_sni(server, "X.WILD.example", "wild");
    sm_tls_test_check_sni(server, "x.y.wild.example", "server"); /* one label */
    sm_tls_test_check_sni(server, "wild.example", "server");
    sm_tls_test_check_sni(server, "unknown.example", "server");
    sm_tls_server_free(&server);
}

static void tls__info_has_the_name_in_lower_case(void **state)
{
    (void)state;
    static const char *const names[] = {"server", "a", NULL};
    const char *const asked[] = {"A.EXAMPLE", "Unknown.Example"};
    const char *const told[] = {"a.example", "unknown.example"};
    sm_tls_server *server = sm_tls_test_server(&(struct sm_tls_server_config){.groups = NULL},
                                               names);
    for (size_t i = 0; i < 2; i++) {
        sm_tls_conn *conn = sm_tls_test_open(server);
        struct sm_tls_peer *p = sm_tls_peer_new(NULL);
        assert_int_equal(SSL_set_tlsext_host_name(p->ssl, asked[i]), 1);
        assert_sm_ok(sm_tls_peer_shake(p, conn));
        assert_true(sm_slice_equal(sm_tls_conn_info(conn)->server_name, sm_slice_str(told[i])));
        sm_tls_test_end(p, &conn, &(sm_tls_server *){NULL});
    }
    sm_tls_server_free(&server);
}

static void names__find_and_fold(void **state)
{
    (void)state;
    tls_names *names = NULL;
    char long_name[400];
    memset(long_name, 'a', sizeof(long_name));
    FILE *file = fopen(sm_tls_test_pem("wild"), "re");
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    (void)fclose(file);
    assert_sm_ok(sm_tls_names_new(&names));
    assert_sm_ok(sm_tls_names_add(names, cert, 5));
    assert_sm_ok(sm_tls_names_add(names, cert, 6)); /* the earlier one stays */
    assert_int_equal(sm_tls_names_find(names, SM_LIT("x.wild.example.")), 5);
    assert_int_equal(sm_tls_names_find(names, SM_LIT("BOTH.EXAMPLE")), 5);
    assert_int_equal(sm_tls_names_find(names, SM_LIT(".wild.example")), -1);
    assert_int_equal(sm_tls_names_find(names, SM_LIT("*.wild.example")), 5);
    assert_int_equal(sm_tls_names_find(names, SM_LIT("")), -1);
    assert_int_equal(sm_tls_names_find(names, SM_LIT(".")), -1);
    assert_int_equal(sm_tls_names_find(names, SM_LIT("nodot")), -1);
    assert_int_equal(sm_tls_names_find(names, sm_slice_of(long_name, sizeof(long_name))), -1);
    X509_free(cert);
    sm_tls_names_free(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls__agrees_on_1_3_with_the_hybrid_group),
        cmocka_unit_test(tls__handshake_survives_single_octets),
        cmocka_unit_test(tls__a_client_without_the_hybrid_group_gets_a_classical_one),
        cmocka_unit_test(tls__speaks_1_2_with_forward_secrecy_alone),
        cmocka_unit_test(tls__minimum_version_is_kept),
        cmocka_unit_test(tls__alpn_prefers_h2_and_refuses_strangers),
        cmocka_unit_test(tls__garbage_ends_in_an_alert),
        cmocka_unit_test(tls__bulk_data_arrives_whole_in_both_directions),
        cmocka_unit_test(tls__sees_and_says_the_end),
        cmocka_unit_test(tls__sni_chooses_the_certificate),
        cmocka_unit_test(tls__info_has_the_name_in_lower_case),
        cmocka_unit_test(names__find_and_fold),
    };
    return cmocka_run_group_tests(tests, sm_tls_test_make_pki, sm_tls_test_remove_pki);
}
