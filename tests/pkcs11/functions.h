/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of PKCS#11 v2.40 as a list for the preprocessor, so that a wrapping module forwards
 * every one of them: G(name, parameters, arguments) for those of the whole module, L(...) for those
 * whose first parameter is `slot`, S(...) for those whose first parameter is `session`.
 *
 * Threads:   none.
 * Limits:    v2.40; C_Initialize, C_Finalize and C_GetFunctionList are written by hand.
 * Security:  none.
 * Standards: PKCS#11 v2.40 5.4 to 5.16.
 */
#pragma once

#include <p11-kit/pkcs11.h>

/* clang-format off */
#define SM_WRAP_OBJECTS(S)                                                                         \
    S(C_CreateObject, (CK_SESSION_HANDLE session, CK_ATTRIBUTE *t, CK_ULONG n,                     \
        CK_OBJECT_HANDLE *object), (session, t, n, object))                                        \
    S(C_CopyObject, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE from, CK_ATTRIBUTE *t,            \
        CK_ULONG n, CK_OBJECT_HANDLE *object), (session, from, t, n, object))                      \
    S(C_DestroyObject, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object), (session, object))    \
    S(C_GetObjectSize, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG *size),       \
        (session, object, size))                                                                   \
    S(C_GetAttributeValue, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *t,   \
        CK_ULONG n), (session, object, t, n))                                                      \
    S(C_SetAttributeValue, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *t,   \
        CK_ULONG n), (session, object, t, n))                                                      \
    S(C_FindObjectsInit, (CK_SESSION_HANDLE session, CK_ATTRIBUTE *t, CK_ULONG n),                 \
        (session, t, n))                                                                           \
    S(C_FindObjects, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG max,          \
        CK_ULONG *n), (session, objects, max, n))                                                  \
    S(C_FindObjectsFinal, (CK_SESSION_HANDLE session), (session))

#define SM_WRAP_INIT(S, name)                                                                      \
    S(name, (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key),            \
        (session, mechanism, key))
#define SM_WRAP_IN(S, name)                                                                        \
    S(name, (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len), (session, in, in_len))
#define SM_WRAP_OUT(S, name)                                                                       \
    S(name, (CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG *out_len), (session, out, out_len))
#define SM_WRAP_IN_OUT(S, name)                                                                    \
    S(name, (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,                \
        CK_ULONG *out_len), (session, in, in_len, out, out_len))

#define SM_WRAP_CRYPTO(S)                                                                          \
    SM_WRAP_INIT(S, C_EncryptInit) SM_WRAP_IN_OUT(S, C_Encrypt)                                    \
    SM_WRAP_IN_OUT(S, C_EncryptUpdate) SM_WRAP_OUT(S, C_EncryptFinal)                              \
    SM_WRAP_INIT(S, C_DecryptInit) SM_WRAP_IN_OUT(S, C_Decrypt)                                    \
    SM_WRAP_IN_OUT(S, C_DecryptUpdate) SM_WRAP_OUT(S, C_DecryptFinal)                              \
    S(C_DigestInit, (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism), (session, mechanism))    \
    SM_WRAP_IN_OUT(S, C_Digest) SM_WRAP_IN(S, C_DigestUpdate)                                      \
    S(C_DigestKey, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key), (session, key))              \
    SM_WRAP_OUT(S, C_DigestFinal)                                                                  \
    SM_WRAP_INIT(S, C_SignInit) SM_WRAP_IN_OUT(S, C_Sign) SM_WRAP_IN(S, C_SignUpdate)              \
    SM_WRAP_OUT(S, C_SignFinal) SM_WRAP_INIT(S, C_SignRecoverInit)                                 \
    SM_WRAP_IN_OUT(S, C_SignRecover) SM_WRAP_INIT(S, C_VerifyInit)                                 \
    S(C_Verify, (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *sig,            \
        CK_ULONG sig_len), (session, in, in_len, sig, sig_len))                                    \
    SM_WRAP_IN(S, C_VerifyUpdate) SM_WRAP_IN(S, C_VerifyFinal)                                     \
    SM_WRAP_INIT(S, C_VerifyRecoverInit) SM_WRAP_IN_OUT(S, C_VerifyRecover)                        \
    SM_WRAP_IN_OUT(S, C_DigestEncryptUpdate) SM_WRAP_IN_OUT(S, C_DecryptDigestUpdate)              \
    SM_WRAP_IN_OUT(S, C_SignEncryptUpdate) SM_WRAP_IN_OUT(S, C_DecryptVerifyUpdate)

#define SM_WRAP_KEYS(S)                                                                            \
    S(C_GenerateKey, (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *t,         \
        CK_ULONG n, CK_OBJECT_HANDLE *key), (session, mechanism, t, n, key))                       \
    S(C_GenerateKeyPair, (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *pub_t, \
        CK_ULONG pub_n, CK_ATTRIBUTE *priv_t, CK_ULONG priv_n, CK_OBJECT_HANDLE *pub,              \
        CK_OBJECT_HANDLE *priv), (session, mechanism, pub_t, pub_n, priv_t, priv_n, pub, priv))    \
    S(C_WrapKey, (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE by,         \
        CK_OBJECT_HANDLE key, CK_BYTE *out, CK_ULONG *out_len),                                    \
        (session, mechanism, by, key, out, out_len))                                               \
    S(C_UnwrapKey, (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE by,       \
        CK_BYTE *in, CK_ULONG in_len, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *key),         \
        (session, mechanism, by, in, in_len, t, n, key))                                           \
    S(C_DeriveKey, (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE base,     \
        CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *key), (session, mechanism, base, t, n, key))\
    SM_WRAP_IN(S, C_SeedRandom) SM_WRAP_IN(S, C_GenerateRandom)                                    \
    S(C_GetFunctionStatus, (CK_SESSION_HANDLE session), (session))                                 \
    S(C_CancelFunction, (CK_SESSION_HANDLE session), (session))

#define SM_WRAP_SESSIONS(S)                                                                        \
    SM_WRAP_IN(S, C_InitPIN)                                                                       \
    S(C_SetPIN, (CK_SESSION_HANDLE session, CK_BYTE *old, CK_ULONG old_len, CK_BYTE *pin,          \
        CK_ULONG pin_len), (session, old, old_len, pin, pin_len))                                  \
    S(C_CloseSession, (CK_SESSION_HANDLE session), (session))                                      \
    S(C_GetSessionInfo, (CK_SESSION_HANDLE session, CK_SESSION_INFO *info), (session, info))       \
    SM_WRAP_OUT(S, C_GetOperationState)                                                            \
    S(C_SetOperationState, (CK_SESSION_HANDLE session, CK_BYTE *state, CK_ULONG len,               \
        CK_OBJECT_HANDLE enc, CK_OBJECT_HANDLE auth), (session, state, len, enc, auth))            \
    S(C_Login, (CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG pin_len),     \
        (session, user, pin, pin_len))                                                             \
    S(C_Logout, (CK_SESSION_HANDLE session), (session))

#define SM_WRAP_SLOTS(L)                                                                           \
    L(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO *info), (slot, info))                          \
    L(C_GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO *info), (slot, info))                        \
    L(C_GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *n), (slot, list, n))\
    L(C_GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info),      \
        (slot, type, info))                                                                        \
    L(C_InitToken, (CK_SLOT_ID slot, CK_BYTE *pin, CK_ULONG len, CK_BYTE *label),                  \
        (slot, pin, len, label))                                                                   \
    L(C_OpenSession, (CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,                \
        CK_SESSION_HANDLE *session), (slot, flags, app, notify, session))                          \
    L(C_CloseAllSessions, (CK_SLOT_ID slot), (slot))

#define SM_WRAP_FUNCTIONS(G, L, S)                                                                 \
    G(C_GetInfo, (CK_INFO *info), (info))                                                          \
    G(C_GetSlotList, (CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *n), (present, list, n))        \
    G(C_WaitForSlotEvent, (CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved),                      \
        (flags, slot, reserved))                                                                   \
    SM_WRAP_SLOTS(L)                                                                               \
    SM_WRAP_SESSIONS(S)                                                                            \
    SM_WRAP_OBJECTS(S)                                                                             \
    SM_WRAP_CRYPTO(S)                                                                              \
    SM_WRAP_KEYS(S)
/* clang-format on */
