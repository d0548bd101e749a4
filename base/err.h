/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors as values.
 *
 * One vocabulary for the whole program: a code whose low byte is its category. Each wire protocol
 * translates the category (and, where it must, the code) by one table of its own. The human reason
 * travels beside the code in a `sm_diag` (diag.h), so that an error stays four bytes.
 *
 * Threads:   values; no state.
 * Limits:    at most 2^24 codes.
 * Security:  names are public words; they never carry input.
 * Standards: none.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum sm_err_cat {
    SM_OK = 0,
    SM_INPUT = 1,    /* the caller's bytes are wrong; the same request will fail again */
    SM_DENIED = 2,   /* who is asking may not; another identity could */
    SM_BUSY = 3,     /* a limit was reached; later the same request may succeed */
    SM_UPSTREAM = 4, /* something that we depend on failed: disk, token, peer, time-out */
    SM_INTERNAL = 5, /* our own fault */
};

typedef struct sm_err {
    uint32_t code; /* 0, or number << 8 | category */
} sm_err;

#define SM_FALLIBLE __attribute__((warn_unused_result)) sm_err

#define SM_ERR_CODE(number, category) (((uint32_t)(number) << 8) | (uint32_t)(category))

/* Every code: X(name, number, category, "words"). Numbers are stable: they are logged and counted.
 */
#define SM_ERR_LIST(X)                                                      \
    X(MALFORMED, 1, SM_INPUT, "malformed input")                            \
    X(INVALID, 2, SM_INPUT, "invalid argument")                             \
    X(TOO_LARGE, 3, SM_INPUT, "larger than the limit")                      \
    X(NOT_FOUND, 4, SM_INPUT, "not found")                                  \
    X(EXISTS, 5, SM_INPUT, "exists already")                                \
    X(UNSUPPORTED, 6, SM_INPUT, "not supported")                            \
    X(PRECONDITION, 7, SM_INPUT, "the state does not allow it")             \
    X(CONFLICT, 8, SM_INPUT, "changed by another at the same time")         \
    X(OUT_OF_RANGE, 9, SM_INPUT, "out of range")                            \
    X(BAD_SIGNATURE, 10, SM_INPUT, "signature does not verify")             \
    X(POLICY, 11, SM_INPUT, "refused by the profile")                       \
    X(TRUNCATED, 12, SM_INPUT, "ends too early")                            \
    X(UNIMPLEMENTED, 13, SM_INPUT, "there is no such method")               \
    X(UNAUTHENTICATED, 20, SM_DENIED, "no valid credentials")               \
    X(FORBIDDEN, 21, SM_DENIED, "the caller has not the right")             \
    X(EXHAUSTED, 30, SM_BUSY, "a limit is reached, try later")              \
    X(QUEUE_FULL, 31, SM_BUSY, "queue full, try later")                     \
    X(DRAINING, 32, SM_BUSY, "shutting down")                               \
    X(RATE_LIMITED, 33, SM_BUSY, "rate limit reached, try later")           \
    X(PENDING, 34, SM_BUSY, "waits for a person's approval")                \
    X(TIMED_OUT, 40, SM_UPSTREAM, "deadline exceeded")                      \
    X(CANCELLED, 41, SM_UPSTREAM, "cancelled")                              \
    X(CLOSED, 42, SM_UPSTREAM, "connection closed")                         \
    X(UNAVAILABLE, 43, SM_UPSTREAM, "a part that is needed is unavailable") \
    X(DISK, 44, SM_UPSTREAM, "the disk refused")                            \
    X(TOKEN, 45, SM_UPSTREAM, "the token refused")                          \
    X(CORRUPT, 46, SM_UPSTREAM, "stored data is damaged")                   \
    X(CLOCK, 47, SM_UPSTREAM, "the clock cannot be trusted")                \
    X(OS, 48, SM_UPSTREAM, "the operating system refused")                  \
    X(NO_MEMORY, 60, SM_INTERNAL, "out of memory")                          \
    X(INTERNAL, 61, SM_INTERNAL, "internal error")                          \
    X(CRYPTO, 62, SM_INTERNAL, "the cryptographic library refused")

enum {
#define X(name, number, category, words) SM_E_##name = SM_ERR_CODE(number, category),
    SM_ERR_LIST(X)
#undef X
};

#define SM_NO_ERR ((sm_err){0})
#define SM_ERR(name) ((sm_err){SM_E_##name})

static inline bool sm_ok(sm_err err)
{
    return err.code == 0;
}

static inline enum sm_err_cat sm_err_category(sm_err err)
{
    return (enum sm_err_cat)(err.code & 0xffU);
}

static inline bool sm_err_is(sm_err err, uint32_t code)
{
    return err.code == code;
}

#define SM_TRY(e)         \
    do {                  \
        sm_err t_ = (e);  \
        if (!sm_ok(t_)) { \
            return t_;    \
        }                 \
    } while (0)

/* The code's name in lower case ("not_found"), for logs and metric labels; "ok" for none. Static.
 */
const char *sm_err_name(sm_err err);

/* The code's words, for people. Static. */
const char *sm_err_words(sm_err err);
