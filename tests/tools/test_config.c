/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration's check: what `config check` and `serve` take, and where a refusal points. */
#include "tests/support/pki.h"
#include "tests/support/support.h"

#include "base/check.h"
#include "base/file.h"
#include "tools/config.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASE                                                  \
    "data_dir: db\nkeys: {dir: keys, passphrase_env: PASS}\n" \
    "listeners:\n  - name: api\n    address: 127.0.0.1:9000\n    services: [api]\n"
#define PLAIN BASE "    plaintext: true\n"
#define TLS                                                                        \
    BASE "    tls:\n      certificates:\n        - certificate_file: server.pem\n" \
         "          key_file: server.key\n"

static char dir[256];
static sm_arena arena;
static sm_diag diag;
static Sealmill__Config__V1__Config *config;

static int make_dir(void **state)
{
    (void)state;
    return sm_test_dir(dir, sizeof(dir)) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    (void)state;
    sm_test_remove_dir(dir);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    sm_arena_init(&arena, 64U << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_arena_deinit(&arena);
    return 0;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    assert_sm_ok(sm_file_write_atomic(sm_pki_path(dir, name, ""), sm_slice_str(text), mode, &diag));
}

static sm_err load(const char *text, enum config_files files)
{
    write_file("sealmill.yaml", text, 0644);
    sm_diag_clear(&diag);
    return config_load(sm_pki_path(dir, "sealmill.yaml", ""), files, &arena, &config, &diag);
}

static void take(const char *text, enum config_files files)
{
    sm_err err = load(text, files);
    if (!sm_ok(err)) {
        print_error("%s%s: %s\n", text, diag.field, diag.reason);
    }
    assert_sm_ok(err);
}

/* Refused: the file is named, the reason begins with line and key and has the words. */
static void refuse(const char *text, enum config_files files, const char *where, const char *words)
{
    sm_err err = load(text, files);
    bool good = !sm_ok(err) && strcmp(diag.field, sm_pki_path(dir, "sealmill.yaml", "")) == 0 &&
                strncmp(diag.reason, where, strlen(where)) == 0 &&
                strstr(diag.reason, words) != NULL;
    if (!good) {
        print_error("%swanted \"%s... %s\", got %s: %s: %s\n", text, where, words, sm_err_name(err),
                    diag.field, diag.reason);
    }
    assert_true(good);
}

struct refusal {
    const char *text;
    const char *where;
    const char *words;
};

static void refuse_all(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        refuse(cases[i].text, CONFIG_FILES_ELSEWHERE, cases[i].where, cases[i].words);
    }
}

/* ---- the text ---- */

static void config__takes_a_good_file(void **state)
{
    (void)state;
    take(PLAIN "threads: 64\nlog: {level: warn, format: json}\n"
               "ocsp: {validity: 12h, backdate: 0s, responder_validity: 30d}\n"
               "client_certificates:\n"
               "  - {subject: 'CN=factory-ra,O=Acme', grants: [{role: ra, cas: ['*']}]}\n"
               "  - {sha256: "
               "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\n"
               "  - {san: ra.example.net}\n"
               "profiles:\n  - name: device-1.A_b\n"
               "    subject: {source: template, template: 'CN={metadata.a}'}\n"
               "signing_keys:\n  - {name: k, key_uri: 'file:k'}\n",
         CONFIG_FILES_HERE);
    assert_int_equal(config->threads, 64);
    take(TLS, CONFIG_FILES_ELSEWHERE);
    char want[300];
    (void)snprintf(want, sizeof(want), "%s/db", dir);
    assert_string_equal(config->data_dir, want); /* absolute */
    /* Two sockets whose ports the kernel chooses are no clash. */
    take("data_dir: d\nkeys: {dir: k, passphrase_env: P}\nlisteners:\n"
         "  - {address: '127.0.0.1:0', services: [public], plaintext: true}\n"
         "  - {address: '127.0.0.1:0', services: [operations], plaintext: true}\n"
         "  - {systemd_socket: a, services: [api], plaintext: true}\n",
         CONFIG_FILES_HERE);
}

static void config__refusals_of_the_reader_have_line_and_path(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"data_dir: a\nnonsense: b\n", "line 2: unknown key", "nonsense"},
        {"data_dir: a\nkeys:\n  dirr: x\n", "line 3: keys: unknown key", "dirr"},
        {"client_certificates:\n  - grants:\n    - role: god\n",
         "line 3: client_certificates[0].grants[0].role: ", "one of admin, operator, ra, auditor"},
        {"listeners:\n  - name: [\n", "line ", "not YAML"},
    };
    refuse_all(cases, SM_ARRAY_LEN(cases));
}

static void config__needs_what_it_needs(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"", "data_dir: ", "needed"},
        {"data_dir: a\n", "keys.dir: ", "needed"},
        {"data_dir: a\nkeys: {passphrase_env: A}\n", "line 2: keys.dir: ", "needed"},
        {"data_dir: a\nkeys:\n  dir: k\n", "line 2: keys: ", "exactly one"},
        {"data_dir: a\nkeys:\n  dir: k\n  passphrase_env: A\n  passphrase_file: b\n",
         "line 2: keys: ", "exactly one"},
    };
    refuse_all(cases, SM_ARRAY_LEN(cases));
}

#define LISTENER "data_dir: d\nkeys: {dir: k, passphrase_env: P}\nlisteners:\n  - name: a\n"

static void config__refuses_listeners(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {LISTENER "    services: [api]\n", "line 4: listeners[0].address: ", "needs an address"},
        {LISTENER "    address: 1.2.3\n    services: [api]\n",
         "line 5: listeners[0].address: ", "\"1.2.3\" is not an address"},
        {LISTENER "    address: 1.2.3.4\n", "line 5: listeners[0].address: ", "127.0.0.1:9000"},
        {LISTENER "    address: 127.0.0.1:1\n",
         "line 4: listeners[0].services: ", "serves nothing"},
        {LISTENER "    address: 127.0.0.1:1\n    services: [apix]\n",
         "line 6: listeners[0].services: ", "\"apix\" is not one of api, public, operations"},
        {LISTENER "    address: 127.0.0.1:1\n    services: [api]\n",
         "line 4: listeners[0]: ", "plaintext: true"},
        {TLS "    plaintext: true\n", "line 11: listeners[0].plaintext: ", "not both"},
        {PLAIN "  - name: api\n    address: 127.0.0.1:9001\n    services: [api]\n",
         "line 8: listeners[1].name: ", "\"api\" is the name of listeners[0] already"},
        {PLAIN "  - name: b\n    address: localhost:9000\n    services: [api]\n",
         "line 9: listeners[1].address: ", "listeners[0]'s already"},
        {BASE "    tls: {}\n", "line 7: listeners[0].tls.certificates: ", "1 to 64"},
        {BASE "    tls: {certificates: [{certificate_file: a}]}\n",
         "line 7: listeners[0].tls.certificates: ", "key_file"},
        {TLS "      client_certificates: perhaps\n",
         "line 11: listeners[0].tls.client_certificates: ", "none, optional, required"},
        {TLS "      client_certificates: required\n",
         "line 7: listeners[0].tls.client_ca_file: ", "needed"},
        {TLS "      minimum_version: '1.1'\n",
         "line 11: listeners[0].tls.minimum_version: ", "\"1.2\", \"1.3\""},
    };
    refuse_all(cases, SM_ARRAY_LEN(cases));
}

static void config__refuses_too_many_listeners(void **state)
{
    (void)state;
    char text[4096] = "data_dir: d\nkeys: {dir: k, passphrase_env: P}\nlisteners:\n";
    for (int i = 0; i < 17; i++) {
        size_t len = strlen(text);
        (void)snprintf(text + len, sizeof(text) - len,
                       "  - {address: '127.0.0.1:%d', services: [api], plaintext: true}\n", i + 1);
    }
    refuse(text, CONFIG_FILES_ELSEWHERE, "line 3: listeners: ", "more than 16");
}

static void config__refuses_profiles(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {PLAIN "profiles:\n  - name: p\n  - name: q\n  - name: p\n",
         "line 11: profiles[2].name: ", "\"p\" is the name of profiles[0] already"},
        {PLAIN "profiles:\n  - name: 'P p/..'\n", "line 9: profiles[0].name: ", "letters, digits"},
        {PLAIN "profiles:\n  - name: .p\n", "line 9: profiles[0].name: ", "letters, digits"},
        {PLAIN "profiles:\n  - description: x\n", "line 9: profiles[0].name: ", "1 to 63"},
        {PLAIN "profiles:\n  - name: p\n    subject:\n      source: template\n"
               "      template: 'CN={foo'\n",
         "line 12: profiles[0].subject.template: ", "{metadata.key}"},
        {PLAIN "profiles:\n  - name: p\n    validity:\n      default: soon\n",
         "line 11: profiles[0].validity.default: ", "not a duration"},
        {PLAIN "profiles:\n  - name: p\n    sans:\n      patterns:\n        - type: dnss\n",
         "line 11: profiles[0].sans.patterns.type: ", "\"dnss\""},
    };
    refuse_all(cases, SM_ARRAY_LEN(cases));
}

#define CALLER PLAIN "client_certificates:\n  - name: c\n"

static void config__refuses_callers(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {CALLER "    sha256: zz\n", "line 10: client_certificates[0].sha256: ", "64 hex digits"},
        {CALLER "    sha256: "
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaax\n",
         "line 10: client_certificates[0].sha256: ", "64 hex digits"},
        {CALLER, "line 9: client_certificates[0]: ", "matches nothing"},
        {CALLER "    san: ''\n", "line 9: client_certificates[0]: ", "matches nothing"},
        {CALLER "    subject: 'CN=a, O=Acme'\n",
         "line 10: client_certificates[0].subject: ", "write \"CN=a,O=Acme\""},
        {CALLER "    subject: factory\n",
         "line 10: client_certificates[0].subject: ", "not a subject"},
        {CALLER "    san: a\n    grants:\n      - cas: ['*']\n",
         "line 12: client_certificates[0].grants[0].role: ", "one of admin"},
    };
    refuse_all(cases, SM_ARRAY_LEN(cases));
    take(CALLER "    subject: 'CN=a+OU=b,O=Acme\\, Inc,C=DE'\n", CONFIG_FILES_HERE);
}

static void config__refuses_the_rest(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {PLAIN "threads: 65\n", "line 8: threads: ", "at most 64"},
        {PLAIN "log:\n  level: loud\n",
         "line 9: log.level: ", "\"loud\" is not one of debug, info, warn, error"},
        {PLAIN "log:\n  format: xml\n", "line 9: log.format: ", "key-value, json"},
        {PLAIN "ocsp:\n  responder_validity: 30x\n",
         "line 9: ocsp.responder_validity: ", "\"30x\""},
        {PLAIN "ocsp: {validity: 0s}\n", "line 8: ocsp.validity: ", "\"0s\""},
        {PLAIN "ocsp: {backdate: x}\n", "line 8: ocsp.backdate: ", "\"x\""},
        {PLAIN "limits:\n  idle_timeout: 2d\n", "line 9: limits.idle_timeout: ", "at most a day"},
        {PLAIN "pkcs11:\n  - uri: 'pkcs11:token=a'\n  - pin_env: x\n",
         "line 10: pkcs11[1].uri: ", "which token"},
        {PLAIN "pkcs11:\n  - uri: 'pkcs11:token=a'\n    timeout: x\n",
         "line 10: pkcs11[0].timeout: ", "\"x\""},
        {PLAIN "pkcs11:\n  - uri: 'pkcs11:token=a'\n    sessions: 257\n",
         "line 10: pkcs11[0].sessions: ", "256"},
        {PLAIN "signing_keys:\n  - name: a\n", "line 9: signing_keys[0].key_uri: ", "file:NAME"},
        {PLAIN
         "signing_keys:\n  - {name: a, key_uri: 'file:a'}\n  - {name: a, key_uri: 'file:b'}\n",
         "line 10: signing_keys[1].name: ", "already"},
    };
    refuse_all(cases, SM_ARRAY_LEN(cases));
}

/* ---- the files ---- */

static void make_pair(void)
{
    const struct sm_pki_spec spec = {.name = "server", .sans = "DNS:localhost"};
    assert_true(sm_pki_make(dir, &spec));
    assert_int_equal(chmod(sm_pki_path(dir, "server", ".key"), 0600), 0);
}

static void config__missing_files_are_found(void **state)
{
    (void)state;
    (void)unlink(sm_pki_path(dir, "server", ".pem"));
    (void)unlink(sm_pki_path(dir, "server", ".key"));
    refuse(TLS, CONFIG_FILES_HERE,
           "line 9: listeners[0].tls.certificates[0].certificate_file: ", "No such file");
    make_pair();
    take(TLS, CONFIG_FILES_HERE);
    refuse(TLS "      client_ca_file: none.pem\n", CONFIG_FILES_HERE,
           "line 11: listeners[0].tls.client_ca_file: ", "No such file");
    (void)unlink(sm_pki_path(dir, "server", ".key"));
    refuse(TLS, CONFIG_FILES_HERE,
           "line 10: listeners[0].tls.certificates[0].key_file: ", "No such file");
    refuse(PLAIN "denied_keys_file: none\n", CONFIG_FILES_HERE,
           "line 8: denied_keys_file: ", "No such file");
    write_file("denied", "# nothing\nxyz\n", 0644);
    refuse(PLAIN "denied_keys_file: denied\n", CONFIG_FILES_HERE,
           "line 8: denied_keys_file: ", "line 2: 64 hex digits");
    refuse("data_dir: d\nkeys:\n  dir: k\n  passphrase_file: none\n", CONFIG_FILES_HERE,
           "line 4: keys.passphrase_file: ", "No such file");
    take(TLS "denied_keys_file: none\n", CONFIG_FILES_ELSEWHERE);
}

static void config__keys_that_others_may_read_are_refused(void **state)
{
    (void)state;
    make_pair();
    const char *key = sm_pki_path(dir, "server", ".key");
    static const mode_t bad[] = {0604, 0602, 0666, 0620};
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_int_equal(chmod(key, bad[i]), 0);
        refuse(TLS, CONFIG_FILES_HERE,
               "line 10: listeners[0].tls.certificates[0].key_file: ", "chmod 600");
    }
    assert_int_equal(chmod(key, 0640), 0); /* of another owner, for the service's group */
    take(TLS, CONFIG_FILES_HERE);
    write_file("pin", "1234\n", 0644);
    refuse(PLAIN "pkcs11:\n  - uri: 'pkcs11:token=a'\n    pin_file: pin\n", CONFIG_FILES_HERE,
           "line 10: pkcs11[0].pin_file: ", "chmod 600");
    write_file("pass", "1234\n", 0604);
    refuse("data_dir: d\nkeys: {dir: k, passphrase_file: pass}\n", CONFIG_FILES_HERE,
           "line 2: keys.passphrase_file: ", "chmod 600");
}

static void config__broken_files_are_found(void **state)
{
    (void)state;
    make_pair();
    write_file("server.pem", "not a certificate\n", 0644);
    refuse(TLS, CONFIG_FILES_HERE, "line 7: listeners[0].tls.certificate_file: ", "server.pem");
    make_pair();
    refuse(TLS "      groups: nonsense\n", CONFIG_FILES_HERE,
           "line 11: listeners[0].tls.groups: ", "nonsense");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(config__takes_a_good_file),
        T(config__refusals_of_the_reader_have_line_and_path),
        T(config__needs_what_it_needs),
        T(config__refuses_listeners),
        T(config__refuses_too_many_listeners),
        T(config__refuses_profiles),
        T(config__refuses_callers),
        T(config__refuses_the_rest),
        T(config__missing_files_are_found),
        T(config__keys_that_others_may_read_are_refused),
        T(config__broken_files_are_found),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
