/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and jobs for the tests of sign.
 *
 * Threads:   a test's own.
 * Limits:    none.
 * Security:  RSA keys are the known-answer tests' own, because to find primes takes seconds under a
 *            sanitizer.
 * Standards: none.
 */
#pragma once

#include "tests/support/support.h"

#include "base/mem.h"
#include "sign/kat.h"

#define KEYS_MESSAGE_ROOM 64

/* The one key of a type, made when first asked for. */
__attribute__((unused)) static sm_key *keys[SM_KEY_TYPE_COUNT];

__attribute__((unused)) static sm_key *key_of(enum sm_key_type type)
{
    if (keys[type] == NULL) {
        assert_sm_ok(sm_kat_key(type, &keys[type]));
    }
    return keys[type];
}

__attribute__((unused)) static int drop_keys(void **state)
{
    (void)state;
    for (int i = 0; i < SM_KEY_TYPE_COUNT; i++) {
        sm_key_detach(&keys[i]);
    }
    sm_sign_thread_deinit();
    return 0;
}

/* A batch with room for everything. */
struct batch {
    sm_crypt_job jobs[SM_BACKEND_LANES];
    sm_crypt_job *list[SM_BACKEND_LANES];
    uint8_t messages[SM_BACKEND_LANES][KEYS_MESSAGE_ROOM];
    uint8_t signatures[SM_BACKEND_LANES][SM_SIGNATURE_MAX];
};

__attribute__((unused)) static void batch_sign(struct batch *b, size_t count, enum sm_key_type type,
                                               enum sm_sig_alg alg)
{
    for (size_t i = 0; i < count; i++) {
        memset(b->messages[i], (int)(i + 1), KEYS_MESSAGE_ROOM);
        b->jobs[i] = (sm_crypt_job){.op = SM_CRYPT_SIGN,
                                    .alg = alg,
                                    .type = type,
                                    .key = key_of(type),
                                    .message = sm_slice_of(b->messages[i], KEYS_MESSAGE_ROOM),
                                    .out = b->signatures[i],
                                    .out_room = SM_SIGNATURE_MAX};
        b->list[i] = &b->jobs[i];
    }
}

/* Turns signed jobs into verifications of what they made. */
__attribute__((unused)) static void batch_verify(struct batch *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sm_crypt_job *job = &b->jobs[i];
        *job = (sm_crypt_job){.op = SM_CRYPT_VERIFY,
                              .alg = job->alg,
                              .type = job->type,
                              .message = job->message,
                              .is_digest = job->is_digest,
                              .public_key = sm_key_public(key_of(job->type)),
                              .signature = sm_slice_of(b->signatures[i], job->out_len)};
    }
}
