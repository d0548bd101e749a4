/* SPDX-License-Identifier: Apache-2.0 */
/* Messages from octets: broken ones, bad text, memory. */
#include "tests/support/support.h"

#include "base/check.h"
#include "base/mem.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "proto/message.h"

#include <string.h>

#define ISSUE &sealmill__v1__issue_request__descriptor

static const char text[] =
    "{\"ca\":\"a\",\"profile\":\"p\",\"csr\":\"AQID\",\"subject\":{\"attributes\":["
    "{\"type\":\"CN\",\"value\":\"v\"}]},\"sans\":[{\"dns\":\"x\"},{\"other\":{"
    "\"typeId\":\"1.2\",\"value\":\"BQA=\"}}],\"validitySeconds\":\"-1\","
    "\"metadata\":{\"k\":\"v\"},\"notBefore\":\"2026-01-31T12:00:00Z\"}";

static sm_arena arena;
static sm_buf packed;

static int set_up(void **state)
{
    (void)state;
    ProtobufCMessage *m;
    sm_arena_init(&arena, 8U << 20);
    packed = sm_buf_init(4096);
    if (!sm_ok(sm_message_from_json(ISSUE, sm_slice_str(text), &arena, &m, NULL))) {
        return -1;
    }
    return sm_ok(sm_message_pack(m, &packed)) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sm_buf_deinit(&packed);
    sm_arena_deinit(&arena);
    return 0;
}

static void message__there_and_back_is_the_same(void **state)
{
    (void)state;
    ProtobufCMessage *m;
    ProtobufCMessage *copy;
    sm_buf again = sm_buf_init(4096);
    assert_sm_ok(sm_message_unpack(ISSUE, sm_buf_slice(&packed), &arena, &m));
    assert_sm_ok(sm_message_copy(m, &arena, &copy));
    assert_ptr_not_equal(m, copy);
    assert_sm_ok(sm_message_pack(copy, &again));
    assert_true(sm_slice_equal(sm_buf_slice(&packed), sm_buf_slice(&again)));
    sm_buf_deinit(&again);
}

static void message__nothing_is_an_empty_message(void **state)
{
    (void)state;
    ProtobufCMessage *m;
    sm_buf out = sm_buf_init(16);
    assert_sm_ok(sm_message_unpack(ISSUE, SM_SLICE_NONE, &arena, &m));
    assert_string_equal(((Sealmill__V1__IssueRequest *)(void *)m)->ca, "");
    assert_sm_ok(sm_message_pack(m, &out));
    assert_int_equal(out.len, 0);
    sm_buf_deinit(&out);
}

/* Every prefix and every bent octet, from memory of the exact size: read or refused. */
static void message__bent_octets_are_read_or_refused(void **state)
{
    (void)state;
    for (size_t len = 0; len <= packed.len; len++) {
        uint8_t *copy = sm_malloc(len);
        ProtobufCMessage *m = NULL;
        memcpy(copy, packed.ptr, len);
        sm_err err = sm_message_unpack(ISSUE, sm_slice_of(copy, len), &arena, &m);
        assert_true(sm_ok(err) || sm_err_is(err, SM_E_MALFORMED));
        assert_int_equal(m != NULL, sm_ok(err));
        for (size_t i = 0; i < len && len == packed.len; i++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                copy[i] ^= (uint8_t)(1U << bit);
                err = sm_message_unpack(ISSUE, sm_slice_of(copy, len), &arena, &m);
                assert_true(sm_ok(err) || sm_err_is(err, SM_E_MALFORMED));
                copy[i] ^= (uint8_t)(1U << bit);
            }
            sm_arena_reset(&arena);
        }
        sm_free(copy);
    }
}

static void message__bad_text_is_refused_wherever_it_stands(void **state)
{
    (void)state;
    ProtobufCMessage *m;
    static const char *const bad[] = {
        "\x0a\x01\xff",                 /* ca */
        "\x22\x05\x0a\x03\x0a\x01\x80", /* subject.attributes.type */
        "\x2a\x03\x0a\x01\xc0",         /* sans.dns */
        "\x2a\x05\x32\x03\x0a\x01\xff", /* sans.other.type_id */
        "\x42\x03\x0a\x01\xff",         /* a key of metadata */
        "\x42\x03\x12\x01\xff",         /* a value of it */
        "\x0a\x03\xed\xa0\x80",         /* a surrogate */
        "\x0a\x02\xc1\x81",             /* overlong */
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_sm_err(sm_message_unpack(ISSUE, sm_slice_str(bad[i]), &arena, &m), MALFORMED);
    }
    assert_sm_ok(sm_message_unpack(ISSUE, SM_LIT("\x1a\x01\xff"), &arena, &m)); /* csr: octets */
}

/* A peer of a newer version sends fields that we do not know. */
static void message__unknown_fields_are_passed_over(void **state)
{
    (void)state;
    ProtobufCMessage *m;
    assert_sm_ok(
        sm_message_unpack(ISSUE, SM_LIT("\x0a\x01\x61\xf8\x07\x05\xfa\x07\x01\xff"), &arena, &m));
    assert_string_equal(((Sealmill__V1__IssueRequest *)(void *)m)->ca, "a");
}

static void message__the_last_of_a_field_given_twice_counts(void **state)
{
    (void)state;
    ProtobufCMessage *m;
    assert_sm_ok(sm_message_unpack(ISSUE, SM_LIT("\x0a\x01\x61\x0a\x01\x62"), &arena, &m));
    assert_string_equal(((Sealmill__V1__IssueRequest *)(void *)m)->ca, "b");
    assert_sm_ok(sm_message_unpack(ISSUE, SM_LIT("\x2a\x06\x0a\x01\x61\x12\x01\x62"), &arena, &m));
    assert_string_equal(((Sealmill__V1__IssueRequest *)(void *)m)->sans[0]->email, "b");
}

static void message__too_small_an_arena_is_no_memory(void **state)
{
    (void)state;
    bool enough = false;
    for (size_t cap = 0; cap < 65536 && !enough; cap += 8) {
        sm_arena small;
        ProtobufCMessage *m = NULL;
        sm_arena_init(&small, cap);
        sm_err err = sm_message_unpack(ISSUE, sm_buf_slice(&packed), &small, &m);
        enough = sm_ok(err);
        if (!enough) {
            assert_sm_err(err, NO_MEMORY);
            assert_null(m);
        }
        sm_arena_deinit(&small);
    }
    assert_true(enough);
}

static void message__every_room_too_small_to_pack_is_said(void **state)
{
    (void)state;
    ProtobufCMessage *m;
    assert_sm_ok(sm_message_unpack(ISSUE, sm_buf_slice(&packed), &arena, &m));
    for (size_t cap = 0; cap < packed.len; cap++) {
        sm_buf out = sm_buf_init(cap);
        assert_sm_err(sm_message_pack(m, &out), TOO_LARGE);
        sm_buf_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message__there_and_back_is_the_same),
        cmocka_unit_test(message__nothing_is_an_empty_message),
        cmocka_unit_test(message__bent_octets_are_read_or_refused),
        cmocka_unit_test(message__bad_text_is_refused_wherever_it_stands),
        cmocka_unit_test(message__unknown_fields_are_passed_over),
        cmocka_unit_test(message__the_last_of_a_field_given_twice_counts),
        cmocka_unit_test(message__too_small_an_arena_is_no_memory),
        cmocka_unit_test(message__every_room_too_small_to_pack_is_said),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
