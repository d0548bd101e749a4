/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: defaults, paths, and for each wrong value a message that names file, line,
 * key and what to do. */
#include "base/check.h"
#include "base/file.h"
#include "proto/message.h"
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

static sm_err load_slice(sm_slice text, Sealmill__Config__V1__Config **out)
{
    sm_diag_clear(&diag);
    assert_sm_ok(sm_file_write_atomic(path, text, 0600, &diag));
    return config_load(path, &arena, out, &diag);
}

#define NEEDED "data_dir: db\nkeys:\n  dir: keys\n" /* three lines */

static Sealmill__Config__V1__Config *take(const char *rest)
{
    Sealmill__Config__V1__Config *c = NULL;
    char text[4096];
    (void)snprintf(text, sizeof(text), NEEDED "%s", rest);
    sm_err err = load_slice(sm_slice_str(text), &c);
    if (!sm_ok(err)) {
        print_error("%s: %s\n", rest, diag.reason);
    }
    assert_sm_ok(err);
    return c;
}

static void refuse_whole(const char *text, unsigned line, const char *key, const char *hint)
{
    Sealmill__Config__V1__Config *c = NULL;
    char want[32] = "";
    if (line > 0) {
        (void)snprintf(want, sizeof(want), "line %u: ", line);
    }
    sm_err err = load_slice(sm_slice_str(text), &c);
    bool good = !sm_ok(err) && strcmp(diag.field, path) == 0 &&
                strncmp(diag.reason, want, strlen(want)) == 0 &&
                (line > 0 || strncmp(diag.reason, "line", 4) != 0) &&
                strstr(diag.reason, key) != NULL && strstr(diag.reason, hint) != NULL;
    if (!good) {
        print_error("%s\nwanted line %u, %s, %s; got %s at %s: %s\n", text, line, key, hint,
                    sm_err_name(err), diag.field, diag.reason);
    }
    assert_true(good);
    assert_null(c);
}

/* `line` of `rest`, which stands behind the three lines of what is needed. */
static void refuse(const char *rest, unsigned line, const char *key, const char *hint)
{
    char text[4096];
    (void)snprintf(text, sizeof(text), NEEDED "%s", rest);
    refuse_whole(text, 3 + line, key, hint);
}

/* ---- what is taken ---- */

static void config__least_one_has_the_defaults(void **state)
{
    (void)state;
    struct sm_http_limits limits;
    struct sm_http_limits defaults;
    Sealmill__Config__V1__Config *c = take("");
    assert_int_equal(c->threads, 0);
    assert_int_equal(c->n_listeners + c->n_profiles + c->n_client_certificates, 0);
    assert_null(c->log);
    assert_sm_ok(config_limits(c, &limits, &diag));
    sm_http_limits_default(&defaults);
    assert_memory_equal(&limits, &defaults, sizeof(limits));
}

static void config__given_limits_replace_defaults(void **state)
{
    (void)state;
    struct sm_http_limits limits;
    struct sm_http_limits defaults;
    Sealmill__Config__V1__Config *c = take(
        "limits:\n  connections: 7\n  header_bytes: 4096\n  idle_timeout: 2m\n"
        "  request_timeout: 1s\n");
    assert_sm_ok(config_limits(c, &limits, &diag));
    sm_http_limits_default(&defaults);
    assert_int_equal(limits.connections, 7);
    assert_int_equal(limits.header_bytes, 4096);
    assert_int_equal(limits.idle_timeout_ms, 120000);
    assert_int_equal(limits.request_timeout_ms, 1000);
    assert_int_equal(limits.drain_timeout_ms, defaults.drain_timeout_ms);
    assert_int_equal(limits.streams, defaults.streams);
}

static void config__paths_are_relative_to_the_file(void **state)
{
    (void)state;
    char want[400];
    Sealmill__Config__V1__Config *c = take(
        "denied_keys_file: denied\nbackup_dir: /abs/backups\nlisteners:\n- address: 127.0.0.1:0\n"
        "  services: [api]\n  tls:\n    client_certificates: required\n    client_ca_file: ca.pem\n"
        "    certificates: [{certificate_file: a.pem, key_file: /k}]\n"
        "pkcs11: [{uri: 'pkcs11:token=a', pin_file: pin}]\n");
    char *real = realpath(dir, NULL);
    assert_non_null(real);
#define ABSOLUTE(got, name)                                      \
    do {                                                         \
        (void)snprintf(want, sizeof(want), "%s/%s", real, name); \
        assert_string_equal(got, want);                          \
    } while (0)
    ABSOLUTE(c->data_dir, "db");
    ABSOLUTE(c->keys->dir, "keys");
    ABSOLUTE(c->denied_keys_file, "denied");
    ABSOLUTE(c->listeners[0]->tls->client_ca_file, "ca.pem");
    ABSOLUTE(c->listeners[0]->tls->certificates[0]->certificate_file, "a.pem");
    ABSOLUTE(c->pkcs11[0]->pin_file, "pin");
    assert_string_equal(c->backup_dir, "/abs/backups");
    assert_string_equal(c->listeners[0]->tls->certificates[0]->key_file, "/k");
    assert_string_equal(c->keys->passphrase_file, "");
    free(real);
}

static void config__tokens_take_their_values(void **state)
{
    (void)state;
    struct sm_token_config tokens[SM_TOKENS_MAX];
    Sealmill__Config__V1__Config *c = take(
        "pkcs11:\n- {uri: 'pkcs11:token=a', pin_env: PIN, sessions: 3, timeout: 5s, one_thread: "
        "true}\n- {uri: 'pkcs11:token=b'}\n");
    assert_sm_ok(config_tokens(c, tokens, &diag));
    assert_string_equal(tokens[0].pin_env, "PIN");
    assert_null(tokens[0].pin_file);
    assert_int_equal(tokens[0].sessions, 3);
    assert_int_equal(tokens[0].timeout_ms, 5000);
    assert_true(tokens[0].one_thread);
    assert_int_equal(tokens[1].timeout_ms, 0);
}

/* ---- what is refused ---- */

static void config__needed_keys(void **state)
{
    (void)state;
    refuse_whole("", 0, "data_dir", "the folder of the database");
    refuse_whole("keys: {dir: a}", 0, "data_dir", "the folder of the database");
    refuse_whole("data_dir: ''\nkeys: {dir: a}", 1, "data_dir", "the folder of the database");
    refuse_whole("data_dir: db", 0, "keys.dir", "the folder of the encrypted keys");
    refuse_whole("data_dir: db\nkeys:\n  passphrase_env: A\n", 2, "keys.dir", "folder");
    refuse_whole("data_dir: db\n\nkeys:\n  dir: a\n  passphrase_env: A\n  passphrase_file: b\n", 3,
                 "keys", "keep one of");
}

static void config__words_of_a_list(void **state)
{
    (void)state;
    refuse("log:\n  level: loud\n", 2, "log.level", "debug, info, warn, error");
    refuse("log:\n  level: INFO\n", 2, "log.level", "debug, info, warn, error");
    refuse("log:\n  level: info\n  format: xml\n", 3, "log.format", "key-value, json");
    (void)take("log: {level: debug, format: key-value}\n");
    (void)take("log: {}\n");
}

static void config__types(void **state)
{
    (void)state;
    refuse("threads: many\n", 1, "threads", "whole number");
    refuse("threads: 65\n", 1, "threads", "at most 64");
    (void)take("threads: 64\n");
    refuse("listeners: 9000\n", 1, "listeners", "list");
    refuse("limits:\n  connections: -1\n", 2, "limits.connections", "whole number");
    refuse("crypto: {verify_after_sign: yes}\n", 1, "crypto.verify_after_sign", "true or false");
    refuse("thread: 4\n", 1, "thread", "did you mean \"threads\"?");
    refuse("threads: 4\nthreads: 5\n", 2, "threads", "twice");
    refuse("\tthreads: 4\n", 1, "", "not YAML");
    refuse("log:\n  level: \xff\n", 2, "", "not YAML");
}

static void config__durations(void **state)
{
    (void)state;
    refuse("ocsp:\n  validity: 12\n", 2, "ocsp.validity", "such as");
    refuse("ocsp: {validity: 12h,\n  backdate: soon}\n", 2, "ocsp.backdate", "such as");
    refuse("ocsp:\n  responder_validity: 1\n", 2, "ocsp.responder_validity", "such as");
    refuse("limits:\n  idle_timeout: 5\n", 2, "limits.idle_timeout", "such as 30s");
    refuse("limits:\n  request_timeout: 2d\n", 2, "limits.request_timeout", "at most a day");
    refuse("limits:\n  handshake_timeout: x\n", 2, "limits.handshake_timeout", "such as 30s");
    refuse("limits:\n\n  drain_timeout: 1m1\n", 3, "limits.drain_timeout", "such as 30s");
    (void)take("ocsp: {validity: 7d, backdate: 0s}\nlimits: {drain_timeout: 1d}\n");
}

#define GOOD "listeners:\n- name: a\n  address: 127.0.0.1:0\n  services: [api]\n  plaintext: true\n"

static void config__listeners(void **state)
{
    (void)state;
    refuse(GOOD "- name: b\n  services: [api]\n  plaintext: true\n", 6, "listeners[1].address",
           "such as 127.0.0.1:9000");
    refuse(GOOD "- name: b\n  address: a\n  services: [api]\n", 6, "listeners[1].tls",
           "plaintext: true");
    refuse(GOOD "- name: b\n  address: a\n  plaintext: true\n", 6, "listeners[1].services",
           "api, public, operations");
    refuse(GOOD "- address: a\n  services:\n  - api\n  - metrics\n  plaintext: true\n", 9,
           "listeners[1].services[1]", "api, public, operations");
    refuse(GOOD "- {address: a, services: [''], plaintext: true}\n", 6, "listeners[1].services[0]",
           "api, public, operations");
    (void)take(GOOD);
    (void)take("listeners: [{systemd_socket: api, services: [api], plaintext: true}]\n");
    sm_buf text = sm_buf_init(65536);
    sm_buf_put_str(&text, NEEDED "listeners:\n");
    for (int i = 0; i < 17; i++) {
        sm_buf_put_str(&text, "- {address: a, services: [api], plaintext: true}\n");
    }
    sm_buf_put_byte(&text, 0);
    refuse_whole((const char *)text.ptr, 4, "listeners", "at most 16");
    sm_buf_deinit(&text);
}

#define TLS "listeners:\n- address: a\n  services: [api]\n  tls:\n    "
#define PAIR "certificates: [{certificate_file: a, key_file: b}]\n    "

static void config__tls(void **state)
{
    (void)state;
    (void)take(TLS PAIR "minimum_version: '1.3'\n");
    (void)take(TLS PAIR "client_certificates: none\n");
    refuse(TLS "minimum_version: '1.3'\n", 4, "listeners[0].tls.certificates", "certificate_file");
    refuse(TLS "certificates: [{certificate_file: a}]\n", 5, "listeners[0].tls.certificates[0]",
           "key_file");
    refuse(TLS PAIR "client_certificates: maybe\n", 6, "listeners[0].tls.client_certificates",
           "none, optional, required");
    refuse(TLS PAIR "client_certificates: optional\n", 4, "listeners[0].tls.client_ca_file",
           "needed");
    refuse(TLS PAIR "minimum_version: '1.1'\n", 6, "listeners[0].tls.minimum_version", "1.2, 1.3");
    refuse(TLS PAIR "minimum_version: TLSv1.3\n", 6, "listeners[0].tls.minimum_version",
           "1.2, 1.3");
}

static void config__profiles(void **state)
{
    (void)state;
    refuse("profiles:\n- name: a\n- description: b\n", 3, "profiles[1].name", "1 to 63");
    refuse("profiles:\n- name: a\n  validity:\n    default: soon\n", 4,
           "profiles[0].validity.default", "such as 90d");
    refuse("profiles:\n- name: a\n- name: b\n  key_usage: [digitalSignature,\n    sign]\n", 4,
           "profiles[1].key_usage", "digitalSignature");
    refuse("profiles:\n- name: a\n  key_types: [p256]\n", 3, "profiles[0].key_types[0]",
           "KEY_TYPE_");
    refuse("profiles:\n- name: a\n- name: a\n", 3, "profiles[1].name", "rename");
    refuse("profiles:\n- name: a\n  sans:\n    copy: true\n    types: [dsn]\n", 5,
           "profiles[0].sans.types", "dsn");
}

static void config__callers_and_keys(void **state)
{
    (void)state;
    refuse("client_certificates:\n- name: a\n  grants: [{role: admin}]\n", 2,
           "client_certificates[0]", "subject, san or sha256");
    refuse("client_certificates:\n- subject: CN=a\n- sha256: 'AB:CD'\n", 3,
           "client_certificates[1].sha256", "64 hexadecimal digits");
    refuse("client_certificates:\n- subject: CN=a\n  grants:\n  - cas: [x]\n", 4,
           "client_certificates[0].grants[0].role", "admin, operator, ra, auditor, reader");
    refuse("client_certificates:\n- subject: CN=a\n  grants:\n  - role: boss\n", 4,
           "client_certificates[0].grants[0].role", "ROLE_ADMIN");
    refuse("signing_keys:\n- name: a\n", 2, "signing_keys[0].key_uri", "file:NAME");
    refuse("signing_keys:\n- key_uri: file:a\n", 2, "signing_keys[0].name", "needed");
    refuse("pkcs11:\n- pin_env: PIN\n", 2, "pkcs11[0].uri", "which token");
    refuse("pkcs11:\n- uri: a\n- uri: b\n  timeout: 9\n", 4, "pkcs11[1].timeout", "such as 30s");
}

static void config__files_that_cannot_be_read(void **state)
{
    (void)state;
    Sealmill__Config__V1__Config *c;
    char other[400];
    (void)snprintf(other, sizeof(other), "%s/nothing.yaml", dir);
    sm_diag_clear(&diag);
    assert_false(sm_ok(config_load(other, &arena, &c, &diag)));
    assert_true(strstr(diag.field, "nothing.yaml") != NULL ||
                strstr(diag.reason, "nothing.yaml") != NULL);
    sm_diag_clear(&diag);
    assert_false(sm_ok(config_load(dir, &arena, &c, &diag)));
    assert_true(diag.reason[0] != '\0');
    sm_buf text = sm_buf_init(CONFIG_MAX + 100);
    sm_buf_put_str(&text, NEEDED "#");
    while (text.len <= CONFIG_MAX) {
        sm_buf_put_byte(&text, 'x');
    }
    assert_false(sm_ok(load_slice(sm_buf_slice(&text), &c)));
    assert_true(diag.reason[0] != '\0');
    sm_buf_deinit(&text);
}

/* ---- lines of paths ---- */

static void lines__of_values_and_of_what_is_above_them(void **state)
{
    (void)state;
    static const char text[] = "a: 1\nlist:\n- x: 1\n  y: [7,\n    8]\n- x: 2\nmap: {b:\n  c}\n";
    static const struct {
        const char *path;
        size_t line;
    } cases[] = {{"a", 1},
                 {"list", 2},
                 {"list[0]", 3},
                 {"list[0].x", 3},
                 {"list[0].y", 4},
                 {"list[0].y[1]", 5},
                 {"list[1].x", 6},
                 {"list[1].z", 6},
                 {"list[2].x", 2},
                 {"list[99]", 2},
                 {"map.b", 7},
                 {"map.c", 7},
                 {"nothing", 0},
                 {"", 0},
                 {"list[", 2},
                 {"list[x]", 2},
                 {"list[-1]", 2},
                 {"[0]", 1},
                 {"list[18446744073709551616]", 2},
                 {"a.b.c", 1},
                 {".", 0}};
    for (size_t i = 0; i < SM_ARRAY_LEN(cases); i++) {
        size_t line = sm_yaml_line(sm_slice_str(text), sm_slice_str(cases[i].path));
        if (line != cases[i].line) {
            print_error("%s: %zu\n", cases[i].path, line);
        }
        assert_int_equal(line, cases[i].line);
    }
    assert_int_equal(sm_yaml_line(SM_SLICE_NONE, SM_LIT("a")), 0);
    assert_int_equal(sm_yaml_line(SM_LIT("["), SM_LIT("a")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config__least_one_has_the_defaults),
        cmocka_unit_test(config__given_limits_replace_defaults),
        cmocka_unit_test(config__paths_are_relative_to_the_file),
        cmocka_unit_test(config__tokens_take_their_values),
        cmocka_unit_test(config__needed_keys),
        cmocka_unit_test(config__words_of_a_list),
        cmocka_unit_test(config__types),
        cmocka_unit_test(config__durations),
        cmocka_unit_test(config__listeners),
        cmocka_unit_test(config__tls),
        cmocka_unit_test(config__profiles),
        cmocka_unit_test(config__callers_and_keys),
        cmocka_unit_test(config__files_that_cannot_be_read),
        cmocka_unit_test(lines__of_values_and_of_what_is_above_them),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
