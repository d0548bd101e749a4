/* SPDX-License-Identifier: Apache-2.0 */
/* Wycheproof's verification vectors, on every backend: the selection in tests/sign/vectors, or all
 * of them where SM_VECTORS names a folder. */
#include "tests/sign/keys.h"

#include "base/file.h"
#include "base/text.h"

#include <stdlib.h>

#define TESTS_MAX 1024
#define LINE_ROOM 65536

struct test {
    char number[8]; /* Wycheproof's tcId */
    bool valid;
    bool either; /* "acceptable" */
    struct sm_public_key *key;
    sm_buf message;
    sm_buf signature;
};

struct group {
    sm_buf spki;
    struct sm_public_key key;
    bool good; /* we take such a key */
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

/* The next word of the line in base64; "-" is empty. */
static sm_buf take_octets(sm_slice *line)
{
    sm_buf b = sm_buf_init(LINE_ROOM);
    sm_slice word = sm_slice_split(line, ' ');
    if (!sm_slice_equal(word, SM_LIT("-"))) {
        assert_sm_ok(sm_base64_decode(&b, word, SM_BASE64_STRICT));
    }
    return b;
}

/* "key SPKI": of the tests that follow. */
static void add_group(struct file *f, sm_slice line)
{
    assert_true(f->group_count < TESTS_MAX);
    struct group *group = &f->groups[f->group_count++];
    group->spki = take_octets(&line);
    struct sm_public_key *key = &group->key;
    group->good = sm_ok(sm_public_key_parse(sm_buf_slice(&group->spki), key, NULL)) &&
                  sm_sig_alg_fits(f->alg, key->type);
}

/* "7 valid MESSAGE SIGNATURE" */
static void add_test(struct file *f, sm_slice number, sm_slice line)
{
    assert_true(f->group_count > 0);
    struct group *group = &f->groups[f->group_count - 1];
    sm_slice result = sm_slice_split(&line, ' ');
    bool valid = sm_slice_equal(result, SM_LIT("valid"));
    bool either = sm_slice_equal(result, SM_LIT("acceptable"));
    assert_true(valid || either || sm_slice_equal(result, SM_LIT("invalid")));
    if (!group->good) {
        f->refused++;
        f->valid_refused += valid;
        return;
    }
    assert_true(f->test_count < TESTS_MAX);
    struct test *t = &f->tests[f->test_count++];
    (void)snprintf(t->number, sizeof(t->number), "%.*s", (int)number.len, (const char *)number.ptr);
    t->valid = valid;
    t->either = either;
    t->key = &group->key;
    t->message = take_octets(&line);
    t->signature = take_octets(&line);
}

static void read_file(const char *name, enum sm_sig_alg alg, struct file *f)
{
    char path[256];
    sm_diag diag = {.reason = ""};
    sm_buf text = sm_buf_init(8U << 20);
    const char *folder = getenv("SM_VECTORS");
    (void)snprintf(path, sizeof(path), "%s/%s", folder == NULL ? "tests/sign/vectors" : folder,
                   name);
    sm_err err = sm_file_read(path, &text, &diag);
    if (!sm_ok(err)) {
        print_error("%s\n", diag.reason);
    }
    assert_sm_ok(err);
    f->alg = alg;
    sm_slice rest = sm_buf_slice(&text);
    while (rest.len > 0) {
        sm_slice line = sm_slice_split(&rest, '\n');
        sm_slice first = sm_slice_split(&line, ' ');
        if (sm_slice_equal(first, SM_LIT("key"))) {
            add_group(f, line);
        } else if (!sm_slice_equal(first, SM_LIT("#"))) {
            add_test(f, first, line);
        }
    }
    sm_buf_deinit(&text);
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
                print_error("%s on %s: test %s is %s\n", name, backend->name, t->number,
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
    read_file(name, alg, f);
    assert_true(f->test_count > 5);
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

VECTORS(wycheproof__p256, "ecdsa_secp256r1_sha256.txt", SM_SIG_ECDSA_SHA256, SM_KEY_P256)
VECTORS(wycheproof__p384, "ecdsa_secp384r1_sha384.txt", SM_SIG_ECDSA_SHA384, SM_KEY_P384)
VECTORS(wycheproof__p521, "ecdsa_secp521r1_sha512.txt", SM_SIG_ECDSA_SHA512, SM_KEY_P521)
VECTORS(wycheproof__ed25519, "ed25519.txt", SM_SIG_ED25519, SM_KEY_ED25519)
VECTORS(wycheproof__ed448, "ed448.txt", SM_SIG_ED448, SM_KEY_ED448)
VECTORS(wycheproof__ml_dsa_44, "mldsa_44_verify.txt", SM_SIG_ML_DSA_44, SM_KEY_ML_DSA_44)
VECTORS(wycheproof__ml_dsa_65, "mldsa_65_verify.txt", SM_SIG_ML_DSA_65, SM_KEY_ML_DSA_65)
VECTORS(wycheproof__ml_dsa_87, "mldsa_87_verify.txt", SM_SIG_ML_DSA_87, SM_KEY_ML_DSA_87)
VECTORS(wycheproof__rsa_pss_2048, "rsa_pss_2048_sha256_mgf1_32.txt", SM_SIG_PSS_SHA256,
        SM_KEY_RSA_2048)
VECTORS(wycheproof__rsa_2048, "rsa_signature_2048_sha256.txt", SM_SIG_RSA_SHA256, SM_KEY_RSA_2048)
VECTORS(wycheproof__rsa_3072, "rsa_signature_3072_sha256.txt", SM_SIG_RSA_SHA256, SM_KEY_RSA_3072)
VECTORS(wycheproof__rsa_4096, "rsa_signature_4096_sha256.txt", SM_SIG_RSA_SHA256, SM_KEY_RSA_4096)

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
