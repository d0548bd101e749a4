/* SPDX-License-Identifier: Apache-2.0 */
/* List: each filter, pages, and page tokens from nobody. */
#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "tests/support/api_server.h"

#include <string.h>

#define COUNT 12

static struct sm_api_server server;
static const char *admin;
static char serials[COUNT][64];

static void issue(size_t i)
{
    static char body[20000];
    char cn[32];
    char sans[128];
    unsigned status;
    (void)snprintf(cn, sizeof(cn), "dev%zu", i);
    (void)snprintf(sans, sizeof(sans), "DNS:dev%zu.example,IP:192.0.2.%zu,URI:urn:dev:%zu", i, i,
                   i);
    (void)snprintf(body, sizeof(body),
                   "{\"ca\":\"%s\",\"profile\":\"%s\",\"csr\":\"%s\",\"validitySeconds\":\"%zu\"}",
                   i < 9 ? "issuing" : "root", i % 2 == 0 ? "even" : "odd", sm_api_csr(cn, sans),
                   (i + 1) * 86400);
    json_t *answer = sm_api_server_json(&server, "POST", "/v1/certificates", admin, body, &status);
    if (status != 200) {
        print_error("%s: %s\n", sm_api_error(answer, "field"), sm_api_error(answer, "message"));
    }
    assert_int_equal(status, 200);
    (void)snprintf(serials[i], sizeof(serials[i]), "%s",
                   json_string_value(json_object_get(answer, "serial")));
    json_decref(answer);
}

static void revoke(size_t i, const char *reason)
{
    char path[128];
    char body[64];
    unsigned status;
    (void)snprintf(path, sizeof(path), "/v1/certificates/%s:revoke", serials[i]);
    (void)snprintf(body, sizeof(body), "{\"reason\":\"%s\"}", reason);
    json_decref(sm_api_server_json(&server, "POST", path, admin, body, &status));
    assert_int_equal(status, 200);
}

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: even\n  sans: {copy: true}\n"
                                 "- name: odd\n  sans: {copy: true}\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    for (size_t i = 0; i < COUNT; i++) {
        issue(i);
    }
    revoke(1, "superseded");
    revoke(2, "certificate-hold");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

static json_t *ask(const char *query, unsigned *status)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "/v1/certificates?%s", query);
    return sm_api_server_json(&server, "GET", path, admin, NULL, status);
}

/* The numbers of the certificates found, as bits. */
static unsigned bits_of(const json_t *answer)
{
    unsigned bits = 0;
    json_t *list = json_object_get(answer, "certificates");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *serial = json_string_value(json_object_get(json_array_get(list, i), "serial"));
        for (size_t j = 0; j < COUNT; j++) {
            if (strcmp(serial, serials[j]) == 0) {
                assert_int_equal(bits >> j & 1U, 0); /* each once */
                bits |= 1U << j;
            }
        }
    }
    return bits;
}

static void found(const char *query, unsigned want)
{
    unsigned status;
    json_t *answer = ask(query, &status);
    unsigned bits = status == 200 ? bits_of(answer) : ~0U;
    if (bits != want) {
        print_error("%s: %u, %03x, wanted %03x\n", query, status, bits, want);
    }
    assert_int_equal(status, 200);
    assert_int_equal(bits, want);
    json_decref(answer);
}

static void refused(const char *query, const char *field)
{
    unsigned status;
    json_t *answer = ask(query, &status);
    if (status != 400) {
        print_error("%s: %u\n", query, status);
    }
    assert_int_equal(status, 400);
    assert_string_equal(sm_api_error(answer, "field"), field);
    json_decref(answer);
}

#define ALL 0xfffU

/* ---- filters ---- */

static void list__by_state(void **state)
{
    (void)state;
    found("", ALL);
    found("state=valid", ALL & ~6U);
    found("state=CERTIFICATE_STATE_REVOKED", 2);
    found("state=4", 0);
    found("state=on-hold", 4);
    refused("state=gone", "state");
}

static void list__by_ca_and_profile(void **state)
{
    (void)state;
    found("ca=issuing", 0x1ff);
    found("ca=root", 0xe00);
    found("ca=nobody", 0);
    found("profile=even", 0x555);
    found("profile=odd&ca=root", 0xa00);
    found("profile=Even", 0);
}

static void list__by_names(void **state)
{
    (void)state;
    found("subject=CN=dev3", 8);
    found("subject=CN%3Ddev3", 8);
    found("subject=CN=dev33", 0);
    found("san=dev3.example", 8);
    found("san=192.0.2.4", 16);
    found("san=urn:dev:5", 32);
    found("san=nobody.example", 0);
    found("san=dev3.example&profile=even", 0);
    found("subject=CN=dev3&state=revoked", 0);
}

static void list__by_key(void **state)
{
    (void)state;
    unsigned status;
    char query[256];
    char other[200];
    json_t *answer = ask("subject=CN=dev7", &status);
    const char *hex = json_string_value(
        json_object_get(json_array_get(json_object_get(answer, "certificates"), 0), "keySha256"));
    assert_int_equal(strlen(hex), 64);
    (void)snprintf(query, sizeof(query), "keySha256=%s", hex);
    found(query, 128);
    sm_buf octets = sm_buf_init(32);
    assert_sm_ok(sm_hex_decode(&octets, sm_slice_str(hex), false));
    size_t at = 0;
    for (size_t i = 0; i < octets.len; i++) { /* as other tools print it */
        at += (size_t)snprintf(other + at, sizeof(other) - at, "%s%02X", i == 0 ? "" : ":",
                               octets.ptr[i]);
    }
    sm_buf_deinit(&octets);
    (void)snprintf(query, sizeof(query), "keySha256=%s", other);
    found(query, 128);
    json_decref(answer);
    refused("keySha256=abc", "key_sha256");
    refused("keySha256=zz", "key_sha256");
}

static void list__by_expiry(void **state)
{
    (void)state;
    char query[200];
    char from[SM_RFC3339_SIZE];
    char to[SM_RFC3339_SIZE];
    int64_t now = sm_clock_wall_s();
    (void)sm_clock_format(now + 3 * 86400 + 3600, from);
    (void)sm_clock_format(now + 6 * 86400 + 3600, to);
    (void)snprintf(query, sizeof(query), "expiresAfter=%s", from);
    found(query, 0xff8);
    (void)snprintf(query, sizeof(query), "expiresBefore=%s", to);
    found(query, 0x03f);
    (void)snprintf(query, sizeof(query), "expiresAfter=%s&expiresBefore=%s", from, to);
    found(query, 0x038);
    (void)snprintf(query, sizeof(query), "expiresAfter=%s&expiresBefore=%s", to, from);
    found(query, 0);
    (void)snprintf(query, sizeof(query), "expiresAfter=%s&expiresBefore=%s&profile=odd", from, to);
    found(query, 0x028);
    found("expiresAfter=0001-01-01T00:00:00Z", ALL);
    found("expiresBefore=0001-01-01T00:00:00Z", 0);
    found("expiresAfter=9999-12-31T23:59:59Z", 0);
    found("expiresBefore=9999-12-31T23:59:59Z", ALL);
    refused("expiresAfter=tomorrow", "expiresAfter");
}

static void list__brief_leaves_the_certificate_out(void **state)
{
    (void)state;
    unsigned status;
    json_t *answer = ask("subject=CN=dev7&brief=true", &status);
    json_t *c = json_array_get(json_object_get(answer, "certificates"), 0);
    assert_null(json_object_get(c, "certificate"));
    assert_string_equal(json_string_value(json_object_get(c, "subject")), "CN=dev7");
    json_decref(answer);
}

/* ---- pages ---- */

static void walk(const char *filters, unsigned page_size, unsigned want)
{
    char token[1024] = "";
    unsigned seen = 0;
    for (unsigned pages = 0; pages == 0 || token[0] != '\0'; pages++) {
        char query[2048];
        unsigned status;
        (void)snprintf(query, sizeof(query), "%s&pageSize=%u&pageToken=%s", filters, page_size,
                       token);
        json_t *answer = ask(query, &status);
        assert_int_equal(status, 200);
        assert_true(json_array_size(json_object_get(answer, "certificates")) <= page_size);
        unsigned bits = bits_of(answer);
        assert_int_equal(seen & bits, 0);
        seen |= bits;
        const char *next = json_string_value(json_object_get(answer, "nextPageToken"));
        (void)snprintf(token, sizeof(token), "%s", next == NULL ? "" : next);
        json_decref(answer);
        assert_true(pages < 50);
    }
    assert_int_equal(seen, want);
}

static void list__pages_give_each_once(void **state)
{
    (void)state;
    for (unsigned size = 1; size <= COUNT + 1; size++) {
        walk("", size, ALL);
        walk("profile=odd", size, 0xaaa);
        walk("expiresAfter=2020-01-01T00:00:00Z", size, ALL);
        walk("state=valid&ca=root", size, 0xe00);
    }
    walk("state=revoked", 1, 2);
    walk("san=dev3.example", 1, 8);
}

static void list__page_sizes(void **state)
{
    (void)state;
    found("pageSize=0", ALL);
    found("pageSize=1000", ALL);
    refused("pageSize=1001", "page_size");
    refused("pageSize=-1", "page_size");
    refused("pageSize=2147483647", "page_size");
    refused("pageSize=many", "pageSize");
}

/* Whatever a token says, the filters hold, and nothing breaks. */
static void list__strange_page_tokens(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "*", "A", "AAAA", "====", "YQ===", "a%20b", "Lw", "..%2F..%2F"};
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        char query[64];
        (void)snprintf(query, sizeof(query), "pageToken=%s", bad[i]);
        refused(query, "page_token");
    }
}

static void list__bent_page_tokens_keep_to_the_filters(void **state)
{
    (void)state;
    static const char *const filters[] = {"", "&profile=odd", "&san=dev3.example", "&state=revoked",
                                          "&expiresAfter=2020-01-01T00:00:00Z"};
    static const unsigned wanted[] = {ALL, 0xaaa, 8, 2, ALL};
    uint64_t random = 88172645463325252U;
    size_t taken = 0;
    for (size_t i = 0; i < 200; i++) {
        uint8_t octets[300];
        char query[1024];
        unsigned status;
        size_t len = 1 + random % 90;
        for (size_t j = 0; j < len; j++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            octets[j] = (uint8_t)(random >> 24);
        }
        size_t f = i % SM_ARRAY_LEN(filters);
        octets[0] = (uint8_t) "aanre"[f];       /* the index that these filters use */
        octets[1] = i % 3 == 0 ? 0 : octets[1]; /* before the rows, too */
        sm_buf text = sm_buf_init(512);
        sm_base64url_encode(&text, sm_slice_of(octets, len));
        (void)snprintf(query, sizeof(query), "pageToken=%.*s%s", (int)text.len,
                       (const char *)text.ptr, filters[f]);
        sm_buf_deinit(&text);
        json_t *answer = ask(query, &status);
        if (status == 200) {
            assert_int_equal(bits_of(answer) & ~wanted[f], 0);
            taken++;
        } else { /* before the filter's rows */
            assert_int_equal(status, 400);
            assert_string_equal(sm_api_error(answer, "field"), "page_token");
        }
        json_decref(answer);
    }
    assert_in_range(taken, 40, 199);
}

static void list__page_token_of_other_filters(void **state)
{
    (void)state;
    unsigned status;
    char query[1024];
    json_t *answer = ask("pageSize=1", &status);
    const char *token = json_string_value(json_object_get(answer, "nextPageToken"));
    assert_non_null(token);
    (void)snprintf(query, sizeof(query), "state=revoked&pageToken=%s", token);
    refused(query, "page_token");
    (void)snprintf(query, sizeof(query), "san=dev3.example&pageToken=%s", token);
    refused(query, "page_token");
    json_decref(answer);
}

static void list__too_long_a_page_token_is_refused(void **state)
{
    (void)state;
    char query[3000];
    (void)snprintf(query, sizeof(query), "pageToken=YQ%02000d", 0);
    refused(query, "page_token");
}

/* ---- parameters ---- */

static void list__unknown_parameters_are_refused(void **state)
{
    (void)state;
    unsigned status;
    json_t *answer = ask("colour=red", &status);
    assert_true(status == 400 || status == 404);
    assert_string_equal(sm_api_error(answer, "field"), "colour");
    json_decref(answer);
    answer = ask("a%22b%5C=1", &status); /* must not break out of the answer's strings */
    assert_true(status == 400 || status == 404);
    assert_non_null(strchr(sm_api_error(answer, "field"), '"'));
    json_decref(answer);
    refused("ca=%zz", "path");
    refused("pageToken=%00", "pageToken");
    refused("pageToken=%ff", "pageToken");
    refused("ca=a%00b", "ca");
    refused("ca=%ff", "ca");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list__by_state),
        cmocka_unit_test(list__by_ca_and_profile),
        cmocka_unit_test(list__by_names),
        cmocka_unit_test(list__by_key),
        cmocka_unit_test(list__by_expiry),
        cmocka_unit_test(list__brief_leaves_the_certificate_out),
        cmocka_unit_test(list__pages_give_each_once),
        cmocka_unit_test(list__page_sizes),
        cmocka_unit_test(list__strange_page_tokens),
        cmocka_unit_test(list__bent_page_tokens_keep_to_the_filters),
        cmocka_unit_test(list__page_token_of_other_filters),
        cmocka_unit_test(list__too_long_a_page_token_is_refused),
        cmocka_unit_test(list__unknown_parameters_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
