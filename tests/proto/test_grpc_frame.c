/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "base/check.h"
#include "base/mem.h"
#include "proto/grpc.h"

#define MAX 64

static void put_frame(sm_buf *out, sm_slice message, bool compressed)
{
    sm_grpc_frame_header(out, (uint32_t)message.len, compressed);
    sm_buf_put(out, message);
}

static void put_gzip_frame(sm_buf *out, sm_slice message)
{
    sm_buf zipped = sm_buf_init(1U << 20);
    assert_sm_ok(sm_gzip_deflate(message, &zipped));
    put_frame(out, sm_buf_slice(&zipped), true);
    sm_buf_deinit(&zipped);
}

static void assert_slice(sm_slice got, sm_slice want)
{
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.ptr == NULL ? (const uint8_t *)"" : got.ptr, want.ptr, want.len);
}

/* Reads `wire` as one piece and says what comes out of it as `err`. */
static sm_err read_one(sm_slice wire, uint32_t max, bool gzip, size_t *messages)
{
    sm_grpc_reader r;
    sm_slice message;
    sm_err err;
    sm_grpc_reader_init(&r, max, gzip);
    *messages = 0;
    /* A copy of the exact size: a reader that goes past it is seen by AddressSanitizer. */
    uint8_t *copy = sm_malloc(wire.len + 1);
    memcpy(copy + 1, wire.ptr, wire.len);
    sm_slice in = sm_slice_of(copy + 1, wire.len);
    while (sm_grpc_reader_next(&r, &in, &message, &err)) {
        (*messages)++;
    }
    sm_grpc_reader_deinit(&r);
    sm_free(copy);
    return err;
}

static void frame__header_is_a_flag_and_a_big_endian_length(void **state)
{
    (void)state;
    sm_buf out = sm_buf_init(64);
    sm_grpc_frame_header(&out, 0x01020304, false);
    sm_grpc_frame_header(&out, UINT32_MAX, true);
    assert_slice(sm_buf_slice(&out), SM_LIT("\0\1\2\3\4\1\xff\xff\xff\xff"));
    sm_buf_deinit(&out);
}

static void frame__whole_message_is_borrowed_from_the_input(void **state)
{
    (void)state;
    sm_grpc_reader r;
    sm_slice wire = SM_LIT("\0\0\0\0\3abc");
    sm_slice in = wire;
    sm_slice message;
    sm_err err;
    sm_grpc_reader_init(&r, MAX, false);
    assert_true(sm_grpc_reader_next(&r, &in, &message, &err));
    assert_sm_ok(err);
    assert_slice(message, SM_LIT("abc"));
    assert_ptr_equal(message.ptr, wire.ptr + 5); /* no copy */
    assert_int_equal(in.len, 0);
    assert_false(sm_grpc_reader_is_partial(&r));
    assert_false(sm_grpc_reader_next(&r, &in, &message, &err));
    assert_sm_ok(err);
    sm_grpc_reader_deinit(&r);
}

static void frame__several_in_one_piece(void **state)
{
    (void)state;
    sm_buf wire = sm_buf_init(4096);
    put_frame(&wire, SM_LIT("one"), false);
    put_frame(&wire, SM_LIT(""), false);
    put_gzip_frame(&wire, SM_LIT("three, three, three"));
    put_frame(&wire, SM_LIT("4"), false);
    sm_buf_put(&wire, SM_LIT("\0\0")); /* the fifth begins */
    static const char *const want[] = {"one", "", "three, three, three", "4"};
    sm_grpc_reader r;
    sm_slice in = sm_buf_slice(&wire);
    sm_slice message;
    sm_err err;
    sm_grpc_reader_init(&r, MAX, true);
    for (size_t i = 0; i < SM_ARRAY_LEN(want); i++) {
        assert_true(sm_grpc_reader_next(&r, &in, &message, &err));
        assert_slice(message, sm_slice_str(want[i]));
    }
    assert_false(sm_grpc_reader_next(&r, &in, &message, &err));
    assert_sm_ok(err);
    assert_int_equal(in.len, 0);
    assert_true(sm_grpc_reader_is_partial(&r));
    sm_grpc_reader_deinit(&r);
    sm_buf_deinit(&wire);
}

/* Every cut of the stream into pieces of `step` octets gives the same messages. */
static void check_pieces(sm_slice wire, size_t step, const char *const *want, size_t count)
{
    sm_grpc_reader r;
    sm_slice message;
    sm_err err;
    size_t got = 0;
    sm_grpc_reader_init(&r, MAX, true);
    for (size_t at = 0; at < wire.len; at += step) {
        sm_slice part = sm_slice_first(sm_slice_from(wire, at), step);
        uint8_t *copy = sm_malloc(part.len); /* gone after this piece */
        memcpy(copy, part.ptr, part.len);
        sm_slice in = sm_slice_of(copy, part.len);
        while (sm_grpc_reader_next(&r, &in, &message, &err)) {
            assert_true(got < count);
            assert_slice(message, sm_slice_str(want[got]));
            got++;
        }
        assert_sm_ok(err);
        assert_int_equal(in.len, 0);
        sm_free(copy);
    }
    assert_int_equal(got, count);
    assert_false(sm_grpc_reader_is_partial(&r));
    sm_grpc_reader_deinit(&r);
}

static void frame__any_cut_gives_the_same_messages(void **state)
{
    (void)state;
    static const char *const want[] = {"first", "", "a zipped one, a zipped one", "", "last"};
    sm_buf wire = sm_buf_init(4096);
    put_frame(&wire, SM_LIT("first"), false);
    put_frame(&wire, SM_LIT(""), false);
    put_gzip_frame(&wire, SM_LIT("a zipped one, a zipped one"));
    put_gzip_frame(&wire, SM_LIT(""));
    put_frame(&wire, SM_LIT("last"), false);
    for (size_t step = 1; step <= wire.len; step++) {
        check_pieces(sm_buf_slice(&wire), step, want, SM_ARRAY_LEN(want));
    }
    sm_buf_deinit(&wire);
}

static void frame__partial_is_known_at_every_octet(void **state)
{
    (void)state;
    static const uint8_t wire[] = {0, 0, 0, 0, 2, 'x', 'y'};
    sm_grpc_reader r;
    sm_slice message;
    sm_err err;
    sm_grpc_reader_init(&r, MAX, false);
    assert_false(sm_grpc_reader_is_partial(&r));
    for (size_t i = 0; i < sizeof(wire); i++) {
        sm_slice in = sm_slice_of(wire + i, 1);
        bool whole = sm_grpc_reader_next(&r, &in, &message, &err);
        assert_sm_ok(err);
        assert_int_equal(whole, i == sizeof(wire) - 1);
        assert_int_equal(sm_grpc_reader_is_partial(&r), !whole);
    }
    assert_slice(message, SM_LIT("xy"));
    sm_grpc_reader_deinit(&r);
}

static void frame__refuses_every_bad_flag(void **state)
{
    (void)state;
    size_t n;
    for (unsigned flag = 0; flag < 256; flag++) {
        const uint8_t wire[] = {(uint8_t)flag, 0, 0, 0, 1, 'x'};
        sm_err plain = read_one(sm_slice_of(wire, sizeof(wire)), MAX, false, &n);
        if (flag == 0) {
            assert_sm_ok(plain);
            assert_int_equal(n, 1);
        } else { /* 1 too: nobody said grpc-encoding */
            assert_sm_err(plain, MALFORMED);
            assert_int_equal(n, 0);
        }
        if (flag > 1) {
            assert_sm_err(read_one(sm_slice_of(wire, sizeof(wire)), MAX, true, &n), MALFORMED);
        }
    }
}

static void frame__length_is_checked_before_the_message_comes(void **state)
{
    (void)state;
    size_t n;
    assert_sm_err(read_one(SM_LIT("\0\0\0\0\x41"), MAX, false, &n), TOO_LARGE);
    assert_sm_err(read_one(SM_LIT("\0\xff\xff\xff\xff"), MAX, false, &n), TOO_LARGE);
    assert_sm_err(read_one(SM_LIT("\1\0\1\0\0"), MAX, true, &n), TOO_LARGE);
    assert_sm_err(read_one(SM_LIT("\0\0\0\0\1x"), 0, false, &n), TOO_LARGE);
    assert_sm_ok(read_one(SM_LIT("\0\0\0\0\x40"), MAX, false, &n)); /* exactly the limit */
    assert_int_equal(n, 0);
}

static void frame__exactly_the_limit_passes_whole_and_in_pieces(void **state)
{
    (void)state;
    char full[MAX + 1];
    memset(full, 'm', MAX);
    full[MAX] = '\0';
    const char *const want[] = {full};
    sm_buf wire = sm_buf_init(4096);
    put_frame(&wire, sm_slice_of(full, MAX), false);
    check_pieces(sm_buf_slice(&wire), 1, want, 1);
    check_pieces(sm_buf_slice(&wire), 7, want, 1);
    check_pieces(sm_buf_slice(&wire), wire.len, want, 1);
    sm_buf_reset(&wire);
    put_gzip_frame(&wire, sm_slice_of(full, MAX)); /* the plain text may fill the limit as well */
    check_pieces(sm_buf_slice(&wire), 3, want, 1);
    check_pieces(sm_buf_slice(&wire), wire.len, want, 1);
    sm_buf_deinit(&wire);
}

static void frame__error_stays_and_gives_no_message(void **state)
{
    (void)state;
    sm_grpc_reader r;
    sm_slice message = SM_LIT("untouched");
    sm_slice in = SM_LIT("\7\0\0\0\1x");
    sm_err err;
    sm_grpc_reader_init(&r, MAX, true);
    assert_false(sm_grpc_reader_next(&r, &in, &message, &err));
    assert_sm_err(err, MALFORMED);
    sm_slice more = SM_LIT("\0\0\0\0\1y");
    assert_false(sm_grpc_reader_next(&r, &more, &message, &err));
    assert_sm_err(err, MALFORMED); /* out of step for good */
    assert_slice(message, SM_LIT("untouched"));
    sm_grpc_reader_deinit(&r);
}

/* ---- gzip ---- */

static void gzip__round_trips_any_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 4095, 4096, 4097, 70000};
    sm_buf zipped = sm_buf_init(1U << 20);
    sm_buf plain = sm_buf_init(1U << 20);
    uint8_t *text = sm_malloc(70000);
    for (size_t i = 0; i < 70000; i++) {
        text[i] = (uint8_t)(i * 7 + i / 251);
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(sizes); i++) {
        sm_buf_reset(&zipped);
        sm_buf_reset(&plain);
        assert_sm_ok(sm_gzip_deflate(sm_slice_of(text, sizes[i]), &zipped));
        assert_sm_ok(sm_gzip_inflate(sm_buf_slice(&zipped), &plain));
        assert_slice(sm_buf_slice(&plain), sm_slice_of(text, sizes[i]));
    }
    sm_free(text);
    sm_buf_deinit(&zipped);
    sm_buf_deinit(&plain);
}

static void gzip__exact_room_is_enough(void **state)
{
    (void)state;
    sm_buf zipped = sm_buf_init(1U << 20);
    uint8_t text[9000];
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t)(i * i >> 3);
    }
    static const size_t sizes[] = {1, 4096, 8192, 9000};
    for (size_t i = 0; i < SM_ARRAY_LEN(sizes); i++) {
        sm_buf_reset(&zipped);
        assert_sm_ok(sm_gzip_deflate(sm_slice_of(text, sizes[i]), &zipped));
        sm_buf exact = sm_buf_init(sizes[i]);
        sm_buf short_of_one = sm_buf_init(sizes[i] - 1);
        assert_sm_ok(sm_gzip_inflate(sm_buf_slice(&zipped), &exact));
        assert_slice(sm_buf_slice(&exact), sm_slice_of(text, sizes[i]));
        assert_sm_err(sm_gzip_inflate(sm_buf_slice(&zipped), &short_of_one), TOO_LARGE);
        sm_buf_deinit(&exact);
        sm_buf_deinit(&short_of_one);
    }
    sm_buf_deinit(&zipped);
}

static void gzip__every_truncation_and_every_flipped_octet_is_safe(void **state)
{
    (void)state;
    sm_buf zipped = sm_buf_init(4096);
    sm_buf plain = sm_buf_init(4096);
    sm_slice text = SM_LIT("abcabcabcabc, and something else");
    assert_sm_ok(sm_gzip_deflate(text, &zipped));
    for (size_t len = 0; len < zipped.len; len++) {
        sm_buf_reset(&plain);
        assert_sm_err(sm_gzip_inflate(sm_slice_first(sm_buf_slice(&zipped), len), &plain),
                      MALFORMED);
    }
    for (size_t i = 0; i < zipped.len; i++) {
        sm_buf_reset(&plain);
        zipped.ptr[i] ^= 0x55;
        sm_err err = sm_gzip_inflate(sm_buf_slice(&zipped), &plain);
        zipped.ptr[i] ^= 0x55;
        /* Only the header's time, its XFL and its system may be anything (RFC 1952 2.3.1). */
        bool free_octet = i >= 4 && i <= 9;
        assert_true(free_octet ? sm_ok(err) : !sm_ok(err));
    }
    sm_buf_deinit(&zipped);
    sm_buf_deinit(&plain);
}

static void gzip__refuses_other_formats_and_what_follows(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "x", "not gzip at all", "\x1f\x8b", "\x78\x9c\x03"};
    sm_buf plain = sm_buf_init(4096);
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        sm_buf_reset(&plain);
        assert_sm_err(sm_gzip_inflate(sm_slice_str(bad[i]), &plain), MALFORMED);
    }
    sm_buf zipped = sm_buf_init(4096);
    assert_sm_ok(sm_gzip_deflate(SM_LIT("x"), &zipped));
    sm_buf_put_byte(&zipped, 0);
    sm_buf_reset(&plain);
    assert_sm_err(sm_gzip_inflate(sm_buf_slice(&zipped), &plain), MALFORMED);
    sm_buf_deinit(&zipped);
    sm_buf_deinit(&plain);
}

static void gzip__bomb_stops_at_the_limit(void **state)
{
    (void)state;
    sm_buf zipped = sm_buf_init(1U << 20);
    size_t zeros = 32U << 20;
    uint8_t *text = sm_calloc(1, zeros);
    assert_sm_ok(sm_gzip_deflate(sm_slice_of(text, zeros), &zipped));
    sm_free(text);
    assert_true(zipped.len < 200000);
    sm_buf wire = sm_buf_init(1U << 20);
    put_frame(&wire, sm_buf_slice(&zipped), true);
    size_t n;
    assert_sm_err(read_one(sm_buf_slice(&wire), 200000, true, &n), TOO_LARGE);
    assert_int_equal(n, 0);
    sm_buf plain = sm_buf_init(200000);
    assert_sm_err(sm_gzip_inflate(sm_buf_slice(&zipped), &plain), TOO_LARGE);
    assert_true(plain.room <= 400000); /* it never held more than its cap asks for */
    sm_buf_deinit(&plain);
    sm_buf_deinit(&wire);
    sm_buf_deinit(&zipped);
}

static void gzip__bad_frame_is_an_error_of_the_stream(void **state)
{
    (void)state;
    size_t n;
    assert_sm_err(read_one(SM_LIT("\1\0\0\0\4junk"), MAX, true, &n), MALFORMED);
    assert_int_equal(n, 0);
    assert_sm_err(read_one(SM_LIT("\1\0\0\0\0"), MAX, true, &n), MALFORMED);
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame__header_is_a_flag_and_a_big_endian_length),
        cmocka_unit_test(frame__whole_message_is_borrowed_from_the_input),
        cmocka_unit_test(frame__several_in_one_piece),
        cmocka_unit_test(frame__any_cut_gives_the_same_messages),
        cmocka_unit_test(frame__partial_is_known_at_every_octet),
        cmocka_unit_test(frame__refuses_every_bad_flag),
        cmocka_unit_test(frame__length_is_checked_before_the_message_comes),
        cmocka_unit_test(frame__exactly_the_limit_passes_whole_and_in_pieces),
        cmocka_unit_test(frame__error_stays_and_gives_no_message),
        cmocka_unit_test(gzip__round_trips_any_size),
        cmocka_unit_test(gzip__exact_room_is_enough),
        cmocka_unit_test(gzip__every_truncation_and_every_flipped_octet_is_safe),
        cmocka_unit_test(gzip__refuses_other_formats_and_what_follows),
        cmocka_unit_test(gzip__bomb_stops_at_the_limit),
        cmocka_unit_test(gzip__bad_frame_is_an_error_of_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
