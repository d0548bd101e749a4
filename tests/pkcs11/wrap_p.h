/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the wrapping modules' common part share.
 *
 * Threads:   any.
 * Limits:    none.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "wrap.h"

/* The session table. `reserve` is false beyond the token's limit; then `record`, or `release` when
 * the session did not open. */
void sm_wrap_sessions_limit(unsigned long max);
bool sm_wrap_session_reserve(CK_SLOT_ID slot);
void sm_wrap_session_release(CK_SLOT_ID slot);
void sm_wrap_session_record(CK_SLOT_ID slot, CK_SESSION_HANDLE session);
void sm_wrap_session_forget(CK_SESSION_HANDLE session);
void sm_wrap_sessions_forget(const CK_SLOT_ID *slot); /* NULL: of every token */
/* Around what a call does in the wrapped module: no session is lost meanwhile. */
void sm_wrap_session_use(void);
void sm_wrap_session_done(void);
void sm_wrap_sessions_write(FILE *out);

/* The counts. */
void sm_wrap_count_enter(enum sm_wrap_fn fn);
void sm_wrap_count_leave(enum sm_wrap_fn fn, CK_RV rv);
