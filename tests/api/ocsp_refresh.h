/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CA with certificates that are records alone, and the refresh of their OCSP answers, turned by hand: for its tests.
 *
 * Threads:   the test's.
 * Limits:    none.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "api/api_p.h"
#include "api/ca.h"
#include "api/ocsp_responder.h"
#include "api/ocsp_schedule.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/text.h"
#include "ocsp-cache/ocsp_refresh_p.h"
#include "sign/batch.h"
#include "sign/ecdsa_der.h"
#include "tests/support/api_server.h"

#include <stdlib.h>
#include <string.h>

#define VALIDITY (12 * 3600)
#define PASS (VALIDITY * SM_OCSP_PASS_SHARE / 100)
#define DAY 86400
#define BUSY_MAX 200 /* turns: more would be a storm */
#define CONFIG            \
    "ocsp:\n"             \
    "  pre_sign: eager\n" \
    "  validity: 12h\n"

__attribute__((unused)) static struct sm_api_server server;
__attribute__((unused)) static const struct sm_ca_generation *issuing;
__attribute__((unused)) static sm_world *world; /* held: `issuing` is of it */

/* ---- certificates as records alone ---- */

__attribute__((unused)) static void serial_of(size_t n, uint8_t out[SM_SERIAL_LEN])
{
    memset(out, 0x11, SM_SERIAL_LEN);
    for (int i = 0; i < 8; i++) {
        out[1 + i] = (uint8_t)((uint64_t)n >> (56 - 8 * i));
    }
}

__attribute__((unused)) static struct sm_ocsp_key key_of(size_t n, enum sm_ocsp_hash hash,
                                                         uint8_t room[SM_SERIAL_LEN])
{
    serial_of(n, room);
    return (struct sm_ocsp_key){issuing->ca_id, issuing->number, hash,
                                sm_slice_of(room, SM_SERIAL_LEN)};
}

__attribute__((unused)) static void add_cert(size_t n, int64_t not_after)
{
    Sealmill__Record__V1__CertificateRecord r;
    uint8_t serial[SM_SERIAL_LEN];
    sm_arena arena;
    struct sm_store_put put = {.kind = SM_PUT, .family = SM_FAMILY_CERT};
    sm_arena_init(&arena, 65536);
    sealmill__record__v1__certificate_record__init(&r);
    serial_of(n, serial);
    r.version = SM_RECORD_VERSION;
    r.ca_id = issuing->ca_id;
    r.ca_generation = issuing->number;
    r.profile = sm_text(&arena, SM_LIT("device"));
    r.certificate = sm_binary(issuing->cert.der);
    r.not_after = not_after;
    put.key = sm_slice_of(serial, sizeof(serial));
    assert_sm_ok(sm_record_pack(&r.base, &arena, &put.value));
    sm_store_write op = {.puts = &put, .put_count = 1};
    assert_sm_ok(sm_store_write_sync(server.store, &op));
    sm_arena_deinit(&arena);
}

__attribute__((unused)) static void add_certs(size_t count)
{
    for (size_t n = 0; n < count; n++) {
        add_cert(n, sm_clock_wall_s() + 90 * DAY);
    }
}

/* ---- what is there ---- */

__attribute__((unused)) static bool get_row(size_t n, enum sm_ocsp_hash hash,
                                            struct sm_ocsp_row *out)
{
    uint8_t room[SM_SERIAL_LEN];
    uint8_t row_key[SM_OCSP_ROW_KEY_MAX];
    struct sm_ocsp_key key = key_of(n, hash, room);
    sm_buf value = sm_buf_init(SM_OCSP_ROW_MAX);
    sm_err err = sm_store_get_sync(server.store, SM_FAMILY_OCSP,
                                   sm_slice_of(row_key, sm_ocsp_row_key(&key, row_key)), &value);
    bool found = sm_ok(err) && sm_ok(sm_ocsp_row_unpack(sm_buf_slice(&value), out));
    sm_buf_deinit(&value);
    return found;
}

__attribute__((unused)) static bool get_memory(size_t n, struct sm_ocsp_kept *out)
{
    static uint8_t signature[SM_OCSP_TABLE_SIGNATURE_MAX];
    uint8_t room[SM_SERIAL_LEN];
    struct sm_ocsp_key key = key_of(n, SM_OCSP_SHA1, room);
    return sm_ocsp_cache_get(server.api->ocsp_cache, &issuing->ocsp->signers[0], &key, out,
                             signature);
}

__attribute__((unused)) static bool all_last(size_t count, int64_t until)
{
    for (size_t n = 0; n < count; n++) {
        struct sm_ocsp_row row;
        if (!get_row(n, SM_OCSP_SHA1, &row) || row.kept.said.next_update <= until) {
            return false;
        }
    }
    return true;
}

__attribute__((unused)) static struct sm_ocsp_pass pass_of(void)
{
    uint8_t key[SM_OCSP_PASS_KEY_LEN];
    struct sm_ocsp_pass pass;
    sm_buf value = sm_buf_init(4096);
    sm_ocsp_pass_key(issuing->ca_id, issuing->number, key);
    assert_sm_ok(
        sm_store_get_sync(server.store, SM_FAMILY_OCSP, sm_slice_of(key, sizeof(key)), &value));
    assert_sm_ok(sm_ocsp_pass_unpack(sm_buf_slice(&value), &pass));
    sm_buf_deinit(&value);
    return pass;
}

/* Turns until there is nothing to do; how many that were. */
__attribute__((unused)) static int work_off(void)
{
    int turns = 0;
    uint64_t wait_ns;
    while (sm_ocsp_refresh_turn(server.api->ocsp_refresh, &wait_ns)) {
        assert_true(turns++ < BUSY_MAX);
    }
    return turns;
}

/* Time goes on; it is looked after each minute of it. */
__attribute__((unused)) static void live(int64_t *offset, int64_t seconds)
{
    for (int64_t end = *offset + seconds; *offset < end;) {
        *offset += 60;
        sm_clock_set_offset_s(*offset);
        (void)work_off();
    }
}

__attribute__((unused)) static void restart(void)
{
    sm_ocsp_refresh_free(&server.api->ocsp_refresh);
    assert_sm_ok(sm_ocsp_schedule_new(server.api, NULL));
}

__attribute__((unused)) static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, CONFIG);
    world = sm_world_attach(server.api);
    issuing = sm_ca_current(sm_world_ca(world, "issuing"));
    assert_sm_ok(sm_ocsp_schedule_new(server.api, NULL));
    return 0;
}

__attribute__((unused)) static int tear_down(void **state)
{
    (void)state;
    sm_clock_set_offset_s(0);
    sm_world_detach(&world);
    sm_api_server_stop(&server);
    return 0;
}

__attribute__((unused)) static void say_in_memory(size_t n, enum sm_ocsp_status status)
{
    struct sm_ocsp_kept kept;
    uint8_t serial[SM_SERIAL_LEN];
    struct sm_ocsp_key key = key_of(n, SM_OCSP_SHA1, serial);
    assert_true(get_memory(n, &kept));
    kept.said.status = status;
    kept.said.revoked_at = status == SM_OCSP_REVOKED ? sm_clock_wall_s() : 0;
    sm_ocsp_cache_change(server.api->ocsp_cache, &issuing->ocsp->signers[0], &key, &kept,
                         sm_ocsp_cache_epoch(server.api->ocsp_cache, &issuing->ocsp->signers[0]));
}

/* What a client is told, by SHA-1. */
__attribute__((unused)) static const char *asked(size_t n)
{
    uint8_t serial[SM_SERIAL_LEN];
    char hex[2 * SM_SERIAL_LEN + 1];
    unsigned status;
    const char *reader = sm_api_server_token(&server, "reader", "[{\"role\":\"reader\"}]", 0);
    serial_of(n, serial);
    char *body = sm_arena_printf(&server.arena, "{\"ca\":\"issuing\",\"serial\":\"%s\"}",
                                 sm_hex_format(sm_slice_of(serial, SM_SERIAL_LEN), hex));
    json_t *answer = sm_api_server_json(&server, "POST", "/v1/status:check", reader, body, &status);
    assert_int_equal(status, 200);
    const char *said = sm_arena_printf(&server.arena, "%s",
                                       json_string_value(json_object_get(answer, "status")));
    json_decref(answer);
    return said;
}

/* The state alone, as no code of ours writes it. */
__attribute__((unused)) static void put_state_revoked(size_t n)
{
    Sealmill__Record__V1__StateRecord s;
    struct sm_store_put put = {.kind = SM_PUT, .family = SM_FAMILY_STATE};
    uint8_t serial[SM_SERIAL_LEN];
    sm_arena arena;
    sm_arena_init(&arena, 65536);
    put.key = key_of(n, SM_OCSP_SHA1, serial).serial;
    sealmill__record__v1__state_record__init(&s);
    s.version = SM_RECORD_VERSION;
    s.state = SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED;
    s.changed_at = sm_clock_wall_s();
    assert_sm_ok(sm_record_pack(&s.base, &arena, &put.value));
    sm_store_write op = {.puts = &put, .put_count = 1};
    assert_sm_ok(sm_store_write_sync(server.store, &op));
    sm_arena_deinit(&arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
