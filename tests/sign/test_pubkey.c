/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include "base/check.h"
#include "sign/der.h"
#include "sign/pubkey.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>

static sm_buf spki_of(enum sm_key_type type)
{
    return SM_TEST_DER(PUBKEY, sm_test_pkey(type));
}

/* SEQUENCE { SEQUENCE { algorithm }, BIT STRING bits } */
static sm_buf make_spki(sm_slice algorithm, sm_slice bits)
{
    sm_buf b = sm_buf_init(4096);
    sm_der_block seq = sm_der_begin(&b, SM_DER_SEQUENCE);
    sm_der_write(&b, SM_DER_SEQUENCE, algorithm);
    sm_der_write_bits(&b, bits);
    sm_der_end(&b, seq);
    assert_sm_ok(sm_buf_err(&b));
    return b;
}

#define RSA_ALGORITHM SM_LIT("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00")
#define P256_ALGORITHM \
    SM_LIT("\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07")
#define ED25519_ALGORITHM SM_LIT("\x06\x03\x2b\x65\x70")
#define ED448_ALGORITHM SM_LIT("\x06\x03\x2b\x65\x71")

static sm_err parse(sm_buf spki, sm_diag *diag)
{
    struct sm_public_key key;
    sm_diag_clear(diag);
    sm_err err = sm_public_key_parse(sm_buf_slice(&spki), &key, diag);
    sm_buf_deinit(&spki);
    assert_true(sm_ok(err) || diag->reason[0] != '\0');
    return err;
}

static sm_err parse_bits(sm_slice algorithm, sm_slice bits)
{
    sm_diag diag;
    return parse(make_spki(algorithm, bits), &diag);
}

static void pubkey__takes_every_type_from_openssl(void **state)
{
    (void)state;
    for (int t = 1; t < SM_KEY_TYPE_COUNT; t++) {
        struct sm_public_key key;
        uint8_t want[20];
        uint8_t got[20];
        sm_diag diag = {.reason = ""};
        sm_buf spki = spki_of((enum sm_key_type)t);
        assert_sm_ok(sm_public_key_parse(sm_buf_slice(&spki), &key, &diag));
        assert_int_equal(key.type, t);
        assert_true(sm_slice_equal(key.spki, sm_buf_slice(&spki)));
        assert_sm_ok(sm_public_key_id(&key, got));
        X509 *cert = X509_new(); /* OpenSSL hashes the bits of a certificate's key */
        assert_true(X509_set_pubkey(cert, sm_test_pkey((enum sm_key_type)t)));
        assert_true(X509_pubkey_digest(cert, EVP_sha1(), want, NULL));
        assert_memory_equal(got, want, 20);
        X509_free(cert);
        sm_buf_deinit(&spki);
    }
}

static void assert_number(sm_slice ours, EVP_PKEY *key, const char *name)
{
    BIGNUM *want = NULL;
    BIGNUM *got = BN_bin2bn(ours.ptr, (int)ours.len, NULL);
    assert_true(EVP_PKEY_get_bn_param(key, name, &want));
    assert_int_equal(BN_cmp(got, want), 0);
    BN_free(want);
    BN_free(got);
}

static void pubkey__gives_the_numbers(void **state)
{
    (void)state;
    for (int t = SM_KEY_P256; t <= SM_KEY_RSA_4096; t++) {
        struct sm_public_key key;
        EVP_PKEY *want = sm_test_pkey((enum sm_key_type)t);
        sm_buf spki = spki_of((enum sm_key_type)t);
        assert_sm_ok(sm_public_key_parse(sm_buf_slice(&spki), &key, NULL));
        if (t <= SM_KEY_P521) {
            assert_number(key.x, want, OSSL_PKEY_PARAM_EC_PUB_X);
            assert_number(key.y, want, OSSL_PKEY_PARAM_EC_PUB_Y);
        } else {
            assert_number(key.modulus, want, OSSL_PKEY_PARAM_RSA_N);
            assert_number(key.exponent, want, OSSL_PKEY_PARAM_RSA_E);
        }
        sm_buf_deinit(&spki);
    }
}

static void pubkey__refuses_cuts_and_trailing_octets(void **state)
{
    (void)state;
    for (int t = 1; t < SM_KEY_TYPE_COUNT; t++) {
        struct sm_public_key key;
        sm_buf spki = spki_of((enum sm_key_type)t);
        for (size_t i = 0; i < spki.len; i++) {
            /* A copy of the exact size, so that a read too far is seen. */
            uint8_t *cut = malloc(i + 1);
            memcpy(cut, spki.ptr, i);
            cut = realloc(cut, i == 0 ? 1 : i);
            assert_false(sm_ok(sm_public_key_parse(sm_slice_of(cut, i), &key, NULL)));
            free(cut);
        }
        sm_buf longer = sm_buf_init(spki.len + 1);
        sm_buf_put(&longer, sm_buf_slice(&spki));
        sm_buf_put_byte(&longer, 0);
        assert_sm_err(sm_public_key_parse(sm_buf_slice(&longer), &key, NULL), MALFORMED);
        sm_buf_deinit(&longer);
        sm_buf_deinit(&spki);
    }
}

/* A flipped bit gives another key of the type, or a refusal. */
static void pubkey__survives_flipped_bits(void **state)
{
    (void)state;
    for (int t = 1; t <= SM_KEY_ED448; t++) {
        sm_buf spki = spki_of((enum sm_key_type)t);
        for (size_t i = 0; i < spki.len * 8; i++) {
            struct sm_public_key key;
            spki.ptr[i / 8] ^= (uint8_t)(1U << (i % 8));
            if (sm_ok(sm_public_key_parse(sm_buf_slice(&spki), &key, NULL))) {
                assert_int_equal(key.type, t);
                assert_true(i / 8 >= 12);
            }
            spki.ptr[i / 8] ^= (uint8_t)(1U << (i % 8));
        }
        sm_buf_deinit(&spki);
    }
}

static void pubkey__refuses_other_algorithms(void **state)
{
    (void)state;
    uint8_t zeros[65] = {4};
    sm_slice bits = sm_slice_of(zeros, sizeof(zeros));
    assert_sm_err(
        parse_bits(SM_LIT("\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x0a"),
                   bits),
        UNSUPPORTED); /* secp256k1 */
    assert_sm_err(parse_bits(SM_LIT("\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"), bits), UNSUPPORTED);
    assert_sm_err(parse_bits(SM_LIT("\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x05\x00"), bits),
                  UNSUPPORTED); /* implicitlyCA */
    assert_sm_err(parse_bits(SM_LIT("\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x30\x00"), bits),
                  UNSUPPORTED); /* explicit */
    assert_sm_err(parse_bits(SM_LIT("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"), bits),
                  UNSUPPORTED); /* RSA, no NULL */
    assert_sm_err(parse_bits(SM_LIT("\x06\x03\x2b\x65\x70\x05\x00"), bits), UNSUPPORTED);
    assert_sm_err(parse_bits(SM_LIT("\x06\x03\x2b\x65\x6e"), bits),
                  UNSUPPORTED); /* X25519 signs nothing */
    assert_sm_err(parse_bits(SM_LIT("\x06\x07\x2a\x86\x48\xce\x38\x04\x01"), bits),
                  UNSUPPORTED); /* DSA */
}

static void ec__refuses_forms_but_uncompressed(void **state)
{
    (void)state;
    uint8_t point[66] = {0};
    for (int form = 0; form < 256; form++) {
        point[0] = (uint8_t)form;
        sm_err err = parse_bits(P256_ALGORITHM, sm_slice_of(point, 65));
        assert_string_equal(sm_err_name(err), form == 4 ? "ok" : "unsupported");
    }
    point[0] = 2;
    assert_sm_err(parse_bits(P256_ALGORITHM, sm_slice_of(point, 33)), UNSUPPORTED);
    point[0] = 0;
    assert_sm_err(parse_bits(P256_ALGORITHM, sm_slice_of(point, 1)), UNSUPPORTED); /* infinity */
    assert_sm_err(parse_bits(P256_ALGORITHM, SM_LIT("")), MALFORMED);
    point[0] = 4;
    assert_sm_err(parse_bits(P256_ALGORITHM, sm_slice_of(point, 64)), MALFORMED);
    assert_sm_err(parse_bits(P256_ALGORITHM, sm_slice_of(point, 66)), MALFORMED);
    assert_sm_err(parse_bits(P256_ALGORITHM, sm_slice_of(point, 1)), MALFORMED);
}

/* ---- RSA ---- */

static sm_buf rsa_spki(const BIGNUM *n, const BIGNUM *e)
{
    uint8_t octets[600];
    sm_buf b = sm_buf_init(4096);
    sm_der_block seq = sm_der_begin(&b, SM_DER_SEQUENCE);
    sm_der_write_unsigned(&b, sm_slice_of(octets, (size_t)BN_bn2bin(n, octets)));
    sm_der_write_unsigned(&b, sm_slice_of(octets, (size_t)BN_bn2bin(e, octets)));
    sm_der_end(&b, seq);
    sm_buf spki = make_spki(RSA_ALGORITHM, sm_buf_slice(&b));
    sm_buf_deinit(&b);
    return spki;
}

static sm_err parse_rsa(const BIGNUM *n, const char *e_hex, const char *reason)
{
    BIGNUM *e = NULL;
    sm_diag diag;
    assert_true(BN_hex2bn(&e, e_hex) > 0);
    sm_err err = parse(rsa_spki(n, e), &diag);
    BN_free(e);
    if (!sm_ok(err) && reason != NULL && strstr(diag.reason, reason) == NULL) {
        print_error("%s\n", diag.reason);
        assert_non_null(strstr(diag.reason, reason));
    }
    return err;
}

static BIGNUM *good_modulus(void)
{
    BIGNUM *n = NULL;
    assert_true(EVP_PKEY_get_bn_param(sm_test_pkey(SM_KEY_RSA_2048), OSSL_PKEY_PARAM_RSA_N, &n));
    return n;
}

static void rsa__exponents_in_their_range(void **state)
{
    (void)state;
    BIGNUM *n = good_modulus();
    static const char *const good[] = {
        "10001",  "10003",   "020001",
        "ffffff", "1000001", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"};
    static const char *const bad[] = {
        "0",     "1",       "3",
        "11",    "ffff",    "10000",
        "10002", "1000000", "10000000000000000000000000000000000000000000000000000000000000001"};
    for (size_t i = 0; i < SM_ARRAY_LEN(good); i++) {
        assert_sm_ok(parse_rsa(n, good[i], NULL));
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_sm_err(parse_rsa(n, bad[i], "exponent"), POLICY);
    }
    BN_free(n);
}

static void rsa__sizes_are_exact(void **state)
{
    (void)state;
    BIGNUM *n = BN_new();
    static const int bits[] = {8, 1024, 2040, 2047, 2049, 2056, 3071, 4095, 4097, 4104};
    for (size_t i = 0; i < SM_ARRAY_LEN(bits); i++) {
        assert_true(BN_rand(n, bits[i], BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD));
        assert_sm_err(parse_rsa(n, "10001", "2048, 3072 or 4096"), UNSUPPORTED);
    }
    BN_zero(n);
    assert_sm_err(parse_rsa(n, "10001", "2048"), UNSUPPORTED);
    BN_free(n);
}

/* A random number of that many bits with n = residue mod m. */
static BIGNUM *number_with(int bits, const BIGNUM *m, const BIGNUM *residue, BN_CTX *ctx)
{
    BIGNUM *n = BN_new();
    BIGNUM *over = BN_new();
    do {
        assert_true(BN_rand(n, bits, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ANY));
        assert_true(BN_mod(over, n, m, ctx) && BN_sub(n, n, over) && BN_add(n, n, residue));
    } while (BN_num_bits(n) != bits || !BN_is_odd(n));
    BN_free(over);
    return n;
}

static void rsa__every_small_factor_is_found(void **state)
{
    (void)state;
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *m = BN_new();
    BIGNUM *zero = BN_new();
    for (unsigned p = 3; p < 752; p += 2) {
        bool prime = true;
        for (unsigned q = 3; q * q <= p; q += 2) {
            prime = prime && p % q != 0;
        }
        for (int bits = 2048; prime && bits <= 4096; bits += 1024) {
            assert_true(BN_set_word(m, p));
            BIGNUM *n = number_with(bits, m, zero, ctx);
            assert_sm_err(parse_rsa(n, "10001", "small factor"), POLICY);
            BN_free(n);
        }
    }
    BIGNUM *even = good_modulus();
    assert_true(BN_sub_word(even, 1));
    assert_sm_err(parse_rsa(even, "10001", "small factor"), POLICY);
    BN_free(even);
    BN_free(zero);
    BN_free(m);
    BN_CTX_free(ctx);
}

/* Judged as trial division by OpenSSL's numbers does. */
static void rsa__random_moduli_are_judged_right(void **state)
{
    (void)state;
    BIGNUM *n = BN_new();
    for (int i = 0; i < 3000; i++) {
        bool factor = false;
        assert_true(BN_rand(n, 2048 + 1024 * (i % 3), BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD));
        for (unsigned p = 3; p < 752; p += 2) {
            factor = factor || BN_mod_word(n, p) == 0;
        }
        assert_string_equal(sm_err_name(parse_rsa(n, "10001", NULL)), factor ? "policy" : "ok");
    }
    BN_free(n);
}

/* Moduli with 65537's powers for residues, as the library of CVE-2017-15361 made them. */
static void rsa__roca_is_found(void **state)
{
    (void)state;
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *m = BN_new();
    BIGNUM *residue = BN_new();
    BIGNUM *e = BN_new();
    BIGNUM *power = BN_new();
    assert_true(BN_set_word(m, 1) && BN_set_word(e, 65537));
    for (unsigned p = 3; p <= 167; p += 2) {
        bool prime = true;
        for (unsigned q = 3; q * q <= p; q += 2) {
            prime = prime && p % q != 0;
        }
        assert_true(!prime || BN_mul_word(m, p));
    }
    int found = 0;
    for (int i = 0; i < 60; i++) {
        assert_true(BN_rand(power, 200, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY));
        assert_true(BN_mod_exp(residue, e, power, m, ctx));
        BIGNUM *n = number_with(2048 + 1024 * (i % 3), m, residue, ctx);
        bool factor = false; /* between 167 and 752: refused for that */
        for (unsigned p = 169; p < 752; p += 2) {
            factor = factor || BN_mod_word(n, p) == 0;
        }
        assert_sm_err(parse_rsa(n, "10001", factor ? "small factor" : "ROCA"), POLICY);
        found += !factor;
        BN_free(n);
    }
    assert_true(found > 10);
    BN_free(power);
    BN_free(e);
    BN_free(residue);
    BN_free(m);
    BN_CTX_free(ctx);
}

static void rsa__refuses_bad_der_inside(void **state)
{
    (void)state;
    assert_sm_err(parse_bits(RSA_ALGORITHM, SM_LIT("")), TRUNCATED);
    assert_sm_err(parse_bits(RSA_ALGORITHM, SM_LIT("\x30\x00")), TRUNCATED);
    assert_sm_err(parse_bits(RSA_ALGORITHM, SM_LIT("\x30\x06\x02\x01\xff\x02\x01\x03")),
                  MALFORMED); /* negative */
    assert_sm_err(parse_bits(RSA_ALGORITHM, SM_LIT("\x30\x07\x02\x02\x00\x01\x02\x01\x03")),
                  MALFORMED);
    assert_sm_err(parse_bits(RSA_ALGORITHM, SM_LIT("\x30\x08\x02\x01\x01\x02\x01\x03\x05\x00")),
                  MALFORMED);
    assert_sm_err(parse_bits(RSA_ALGORITHM, SM_LIT("\x30\x06\x02\x01\x01\x02\x01\x03\x05\x00")),
                  MALFORMED);
}

/* ---- Edwards ---- */

static void ed25519__refuses_weak_points(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p - 1 */
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p */
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p + 1 */
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        uint8_t *y = OPENSSL_hexstr2buf(bad[i], NULL);
        assert_sm_err(parse_bits(ED25519_ALGORITHM, sm_slice_of(y, 32)), POLICY);
        y[31] ^= 0x80; /* the other sign */
        assert_sm_err(parse_bits(ED25519_ALGORITHM, sm_slice_of(y, 32)), POLICY);
        OPENSSL_free(y);
    }
    uint8_t y[33] = {2};
    assert_sm_ok(parse_bits(ED25519_ALGORITHM, sm_slice_of(y, 32)));
    memset(y, 0xff, sizeof(y));
    y[0] = 0xeb; /* p - 2 */
    y[31] = 0x7f;
    assert_sm_ok(parse_bits(ED25519_ALGORITHM, sm_slice_of(y, 32)));
    assert_sm_err(parse_bits(ED25519_ALGORITHM, sm_slice_of(y, 31)), MALFORMED);
    assert_sm_err(parse_bits(ED25519_ALGORITHM, sm_slice_of(y, 33)), MALFORMED);
}

static void ed448__refuses_weak_points(void **state)
{
    (void)state;
    uint8_t y[58] = {0};
    assert_sm_err(parse_bits(ED448_ALGORITHM, sm_slice_of(y, 57)), POLICY); /* 0 */
    y[0] = 1;
    assert_sm_err(parse_bits(ED448_ALGORITHM, sm_slice_of(y, 57)), POLICY);
    y[56] = 0x80;
    assert_sm_err(parse_bits(ED448_ALGORITHM, sm_slice_of(y, 57)), POLICY);
    y[0] = 2;
    assert_sm_ok(parse_bits(ED448_ALGORITHM, sm_slice_of(y, 57)));
    y[56] = 0x01; /* over 2^448 */
    assert_sm_err(parse_bits(ED448_ALGORITHM, sm_slice_of(y, 57)), POLICY);
    memset(y, 0xff, 56);
    y[56] = 0;
    y[28] = 0xfe; /* p = 2^448 - 2^224 - 1 */
    for (int below = -1; below < 3; below++) {
        y[0] = (uint8_t)(0xff - (below < 0 ? 0 : below));
        y[28] = below < 0 ? 0xff : 0xfe;
        sm_err err = parse_bits(ED448_ALGORITHM, sm_slice_of(y, 57));
        assert_string_equal(sm_err_name(err), below < 2 ? "policy" : "ok");
    }
    assert_sm_err(parse_bits(ED448_ALGORITHM, sm_slice_of(y, 56)), MALFORMED);
}

static int drop_keys(void **state)
{
    (void)state;
    sm_test_keys_free();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pubkey__takes_every_type_from_openssl),
        cmocka_unit_test(pubkey__gives_the_numbers),
        cmocka_unit_test(pubkey__refuses_cuts_and_trailing_octets),
        cmocka_unit_test(pubkey__survives_flipped_bits),
        cmocka_unit_test(pubkey__refuses_other_algorithms),
        cmocka_unit_test(ec__refuses_forms_but_uncompressed),
        cmocka_unit_test(rsa__exponents_in_their_range),
        cmocka_unit_test(rsa__sizes_are_exact),
        cmocka_unit_test(rsa__every_small_factor_is_found),
        cmocka_unit_test(rsa__random_moduli_are_judged_right),
        cmocka_unit_test(rsa__roca_is_found),
        cmocka_unit_test(rsa__refuses_bad_der_inside),
        cmocka_unit_test(ed25519__refuses_weak_points),
        cmocka_unit_test(ed448__refuses_weak_points),
    };
    return cmocka_run_group_tests(tests, NULL, drop_keys);
}
