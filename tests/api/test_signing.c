/* SPDX-License-Identifier: Apache-2.0 */
/* SigningService: the policy of each key, and signatures that OpenSSL verifies. */
#include "api/signing_metrics.h"
#include "base/check.h"
#include "base/text.h"
#include "tests/support/api_server.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

static struct sm_api_server server;
static const char *admin;
static const char *op;
static const char *signer;
static const char *reader;

static unsigned create(const char *token, const char *key, char *field, size_t room)
{
    char body[1024];
    unsigned status;
    (void)snprintf(body, sizeof(body), "{\"key\":%s}", key);
    json_t *answer = sm_api_server_json(&server, "POST", "/v1/keys", token, body, &status);
    if (field != NULL) {
        (void)snprintf(field, room, "%s", sm_api_error(answer, "field"));
    }
    json_decref(answer);
    return status;
}

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n"
                                 "signing_keys:\n"
                                 "- {name: late, key_uri: 'file:late'}\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    op = sm_api_server_token(&server, "operator", "[{\"role\":\"operator\"}]", 0);
    signer = sm_api_server_token(&server, "signer", "[{\"role\":\"reader\"}]", 0);
    reader = sm_api_server_token(&server, "reader", "[{\"role\":\"reader\"}]", 0);
    static const char *const keys[] = {
        "{\"name\":\"ec\",\"keyType\":\"ec-p256\",\"signers\":[\"signer\"],"
        "\"digestAlgorithms\":[\"sha256\",\"sha512\"]}",
        "{\"name\":\"strict\",\"keyType\":\"ec-p384\",\"digestAlgorithms\":[\"sha384\"]}",
        "{\"name\":\"ed\",\"keyType\":\"ed25519\"}",
        "{\"name\":\"rsa\",\"keyType\":\"rsa-2048\"}",
        "{\"name\":\"slow\",\"keyType\":\"ec-p256\",\"ratePerSecond\":2}",
        "{\"name\":\"once\",\"keyType\":\"ec-p256\",\"ratePerSecond\":1}",
        "{\"name\":\"pss\",\"keyType\":\"rsa-2048\",\"rsaPadding\":\"pss\"}",
        "{\"name\":\"pkcs1\",\"keyType\":\"rsa-2048\",\"rsaPadding\":\"pkcs1\"}",
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(keys); i++) {
        if (create(admin, keys[i], NULL, 0) != 200) {
            return -1;
        }
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

/* "POST /v1/keys/{key}:sign"; the answer's signature in *out, when there is one. */
static unsigned sign(const char *token, const char *key, const char *body, sm_buf *out, char *field,
                     size_t room)
{
    char path[100];
    unsigned status;
    (void)snprintf(path, sizeof(path), "/v1/keys/%s:sign", key);
    json_t *answer = sm_api_server_json(&server, "POST", path, token, body, &status);
    const char *signature = json_string_value(json_object_get(answer, "signature"));
    if (out != NULL && signature != NULL) {
        assert_sm_ok(sm_base64_decode(out, sm_slice_str(signature), 0));
    }
    if (field != NULL) {
        (void)snprintf(field, room, "%s", sm_api_error(answer, "field"));
    }
    json_decref(answer);
    return status;
}

static void refused(const char *token, const char *key, const char *body, unsigned want,
                    const char *want_field)
{
    char field[64];
    unsigned status = sign(token, key, body, NULL, field, sizeof(field));
    if (status != want || strcmp(field, want_field) != 0) {
        print_error("%s %s: %u, \"%s\"\n", key, body, status, field);
    }
    assert_int_equal(status, want);
    assert_string_equal(field, want_field);
}

static EVP_PKEY *public_key(const char *name)
{
    unsigned status;
    EVP_PKEY *key = NULL;
    sm_buf der = sm_buf_init(65536);
    json_t *answer = sm_api_server_json(&server, "GET", "/v1/keys", reader, NULL, &status);
    json_t *list = json_object_get(answer, "keys");
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *k = json_array_get(list, i);
        if (strcmp(json_string_value(json_object_get(k, "name")), name) == 0) {
            assert_sm_ok(sm_base64_decode(
                &der, sm_slice_str(json_string_value(json_object_get(k, "publicKey"))), 0));
        }
    }
    const uint8_t *at = der.ptr;
    key = d2i_PUBKEY(NULL, &at, (long)der.len);
    assert_non_null(key);
    sm_buf_deinit(&der);
    json_decref(answer);
    return key;
}

static void assert_verifies(const char *name, const EVP_MD *md, bool pss, sm_slice message,
                            sm_slice signature)
{
    EVP_PKEY *key = public_key(name);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    assert_int_equal(EVP_DigestVerifyInit(ctx, &pctx, md, NULL, key), 1);
    if (pss) {
        assert_true(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0);
    }
    assert_int_equal(EVP_DigestVerify(ctx, signature.ptr, signature.len, message.ptr, message.len),
                     1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
}

static void signing__signatures_verify(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *body;
        const EVP_MD *(*md)(void);
        bool pss;
    } cases[] = {
        {"ec", "{\"data\":\"aGVsbG8=\"}", EVP_sha256, false},
        {"ec", "{\"data\":\"aGVsbG8=\",\"digestAlgorithm\":\"sha512\"}", EVP_sha512, false},
        {"strict", "{\"data\":\"aGVsbG8=\",\"digestAlgorithm\":\"sha384\"}", EVP_sha384, false},
        {"ed", "{\"data\":\"aGVsbG8=\"}", NULL, false},
        {"rsa", "{\"data\":\"aGVsbG8=\",\"digestAlgorithm\":\"sha256\"}", EVP_sha256, false},
        {"rsa", "{\"data\":\"aGVsbG8=\",\"digestAlgorithm\":\"sha256\",\"rsaPss\":true}",
         EVP_sha256, true},
        /* SHA-256 of "hello" */
        {"ec",
         "{\"digest\":\"LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\",\"digestAlgorithm\":"
         "\"sha256\"}",
         EVP_sha256, false},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(cases); i++) {
        sm_buf signature = sm_buf_init(65536);
        assert_int_equal(sign(op, cases[i].key, cases[i].body, &signature, NULL, 0), 200);
        assert_verifies(cases[i].key, cases[i].md == NULL ? NULL : cases[i].md(), cases[i].pss,
                        SM_LIT("hello"), sm_buf_slice(&signature));
        sm_buf_deinit(&signature);
    }
}

static void signing__only_signers_and_operators(void **state)
{
    (void)state;
    static const char body[] = "{\"data\":\"aGVsbG8=\"}";
    assert_int_equal(sign(signer, "ec", body, NULL, NULL, 0), 200);
    assert_int_equal(sign(admin, "ec", body, NULL, NULL, 0), 200);
    refused(reader, "ec", body, 403, "");
    refused(signer, "ed", body, 403, "");
    refused(NULL, "ec", body, 401, "");
    refused(admin, "nobody", body, 404, "key");
    refused(admin, "issuing", body, 404, "key"); /* a CA's key is none of these */
}

static void signing__algorithms_keep_the_policy(void **state)
{
    (void)state;
    refused(admin, "strict", "{\"data\":\"aA==\",\"digestAlgorithm\":\"sha256\"}", 400,
            "digest_algorithm");
    refused(admin, "strict", "{\"data\":\"aA==\",\"digestAlgorithm\":\"sha512\"}", 400,
            "digest_algorithm");
    /* a policy without any allows the key type's own alone */
    refused(admin, "rsa", "{\"data\":\"aA==\",\"digestAlgorithm\":\"sha512\"}", 400,
            "digest_algorithm");
    /* none named: the key type's own, which the policy allows */
    assert_int_equal(sign(admin, "strict", "{\"data\":\"aA==\"}", NULL, NULL, 0), 200);
    refused(admin, "ec", "{\"data\":\"aA==\",\"digestAlgorithm\":9}", 400, "digest_algorithm");
    refused(admin, "ed", "{\"data\":\"aA==\",\"digestAlgorithm\":\"sha256\"}", 400,
            "digest_algorithm");
}

static void signing__default_algorithm_keeps_the_policy(void **state)
{
    (void)state;
    assert_int_equal(create(admin,
                            "{\"name\":\"only512\",\"keyType\":\"ec-p256\",\"digestAlgorithms\":["
                            "\"sha512\"]}",
                            NULL, 0),
                     200);
    refused(admin, "only512", "{\"data\":\"aA==\"}", 400, "digest_algorithm"); /* it is SHA-256 */
    assert_int_equal(
        sign(admin, "only512", "{\"data\":\"aA==\",\"digestAlgorithm\":\"sha512\"}", NULL, NULL, 0),
        200);
}

static void signing__input_must_fit(void **state)
{
    (void)state;
    refused(admin, "ec", "{}", 400, "digest");
    refused(admin, "ec", "{\"digest\":\"aA==\",\"digestAlgorithm\":\"sha256\"}", 400, "digest");
    refused(admin, "ec", "{\"digest\":\"\",\"digestAlgorithm\":\"sha256\"}", 400, "digest");
    refused(admin, "ed", "{\"digest\":\"LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\"}", 400,
            "digest");
    refused(admin, "ed", "{\"digest\":\"\"}", 400, "digest"); /* an empty message, it would be */
    refused(admin, "ec", "{\"digest\":\"aA==\",\"data\":\"aA==\"}", 400, "data");
    refused(admin, "ec", "{\"data\":\"a\"}", 400, "data");
    sm_buf body = sm_buf_init(4U << 20);
    sm_buf_put_str(&body, "{\"data\":\"");
    for (size_t i = 0; i < (1U << 20) / 3 + 1; i++) {
        sm_buf_put_str(&body, "AAAA");
    }
    sm_buf_put(&body, SM_LIT("\"}\0"));
    refused(admin, "ec", (const char *)body.ptr, 400, "digest");
    sm_buf_deinit(&body);
    assert_int_equal(sign(admin, "ec", "{\"data\":\"\"}", NULL, NULL, 0), 200);
}

static void signing__rate_is_kept(void **state)
{
    (void)state;
    unsigned good = 0;
    unsigned busy = 0;
    for (unsigned i = 0; i < 12; i++) {
        unsigned status = sign(admin, "slow", "{\"data\":\"aA==\"}", NULL, NULL, 0);
        good += status == 200;
        busy += status == 429;
    }
    assert_int_equal(good + busy, 12);
    assert_true(good >= 1 && busy >= 1);
}

static void signing__padding_keeps_the_policy(void **state)
{
    (void)state;
    static const char v15[] = "{\"data\":\"aA==\"}";
    static const char pss[] = "{\"data\":\"aA==\",\"rsaPss\":true}";
    assert_int_equal(sign(admin, "pss", pss, NULL, NULL, 0), 200);
    refused(admin, "pss", v15, 400, "rsa_pss");
    assert_int_equal(sign(admin, "pkcs1", v15, NULL, NULL, 0), 200);
    refused(admin, "pkcs1", pss, 400, "rsa_pss");
}

/* Neither what is malformed nor what the policy refuses. */
static void signing__refused_requests_use_up_no_rate(void **state)
{
    (void)state;
    refused(admin, "once", "{}", 400, "digest");
    refused(admin, "once", "{\"digest\":\"aA==\",\"digestAlgorithm\":\"sha256\"}", 400, "digest");
    refused(admin, "once", "{\"data\":\"aA==\",\"digestAlgorithm\":\"sha512\"}", 400,
            "digest_algorithm");
    refused(reader, "once", "{\"data\":\"aA==\"}", 403, "");
    assert_int_equal(sign(admin, "once", "{\"data\":\"aA==\"}", NULL, NULL, 0), 200);
}

struct tally {
    int64_t ok, refused, failed;
};

static struct tally tally_of(const char *key)
{
    struct sm_signing_metrics m;
    sm_signing_metrics_of(key, &m);
    return (struct tally){sm_metric_value(m.ok), sm_metric_value(m.refused),
                          sm_metric_value(m.failed)};
}

static void signing__calls_are_counted_by_key(void **state)
{
    (void)state;
    static const char good[] = "{\"data\":\"aA==\"}";
    const struct tally before = tally_of("strict");
    const struct tally other = tally_of("ed");
    assert_int_equal(sign(admin, "strict", good, NULL, NULL, 0), 200);
    assert_int_equal(sign(admin, "strict", good, NULL, NULL, 0), 200);
    refused(reader, "strict", good, 403, "");
    refused(admin, "strict", "{\"data\":\"aA==\",\"digestAlgorithm\":\"sha256\"}", 400,
            "digest_algorithm");
    refused(admin, "strict", "{}", 400, "digest");
    refused(admin, "nobody", good, 404, "key");
    const struct tally after = tally_of("strict");
    assert_int_equal(after.ok - before.ok, 2);
    assert_int_equal(after.refused - before.refused, 2);
    assert_int_equal(after.failed - before.failed, 1);
    const struct tally still = tally_of("ed");
    assert_memory_equal(&still, &other, sizeof(other));
    /* names from outside make no series */
    sm_buf page = sm_buf_init(1U << 20);
    sm_metrics_render(&page);
    sm_buf_put_byte(&page, 0);
    assert_sm_ok(sm_buf_err(&page));
    assert_non_null(strstr((const char *)page.ptr, "key=\"strict\",outcome=\"ok\""));
    assert_null(strstr((const char *)page.ptr, "key=\"nobody\""));
    sm_buf_deinit(&page);
}

/* Last: the series that it makes stay. */
static void signing__counts_of_many_keys_are_bounded(void **state)
{
    (void)state;
    struct sm_signing_metrics early;
    struct sm_signing_metrics late[3 * SM_SIGNING_SERIES_KEYS];
    sm_signing_metrics_of("strict", &early);
    for (unsigned i = 0; i < SM_ARRAY_LEN(late); i++) {
        char name[20];
        (void)snprintf(name, sizeof(name), "one-of-many-%u", i);
        sm_signing_metrics_of(name, &late[i]);
        assert_int_not_equal(late[i].ok.index, early.ok.index);
    }
    const struct sm_signing_metrics *last = &late[SM_ARRAY_LEN(late) - 1];
    assert_int_not_equal(late[0].ok.index, last->ok.index);
    for (unsigned i = SM_SIGNING_SERIES_KEYS; i < SM_ARRAY_LEN(late); i++) {
        assert_int_equal(late[i].ok.index, last->ok.index);
    }
    assert_int_not_equal(last->ok.index, 0);
}

static void signing__bad_keys_name_the_field(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"{}", "key.name"},
        {"{\"name\":\"\"}", "key.name"},
        {"{\"name\":\"a/b\"}", "key.name"},
        {"{\"name\":\"0123456789012345678901234567890123456789012345678901234567890123\"}",
         "key.name"},
        {"{\"name\":\"a\",\"keyType\":\"dsa\"}", "key.key_type"},
        {"{\"name\":\"a\",\"rsaPadding\":\"none\"}", "key.rsa_padding"},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        char field[64];
        assert_int_equal(create(admin, bad[i][0], field, sizeof(field)), 400);
        assert_string_equal(field, bad[i][1]);
    }
    unsigned status;
    json_decref(sm_api_server_json(&server, "POST", "/v1/keys", admin, "{}", &status));
    assert_int_equal(status, 400);
    assert_int_equal(create(admin, "{\"name\":\"ec\",\"keyType\":\"ec-p256\"}", NULL, 0), 409);
    assert_int_equal(create(op, "{\"name\":\"mine\"}", NULL, 0), 403);
    assert_int_equal(sign(admin, "ec", "{\"data\":\"aA==\"}", NULL, NULL, 0),
                     200); /* still there */
}

static void signing__names_from_outside_stay_in_the_key_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"..", ".", "a\\u0000b", "a\\nb", "-rf", "a b", "\\u00e9"};
    for (size_t i = 0; i < SM_ARRAY_LEN(names); i++) {
        char key[100];
        (void)snprintf(key, sizeof(key), "{\"name\":\"%s\"}", names[i]);
        unsigned status = create(admin, key, NULL, 0);
        assert_true(status == 200 || status == 400);
    }
}

/* Whether the list of keys has this one with its type and its public key. */
static bool is_told(const char *name, const char *type)
{
    unsigned status;
    size_t i;
    json_t *key;
    bool told = false;
    json_t *answer = sm_api_server_json(&server, "GET", "/v1/keys", admin, NULL, &status);
    json_array_foreach(json_object_get(answer, "keys"), i, key)
    {
        const char *its_type = json_string_value(json_object_get(key, "keyType"));
        const char *spki = json_string_value(json_object_get(key, "publicKey"));
        told = told || (strcmp(json_string_value(json_object_get(key, "name")), name) == 0 &&
                        its_type != NULL && strcmp(its_type, type) == 0 && spki != NULL &&
                        spki[0] == 'M'); /* DER's SEQUENCE in base64 */
    }
    json_decref(answer);
    return told;
}

/* As a key whose token is not there at the start. */
static void signing__key_that_is_away_is_waited_for(void **state)
{
    (void)state;
    static const char body[] = "{\"data\":\"aGVsbG8=\"}";
    sm_diag diag = {.reason = ""};
    sm_key *key;
    refused(admin, "late", body, 503, "key");
    refused(reader, "late", body, 403, "");
    assert_sm_ok(sm_keystore_create(server.keystore, "late", "", SM_KEY_P256, &key, &diag));
    sm_key_detach(&key);
    assert_sm_ok(sm_api_reload(server.api, server.config, &diag));
    assert_int_equal(sign(admin, "late", body, NULL, NULL, 0), 200);
    assert_true(is_told("late", "KEY_TYPE_EC_P256"));
    assert_true(is_told("rsa", "KEY_TYPE_RSA_2048"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signing__signatures_verify),
        cmocka_unit_test(signing__only_signers_and_operators),
        cmocka_unit_test(signing__algorithms_keep_the_policy),
        cmocka_unit_test(signing__default_algorithm_keeps_the_policy),
        cmocka_unit_test(signing__input_must_fit),
        cmocka_unit_test(signing__rate_is_kept),
        cmocka_unit_test(signing__padding_keeps_the_policy),
        cmocka_unit_test(signing__refused_requests_use_up_no_rate),
        cmocka_unit_test(signing__calls_are_counted_by_key),
        cmocka_unit_test(signing__bad_keys_name_the_field),
        cmocka_unit_test(signing__names_from_outside_stay_in_the_key_folder),
        cmocka_unit_test(signing__key_that_is_away_is_waited_for),
        cmocka_unit_test(signing__counts_of_many_keys_are_bounded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
