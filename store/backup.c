/* SPDX-License-Identifier: Apache-2.0 */
/* A copy while serving. It is made inside a private folder and moved to its place when it is whole:
 * nobody else can look into it meanwhile, and a failed copy leaves nothing at the place that was
 * named. */
#include "store/store_p.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define REMOVE_FDS 8

static sm_err refused(sm_diag *diag, const char *path, const char *what)
{
    return sm_diag_set(diag, SM_ERR(DISK), "backup", "%s: %s: %s", path, what, strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

/* Makes what `path`'s folder lists durable. */
static sm_err sync_parent(const char *path, sm_diag *diag)
{
    char parent[PATH_MAX];
    (void)snprintf(parent, sizeof(parent), "%s/..", path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0;
    sm_err err = done ? SM_NO_ERR : refused(diag, parent, "cannot be made durable");
    if (fd >= 0) {
        (void)close(fd);
    }
    return err;
}

static sm_err copy_and_move(sm_store *store, const char *made, const char *dir, sm_diag *diag)
{
    SM_TRY(store->ops->checkpoint(store->backend, made, diag));
    if (chmod(made, 0700) != 0) {
        return refused(diag, made, "cannot be made private");
    }
    /* rename would silently replace an empty folder that appeared meanwhile: harmless. */
    if (rename(made, dir) != 0) {
        return refused(diag, dir, "cannot be put in place");
    }
    return sync_parent(dir, diag);
}

sm_err sm_store_backup(sm_store *store, const char *dir, sm_diag *diag)
{
    char part[PATH_MAX];
    char made[PATH_MAX];
    if (sm_file_exists(dir)) {
        return sm_diag_set(diag, SM_ERR(EXISTS), "backup", "%s exists already: name a new folder",
                           dir);
    }
    int len = snprintf(part, sizeof(part), "%s.part-XXXXXX", dir);
    if (len < 0 || (size_t)len + sizeof("/db") > sizeof(made)) {
        return sm_diag_set(diag, SM_ERR(DISK), "backup", "the path is too long");
    }
    if (mkdtemp(part) == NULL) { /* mode 0700 */
        return refused(diag, part, "cannot be made");
    }
    (void)memcpy(made, part, (size_t)len);
    (void)memcpy(made + len, "/db", sizeof("/db"));
    sm_err err = copy_and_move(store, made, dir, diag);
    /* Empty by now, or what a failure left. */
    if (nftw(part, remove_one, REMOVE_FDS, FTW_DEPTH | FTW_PHYS) != 0 && sm_ok(err)) {
        err = refused(diag, part, "cannot be removed");
    }
    return err;
}
