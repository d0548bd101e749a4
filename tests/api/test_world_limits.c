/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of what administration stores: one too many is refused before it is written, and what is
 * stored over a limit all the same (by another release) keeps nothing else from working. */
#include "api/api_p.h"
#include "api/record.h"
#include "base/check.h"
#include "base/clock.h"
#include "proto/message.h"
#include "tests/support/api_server.h"

#include <string.h>
#include <unistd.h>

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

static unsigned ask(const char *verb, const char *path, const char *body)
{
    const char *answer;
    return sm_api_server_ask(&server, verb, path, admin, body, &answer);
}

/* The world as the next start would build it. */
static void start_again(void)
{
    sm_diag diag = {.reason = ""};
    (void)pthread_mutex_lock(&server.api->admin_lock);
    sm_err err = sm_api_refresh(server.api, &diag);
    (void)pthread_mutex_unlock(&server.api->admin_lock);
    if (!sm_ok(err)) {
        print_error("%s: %s\n", diag.field, diag.reason);
    }
    assert_sm_ok(err);
}

/* Past every check, as another release may have stored it. */
static void store(const char *prefix, const char *name, const ProtobufCMessage *record)
{
    const struct sm_audit audit = {.caller = "test", .action = "test", .outcome = "ok"};
    struct sm_change change = {.audit = &audit, .remove = record == NULL};
    assert_sm_ok(sm_record_key(prefix, sm_slice_str(name), &server.arena, &change.key));
    if (record != NULL) {
        assert_sm_ok(sm_record_pack(record, &server.arena, &change.value));
    }
    (void)pthread_mutex_lock(&server.api->admin_lock);
    assert_sm_ok(sm_change_write(server.store, &change, &server.arena));
    (void)pthread_mutex_unlock(&server.api->admin_lock);
}

static bool is_stored(const char *prefix, const char *name)
{
    sm_slice key;
    sm_buf value = sm_buf_init(1U << 20);
    assert_sm_ok(sm_record_key(prefix, sm_slice_str(name), &server.arena, &key));
    sm_err err = sm_store_get_sync(server.store, SM_FAMILY_META, key, &value);
    sm_buf_deinit(&value);
    assert_true(sm_ok(err) || sm_err_is(err, SM_E_NOT_FOUND));
    return sm_ok(err);
}

static void store_profile(const char *name, const char *json)
{
    Sealmill__Record__V1__ProfileRecord record = SEALMILL__RECORD__V1__PROFILE_RECORD__INIT;
    ProtobufCMessage *m;
    char *text = sm_arena_printf(&server.arena, "{\"name\":\"%s\"%s}", name, json);
    assert_sm_ok(sm_message_from_json(&sealmill__v1__profile__descriptor, sm_slice_str(text),
                                      &server.arena, &m, NULL));
    record.version = SM_RECORD_VERSION;
    record.profile = (Sealmill__V1__Profile *)(void *)m;
    store("profile/", name, &record.base);
}

static size_t profiles(void)
{
    sm_world *w = sm_world_attach(server.api);
    size_t n = w->profile_count;
    sm_world_detach(&w);
    return n;
}

/* ---- profiles ---- */

static void limits__a_profile_too_many_is_refused_and_not_stored(void **state)
{
    (void)state;
    char name[32];
    for (int i = 0; i < SM_PROFILES_MAX - 2; i++) { /* one is the configuration's */
        (void)snprintf(name, sizeof(name), "p%d", i);
        store_profile(name, "");
    }
    start_again();
    assert_int_equal(ask("PUT", "/v1/profiles/last", "{}"), 200);
    assert_int_equal(profiles(), SM_PROFILES_MAX);
    static const char *const more[] = {"a-first", "one-more", "zzz"}; /* wherever it sorts */
    for (size_t i = 0; i < SM_ARRAY_LEN(more); i++) {
        unsigned status;
        char *path = sm_arena_printf(&server.arena, "/v1/profiles/%s", more[i]);
        json_t *answer = sm_api_server_json(&server, "PUT", path, admin, "{}", &status);
        assert_true(status >= 400 && status < 500);
        assert_non_null(strstr(sm_api_error(answer, "message"), "256 profiles already"));
        json_decref(answer);
        assert_false(is_stored("profile/", more[i]));
    }
    start_again();
    /* What is there can be changed and removed, and then there is room. */
    assert_int_equal(ask("PUT", "/v1/profiles/last", "{\"description\":\"new\"}"), 200);
    assert_int_equal(ask("POST", "/v1/cas/issuing:disable", "{}"), 200);
    assert_int_equal(ask("POST", "/v1/cas/issuing:enable", "{}"), 200);
    assert_int_equal(ask("DELETE", "/v1/profiles/p0", NULL), 200);
    assert_int_equal(ask("PUT", "/v1/profiles/one-more", "{}"), 200);
}

static void limits__stored_profiles_over_the_limit_are_left_out(void **state)
{
    (void)state;
    store_profile("zz-over", "");
    start_again();
    assert_int_equal(profiles(), SM_PROFILES_MAX);
    assert_int_equal(ask("GET", "/v1/profiles/zz-over", NULL), 404);
    assert_int_equal(ask("GET", "/v1/profiles/p9", NULL), 200);
    assert_int_equal(ask("DELETE", "/v1/profiles/p1", NULL), 200);
    assert_int_equal(ask("GET", "/v1/profiles/zz-over", NULL), 200); /* room for it now */
    for (int i = 2; i < SM_PROFILES_MAX - 2; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "p%d", i);
        store("profile/", name, NULL);
    }
    start_again();
}

static void limits__a_stored_profile_that_is_none_is_left_out(void **state)
{
    (void)state;
    store_profile("broken", ",\"keyUsage\":[\"nonsense\"],\"validity\":{\"default\":\"soon\"}");
    start_again();
    assert_int_equal(ask("GET", "/v1/profiles/broken", NULL), 404);
    assert_int_equal(ask("GET", "/v1/profiles/device", NULL), 200);
    assert_int_equal(ask("PUT", "/v1/profiles/broken", "{}"), 200);
    assert_int_equal(ask("GET", "/v1/profiles/broken", NULL), 200);
}

/* ---- CAs ---- */

static Sealmill__Record__V1__CaRecord *record_of(const char *ca)
{
    ProtobufCMessage *m;
    sm_slice key;
    assert_sm_ok(sm_record_key("ca/", sm_slice_str(ca), &server.arena, &key));
    assert_sm_ok(sm_record_get(server.store, SM_FAMILY_META, key,
                               &sealmill__record__v1__ca_record__descriptor, &server.arena, &m));
    return (Sealmill__Record__V1__CaRecord *)(void *)m;
}

static void limits__a_ca_too_many_is_refused_and_leaves_no_key(void **state)
{
    (void)state;
    char name[32];
    char path[512];
    Sealmill__Record__V1__CaRecord *r = record_of("root");
    for (int i = 0; i < SM_CAS_MAX - 2; i++) {
        (void)snprintf(name, sizeof(name), "c%d", i);
        r->ca->name = name;
        r->id = 100 + (uint32_t)i;
        store("ca/", name, &r->base);
    }
    start_again();
    assert_int_equal(ask("POST", "/v1/cas",
                         "{\"name\":\"toomany\",\"selfSigned\":true,\"subject\":{\"attributes\":"
                         "[{\"type\":\"CN\",\"value\":\"x\"}]}}") /
                         100,
                     4);
    assert_false(is_stored("ca/", "toomany"));
    (void)snprintf(path, sizeof(path), "%s/toomany-1.key", server.dir);
    assert_int_equal(access(path, F_OK), -1);
    start_again();
    assert_int_equal(ask("POST", "/v1/cas/c7:disable", "{}"), 200);
    r->ca->name = name;
    (void)snprintf(name, sizeof(name), "zz-over");
    r->id = 9999;
    store("ca/", name, &r->base);
    start_again();
    assert_int_equal(ask("GET", "/v1/cas/zz-over", NULL), 404);
    assert_int_equal(ask("GET", "/v1/cas/root", NULL), 200);
    for (int i = 0; i < SM_CAS_MAX - 2; i++) {
        (void)snprintf(name, sizeof(name), "c%d", i);
        store("ca/", name, NULL);
    }
    store("ca/", "zz-over", NULL);
    start_again();
    assert_int_equal(ask("POST", "/v1/cas",
                         "{\"name\":\"toomany\",\"selfSigned\":true,\"subject\":{\"attributes\":"
                         "[{\"type\":\"CN\",\"value\":\"x\"}]}}"),
                     200);
    assert_int_equal(access(path, F_OK), 0);
}

/* ---- signing keys ---- */

static void limits__a_signing_key_too_many_is_refused_and_leaves_no_file(void **state)
{
    (void)state;
    char name[32];
    char path[512];
    Sealmill__V1__SigningKey key = SEALMILL__V1__SIGNING_KEY__INIT;
    Sealmill__Record__V1__KeyRecord record = SEALMILL__RECORD__V1__KEY_RECORD__INIT;
    record.version = SM_RECORD_VERSION;
    record.key = &key;
    key.name = name;
    key.key_uri = record_of("root")->ca->key_uri;
    for (int i = 0; i < SM_SIGNING_KEYS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "k%d", i);
        store("key/", name, &record.base);
    }
    start_again();
    assert_int_equal(ask("POST", "/v1/keys", "{\"key\":{\"name\":\"extra\"}}") / 100, 4);
    assert_false(is_stored("key/", "extra"));
    (void)snprintf(path, sizeof(path), "%s/key-extra.key", server.dir);
    assert_int_equal(access(path, F_OK), -1);
    for (int i = 0; i < SM_SIGNING_KEYS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "k%d", i);
        store("key/", name, NULL);
    }
    start_again();
    assert_int_equal(ask("POST", "/v1/keys", "{\"key\":{\"name\":\"extra\"}}"), 200);
    assert_int_equal(access(path, F_OK), 0);
}

/* ---- tokens ---- */

static char *make_token(void)
{
    unsigned status;
    json_t *answer = sm_api_server_json(&server, "POST", "/v1/tokens", admin,
                                        "{\"name\":\"ci\",\"grants\":[{\"role\":\"reader\"}]}",
                                        &status);
    assert_int_equal(status, 200);
    char *id = sm_arena_strdup(
        &server.arena,
        sm_slice_str(json_string_value(json_object_get(json_object_get(answer, "token"), "id"))));
    json_decref(answer);
    return id;
}

static void limits__dead_tokens_are_removed_after_their_grace(void **state)
{
    (void)state;
    char *live = make_token();
    char *revoked = make_token();
    char *path = sm_arena_printf(&server.arena, "/v1/tokens/%s", revoked);
    assert_int_equal(ask("DELETE", path, NULL), 200);
    const char *answer;
    (void)make_token();
    (void)sm_api_server_ask(&server, "GET", "/v1/tokens", admin, NULL, &answer);
    assert_non_null(strstr(answer, revoked)); /* still shown */
    sm_clock_set_offset_s(SM_TOKEN_GRACE_S + 5);
    (void)make_token();
    (void)sm_api_server_ask(&server, "GET", "/v1/tokens", admin, NULL, &answer);
    sm_clock_set_offset_s(0);
    assert_null(strstr(answer, revoked));
    assert_non_null(strstr(answer, live));
    assert_false(is_stored("token/", revoked));
    assert_true(is_stored("token/", live));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits__a_profile_too_many_is_refused_and_not_stored),
        cmocka_unit_test(limits__stored_profiles_over_the_limit_are_left_out),
        cmocka_unit_test(limits__a_stored_profile_that_is_none_is_left_out),
        cmocka_unit_test(limits__a_ca_too_many_is_refused_and_leaves_no_key),
        cmocka_unit_test(limits__a_signing_key_too_many_is_refused_and_leaves_no_file),
        cmocka_unit_test(limits__dead_tokens_are_removed_after_their_grace),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
