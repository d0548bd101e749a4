/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SoftHSM2 tokens for C tests: a temporary folder of its own, tokens and keys by the distribution's
 * own tools (softhsm.sh does the work), and the paths of the modules that the tests bring.
 *
 * sm_softhsm_init sets SOFTHSM2_CONF for this process and its children, so it comes before the
 * first C_Initialize of a SoftHSM2.
 *
 * Threads:   one, before others are started: it sets the environment.
 * Limits:    SM_SOFTHSM_PATH octets of a path.
 * Security:  PINs stand in command lines: for tests alone.
 * Standards: none.
 */
#pragma once

#include <stdbool.h>

#define SM_SOFTHSM_PATH 128

struct sm_softhsm {
    char dir[SM_SOFTHSM_PATH];
};

/* Why there is no SoftHSM2 here, printed by softhsm.sh to standard output; true when there is. */
bool sm_softhsm_present(void);

/* Each false after saying why on standard error. Types: p256, p384, p521, rsa2048, rsa3072,
 * rsa4096, ed25519. `id` is hexadecimal. `file` is a PKCS#8 private key in PEM. */
bool sm_softhsm_init(struct sm_softhsm *hsm);
bool sm_softhsm_token(const struct sm_softhsm *hsm, const char *label, const char *pin);
bool sm_softhsm_key(const struct sm_softhsm *hsm, const char *token, const char *pin,
                    const char *type, const char *label, const char *id);
/* With options of pkcs11-tool for it, two at most: "--sensitive", "--always-auth" or NULL. */
bool sm_softhsm_key_with(const struct sm_softhsm *hsm, const char *token, const char *pin,
                         const char *type, const char *label, const char *id, const char *option,
                         const char *another);
bool sm_softhsm_import(const struct sm_softhsm *hsm, const char *token, const char *pin,
                       const char *file, const char *label, const char *id);
/* The same with an option of pkcs11-tool: "--always-auth" or NULL. */
bool sm_softhsm_write(const struct sm_softhsm *hsm, const char *token, const char *pin,
                      const char *file, const char *label, const char *id, const char *option);
void sm_softhsm_deinit(struct sm_softhsm *hsm);

/* SoftHSM2 itself, and the modules that wrap it: see slow_module.c and faulty_module.c. */
const char *sm_softhsm_module(void);
const char *sm_softhsm_slow_module(void);
const char *sm_softhsm_faulty_module(void);
