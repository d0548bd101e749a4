/* SPDX-License-Identifier: Apache-2.0 */
/* A private key's end: it is wiped when its last user lets go of it, whoever signed with it. */
#include "tests/sign/keys.h"

#include "base/thread.h"
#include "sign/batch.h"
#include "sign/key_p.h"

#include <stdatomic.h>

static _Atomic unsigned ended;

/* OpenSSL's own, when the last reference to an EVP_PKEY goes. */
static void on_end(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)argl;
    (void)argp;
    ended += ptr != NULL;
}

static sm_key *make_watched(enum sm_key_type type)
{
    static int index = -1;
    static char mark;
    sm_key *key;
    if (index < 0) {
        index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_EVP_PKEY, 0, NULL, NULL, NULL, on_end);
    }
    assert_true(index >= 0);
    EVP_PKEY *pkey = sm_key_make(type);
    assert_true(EVP_PKEY_set_ex_data(pkey, index, &mark));
    assert_sm_ok(sm_key_wrap(pkey, NULL, &key));
    return key;
}

static sm_err sign_on_openssl(sm_key *key, enum sm_digest digest, bool pss)
{
    uint8_t out[SM_SIGNATURE_MAX];
    enum sm_key_type type = sm_key_get_type(key);
    sm_crypt_job job = {.op = SM_CRYPT_SIGN,
                        .alg = sm_sig_alg_for(type, digest, pss),
                        .type = type,
                        .message = SM_LIT("message"),
                        .key = key,
                        .out = out,
                        .out_room = sizeof(out)};
    sm_crypt_job *list = &job;
    sm_backend_openssl.run(&list, 1);
    if (!sm_ok(job.err)) {
        return job.err;
    }
    return sm_verify_now(sm_key_public(key), job.alg, job.message, sm_slice_of(out, job.out_len));
}

static void sign_every_way(sm_key *key)
{
    bool rsa = sm_key_get_type(key) == SM_KEY_RSA_2048;
    bool whole = sm_sig_alg_digest(sm_sig_alg_for(sm_key_get_type(key), SM_DIGEST_NONE, false)) ==
                 SM_DIGEST_NONE;
    for (int round = 0; round < 2; round++) {
        for (enum sm_digest d = SM_SHA256; d < SM_DIGEST_COUNT; d++) {
            assert_sm_ok(sign_on_openssl(key, whole ? SM_DIGEST_NONE : d, false));
            if (rsa) {
                assert_sm_ok(sign_on_openssl(key, d, true));
            }
        }
    }
}

static const enum sm_key_type types[] = {SM_KEY_P256, SM_KEY_P384, SM_KEY_P521, SM_KEY_RSA_2048,
                                         SM_KEY_ED25519};

static void key__is_wiped_when_its_last_user_detaches_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < SM_ARRAY_LEN(types); i++) {
        sm_key *key = make_watched(types[i]);
        sm_key *other = sm_key_attach(key);
        ended = 0;
        sign_every_way(key);
        sm_key_detach(&key);
        assert_int_equal(ended, 0);
        sign_every_way(other);
        sm_key_detach(&other);
        assert_int_equal(ended, 1);
    }
}

/* ---- more threads than contexts are kept for ---- */

#define THREADS (SM_KEY_CONTEXTS + 2)
#define EACH 200

struct signer {
    sm_thread thread;
    sm_key *key;
    unsigned good;
    _Atomic bool *end;
    _Atomic unsigned *ready;
};

static void signer_main(void *ctx)
{
    struct signer *s = ctx;
    for (unsigned i = 0; i < EACH; i++) {
        s->good += sm_ok(sign_on_openssl(s->key, SM_SHA256, false));
    }
    sm_key_detach(&s->key);
    atomic_fetch_add(s->ready, 1);
    while (!atomic_load(s->end)) { /* it lives on, as a loop does */
        (void)sched_yield();
    }
    sm_sign_thread_deinit();
}

static void key__is_wiped_while_its_threads_live_on(void **state)
{
    (void)state;
    struct signer signers[THREADS];
    _Atomic bool end = false;
    _Atomic unsigned ready = 0;
    sm_key *key = make_watched(SM_KEY_P256);
    ended = 0;
    for (size_t i = 0; i < THREADS; i++) {
        signers[i] = (struct signer){.key = sm_key_attach(key), .end = &end, .ready = &ready};
        assert_sm_ok(sm_thread_start(&signers[i].thread, "signer", signer_main, &signers[i]));
    }
    sm_key_detach(&key);
    while (atomic_load(&ready) < THREADS) {
        (void)sched_yield();
    }
    assert_int_equal(ended, 1);
    atomic_store(&end, true);
    for (size_t i = 0; i < THREADS; i++) {
        sm_thread_join(&signers[i].thread);
        assert_int_equal(signers[i].good, EACH);
    }
}

static int start(void **state)
{
    (void)state;
    return sm_ok(sm_sign_init(NULL)) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key__is_wiped_when_its_last_user_detaches_it),
        cmocka_unit_test(key__is_wiped_while_its_threads_live_on),
    };
    return cmocka_run_group_tests(tests, start, drop_keys);
}
