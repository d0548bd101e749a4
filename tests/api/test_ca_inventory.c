/* SPDX-License-Identifier: Apache-2.0 */
/* The certificates that CaService makes are certificates as others: listed, revoked by those who
 * may, and known to OCSP. */
#include "api/api_p.h"
#include "base/check.h"
#include "base/text.h"
#include "tests/support/api_server.h"

#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <string.h>

static struct sm_api_server server;
static const char *admin, *oper, *ra;

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    oper = sm_api_server_token(&server, "operator", "[{\"role\":\"operator\"}]", 0);
    ra = sm_api_server_token(&server, "ra",
                             "[{\"role\":\"ra\",\"cas\":[\"*\"],\"profiles\":[\"*\"]}]", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

static X509 *parse(sm_slice der)
{
    const unsigned char *p = der.ptr;
    X509 *cert = d2i_X509(NULL, &p, (long)der.len);
    assert_non_null(cert);
    return cert;
}

/* The certificate of a CA's newest generation, or of its responder. */
static X509 *cert_of(const char *ca, bool responder)
{
    sm_world *w = sm_world_attach(server.api);
    const struct sm_ca_generation *g = sm_ca_current(sm_world_ca(w, ca));
    X509 *cert = parse(responder ? g->ocsp_cert.der : g->cert.der);
    sm_world_detach(&w);
    return cert;
}

static const char *serial_of(const X509 *cert)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    char *hex = sm_arena_alloc(&server.arena, 64);
    assert_non_null(hex);
    return sm_hex_format(
        sm_slice_of(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial)), hex);
}

/* ---- OCSP ---- */

static const char *ocsp_path(const X509 *cert, const X509 *issuer)
{
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    assert_non_null(OCSP_request_add0_id(request, OCSP_cert_to_id(EVP_sha1(), cert, issuer)));
    unsigned char *der = NULL;
    int len = i2d_OCSP_REQUEST(request, &der);
    assert_true(len > 0);
    sm_buf text = sm_buf_init(4096);
    sm_base64_encode(&text, sm_slice_of(der, (size_t)len));
    sm_buf path = sm_buf_init(16384);
    sm_buf_put_str(&path, "/ocsp/");
    for (size_t i = 0; i < text.len; i++) {
        sm_buf_printf(&path, strchr("+/=", text.ptr[i]) != NULL ? "%%%02X" : "%c", text.ptr[i]);
    }
    char *out = sm_arena_strdup(&server.arena, sm_buf_slice(&path));
    sm_buf_deinit(&path);
    sm_buf_deinit(&text);
    OPENSSL_free(der);
    OCSP_REQUEST_free(request);
    return out;
}

/* V_OCSP_CERTSTATUS_... of an answer that the issuer's responder signed. */
static int status_of(const X509 *cert, X509 *issuer)
{
    const char *answer;
    int status = -1;
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), cert, issuer);
    assert_int_equal(
        sm_api_server_ask(&server, "GET", ocsp_path(cert, issuer), NULL, NULL, &answer), 200);
    const unsigned char *p = (const unsigned char *)answer;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &p, 65536);
    assert_non_null(response);
    assert_int_equal(OCSP_response_status(response), OCSP_RESPONSE_STATUS_SUCCESSFUL);
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    STACK_OF(X509) *certs = sk_X509_new_null();
    X509_STORE *store = X509_STORE_new();
    assert_int_equal(X509_STORE_add_cert(store, issuer), 1);
    assert_int_equal(X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN), 1);
    assert_int_equal(OCSP_basic_verify(basic, certs, store, 0), 1);
    assert_int_equal(OCSP_resp_find_status(basic, id, &status, NULL, NULL, NULL, NULL), 1);
    X509_STORE_free(store);
    sk_X509_free(certs);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    OCSP_CERTID_free(id);
    return status;
}

/* ---- calls ---- */

static unsigned ask(const char *verb, const char *path, const char *token, const char *body)
{
    const char *answer;
    return sm_api_server_ask(&server, verb, path, token, body, &answer);
}

static unsigned revoke(const char *serial, const char *token, const char *reason)
{
    char *path = sm_arena_printf(&server.arena, "/v1/certificates/%s:revoke", serial);
    return ask("POST", path, token, sm_arena_printf(&server.arena, "{\"reason\":\"%s\"}", reason));
}

static void has_text(const char *path, const char *member, const char *value)
{
    unsigned status;
    json_t *answer = sm_api_server_json(&server, "GET", path, admin, NULL, &status);
    assert_int_equal(status, 200);
    assert_string_equal(json_string_value(json_object_get(answer, member)), value);
    json_decref(answer);
}

static size_t listed(const char *query)
{
    unsigned status;
    char *path = sm_arena_printf(&server.arena, "/v1/certificates%s", query);
    json_t *answer = sm_api_server_json(&server, "GET", path, admin, NULL, &status);
    assert_int_equal(status, 200);
    size_t n = json_array_size(json_object_get(answer, "certificates"));
    json_decref(answer);
    return n;
}

/* ---- tests ---- */

static void inventory__has_cas_and_their_responders(void **state)
{
    (void)state;
    X509 *cert = cert_of("issuing", false);
    X509 *responder = cert_of("issuing", true);
    char *path = sm_arena_printf(&server.arena, "/v1/certificates/%s", serial_of(cert));
    has_text(path, "ca", "root");
    has_text(path, "state", "CERTIFICATE_STATE_VALID");
    has_text(path, "requester", "test");
    path = sm_arena_printf(&server.arena, "/v1/certificates/%s", serial_of(responder));
    has_text(path, "ca", "issuing");
    assert_int_equal(listed(""), 4);
    assert_int_equal(listed("?ca=root"), 3);
    assert_int_equal(listed("?subject=CN%3Dissuing"), 1);
    assert_int_equal(listed("?profile=device"), 0);
    X509_free(cert);
    X509_free(responder);
}

static void inventory__ocsp_knows_cas_and_responders(void **state)
{
    (void)state;
    X509 *root = cert_of("root", false);
    X509 *issuing = cert_of("issuing", false);
    X509 *responder = cert_of("issuing", true);
    assert_int_equal(status_of(issuing, root), V_OCSP_CERTSTATUS_GOOD);
    assert_int_equal(status_of(root, root), V_OCSP_CERTSTATUS_GOOD);
    assert_int_equal(status_of(responder, issuing), V_OCSP_CERTSTATUS_GOOD);
    X509_free(root);
    X509_free(issuing);
    X509_free(responder);
}

static void inventory__only_an_admin_revokes_a_ca(void **state)
{
    (void)state;
    X509 *root = cert_of("root", false);
    assert_int_equal(ask("POST", "/v1/cas", admin,
                         "{\"name\":\"below\",\"parent\":\"root\",\"subject\":{\"attributes\":"
                         "[{\"type\":\"CN\",\"value\":\"below\"}]}}"),
                     200);
    X509 *below = cert_of("below", false);
    const char *serial = serial_of(below);
    assert_int_equal(revoke(serial, ra, "REVOCATION_REASON_CA_COMPROMISE"), 403);
    assert_int_equal(revoke(serial, oper, "REVOCATION_REASON_CA_COMPROMISE"), 403);
    assert_int_equal(status_of(below, root), V_OCSP_CERTSTATUS_GOOD);
    assert_int_equal(revoke(serial, admin, "REVOCATION_REASON_CERTIFICATE_HOLD"), 200);
    char *path = sm_arena_printf(&server.arena, "/v1/certificates/%s:release", serial);
    assert_int_equal(ask("POST", path, ra, "{}"), 403);
    assert_int_equal(ask("POST", path, admin, "{}"), 200);
    assert_int_equal(status_of(below, root), V_OCSP_CERTSTATUS_GOOD);
    assert_int_equal(revoke(serial, admin, "REVOCATION_REASON_CA_COMPROMISE"), 200);
    assert_int_equal(status_of(below, root), V_OCSP_CERTSTATUS_REVOKED);
    assert_int_equal(listed("?state=CERTIFICATE_STATE_REVOKED"), 1);
    X509_free(root);
    X509_free(below);
}

/* A CA's certificate is no request for another one, however it comes. */
static void inventory__a_ca_is_not_renewed_as_a_certificate(void **state)
{
    (void)state;
    X509 *issuing = cert_of("issuing", false);
    size_t before = listed("");
    char *path = sm_arena_printf(&server.arena, "/v1/certificates/%s:renew", serial_of(issuing));
    assert_int_equal(ask("POST", path, ra, "{}") / 100, 4);
    assert_int_equal(ask("POST", path, admin, "{}") / 100, 4);
    assert_int_equal(listed(""), before);
    X509_free(issuing);
}

/* What Get gives as a certificate's chain begins with its issuer, whichever is current. */
static void first_chain_is(const X509 *cert, const X509 *issuer)
{
    unsigned status;
    char *path = sm_arena_printf(&server.arena, "/v1/certificates/%s", serial_of(cert));
    json_t *answer = sm_api_server_json(&server, "GET", path, admin, NULL, &status);
    const char *text = json_string_value(json_array_get(json_object_get(answer, "chain"), 0));
    sm_buf der = sm_buf_init(1U << 16);
    assert_sm_ok(sm_base64_decode(&der, sm_slice_str(text), 0));
    X509 *found = parse(sm_buf_slice(&der));
    assert_int_equal(X509_cmp(found, issuer), 0);
    X509_free(found);
    sm_buf_deinit(&der);
    json_decref(answer);
}

static void inventory__has_every_generation(void **state)
{
    (void)state;
    X509 *root = cert_of("root", false);
    X509 *first = cert_of("issuing", false);
    X509 *old_responder = cert_of("issuing", true);
    assert_int_equal(ask("POST", "/v1/cas/issuing:rollover", admin, "{}"), 200);
    X509 *second = cert_of("issuing", false);
    assert_int_not_equal(X509_cmp(first, second), 0);
    assert_int_equal(status_of(first, root), V_OCSP_CERTSTATUS_GOOD);
    assert_int_equal(status_of(second, root), V_OCSP_CERTSTATUS_GOOD);
    first_chain_is(old_responder, first);
    assert_int_equal(revoke(serial_of(first), admin, "REVOCATION_REASON_SUPERSEDED"), 200);
    assert_int_equal(status_of(first, root), V_OCSP_CERTSTATUS_REVOKED);
    assert_int_equal(status_of(second, root), V_OCSP_CERTSTATUS_GOOD);
    X509_free(root);
    X509_free(first);
    X509_free(second);
    X509_free(old_responder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inventory__has_cas_and_their_responders),
        cmocka_unit_test(inventory__ocsp_knows_cas_and_responders),
        cmocka_unit_test(inventory__only_an_admin_revokes_a_ca),
        cmocka_unit_test(inventory__a_ca_is_not_renewed_as_a_certificate),
        cmocka_unit_test(inventory__has_every_generation),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
