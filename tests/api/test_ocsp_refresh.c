/* SPDX-License-Identifier: Apache-2.0 */
/* Signing OCSP answers anew: on time, late, over restarts and clocks that jump. */
#include "tests/api/ocsp_refresh.h"

static void refresh__an_answer_is_what_its_signature_says(void **state)
{
    (void)state;
    struct sm_ocsp_row row;
    uint8_t room[SM_SERIAL_LEN];
    add_certs(20);
    (void)work_off();
    for (size_t n = 0; n < 20; n++) {
        assert_true(get_row(n, SM_OCSP_SHA1, &row));
        struct sm_ocsp_key key = key_of(n, SM_OCSP_SHA1, room);
        sm_buf data = sm_buf_init(SM_OCSP_DATA_MAX);
        const struct sm_ocsp_signer *signer = sm_ocsp_signer_of(issuing->ocsp, row.kept.signer);
        assert_non_null(signer);
        assert_sm_ok(sm_ocsp_single_data(&issuing->ocsp->issuer, key.hash, key.serial, signer,
                                         &row.kept.said, &data));
        uint8_t der[SM_SIGNATURE_MAX];
        size_t half = row.kept.signature.len / 2;
        size_t len = sm_ecdsa_join(row.signature, row.signature + half, half, der);
        assert_sm_ok(sm_verify_now(sm_key_public(signer->key), signer->alg, sm_buf_slice(&data),
                                   sm_slice_of(der, len)));
        sm_buf_deinit(&data);
    }
}

static void refresh__is_on_time_for_days(void **state)
{
    (void)state;
    int64_t offset = 0;
    add_certs(600);
    (void)work_off();
    for (int hours = 0; hours < 72; hours += 6) {
        struct sm_ocsp_refresh_status status;
        live(&offset, INT64_C(6) * 3600);
        assert_true(all_last(600, sm_clock_wall_s() + VALIDITY * (SM_OCSP_PASS_SLACK - 1) / 100));
        sm_ocsp_refresh_status(server.api->ocsp_refresh, &status);
        assert_true(status.lag_s < 300);
        assert_false(status.alarm);
    }
    /* What began in one second is spread over the pass. */
    int64_t first = INT64_MAX;
    int64_t last = 0;
    for (size_t n = 0; n < 600; n++) {
        struct sm_ocsp_row row;
        assert_true(get_row(n, SM_OCSP_SHA1, &row));
        first = row.kept.said.produced_at < first ? row.kept.said.produced_at : first;
        last = row.kept.said.produced_at > last ? row.kept.said.produced_at : last;
    }
    assert_true(last - first > PASS / 3);
}

static void refresh__replaces_what_is_in_memory(void **state)
{
    (void)state;
    int64_t offset = 0;
    struct sm_ocsp_kept kept;
    add_certs(300);
    (void)work_off();
    live(&offset, VALIDITY);
    for (size_t n = 0; n < 300; n++) {
        assert_true(get_memory(n, &kept));
        assert_true(kept.said.next_update > sm_clock_wall_s());
    }
}

static void refresh__goes_on_after_a_restart(void **state)
{
    (void)state;
    uint64_t wait_ns;
    add_certs(1000);
    (void)work_off();
    /* The first pass counted before there were rows; this one counts them. */
    sm_clock_set_offset_s(PASS + 5);
    (void)work_off();
    assert_int_equal(pass_of().seen, 1001); /* with the responder's own */
    sm_clock_set_offset_s(2 * PASS + 5);
    restart(); /* the warm-up takes turns with it */
    for (int i = 0; i < 20 && pass_of().done; i++) {
        (void)sm_ocsp_refresh_turn(server.api->ocsp_refresh, &wait_ns);
    }
    struct sm_ocsp_pass before = pass_of();
    assert_false(before.done);
    assert_int_equal(before.seen, SM_OCSP_STEP_MIN);
    restart();
    (void)work_off(); /* not due */
    assert_int_equal(pass_of().seen, before.seen);
    int64_t offset = 2 * PASS + 5;
    live(&offset, PASS / 2);
    struct sm_ocsp_pass after = pass_of();
    assert_int_equal(after.started_at, before.started_at);
    assert_in_range(after.seen, 500, 800);
}

static void refresh__catches_up_after_downtime(void **state)
{
    (void)state;
    struct sm_ocsp_refresh_status status;
    add_certs(1000);
    (void)work_off();
    sm_clock_set_offset_s(5 * DAY);
    restart();
    assert_in_range(work_off(), 1, 20);
    assert_true(all_last(1000, sm_clock_wall_s() + VALIDITY - 60));
    sm_ocsp_refresh_status(server.api->ocsp_refresh, &status);
    assert_false(status.alarm);
}

static void refresh__bears_a_clock_that_jumps(void **state)
{
    (void)state;
    int64_t offset = 0;
    struct sm_ocsp_row row;
    add_certs(300);
    (void)work_off();
    offset = 5 * 3600; /* forward */
    live(&offset, 3600);
    offset = -INT64_C(5) * 3600; /* and back further: all answers are of a time to come */
    sm_clock_set_offset_s(offset);
    (void)work_off();
    live(&offset, 2 * PASS);
    for (size_t n = 0; n < 300; n++) {
        assert_true(get_row(n, SM_OCSP_SHA1, &row));
        assert_true(row.kept.said.this_update <= sm_clock_wall_s());
        assert_true(row.kept.said.next_update > sm_clock_wall_s());
    }
}

/* ---- a cache and a database that disagree on purpose ---- */

static void put_garbled_row(size_t n)
{
    uint8_t serial[SM_SERIAL_LEN];
    uint8_t row_key[SM_OCSP_ROW_KEY_MAX];
    struct sm_ocsp_key key = key_of(n, SM_OCSP_SHA1, serial);
    struct sm_store_put put = {.kind = SM_PUT,
                               .family = SM_FAMILY_OCSP,
                               .key = sm_slice_of(row_key, sm_ocsp_row_key(&key, row_key)),
                               .value = SM_LIT("no row of ours")};
    sm_store_write op = {.puts = &put, .put_count = 1};
    assert_sm_ok(sm_store_write_sync(server.store, &op));
}

static void forget_in_memory(size_t n)
{
    uint8_t serial[SM_SERIAL_LEN];
    struct sm_ocsp_key key = key_of(n, SM_OCSP_SHA1, serial);
    sm_ocsp_cache_change(server.api->ocsp_cache, &issuing->ocsp->signers[0], &key, NULL, 0);
}

/* A pass brings all of it to what the certificate's state says. */
static void refresh__the_state_decides_where_cache_and_database_disagree(void **state)
{
    (void)state;
    enum { STATE_ALONE = 1, MEMORY_ALONE = 2, ROW_GARBLED = 3 };
    int64_t offset = 0;
    struct sm_ocsp_row row;
    add_certs(50);
    (void)work_off();
    put_state_revoked(STATE_ALONE);
    say_in_memory(MEMORY_ALONE, SM_OCSP_REVOKED);
    assert_string_equal(asked(MEMORY_ALONE),
                        "CERTIFICATE_STATUS_REVOKED"); /* or this proves nothing */
    put_garbled_row(ROW_GARBLED);
    forget_in_memory(ROW_GARBLED);
    assert_string_equal(asked(ROW_GARBLED), "CERTIFICATE_STATUS_GOOD"); /* signed now */
    live(&offset, VALIDITY);
    assert_true(get_row(STATE_ALONE, SM_OCSP_SHA1, &row));
    assert_int_equal(row.kept.said.status, SM_OCSP_REVOKED);
    assert_string_equal(asked(STATE_ALONE), "CERTIFICATE_STATUS_REVOKED");
    assert_true(get_row(MEMORY_ALONE, SM_OCSP_SHA1, &row));
    assert_int_equal(row.kept.said.status, SM_OCSP_GOOD);
    assert_string_equal(asked(MEMORY_ALONE), "CERTIFICATE_STATUS_GOOD");
    restart(); /* and memory is filled with what the rows say */
    (void)work_off();
    assert_string_equal(asked(STATE_ALONE), "CERTIFICATE_STATUS_REVOKED");
    assert_string_equal(asked(MEMORY_ALONE), "CERTIFICATE_STATUS_GOOD");
}

static void refresh__removes_answers_of_the_expired(void **state)
{
    (void)state;
    struct sm_ocsp_row row;
    add_certs(10);
    add_cert(100, sm_clock_wall_s() + 3600);
    (void)work_off();
    assert_true(get_row(100, SM_OCSP_SHA1, &row));
    sm_clock_set_offset_s(PASS + 5);
    (void)work_off();
    assert_false(get_row(100, SM_OCSP_SHA1, &row));
    assert_true(get_row(1, SM_OCSP_SHA1, &row));
}

static void refresh__leaves_what_nobody_can_sign(void **state)
{
    (void)state;
    struct sm_ocsp_row row;
    struct sm_ocsp_row before;
    struct sm_ocsp_refresh_status status;
    sm_diag diag = {.reason = ""};
    add_certs(10);
    (void)work_off();
    sm_clock_set_offset_s(PASS + 5);
    (void)work_off(); /* it has come by them */
    assert_true(get_row(1, SM_OCSP_SHA1, &before));
    sm_clock_set_offset_s(INT64_C(40) * DAY); /* the responders have expired */
    (void)work_off();
    assert_true(get_row(1, SM_OCSP_SHA1, &row));
    assert_int_equal(row.kept.said.produced_at, before.kept.said.produced_at);
    sm_ocsp_refresh_status(server.api->ocsp_refresh, &status);
    assert_true(status.unable >= 1);
    assert_true(status.alarm);
    const struct sm_admin admin = {server.api, &server.arena, "test", SM_SLICE_NONE, &diag};
    assert_sm_ok(sm_ca_renew_responders(&admin, SIZE_MAX, &(size_t){0}));
    (void)work_off();
    assert_true(all_last(10, sm_clock_wall_s() + VALIDITY - 60));
    sm_ocsp_refresh_status(server.api->ocsp_refresh, &status);
    assert_int_equal(status.unable, 0);
    assert_true(get_row(1, SM_OCSP_SHA1, &row));
    assert_int_not_equal(row.kept.signer, before.kept.signer);
}

/* Between the look that chose a schedule and its step. */
static void refresh__bears_a_responder_that_ends_meanwhile(void **state)
{
    (void)state;
    struct sm_ocsp_row before;
    struct sm_ocsp_row row;
    add_certs(10);
    (void)work_off();
    assert_true(get_row(1, SM_OCSP_SHA1, &before));
    struct schedule *s = sm_ocsp_schedule_of(server.api->ocsp_refresh, issuing->ca_id,
                                             issuing->number);
    assert_non_null(s);
    sm_clock_set_offset_s(INT64_C(40) * DAY);
    sm_ocsp_refresh_step(server.api->ocsp_refresh, s, false);
    assert_true(get_row(1, SM_OCSP_SHA1, &row));
    assert_int_equal(row.kept.said.produced_at, before.kept.said.produced_at);
    assert_true(s->not_before_ns > sm_clock_mono_ns()); /* it is tried again */
}

/* With answers of twelve hours and responders of thirty days, looked after each hour. */
static void refresh__no_responder_makes_an_answer_short(void **state)
{
    (void)state;
    struct sm_ocsp_row row;
    sm_diag diag = {.reason = ""};
    const struct sm_admin admin = {server.api, &server.arena, "test", SM_SLICE_NONE, &diag};
    add_certs(3);
    (void)work_off();
    for (int64_t offset = 0; offset < INT64_C(62) * DAY; offset += 3 * 3600) {
        sm_clock_set_offset_s(offset);
        assert_sm_ok(sm_ca_renew_responders(&admin, SIZE_MAX, &(size_t){0}));
        (void)work_off();
        for (size_t n = 0; n < 3; n++) {
            assert_true(get_row(n, SM_OCSP_SHA1, &row));
            assert_int_equal(row.kept.said.next_update - row.kept.said.produced_at, VALIDITY);
            assert_true(row.kept.said.next_update > sm_clock_wall_s());
        }
    }
}

static void refresh__warms_memory_after_a_start(void **state)
{
    (void)state;
    struct sm_ocsp_kept kept;
    add_certs(500);
    (void)work_off();
    sm_ocsp_cache_free(&server.api->ocsp_cache);
    assert_sm_ok(sm_ocsp_cache_new(SM_OCSP_MEMORY_MIN, &server.api->ocsp_cache));
    assert_false(get_memory(3, &kept));
    restart();
    (void)work_off();
    for (size_t n = 0; n < 500; n++) {
        assert_true(get_memory(n, &kept));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refresh__an_answer_is_what_its_signature_says),
        TEST(refresh__is_on_time_for_days),
        TEST(refresh__replaces_what_is_in_memory),
        TEST(refresh__goes_on_after_a_restart),
        TEST(refresh__catches_up_after_downtime),
        TEST(refresh__bears_a_clock_that_jumps),
        TEST(refresh__the_state_decides_where_cache_and_database_disagree),
        TEST(refresh__removes_answers_of_the_expired),
        TEST(refresh__leaves_what_nobody_can_sign),
        TEST(refresh__bears_a_responder_that_ends_meanwhile),
        TEST(refresh__no_responder_makes_an_answer_short),
        TEST(refresh__warms_memory_after_a_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
