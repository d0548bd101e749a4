/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/curve.h"

#include "base/check.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>

static const struct sm_curve curves[] = {
    {SM_KEY_P256, NID_X9_62_prime256v1, 32, 4, 256, {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00,
                                                     0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                     0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
                                                     0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2,
                                                     0xfc, 0x63, 0x25, 0x51}},
    {SM_KEY_P384, NID_secp384r1, 48, 6, 384, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                              0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                              0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                              0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
                                              0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a,
                                              0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73}},
    {SM_KEY_P521, NID_secp521r1, 66, 9, 521, {0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                              0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                              0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                              0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 0x51, 0x86,
                                              0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01,
                                              0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8,
                                              0x89, 0x9c, 0x47, 0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91,
                                              0x38, 0x64, 0x09}},
};

const struct sm_curve *sm_curve_of(enum sm_key_type type)
{
    unsigned at = (unsigned)type - SM_KEY_P256;
    return at < SM_ARRAY_LEN(curves) ? &curves[at] : NULL;
}

void sm_words_from_octets(uint64_t *out, size_t words, sm_slice in)
{
    SM_CHECK(in.len <= words * 8);
    memset(out, 0, words * 8);
    for (size_t i = 0; i < in.len; i++) {
        out[i / 8] |= (uint64_t)in.ptr[in.len - 1 - i] << (i % 8 * 8);
    }
}

/* The field's prime and what a check needs, b in Montgomery form. */
static _Thread_local struct field {
    BN_CTX *ctx;
    BN_MONT_CTX *mont;
    BIGNUM *p, *b;
    BIGNUM *x, *y, *left, *right;
} fields[SM_ARRAY_LEN(curves)];

static void free_field(struct field *f)
{
    BN_CTX_free(f->ctx);
    BN_MONT_CTX_free(f->mont);
    BN_free(f->p);
    BN_free(f->b);
    BN_free(f->x);
    BN_free(f->y);
    BN_free(f->left);
    BN_free(f->right);
    *f = (struct field){0};
}

void sm_curve_forget(void)
{
    for (size_t i = 0; i < SM_ARRAY_LEN(curves); i++) {
        free_field(&fields[i]);
    }
}

static bool make_field(struct field *f, int nid)
{
    *f = (struct field){BN_CTX_new(), BN_MONT_CTX_new(), BN_new(), BN_new(),
                        BN_new(),     BN_new(),          BN_new(), BN_new()};
    EC_GROUP *group = EC_GROUP_new_by_curve_name(nid);
    bool good = f->ctx != NULL && f->mont != NULL && f->p != NULL && f->b != NULL && f->x != NULL &&
                f->y != NULL && f->left != NULL && f->right != NULL && group != NULL &&
                EC_GROUP_get_curve(group, f->p, f->x, f->b, f->ctx) &&
                BN_MONT_CTX_set(f->mont, f->p, f->ctx) &&
                BN_to_montgomery(f->b, f->b, f->mont, f->ctx);
    EC_GROUP_free(group);
    if (!good) {
        free_field(f);
    }
    return good;
}

/* y^2 and x^3 - 3x + b, both in Montgomery form. False: out of memory. */
static bool both_sides(const struct field *f)
{
    return BN_to_montgomery(f->x, f->x, f->mont, f->ctx) &&
           BN_to_montgomery(f->y, f->y, f->mont, f->ctx) &&
           BN_mod_mul_montgomery(f->left, f->y, f->y, f->mont, f->ctx) &&
           BN_mod_mul_montgomery(f->right, f->x, f->x, f->mont, f->ctx) &&
           BN_mod_mul_montgomery(f->right, f->right, f->x, f->mont, f->ctx) &&
           BN_mod_lshift1_quick(f->y, f->x, f->p) && BN_mod_add_quick(f->y, f->y, f->x, f->p) &&
           BN_mod_sub_quick(f->right, f->right, f->y, f->p) &&
           BN_mod_add_quick(f->right, f->right, f->b, f->p);
}

sm_err sm_curve_holds(const struct sm_curve *curve, sm_slice x, sm_slice y)
{
    struct field *f = &fields[curve - curves];
    if (f->p == NULL && !make_field(f, curve->nid)) {
        return SM_ERR(NO_MEMORY);
    }
    if (BN_bin2bn(x.ptr, (int)x.len, f->x) == NULL || BN_bin2bn(y.ptr, (int)y.len, f->y) == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    /* Coordinates that are not reduced would be a second encoding of the same point. */
    if (BN_cmp(f->x, f->p) >= 0 || BN_cmp(f->y, f->p) >= 0) {
        return SM_ERR(BAD_SIGNATURE);
    }
    if (!both_sides(f)) {
        return SM_ERR(NO_MEMORY);
    }
    return BN_cmp(f->left, f->right) == 0 ? SM_NO_ERR : SM_ERR(BAD_SIGNATURE);
}
