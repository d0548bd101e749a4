/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that refuses: full, over a file size limit, or failing its fsync. What was not written is
 * not seen, reads go on, and the store goes on by itself once the disk does. */
#include "tests/store/store_test.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define VALUE_BYTES ((size_t)64 * 1024)
#define DISK_MIB 24
#define BALLAST_MIB 8
#define RECOVERY_S 30

/* ---- an fsync that fails on demand ---- */

static _Atomic int failing_syncs;

static bool is_log(int fd)
{
    char link[64];
    char path[PATH_MAX];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path));
    return n > 4 && memcmp(path + n - 4, ".log", 4) == 0;
}

int fdatasync(int fd)
{
    if (atomic_load(&failing_syncs) > 0 && is_log(fd)) {
        atomic_fetch_sub(&failing_syncs, 1);
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* ---- the fixture ---- */

struct fixture {
    char root[256];
    char dir[300];
    sm_store *store;
    uint8_t *value;
    unsigned buffer_mib;
    uint32_t written; /* records that were answered with success */
};

static sm_err index_record(void *ctx, sm_store *store, uint64_t sequence, sm_slice record,
                           sm_store_emit emit, void *emitter)
{
    (void)ctx;
    (void)store;
    (void)sequence;
    emit(emitter, SM_PUT, record, SM_LIT("row"));
    return SM_NO_ERR;
}

static void open_store(struct fixture *f)
{
    struct sm_store_config config = {
        .dir = f->dir, .create = true, .write_buffer_mib = f->buffer_mib, .indexer = index_record};
    sm_diag diag = {.reason = ""};
    sm_err err = sm_store_open(&config, &f->store, &diag);
    if (!sm_ok(err)) {
        print_error("%s\n", diag.reason);
    }
    assert_sm_ok(err);
}

static int setup(void **state)
{
    struct fixture *f = sm_calloc(1, sizeof(*f));
    f->buffer_mib = 2;
    f->value = sm_malloc(VALUE_BYTES);
    uint32_t x = 7;
    for (size_t i = 0; i < VALUE_BYTES; i++) {
        x = x * 1664525U + 1013904223U;
        f->value[i] = (uint8_t)(x >> 24); /* does not compress */
    }
    if (sm_test_dir(f->root, sizeof(f->root)) == NULL) {
        return -1;
    }
    (void)snprintf(f->dir, sizeof(f->dir), "%s/db", f->root);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    atomic_store(&failing_syncs, 0);
    sm_store_close(&f->store);
    (void)umount2(f->root, MNT_DETACH); /* where one was mounted */
    sm_test_remove_dir(f->root);
    sm_free(f->value);
    sm_free(f);
    return 0;
}

static sm_slice key_of(uint32_t i, char out[16])
{
    return sm_slice_of(out, (size_t)snprintf(out, 16, "%08" PRIu32, i));
}

static sm_err put_number(struct fixture *f, uint32_t i)
{
    char text[16];
    sm_slice key = key_of(i, text);
    struct sm_store_put puts[] = {
        put_of(SM_FAMILY_CERT, key, sm_slice_of(f->value, VALUE_BYTES)),
        put_of(SM_FAMILY_STATE, key, SM_LIT("good")),
    };
    sm_store_write op = {.puts = puts, .put_count = 2, .log = &key, .log_count = 1};
    return sm_store_write_sync(f->store, &op);
}

static bool is_there(struct fixture *f, uint32_t i)
{
    char text[16];
    return has_value(f->store, SM_FAMILY_CERT, key_of(i, text), sm_slice_of(f->value, VALUE_BYTES));
}

/* Writes until the disk refuses; true when it did. */
static bool write_until_refused(struct fixture *f, uint32_t limit)
{
    sm_err err = SM_NO_ERR;
    while (sm_ok(err) && f->written < limit) {
        err = put_number(f, f->written);
        f->written += sm_ok(err);
    }
    assert_true(sm_ok(err) || sm_err_is(err, SM_E_DISK));
    return !sm_ok(err);
}

static void write_until_accepted(struct fixture *f)
{
    uint64_t end = sm_clock_mono_ns() + RECOVERY_S * SM_NS_PER_S;
    sm_err err = put_number(f, f->written);
    while (!sm_ok(err) && sm_clock_mono_ns() < end) {
        assert_sm_err(err, DISK);
        (void)usleep(20000);
        err = put_number(f, f->written);
    }
    assert_sm_ok(err);
    f->written++;
}

static void on_problem(void *ctx, const char *what)
{
    (void)ctx;
    print_error("%s\n", what);
}

/* Everything answered is there, and nothing else but, after a failed fsync, whole writes. */
static void assert_whole(struct fixture *f)
{
    struct sm_store_check check;
    assert_sm_ok(sm_store_check_all(f->store, &check, on_problem, NULL));
    assert_int_equal(check.problems, 0);
    assert_int_equal(check.rows[SM_FAMILY_CERT], f->written);
    assert_int_equal(check.rows[SM_FAMILY_STATE], f->written);
    assert_true(check.last_sequence >= f->written);
    for (uint32_t i = 0; i < f->written; i++) {
        assert_true(is_there(f, i));
    }
    for (int i = 0; i < 1000 && count_rows(f->store, SM_FAMILY_INDEX) != f->written; i++) {
        (void)usleep(10000);
    }
    assert_int_equal(count_rows(f->store, SM_FAMILY_INDEX), f->written);
}

static void assert_refused_and_readable(struct fixture *f)
{
    uint64_t last = sm_store_last_sequence(f->store);
    for (int i = 0; i < 20; i++) {
        assert_sm_err(put_number(f, f->written), DISK);
        assert_false(is_there(f, f->written));
        assert_true(is_there(f, f->written - 1));
        assert_true(is_there(f, 0));
        assert_int_equal(sm_store_last_sequence(f->store), last);
        (void)usleep(100000); /* some of these try to recover */
    }
}

static void reopen(struct fixture *f)
{
    sm_store_close(&f->store);
    open_store(f);
}

/* ---- a full disk ---- */

static void fill(const char *path, size_t mib)
{
    static uint8_t block[1 << 20];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    for (size_t i = 0; i < mib; i++) {
        if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block)) {
            break;
        }
    }
    (void)close(fd);
}

/* RocksDB deletes logs that it has flushed: the space that this gives is taken again, and a write
 * that was faster is counted. */
static void assert_readable_while_full(struct fixture *f)
{
    char rest[300];
    int refused = 0;
    (void)snprintf(rest, sizeof(rest), "%s/rest", f->root);
    for (int i = 0; i < 40; i++) {
        fill(rest, DISK_MIB);
        sm_err err = put_number(f, f->written);
        assert_true(sm_ok(err) || sm_err_is(err, SM_E_DISK));
        refused += !sm_ok(err);
        f->written += sm_ok(err);
        assert_false(is_there(f, f->written));
        assert_true(is_there(f, f->written - 1));
        assert_true(is_there(f, 0));
        (void)usleep(50000); /* some of these try to recover */
    }
    assert_true(refused > 20);
    assert_int_equal(unlink(rest), 0);
}

static void disk__full_and_free_again(void **state)
{
    struct fixture *f = *state;
    char options[32];
    char ballast[300];
    (void)snprintf(options, sizeof(options), "size=%dm", DISK_MIB);
    (void)snprintf(ballast, sizeof(ballast), "%s/ballast", f->root);
    if (mount("sealmill-test", f->root, "tmpfs", 0, options) != 0) {
        print_message("skipped: mounting a small file system: %s\n", strerror(errno));
        skip();
    }
    fill(ballast, BALLAST_MIB);
    open_store(f);
    assert_true(write_until_refused(f, 10000));
    assert_true(f->written > 10);
    assert_readable_while_full(f);
    assert_int_equal(unlink(ballast), 0);
    write_until_accepted(f);
    assert_whole(f);
    reopen(f);
    assert_whole(f);
    write_until_accepted(f);
}

/* Stopped while the disk is full: what was answered is there when it is started again with space.
 */
static void disk__full_at_the_end(void **state)
{
    struct fixture *f = *state;
    char options[32];
    char ballast[300];
    (void)snprintf(options, sizeof(options), "size=%dm", DISK_MIB);
    (void)snprintf(ballast, sizeof(ballast), "%s/ballast", f->root);
    if (mount("sealmill-test", f->root, "tmpfs", 0, options) != 0) {
        print_message("skipped: mounting a small file system: %s\n", strerror(errno));
        skip();
    }
    fill(ballast, BALLAST_MIB);
    open_store(f);
    assert_true(write_until_refused(f, 10000));
    sm_store_close(&f->store);
    assert_int_equal(unlink(ballast), 0);
    open_store(f);
    assert_whole(f);
    write_until_accepted(f);
}

/* ---- a limit on file sizes ---- */

static void limit__refused_and_lifted(void **state)
{
    struct fixture *f = *state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {512 * 1024, before.rlim_max};
    open_store(f);
    for (int i = 0; i < 3; i++) {
        assert_sm_ok(put_number(f, f->written++));
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool refused = write_until_refused(f, 100);
    if (refused) {
        assert_refused_and_readable(f);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(refused);
    write_until_accepted(f);
    assert_whole(f);
    reopen(f);
    assert_whole(f);
}

/* The probe passes and opening again does not: the store is then read from what is there. */
static void limit__too_low_to_recover(void **state)
{
    struct fixture *f = *state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {1200 * 1024, before.rlim_max};
    f->buffer_mib = 16;
    open_store(f);
    for (int i = 0; i < 40; i++) { /* over twice the limit, all in one write-ahead log */
        assert_sm_ok(put_number(f, f->written++));
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool refused = write_until_refused(f, 41);
    if (refused) {
        assert_refused_and_readable(f);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(refused);
    write_until_accepted(f);
    assert_whole(f);
    reopen(f);
    assert_whole(f);
}

/* ---- an fsync that fails: the octets may be there all the same ---- */

static void fsync__failed_write_is_whole_or_absent(void **state)
{
    struct fixture *f = *state;
    open_store(f);
    for (uint32_t i = 0; i < 5; i++) {
        assert_sm_ok(put_number(f, f->written++));
    }
    uint64_t last = sm_store_last_sequence(f->store);
    atomic_store(&failing_syncs, 1);
    assert_sm_err(put_number(f, 5), DISK);
    assert_int_equal(sm_store_last_sequence(f->store), last);
    assert_false(is_there(f, 5));
    write_until_accepted(f); /* the same record again */
    assert_whole(f);
    /* The log has it once or twice; its sequences have no gap. */
    assert_in_range(sm_store_last_sequence(f->store), 6, 7);
    for (uint32_t i = 0; i < 5; i++) {
        assert_sm_ok(put_number(f, f->written++));
    }
    reopen(f);
    assert_whole(f);
}

static void fsync__conditions_hold_across_recovery(void **state)
{
    struct fixture *f = *state;
    struct sm_store_cond cond = {SM_COND_ABSENT, SM_FAMILY_META, SM_LIT("once"), SM_SLICE_NONE};
    struct sm_store_put put = put_of(SM_FAMILY_META, SM_LIT("once"), SM_LIT("v"));
    sm_store_write op = {.conds = &cond, .cond_count = 1, .puts = &put, .put_count = 1};
    open_store(f);
    atomic_store(&failing_syncs, 1);
    assert_sm_err(sm_store_write_sync(f->store, &op), DISK);
    sm_err err;
    while (sm_err_is(err = sm_store_write_sync(f->store, &op), SM_E_DISK)) {
        (void)usleep(20000);
    }
    /* EXISTS where the failed write reached the disk after all; either way it is there now. */
    assert_true(sm_ok(err) || sm_err_is(err, SM_E_EXISTS));
    assert_true(has_value(f->store, SM_FAMILY_META, SM_LIT("once"), SM_LIT("v")));
    assert_sm_err(sm_store_write_sync(f->store, &op), EXISTS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    (void)signal(SIGXFSZ, SIG_IGN); /* write says EFBIG instead */
    const struct CMUnitTest tests[] = {
        TEST(disk__full_and_free_again),
        TEST(disk__full_at_the_end),
        TEST(limit__refused_and_lifted),
        TEST(limit__too_low_to_recover),
        TEST(fsync__failed_write_is_whole_or_absent),
        TEST(fsync__conditions_hold_across_recovery),
    };
    return cmocka_run_group_tests_name("store_disk_full", tests, NULL, NULL);
}
