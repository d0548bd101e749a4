/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of SoftHSM2 in a folder of their own. */
#pragma once

#include <stdbool.h>

#define SOFTHSM_MODULE "/usr/lib/softhsm/libsofthsm2.so"
#define SOFTHSM_PIN "471147"

/* Makes an empty folder for tokens and points SOFTHSM2_CONF to it. False: SoftHSM2 is not
 * installed. */
bool softhsm_begin(void);
/* Makes a token with SOFTHSM_PIN. */
void softhsm_token(const char *label);
/* A key pair by pkcs11-tool: type "EC:prime256v1", "rsa:2048", ...; extra: more arguments, or "".
 */
void softhsm_key(const char *token, const char *type, const char *label, const char *id,
                 const char *extra);
/* Copies a software key (PKCS#8 PEM file) into a token. */
void softhsm_import(const char *token, const char *pem_path, const char *label, const char *id);
const char *softhsm_dir(void);
void softhsm_end(void);
