/* SPDX-License-Identifier: Apache-2.0 */
/* Worlds share the CAs whose records are the same: after a change, not after a reload, and never one whose key was missing. */
#include "api/api_p.h"
#include "api/ocsp_responder.h"
#include "tests/support/api_server.h"

#include <stdio.h>

static struct sm_api_server server;
static const char *admin;

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

static void change(const char *verb, const char *path, const char *body)
{
    const char *answer;
    assert_int_equal(sm_api_server_ask(&server, verb, path, admin, body, &answer), 200);
}

static struct sm_ca_generation *current(const sm_world *w, const char *ca)
{
    return sm_ca_current(sm_world_ca(w, ca));
}

/* Keys of CAs, and of their responders, are never certified. */
static void assert_denied(const sm_world *w, const char *ca)
{
    bool found;
    assert_sm_ok(sm_denied_keys_find(&w->denied, current(w, ca)->cert.spki, &found));
    assert_true(found);
    assert_sm_ok(sm_denied_keys_find(&w->denied, current(w, ca)->ocsp_cert.spki, &found));
    assert_true(found);
}

static void world__a_change_makes_one_ca_anew(void **state)
{
    (void)state;
    sm_world *before = sm_world_attach(server.api);
    change("POST", "/v1/cas/issuing:disable", "{}");
    sm_world *after = sm_world_attach(server.api);
    assert_ptr_not_equal(before, after);
    assert_ptr_equal(current(before, "root"), current(after, "root"));
    assert_ptr_not_equal(current(before, "issuing"), current(after, "issuing"));
    assert_true(sm_world_ca(before, "issuing")->active);
    assert_false(sm_world_ca(after, "issuing")->active);
    assert_denied(after, "root");
    assert_denied(after, "issuing");
    sm_world_detach(&before);
    /* What the world before had is there as long as one of them is. */
    const sm_anchors *anchors;
    assert_sm_ok(sm_world_anchors(current(after, "root"), &anchors));
    change("POST", "/v1/cas/issuing:enable", "{}");
    change("POST", "/v1/cas/issuing:rollover", "{}");
    sm_world *last = sm_world_attach(server.api);
    sm_world_detach(&after);
    const sm_anchors *same;
    assert_sm_ok(sm_world_anchors(current(last, "root"), &same));
    assert_ptr_equal(anchors, same);
    /* The generations of one subject are each world's own list. */
    const struct sm_same_subject *s = sm_world_by_subject(last,
                                                          current(last, "issuing")->cert.subject);
    assert_int_equal(s->g->number, 2);
    assert_int_equal(s->next->g->number, 1);
    assert_null(s->next->next);
    sm_world_detach(&last);
}

static void world__a_reload_makes_all_anew(void **state)
{
    (void)state;
    sm_world *before = sm_world_attach(server.api);
    Sealmill__Config__V1__Config config = *server.config;
    Sealmill__Config__V1__Ocsp ocsp;
    char validity[] = "7h";
    sealmill__config__v1__ocsp__init(&ocsp);
    ocsp.validity = validity;
    config.ocsp = &ocsp;
    assert_int_not_equal(current(before, "root")->ocsp->rules.validity_s, 7 * 3600);
    assert_sm_ok(sm_api_reload(server.api, &config, NULL));
    sm_world *after = sm_world_attach(server.api);
    assert_int_equal(current(after, "root")->ocsp->rules.validity_s, 7 * 3600);
    sm_world_detach(&after);
    sm_world_detach(&before);
    assert_sm_ok(sm_api_reload(server.api, server.config, NULL));
}

/* The key file is away, and no longer in memory; then it is there again. */
static void world__a_key_that_was_missing_is_looked_for(void **state)
{
    (void)state;
    char file[400];
    char away[410];
    sm_world *w = sm_world_attach(server.api);
    const char *uri = sm_arena_printf(&server.arena, "%s", sm_key_uri(current(w, "issuing")->key));
    sm_world_detach(&w);
    (void)snprintf(file, sizeof(file), "%s/%s.key", server.dir, uri + strlen("file:"));
    (void)snprintf(away, sizeof(away), "%s.away", file);
    assert_int_equal(rename(file, away), 0);
    sm_key *cached = sm_map_remove(server.api->keys, sm_slice_str(uri));
    sm_key_detach(&cached);
    assert_sm_ok(sm_api_reload(server.api, server.config, NULL));
    w = sm_world_attach(server.api);
    assert_null(current(w, "issuing")->key);
    sm_world_detach(&w);
    assert_int_equal(rename(away, file), 0);
    change("PUT", "/v1/profiles/another", "{}");
    w = sm_world_attach(server.api);
    assert_non_null(current(w, "issuing")->key);
    sm_world_detach(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(world__a_change_makes_one_ca_anew),
        cmocka_unit_test(world__a_reload_makes_all_anew),
        cmocka_unit_test(world__a_key_that_was_missing_is_looked_for),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
