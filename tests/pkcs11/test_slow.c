/* SPDX-License-Identifier: Apache-2.0 */
/* The slow module: a floor under the time of a signature, bounds on places and on sessions. */
#include "tests/support/support.h"

#include "tests/pkcs11/client.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define PIN "1234"
#define TOKEN "alpha"
#define KEY "p256"
#define THREADS 12
#define ROUNDS 4

static struct sm_softhsm hsm;
static bool present;

static int make_token(void **state)
{
    (void)state;
    present = sm_softhsm_present();
    if (!present) {
        return 0;
    }
    bool ok = sm_softhsm_init(&hsm) && sm_softhsm_token(&hsm, TOKEN, PIN) &&
              sm_softhsm_key(&hsm, TOKEN, PIN, "p256", KEY, "01") &&
              sm_softhsm_token(&hsm, "beta", PIN);
    return ok ? 0 : -1;
}

static int drop_token(void **state)
{
    (void)state;
    sm_softhsm_deinit(&hsm);
    return 0;
}

static void load(struct sm_p11_client *c, const char *settings)
{
    if (!present) {
        skip();
    }
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    assert_true(sm_p11_client_load(c, &hsm, sm_softhsm_slow_module(), settings));
    assert_int_equal(c->f->C_Initialize(&args), CKR_OK);
}

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void slow__forwards_every_function(void **state)
{
    (void)state;
    struct sm_p11_client c;
    load(&c, "SM_P11_LATENCY_US=0");
    assert_int_equal(c.f->version.major, 2);
    assert_int_equal(c.f->version.minor, 40);
    /* 68 functions follow the version: none may be missing. */
    void *entries[68];
    assert_int_equal(sizeof(*c.f), sizeof(void *) + sizeof(entries));
    (void)memcpy(entries, (const char *)c.f + sizeof(void *), sizeof(entries));
    for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++) {
        assert_non_null(entries[i]);
    }
    CK_INFO info;
    assert_int_equal(c.f->C_GetInfo(&info), CKR_OK);
    assert_memory_equal(info.manufacturerID, "SoftHSM", 7);
    CK_SLOT_ID slot = 0;
    CK_SESSION_HANDLE s = 0;
    CK_BYTE random[16] = {0};
    CK_BYTE none[16] = {0};
    assert_int_equal(sm_p11_client_slot(&c, TOKEN, &slot), CKR_OK);
    assert_int_equal(sm_p11_client_open(&c, slot, PIN, &s), CKR_OK);
    assert_int_equal(c.f->C_GenerateRandom(s, random, sizeof(random)), CKR_OK);
    assert_memory_not_equal(random, none, sizeof(none));
    CK_SESSION_INFO session;
    assert_int_equal(c.f->C_GetSessionInfo(s, &session), CKR_OK);
    assert_int_equal(session.slotID, slot);
    assert_int_equal(session.state, CKS_RW_USER_FUNCTIONS);
    assert_int_equal(sm_p11_client_count(&c, "C_GenerateRandom", "calls"), 1);
    assert_int_equal(c.f->C_Logout(s), CKR_OK);
    assert_int_equal(c.f->C_CloseSession(s), CKR_OK);
    assert_int_equal(c.f->C_Logout(s), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(sm_p11_client_count(&c, "C_Logout", "calls"), 2);
    assert_int_equal(sm_p11_client_count(&c, "C_Logout", "failed"), 1);
    sm_p11_client_unload(&c);
}

static void slow__sleeps_the_latency_and_gives_true_signatures(void **state)
{
    (void)state;
    struct sm_p11_client c;
    load(&c, "SM_P11_LATENCY_US=20000");
    CK_SLOT_ID slot = 0;
    CK_SESSION_HANDLE s = 0;
    CK_OBJECT_HANDLE priv = 0;
    CK_OBJECT_HANDLE pub = 0;
    assert_int_equal(sm_p11_client_slot(&c, TOKEN, &slot), CKR_OK);
    assert_int_equal(sm_p11_client_open(&c, slot, PIN, &s), CKR_OK);
    assert_int_equal(sm_p11_client_find(&c, s, CKO_PRIVATE_KEY, KEY, &priv), CKR_OK);
    assert_int_equal(sm_p11_client_find(&c, s, CKO_PUBLIC_KEY, KEY, &pub), CKR_OK);
    uint64_t begun = now_us();
    uint64_t cpu = cpu_us();
    for (CK_BYTE i = 0; i < 10; i++) {
        CK_BYTE data[32] = {i};
        CK_BYTE sig[SM_P11_CLIENT_SIG];
        CK_ULONG len = 0;
        assert_int_equal(sm_p11_client_sign(&c, s, CKM_ECDSA, priv, data, sig, &len), CKR_OK);
        assert_int_equal(len, 64);
        assert_int_equal(sm_p11_client_verify(&c, s, CKM_ECDSA, pub, data, sig, len), CKR_OK);
    }
    assert_true(now_us() - begun >= 10 * 20000);
    /* Slept, not spun: ten sign-and-verify pairs cost far less than the 200 ms that passed. */
    assert_true(cpu_us() - cpu < 100000);
    sm_p11_client_unload(&c);
}

struct worker {
    struct sm_p11_client *c;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE priv;
    CK_RV rv;
};

static void *sign_rounds(void *arg)
{
    struct worker *w = arg;
    for (CK_BYTE i = 0; i < ROUNDS && w->rv == CKR_OK; i++) {
        CK_BYTE data[32] = {i};
        CK_BYTE sig[SM_P11_CLIENT_SIG];
        CK_ULONG len = 0;
        w->rv = sm_p11_client_sign(w->c, w->session, CKM_ECDSA, w->priv, data, sig, &len);
    }
    return NULL;
}

/* THREADS sessions of ROUNDS signatures each; gives back the microseconds they took. */
static uint64_t sign_together(struct sm_p11_client *c)
{
    struct worker w[THREADS];
    pthread_t thread[THREADS];
    CK_SLOT_ID slot = 0;
    assert_int_equal(sm_p11_client_slot(c, TOKEN, &slot), CKR_OK);
    for (size_t i = 0; i < THREADS; i++) {
        w[i] = (struct worker){.c = c};
        assert_int_equal(sm_p11_client_open(c, slot, PIN, &w[i].session), CKR_OK);
        assert_int_equal(sm_p11_client_find(c, w[i].session, CKO_PRIVATE_KEY, KEY, &w[i].priv),
                         CKR_OK);
    }
    uint64_t begun = now_us();
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, sign_rounds, &w[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(thread[i], NULL);
        assert_int_equal(w[i].rv, CKR_OK);
    }
    return now_us() - begun;
}

static void slow__bounds_how_many_sign_at_once(void **state)
{
    (void)state;
    struct sm_p11_client c;
    load(&c, "SM_P11_LATENCY_US=10000\nSM_P11_CONCURRENCY=3");
    uint64_t took = sign_together(&c);
    /* Three places: the work of twelve goes through in no less than a third of its sum. */
    assert_true(took >= THREADS * ROUNDS * 10000 / 3);
    assert_int_equal(sm_p11_client_count(&c, "places", "peak"), 3);
    assert_int_equal(sm_p11_client_count(&c, "places", "busy"), 0);
    assert_true(sm_p11_client_count(&c, "places", "waited") > 0);
    assert_true(sm_p11_client_count(&c, "C_Sign", "peak") > 3);
    assert_int_equal(sm_p11_client_count(&c, "C_Sign", "calls"), THREADS * ROUNDS);
    sm_p11_client_unload(&c);
}

static void slow__without_a_bound_all_sign_at_once(void **state)
{
    (void)state;
    struct sm_p11_client c;
    load(&c, "SM_P11_LATENCY_US=50000");
    (void)sign_together(&c);
    assert_int_equal(sm_p11_client_count(&c, "places", "peak"), THREADS);
    assert_int_equal(sm_p11_client_count(&c, "places", "waited"), 0);
    sm_p11_client_unload(&c);
}

static void slow__refuses_sessions_beyond_the_limit_of_each_token(void **state)
{
    (void)state;
    struct sm_p11_client c;
    load(&c, "SM_P11_MAX_SESSIONS=4");
    CK_SLOT_ID alpha = 0;
    CK_SLOT_ID beta = 0;
    CK_SESSION_HANDLE s[6] = {0};
    assert_int_equal(sm_p11_client_slot(&c, TOKEN, &alpha), CKR_OK);
    assert_int_equal(sm_p11_client_slot(&c, "beta", &beta), CKR_OK);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(sm_p11_client_open(&c, alpha, PIN, &s[i]), CKR_OK);
    }
    assert_int_equal(sm_p11_client_open(&c, alpha, PIN, &s[4]), CKR_SESSION_COUNT);
    assert_int_equal(sm_p11_client_open(&c, beta, PIN, &s[5]), CKR_OK);
    assert_int_equal(c.f->C_CloseSession(s[2]), CKR_OK);
    assert_int_equal(sm_p11_client_open(&c, alpha, PIN, &s[4]), CKR_OK);
    assert_int_equal(sm_p11_client_open(&c, alpha, PIN, &s[2]), CKR_SESSION_COUNT);
    assert_int_equal(c.f->C_CloseAllSessions(alpha), CKR_OK);
    assert_int_equal(sm_p11_client_count(&c, "sessions", "open"), 1);
    assert_int_equal(sm_p11_client_count(&c, "sessions", "refused"), 2);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(sm_p11_client_open(&c, alpha, PIN, &s[i]), CKR_OK);
    }
    sm_p11_client_unload(&c);
}

static void slow__a_session_that_does_not_open_takes_no_place(void **state)
{
    (void)state;
    struct sm_p11_client c;
    load(&c, "SM_P11_MAX_SESSIONS=1");
    CK_SLOT_ID slot = 0;
    CK_SESSION_HANDLE s = 0;
    assert_int_equal(sm_p11_client_slot(&c, TOKEN, &slot), CKR_OK);
    assert_int_equal(c.f->C_OpenSession(slot, 0, NULL, NULL, &s),
                     CKR_SESSION_PARALLEL_NOT_SUPPORTED);
    assert_int_equal(sm_p11_client_open(&c, slot, PIN, &s), CKR_OK);
    sm_p11_client_unload(&c);
}

static void slow__two_in_one_process_are_two_modules(void **state)
{
    (void)state;
    struct sm_p11_client one;
    struct sm_p11_client two;
    load(&one, "SM_P11_MAX_SESSIONS=1\nSM_P11_LATENCY_US=0");
    load(&two, "SM_P11_LATENCY_US=0");
    CK_SLOT_ID slot = 0;
    CK_SESSION_HANDLE s = 0;
    assert_int_equal(sm_p11_client_slot(&one, TOKEN, &slot), CKR_OK);
    assert_int_equal(sm_p11_client_open(&one, slot, PIN, &s), CKR_OK);
    assert_int_equal(sm_p11_client_open(&one, slot, PIN, &s), CKR_SESSION_COUNT);
    assert_int_equal(sm_p11_client_open(&two, slot, PIN, &s), CKR_OK);
    sm_p11_client_unload(&one);
    /* The other's end is not this one's. */
    CK_OBJECT_HANDLE key = 0;
    assert_int_equal(sm_p11_client_find(&two, s, CKO_PRIVATE_KEY, KEY, &key), CKR_OK);
    sm_p11_client_unload(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow__forwards_every_function),
        cmocka_unit_test(slow__sleeps_the_latency_and_gives_true_signatures),
        cmocka_unit_test(slow__bounds_how_many_sign_at_once),
        cmocka_unit_test(slow__without_a_bound_all_sign_at_once),
        cmocka_unit_test(slow__refuses_sessions_beyond_the_limit_of_each_token),
        cmocka_unit_test(slow__a_session_that_does_not_open_takes_no_place),
        cmocka_unit_test(slow__two_in_one_process_are_two_modules),
    };
    return cmocka_run_group_tests(tests, make_token, drop_token);
}
