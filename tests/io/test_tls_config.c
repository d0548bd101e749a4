/* SPDX-License-Identifier: Apache-2.0 */
/* TLS: files, reload, and the keys of a connection. */
#include "base/check.h"
#include "base/mem.h"
#include "tests/support/pki.h"
#include "tests/support/tls_peer.h"

#include <openssl/pem.h>
#include <string.h>
#include <unistd.h>

/* ---- reload ---- */

static void tls__reload_serves_the_new_certificate_to_new_connections(void **state)
{
    (void)state;
    char cert[512];
    char its_key[512];
    (void)snprintf(cert, sizeof(cert), "%s", sm_pki_path(sm_tls_test_dir, "live", ".pem"));
    (void)snprintf(its_key, sizeof(its_key), "%s", sm_pki_path(sm_tls_test_dir, "live", ".key"));
    assert_true(sm_pki_copy(sm_tls_test_pem("server"), cert) &&
                sm_pki_copy(sm_tls_test_key("server"), its_key));
    static const char *const names[] = {"live", NULL};
    sm_tls_server *server = sm_tls_test_server(&(struct sm_tls_server_config){.groups = NULL},
                                               names);
    sm_tls_conn *old = sm_tls_test_open(server); /* goes on under the old one */
    assert_true(sm_pki_copy(sm_tls_test_pem("a"), cert) &&
                sm_pki_copy(sm_tls_test_key("a"), its_key));
    assert_sm_ok(sm_tls_server_reload(server, NULL));
    sm_tls_test_check_sni(server, NULL, "a");
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    assert_sm_ok(sm_tls_peer_shake(p, old));
    sm_tls_test_end(p, &old, &(sm_tls_server *){NULL});
    sm_tls_server_free(&server);
}

static void tls__a_failed_reload_changes_nothing(void **state)
{
    (void)state;
    char cert[512];
    char its_key[512];
    sm_diag diag = {.reason = ""};
    (void)snprintf(cert, sizeof(cert), "%s", sm_pki_path(sm_tls_test_dir, "live", ".pem"));
    (void)snprintf(its_key, sizeof(its_key), "%s", sm_pki_path(sm_tls_test_dir, "live", ".key"));
    assert_true(sm_pki_copy(sm_tls_test_pem("server"), cert) &&
                sm_pki_copy(sm_tls_test_key("server"), its_key));
    static const char *const names[] = {"live", NULL};
    sm_tls_server *server = sm_tls_test_server(&(struct sm_tls_server_config){.groups = NULL},
                                               names);
    assert_true(sm_pki_copy(sm_tls_test_pem("a"), cert)); /* the certificate of another key */
    assert_sm_err(sm_tls_server_reload(server, &diag), INVALID);
    assert_non_null(strstr(diag.reason, "live"));
    sm_tls_test_check_sni(server, NULL, "server");
    assert_int_equal(unlink(cert), 0);
    assert_sm_err(sm_tls_server_reload(server, NULL), NOT_FOUND);
    sm_tls_test_check_sni(server, NULL, "server");
    sm_tls_server_free(&server);
}

/* ---- configuration ---- */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void check_refused(const struct sm_tls_server_config *config, uint32_t code,
                          const char *named)
{
    sm_tls_server *server = NULL;
    sm_diag diag = {.reason = ""};
    sm_err err = sm_tls_server_new(config, &server, &diag);
    assert_int_equal(err.code, code);
    assert_null(server);
    if (strstr(diag.reason, named) == NULL) {
        print_error("%s: %s\n", diag.field, diag.reason);
    }
    assert_non_null(strstr(diag.reason, named));
}

static void tls__configuration_errors_name_the_file(void **state)
{
    (void)state;
    char junk[512];
    (void)snprintf(junk, sizeof(junk), "%s", sm_pki_path(sm_tls_test_dir, "junk", ".pem"));
    write_file(junk, "this is no PEM\n");
    struct sm_tls_files files = {sm_tls_test_pem("missing"), sm_tls_test_key("server")};
    struct sm_tls_server_config config = {.certificates = &files, .certificate_count = 1};
    check_refused(&config, SM_E_NOT_FOUND, "missing.pem");
    files = (struct sm_tls_files){sm_tls_test_pem("server"), sm_tls_test_key("missing")};
    check_refused(&config, SM_E_NOT_FOUND, "missing.key");
    files = (struct sm_tls_files){junk, sm_tls_test_key("server")};
    check_refused(&config, SM_E_MALFORMED, "junk.pem");
    files = (struct sm_tls_files){sm_tls_test_pem("server"), junk};
    check_refused(&config, SM_E_MALFORMED, "junk.pem");
    files = (struct sm_tls_files){sm_tls_test_pem("server"), sm_tls_test_key("a")};
    check_refused(&config, SM_E_INVALID, "a.key");
    files = (struct sm_tls_files){sm_tls_test_pem("server"), sm_tls_test_key("server")};
    config.client_auth = SM_TLS_CLIENT_REQUIRED;
    check_refused(&config, SM_E_INVALID, "no CA");
    config.client_ca_file = sm_tls_test_pem("missing");
    check_refused(&config, SM_E_NOT_FOUND, "missing.pem");
    config.client_ca_file = junk;
    check_refused(&config, SM_E_MALFORMED, "junk.pem");
    config.client_ca_file = sm_tls_test_pem("root");
    config.groups = "nonsense";
    check_refused(&config, SM_E_INVALID, "nonsense");
    config.certificate_count = 0;
    check_refused(&config, SM_E_INVALID, "certificates");
}

static void tls__an_encrypted_key_is_refused_without_a_prompt(void **state)
{
    (void)state;
    char path[512];
    (void)snprintf(path, sizeof(path), "%s", sm_pki_path(sm_tls_test_dir, "encrypted", ".key"));
    FILE *in = fopen(sm_tls_test_key("server"), "re");
    EVP_PKEY *pkey = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    (void)fclose(in);
    FILE *file = fopen(path, "we");
    char passphrase[] = "secret";
    assert_int_equal(
        PEM_write_PKCS8PrivateKey(file, pkey, EVP_aes_128_cbc(), passphrase, 6, NULL, NULL), 1);
    (void)fclose(file);
    EVP_PKEY_free(pkey);
    struct sm_tls_files files = {sm_tls_test_pem("server"), path};
    struct sm_tls_server_config config = {.certificates = &files, .certificate_count = 1};
    check_refused(&config, SM_E_MALFORMED, "encrypted.key");
}

/* ---- keys of the connection ---- */

static void tls__exporter_agrees_with_the_peer(void **state)
{
    int version = (int)(intptr_t)*state;
    sm_tls_server *server = sm_tls_test_plain_server();
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    uint8_t mine[32];
    uint8_t theirs[32];
    sm_slice label = SM_LIT("EXPORTER-Channel-Binding");
    assert_sm_err(sm_tls_conn_export(conn, label, SM_LIT(""), mine, sizeof(mine)), PRECONDITION);
    assert_int_equal(SSL_set_max_proto_version(p->ssl, version), 1);
    assert_sm_ok(sm_tls_peer_shake(p, conn));
    for (int use_context = 0; use_context < 2; use_context++) {
        sm_slice context = use_context ? SM_LIT("") : SM_SLICE_NONE;
        assert_sm_ok(sm_tls_conn_export(conn, label, context, mine, sizeof(mine)));
        assert_int_equal(SSL_export_keying_material(p->ssl, theirs, sizeof(theirs),
                                                    (const char *)label.ptr, label.len, NULL, 0,
                                                    use_context),
                         1);
        assert_memory_equal(mine, theirs, sizeof(mine));
    }
    sm_tls_test_end(p, &conn, &server);
}

static void tls__unique_is_the_first_finished(void **state)
{
    (void)state;
    sm_tls_server *server = sm_tls_test_plain_server();
    uint8_t mine[64];
    uint8_t theirs[64];
    size_t len = 0;
    SSL_SESSION *session = sm_tls_test_first_session(server, NULL, TLS1_2_VERSION);
    for (int resumed = 0; resumed < 2; resumed++) {
        sm_tls_conn *conn = sm_tls_test_open(server);
        struct sm_tls_peer *p = sm_tls_peer_new(NULL);
        assert_int_equal(SSL_set_max_proto_version(p->ssl, TLS1_2_VERSION), 1);
        if (resumed) {
            assert_int_equal(SSL_set_session(p->ssl, session), 1);
        }
        assert_sm_err(sm_tls_conn_unique(conn, mine, sizeof(mine), &len), PRECONDITION);
        assert_sm_ok(sm_tls_peer_shake(p, conn));
        assert_int_equal(sm_tls_conn_info(conn)->resumed, resumed);
        assert_sm_ok(sm_tls_conn_unique(conn, mine, sizeof(mine), &len));
        size_t n = resumed ? SSL_get_peer_finished(p->ssl, theirs, sizeof(theirs))
                           : SSL_get_finished(p->ssl, theirs, sizeof(theirs));
        assert_int_equal(n, len);
        assert_memory_equal(mine, theirs, len);
        assert_sm_err(sm_tls_conn_unique(conn, mine, 4, &len), PRECONDITION); /* no room */
        sm_tls_test_end(p, &conn, &(sm_tls_server *){NULL});
    }
    SSL_SESSION_free(session);
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    assert_sm_ok(sm_tls_peer_shake(p, conn)); /* TLS 1.3 has none (RFC 9266 3) */
    assert_sm_err(sm_tls_conn_unique(conn, mine, sizeof(mine), &len), PRECONDITION);
    sm_tls_test_end(p, &conn, &server);
}

static void tls__survives_every_allocation_failure(void **state)
{
    (void)state;
    struct sm_tls_files files = {sm_tls_test_pem("server"), sm_tls_test_key("server")};
    struct sm_tls_server_config config = {.certificates = &files,
                                          .certificate_count = 1,
                                          .client_auth = SM_TLS_CLIENT_OPTIONAL,
                                          .client_ca_file = sm_tls_test_pem("root")};
    bool failed = true;
    for (size_t n = 1; failed && n < 200; n++) {
        sm_tls_server *server = NULL;
        sm_tls_conn *conn = NULL;
        sm_mem_fail_at(n);
        sm_err err = sm_tls_server_new(&config, &server, NULL);
        if (sm_ok(err)) {
            err = sm_tls_server_open(server, &conn);
        }
        failed = sm_mem_has_failed() != 0;
        sm_mem_fail_at(0);
        assert_int_equal(sm_ok(err), !failed);
        sm_tls_conn_free(&conn);
        sm_tls_server_free(&server);
    }
    assert_false(failed);
}

int main(void)
{
    void *v2 = (void *)(intptr_t)TLS1_2_VERSION;
    void *v3 = (void *)(intptr_t)TLS1_3_VERSION;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls__reload_serves_the_new_certificate_to_new_connections),
        cmocka_unit_test(tls__a_failed_reload_changes_nothing),
        cmocka_unit_test(tls__configuration_errors_name_the_file),
        cmocka_unit_test(tls__an_encrypted_key_is_refused_without_a_prompt),
        cmocka_unit_test_prestate(tls__exporter_agrees_with_the_peer, v2),
        cmocka_unit_test_prestate(tls__exporter_agrees_with_the_peer, v3),
        cmocka_unit_test(tls__unique_is_the_first_finished),
        cmocka_unit_test(tls__survives_every_allocation_failure),
    };
    return cmocka_run_group_tests(tests, sm_tls_test_make_pki, sm_tls_test_remove_pki);
}
