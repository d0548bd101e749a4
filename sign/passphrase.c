/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/passphrase.h"

#include "base/file.h"
#include "base/mem.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static sm_err from_file(const char *path, bool check_mode, sm_buf *out, sm_diag *diag)
{
    struct stat st;
    if (check_mode && stat(path, &st) == 0 && (st.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
        return sm_diag_set(diag, SM_ERR(INVALID), "keys.passphrase_file",
                           "others may read or change %s: chmod 600 it", path);
    }
    return sm_file_read(path, out, diag);
}

static sm_err from_environment(const char *name, sm_buf *out, sm_diag *diag)
{
    char *value = getenv(name);
    if (value == NULL) {
        return sm_diag_set(diag, SM_ERR(NOT_FOUND), "keys.passphrase_env",
                           "the environment variable %s is not set", name);
    }
    sm_buf_put_str(out, value);
    sm_wipe(value, strlen(value));
    (void)unsetenv(name);
    return sm_buf_err(out);
}

static sm_err from_credential(const char *name, sm_buf *out, sm_diag *diag)
{
    char path[PATH_MAX];
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    if (dir == NULL) {
        return sm_diag_set(diag, SM_ERR(NOT_FOUND), "keys.passphrase_credential",
                           "systemd gave no credentials: set LoadCredential=%s:... in the unit",
                           name);
    }
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return from_file(path, false, out, diag); /* systemd made its folder private */
}

sm_err sm_passphrase_read(const struct sm_keystore_config *config, sm_buf *out, sm_diag *diag)
{
    sm_err err = SM_ERR(NOT_FOUND);
    if (config->passphrase_file != NULL) {
        err = from_file(config->passphrase_file, true, out, diag);
    } else if (config->passphrase_env != NULL) {
        err = from_environment(config->passphrase_env, out, diag);
    } else if (config->passphrase_credential != NULL) {
        err = from_credential(config->passphrase_credential, out, diag);
    }
    if (!sm_ok(err)) {
        return sm_diag_set(
            diag, err, "keys",
            "one of passphrase_file, passphrase_env and passphrase_credential must be set");
    }
    while (out->len > 0 && (out->ptr[out->len - 1] == '\n' || out->ptr[out->len - 1] == '\r')) {
        out->len--;
    }
    return out->len > 0 ? SM_NO_ERR
                        : sm_diag_set(diag, SM_ERR(INVALID), "keys", "the passphrase is empty");
}
