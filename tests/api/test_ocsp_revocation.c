/* SPDX-License-Identifier: Apache-2.0 */
/* Revocations beside the refresh of OCSP answers, in every order. */
#include "tests/api/ocsp_refresh.h"

static unsigned try_revoke(size_t n, const char *token)
{
    uint8_t serial[SM_SERIAL_LEN];
    char hex[2 * SM_SERIAL_LEN + 1];
    char path[128];
    const char *answer;
    serial_of(n, serial);
    (void)snprintf(path, sizeof(path), "/v1/certificates/%s:revoke",
                   sm_hex_format(sm_slice_of(serial, sizeof(serial)), hex));
    return sm_api_server_ask(&server, "POST", path, token,
                             "{\"reason\":\"REVOCATION_REASON_KEY_COMPROMISE\"}", &answer);
}

static void revoke(size_t n, const char *token)
{
    assert_int_equal(try_revoke(n, token), 200);
}

static void assert_revoked(size_t n)
{
    struct sm_ocsp_row row;
    struct sm_ocsp_kept kept;
    for (int hash = 0; hash < SM_OCSP_HASHES; hash++) {
        assert_true(get_row(n, (enum sm_ocsp_hash)hash, &row));
        assert_int_equal(row.kept.said.status, SM_OCSP_REVOKED);
    }
    if (get_memory(n, &kept)) {
        assert_int_equal(kept.said.status, SM_OCSP_REVOKED);
    }
}

/* A run in all its orders with a revocation. */
static void revocation__wins_wherever_it_comes(void **state)
{
    (void)state;
    const char *token = sm_api_server_token(&server, "ra", "[{\"role\":\"ROLE_ADMIN\"}]", 0);
    add_certs(10);
    (void)work_off();
    struct schedule *s = sm_ocsp_schedule_of(server.api->ocsp_refresh, issuing->ca_id,
                                             issuing->number);
    assert_non_null(s);
    for (int when = 0; when < 4; when++) {
        struct run run;
        struct row *row;
        uint8_t room[SM_SERIAL_LEN];
        uint8_t row_key[SM_OCSP_ROW_KEY_MAX];
        assert_sm_ok(sm_ocsp_run_begin(&run, server.api->ocsp_refresh, &s->issuer, 10));
        for (size_t n = 0; n < 10; n++) {
            struct sm_ocsp_key key = key_of(n, SM_OCSP_SHA1, room);
            sm_slice k = sm_slice_of(row_key, sm_ocsp_row_key(&key, row_key));
            struct sm_ocsp_row old;
            assert_true(get_row(n, SM_OCSP_SHA1, &old));
            assert_sm_ok(sm_ocsp_run_add(&run, k, &key, &row));
            row->is_good = old.kept.said.status == SM_OCSP_GOOD;
        }
        size_t victim = 2 + (size_t)when;
        sm_clock_set_offset_s(10 * (when + 1));
        run.now = sm_clock_wall_s();
        if (when == 0) {
            revoke(victim, token);
        }
        assert_sm_ok(sm_ocsp_run_read_states(&run));
        if (when == 1) {
            revoke(victim, token);
        }
        assert_sm_ok(sm_ocsp_run_sign(&run));
        if (when == 2) {
            revoke(victim, token);
        }
        assert_sm_ok(sm_ocsp_run_write(&run));
        if (when == 3) {
            revoke(victim, token);
        }
        sm_ocsp_run_end(&run);
        for (size_t n = 2; n <= victim; n++) {
            assert_revoked(n);
        }
        struct sm_ocsp_row other; /* the rest was not held up */
        assert_true(get_row(9, SM_OCSP_SHA1, &other));
        assert_int_equal(other.kept.said.status, SM_OCSP_GOOD);
        assert_true(other.kept.said.produced_at >= run.now);
    }
}

/* The first one's write is durable, and memory does not know it yet, or never will: the disk had said that it failed. */
static void revocation__that_was_made_already_is_seen_by_whoever_hears_so(void **state)
{
    (void)state;
    const char *token = sm_api_server_token(&server, "ra", "[{\"role\":\"ROLE_ADMIN\"}]", 0);
    add_certs(2);
    (void)work_off();
    revoke(1, token);
    say_in_memory(1, SM_OCSP_GOOD);
    assert_string_equal(asked(1), "CERTIFICATE_STATUS_GOOD"); /* or this proves nothing */
    assert_int_equal(try_revoke(1, token), 400);
    assert_string_equal(asked(1), "CERTIFICATE_STATUS_REVOKED");
}

/* A write that the disk failed may have reached it: memory keeps nothing of what was so before. */
static void revocation__that_is_in_doubt_is_the_stores_to_tell(void **state)
{
    (void)state;
    struct sm_ocsp_kept kept;
    uint8_t serial[SM_SERIAL_LEN];
    add_certs(2);
    (void)work_off();
    uint64_t changes = sm_api_state_changes(server.api);
    serial_of(0, serial);
    sm_doubt_add(server.api, issuing->ca_id, issuing->number, sm_slice_of(serial, sizeof(serial)),
                 SM_ERR(CONFLICT)); /* certainly not written */
    sm_doubts_settle(server.api);
    assert_int_equal(sm_api_state_changes(server.api), changes);
    serial_of(1, serial);
    sm_doubt_add(server.api, issuing->ca_id, issuing->number, sm_slice_of(serial, sizeof(serial)),
                 SM_ERR(DISK));
    put_state_revoked(1); /* it is durable, as is seen later */
    assert_string_equal(asked(1), "CERTIFICATE_STATUS_GOOD");
    sm_doubts_settle(server.api);
    assert_true(get_memory(0, &kept));
    assert_false(get_memory(1, &kept));
    assert_true(sm_api_state_changes(server.api) > changes);
}

static void add_doubt(size_t n)
{
    uint8_t serial[SM_SERIAL_LEN];
    serial_of(n, serial);
    sm_doubt_add(server.api, issuing->ca_id, issuing->number, sm_slice_of(serial, sizeof(serial)),
                 SM_ERR(DISK));
}

/* The one within it is looked at, the one over it is not. */
static void revocation__doubts_have_a_limit(void **state)
{
    (void)state;
    struct sm_ocsp_kept kept;
    add_certs(2);
    (void)work_off();
    for (size_t n = 1; n < SM_DOUBTS_MAX; n++) {
        add_doubt(100 + n);
    }
    add_doubt(0);
    add_doubt(1);
    assert_true(get_memory(0, &kept) && get_memory(1, &kept));
    sm_doubts_settle(server.api);
    assert_false(get_memory(0, &kept));
    assert_true(get_memory(1, &kept));
}

static _Atomic bool stop_revoking;
static _Atomic size_t revoked;

static void revoke_many(void *ctx)
{
    const char *token = ctx;
    for (size_t n = 0; n < 400 && !atomic_load(&stop_revoking); n++) {
        revoke(n, token);
        atomic_store(&revoked, n + 1);
    }
}

static void revocation__wins_beside_a_busy_refresh(void **state)
{
    (void)state;
    sm_thread thread;
    const char *token = sm_api_server_token(&server, "ra", "[{\"role\":\"ROLE_ADMIN\"}]", 0);
    add_certs(400);
    (void)work_off();
    atomic_store(&revoked, 0);
    atomic_store(&stop_revoking, false);
    assert_sm_ok(sm_thread_start(&thread, "revoke", revoke_many, (void *)(uintptr_t)token));
    for (int64_t offset = 0; offset < 30 * PASS && atomic_load(&revoked) < 400;) {
        offset += PASS + 60;
        sm_clock_set_offset_s(offset % (20 * DAY));
        (void)work_off();
    }
    atomic_store(&stop_revoking, true);
    sm_thread_join(&thread);
    assert_true(atomic_load(&revoked) > 0);
    for (size_t n = 0; n < atomic_load(&revoked); n++) {
        assert_revoked(n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(revocation__wins_wherever_it_comes),
        TEST(revocation__that_was_made_already_is_seen_by_whoever_hears_so),
        TEST(revocation__that_is_in_doubt_is_the_stores_to_tell),
        TEST(revocation__doubts_have_a_limit),
        TEST(revocation__wins_beside_a_busy_refresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
