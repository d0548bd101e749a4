/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule of CRLs beside who makes one at the same time, and after what broke in the middle; what metrics say of them. */
#include "api/api_p.h"
#include "api/crl_p.h"
#include "base/clock.h"
#include "sign/batch.h"
#include "tests/support/api_server.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FAR 1000 /* a number that nothing here counts up to */

static struct sm_api_server server;
static sm_crls *crls;

static int set_up(void **state)
{
    char folder[300];
    (void)state;
    sm_api_server_start(&server, "crl: {partitions: 2}\n"
                                 "profiles:\n"
                                 "- name: device\n"
                                 "  crl_urls: ['http://x.example/crl/root.crl', "
                                 "'http://x.example/crl/issuing.crl']\n");
    (void)snprintf(folder, sizeof(folder), "%s/crl", server.dir);
    assert_sm_ok(sm_crls_new(server.api, folder, &crls, NULL));
    server.api->crls = crls; /* without its thread; freed with the API */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    sm_sign_thread_deinit();
    return 0;
}

static struct sm_crl_state state_of(const struct sm_crl_scope *scope)
{
    struct sm_crl_state s;
    assert_sm_ok(sm_crl_state_read(server.store, scope, &s));
    return s;
}

/* Takes a number as who begins to make a CRL does. */
static uint64_t take_number(const struct sm_crl_scope *scope, uint64_t more)
{
    struct sm_crl_state s = state_of(scope);
    uint64_t taken = s.last_number += more;
    assert_sm_ok(sm_crl_state_write(server.store, scope, &s));
    sm_crl_state_deinit(&s);
    return taken;
}

static struct sm_crl_scope scope_of(const char *ca)
{
    sm_world *w = sm_world_attach(server.api);
    const struct sm_ca_generation *g = sm_ca_current(sm_world_ca(w, ca));
    struct sm_crl_scope scope = {g->ca_id, g->number, 0};
    sm_world_detach(&w);
    return scope;
}

static void *turn(void *ctx)
{
    *(size_t *)ctx = sm_crls_turn(crls);
    sm_sign_thread_deinit();
    return NULL;
}

/* Its first turn writes down how many partitions there are; a number that another thread takes meanwhile stays taken. */
static void crl__a_number_that_is_taken_meanwhile_stays_so(void **state)
{
    const struct sm_crl_scope scopes[] = {scope_of("root"), scope_of("issuing")};
    pthread_t thread;
    size_t made;
    (void)state;
    (void)pthread_mutex_lock(&crls->lock);
    assert_int_equal(pthread_create(&thread, NULL, turn, &made), 0);
    (void)usleep(200000); /* it waits for the lock by now, or the test proves less */
    for (size_t i = 0; i < 2; i++) {
        (void)take_number(&scopes[i], FAR);
    }
    (void)pthread_mutex_unlock(&crls->lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(made, 2 * 3); /* each with two partitions */
    for (size_t i = 0; i < 2; i++) {
        struct sm_crl_state s = state_of(&scopes[i]);
        assert_int_equal(s.partitions, 2);
        assert_int_equal(s.full.number, FAR + 1);
        sm_crl_state_deinit(&s);
    }
    assert_int_equal(sm_crls_turn(crls), 0);
}

/* The server was killed between the file and its note: what is served is made anew, at once, and once. */
static void crl__what_was_interrupted_is_made_anew(void **state)
{
    struct sm_crl_scope scope = scope_of("issuing");
    (void)state;
    for (scope.partition = 0; scope.partition < 2; scope.partition++) {
        uint64_t taken = take_number(&scope, 1);
        assert_int_equal(sm_crls_turn(crls), 1);
        struct sm_crl_state s = state_of(&scope);
        assert_int_equal(s.full.number, taken + 1);
        assert_int_equal(s.delta.number, 0);
        sm_crl_state_deinit(&s);
        assert_int_equal(sm_crls_turn(crls), 0);
    }
}

/* Delta CRLs that were made by hand too, and before and after it nothing of them. */
static void crl__an_interrupted_delta_is_made_anew(void **state)
{
    const struct sm_crl_scope scope = scope_of("issuing");
    sm_world *w = sm_world_attach(server.api);
    const struct sm_ca *ca = sm_world_ca(w, "issuing");
    const struct sm_crl_name name = {ca, sm_ca_current(ca), 0, true};
    struct sm_crl_published made;
    (void)state;
    assert_sm_ok(sm_crls_make(crls, &name, &made, NULL));
    sm_world_detach(&w);
    assert_int_equal(sm_crls_turn(crls), 0);
    uint64_t taken = take_number(&scope, 1);
    assert_int_equal(sm_crls_turn(crls), 2);
    struct sm_crl_state s = state_of(&scope);
    assert_int_equal(s.full.number, taken + 1);
    assert_int_equal(s.delta.number, taken + 2);
    sm_crl_state_deinit(&s);
    assert_int_equal(sm_crls_turn(crls), 0);
}

/* What a load leaves that was interrupted: a number that is noted, and a file that is of it, or still of the one before. */
static void crl__a_load_that_was_interrupted_is_settled_by_the_file(void **state)
{
    const struct sm_crl_scope scope = scope_of("root");
    sm_world *w = sm_world_attach(server.api);
    const struct sm_ca *ca = sm_world_ca(w, "root");
    struct sm_ca_generation keyless = *sm_ca_current(ca);
    const struct sm_crl_name name = {ca, sm_ca_current(ca), 0, false};
    const struct sm_crl_name elsewhere = {ca, &keyless, 0, false};
    struct sm_crl_published first;
    struct sm_crl_published second;
    (void)state;
    keyless.key = NULL;
    assert_sm_ok(sm_crls_make(crls, &name, &first, NULL));
    assert_sm_ok(sm_crls_make(crls, &name, &second, NULL));
    for (int is_noted = 0; is_noted < 2; is_noted++) {
        struct sm_crl_state s = state_of(&scope);
        s.full = is_noted ? second : first;
        s.last_number = second.number + FAR; /* taken once, by a key that may come back */
        s.loading = true;
        (void)pthread_mutex_lock(&crls->lock);
        sm_crl_settle_loaded(crls, &elsewhere, &s);
        (void)pthread_mutex_unlock(&crls->lock);
        sm_crl_state_deinit(&s);
        s = state_of(&scope);
        assert_memory_equal(&s.full, &second, sizeof(second));
        assert_int_equal(s.delta.number, 0); /* there is no such file */
        assert_int_equal(s.last_number, second.number + FAR);
        assert_false(s.loading);
        sm_crl_state_deinit(&s);
    }
    sm_world_detach(&w);
}

/* Before the first certificate of the new world: no turn in between. */
static void crl__more_partitions_are_durable_with_the_world_that_has_them(void **state)
{
    const struct sm_crl_scope scope = scope_of("issuing");
    Sealmill__Config__V1__Config more = *server.api->config.config;
    const Sealmill__Config__V1__Config *before = server.api->config.config;
    Sealmill__Config__V1__CrlRules rules = *more.crl;
    sm_diag diag = {.reason = ""};
    (void)state;
    rules.partitions = 7;
    more.crl = &rules;
    assert_sm_ok(sm_api_reload(server.api, &more, &diag));
    struct sm_crl_state s = state_of(&scope);
    assert_int_equal(s.partitions, 7);
    sm_crl_state_deinit(&s);
    assert_sm_ok(sm_api_reload(server.api, before, &diag));
    s = state_of(&scope);
    assert_int_equal(s.partitions, 7); /* certificates may be in them */
    sm_crl_state_deinit(&s);
}

/* What cannot be made takes no number, and gathers no entries, each time that it is looked at. */
static void crl__that_cannot_be_made_rests(void **state)
{
    (void)state;
    const struct sm_crl_scope scope = scope_of("issuing");
    char folder[sizeof(crls->folder)];
    memcpy(folder, crls->folder, sizeof(folder));
    (void)take_number(&scope, 1); /* so that it is due */
    uint64_t taken = 0;
    (void)snprintf(crls->folder, sizeof(crls->folder), "%s/none", server.dir);
    for (int turns = 0; turns < 3; turns++) {
        assert_int_equal(sm_crls_turn(crls), 0);
        struct sm_crl_state s = state_of(&scope);
        assert_true(turns == 0 || s.last_number == taken); /* the first one has tried */
        taken = s.last_number;
        sm_crl_state_deinit(&s);
    }
    memcpy(crls->folder, folder, sizeof(folder));
    assert_int_equal(sm_crls_turn(crls), 0);
    sm_clock_set_offset_s(61);
    assert_true(sm_crls_turn(crls) > 0);
    assert_int_equal(sm_crls_turn(crls), 0);
    sm_clock_set_offset_s(0);
    struct sm_crl_state s = state_of(&scope);
    assert_true(s.full.number > taken);
    sm_crl_state_deinit(&s);
}

/* ---- metrics ---- */

static bool tells(const char *line)
{
    sm_buf text = sm_buf_init(4U << 20);
    sm_crls_tell(crls, &text);
    assert_sm_ok(sm_buf_err(&text));
    bool found = text.len > 0 && memmem(text.ptr, text.len, line, strlen(line)) != NULL;
    sm_buf_deinit(&text);
    return found;
}

static void metrics__tell_of_each_partition(void **state)
{
    (void)state;
    char line[200];
    struct sm_crl_scope scope = scope_of("issuing");
    struct sm_crl_state whole = state_of(&scope);
    uint32_t count = whole.partitions;
    sm_crl_state_deinit(&whole);
    assert_true(count >= 2);
    for (int turns = 0; turns < 2; turns++) { /* made; and found to be there */
        (void)sm_crls_turn(crls);
        for (scope.partition = 0; scope.partition <= count; scope.partition++) {
            struct sm_crl_state s = state_of(&scope);
            (void)snprintf(line, sizeof(line),
                           "sealmill_crl_next_update_seconds{ca=\"issuing\",generation=\"1\","
                           "partition=\"%u\",kind=\"full\"} %lld\n",
                           scope.partition, (long long)s.full.next_update);
            assert_true(tells(line));
            sm_crl_state_deinit(&s);
        }
    }
    assert_true(tells("sealmill_crl_is_overdue{ca=\"issuing\",generation=\"1\",partition=\"2\","
                      "kind=\"full\"} 0\n"));
    (void)snprintf(line, sizeof(line), "partition=\"%u\"", count + 1);
    assert_false(tells(line));
}

/* Of too many those that end first, and whatever is overdue. */
static void metrics__tell_of_the_most_urgent(void **state)
{
    (void)state;
    sm_world *w = sm_world_attach(server.api);
    struct sm_crl_name name = {.ca = sm_world_ca(w, "issuing")};
    struct sm_crl_facts *facts = sm_crl_facts_new();
    assert_non_null(facts);
    name.g = sm_ca_current(name.ca);
    for (name.partition = 5 * SM_CRL_FACTS_MAX; name.partition > 0; name.partition--) {
        const struct sm_crl_published p = {.number = 1, .next_update = FAR + name.partition};
        sm_crl_facts_add(facts, &name, &p, name.partition == 3 * SM_CRL_FACTS_MAX);
    }
    sm_crl_facts_show(crls, facts);
    assert_true(tells("partition=\"1\""));
    assert_true(tells("partition=\"999\""));
    assert_false(tells("partition=\"1000\"")); /* its place has the overdue one */
    assert_true(tells("partition=\"3000\""));
    assert_false(tells("partition=\"3001\""));
    sm_world_detach(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crl__a_number_that_is_taken_meanwhile_stays_so),
        cmocka_unit_test(crl__what_was_interrupted_is_made_anew),
        cmocka_unit_test(crl__an_interrupted_delta_is_made_anew),
        cmocka_unit_test(crl__a_load_that_was_interrupted_is_settled_by_the_file),
        cmocka_unit_test(crl__more_partitions_are_durable_with_the_world_that_has_them),
        cmocka_unit_test(crl__that_cannot_be_made_rests),
        cmocka_unit_test(metrics__tell_of_each_partition),
        cmocka_unit_test(metrics__tell_of_the_most_urgent),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
