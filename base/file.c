/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include "base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_CHUNK 16384
#define TEMP_TRIES 8 /* names are random: a second try is already a wonder */

static sm_err os_error(sm_diag *diag, sm_err err, const char *path, const char *verb)
{
    char shown[160];
    int number = errno;
    return sm_diag_set(diag, err, "file", "cannot %s %s: %s", verb,
                       sm_diag_escape(sm_slice_str(path), shown, sizeof(shown)), strerror(number));
}

static sm_err read_all(int fd, const char *path, sm_buf *out, sm_diag *diag)
{
    for (;;) {
        /* At the cap one octet more must be asked for, to tell a file that fits from one that does
         * not. */
        uint8_t over;
        size_t want = out->room - out->len;
        if (want == 0) {
            size_t left = out->cap - out->len;
            want = left < READ_CHUNK ? left : READ_CHUNK;
        }
        uint8_t *to = want == 0 ? &over : sm_buf_reserve(out, want);
        if (to == NULL) {
            return sm_diag_set(diag, sm_buf_err(out), "file", "no memory to read the file");
        }
        ssize_t n = read(fd, to, want == 0 ? 1 : want);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return os_error(diag, SM_ERR(OS), path, "read");
        }
        if (n == 0) {
            return SM_NO_ERR;
        }
        if (want == 0) {
            errno = EFBIG;
            return os_error(diag, SM_ERR(TOO_LARGE), path, "read");
        }
        sm_buf_commit(out, (size_t)n);
    }
}

sm_err sm_file_read(const char *path, sm_buf *out, sm_diag *diag)
{
    SM_TRY(sm_buf_err(out));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return os_error(diag, errno == ENOENT ? SM_ERR(NOT_FOUND) : SM_ERR(OS), path, "open");
    }
    size_t before = out->len;
    sm_err err = read_all(fd, path, out, diag);
    if (!sm_ok(err)) {
        sm_buf_truncate(out, before);
    }
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
    const char *name = slash == NULL ? "." : (len == 0 ? "/" : folder);
    int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool good = fsync(fd) == 0;
    int kept = errno;
    (void)close(fd);
    errno = kept;
    return good;
}

/* Creates a file beside `path` that only its owner may read; writes its name to `temp`. -1 with
 * errno. */
static int create_beside(const char *path, char temp[PATH_MAX])
{
    for (int i = 0; i < TEMP_TRIES; i++) {
        int n = snprintf(temp, PATH_MAX, "%s.%016llx.tmp", path, (unsigned long long)sm_rand_u64());
        if (n < 0 || n >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
    return -1;
}

sm_err sm_file_begin(const char *path, struct sm_file *out, sm_diag *diag)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return os_error(diag, SM_ERR(DISK), path, "create");
    }
    out->fd = create_beside(path, out->temp);
    if (out->fd < 0) {
        return os_error(diag, SM_ERR(DISK), path, "create");
    }
    (void)snprintf(out->path, sizeof(out->path), "%s", path); /* shorter than temp, which fit */
    return SM_NO_ERR;
}

void sm_file_discard(struct sm_file *file)
{
    if (file->fd >= 0) {
        (void)close(file->fd);
        (void)unlink(file->temp);
        file->fd = -1;
    }
}

sm_err sm_file_commit(struct sm_file *file, sm_slice content, mode_t mode, sm_diag *diag)
{
    bool good = write_all(file->fd, content) && fchmod(file->fd, mode) == 0 && fsync(file->fd) == 0;
    int kept = errno;
    if (close(file->fd) != 0 && good) {
        good = false;
        kept = errno;
    }
    file->fd = -1;
    errno = kept;
    if (good && rename(file->temp, file->path) == 0) {
        return sync_folder_of(file->path)
                   ? SM_NO_ERR
                   : os_error(diag, SM_ERR(DISK), file->path, "sync the folder of");
    }
    sm_err err = os_error(diag, SM_ERR(DISK), file->path, "write");
    (void)unlink(file->temp);
    return err;
}

sm_err sm_file_write_atomic(const char *path, sm_slice content, mode_t mode, sm_diag *diag)
{
    struct sm_file file;
    SM_TRY(sm_file_begin(path, &file, diag));
    return sm_file_commit(&file, content, mode, diag);
}

/* mkdir that is content with a folder that is there. */
static bool make_folder(const char *path, mode_t mode)
{
    struct stat st;
    if (mkdir(path, mode) == 0) {
        return true;
    }
    if (errno != EEXIST || stat(path, &st) != 0) {
        return false;
    }
    errno = ENOTDIR;
    return S_ISDIR(st.st_mode);
}

sm_err sm_file_mkdirs(const char *path, mode_t mode, sm_diag *diag)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(part)) {
        errno = len == 0 ? ENOENT : ENAMETOOLONG;
        return os_error(diag, SM_ERR(OS), path, "make");
    }
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        part[i] = '\0';
        if (!make_folder(part, mode)) {
            return os_error(diag, SM_ERR(OS), path, "make");
        }
        part[i] = path[i];
    }
    return SM_NO_ERR;
}

bool sm_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}
