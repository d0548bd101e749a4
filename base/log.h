/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs: one line an event, key=value or JSON, to stderr (or wherever journald collects it).
 *
 *     sm_log(SM_LOG_INFO, "listener_started", SM_KS("address", a), SM_KU("port", p), SM_KEND);
 *
 * Threads:   any; a line is one write(2), so lines never mix.
 * Limits:    SM_LOG_LINE_MAX octets a line; a value over SM_LOG_VALUE_MAX is cut and ends in "...",
 * fields that no longer fit are left out and the line says `cut=1`. Warnings and errors of one
 * event are limited to SM_LOG_BURST a second, the rest counted and said in its next line as
 * `missed`. Security:  values are escaped: octets outside printable ASCII are written \u00NN each,
 * so that no value can forge a line or steer a terminal; callers pass nothing secret. Standards:
 * RFC 3339 times, RFC 8259 for the JSON form.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

#define SM_LOG_LINE_MAX 2048 /* under PIPE_BUF, so that a write to a pipe is whole */
#define SM_LOG_VALUE_MAX 1024
#define SM_LOG_BURST 20

enum sm_log_level { SM_LOG_DEBUG, SM_LOG_INFO, SM_LOG_WARN, SM_LOG_ERROR };
enum sm_log_format { SM_LOG_KEY_VALUE, SM_LOG_JSON };

enum sm_log_kind {
    SM_LOG_K_END,
    SM_LOG_K_SLICE,
    SM_LOG_K_STR,
    SM_LOG_K_U64,
    SM_LOG_K_I64,
    SM_LOG_K_ERR
};

typedef struct sm_log_field {
    enum sm_log_kind kind;
    const char *key;
    union {
        sm_slice slice;
        const char *str;
        uint64_t u64;
        int64_t i64;
        sm_err err;
    } v;
} sm_log_field;

#define SM_KB(k, s) ((sm_log_field){.kind = SM_LOG_K_SLICE, .key = (k), .v.slice = (s)})
#define SM_KS(k, s) ((sm_log_field){.kind = SM_LOG_K_STR, .key = (k), .v.str = (s)})
#define SM_KU(k, n) ((sm_log_field){.kind = SM_LOG_K_U64, .key = (k), .v.u64 = (uint64_t)(n)})
#define SM_KI(k, n) ((sm_log_field){.kind = SM_LOG_K_I64, .key = (k), .v.i64 = (int64_t)(n)})
#define SM_KE(k, e) ((sm_log_field){.kind = SM_LOG_K_ERR, .key = (k), .v.err = (e)})
#define SM_KEND ((sm_log_field){.kind = SM_LOG_K_END})

/* Sets level, format and file descriptor; before threads start (or again at reload: fields are
 * atomics). */
void sm_log_configure(enum sm_log_level level, enum sm_log_format format, int fd);

bool sm_log_enabled(enum sm_log_level level);

/* Writes one line; `fields` ends with SM_KEND. */
void sm_log_write(enum sm_log_level level, const char *event, const sm_log_field *fields);

#define sm_log(level, event, ...)                                                \
    do {                                                                         \
        if (sm_log_enabled(level)) {                                             \
            sm_log_write((level), (event), (const sm_log_field[]){__VA_ARGS__}); \
        }                                                                        \
    } while (0)

#define SM_CORRELATION_ID_LEN 16 /* characters; lower-case hex of 8 random octets */
