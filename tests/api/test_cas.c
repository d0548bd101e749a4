/* SPDX-License-Identifier: Apache-2.0 */
/* CaService: what it refuses, what it leaves behind, what it publishes. */
#include "api/api_p.h"
#include "api/ca_p.h"
#include "base/check.h"
#include "base/clock.h"
#include "tests/support/api_server.h"

#include <dirent.h>
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

#define SUBJECT "\"subject\":{\"attributes\":[{\"type\":\"CN\",\"value\":\"x\"}]}"

/* The request is refused for this field, and nothing is left of it. */
static void refuse(const char *path, const char *body, const char *field)
{
    unsigned status;
    json_t *answer = sm_api_server_json(&server, "POST", path, admin, body, &status);
    if (status / 100 != 4 || strcmp(sm_api_error(answer, "field"), field) != 0) {
        print_error("%u, field %s: %s\n", status, sm_api_error(answer, "field"),
                    sm_api_error(answer, "message"));
    }
    assert_int_equal(status / 100, 4);
    assert_string_equal(sm_api_error(answer, "field"), field);
    json_decref(answer);
}

static void refuse_ca(const char *more, const char *field)
{
    char *body = sm_arena_printf(&server.arena, "{\"name\":\"bad\"," SUBJECT ",%s}", more);
    refuse("/v1/cas", body, field);
    assert_int_equal(ask("GET", "/v1/cas/bad", NULL), 404);
}

/* "member":[item,item,...] */
static char *list(const char *member, const char *item, size_t count)
{
    sm_buf text = sm_buf_init(1U << 16);
    sm_buf_printf(&text, "\"%s\":[", member);
    for (size_t i = 0; i < count; i++) {
        sm_buf_printf(&text, "%s%s", i == 0 ? "" : ",", item);
    }
    sm_buf_put_str(&text, "]");
    assert_sm_ok(sm_buf_err(&text));
    char *out = sm_arena_strdup(&server.arena, sm_buf_slice(&text));
    sm_buf_deinit(&text);
    return out;
}

static size_t key_files(void)
{
    DIR *d = opendir(server.dir);
    size_t n = 0;
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        n += strstr(e->d_name, ".key") != NULL;
    }
    (void)closedir(d);
    return n;
}

/* ---- what a certificate cannot say ---- */

static void cas__lists_that_are_too_long_are_refused_not_cut(void **state)
{
    (void)state;
    static const char *const urls[] = {"crlUrls", "ocspUrls", "caIssuerUrls"};
    static const char *const fields[] = {"crl_urls", "ocsp_urls", "ca_issuer_urls"};
    static const char dns[] = "{\"dns\":\"a.example\"}";
    size_t before = key_files();
    for (size_t i = 0; i < SM_ARRAY_LEN(urls); i++) {
        char *l = list(urls[i], "\"http://a.example/\"", 17);
        refuse_ca(sm_arena_printf(&server.arena, "\"selfSigned\":true,%s", l), fields[i]);
    }
    char *permitted = list("permitted", dns, 33);
    refuse_ca(
        sm_arena_printf(&server.arena, "\"selfSigned\":true,\"nameConstraints\":{%s}", permitted),
        "name_constraints.permitted");
    char *excluded = list("excluded", dns, 33);
    refuse_ca(
        sm_arena_printf(&server.arena, "\"parent\":\"root\",\"nameConstraints\":{%s}", excluded),
        "name_constraints.excluded");
    refuse_ca(sm_arena_printf(&server.arena, "\"nameConstraints\":{%s}", excluded),
              "name_constraints.excluded"); /* one that waits for its certificate, too */
    assert_int_equal(key_files(), before);
    char *body = sm_arena_printf(
        &server.arena, "{\"name\":\"wide\",\"selfSigned\":true," SUBJECT ",%s,%s,%s}",
        list("crlUrls", "\"http://a.example/\"", 16), list("ocspUrls", "\"http://b.example/\"", 16),
        list("caIssuerUrls", "\"http://c.example/\"", 16));
    assert_int_equal(ask("POST", "/v1/cas", body), 200);
    sm_world *w = sm_world_attach(server.api);
    const struct sm_cert *cert = &sm_ca_current(sm_world_ca(w, "wide"))->cert;
    size_t found = 0;
    for (size_t i = 0; i + 17 <= cert->der.len; i++) {
        found += memcmp(cert->der.ptr + i, "http://", 7) == 0;
    }
    sm_world_detach(&w);
    assert_int_equal(found, 48);
}

static void cas__numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    static const char *const validities[] = {"-1", "-100", "-9223372036854775808",
                                             "9223372036854775807", "253402300799"};
    size_t before = key_files();
    for (size_t i = 0; i < SM_ARRAY_LEN(validities); i++) {
        char *more = sm_arena_printf(
            &server.arena, "\"selfSigned\":true,\"validitySeconds\":\"%s\"", validities[i]);
        refuse_ca(more, "validity_seconds");
        refuse("/v1/cas/issuing:rollover",
               sm_arena_printf(&server.arena, "{\"validitySeconds\":\"%s\"}", validities[i]),
               "validity_seconds");
    }
    refuse_ca("\"selfSigned\":true,\"pathLength\":-5", "path_length");
    refuse_ca("\"selfSigned\":true,\"pathLength\":-2,\"pathLengthSet\":true", "path_length");
    assert_int_equal(key_files(), before);
    assert_int_equal(ask("POST", "/v1/cas",
                         "{\"name\":\"short\",\"parent\":\"root\",\"pathLength\":3," SUBJECT "}"),
                     200);
    sm_world *w = sm_world_attach(server.api);
    int length = sm_ca_current(sm_world_ca(w, "short"))->cert.path_length;
    size_t generations = sm_world_ca(w, "issuing")->generation_count;
    sm_world_detach(&w);
    assert_int_equal(length, 3);
    assert_int_equal(generations, 1);
}

/* ---- keys ---- */

static size_t cached_keys(void)
{
    (void)pthread_mutex_lock(&server.api->admin_lock);
    size_t n = sm_map_count(server.api->keys);
    (void)pthread_mutex_unlock(&server.api->admin_lock);
    return n;
}

static void cas__a_rollover_that_fails_leaves_no_key(void **state)
{
    (void)state;
    assert_int_equal(ask("POST", "/v1/cas", "{\"name\":\"edge\",\"parent\":\"root\"," SUBJECT "}"),
                     200);
    size_t files = key_files();
    size_t cached = cached_keys();
    assert_int_equal(ask("POST", "/v1/cas/root:disable", "{}"), 200);
    for (int i = 0; i < 3; i++) {
        refuse("/v1/cas/edge:rollover", "{}", "parent");
        assert_int_equal(key_files(), files);
        assert_int_equal(cached_keys(), cached);
    }
    assert_int_equal(ask("POST", "/v1/cas/root:enable", "{}"), 200);
    assert_int_equal(ask("POST", "/v1/cas/edge:rollover", "{}"), 200);
    assert_int_equal(key_files(), files + 2); /* the CA's and its responder's */
    assert_int_equal(cached_keys(), cached + 2);
}

/* Where the disk took the record and then failed, it may be there after the next start: its key must
 * be, too. */
static void cas__a_key_whose_record_may_be_stored_stays(void **state)
{
    (void)state;
    sm_arena arena;
    sm_diag diag = {.reason = ""};
    sm_arena_init(&arena, 1U << 20);
    const struct sm_admin a = {server.api, &arena, "test", SM_SLICE_NONE, &diag};
    size_t files = key_files();
    (void)pthread_mutex_lock(&server.api->admin_lock); /* as every change of the world */
    for (int uncertain = 0; uncertain < 2; uncertain++) {
        struct sm_ca_operation op = {.a = &a};
        sm_key *key;
        assert_sm_ok(
            sm_ca_make_key(&op, uncertain ? "maybe" : "never", 1, "", false, SM_KEY_P256, &key));
        assert_int_equal(key_files(), files + 1);
        op.uncertain = uncertain;
        assert_sm_err(sm_ca_operation_end(&op, SM_ERR(DISK)), DISK);
        sm_key_detach(&key);
        assert_int_equal(key_files(), files + (uncertain ? 1 : 0));
    }
    (void)pthread_mutex_unlock(&server.api->admin_lock);
    sm_arena_deinit(&arena);
}

/* As a crash between the key and the record leaves it. */
static void cas__a_rollover_does_not_mind_a_key_file_in_its_way(void **state)
{
    (void)state;
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/edge-3.key", server.dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fclose(f);
    assert_int_equal(ask("POST", "/v1/cas/edge:rollover", "{}"), 200);
    assert_int_equal(access(path, F_OK), 0);
    sm_world *w = sm_world_attach(server.api);
    const struct sm_ca_generation *g = sm_ca_current(sm_world_ca(w, "edge"));
    assert_int_equal(g->number, 3);
    assert_non_null(g->key);
    sm_world_detach(&w);
}

static void cas__a_renewed_responder_leaves_no_old_key(void **state)
{
    (void)state;
    sm_arena arena;
    sm_diag diag = {.reason = ""};
    sm_arena_init(&arena, 64U << 20);
    const struct sm_admin a = {server.api, &arena, "test", SM_SLICE_NONE, &diag};
    assert_sm_ok(sm_ca_renew_responders(&a, SIZE_MAX, &(size_t){0}));
    size_t files = key_files();
    size_t cached = cached_keys();
    for (int i = 1; i <= 3; i++) {
        sm_clock_set_offset_s(i * INT64_C(29) * 86400);
        sm_world *w = sm_world_attach(server.api);
        int64_t before = sm_ca_current(sm_world_ca(w, "edge"))->ocsp_cert.not_after;
        sm_world_detach(&w);
        assert_sm_ok(sm_ca_renew_responders(&a, SIZE_MAX, &(size_t){0}));
        w = sm_world_attach(server.api);
        const struct sm_ca_generation *g = sm_ca_current(sm_world_ca(w, "edge"));
        assert_true(g->ocsp_cert.not_after > before);
        assert_non_null(g->ocsp_key);
        sm_world_detach(&w);
        assert_int_equal(key_files(), files);
        assert_int_equal(cached_keys(), cached);
    }
    sm_clock_set_offset_s(0);
    sm_arena_deinit(&arena);
}

/* One at a time, the next call where the last one ended, until all had their turn. */
static void cas__responders_are_renewed_in_turns(void **state)
{
    (void)state;
    sm_arena arena;
    sm_diag diag = {.reason = ""};
    size_t at = 0;
    size_t calls = 0;
    size_t last;
    sm_arena_init(&arena, 64U << 20);
    const struct sm_admin a = {server.api, &arena, "test", SM_SLICE_NONE, &diag};
    sm_world *w = sm_world_attach(server.api);
    size_t count = w->ca_count;
    int64_t end = sm_ca_current(sm_world_ca(w, "root"))->ocsp_cert.not_after;
    sm_world_detach(&w);
    sm_clock_set_offset_s(end - sm_clock_wall_s() - 60);
    do {
        last = at;
        assert_sm_ok(sm_ca_renew_responders(&a, 1, &at));
        assert_true(at == 0 || at > last);
        calls++;
    } while (at != 0 && calls < 2 * count);
    assert_true(calls > 1);
    w = sm_world_attach(server.api);
    int64_t now = sm_clock_wall_s();
    for (size_t i = 0; i < w->ca_count; i++) {
        const struct sm_ca_generation *g = sm_ca_current(&w->cas[i]);
        assert_true(g == NULL || g->key == NULL || g->cert.der.len == 0 ||
                    g->ocsp_cert.not_after > now + 60);
    }
    sm_world_detach(&w);
    sm_clock_set_offset_s(0);
    sm_arena_deinit(&arena);
}

/* One whose record is gone from under it, say: those behind it are renewed all the same. */
static void cas__one_cas_trouble_is_not_the_others(void **state)
{
    (void)state;
    sm_arena arena;
    sm_diag diag = {.reason = ""};
    const struct sm_audit audit = {.caller = "test", .action = "test", .outcome = "ok"};
    struct sm_change change = {.audit = &audit, .remove = true, .key = SM_LIT("ca/aaa")};
    sm_arena_init(&arena, 64U << 20);
    const struct sm_admin a = {server.api, &arena, "test", SM_SLICE_NONE, &diag};
    assert_int_equal(ask("POST", "/v1/cas", "{\"name\":\"aaa\",\"parent\":\"root\"," SUBJECT "}"),
                     200);
    sm_world *w = sm_world_attach(server.api);
    assert_string_equal(w->cas[0].name, "aaa");
    int64_t before = sm_ca_current(sm_world_ca(w, "root"))->ocsp_cert.not_after;
    sm_world_detach(&w);
    assert_sm_ok(sm_change_write(server.store, &change, &arena));
    sm_clock_set_offset_s(before - sm_clock_wall_s() - 60);
    assert_sm_ok(sm_ca_renew_responders(&a, SIZE_MAX, &(size_t){0}));
    sm_clock_set_offset_s(0);
    w = sm_world_attach(server.api);
    assert_true(sm_ca_current(sm_world_ca(w, "root"))->ocsp_cert.not_after > before);
    sm_world_detach(&w);
    sm_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cas__lists_that_are_too_long_are_refused_not_cut),
        cmocka_unit_test(cas__numbers_out_of_range_are_refused),
        cmocka_unit_test(cas__a_rollover_that_fails_leaves_no_key),
        cmocka_unit_test(cas__a_key_whose_record_may_be_stored_stays),
        cmocka_unit_test(cas__a_rollover_does_not_mind_a_key_file_in_its_way),
        cmocka_unit_test(cas__a_renewed_responder_leaves_no_old_key),
        cmocka_unit_test(cas__responders_are_renewed_in_turns),
        cmocka_unit_test(cas__one_cas_trouble_is_not_the_others),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
