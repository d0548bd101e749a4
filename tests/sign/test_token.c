/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in tokens: SoftHSM2 behind the pool of sessions, against OpenSSL's verification. */
#include "tests/pkcs11/softhsm.h"
#include "tests/sign/keys.h"

#include "base/thread.h"
#include "sign/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PIN "471147"

static struct sm_softhsm hsm;
static bool have;
static char keys_dir[SM_SOFTHSM_PATH + 8];

static sm_keystore *open_store(const struct sm_token_config *tokens, size_t count)
{
    sm_keystore *store = NULL;
    sm_diag diag = {.reason = ""};
    const struct sm_keystore_config config = {
        .dir = keys_dir, .allow_plain = true, .tokens = tokens, .token_count = count};
    sm_err err = sm_keystore_open(&config, &store, &diag);
    if (!sm_ok(err)) {
        print_error("%s: %s\n", diag.field, diag.reason);
    }
    assert_sm_ok(err);
    return store;
}

static struct sm_token_config token(const char *label)
{
    static char uris[8][256];
    static unsigned at;
    char *uri = uris[at++ % 8];
    (void)snprintf(uri, sizeof(uris[0]),
                   "pkcs11:token=%s?module-path=%s&pin-source=env:SM_TEST_PIN", label,
                   sm_softhsm_module());
    (void)setenv("SM_TEST_PIN", PIN, 1); /* read once, then unset */
    return (struct sm_token_config){.uri = uri, .sessions = 4};
}

static void skip_without(void)
{
    if (!have) {
        skip();
    }
}

static void make_key(const char *token, const char *label, const char *id, const char *option,
                     const char *another)
{
    assert_true(sm_softhsm_key_with(&hsm, token, PIN, "p256", label, id, option, another));
}

static void sign_and_verify(sm_key *key, enum sm_sig_alg alg)
{
    sm_buf signature = sm_buf_init(SM_SIGNATURE_MAX);
    assert_sm_ok(sm_sign_now(key, alg, SM_LIT("hello"), &signature));
    assert_sm_ok(sm_verify_now(sm_key_public(key), alg, SM_LIT("hello"), sm_buf_slice(&signature)));
    assert_sm_err(sm_verify_now(sm_key_public(key), alg, SM_LIT("hallo"), sm_buf_slice(&signature)),
                  BAD_SIGNATURE);
    sm_buf_deinit(&signature);
}

static void token__makes_and_signs_with_every_type(void **state)
{
    (void)state;
    static const struct {
        enum sm_key_type type;
        enum sm_sig_alg algs[4];
    } rows[] = {
        {SM_KEY_P256, {SM_SIG_ECDSA_SHA256, SM_SIG_ECDSA_SHA384}},
        {SM_KEY_P384, {SM_SIG_ECDSA_SHA384}},
        {SM_KEY_P521, {SM_SIG_ECDSA_SHA512}},
        {SM_KEY_RSA_2048,
         {SM_SIG_RSA_SHA256, SM_SIG_RSA_SHA512, SM_SIG_PSS_SHA256, SM_SIG_PSS_SHA384}},
        {SM_KEY_RSA_3072, {SM_SIG_RSA_SHA384, SM_SIG_PSS_SHA512}},
        {SM_KEY_ED25519, {SM_SIG_ED25519}},
    };
    skip_without();
    const struct sm_token_config config = token("one");
    sm_keystore *store = open_store(&config, 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char name[32];
        sm_key *key;
        sm_key *again;
        sm_diag diag = {.reason = ""};
        (void)snprintf(name, sizeof(name), "made-%zu", i);
        sm_err err = sm_keystore_create(store, name, "pkcs11:token=one", rows[i].type, &key, &diag);
        if (!sm_ok(err)) {
            print_error("%s: %s\n", sm_key_type_name(rows[i].type), diag.reason);
        }
        assert_sm_ok(err);
        assert_int_equal(sm_key_get_type(key), rows[i].type);
        for (size_t a = 0; a < 4 && rows[i].algs[a] != SM_SIG_NONE; a++) {
            sign_and_verify(key, rows[i].algs[a]);
        }
        assert_sm_ok(sm_keystore_load(store, sm_key_uri(key), &again, &diag));
        assert_true(sm_slice_equal(sm_key_public(again)->spki, sm_key_public(key)->spki));
        sign_and_verify(again, rows[i].algs[0]);
        assert_sm_err(
            sm_keystore_create(store, name, "pkcs11:token=one", rows[i].type, &again, &diag),
            EXISTS);
        sm_key_detach(&again);
        sm_key_detach(&key);
    }
    sm_keystore_close(&store);
}

static const struct {
    const char *uri;
    uint32_t code;
    const char *words;
} wrong_uris[] = {
    {"pkcs11:token=two;object=x", SM_E_NOT_FOUND, "no such token"},
    {"pkcs11:token=one;object=nothing", SM_E_NOT_FOUND, "no such private key"},
    {"pkcs11:token=one", SM_E_INVALID, "object or id is needed"},
    {"pkcs11:token=one;object=x?pin-value=1234", SM_E_INVALID, "no PIN in a URI"},
    {"pkcs11:token=one;object=x?pin-source=file:/etc/passwd", SM_E_INVALID,
     "pin-source belongs into the configuration"},
    {"pkcs11:token=one;object=x?module-path=/tmp/evil.so", SM_E_NOT_FOUND, "no such token"},
    {"pkcs11:token=one;model=another;object=twice;id=%02", SM_E_NOT_FOUND, "no such token"},
    {"pkcs11:manufacturer=another;object=twice;id=%02", SM_E_NOT_FOUND, "no such token"},
    {"pkcs11:serial=none;object=twice;id=%02", SM_E_NOT_FOUND, "no such token"},
    {"pkcs11:token=%zz", SM_E_INVALID, "RFC 7512"},
    {"pkcs11:token=one;object=twice", SM_E_INVALID, "several keys"},
};

static void token__says_what_is_wrong_with_a_uri(void **state)
{
    (void)state;
    skip_without();
    const struct sm_token_config config = token("one");
    sm_keystore *store = open_store(&config, 1);
    make_key("one", "twice", "01", "--sensitive", NULL);
    make_key("one", "twice", "02", "--sensitive", NULL);
    for (size_t i = 0; i < sizeof(wrong_uris) / sizeof(wrong_uris[0]); i++) {
        sm_diag diag = {.reason = ""};
        sm_key *key = NULL;
        sm_err err = sm_keystore_load(store, wrong_uris[i].uri, &key, &diag);
        if (err.code != wrong_uris[i].code || strstr(diag.reason, wrong_uris[i].words) == NULL) {
            print_error("%s: %s, %s\n", wrong_uris[i].uri, sm_err_name(err), diag.reason);
        }
        assert_int_equal(err.code, wrong_uris[i].code);
        assert_non_null(strstr(diag.reason, wrong_uris[i].words));
    }
    sm_key *key;
    sm_diag diag = {.reason = ""};
    assert_sm_ok(sm_keystore_load(
        store, "pkcs11:manufacturer=SoftHSM%20project;model=SoftHSM%20v2;object=twice;id=%02", &key,
        &diag));
    sign_and_verify(key, SM_SIG_ECDSA_SHA256);
    sm_key_detach(&key);
    sm_keystore_close(&store);
}

static void token__refuses_keys_that_can_be_taken_out(void **state)
{
    (void)state;
    skip_without();
    struct sm_token_config config = token("one");
    sm_keystore *store = open_store(&config, 1);
    sm_key *key;
    sm_diag diag = {.reason = ""};
    make_key("one", "loose", "07", "--extractable", NULL);
    assert_sm_err(sm_keystore_load(store, "pkcs11:token=one;object=loose", &key, &diag), POLICY);
    assert_non_null(strstr(diag.reason, "extractable"));
    sm_keystore_close(&store);
    config = token("one");
    config.allow_extractable = true;
    store = open_store(&config, 1);
    assert_sm_ok(sm_keystore_load(store, "pkcs11:token=one;object=loose", &key, &diag));
    sign_and_verify(key, SM_SIG_ECDSA_SHA256);
    sm_key_detach(&key);
    sm_keystore_close(&store);
}

static void token__asks_for_the_pin_each_time_where_the_key_wants_it(void **state)
{
    (void)state;
    skip_without();
    const struct sm_token_config config = token("one");
    make_key("one", "always", "09", "--sensitive", "--always-auth");
    sm_keystore *store = open_store(&config, 1);
    sm_key *key;
    sm_diag diag = {.reason = ""};
    assert_sm_ok(sm_keystore_load(store, "pkcs11:token=one;object=always", &key, &diag));
    sign_and_verify(key, SM_SIG_ECDSA_SHA256);
    sign_and_verify(key, SM_SIG_ECDSA_SHA256);
    sm_key_detach(&key);
    sm_keystore_close(&store);
}

static void token__never_tries_a_wrong_pin_twice(void **state)
{
    (void)state;
    skip_without();
    struct sm_token_config config = token("one");
    (void)setenv("SM_TEST_PIN", "000000", 1);
    sm_keystore *store = open_store(&config, 1);
    struct sm_token_status status;
    sm_key *key;
    sm_diag diag = {.reason = ""};
    sm_tokens_status(sm_keystore_tokens(store), 0, &status);
    assert_false(status.up);
    assert_string_equal(status.why, "CKR_PIN_INCORRECT");
    assert_sm_err(sm_keystore_load(store, "pkcs11:token=one;object=x", &key, &diag), UNAVAILABLE);
    (void)usleep(400000); /* longer than the first pauses of a token that is only down */
    sm_tokens_status(sm_keystore_tokens(store), 0, &status);
    assert_string_equal(status.why, "CKR_PIN_INCORRECT");
    sm_keystore_close(&store);
}

static void token__that_is_not_there_is_said_and_waited_for(void **state)
{
    (void)state;
    skip_without();
    const struct sm_token_config config = token("later;model=one");
    sm_keystore *store = open_store(&config, 1);
    struct sm_token_status status;
    sm_key *key;
    sm_diag diag = {.reason = ""};
    sm_tokens_status(sm_keystore_tokens(store), 0, &status);
    assert_false(status.up);
    assert_string_equal(status.why, "CKR_TOKEN_NOT_PRESENT");
    assert_sm_err(sm_keystore_load(store, "pkcs11:model=one;object=x", &key, &diag), UNAVAILABLE);
    assert_sm_err(sm_keystore_load(store, "pkcs11:model=two;object=x", &key, &diag), NOT_FOUND);
    sm_keystore_close(&store);
}

/* Two of one label: by their serials, or at least their places. */
static void token__has_a_name_of_its_own(void **state)
{
    (void)state;
    static const struct {
        const char *attributes;
        const char *name;
    } rows[] = {{"token=twin;serial=1111", "twin/1111"},
                {"token=twin;serial=2222", "twin/2222"},
                {"token=twin", "twin"},
                {"token=twin;serial=1111", "twin/1111#4"},
                {"token=alone;serial=1111", "alone"},
                {"serial=3333", "3333"}};
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
    struct sm_token_config configs[ROWS] = {{.sessions = 1}};
    char uris[ROWS][256];
    skip_without();
    for (size_t i = 0; i < ROWS; i++) {
        (void)snprintf(uris[i], sizeof(uris[i]), "pkcs11:%s?module-path=%s", rows[i].attributes,
                       sm_softhsm_module());
        configs[i].uri = uris[i];
    }
    sm_keystore *store = open_store(configs, ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        struct sm_token_status status;
        sm_tokens_status(sm_keystore_tokens(store), i, &status);
        assert_string_equal(status.name, rows[i].name);
    }
    sm_keystore_close(&store);
}

/* ---- batches ---- */

struct many {
    sm_crypt_job job;
    uint8_t out[256];
    uint8_t message[16];
    _Atomic unsigned *left;
};

static void on_many(sm_crypt_job *job)
{
    struct many *m = SM_CONTAINER_OF(job, struct many, job);
    assert_sm_ok(job->err);
    assert_sm_ok(sm_verify_now(sm_key_public(job->key), job->alg, job->message,
                               sm_slice_of(job->out, job->out_len)));
    (*m->left)--;
}

static void no_schedule(void *ctx)
{
    (void)ctx;
}

static _Atomic bool woken;
static void wake(void *ctx)
{
    (void)ctx;
    woken = true;
}

static void run_many(sm_key *key, enum sm_sig_alg alg, unsigned count)
{
    sm_mailbox box;
    sm_batcher *batcher;
    _Atomic unsigned left = count;
    struct many *jobs = calloc(count, sizeof(*jobs));
    sm_mailbox_init(&box, wake, NULL);
    const struct sm_batcher_config config = {&box, NULL, no_schedule, NULL};
    assert_sm_ok(sm_batcher_new(&config, &batcher));
    for (unsigned i = 0; i < count; i++) {
        jobs[i].left = &left;
        (void)snprintf((char *)jobs[i].message, sizeof(jobs[i].message), "%u", i);
        jobs[i].job = (sm_crypt_job){
            .op = SM_CRYPT_SIGN,
            .alg = alg,
            .message = sm_slice_of(jobs[i].message, sizeof(jobs[i].message)),
            .key = key,
            .out = jobs[i].out,
            .out_room = sizeof(jobs[i].out),
            .caller = i % 5,
            .done = on_many};
        assert_sm_ok(sm_batcher_submit(batcher, &jobs[i].job));
    }
    for (int turns = 0; left > 0 && turns < 20000; turns++) {
        (void)sm_mailbox_drain(&box);
        (void)sm_batcher_run(batcher);
        (void)usleep(500);
    }
    assert_int_equal(left, 0);
    sm_batcher_free(&batcher);
    free(jobs);
}

static void token__keeps_more_than_sixteen_sessions_busy(void **state)
{
    (void)state;
    skip_without();
    struct sm_token_config config = token("one");
    config.sessions = 24;
    sm_keystore *store = open_store(&config, 1);
    struct sm_token_status status;
    sm_key *key;
    sm_diag diag = {.reason = ""};
    assert_sm_ok(sm_keystore_create(store, "busy", "pkcs11:token=one", SM_KEY_P256, &key, &diag));
    run_many(key, SM_SIG_ECDSA_SHA256, 500);
    sm_tokens_status(sm_keystore_tokens(store), 0, &status);
    assert_int_equal(status.sessions, 24);
    assert_int_equal(status.busy, 0);
    sm_key_detach(&key);
    sm_keystore_close(&store);
}

static void token__uses_one_key_on_two_tokens(void **state)
{
    (void)state;
    skip_without();
    char pem[SM_SOFTHSM_PATH + 16];
    sm_key *made;
    sm_diag diag = {.reason = ""};
    (void)snprintf(pem, sizeof(pem), "%s/shared.pem", hsm.dir);
    assert_sm_ok(sm_key_generate(SM_KEY_P256, &made));
    assert_sm_ok(sm_key_write_pem(made, pem, &diag));
    assert_true(sm_softhsm_import(&hsm, "one", PIN, pem, "shared", "aa"));
    assert_true(sm_softhsm_import(&hsm, "two", PIN, pem, "shared", "aa"));
    struct sm_token_config configs[2];
    configs[0] = token("one");
    configs[1] = token("two");
    configs[1].pin_env = "SM_TEST_PIN_TWO";
    (void)setenv("SM_TEST_PIN_TWO", PIN, 1);
    configs[0].allow_extractable = configs[1].allow_extractable = true;
    sm_keystore *store = open_store(configs, 2);
    sm_key *key;
    assert_sm_ok(sm_keystore_load(store, "pkcs11:object=shared", &key, &diag));
    assert_true(sm_slice_equal(sm_key_public(key)->spki, sm_key_public(made)->spki));
    run_many(key, SM_SIG_ECDSA_SHA256, 200);
    assert_sm_err(sm_keystore_create(store, "x", "pkcs11:object=x", SM_KEY_P256, &made, &diag),
                  INVALID);
    assert_non_null(strstr(diag.reason, "2 tokens fit"));
    sm_key_detach(&key);
    sm_key_detach(&made);
    sm_keystore_close(&store);
}

/* The second token's key of that name is another: it signs nothing in our name. */
static void token__with_another_key_of_the_same_name_is_not_used(void **state)
{
    (void)state;
    skip_without();
    make_key("one", "false", "bb", "--sensitive", NULL);
    make_key("two", "false", "bb", "--sensitive", NULL);
    struct sm_token_config configs[2];
    configs[0] = token("one");
    configs[1] = token("two");
    configs[1].pin_env = "SM_TEST_PIN_TWO";
    (void)setenv("SM_TEST_PIN_TWO", PIN, 1);
    sm_keystore *store = open_store(configs, 2);
    sm_key *key;
    sm_diag diag = {.reason = ""};
    assert_sm_ok(sm_keystore_load(store, "pkcs11:object=false", &key, &diag));
    run_many(key, SM_SIG_ECDSA_SHA256, 200); /* each verified */
    sm_key_detach(&key);
    sm_keystore_close(&store);
}

static int begin(void **state)
{
    (void)state;
    have = sm_softhsm_present();
    if (!have) {
        return 0;
    }
    bool ok = sm_softhsm_init(&hsm) && sm_softhsm_token(&hsm, "one", PIN) &&
              sm_softhsm_token(&hsm, "two", PIN);
    (void)snprintf(keys_dir, sizeof(keys_dir), "%s/keys", hsm.dir);
    return ok ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    sm_softhsm_deinit(&hsm);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token__makes_and_signs_with_every_type),
        cmocka_unit_test(token__says_what_is_wrong_with_a_uri),
        cmocka_unit_test(token__refuses_keys_that_can_be_taken_out),
        cmocka_unit_test(token__asks_for_the_pin_each_time_where_the_key_wants_it),
        cmocka_unit_test(token__never_tries_a_wrong_pin_twice),
        cmocka_unit_test(token__that_is_not_there_is_said_and_waited_for),
        cmocka_unit_test(token__has_a_name_of_its_own),
        cmocka_unit_test(token__keeps_more_than_sixteen_sessions_busy),
        cmocka_unit_test(token__uses_one_key_on_two_tokens),
        cmocka_unit_test(token__with_another_key_of_the_same_name_is_not_used),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
