/* SPDX-License-Identifier: Apache-2.0 */
/* List over an inventory that does not fit a request's memory: it says where to go on, and comes to
 * the end. */
#include "api/record.h"
#include "base/check.h"
#include "tests/support/api_server.h"

#include <string.h>

#define ROWS 1500 /* of more than 30 KiB each: more than a request's memory holds */
#define ENTRIES 32
#define BATCH 50

static struct sm_api_server server;
static const char *admin;
static uint8_t keys[ROWS][20];
static size_t others; /* the CAs' own certificates, and the one that is copied */

static void serial_of(const char *hex, uint8_t out[20])
{
    sm_slice serial;
    assert_sm_ok(sm_serial_parse(hex, &server.arena, &serial, NULL));
    assert_int_equal(serial.len, 20);
    memcpy(out, serial.ptr, 20);
}

static char *issue_large(void)
{
    static char serial[64];
    sm_buf body = sm_buf_init(1U << 20);
    unsigned status;
    sm_buf_printf(&body, "{\"ca\":\"issuing\",\"csr\":\"%s\",\"metadata\":{",
                  sm_api_csr("a", NULL));
    for (unsigned i = 0; i < ENTRIES; i++) {
        sm_buf_printf(&body, "%s\"key%u\":\"%01000u\"", i == 0 ? "" : ",", i, i);
    }
    sm_buf_put(&body, SM_LIT("}}\0"));
    json_t *answer = sm_api_server_json(&server, "POST", "/v1/certificates", admin,
                                        (const char *)body.ptr, &status);
    sm_buf_deinit(&body);
    assert_int_equal(status, 200);
    (void)snprintf(serial, sizeof(serial), "%s",
                   json_string_value(json_object_get(answer, "serial")));
    json_decref(answer);
    return serial;
}

/* The same record under other serial numbers, with the log records that the index is made of. */
static void copy_rows(sm_slice record)
{
    sm_arena arena;
    sm_arena_init(&arena, 8U << 20);
    for (size_t i = 0; i < ROWS; i += BATCH) {
        struct sm_store_put puts[BATCH];
        sm_slice log[BATCH];
        for (size_t j = 0; j < BATCH; j++) {
            uint8_t *key = keys[i + j];
            key[18] = (uint8_t)((i + j) >> 8);
            key[19] = (uint8_t)(i + j);
            const struct sm_audit audit = {.caller = "test",
                                           .action = "certificate.issue",
                                           .outcome = "ok",
                                           .serial = sm_slice_of(key, 20),
                                           .kind = 1};
            puts[j] = (struct sm_store_put){SM_PUT, SM_FAMILY_CERT, sm_slice_of(key, 20), record};
            assert_sm_ok(sm_audit_pack(&audit, &arena, &log[j]));
        }
        sm_store_write write = {.puts = puts, .put_count = BATCH, .log = log, .log_count = BATCH};
        assert_sm_ok(sm_store_write_sync(server.store, &write));
        sm_arena_reset(&arena);
    }
    sm_arena_deinit(&arena);
}

/* All pages; returns certificates seen. */
static size_t walk(const char *query, size_t *pages)
{
    char token[1024] = "";
    size_t seen = 0;
    *pages = 0;
    do {
        char path[2048];
        unsigned status;
        (void)snprintf(path, sizeof(path), "/v1/certificates?%s&pageToken=%s", query, token);
        json_t *answer = sm_api_server_json(&server, "GET", path, admin, NULL, &status);
        if (status != 200) {
            print_error("%s: %u %s\n", path, status, sm_api_error(answer, "message"));
        }
        assert_int_equal(status, 200);
        const char *next = json_string_value(json_object_get(answer, "nextPageToken"));
        (void)snprintf(token, sizeof(token), "%s", next == NULL ? "" : next);
        seen += json_array_size(json_object_get(answer, "certificates"));
        json_decref(answer);
        assert_true(++*pages < 100);
    } while (token[0] != '\0');
    return seen;
}

static int set_up(void **state)
{
    (void)state;
    sm_buf record = sm_buf_init(1U << 20);
    sm_api_server_start(&server, "profiles:\n- name: device\n  sans: {copy: true}\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    uint8_t serial[20];
    serial_of(issue_large(), serial);
    others = walk("pageSize=1000", &(size_t){0});
    assert_sm_ok(sm_store_get_sync(server.store, SM_FAMILY_CERT, sm_slice_of(serial, 20), &record));
    for (size_t i = 0; i < ROWS; i++) {
        memcpy(keys[i], serial, 17);
        keys[i][17] = (uint8_t)(serial[17] ^ 1);
    }
    copy_rows(sm_buf_slice(&record));
    sm_buf_deinit(&record);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

static void list__filters_that_nothing_passes_cost_no_memory(void **state)
{
    (void)state;
    size_t pages;
    assert_int_equal(walk("profile=nobody", &pages), 0);
    assert_int_equal(pages, 1);
    assert_int_equal(walk("subject=CN=b&expiresAfter=2020-01-01T00:00:00Z", &pages), 0);
    assert_int_equal(walk("state=expired", &pages), 0);
}

static void list__a_page_that_is_too_large_ends_early(void **state)
{
    (void)state;
    size_t pages;
    assert_int_equal(walk("pageSize=1000", &pages), others + ROWS);
    assert_true(pages > (ROWS + 1) / 1000 + 1);
    assert_int_equal(walk("pageSize=1000&expiresAfter=2020-01-01T00:00:00Z", &pages),
                     others + ROWS);
    assert_int_equal(walk("pageSize=100&profile=device", &pages), ROWS + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list__filters_that_nothing_passes_cost_no_memory),
        cmocka_unit_test(list__a_page_that_is_too_large_ends_early),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
