/* SPDX-License-Identifier: Apache-2.0 */
/* Requests put together from parts, each part bad in turn. */
#include "tests/support/csr_same.h"
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include "base/check.h"
#include "base/text.h"
#include "sign/der.h"
#include "sign/oids.h"

#define S(s)                                \
    {                                       \
        (const uint8_t *)(s), sizeof(s) - 1 \
    }

static struct sm_csr csr; /* large */

/* ---- requests from parts ---- */

enum part {
    VERSION,
    SUBJECT,
    SPKI,
    ATTRIBUTES,
    BEHIND_ATTRIBUTES,
    ALGORITHM,
    SIGNATURE,
    BEHIND_SIGNATURE,
    BEHIND,
    PART_COUNT
};

#define CN_X "\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01x"
#define ECDSA_SHA256 "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"

static sm_buf p256_spki;

/* A request whose parts are good but the one given. Its signature means nothing: the parser does
 * not look. */
static sm_buf build(enum part which, sm_slice part)
{
    sm_slice parts[PART_COUNT] = {
        [VERSION] = S("\x02\x01\x00"),     [SUBJECT] = S(CN_X),
        [SPKI] = sm_buf_slice(&p256_spki), [ATTRIBUTES] = S("\xa0\x00"),
        [ALGORITHM] = S(ECDSA_SHA256),     [SIGNATURE] = S("\x03\x03\x00\x30\x00"),
    };
    parts[which] = part;
    sm_buf b = sm_buf_init(2 * SM_CSR_MAX);
    sm_der_block request = sm_der_begin(&b, SM_DER_SEQUENCE);
    sm_der_block info = sm_der_begin(&b, SM_DER_SEQUENCE);
    for (int i = VERSION; i <= BEHIND_ATTRIBUTES; i++) {
        sm_buf_put(&b, parts[i]);
    }
    sm_der_end(&b, info);
    for (int i = ALGORITHM; i <= BEHIND_SIGNATURE; i++) {
        sm_buf_put(&b, parts[i]);
    }
    sm_der_end(&b, request);
    sm_buf_put(&b, parts[BEHIND]);
    assert_sm_ok(sm_buf_err(&b));
    return b;
}

static sm_buf built; /* the request parsed last, which `csr` borrows */

static sm_err parse(enum part which, sm_slice part, sm_diag *diag)
{
    sm_diag_clear(diag);
    sm_buf_deinit(&built);
    built = build(which, part);
    sm_err err = sm_csr_parse(sm_buf_slice(&built), &csr, diag);
    const char *difference = sm_ok(err) ? sm_test_csr_disagrees(&csr) : NULL;
    if (difference != NULL) {
        print_error("differs from OpenSSL: %s\n", difference);
    }
    assert_null(difference);
    assert_true(sm_ok(err) == (diag->reason[0] == '\0'));
    return err;
}

static void accepts(enum part which, sm_slice part)
{
    sm_diag diag;
    sm_err err = parse(which, part, &diag);
    if (!sm_ok(err)) {
        print_error("part %d: %s: %s\n", which, diag.field, diag.reason);
    }
    assert_sm_ok(err);
}

struct refused {
    enum part which;
    sm_slice part;
    uint32_t err;
    const char *field;
};

static void refuse_all(const struct refused *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sm_diag diag;
        sm_err err = parse(rows[i].which, rows[i].part, &diag);
        if (!sm_err_is(err, rows[i].err) || strcmp(diag.field, rows[i].field) != 0) {
            print_error("row %zu: %s, %s: %s\n", i, sm_err_name(err), diag.field, diag.reason);
        }
        assert_int_equal(err.code, rows[i].err);
        assert_string_equal(diag.field, rows[i].field);
    }
}

static void csr__rejects_each_bad_part(void **state)
{
    (void)state;
    static const struct refused rows[] = {
        {VERSION, S("\x02\x01\x01"), SM_E_UNSUPPORTED, "csr.version"},
        {VERSION, S("\x02\x01\x02"), SM_E_UNSUPPORTED, "csr.version"},
        {VERSION, S("\x02\x01\xff"), SM_E_MALFORMED, "csr"},
        {VERSION, S("\x02\x02\x00\x00"), SM_E_MALFORMED, "csr"}, /* not minimal */
        {VERSION, S("\x02\x81\x01\x00"), SM_E_MALFORMED, "csr"},
        {VERSION, S("\x02\x00"), SM_E_MALFORMED, "csr"},
        {VERSION, S("\x02\x09\x01\x00\x00\x00\x00\x00\x00\x00\x00"), SM_E_MALFORMED, "csr"},
        {VERSION, S("\x0a\x01\x00"), SM_E_MALFORMED, "csr"}, /* ENUMERATED */
        {VERSION, S("\xa0\x03\x02\x01\x00"), SM_E_MALFORMED, "csr"},
        {VERSION, S(""), SM_E_MALFORMED, "csr"},
        {SUBJECT, S("\x31\x00"), SM_E_MALFORMED, "csr.subject"},
        {SUBJECT, S("\x30\x02\x31\x00"), SM_E_TRUNCATED, "csr.subject"},
        {SUBJECT, S("\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01\x00"), SM_E_MALFORMED,
         "csr.subject"},
        {SUBJECT, S("\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01\xff"), SM_E_MALFORMED,
         "csr.subject"},
        {SUBJECT, S("\x30\x80\x00\x00"), SM_E_MALFORMED, "csr"},
        {SUBJECT, S("\x1f\x81\x01\x00"), SM_E_MALFORMED, "csr"}, /* a tag of two octets */
        {SPKI, S("\x30\x00"), SM_E_TRUNCATED, "csr.key"},
        {SPKI, S("\x05\x00"), SM_E_MALFORMED, "csr.key"},
        {SPKI, S(""), SM_E_MALFORMED, "csr.key"},
        {ATTRIBUTES, S("\x31\x00"), SM_E_MALFORMED, "csr"},
        {ATTRIBUTES, S("\x80\x00"), SM_E_MALFORMED, "csr"}, /* primitive */
        {ATTRIBUTES, S("\xa1\x00"), SM_E_MALFORMED, "csr"},
        {ATTRIBUTES, S("\xa0\x80\x00\x00"), SM_E_MALFORMED, "csr"},
        {ATTRIBUTES, S("\xa0\x02\x31\x00"), SM_E_MALFORMED, "csr"}, /* EXPLICIT */
        {BEHIND_ATTRIBUTES, S("\x05\x00"), SM_E_MALFORMED, "csr"},
        {BEHIND_ATTRIBUTES, S("\xa0\x00"), SM_E_MALFORMED, "csr"},
        {BEHIND_ATTRIBUTES, S("\x00"), SM_E_MALFORMED, "csr"},
        {ALGORITHM, S(""), SM_E_MALFORMED, "csr"},
        {ALGORITHM, S("\x31\x00"), SM_E_MALFORMED, "csr"},
        {ALGORITHM, S("\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01"), SM_E_UNSUPPORTED,
         "csr.signature_algorithm"}, /* SHA-1 */
        {ALGORITHM, S("\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x05\x00"), SM_E_MALFORMED,
         "csr.signature_algorithm"}, /* parameters (RFC 5758 3.2) */
        {ALGORITHM, S("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"),
         SM_E_MALFORMED, "csr.signature_algorithm"}, /* RSA's under an EC key */
        {ALGORITHM, S("\x30\x05\x06\x03\x2b\x65\x70"), SM_E_MALFORMED, "csr.signature_algorithm"},
        {SIGNATURE, S(""), SM_E_TRUNCATED, "csr"},
        {SIGNATURE, S("\x03\x00"), SM_E_MALFORMED, "csr"},         /* no count of unused bits */
        {SIGNATURE, S("\x03\x02\x01\x02"), SM_E_MALFORMED, "csr"}, /* one unused bit */
        {SIGNATURE, S("\x03\x02\x08\x00"), SM_E_MALFORMED, "csr"}, /* eight */
        {SIGNATURE, S("\x04\x02\x00\x01"), SM_E_MALFORMED, "csr"}, /* OCTET STRING */
        {SIGNATURE, S("\x23\x04\x03\x02\x00\x01"), SM_E_MALFORMED, "csr"}, /* constructed */
        {BEHIND_SIGNATURE, S("\x05\x00"), SM_E_MALFORMED, "csr"},
        {BEHIND, S("\x00"), SM_E_MALFORMED, "csr"},
        {BEHIND, S("\x30\x00"), SM_E_MALFORMED, "csr"},
        {BEHIND, S("\n"), SM_E_MALFORMED, "csr"},
    };
    refuse_all(rows, SM_ARRAY_LEN(rows));
}

/* Attribute { OID, SET { values } } and an Extension, as string literals: sizes under 128. */
#define EXT_REQ "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"
#define CHALLENGE "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07"
#define MS_EXT_REQ "\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x0e"
#define KEY_USAGE "\x30\x0b\x06\x03\x55\x1d\x0f\x04\x04\x03\x02\x05\xa0" /* 13 */
#define EXT_REQ_KU "\x30\x1c" EXT_REQ "\x31\x0f\x30\x0d" KEY_USAGE       /* 30 */
#define MS_EXT_REQ_KU "\x30\x1d" MS_EXT_REQ "\x31\x0f\x30\x0d" KEY_USAGE /* 31 */
#define PASSWORD "\x30\x10" CHALLENGE "\x31\x03\x0c\x01p"                /* 18 */

static void csr__rejects_bad_attributes(void **state)
{
    (void)state;
    static const struct refused rows[] = {
        {ATTRIBUTES, S("\xa0\x3c" EXT_REQ_KU EXT_REQ_KU), SM_E_MALFORMED, "csr.attributes"},
        {ATTRIBUTES, S("\xa0\x3e" MS_EXT_REQ_KU MS_EXT_REQ_KU), SM_E_MALFORMED, "csr.attributes"},
        {ATTRIBUTES, S("\xa0\x24" PASSWORD PASSWORD), SM_E_MALFORMED, "csr.attributes"},
        {ATTRIBUTES, S("\xa0\x02\x30\x00"), SM_E_TRUNCATED, "csr"},
        {ATTRIBUTES, S("\xa0\x06\x30\x04\x06\x02\x2a\x03"), SM_E_TRUNCATED, "csr"},
        {ATTRIBUTES, S("\xa0\x08\x30\x06\x06\x02\x2a\x03\x31\x00"), SM_E_MALFORMED,
         "csr.attributes"}, /* no value */
        {ATTRIBUTES, S("\xa0\x0a\x30\x08\x06\x02\x2a\x03\x30\x02\x05\x00"), SM_E_MALFORMED, "csr"},
        {ATTRIBUTES, S("\xa0\x0a\x30\x08\x06\x02\x80\x03\x31\x02\x05\x00"), SM_E_MALFORMED, "csr"},
        {ATTRIBUTES, S("\xa0\x0b\x30\x09\x06\x02\x2a\x03\x31\x03\x05\x01\x00"), SM_E_MALFORMED,
         "csr.attributes"}, /* a NULL with content */
        {ATTRIBUTES, S("\xa0\x0c\x30\x0a\x06\x02\x2a\x03\x31\x04\x30\x80\x00\x00"), SM_E_MALFORMED,
         "csr.attributes"},
        {ATTRIBUTES, S("\xa0\x0c\x30\x0a\x06\x02\x2a\x03\x31\x02\x05\x00\x05\x00"), SM_E_MALFORMED,
         "csr"},
        /* extensionRequest: two values, none, a SET, an octet behind the list */
        {ATTRIBUTES,
         S("\xa0\x2d\x30\x2b" EXT_REQ "\x31\x1e\x30\x0d" KEY_USAGE "\x30\x0d" KEY_USAGE),
         SM_E_MALFORMED, "csr.extensions"},
        {ATTRIBUTES, S("\xa0\x0f\x30\x0d" EXT_REQ "\x31\x00"), SM_E_MALFORMED, "csr.attributes"},
        {ATTRIBUTES, S("\xa0\x11\x30\x0f" EXT_REQ "\x31\x02\x31\x00"), SM_E_MALFORMED,
         "csr.extensions"},
        {ATTRIBUTES, S("\xa0\x12\x30\x10" EXT_REQ "\x31\x03\x30\x00\x00"), SM_E_MALFORMED,
         "csr.extensions"},
        {ATTRIBUTES, S("\xa0\x2b\x30\x29" EXT_REQ "\x31\x1c\x30\x1a" KEY_USAGE KEY_USAGE),
         SM_E_MALFORMED, "csr.extensions"}, /* keyUsage twice */
        {ATTRIBUTES, S("\xa0\x13\x30\x11" EXT_REQ "\x31\x04\x30\x02\x30\x00"), SM_E_TRUNCATED,
         "csr.extensions"},
        {ATTRIBUTES, S("\xa0\x18\x30\x16" EXT_REQ "\x31\x09\x30\x07\x30\x05\x06\x03\x55\x1d\x0f"),
         SM_E_TRUNCATED, "csr.extensions"}, /* no value */
        {ATTRIBUTES,
         S("\xa0\x1d\x30\x1b" EXT_REQ "\x31\x0e\x30\x0c\x30\x0a\x06\x03\x55\x1d\x0f\x01\x01\x00"
           "\x04\x00"),
         SM_E_MALFORMED, "csr.extensions"}, /* critical FALSE (X.690 11.5) */
        {ATTRIBUTES,
         S("\xa0\x1d\x30\x1b" EXT_REQ "\x31\x0e\x30\x0c\x30\x0a\x06\x03\x55\x1d\x0f\x01\x01\x01"
           "\x04\x00"),
         SM_E_MALFORMED, "csr.extensions"}, /* critical 01 (X.690 11.1) */
        {ATTRIBUTES,
         S("\xa0\x1d\x30\x1b" EXT_REQ "\x31\x0e\x30\x0c\x30\x0a\x06\x03\x55\x1d\x0f\x04\x00\x01"
           "\x01\xff"),
         SM_E_MALFORMED, "csr.extensions"}, /* the wrong way round */
        {ATTRIBUTES,
         S("\xa0\x1a\x30\x18" EXT_REQ "\x31\x0b\x30\x09\x30\x07\x06\x03\x55\x1d\x0f\x24\x00"),
         SM_E_MALFORMED, "csr.extensions"}, /* a constructed OCTET STRING */
        /* challengePassword: empty set, two, no string, NUL, bad UTF-8, one of wide characters */
        {ATTRIBUTES, S("\xa0\x0f\x30\x0d" CHALLENGE "\x31\x00"), SM_E_MALFORMED, "csr.attributes"},
        {ATTRIBUTES, S("\xa0\x15\x30\x13" CHALLENGE "\x31\x06\x0c\x01p\x0c\x01q"), SM_E_MALFORMED,
         "csr.attributes"},
        {ATTRIBUTES, S("\xa0\x12\x30\x10" CHALLENGE "\x31\x03\x04\x01p"), SM_E_MALFORMED,
         "csr.attributes"},
        {ATTRIBUTES, S("\xa0\x12\x30\x10" CHALLENGE "\x31\x03\x0c\x01\x00"), SM_E_MALFORMED,
         "csr.attributes"},
        {ATTRIBUTES, S("\xa0\x12\x30\x10" CHALLENGE "\x31\x03\x0c\x01\xe4"), SM_E_MALFORMED,
         "csr.attributes"},
        {ATTRIBUTES, S("\xa0\x13\x30\x11" CHALLENGE "\x31\x04\x1e\x02\x00p"), SM_E_MALFORMED,
         "csr.attributes"},
    };
    refuse_all(rows, SM_ARRAY_LEN(rows));
}

static void csr__takes_the_forms_that_requesters_send(void **state)
{
    (void)state;
    accepts(ATTRIBUTES, SM_LIT("")); /* RFC 2986 wants an empty set; some leave it out */
    assert_int_equal(csr.attribute_count, 0);
    accepts(ATTRIBUTES, SM_LIT("\xa0\x00"));
    assert_null(csr.challenge_password.ptr);
    accepts(SUBJECT, SM_LIT("\x30\x00"));
    assert_int_equal(csr.name.count, 0);
    accepts(ATTRIBUTES, SM_LIT("\xa0\x1e" EXT_REQ_KU));
    assert_int_equal(csr.extension_count, 1);
    assert_non_null(sm_csr_extension(&csr, SM_OID_KEY_USAGE));
    assert_null(sm_csr_extension(&csr, SM_OID_EKU));
    accepts(ATTRIBUTES, SM_LIT("\xa0\x1f" MS_EXT_REQ_KU));
    assert_int_equal(csr.extension_count, 1);
    accepts(ATTRIBUTES, SM_LIT("\xa0\x30" PASSWORD EXT_REQ_KU)); /* sorted */
    accepts(ATTRIBUTES, SM_LIT("\xa0\x30" EXT_REQ_KU PASSWORD)); /* not sorted */
    assert_int_equal(csr.attribute_count, 2);
    assert_int_equal(csr.extension_count, 1);
    assert_int_equal(csr.challenge_password.len, 1);
    assert_int_equal(csr.challenge_password.ptr[0], 'p');
    /* One that we do not know, twice, with several values. */
    accepts(ATTRIBUTES, SM_LIT("\xa0\x18\x30\x0a\x06\x02\x2a\x03\x31\x04\x05\x00\x05\x00"
                               "\x30\x0a\x06\x02\x2a\x03\x31\x04\x05\x00\x05\x00"));
    assert_int_equal(csr.attribute_count, 2);
    static const sm_slice passwords[] = {S("\x13\x01p"), S("\x0c\x02\xc3\xa4"), S("\x16\x01_"),
                                         S("\x14\x01\xe4")};
    for (size_t i = 0; i < SM_ARRAY_LEN(passwords); i++) {
        sm_buf b = sm_buf_init(100);
        sm_der_block set = sm_der_begin(&b, SM_DER_CTX_CONS(0));
        sm_der_block attribute = sm_der_begin(&b, SM_DER_SEQUENCE);
        sm_der_write_oid(&b, SM_OID_CHALLENGE_PASSWORD);
        sm_der_write(&b, SM_DER_SET, passwords[i]);
        sm_der_end(&b, attribute);
        sm_der_end(&b, set);
        accepts(ATTRIBUTES, sm_buf_slice(&b));
        assert_int_equal(csr.challenge_password.len, passwords[i].len - 2);
        sm_buf_deinit(&b);
    }
}

/* What is kept without being understood is DER nevertheless: one value in an unknown attribute. */
static sm_err parse_value(sm_slice value)
{
    sm_diag diag;
    sm_buf b = sm_buf_init(1000);
    sm_der_block set = sm_der_begin(&b, SM_DER_CTX_CONS(0));
    sm_der_block attribute = sm_der_begin(&b, SM_DER_SEQUENCE);
    sm_der_write_oid(&b, SM_LIT("\x2a\x03"));
    sm_der_write(&b, SM_DER_SET, value);
    sm_der_end(&b, attribute);
    sm_der_end(&b, set);
    sm_err err = parse(ATTRIBUTES, sm_buf_slice(&b), &diag);
    sm_buf_deinit(&b);
    return err;
}

static void attributes__unknown_ones_are_der(void **state)
{
    (void)state;
    static const sm_slice good[] = {
        S("\x01\x01\xff"),
        S("\x02\x01\x80"),
        S("\x03\x02\x07\x80"),
        S("\x0a\x02\x00\x80"),
        S("\x17\x0d"
          "261121083000Z"),
        S("\x18\x0f"
          "20261121083000Z"),
        S("\x18\x12"
          "20261121083000.05Z"),
        S("\x30\x02\x31\x00"),
        S("\x81\x03\x00\x00\x00"),
    };
    static const sm_slice bad[] = {
        S("\x01\x01\x01"),
        S("\x01\x00"),
        S("\x02\x00"),
        S("\x02\x02\x00\x7f"),
        S("\x02\x02\xff\x80"),
        S("\x03\x02\x01\x01"),
        S("\x03\x01\x01"),
        S("\x06\x00"),
        S("\x06\x02\x2a\x80"),
        S("\x1e\x01\x00"),
        S("\x1c\x02\x00\x41"),
        S("\x17\x00"),
        S("\x17\x0b"
          "2611210830Z"), /* no seconds */
        S("\x17\x0c"
          "261121083000"),
        S("\x17\x11"
          "261121083000+0100"),
        S("\x17\x0d"
          "26112108300xZ"),
        S("\x17\x0f"
          "261121083000.5Z"),
        S("\x18\x0d"
          "202611210830Z"),
        S("\x18\x0e"
          "20261121083000"),
        S("\x18\x10"
          "20261121083000.Z"),
        S("\x18\x12"
          "20261121083000.50Z"),
        S("\x18\x11"
          "20261121083000,5Z"),
        S("\x10\x00"),          /* a primitive SEQUENCE */
        S("\x2c\x03\x0c\x01x"), /* a constructed UTF8String */
        S("\x00\x00"),
        S("\x20\x00"),
        S("\x1f\x22\x00"),
        S("\xbf\x22\x00"),
        S("\xa0\x02\x02\x00"), /* inside of a construction */
        S("\xa0\x80\x00\x00"),
        S("\x04\x84\x80\x00\x00\x00"),
        S("\x04\x85\x01\x00\x00\x00\x00"),
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(good); i++) {
        assert_sm_ok(parse_value(good[i]));
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        if (sm_ok(parse_value(bad[i]))) {
            fail_msg("case %zu is taken", i);
        }
    }
}

static void attributes__nest_no_deeper_than_the_limit(void **state)
{
    (void)state;
    uint8_t deep[2 * SM_DER_DEPTH_MAX];
    for (int levels = SM_DER_DEPTH_MAX - 1; levels <= SM_DER_DEPTH_MAX; levels++) {
        for (int i = 0; i < levels; i++) {
            deep[2 * i] = SM_DER_SEQUENCE;
            deep[2 * i + 1] = (uint8_t)(2 * (levels - 1 - i));
        }
        sm_err err = parse_value(sm_slice_of(deep, (size_t)levels * 2));
        assert_string_equal(sm_err_name(err), levels < SM_DER_DEPTH_MAX ? "ok" : "malformed");
    }
}

/* ---- limits ---- */

/* `count` attributes, or extensions of one extensionRequest, with OIDs of their own. */
static sm_buf many(size_t count, bool extensions, size_t value_len)
{
    static uint8_t zeros[SM_CSR_MAX];
    sm_buf b = sm_buf_init(2 * SM_CSR_MAX);
    sm_der_block blocks[4];
    blocks[0] = sm_der_begin(&b, SM_DER_CTX_CONS(0));
    if (extensions) {
        blocks[1] = sm_der_begin(&b, SM_DER_SEQUENCE);
        sm_der_write_oid(&b, SM_OID_EXTENSION_REQUEST);
        blocks[2] = sm_der_begin(&b, SM_DER_SET);
        blocks[3] = sm_der_begin(&b, SM_DER_SEQUENCE);
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t oid[2] = {0x2a, (uint8_t)i};
        sm_der_block one = sm_der_begin(&b, SM_DER_SEQUENCE);
        sm_der_write_oid(&b, sm_slice_of(oid, 2));
        if (extensions) {
            sm_der_write(&b, SM_DER_OCTET_STRING, sm_slice_of(zeros, value_len));
        } else {
            sm_der_write(&b, SM_DER_SET, SM_LIT("\x05\x00"));
        }
        sm_der_end(&b, one);
    }
    for (int i = extensions ? 3 : 0; i >= 0; i--) {
        sm_der_end(&b, blocks[i]);
    }
    assert_sm_ok(sm_buf_err(&b));
    return b;
}

static void csr__bounds_the_number_of_attributes_and_extensions(void **state)
{
    (void)state;
    sm_diag diag;
    for (int extensions = 0; extensions < 2; extensions++) {
        sm_buf b = many(32, extensions, 1);
        accepts(ATTRIBUTES, sm_buf_slice(&b));
        assert_int_equal(extensions ? csr.extension_count : csr.attribute_count, 32);
        sm_buf_deinit(&b);
        b = many(33, extensions, 1);
        assert_sm_err(parse(ATTRIBUTES, sm_buf_slice(&b), &diag), TOO_LARGE);
        assert_string_equal(diag.field, extensions ? "csr.extensions" : "csr.attributes");
        sm_buf_deinit(&b);
    }
}

static void csr__bounds_its_size(void **state)
{
    (void)state;
    sm_buf few = many(1, true, 60000);
    sm_buf der = build(ATTRIBUTES, sm_buf_slice(&few));
    size_t len = 60000 + (SM_CSR_MAX - der.len); /* every length has two octets either way */
    sm_buf_deinit(&few);
    sm_buf_deinit(&der);
    for (size_t over = 0; over < 2; over++) {
        sm_diag diag;
        sm_buf b = many(1, true, len + over);
        sm_err err = parse(ATTRIBUTES, sm_buf_slice(&b), &diag);
        assert_string_equal(sm_err_name(err), over == 0 ? "ok" : "too_large");
        assert_true(over == 1 || csr.der.len == SM_CSR_MAX);
        sm_buf_deinit(&b);
    }
}

static void challenge__is_at_most_255_octets(void **state)
{
    (void)state;
    for (size_t len = 255; len < 257; len++) {
        sm_diag diag;
        uint8_t text[256];
        memset(text, 'p', sizeof(text));
        sm_buf b = sm_buf_init(1000);
        sm_der_block set = sm_der_begin(&b, SM_DER_CTX_CONS(0));
        sm_der_block attribute = sm_der_begin(&b, SM_DER_SEQUENCE);
        sm_der_write_oid(&b, SM_OID_CHALLENGE_PASSWORD);
        sm_der_block values = sm_der_begin(&b, SM_DER_SET);
        sm_der_write(&b, SM_DER_UTF8_STRING, sm_slice_of(text, len));
        sm_der_end(&b, values);
        sm_der_end(&b, attribute);
        sm_der_end(&b, set);
        sm_err err = parse(ATTRIBUTES, sm_buf_slice(&b), &diag);
        assert_string_equal(sm_err_name(err), len == 255 ? "ok" : "malformed");
        sm_buf_deinit(&b);
    }
}

/* ---- PEM ---- */

static void pem__is_taken_for_der(void **state)
{
    (void)state;
    static const struct {
        const char *label;
        const char *want;
    } labels[] = {{"CERTIFICATE REQUEST", "ok"},
                  {"NEW CERTIFICATE REQUEST", "ok"},
                  {"CERTIFICATE", "malformed"},
                  {"X509 CERTIFICATE REQUEST", "malformed"},
                  {"certificate request", "malformed"}};
    sm_buf der = build(ATTRIBUTES, SM_LIT(""));
    for (size_t i = 0; i < SM_ARRAY_LEN(labels); i++) {
        sm_slice out;
        sm_diag diag = {.reason = ""};
        sm_buf scratch = sm_buf_init(SM_CSR_MAX);
        sm_buf pem = sm_buf_init(SM_CSR_MAX);
        sm_buf_put_str(&pem, "# from a tool that says so\n");
        sm_pem_encode(&pem, labels[i].label, sm_buf_slice(&der));
        sm_err err = sm_csr_from_pem_or_der(sm_buf_slice(&pem), &scratch, &out, &diag);
        assert_string_equal(sm_err_name(err), labels[i].want);
        assert_true(!sm_ok(err) || sm_slice_equal(out, sm_buf_slice(&der)));
        assert_true(sm_ok(err) || strcmp(diag.field, "csr") == 0);
        sm_buf_deinit(&scratch);
        sm_buf_deinit(&pem);
    }
    sm_slice out;
    sm_buf none = sm_buf_init(0); /* DER needs no room */
    assert_sm_ok(sm_csr_from_pem_or_der(sm_buf_slice(&der), &none, &out, NULL));
    assert_ptr_equal(out.ptr, der.ptr);
    sm_buf_deinit(&none);
    sm_buf_deinit(&der);
}

static void pem__refuses_what_is_neither(void **state)
{
    (void)state;
    static const sm_slice bad[] = {
        S(""),
        S("\0"),
        S("x"),
        S("MIIB"),
        S("-----BEGIN CERTIFICATE REQUEST-----"),
        S("-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n"),
        S("-----BEGIN CERTIFICATE REQUEST-----\nM!IB\n-----END CERTIFICATE REQUEST-----\n"),
        S("-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE-----\n"),
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        sm_slice out;
        sm_diag diag = {.reason = ""};
        sm_buf scratch = sm_buf_init(SM_CSR_MAX);
        assert_sm_err(sm_csr_from_pem_or_der(bad[i], &scratch, &out, &diag), MALFORMED);
        assert_true(diag.reason[0] != '\0');
        sm_buf_deinit(&scratch);
    }
}

static int set_up(void **state)
{
    (void)state;
    p256_spki = SM_TEST_DER(PUBKEY, sm_test_pkey(SM_KEY_P256));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_buf_deinit(&built);
    sm_buf_deinit(&p256_spki);
    sm_test_keys_free();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csr__rejects_each_bad_part),
        cmocka_unit_test(csr__rejects_bad_attributes),
        cmocka_unit_test(csr__takes_the_forms_that_requesters_send),
        cmocka_unit_test(attributes__unknown_ones_are_der),
        cmocka_unit_test(attributes__nest_no_deeper_than_the_limit),
        cmocka_unit_test(csr__bounds_the_number_of_attributes_and_extensions),
        cmocka_unit_test(csr__bounds_its_size),
        cmocka_unit_test(challenge__is_at_most_255_octets),
        cmocka_unit_test(pem__is_taken_for_der),
        cmocka_unit_test(pem__refuses_what_is_neither),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
