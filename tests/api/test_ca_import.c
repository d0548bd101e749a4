/* SPDX-License-Identifier: Apache-2.0 */
/* CaService.ImportCertificate: what an external signer may have made of our request. */
#include "api/api_p.h"
#include "api/ca_import.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "tests/support/api_server.h"
#include "tests/support/ossl.h"

#include <openssl/x509v3.h>
#include <string.h>

static struct sm_api_server server;
static const char *admin;

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

/* ---- certificates of the external signer ---- */

struct spec {
    const char *subject; /* "/O=Acme/CN=below" */
    const char *issuer;
    EVP_PKEY *key;
    EVP_PKEY *signer;
    const char *constraints; /* NULL: without */
    const char *usage;
    long ends_s; /* from now */
};

static X509_NAME *name_of(const char *text, int type)
{
    X509_NAME *name = X509_NAME_new();
    char copy[256];
    char *save = NULL;
    (void)snprintf(copy, sizeof(copy), "%s", text);
    for (char *part = strtok_r(copy, "/", &save); part != NULL; part = strtok_r(NULL, "/", &save)) {
        char *value = strchr(part, '=');
        assert_non_null(value);
        *value++ = '\0';
        assert_int_equal(
            X509_NAME_add_entry_by_txt(name, part, type, (const unsigned char *)value, -1, -1, 0),
            1);
    }
    return name;
}

static void add_extension(X509 *cert, int nid, const char *value)
{
    if (value != NULL) {
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
        assert_non_null(e);
        assert_int_equal(X509_add_ext(cert, e, -1), 1);
        X509_EXTENSION_free(e);
    }
}

/* DER in base64. */
static char *make(const struct spec *s, int string_type)
{
    static long serial = 1;
    X509 *cert = X509_new();
    X509_NAME *subject = name_of(s->subject, string_type);
    X509_NAME *issuer = name_of(s->issuer, MBSTRING_UTF8);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++), 1);
    assert_int_equal(X509_set_subject_name(cert, subject), 1);
    assert_int_equal(X509_set_issuer_name(cert, issuer), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -86400));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), s->ends_s));
    assert_int_equal(X509_set_pubkey(cert, s->key), 1);
    add_extension(cert, NID_basic_constraints, s->constraints);
    add_extension(cert, NID_key_usage, s->usage);
    assert_true(X509_sign(cert, s->signer, EVP_sha256()) > 0);
    X509_NAME_free(subject);
    X509_NAME_free(issuer);
    sm_buf der = SM_TEST_DER(X509, cert);
    X509_free(cert);
    sm_buf text = sm_buf_init(1U << 16);
    sm_base64_encode(&text, sm_buf_slice(&der));
    char *out = sm_arena_strdup(&server.arena, sm_buf_slice(&text));
    sm_buf_deinit(&text);
    sm_buf_deinit(&der);
    assert_non_null(out);
    return out;
}

/* A CA that waits; its public key. */
static EVP_PKEY *waiting(const char *name)
{
    const char *answer;
    char *body = sm_arena_printf(
        &server.arena,
        "{\"name\":\"%s\",\"subject\":{\"attributes\":[{\"type\":\"O\",\"value\":\"Acme\"},"
        "{\"type\":\"CN\",\"value\":\"below\"}]}}",
        name);
    assert_int_equal(sm_api_server_ask(&server, "POST", "/v1/cas", admin, body, &answer), 200);
    sm_world *w = sm_world_attach(server.api);
    sm_slice spki = sm_key_public(sm_ca_current(sm_world_ca(w, name))->key)->spki;
    const unsigned char *p = spki.ptr;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.len);
    sm_world_detach(&w);
    assert_non_null(key);
    return key;
}

static unsigned import(const char *name, const char *cert, const char *chain, char *field,
                       char *message)
{
    unsigned status;
    char *path = sm_arena_printf(&server.arena, "/v1/cas/%s:import", name);
    char *body = sm_arena_printf(&server.arena, "{\"certificate\":\"%s\",\"chain\":[%s]}", cert,
                                 chain);
    json_t *answer = sm_api_server_json(&server, "POST", path, admin, body, &status);
    (void)snprintf(field, 64, "%s", sm_api_error(answer, "field"));
    (void)snprintf(message, 256, "%s", sm_api_error(answer, "message"));
    json_decref(answer);
    return status;
}

static void refuse(const char *cert, const char *chain, const char *field, const char *why)
{
    char f[64];
    char m[256];
    unsigned status = import("below", cert, chain, f, m);
    if (status != 400 || strcmp(f, field) != 0 || strstr(m, why) == NULL) {
        print_error("wanted %s: %s; got %u %s: %s\n", field, why, status, f, m);
    }
    assert_int_equal(status, 400);
    assert_string_equal(f, field);
    assert_non_null(strstr(m, why));
    sm_world *w = sm_world_attach(server.api);
    bool active = sm_world_ca(w, "below")->active;
    sm_world_detach(&w);
    assert_false(active);
}

#define SUBJECT "/O=Acme/CN=below"
#define UPPER "/O=External/CN=upper"
#define ROOT "/O=External/CN=root"
#define CA_USAGE "critical,keyCertSign,cRLSign"
#define YEAR (365L * 86400)

static EVP_PKEY *own, *upper_key, *root_key;

static char *quoted(const char *a, const char *b)
{
    return b == NULL ? sm_arena_printf(&server.arena, "\"%s\"", a)
                     : sm_arena_printf(&server.arena, "\"%s\",\"%s\"", a, b);
}

static struct spec good(void)
{
    return (struct spec){SUBJECT, UPPER, own, upper_key, "critical,CA:TRUE", CA_USAGE, YEAR};
}

static struct spec upper(void)
{
    return (struct spec){UPPER, ROOT, upper_key, root_key, "critical,CA:TRUE", CA_USAGE, YEAR};
}

static struct spec root(void)
{
    return (struct spec){ROOT, ROOT, root_key, root_key, "critical,CA:TRUE", CA_USAGE, YEAR};
}

static void import__refuses_what_does_not_fit(void **state)
{
    (void)state;
    own = waiting("below");
    upper_key = sm_test_pkey(SM_KEY_P256);
    root_key = sm_test_pkey(SM_KEY_P384);
    struct spec s = good();
    s.subject = "/O=Acme/CN=other";
    refuse(make(&s, MBSTRING_UTF8), "", "certificate", "not the one of the CSR");
    s = good();
    s.subject = "/CN=below";
    refuse(make(&s, MBSTRING_UTF8), "", "certificate", "not the one of the CSR");
    s = good();
    s.usage = "critical,digitalSignature,cRLSign";
    refuse(make(&s, MBSTRING_UTF8), "", "certificate", "keyCertSign");
    s = good();
    s.constraints = NULL;
    refuse(make(&s, MBSTRING_UTF8), "", "certificate", "basicConstraints");
    s = good();
    s.constraints = "critical,CA:FALSE";
    refuse(make(&s, MBSTRING_UTF8), "", "certificate", "basicConstraints");
    s = good();
    s.ends_s = -60;
    refuse(make(&s, MBSTRING_UTF8), "", "certificate", "expired");
    s = good();
    s.key = upper_key;
    refuse(make(&s, MBSTRING_UTF8), "", "certificate", "another key");
}

static void import__refuses_a_chain_that_did_not_sign(void **state)
{
    (void)state;
    struct spec s = good();
    char *cert = make(&s, MBSTRING_UTF8);
    s = upper();
    char *above = make(&s, MBSTRING_UTF8);
    s = root();
    char *top = make(&s, MBSTRING_UTF8);
    refuse(cert, quoted(top, NULL), "chain[0]", "not the issuer");  /* its issuer is missing */
    refuse(cert, quoted(top, above), "chain[0]", "not the issuer"); /* the wrong way round */
    refuse(cert, quoted(above, above), "chain[1]", "twice");
    refuse(cert, quoted(above, cert), "chain[1]", "not the issuer");
    s = upper(); /* the right name and another key */
    s.key = root_key;
    refuse(cert, quoted(make(&s, MBSTRING_UTF8), NULL), "chain[0]", "did not sign");
    s = root();
    s.key = s.signer = upper_key;
    refuse(cert, quoted(above, make(&s, MBSTRING_UTF8)), "chain[1]", "did not sign");
    s = upper();
    s.constraints = "critical,CA:FALSE";
    refuse(cert, quoted(make(&s, MBSTRING_UTF8), top), "chain[0]", "basicConstraints");
    s = upper();
    s.ends_s = -60;
    refuse(cert, quoted(make(&s, MBSTRING_UTF8), top), "chain[0]", "expired");
    refuse(cert, quoted("AAAA", NULL), "chain[0]", "not a certificate");
    sm_buf many = sm_buf_init(1U << 20);
    for (int i = 0; i <= SM_CA_CHAIN_MAX; i++) {
        sm_buf_printf(&many, "%s\"%s\"", i == 0 ? "" : ",", top);
    }
    char f[64];
    char m[256];
    char *text = sm_arena_strdup(&server.arena, sm_buf_slice(&many));
    sm_buf_deinit(&many);
    assert_int_equal(import("below", cert, text, f, m) / 100, 4);
    assert_string_equal(f, "chain");
}

static void import__takes_what_fits_and_sends_all_but_a_root(void **state)
{
    (void)state;
    char f[64];
    char m[256];
    struct spec s = good();
    s.usage = NULL;                                /* allowed to be missing */
    char *cert = make(&s, V_ASN1_PRINTABLESTRING); /* other string types, the same name */
    s = upper();
    char *above = make(&s, MBSTRING_UTF8);
    s = root();
    char *top = make(&s, MBSTRING_UTF8);
    assert_int_equal(import("below", cert, quoted(above, NULL), f, m), 200);
    unsigned status;
    json_t *answer = sm_api_server_json(&server, "GET", "/v1/cas/below/chain", admin, NULL,
                                        &status);
    json_t *list = json_object_get(answer, "certificates");
    assert_int_equal(json_array_size(list), 2); /* the root stayed away: what is there goes along */
    assert_string_equal(json_string_value(json_array_get(list, 1)), above);
    json_decref(answer);
    EVP_PKEY_free(own);
    own = waiting("second");
    s = good();
    cert = make(&s, MBSTRING_UTF8);
    assert_int_equal(import("second", cert, quoted(above, top), f, m), 200);
    answer = sm_api_server_json(&server, "GET", "/v1/cas/second/chain", admin, NULL, &status);
    assert_int_equal(json_array_size(json_object_get(answer, "certificates")), 2);
    json_decref(answer);
    EVP_PKEY_free(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import__refuses_what_does_not_fit),
        cmocka_unit_test(import__refuses_a_chain_that_did_not_sign),
        cmocka_unit_test(import__takes_what_fits_and_sends_all_but_a_root),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
