/* SPDX-License-Identifier: Apache-2.0 */
/* The faulty module: each fault is met as told, for as many calls as told, and things recover. */
#include "tests/support/support.h"

#include "tests/pkcs11/client.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIN "1234"
#define KEY "p256"
#define WAIT_MS 20000

static struct sm_softhsm hsm;
static bool present;

/* What most tests need: a module, its token alpha, a session logged in, a key. */
struct fixture {
    struct sm_p11_client c;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE priv;
    CK_OBJECT_HANDLE pub;
};

static int make_tokens(void **state)
{
    (void)state;
    present = sm_softhsm_present();
    if (!present) {
        return 0;
    }
    bool ok = sm_softhsm_init(&hsm) && sm_softhsm_token(&hsm, "alpha", PIN) &&
              sm_softhsm_key(&hsm, "alpha", PIN, "p256", KEY, "01") &&
              sm_softhsm_token(&hsm, "beta", PIN) &&
              sm_softhsm_key(&hsm, "beta", PIN, "p256", KEY, "01");
    return ok ? 0 : -1;
}

static int drop_tokens(void **state)
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
    assert_true(sm_p11_client_load(c, &hsm, sm_softhsm_faulty_module(), settings));
}

static void open_session(struct fixture *f, const char *token)
{
    assert_int_equal(sm_p11_client_slot(&f->c, token, &f->slot), CKR_OK);
    assert_int_equal(sm_p11_client_open(&f->c, f->slot, PIN, &f->s), CKR_OK);
    assert_int_equal(sm_p11_client_find(&f->c, f->s, CKO_PRIVATE_KEY, KEY, &f->priv), CKR_OK);
    assert_int_equal(sm_p11_client_find(&f->c, f->s, CKO_PUBLIC_KEY, KEY, &f->pub), CKR_OK);
}

static void start(struct fixture *f)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    load(&f->c, "");
    assert_int_equal(f->c.f->C_Initialize(&args), CKR_OK);
    open_session(f, "alpha");
}

static void order(const struct fixture *f, const char *text)
{
    assert_true(sm_p11_client_control(&f->c, text));
}

static CK_RV sign(const struct fixture *f, CK_BYTE sig[SM_P11_CLIENT_SIG], CK_ULONG *len)
{
    static const CK_BYTE data[32] = {1};
    return sm_p11_client_sign(&f->c, f->s, CKM_ECDSA, f->priv, data, sig, len);
}

static CK_RV sign_once(const struct fixture *f)
{
    CK_BYTE sig[SM_P11_CLIENT_SIG];
    CK_ULONG len = 0;
    return sign(f, sig, &len);
}

static void reopen(struct fixture *f)
{
    assert_int_equal(sm_p11_client_open(&f->c, f->slot, PIN, &f->s), CKR_OK);
    assert_int_equal(sm_p11_client_find(&f->c, f->s, CKO_PRIVATE_KEY, KEY, &f->priv), CKR_OK);
    assert_int_equal(sm_p11_client_find(&f->c, f->s, CKO_PUBLIC_KEY, KEY, &f->pub), CKR_OK);
}

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void faulty__without_commands_is_the_wrapped_module(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    CK_BYTE sig[SM_P11_CLIENT_SIG];
    CK_ULONG len = 0;
    static const CK_BYTE data[32] = {1};
    assert_int_equal(sign(&f, sig, &len), CKR_OK);
    assert_int_equal(len, 64);
    assert_int_equal(sm_p11_client_verify(&f.c, f.s, CKM_ECDSA, f.pub, data, sig, len), CKR_OK);
    sm_p11_client_unload(&f.c);
}

/* Each answer an HSM may give to C_Sign: as often as told, and signatures again after it. */
static void faulty__gives_each_answer_and_recovers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        CK_RV rv;
    } answers[] = {
        {"CKR_SESSION_HANDLE_INVALID", CKR_SESSION_HANDLE_INVALID},
        {"CKR_SESSION_CLOSED", CKR_SESSION_CLOSED},
        {"CKR_USER_NOT_LOGGED_IN", CKR_USER_NOT_LOGGED_IN},
        {"CKR_TOKEN_NOT_PRESENT", CKR_TOKEN_NOT_PRESENT},
        {"CKR_DEVICE_REMOVED", CKR_DEVICE_REMOVED},
        {"CKR_DEVICE_ERROR", CKR_DEVICE_ERROR},
        {"CKR_DEVICE_MEMORY", CKR_DEVICE_MEMORY},
        {"CKR_GENERAL_ERROR", CKR_GENERAL_ERROR},
        {"CKR_HOST_MEMORY", CKR_HOST_MEMORY},
        {"CKR_KEY_HANDLE_INVALID", CKR_KEY_HANDLE_INVALID},
        {"CKR_FUNCTION_FAILED", CKR_FUNCTION_FAILED},
    };
    struct fixture f;
    start(&f);
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "C_SignInit %s 2\nC_Sign %s 1\n", answers[i].name,
                       answers[i].name);
        order(&f, text);
        assert_int_equal(sign_once(&f), answers[i].rv); /* C_SignInit */
        assert_int_equal(sign_once(&f), answers[i].rv); /* C_SignInit */
        assert_int_equal(sign_once(&f), answers[i].rv); /* C_Sign, and so ends its operation */
        assert_int_equal(sign_once(&f), CKR_OK);
    }
    sm_p11_client_unload(&f.c);
}

static void faulty__fails_until_told_otherwise(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    order(&f, "* CKR_DEVICE_REMOVED\n");
    CK_SESSION_HANDLE other = 0;
    CK_TOKEN_INFO info;
    CK_INFO whole;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(sign_once(&f), CKR_DEVICE_REMOVED);
        assert_int_equal(sm_p11_client_open(&f.c, f.slot, PIN, &other), CKR_DEVICE_REMOVED);
        assert_int_equal(f.c.f->C_GetTokenInfo(f.slot, &info), CKR_DEVICE_REMOVED);
    }
    /* What is of the whole module still works. */
    assert_int_equal(f.c.f->C_GetInfo(&whole), CKR_OK);
    order(&f, "* CKR_DEVICE_REMOVED\nclear\n");
    assert_int_equal(sign_once(&f), CKR_OK);
    order(&f, "C_Sign 0x80001234\n");
    assert_int_equal(sign_once(&f), 0x80001234);
    assert_int_equal(unlink(f.c.control), 0);
    assert_int_equal(sign_once(&f), CKR_OK);
    sm_p11_client_unload(&f.c);
}

static void faulty__refuses_sessions_and_pins(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    CK_SESSION_HANDLE other = 0;
    order(&f, "C_OpenSession CKR_SESSION_COUNT 2\n");
    assert_int_equal(sm_p11_client_open(&f.c, f.slot, PIN, &other), CKR_SESSION_COUNT);
    assert_int_equal(sm_p11_client_open(&f.c, f.slot, PIN, &other), CKR_SESSION_COUNT);
    assert_int_equal(sm_p11_client_open(&f.c, f.slot, PIN, &other), CKR_OK);
    order(&f, "C_Login CKR_PIN_INCORRECT 1\nC_Login CKR_PIN_LOCKED 1\n");
    assert_int_equal(sm_p11_client_open(&f.c, f.slot, PIN, &other), CKR_PIN_INCORRECT);
    assert_int_equal(sm_p11_client_open(&f.c, f.slot, PIN, &other), CKR_PIN_LOCKED);
    assert_int_equal(sm_p11_client_open(&f.c, f.slot, PIN, &other), CKR_OK);
    sm_p11_client_unload(&f.c);
}

static void faulty__loses_a_session_in_truth(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct fixture other = f;
    reopen(&other);
    order(&f, "C_SignInit session-lost 1\n");
    assert_int_equal(sign_once(&f), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(sign_once(&f), CKR_SESSION_HANDLE_INVALID); /* says the wrapped module */
    assert_int_equal(sign_once(&other), CKR_OK);
    assert_int_equal(sm_p11_client_count(&f.c, "sessions", "open"), 1);
    reopen(&f);
    assert_int_equal(sign_once(&f), CKR_OK);
    sm_p11_client_unload(&f.c);
}

static void faulty__loses_all_sessions_of_one_token(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct fixture same = f;
    struct fixture beta = f;
    reopen(&same);
    open_session(&beta, "beta");
    order(&f, "C_Sign@alpha sessions-lost 1\n");
    assert_int_equal(sign_once(&beta), CKR_OK);
    assert_int_equal(sign_once(&f), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(sign_once(&same), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(sign_once(&beta), CKR_OK);
    CK_SESSION_HANDLE fresh = 0;
    CK_SESSION_INFO info;
    assert_int_equal(f.c.f->C_OpenSession(f.slot, CKF_SERIAL_SESSION, NULL, NULL, &fresh), CKR_OK);
    assert_int_equal(f.c.f->C_GetSessionInfo(fresh, &info), CKR_OK);
    /* PKCS#11 5.6: with its last session the token's login ends. */
    assert_int_equal(info.state, CKS_RO_PUBLIC_SESSION);
    reopen(&f);
    assert_int_equal(sign_once(&f), CKR_OK);
    sm_p11_client_unload(&f.c);
}

static void faulty__loses_the_login_in_truth(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    order(&f, "C_SignInit login-lost 1\n");
    assert_int_equal(sign_once(&f), CKR_USER_NOT_LOGGED_IN);
    /* Not logged in, the private key is not there any more, whatever its handle was. */
    assert_int_not_equal(sign_once(&f), CKR_OK);
    assert_int_equal(f.c.f->C_Login(f.s, CKU_USER, (CK_BYTE[]){'1', '2', '3', '4'}, 4), CKR_OK);
    assert_int_equal(sm_p11_client_find(&f.c, f.s, CKO_PRIVATE_KEY, KEY, &f.priv), CKR_OK);
    assert_int_equal(sign_once(&f), CKR_OK);
    sm_p11_client_unload(&f.c);
}

static void faulty__spoils_signatures(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    CK_BYTE sig[SM_P11_CLIENT_SIG];
    CK_ULONG len = 0;
    static const CK_BYTE data[32] = {1};
    order(&f, "C_Sign corrupt 1\nC_Sign short 1\nC_Sign long 1\n");
    assert_int_equal(sign(&f, sig, &len), CKR_OK);
    assert_int_equal(len, 64);
    assert_int_equal(sm_p11_client_verify(&f.c, f.s, CKM_ECDSA, f.pub, data, sig, len),
                     CKR_SIGNATURE_INVALID);
    sig[32] ^= 1;
    assert_int_equal(sm_p11_client_verify(&f.c, f.s, CKM_ECDSA, f.pub, data, sig, len), CKR_OK);
    assert_int_equal(sign(&f, sig, &len), CKR_OK);
    assert_int_equal(len, 63);
    assert_int_equal(sign(&f, sig, &len), CKR_OK);
    assert_int_equal(len, 65);
    assert_int_equal(sign(&f, sig, &len), CKR_OK);
    assert_int_equal(len, 64);
    assert_int_equal(sm_p11_client_verify(&f.c, f.s, CKM_ECDSA, f.pub, data, sig, len), CKR_OK);
    sm_p11_client_unload(&f.c);
}

static void faulty__a_question_for_the_length_meets_no_fault(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    CK_MECHANISM m = {.mechanism = CKM_ECDSA};
    CK_BYTE data[32] = {1};
    CK_BYTE sig[64];
    CK_ULONG len = 0;
    order(&f, "C_Sign CKR_DEVICE_ERROR 1\n");
    assert_int_equal(f.c.f->C_SignInit(f.s, &m, f.priv), CKR_OK);
    assert_int_equal(f.c.f->C_Sign(f.s, data, sizeof(data), NULL, &len), CKR_OK);
    assert_int_equal(len, 64);
    assert_int_equal(f.c.f->C_Sign(f.s, data, sizeof(data), sig, &len), CKR_DEVICE_ERROR);
    sm_p11_client_unload(&f.c);
}

static void faulty__answers_late(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    order(&f, "C_Sign late CKR_DEVICE_ERROR 1\n");
    assert_int_equal(sign_once(&f), CKR_DEVICE_ERROR);
    /* The work was done: the session has no operation left over, and signs at once. */
    assert_int_equal(sign_once(&f), CKR_OK);
    sm_p11_client_unload(&f.c);
}

static void faulty__delays_add_up(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    order(&f, "C_Sign delay 60 1\nC_Sign delay 40 1\nC_Sign CKR_DEVICE_ERROR 1\n");
    uint64_t begun = now_ms();
    assert_int_equal(sign_once(&f), CKR_DEVICE_ERROR);
    assert_true(now_ms() - begun >= 100);
    assert_int_equal(sign_once(&f), CKR_OK);
    sm_p11_client_unload(&f.c);
}

struct hung {
    struct fixture *f;
    atomic_bool done;
    CK_RV rv;
};

static void *sign_hung(void *arg)
{
    struct hung *h = arg;
    h->rv = sign_once(h->f);
    atomic_store(&h->done, true);
    return NULL;
}

static void wait_inside(const struct fixture *f, unsigned long n)
{
    uint64_t until = now_ms() + WAIT_MS;
    while (sm_p11_client_count(&f->c, "C_Sign", "now") < n && now_ms() < until) {
        (void)usleep(1000);
    }
    assert_int_equal(sm_p11_client_count(&f->c, "C_Sign", "now"), n);
}

static void faulty__hangs_until_released(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct fixture other = f;
    reopen(&other);
    struct hung h = {.f = &f};
    pthread_t thread;
    order(&f, "C_Sign hang 1\n");
    assert_int_equal(pthread_create(&thread, NULL, sign_hung, &h), 0);
    wait_inside(&f, 1);
    /* The others go on: one call hangs, not the module. */
    assert_int_equal(sign_once(&other), CKR_OK);
    /* A new file that still has a hang for it does not release it. */
    order(&f, "C_Sign hang\nC_Login CKR_PIN_LOCKED\n");
    assert_int_equal(sm_p11_client_open(&f.c, f.slot, PIN, &other.s), CKR_PIN_LOCKED);
    (void)usleep(50000);
    assert_false(atomic_load(&h.done));
    order(&f, "clear\n");
    (void)pthread_join(thread, NULL);
    assert_int_equal(h.rv, CKR_OK);
    sm_p11_client_unload(&f.c);
}

static void faulty__a_hang_may_end_in_an_error(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct hung h = {.f = &f};
    pthread_t thread;
    order(&f, "C_Sign hang CKR_DEVICE_ERROR\n");
    assert_int_equal(pthread_create(&thread, NULL, sign_hung, &h), 0);
    wait_inside(&f, 1);
    assert_false(atomic_load(&h.done));
    assert_int_equal(unlink(f.c.control), 0);
    (void)pthread_join(thread, NULL);
    assert_int_equal(h.rv, CKR_DEVICE_ERROR);
    sm_p11_client_unload(&f.c);
}

static void faulty__a_fault_of_one_token_leaves_the_others(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct fixture beta = f;
    open_session(&beta, "beta");
    order(&f, "*@alpha CKR_DEVICE_ERROR\n");
    assert_int_equal(sign_once(&f), CKR_DEVICE_ERROR);
    assert_int_equal(sign_once(&beta), CKR_OK);
    /* A label is the whole label. */
    order(&f, "*@alph CKR_DEVICE_ERROR\n");
    assert_int_equal(sign_once(&f), CKR_OK);
    sm_p11_client_unload(&f.c);
}

static CK_ULONG slots_with_tokens(const struct fixture *f)
{
    CK_ULONG n = 0;
    assert_int_equal(f->c.f->C_GetSlotList(1, NULL, &n), CKR_OK);
    return n;
}

static void faulty__a_removed_token_is_gone_until_it_is_back(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct fixture beta = f;
    open_session(&beta, "beta");
    CK_SLOT_INFO slot;
    CK_TOKEN_INFO token;
    CK_SESSION_HANDLE s = 0;
    CK_SLOT_ID one[1];
    CK_ULONG n = 1;
    CK_ULONG before = slots_with_tokens(&f);
    assert_int_equal(f.c.f->C_GetSlotInfo(f.slot, &slot), CKR_OK);
    assert_true((slot.flags & CKF_TOKEN_PRESENT) != 0);
    order(&f, "removed@alpha\n");
    assert_int_equal(sign_once(&f), CKR_DEVICE_REMOVED);
    assert_int_equal(sign_once(&beta), CKR_OK);
    assert_int_equal(sm_p11_client_open(&f.c, f.slot, PIN, &s), CKR_TOKEN_NOT_PRESENT);
    assert_int_equal(f.c.f->C_GetTokenInfo(f.slot, &token), CKR_TOKEN_NOT_PRESENT);
    assert_int_equal(f.c.f->C_GetSlotInfo(f.slot, &slot), CKR_OK);
    assert_int_equal(slot.flags & CKF_TOKEN_PRESENT, 0);
    assert_int_equal(slots_with_tokens(&f), before - 1);
    assert_int_equal(f.c.f->C_GetSlotList(1, one, &n), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(n, before - 1);
    assert_int_equal(sm_p11_client_slot(&f.c, "alpha", &one[0]), CKR_TOKEN_NOT_PRESENT);
    order(&f, "clear\n");
    assert_int_equal(slots_with_tokens(&f), before);
    /* Its sessions went with it. */
    assert_int_equal(sign_once(&f), CKR_SESSION_HANDLE_INVALID);
    reopen(&f);
    assert_int_equal(sign_once(&f), CKR_OK);
    sm_p11_client_unload(&f.c);
}

static void faulty__for_one_thread_refuses_locking(void **state)
{
    (void)state;
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    struct fixture f;
    load(&f.c, "SM_P11_SERIAL=abort");
    assert_int_equal(f.c.f->C_Initialize(&args), CKR_CANT_LOCK);
    assert_int_equal(f.c.f->C_Initialize(NULL), CKR_OK);
    open_session(&f, "alpha");
    assert_int_equal(sign_once(&f), CKR_OK);
    assert_int_equal(sm_p11_client_count(&f.c, "serial", "overlaps"), 0);
    sm_p11_client_unload(&f.c);
}

/* One call hangs inside; another thread (this one) comes in beside it. */
static void overlap(struct fixture *f, const char *serial_line)
{
    struct hung h = {.f = f};
    pthread_t thread;
    char text[128];
    (void)snprintf(text, sizeof(text), "%s\nC_Sign hang\n", serial_line);
    order(f, text);
    assert_int_equal(pthread_create(&thread, NULL, sign_hung, &h), 0);
    wait_inside(f, 1);
    CK_SESSION_INFO info;
    assert_int_equal(f->c.f->C_GetSessionInfo(f->s, &info), CKR_OK);
    (void)snprintf(text, sizeof(text), "%s\n", serial_line);
    order(f, text);
    (void)pthread_join(thread, NULL);
    assert_int_equal(h.rv, CKR_OK);
}

static void faulty__for_one_thread_counts_two(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    overlap(&f, "serial count");
    assert_int_equal(sm_p11_client_count(&f.c, "serial", "overlaps"), 1);
    assert_int_equal(sign_once(&f), CKR_OK);
    assert_int_equal(sm_p11_client_count(&f.c, "serial", "overlaps"), 1);
    sm_p11_client_unload(&f.c);
}

/* Runs `body` in a child, without its noise; true when it was aborted. */
static bool aborts(void (*body)(struct fixture *f), struct fixture *f)
{
    int status = 0;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        if (freopen("/dev/null", "w", stderr) != NULL) {
            body(f);
        }
        _exit(0);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void two_threads(struct fixture *f)
{
    overlap(f, "serial");
}

static void one_thread(struct fixture *f)
{
    order(f, "serial\n");
    assert_int_equal(sign_once(f), CKR_OK);
}

static void faulty__for_one_thread_aborts_on_two(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    assert_false(aborts(one_thread, &f));
    assert_true(aborts(two_threads, &f));
    order(&f, "clear\n");
    sm_p11_client_unload(&f.c);
}

static void misspell(struct fixture *f)
{
    order(f, "C_Sing hang\n");
    (void)sign_once(f);
}

static void faulty__aborts_on_a_misspelt_fault(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    assert_true(aborts(misspell, &f));
    sm_p11_client_unload(&f.c);
}

static void faulty__writes_counts_when_told(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    assert_int_equal(sign_once(&f), CKR_OK);
    assert_int_not_equal(access(f.c.counts, F_OK), 0);
    order(&f, "counts\n");
    assert_int_equal(sign_once(&f), CKR_OK);
    assert_int_equal(access(f.c.counts, F_OK), 0);
    assert_int_equal(unlink(f.c.counts), 0);
    order(&f, "clear\n");
    assert_int_equal(f.c.f->C_Finalize(NULL), CKR_OK);
    assert_int_equal(access(f.c.counts, F_OK), 0);
    assert_int_equal(sm_p11_client_count(&f.c, "C_Sign", "calls"), 2);
    sm_p11_client_unload(&f.c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faulty__without_commands_is_the_wrapped_module),
        cmocka_unit_test(faulty__gives_each_answer_and_recovers),
        cmocka_unit_test(faulty__fails_until_told_otherwise),
        cmocka_unit_test(faulty__refuses_sessions_and_pins),
        cmocka_unit_test(faulty__loses_a_session_in_truth),
        cmocka_unit_test(faulty__loses_all_sessions_of_one_token),
        cmocka_unit_test(faulty__loses_the_login_in_truth),
        cmocka_unit_test(faulty__spoils_signatures),
        cmocka_unit_test(faulty__a_question_for_the_length_meets_no_fault),
        cmocka_unit_test(faulty__answers_late),
        cmocka_unit_test(faulty__delays_add_up),
        cmocka_unit_test(faulty__hangs_until_released),
        cmocka_unit_test(faulty__a_hang_may_end_in_an_error),
        cmocka_unit_test(faulty__a_fault_of_one_token_leaves_the_others),
        cmocka_unit_test(faulty__a_removed_token_is_gone_until_it_is_back),
        cmocka_unit_test(faulty__for_one_thread_refuses_locking),
        cmocka_unit_test(faulty__for_one_thread_counts_two),
        cmocka_unit_test(faulty__for_one_thread_aborts_on_two),
        cmocka_unit_test(faulty__aborts_on_a_misspelt_fault),
        cmocka_unit_test(faulty__writes_counts_when_told),
    };
    return cmocka_run_group_tests(tests, make_tokens, drop_tokens);
}
