/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schedule of signing anew: one pass after the other over an issuer's pre-signed answers, in the order
 * of their keys.
 *
 * A pass takes SM_OCSP_PASS_SHARE of the validity, so that each answer is looked at twice in its life. It is as
 * far along as its share of the time is over, measured by the rows of the pass before. An answer
 * is signed anew when it would have less than SM_OCSP_PASS_SLACK left at the next pass. So answers that were all
 * signed in one hour are spread over the whole pass after two of them, and a pass may be late by the slack before
 * one of them is stale.
 *
 * Threads:   no state.
 * Limits:    SM_OCSP_STEP_MAX.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "ocsp-cache/ocsp_record.h"

#define SM_OCSP_PASS_SHARE 45 /* percent of the validity */
#define SM_OCSP_PASS_SLACK 15
#define SM_OCSP_STEP_MIN 256   /* rows looked at in one step: full batches */
#define SM_OCSP_STEP_MAX 16384 /* 0.1 s of a core and 8 MB of memory */
#define SM_OCSP_STEP_S 60      /* between two steps, at the most */
#define SM_OCSP_PASS_KEY_LEN 9

struct sm_ocsp_pass {
    int64_t started_at; /* Unix seconds */
    int64_t length_s;
    uint64_t seen;                       /* rows that it has come by */
    uint64_t expected;                   /* rows of the one before */
    uint8_t cursor[SM_OCSP_ROW_KEY_MAX]; /* the row that it came by last */
    size_t cursor_len;                   /* 0: none */
    bool done;
    bool filled; /* each certificate that was issued before has an answer */
};

/* A new schedule: the first pass begins at once, to count. */
void sm_ocsp_pass_init(struct sm_ocsp_pass *pass, int64_t validity_s, int64_t now);
/* Follows a clock that was set back and a validity that was changed. To be called before the others. */
void sm_ocsp_pass_follow(struct sm_ocsp_pass *pass, int64_t validity_s, int64_t now);
/* When its next step is due. */
int64_t sm_ocsp_pass_due(const struct sm_ocsp_pass *pass);
/* How much later than it should be it is, in seconds; 0: on time. */
int64_t sm_ocsp_pass_lag(const struct sm_ocsp_pass *pass, int64_t now);
/* How many rows that step has. */
size_t sm_ocsp_pass_step(const struct sm_ocsp_pass *pass, bool behind);
/* The step begins: after the end of a pass the next one. */
void sm_ocsp_pass_begin(struct sm_ocsp_pass *pass, int64_t now);
/* It has come by `rows` more, the last of them `key` (empty: none); `end`: there are no more. */
void sm_ocsp_pass_advance(struct sm_ocsp_pass *pass, size_t rows, sm_slice key, bool end);
/* Whether an answer is to be signed anew now; who signed it is the caller's to look at. */
bool sm_ocsp_pass_wants(const struct sm_ocsp_said *said, int64_t validity_s, int64_t now);

/* Its row in the store. */
void sm_ocsp_pass_key(uint32_t ca_id, uint32_t generation, uint8_t out[SM_OCSP_PASS_KEY_LEN]);
/* Errors: NO_MEMORY. */
SM_FALLIBLE sm_ocsp_pass_pack(const struct sm_ocsp_pass *pass, sm_arena *arena, sm_slice *out);
/* Errors: CORRUPT (none of ours, or of a release that we do not know), NO_MEMORY. */
SM_FALLIBLE sm_ocsp_pass_unpack(sm_slice row, struct sm_ocsp_pass *out);
