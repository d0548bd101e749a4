/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the public key parser: what makes a key weak.
 *
 * Threads:   values.
 * Limits:    moduli of 2048, 3072 or 4096 bits.
 * Security:  public values only: time depends on them.
 * Standards: BR 6.1.1.3 and 6.1.6, SP 800-89 5.3.3, CVE-2017-15361, RFC 8032 5.1.3 and 5.2.3.
 */
#pragma once

#include "base/slice.h"

/* Why an RSA modulus (256, 384 or 512 octets, the first one 0x80 or more) must not be certified;
 * NULL when nothing is known against it. */
const char *sm_rsa_weakness(sm_slice modulus);

/* The same for the 32 octets of an Ed25519 point and the 57 of an Ed448 point: not reduced, or of
 * small order. */
const char *sm_edwards_weakness(sm_slice point);
