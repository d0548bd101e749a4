/* SPDX-License-Identifier: Apache-2.0 */
/* Renewals keep the names, the metadata and the uniqueness of what they renew; chains are those of
 * the generation that signed; a clock behind the log issues nothing. */
#include "api/api_p.h"
#include "api/record.h"
#include "base/clock.h"
#include "tests/support/api_server.h"

#include <string.h>

static struct sm_api_server server;
static const char *admin;

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n"
                                 "- name: device\n  allow_same_key_renewal: true\n"
                                 "  sans: {copy: true}\n"
                                 "- name: named\n  allow_same_key_renewal: true\n"
                                 "  subject: {template: 'CN={metadata.serial},O=Acme'}\n"
                                 "- name: single\n  refuse_duplicate_subject: true\n"
                                 "  allow_same_key_renewal: true\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_clock_set_offset_s(0);
    sm_api_server_stop(&server);
    return 0;
}

struct answer {
    unsigned status;
    char serial[64];
    char subject[128];
    char chain[4096]; /* its first certificate, base64 */
    char field[64];
    char message[256];
};

static void take_text(char *to, size_t room, const json_t *value)
{
    const char *text = json_string_value(value);
    (void)snprintf(to, room, "%s", text == NULL ? "" : text);
}

static struct answer ask(const char *verb, const char *path, const char *body)
{
    struct answer a = {.status = 0};
    json_t *json = sm_api_server_json(&server, verb, path, admin, body, &a.status);
    take_text(a.serial, sizeof(a.serial), json_object_get(json, "serial"));
    take_text(a.subject, sizeof(a.subject), json_object_get(json, "subject"));
    take_text(a.chain, sizeof(a.chain), json_array_get(json_object_get(json, "chain"), 0));
    (void)snprintf(a.field, sizeof(a.field), "%s", sm_api_error(json, "field"));
    (void)snprintf(a.message, sizeof(a.message), "%s", sm_api_error(json, "message"));
    json_decref(json);
    return a;
}

static struct answer issue(const char *profile, const char *csr, const char *rest)
{
    static char body[20000];
    (void)snprintf(body, sizeof(body), "{\"ca\":\"issuing\",\"profile\":\"%s\",\"csr\":\"%s\"%s}",
                   profile, csr, rest);
    return ask("POST", "/v1/certificates", body);
}

static struct answer act(const char *serial, const char *what, const char *body)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "/v1/certificates/%s:%s", serial, what);
    return ask("POST", path, body);
}

static struct answer renew_with(const char *serial, const char *csr)
{
    static char body[20000];
    (void)snprintf(body, sizeof(body), "{\"csr\":\"%s\"}", csr);
    return act(serial, "renew", body);
}

static struct answer get(const char *serial)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "/v1/certificates/%s", serial);
    return ask("GET", path, NULL);
}

/* ---- what may be renewed ---- */

static void state__on_hold_is_not_renewed(void **state)
{
    (void)state;
    struct answer old = issue("device", sm_api_csr("held", NULL), "");
    assert_int_equal(act(old.serial, "revoke", "{\"reason\":\"CERTIFICATE_HOLD\"}").status, 200);
    struct answer a = act(old.serial, "renew", "{}");
    assert_int_equal(a.status, 400);
    assert_string_equal(a.field, "serial");
    assert_non_null(strstr(a.message, "on hold"));
    assert_int_equal(act(old.serial, "release", "{}").status, 200);
    assert_int_equal(act(old.serial, "renew", "{}").status, 200);
}

static void state__after_a_release_the_old_one_can_be_superseded(void **state)
{
    (void)state;
    struct answer old = issue("device", sm_api_csr("again", NULL), "");
    assert_int_equal(act(old.serial, "revoke", "{\"reason\":\"CERTIFICATE_HOLD\"}").status, 200);
    assert_int_equal(act(old.serial, "release", "{}").status, 200);
    assert_int_equal(act(old.serial, "renew", "{\"revokeOld\":true}").status, 200);
    struct answer second = act(old.serial, "renew", "{\"revokeOld\":true}");
    assert_int_equal(second.status, 400);
    assert_non_null(strstr(second.message, "revoked"));
}

/* ---- names ---- */

static void names__stay(void **state)
{
    (void)state;
    struct answer old = issue("device", sm_api_csr("one", "DNS:one.test,DNS:two.test"), "");
    assert_int_equal(old.status, 200);
    struct answer a = renew_with(old.serial, sm_api_csr("one", "DNS:two.test,DNS:one.test"));
    assert_int_equal(a.status, 200);
    a = renew_with(old.serial, sm_api_csr("other", "DNS:one.test,DNS:two.test"));
    assert_int_equal(a.status, 400);
    assert_string_equal(a.field, "subject");
    a = renew_with(old.serial, sm_api_csr("one", "DNS:one.test"));
    assert_int_equal(a.status, 400);
    assert_string_equal(a.field, "sans");
    a = renew_with(old.serial, sm_api_csr("one", "DNS:one.test,DNS:two.test,DNS:three.test"));
    assert_int_equal(a.status, 400);
    assert_string_equal(a.field, "sans");
    a = renew_with(old.serial, sm_api_csr("one", NULL));
    assert_int_equal(a.status, 400);
    assert_string_equal(a.field, "sans");
}

static void names__from_metadata_are_made_from_the_old_metadata(void **state)
{
    (void)state;
    struct answer old = issue("named", sm_api_csr("x", NULL),
                              ",\"metadata\":{\"serial\":\"4711\"}");
    assert_int_equal(old.status, 200);
    struct answer a = act(old.serial, "renew", "{}");
    assert_int_equal(a.status, 200);
    assert_string_equal(get(a.serial).subject, "O=Acme,CN=4711");
    a = renew_with(a.serial, sm_api_csr("whatever the device says", NULL));
    assert_int_equal(a.status, 200);
    assert_string_equal(get(a.serial).subject, "O=Acme,CN=4711");
}

static void uniqueness__passes_to_the_renewal(void **state)
{
    (void)state;
    struct answer old = issue("single", sm_api_csr("unique", NULL), "");
    assert_int_equal(old.status, 200);
    struct answer new = act(old.serial, "renew", "{\"revokeOld\":true}");
    assert_int_equal(new.status, 200);
    /* The old one is revoked, but the new one holds the name now. */
    struct answer a = issue("single", sm_api_csr("unique", NULL), "");
    assert_int_equal(a.status, 409);
    assert_string_equal(a.field, "subject");
    assert_int_equal(act(new.serial, "revoke", "{}").status, 200);
    assert_int_equal(issue("single", sm_api_csr("unique", NULL), "").status, 200);
}

static void uniqueness__lets_one_renewal_through(void **state)
{
    (void)state;
    struct answer old = issue("single", sm_api_csr("only", NULL), "");
    assert_int_equal(act(old.serial, "renew", "{}").status, 200);
    struct answer a = act(old.serial, "renew", "{}"); /* the first renewal holds the name */
    assert_int_equal(a.status, 409);
    assert_string_equal(a.field, "subject");
}

/* ---- chains ---- */

static void chain__is_of_the_generation_that_signed(void **state)
{
    (void)state;
    static char csr[8192];
    (void)snprintf(csr, sizeof(csr), "%s", sm_api_csr("chained", NULL));
    struct answer old = issue("device", csr, ",\"idempotencyKey\":\"chain\"");
    assert_int_equal(old.status, 200);
    assert_int_equal(ask("POST", "/v1/cas/issuing:rollover", "{}").status, 200);
    struct answer again = issue("device", csr, ",\"idempotencyKey\":\"chain\"");
    assert_int_equal(again.status, 200);
    assert_string_equal(again.serial, old.serial);
    assert_string_equal(again.chain, old.chain);
    assert_string_equal(get(old.serial).chain, old.chain);
    struct answer new = issue("device", sm_api_csr("chained", NULL), "");
    assert_int_equal(new.status, 200);
    assert_string_not_equal(new.chain, old.chain);
}

/* ---- the clock ---- */

/* What a server that starts now holds for the last time. */
static int64_t last_time_of_a_start(void)
{
    const struct sm_api_config config = {
        .config = server.config, .store = server.store, .keystore = server.keystore};
    sm_api *api;
    sm_diag diag;
    assert_sm_ok(sm_api_new(&config, &api, &diag));
    int64_t last = atomic_load(&api->last_issue_ms);
    sm_api_free(&api);
    return last;
}

static void clock__of_the_log_is_known_at_the_start(void **state)
{
    (void)state;
    int64_t last;
    sm_clock_set_offset_s(7200);
    assert_int_equal(issue("device", sm_api_csr("late", NULL), "").status, 200);
    assert_sm_ok(sm_record_last_time_ms(server.store, &last));
    assert_true(last > sm_clock_wall_ms() - 60000 && last <= sm_clock_wall_ms());
    sm_clock_set_offset_s(0);
    assert_int_equal(last_time_of_a_start(), last);
    struct answer a = issue("device", sm_api_csr("early", NULL), "");
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.message, "backwards"));
    sm_clock_set_offset_s(7200);
    assert_int_equal(issue("device", sm_api_csr("late", NULL), "").status, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state__on_hold_is_not_renewed),
        cmocka_unit_test(state__after_a_release_the_old_one_can_be_superseded),
        cmocka_unit_test(names__stay),
        cmocka_unit_test(names__from_metadata_are_made_from_the_old_metadata),
        cmocka_unit_test(uniqueness__passes_to_the_renewal),
        cmocka_unit_test(uniqueness__lets_one_renewal_through),
        cmocka_unit_test(chain__is_of_the_generation_that_signed),
        cmocka_unit_test(clock__of_the_log_is_known_at_the_start),
    };
    return cmocka_run_group_tests_name("renewal", tests, set_up, tear_down);
}
