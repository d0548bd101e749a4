/* SPDX-License-Identifier: Apache-2.0 */
/* Who calls: bearer tokens and client certificates, good and bad. */
#include "api/caller.h"
#include "api/world.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "tests/support/api_server.h"
#include "tests/support/ossl.h"
#include "tests/support/pki.h"

#include <openssl/pem.h>
#include <string.h>

static struct sm_api_server server;
static char dir[256];
static sm_arena arena;
static sm_diag diag;

struct der {
    uint8_t octets[4096];
    size_t len;
    char sha256[65];
};
static struct der plain, named, pinned, stranger, elsewhere;

static void load(const char *name, struct der *out)
{
    FILE *f = fopen(sm_pki_path(dir, name, ".pem"), "r");
    assert_non_null(f);
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    (void)fclose(f);
    sm_buf der = SM_TEST_DER(X509, cert);
    uint8_t digest[32];
    unsigned len = sizeof(digest);
    assert_true(der.len <= sizeof(out->octets));
    memcpy(out->octets, der.ptr, der.len);
    out->len = der.len;
    assert_int_equal(X509_digest(cert, EVP_sha256(), digest, &len), 1);
    (void)sm_hex_format(sm_slice_of(digest, 32), out->sha256);
    sm_buf_deinit(&der);
    X509_free(cert);
}

static void make(const char *name, const char *cn, const char *sans, struct der *out)
{
    const struct sm_pki_spec spec = {.name = name, .subject_cn = cn, .sans = sans};
    assert_true(sm_pki_make(dir, &spec));
    load(name, out);
}

static int set_up(void **state)
{
    (void)state;
    static char yaml[4096];
    char upper[65];
    assert_non_null(sm_test_dir(dir, sizeof(dir)));
    sm_arena_init(&arena, 16U << 20);
    make("plain", "plain", NULL, &plain);
    make("named", "same name", "DNS:node.example,URI:spiffe://a/b,IP:192.0.2.1", &named);
    make("pinned", "same name", "DNS:other.example", &pinned);
    make("stranger", "stranger", "DNS:x.example", &stranger);
    make("elsewhere", "elsewhere", "IP:192.0.2.1", &elsewhere);
    for (size_t i = 0; i <= 64; i++) {
        upper[i] = pinned.sha256[i] >= 'a' ? (char)(pinned.sha256[i] - 32) : pinned.sha256[i];
    }
    (void)snprintf(yaml, sizeof(yaml),
                   "profiles:\n- name: device\n"
                   "client_certificates:\n"
                   "- name: nobody\n  grants: [{role: admin}]\n" /* names nothing: matches none */
                   "- name: both\n  subject: CN=same name\n  san: node.example\n"
                   "  grants: [{role: operator}]\n"
                   "- name: wrong\n  sha256: %s\n  subject: CN=someone else\n"
                   "  grants: [{role: admin}]\n"
                   "- name: pin\n  sha256: %s\n  grants: [{role: auditor}]\n"
                   "- subject: CN=plain\n  grants: [{role: reader}]\n"
                   "- name: late\n  subject: CN=plain\n  grants: [{role: admin}]\n"
                   "- name: address\n  san: 192.0.2.1\n  grants: [{role: admin}]\n"
                   "- name: ours\n  subject: CN=ours\n  grants: [{role: reader}]\n",
                   pinned.sha256, upper);
    sm_api_server_start(&server, yaml);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    sm_arena_deinit(&arena);
    sm_test_remove_dir(dir);
    return 0;
}

/* The caller borrows from the world, which the server keeps until something changes. */
static sm_err identify(const char *authorization, sm_slice certificate, struct sm_caller *out)
{
    const struct sm_credentials credentials = {
        .peer_certificate = certificate,
        .authorization = authorization == NULL ? SM_SLICE_NONE : sm_slice_str(authorization),
        .store = server.store,
    };
    sm_world *world = sm_world_attach(server.api);
    sm_diag_clear(&diag);
    sm_err err = sm_caller_identify(world, &credentials, &arena, out, &diag);
    sm_world_detach(&world);
    return err;
}

static const char *bearer(const char *secret)
{
    return sm_arena_printf(&arena, "Bearer %s", secret);
}

/* ---- tokens ---- */

static void token__good_one_brings_its_name_and_grants(void **state)
{
    (void)state;
    static const char *const forms[] = {"Bearer %s", "bearer %s", "BEARER %s", "Bearer   %s  "};
    struct sm_caller caller;
    const char *secret = sm_api_server_token(&server, "robot",
                                             "[{\"role\":\"reader\"},{\"role\":\"auditor\"}]", 0);
    for (size_t i = 0; i < SM_ARRAY_LEN(forms); i++) {
        char text[200];
        const char *at = strstr(forms[i], "%s");
        (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - forms[i]), forms[i], secret,
                       at + 2);
        assert_sm_ok(identify(text, SM_SLICE_NONE, &caller));
        assert_string_equal(caller.name, "robot");
        assert_string_equal(caller.method, "token");
        assert_int_equal(caller.grant_count, 2);
        assert_int_equal(caller.grants[1]->role, SEALMILL__V1__ROLE__ROLE_AUDITOR);
        assert_true(caller.expires_at == INT64_MAX);
    }
}

static void token__every_other_secret_is_refused(void **state)
{
    (void)state;
    struct sm_caller caller;
    const char *secret = sm_api_server_token(&server, "strict", "[{\"role\":\"reader\"}]", 0);
    size_t len = strlen(secret);
    assert_sm_ok(identify(bearer(secret), SM_SLICE_NONE, &caller));
    for (size_t i = 0; i < len; i++) {
        char other[100];
        (void)snprintf(other, sizeof(other), "%s", secret);
        other[i] = (char)(other[i] ^ 1);
        assert_sm_err(identify(bearer(other), SM_SLICE_NONE, &caller), UNAUTHENTICATED);
        other[i] = '\0'; /* a prefix */
        assert_sm_err(identify(bearer(other), SM_SLICE_NONE, &caller), UNAUTHENTICATED);
    }
    assert_sm_err(identify(sm_arena_printf(&arena, "Bearer %sx", secret), SM_SLICE_NONE, &caller),
                  UNAUTHENTICATED);
    assert_string_equal(diag.field, "authorization");
    assert_null(strstr(diag.reason, secret + 9)); /* never said back */
}

/* What the store keeps of a token must not be good for anything. */
static void token__its_hash_is_no_token(void **state)
{
    (void)state;
    struct sm_caller caller;
    uint8_t hash[32];
    char hex[65];
    const char *secret = sm_api_server_token(&server, "hashed", "[{\"role\":\"admin\"}]", 0);
    assert_sm_ok(sm_token_hash(sm_slice_str(secret), hash));
    assert_sm_err(
        identify(bearer(sm_hex_format(sm_slice_of(hash, 32), hex)), SM_SLICE_NONE, &caller),
        UNAUTHENTICATED);
    const struct sm_credentials raw = {
        .authorization = sm_slice_str(sm_arena_printf(&arena, "Bearer %.32s", (char *)hash))};
    sm_world *world = sm_world_attach(server.api);
    assert_sm_err(sm_caller_identify(world, &raw, &arena, &caller, NULL), UNAUTHENTICATED);
    sm_world_detach(&world);
}

static void token__other_schemes_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"Basic YTpi",  "Bearer",    "Bearer ",
                                      "Bearertoken", " Bearer x", "Digest x",
                                      ",",           "Bearer\tx", "sealmill_x"};
    struct sm_caller caller;
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_sm_err(identify(bad[i], SM_SLICE_NONE, &caller), UNAUTHENTICATED);
    }
}

static void token__ends_at_its_second(void **state)
{
    (void)state;
    struct sm_caller caller;
    int64_t now = sm_clock_wall_s();
    const char *secret = sm_api_server_token(&server, "short", "[{\"role\":\"reader\"}]",
                                             now + 1000);
    assert_sm_ok(identify(bearer(secret), SM_SLICE_NONE, &caller));
    assert_true(caller.expires_at == now + 999);
    sm_clock_set_offset_s(980);
    assert_sm_ok(identify(bearer(secret), SM_SLICE_NONE, &caller));
    sm_clock_set_offset_s(1000);
    assert_sm_err(identify(bearer(secret), SM_SLICE_NONE, &caller), UNAUTHENTICATED);
    assert_non_null(strstr(diag.reason, "expired"));
    sm_clock_set_offset_s(0);
    secret = sm_api_server_token(&server, "never good", "[{\"role\":\"reader\"}]", 1);
    assert_sm_err(identify(bearer(secret), SM_SLICE_NONE, &caller), UNAUTHENTICATED);
}

static void token__bad_one_is_not_saved_by_a_certificate(void **state)
{
    (void)state;
    struct sm_caller caller;
    assert_sm_err(identify("Bearer nonsense", sm_slice_of(plain.octets, plain.len), &caller),
                  UNAUTHENTICATED);
}

static void token__life_over_the_api(void **state)
{
    (void)state;
    const char *admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    unsigned status;
    struct sm_caller caller;
    char path[100];
    json_t *made = sm_api_server_json(&server, "POST", "/v1/tokens", admin,
                                      "{\"name\":\"ci\",\"grants\":[{\"role\":\"ra\",\"cas\":["
                                      "\"issuing\"],\"profiles\":[\"*\"]}],"
                                      "\"validitySeconds\":60}",
                                      &status);
    assert_int_equal(status, 200);
    const char *secret = json_string_value(json_object_get(made, "secret"));
    json_t *token = json_object_get(made, "token");
    assert_int_equal(strncmp(secret, "sealmill_", 9), 0);
    assert_int_equal(strlen(secret), 9 + 43);
    assert_sm_ok(identify(bearer(secret), SM_SLICE_NONE, &caller));
    assert_string_equal(caller.grants[0]->cas[0], "issuing");
    const char *text;
    (void)sm_api_server_ask(&server, "GET", "/v1/tokens", admin, NULL, &text);
    assert_non_null(strstr(text, "\"ci\""));
    assert_null(strstr(text, secret));
    (void)snprintf(path, sizeof(path), "/v1/tokens/%s",
                   json_string_value(json_object_get(token, "id")));
    json_decref(sm_api_server_json(&server, "DELETE", path, admin, NULL, &status));
    assert_int_equal(status, 200);
    assert_sm_err(identify(bearer(secret), SM_SLICE_NONE, &caller), UNAUTHENTICATED);
    json_decref(
        sm_api_server_json(&server, "DELETE", "/v1/tokens/0000000000000000", admin, NULL, &status));
    assert_int_equal(status, 404);
    json_decref(made);
}

static void token__bad_requests_name_the_field(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"{\"grants\":[{\"role\":\"ra\"}]}", "name"},
        {"{\"name\":\"12345678901234567890123456789012345678901234567890123456789012345\","
         "\"grants\":[{\"role\":\"ra\"}]}",
         "name"},
        {"{\"name\":\"a\"}", "grants"},
        {"{\"name\":\"a\",\"grants\":[{}]}", "grants.role"},
        {"{\"name\":\"a\",\"grants\":[{\"role\":\"reader\"},{\"role\":\"ROLE_UNSPECIFIED\"}]}",
         "grants.role"},
        {"{\"name\":\"a\",\"grants\":[{\"role\":33}]}", "grants[0].role"},
        {"{\"name\":\"a\",\"grants\":[{\"role\":\"ra\"}],\"validitySeconds\":-1}",
         "validity_seconds"},
        {"{\"name\":\"a\",\"grants\":[{\"role\":\"ra\"}],\"validitySeconds\":31536001}",
         "validity_seconds"},
    };
    const char *admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        unsigned status;
        json_t *answer = sm_api_server_json(&server, "POST", "/v1/tokens", admin, bad[i][0],
                                            &status);
        assert_int_equal(status, 400);
        assert_string_equal(sm_api_error(answer, "field"), bad[i][1]);
        json_decref(answer);
    }
}

/* ---- client certificates ---- */

static void certificate__first_rule_that_matches_wholly(void **state)
{
    (void)state;
    static const struct {
        const struct der *certificate;
        const char *name;
        Sealmill__V1__Role role; /* UNSPECIFIED: no grant */
    } known[] = {
        {&named, "both", SEALMILL__V1__ROLE__ROLE_OPERATOR},
        {&pinned, "pin", SEALMILL__V1__ROLE__ROLE_AUDITOR},
        {&plain, "CN=plain", SEALMILL__V1__ROLE__ROLE_READER},
        {&stranger, "CN=stranger", SEALMILL__V1__ROLE__ROLE_UNSPECIFIED},
        /* addresses are not looked at: only names that are text */
        {&elsewhere, "CN=elsewhere", SEALMILL__V1__ROLE__ROLE_UNSPECIFIED},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(known); i++) {
        struct sm_caller caller;
        assert_sm_ok(identify(
            NULL, sm_slice_of(known[i].certificate->octets, known[i].certificate->len), &caller));
        assert_string_equal(caller.name, known[i].name);
        assert_string_equal(caller.method, "mtls");
        assert_int_equal(caller.grant_count, known[i].role != 0 ? 1 : 0);
        if (known[i].role != 0) {
            assert_int_equal(caller.grants[0]->role, known[i].role);
        }
    }
}

static void certificate__none_is_anonymous(void **state)
{
    (void)state;
    struct sm_caller caller;
    assert_sm_ok(identify(NULL, SM_SLICE_NONE, &caller));
    assert_string_equal(caller.method, "none");
    assert_int_equal(caller.grant_count, 0);
}

static void certificate__bent_ones_are_refused_or_without_a_grant(void **state)
{
    (void)state;
    struct sm_caller caller;
    for (size_t len = 1; len < named.len; len++) {
        assert_sm_err(identify(NULL, sm_slice_of(named.octets, len), &caller), UNAUTHENTICATED);
    }
    for (size_t i = 0; i < named.len; i += 7) {
        struct der bent = named;
        bent.octets[i] ^= 0x20;
        sm_err err = identify(NULL, sm_slice_of(bent.octets, bent.len), &caller);
        assert_true(sm_ok(err) || sm_err_is(err, SM_E_UNAUTHENTICATED));
        sm_arena_reset(&arena);
    }
}

static void certificate__ends_with_its_time(void **state)
{
    (void)state;
    struct sm_caller caller;
    assert_sm_ok(identify(NULL, sm_slice_of(plain.octets, plain.len), &caller));
    sm_clock_set_offset_s(caller.expires_at - sm_clock_wall_s() + 5);
    assert_sm_err(identify(NULL, sm_slice_of(plain.octets, plain.len), &caller), UNAUTHENTICATED);
    sm_clock_set_offset_s(0);
}

static void act(const char *token, const char *serial, const char *verb, const char *body)
{
    char path[128];
    unsigned status;
    (void)snprintf(path, sizeof(path), "/v1/certificates/%s:%s", serial, verb);
    json_decref(sm_api_server_json(&server, "POST", path, token, body, &status));
    assert_int_equal(status, 200);
}

static void certificate__of_our_own_is_looked_up(void **state)
{
    (void)state;
    static char body[20000];
    unsigned status;
    struct sm_caller caller;
    const char *admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    (void)snprintf(body, sizeof(body), "{\"ca\":\"issuing\",\"csr\":\"%s\"}",
                   sm_api_csr("ours", NULL));
    json_t *issued = sm_api_server_json(&server, "POST", "/v1/certificates", admin, body, &status);
    assert_int_equal(status, 200);
    sm_buf der = sm_buf_init(65536);
    assert_sm_ok(sm_base64_decode(
        &der, sm_slice_str(json_string_value(json_object_get(issued, "certificate"))), 0));
    const char *serial = json_string_value(json_object_get(issued, "serial"));
    assert_sm_ok(identify(NULL, sm_buf_slice(&der), &caller));
    assert_string_equal(caller.name, "ours");
    act(admin, serial, "revoke", "{\"reason\":\"certificate-hold\"}");
    assert_sm_err(identify(NULL, sm_buf_slice(&der), &caller), UNAUTHENTICATED);
    act(admin, serial, "release", "{}");
    assert_sm_ok(identify(NULL, sm_buf_slice(&der), &caller));
    act(admin, serial, "revoke", "{\"reason\":\"superseded\"}");
    assert_sm_err(identify(NULL, sm_buf_slice(&der), &caller), UNAUTHENTICATED);
    assert_non_null(strstr(diag.reason, "revoked"));
    sm_buf_deinit(&der);
    json_decref(issued);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token__good_one_brings_its_name_and_grants),
        cmocka_unit_test(token__every_other_secret_is_refused),
        cmocka_unit_test(token__its_hash_is_no_token),
        cmocka_unit_test(token__other_schemes_are_refused),
        cmocka_unit_test(token__ends_at_its_second),
        cmocka_unit_test(token__bad_one_is_not_saved_by_a_certificate),
        cmocka_unit_test(token__life_over_the_api),
        cmocka_unit_test(token__bad_requests_name_the_field),
        cmocka_unit_test(certificate__first_rule_that_matches_wholly),
        cmocka_unit_test(certificate__none_is_anonymous),
        cmocka_unit_test(certificate__bent_ones_are_refused_or_without_a_grant),
        cmocka_unit_test(certificate__ends_with_its_time),
        cmocka_unit_test(certificate__of_our_own_is_looked_up),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
