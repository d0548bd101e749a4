/* SPDX-License-Identifier: Apache-2.0 */
/* The answer that issuance signs beside a certificate, and what happens to the certificate before its write's completion comes. */
#include "api/api_p.h"
#include "api/issue_ocsp.h"
#include "api/ocsp_presign.h"
#include "base/clock.h"
#include "sign/cert.h"
#include "tests/support/api_server.h"

#include <unistd.h>

static struct sm_api_server server;
static const struct sm_ca_generation *issuing;

struct issuance {
    sm_msg msg; /* the loop's next step */
    sm_issue issue;
    struct sm_caller caller;
    sm_arena arena;
    _Atomic bool done;
};

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "ocsp:\n  pre_sign: eager\n");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

static void on_signed(sm_issue *issue)
{
    struct issuance *i = SM_CONTAINER_OF(issue, struct issuance, issue);
    assert_int_equal(--issue->signing, 0);
    assert_sm_ok(sm_issue_ocsp_puts(issue));
    atomic_store(&i->done, true);
}

static void start(sm_msg *msg)
{
    struct issuance *i = SM_CONTAINER_OF(msg, struct issuance, msg);
    sm_issue_ocsp_start(&i->issue, on_signed);
}

static void write_comes(sm_msg *msg)
{
    struct issuance *i = SM_CONTAINER_OF(msg, struct issuance, msg);
    sm_issue_ocsp_written(&i->issue);
    atomic_store(&i->done, true);
}

static void run_on_loop(struct issuance *i, void (*step)(sm_msg *msg))
{
    atomic_store(&i->done, false);
    i->msg.run = step;
    sm_mailbox_post(sm_api_loop_home(server.api_loop), &i->msg);
    while (!atomic_load(&i->done)) {
        (void)usleep(100);
    }
}

/* Up to the write: what is signed is in its puts. */
static void begin(struct issuance *i)
{
    sm_arena_init(&i->arena, 1U << 20);
    i->caller = (struct sm_caller){.name = "test"};
    i->issue = (sm_issue){.loop = server.api_loop, .arena = &i->arena, .caller = &i->caller};
    i->issue.world = sm_world_attach(server.api);
    i->issue.ca = sm_world_ca(i->issue.world, "issuing");
    i->issue.params.not_after = sm_clock_wall_s() + 86400;
    sm_serial_make(i->issue.serial);
    issuing = sm_ca_current(i->issue.ca);
    run_on_loop(i, start);
    assert_int_equal(i->issue.write.put_count, 1);
}

static void end(struct issuance *i)
{
    sm_world_detach(&i->issue.world);
    sm_arena_deinit(&i->arena);
}

static sm_slice serial_of(const struct issuance *i)
{
    return sm_slice_of(i->issue.serial, SM_SERIAL_LEN);
}

/* What memory says; -1: nothing. */
static int in_memory(const struct issuance *i)
{
    uint8_t room[SM_OCSP_TABLE_SIGNATURE_MAX];
    struct sm_ocsp_kept kept;
    const struct sm_ocsp_key key = {issuing->ca_id, issuing->number, SM_OCSP_SHA1, serial_of(i)};
    return sm_ocsp_cache_get(server.api->ocsp_cache, &issuing->ocsp->signers[0], &key, &kept, room)
               ? (int)kept.said.status
               : -1;
}

static void issue_ocsp__keeps_the_first_answer(void **state)
{
    (void)state;
    struct issuance i;
    begin(&i);
    assert_int_equal(in_memory(&i), -1); /* it is not durable yet */
    run_on_loop(&i, write_comes);
    assert_int_equal(in_memory(&i), SM_OCSP_GOOD);
    end(&i);
}

/* Whoever follows the log revokes it before the loop hears that the write is durable. */
static void issue_ocsp__a_revocation_may_come_first(void **state)
{
    (void)state;
    struct issuance i;
    struct sm_ocsp_change change;
    begin(&i);
    sm_ocsp_change_init(&change, issuing->ocsp, issuing->ca_id, issuing->number, serial_of(&i),
                        i.issue.params.not_after, SM_OCSP_REVOKED, sm_clock_wall_s(), 1, &i.arena);
    sm_ocsp_change_sign_now(&change);
    assert_sm_ok(sm_ocsp_change_puts(&change, server.api->ocsp_cache));
    sm_ocsp_change_apply(&change, server.api->ocsp_cache);
    assert_int_equal(in_memory(&i), SM_OCSP_REVOKED);
    run_on_loop(&i, write_comes);
    assert_int_equal(in_memory(&i), SM_OCSP_REVOKED);
    end(&i);
}

static void begin_change(const struct issuance *i, enum sm_ocsp_status status,
                         struct sm_ocsp_change *out)
{
    sm_ocsp_change_init(out, issuing->ocsp, issuing->ca_id, issuing->number, serial_of(i),
                        i->issue.params.not_after, status, sm_clock_wall_s(), 1, i->issue.arena);
    sm_ocsp_change_sign_now(out);
    assert_sm_ok(sm_ocsp_change_puts(out, server.api->ocsp_cache));
}

/* A release, then a revocation, each by a thread of its own: what comes last to memory is not what was written last. */
static void change__of_before_never_stands_over_a_later_one(void **state)
{
    (void)state;
    struct issuance i;
    struct sm_ocsp_change release;
    struct sm_ocsp_change revocation;
    begin(&i);
    begin_change(&i, SM_OCSP_GOOD, &release);
    begin_change(&i, SM_OCSP_REVOKED, &revocation);
    sm_ocsp_change_apply(&revocation, server.api->ocsp_cache);
    assert_int_equal(in_memory(&i), SM_OCSP_REVOKED);
    sm_ocsp_change_apply(&release, server.api->ocsp_cache);
    assert_int_equal(in_memory(&i), -1); /* the store knows */
    /* And one that begins behind both is kept. */
    begin_change(&i, SM_OCSP_REVOKED, &revocation);
    sm_ocsp_change_apply(&revocation, server.api->ocsp_cache);
    assert_int_equal(in_memory(&i), SM_OCSP_REVOKED);
    end(&i);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(issue_ocsp__keeps_the_first_answer),
        TEST(issue_ocsp__a_revocation_may_come_first),
        TEST(change__of_before_never_stands_over_a_later_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
