/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text codecs: nothing crashes, what a decoder takes it takes canonically, decode(encode(x)) is
 * x.
 *
 * The first octet picks the codec, the rest is its input.
 */
#include <stdint.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"

#define OUT_CAP (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef void encoder(sm_buf *out, sm_slice in);
typedef sm_err decoder(sm_buf *out, sm_slice in);

static sm_err decode_hex(sm_buf *out, sm_slice in)
{
    return sm_hex_decode(out, in, false);
}

static sm_err decode_hex_colons(sm_buf *out, sm_slice in)
{
    return sm_hex_decode(out, in, true);
}

static sm_err decode_base64(sm_buf *out, sm_slice in)
{
    return sm_base64_decode(out, in, SM_BASE64_STRICT);
}

static sm_err decode_base64_lax(sm_buf *out, sm_slice in)
{
    return sm_base64_decode(out, in, SM_BASE64_SPACE | SM_BASE64_URL | SM_BASE64_NO_PAD);
}

static void encode_pem(sm_buf *out, sm_slice in)
{
    sm_pem_encode(out, "CERTIFICATE REQUEST", in);
}

static sm_err decode_pem(sm_buf *out, sm_slice in)
{
    sm_slice label;
    return sm_pem_next(&in, &label, out);
}

static const struct codec {
    encoder *encode;
    decoder *decode;
    bool canonical; /* one text for each value */
} codecs[] = {
    {sm_base64_encode, decode_base64, true},
    {sm_base64url_encode, decode_base64_lax, false},
    {sm_hex_encode, decode_hex, false},
    {sm_hex_encode, decode_hex_colons, false},
    {sm_percent_encode, sm_percent_decode, false},
    {encode_pem, decode_pem, false},
};

static void check_round_trip(const struct codec *codec, sm_slice value)
{
    sm_buf text = sm_buf_init(OUT_CAP * 4);
    sm_buf back = sm_buf_init(OUT_CAP);
    codec->encode(&text, value);
    SM_CHECK(sm_ok(sm_buf_err(&text)));
    SM_CHECK(sm_ok(codec->decode(&back, sm_buf_slice(&text))));
    SM_CHECK(sm_slice_equal(sm_buf_slice(&back), value));
    sm_buf_deinit(&text);
    sm_buf_deinit(&back);
}

static void check_codec(const struct codec *codec, sm_slice in)
{
    sm_buf value = sm_buf_init(OUT_CAP);
    sm_buf_put_byte(&value, 'k');
    if (!sm_ok(codec->decode(&value, in))) {
        SM_CHECK(value.len == 1);
    } else if (codec->canonical) {
        sm_buf again = sm_buf_init(OUT_CAP * 4);
        codec->encode(&again, sm_slice_from(sm_buf_slice(&value), 1));
        SM_CHECK(sm_slice_equal(sm_buf_slice(&again), in));
        sm_buf_deinit(&again);
    }
    SM_CHECK(value.ptr[0] == 'k');
    sm_buf_deinit(&value);
    check_round_trip(codec, in);
}

static void check_pem_walk(sm_slice in)
{
    sm_buf out = sm_buf_init(OUT_CAP);
    sm_slice label;
    size_t left = in.len;
    while (sm_ok(sm_pem_next(&in, &label, &out))) {
        SM_CHECK(in.len < left); /* it ends */
        left = in.len;
    }
    sm_buf_deinit(&out);
}

static void check_numbers(sm_slice in)
{
    char text[SM_RFC3339_SIZE];
    int64_t s;
    int64_t again;
    uint64_t n;
    if (sm_ok(sm_clock_parse(in, &s))) {
        SM_CHECK(sm_ok(sm_clock_parse(sm_slice_str(sm_clock_format(s, text)), &again)));
        SM_CHECK(again == s);
    }
    if (sm_ok(sm_duration_parse(in, &s))) {
        SM_CHECK(s >= 0);
    }
    if (sm_ok(sm_decimal_parse(in, &n))) {
        sm_buf out = sm_buf_init(32);
        sm_buf_put_decimal(&out, n);
        SM_CHECK(sm_slice_ends_with(in, sm_buf_slice(&out)));
        sm_buf_deinit(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > OUT_CAP / 2) {
        return 0;
    }
    sm_slice in = sm_slice_of(data + 1, size - 1);
    size_t pick = data[0] % (SM_ARRAY_LEN(codecs) + 2);
    if (pick < SM_ARRAY_LEN(codecs)) {
        check_codec(&codecs[pick], in);
    } else if (pick == SM_ARRAY_LEN(codecs)) {
        check_pem_walk(in);
    } else {
        check_numbers(in);
    }
    return 0;
}
