/* SPDX-License-Identifier: Apache-2.0 */
/* Wycheproof's verification vectors, on every backend. They are read from
 * ../shared/vectors/wycheproof; a file that is not there is skipped. */
#include "tests/sign/keys.h"

#include "base/text.h"

#include <jansson.h>

#define FOLDER "../shared/vectors/wycheproof/"
#define TESTS_MAX 1024

struct test {
    int id;
    bool valid;
    bool either; /* "acceptable" */
    struct sm_public_key *key;
    sm_buf message;
    sm_buf signature;
};

struct group {
    sm_buf spki;
    struct sm_public_key key;
};

struct file {
    enum sm_sig_alg alg;
    struct group groups[TESTS_MAX];
    size_t group_count;
    struct test tests[TESTS_MAX];
    size_t test_count;
    size_t refused; /* of keys that sm_public_key_parse refuses */
    size_t valid_refused;
};

static sm_buf hex_of(const json_t *object, const char *name)
{
    sm_buf b = sm_buf_init(1 << 20);
    const char *hex = json_string_value(json_object_get(object, name));
    assert_sm_ok(sm_hex_decode(&b, sm_slice_str(hex == NULL ? "" : hex), false));
    return b;
}

static void add_test(struct file *f, const json_t *t, struct sm_public_key *key)
{
    const char *result = json_string_value(json_object_get(t, "result"));
    bool valid = strcmp(result, "valid") == 0;
    const char *context = json_string_value(json_object_get(t, "ctx"));
    if (key == NULL) {
        f->refused++;
        f->valid_refused += valid;
        return;
    }
    if ((context != NULL && context[0] != '\0') || f->test_count == TESTS_MAX) {
        return; /* X.509 signs with an empty context (RFC 9881 3) */
    }
    f->tests[f->test_count++] = (struct test){
        .id = (int)json_integer_value(json_object_get(t, "tcId")),
        .valid = valid,
        .either = strcmp(result, "acceptable") == 0,
        .key = key,
        .message = hex_of(t, "msg"),
        .signature = hex_of(t, "sig"),
    };
}

static void add_group(struct file *f, const json_t *g)
{
    struct group *group = &f->groups[f->group_count++];
    assert_true(f->group_count < TESTS_MAX);
    group->spki = hex_of(g, "publicKeyDer");
    struct sm_public_key *key = &group->key;
    if (!sm_ok(sm_public_key_parse(sm_buf_slice(&group->spki), key, NULL)) ||
        !sm_sig_alg_fits(f->alg, key->type)) {
        key = NULL;
    }
    size_t i;
    const json_t *t;
    json_array_foreach(json_object_get(g, "tests"), i, t)
    {
        add_test(f, t, key);
    }
}

static bool read_file(const char *name, enum sm_sig_alg alg, struct file *f)
{
    char path[256];
    (void)snprintf(path, sizeof(path), FOLDER "%s", name);
    json_t *root = json_load_file(path, 0, NULL);
    if (root == NULL) {
        print_message("[ SKIPPED ] %s is not there\n", path);
        return false;
    }
    f->alg = alg;
    size_t i;
    const json_t *g;
    json_array_foreach(json_object_get(root, "testGroups"), i, g)
    {
        add_group(f, g);
    }
    json_decref(root);
    return true;
}

static void free_file(struct file *f)
{
    for (size_t i = 0; i < f->group_count; i++) {
        sm_buf_deinit(&f->groups[i].spki);
    }
    for (size_t i = 0; i < f->test_count; i++) {
        sm_buf_deinit(&f->tests[i].message);
        sm_buf_deinit(&f->tests[i].signature);
    }
    sm_free(f);
}

/* Eight consecutive tests (of several keys) in one batch. Keys of different sizes cannot be in one:
 * none of the files has them. */
static unsigned run_file(const struct sm_backend *backend, const char *name, const struct file *f)
{
    unsigned wrong = 0;
    for (size_t at = 0; at < f->test_count; at += SM_BACKEND_LANES) {
        struct batch b;
        size_t count = 0;
        for (; count < SM_BACKEND_LANES && at + count < f->test_count; count++) {
            const struct test *t = &f->tests[at + count];
            b.jobs[count] = (sm_crypt_job){.op = SM_CRYPT_VERIFY,
                                           .alg = f->alg,
                                           .type = t->key->type,
                                           .public_key = t->key,
                                           .message = sm_buf_slice(&t->message),
                                           .signature = sm_buf_slice(&t->signature)};
            b.list[count] = &b.jobs[count];
        }
        backend->run(b.list, count);
        for (size_t i = 0; i < count; i++) {
            const struct test *t = &f->tests[at + i];
            if (!t->either && sm_ok(b.jobs[i].err) != t->valid) {
                print_error("%s on %s: test %d is %s\n", name, backend->name, t->id,
                            sm_err_name(b.jobs[i].err));
                wrong++;
            }
        }
    }
    return wrong;
}

static void check_file(const char *name, enum sm_sig_alg alg, enum sm_key_type type)
{
    struct file *f = sm_calloc(1, sizeof(*f));
    if (!read_file(name, alg, f)) {
        sm_free(f);
        skip();
    }
    assert_true(f->test_count > 20);
    print_message("%s: %zu tests, %zu of keys that are refused (%zu of them valid)\n", name,
                  f->test_count, f->refused, f->valid_refused);
    unsigned wrong = run_file(&sm_backend_openssl, name, f);
    if (sm_backend_get_choice(SM_CRYPT_VERIFY, type)->from <= SM_BACKEND_LANES) {
        wrong += run_file(&sm_backend_mb, name, f);
    }
    free_file(f);
    assert_int_equal(wrong, 0);
}

#define VECTORS(test, file, alg, type)     \
    static void test(void **state)         \
    {                                      \
        (void)state;                       \
        check_file((file), (alg), (type)); \
    }

VECTORS(wycheproof__p256, "ecdsa_secp256r1_sha256_test.json", SM_SIG_ECDSA_SHA256, SM_KEY_P256)
VECTORS(wycheproof__p384, "ecdsa_secp384r1_sha384_test.json", SM_SIG_ECDSA_SHA384, SM_KEY_P384)
VECTORS(wycheproof__p521, "ecdsa_secp521r1_sha512_test.json", SM_SIG_ECDSA_SHA512, SM_KEY_P521)
VECTORS(wycheproof__ed25519, "ed25519_test.json", SM_SIG_ED25519, SM_KEY_ED25519)
VECTORS(wycheproof__ed448, "ed448_test.json", SM_SIG_ED448, SM_KEY_ED448)
VECTORS(wycheproof__ml_dsa_44, "mldsa_44_verify_test.json", SM_SIG_ML_DSA_44, SM_KEY_ML_DSA_44)
VECTORS(wycheproof__ml_dsa_65, "mldsa_65_verify_test.json", SM_SIG_ML_DSA_65, SM_KEY_ML_DSA_65)
VECTORS(wycheproof__ml_dsa_87, "mldsa_87_verify_test.json", SM_SIG_ML_DSA_87, SM_KEY_ML_DSA_87)
VECTORS(wycheproof__rsa_pss_2048, "rsa_pss_2048_sha256_mgf1_32_test.json", SM_SIG_PSS_SHA256,
        SM_KEY_RSA_2048)
VECTORS(wycheproof__rsa_2048, "rsa_signature_2048_sha256_test.json", SM_SIG_RSA_SHA256,
        SM_KEY_RSA_2048)
VECTORS(wycheproof__rsa_3072, "rsa_signature_3072_sha256_test.json", SM_SIG_RSA_SHA256,
        SM_KEY_RSA_3072)
VECTORS(wycheproof__rsa_4096, "rsa_signature_4096_sha256_test.json", SM_SIG_RSA_SHA256,
        SM_KEY_RSA_4096)

static int start(void **state)
{
    (void)state;
    return sm_ok(sm_sign_init(NULL)) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wycheproof__p256),         cmocka_unit_test(wycheproof__p384),
        cmocka_unit_test(wycheproof__p521),         cmocka_unit_test(wycheproof__ed25519),
        cmocka_unit_test(wycheproof__ed448),        cmocka_unit_test(wycheproof__ml_dsa_44),
        cmocka_unit_test(wycheproof__ml_dsa_65),    cmocka_unit_test(wycheproof__ml_dsa_87),
        cmocka_unit_test(wycheproof__rsa_pss_2048), cmocka_unit_test(wycheproof__rsa_2048),
        cmocka_unit_test(wycheproof__rsa_3072),     cmocka_unit_test(wycheproof__rsa_4096),
    };
    return cmocka_run_group_tests(tests, start, drop_keys);
}
