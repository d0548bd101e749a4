/* SPDX-License-Identifier: Apache-2.0 */
/* What only files can show: opening, refusing, damage, backups, and that an answer waits for its
 * fsync. */
#include "tests/store/store_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define RECORDS 200
#define VALUE_BYTES 700
#define IN_USE 3 /* a child's exit status */

/* ---- fsyncs, counted: RocksDB calls this one ---- */

static _Atomic int syncs_of_log;

int fdatasync(int fd)
{
    char link[64];
    char path[PATH_MAX];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path));
    int rc = (int)syscall(SYS_fdatasync, fd);
    if (rc == 0 && n > 4 && memcmp(path + n - 4, ".log", 4) == 0) {
        atomic_fetch_add(&syncs_of_log, 1);
    }
    return rc;
}

/* ---- the fixture ---- */

struct fixture {
    char root[256]; /* removed in the end */
    char dir[300];  /* the database */
    sm_store *store;
    _Atomic int indexed;
};

static sm_err index_record(void *ctx, sm_store *store, uint64_t sequence, sm_slice record,
                           sm_store_emit emit, void *emitter)
{
    struct fixture *f = ctx;
    uint8_t key[64] = {'i'};
    size_t n = record.len < sizeof(key) - 1 ? record.len : sizeof(key) - 1;
    (void)store;
    (void)sequence;
    memcpy(key + 1, record.ptr, n);
    emit(emitter, SM_PUT, sm_slice_of(key, n + 1), SM_SLICE_NONE);
    atomic_fetch_add(&f->indexed, 1);
    return SM_NO_ERR;
}

static sm_err open_at(struct fixture *f, const char *dir, bool create, sm_store **out,
                      sm_diag *diag)
{
    struct sm_store_config config = {
        .dir = dir, .create = create, .indexer = index_record, .indexer_ctx = f};
    return sm_store_open(&config, out, diag);
}

static void open_store(struct fixture *f)
{
    sm_diag diag = {.reason = ""};
    sm_err err = open_at(f, f->dir, true, &f->store, &diag);
    if (!sm_ok(err)) {
        print_error("%s\n", diag.reason);
    }
    assert_sm_ok(err);
}

static int setup(void **state)
{
    struct fixture *f = sm_calloc(1, sizeof(*f));
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
    sm_store_close(&f->store);
    sm_test_remove_dir(f->root);
    sm_free(f);
    return 0;
}

/* Record `i`: a certificate in a blob, a state in the tree, a line of the log. */
static void make_value(uint32_t i, uint8_t value[VALUE_BYTES])
{
    uint32_t x = i + 1;
    for (size_t at = 0; at < VALUE_BYTES; at++) {
        x = x * 1664525U + 1013904223U;
        value[at] = (uint8_t)(x >> 24);
    }
}

static void put_record(sm_store *store, uint32_t i)
{
    uint8_t value[VALUE_BYTES];
    char text[16];
    int len = snprintf(text, sizeof(text), "%08" PRIu32, i);
    sm_slice key = sm_slice_of(text, (size_t)len);
    make_value(i, value);
    struct sm_store_put puts[] = {
        put_of(SM_FAMILY_CERT, key, sm_slice_of(value, sizeof(value))),
        put_of(SM_FAMILY_STATE, key, SM_LIT("good")),
        put_of(SM_FAMILY_META, key, SM_LIT("meta")),
    };
    sm_store_write op = {.puts = puts, .put_count = 3, .log = &key, .log_count = 1};
    assert_sm_ok(sm_store_write_sync(store, &op));
}

static void put_records(sm_store *store, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        put_record(store, i);
    }
}

static bool has_record(sm_store *store, uint32_t i)
{
    uint8_t value[VALUE_BYTES];
    char text[16];
    int len = snprintf(text, sizeof(text), "%08" PRIu32, i);
    make_value(i, value);
    return has_value(store, SM_FAMILY_CERT, sm_slice_of(text, (size_t)len),
                     sm_slice_of(value, sizeof(value)));
}

static void on_problem(void *ctx, const char *what)
{
    char *first = ctx;
    if (first[0] == '\0') {
        (void)snprintf(first, 200, "%s", what);
    }
}

static uint64_t count_problems(sm_store *store, char first[200])
{
    struct sm_store_check check;
    first[0] = '\0';
    assert_sm_ok(sm_store_check_all(store, &check, on_problem, first));
    return check.problems;
}

static void assert_whole(sm_store *store, uint32_t records)
{
    char first[200];
    assert_int_equal(count_problems(store, first), 0);
    assert_int_equal(sm_store_last_sequence(store), records);
    for (uint32_t i = 0; i < records; i++) {
        assert_true(has_record(store, i));
    }
}

/* Waits until the index has `n` rows. */
static void assert_indexed(sm_store *store, size_t n)
{
    for (int i = 0; i < 1000 && count_rows(store, SM_FAMILY_INDEX) != n; i++) {
        (void)usleep(10000);
    }
    assert_int_equal(count_rows(store, SM_FAMILY_INDEX), n);
}

/* ---- opening ---- */

static void open__refuses_what_is_not_there(void **state)
{
    struct fixture *f = *state;
    sm_diag diag = {.reason = ""};
    assert_sm_err(open_at(f, f->dir, false, &f->store, &diag), NOT_FOUND);
    assert_non_null(strstr(diag.reason, f->dir));
    assert_int_equal(mkdir(f->dir, 0700), 0);
    sm_diag_clear(&diag);
    assert_sm_err(open_at(f, f->dir, false, &f->store, &diag), NOT_FOUND);
    assert_non_null(strstr(diag.reason, f->dir));
    assert_null(f->store);
}

static void open__makes_the_folder_private(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(mkdir(f->dir, 0755), 0);
    open_store(f);
    assert_int_equal(stat(f->dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void open__refuses_a_file(void **state)
{
    struct fixture *f = *state;
    int fd = open(f->dir, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    sm_diag diag = {.reason = ""};
    assert_false(sm_ok(open_at(f, f->dir, true, &f->store, &diag)));
    assert_non_null(strstr(diag.reason, f->dir));
}

static void open__refuses_another_schema(void **state)
{
    struct fixture *f = *state;
    sm_diag diag = {.reason = ""};
    open_store(f);
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("schema"), SM_LIT("\0\0\0\0\0\0\0\x63")));
    sm_store_close(&f->store);
    assert_sm_err(open_at(f, f->dir, true, &f->store, &diag), UNSUPPORTED);
    assert_non_null(strstr(diag.reason, "99"));
    assert_null(f->store);
}

static void open__refuses_records_without_schema(void **state)
{
    struct fixture *f = *state;
    open_store(f);
    put_record(f->store, 0);
    assert_sm_ok(delete_now(f->store, SM_FAMILY_META, SM_LIT("schema")));
    sm_store_close(&f->store);
    assert_sm_err(open_at(f, f->dir, true, &f->store, NULL), CORRUPT);
}

static void open__refuses_a_second_opener(void **state)
{
    struct fixture *f = *state;
    sm_store *second = NULL;
    sm_diag diag = {.reason = ""};
    open_store(f);
    assert_sm_err(open_at(f, f->dir, true, &second, &diag), EXHAUSTED);
    assert_non_null(strstr(diag.reason, "in use"));
    assert_null(second);
    put_record(f->store, 0); /* the first is not disturbed */
}

static void open__goes_on_where_it_was(void **state)
{
    struct fixture *f = *state;
    for (uint32_t round = 0; round < 4; round++) {
        open_store(f);
        assert_whole(f->store, round * 50);
        put_records(f->store, round * 50, (round + 1) * 50);
        assert_indexed(f->store, (round + 1) * 50);
        sm_store_close(&f->store);
    }
    assert_int_equal(atomic_load(&f->indexed), 200); /* nothing was indexed twice */
}

static void write__is_fsynced_before_it_is_answered(void **state)
{
    struct fixture *f = *state;
    open_store(f);
    for (uint32_t i = 0; i < 20; i++) {
        int before = atomic_load(&syncs_of_log);
        put_record(f->store, i);
        assert_true(atomic_load(&syncs_of_log) > before);
    }
}

static void try_get__does_not_read_the_disk(void **state)
{
    struct fixture *f = *state;
    sm_buf out = sm_buf_init(VALUE_BYTES);
    open_store(f);
    put_records(f->store, 0, 10);
    sm_store_close(&f->store);
    open_store(f);
    assert_sm_err(sm_store_try_get(f->store, SM_FAMILY_CERT, SM_LIT("00000003"), &out), EXHAUSTED);
    assert_true(has_record(f->store, 3));
    /* Tables, filter and the value are in the cache now. */
    assert_sm_ok(sm_store_try_get(f->store, SM_FAMILY_CERT, SM_LIT("00000003"), &out));
    assert_int_equal(out.len, VALUE_BYTES);
    assert_sm_err(sm_store_try_get(f->store, SM_FAMILY_CERT, SM_LIT("absent"), &out), NOT_FOUND);
    sm_buf_deinit(&out);
}

/* RocksDB opens no more than a few tables at its start; of the others it knows nothing yet. */
static void try_get__says_nothing_of_tables_that_are_not_open(void **state)
{
    struct fixture *f = *state;
    sm_buf out = sm_buf_init(4096);
    open_store(f);
    for (unsigned table = 0; table < 40; table++) {
        struct sm_store_put puts[2];
        char keys[2][16];
        for (unsigned i = 0; i < 2; i++) {
            (void)snprintf(keys[i], sizeof(keys[i]), "o%05u-%u", table, i);
            puts[i] = put_of(SM_FAMILY_OCSP, sm_slice_str(keys[i]), SM_LIT("answer"));
        }
        sm_store_write op = {.puts = puts, .put_count = 2};
        assert_sm_ok(sm_store_write_table(f->store, &op));
    }
    sm_store_close(&f->store);
    open_store(f);
    for (unsigned table = 0; table < 40; table++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "o%05u-1", table);
        sm_buf_reset(&out);
        sm_err err = sm_store_try_get(f->store, SM_FAMILY_OCSP, sm_slice_str(key), &out);
        if (!sm_err_is(err, SM_E_EXHAUSTED)) {
            assert_sm_ok(err);
            assert_true(sm_slice_equal(sm_buf_slice(&out), SM_LIT("answer")));
        }
    }
    sm_buf_deinit(&out);
}

/* ---- backup ---- */

static void *write_meanwhile(void *arg)
{
    struct fixture *f = arg;
    put_records(f->store, RECORDS, 2 * RECORDS);
    return NULL;
}

static size_t count_entries(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    (void)closedir(d);
    return n - 2; /* . and .. */
}

static void backup__is_a_store_of_its_own(void **state)
{
    struct fixture *f = *state;
    char copy[300];
    char first[200];
    pthread_t writer;
    struct stat st;
    sm_store *restored;
    (void)snprintf(copy, sizeof(copy), "%s/copy", f->root);
    open_store(f);
    put_records(f->store, 0, RECORDS);
    assert_int_equal(pthread_create(&writer, NULL, write_meanwhile, f), 0);
    assert_sm_ok(sm_store_backup(f->store, copy, NULL));
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_whole(f->store, 2 * RECORDS);
    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(count_entries(f->root), 2); /* nothing else is left */
    sm_store_close(&f->store);
    sm_test_remove_dir(f->dir); /* the copy needs nothing of it */
    assert_sm_ok(open_at(f, copy, false, &restored, NULL));
    uint64_t last = sm_store_last_sequence(restored);
    assert_in_range(last, RECORDS, 2 * RECORDS);
    assert_int_equal(count_problems(restored, first), 0);
    assert_true(has_record(restored, (uint32_t)last - 1));
    assert_false(has_record(restored, (uint32_t)last));
    assert_indexed(restored, last);
    put_record(restored, (uint32_t)last);
    sm_store_close(&restored);
}

static void backup__refuses_an_existing_folder(void **state)
{
    struct fixture *f = *state;
    sm_diag diag = {.reason = ""};
    open_store(f);
    assert_sm_err(sm_store_backup(f->store, f->root, &diag), EXISTS);
    assert_non_null(strstr(diag.reason, f->root));
    assert_sm_err(sm_store_backup(f->store, "/nonexistent/copy", NULL), DISK);
    put_record(f->store, 0);
}

/* ---- the index ---- */

static void copy_tree(const char *from, const char *to)
{
    char command[1400];
    (void)snprintf(command, sizeof(command), "rm -rf '%s' && cp -r '%s' '%s'", to, from, to);
    assert_int_equal(system(command), 0);
}

static void index__of_another_log_is_rebuilt(void **state)
{
    struct fixture *f = *state;
    char copy[300];
    char from[400];
    char to[400];
    (void)snprintf(copy, sizeof(copy), "%s/copy", f->root);
    (void)snprintf(from, sizeof(from), "%s/index", f->dir);
    (void)snprintf(to, sizeof(to), "%s/index", copy);
    open_store(f);
    put_records(f->store, 0, 10);
    assert_sm_ok(sm_store_backup(f->store, copy, NULL));
    put_records(f->store, 10, 30);
    assert_indexed(f->store, 30);
    sm_store_close(&f->store);
    copy_tree(from, to); /* an index ahead of its log */
    sm_store *older;
    assert_sm_ok(open_at(f, copy, false, &older, NULL));
    assert_indexed(older, 10);
    sm_store_close(&older);
}

static void index__of_another_version_is_rebuilt(void **state)
{
    struct fixture *f = *state;
    struct sm_store_config config = {
        .dir = f->dir, .indexer = index_record, .indexer_ctx = f, .indexer_version = 2};
    open_store(f);
    put_records(f->store, 0, 30);
    assert_indexed(f->store, 30);
    for (int i = 1; i <= 2; i++) {
        sm_store_close(&f->store);
        assert_sm_ok(sm_store_open(&config, &f->store, NULL));
        put_record(f->store, (uint32_t)(29 + i));
        assert_indexed(f->store, (size_t)(30 + i));
    }
    assert_int_equal(atomic_load(&f->indexed), 30 + 31 + 1); /* once, not at each start */
}

static void index__missing_is_rebuilt(void **state)
{
    struct fixture *f = *state;
    char index[400];
    (void)snprintf(index, sizeof(index), "%s/index", f->dir);
    open_store(f);
    put_records(f->store, 0, 30);
    sm_store_close(&f->store);
    sm_test_remove_dir(index);
    open_store(f);
    assert_indexed(f->store, 30);
    assert_whole(f->store, 30);
}

/* ---- damage ---- */

/* The largest file of the folder whose name ends so; false when there is none. */
static bool find_file(const char *dir, const char *suffix, char *out, size_t size, off_t *length)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    *length = -1;
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        char path[600];
        struct stat st;
        size_t n = strlen(e->d_name);
        size_t m = strlen(suffix);
        (void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        if (n > m && strcmp(e->d_name + n - m, suffix) == 0 && stat(path, &st) == 0 &&
            st.st_size > *length) {
            *length = st.st_size;
            (void)snprintf(out, size, "%s", path);
        }
    }
    (void)closedir(d);
    return *length > 0;
}

static void flip(const char *path, off_t at)
{
    uint8_t octet;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &octet, 1, at), 1);
    octet ^= 0x10;
    assert_int_equal(pwrite(fd, &octet, 1, at), 1);
    (void)close(fd);
}

/* Damage is found by opening or by the check, never passed over. */
static void assert_damage_is_found(struct fixture *f)
{
    char first[200];
    sm_diag diag = {.reason = ""};
    sm_err err = open_at(f, f->dir, false, &f->store, &diag);
    if (!sm_ok(err)) {
        assert_sm_err(err, CORRUPT);
        assert_non_null(strstr(diag.reason, "damaged"));
        return;
    }
    assert_true(count_problems(f->store, first) > 0);
    assert_non_null(strstr(first, "damaged"));
    sm_store_close(&f->store);
}

static void fill_and_close(struct fixture *f)
{
    open_store(f);
    put_records(f->store, 0, RECORDS);
    sm_store_close(&f->store);
}

static void check__finds_a_damaged_table(void **state)
{
    struct fixture *f = *state;
    char path[600];
    off_t length;
    fill_and_close(f);
    assert_true(find_file(f->dir, ".sst", path, sizeof(path), &length));
    flip(path, 40); /* of the first block */
    assert_damage_is_found(f);
}

static void check__finds_a_damaged_certificate(void **state)
{
    struct fixture *f = *state;
    char path[600];
    off_t length;
    fill_and_close(f);
    assert_true(find_file(f->dir, ".blob", path, sizeof(path), &length));
    assert_true(length > RECORDS * VALUE_BYTES);
    flip(path, length / 2);
    assert_damage_is_found(f);
    flip(path, length / 2);
    open_store(f);
    assert_whole(f->store, RECORDS);
}

static void check__finds_a_missing_table(void **state)
{
    struct fixture *f = *state;
    char path[600];
    off_t length;
    fill_and_close(f);
    assert_true(find_file(f->dir, ".sst", path, sizeof(path), &length));
    assert_int_equal(unlink(path), 0);
    assert_damage_is_found(f);
}

/* Leaves the write-ahead log as a crash does: a child writes and ends without closing. The child is
 * this program again: a forked copy would lack the threads that RocksDB keeps. */
static int run_child(struct fixture *f, uint32_t records)
{
    char count[16];
    (void)snprintf(count, sizeof(count), "%" PRIu32, records);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl("/proc/self/exe", "test_rocksdb", "write", f->dir, count, (char *)NULL);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status)) {
        print_error("the child ended with signal %d\n", WTERMSIG(status));
    }
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void crash_with_records(struct fixture *f, uint32_t records)
{
    assert_int_equal(run_child(f, records), 0);
}

static int write_and_exit(const char *dir, const char *count)
{
    static struct fixture f;
    (void)snprintf(f.dir, sizeof(f.dir), "%s", dir);
    sm_err err = open_at(&f, f.dir, true, &f.store, NULL);
    if (!sm_ok(err)) {
        return sm_err_is(err, SM_E_EXHAUSTED) ? IN_USE : 1;
    }
    uint32_t n = (uint32_t)strtoul(count, NULL, 10);
    put_records(f.store, 0, n);
    _exit(0);
}

static void open__refuses_a_second_process(void **state)
{
    struct fixture *f = *state;
    open_store(f);
    assert_int_equal(run_child(f, 1), IN_USE);
    assert_whole(f->store, 0);
    sm_store_close(&f->store);
    assert_int_equal(run_child(f, 1), 0);
}

static void wal__is_replayed(void **state)
{
    struct fixture *f = *state;
    crash_with_records(f, RECORDS);
    open_store(f);
    assert_whole(f->store, RECORDS);
    assert_indexed(f->store, RECORDS);
}

static void wal__damaged_in_its_middle_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[600];
    off_t length;
    crash_with_records(f, RECORDS);
    assert_true(find_file(f->dir, ".log", path, sizeof(path), &length));
    assert_true(length > RECORDS * VALUE_BYTES);
    flip(path, length / 2);
    assert_damage_is_found(f);
}

/* The tail was being written when the power went: what is whole before it counts, without a gap. */
static void wal__torn_tail_is_dropped(void **state)
{
    struct fixture *f = *state;
    char path[600];
    char saved[300];
    off_t length;
    uint32_t kept = RECORDS + 1;
    crash_with_records(f, RECORDS);
    (void)snprintf(saved, sizeof(saved), "%s/saved", f->root);
    copy_tree(f->dir, saved);
    for (off_t cut = 0; cut < 3000; cut += 173) {
        char first[200];
        copy_tree(saved, f->dir);
        assert_true(find_file(f->dir, ".log", path, sizeof(path), &length));
        assert_int_equal(truncate(path, length - cut), 0);
        open_store(f);
        uint32_t last = (uint32_t)sm_store_last_sequence(f->store);
        assert_true(last <= kept && last >= RECORDS - 5);
        kept = last;
        assert_int_equal(count_problems(f->store, first), 0);
        assert_true(has_record(f->store, last - 1));
        assert_false(has_record(f->store, last));
        put_record(f->store, last); /* and it goes on from there */
        sm_store_close(&f->store);
    }
    assert_true(kept < RECORDS);
}

/* Some file systems show blocks that were allocated and never written. */
static void wal__zeros_at_its_end_are_dropped(void **state)
{
    struct fixture *f = *state;
    char path[600];
    off_t length;
    crash_with_records(f, RECORDS);
    assert_true(find_file(f->dir, ".log", path, sizeof(path), &length));
    assert_int_equal(truncate(path, length + 70000), 0);
    open_store(f);
    assert_whole(f->store, RECORDS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "write") == 0) {
        return write_and_exit(argv[2], argv[3]);
    }
    const struct CMUnitTest tests[] = {
        TEST(open__refuses_what_is_not_there),
        TEST(open__makes_the_folder_private),
        TEST(open__refuses_a_file),
        TEST(open__refuses_another_schema),
        TEST(open__refuses_records_without_schema),
        TEST(open__refuses_a_second_opener),
        TEST(open__goes_on_where_it_was),
        TEST(write__is_fsynced_before_it_is_answered),
        TEST(try_get__does_not_read_the_disk),
        TEST(try_get__says_nothing_of_tables_that_are_not_open),
        TEST(backup__is_a_store_of_its_own),
        TEST(backup__refuses_an_existing_folder),
        TEST(index__of_another_log_is_rebuilt),
        TEST(index__of_another_version_is_rebuilt),
        TEST(index__missing_is_rebuilt),
        TEST(check__finds_a_damaged_table),
        TEST(check__finds_a_damaged_certificate),
        TEST(check__finds_a_missing_table),
        TEST(open__refuses_a_second_process),
        TEST(wal__is_replayed),
        TEST(wal__damaged_in_its_middle_is_refused),
        TEST(wal__torn_tail_is_dropped),
        TEST(wal__zeros_at_its_end_are_dropped),
    };
    return cmocka_run_group_tests_name("store_rocksdb", tests, NULL, NULL);
}
