/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"

static void assert_decodes(const char *text, unsigned flags, sm_slice want)
{
    sm_buf out = sm_buf_init(want.len);
    assert_sm_ok(sm_base64_decode(&out, sm_slice_str(text), flags));
    assert_true(sm_slice_equal(sm_buf_slice(&out), want));
    sm_buf_deinit(&out);
}

static void assert_refused(const char *text, unsigned flags)
{
    sm_buf out = sm_buf_init(64);
    sm_buf_put(&out, SM_LIT("kept"));
    assert_sm_err(sm_base64_decode(&out, sm_slice_str(text), flags), MALFORMED);
    assert_true(sm_slice_equal(sm_buf_slice(&out), SM_LIT("kept")));
    sm_buf_deinit(&out);
}

/* RFC 4648 10. */
static void base64__knows_the_vectors_of_the_rfc(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(vectors); i++) {
        sm_slice plain = sm_slice_str(vectors[i][0]);
        sm_slice text = sm_slice_str(vectors[i][1]);
        sm_buf out = sm_buf_init(text.len);
        sm_base64_encode(&out, plain);
        assert_sm_ok(sm_buf_err(&out));
        assert_true(sm_slice_equal(sm_buf_slice(&out), text));
        sm_buf_deinit(&out);
        assert_decodes(vectors[i][1], SM_BASE64_STRICT, plain);
    }
}

static void base64__url_form_has_no_padding(void **state)
{
    (void)state;
    sm_buf out = sm_buf_init(6);
    sm_base64url_encode(&out, SM_LIT("\xfb\xff\xfe\xff"));
    assert_sm_ok(sm_buf_err(&out));
    assert_true(sm_slice_equal(sm_buf_slice(&out), SM_LIT("-__-_w")));
    sm_buf_deinit(&out);
    assert_decodes("-__-_w", SM_BASE64_URL | SM_BASE64_NO_PAD, SM_LIT("\xfb\xff\xfe\xff"));
    assert_decodes("+//+/w==", SM_BASE64_URL | SM_BASE64_NO_PAD, SM_LIT("\xfb\xff\xfe\xff"));
    assert_refused("-__-_w==", SM_BASE64_STRICT);
    assert_refused("-__-_w", SM_BASE64_URL);
}

static void base64__every_length_round_trips_both_ways(void **state)
{
    (void)state;
    for (size_t len = 0; len < 200; len++) {
        uint8_t plain[200];
        sm_rand_bytes(plain, len);
        sm_buf text = sm_buf_init(400);
        sm_buf back = sm_buf_init(len);
        sm_base64_encode(&text, sm_slice_of(plain, len));
        assert_int_equal(text.len % 4, 0);
        assert_sm_ok(sm_base64_decode(&back, sm_buf_slice(&text), SM_BASE64_STRICT));
        assert_true(sm_slice_equal(sm_buf_slice(&back), sm_slice_of(plain, len)));
        sm_buf_reset(&text);
        sm_buf_reset(&back);
        sm_base64url_encode(&text, sm_slice_of(plain, len));
        assert_sm_ok(
            sm_base64_decode(&back, sm_buf_slice(&text), SM_BASE64_URL | SM_BASE64_NO_PAD));
        assert_true(sm_slice_equal(sm_buf_slice(&back), sm_slice_of(plain, len)));
        sm_buf_deinit(&text);
        sm_buf_deinit(&back);
    }
}

static void base64__refuses_what_is_not_canonical(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Zg",
        "Zg=",
        "Zg===",
        "Z",
        "Z===",
        "=",
        "====",
        "Zm9v=",
        "Zm9v====",
        "Zh==",
        /* trailing bits */ "Zm9=",
        "Zg==Zg==",
        "Zg=a",
        "Zg=A",
        "Z=g=",
        "Zm8=\n",
        " Zm8=",
        "Zm\n8=",
        "Zm8*",
        "Zm-_",
        "\xff\xff\xff\xff",
        "Zm9v\x80\x80\x80\x80",
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_refused(bad[i], SM_BASE64_STRICT);
    }
    assert_refused("Z", SM_BASE64_NO_PAD);
    assert_refused("Zg=", SM_BASE64_NO_PAD);
    assert_refused("Zh", SM_BASE64_NO_PAD);
}

static void base64__skips_space_anywhere_if_told(void **state)
{
    (void)state;
    assert_decodes(" Z m\r\n9\tv\nY g = \n = ", SM_BASE64_SPACE, SM_LIT("foob"));
    assert_decodes(" \n ", SM_BASE64_SPACE, SM_SLICE_NONE);
    assert_refused("Zg==\nZg==", SM_BASE64_SPACE);
    assert_refused("Zm9v\x0bZm9v", SM_BASE64_SPACE);
    assert_decodes("Zm 9vYg", SM_BASE64_SPACE | SM_BASE64_NO_PAD, SM_LIT("foob"));
}

static void base64__stops_at_the_cap_and_at_no_memory(void **state)
{
    (void)state;
    sm_buf out = sm_buf_init(5);
    assert_sm_err(sm_base64_decode(&out, SM_LIT("Zm9vYmFy"), SM_BASE64_STRICT), TOO_LARGE);
    assert_int_equal(out.len, 0);
    sm_buf_deinit(&out);
    sm_mem_fail_at(1);
    assert_sm_err(sm_base64_decode(&out, SM_LIT("Zm9v"), SM_BASE64_STRICT), NO_MEMORY);
    sm_mem_fail_at(0);
    sm_buf_deinit(&out);
}

static void pem__round_trips_with_lines_of_64(void **state)
{
    (void)state;
    for (size_t len = 0; len < 150; len++) {
        uint8_t der[150];
        sm_rand_bytes(der, len);
        sm_buf text = sm_buf_init(1024);
        sm_buf back = sm_buf_init(len);
        sm_pem_encode(&text, "X Y", sm_slice_of(der, len));
        assert_sm_ok(sm_buf_err(&text));
        sm_slice rest = sm_buf_slice(&text);
        sm_slice lines = rest;
        while (lines.len > 0) {
            assert_true(sm_slice_split(&lines, '\n').len <= 64);
        }
        sm_slice label;
        assert_sm_ok(sm_pem_next(&rest, &label, &back));
        assert_true(sm_slice_equal(label, SM_LIT("X Y")));
        assert_true(sm_slice_equal(sm_buf_slice(&back), sm_slice_of(der, len)));
        assert_sm_err(sm_pem_next(&rest, &label, &back), NOT_FOUND);
        sm_buf_deinit(&text);
        sm_buf_deinit(&back);
    }
}

static void pem__reads_block_after_block_past_other_text(void **state)
{
    (void)state;
    sm_slice text = SM_LIT("subject=x\r\n-----BEGIN A-----\r\nZm9v\r\n-----END A-----\r\n# note\n"
                           "-----BEGIN B C-----\nYm\nFy\n-----END B C----- tail");
    sm_slice label;
    sm_buf out = sm_buf_init(64);
    assert_sm_ok(sm_pem_next(&text, &label, &out));
    assert_true(sm_slice_equal(label, SM_LIT("A")));
    assert_sm_ok(sm_pem_next(&text, &label, &out));
    assert_true(sm_slice_equal(label, SM_LIT("B C")));
    assert_true(sm_slice_equal(sm_buf_slice(&out), SM_LIT("foobar")));
    assert_true(sm_slice_equal(text, SM_LIT(" tail")));
    assert_sm_err(sm_pem_next(&text, &label, &out), NOT_FOUND);
    sm_buf_deinit(&out);
}

static void pem__refuses_broken_blocks_and_moves_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "-----BEGIN ",
        "-----BEGIN A",
        "-----BEGIN A-----",
        "-----BEGIN A-----\nZm9v\n",
        "-----BEGIN A-----\nZm9v\n-----END ",
        "-----BEGIN A-----\nZm9v\n-----END A",
        "-----BEGIN A-----\nZm9v\n-----END A----",
        "-----BEGIN A-----\nZm9v\n-----END B-----",
        "-----BEGIN A-----\nZm9v\n-----END AB-----",
        "-----BEGIN A-----\nZm9\n-----END A-----",
        "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nZm9v\n-----END A-----",
        "-----BEGIN A-----\nZm9v\n-----BEGIN A-----\nZm9v\n-----END A-----",
        "-----BEGIN A\nB-----\nZm9v\n-----END A\nB-----",
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        sm_slice text = sm_slice_str(bad[i]);
        sm_slice label = SM_LIT("before");
        sm_buf out = sm_buf_init(64);
        assert_sm_err(sm_pem_next(&text, &label, &out), MALFORMED);
        assert_true(sm_slice_equal(text, sm_slice_str(bad[i])));
        assert_true(sm_slice_equal(label, SM_LIT("before")));
        assert_int_equal(out.len, 0);
        sm_buf_deinit(&out);
    }
}

static void pem__refuses_a_label_of_absurd_length(void **state)
{
    (void)state;
    for (int len = 60; len < 70; len++) {
        char text[300];
        char label[80];
        memset(label, 'A', sizeof(label));
        (void)snprintf(text, sizeof(text), "-----BEGIN %.*s-----\nZm9v\n-----END %.*s-----", len,
                       label, len, label);
        sm_slice rest = sm_slice_str(text);
        sm_slice got;
        sm_buf out = sm_buf_init(64);
        assert_string_equal(sm_err_name(sm_pem_next(&rest, &got, &out)),
                            len <= 64 ? "ok" : "malformed");
        sm_buf_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64__knows_the_vectors_of_the_rfc),
        cmocka_unit_test(base64__url_form_has_no_padding),
        cmocka_unit_test(base64__every_length_round_trips_both_ways),
        cmocka_unit_test(base64__refuses_what_is_not_canonical),
        cmocka_unit_test(base64__skips_space_anywhere_if_told),
        cmocka_unit_test(base64__stops_at_the_cap_and_at_no_memory),
        cmocka_unit_test(pem__round_trips_with_lines_of_64),
        cmocka_unit_test(pem__reads_block_after_block_past_other_text),
        cmocka_unit_test(pem__refuses_broken_blocks_and_moves_nothing),
        cmocka_unit_test(pem__refuses_a_label_of_absurd_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
