/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration's values become: defaults, limits, tokens, paths; and files that are none. */
#include "base/check.h"
#include "base/file.h"
#include "tests/support/support.h"
#include "tools/config.h"

#include <stdlib.h>
#include <string.h>

static char dir[256];
static char path[300];
static sm_arena arena;
static sm_diag diag;

static int set_up(void **state)
{
    (void)state;
    sm_arena_init(&arena, 64U << 20);
    if (sm_test_dir(dir, sizeof(dir)) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/sealmill.yaml", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_test_remove_dir(dir);
    sm_arena_deinit(&arena);
    return 0;
}

static sm_err load(sm_slice text, Sealmill__Config__V1__Config **out)
{
    sm_diag_clear(&diag);
    assert_sm_ok(sm_file_write_atomic(path, text, 0600, &diag));
    return config_load(path, CONFIG_FILES_ELSEWHERE, &arena, out, &diag);
}

static Sealmill__Config__V1__Config *take(const char *rest)
{
    Sealmill__Config__V1__Config *c = NULL;
    char text[4096];
    (void)snprintf(
        text, sizeof(text),
        "data_dir: db\nkeys: {dir: keys, passphrase_file: pass}\n"
        "listeners: [{address: '127.0.0.1:0', services: [operations], plaintext: true}]\n"
        "%s",
        rest);
    sm_err err = load(sm_slice_str(text), &c);
    if (!sm_ok(err)) {
        print_error("%s: %s\n", rest, diag.reason);
    }
    assert_sm_ok(err);
    return c;
}

static void config__least_one_has_the_defaults(void **state)
{
    (void)state;
    struct sm_http_limits limits;
    struct sm_http_limits defaults;
    struct sm_token_config tokens[SM_TOKENS_MAX];
    unsigned services;
    Sealmill__Config__V1__Config *c = take("");
    assert_int_equal(c->threads, 0);
    assert_int_equal(c->n_profiles + c->n_client_certificates + c->n_signing_keys + c->n_pkcs11, 0);
    assert_null(c->log);
    assert_null(c->ocsp);
    assert_null(c->crypto);
    assert_string_equal(c->backup_dir, "");
    assert_sm_ok(config_services(c->listeners[0], &services, &diag));
    assert_int_equal(services, CONFIG_SERVICE_OPERATIONS);
    assert_sm_ok(config_limits(c, &limits, &diag));
    sm_http_limits_default(&defaults);
    assert_memory_equal(&limits, &defaults, sizeof(limits));
    assert_sm_ok(config_tokens(c, tokens, &diag));
}

static void config__given_limits_replace_defaults_one_by_one(void **state)
{
    (void)state;
    struct sm_http_limits limits;
    struct sm_http_limits defaults;
    Sealmill__Config__V1__Config *c = take("limits:\n  connections: 7\n  header_bytes: 4096\n"
                                           "  idle_timeout: 2m\n  request_timeout: 1s\n"
                                           "  connections_per_address: 0\n");
    assert_sm_ok(config_limits(c, &limits, &diag));
    sm_http_limits_default(&defaults);
    assert_int_equal(limits.connections, 7);
    assert_int_equal(limits.header_bytes, 4096);
    assert_int_equal(limits.idle_timeout_ms, 120000);
    assert_int_equal(limits.request_timeout_ms, 1000);
    assert_int_equal(limits.drain_timeout_ms, defaults.drain_timeout_ms);
    assert_int_equal(limits.streams, defaults.streams);
    assert_int_equal(limits.connections_per_address, defaults.connections_per_address); /* 0 */
}

static void config__longest_times_fit(void **state)
{
    (void)state;
    struct sm_http_limits limits;
    Sealmill__Config__V1__Config *c = take("limits: {idle_timeout: 1d, drain_timeout: 0s}\n");
    assert_sm_ok(config_limits(c, &limits, &diag));
    assert_int_equal(limits.idle_timeout_ms, 86400000);
    assert_int_equal(limits.drain_timeout_ms, 0);
}

static void assert_in_folder(const char *got, const char *name)
{
    char want[5000];
    char *real = realpath(dir, NULL);
    assert_non_null(real);
    (void)snprintf(want, sizeof(want), "%s/%s", real, name);
    free(real);
    assert_string_equal(got, want);
}

static void config__paths_are_relative_to_the_file(void **state)
{
    (void)state;
    Sealmill__Config__V1__Config *c = take(
        "denied_keys_file: sub/denied\nbackup_dir: /abs/backups\n"
        "pkcs11: [{uri: 'pkcs11:token=a?module-path=/m.so', pin_file: ../pin}]\n");
    assert_in_folder(c->data_dir, "db");
    assert_in_folder(c->keys->dir, "keys");
    assert_in_folder(c->keys->passphrase_file, "pass");
    assert_in_folder(c->denied_keys_file, "sub/denied");
    assert_in_folder(c->pkcs11[0]->pin_file, "../pin");
    assert_string_equal(c->backup_dir, "/abs/backups");
}

static void config__paths_of_a_listeners_tls_too(void **state)
{
    (void)state;
    Sealmill__Config__V1__Config *c = NULL;
    struct config_tls tls;
    assert_sm_ok(load(SM_LIT("data_dir: /d\nkeys: {dir: /k, passphrase_env: P}\nlisteners:\n"
                             "- address: '[::1]:0'\n  services: [api, public, api]\n  tls:\n"
                             "    client_certificates: required\n    client_ca_file: ca.pem\n"
                             "    minimum_version: '1.3'\n    no_session_resumption: true\n"
                             "    certificates:\n    - {certificate_file: a.pem, key_file: /k}\n"
                             "    - {certificate_file: b.pem, key_file: b.key}\n"),
                      &c));
    assert_in_folder(c->listeners[0]->tls->client_ca_file, "ca.pem");
    assert_in_folder(c->listeners[0]->tls->certificates[1]->key_file, "b.key");
    assert_string_equal(c->listeners[0]->tls->certificates[0]->key_file, "/k");
    assert_sm_ok(config_tls(c->listeners[0]->tls, &tls, &diag));
    assert_int_equal(tls.config.certificate_count, 2);
    assert_int_equal(tls.config.minimum_version, 0x0304);
    assert_int_equal(tls.config.client_auth, SM_TLS_CLIENT_REQUIRED);
    assert_true(tls.config.no_resumption);
    assert_null(tls.config.groups);
}

static void config__tokens_take_their_values(void **state)
{
    (void)state;
    struct sm_token_config tokens[SM_TOKENS_MAX];
    Sealmill__Config__V1__Config *c = take(
        "pkcs11:\n- {uri: 'pkcs11:token=a?module-path=/m.so', pin_env: PIN, sessions: 3, queue: "
        "9,\n"
        "   timeout: 5s, call_timeout: 1m, one_thread: true}\n"
        "- {uri: 'pkcs11:token=b?module-path=/m.so', pin_env: PIN}\n");
    assert_sm_ok(config_tokens(c, tokens, &diag));
    assert_string_equal(tokens[0].pin_env, "PIN");
    assert_null(tokens[0].pin_file);
    assert_null(tokens[0].pin_credential);
    assert_int_equal(tokens[0].sessions, 3);
    assert_int_equal(tokens[0].queue, 9);
    assert_int_equal(tokens[0].timeout_ms, 5000);
    assert_int_equal(tokens[0].call_timeout_ms, 60000);
    assert_true(tokens[0].one_thread);
    assert_int_equal(tokens[1].timeout_ms, 0); /* the pool's own default */
    assert_false(tokens[1].one_thread);
}

static void config__files_that_cannot_be_read(void **state)
{
    (void)state;
    Sealmill__Config__V1__Config *c;
    char other[400];
    (void)snprintf(other, sizeof(other), "%s/nothing.yaml", dir);
    sm_diag_clear(&diag);
    assert_false(sm_ok(config_load(other, CONFIG_FILES_ELSEWHERE, &arena, &c, &diag)));
    assert_true(strstr(diag.field, "nothing.yaml") != NULL ||
                strstr(diag.reason, "nothing.yaml") != NULL);
    sm_diag_clear(&diag);
    assert_false(sm_ok(config_load(dir, CONFIG_FILES_ELSEWHERE, &arena, &c, &diag)));
    assert_true(diag.reason[0] != '\0');
}

static void config__a_file_over_the_limit_is_refused(void **state)
{
    (void)state;
    Sealmill__Config__V1__Config *c;
    sm_buf text = sm_buf_init(CONFIG_MAX + 100);
    sm_buf_put_str(&text, "data_dir: db\n#");
    while (text.len <= CONFIG_MAX) {
        sm_buf_put_byte(&text, 'x');
    }
    assert_false(sm_ok(load(sm_buf_slice(&text), &c)));
    assert_true(diag.reason[0] != '\0');
    sm_buf_deinit(&text);
}

static void config__octets_that_are_no_text_are_refused_with_their_line(void **state)
{
    (void)state;
    Sealmill__Config__V1__Config *c;
    static const char *const bad[] = {"data_dir: db\n\nlog: {level: \xff}\n",
                                      "data_dir: db\n# a comment\nx: \x01\n"};
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_false(sm_ok(load(sm_slice_str(bad[i]), &c)));
        assert_string_equal(diag.field, path);
        assert_non_null(strstr(diag.reason, "line 3"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config__least_one_has_the_defaults),
        cmocka_unit_test(config__given_limits_replace_defaults_one_by_one),
        cmocka_unit_test(config__longest_times_fit),
        cmocka_unit_test(config__paths_are_relative_to_the_file),
        cmocka_unit_test(config__paths_of_a_listeners_tls_too),
        cmocka_unit_test(config__tokens_take_their_values),
        cmocka_unit_test(config__files_that_cannot_be_read),
        cmocka_unit_test(config__a_file_over_the_limit_is_refused),
        cmocka_unit_test(config__octets_that_are_no_text_are_refused_with_their_line),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
