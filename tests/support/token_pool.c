/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/token_pool.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct sm_softhsm hsm;
static bool present;

/* ---- tokens and their keys, made once ---- */

static bool make_shared(void)
{
    char pem[SM_SOFTHSM_PATH + 16];
    sm_key *key;
    sm_diag diag = {.reason = ""};
    (void)snprintf(pem, sizeof(pem), "%s/shared.pem", hsm.dir);
    bool ok = sm_ok(sm_key_generate(SM_KEY_P256, &key));
    if (ok) {
        ok = sm_ok(sm_key_write_pem(key, pem, &diag));
        sm_key_detach(&key);
    }
    return ok && sm_softhsm_import(&hsm, "alpha", POOL_PIN, pem, "shared", "aa") &&
           sm_softhsm_import(&hsm, "beta", POOL_PIN, pem, "shared", "aa") &&
           sm_softhsm_write(&hsm, "alpha", POOL_PIN, pem, "guarded", "ab", "--always-auth") &&
           sm_softhsm_write(&hsm, "beta", POOL_PIN, pem, "guarded", "ab", "--always-auth");
}

int pool_tokens_make(void **state)
{
    (void)state;
    present = sm_softhsm_present();
    if (!present) {
        return 0;
    }
    bool ok = sm_softhsm_init(&hsm) && sm_softhsm_token(&hsm, "alpha", POOL_PIN) &&
              sm_softhsm_token(&hsm, "beta", POOL_PIN) && make_shared() &&
              sm_softhsm_key(&hsm, "alpha", POOL_PIN, "p256", "p256", "01") &&
              sm_softhsm_key(&hsm, "alpha", POOL_PIN, "rsa2048", "rsa", "02") &&
              sm_softhsm_key(&hsm, "alpha", POOL_PIN, "ed25519", "ed25519", "03") &&
              sm_softhsm_key_with(&hsm, "alpha", POOL_PIN, "p256", "always", "04", "--always-auth",
                                  NULL) &&
              sm_softhsm_key(&hsm, "beta", POOL_PIN, "p256", "other", "05");
    return ok ? 0 : -1;
}

int pool_tokens_drop(void **state)
{
    (void)state;
    sm_softhsm_deinit(&hsm);
    return 0;
}

/* ---- one pool ---- */

static void wake(void *ctx)
{
    (void)ctx; /* the test looks by itself */
}

static void schedule(void *ctx)
{
    ((struct pool *)ctx)->scheduled = true;
}

void pool_load(struct pool *p, const char *module, const char *settings)
{
    if (!present) {
        skip();
    }
    *p = (struct pool){.answered = 0};
    assert_true(sm_p11_client_load(&p->module, &hsm, module, settings));
    p->jobs = calloc(POOL_JOBS_MAX, sizeof(*p->jobs));
    assert_non_null(p->jobs);
    sm_mailbox_init(&p->box, wake, NULL);
    assert_sm_ok(sm_sign_pool_new(2, &p->workers));
    const struct sm_batcher_config config = {&p->box, p->workers, schedule, p};
    assert_sm_ok(sm_batcher_new(&config, &p->batcher));
}

void pool_load_other(struct pool *p, const char *module, const char *settings)
{
    assert_true(sm_p11_client_load(&p->other, &hsm, module, settings));
}

static struct sm_token_config token_of(const struct sm_p11_client *module, const char *label)
{
    static char uris[4][SM_SOFTHSM_PATH + 256]; /* read by the next pool_open */
    static unsigned at;
    char *uri = uris[at++ % 4];
    (void)snprintf(uri, sizeof(uris[0]), "pkcs11:token=%s?module-path=%s", label, module->path);
    return (struct sm_token_config){.uri = uri,
                                    .sessions = 4,
                                    .timeout_ms = 20000,
                                    .call_timeout_ms = 20000,
                                    .allow_extractable = true};
}

struct sm_token_config pool_token(const struct pool *p, const char *label)
{
    return token_of(&p->module, label);
}

struct sm_token_config pool_other_token(const struct pool *p, const char *label)
{
    return token_of(&p->other, label);
}

void pool_open(struct pool *p, const struct sm_token_config *tokens, size_t count)
{
    struct sm_token_config copies[SM_TOKENS_MAX];
    char names[SM_TOKENS_MAX][40];
    char keys[SM_SOFTHSM_PATH + 8];
    sm_diag diag = {.reason = ""};
    (void)snprintf(keys, sizeof(keys), "%s/keys", hsm.dir);
    for (size_t i = 0; i < count; i++) {
        copies[i] = tokens[i];
        copies[i].pin_env = names[i];
        (void)snprintf(names[i], sizeof(names[i]), "SM_TEST_PIN_%zu", i);
        (void)setenv(names[i], POOL_PIN, 1); /* read once, then unset */
    }
    const struct sm_keystore_config config = {
        .dir = keys, .allow_plain = true, .tokens = copies, .token_count = count};
    sm_err err = sm_keystore_open(&config, &p->store, &diag);
    if (!sm_ok(err)) {
        print_error("%s: %s\n", diag.field, diag.reason);
    }
    assert_sm_ok(err);
}

void pool_faulty(struct pool *p, size_t tokens)
{
    pool_load(p, sm_softhsm_faulty_module(), "");
    const struct sm_token_config configs[] = {pool_token(p, "alpha"), pool_token(p, "beta")};
    pool_open(p, configs, tokens);
}

void pool_hasty(struct pool *p, size_t tokens, uint32_t timeout_ms)
{
    pool_load(p, sm_softhsm_faulty_module(), "");
    struct sm_token_config configs[] = {pool_token(p, "alpha"), pool_token(p, "beta")};
    for (size_t i = 0; i < tokens; i++) {
        configs[i].timeout_ms = timeout_ms;
        configs[i].call_timeout_ms = POOL_HASTY_CALL_MS;
    }
    pool_open(p, configs, tokens);
    for (size_t i = 0; i < tokens; i++) {
        pool_wait_up(p, i, true); /* a busy machine may be late */
    }
}

void pool_close(struct pool *p)
{
    (void)sm_mailbox_drain(&p->box);
    for (unsigned i = 0; i < p->asked; i++) {
        assert_int_equal(p->jobs[i].answers, 1);
    }
    sm_keystore_close(&p->store);
    assert_int_equal(sm_mailbox_drain(&p->box), 0);
    sm_batcher_free(&p->batcher);
    sm_sign_pool_free(&p->workers);
    sm_p11_client_unload(&p->module);
    if (p->other.f != NULL) {
        sm_p11_client_unload(&p->other);
    }
    free(p->jobs);
    p->jobs = NULL;
}

sm_key *pool_key(struct pool *p, const char *uri)
{
    sm_key *key = NULL;
    sm_diag diag = {.reason = ""};
    sm_err err = sm_keystore_load(p->store, uri, &key, &diag);
    if (!sm_ok(err)) {
        print_error("%s: %s\n", uri, diag.reason);
    }
    assert_sm_ok(err);
    return key;
}

void pool_order(struct pool *p, const char *text)
{
    assert_true(sm_p11_client_control(&p->module, text));
}

/* ---- signatures ---- */

uint64_t pool_now_us(void)
{
    return sm_clock_mono_ns() / 1000;
}

static void on_done(sm_crypt_job *job)
{
    struct pool_job *j = SM_CONTAINER_OF(job, struct pool_job, job);
    j->answers++;
    j->answered_us = pool_now_us();
    j->place = j->pool->answered++;
}

sm_err pool_try(struct pool *p, sm_key *key, enum sm_sig_alg alg)
{
    assert_true(p->asked < POOL_JOBS_MAX);
    struct pool_job *j = &p->jobs[p->asked];
    int len = snprintf((char *)j->message, sizeof(j->message), "message %u", p->asked);
    j->pool = p;
    j->job = (sm_crypt_job){.op = SM_CRYPT_SIGN,
                            .alg = alg,
                            .message = sm_slice_of(j->message, (size_t)len),
                            .key = key,
                            .out = j->out,
                            .out_room = sizeof(j->out),
                            .caller = p->first_caller + p->asked % 5,
                            .done = on_done};
    j->asked_us = pool_now_us();
    sm_err err = sm_batcher_submit(p->batcher, &j->job);
    p->asked += sm_ok(err);
    return err;
}

void pool_ask(struct pool *p, sm_key *key, enum sm_sig_alg alg, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_sm_ok(pool_try(p, key, alg));
    }
}

void pool_turn(struct pool *p)
{
    (void)sm_mailbox_drain(&p->box);
    while (p->scheduled) {
        p->scheduled = false;
        (void)sm_batcher_run(p->batcher);
    }
}

void pool_wait(struct pool *p, unsigned ms)
{
    uint64_t end = pool_now_us() + (uint64_t)ms * 1000;
    while (p->answered < p->asked && pool_now_us() < end) {
        pool_turn(p);
        (void)usleep(200);
    }
    assert_int_equal(p->answered, p->asked);
}

static void count_in(struct pool_tally *t, const struct pool_job *j)
{
    const sm_crypt_job *job = &j->job;
    assert_int_equal(j->answers, 1);
    if (sm_ok(job->err)) {
        t->good++;
        assert_sm_ok(sm_verify_now(sm_key_public(job->key), job->alg, job->message,
                                   sm_slice_of(job->out, job->out_len)));
    } else if (sm_err_is(job->err, SM_E_TOKEN)) {
        t->token++;
    } else {
        static const uint8_t nothing[SM_SIGNATURE_MAX];
        assert_sm_err(job->err, UNAVAILABLE);
        assert_memory_equal(j->out, nothing, sizeof(nothing));
        t->unavailable++;
    }
}

struct pool_tally pool_tally(struct pool *p, unsigned ms)
{
    struct pool_tally t = {.good = 0};
    pool_wait(p, ms);
    for (unsigned i = p->tallied; i < p->asked; i++) {
        count_in(&t, &p->jobs[i]);
    }
    p->tallied = p->asked;
    return t;
}

struct pool_tally pool_sign(struct pool *p, sm_key *key, enum sm_sig_alg alg, unsigned count)
{
    pool_ask(p, key, alg, count);
    return pool_tally(p, 20000);
}

void pool_sign_well(struct pool *p, sm_key *key, enum sm_sig_alg alg, unsigned count)
{
    assert_int_equal(pool_sign(p, key, alg, count).good, count);
}

/* ---- looking on ---- */

struct sm_token_status pool_status(struct pool *p, size_t token)
{
    struct sm_token_status status;
    sm_tokens_status(sm_keystore_tokens(p->store), token, &status);
    return status;
}

void pool_wait_up(struct pool *p, size_t token, bool up)
{
    bool now = pool_status(p, token).up;
    for (int i = 0; i < 10000 && now != up; i++) {
        (void)usleep(1000);
        now = pool_status(p, token).up; /* asked once a turn: it may be another a moment later */
    }
    assert_int_equal(now, up);
}

void pool_wait_sessions(struct pool *p, size_t token, unsigned count)
{
    for (int i = 0; i < 10000 && pool_status(p, token).sessions != count; i++) {
        (void)usleep(1000);
    }
    assert_int_equal(pool_status(p, token).sessions, count);
}

unsigned long pool_calls(struct pool *p, const char *function)
{
    return sm_p11_client_count(&p->module, function, "calls");
}

void pool_wait_inside(struct pool *p, const char *function, unsigned long count)
{
    for (int i = 0; i < 5000 && sm_p11_client_count(&p->module, function, "now") != count; i++) {
        (void)usleep(1000);
    }
    assert_int_equal(sm_p11_client_count(&p->module, function, "now"), count);
}
