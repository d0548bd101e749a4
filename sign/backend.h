/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam under the batcher: something that runs a batch of like jobs (one operation, one type of
 * key).
 *
 * Threads:   any number at once; what a backend keeps is per thread, until its `forget`.
 * Limits:    SM_BACKEND_LANES jobs a call.
 * Security:  each job gets a result of its own; a backend runs an operation only after its
 *            known-answer test.
 * Standards: none.
 */
#pragma once

#include "sign/batch.h"
#include "sign/ecdsa_der.h"

#define SM_BACKEND_LANES 8 /* AVX-512 IFMA multi-buffer works on eight 64-bit lanes */
#define SM_BACKEND_NEVER (SM_BACKEND_LANES + 1)

enum sm_backend_id { SM_BACKEND_OPENSSL, SM_BACKEND_MB, SM_BACKEND_COUNT };

struct sm_backend {
    enum sm_backend_id id;
    const char *name;
    /* Whether the processor and the library can run this at all. */
    bool (*applicable)(enum sm_crypt_op op, enum sm_key_type type);
    /* Sets err (and out_len) of each job. All are of one operation and type of key; digests and
     * paddings may differ. */
    void (*run)(sm_crypt_job *const *jobs, size_t count);
    /* Frees what the calling thread keeps. */
    void (*forget)(void);
};

/* OpenSSL: every operation and type, one job after the other. */
extern const struct sm_backend sm_backend_openssl;
/* crypto_mb: eight at once. Applicable to nothing when the library was not there at build or the
 * processor cannot. */
extern const struct sm_backend sm_backend_mb;

/* The backend for a batch of `count`: multi-buffer from a count on that was measured at start. */
const struct sm_backend *sm_backend_choose(enum sm_crypt_op op, enum sm_key_type type,
                                           size_t count);
/* How many jobs a batch should hold: all lanes where multi-buffer may run it, else 1. */
size_t sm_backend_batch(enum sm_crypt_op op, enum sm_key_type type);
/* Runs a batch on the backend of choice, returns it. Signatures of keys that want it are verified
 * before they leave. */
const struct sm_backend *sm_backend_run(sm_crypt_job *const *jobs, size_t count);
/* Whether one call takes so long that it must not run on a loop. */
bool sm_backend_is_slow(enum sm_crypt_op op, enum sm_key_type type);
void sm_backend_forget(void);
/* Counts and logs a signature of our own that failed its check: the processor or the memory is
 * going bad, or someone is at it. */
void sm_backend_fault(enum sm_sig_alg alg);

/* What was found at start about multi-buffer: from how many jobs on it is used (SM_BACKEND_NEVER:
 * not), and why. For the start and for tests: not while jobs run. */
struct sm_backend_choice {
    unsigned from;
    const char *why;    /* words, static */
    uint64_t single_ns; /* one job on OpenSSL */
    uint64_t batch_ns;  /* a full call of multi-buffer */
};
void sm_backend_set_choice(enum sm_crypt_op op, enum sm_key_type type,
                           const struct sm_backend_choice *choice);
const struct sm_backend_choice *sm_backend_get_choice(enum sm_crypt_op op, enum sm_key_type type);

/* The octets that a signature covers: the digest for ECDSA and RSA (made into `digest` unless the
 * job brings it), else the message. Errors: UNSUPPORTED, INVALID, CRYPTO. */
SM_FALLIBLE sm_backend_input(const sm_crypt_job *job, uint8_t digest[SM_DIGEST_MAX], sm_slice *out);
