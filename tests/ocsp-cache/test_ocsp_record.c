/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "gen/sealmill/v1/record.pb-c.h"
#include "ocsp-cache/ocsp_record.h"

#define NOW INT64_C(1790000000)

static void ocsp_record__keys_come_back(void **state)
{
    (void)state;
    uint8_t text[SM_OCSP_ROW_KEY_MAX];
    uint8_t serial[SM_OCSP_SERIAL_MAX + 1] = {7};
    struct sm_ocsp_key got;
    for (size_t len = 1; len <= SM_OCSP_SERIAL_MAX; len++) {
        const struct sm_ocsp_key key = {0x01020304, 5, SM_OCSP_SHA256, sm_slice_of(serial, len)};
        size_t n = sm_ocsp_row_key(&key, text);
        assert_int_equal(n, SM_OCSP_ROW_PREFIX + 1 + len);
        assert_true(sm_ocsp_row_key_parse(sm_slice_of(text, n), &got));
        assert_int_equal(got.ca_id, key.ca_id);
        assert_int_equal(got.generation, key.generation);
        assert_int_equal(got.hash, key.hash);
        assert_true(sm_slice_equal(got.serial, key.serial));
        assert_false(sm_ocsp_row_key_parse(sm_slice_of(text, SM_OCSP_ROW_PREFIX + 1), &got));
        text[0] = 'x';
        assert_false(sm_ocsp_row_key_parse(sm_slice_of(text, n), &got));
    }
    const struct sm_ocsp_key long_one = {1, 1, SM_OCSP_SHA1, sm_slice_of(serial, sizeof(serial))};
    assert_int_equal(sm_ocsp_row_key(&long_one, text), 0);
}

static sm_slice pack(sm_arena *arena, const struct sm_ocsp_kept *kept)
{
    sm_slice row;
    assert_sm_ok(sm_ocsp_row_pack(kept, NOW + 99, arena, &row));
    return row;
}

static void ocsp_record__answers_come_back(void **state)
{
    (void)state;
    static const size_t lens[] = {1, 64, 132, 256, SM_OCSP_SIGNATURE_MAX};
    static uint8_t signature[SM_OCSP_SIGNATURE_MAX];
    static struct sm_ocsp_row row;
    sm_arena arena;
    sm_arena_init(&arena, 1U << 20);
    memset(signature, 0xee, sizeof(signature));
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        const struct sm_ocsp_kept kept = {
            {SM_OCSP_REVOKED, (int)i - 1, NOW - 7, NOW, NOW - 300, NOW + 3600},
            0xfeedface,
            sm_slice_of(signature, lens[i])};
        assert_sm_ok(sm_ocsp_row_unpack(pack(&arena, &kept), &row));
        assert_memory_equal(&row.kept.said, &kept.said, sizeof(kept.said));
        assert_int_equal(row.kept.signer, kept.signer);
        assert_true(sm_slice_equal(row.kept.signature, kept.signature));
        assert_int_equal(row.not_after, NOW + 99);
    }
    sm_arena_deinit(&arena);
}

/* Rows of other releases and damaged ones are as none. */
static void ocsp_record__refuses_what_it_does_not_know(void **state)
{
    (void)state;
    static struct sm_ocsp_row row;
    static const uint8_t signature[64] = {1};
    sm_arena arena;
    sm_arena_init(&arena, 1U << 20);
    const struct sm_ocsp_kept kept = {{SM_OCSP_GOOD, -1, 0, NOW, NOW - 300, NOW + 3600},
                                      1,
                                      sm_slice_of(signature, sizeof(signature))};
    sm_slice good = pack(&arena, &kept);
    for (size_t cut = 0; cut < good.len; cut++) {
        assert_sm_err(sm_ocsp_row_unpack(sm_slice_first(good, cut), &row), CORRUPT);
    }
    for (int i = 0; i < 5; i++) {
        uint8_t packed[512];
        Sealmill__Record__V1__OcspRecord *r = sealmill__record__v1__ocsp_record__unpack(
            NULL, good.len, good.ptr);
        assert_non_null(r);
        r->version += i == 0;
        r->layout += i == 1;
        r->status = i == 2 ? 3 : r->status;
        r->reason = i == 3 ? 12 : r->reason;
        r->signature.len = i == 4 ? 0 : r->signature.len;
        size_t len = sealmill__record__v1__ocsp_record__pack(r, packed);
        assert_sm_err(sm_ocsp_row_unpack(sm_slice_of(packed, len), &row), CORRUPT);
        r->signature.len = 64;
        sealmill__record__v1__ocsp_record__free_unpacked(r, NULL);
    }
    sm_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ocsp_record__keys_come_back),
        cmocka_unit_test(ocsp_record__answers_come_back),
        cmocka_unit_test(ocsp_record__refuses_what_it_does_not_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
