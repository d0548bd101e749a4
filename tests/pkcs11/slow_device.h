/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device of the slow module: what an HSM has beyond its driver, on a processor of its own.
 *
 * One thread a place, all on the device's processor. The driver's side of a signature is what it is with an HSM: the
 * request goes over, the caller sleeps until it is answered. P-256 keys that the wrapped module lets out are held by
 * the device, which signs with OpenSSL; others it leaves to the wrapped module, on its own threads all the same.
 *
 * Threads:   any; the device's own.
 * Limits:    DEVICE_PLACES_MAX at once; DEVICE_KEYS_MAX keys; SM_WRAP_MAX_SESSIONS sessions.
 * Security:  for tests alone: keys lie in memory.
 * Standards: PKCS#11 v2.40 5.11.
 */
#pragma once

#include "wrap.h"

#define DEVICE_PLACES_MAX 256
#define DEVICE_KEYS_MAX 64

/* Starts it, once. */
void sm_device_start(unsigned long cpu, unsigned long places, unsigned long latency_us);

/* C_SignInit: the driver keeps what was said until C_Sign. */
CK_RV sm_device_sign_init(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism,
                          CK_OBJECT_HANDLE key);
/* C_Sign: blocks until the device answers, the latency after it began at the earliest. */
CK_RV sm_device_sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *sig,
                     CK_ULONG *sig_len);
