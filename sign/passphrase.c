/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/passphrase.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static sm_err read_all(int fd, const char *path, sm_buf *out, sm_diag *diag)
{
    uint8_t text[SM_PASSPHRASE_MAX + 1]; /* one more, to see that there is more */
    size_t len = 0;
    ssize_t n = 1;
    while (n > 0 && len < sizeof(text)) {
        n = read(fd, text + len, sizeof(text) - len);
        len += n > 0 ? (size_t)n : 0;
        n = n < 0 && errno == EINTR ? 1 : n;
    }
    sm_err err = SM_NO_ERR;
    if (n < 0) {
        err = sm_diag_set(diag, SM_ERR(OS), "keys", "%s: %s", path, strerror(errno));
    } else if (len > SM_PASSPHRASE_MAX) {
        err = sm_diag_set(diag, SM_ERR(TOO_LARGE), "keys", "%s is longer than %d octets", path,
                          SM_PASSPHRASE_MAX);
    } else {
        sm_buf_put(out, sm_slice_of(text, len));
        err = sm_buf_err(out);
    }
    sm_wipe(text, sizeof(text));
    return err;
}

static sm_err from_file(const char *path, bool check_mode, sm_buf *out, sm_diag *diag)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return sm_diag_set(diag, errno == ENOENT ? SM_ERR(NOT_FOUND) : SM_ERR(OS), "keys", "%s: %s",
                           path, strerror(errno));
    }
    /* Of the open file: the path could lead elsewhere by now. */
    sm_err err = fstat(fd, &st) != 0
                     ? sm_diag_set(diag, SM_ERR(OS), "keys", "%s: %s", path, strerror(errno))
                     : SM_NO_ERR;
    if (sm_ok(err) && check_mode && (st.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
        err = sm_diag_set(diag, SM_ERR(INVALID), "keys.passphrase_file",
                          "others may read or change %s: chmod 600 it", path);
    }
    err = sm_ok(err) ? read_all(fd, path, out, diag) : err;
    (void)close(fd);
    return err;
}

static sm_err from_environment(const char *name, sm_buf *out, sm_diag *diag)
{
    char *value = getenv(name);
    if (value == NULL) {
        return sm_diag_set(diag, SM_ERR(NOT_FOUND), "keys.passphrase_env",
                           "the environment variable %s is not set", name);
    }
    sm_buf_put_str(out, value);
    sm_wipe(value, strlen(value)); /* what /proc/<pid>/environ shows */
    (void)unsetenv(name);
    return sm_ok(sm_buf_err(out))
               ? SM_NO_ERR
               : sm_diag_set(diag, sm_buf_err(out), "keys.passphrase_env",
                             "%s is longer than %d octets", name, SM_PASSPHRASE_MAX);
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
    int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof(path) || strchr(name, '/') != NULL) {
        return sm_diag_set(diag, SM_ERR(INVALID), "keys.passphrase_credential",
                           "a credential's name has no '/'");
    }
    return from_file(path, false, out, diag); /* systemd made its folder private */
}

/* One line end at the end is the editor's, not the passphrase's. */
static void drop_line_end(sm_buf *out)
{
    if (out->len > 0 && out->ptr[out->len - 1] == '\n') {
        sm_buf_truncate(out, out->len - 1);
        if (out->len > 0 && out->ptr[out->len - 1] == '\r') {
            sm_buf_truncate(out, out->len - 1);
        }
    }
}

sm_err sm_passphrase_read(const struct sm_keystore_config *config, sm_buf *out, sm_diag *diag)
{
    int sources = (config->passphrase_file != NULL) + (config->passphrase_env != NULL) +
                  (config->passphrase_credential != NULL);
    if (sources != 1) {
        return sm_diag_set(
            diag, SM_ERR(INVALID), "keys",
            "exactly one of passphrase_file, passphrase_env and passphrase_credential must be set");
    }
    if (config->passphrase_file != NULL) {
        SM_TRY(from_file(config->passphrase_file, true, out, diag));
    } else if (config->passphrase_env != NULL) {
        SM_TRY(from_environment(config->passphrase_env, out, diag));
    } else {
        SM_TRY(from_credential(config->passphrase_credential, out, diag));
    }
    drop_line_end(out);
    return out->len > 0 ? SM_NO_ERR
                        : sm_diag_set(diag, SM_ERR(INVALID), "keys", "the passphrase is empty");
}
