/* SPDX-License-Identifier: Apache-2.0 */
/* The audit: what leaves a record, what it says, and how it is read page by page. */
#include "base/check.h"
#include "tests/support/api_server.h"

#include <string.h>
#include <unistd.h>

static struct sm_api_server server;
static const char *admin;
static const char *auditor;
static const char *reader;
static char serial[64];

static void issue(void)
{
    static char body[20000];
    unsigned status;
    (void)snprintf(body, sizeof(body), "{\"ca\":\"issuing\",\"profile\":\"device\",\"csr\":\"%s\"}",
                   sm_api_csr("dev", NULL));
    json_t *answer = sm_api_server_json(&server, "POST", "/v1/certificates", admin, body, &status);
    assert_int_equal(status, 200);
    (void)snprintf(serial, sizeof(serial), "%s",
                   json_string_value(json_object_get(answer, "serial")));
    json_decref(answer);
}

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n");
    admin = sm_api_server_token(&server, "the admin", "[{\"role\":\"admin\"}]", 0);
    auditor = sm_api_server_token(&server, "the auditor", "[{\"role\":\"auditor\"}]", 0);
    reader = sm_api_server_token(&server, "the reader", "[{\"role\":\"reader\"}]", 0);
    issue();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

static json_t *page(const char *query, unsigned *status)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "/v1/audit?%s", query);
    return sm_api_server_json(&server, "GET", path, auditor, NULL, status);
}

static const char *text_of(const json_t *record, const char *member)
{
    const char *text = json_string_value(json_object_get(record, member));
    return text == NULL ? "" : text;
}

/* The newest record with this action and outcome (NULL: any) or NULL; to be freed with the page in
 * *all. */
static json_t *look_for(const char *action, const char *outcome, json_t **all)
{
    unsigned status;
    json_t *found = NULL;
    *all = page("pageSize=1000", &status);
    assert_int_equal(status, 200);
    json_t *records = json_object_get(*all, "records");
    for (size_t i = 0; i < json_array_size(records); i++) {
        json_t *r = json_array_get(records, i);
        bool fits = strcmp(text_of(r, "action"), action) == 0 &&
                    (outcome == NULL || strcmp(text_of(r, "outcome"), outcome) == 0);
        found = fits ? r : found;
    }
    return found;
}

/* A refusal's record is written behind its answer (api/refusal.h): it may come a little later. */
static json_t *comes_with(const char *action, const char *outcome, json_t **all)
{
    json_t *found = look_for(action, outcome, all);
    for (int tries = 0; found == NULL && tries < 500; tries++) {
        json_decref(*all);
        (void)usleep(10000);
        found = look_for(action, outcome, all);
    }
    assert_non_null(found);
    return found;
}

static json_t *newest(const char *action, json_t **all)
{
    json_t *found = look_for(action, NULL, all);
    if (found == NULL) {
        print_error("no record of %s\n", action);
    }
    assert_non_null(found);
    return found;
}

static void act(const char *verb, const char *path, const char *body, unsigned want)
{
    unsigned status;
    json_t *answer = sm_api_server_json(&server, verb, path, admin, body, &status);
    if (status != want) {
        print_error("%s %s: %u %s\n", verb, path, status, sm_api_error(answer, "message"));
    }
    assert_int_equal(status, want);
    json_decref(answer);
}

static void leaves(const char *action, const char *target)
{
    json_t *all;
    json_t *r = newest(action, &all);
    assert_string_equal(text_of(r, "caller"), "the admin");
    assert_string_equal(text_of(r, "outcome"), "ok");
    assert_string_equal(text_of(r, "target"), target);
    assert_true(strlen(text_of(r, "correlationId")) > 0);
    assert_int_equal(strlen(text_of(r, "time")), 20);
    json_decref(all);
}

static void audit__every_change_leaves_a_record(void **state)
{
    (void)state;
    char path[128];
    leaves("certificate.issue", serial);
    (void)snprintf(path, sizeof(path), "/v1/certificates/%s:revoke", serial);
    act("POST", path, "{\"reason\":\"certificate-hold\"}", 200);
    leaves("certificate.hold", serial);
    (void)snprintf(path, sizeof(path), "/v1/certificates/%s:release", serial);
    act("POST", path, "{}", 200);
    leaves("certificate.release", serial);
    (void)snprintf(path, sizeof(path), "/v1/certificates/%s:revoke", serial);
    act("POST", path, "{\"reason\":\"superseded\"}", 200);
    leaves("certificate.revoke", serial);
    act("PUT", "/v1/profiles/mine", "{}", 200);
    leaves("profile.put", "mine");
    act("DELETE", "/v1/profiles/mine", NULL, 200);
    leaves("profile.delete", "mine");
    act("POST", "/v1/keys", "{\"key\":{\"name\":\"k\"}}", 200);
    leaves("key.create", "k");
    act("POST", "/v1/keys/k:sign", "{\"data\":\"aA==\"}", 200);
    leaves("key.sign", "k");
    act("POST", "/v1/cas/issuing:disable", "{}", 200);
    leaves("ca.disable", "issuing");
    act("POST", "/v1/cas/issuing:enable", "{}", 200);
    leaves("ca.enable", "issuing");
}

#define HELLO_SHA256 "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define HELLO_SHA384                                   \
    "59e1748777448c69de6b800d7a33bbfb9ff1b463e44354c3" \
    "553bcdb9c666fa90125a3c79f90397bdf5f6a13de828684f"

/* The algorithm, and the digest of what was signed: given, of the data, or (where the algorithm has
 * none) SHA-256. */
static void audit__signatures_say_of_what(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *body;
        const char *detail;
    } cases[] = {
        {"{\"key\":{\"name\":\"p256\"}}", "{\"data\":\"aGVsbG8=\"}",
         "ecdsa-sha256 sha256:" HELLO_SHA256},
        {NULL, "{\"digest\":\"LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\"}",
         "ecdsa-sha256 sha256:" HELLO_SHA256},
        {"{\"key\":{\"name\":\"p384\",\"keyType\":\"ec-p384\"}}", "{\"data\":\"aGVsbG8=\"}",
         "ecdsa-sha384 sha384:" HELLO_SHA384},
        {"{\"key\":{\"name\":\"ed\",\"keyType\":\"ed25519\"}}", "{\"data\":\"aGVsbG8=\"}",
         "ed25519 sha256:" HELLO_SHA256},
    };
    static const char *const paths[] = {"/v1/keys/p256:sign", "/v1/keys/p256:sign",
                                        "/v1/keys/p384:sign", "/v1/keys/ed:sign"};
    for (size_t i = 0; i < SM_ARRAY_LEN(cases); i++) {
        json_t *all;
        if (cases[i].key != NULL) {
            act("POST", "/v1/keys", cases[i].key, 200);
        }
        act("POST", paths[i], cases[i].body, 200);
        assert_string_equal(text_of(newest("key.sign", &all), "detail"), cases[i].detail);
        json_decref(all);
    }
}

static unsigned sign_slowly(const char *body)
{
    unsigned status;
    json_decref(sm_api_server_json(&server, "POST", "/v1/keys/slow:sign", admin, body, &status));
    return status;
}

/* Refused by the key's policy: who, which key, and why. */
static void audit__refused_signatures_leave_one_too(void **state)
{
    (void)state;
    static const char *const outcomes[] = {"policy", "rate_limited"};
    act("POST", "/v1/keys", "{\"key\":{\"name\":\"slow\",\"ratePerSecond\":1}}", 200);
    assert_int_equal(sign_slowly("{\"data\":\"aA==\",\"digestAlgorithm\":\"sha512\"}"), 400);
    while (sign_slowly("{\"data\":\"aA==\"}") == 200) { /* on a slow machine more than once */
    }
    for (size_t i = 0; i < 2; i++) {
        json_t *all;
        json_t *r = comes_with("sealmill.v1.SigningService/Sign", outcomes[i], &all);
        assert_string_equal(text_of(r, "caller"), "the admin");
        assert_string_equal(text_of(r, "target"), "slow");
        assert_non_null(strstr(text_of(r, "detail"), "policy"));
        json_decref(all);
    }
}

static void audit__tokens_are_named_by_their_id_and_never_by_their_secret(void **state)
{
    (void)state;
    unsigned status;
    char path[128];
    const char *text;
    json_t *made = sm_api_server_json(
        &server, "POST", "/v1/tokens", admin,
        "{\"name\":\"ci\",\"grants\":[{\"role\":\"reader\"}],\"validitySeconds\":60}", &status);
    const char *id = json_string_value(json_object_get(json_object_get(made, "token"), "id"));
    leaves("token.create", id);
    (void)snprintf(path, sizeof(path), "/v1/tokens/%s", id);
    act("DELETE", path, NULL, 200);
    leaves("token.revoke", id);
    (void)sm_api_server_ask(&server, "GET", "/v1/audit?pageSize=1000", auditor, NULL, &text);
    assert_null(strstr(text, json_string_value(json_object_get(made, "secret"))));
    assert_null(strstr(text, "sealmill_"));
    json_decref(made);
}

static void audit__refusals_of_known_callers_leave_one_too(void **state)
{
    (void)state;
    unsigned status;
    json_t *all;
    json_decref(sm_api_server_json(&server, "POST", "/v1/cas", reader, "{}", &status));
    assert_int_equal(status, 403);
    json_t *r = comes_with("sealmill.v1.CaService/Create", "forbidden", &all);
    assert_string_equal(text_of(r, "caller"), "the reader");
    assert_non_null(strstr(text_of(r, "detail"), "admin"));
    json_decref(all);
}

/* Whoever can connect could fill the disk otherwise. */
static void audit__strangers_leave_none(void **state)
{
    (void)state;
    unsigned status;
    json_t *before = page("pageSize=1000", &status);
    json_decref(sm_api_server_json(&server, "POST", "/v1/cas", NULL, "{}", &status));
    assert_int_equal(status, 401);
    json_decref(sm_api_server_json(&server, "POST", "/v1/cas", "sealmill_x", "{}", &status));
    assert_int_equal(status, 401);
    json_t *after = page("pageSize=1000", &status);
    assert_int_equal(json_array_size(json_object_get(before, "records")),
                     json_array_size(json_object_get(after, "records")));
    json_decref(before);
    json_decref(after);
}

static void audit__pages_follow_the_sequence_without_a_gap(void **state)
{
    (void)state;
    for (unsigned size = 1; size < 8; size++) {
        long long last = 0;
        bool more = true;
        while (more) {
            char query[100];
            unsigned status;
            (void)snprintf(query, sizeof(query), "afterSequence=%lld&pageSize=%u", last, size);
            json_t *answer = page(query, &status);
            assert_int_equal(status, 200);
            json_t *records = json_object_get(answer, "records");
            assert_true(json_array_size(records) <= size);
            for (size_t i = 0; i < json_array_size(records); i++) {
                long long n = strtoll(text_of(json_array_get(records, i), "sequence"), NULL, 10);
                assert_true(n == last + 1);
                last = n;
            }
            more = json_array_size(records) > 0;
            json_decref(answer);
        }
        assert_true(last > 5);
    }
}

static void audit__strange_pages(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"pageSize=1001", "page_size"},
        {"pageSize=-1", "page_size"},
        {"pageSize=many", "pageSize"},
        {"afterSequence=-1", "after_sequence"},
        {"afterSequence=x", "afterSequence"},
        {"afterSequence=9223372036854775808", "afterSequence"},
    };
    unsigned status;
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        json_t *answer = page(bad[i][0], &status);
        assert_int_equal(status, 400);
        assert_string_equal(sm_api_error(answer, "field"), bad[i][1]);
        json_decref(answer);
    }
    json_t *answer = page("afterSequence=9223372036854775807", &status);
    assert_int_equal(status, 200);
    assert_int_equal(json_array_size(json_object_get(answer, "records")), 0);
    json_decref(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(audit__every_change_leaves_a_record),
        cmocka_unit_test(audit__signatures_say_of_what),
        cmocka_unit_test(audit__refused_signatures_leave_one_too),
        cmocka_unit_test(audit__tokens_are_named_by_their_id_and_never_by_their_secret),
        cmocka_unit_test(audit__refusals_of_known_callers_leave_one_too),
        cmocka_unit_test(audit__strangers_leave_none),
        cmocka_unit_test(audit__pages_follow_the_sequence_without_a_gap),
        cmocka_unit_test(audit__strange_pages),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
