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
static uint64_t needed_bytes(const struct rocks_db *d)
{
    uint64_t sum = 0;
    for (int i = 0; i < d->family_count && d->db != NULL; i++) {
        uint64_t n = 0;
        if (rocksdb_property_int_cf(d->db, d->handles[d->families[i]],
                                    "rocksdb.cur-size-all-mem-tables", &n) == 0) {
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

/* The gate is closed. */
static sm_err reopen(struct rocks *r, enum store_lane lane)
{
    sm_diag diag = {.reason = ""};
    sm_rocks_close_db(&r->dbs[lane]);
    sm_err err = lane == STORE_LANE_INDEX ? sm_rocks_open_index(r, &diag)
                                          : sm_rocks_open_db(r, lane, ROCKS_WRITE, &diag);
    if (sm_ok(err)) {
        return err;
    }
    sm_log(SM_LOG_ERROR, "store_reopen_failed", SM_KS("reason", diag.reason), SM_KEND);
    if (!sm_ok(sm_rocks_open_db(r, lane, ROCKS_READ_ONLY, NULL))) {
        sm_log(SM_LOG_ERROR, "store_unreadable", SM_KS("path", r->dbs[lane].path), SM_KEND);
    }
    return err;
}

sm_err sm_rocks_recover(void *backend, enum store_lane lane)
{
    struct rocks *r = backend;
    struct rocks_db *d = &r->dbs[lane];
    if (!d->failed) {
        return SM_NO_ERR;
    }
    if (!has_space(d->path, needed_bytes(d)) || !disk_takes(d->path)) {
        return SM_ERR(DISK);
    }
    sm_gate_close(&d->gate);
    sm_err err = reopen(r, lane);
    sm_gate_open(&d->gate);
    d->failed = !sm_ok(err);
    return err;
}

/* The index goes with its files, at once: deleting row by row would leave as many markers behind.
 */
sm_err sm_rocks_clear_index(void *backend)
{
    struct rocks *r = backend;
    struct rocks_db *d = &r->dbs[STORE_LANE_INDEX];
    sm_gate_close(&d->gate);
    d->failed = true; /* what it holds need not be flushed; and if this fails, recovery opens it */
    sm_rocks_close_db(d);
    sm_err err = sm_rocks_destroy_index(r);
    if (sm_ok(err)) {
        err = sm_rocks_open_index(r, NULL);
    }
    d->failed = !sm_ok(err);
    sm_gate_open(&d->gate);
    return err;
}
