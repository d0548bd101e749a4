/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for a person: their record and its steps, the queue and what is forgotten, ApprovalService. */
#include "api/api_p.h"
#include "api/approval_p.h"
#include "base/clock.h"
#include "base/text.h"
#include "tests/support/api_server.h"

#include <stdio.h>
#include <string.h>

#define DAY INT64_C(86400)

static struct sm_api_server server;
static const char *operator_token;
static sm_arena arena;
static sm_diag diag;
static const struct sm_approval_rules rules = {
    .used = true, .expires_s = 7 * DAY, .queue = 4, .own_queue = 4, .retry_after_s = 60};

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n"
                                 "- name: device\n  sans: {copy: true}\n"
                                 "- name: short\n  validity: {default: 1d}\n");
    operator_token = sm_api_server_token(&server, "boss", "[{\"role\":\"operator\"}]", 0);
    sm_arena_init(&arena, 64U << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_arena_deinit(&arena);
    sm_api_server_stop(&server);
    return 0;
}

static int back_to_now(void **state)
{
    (void)state;
    sm_clock_set_offset_s(0);
    return 0;
}

/* ---- a request ---- */

static sm_slice csr_of(const char *cn)
{
    sm_buf der = sm_buf_init(SM_CSR_MAX);
    sm_slice copy;
    assert_sm_ok(sm_base64_decode(&der, sm_slice_str(sm_api_csr(cn, "DNS:a.example")), 0));
    assert_sm_ok(sm_arena_copy(&arena, sm_buf_slice(&der), &copy));
    sm_buf_deinit(&der);
    return copy;
}

static sm_slice id_of(const char *label, const char *requester, sm_slice csr)
{
    const struct sm_approval_claim claim = {label, requester, SM_SLICE_NONE, csr};
    sm_slice id;
    assert_sm_ok(sm_approval_id(&claim, &arena, &id));
    return id;
}

static struct sm_approval_rules few; /* of one requester */

static sm_err request_few(const char *requester, const char *cn)
{
    Sealmill__V1__Approval a;
    char label[] = "few";
    union {
        const char *in;
        char *out;
    } name = {requester};
    sm_slice csr = csr_of(cn);
    sealmill__v1__approval__init(&a);
    a.label = label;
    a.requester = name.out;
    sm_diag_clear(&diag);
    return sm_approval_request(server.api, &few, id_of(label, requester, csr), &a, NULL,
                               SM_LIT("corr"), &arena, &diag);
}

static sm_err request(const char *label, const char *cn, sm_slice csr, sm_slice *id)
{
    Sealmill__V1__Approval a;
    union {
        const char *in;
        char *out;
    } label_text = {label}, subject = {cn};
    char ca[] = "issuing";
    char profile[] = "device";
    char requester[] = "otp:dev";
    char sha256[] = "00";
    sealmill__v1__approval__init(&a);
    a.label = label_text.out;
    a.ca = ca;
    a.profile = profile;
    a.requester = requester;
    a.subject = subject.out;
    a.key_sha256 = sha256;
    a.csr = sm_binary(csr);
    *id = id_of(label, requester, csr);
    sm_diag_clear(&diag);
    return sm_approval_request(server.api, &rules, *id, &a, NULL, SM_LIT("corr"), &arena, &diag);
}

static struct sm_approval load(sm_slice id)
{
    struct sm_approval a;
    assert_sm_ok(sm_approval_load(server.store, id, &arena, &a));
    return a;
}

static unsigned ask(const char *verb, const char *what, const char *body, json_t **answer)
{
    char path[256];
    unsigned status;
    (void)snprintf(path, sizeof(path), "/v1/approvals%s", what);
    *answer = sm_api_server_json(&server, verb, path, operator_token, body, &status);
    return status;
}

static unsigned act(sm_slice id, const char *verb, const char *body)
{
    char what[128];
    json_t *answer;
    (void)snprintf(what, sizeof(what), "/%s:%s", sm_approval_id_text(id, &arena), verb);
    unsigned status = ask("POST", what, body, &answer);
    json_decref(answer);
    return status;
}

#define STATE(name) SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_##name

/* ---- rules ---- */

static void rules__defaults_and_what_is_none(void **state)
{
    (void)state;
    struct sm_approval_rules out;
    Sealmill__Config__V1__LabelApproval m;
    char bad[] = "soon";
    sealmill__config__v1__label_approval__init(&m);
    assert_sm_ok(sm_approval_rules_make(NULL, &out, &diag));
    assert_false(out.used);
    assert_sm_ok(sm_approval_rules_make(&m, &out, &diag));
    assert_true(out.used);
    assert_int_equal(out.queue, SM_APPROVAL_QUEUE_DEFAULT);
    assert_int_equal(out.expires_s, 7 * DAY);
    for (int i = 0; i < 100; i++) {
        unsigned wait = sm_approval_retry_s(&out);
        assert_true(wait >= 60 && wait <= 75);
    }
    m.queue = SM_APPROVAL_QUEUE_MAX + 1;
    assert_true(sm_err_is(sm_approval_rules_make(&m, &out, &diag), SM_E_OUT_OF_RANGE));
    m.queue = 0;
    m.expires = bad;
    sm_diag_clear(&diag);
    assert_true(sm_err_is(sm_approval_rules_make(&m, &out, &diag), SM_E_INVALID));
    assert_string_equal(diag.field, "enrolment.labels.approval.expires");
}

/* ---- records ---- */

static void id__is_of_label_requester_and_request(void **state)
{
    (void)state;
    sm_slice one = SM_LIT("a request");
    sm_slice id = id_of("l", "r", one);
    sm_slice back;
    assert_int_equal(id.len, SM_APPROVAL_ID_LEN);
    assert_true(sm_slice_equal(id, id_of("l", "r", one)));
    assert_false(sm_slice_equal(id, id_of("l", "r", SM_LIT("another"))));
    assert_false(sm_slice_equal(id, id_of("l", "s", one)));
    assert_false(sm_slice_equal(id, id_of("m", "r", one)));
    assert_false(sm_slice_equal(id_of("ab", "c", one), id_of("a", "bc", one)));
    assert_true(sm_approval_id_parse(sm_approval_id_text(id, &arena), &arena, &back));
    assert_true(sm_slice_equal(id, back));
    assert_false(sm_approval_id_parse("00", &arena, &back));
    assert_false(sm_approval_id_parse("zz", &arena, &back));
}

static void request__twice_is_one(void **state)
{
    (void)state;
    sm_slice id;
    sm_slice csr = csr_of("twice");
    assert_sm_ok(request("twice", "CN=twice", csr, &id));
    assert_true(sm_err_is(request("twice", "CN=twice", csr, &id), SM_E_EXISTS));
    struct sm_approval a = load(id);
    assert_int_equal(a.state, STATE(PENDING));
    assert_string_equal(a.record->approval->id, "");
    assert_int_equal(a.record->approval->csr.len, csr.len);
}

static void request__a_condition_beside_it_holds_for_both(void **state)
{
    (void)state;
    Sealmill__V1__Approval a;
    char label[] = "beside";
    sm_slice id = id_of(label, "r", SM_LIT("x"));
    const struct sm_approval_beside beside = {
        {SM_COND_EQUALS, SM_FAMILY_META, SM_LIT("test/none"), SM_LIT("something")},
        {SM_PUT, SM_FAMILY_META, SM_LIT("test/none"), SM_LIT("used")},
    };
    struct sm_approval found;
    sealmill__v1__approval__init(&a);
    a.label = label;
    assert_true(sm_err_is(
        sm_approval_request(server.api, &rules, id, &a, &beside, SM_LIT("c"), &arena, &diag),
        SM_E_CONFLICT));
    assert_true(sm_err_is(sm_approval_load(server.store, id, &arena, &found), SM_E_NOT_FOUND));
}

static void step__of_what_another_changed_is_refused(void **state)
{
    (void)state;
    sm_slice id;
    assert_sm_ok(request("step", "CN=step", csr_of("step"), &id));
    struct sm_approval first = load(id);
    struct sm_approval second = load(id);
    first.record->approval->state = STATE(APPROVED);
    assert_sm_ok(
        sm_approval_write(server.api, &first, "boss", "approval.approve", SM_LIT("c"), &arena));
    second.record->approval->state = STATE(DENIED);
    assert_true(sm_err_is(
        sm_approval_write(server.api, &second, "boss", "approval.deny", SM_LIT("c"), &arena),
        SM_E_CONFLICT));
    assert_int_equal(load(id).state, STATE(APPROVED));
}

static void step__to_issued_is_on_condition(void **state)
{
    (void)state;
    sm_slice id;
    struct sm_store_cond cond;
    struct sm_store_put put;
    assert_sm_ok(request("use", "CN=use", csr_of("use"), &id));
    struct sm_approval a = load(id);
    assert_sm_ok(sm_approval_use(&a, SM_LIT("\x01\xab"), &arena, &cond, &put));
    assert_int_equal(a.record->approval->state, STATE(PENDING)); /* what was read stays */
    sm_store_write op = {.conds = &cond, .cond_count = 1, .puts = &put, .put_count = 1};
    assert_sm_ok(sm_store_write_sync(server.store, &op));
    assert_string_equal(load(id).record->approval->serial, "01ab");
    assert_int_equal(load(id).state, STATE(ISSUED));
    assert_true(sm_err_is(sm_store_write_sync(server.store, &op), SM_E_CONFLICT));
}

/* ---- time and the queue ---- */

static void queue__is_bounded_for_each_label(void **state)
{
    (void)state;
    sm_slice ids[5];
    sm_slice other;
    char cn[16];
    for (int i = 0; i < 4; i++) {
        (void)snprintf(cn, sizeof(cn), "q%d", i);
        assert_sm_ok(request("queue", cn, csr_of(cn), &ids[i]));
    }
    sm_slice fifth = csr_of("q4");
    assert_true(sm_err_is(request("queue", "q4", fifth, &ids[4]), SM_E_QUEUE_FULL));
    assert_non_null(strstr(diag.reason, "4 requests wait"));
    assert_sm_ok(request("queue2", "q", csr_of("q"), &other));
    assert_int_equal(act(ids[0], "deny", "{}"), 200);
    assert_sm_ok(request("queue", "q4", fifth, &ids[4]));
    /* Whose time is over makes room, too. */
    assert_true(sm_err_is(request("queue", "q5", csr_of("q5"), &other), SM_E_QUEUE_FULL));
    sm_clock_set_offset_s(8 * DAY);
    assert_int_equal(load(ids[1]).state, STATE(EXPIRED));
    assert_sm_ok(request("queue", "q6", csr_of("q6"), &other));
    /* It can still be decided about. */
    assert_int_equal(act(ids[1], "approve", "{}"), 200);
    assert_int_equal(load(ids[1]).state, STATE(APPROVED));
    sm_clock_set_offset_s(14 * DAY);
    assert_int_equal(load(ids[1]).state, STATE(APPROVED));
    sm_clock_set_offset_s(16 * DAY);
    assert_int_equal(load(ids[1]).state, STATE(EXPIRED));
}

static void queue__is_bounded_for_each_requester(void **state)
{
    (void)state;
    few = rules;
    few.own_queue = 2;
    assert_sm_ok(request_few("one", "f1"));
    assert_sm_ok(request_few("one", "f2"));
    assert_true(sm_err_is(request_few("one", "f3"), SM_E_QUEUE_FULL));
    assert_non_null(strstr(diag.reason, "2 requests of the same requester"));
    assert_sm_ok(request_few("two", "f3"));
    sm_clock_set_offset_s(8 * DAY);
    assert_sm_ok(request_few("one", "f4"));
}

static void old_ones__are_forgotten(void **state)
{
    (void)state;
    sm_slice id;
    sm_slice next;
    struct sm_approval a;
    assert_sm_ok(request("old", "old", csr_of("old"), &id));
    sm_clock_set_offset_s(43 * DAY);
    assert_sm_ok(request("old", "next", csr_of("next"), &next));
    assert_int_equal(load(id).state, STATE(EXPIRED));
    sm_clock_set_offset_s(45 * DAY); /* two weeks and thirty days */
    assert_sm_ok(request("old", "last", csr_of("last"), &next));
    assert_true(sm_err_is(sm_approval_load(server.store, id, &arena, &a), SM_E_NOT_FOUND));
    assert_sm_ok(sm_approval_load(server.store, next, &arena, &a));
}

/* ---- the service ---- */

static void list__by_label_and_state_in_pages(void **state)
{
    (void)state;
    sm_slice ids[3];
    char cn[16];
    char what[256] = "?label=list&pageSize=2";
    size_t seen = 0;
    for (int i = 0; i < 3; i++) {
        (void)snprintf(cn, sizeof(cn), "l%d", i);
        assert_sm_ok(request("list", cn, csr_of(cn), &ids[i]));
    }
    for (int page = 0; page < 3; page++) {
        json_t *answer;
        assert_int_equal(ask("GET", what, NULL, &answer), 200);
        seen += json_array_size(json_object_get(answer, "approvals"));
        assert_null(
            json_object_get(json_array_get(json_object_get(answer, "approvals"), 0), "csr"));
        const char *token = json_string_value(json_object_get(answer, "nextPageToken"));
        (void)snprintf(what, sizeof(what), "?label=list&pageSize=2&pageToken=%s",
                       token == NULL ? "" : token);
        bool more = token != NULL && token[0] != '\0';
        json_decref(answer);
        if (!more) {
            break;
        }
    }
    assert_int_equal(seen, 3);
    json_t *answer;
    assert_int_equal(act(ids[0], "deny", "{\"reason\":\"no\"}"), 200);
    assert_int_equal(ask("GET", "?label=list&state=APPROVAL_STATE_DENIED", NULL, &answer), 200);
    json_t *denied = json_object_get(answer, "approvals");
    assert_int_equal(json_array_size(denied), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(denied, 0), "reason")),
                        "no");
    assert_string_equal(json_string_value(json_object_get(json_array_get(denied, 0), "decidedBy")),
                        "boss");
    json_decref(answer);
    (void)snprintf(what, sizeof(what), "?label=queue&pageToken=%s",
                   sm_approval_id_text(ids[0], &arena));
    assert_int_equal(ask("GET", what, NULL, &answer), 400);
    assert_string_equal(sm_api_error(answer, "field"), "page_token");
    json_decref(answer);
}

/* Pages end by what their records take, too: memory is bounded whatever was sent. */
static void list__large_records_in_small_pages(void **state)
{
    (void)state;
    Sealmill__V1__Approval a;
    char label[] = "large";
    char requester[] = "r";
    char what[256] = "?label=large&pageSize=1000";
    uint8_t *octets = sm_arena_zalloc(&arena, 300000);
    size_t pages = 0;
    size_t seen = 0;
    struct sm_approval_rules wide = rules;
    wide.queue = wide.own_queue = 100;
    sealmill__v1__approval__init(&a);
    a.label = label;
    a.requester = requester;
    for (uint8_t i = 0; i < 40; i++) {
        octets[0] = i;
        a.csr = sm_binary(sm_slice_of(octets, 60000));
        assert_sm_ok(sm_approval_request(server.api, &wide,
                                         id_of(label, requester, sm_slice_of(octets, 60000)), &a,
                                         NULL, SM_LIT("c"), &arena, &diag));
    }
    a.csr = sm_binary(sm_slice_of(octets, 300000)); /* no request is as large */
    assert_true(sm_err_is(sm_approval_request(server.api, &wide, id_of(label, "s", SM_LIT("x")), &a,
                                              NULL, SM_LIT("c"), &arena, &diag),
                          SM_E_TOO_LARGE));
    for (bool more = true; more; pages++) {
        json_t *answer;
        assert_int_equal(ask("GET", what, NULL, &answer), 200);
        seen += json_array_size(json_object_get(answer, "approvals"));
        const char *token = json_string_value(json_object_get(answer, "nextPageToken"));
        more = token != NULL && token[0] != '\0';
        (void)snprintf(what, sizeof(what), "?label=large&pageSize=1000&pageToken=%s",
                       more ? token : "");
        json_decref(answer);
    }
    assert_int_equal(seen, 40);
    assert_in_range(pages, 3, 4);
}

static void decisions__what_is_none(void **state)
{
    (void)state;
    sm_slice id;
    static char body[1024];
    assert_sm_ok(request("none", "CN=none", csr_of("none"), &id));
    assert_int_equal(act(SM_LIT("abcdefghijklmnopqrstuvwx"), "approve", "{}"), 404);
    assert_int_equal(act(SM_LIT("short"), "approve", "{}"), 404);
    (void)snprintf(body, sizeof(body), "{\"reason\":\"%0300d\"}", 0);
    assert_int_equal(act(id, "deny", body), 400);
    assert_int_equal(act(id, "approve", "{}"), 200);
    assert_int_equal(act(id, "approve", "{}"), 400);
    assert_int_equal(act(id, "edit", "{\"subject\":\"CN=x\"}"), 400);
    assert_int_equal(act(id, "deny", "{}"), 200); /* nobody has come for it yet */
    assert_int_equal(act(id, "deny", "{}"), 400);
}

static void edit__within_the_profile(void **state)
{
    (void)state;
    sm_slice id;
    assert_sm_ok(request("edit", "CN=edit", csr_of("edit"), &id));
    assert_int_equal(act(id, "edit", "{\"profile\":\"none\"}"), 400);
    assert_int_equal(act(id, "edit", "{\"validitySeconds\":99999999}"), 400);
    assert_int_equal(act(id, "edit", "{\"validitySeconds\":-1}"), 400);
    assert_int_equal(act(id, "edit", "{\"subject\":\"nonsense\"}"), 400);
    assert_int_equal(act(id, "edit", "{\"sans\":[{\"dns\":\"not a name\"}]}"), 400);
    assert_int_equal(act(id, "edit", "{\"sans\":[{\"dns\":\"b.example\"}],\"noSans\":true}"), 400);
    assert_false(load(id).record->approval->edited); /* none of these left anything */
    assert_int_equal(
        act(id, "edit", "{\"subject\":\"CN=new,O=Acme\",\"sans\":[{\"dns\":\"b.example\"}]}"), 200);
    const struct sm_approval a = load(id);
    const Sealmill__V1__Approval *m = a.record->approval;
    assert_true(m->edited);
    assert_string_equal(m->subject, "CN=new,O=Acme");
    assert_int_equal(m->n_sans, 1);
    assert_string_equal(m->sans[0]->dns, "b.example");
    assert_int_equal(a.state, STATE(PENDING));
    /* What one edit leaves out is as the one before had it. */
    assert_int_equal(act(id, "edit", "{\"profile\":\"short\",\"noSans\":true}"), 200);
    assert_string_equal(load(id).record->approval->subject, "CN=new,O=Acme");
    assert_int_equal(load(id).record->approval->n_sans, 0);
    assert_true(load(id).record->new_profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules__defaults_and_what_is_none),
        cmocka_unit_test(id__is_of_label_requester_and_request),
        cmocka_unit_test(request__twice_is_one),
        cmocka_unit_test(request__a_condition_beside_it_holds_for_both),
        cmocka_unit_test(step__of_what_another_changed_is_refused),
        cmocka_unit_test(step__to_issued_is_on_condition),
        cmocka_unit_test(list__by_label_and_state_in_pages),
        cmocka_unit_test(list__large_records_in_small_pages),
        cmocka_unit_test(decisions__what_is_none),
        cmocka_unit_test(edit__within_the_profile),
        cmocka_unit_test_teardown(queue__is_bounded_for_each_label, back_to_now),
        cmocka_unit_test_teardown(queue__is_bounded_for_each_requester, back_to_now),
        cmocka_unit_test_teardown(old_ones__are_forgotten, back_to_now),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
