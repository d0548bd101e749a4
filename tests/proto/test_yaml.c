/* SPDX-License-Identifier: Apache-2.0 */
/* YAML into messages: what is read, and that each refusal names its line. */
#include "tests/support/support.h"

#include "base/check.h"
#include "base/mem.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "gen/sealmill/v1/config.pb-c.h"
#include "proto/message.h"

#include <string.h>

#define ARENA_CAP (8U << 20)
#define CONFIG &sealmill__config__v1__config__descriptor

typedef Sealmill__Config__V1__Config config;

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

/* From a copy of the exact size, which is overwritten afterwards. */
static sm_err parse(const ProtobufCMessageDescriptor *type, sm_slice text, ProtobufCMessage **out)
{
    uint8_t *copy = sm_malloc(text.len);
    memcpy(copy, text.ptr, text.len);
    sm_diag_clear(&diag);
    *out = NULL;
    sm_err err = sm_message_from_yaml(type, sm_slice_of(copy, text.len), &arena, out, &diag);
    memset(copy, 'x', text.len);
    sm_free(copy);
    return err;
}

static config *take(const char *text)
{
    ProtobufCMessage *m;
    sm_err err = parse(CONFIG, sm_slice_str(text), &m);
    if (!sm_ok(err)) {
        print_error("%s: %s\n", text, diag.reason);
    }
    assert_sm_ok(err);
    assert_non_null(m);
    return (config *)(void *)m;
}

/* Refused, with the line that is to be looked at. */
static void refuse_slice(sm_slice text, unsigned line)
{
    ProtobufCMessage *m;
    char want[32];
    sm_err err = parse(CONFIG, text, &m);
    (void)snprintf(want, sizeof(want), "line %u: ", line);
    if (sm_ok(err) || strncmp(diag.reason, want, strlen(want)) != 0) {
        print_error("%.*s: wanted \"%s\", got %s: %s\n", (int)text.len, (const char *)text.ptr,
                    want, sm_err_name(err), diag.reason);
    }
    assert_int_equal(sm_err_category(err), SM_INPUT);
    assert_true(strncmp(diag.reason, want, strlen(want)) == 0);
    assert_true(strlen(diag.reason) > strlen(want) + 3);
    assert_null(m);
}

static void refuse(const char *text, unsigned line)
{
    refuse_slice(sm_slice_str(text), line);
}

/* ---- what is read ---- */

static void yaml__empty_text_is_an_empty_message(void **state)
{
    (void)state;
    static const char *const empty[] = {"",   "\n", "# a comment\n", "---\n", "---\n...\n",
                                        "{}", "~",  "null\n",        " \n\n "};
    for (size_t i = 0; i < SM_ARRAY_LEN(empty); i++) {
        assert_string_equal(take(empty[i])->data_dir, "");
    }
}

static void yaml__every_way_to_write_a_string(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } ways[] = {{"data_dir: a b", "a b"},
                {"data_dir: 'it''s'", "it's"},
                {"data_dir: \"a\\n\\u00e9\\U0001f600\\x41\"", "a\n\xc3\xa9\xf0\x9f\x98\x80"
                                                              "A"},
                {"data_dir: |\n  a\n  b\n", "a\nb\n"},
                {"data_dir: >-\n  a\n  b\n", "a b"},
                {"data_dir: 123", "123"},
                {"data_dir: true", "true"},
                {"data_dir: \"\"", ""},
                {"data_dir: 'null'", "null"},
                {"data_dir: '~'", "~"},
                {"\"data_dir\": a", "a"},
                {"{data_dir: a}", "a"},
                {"{\"data_dir\":\"a\"}", "a"},
                {"? data_dir\n: a", "a"},
                {"data_dir: a # not this", "a"},
                {"data_dir: a#b", "a#b"},
                {"\xef\xbb\xbf"
                 "data_dir: a",
                 "a"},
                {"dataDir: a", "a"}};
    for (size_t i = 0; i < SM_ARRAY_LEN(ways); i++) {
        assert_string_equal(take(ways[i].text)->data_dir, ways[i].want);
    }
}

static void yaml__lists_and_maps_in_both_styles(void **state)
{
    (void)state;
    config *c = take("listeners:\n- name: a\n  services: [api, public]\n-\n  name: b\n  services:\n"
                     "  - operations\n- {name: c}\n");
    assert_int_equal(c->n_listeners, 3);
    assert_int_equal(c->listeners[0]->n_services, 2);
    assert_string_equal(c->listeners[0]->services[1], "public");
    assert_string_equal(c->listeners[1]->services[0], "operations");
    assert_string_equal(c->listeners[2]->name, "c");
    assert_int_equal(take("listeners: []")->n_listeners, 0);
    assert_int_equal(take("listeners:")->n_listeners, 0);
    assert_null(take("keys: ~")->keys);
    assert_non_null(take("keys: {}")->keys);
}

static void yaml__enums_have_short_names(void **state)
{
    (void)state;
    static const char *const ways[] = {"KEY_TYPE_EC_P384", "ec-p384", "ec_p384",
                                       "EC-P384",          "2",       "\"ec-p384\""};
    for (size_t i = 0; i < SM_ARRAY_LEN(ways); i++) {
        char text[96];
        (void)snprintf(text, sizeof(text), "profiles:\n- key_types: [%s]\n", ways[i]);
        config *c = take(text);
        assert_int_equal(c->profiles[0]->key_types[0], SEALMILL__V1__KEY_TYPE__KEY_TYPE_EC_P384);
    }
    refuse("profiles:\n- name: a\n  key_types:\n  - ec-p384\n  - p384\n", 5);
    refuse("profiles:\n- key_types: [ec-p38]", 2);
    refuse("profiles:\n- key_types: [ec p384]", 2);
    refuse("profiles:\n- key_types: [12]", 2);
}

/* ---- what is refused, and where ---- */

static void yaml__what_is_no_yaml(void **state)
{
    (void)state;
    refuse("data_dir: a\n\tthreads: 1\n", 2);
    refuse("data_dir: 'a\n\n", 3);
    refuse("data_dir: \"a\\q\"", 1);
    refuse("listeners: [\n  {name: a}\n", 3);
    refuse("data_dir: a\nthreads: ]\n", 2);
    refuse("data_dir: a\n threads: 1\n", 2);
    refuse("data_dir: @a", 1);
    refuse("data_dir: \"\\ud800\"", 1);
    refuse("%YAML 9.9\n---\ndata_dir: a\n", 1);
}

static void yaml__octets_that_are_no_text_are_found_on_their_line(void **state)
{
    (void)state;
    refuse("data_dir: a\n# \x01\n", 2);
    refuse("data_dir: a\nthreads: 1\n\n# \xff\n", 4);
    refuse("data_dir: \"\xed\xa0\x80\"\n", 1);
    refuse("data_dir: a\r\nkeys:\r\n  dir: \xc0\xaf\r\n", 3);
    refuse_slice(SM_LIT("data_dir: a\nlog:\n  level: \0\n"), 3);
}

static void yaml__nul_in_a_string_is_refused(void **state)
{
    (void)state;
    refuse("threads: 1\ndata_dir: \"a\\0b\"\n", 2);
    refuse("threads: 1\n\"data_dir\\0\": a\n", 2);
}

static void yaml__unknown_key(void **state)
{
    (void)state;
    refuse("data_dir: a\nlisteners:\n- name: a\n  adress: b\n", 4);
    assert_non_null(strstr(diag.reason, "unknown key \"adress\""));
    assert_string_equal(diag.field, "listeners[0]");
    refuse("Data_dir: a", 1);
    refuse("<<: {data_dir: a}", 1);
    refuse("'': a", 1);
}

static void yaml__the_same_key_twice(void **state)
{
    (void)state;
    refuse("data_dir: a\nthreads: 1\ndata_dir: a\n", 3);
    assert_string_equal(diag.field, "data_dir");
    refuse("data_dir: a\ndataDir: a\n", 2);
    refuse("data_dir:\ndata_dir: a\n", 2);
    refuse("keys: {}\nlog: {}\nkeys: {}\n", 3);
}

static void yaml__the_same_key_of_a_map_twice(void **state)
{
    (void)state;
    ProtobufCMessage *m;
    const ProtobufCMessageDescriptor *type = &sealmill__v1__issue_request__descriptor;
    assert_sm_ok(parse(type, SM_LIT("metadata:\n  a: 1\n  b: 1\n"), &m));
    assert_sm_err(parse(type, SM_LIT("metadata:\n  a: 1\n  b: 1\n  \"a\": 2\n"), &m), INVALID);
    assert_string_equal(diag.field, "metadata");
    assert_non_null(strstr(diag.reason, "line 4: "));
}

static void yaml__keys_are_words(void **state)
{
    (void)state;
    refuse("threads: 1\n? [a]\n: b\n", 2);
    refuse("threads: 1\n? {a: b}\n: c\n", 2);
    refuse("threads: 1\n: b\n", 2);
    refuse("threads: 1\n~: b\n", 2);
    assert_non_null(strstr(diag.reason, "a key must be a word"));
}

static void yaml__wrong_types(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned line;
        const char *field;
    } wrong[] = {
        {"\nthreads: many\n", 2, "threads"},
        {"threads: -1", 1, "threads"},
        {"threads: 4294967296", 1, "threads"},
        {"threads: 1.0", 1, "threads"},
        {"threads: 0x10", 1, "threads"},
        {"threads: 1_000", 1, "threads"},
        {"threads: [1]", 1, "threads"},
        {"threads: {}", 1, "threads"},
        {"crypto:\n  no_multi_buffer: yes\n", 2, "crypto.no_multi_buffer"},
        {"crypto:\n  no_multi_buffer: \"true\"\n", 2, "crypto.no_multi_buffer"},
        {"crypto:\n  no_multi_buffer: True\n", 2, "crypto.no_multi_buffer"},
        {"crypto:\n  no_multi_buffer: 1\n", 2, "crypto.no_multi_buffer"},
        {"data_dir: [a]", 1, "data_dir"},
        {"data_dir:\n  a: b\n", 1, "data_dir"},
        {"keys: here", 1, "keys"},
        {"keys: [a]", 1, "keys"},
        {"listeners: a", 1, "listeners"},
        {"listeners: {name: a}", 1, "listeners"},
        {"listeners:\n- name: a\n- b\n", 3, "listeners[1]"},
        {"listeners:\n- name: a\n-\n", 3, "listeners[1]"},
        {"listeners:\n- services: api\n", 2, "listeners[0].services"},
        {"listeners:\n- services:\n  - api\n  - [b]\n", 4, "listeners[0].services[1]"},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(wrong); i++) {
        refuse(wrong[i].text, wrong[i].line);
        assert_string_equal(diag.field, wrong[i].field);
    }
}

static void yaml__root_must_be_a_map(void **state)
{
    (void)state;
    refuse("a", 1);
    refuse("\n- a\n", 2);
    refuse("[]", 1);
    refuse("'~'", 1);
}

static void yaml__anchors_aliases_and_tags_are_refused(void **state)
{
    (void)state;
    refuse("data_dir: &a b\n", 1);
    refuse("threads: 1\nkeys: &k {dir: a}\n", 2);
    refuse("threads: 1\nlisteners: &l\n- name: a\n", 2);
    refuse("threads: 1\ndata_dir: *a\n", 2);
    refuse("threads: 1\n*a : b\n", 2);
    refuse("data_dir: !!str b\n", 1);
    refuse("threads: 1\ndata_dir: ! b\n", 2);
    refuse("threads: 1\nkeys: !!map {}\n", 2);
    refuse("threads: 1\n&a data_dir: b\n", 2);
    refuse("!!map\nthreads: 1\n", 1);
}

static void yaml__one_document_alone(void **state)
{
    (void)state;
    refuse("data_dir: a\n---\ndata_dir: b\n", 3);
    refuse("{}\n---\n~\n", 3);
    assert_string_equal(take("---\ndata_dir: a\n...\n")->data_dir, "a");
}

/* ---- limits ---- */

static void yaml__nesting_is_refused_on_its_line(void **state)
{
    (void)state;
    static const size_t depths[] = {SM_MESSAGE_DEPTH_MAX + 1, 1000, 50000};
    for (size_t i = 0; i < SM_ARRAY_LEN(depths); i++) {
        sm_buf text = sm_buf_init(1U << 20);
        sm_buf_put_str(&text, "threads: 1\ndata_dir: ");
        for (size_t j = 0; j < depths[i]; j++) {
            sm_buf_put_str(&text, (j & 1U) == 0 ? "[" : "{a: ");
        }
        refuse_slice(sm_buf_slice(&text), 2);
        assert_non_null(strstr(diag.reason, "nested too deeply"));
        sm_buf_deinit(&text);
    }
}

static void yaml__every_failing_allocation_fails_the_reading_alone(void **state)
{
    (void)state;
    bool failed = true;
    for (size_t n = 1; failed; n++) {
        sm_arena small;
        ProtobufCMessage *m = NULL;
        sm_arena_init(&small, ARENA_CAP);
        sm_mem_fail_at(n);
        sm_err err = sm_message_from_yaml(
            CONFIG, SM_LIT("data_dir: a\nlisteners:\n- name: b\n  services: [api]\n"), &small, &m,
            NULL);
        failed = sm_mem_has_failed();
        sm_mem_fail_at(0);
        assert_int_equal(sm_ok(err), !failed);
        assert_int_equal(m != NULL, !failed);
        sm_arena_deinit(&small);
        assert_true(n < 100);
    }
}

static void yaml__every_cap_of_the_arena_is_refused_or_enough(void **state)
{
    (void)state;
    bool enough = false;
    for (size_t cap = 0; cap < 65536 && !enough; cap += 16) {
        sm_arena small;
        ProtobufCMessage *m = NULL;
        sm_arena_init(&small, cap);
        enough = sm_ok(sm_message_from_yaml(
            CONFIG, SM_LIT("keys:\n  dir: a\nlisteners: [{name: b}, {name: c}]\n"), &small, &m,
            NULL));
        assert_int_equal(m != NULL, enough);
        sm_arena_deinit(&small);
    }
    assert_true(enough);
}

static void yaml__every_prefix_is_read_or_refused(void **state)
{
    (void)state;
    static const char text[] = "data_dir: 'a'\nkeys:\n  dir: \"b\\u00e9\"\nlisteners:\n- {name: a, "
                               "services: [x]}\nprofiles:\n- key_types:\n  - ec-p256\n";
    (void)take(text);
    for (size_t len = 1; len < sizeof(text) - 1; len++) {
        ProtobufCMessage *m;
        sm_err err = parse(CONFIG, sm_slice_of(text, len), &m);
        assert_int_equal(m != NULL, sm_ok(err));
        assert_true(sm_ok(err) || strncmp(diag.reason, "line ", 5) == 0);
    }
}

/* ---- what a refusal says ---- */

static void refuse_at(const char *text, const char *path, const char *words)
{
    ProtobufCMessage *m;
    assert_false(sm_ok(parse(CONFIG, sm_slice_str(text), &m)));
    assert_string_equal(diag.field, path);
    if (strstr(diag.reason, words) == NULL) {
        print_error("\"%s\" is not in: %s\n", words, diag.reason);
    }
    assert_non_null(strstr(diag.reason, words));
}

static void yaml__paths_are_whole(void **state)
{
    (void)state;
    refuse_at("client_certificates:\n  - grants:\n      - role: god\n",
              "client_certificates[0].grants[0].role", "line 3: ");
    refuse_at("profiles:\n  - name: a\n  - name_constraints:\n      permitted:\n"
              "        - directory: {attributes: [{type: []}]}\n",
              "profiles[1].name_constraints.permitted[0].directory.attributes[0].type", "line 5: ");
}

static void yaml__enum_lists_are_whole_and_short(void **state)
{
    (void)state;
    refuse_at("client_certificates: [{grants: [{role: god}]}]",
              "client_certificates[0].grants[0].role",
              "one of admin, operator, ra, auditor, reader is wanted");
    refuse_at("profiles: [{key_types: [dsa]}]", "profiles[0].key_types[0]",
              "ed25519, ed448, ml-dsa-44, ml-dsa-65, ml-dsa-87 is wanted");
}

static void yaml__lines_of_paths(void **state)
{
    (void)state;
    static const char text[] = "data_dir: db\nlisteners:\n  - name: a\n    address: x\n"
                               "  -\n    services: [api,\n      public]\nkeys: {dir: k}\n";
    static const struct {
        const char *path;
        size_t line;
    } cases[] = {
        {"data_dir", 1},
        {"listeners", 2},
        {"listeners[0]", 3},
        {"listeners[0].address", 4},
        {"listeners[1].services", 6},
        {"listeners[1].services[1]", 7},
        {"keys.dir", 8},
        /* the nearest */
        {"listeners[0].tls.certificates[0].key_file", 3},
        {"listeners[7].name", 2},
        {"listeners.name", 2},
        {"keys[0]", 8},
        {"data_dir.x", 1},
        /* nothing there, or no path */
        {"log.level", 0},
        {"", 0},
        {".", 0},
        {"[", 0},
        {"listeners[", 2},
        {"listeners[18446744073709551616]", 2},
        {"listeners[-1]", 2},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(cases); i++) {
        assert_int_equal(sm_yaml_line(sm_slice_str(text), cases[i].path, &arena), cases[i].line);
    }
    assert_int_equal(sm_yaml_line(SM_LIT(""), "a", &arena), 0);
    assert_int_equal(sm_yaml_line(SM_LIT("{"), "a", &arena), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml__empty_text_is_an_empty_message),
        cmocka_unit_test(yaml__every_way_to_write_a_string),
        cmocka_unit_test(yaml__lists_and_maps_in_both_styles),
        cmocka_unit_test(yaml__enums_have_short_names),
        cmocka_unit_test(yaml__paths_are_whole),
        cmocka_unit_test(yaml__enum_lists_are_whole_and_short),
        cmocka_unit_test(yaml__lines_of_paths),
        cmocka_unit_test(yaml__what_is_no_yaml),
        cmocka_unit_test(yaml__octets_that_are_no_text_are_found_on_their_line),
        cmocka_unit_test(yaml__nul_in_a_string_is_refused),
        cmocka_unit_test(yaml__unknown_key),
        cmocka_unit_test(yaml__the_same_key_twice),
        cmocka_unit_test(yaml__the_same_key_of_a_map_twice),
        cmocka_unit_test(yaml__keys_are_words),
        cmocka_unit_test(yaml__wrong_types),
        cmocka_unit_test(yaml__root_must_be_a_map),
        cmocka_unit_test(yaml__anchors_aliases_and_tags_are_refused),
        cmocka_unit_test(yaml__one_document_alone),
        cmocka_unit_test(yaml__nesting_is_refused_on_its_line),
        cmocka_unit_test(yaml__every_failing_allocation_fails_the_reading_alone),
        cmocka_unit_test(yaml__every_cap_of_the_arena_is_refused_or_enough),
        cmocka_unit_test(yaml__every_prefix_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
