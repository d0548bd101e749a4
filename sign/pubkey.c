/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/pubkey.h"

#include "base/check.h"
#include "sign/der.h"
#include "sign/pubkey_p.h"

/* AlgorithmIdentifier contents of the key types that have one fixed form. */
struct spki_row {
    enum sm_key_type type;
    sm_slice algorithm;
    size_t bits_len; /* octets of the subjectPublicKey */
};

#define DER(s)                              \
    {                                       \
        (const uint8_t *)(s), sizeof(s) - 1 \
    }
#define EC_OID "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"

static const struct spki_row rows[] = {
    {SM_KEY_P256, DER(EC_OID "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"), 65},
    {SM_KEY_P384, DER(EC_OID "\x06\x05\x2b\x81\x04\x00\x22"), 97},
    {SM_KEY_P521, DER(EC_OID "\x06\x05\x2b\x81\x04\x00\x23"), 133},
    {SM_KEY_ED25519, DER("\x06\x03\x2b\x65\x70"), 32},
    {SM_KEY_ED448, DER("\x06\x03\x2b\x65\x71"), 57},
    {SM_KEY_ML_DSA_44, DER("\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11"), 1312},
    {SM_KEY_ML_DSA_65, DER("\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12"), 1952},
    {SM_KEY_ML_DSA_87, DER("\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13"), 2592},
};

static const sm_slice rsa_algorithm = DER("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00");

sm_slice sm_public_key_algorithm(enum sm_key_type type)
{
    if (type == SM_KEY_RSA_2048 || type == SM_KEY_RSA_3072 || type == SM_KEY_RSA_4096) {
        return rsa_algorithm;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].type == type) {
            return rows[i].algorithm;
        }
    }
    return SM_SLICE_NONE;
}

static enum sm_key_type rsa_type(size_t octets)
{
    switch (octets) {
    case 256:
        return SM_KEY_RSA_2048;
    case 384:
        return SM_KEY_RSA_3072;
    case 512:
        return SM_KEY_RSA_4096;
    default:
        return SM_KEY_NONE;
    }
}

static sm_err refuse_if_weak(const char *weakness, sm_diag *diag)
{
    return weakness == NULL ? SM_NO_ERR
                            : sm_diag_set(diag, SM_ERR(POLICY), "csr.key", "%s", weakness);
}

static sm_err parse_rsa(struct sm_public_key *key, sm_diag *diag)
{
    sm_der d = sm_der_init(key->bits);
    sm_der seq = sm_der_enter(&d, SM_DER_SEQUENCE);
    key->modulus = sm_der_read_unsigned(&seq);
    key->exponent = sm_der_read_unsigned(&seq);
    sm_der_leave(&d, &seq);
    sm_err err = sm_der_finish(&d);
    if (!sm_ok(err)) {
        return sm_diag_set(diag, err, "csr.key", "the RSAPublicKey is not well-formed DER");
    }
    key->type = rsa_type(key->modulus.len);
    if (key->type == SM_KEY_NONE || key->modulus.ptr[0] < 0x80) {
        return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "csr.key",
                           "RSA moduli must have exactly 2048, 3072 or 4096 bits");
    }
    sm_slice e = key->exponent;
    /* BR 6.1.6: odd, 2^16 + 1 to 2^256 - 1. Three octets and odd is 65537 at least. */
    if (e.len < 3 || e.len > 32 || (e.ptr[e.len - 1] & 1) == 0) {
        return sm_diag_set(diag, SM_ERR(POLICY), "csr.key",
                           "the RSA exponent must be odd and between 65537 and 2^256");
    }
    return refuse_if_weak(sm_rsa_weakness(key->modulus), diag);
}

static sm_err parse_fixed(struct sm_public_key *key, const struct spki_row *row, sm_diag *diag)
{
    bool is_ec = row->type <= SM_KEY_P521;
    /* RFC 5480 2.2 lets one refuse the compressed form; hybrid forms are not allowed at all. */
    if (is_ec && key->bits.len > 0 && key->bits.ptr[0] != 4) {
        return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "csr.key",
                           "EC points must be uncompressed (RFC 5480 2.2)");
    }
    if (key->bits.len != row->bits_len) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), "csr.key",
                           "a %s public key has %zu octets, this one %zu",
                           sm_key_type_name(row->type), row->bits_len, key->bits.len);
    }
    key->type = row->type;
    if (is_ec) {
        size_t field = (row->bits_len - 1) / 2;
        key->x = sm_slice_of(key->bits.ptr + 1, field);
        key->y = sm_slice_of(key->bits.ptr + 1 + field, field);
    }
    if (row->type == SM_KEY_ED25519 || row->type == SM_KEY_ED448) {
        return refuse_if_weak(sm_edwards_weakness(key->bits), diag);
    }
    return SM_NO_ERR;
}

static sm_err parse_by_algorithm(struct sm_public_key *key, sm_slice algorithm, sm_diag *diag)
{
    for (size_t i = 0; i < SM_ARRAY_LEN(rows); i++) {
        if (sm_slice_equal(algorithm, rows[i].algorithm)) {
            return parse_fixed(key, &rows[i], diag);
        }
    }
    if (sm_slice_equal(algorithm, rsa_algorithm)) {
        return parse_rsa(key, diag);
    }
    return sm_diag_set(
        diag, SM_ERR(UNSUPPORTED), "csr.key",
        "the key's algorithm is not one of EC P-256/384/521 (named curve), RSA, Ed25519, "
        "Ed448, ML-DSA");
}

sm_err sm_public_key_parse(sm_slice spki, struct sm_public_key *out, sm_diag *diag)
{
    struct sm_public_key key = {.spki = spki};
    sm_der d = sm_der_init(spki);
    sm_der seq = sm_der_enter(&d, SM_DER_SEQUENCE);
    sm_slice algorithm = sm_der_read(&seq, SM_DER_SEQUENCE);
    key.bits = sm_der_read_bits(&seq);
    sm_der_leave(&d, &seq);
    sm_err err = sm_der_finish(&d);
    if (!sm_ok(err)) {
        return sm_diag_set(diag, err, "csr.key", "the SubjectPublicKeyInfo is not well-formed DER");
    }
    SM_TRY(parse_by_algorithm(&key, algorithm, diag));
    *out = key;
    return SM_NO_ERR;
}

sm_err sm_public_key_id(const struct sm_public_key *key, uint8_t out[20])
{
    return sm_sha1(key->bits, out);
}
