/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates without an OCSP answer get one. */
#include "tests/api/ocsp_refresh.h"

static void fill__gives_each_certificate_an_answer(void **state)
{
    (void)state;
    struct sm_ocsp_row row;
    struct sm_ocsp_kept kept;
    add_certs(3000); /* more than one step signs */
    assert_false(get_row(0, SM_OCSP_SHA1, &row));
    (void)work_off();
    assert_true(all_last(3000, sm_clock_wall_s() + VALIDITY - 60));
    assert_true(get_row(7, SM_OCSP_SHA1, &row));
    assert_int_equal(row.kept.said.status, SM_OCSP_GOOD);
    assert_false(get_row(7, SM_OCSP_SHA256, &row)); /* by its first query */
    assert_true(get_memory(7, &kept));
    assert_true(pass_of().filled);
    /* Nothing is read again for it, nor after a restart. */
    add_cert(5000, sm_clock_wall_s() + DAY);
    restart();
    (void)work_off();
    assert_false(get_row(5000, SM_OCSP_SHA1, &row));
    /* But for one that issuance could not sign. */
    sm_ocsp_refresh_missing(server.api->ocsp_refresh);
    (void)work_off();
    assert_true(get_row(5000, SM_OCSP_SHA1, &row));
}

/* ---- an issuer that cannot sign ---- */

#define MANY 3000 /* more than one step signs */

static struct schedule *schedule_of(const struct sm_ca_generation *g)
{
    struct schedule *s = sm_ocsp_schedule_of(server.api->ocsp_refresh, g->ca_id, g->number);
    assert_non_null(s);
    return s;
}

static size_t answers_of(const struct sm_ca_generation *g, size_t from)
{
    const struct sm_ca_generation *usual = issuing;
    size_t count = 0;
    struct sm_ocsp_row row;
    issuing = g;
    for (size_t n = from; n < 2 * (size_t)MANY; n += 2) {
        count += get_row(n, SM_OCSP_SHA1, &row) ? 1 : 0;
    }
    issuing = usual;
    return count;
}

/* Its token went away meanwhile: others' certificates are not to wait for it. */
static void fill__goes_on_without_an_issuer_that_cannot_sign(void **state)
{
    (void)state;
    const struct sm_ca_generation *other = sm_ca_current(sm_world_ca(world, "root"));
    const struct sm_ca_generation *good = issuing;
    uint64_t wait_ns;
    for (size_t n = 0; n < 2 * (size_t)MANY; n++) {
        issuing = n % 2 == 0 ? other : good;
        add_cert(n, sm_clock_wall_s() + 90 * DAY);
    }
    issuing = good;
    for (int i = 0; i < BUSY_MAX && answers_of(other, 0) == 0; i++) {
        (void)sm_ocsp_refresh_turn(server.api->ocsp_refresh, &wait_ns);
    }
    schedule_of(other)->issuer.signer_count = 0;
    (void)work_off();
    const size_t before = answers_of(other, 0);
    assert_true(before > 0 && before < MANY);
    assert_int_equal(answers_of(good, 1), MANY);
    assert_true(schedule_of(good)->pass.filled);
    assert_false(schedule_of(other)->pass.filled);
    /* It is back: all of its certificates are looked at once more, after a while. */
    schedule_of(other)->issuer.signer_count = 1;
    (void)work_off();
    assert_int_equal(answers_of(other, 0), before);
    schedule_of(other)->fill_after_ns = 0;
    (void)work_off();
    assert_int_equal(answers_of(other, 0), MANY);
    assert_true(schedule_of(other)->pass.filled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fill__gives_each_certificate_an_answer),
        TEST(fill__goes_on_without_an_issuer_that_cannot_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
