/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include "base/mem.h"
#include "base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_CHUNK 16384

static sm_err os_error(sm_diag *diag, sm_err err, const char *path, const char *verb)
{
    return sm_diag_set(diag, err, "file", "cannot %s %s: %s", verb, path, strerror(errno));
}

sm_err sm_file_read(const char *path, sm_buf *out, sm_diag *diag)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return os_error(diag, errno == ENOENT ? SM_ERR(NOT_FOUND) : SM_ERR(OS), path, "open");
    }
    sm_err err = SM_NO_ERR;
    uint8_t chunk[READ_CHUNK];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            err = os_error(diag, SM_ERR(OS), path, "read");
        }
        if (n <= 0) {
            break;
        }
        sm_buf_put(out, sm_slice_of(chunk, (size_t)n));
        err = sm_buf_err(out);
        if (!sm_ok(err)) {
            err = sm_diag_set(diag, err, "file", "%s is larger than %zu octets", path, out->cap);
            break;
        }
    }
    sm_wipe(chunk, sizeof(chunk));
    (void)close(fd);
    return err;
}

static bool write_all(int fd, sm_slice content)
{
    while (content.len > 0) {
        ssize_t n = write(fd, content.ptr, content.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        content = sm_slice_from(content, (size_t)n);
    }
    return true;
}

/* The rename is durable only when the folder is. */
static bool sync_folder_of(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)len, path);
    int fd = open(slash == NULL ? "." : (len == 0 ? "/" : folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool good = fsync(fd) == 0;
    (void)close(fd);
    return good;
}

sm_err sm_file_write_atomic(const char *path, sm_slice content, mode_t mode, sm_diag *diag)
{
    char temp[PATH_MAX];
    int n = snprintf(temp, sizeof(temp), "%s.%016llx", path, (unsigned long long)sm_rand_u64());
    if (n < 0 || (size_t)n >= sizeof(temp)) {
        return sm_diag_set(diag, SM_ERR(DISK), "file", "the path %.100s is too long", path);
    }
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        return os_error(diag, SM_ERR(DISK), path, "create");
    }
    bool good = write_all(fd, content) && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    good = good && rename(temp, path) == 0 && sync_folder_of(path);
    if (!good) {
        sm_err err = os_error(diag, SM_ERR(DISK), path, "write");
        (void)unlink(temp);
        return err;
    }
    return SM_NO_ERR;
}

sm_err sm_file_mkdirs(const char *path, mode_t mode, sm_diag *diag)
{
    char part[PATH_MAX];
    int n = snprintf(part, sizeof(part), "%s", path);
    if (n < 0 || (size_t)n >= sizeof(part)) {
        return sm_diag_set(diag, SM_ERR(OS), "file", "the path %.100s is too long", path);
    }
    for (char *at = part + 1;; at++) {
        if (*at != '/' && *at != '\0') {
            continue;
        }
        char kept = *at;
        *at = '\0';
        if (mkdir(part, mode) != 0 && errno != EEXIST) {
            return os_error(diag, SM_ERR(OS), path, "make");
        }
        *at = kept;
        if (kept == '\0') {
            return SM_NO_ERR;
        }
    }
}

bool sm_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}
