/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small PKCS#11 client for tests of modules: a fresh copy of a module with settings of its own, a
 * session, a key, a signature.
 *
 * Threads:   a client is loaded and unloaded by one; sessions may be used by several.
 * Limits:    SM_P11_CLIENT_SIG octets of a signature.
 * Security:  none: for tests alone.
 * Standards: PKCS#11 v2.40.
 */
#pragma once

#include "tests/pkcs11/softhsm.h"

#include <p11-kit/pkcs11.h>
#include <stddef.h>

#define SM_P11_CLIENT_SIG 1024

struct sm_p11_client {
    CK_FUNCTION_LIST *f;
    char path[SM_SOFTHSM_PATH + 64];    /* of the copy */
    char control[SM_SOFTHSM_PATH + 80]; /* its control file: SM_P11_CONTROL */
    char counts[SM_SOFTHSM_PATH + 80];  /* its counts: SM_P11_COUNTS */
    void (*counts_write)(void);
};

/* Copies `module` into the tokens' folder with `settings` (lines NAME=value), loads it, and does
 * not initialise it. False after saying why. */
bool sm_p11_client_load(struct sm_p11_client *c, const struct sm_softhsm *hsm, const char *module,
                        const char *settings);
/* C_Finalize if needed, and removes the copy's files; the library stays loaded. */
void sm_p11_client_unload(struct sm_p11_client *c);

/* Replaces the control file's text. */
bool sm_p11_client_control(const struct sm_p11_client *c, const char *text);

/* A number of the counts: the value after `field=` in the line that begins with `line`; 0 when
 * there is none. Writes the counts first. */
unsigned long sm_p11_client_count(const struct sm_p11_client *c, const char *line,
                                  const char *field);

/* The first token with this label: CKR_TOKEN_NOT_PRESENT when there is none. */
CK_RV sm_p11_client_slot(const struct sm_p11_client *c, const char *label, CK_SLOT_ID *slot);
/* A session of it, logged in with `pin` unless the token already is. */
CK_RV sm_p11_client_open(const struct sm_p11_client *c, CK_SLOT_ID slot, const char *pin,
                         CK_SESSION_HANDLE *session);
CK_RV sm_p11_client_find(const struct sm_p11_client *c, CK_SESSION_HANDLE session,
                         CK_OBJECT_CLASS class, const char *label, CK_OBJECT_HANDLE *key);
/* C_SignInit and C_Sign of 32 octets; `len` gets the signature's length. */
CK_RV sm_p11_client_sign(const struct sm_p11_client *c, CK_SESSION_HANDLE session,
                         CK_MECHANISM_TYPE mechanism, CK_OBJECT_HANDLE key, const CK_BYTE data[32],
                         CK_BYTE sig[SM_P11_CLIENT_SIG], CK_ULONG *len);
CK_RV sm_p11_client_verify(const struct sm_p11_client *c, CK_SESSION_HANDLE session,
                           CK_MECHANISM_TYPE mechanism, CK_OBJECT_HANDLE key,
                           const CK_BYTE data[32], const CK_BYTE *sig, CK_ULONG len);
