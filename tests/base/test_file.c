/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

static char dir[256];
static char path_buf[512];

static int setup(void **state)
{
    (void)state;
    return sm_test_dir(dir, sizeof(dir)) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    sm_test_remove_dir(dir);
    return 0;
}

static const char *in_dir(const char *name)
{
    (void)snprintf(path_buf, sizeof(path_buf), "%s/%s", dir, name);
    return path_buf;
}

static size_t entries(void)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        n += e->d_name[0] != '.';
    }
    (void)closedir(d);
    return n;
}

static void file__round_trips_every_size_around_a_chunk(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 255, 256, 16383, 16384, 16385, 100000};
    static uint8_t bytes[100000];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 31 % 251);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        sm_slice content = sm_slice_of(bytes, sizes[i]);
        assert_sm_ok(sm_file_write_atomic(in_dir("f"), content, 0600, NULL));
        sm_buf exact = sm_buf_init(sizes[i]); /* a file as large as the cap still fits */
        sm_buf roomy = sm_buf_init_secret(1 << 20);
        assert_sm_ok(sm_file_read(in_dir("f"), &exact, NULL));
        assert_sm_ok(sm_file_read(in_dir("f"), &roomy, NULL));
        assert_true(sm_slice_equal(sm_buf_slice(&exact), content));
        assert_true(sm_slice_equal(sm_buf_slice(&roomy), content));
        sm_buf_deinit(&exact);
        sm_buf_deinit(&roomy);
    }
    assert_int_equal(entries(), 1);
}

static void file__over_the_cap_is_refused_and_nothing_kept(void **state)
{
    (void)state;
    sm_diag diag = {0};
    sm_buf out = sm_buf_init(8);
    sm_buf_put(&out, SM_LIT("kept"));
    assert_sm_ok(sm_file_write_atomic(in_dir("f"), SM_LIT("12345"), 0600, NULL));
    assert_sm_err(sm_file_read(in_dir("f"), &out, &diag), TOO_LARGE);
    assert_non_null(strstr(diag.reason, dir));
    assert_true(sm_slice_equal(sm_buf_slice(&out), SM_LIT("kept")));
    sm_buf_deinit(&out);
}

static void file__says_what_the_system_said(void **state)
{
    (void)state;
    sm_diag diag = {0};
    sm_buf out = sm_buf_init(8);
    assert_sm_err(sm_file_read(in_dir("absent"), &out, &diag), NOT_FOUND);
    assert_non_null(strstr(diag.reason, "No such file"));
    sm_diag_clear(&diag);
    assert_sm_err(sm_file_read(dir, &out, &diag), OS);
    assert_non_null(strstr(diag.reason, "Is a directory"));
    sm_diag_clear(&diag);
    assert_sm_err(sm_file_write_atomic(in_dir("no/such/f"), SM_LIT("x"), 0600, &diag), DISK);
    assert_non_null(strstr(diag.reason, "No such file"));
    sm_diag_clear(&diag);
    assert_sm_err(sm_file_write_atomic(dir, SM_LIT("x"), 0600, &diag), DISK);
    assert_non_null(strstr(diag.reason, "directory"));
    assert_int_equal(entries(), 0);
    assert_sm_err(sm_file_read("", &out, NULL), NOT_FOUND);
    sm_buf_deinit(&out);
}

static void file__write_has_exactly_its_mode_and_replaces(void **state)
{
    (void)state;
    struct stat st;
    mode_t mask = umask(077);
    assert_sm_ok(sm_file_write_atomic(in_dir("f"), SM_LIT("old"), 0600, NULL));
    assert_sm_ok(sm_file_write_atomic(in_dir("f"), SM_LIT("new"), 0644, NULL));
    (void)umask(mask);
    assert_int_equal(stat(in_dir("f"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(st.st_size, 3);
    assert_int_equal(entries(), 1);
}

static void file__a_failed_write_leaves_the_old_file_and_no_other(void **state)
{
    (void)state;
    sm_buf out = sm_buf_init(64);
    assert_sm_ok(sm_file_write_atomic(in_dir("f"), SM_LIT("old"), 0600, NULL));
    /* A folder cannot be replaced by a file. */
    assert_int_equal(mkdir(in_dir("d"), 0700), 0);
    assert_sm_err(sm_file_write_atomic(in_dir("d"), SM_LIT("x"), 0600, NULL), DISK);
    assert_int_equal(entries(), 2);
    assert_sm_ok(sm_file_read(in_dir("f"), &out, NULL));
    assert_true(sm_slice_equal(sm_buf_slice(&out), SM_LIT("old")));
    sm_buf_deinit(&out);
}

static void file__in_two_steps(void **state)
{
    (void)state;
    struct sm_file file = {.fd = -1};
    sm_buf out = sm_buf_init(64);
    sm_diag diag = {.reason = ""};
    assert_sm_err(sm_file_begin(in_dir("none/f"), &file, &diag), DISK);
    assert_non_null(strstr(diag.reason, "none/f: No such file"));
    assert_int_equal(mkdir(in_dir("d"), 0700), 0);
    sm_diag_clear(&diag);
    assert_sm_err(sm_file_begin(in_dir("d"), &file, &diag), DISK);
    assert_non_null(strstr(diag.reason, "Is a directory"));
    sm_file_discard(&file); /* nothing was begun */
    assert_int_equal(entries(), 1);

    assert_sm_ok(sm_file_begin(in_dir("f"), &file, NULL));
    assert_false(sm_file_exists(in_dir("f")));
    assert_int_equal(entries(), 2);
    sm_file_discard(&file);
    assert_int_equal(entries(), 1);
    assert_sm_ok(sm_file_begin(in_dir("f"), &file, NULL));
    assert_sm_ok(sm_file_commit(&file, SM_LIT("new"), 0644, NULL));
    sm_file_discard(&file);
    assert_sm_ok(sm_file_read(in_dir("f"), &out, NULL));
    assert_true(sm_slice_equal(sm_buf_slice(&out), SM_LIT("new")));
    sm_buf_deinit(&out);

    /* What comes to stand there in between is not overwritten by half. */
    assert_sm_ok(sm_file_begin(in_dir("g"), &file, NULL));
    assert_int_equal(mkdir(in_dir("g"), 0700), 0);
    assert_sm_err(sm_file_commit(&file, SM_LIT("x"), 0644, NULL), DISK);
    assert_int_equal(entries(), 3);
}

static void file__works_in_the_current_folder(void **state)
{
    (void)state;
    int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(before >= 0);
    assert_int_equal(chdir(dir), 0);
    sm_err err = sm_file_write_atomic("plain", SM_LIT("x"), 0600, NULL);
    sm_err made = sm_file_mkdirs("a/b", 0700, NULL);
    assert_int_equal(fchdir(before), 0);
    (void)close(before);
    assert_sm_ok(err);
    assert_sm_ok(made);
    assert_true(sm_file_exists(in_dir("plain")));
    assert_true(sm_file_exists(in_dir("a/b")));
}

static void file__too_long_paths_are_refused(void **state)
{
    (void)state;
    static char path[PATH_MAX + 100];
    memset(path, 'a', sizeof(path) - 1);
    sm_diag diag = {0};
    assert_sm_err(sm_file_write_atomic(path, SM_LIT("x"), 0600, &diag), DISK);
    sm_diag_clear(&diag);
    assert_sm_err(sm_file_mkdirs(path, 0700, &diag), OS);
    assert_non_null(strstr(diag.reason, "too long"));
}

static void file__mkdirs_makes_what_is_missing(void **state)
{
    (void)state;
    struct stat st;
    assert_sm_ok(sm_file_mkdirs(in_dir("a//b/c/"), 0750, NULL));
    assert_sm_ok(sm_file_mkdirs(in_dir("a/b/c"), 0750, NULL));
    assert_int_equal(stat(in_dir("a/b/c"), &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_sm_ok(sm_file_mkdirs("/", 0750, NULL));
}

static void file__mkdirs_over_a_file_is_refused(void **state)
{
    (void)state;
    sm_diag diag = {0};
    assert_sm_ok(sm_file_write_atomic(in_dir("f"), SM_LIT("x"), 0600, NULL));
    assert_sm_err(sm_file_mkdirs(in_dir("f"), 0700, &diag), OS);
    assert_non_null(strstr(diag.reason, "Not a directory"));
    assert_sm_err(sm_file_mkdirs(in_dir("f/g"), 0700, NULL), OS);
    assert_sm_err(sm_file_mkdirs("", 0700, NULL), OS);
}

static void file__read_survives_every_allocation_failure(void **state)
{
    (void)state;
    static uint8_t bytes[100000];
    assert_sm_ok(sm_file_write_atomic(in_dir("f"), sm_slice_of(bytes, sizeof(bytes)), 0600, NULL));
    for (size_t n = 1;; n++) {
        sm_buf out = sm_buf_init(1 << 20);
        sm_mem_fail_at(n);
        sm_err err = sm_file_read(in_dir("f"), &out, NULL);
        int failed = sm_mem_has_failed();
        sm_mem_fail_at(0);
        size_t len = out.len;
        sm_buf_deinit(&out);
        if (!failed) {
            assert_sm_ok(err);
            assert_int_equal(len, sizeof(bytes));
            assert_true(n > 2);
            return;
        }
        assert_sm_err(err, NO_MEMORY);
        assert_int_equal(len, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(file__round_trips_every_size_around_a_chunk, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(file__over_the_cap_is_refused_and_nothing_kept, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(file__says_what_the_system_said, setup, teardown),
        cmocka_unit_test_setup_teardown(file__write_has_exactly_its_mode_and_replaces, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(file__a_failed_write_leaves_the_old_file_and_no_other,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(file__in_two_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(file__works_in_the_current_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(file__too_long_paths_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(file__mkdirs_makes_what_is_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(file__mkdirs_over_a_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(file__read_survives_every_allocation_failure, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
