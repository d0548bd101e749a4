/* SPDX-License-Identifier: Apache-2.0 */
/* After a failed write RocksDB may refuse every further one, and what it has of the failed batch in
 * its write-ahead log is not known. The C interface cannot resume it, so it is closed and opened
 * again in place: the log is then read from the disk and says what is there. As long as the disk
 * refuses, the open database goes on serving reads. */
#include "store/rocksdb_p.h"

#include "base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PROBE_BLOCK ((size_t)64 * 1024)
#define PROBE_BLOCKS 16 /* 1 MiB: more than a full disk gives by chance */

static bool write_probe(int fd)
{
    static const uint8_t zeros[PROBE_BLOCK];
    for (int i = 0; i < PROBE_BLOCKS; i++) {
        if (write(fd, zeros, sizeof(zeros)) != (ssize_t)sizeof(zeros)) {
            return false;
        }
    }
    return fsync(fd) == 0;
}

/* Whether a file can be written and fsynced where the database lives. */
static bool disk_takes(const char *dir)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s/probe", dir);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        return false;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    bool taken = write_probe(fd);
    (void)close(fd);
    (void)unlink(path);
    return taken;
}

/* Opening writes what the write-ahead log holds into tables. */
static uint64_t needed_bytes(struct rocks *r)
{
    uint64_t sum = 0;
    for (int i = 0; i < SM_FAMILY_COUNT && r->db != NULL; i++) {
        uint64_t n = 0;
        if (r->families[i] != NULL &&
            rocksdb_property_int_cf(r->db, r->families[i], "rocksdb.cur-size-all-mem-tables", &n) ==
                0) {
            sum += n;
        }
    }
    return sum;
}

static bool has_space(const char *dir, uint64_t needed)
{
    struct statvfs fs;
    return statvfs(dir, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize >= needed;
}

static sm_err reopen(struct rocks *r)
{
    sm_diag diag = {.reason = ""};
    sm_rocks_close_db(r);
    /* Rows that were only in memory are gone: a batch that builds on them must not follow. */
    r->batches[STORE_LANE_INDEX].broken = true;
    sm_err err = sm_rocks_open_db(r, ROCKS_WRITE, &diag);
    if (sm_ok(err)) {
        return err;
    }
    sm_log(SM_LOG_ERROR, "store_reopen_failed", SM_KS("reason", diag.reason), SM_KEND);
    if (!sm_ok(sm_rocks_open_db(r, ROCKS_READ_ONLY, NULL))) {
        sm_log(SM_LOG_ERROR, "store_unreadable", SM_KS("dir", r->dir), SM_KEND);
    }
    return err;
}

sm_err sm_rocks_recover(void *backend)
{
    struct rocks *r = backend;
    sm_gate_enter(&r->gate);
    uint64_t needed = needed_bytes(r);
    sm_gate_leave(&r->gate);
    if (!has_space(r->dir, needed) || !disk_takes(r->dir)) {
        return SM_ERR(DISK);
    }
    sm_gate_close(&r->gate);
    sm_err err = reopen(r);
    sm_gate_open(&r->gate);
    return err;
}

/* The family goes with its files, at once: deleting row by row would leave as many markers behind.
 */
sm_err sm_rocks_clear_index(void *backend)
{
    struct rocks *r = backend;
    rocksdb_column_family_handle_t **index = &r->families[SM_FAMILY_INDEX];
    char *message = NULL;
    sm_gate_close(&r->gate);
    bool usable = r->db != NULL && !r->read_only;
    if (usable && *index != NULL) {
        rocksdb_drop_column_family(r->db, *index, &message);
        if (message == NULL) {
            rocksdb_column_family_handle_destroy(*index);
            *index = NULL;
        }
    }
    if (usable && message == NULL) {
        *index = rocksdb_create_column_family(r->db, r->family_options[SM_FAMILY_INDEX],
                                              sm_rocks_family_name(SM_FAMILY_INDEX), &message);
        *index = message == NULL ? *index : NULL;
    }
    sm_gate_open(&r->gate);
    if (!usable) {
        return SM_ERR(DISK);
    }
    return message == NULL ? SM_NO_ERR : sm_rocks_error(message, "clear_index");
}
