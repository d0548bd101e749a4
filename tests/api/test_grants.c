/* SPDX-License-Identifier: Apache-2.0 */
/* Who may call what: every method with every role, by the table of methods and through the
 * server. */
#include "api/caller.h"
#include "api/method.h"
#include "base/check.h"
#include "tests/support/api_server.h"

#include <string.h>

#define ROLES 5

static const char *const role_names[ROLES] = {"admin", "operator", "ra", "auditor", "reader"};
static const unsigned role_bits[ROLES] = {SM_ROLE_ADMIN, SM_ROLE_OPERATOR, SM_ROLE_RA,
                                          SM_ROLE_AUDITOR, SM_ROLE_READER};

#define ANY "admin operator ra auditor reader"
#define ISSUERS "admin operator ra"

/* As docs/api.md promises it, written a second time. */
static const struct {
    const char *service;
    const char *method;
    const char *roles;
} promised[] = {
    {"sealmill.v1.CertificateService", "Issue", ISSUERS},
    {"sealmill.v1.CertificateService", "IssueStream", ISSUERS},
    {"sealmill.v1.CertificateService", "Renew", ISSUERS},
    {"sealmill.v1.CertificateService", "Get", ANY},
    {"sealmill.v1.CertificateService", "List", ANY},
    {"sealmill.v1.CertificateService", "Revoke", ISSUERS},
    {"sealmill.v1.CertificateService", "Release", ISSUERS},
    {"sealmill.v1.CertificateService", "Watch", "admin operator auditor reader"},
    {"sealmill.v1.CaService", "List", ANY},
    {"sealmill.v1.CaService", "Get", ANY},
    {"sealmill.v1.CaService", "GetChain", ANY},
    {"sealmill.v1.CaService", "Create", "admin"},
    {"sealmill.v1.CaService", "GetCsr", "admin"},
    {"sealmill.v1.CaService", "ImportCertificate", "admin"},
    {"sealmill.v1.CaService", "Rollover", "admin"},
    {"sealmill.v1.CaService", "Disable", "admin"},
    {"sealmill.v1.CaService", "Enable", "admin"},
    {"sealmill.v1.ProfileService", "List", ANY},
    {"sealmill.v1.ProfileService", "Get", ANY},
    {"sealmill.v1.ProfileService", "Put", "admin"},
    {"sealmill.v1.ProfileService", "Delete", "admin"},
    {"sealmill.v1.SigningService", "Sign", ANY}, /* the key's own policy says more */
    {"sealmill.v1.SigningService", "ListKeys", ANY},
    {"sealmill.v1.SigningService", "CreateKey", "admin"},
    {"sealmill.v1.CallerService", "WhoAmI", ANY},
    {"sealmill.v1.CallerService", "CreateToken", "admin"},
    {"sealmill.v1.CallerService", "ListTokens", "admin auditor"},
    {"sealmill.v1.CallerService", "RevokeToken", "admin"},
    {"sealmill.v1.CallerService", "ListAudit", "admin auditor"},
    {"sealmill.v1.CaService", "CreateResponder", "admin"},
    {"sealmill.v1.CaService", "GetResponderCsr", "admin"},
    {"sealmill.v1.CaService", "ImportResponderCertificate", "admin"},
    {"sealmill.v1.StatusService", "Import", "operator admin"},
    {"sealmill.v1.StatusService", "LoadResponses", "operator admin"},
    {"sealmill.v1.StatusService", "Check", ANY},
    {"sealmill.v1.StatusService", "CheckBatch", ANY},
    {"sealmill.v1.StatusService", "CheckStream", ANY},
    {"sealmill.v1.CrlService", "List", ANY},
    {"sealmill.v1.CrlService", "Make", "operator admin"},
    {"sealmill.v1.CrlService", "Get", ANY},
    {"sealmill.v1.CrlService", "Load", "admin"},
    {"sealmill.v1.DecryptKeyService", "Create", "ra operator admin"},
    {"sealmill.v1.DecryptKeyService", "List", "ra operator admin auditor"},
    {"sealmill.v1.DecryptKeyService", "Delete", "ra operator admin"},
    {"sealmill.v1.OtpService", "Create", "ra operator admin"},
    {"sealmill.v1.OtpService", "List", "ra operator admin auditor"},
    {"sealmill.v1.OtpService", "Revoke", "ra operator admin"},
    {"sealmill.v1.ApprovalService", "List", "operator admin auditor"},
    {"sealmill.v1.ApprovalService", "Get", "operator admin auditor"},
    {"sealmill.v1.ApprovalService", "Approve", "operator admin"},
    {"sealmill.v1.ApprovalService", "Deny", "operator admin"},
    {"sealmill.v1.ApprovalService", "Edit", "operator admin"},
    {"sealmill.v1.MaintenanceService", "Backup", "admin"},
    {"grpc.health.v1.Health", "Check", ""},
    {"grpc.health.v1.Health", "Watch", ""},
    {"grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", ""},
    {"grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", ""},
};

static struct sm_api_server server;
static const char *tokens[ROLES];

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n- name: other\n");
    for (size_t i = 0; i < ROLES; i++) {
        char grants[128];
        (void)snprintf(grants, sizeof(grants),
                       "[{\"role\":\"%s\",\"cas\":[\"*\"],\"profiles\":[\"*\"]}]", role_names[i]);
        tokens[i] = sm_api_server_token(&server, role_names[i], grants, 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

/* Whole words: "ra" is not in "operator". */
static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = strstr(words, word); at != NULL; at = strstr(at + 1, word)) {
        if ((at == words || at[-1] == ' ') && strchr(" ,:", at[len]) != NULL) { /* or its end */
            return true;
        }
    }
    return false;
}

static const char *promise(const struct sm_method *m)
{
    for (size_t i = 0; i < SM_ARRAY_LEN(promised); i++) {
        if (strcmp(promised[i].service, m->service) == 0 &&
            strcmp(promised[i].method, m->name) == 0) {
            return promised[i].roles;
        }
    }
    print_error("nothing is promised for %s/%s\n", m->service, m->name);
    fail();
    return "";
}

/* ---- by the table ---- */

static void grants__every_method_needs_the_roles_that_are_promised(void **state)
{
    (void)state;
    assert_int_equal(sm_method_count(), SM_ARRAY_LEN(promised));
    for (size_t i = 0; i < sm_method_count(); i++) {
        const struct sm_method *m = sm_method_at(i);
        unsigned bits = 0;
        for (size_t j = 0; j < ROLES; j++) {
            bits |= has_word(promise(m), role_names[j]) ? role_bits[j] : 0;
        }
        assert_int_equal(m->roles, bits);
    }
}

static struct sm_caller caller_with(Sealmill__V1__Grant **grant, Sealmill__V1__Role role)
{
    static Sealmill__V1__Grant g;
    sealmill__v1__grant__init(&g);
    g.role = role;
    *grant = &g;
    return (struct sm_caller){
        .name = "someone", .method = "token", .grants = grant, .grant_count = 1};
}

static void grants__one_role_of_those_needed_is_enough_and_no_other(void **state)
{
    (void)state;
    for (unsigned needed = 1; needed < 1U << ROLES; needed++) {
        for (unsigned role = 0; role <= ROLES; role++) {
            Sealmill__V1__Grant *grant;
            struct sm_caller caller = caller_with(&grant, (Sealmill__V1__Role)role);
            sm_diag diag = {.reason = ""};
            sm_err err = sm_caller_require(&caller, needed << 1, &diag);
            if (role > 0 && (needed >> (role - 1) & 1U) != 0) {
                assert_sm_ok(err);
                continue;
            }
            assert_sm_err(err, FORBIDDEN);
            for (size_t i = 0; i < ROLES; i++) {
                assert_int_equal(has_word(diag.reason, role_names[i]), needed >> i & 1U);
            }
        }
    }
}

/* gRPC carries any number in an enum's field. */
static void grants__roles_that_do_not_exist_give_nothing(void **state)
{
    (void)state;
    static const int32_t strange[] = {6, 31, 32, 33, 65, 97, INT32_MAX, -1, -31, INT32_MIN};
    for (size_t i = 0; i < SM_ARRAY_LEN(strange); i++) {
        Sealmill__V1__Grant *grant;
        struct sm_caller caller = caller_with(&grant, (Sealmill__V1__Role)0);
        memcpy(&grant->role, &strange[i], sizeof(strange[i]));
        assert_sm_err(sm_caller_require(&caller, SM_ROLE_ANY, NULL), FORBIDDEN);
        assert_sm_err(sm_caller_require_ra(&caller, "a", "b", NULL), FORBIDDEN);
    }
}

static void grants__without_credentials_it_is_unauthenticated(void **state)
{
    (void)state;
    struct sm_caller nobody = {.name = "anonymous", .method = "none"};
    struct sm_caller known = {.name = "known", .method = "mtls"};
    sm_diag diag = {.reason = ""};
    assert_sm_ok(sm_caller_require(&nobody, SM_ROLE_NONE_NEEDED, &diag));
    assert_sm_err(sm_caller_require(&nobody, SM_ROLE_ANY, &diag), UNAUTHENTICATED);
    assert_sm_err(sm_caller_require_ra(&nobody, "a", "b", NULL), UNAUTHENTICATED);
    assert_sm_err(sm_caller_require(&known, SM_ROLE_ANY, NULL), FORBIDDEN);
}

static void grants__an_ra_has_its_cas_and_profiles_only(void **state)
{
    (void)state;
    char a[] = "a";
    char p[] = "p";
    char all[] = "*";
    char *cas[] = {a};
    char *profiles[] = {p};
    char *any[] = {all};
    Sealmill__V1__Grant *grant;
    struct sm_caller ra = caller_with(&grant, SEALMILL__V1__ROLE__ROLE_RA);
    assert_sm_err(sm_caller_require_ra(&ra, "a", "p", NULL), FORBIDDEN); /* names none */
    grant->cas = cas;
    grant->n_cas = 1;
    assert_sm_err(sm_caller_require_ra(&ra, "a", "p", NULL), FORBIDDEN);
    grant->profiles = profiles;
    grant->n_profiles = 1;
    assert_sm_ok(sm_caller_require_ra(&ra, "a", "p", NULL));
    assert_sm_err(sm_caller_require_ra(&ra, "a", "q", NULL), FORBIDDEN);
    assert_sm_err(sm_caller_require_ra(&ra, "b", "p", NULL), FORBIDDEN);
    assert_sm_err(sm_caller_require_ra(&ra, "A", "p", NULL), FORBIDDEN);
    assert_sm_err(sm_caller_require_ra(&ra, "", "p", NULL), FORBIDDEN);
    assert_sm_err(sm_caller_require_ra(&ra, "ab", "p", NULL), FORBIDDEN);
    grant->cas = any;
    assert_sm_ok(sm_caller_require_ra(&ra, "b", "p", NULL));
    assert_sm_err(sm_caller_require_ra(&ra, "b", "q", NULL), FORBIDDEN);
}

/* ---- through the server ---- */

/* "/v1/cas/{name}:import" with something in the braces. */
static const char *path_of(const struct sm_method *m)
{
    static char out[256];
    size_t at = 0;
    bool inside = false;
    for (const char *c = m->http_path; *c != '\0'; c++) {
        if (*c == '{') {
            inside = true;
            out[at++] = '0';
        } else if (*c == '}') {
            inside = false;
        } else if (!inside) {
            out[at++] = *c;
        }
    }
    out[at] = '\0';
    return out;
}

static void refused(const struct sm_method *m, const char *token, unsigned want_status)
{
    unsigned status;
    json_t *answer = sm_api_server_json(&server, m->http_method, path_of(m), token, "{}", &status);
    if (status != want_status) {
        print_error("%s/%s: %u\n", m->service, m->name, status);
    }
    assert_int_equal(status, want_status);
    for (size_t i = 0; i < ROLES; i++) {
        if (has_word(promise(m), role_names[i])) {
            assert_non_null(strstr(sm_api_error(answer, "message"), role_names[i]));
        }
    }
    json_decref(answer);
}

static void grants__the_server_refuses_every_other_role_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sm_method_count(); i++) {
        const struct sm_method *m = sm_method_at(i);
        for (size_t j = 0; m->http_path != NULL && j < ROLES; j++) {
            if (!has_word(promise(m), role_names[j])) {
                refused(m, tokens[j], 403);
            }
        }
        if (m->http_path != NULL) {
            refused(m, NULL, 401);
        }
    }
}

static void grants__the_server_hears_every_role_that_is_needed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sm_method_count(); i++) {
        const struct sm_method *m = sm_method_at(i);
        bool endless = m->server_streaming;
        for (size_t j = 0; m->http_path != NULL && !endless && j < ROLES; j++) {
            unsigned status;
            if (has_word(promise(m), role_names[j])) {
                json_t *answer = sm_api_server_json(&server, m->http_method, path_of(m), tokens[j],
                                                    m->body ? "{}" : NULL, &status);
                if (status == 401 || status == 403 || status >= 500) {
                    print_error("%s/%s as %s: %u %s\n", m->service, m->name, role_names[j], status,
                                sm_api_error(answer, "message"));
                }
                assert_true(status != 401 && status != 403 && status < 500);
                json_decref(answer);
            }
        }
    }
}

/* The refusal is sent before the body has come; what comes then must not be acted upon. */
static void grants__what_is_refused_is_not_done(void **state)
{
    (void)state;
    const char *const refused_tokens[] = {NULL, tokens[4], "sealmill_unknown"};
    unsigned status;
    for (size_t i = 0; i < SM_ARRAY_LEN(refused_tokens); i++) {
        const char *token = refused_tokens[i];
        json_decref(
            sm_api_server_json(&server, "POST", "/v1/cas/issuing:disable", token, "{}", &status));
        assert_true(status == 401 || status == 403);
        json_decref(
            sm_api_server_json(&server, "PUT", "/v1/profiles/sneaked", token, "{}", &status));
        assert_true(status == 401 || status == 403);
        json_decref(sm_api_server_json(&server, "POST", "/v1/tokens", token,
                                       "{\"name\":\"sneaked\",\"grants\":[{\"role\":\"admin\"}]}",
                                       &status));
        assert_true(status == 401 || status == 403);
    }
    json_t *ca = sm_api_server_json(&server, "GET", "/v1/cas/issuing", tokens[0], NULL, &status);
    assert_string_equal(json_string_value(json_object_get(ca, "state")), "CA_STATE_ACTIVE");
    json_decref(ca);
    json_decref(
        sm_api_server_json(&server, "GET", "/v1/profiles/sneaked", tokens[0], NULL, &status));
    assert_int_equal(status, 404);
    const char *text;
    (void)sm_api_server_ask(&server, "GET", "/v1/tokens", tokens[0], NULL, &text);
    assert_null(strstr(text, "sneaked"));
}

/* ---- an RA's certificates ---- */

static json_t *issue(const char *token, const char *profile, unsigned *status)
{
    static char body[20000];
    (void)snprintf(body, sizeof(body), "{\"ca\":\"issuing\",\"profile\":\"%s\",\"csr\":\"%s\"}",
                   profile, sm_api_csr("dev", NULL));
    return sm_api_server_json(&server, "POST", "/v1/certificates", token, body, status);
}

static unsigned act(const char *token, const char *serial, const char *verb, const char *body)
{
    char path[128];
    unsigned status;
    (void)snprintf(path, sizeof(path), "/v1/certificates/%s:%s", serial, verb);
    json_decref(sm_api_server_json(&server, "POST", path, token, body, &status));
    return status;
}

static void grants__an_ra_touches_its_own_profile_only(void **state)
{
    (void)state;
    static const char hold[] = "{\"reason\":\"certificate-hold\"}";
    unsigned status;
    const char *ra = sm_api_server_token(
        &server, "narrow", "[{\"role\":\"ra\",\"cas\":[\"issuing\"],\"profiles\":[\"device\"]}]",
        0);
    json_t *refusal = issue(ra, "other", &status);
    assert_int_equal(status, 403);
    assert_non_null(strstr(sm_api_error(refusal, "message"), "other"));
    json_decref(refusal);
    json_t *own = issue(ra, "device", &status);
    assert_int_equal(status, 200);
    json_t *others = issue(tokens[0], "other", &status);
    assert_int_equal(status, 200);
    const char *serial = json_string_value(json_object_get(others, "serial"));
    static char renewal[20000];
    (void)snprintf(renewal, sizeof(renewal), "{\"csr\":\"%s\"}", sm_api_csr("dev", NULL));
    assert_int_equal(act(ra, serial, "revoke", hold), 403);
    assert_int_equal(act(ra, serial, "renew", renewal), 403);
    assert_int_equal(act(tokens[0], serial, "revoke", hold), 200);
    assert_int_equal(act(ra, serial, "release", "{}"), 403);
    serial = json_string_value(json_object_get(own, "serial"));
    assert_int_equal(act(ra, serial, "revoke", hold), 200);
    assert_int_equal(act(ra, serial, "release", "{}"), 200);
    json_decref(own);
    json_decref(others);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grants__every_method_needs_the_roles_that_are_promised),
        cmocka_unit_test(grants__one_role_of_those_needed_is_enough_and_no_other),
        cmocka_unit_test(grants__roles_that_do_not_exist_give_nothing),
        cmocka_unit_test(grants__without_credentials_it_is_unauthenticated),
        cmocka_unit_test(grants__an_ra_has_its_cas_and_profiles_only),
        cmocka_unit_test(grants__the_server_refuses_every_other_role_by_name),
        cmocka_unit_test(grants__the_server_hears_every_role_that_is_needed),
        cmocka_unit_test(grants__what_is_refused_is_not_done),
        cmocka_unit_test(grants__an_ra_touches_its_own_profile_only),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
