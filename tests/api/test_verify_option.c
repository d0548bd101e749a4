/* SPDX-License-Identifier: Apache-2.0 */
/* verify_after_sign: which keys have it from a CA, from a signing key, from the configuration. */
#include "api/api_p.h"
#include "api/ca.h"
#include "base/check.h"
#include "sign/key_p.h"
#include "tests/support/api_server.h"

#include <string.h>

static struct sm_api_server server;
static const char *admin;

static void make(const char *path, const char *body)
{
    unsigned status;
    json_t *answer = sm_api_server_json(&server, "POST", path, admin, body, &status);
    if (status != 200) {
        print_error("%s: %s\n", body, sm_api_error(answer, "message"));
    }
    assert_int_equal(status, 200);
    json_decref(answer);
}

#define CA "\"parent\":\"root\",\"subject\":{\"attributes\":[{\"type\":\"CN\",\"value\":\"x\"}]}"

/* As the server does behind each change. */
static void make_further_responders(void)
{
    sm_arena arena;
    sm_diag diag = {.reason = ""};
    sm_arena_init(&arena, 64U << 20);
    const struct sm_admin a = {server.api, &arena, "test", SM_SLICE_NONE, &diag};
    assert_sm_ok(sm_ca_renew_responders(&a, SIZE_MAX, &(size_t){0}));
    sm_arena_deinit(&arena);
}

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n"
                                 "ocsp: {responder_keys: [ec-p384]}\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    make("/v1/cas", "{\"name\":\"careful\"," CA ",\"verifyAfterSign\":true}");
    make("/v1/cas", "{\"name\":\"usual\"," CA "}");
    make("/v1/keys", "{\"key\":{\"name\":\"careful\",\"verifyAfterSign\":true}}");
    make("/v1/keys", "{\"key\":{\"name\":\"usual\"}}");
    make_further_responders();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

static void expect_ca(sm_world *w, const char *name, bool want)
{
    const struct sm_ca_generation *g = sm_ca_current(sm_world_ca(w, name));
    assert_int_equal(sm_key_checks_results(g->key), want);
    assert_int_equal(sm_key_checks_results(g->ocsp_key), want);
    assert_int_equal(g->further_count, 1);
    assert_int_equal(sm_key_checks_results(g->further[0].key), want);
}

static void expect_signing_key(const sm_world *w, const char *name, bool want)
{
    size_t found = 0;
    for (size_t i = 0; i < w->signing_key_count; i++) {
        if (strcmp(w->signing_keys[i]->name, name) == 0) {
            assert_int_equal(sm_key_checks_results(w->signing_key_handles[i]), want);
            found++;
        }
    }
    assert_int_equal(found, 1);
}

static void expect(bool careful, bool usual)
{
    sm_world *w = sm_world_attach(server.api);
    expect_ca(w, "careful", careful);
    expect_ca(w, "usual", usual);
    expect_signing_key(w, "careful", careful);
    expect_signing_key(w, "usual", usual);
    sm_world_detach(&w);
}

static void verify_after_sign__is_of_the_ca_or_key_that_asks_for_it(void **state)
{
    (void)state;
    expect(true, false);
}

/* Of every key, with the next reload, and no longer than it stands there. */
static void verify_after_sign__of_the_configuration_is_everyones(void **state)
{
    (void)state;
    sm_diag diag = {.reason = ""};
    Sealmill__Config__V1__Crypto crypto;
    Sealmill__Config__V1__Config with = *server.config;
    sealmill__config__v1__crypto__init(&crypto);
    with.crypto = &crypto;
    assert_sm_ok(sm_api_reload(server.api, &with, &diag));
    expect(true, false);
    crypto.verify_after_sign = true;
    assert_sm_ok(sm_api_reload(server.api, &with, &diag));
    expect(true, true);
    assert_sm_ok(sm_api_reload(server.api, server.config, &diag));
    expect(true, false);
}

/* A configuration that is refused changes nothing, now or with the next change. */
static void verify_after_sign__is_as_what_is_in_force_says(void **state)
{
    (void)state;
    sm_diag diag = {.reason = ""};
    Sealmill__Config__V1__Crypto crypto;
    Sealmill__Config__V1__Enrolment enrolment;
    Sealmill__Config__V1__Label nothing;
    Sealmill__Config__V1__Label *labels[] = {&nothing};
    Sealmill__Config__V1__Config with = *server.config;
    Sealmill__Config__V1__Config refused = *server.config;
    sealmill__config__v1__crypto__init(&crypto);
    sealmill__config__v1__enrolment__init(&enrolment);
    sealmill__config__v1__label__init(&nothing); /* names no CA */
    crypto.verify_after_sign = true;
    with.crypto = &crypto;
    enrolment.labels = labels;
    enrolment.n_labels = 1;
    refused.enrolment = &enrolment;
    assert_sm_ok(sm_api_reload(server.api, &with, &diag));
    assert_false(sm_ok(sm_api_reload(server.api, &refused, &diag)));
    expect(true, true);
    make("/v1/keys", "{\"key\":{\"name\":\"any\"}}");
    expect(true, true);
    assert_sm_ok(sm_api_reload(server.api, server.config, &diag));
    expect(true, false);
}

/* The key of a careful CA, which signs raw digests too. */
static void verify_after_sign__of_one_user_is_the_keys(void **state)
{
    (void)state;
    sm_diag diag = {.reason = ""};
    Sealmill__Config__V1__Config with = *server.config;
    Sealmill__V1__SigningKey shared;
    Sealmill__V1__SigningKey *keys[] = {&shared};
    char name[] = "shared";
    char uri[200];
    sm_world *w = sm_world_attach(server.api);
    (void)snprintf(uri, sizeof(uri), "%s",
                   sm_key_uri(sm_ca_current(sm_world_ca(w, "careful"))->key));
    sm_world_detach(&w);
    sealmill__v1__signing_key__init(&shared);
    shared.name = name;
    shared.key_uri = uri;
    with.signing_keys = keys;
    with.n_signing_keys = 1;
    assert_sm_ok(sm_api_reload(server.api, &with, &diag));
    make("/v1/keys", "{\"key\":{\"name\":\"another\"}}");
    expect(true, false);
    assert_sm_ok(sm_api_reload(server.api, server.config, &diag));
    expect(true, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verify_after_sign__is_of_the_ca_or_key_that_asks_for_it),
        cmocka_unit_test(verify_after_sign__of_the_configuration_is_everyones),
        cmocka_unit_test(verify_after_sign__is_as_what_is_in_force_says),
        cmocka_unit_test(verify_after_sign__of_one_user_is_the_keys),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
