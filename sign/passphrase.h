/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a passphrase comes from: a file, an environment variable, a systemd credential. Never argv.
 *
 * Threads:   any; the environment is read at start only.
 * Limits:    SM_PASSPHRASE_MAX octets.
 * Security:  the buffer is secret (wiped); a file that others may read is refused; the variable is
 *            unset after it was read.
 * Standards: systemd.exec(5), Credentials.
 */
#pragma once

#include "sign/key.h"

#define SM_PASSPHRASE_MAX 1024

/* Appends the passphrase without one trailing line end. Errors: NOT_FOUND, INVALID (not one source,
 * empty, readable by others), TOO_LARGE, NO_MEMORY, OS. */
SM_FALLIBLE sm_passphrase_read(const struct sm_keystore_config *config, sm_buf *out, sm_diag *diag);
