/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common part of the PKCS#11 modules that the tests bring: each loads another module (SoftHSM2
 * unless told otherwise), forwards every function to it, keeps account of sessions and calls, and
 * asks the module that includes it before each call.
 *
 * Settings come from the environment, or, before that, from the lines NAME=value of the file
 * `<path of the module as loaded>.env`, so that copies of one module in one process can differ.
 * Read at C_GetFunctionList (the first) and at every C_Initialize:
 *     SM_P11_WRAPPED       the wrapped module; the default is SM_WRAP_DEFAULT
 *     SM_P11_MAX_SESSIONS  sessions of one token; CKR_SESSION_COUNT beyond; 0, the default: no
 * limit SM_P11_COUNTS        where to write the counts, at C_Finalize and by sm_wrap_counts_write
 * The wrapped module is loaded from a private copy in memory: two wrapping modules in one process,
 * or one beside SoftHSM2 itself, have a SoftHSM2 each, as two vendors' modules would.
 *
 * Threads:   any, as PKCS#11 says; sm_wrap_table is filled before the first answer.
 * Limits:    SM_WRAP_MAX_SESSIONS sessions in all.
 * Security:  for tests alone: whoever sets the environment or writes the file has the module.
 * Standards: PKCS#11 v2.40.
 */
#pragma once

#include "functions.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define SM_WRAP_DEFAULT "/usr/lib/softhsm/libsofthsm2.so"
#define SM_WRAP_MAX_SESSIONS 4096
#define SM_WRAP_SETTING_LEN 512

#define SM_WRAP_FN(name, params, args) FN_##name,
enum sm_wrap_fn {
    FN_C_Initialize,
    FN_C_Finalize,
    SM_WRAP_FUNCTIONS(SM_WRAP_FN, SM_WRAP_FN, SM_WRAP_FN) SM_WRAP_FN_COUNT
};
#undef SM_WRAP_FN

/* One call on its way through. */
struct sm_wrap_call {
    enum sm_wrap_fn fn;
    bool has_slot;
    bool has_session;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
};

/* The wrapped module's functions, and ours. The including module may put its own functions into
 * ours in sm_wrap_on_load; they begin with sm_wrap_enter and end with sm_wrap_leave. */
extern CK_FUNCTION_LIST *sm_wrap_real;
extern CK_FUNCTION_LIST sm_wrap_table;

/* The name of a function; the function of a name, or SM_WRAP_FN_COUNT. */
const char *sm_wrap_name(enum sm_wrap_fn fn);
enum sm_wrap_fn sm_wrap_find(const char *name);

/* A setting's value, copied to `out` of SM_WRAP_SETTING_LEN octets; false when it is not set. */
bool sm_wrap_setting(const char *name, char out[SM_WRAP_SETTING_LEN]);
unsigned long sm_wrap_setting_number(const char *name, unsigned long otherwise);

/* Counts the call, then asks sm_wrap_on_call: CKR_OK means go on to the wrapped module. Every enter
 * has its leave, which gives back `rv`. */
CK_RV sm_wrap_enter(const struct sm_wrap_call *call);
CK_RV sm_wrap_leave(const struct sm_wrap_call *call, CK_RV rv);

/* The token of a session, a lost one too; the tokens that have sessions, at most `max`, in `out`.
 */
bool sm_wrap_slot_of(CK_SESSION_HANDLE session, CK_SLOT_ID *slot);
size_t sm_wrap_slots(CK_SLOT_ID *out, size_t max);
/* Closes, or logs out, behind the caller's back, in the wrapped module too, once no call is inside
 * it: SoftHSM2 does not live through the loss of a session that it works on. Not between enter and
 * leave. */
void sm_wrap_lose_session(CK_SESSION_HANDLE session);
void sm_wrap_lose_sessions(CK_SLOT_ID slot);
void sm_wrap_lose_login(CK_SESSION_HANDLE session);

/* What the including module defines. `on_initialize` may refuse; `on_call` may answer in the
 * wrapped module's place; `on_counts` adds its lines to the counts. */
void sm_wrap_on_load(void);
CK_RV sm_wrap_on_initialize(const CK_C_INITIALIZE_ARGS *args);
CK_RV sm_wrap_on_call(const struct sm_wrap_call *call);
CK_RV sm_wrap_on_return(const struct sm_wrap_call *call, CK_RV rv);
void sm_wrap_on_counts(FILE *out);

/* Exported, for programs that have loaded the module: writes the counts now. */
__attribute__((visibility("default"))) void sm_wrap_counts_write(void);
