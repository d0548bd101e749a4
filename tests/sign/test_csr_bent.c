/* SPDX-License-Identifier: Apache-2.0 */
/* Good requests cut, bent and re-encoded at every place: refused, or read as OpenSSL reads them. */
#include "tests/support/csr_same.h"
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include "base/check.h"
#include "sign/batch.h"
#include "sign/der.h"

#include <stdlib.h>

static struct sm_csr csr; /* large */

static sm_buf plain(enum sm_key_type type)
{
    X509_REQ *req = sm_test_plain_request(type, "J\xc3\xb6rg", "DNS:a.example,IP:192.0.2.1");
    sm_buf der = SM_TEST_DER(X509_REQ, req);
    X509_REQ_free(req);
    return der;
}

/* With everything that a parser looks at: extensions, a password, an attribute of another type. */
static sm_buf rich(void)
{
    struct sm_test_random r = {5};
    for (;;) {
        X509_REQ *req = sm_test_request(&r, SM_KEY_P256, SM_SIG_ECDSA_SHA256);
        sm_buf der = SM_TEST_DER(X509_REQ, req);
        X509_REQ_free(req);
        if (der.len < 900 && sm_ok(sm_csr_parse(sm_buf_slice(&der), &csr, NULL)) &&
            csr.attribute_count == 3 && csr.extension_count > 2 && csr.name.count > 2) {
            return der;
        }
        sm_buf_deinit(&der);
    }
}

static void assert_refused_or_agreed(sm_slice der, bool verify)
{
    if (!sm_ok(sm_csr_parse(der, &csr, NULL))) {
        return;
    }
    const char *difference = sm_test_csr_disagrees(&csr);
    if (difference != NULL) {
        print_error("differs from OpenSSL: %s\n", difference);
    }
    assert_null(difference);
    if (verify) { /* what is signed or the signature has changed */
        assert_false(sm_ok(sm_verify_now(&csr.key, csr.sig_alg, csr.info, csr.signature)));
    }
}

static void key_types__are_all_taken(void **state)
{
    (void)state;
    for (enum sm_key_type type = SM_KEY_P256; type < SM_KEY_TYPE_COUNT; type++) {
        sm_buf der = plain(type);
        assert_sm_ok(sm_csr_parse(sm_buf_slice(&der), &csr, NULL));
        assert_int_equal(csr.key.type, type);
        assert_null(sm_test_csr_disagrees(&csr));
        assert_sm_ok(sm_verify_now(&csr.key, csr.sig_alg, csr.info, csr.signature));
        sm_buf_deinit(&der);
    }
}

static void cuts__are_all_refused(void **state)
{
    (void)state;
    for (enum sm_key_type type = SM_KEY_NONE; type < SM_KEY_TYPE_COUNT; type++) {
        sm_buf der = type == SM_KEY_NONE ? rich() : plain(type);
        for (size_t len = 0; len < der.len; len++) {
            uint8_t *exact = malloc(len + 1); /* so that a read beyond the cut is seen */
            assert_non_null(exact);
            memcpy(exact + 1, der.ptr, len);
            sm_diag diag = {.reason = ""};
            assert_sm_err(sm_csr_parse(sm_slice_of(exact + 1, len), &csr, &diag), TRUNCATED);
            assert_true(diag.reason[0] != '\0');
            free(exact);
        }
        sm_buf_deinit(&der);
    }
}

static void octets__changed_are_refused_or_read_as_openssl_does(void **state)
{
    (void)state;
    sm_buf der = rich();
    for (size_t at = 0; at < der.len; at++) {
        uint8_t was = der.ptr[at];
        for (unsigned v = 0; v < 256; v++) {
            der.ptr[at] = (uint8_t)v;
            if (v != was) {
                assert_refused_or_agreed(sm_buf_slice(&der), false);
            }
        }
        der.ptr[at] = was;
    }
    sm_buf_deinit(&der);
}

static void bits__flipped_never_verify(void **state)
{
    (void)state;
    static const enum sm_key_type types[] = {SM_KEY_P256, SM_KEY_RSA_2048, SM_KEY_ED25519};
    for (size_t t = 0; t < SM_ARRAY_LEN(types); t++) {
        sm_buf der = plain(types[t]);
        for (size_t bit = 0; bit < der.len * 8; bit++) {
            der.ptr[bit / 8] ^= (uint8_t)(1U << bit % 8);
            assert_refused_or_agreed(sm_buf_slice(&der), true);
            der.ptr[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
        sm_buf_deinit(&der);
    }
}

/* ---- other encodings of a good request ---- */

enum edit { LONG_LENGTH, INDEFINITE, CONSTRUCTED, DROPPED, DOUBLED, TRAILED, EDIT_COUNT };

struct editor {
    enum edit edit;
    size_t target; /* the element to change, in the order of their ends */
    size_t at;
    bool changed;
};

static void put_edited(struct editor *e, uint8_t tag, sm_slice v, sm_buf *out)
{
    size_t header = sm_der_header_size(v.len) - 2;
    e->changed = true;
    switch (e->edit) {
    case LONG_LENGTH: /* one octet more than needed */
        sm_buf_put_byte(out, tag);
        sm_buf_put_byte(out, (uint8_t)(0x81 + header));
        for (size_t i = 0; i <= header; i++) {
            sm_buf_put_byte(out, (uint8_t)(v.len >> (8 * (header - i))));
        }
        break;
    case INDEFINITE:
        sm_buf_put_byte(out, tag);
        sm_buf_put_byte(out, 0x80);
        sm_buf_put(out, v);
        sm_buf_put(out, SM_LIT("\0\0"));
        break;
    case CONSTRUCTED: {
        sm_der_block outer = sm_der_begin(out, tag | 0x20);
        sm_der_write(out, tag, v);
        sm_der_end(out, outer);
        break;
    }
    case TRAILED: {
        sm_der_block outer = sm_der_begin(out, tag);
        sm_buf_put(out, v);
        sm_der_write_null(out);
        sm_der_end(out, outer);
        break;
    }
    default:
        for (int i = 0; e->edit == DOUBLED && i < 2; i++) {
            sm_der_write(out, tag, v);
        }
        break;
    }
}

static void rewrite(struct editor *e, sm_slice in, sm_buf *out)
{
    sm_der d = sm_der_init(in);
    while (!sm_der_at_end(&d)) {
        uint8_t tag;
        sm_slice v = sm_der_read_any(&d, &tag);
        sm_buf inner = sm_buf_init(2 * SM_CSR_MAX);
        bool construction = (tag & 0x20) != 0;
        if (construction) {
            rewrite(e, v, &inner);
            v = sm_buf_slice(&inner);
        }
        bool needs_construction = e->edit == INDEFINITE || e->edit == TRAILED;
        bool fits = e->edit == CONSTRUCTED ? !construction : !needs_construction || construction;
        if (e->at++ == e->target && fits) {
            put_edited(e, tag, v, out);
        } else {
            sm_der_write(out, tag, v);
        }
        sm_buf_deinit(&inner);
    }
    assert_sm_ok(sm_der_err(&d));
    assert_sm_ok(sm_buf_err(out));
}

static void encodings__other_than_der_are_refused(void **state)
{
    (void)state;
    sm_buf der = rich();
    size_t changed = 0;
    for (int edit = 0; edit < EDIT_COUNT; edit++) {
        size_t count = 1;
        for (size_t target = 0; target < count; target++) {
            struct editor e = {.edit = (enum edit)edit, .target = target};
            sm_buf bent = sm_buf_init(2 * SM_CSR_MAX);
            rewrite(&e, sm_buf_slice(&der), &bent);
            count = e.at;
            changed += e.changed;
            if (e.changed && edit <= CONSTRUCTED) {
                assert_false(sm_ok(sm_csr_parse(sm_buf_slice(&bent), &csr, NULL)));
            } else if (e.changed) {
                assert_refused_or_agreed(sm_buf_slice(&bent), true);
            } else {
                assert_true(sm_slice_equal(sm_buf_slice(&bent), sm_buf_slice(&der)));
            }
            sm_buf_deinit(&bent);
        }
    }
    assert_true(changed > 150);
    sm_buf_deinit(&der);
}

static int tear_down(void **state)
{
    (void)state;
    sm_test_keys_free();
    sm_sign_thread_deinit();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_types__are_all_taken),
        cmocka_unit_test(cuts__are_all_refused),
        cmocka_unit_test(octets__changed_are_refused_or_read_as_openssl_does),
        cmocka_unit_test(bits__flipped_never_verify),
        cmocka_unit_test(encodings__other_than_der_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
