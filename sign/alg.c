/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/alg.h"

#include "base/check.h"
#include "sign/der.h"

static const char *const key_names[SM_KEY_TYPE_COUNT] = {
    "none",     "P-256",   "P-384", "P-521",     "RSA-2048",  "RSA-3072",
    "RSA-4096", "Ed25519", "Ed448", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87",
};

const char *sm_key_type_name(enum sm_key_type type)
{
    return (unsigned)type < SM_KEY_TYPE_COUNT ? key_names[type] : "none";
}

static bool is_word_char(uint8_t c)
{
    return c != '-' && c != '_' && c != ' ';
}

static uint8_t lower(uint8_t c)
{
    return (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* Equal but for case and separators: "ec-p256", "EC_P256" and "P-256" all name one type. */
static bool same_word(sm_slice text, const char *name)
{
    size_t at = 0;
    for (; *name != '\0'; name++) {
        if (!is_word_char((uint8_t)*name)) {
            continue;
        }
        while (at < text.len && !is_word_char(text.ptr[at])) {
            at++;
        }
        if (at == text.len || lower(text.ptr[at++]) != lower((uint8_t)*name)) {
            return false;
        }
    }
    return at == text.len;
}

enum sm_key_type sm_key_type_parse(sm_slice text)
{
    if (sm_slice_equal_nocase(sm_slice_first(text, 3), SM_LIT("ec-")) ||
        sm_slice_equal_nocase(sm_slice_first(text, 3), SM_LIT("ec_"))) {
        text = sm_slice_from(text, 3);
    }
    for (int i = 1; i < SM_KEY_TYPE_COUNT; i++) {
        if (same_word(text, key_names[i])) {
            return (enum sm_key_type)i;
        }
    }
    return SM_KEY_NONE;
}

struct alg_row {
    const char *name;
    sm_slice identifier;
    enum sm_digest digest;
    enum sm_key_type from; /* the key types it fits, a range */
    enum sm_key_type to;
    bool pss;
};

#define HEADER 2 /* octets: every identifier below is shorter than 128 */

#define DER(s)                              \
    {                                       \
        (const uint8_t *)(s), sizeof(s) - 1 \
    }

/* RSASSA-PSS-params with this hash in both places and this salt (RFC 4055 3.1, RFC 5756). */
#define PSS(hash, salt)                                                                        \
    DER("\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f\x30\x0d\x06\x09" \
        "\x60\x86\x48\x01\x65\x03\x04\x02" hash                                                \
        "\x05\x00\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7"                                 \
        "\x0d\x01\x01\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02" hash                \
        "\x05\x00\xa2\x03\x02\x01" salt)

static const struct alg_row rows[SM_SIG_ALG_COUNT] = {
    [SM_SIG_ECDSA_SHA256] = {"ecdsa-sha256",
                             DER("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"), SM_SHA256,
                             SM_KEY_P256, SM_KEY_P521, false},
    [SM_SIG_ECDSA_SHA384] = {"ecdsa-sha384",
                             DER("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"), SM_SHA384,
                             SM_KEY_P256, SM_KEY_P521, false},
    [SM_SIG_ECDSA_SHA512] = {"ecdsa-sha512",
                             DER("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04"), SM_SHA512,
                             SM_KEY_P256, SM_KEY_P521, false},
    [SM_SIG_RSA_SHA256] = {"rsa-sha256",
                           DER("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"),
                           SM_SHA256, SM_KEY_RSA_2048, SM_KEY_RSA_4096, false},
    [SM_SIG_RSA_SHA384] = {"rsa-sha384",
                           DER("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00"),
                           SM_SHA384, SM_KEY_RSA_2048, SM_KEY_RSA_4096, false},
    [SM_SIG_RSA_SHA512] = {"rsa-sha512",
                           DER("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00"),
                           SM_SHA512, SM_KEY_RSA_2048, SM_KEY_RSA_4096, false},
    [SM_SIG_PSS_SHA256] = {"rsa-pss-sha256", PSS("\x01", "\x20"), SM_SHA256, SM_KEY_RSA_2048,
                           SM_KEY_RSA_4096, true},
    [SM_SIG_PSS_SHA384] = {"rsa-pss-sha384", PSS("\x02", "\x30"), SM_SHA384, SM_KEY_RSA_2048,
                           SM_KEY_RSA_4096, true},
    [SM_SIG_PSS_SHA512] = {"rsa-pss-sha512", PSS("\x03", "\x40"), SM_SHA512, SM_KEY_RSA_2048,
                           SM_KEY_RSA_4096, true},
    [SM_SIG_ED25519] = {"ed25519", DER("\x30\x05\x06\x03\x2b\x65\x70"), SM_DIGEST_NONE,
                        SM_KEY_ED25519, SM_KEY_ED25519, false},
    [SM_SIG_ED448] = {"ed448", DER("\x30\x05\x06\x03\x2b\x65\x71"), SM_DIGEST_NONE, SM_KEY_ED448,
                      SM_KEY_ED448, false},
    [SM_SIG_ML_DSA_44] = {"ml-dsa-44", DER("\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11"),
                          SM_DIGEST_NONE, SM_KEY_ML_DSA_44, SM_KEY_ML_DSA_44, false},
    [SM_SIG_ML_DSA_65] = {"ml-dsa-65", DER("\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12"),
                          SM_DIGEST_NONE, SM_KEY_ML_DSA_65, SM_KEY_ML_DSA_65, false},
    [SM_SIG_ML_DSA_87] = {"ml-dsa-87", DER("\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13"),
                          SM_DIGEST_NONE, SM_KEY_ML_DSA_87, SM_KEY_ML_DSA_87, false},
};

static const struct alg_row *row_of(enum sm_sig_alg alg)
{
    SM_CHECK(alg > SM_SIG_NONE && alg < SM_SIG_ALG_COUNT);
    return &rows[alg];
}

const char *sm_sig_alg_name(enum sm_sig_alg alg)
{
    return alg > SM_SIG_NONE && alg < SM_SIG_ALG_COUNT ? rows[alg].name : "none";
}

sm_slice sm_sig_alg_identifier(enum sm_sig_alg alg)
{
    return row_of(alg)->identifier;
}

/* RSA with parameters absent instead of NULL: some requesters do so, and RFC 4055 5 wants both
 * accepted. */
static bool is_rsa_without_null(sm_slice content, const struct alg_row *row)
{
    sm_slice with_null = sm_slice_from(row->identifier, HEADER);
    return row->from == SM_KEY_RSA_2048 && !row->pss && content.len + 2 == with_null.len &&
           memcmp(content.ptr, with_null.ptr, content.len) == 0;
}

/* A hash AlgorithmIdentifier; its parameters may be NULL or absent (RFC 4055 2.1). The OIDs of
 * SHA-256, 384 and 512 differ in their last octet. */
static enum sm_digest read_hash(sm_der *d)
{
    static const uint8_t sha2[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02};
    sm_der seq = sm_der_enter(d, SM_DER_SEQUENCE);
    sm_slice oid = sm_der_read_oid(&seq);
    sm_slice null = SM_SLICE_NONE;
    (void)sm_der_read_if(&seq, SM_DER_NULL, &null);
    if (null.len > 0) {
        sm_der_fail(&seq, SM_ERR(MALFORMED));
    }
    sm_der_leave(d, &seq);
    bool known = oid.len == sizeof(sha2) + 1 && memcmp(oid.ptr, sha2, sizeof(sha2)) == 0 &&
                 oid.ptr[sizeof(sha2)] >= 1 && oid.ptr[sizeof(sha2)] <= 3;
    return known ? (enum sm_digest)oid.ptr[sizeof(sha2)] : SM_DIGEST_NONE;
}

/* RSASSA-PSS-params (RFC 4055 3.1) field by field, for those who leave the NULLs of the hashes out.
 * The defaults are SHA-1, so that nothing but trailerField may be absent, and that must be
 * (X.690 11.5). */
static sm_err parse_pss(sm_der *d, enum sm_sig_alg *out)
{
    static const sm_slice mgf1 = DER("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08");
    sm_der params = sm_der_enter(d, SM_DER_SEQUENCE);
    sm_der hash = sm_der_enter(&params, SM_DER_CTX_CONS(0));
    enum sm_digest digest = read_hash(&hash);
    sm_der_leave(&params, &hash);
    sm_der mgf = sm_der_enter(&params, SM_DER_CTX_CONS(1));
    sm_der mgf_id = sm_der_enter(&mgf, SM_DER_SEQUENCE);
    bool is_mgf1 = sm_slice_equal(sm_der_read_oid(&mgf_id), mgf1);
    enum sm_digest mgf_digest = read_hash(&mgf_id);
    sm_der_leave(&mgf, &mgf_id);
    sm_der_leave(&params, &mgf);
    sm_der salt = sm_der_enter(&params, SM_DER_CTX_CONS(2));
    uint64_t salt_len = sm_der_read_u64(&salt);
    sm_der_leave(&params, &salt);
    sm_der_leave(d, &params);
    if (!sm_ok(sm_der_finish(d)) || !is_mgf1 || digest == SM_DIGEST_NONE || mgf_digest != digest ||
        salt_len != sm_digest_size(digest)) {
        return SM_ERR(UNSUPPORTED);
    }
    *out = sm_sig_alg_for(SM_KEY_RSA_2048, digest, true);
    return SM_NO_ERR;
}

static sm_slice oid_of(sm_slice identifier)
{
    sm_der d = sm_der_init(identifier);
    return sm_der_read_oid(&d);
}

/* None of ours octet by octet. */
static sm_err parse_other(sm_slice content, enum sm_sig_alg *out)
{
    sm_der d = sm_der_init(content);
    sm_slice oid = sm_der_read_oid(&d);
    SM_TRY(sm_der_err(&d));
    for (int i = 1; i < SM_SIG_ALG_COUNT; i++) {
        if (sm_slice_equal(oid, oid_of(sm_slice_from(rows[i].identifier, HEADER)))) {
            /* Parameters where there must not be any, or wrong ones. */
            return rows[i].pss ? parse_pss(&d, out) : SM_ERR(MALFORMED);
        }
    }
    return SM_ERR(UNSUPPORTED);
}

sm_err sm_sig_alg_parse(sm_slice content, enum sm_sig_alg *out)
{
    for (int i = 1; i < SM_SIG_ALG_COUNT; i++) {
        const struct alg_row *row = &rows[i];
        if (sm_slice_equal(content, sm_slice_from(row->identifier, HEADER)) ||
            is_rsa_without_null(content, row)) {
            *out = (enum sm_sig_alg)i;
            return SM_NO_ERR;
        }
    }
    return parse_other(content, out);
}

enum sm_digest sm_sig_alg_digest(enum sm_sig_alg alg)
{
    return row_of(alg)->digest;
}

bool sm_sig_alg_fits(enum sm_sig_alg alg, enum sm_key_type type)
{
    return alg > SM_SIG_NONE && alg < SM_SIG_ALG_COUNT && type >= rows[alg].from &&
           type <= rows[alg].to;
}

static enum sm_digest usual_digest(enum sm_key_type type)
{
    switch (type) {
    case SM_KEY_P384:
        return SM_SHA384;
    case SM_KEY_P521:
        return SM_SHA512;
    case SM_KEY_P256:
    case SM_KEY_RSA_2048:
    case SM_KEY_RSA_3072:
    case SM_KEY_RSA_4096:
        return SM_SHA256;
    default:
        return SM_DIGEST_NONE;
    }
}

enum sm_sig_alg sm_sig_alg_for(enum sm_key_type type, enum sm_digest digest, bool pss)
{
    enum sm_digest wanted = digest == SM_DIGEST_NONE ? usual_digest(type) : digest;
    for (int i = 1; i < SM_SIG_ALG_COUNT; i++) {
        bool rsa = rows[i].from == SM_KEY_RSA_2048;
        if (type >= rows[i].from && type <= rows[i].to && rows[i].digest == wanted &&
            (!rsa || rows[i].pss == pss)) {
            return (enum sm_sig_alg)i;
        }
    }
    return SM_SIG_NONE;
}

size_t sm_sig_size_max(enum sm_sig_alg alg, enum sm_key_type type)
{
    /* ECDSA: SEQUENCE of two INTEGERs of at most field size + 1 octets. */
    static const size_t sizes[SM_KEY_TYPE_COUNT] = {0,   72, 104, 139,  256,  384,
                                                    512, 64, 114, 2420, 3309, 4627};
    return sm_sig_alg_fits(alg, type) ? sizes[type] : 0;
}

size_t sm_digest_size(enum sm_digest digest)
{
    static const size_t sizes[SM_DIGEST_COUNT] = {0, 32, 48, 64};
    return (unsigned)digest < SM_DIGEST_COUNT ? sizes[digest] : 0;
}
