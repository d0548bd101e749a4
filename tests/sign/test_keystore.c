/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sign/keys.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "sign/key_p.h"
#include "sign/key_seal.h"
#include "sign/passphrase.h"

#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char dir[256];
    char keys[300];
    char secret[300];
    sm_keystore *store;
};

static void write_secret(const char *path, const char *text, mode_t mode)
{
    assert_sm_ok(sm_file_write_atomic(path, sm_slice_str(text), mode, NULL));
}

static sm_err open_store(struct fixture *f, sm_keystore **out)
{
    const struct sm_keystore_config config = {.dir = f->keys, .passphrase_file = f->secret};
    return sm_keystore_open(&config, out, NULL);
}

static int set_up(void **state)
{
    struct fixture *f = sm_calloc(1, sizeof(*f));
    assert_non_null(sm_test_dir(f->dir, sizeof(f->dir)));
    (void)snprintf(f->keys, sizeof(f->keys), "%s/keys", f->dir);
    (void)snprintf(f->secret, sizeof(f->secret), "%s/passphrase", f->dir);
    write_secret(f->secret, "correct horse\n", 0600);
    assert_sm_ok(open_store(f, &f->store));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    sm_keystore_close(&f->store);
    sm_keystore_close(&f->store);
    sm_test_remove_dir(f->dir);
    sm_free(f);
    return 0;
}

static void key_path(const struct fixture *f, const char *name, char out[400])
{
    (void)snprintf(out, 400, "%s/%s.key", f->keys, name);
}

static void check_pair(sm_key *private, const struct sm_public_key *public)
{
    sm_buf signature = sm_buf_init(SM_SIGNATURE_MAX);
    enum sm_sig_alg alg = sm_sig_alg_for(sm_key_get_type(private), SM_DIGEST_NONE, false);
    assert_sm_ok(sm_sign_now(private, alg, SM_LIT("m"), &signature));
    assert_sm_ok(sm_verify_now(public, alg, SM_LIT("m"), sm_buf_slice(&signature)));
    assert_sm_err(sm_verify_now(public, alg, SM_LIT("n"), sm_buf_slice(&signature)), BAD_SIGNATURE);
    sm_buf_deinit(&signature);
}

static void create__every_type_loads_again(void **state)
{
    struct fixture *f = *state;
    for (enum sm_key_type type = SM_KEY_P256; type < SM_KEY_TYPE_COUNT; type++) {
        if (type == SM_KEY_RSA_3072 || type == SM_KEY_RSA_4096) {
            continue; /* as RSA-2048, and seconds to make */
        }
        sm_key *made;
        sm_key *loaded;
        assert_sm_ok(sm_keystore_create(f->store, sm_key_type_name(type), "", type, &made, NULL));
        assert_int_equal(sm_key_get_type(made), type);
        assert_int_equal(strncmp(sm_key_uri(made), "file:", 5), 0);
        assert_sm_ok(sm_keystore_load(f->store, sm_key_uri(made), &loaded, NULL));
        assert_int_equal(sm_key_get_type(loaded), type);
        assert_string_equal(sm_key_uri(loaded), sm_key_uri(made));
        check_pair(loaded, sm_key_public(made));
        sm_key_detach(&made);
        sm_key_detach(&loaded);
    }
}

static void create__file_is_private_and_encrypted(void **state)
{
    struct fixture *f = *state;
    char path[400];
    struct stat st;
    sm_key *key;
    sm_buf text = sm_buf_init(SM_KEY_FILE_MAX);
    assert_sm_ok(sm_keystore_create(f->store, "a", "", SM_KEY_P256, &key, NULL));
    key_path(f, "a", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(f->keys, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_sm_ok(sm_file_read(path, &text, NULL));
    assert_true(sm_slice_starts_with(sm_buf_slice(&text),
                                     SM_LIT("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")));
    sm_buf der = sm_buf_init(SM_KEY_FILE_MAX);
    sm_slice rest = sm_buf_slice(&text);
    sm_slice label;
    assert_sm_ok(sm_pem_next(&rest, &label, &der));
    /* id-scrypt (RFC 7914 7.1) and aes256-CBC */
    assert_true(sm_slice_search(sm_buf_slice(&der),
                                SM_LIT("\x2b\x06\x01\x04\x01\xda\x47\x04\x0b")) < der.len);
    assert_true(sm_slice_search(sm_buf_slice(&der),
                                SM_LIT("\x60\x86\x48\x01\x65\x03\x04\x01\x2a")) < der.len);
    /* and the private number is nowhere in it */
    assert_int_equal(
        sm_slice_search(sm_buf_slice(&der), sm_slice_of(key->numbers->u.ec.octets, 32)), der.len);
    sm_buf_deinit(&der);
    sm_buf_deinit(&text);
    sm_key_detach(&key);
}

/* The salt and the initialisation vector of a file, and that OpenSSL opens it by itself. */
static void read_sealed(const struct fixture *f, const char *name, uint8_t salt[16], uint8_t iv[16])
{
    char path[400];
    key_path(f, name, path);
    BIO *bio = BIO_new_file(path, "r");
    X509_SIG *sealed = PEM_read_bio_PKCS8(bio, NULL, NULL, NULL);
    const X509_ALGOR *alg;
    assert_non_null(sealed);
    X509_SIG_get0(sealed, &alg, NULL);
    PBE2PARAM *pbe = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), alg->parameter);
    SCRYPT_PARAMS *kdf = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(SCRYPT_PARAMS),
                                                   pbe->keyfunc->parameter);
    assert_int_equal(kdf->salt->length, 16);
    memcpy(salt, kdf->salt->data, 16);
    assert_int_equal(pbe->encryption->parameter->value.octet_string->length, 16);
    memcpy(iv, pbe->encryption->parameter->value.octet_string->data, 16);
    PKCS8_PRIV_KEY_INFO *info = PKCS8_decrypt(sealed, "correct horse", 13);
    assert_non_null(info);
    PKCS8_PRIV_KEY_INFO_free(info);
    SCRYPT_PARAMS_free(kdf);
    PBE2PARAM_free(pbe);
    X509_SIG_free(sealed);
    BIO_free(bio);
}

static void make(sm_keystore *store, const char *name)
{
    sm_key *key;
    assert_sm_ok(sm_keystore_create(store, name, "", SM_KEY_P256, &key, NULL));
    sm_key_detach(&key);
}

static void load_well(sm_keystore *store, const char *uri)
{
    sm_key *key;
    assert_sm_ok(sm_keystore_load(store, uri, &key, NULL));
    sm_key_detach(&key);
}

/* So that one derivation opens them all; OpenSSL's own reader, which knows nothing of that, opens each. */
static void create__files_of_a_folder_share_the_salt_alone(void **state)
{
    struct fixture *f = *state;
    uint8_t salt[3][16];
    uint8_t iv[3][16];
    make(f->store, "a");
    make(f->store, "b");
    sm_keystore_close(&f->store);
    assert_sm_ok(open_store(f, &f->store));
    load_well(f->store, "file:b");
    make(f->store, "c");
    read_sealed(f, "a", salt[0], iv[0]);
    read_sealed(f, "b", salt[1], iv[1]);
    read_sealed(f, "c", salt[2], iv[2]);
    assert_memory_equal(salt[0], salt[1], 16);
    assert_memory_equal(salt[0], salt[2], 16);
    assert_memory_not_equal(iv[0], iv[1], 16);
    assert_memory_not_equal(iv[0], iv[2], 16);
    assert_memory_not_equal(iv[1], iv[2], 16);
}

/* More salts than derived keys are kept, in turns: each opens whenever it is asked for. */
static void load__files_with_salts_of_their_own(void **state)
{
    struct fixture *f = *state;
    char name[SM_SEAL_KEPT + 2][16];
    char uri[24];
    for (int i = 0; i < SM_SEAL_KEPT + 2; i++) {
        (void)snprintf(name[i], sizeof(name[i]), "s%d", i);
        sm_keystore_close(&f->store); /* a new one has opened nothing, and takes a new salt */
        assert_sm_ok(open_store(f, &f->store));
        make(f->store, name[i]);
    }
    for (int i = 0; i < 2 * (SM_SEAL_KEPT + 2); i++) {
        (void)snprintf(uri, sizeof(uri), "file:%s", name[i % (SM_SEAL_KEPT + 2)]);
        load_well(f->store, uri);
    }
}

/* Twenty files cost about one derivation, not twenty. */
static void load__many_files_cost_one_derivation(void **state)
{
    struct fixture *f = *state;
    char uri[24];
    for (int i = 0; i < 20; i++) {
        (void)snprintf(uri, sizeof(uri), "m%d", i);
        make(f->store, uri);
    }
    sm_keystore_close(&f->store);
    assert_sm_ok(open_store(f, &f->store));
    uint64_t begun = sm_clock_mono_ns();
    load_well(f->store, "file:m0");
    uint64_t first = sm_clock_mono_ns() - begun;
    begun = sm_clock_mono_ns();
    for (int i = 1; i < 20; i++) {
        (void)snprintf(uri, sizeof(uri), "file:m%d", i);
        load_well(f->store, uri);
    }
    assert_true(sm_clock_mono_ns() - begun < 5 * first);
}

static void create__same_name_twice(void **state)
{
    struct fixture *f = *state;
    sm_key *key;
    sm_key *again = NULL;
    sm_diag diag = {0};
    assert_sm_ok(sm_keystore_create(f->store, "a", "", SM_KEY_P256, &key, NULL));
    assert_sm_err(sm_keystore_create(f->store, "b", "file:a", SM_KEY_P256, &again, &diag), EXISTS);
    assert_string_equal(diag.field, "key_uri");
    assert_null(again);
    sm_key *loaded;
    assert_sm_ok(sm_keystore_load(f->store, "file:a", &loaded, NULL));
    check_pair(loaded, sm_key_public(key));
    sm_key_detach(&loaded);
    sm_keystore_discard(f->store, "file:a");
    assert_sm_err(sm_keystore_load(f->store, "file:a", &loaded, NULL), NOT_FOUND);
    assert_sm_ok(sm_keystore_create(f->store, "a", "", SM_KEY_P256, &again, NULL));
    sm_key_detach(&again);
    sm_key_detach(&key);
}

/* A creation that fails leaves no name taken. */
static void create__failure_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    char path[400];
    sm_key *key = NULL;
    key_path(f, "a", path);
    assert_sm_err(sm_keystore_create(f->store, "a", "", SM_KEY_NONE, &key, NULL), UNSUPPORTED);
    assert_false(sm_file_exists(path));
    for (size_t n = 1;; n++) {
        sm_mem_fail_at(n);
        sm_err err = sm_keystore_create(f->store, "a", "", SM_KEY_P256, &key, NULL);
        bool failed = sm_mem_has_failed() != 0;
        sm_mem_fail_at(0);
        if (!failed) {
            assert_sm_ok(err);
            break;
        }
        assert_false(sm_ok(err));
        assert_null(key);
        assert_false(sm_file_exists(path));
    }
    sm_key_detach(&key);
}

static void names__are_plain(void **state)
{
    struct fixture *f = *state;
    sm_key *key = NULL;
    char longest[5 + SM_KEY_NAME_MAX + 2] = "file:";
    static const char *const bad[] = {
        "file:", "file:.hidden", "file:../x", "file:a/b",      "/etc/passwd",
        "a",     "file:a\nb",    "file:a b",  "file:\xc3\xa4", "FILE:a"};
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_sm_err(sm_keystore_create(f->store, "x", bad[i], SM_KEY_P256, &key, NULL), INVALID);
        assert_sm_err(sm_keystore_load(f->store, bad[i], &key, NULL), INVALID);
        sm_keystore_discard(f->store, bad[i]);
    }
    memset(longest + 5, 'n', SM_KEY_NAME_MAX + 1);
    assert_sm_err(sm_keystore_create(f->store, longest + 5, "", SM_KEY_P256, &key, NULL), INVALID);
    longest[5 + SM_KEY_NAME_MAX] = '\0';
    assert_sm_ok(sm_keystore_create(f->store, longest + 5, "", SM_KEY_P256, &key, NULL));
    assert_string_equal(sm_key_uri(key), longest);
    sm_key_detach(&key);
}

static void load__pkcs11_is_said_to_be_missing(void **state)
{
    struct fixture *f = *state;
    sm_key *key = NULL;
    sm_diag diag = {0};
    assert_sm_err(sm_keystore_load(f->store, "pkcs11:token=a;object=b", &key, &diag), UNSUPPORTED);
    assert_non_null(strstr(diag.reason, "pkcs11 section"));
}

static void load__a_file_that_others_may_read_is_refused(void **state)
{
    struct fixture *f = *state;
    static const mode_t bad[] = {0644, 0604, 0602, 0601, 0620};
    static const mode_t good[] = {0600, 0400, 0640};
    char path[400];
    sm_key *key;
    sm_diag diag;
    assert_sm_ok(sm_keystore_create(f->store, "a", "", SM_KEY_P256, &key, NULL));
    sm_key_detach(&key);
    key_path(f, "a", path);
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_int_equal(chmod(path, bad[i]), 0);
        sm_diag_clear(&diag);
        assert_sm_err(sm_keystore_load(f->store, "file:a", &key, &diag), INVALID);
        assert_non_null(strstr(diag.reason, "chmod 600"));
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(good); i++) {
        assert_int_equal(chmod(path, good[i]), 0);
        assert_sm_ok(sm_keystore_load(f->store, "file:a", &key, NULL));
        sm_key_detach(&key);
    }
}

static void load__wrong_passphrase_is_forbidden(void **state)
{
    struct fixture *f = *state;
    sm_key *key;
    sm_keystore *other;
    sm_diag diag = {0};
    assert_sm_ok(sm_keystore_create(f->store, "a", "", SM_KEY_P256, &key, NULL));
    sm_key_detach(&key);
    /* Some wrong passphrases decrypt to valid padding (one in 256), and must be found by what
     * follows. */
    for (int i = 0; i < 8; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "wrong %d", i);
        write_secret(f->secret, text, 0600);
        assert_sm_ok(open_store(f, &other));
        sm_diag_clear(&diag);
        assert_sm_err(sm_keystore_load(other, "file:a", &key, &diag), FORBIDDEN);
        assert_non_null(strstr(diag.reason, "passphrase"));
        sm_keystore_close(&other);
    }
}

/* Every file that is not what we wrote is an error, never a crash or a wrong key. */
static void load__damaged_files(void **state)
{
    struct fixture *f = *state;
    char path[400];
    sm_key *key;
    sm_buf text = sm_buf_init(SM_KEY_FILE_MAX);
    assert_sm_ok(sm_keystore_create(f->store, "a", "", SM_KEY_P256, &key, NULL));
    sm_key_detach(&key);
    key_path(f, "a", path);
    assert_sm_ok(sm_file_read(path, &text, NULL));
    for (size_t len = 0; len < text.len - 1; len += 23) {
        assert_sm_ok(sm_file_write_atomic(path, sm_slice_of(text.ptr, len), 0600, NULL));
        assert_sm_err(sm_keystore_load(f->store, "file:a", &key, NULL), MALFORMED);
    }
    static const char *const others[] = {
        "", "not PEM at all",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n"};
    for (size_t i = 0; i < SM_ARRAY_LEN(others); i++) {
        assert_sm_ok(sm_file_write_atomic(path, sm_slice_str(others[i]), 0600, NULL));
        assert_sm_err(sm_keystore_load(f->store, "file:a", &key, NULL), MALFORMED);
    }
    sm_buf_deinit(&text);
}

static void load__file_over_the_limit(void **state)
{
    struct fixture *f = *state;
    char path[400];
    sm_key *key = NULL;
    sm_buf text = sm_buf_init(2 * SM_KEY_FILE_MAX);
    memset(sm_buf_reserve(&text, SM_KEY_FILE_MAX + 1), 'A', SM_KEY_FILE_MAX + 1);
    sm_buf_commit(&text, SM_KEY_FILE_MAX + 1);
    key_path(f, "a", path);
    assert_sm_ok(sm_file_write_atomic(path, sm_buf_slice(&text), 0600, NULL));
    assert_sm_err(sm_keystore_load(f->store, "file:a", &key, NULL), TOO_LARGE);
    sm_buf_deinit(&text);
}

static void load__plain_key_only_where_allowed(void **state)
{
    struct fixture *f = *state;
    const struct sm_keystore_config config = {.dir = f->keys, .allow_plain = true};
    sm_keystore *plain;
    sm_key *key;
    sm_key *loaded = NULL;
    assert_sm_ok(sm_keystore_open(&config, &plain, NULL));
    assert_sm_ok(sm_keystore_create(plain, "p", "", SM_KEY_ED25519, &key, NULL));
    sm_diag diag = {0};
    assert_sm_err(sm_keystore_load(f->store, "file:p", &loaded, &diag), INVALID);
    assert_non_null(strstr(diag.reason, "not encrypted"));
    assert_sm_ok(sm_keystore_load(plain, "file:p", &loaded, NULL));
    check_pair(loaded, sm_key_public(key));
    sm_key_detach(&loaded);
    sm_key_detach(&key);
    sm_keystore_close(&plain);
}

/* What `openssl genpkey` and `openssl pkcs8 -topk8` write is read too: PBKDF2 with AES. */
static void load__file_of_the_openssl_tool(void **state)
{
    struct fixture *f = *state;
    char path[400];
    key_path(f, "tool", path);
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
    FILE *file = fopen(path, "w");
    assert_true(
        PEM_write_PKCS8PrivateKey(file, pkey, EVP_aes_256_cbc(), "correct horse", 13, NULL, NULL));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
    EVP_PKEY_free(pkey);
    sm_key *key;
    assert_sm_ok(sm_keystore_load(f->store, "file:tool", &key, NULL));
    assert_int_equal(sm_key_get_type(key), SM_KEY_P384);
    sm_key_detach(&key);
}

static void load__key_of_another_type(void **state)
{
    struct fixture *f = *state;
    char path[400];
    sm_key *key = NULL;
    key_path(f, "x", path);
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    FILE *file = fopen(path, "w");
    assert_true(
        PEM_write_PKCS8PrivateKey(file, pkey, EVP_aes_256_cbc(), "correct horse", 13, NULL, NULL));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
    EVP_PKEY_free(pkey);
    assert_sm_err(sm_keystore_load(f->store, "file:x", &key, NULL), UNSUPPORTED);
}

static sm_err read_passphrase(const struct sm_keystore_config *config, sm_buf *out)
{
    *out = sm_buf_init_secret(SM_PASSPHRASE_MAX);
    return sm_passphrase_read(config, out, NULL);
}

static void passphrase__from_file(void **state)
{
    struct fixture *f = *state;
    const struct sm_keystore_config config = {.passphrase_file = f->secret};
    static const struct {
        const char *text;
        const char *expected; /* NULL: INVALID */
    } rows[] = {
        {"secret", "secret"},
        {"secret\n", "secret"},
        {"secret\r\n", "secret"},
        {"secret\n\n", "secret\n"},
        {" s p ", " s p "},
        {"", NULL},
        {"\n", NULL},
        {"\r\n", NULL},
    };
    sm_buf b;
    for (size_t i = 0; i < SM_ARRAY_LEN(rows); i++) {
        write_secret(f->secret, rows[i].text, 0600);
        sm_err err = read_passphrase(&config, &b);
        if (rows[i].expected == NULL) {
            assert_sm_err(err, INVALID);
        } else {
            assert_sm_ok(err);
            assert_true(sm_slice_equal(sm_buf_slice(&b), sm_slice_str(rows[i].expected)));
        }
        sm_buf_deinit(&b);
    }
    (void)unlink(f->secret);
    assert_sm_err(read_passphrase(&config, &b), NOT_FOUND);
    sm_buf_deinit(&b);
}

static void passphrase__file_that_others_reach_is_refused(void **state)
{
    struct fixture *f = *state;
    const struct sm_keystore_config config = {.passphrase_file = f->secret};
    static const mode_t refused[] = {0604, 0602, 0601, 0620, 0666};
    static const mode_t taken[] = {0600, 0400, 0640};
    sm_buf b;
    for (size_t i = 0; i < SM_ARRAY_LEN(refused); i++) {
        assert_int_equal(chmod(f->secret, refused[i]), 0);
        assert_sm_err(read_passphrase(&config, &b), INVALID);
        sm_buf_deinit(&b);
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(taken); i++) {
        assert_int_equal(chmod(f->secret, taken[i]), 0);
        assert_sm_ok(read_passphrase(&config, &b));
        sm_buf_deinit(&b);
    }
}

static void passphrase__length_limit(void **state)
{
    struct fixture *f = *state;
    const struct sm_keystore_config config = {.passphrase_file = f->secret};
    char text[SM_PASSPHRASE_MAX + 2];
    sm_buf b;
    memset(text, 'p', sizeof(text));
    text[SM_PASSPHRASE_MAX] = '\0';
    write_secret(f->secret, text, 0600);
    assert_sm_ok(read_passphrase(&config, &b));
    assert_int_equal(b.len, SM_PASSPHRASE_MAX);
    sm_buf_deinit(&b);
    text[SM_PASSPHRASE_MAX] = 'p';
    text[SM_PASSPHRASE_MAX + 1] = '\0';
    write_secret(f->secret, text, 0600);
    assert_sm_err(read_passphrase(&config, &b), TOO_LARGE);
    sm_buf_deinit(&b);
    assert_int_equal(setenv("SM_TEST_LONG", text, 1), 0);
    const struct sm_keystore_config env = {.passphrase_env = "SM_TEST_LONG"};
    assert_sm_err(read_passphrase(&env, &b), TOO_LARGE);
    sm_buf_deinit(&b);
}

static void passphrase__variable_is_gone_after(void **state)
{
    (void)state;
    const struct sm_keystore_config config = {.passphrase_env = "SM_TEST_PASSPHRASE"};
    sm_buf b;
    assert_int_equal(setenv("SM_TEST_PASSPHRASE", "from env", 1), 0);
    const char *where = getenv("SM_TEST_PASSPHRASE");
    assert_sm_ok(read_passphrase(&config, &b));
    assert_true(sm_slice_equal(sm_buf_slice(&b), SM_LIT("from env")));
    sm_buf_deinit(&b);
    assert_null(getenv("SM_TEST_PASSPHRASE"));
    assert_int_equal(where[0], '\0'); /* wiped, not merely unset */
    assert_sm_err(read_passphrase(&config, &b), NOT_FOUND);
    sm_buf_deinit(&b);
}

static void passphrase__systemd_credential(void **state)
{
    struct fixture *f = *state;
    const struct sm_keystore_config config = {.passphrase_credential = "passphrase"};
    const struct sm_keystore_config climbing = {.passphrase_credential = "../passphrase"};
    sm_buf b;
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    assert_sm_err(read_passphrase(&config, &b), NOT_FOUND);
    sm_buf_deinit(&b);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->dir, 1), 0);
    assert_sm_ok(read_passphrase(&config, &b));
    assert_true(sm_slice_equal(sm_buf_slice(&b), SM_LIT("correct horse")));
    sm_buf_deinit(&b);
    assert_sm_err(read_passphrase(&climbing, &b), INVALID);
    sm_buf_deinit(&b);
    (void)unsetenv("CREDENTIALS_DIRECTORY");
}

static void passphrase__one_source_exactly(void **state)
{
    struct fixture *f = *state;
    const struct sm_keystore_config none = {.dir = f->keys};
    const struct sm_keystore_config two = {
        .dir = f->keys, .passphrase_file = f->secret, .passphrase_env = "X"};
    sm_keystore *store = NULL;
    assert_sm_err(sm_keystore_open(&none, &store, NULL), INVALID);
    assert_sm_err(sm_keystore_open(&two, &store, NULL), INVALID);
    assert_null(store);
}

static void key__attach_and_detach(void **state)
{
    (void)state;
    sm_key *key;
    assert_sm_ok(sm_key_generate(SM_KEY_P256, &key));
    assert_string_equal(sm_key_uri(key), "");
    sm_key *second = sm_key_attach(key);
    sm_key_detach(&key);
    assert_null(key);
    assert_int_equal(sm_key_get_type(second), SM_KEY_P256);
    sm_key_detach(&second);
    sm_key_detach(&second);
}

static void generate__survives_no_memory(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        sm_key *key = NULL;
        sm_mem_fail_at(n);
        sm_err err = sm_key_generate(SM_KEY_P384, &key);
        bool failed = sm_mem_has_failed() != 0;
        sm_mem_fail_at(0);
        if (!failed) {
            assert_sm_ok(err);
            sm_key_detach(&key);
            break;
        }
        assert_sm_err(err, NO_MEMORY);
        assert_null(key);
    }
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(create__every_type_loads_again),
        WITH_STORE(create__file_is_private_and_encrypted),
        WITH_STORE(create__files_of_a_folder_share_the_salt_alone),
        WITH_STORE(load__files_with_salts_of_their_own),
        WITH_STORE(load__many_files_cost_one_derivation),
        WITH_STORE(create__same_name_twice),
        WITH_STORE(create__failure_leaves_nothing),
        WITH_STORE(names__are_plain),
        WITH_STORE(load__pkcs11_is_said_to_be_missing),
        WITH_STORE(load__a_file_that_others_may_read_is_refused),
        WITH_STORE(load__wrong_passphrase_is_forbidden),
        WITH_STORE(load__damaged_files),
        WITH_STORE(load__file_over_the_limit),
        WITH_STORE(load__plain_key_only_where_allowed),
        WITH_STORE(load__file_of_the_openssl_tool),
        WITH_STORE(load__key_of_another_type),
        WITH_STORE(passphrase__from_file),
        WITH_STORE(passphrase__file_that_others_reach_is_refused),
        WITH_STORE(passphrase__length_limit),
        WITH_STORE(passphrase__variable_is_gone_after),
        WITH_STORE(passphrase__systemd_credential),
        WITH_STORE(passphrase__one_source_exactly),
        cmocka_unit_test(key__attach_and_detach),
        cmocka_unit_test(generate__survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, drop_keys);
}
