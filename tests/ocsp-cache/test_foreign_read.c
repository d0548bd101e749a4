/* SPDX-License-Identifier: Apache-2.0 */
/* What is read of foreign CAs: index.txt, CRLs, OCSP responses; and its rows. */
#include "base/check.h"
#include "base/file.h"
#include "ocsp-cache/crl_read.h"
#include "ocsp-cache/index_txt.h"
#include "ocsp-cache/ocsp_response_read.h"
#include "sign/batch.h"
#include "sign/cert.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

static sm_diag diag;

static sm_buf corpus(const char *folder, const char *name)
{
    char path[256];
    sm_buf out = sm_buf_init(1U << 20);
    (void)snprintf(path, sizeof(path), "tests/fuzz/corpus/%s/%s", folder, name);
    assert_sm_ok(sm_file_read(path, &out, NULL));
    return out;
}

/* ---- index.txt ---- */

static sm_err line(const char *text, struct sm_index_line *out)
{
    diag.field[0] = diag.reason[0] = '\0';
    return sm_index_line_parse(sm_slice_str(text), out, &diag);
}

static void index__reads_each_kind_of_line(void **state)
{
    (void)state;
    struct sm_index_line l;
    assert_sm_ok(line("V\t301231235959Z\t\t01\tunknown\t/CN=a", &l));
    assert_int_equal(l.what.state, SM_OCSP_IMPORTED_VALID);
    assert_int_equal(l.what.not_after, 1924991999);
    assert_int_equal(l.serial_len, 1);
    assert_int_equal(l.serial[0], 1);
    assert_sm_ok(line("E\t20301231235959Z\t\t00FF01\tunknown\t/CN=a\r", &l));
    assert_int_equal(l.what.state, SM_OCSP_IMPORTED_VALID);
    assert_int_equal(l.what.not_after, 1924991999);
    assert_int_equal(l.serial_len, 2);
    assert_sm_ok(line("R\t500101000000Z\t260101000000Z\t7f\tunknown\t/CN=a", &l));
    assert_int_equal(l.what.state, SM_OCSP_IMPORTED_REVOKED);
    assert_int_equal(l.what.revoked_at, 1767225600);
    assert_int_equal(l.what.reason, -1);
    assert_int_equal(l.what.not_after, -631152000); /* of 1950 */
}

static void index__reads_every_reason_that_openssl_writes(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        int reason;
    } all[] = {{"unspecified", 0},
               {"keyCompromise", 1},
               {"CACompromise", 2},
               {"affiliationChanged", 3},
               {"superseded", 4},
               {"cessationOfOperation", 5},
               {"certificateHold", 6},
               {"holdInstruction,holdInstructionReject", 6},
               {"removeFromCRL", 8},
               {"keyTime,20260101000000Z", 1},
               {"CAkeyTime,20260101000000Z", 2}};
    for (size_t i = 0; i < SM_ARRAY_LEN(all); i++) {
        char text[160];
        struct sm_index_line l;
        (void)snprintf(text, sizeof(text), "R\t301231235959Z\t260101000000Z,%s\t01\tu\t/",
                       all[i].word);
        assert_sm_ok(line(text, &l));
        assert_int_equal(l.what.reason, all[i].reason);
        assert_int_equal(l.what.state,
                         all[i].reason == 6 ? SM_OCSP_IMPORTED_ON_HOLD : SM_OCSP_IMPORTED_REVOKED);
    }
}

static void index__refuses_what_it_cannot_read(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "V",
        "V\t301231235959Z\t\t01\tunknown",
        "X\t301231235959Z\t\t01\tunknown\t/",
        "VV\t301231235959Z\t\t01\tunknown\t/",
        "V\t301331235959Z\t\t01\tunknown\t/",
        "V\t3012312359Z\t\t01\tunknown\t/",
        "V\t301231235959\t\t01\tunknown\t/",
        "V\t30123123595xZ\t\t01\tunknown\t/",
        "V\t301231235959Z\t\t\tunknown\t/",
        "V\t301231235959Z\t\t1\tunknown\t/",
        "V\t301231235959Z\t\t0g\tunknown\t/",
        "V\t301231235959Z\t\t010203040506070809101112131415161718192021\tunknown\t/",
        "V\t301231235959Z\t260101000000Z\t01\tunknown\t/",
        "R\t301231235959Z\t\t01\tunknown\t/",
        "R\t301231235959Z\t260101000000Z,because\t01\tunknown\t/",
        "R\t301231235959Z\t2601010000Z,superseded\t01\tunknown\t/",
    };
    struct sm_index_line l;
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        sm_err err = line(bad[i], &l);
        if (!sm_err_is(err, SM_E_MALFORMED)) {
            print_error("taken: %s\n", bad[i]);
        }
        assert_sm_err(err, MALFORMED);
        assert_true(diag.reason[0] != '\0');
    }
    assert_sm_err(line("", &l), NOT_FOUND);
    assert_sm_err(line("  ", &l), NOT_FOUND);
    assert_sm_err(line("# nothing", &l), NOT_FOUND);
}

/* ---- CRLs ---- */

static sm_err crl(const char *name, sm_buf *der, struct sm_crl_read *out)
{
    *der = corpus("crl", name);
    diag.field[0] = diag.reason[0] = '\0';
    return sm_crl_read_parse(sm_buf_slice(der), out, &diag);
}

static void crl__reads_entries_and_extensions(void **state)
{
    (void)state;
    struct sm_crl_read c;
    struct sm_crl_read_entry e;
    sm_buf der;
    static const int reasons[] = {1, -1, 6}; /* openssl sorts by serial number */
    assert_sm_ok(crl("v2.crl", &der, &c));
    assert_int_equal(c.count, 3);
    assert_true(c.number.len == 1 && c.number.ptr[0] >= 0x0a);
    assert_int_equal(c.sig_alg, SM_SIG_ECDSA_SHA256);
    assert_false(c.is_delta);
    assert_int_equal(c.distribution.len, 0);
    assert_true(c.next_update > c.this_update);
    sm_der cursor = sm_der_init(c.entries);
    for (size_t i = 0; i < 3; i++) {
        assert_true(sm_crl_read_next(&cursor, &e));
        assert_int_equal(e.revoked_at, 1767225600);
        assert_int_equal(e.reason, reasons[i]);
        assert_true(i != 2 || e.serial.len == 20);
    }
    assert_false(sm_crl_read_next(&cursor, &e));
    sm_buf_deinit(&der);
    assert_sm_ok(crl("none.crl", &der, &c));
    assert_int_equal(c.count, 0);
    sm_buf_deinit(&der);
    assert_sm_ok(crl("idp.crl", &der, &c));
    assert_true(c.distribution.len > 0);
    sm_buf_deinit(&der);
    assert_sm_ok(crl("delta.crl", &der, &c));
    assert_true(c.is_delta);
    assert_int_equal(c.base_number.ptr[0], 1);
    sm_buf_deinit(&der);
    assert_sm_err(crl("indirect.crl", &der, &c), UNSUPPORTED);
    sm_buf_deinit(&der);
}

static void crl__no_octet_can_be_left_out(void **state)
{
    (void)state;
    struct sm_crl_read c;
    sm_buf der = corpus("crl", "v2.crl");
    for (size_t len = 0; len < der.len; len++) {
        assert_false(sm_ok(sm_crl_read_parse(sm_slice_of(der.ptr, len), &c, NULL)));
    }
    sm_buf_put_byte(&der, 0);
    assert_sm_err(sm_crl_read_parse(sm_buf_slice(&der), &c, NULL), MALFORMED);
    sm_buf_deinit(&der);
}

/* ---- OCSP responses ---- */

static sm_err response(const char *name, sm_buf *der, struct sm_ocsp_response_read *out)
{
    *der = corpus("ocsp_response", name);
    diag.field[0] = diag.reason[0] = '\0';
    return sm_ocsp_response_read(sm_buf_slice(der), out, &diag);
}

static void response__reads_what_is_said(void **state)
{
    (void)state;
    struct sm_ocsp_response_read r;
    struct sm_cert cert;
    struct sm_public_key key;
    sm_buf der;
    assert_sm_ok(response("r-2.der", &der, &r));
    assert_int_equal(r.said.status, SM_OCSP_REVOKED);
    assert_int_equal(r.said.reason, 1);
    assert_int_equal(r.said.revoked_at, 1767225600);
    assert_int_equal(r.cert_id.hash, SM_OCSP_SHA1);
    assert_int_equal(r.cert_id.serial.ptr[0], 2);
    assert_true(r.by_name.len > 0 && r.by_key.len == 0);
    assert_int_equal(r.said.next_update - r.said.this_update, 7 * 86400);
    assert_int_equal(r.certificate_count, 1);
    assert_sm_ok(sm_cert_parse(r.certificates[0], &cert, NULL));
    assert_sm_ok(sm_public_key_parse(cert.spki, &key, NULL));
    assert_sm_ok(sm_verify_now(&key, r.sig_alg, r.data, r.signature));
    sm_buf_deinit(&der);
    assert_sm_ok(response("r-1-resp_key_id.der", &der, &r));
    assert_int_equal(r.said.status, SM_OCSP_GOOD);
    assert_true(r.by_name.len == 0 && r.by_key.len == 20);
    sm_buf_deinit(&der);
    assert_sm_ok(response("r-0x55.der", &der, &r));
    assert_int_equal(r.said.status, SM_OCSP_UNKNOWN);
    sm_buf_deinit(&der);
    assert_sm_ok(response("nocerts.der", &der, &r));
    assert_int_equal(r.cert_id.hash, SM_OCSP_SHA256);
    assert_int_equal(r.certificate_count, 0);
    sm_buf_deinit(&der);
}

static void response__refuses_what_cannot_be_kept(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        const char *why;
    } all[] = {{"nonce.der", "nonce"},
               {"two.der", "several"},
               {"nonext.der", "nextUpdate"},
               {"unauthorized.der", "an error"}};
    struct sm_ocsp_response_read r;
    for (size_t i = 0; i < SM_ARRAY_LEN(all); i++) {
        sm_buf der;
        assert_sm_err(response(all[i].file, &der, &r), UNSUPPORTED);
        assert_non_null(strstr(diag.reason, all[i].why));
        sm_buf_deinit(&der);
    }
    sm_buf der = corpus("ocsp_response", "r-1.der");
    for (size_t len = 0; len < der.len; len++) {
        assert_false(sm_ok(sm_ocsp_response_read(sm_slice_of(der.ptr, len), &r, NULL)));
    }
    sm_buf_deinit(&der);
}

/* ---- rows ---- */

static void rows__come_back_as_they_were(void **state)
{
    (void)state;
    sm_arena arena;
    sm_slice packed;
    const struct sm_ocsp_imported in = {SM_OCSP_IMPORTED_ON_HOLD, 6, 1767225600, 1924991999, 77};
    struct sm_ocsp_imported out;
    const struct sm_ocsp_imported_crl crl_in = {{1, 2, 3}, 3, 1767225600, 99};
    struct sm_ocsp_imported_crl crl_out;
    const struct sm_ocsp_loaded loaded_in = {{SM_OCSP_REVOKED, -1, 5, 6, 7, 8},
                                             SM_LIT("an OCSPResponse")};
    struct sm_ocsp_loaded loaded_out;
    sm_arena_init(&arena, 1U << 16);
    assert_sm_ok(sm_ocsp_imported_pack(&in, &arena, &packed));
    assert_sm_ok(sm_ocsp_imported_unpack(packed, &out));
    assert_memory_equal(&in, &out, sizeof(in));
    assert_sm_err(sm_ocsp_imported_unpack(SM_LIT("\x08\x02\x10\x01"), &out), CORRUPT);
    assert_sm_err(sm_ocsp_imported_unpack(SM_LIT("\x08\x01"), &out), CORRUPT);
    assert_sm_ok(sm_ocsp_imported_crl_pack(&crl_in, &arena, &packed));
    assert_sm_ok(sm_ocsp_imported_crl_unpack(packed, &crl_out));
    assert_int_equal(crl_out.number_len, 3);
    assert_memory_equal(crl_out.number, crl_in.number, 3);
    assert_true(crl_out.this_update == crl_in.this_update && crl_out.crl == 99);
    assert_sm_ok(sm_ocsp_loaded_pack(&loaded_in, &arena, &packed));
    assert_sm_ok(sm_ocsp_loaded_unpack(packed, &arena, &loaded_out));
    assert_true(sm_slice_equal(loaded_in.response, loaded_out.response));
    assert_int_equal(loaded_out.said.status, SM_OCSP_REVOKED);
    assert_int_equal(loaded_out.said.reason, -1);
    assert_int_equal(loaded_out.said.next_update, 8);
    sm_arena_deinit(&arena);
}

/* Serial numbers of two CAs, however short, never meet; and a range has all of one CA's. */
static void rows__have_keys_of_their_own(void **state)
{
    (void)state;
    uint8_t a[SM_OCSP_FOREIGN_KEY_MAX];
    uint8_t b[SM_OCSP_FOREIGN_KEY_MAX];
    uint8_t from[SM_OCSP_FOREIGN_PREFIX];
    uint8_t to[SM_OCSP_FOREIGN_PREFIX];
    static const uint8_t long_serial[21] = {1};
    size_t a_len = sm_ocsp_imported_key(7, 1, SM_LIT("\x01"), a);
    size_t b_len = sm_ocsp_imported_key(8, 1, SM_LIT("\x01"), b);
    assert_false(sm_slice_equal(sm_slice_of(a, a_len), sm_slice_of(b, b_len)));
    sm_ocsp_imported_range(7, 1, from, to);
    assert_true(sm_slice_compare(sm_slice_of(from, sizeof(from)), sm_slice_of(a, a_len)) < 0);
    assert_true(sm_slice_compare(sm_slice_of(a, a_len), sm_slice_of(to, sizeof(to))) < 0);
    assert_true(sm_slice_compare(sm_slice_of(b, b_len), sm_slice_of(to, sizeof(to))) > 0);
    assert_int_equal(sm_ocsp_imported_key(7, 1, SM_SLICE_NONE, a), 0);
    assert_int_equal(sm_ocsp_imported_key(7, 1, sm_slice_of(long_serial, 21), a), 0);
    assert_int_equal(sm_ocsp_imported_key(7, 1, sm_slice_of(long_serial, 20), a), 29);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index__reads_each_kind_of_line),
        cmocka_unit_test(index__reads_every_reason_that_openssl_writes),
        cmocka_unit_test(index__refuses_what_it_cannot_read),
        cmocka_unit_test(crl__reads_entries_and_extensions),
        cmocka_unit_test(crl__no_octet_can_be_left_out),
        cmocka_unit_test(response__reads_what_is_said),
        cmocka_unit_test(response__refuses_what_cannot_be_kept),
        cmocka_unit_test(rows__come_back_as_they_were),
        cmocka_unit_test(rows__have_keys_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
