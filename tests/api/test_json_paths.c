/* SPDX-License-Identifier: Apache-2.0 */
/* JSON over HTTP: which path and verb lead to which method, and with what in the variables. */
#include "base/check.h"
#include "tests/support/api_server.h"
#include "tests/support/io_server.h"

#include <string.h>

static struct sm_api_server server;
static const char *admin;

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n- name: a:b\n- name: 'sp ace'\n"
                                 "- name: 'per%cent'\n- name: \"\\u00e9\"\n- name: a/b\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

static json_t *ask(const char *verb, const char *path, const char *body, unsigned *status)
{
    return sm_api_server_json(&server, verb, path, admin, body, status);
}

static void gives(const char *verb, const char *path, const char *body, unsigned want)
{
    unsigned status;
    json_t *answer = ask(verb, path, body, &status);
    if (status != want) {
        print_error("%s %s: %u, %s\n", verb, path, status, sm_api_error(answer, "message"));
    }
    assert_int_equal(status, want);
    json_decref(answer);
}

static void names_profile(const char *path, const char *want)
{
    unsigned status;
    json_t *answer = ask("GET", path, NULL, &status);
    if (status != 200) {
        print_error("%s: %u\n", path, status);
    }
    assert_int_equal(status, 200);
    assert_string_equal(json_string_value(json_object_get(answer, "name")), want);
    json_decref(answer);
}

static void refuses(const char *verb, const char *path, const char *body, const char *field)
{
    unsigned status;
    json_t *answer = ask(verb, path, body, &status);
    if (status != 400 || strcmp(sm_api_error(answer, "field"), field) != 0) {
        print_error("%s %s: %u, \"%s\"\n", verb, path, status, sm_api_error(answer, "field"));
    }
    assert_int_equal(status, 400);
    assert_string_equal(sm_api_error(answer, "field"), field);
    json_decref(answer);
}

/* ---- templates ---- */

static void paths__variable_is_one_segment_decoded(void **state)
{
    (void)state;
    names_profile("/v1/profiles/device", "device");
    names_profile("/v1/profiles/d%65vice", "device");
    names_profile("/v1/profiles/a:b", "a:b"); /* a colon is no verb where none is known */
    names_profile("/v1/profiles/a%3Ab", "a:b");
    names_profile("/v1/profiles/sp%20ace", "sp ace");
    names_profile("/v1/profiles/per%25cent", "per%cent"); /* decoded once */
    names_profile("/v1/profiles/%C3%A9", "\xc3\xa9");
    names_profile("/v1/profiles/a%2Fb", "a/b");
    gives("GET", "/v1/profiles/a/b", NULL, 404);
    gives("GET", "/v1/profiles/device/", NULL, 404);
    gives("GET", "/v1/profiles//device", NULL, 404);
    gives("GET", "/v1/profiles/", NULL, 404);
    gives("GET", "//v1/profiles", NULL, 404);
    gives("GET", "/v1/profiles/..%2Fcas", NULL, 404);
    gives("GET", "/v1/Profiles/device", NULL, 404);
    gives("GET", "/v2/profiles/device", NULL, 404);
    gives("GET", "/", NULL, 404);
    gives("GET", "/v1", NULL, 404);
}

static void paths__broken_escapes_are_refused(void **state)
{
    (void)state;
    refuses("GET", "/v1/profiles/%", NULL, "path");
    refuses("GET", "/v1/profiles/%4", NULL, "path");
    refuses("GET", "/v1/profiles/%zz", NULL, "path");
    refuses("GET", "/v1/profiles/a%00b", NULL, "name");
    refuses("GET", "/v1/profiles/%ff", NULL, "name");
    refuses("GET", "/v1/profiles/%ed%a0%80", NULL, "name");
}

static void paths__verbs_behind_a_colon(void **state)
{
    (void)state;
    unsigned status;
    json_t *ca = ask("POST", "/v1/cas/issuing:disable", "{}", &status);
    assert_int_equal(status, 200);
    assert_string_equal(json_string_value(json_object_get(ca, "state")), "CA_STATE_DISABLED");
    json_decref(ca);
    gives("POST", "/v1/cas/issuing:enable", "", 200);
    gives("POST", "/v1/cas/issuing:", "{}", 405); /* the CA "issuing:", which is only read */
    gives("POST", "/v1/cas/issuing:nothing", "{}", 405);
    gives("POST", "/v1/cas/issuing:disable/", "{}", 404);
    gives("POST", "/v1/cas/:disable", "{}", 405);
    gives("GET", "/v1/cas/issuing:disable", NULL, 404);          /* a CA of this name */
    gives("POST", "/v1/cas/issuing:disable:disable", "{}", 404); /* of "issuing:disable" */
    gives("POST", "/v1/cas/issuing%3Adisable", "{}", 405);
    gives("GET", "/v1/cas/issuing/chain", NULL, 200);
    gives("GET", "/v1/cas/issuing/csr", NULL, 200);
    gives("GET", "/v1/cas/issuing/chain/x", NULL, 404);
}

/* "/v1/certificates:watch" is longer in fixed text than "/v1/certificates{...}" would be; a
 * certificate of the number "watch" is another thing. */
static void paths__fixed_text_wins(void **state)
{
    (void)state;
    refuses("GET", "/v1/certificates/watch", NULL, "serial");
    gives("GET", "/v1/certificates:nothing", NULL, 404);
}

/* ---- HTTP methods ---- */

static void paths__other_methods_are_405_with_allow(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"DELETE", "/v1/profiles", "GET"},
        {"POST", "/v1/profiles/device", "GET, PUT, DELETE"},
        {"PUT", "/v1/certificates", "GET, POST"},
        {"PATCH", "/v1/cas/issuing", "GET"},
        {"GET", "/v1/backups", "POST"},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(cases); i++) {
        char text[512];
        char want[64];
        static char answer[65536];
        int fd = sm_io_connect(server.port);
        (void)snprintf(
            text, sizeof(text),
            "%s %s HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            cases[i][0], cases[i][1]);
        sm_io_send(fd, text);
        assert_true(sm_io_read_to_end(fd, answer, sizeof(answer)) > 0);
        assert_int_equal(strncmp(answer, "HTTP/1.1 405 ", 13), 0);
        (void)snprintf(want, sizeof(want), "llow: %s", cases[i][2]);
        const char *at = strstr(answer, "llow: ");
        assert_non_null(at);
        for (const char *verb = strtok(want + 6, ", "); verb != NULL; verb = strtok(NULL, ", ")) {
            const char *found = strstr(at, verb);
            assert_non_null(found);
            assert_true(found < strchr(at, '\r'));
        }
    }
}

static void paths__head_is_get_without_a_body(void **state)
{
    (void)state;
    const char *answer;
    assert_int_equal(
        sm_api_server_ask(&server, "HEAD", "/v1/profiles/device", admin, NULL, &answer), 200);
    assert_string_equal(answer, "");
    assert_int_equal(sm_api_server_ask(&server, "HEAD", "/v1/profiles/none", admin, NULL, &answer),
                     404);
}

/* ---- bodies and parameters ---- */

static void paths__variables_win_over_the_body(void **state)
{
    (void)state;
    unsigned status;
    json_t *answer = ask("PUT", "/v1/profiles/mine", "{\"name\":\"other\",\"description\":\"d\"}",
                         &status);
    assert_int_equal(status, 200);
    assert_string_equal(json_string_value(json_object_get(answer, "name")), "mine");
    json_decref(answer);
    names_profile("/v1/profiles/mine", "mine");
    gives("GET", "/v1/profiles/other", NULL, 404);
    answer = ask("POST", "/v1/cas/root:disable", "{\"name\":\"issuing\"}", &status);
    assert_string_equal(json_string_value(json_object_get(answer, "name")), "root");
    json_decref(answer);
    gives("POST", "/v1/cas/root:enable", "{}", 200);
    gives("DELETE", "/v1/profiles/mine", NULL, 200);
    gives("DELETE", "/v1/profiles/mine", NULL, 404);
}

static void paths__body_of_a_method_without_one_is_passed_over(void **state)
{
    (void)state;
    gives("GET", "/v1/profiles/device", "not JSON at all", 200);
}

static void paths__bad_bodies_are_refused(void **state)
{
    (void)state;
    refuses("POST", "/v1/certificates", "not JSON", "body");
    refuses("POST", "/v1/certificates", "{\"csr\":1}", "csr");
    refuses("POST", "/v1/certificates", "{\"colour\":\"red\"}", "");
    refuses("PUT", "/v1/profiles/x", "[]", "");
    refuses("PUT", "/v1/profiles/x", "{\"validity\":{\"default\":\"soon\"}}", "validity.default");
}

static void paths__parameters(void **state)
{
    (void)state;
    const char *answer;
    gives("GET", "/v1/cas/issuing/chain?includeRoot=true", NULL, 200);
    gives("GET", "/v1/cas/issuing/chain?include_root=false&&", NULL, 200);
    gives("GET", "/v1/cas/issuing/chain?", NULL, 200);
    refuses("GET", "/v1/cas/issuing/chain?includeRoot=1", NULL, "includeRoot");
    refuses("GET", "/v1/cas/issuing/chain?includeRoot", NULL, "includeRoot");
    refuses("GET", "/v1/cas/issuing/chain?includeRoot=%", NULL, "path");
    (void)sm_api_server_ask(&server, "GET", "/v1/profiles/device?pretty=true", admin, NULL,
                            &answer);
    assert_non_null(strstr(answer, "\n  \"name\": \"device\""));
    (void)sm_api_server_ask(&server, "GET", "/v1/profiles/device?pretty=false", admin, NULL,
                            &answer);
    assert_non_null(strstr(answer, "{\"name\":\"device\""));
}

/* A refusal does not wait for the body; the body that comes later is not the next request. */
static void paths__connection_goes_on_after_a_refusal(void **state)
{
    (void)state;
    char text[512];
    static char answer[65536];
    int fd = sm_io_connect(server.port);
    for (int i = 0; i < 3; i++) {
        sm_io_send(fd, "POST /v1/cas/issuing:disable HTTP/1.1\r\nhost: a\r\n"
                       "content-length: 36\r\n\r\n");
        (void)sm_io_read_until(fd, "\"requestId\":\"", answer, sizeof(answer));
        assert_int_equal(strncmp(answer, "HTTP/1.1 401 ", 13), 0);
        (void)sm_io_read_until(fd, "}}\n", answer, 64); /* what is left of it */
        sm_io_send(fd, "GET /v1/whoami HTTP/1.1\r\n");
        sm_io_send(fd, "host: a\r\n\r\n");
    }
    (void)snprintf(text, sizeof(text),
                   "GET /v1/whoami HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                   "authorization: Bearer %s\r\n\r\n",
                   admin);
    sm_io_send(fd, text);
    assert_true(sm_io_read_to_end(fd, answer, sizeof(answer)) > 0);
    const char *at = strstr(answer, "HTTP/1.1 200 ");
    assert_non_null(at);
    assert_null(strstr(at + 1, "HTTP/1.1 ")); /* no answer to what was a body */
    gives("GET", "/v1/cas/issuing", NULL, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths__variable_is_one_segment_decoded),
        cmocka_unit_test(paths__broken_escapes_are_refused),
        cmocka_unit_test(paths__verbs_behind_a_colon),
        cmocka_unit_test(paths__fixed_text_wins),
        cmocka_unit_test(paths__other_methods_are_405_with_allow),
        cmocka_unit_test(paths__head_is_get_without_a_body),
        cmocka_unit_test(paths__variables_win_over_the_body),
        cmocka_unit_test(paths__body_of_a_method_without_one_is_passed_over),
        cmocka_unit_test(paths__bad_bodies_are_refused),
        cmocka_unit_test(paths__parameters),
        cmocka_unit_test(paths__connection_goes_on_after_a_refusal),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
