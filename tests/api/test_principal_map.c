/* SPDX-License-Identifier: Apache-2.0 */
/* Who a Kerberos principal is here: realms, rules, labels, and what comes of them. */
#include "api/principal_map.h"
#include "base/check.h"
#include "proto/message.h"
#include "tests/support/support.h"

#include <string.h>

static sm_arena arena;
static sm_diag diag;

static int set_up(void **state)
{
    (void)state;
    sm_arena_init(&arena, 1U << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_arena_deinit(&arena);
    return 0;
}

static sm_err make(const char *yaml, sm_principal_map **out)
{
    ProtobufCMessage *m;
    sm_diag_clear(&diag);
    assert_sm_ok(sm_message_from_yaml(&sealmill__config__v1__negotiate__descriptor,
                                      sm_slice_str(yaml), &arena, &m, &diag));
    return sm_principal_map_make((const Sealmill__Config__V1__Negotiate *)(void *)m, &arena, out,
                                 &diag);
}

static sm_err find(const char *yaml, sm_slice principal, struct sm_principal_found *out)
{
    const struct sm_principal_claim claim = {.principal = principal,
                                             .service = SM_LIT("HTTP/est.example.net@EXAMPLE.NET"),
                                             .label = "sensors"};
    sm_principal_map *map;
    assert_sm_ok(make(yaml, &map));
    *out = (struct sm_principal_found){.subject = NULL};
    sm_err err = sm_principal_map_find(map, &claim, &arena, out, &diag);
    sm_principal_map_deinit(map);
    return err;
}

static void expect(const char *yaml, const char *principal, const char *entity, const char *subject)
{
    struct sm_principal_found found;
    assert_sm_ok(find(yaml, sm_slice_str(principal), &found));
    assert_true(sm_slice_equal(found.entity, sm_slice_str(entity)));
    if (subject == NULL) {
        assert_null(found.subject);
    } else {
        assert_string_equal(found.subject, subject);
    }
}

static void expect_refused(const char *yaml, const char *principal, const char *why)
{
    struct sm_principal_found found;
    assert_sm_err(find(yaml, sm_slice_str(principal), &found), FORBIDDEN);
    assert_non_null(strstr(diag.reason, why));
    assert_string_equal(diag.field, "authorization");
}

static void expect_none(const char *yaml, const char *field, const char *why)
{
    sm_principal_map *map;
    assert_sm_err(make(yaml, &map), INVALID);
    assert_string_equal(diag.field, field);
    assert_non_null(strstr(diag.reason, why));
}

/* ---- realms ---- */

static void principal__realm_is_behind_the_last_bare_at(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"alice@EXAMPLE.NET", "EXAMPLE.NET"},
        {"host/dev7.example.net@EXAMPLE.NET", "EXAMPLE.NET"},
        {"alice\\@mail.example.net@EXAMPLE.NET", "EXAMPLE.NET"},
        {"alice\\\\@EXAMPLE.NET", "EXAMPLE.NET"}, /* the backslash is the name's */
        {"alice@OTHER\\@EXAMPLE.NET", "OTHER\\@EXAMPLE.NET"},
        {"alice\\@EXAMPLE.NET", ""},
        {"alice", ""},
        {"alice@", ""},
        {"alice\\", ""},
        {"", ""},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(table); i++) {
        sm_slice realm = sm_principal_realm(sm_slice_str(table[i][0]));
        assert_true(sm_slice_equal(realm, sm_slice_str(table[i][1])));
    }
}

static void principal__is_of_the_services_realm_where_none_is_named(void **state)
{
    (void)state;
    static const char any[] = "principals: [{principal: '.*'}]";
    expect(any, "alice@EXAMPLE.NET", "alice@EXAMPLE.NET", NULL);
    expect_refused(any, "alice@OTHER.NET", "alice@OTHER.NET is of a realm that is not taken here");
    expect_refused(any, "alice@example.net", "realm");
    expect_refused(any, "alice\\@EXAMPLE.NET", "realm"); /* it has none */
    expect_refused(any, "alice", "realm");
}

static void principal__is_of_one_of_the_realms_that_are_named(void **state)
{
    (void)state;
    static const char two[] = "{realms: [A.NET, B.NET], principals: [{principal: '.*'}]}";
    expect(two, "alice@A.NET", "alice@A.NET", NULL);
    expect(two, "alice@B.NET", "alice@B.NET", NULL);
    expect_refused(two, "alice@EXAMPLE.NET", "realm"); /* ours is not among them */
    expect_refused(two, "alice@XA.NET", "realm");
}

/* ---- rules ---- */

static void principal__must_match_as_a_whole(void **state)
{
    (void)state;
    static const char alice[] = "principals: [{principal: 'alice@EXAMPLE[.]NET|bob@.*'}]";
    expect(alice, "alice@EXAMPLE.NET", "alice@EXAMPLE.NET", NULL);
    expect(alice, "bob@EXAMPLE.NET", "bob@EXAMPLE.NET", NULL);
    expect_refused(alice, "malice@EXAMPLE.NET", "malice@EXAMPLE.NET may not enrol here");
    expect_refused(alice, "xbob@EXAMPLE.NET", "may not enrol here");
    expect_refused(alice, "alice/admin@EXAMPLE.NET", "may not enrol here");
}

static void principal__first_rule_of_its_label_counts(void **state)
{
    (void)state;
    static const char rules[] =
        "principals:\n"
        "- {principal: 'alice@.*', entity: printers, labels: [printers]}\n"
        "- {principal: 'alice@.*', entity: both, labels: [printers, sensors]}\n"
        "- {principal: '.*', entity: last}\n"
        "- {principal: 'bob@.*', entity: never}\n";
    expect(rules, "alice@EXAMPLE.NET", "both", NULL);
    expect(rules, "bob@EXAMPLE.NET", "last", NULL);
    expect_refused("principals: [{principal: '.*', labels: [printers]}]", "alice@EXAMPLE.NET",
                   "may not enrol here");
}

static void principal__groups_make_entity_and_subject(void **state)
{
    (void)state;
    static const char rules[] =
        "principals:\n"
        "- principal: '(host|HTTP)/([a-z0-9-]+)([.][a-z.]+)?@EXAMPLE[.]NET'\n"
        "  entity: '\\2 by \\1 of \\0'\n"
        "  subject: 'CN=\\2\\3,O=Acme\\, Inc'\n";
    expect(rules, "host/dev7.example.net@EXAMPLE.NET",
           "dev7 by host of host/dev7.example.net@EXAMPLE.NET",
           "CN=dev7.example.net,O=Acme\\, Inc");
    expect(rules, "HTTP/dev7@EXAMPLE.NET", "dev7 by HTTP of HTTP/dev7@EXAMPLE.NET",
           "CN=dev7,O=Acme\\, Inc"); /* a group without a match is empty */
}

static void principal__cannot_leave_its_attribute(void **state)
{
    (void)state;
    static const char *const names[] = {"a,O=Acme", "a+OU=b", "a=b", "a\\\\b", "a\"b",
                                        "a<b",      "#00",    " a",  "a;O=b"};
    for (size_t i = 0; i < SM_ARRAY_LEN(names); i++) {
        char principal[64];
        (void)snprintf(principal, sizeof(principal), "%s@EXAMPLE.NET", names[i]);
        expect_refused("principals: [{principal: '(.*)@.*', subject: 'CN=\\1'}]", principal,
                       "cannot be written into a subject");
        expect("principals: [{principal: '(.*)@.*', entity: '\\1', subject: 'CN=all'}]", principal,
               names[i], "CN=all");
    }
    expect("principals: [{principal: '(.*)', subject: 'CN=\\1'}]", "a-b_c.d/e@EXAMPLE.NET",
           "a-b_c.d/e@EXAMPLE.NET", "CN=a-b_c.d/e@EXAMPLE.NET");
}

static void principal__has_a_length_that_names_have(void **state)
{
    (void)state;
    static const char any[] = "principals: [{principal: '.*'}]";
    struct sm_principal_found found;
    char text[SM_PRINCIPAL_MAX + 2];
    memset(text, 'a', sizeof(text));
    memcpy(text + sizeof(text) - 13, "@EXAMPLE.NET", 13);
    expect_refused(any, text, "is no principal");
    expect_refused(any, text + 1, "has too long a name");
    expect("principals: [{principal: '.*', entity: one}]", text + 1, "one", NULL);
    expect_refused("principals: [{principal: '(x*)a+@.*', entity: '\\1'}]", text + 1, "or none");
    assert_sm_err(find(any, SM_LIT("a\0b@EXAMPLE.NET"), &found), FORBIDDEN);
}

/* ---- what is none ---- */

static void principal_map__says_what_is_wrong(void **state)
{
    (void)state;
    expect_none("keytab_file: x", "enrolment.negotiate.principals", "it is needed");
    expect_none("principals: [{entity: a}]", "enrolment.negotiate.principals.principal",
                "regular expression");
    expect_none("principals: [{principal: 'a'}, {principal: '(a'}]",
                "enrolment.negotiate.principals.principal", "\"(a\"");
    expect_none("principals: [{principal: '(a)', entity: '\\2'}]",
                "enrolment.negotiate.principals.entity", "has no group 2");
    expect_none("principals: [{principal: 'a', subject: 'CN=\\1'}]",
                "enrolment.negotiate.principals.subject", "has no group 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(principal__realm_is_behind_the_last_bare_at),
        cmocka_unit_test(principal__is_of_the_services_realm_where_none_is_named),
        cmocka_unit_test(principal__is_of_one_of_the_realms_that_are_named),
        cmocka_unit_test(principal__must_match_as_a_whole),
        cmocka_unit_test(principal__first_rule_of_its_label_counts),
        cmocka_unit_test(principal__groups_make_entity_and_subject),
        cmocka_unit_test(principal__cannot_leave_its_attribute),
        cmocka_unit_test(principal__has_a_length_that_names_have),
        cmocka_unit_test(principal_map__says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
