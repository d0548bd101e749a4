/* SPDX-License-Identifier: Apache-2.0 */
/* Stapled OCSP answers: to whom they go, and when they change. */
#include "base/check.h"
#include "base/mem.h"
#include "tests/support/tls_peer.h"

#include <string.h>

static const char *const names[] = {"server", "a", NULL};

/* What a client of this version gets that asks (or not) for the status. */
static void expect(sm_tls_server *server, int version, const char *sni, bool asks,
                   const char *wanted)
{
    const unsigned char *got = NULL;
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    assert_int_equal(SSL_set_max_proto_version(p->ssl, version), 1);
    if (sni != NULL) {
        assert_int_equal(SSL_set_tlsext_host_name(p->ssl, sni), 1);
    }
    if (asks) {
        assert_int_equal(SSL_set_tlsext_status_type(p->ssl, TLSEXT_STATUSTYPE_ocsp), 1);
    }
    assert_sm_ok(sm_tls_peer_shake(p, conn));
    long len = SSL_get_tlsext_status_ocsp_resp(p->ssl, &got);
    assert_int_equal(len, wanted == NULL ? -1 : (long)strlen(wanted));
    if (wanted != NULL) {
        assert_memory_equal(got, wanted, strlen(wanted));
    }
    sm_tls_test_end(p, &conn, &(sm_tls_server *){NULL});
}

static sm_buf leaf(sm_tls_server *server, size_t at)
{
    sm_buf der = sm_buf_init(65536);
    assert_sm_ok(sm_tls_server_leaf(server, at, &der));
    return der;
}

static void staple(sm_tls_server *server, size_t at, const char *octets)
{
    sm_buf der = leaf(server, at);
    assert_sm_ok(sm_tls_server_staple(server, at, sm_buf_slice(&der), sm_slice_str(octets)));
    sm_buf_deinit(&der);
}

static void staple__goes_to_those_who_ask(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < SM_ARRAY_LEN(versions); i++) {
        sm_tls_server *server = sm_tls_test_server(&(struct sm_tls_server_config){0}, names);
        assert_int_equal(sm_tls_server_certificate_count(server), 2);
        expect(server, versions[i], NULL, true, NULL);
        staple(server, 0, "first");
        expect(server, versions[i], NULL, true, "first");
        expect(server, versions[i], NULL, false, NULL);
        staple(server, 0, "second");
        expect(server, versions[i], NULL, true, "second");
        staple(server, 0, "");
        expect(server, versions[i], NULL, true, NULL);
        sm_tls_server_free(&server);
    }
}

static void staple__belongs_to_one_certificate(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < SM_ARRAY_LEN(versions); i++) {
        sm_tls_server *server = sm_tls_test_server(&(struct sm_tls_server_config){0}, names);
        staple(server, 1, "of a");
        expect(server, versions[i], "localhost", true, NULL);
        expect(server, versions[i], "a.example", true, "of a");
        staple(server, 0, "of server");
        expect(server, versions[i], "localhost", true, "of server");
        expect(server, versions[i], "a.example", true, "of a");
        sm_tls_server_free(&server);
    }
}

static void staple__for_another_certificate_is_not_taken(void **state)
{
    (void)state;
    sm_tls_server *server = sm_tls_test_server(&(struct sm_tls_server_config){0}, names);
    sm_buf other = leaf(server, 1);
    assert_sm_err(sm_tls_server_staple(server, 0, sm_buf_slice(&other), SM_LIT("x")), NOT_FOUND);
    expect(server, TLS1_3_VERSION, NULL, true, NULL);
    sm_buf_deinit(&other);
    sm_tls_server_free(&server);
}

static void staple__is_forgotten_by_a_reload(void **state)
{
    (void)state;
    sm_tls_server *server = sm_tls_test_server(&(struct sm_tls_server_config){0}, names);
    sm_tls_conn *old = sm_tls_test_open(server); /* goes on with what it began under */
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    assert_int_equal(SSL_set_tlsext_status_type(p->ssl, TLSEXT_STATUSTYPE_ocsp), 1);
    staple(server, 0, "before");
    sm_diag diag = {.reason = ""};
    assert_sm_ok(sm_tls_server_reload(server, &diag));
    expect(server, TLS1_3_VERSION, NULL, true, NULL);
    assert_sm_ok(sm_tls_peer_shake(p, old));
    const unsigned char *got = NULL;
    assert_int_equal(SSL_get_tlsext_status_ocsp_resp(p->ssl, &got), 6);
    sm_tls_test_end(p, &old, &server);
}

static void staple__has_a_limit(void **state)
{
    (void)state;
    sm_tls_server *server = sm_tls_test_server(&(struct sm_tls_server_config){0}, names);
    sm_buf der = leaf(server, 0);
    uint8_t *large = sm_calloc(1, SM_TLS_STAPLE_MAX + 1);
    assert_non_null(large);
    staple(server, 0, "kept");
    assert_sm_err(sm_tls_server_staple(server, 0, sm_buf_slice(&der),
                                       sm_slice_of(large, SM_TLS_STAPLE_MAX + 1)),
                  TOO_LARGE);
    expect(server, TLS1_3_VERSION, NULL, true, "kept");
    sm_free(large);
    sm_buf_deinit(&der);
    sm_tls_server_free(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(staple__goes_to_those_who_ask),
        cmocka_unit_test(staple__belongs_to_one_certificate),
        cmocka_unit_test(staple__for_another_certificate_is_not_taken),
        cmocka_unit_test(staple__is_forgotten_by_a_reload),
        cmocka_unit_test(staple__has_a_limit),
    };
    return cmocka_run_group_tests(tests, sm_tls_test_make_pki, sm_tls_test_remove_pki);
}
