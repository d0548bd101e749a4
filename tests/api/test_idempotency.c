/* SPDX-License-Identifier: Apache-2.0 */
/* Idempotency keys: the same request gives the same certificate, another one is refused. */
#include "base/check.h"
#include "base/clock.h"
#include "tests/support/api_server.h"

#include <string.h>

static struct sm_api_server server;
static const char *admin;
static const char *other;

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n  allow_same_key_renewal: true\n"
                                 "- name: single\n  refuse_duplicate_subject: true\n"
                                 "- name: one-key\n  refuse_duplicate_key: true\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    other = sm_api_server_token(&server, "other", "[{\"role\":\"admin\"}]", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

struct answer {
    unsigned status;
    char serial[64];
    char certificate[4096];
    char field[64];
};

static struct answer post(const char *token, const char *path, const char *body)
{
    struct answer a = {.status = 0};
    json_t *json = sm_api_server_json(&server, "POST", path, token, body, &a.status);
    const char *serial = json_string_value(json_object_get(json, "serial"));
    const char *certificate = json_string_value(json_object_get(json, "certificate"));
    (void)snprintf(a.serial, sizeof(a.serial), "%s", serial == NULL ? "" : serial);
    (void)snprintf(a.certificate, sizeof(a.certificate), "%s",
                   certificate == NULL ? "" : certificate);
    (void)snprintf(a.field, sizeof(a.field), "%s", sm_api_error(json, "field"));
    json_decref(json);
    return a;
}

/* `rest`: more members, each after a comma. */
static struct answer issue(const char *token, const char *csr, const char *rest)
{
    char body[20000];
    (void)snprintf(body, sizeof(body), "{\"ca\":\"issuing\",\"csr\":\"%s\"%s}", csr, rest);
    return post(token, "/v1/certificates", body);
}

#define DEVICE ",\"profile\":\"device\""

static void assert_same(const struct answer *a, const struct answer *b)
{
    assert_int_equal(a->status, 200);
    assert_int_equal(b->status, 200);
    assert_string_equal(a->serial, b->serial);
    assert_string_equal(a->certificate, b->certificate);
}

static void assert_refused(const struct answer *a, const char *field)
{
    assert_int_equal(a->status, 409);
    assert_string_equal(a->field, field);
}

static void idempotency__same_request_gives_the_same_certificate(void **state)
{
    (void)state;
    const char *csr = sm_api_csr("dev", NULL);
    static const char rest[] = DEVICE ",\"idempotencyKey\":\"k1\",\"validitySeconds\":\"3600\"";
    struct answer first = issue(admin, csr, rest);
    for (int i = 0; i < 3; i++) {
        struct answer again = issue(admin, csr, rest);
        assert_same(&first, &again);
    }
}

static void idempotency__without_a_key_each_is_new(void **state)
{
    (void)state;
    const char *csr = sm_api_csr("dev", NULL);
    struct answer first = issue(admin, csr, DEVICE);
    struct answer second = issue(admin, csr, DEVICE);
    assert_int_equal(second.status, 200);
    assert_string_not_equal(first.serial, second.serial);
}

static void idempotency__another_request_is_refused(void **state)
{
    (void)state;
    static const char *const others[] = {
        ",\"profile\":\"device\",\"validitySeconds\":\"3601\"",
        ",\"profile\":\"single\"",
        ",\"profile\":\"device\",\"metadata\":{\"a\":\"2\"}",
        ",\"profile\":\"device\",\"metadata\":{\"a\":\"1\",\"b\":\"1\"}",
        ",\"profile\":\"device\",\"metadata\":{\"b\":\"1\"}",
        ",\"profile\":\"device\"",
    };
    const char *csr = sm_api_csr("dev", NULL);
    struct answer first = issue(admin, csr,
                                DEVICE ",\"idempotencyKey\":\"k2\",\"metadata\":{\"a\":\"1\"}");
    assert_int_equal(first.status, 200);
    for (size_t i = 0; i < SM_ARRAY_LEN(others); i++) {
        char rest[256];
        (void)snprintf(rest, sizeof(rest), "%s,\"idempotencyKey\":\"k2\"", others[i]);
        struct answer again = issue(admin, csr, rest);
        assert_refused(&again, "idempotency_key");
    }
    struct answer again = issue(admin, sm_api_csr("dev", NULL), /* another key pair */
                                DEVICE ",\"idempotencyKey\":\"k2\",\"metadata\":{\"a\":\"1\"}");
    assert_refused(&again, "idempotency_key");
}

/* A protobuf map has no order, and clients send it in one that changes from call to call. */
static void idempotency__order_of_metadata_does_not_matter(void **state)
{
    (void)state;
    const char *csr = sm_api_csr("dev", NULL);
    struct answer first = issue(
        admin, csr,
        DEVICE ",\"idempotencyKey\":\"k3\",\"metadata\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}");
    struct answer second = issue(
        admin, csr,
        DEVICE ",\"idempotencyKey\":\"k3\",\"metadata\":{\"c\":\"3\",\"a\":\"1\",\"b\":\"2\"}");
    assert_same(&first, &second);
    struct answer third = issue(
        admin, csr,
        DEVICE ",\"idempotencyKey\":\"k3\",\"metadata\":{\"c\":\"1\",\"a\":\"3\",\"b\":\"2\"}");
    assert_refused(&third, "idempotency_key");
}

static void idempotency__keys_are_a_callers_own(void **state)
{
    (void)state;
    const char *csr = sm_api_csr("dev", NULL);
    struct answer mine = issue(admin, csr, DEVICE ",\"idempotencyKey\":\"k4\"");
    struct answer theirs = issue(other, csr, DEVICE ",\"idempotencyKey\":\"k4\"");
    assert_int_equal(mine.status, 200);
    assert_int_equal(theirs.status, 200);
    assert_string_not_equal(mine.serial, theirs.serial);
}

static void idempotency__a_refused_request_leaves_its_key_free(void **state)
{
    (void)state;
    const char *csr = sm_api_csr("dev", NULL);
    struct answer refused = issue(
        admin, csr, DEVICE ",\"idempotencyKey\":\"k5\",\"validitySeconds\":\"999999999999\"");
    assert_int_equal(refused.status, 400);
    struct answer good = issue(admin, csr, DEVICE ",\"idempotencyKey\":\"k5\"");
    assert_int_equal(good.status, 200);
}

static void idempotency__key_lasts_a_day(void **state)
{
    (void)state;
    const char *csr = sm_api_csr("dev", NULL);
    static const char rest[] = DEVICE ",\"idempotencyKey\":\"k6\"";
    struct answer first = issue(admin, csr, rest);
    sm_clock_set_offset_s(23 * 3600);
    struct answer second = issue(admin, csr, rest);
    assert_same(&first, &second);
    sm_clock_set_offset_s(24 * 3600 + 60);
    struct answer third = issue(admin, csr, rest);
    assert_int_equal(third.status, 200);
    assert_string_not_equal(first.serial, third.serial);
    struct answer fourth = issue(admin, csr, rest);
    assert_same(&third, &fourth);
}

static void idempotency__too_long_a_key_is_refused(void **state)
{
    (void)state;
    char rest[256];
    const char *csr = sm_api_csr("dev", NULL);
    (void)snprintf(rest, sizeof(rest), DEVICE ",\"idempotencyKey\":\"%065d\"", 0);
    struct answer a = issue(admin, csr, rest);
    assert_int_equal(a.status, 400);
    assert_string_equal(a.field, "idempotency_key");
    (void)snprintf(rest, sizeof(rest), DEVICE ",\"idempotencyKey\":\"%064d\"", 0);
    a = issue(admin, csr, rest);
    assert_int_equal(a.status, 200);
}

/* ---- renewal ---- */

static struct answer renew(const char *serial, const char *body)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "/v1/certificates/%s:renew", serial);
    return post(admin, path, body);
}

static void renewal__same_request_gives_the_same_certificate(void **state)
{
    (void)state;
    static const char body[] = "{\"idempotencyKey\":\"r1\"}";
    struct answer old = issue(admin, sm_api_csr("dev", NULL), DEVICE);
    struct answer first = renew(old.serial, body);
    struct answer second = renew(old.serial, body);
    assert_same(&first, &second);
    assert_string_not_equal(first.serial, old.serial);
}

/* The first answer may have been lost; that it revoked the old certificate must not hide it. */
static void renewal__same_request_after_it_revoked_the_old_one(void **state)
{
    (void)state;
    static const char body[] = "{\"idempotencyKey\":\"r2\",\"revokeOld\":true}";
    struct answer old = issue(admin, sm_api_csr("dev", NULL), DEVICE);
    struct answer first = renew(old.serial, body);
    struct answer second = renew(old.serial, body);
    assert_same(&first, &second);
    struct answer third = renew(old.serial, "{\"idempotencyKey\":\"r3\",\"revokeOld\":true}");
    assert_int_equal(third.status, 400);
    assert_string_equal(third.field, "serial");
    third = renew(old.serial, "{}");
    assert_int_equal(third.status, 400);
}

static void renewal__of_another_certificate_is_another_request(void **state)
{
    (void)state;
    static const char body[] = "{\"idempotencyKey\":\"r4\"}";
    const char *csr = sm_api_csr("dev", NULL);
    struct answer one = issue(admin, csr, DEVICE);
    struct answer two = issue(admin, csr, DEVICE); /* the same subject and key */
    struct answer first = renew(one.serial, body);
    assert_int_equal(first.status, 200);
    struct answer second = renew(two.serial, body);
    assert_refused(&second, "idempotency_key");
    second = renew(one.serial, "{\"idempotencyKey\":\"r4\",\"revokeOld\":true}");
    assert_refused(&second, "idempotency_key");
}

/* ---- duplicates ---- */

static void revoke(const char *serial)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "/v1/certificates/%s:revoke", serial);
    assert_int_equal(post(admin, path, "{\"reason\":\"superseded\"}").status, 200);
}

static void duplicates__of_a_subject(void **state)
{
    (void)state;
    static const char rest[] = ",\"profile\":\"single\"";
    struct answer first = issue(admin, sm_api_csr("once", NULL), rest);
    assert_int_equal(first.status, 200);
    struct answer second = issue(admin, sm_api_csr("once", NULL), rest);
    assert_refused(&second, "subject");
    assert_int_equal(issue(admin, sm_api_csr("twice", NULL), rest).status, 200);
    revoke(first.serial);
    assert_int_equal(issue(admin, sm_api_csr("once", NULL), rest).status, 200);
}

static void duplicates__of_a_key(void **state)
{
    (void)state;
    static const char rest[] = ",\"profile\":\"one-key\"";
    const char *csr = sm_api_csr("dev", NULL);
    struct answer first = issue(admin, csr, rest);
    assert_int_equal(first.status, 200);
    struct answer second = issue(admin, csr, rest);
    assert_refused(&second, "csr.key");
    assert_int_equal(issue(admin, sm_api_csr("dev", NULL), rest).status, 200);
    revoke(first.serial);
    assert_int_equal(issue(admin, csr, rest).status, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idempotency__same_request_gives_the_same_certificate),
        cmocka_unit_test(idempotency__without_a_key_each_is_new),
        cmocka_unit_test(idempotency__another_request_is_refused),
        cmocka_unit_test(idempotency__order_of_metadata_does_not_matter),
        cmocka_unit_test(idempotency__keys_are_a_callers_own),
        cmocka_unit_test(idempotency__a_refused_request_leaves_its_key_free),
        cmocka_unit_test(idempotency__too_long_a_key_is_refused),
        cmocka_unit_test(renewal__same_request_gives_the_same_certificate),
        cmocka_unit_test(renewal__same_request_after_it_revoked_the_old_one),
        cmocka_unit_test(renewal__of_another_certificate_is_another_request),
        cmocka_unit_test(duplicates__of_a_subject),
        cmocka_unit_test(duplicates__of_a_key),
        cmocka_unit_test(idempotency__key_lasts_a_day), /* last: it moves the clock */
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
