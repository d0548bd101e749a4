/* SPDX-License-Identifier: Apache-2.0 */
/* JSON into messages: nesting, size, memory; lists, maps, alternatives and null. */
#include "tests/support/support.h"

#include "base/check.h"
#include "base/mem.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "gen/sealmill/v1/profile.pb-c.h"
#include "proto/message.h"

#include <string.h>

#define ARENA_CAP (8U << 20)
#define ISSUE &sealmill__v1__issue_request__descriptor
#define PROFILE &sealmill__v1__profile__descriptor

static sm_arena arena;
static sm_diag diag;

static int set_up(void **state)
{
    (void)state;
    sm_arena_init(&arena, ARENA_CAP);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_arena_deinit(&arena);
    return 0;
}

static sm_err parse(const ProtobufCMessageDescriptor *type, const char *text, void *out)
{
    ProtobufCMessage *m = NULL;
    sm_diag_clear(&diag);
    sm_err err = sm_message_from_json(type, sm_slice_str(text), &arena, &m, &diag);
    memcpy(out, &m, sizeof(m));
    return err;
}

static void refuse(const ProtobufCMessageDescriptor *type, const char *text, const char *field)
{
    void *m;
    sm_err err = parse(type, text, &m);
    if (sm_ok(err) || strcmp(diag.field, field) != 0) {
        print_error("%.80s: %s, field \"%s\"\n", text, sm_err_name(err), diag.field);
    }
    assert_int_equal(sm_err_category(err), SM_INPUT);
    assert_string_equal(diag.field, field);
    assert_null(m);
}

/* `depth` times `open`, then as often `close`, in a buffer to be freed. */
static char *nested(const char *head, const char *open, const char *close, size_t depth,
                    const char *tail)
{
    sm_buf text = sm_buf_init(16U << 20);
    sm_buf_put_str(&text, head);
    for (size_t i = 0; i < depth; i++) {
        sm_buf_put_str(&text, open);
    }
    for (size_t i = 0; i < depth; i++) {
        sm_buf_put_str(&text, close);
    }
    sm_buf_put_str(&text, tail);
    sm_buf_put_byte(&text, 0);
    assert_sm_ok(sm_buf_err(&text));
    return (char *)text.ptr;
}

/* ---- limits ---- */

static void json__nesting_is_refused_at_any_depth(void **state)
{
    (void)state;
    static const size_t depths[] = {SM_MESSAGE_DEPTH_MAX, SM_MESSAGE_DEPTH_MAX + 1, 1000, 2100,
                                    100000};
    for (size_t i = 0; i < SM_ARRAY_LEN(depths); i++) {
        char *lists = nested("{\"ca\":", "[", "]", depths[i], "}");
        char *maps = nested("{\"ca\":", "{\"a\":", "}", depths[i], "}");
        void *m;
        assert_int_equal(sm_err_category(parse(ISSUE, lists, &m)), SM_INPUT);
        assert_true(diag.reason[0] != '\0');
        assert_int_equal(sm_err_category(parse(ISSUE, maps, &m)), SM_INPUT);
        assert_true(diag.reason[0] != '\0');
        sm_free(lists);
        sm_free(maps);
    }
    char *open = nested("{\"ca\":", "[", "", 100000, "");
    refuse(ISSUE, open, "body");
    sm_free(open);
}

static void json__what_does_not_fit_the_arena_is_refused(void **state)
{
    (void)state;
    char *text = nested("{\"chain\":[1", ",1", "", 500000, "]}");
    void *m;
    assert_sm_err(parse(ISSUE, text, &m), TOO_LARGE);
    assert_string_equal(diag.field, "body");
    assert_null(m);
    sm_free(text);
    sm_arena_reset(&arena);
}

static void json__every_failing_allocation_fails_the_reading_alone(void **state)
{
    (void)state;
    static const char text[] =
        "{\"ca\":\"a\",\"csr\":\"AQID\",\"subject\":{\"attributes\":[{\"type\":"
        "\"CN\",\"value\":\"v\"}]},\"sans\":[{\"dns\":\"x\"}],\"metadata\":{"
        "\"k\":\"v\"},\"notBefore\":\"2026-01-31T12:00:00Z\"}";
    bool failed = true;
    for (size_t n = 1; failed; n++) {
        sm_arena small;
        ProtobufCMessage *m = NULL;
        sm_arena_init(&small, ARENA_CAP);
        sm_mem_fail_at(n);
        sm_err err = sm_message_from_json(ISSUE, sm_slice_str(text), &small, &m, NULL);
        failed = sm_mem_has_failed();
        sm_mem_fail_at(0);
        assert_int_equal(sm_ok(err), !failed);
        assert_int_equal(m != NULL, !failed);
        sm_arena_deinit(&small);
        assert_true(n < 100);
    }
}

static void json__every_cap_of_the_arena_is_refused_or_enough(void **state)
{
    (void)state;
    static const char text[] = "{\"sans\":[{\"dns\":\"x\"},{\"ip\":\"10.0.0.1\"}],\"metadata\":{"
                               "\"a\":\"1\",\"b\":\"2\"},\"csr\":\"AAAA\"}";
    bool enough = false;
    for (size_t cap = 0; cap < 65536 && !enough; cap += 16) {
        sm_arena small;
        ProtobufCMessage *m = NULL;
        sm_arena_init(&small, cap);
        enough = sm_ok(sm_message_from_json(ISSUE, sm_slice_str(text), &small, &m, NULL));
        assert_int_equal(m != NULL, enough);
        sm_arena_deinit(&small);
    }
    assert_true(enough);
}

/* ---- lists ---- */

static void json__lists_keep_their_order(void **state)
{
    (void)state;
    Sealmill__V1__Profile *p;
    assert_sm_ok(parse(PROFILE,
                       "{\"cas\":[\"c\",\"a\",\"b\",\"a\"],\"keyTypes\":[\"ec-p384\",1,"
                       "\"KEY_TYPE_ED25519\"]}",
                       &p));
    assert_int_equal(p->n_cas, 4);
    assert_string_equal(p->cas[0], "c");
    assert_string_equal(p->cas[3], "a");
    assert_int_equal(p->n_key_types, 3);
    assert_int_equal(p->key_types[0], SEALMILL__V1__KEY_TYPE__KEY_TYPE_EC_P384);
    assert_int_equal(p->key_types[1], SEALMILL__V1__KEY_TYPE__KEY_TYPE_EC_P256);
    assert_int_equal(p->key_types[2], SEALMILL__V1__KEY_TYPE__KEY_TYPE_ED25519);
    assert_sm_ok(parse(PROFILE, "{\"cas\":[]}", &p));
    assert_int_equal(p->n_cas, 0);
}

static void json__bad_element_is_named_by_its_place(void **state)
{
    (void)state;
    refuse(PROFILE, "{\"cas\":[\"a\",1]}", "cas[1]");
    refuse(PROFILE, "{\"cas\":\"a\"}", "cas");
    refuse(PROFILE, "{\"cas\":{}}", "cas");
    refuse(PROFILE, "{\"cas\":[[\"a\"]]}", "cas[0]");
    refuse(PROFILE, "{\"keyTypes\":[1,2,77]}", "key_types[2]");
    refuse(ISSUE, "{\"sans\":[{\"dns\":\"a\"},{\"ip\":7}]}", "sans[1].ip");
    refuse(ISSUE, "{\"subject\":{\"attributes\":[{\"value\":{}}]}}", "subject.attributes[0].value");
    refuse(ISSUE, "{\"subject\":[]}", "subject");
    refuse(ISSUE, "{\"subject\":\"CN=x\"}", "subject");
}

/* ---- maps ---- */

static void json__map_is_an_object_of_strings(void **state)
{
    (void)state;
    Sealmill__V1__IssueRequest *m;
    assert_sm_ok(parse(ISSUE, "{\"metadata\":{\"b\":\"2\",\"\":\"\",\"a\":\"1\"}}", &m));
    assert_int_equal(m->n_metadata, 3);
    assert_string_equal(m->metadata[0]->key, "b");
    assert_string_equal(m->metadata[0]->value, "2");
    assert_string_equal(m->metadata[1]->key, "");
    assert_string_equal(m->metadata[2]->value, "1");
    refuse(ISSUE, "{\"metadata\":[]}", "metadata");
    refuse(ISSUE, "{\"metadata\":[{\"key\":\"a\",\"value\":\"b\"}]}", "metadata");
    refuse(ISSUE, "{\"metadata\":\"a=b\"}", "metadata");
    refuse(ISSUE, "{\"metadata\":{\"a\":1}}", "metadata");
    refuse(ISSUE, "{\"metadata\":{\"a\":[]}}", "metadata");
}

/* ---- alternatives ---- */

static void json__only_one_alternative_may_be_given(void **state)
{
    (void)state;
    Sealmill__V1__IssueRequest *m;
    assert_sm_ok(
        parse(ISSUE, "{\"sans\":[{\"email\":\"a@b\"},{\"other\":{\"typeId\":\"1.2\"}}]}", &m));
    assert_int_equal(m->sans[0]->name_case, SEALMILL__V1__SUBJECT_ALT_NAME__NAME_EMAIL);
    assert_string_equal(m->sans[0]->email, "a@b");
    assert_int_equal(m->sans[1]->name_case, SEALMILL__V1__SUBJECT_ALT_NAME__NAME_OTHER);
    assert_string_equal(m->sans[1]->other->type_id, "1.2");
    refuse(ISSUE, "{\"sans\":[{\"dns\":\"a\",\"email\":\"a@b\"}]}", "sans[0].email");
    refuse(ISSUE, "{\"sans\":[{\"dns\":\"a\",\"directory\":{}}]}", "sans[0].directory");
    refuse(ISSUE, "{\"sans\":[{\"directory\":{},\"dns\":\"a\"}]}", "sans[0].dns");
}

/* ---- null ---- */

static void json__null_leaves_a_field_out(void **state)
{
    (void)state;
    Sealmill__V1__IssueRequest *m;
    assert_sm_ok(parse(ISSUE,
                       "{\"ca\":null,\"csr\":null,\"subject\":null,\"sans\":null,"
                       "\"validitySeconds\":null,\"notBefore\":null,\"metadata\":null}",
                       &m));
    assert_string_equal(m->ca, "");
    assert_null(m->subject);
    assert_null(m->not_before);
    assert_int_equal(m->n_sans + m->n_metadata, 0);
    assert_sm_ok(parse(ISSUE, "{\"sans\":[{\"dns\":null,\"ip\":\"::1\"}]}", &m));
    assert_string_equal(m->sans[0]->ip, "::1");
}

static void json__null_is_no_element(void **state)
{
    (void)state;
    refuse(ISSUE, "{\"sans\":[null]}", "sans[0]");
    refuse(PROFILE, "{\"cas\":[null]}", "cas[0]");
    refuse(PROFILE, "{\"keyTypes\":[null]}", "key_types[0]");
    refuse(ISSUE, "{\"metadata\":{\"a\":null}}", "metadata");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json__nesting_is_refused_at_any_depth),
        cmocka_unit_test(json__what_does_not_fit_the_arena_is_refused),
        cmocka_unit_test(json__every_failing_allocation_fails_the_reading_alone),
        cmocka_unit_test(json__every_cap_of_the_arena_is_refused_or_enough),
        cmocka_unit_test(json__lists_keep_their_order),
        cmocka_unit_test(json__bad_element_is_named_by_its_place),
        cmocka_unit_test(json__map_is_an_object_of_strings),
        cmocka_unit_test(json__only_one_alternative_may_be_given),
        cmocka_unit_test(json__null_leaves_a_field_out),
        cmocka_unit_test(json__null_is_no_element),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
