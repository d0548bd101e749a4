/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the faulty module is told to do: the text of its control file, and the faults read from it.
 * A line is empty, a comment (#), a fault, or a word of its own:
 *
 *     FN CKR_NAME [n]              answer so, without forwarding
 *     FN late CKR_NAME [n]         forward, then answer so: the work is done, the answer lost
 *     FN delay MS [n]              first sleep
 *     FN hang [CKR_NAME] [n]       wait until a new control file has no `hang` for it, then
 *                                  forward, or answer so
 *     FN session-lost [n]          close the session in truth; CKR_SESSION_HANDLE_INVALID
 *     FN sessions-lost [n]         close all of the token's; CKR_SESSION_HANDLE_INVALID
 *     FN login-lost [n]            log out in truth; CKR_USER_NOT_LOGGED_IN
 *     C_Sign[@token] corrupt|short|long [n]
 *                                  a signature with a bit turned, an octet less or more
 *                                  (C_SignFinal too)
 *     removed[@token]              no token in the slot, sessions closed: CKR_DEVICE_REMOVED from
 *                                  sessions, CKR_TOKEN_NOT_PRESENT from the slot
 *     serial [count]               C_Initialize refuses threads (CKR_CANT_LOCK); two threads in
 *                                  the module at once abort it, or are counted
 *     counts                       write the counts when this is read
 *     clear                        forget the lines above
 *
 * FN is `function[@token]` or `*[@token]`.
 * `*` is every function that has a slot or a session; `token` is a label without spaces; `n` says
 * how many calls, all when absent. The first fault that fits a call is taken; delays before it add
 * up. CKR_NAME may be a number (0x80000001).
 *
 * Threads:   none.
 * Limits:    SM_FAULTS_MAX faults, SM_FAULTS_TEXT octets of text.
 * Security:  for tests alone.
 * Standards: PKCS#11 v2.40 5.1 (return values).
 */
#pragma once

#include "wrap.h"

#define SM_FAULTS_MAX 64
#define SM_FAULTS_TEXT 8192
#define SM_FAULTS_LABEL 32 /* a token's label, CK_TOKEN_INFO */

enum sm_fault_action {
    SM_FAULT_NONE,
    SM_FAULT_ANSWER,
    SM_FAULT_LATE,
    SM_FAULT_DELAY,
    SM_FAULT_HANG,
    SM_FAULT_SESSION_LOST,
    SM_FAULT_SESSIONS_LOST,
    SM_FAULT_LOGIN_LOST,
    SM_FAULT_CORRUPT,
    SM_FAULT_SHORT,
    SM_FAULT_LONG,
    SM_FAULT_REMOVED,
};

enum sm_fault_serial { SM_FAULT_PARALLEL, SM_FAULT_SERIAL_ABORT, SM_FAULT_SERIAL_COUNT };

struct sm_fault {
    enum sm_fault_action action;
    enum sm_wrap_fn fn; /* SM_WRAP_FN_COUNT: `*` */
    char token[SM_FAULTS_LABEL + 1];
    CK_RV rv;
    unsigned long ms;
    unsigned long left; /* calls to come; ULONG_MAX without end */
};

struct sm_faults {
    struct sm_fault at[SM_FAULTS_MAX];
    size_t n;
    enum sm_fault_serial serial;
    bool counts;
};

/* Reads `text`, which is NUL-terminated and is cut up. 0, or the number of the first line that
 * means nothing; then `out` is not written. */
unsigned sm_faults_parse(char *text, struct sm_faults *out);
