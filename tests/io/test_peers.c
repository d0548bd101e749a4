/* SPDX-License-Identifier: Apache-2.0 */
#include "io/peers.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rand.h"
#include "tests/support/support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static struct sockaddr_storage v4(uint32_t number)
{
    struct sockaddr_storage to = {.ss_family = AF_UNSPEC};
    const struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(number)};
    memcpy(&to, &in, sizeof(in));
    return to;
}

static struct sockaddr_storage v6(const char *text)
{
    struct sockaddr_storage to = {.ss_family = AF_UNSPEC};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    memcpy(&to, &in6, sizeof(in6));
    return to;
}

static void peers__counts_to_the_limit_and_back(void **state)
{
    (void)state;
    sm_peers *p = NULL;
    struct sockaddr_storage a = v4(0x0a000001);
    struct sockaddr_storage b = v4(0x0a000002);
    assert_sm_ok(sm_peers_new(2, &p));
    assert_sm_ok(sm_peers_enter(p, &a));
    assert_sm_ok(sm_peers_enter(p, &a));
    assert_sm_err(sm_peers_enter(p, &a), EXHAUSTED);
    assert_sm_ok(sm_peers_enter(p, &b));
    assert_int_equal(sm_peers_count(p), 2);
    sm_peers_leave(p, &a);
    assert_sm_ok(sm_peers_enter(p, &a));
    sm_peers_leave(p, &a);
    sm_peers_leave(p, &a);
    assert_int_equal(sm_peers_count(p), 1);
    sm_peers_free(&p);
}

static void peers__a_limit_of_zero_admits_nobody(void **state)
{
    (void)state;
    sm_peers *p = NULL;
    struct sockaddr_storage a = v4(1);
    assert_sm_ok(sm_peers_new(0, &p));
    assert_sm_err(sm_peers_enter(p, &a), EXHAUSTED);
    assert_int_equal(sm_peers_count(p), 0);
    sm_peers_free(&p);
}

static void peers__an_ipv6_network_is_one_address(void **state)
{
    (void)state;
    sm_peers *p = NULL;
    struct sockaddr_storage one = v6("2001:db8:1:2::1");
    struct sockaddr_storage same = v6("2001:db8:1:2:ffff:ffff:ffff:ffff");
    struct sockaddr_storage other = v6("2001:db8:1:3::1");
    assert_sm_ok(sm_peers_new(1, &p));
    assert_sm_ok(sm_peers_enter(p, &one));
    assert_sm_err(sm_peers_enter(p, &same), EXHAUSTED);
    assert_sm_ok(sm_peers_enter(p, &other));
    sm_peers_free(&p);
}

/* Otherwise all of IPv4 would share one /64 on a dual-stack socket. */
static void peers__mapped_ipv4_counts_as_ipv4(void **state)
{
    (void)state;
    sm_peers *p = NULL;
    struct sockaddr_storage plain = v4(0xc0000201);
    struct sockaddr_storage mapped = v6("::ffff:192.0.2.1");
    struct sockaddr_storage neighbour = v6("::ffff:192.0.2.2");
    assert_sm_ok(sm_peers_new(1, &p));
    assert_sm_ok(sm_peers_enter(p, &plain));
    assert_sm_err(sm_peers_enter(p, &mapped), EXHAUSTED);
    assert_sm_ok(sm_peers_enter(p, &neighbour));
    sm_peers_free(&p);
}

static void peers__other_families_are_not_counted(void **state)
{
    (void)state;
    sm_peers *p = NULL;
    struct sockaddr_storage local = {.ss_family = AF_UNIX};
    assert_sm_ok(sm_peers_new(1, &p));
    assert_sm_ok(sm_peers_enter(p, &local));
    assert_sm_ok(sm_peers_enter(p, &local));
    assert_int_equal(sm_peers_count(p), 0);
    sm_peers_leave(p, &local);
    sm_peers_free(&p);
}

#define ADDRESSES 500U
#define STEPS 200000

/* Random comings and goings against plain counters: growth, wrap-around, and places moved back. */
static void peers__agrees_with_plain_counters(void **state)
{
    (void)state;
    sm_peers *p = NULL;
    static uint32_t counts[ADDRESSES];
    size_t present = 0;
    memset(counts, 0, sizeof(counts));
    assert_sm_ok(sm_peers_new(3, &p));
    for (int i = 0; i < STEPS; i++) {
        uint32_t n = (uint32_t)(sm_rand_u64() % ADDRESSES);
        struct sockaddr_storage a = v4(n * 2654435761U);
        bool more = (sm_rand_u64() & 1) != 0;
        if (more) {
            sm_err err = sm_peers_enter(p, &a);
            assert_int_equal(sm_ok(err), counts[n] < 3);
            present += counts[n] == 0 ? 1 : 0;
            counts[n] += sm_ok(err) ? 1 : 0;
        } else if (counts[n] > 0) {
            sm_peers_leave(p, &a);
            counts[n]--;
            present -= counts[n] == 0 ? 1 : 0;
        }
        assert_int_equal(sm_peers_count(p), present);
    }
    sm_peers_free(&p);
}

static void peers__without_memory_says_so_and_stays_whole(void **state)
{
    (void)state;
    sm_peers *p = NULL;
    assert_sm_ok(sm_peers_new(1, &p));
    uint32_t n = 0;
    sm_err err = SM_NO_ERR;
    for (; sm_ok(err) && n < 1000; n++) {
        struct sockaddr_storage a = v4(n);
        sm_mem_fail_at(1);
        err = sm_peers_enter(p, &a);
        sm_mem_fail_at(0);
    }
    assert_sm_err(err, NO_MEMORY);
    assert_int_equal(sm_peers_count(p), n - 1);
    struct sockaddr_storage last = v4(n);
    assert_sm_ok(sm_peers_enter(p, &last));
    sm_peers_free(&p);
    for (size_t i = 1; i <= 2; i++) {
        sm_mem_fail_at(i);
        err = sm_peers_new(1, &p);
        sm_mem_fail_at(0);
        assert_sm_err(err, NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers__counts_to_the_limit_and_back),
        cmocka_unit_test(peers__a_limit_of_zero_admits_nobody),
        cmocka_unit_test(peers__an_ipv6_network_is_one_address),
        cmocka_unit_test(peers__mapped_ipv4_counts_as_ipv4),
        cmocka_unit_test(peers__other_families_are_not_counted),
        cmocka_unit_test(peers__agrees_with_plain_counters),
        cmocka_unit_test(peers__without_memory_says_so_and_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
