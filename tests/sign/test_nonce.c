/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 6979 appendix A.1.2 and A.2.5 to A.2.7, hedging, and the hash under them. */
#include "tests/sign/keys.h"

#include "base/text.h"
#include "sign/backend_mb_p.h"
#include "sign/key_p.h"
#include "sign/nonce.h"
#include "sign/sha.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>

#define P256_X "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"
#define P384_X                                                                                     \
    "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2" \
    "EDF5"
#define P521_X                                                                                     \
    "00FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75CAA896EB32F1F47C70855836A6D1" \
    "6FCC1466F6D8"                                                                                 \
    "FBEC67DB89EC0C08B0E996B83538"

struct vector {
    enum sm_key_type type;
    enum sm_digest digest;
    const char *message;
    const char *x;
    const char *k;
    const char *r; /* NULL: the nonce alone */
    const char *s;
};

static const struct vector vectors[] = {
    {SM_KEY_P256, SM_SHA256, "sample", P256_X,
     "A6E3C57DD01ABE90086538398355DD4C3B17AA873382B0F24D6129493D8AAD60",
     "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
     "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"},
    {SM_KEY_P256, SM_SHA384, "sample", P256_X,
     "09F634B188CEFD98E7EC88B1AA9852D734D0BC272F7D2A47DECC6EBEB375AAD4",
     "0EAFEA039B20E9B42309FB1D89E213057CBF973DC0CFC8F129EDDDC800EF7719",
     "4861F0491E6998B9455193E34E7B0D284DDD7149A74B95B9261F13ABDE940954"},
    {SM_KEY_P256, SM_SHA512, "sample", P256_X,
     "5FA81C63109BADB88C1F367B47DA606DA28CAD69AA22C4FE6AD7DF73A7173AA5",
     "8496A60B5E9B47C825488827E0495B0E3FA109EC4568FD3F8D1097678EB97F00",
     "2362AB1ADBE2B8ADF9CB9EDAB740EA6049C028114F2460F96554F61FAE3302FE"},
    {SM_KEY_P256, SM_SHA256, "test", P256_X,
     "D16B6AE827F17175E040871A1C7EC3500192C4C92677336EC2537ACAEE0008E0",
     "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
     "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083"},
    {SM_KEY_P384, SM_SHA256, "sample", P384_X,
     "180AE9F9AEC5438A44BC159A1FCB277C7BE54FA20E7CF404B490650A8ACC414E375572342863C899F9F2EDF9747A9"
     "B60",
     "21B13D1E013C7FA1392D03C5F99AF8B30C570C6F98D4EA8E354B63A21D3DAA33BDE1E888E63355D92FA2B3C36D8FB"
     "2CD",
     "F3AA443FB107745BF4BD77CB3891674632068A10CA67E3D45DB2266FA7D1FEEBEFDC63ECCD1AC42EC0CB8668A4FA0"
     "AB0"},
    {SM_KEY_P384, SM_SHA384, "sample", P384_X,
     "94ED910D1A099DAD3254E9242AE85ABDE4BA15168EAF0CA87A555FD56D10FBCA2907E3E83BA95368623B8C4686915"
     "CF9",
     "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FAB"
     "E46",
     "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628"
     "AC8"},
    {SM_KEY_P384, SM_SHA512, "sample", P384_X,
     "92FC3C7183A883E24216D1141F1A8976C5B0DD797DFA597E3D7B32198BD35331A4E966532593A52980D0E3AAA5E10"
     "EC3",
     "ED0959D5880AB2D869AE7F6C2915C6D60F96507F9CB3E047C0046861DA4A799CFE30F35CC900056D7C99CD7882433"
     "709",
     "512C8CCEEE3890A84058CE1E22DBC2198F42323CE8ACA9135329F03C068E5112DC7CC3EF3446DEFCEB01A45C2667F"
     "DD5"},
    {SM_KEY_P384, SM_SHA256, "test", P384_X,
     "0CFAC37587532347DC3389FDC98286BBA8C73807285B184C83E62E26C401C0FAA48DD070BA79921A3457ABFF2D630"
     "AD7",
     "6D6DEFAC9AB64DABAFE36C6BF510352A4CC27001263638E5B16D9BB51D451559F918EEDAF2293BE5B475CC8F01886"
     "36B",
     "2D46F3BECBCC523D5F1A1256BF0C9B024D879BA9E838144C8BA6BAEB4B53B47D51AB373F9845C0514EEFB14024787"
     "265"},
    {SM_KEY_P384, SM_SHA384, "test", P384_X,
     "015EE46A5BF88773ED9123A5AB0807962D193719503C527B031B4C2D225092ADA71F4A459BC0DA98ADB95837DB831"
     "2EA",
     "8203B63D3C853E8D77227FB377BCF7B7B772E97892A80F36AB775D509D7A5FEB0542A7F0812998DA8F1DD3CA3CF02"
     "3DB",
     "DDD0760448D42D8A43AF45AF836FCE4DE8BE06B485E9B61B827C2F13173923E06A739F040649A667BF3B828246BAA"
     "5A5"},
    {SM_KEY_P384, SM_SHA512, "test", P384_X,
     "3780C4F67CB15518B6ACAE34C9F83568D2E12E47DEAB6C50A4E4EE5319D1E8CE0E2CC8A136036DC4B9C00E6888F66"
     "B6C",
     "A0D5D090C9980FAF3C2CE57B7AE951D31977DD11C775D314AF55F76C676447D06FB6495CD21B4B6E340FC236584FB"
     "277",
     "976984E59B4C77B0E8E4460DCA3D9F20E07B9BB1F63BEEFAF576F6B2E8B224634A2092CD3792E0159AD9CEE37659C"
     "736"},
    {SM_KEY_P521, SM_SHA512, "sample", P521_X,
     "01DAE2EA071F8110DC26882D4D5EAE0621A3256FC8847FB9022E2B7D28E6F10198B1574FDD03A9053C08A1854A168"
     "AA5A57470EC97D"
     "D5CE090124EF52A2F7ECBFFD3",
     NULL, NULL},
};

static void unhex(const char *hex, uint8_t *out, size_t len)
{
    sm_buf b = sm_buf_init(256);
    assert_sm_ok(sm_hex_decode(&b, sm_slice_str(hex), false));
    assert_int_equal(b.len, len);
    memcpy(out, b.ptr, len);
    sm_buf_deinit(&b);
}

static void nonce__rfc6979_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < SM_ARRAY_LEN(vectors); i++) {
        const struct vector *v = &vectors[i];
        const struct sm_curve *curve = sm_curve_of(v->type);
        uint8_t x[SM_CURVE_OCTETS];
        uint8_t k[SM_CURVE_OCTETS];
        uint8_t made[SM_CURVE_OCTETS];
        uint8_t digest[SM_DIGEST_MAX];
        unhex(v->x, x, curve->octets);
        unhex(v->k, k, curve->octets);
        assert_sm_ok(sm_digest_compute(v->digest, sm_slice_str(v->message), digest));
        sm_nonce_make(curve, v->digest, x, sm_slice_of(digest, sm_digest_size(v->digest)),
                      SM_SLICE_NONE, made);
        assert_memory_equal(made, k, curve->octets);
    }
}

/* A key from its private number. */
static sm_key *import(const struct sm_curve *curve, const char *hex)
{
    uint8_t x[SM_CURVE_OCTETS];
    uint8_t point[1 + 2 * SM_CURVE_OCTETS];
    unhex(hex, x, curve->octets);
    BIGNUM *d = BN_bin2bn(x, (int)curve->octets, NULL);
    EC_GROUP *group = EC_GROUP_new_by_curve_name(curve->nid);
    EC_POINT *q = EC_POINT_new(group);
    assert_true(EC_POINT_mul(group, q, d, NULL, NULL, NULL));
    size_t len = EC_POINT_point2oct(group, q, POINT_CONVERSION_UNCOMPRESSED, point, sizeof(point),
                                    NULL);
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    const char *name = curve->type == SM_KEY_P256 ? "P-256" : "P-384";
    assert_true(OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, name, 0) &&
                OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, d) &&
                OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, len));
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *pkey = NULL;
    assert_true(EVP_PKEY_fromdata_init(ctx) > 0 &&
                EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) > 0);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(b);
    EC_POINT_free(q);
    EC_GROUP_free(group);
    BN_free(d);
    sm_key *key;
    assert_sm_ok(sm_key_wrap(pkey, NULL, &key));
    return key;
}

/* Multi-buffer in deterministic mode gives the RFC's signatures, in each of its lanes. */
static void sign__rfc6979_vectors(void **state)
{
    (void)state;
#ifdef SM_HAVE_CRYPTO_MB
    if (!sm_backend_mb.applicable(SM_CRYPT_SIGN, SM_KEY_P256)) {
        print_message("[ SKIPPED ] the processor has no AVX-512 IFMA\n");
        skip();
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(vectors) && vectors[i].r != NULL; i++) {
        const struct vector *v = &vectors[i];
        const struct sm_curve *curve = sm_curve_of(v->type);
        struct batch b;
        uint8_t r[SM_CURVE_OCTETS];
        uint8_t s[SM_CURVE_OCTETS];
        uint8_t der[160];
        sm_key *key = import(curve, v->x);
        unhex(v->r, r, curve->octets);
        unhex(v->s, s, curve->octets);
        size_t len = sm_ecdsa_join(r, s, curve->octets, der);
        batch_sign(&b, SM_BACKEND_LANES, v->type, sm_sig_alg_for(v->type, v->digest, false));
        for (size_t j = 0; j < SM_BACKEND_LANES; j++) {
            b.jobs[j].key = key;
            b.jobs[j].message = sm_slice_str(v->message);
        }
        sm_mb_ecdsa_sign(b.list, SM_BACKEND_LANES, SM_MB_DETERMINISTIC);
        for (size_t j = 0; j < SM_BACKEND_LANES; j++) {
            assert_sm_ok(b.jobs[j].err);
            assert_int_equal(b.jobs[j].out_len, len);
            assert_memory_equal(b.signatures[j], der, len);
        }
        sm_key_detach(&key);
    }
#else
    print_message("[ SKIPPED ] built without crypto_mb\n");
    skip();
#endif
}

/* RFC 6979 A.1.2, on a curve of 163 bits: the first two candidates are not below the order. */
static void nonce__rfc6979_vector_with_rejections(void **state)
{
    (void)state;
    struct sm_curve k163 = {.octets = 21, .words = 3, .bits = 163};
    uint8_t x[21];
    uint8_t k[21];
    uint8_t made[21];
    uint8_t digest[SM_DIGEST_MAX];
    unhex("04000000000000000000020108A2E0CC0D99F8A5EF", k163.order, 21);
    unhex("009A4D6792295A7F730FC3F2B49CBC0F62E862272F", x, 21);
    unhex("023AF4074C90A02B3FE61D286D5C87F425E6BDD81B", k, 21);
    assert_sm_ok(sm_digest_compute(SM_SHA256, SM_LIT("sample"), digest));
    sm_nonce_make(&k163, SM_SHA256, x, sm_slice_of(digest, 32), SM_SLICE_NONE, made);
    assert_memory_equal(made, k, 21);
}

/* An order of eight bits: zero, the order and what is above come up in every second draw, and are
 * never given out; what is given out is about equally frequent: 8256 draws put 64 of each, and one
 * of them outside of +-48, 6 sigma, once in 4e6. */
static void nonce__is_never_out_of_range(void **state)
{
    (void)state;
    enum { ORDER = 130, DRAWS = 64 * (ORDER - 1) };
    static const struct sm_curve tiny = {.octets = 1, .words = 1, .bits = 8, .order = {ORDER}};
    unsigned count[256] = {0};
    const uint8_t x = 7;
    for (unsigned i = 0; i < DRAWS; i++) {
        uint8_t made;
        const uint8_t extra[2] = {(uint8_t)i, (uint8_t)(i >> 8)};
        sm_nonce_make(&tiny, SM_SHA256, &x, SM_LIT("d"), sm_slice_of(extra, 2), &made);
        count[made]++;
    }
    for (unsigned i = 0; i < 256; i++) {
        if (i == 0 || i >= ORDER) {
            assert_int_equal(count[i], 0);
        } else {
            assert_in_range(count[i], 64 - 48, 64 + 48);
        }
    }
}

static void nonce__hedged_differs_each_time(void **state)
{
    (void)state;
    for (enum sm_key_type type = SM_KEY_P256; type <= SM_KEY_P521; type++) {
        const struct sm_curve *curve = sm_curve_of(type);
        uint8_t x[SM_CURVE_OCTETS] = {0};
        uint8_t made[32][SM_CURVE_OCTETS];
        const uint8_t digest[32] = {7};
        x[curve->octets - 1] = 3;
        for (size_t i = 0; i < 32; i++) {
            sm_nonce_make_hedged(curve, SM_SHA256, x, sm_slice_of(digest, 32), made[i]);
            assert_true(memcmp(made[i], curve->order, curve->octets) < 0);
            for (size_t j = 0; j < i; j++) {
                assert_memory_not_equal(made[i], made[j], curve->octets);
            }
        }
    }
}

static void nonce__depends_on_every_input(void **state)
{
    (void)state;
    const struct sm_curve *curve = sm_curve_of(SM_KEY_P256);
    uint8_t x[32] = {1};
    uint8_t digest[32] = {2};
    uint8_t extra[32] = {3};
    uint8_t first[32];
    uint8_t other[32];
    sm_nonce_make(curve, SM_SHA256, x, sm_slice_of(digest, 32), sm_slice_of(extra, 32), first);
    sm_nonce_make(curve, SM_SHA256, x, sm_slice_of(digest, 32), sm_slice_of(extra, 32), other);
    assert_memory_equal(first, other, 32);
    uint8_t *const inputs[] = {x, digest, extra};
    for (size_t i = 0; i < 3; i++) {
        inputs[i][31] ^= 1;
        sm_nonce_make(curve, SM_SHA256, x, sm_slice_of(digest, 32), sm_slice_of(extra, 32), other);
        assert_memory_not_equal(first, other, 32);
        inputs[i][31] ^= 1;
    }
}

/* Each bit of a nonce is set about half the time: 4096 draws put a fair bit outside of +-6 sigma
 * (192) once in 5e8. */
static void nonce__has_no_biased_bit(void **state)
{
    (void)state;
    enum { DRAWS = 4096 };
    for (enum sm_key_type type = SM_KEY_P256; type <= SM_KEY_P521; type += 2) {
        const struct sm_curve *curve = sm_curve_of(type);
        unsigned ones[SM_CURVE_OCTETS * 8] = {0};
        uint8_t x[SM_CURVE_OCTETS] = {0, 5};
        uint8_t digest[32] = {0};
        uint8_t made[SM_CURVE_OCTETS];
        for (unsigned i = 0; i < DRAWS; i++) {
            digest[0] = (uint8_t)i;
            digest[1] = (uint8_t)(i >> 8);
            sm_nonce_make(curve, SM_SHA256, x, sm_slice_of(digest, 32), SM_SLICE_NONE, made);
            for (unsigned bit = 0; bit < curve->bits; bit++) {
                ones[bit] += (unsigned)made[curve->octets - 1 - bit / 8] >> (bit % 8) & 1U;
            }
        }
        for (unsigned bit = 0; bit < curve->bits; bit++) {
            assert_in_range(ones[bit], DRAWS / 2 - 192, DRAWS / 2 + 192);
        }
    }
}

static void curve_digest__cuts_pads_and_reduces(void **state)
{
    (void)state;
    uint8_t ones[64];
    uint8_t out[SM_CURVE_OCTETS];
    uint8_t zeros[SM_CURVE_OCTETS] = {0};
    memset(ones, 0xff, sizeof(ones));
    const struct sm_curve *p256 = sm_curve_of(SM_KEY_P256);
    sm_curve_digest(p256, sm_slice_of(p256->order, 32), out);
    assert_memory_equal(out, zeros, 32);
    sm_curve_digest(p256, sm_slice_of(ones, 64), out); /* 2^256 - 1 - n */
    assert_true(memcmp(out, p256->order, 32) < 0);
    assert_int_equal(out[31], 0xff - p256->order[31]);
    const struct sm_curve *p521 = sm_curve_of(SM_KEY_P521);
    sm_curve_digest(p521, sm_slice_of(ones, 64), out);
    assert_memory_equal(out, zeros, 2);
    assert_memory_equal(out + 2, ones, 64);
    const struct sm_curve *p384 = sm_curve_of(SM_KEY_P384);
    sm_curve_digest(p384, sm_slice_of(ones, 32), out);
    assert_memory_equal(out, zeros, 16);
    assert_memory_equal(out + 16, ones, 32);
}

static void hmac__agrees_with_openssl(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "SHA256", "SHA384", "SHA512"};
    uint8_t key[SM_DIGEST_MAX];
    uint8_t data[300];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 7);
        key[i % sizeof(key)] = (uint8_t)(i * 11);
    }
    for (enum sm_digest d = SM_SHA256; d < SM_DIGEST_COUNT; d++) {
        for (size_t len = 0; len < sizeof(data); len += 37) {
            struct sm_hmac h;
            uint8_t mine[SM_DIGEST_MAX];
            uint8_t right[SM_DIGEST_MAX];
            size_t right_len;
            sm_hmac_begin(&h, d, key);
            sm_hmac_add(&h, data, len / 2);
            sm_hmac_add(&h, data + len / 2, len - len / 2);
            sm_hmac_end(&h, mine);
            assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, names[d], NULL, key, sm_digest_size(d),
                                      data, len, right, sizeof(right), &right_len));
            assert_int_equal(right_len, sm_digest_size(d));
            assert_memory_equal(mine, right, right_len);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nonce__rfc6979_vectors),
        cmocka_unit_test(sign__rfc6979_vectors),
        cmocka_unit_test(nonce__rfc6979_vector_with_rejections),
        cmocka_unit_test(nonce__is_never_out_of_range),
        cmocka_unit_test(nonce__hedged_differs_each_time),
        cmocka_unit_test(nonce__depends_on_every_input),
        cmocka_unit_test(nonce__has_no_biased_bit),
        cmocka_unit_test(curve_digest__cuts_pads_and_reduces),
        cmocka_unit_test(hmac__agrees_with_openssl),
    };
    return cmocka_run_group_tests(tests, NULL, drop_keys);
}
