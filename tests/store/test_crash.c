/* SPDX-License-Identifier: Apache-2.0 */
/* kill -9 under load, many times over one database: what was answered is there, whole, and the log
 * has no gap. The writer is this program again, told by its arguments. */
#include "tests/store/store_test.h"

#include "base/clock.h"
#include "base/rand.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 24
#define IN_FLIGHT 96
#define MAX_RUN_MS 120
#define VALUE_BYTES 700

/* What the writer says of each write that was answered. */
struct answer {
    uint64_t number;
    uint64_t sequence;
};

static void key_of(uint64_t number, uint8_t key[8])
{
    for (int i = 0; i < 8; i++) {
        key[i] = (uint8_t)(number >> (56 - 8 * i));
    }
}

static sm_err index_record(void *ctx, sm_store *store, uint64_t sequence, sm_slice record,
                           sm_store_emit emit, void *emitter)
{
    uint8_t key[9] = {1};
    (void)ctx;
    (void)store;
    (void)sequence;
    memcpy(key + 1, record.ptr, 8);
    emit(emitter, SM_PUT, sm_slice_of(key, sizeof(key)), SM_SLICE_NONE);
    return SM_NO_ERR;
}

static sm_err open_store(const char *dir, sm_store **out, sm_diag *diag)
{
    /* Small buffers: flushes and new logs happen while it is killed. */
    struct sm_store_config config = {
        .dir = dir, .create = true, .write_buffer_mib = 1, .indexer = index_record};
    return sm_store_open(&config, out, diag);
}

/* ---- the writer ---- */

struct job {
    sm_store_write op;
    struct sm_store_put puts[2];
    struct sm_store_cond cond;
    sm_slice record;
    uint64_t number;
    uint8_t key[8];
    uint8_t value[VALUE_BYTES];
};

static sm_store *writer_store;
static struct home writer_home;
static uint64_t next_number;

static void submit(struct job *job);

static void on_done(sm_store_write *op)
{
    struct job *job = SM_CONTAINER_OF(op, struct job, op);
    SM_CHECK(sm_ok(op->err));
    struct answer answer = {job->number, op->first_sequence};
    SM_CHECK(write(STDOUT_FILENO, &answer, sizeof(answer)) == (ssize_t)sizeof(answer));
    submit(job);
}

static void submit(struct job *job)
{
    job->number = next_number++;
    key_of(job->number, job->key);
    memset(job->value, (int)(job->number % 251), sizeof(job->value));
    sm_slice key = sm_slice_of(job->key, sizeof(job->key));
    job->record = key;
    job->cond = (struct sm_store_cond){SM_COND_ABSENT, SM_FAMILY_CERT, key, SM_SLICE_NONE};
    job->puts[0] = put_of(SM_FAMILY_CERT, key, sm_slice_of(job->value, sizeof(job->value)));
    job->puts[1] = put_of(SM_FAMILY_STATE, key, SM_LIT("good"));
    job->op = (sm_store_write){.home = &writer_home.box,
                               .conds = &job->cond,
                               .cond_count = 1,
                               .puts = job->puts,
                               .put_count = 2,
                               .log = &job->record,
                               .log_count = 1,
                               .done = on_done};
    SM_CHECK(sm_ok(sm_store_submit_write(writer_store, &job->op)));
}

static int write_until_killed(const char *dir, const char *first)
{
    static struct job jobs[IN_FLIGHT];
    static const size_t never = 0;
    next_number = strtoull(first, NULL, 10);
    home_init(&writer_home);
    SM_CHECK(sm_ok(open_store(dir, &writer_store, NULL)));
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        submit(&jobs[i]);
    }
    home_run(&writer_home, &never, 1);
    return 0;
}

/* ---- the judge ---- */

struct answers {
    struct answer *all;
    size_t count;
    size_t room;
};

static void read_answers(int fd, struct answers *a)
{
    struct answer one;
    while (read(fd, &one, sizeof(one)) == (ssize_t)sizeof(one)) {
        if (a->count == a->room) {
            a->room = a->room == 0 ? 4096 : 2 * a->room;
            a->all = sm_realloc(a->all, a->room * sizeof(*a->all));
            SM_CHECK(a->all != NULL);
        }
        a->all[a->count++] = one;
    }
}

static pid_t kill_later(pid_t pid, uint64_t after_us)
{
    pid_t killer = fork();
    assert_true(killer >= 0);
    if (killer == 0) {
        (void)usleep((useconds_t)after_us);
        (void)kill(pid, SIGKILL);
        _exit(0);
    }
    return killer;
}

static void run_and_kill(const char *dir, uint64_t first_number, struct answers *a)
{
    int ends[2];
    char first[24];
    struct answer begun;
    (void)snprintf(first, sizeof(first), "%" PRIu64, first_number);
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)execl("/proc/self/exe", "test_crash", "write", dir, first, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    /* From its first answer on: a start is slow under sanitizers. */
    assert_int_equal(read(ends[0], &begun, sizeof(begun)), (ssize_t)sizeof(begun));
    assert_int_equal(begun.number, first_number);
    pid_t killer = kill_later(pid, sm_rand_u64() % (MAX_RUN_MS * 1000));
    read_answers(ends[0], a);
    (void)close(ends[0]);
    int status;
    assert_int_equal(waitpid(killer, NULL, 0), killer);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void on_problem(void *ctx, const char *what)
{
    (void)ctx;
    print_error("%s\n", what);
}

static void assert_answers_kept(sm_store *store, const struct answers *a)
{
    uint64_t last = sm_store_last_sequence(store);
    for (size_t i = 0; i < a->count; i++) {
        uint8_t key[8];
        uint8_t sequence[8];
        uint8_t value[VALUE_BYTES];
        key_of(a->all[i].number, key);
        key_of(a->all[i].sequence, sequence);
        memset(value, (int)(a->all[i].number % 251), sizeof(value));
        sm_slice k = sm_slice_of(key, sizeof(key));
        assert_true(a->all[i].sequence <= last);
        assert_true(has_value(store, SM_FAMILY_CERT, k, sm_slice_of(value, sizeof(value))));
        assert_true(has_value(store, SM_FAMILY_STATE, k, SM_LIT("good")));
        assert_true(has_value(store, SM_FAMILY_LOG, sm_slice_of(sequence, sizeof(sequence)), k));
    }
}

/* A write is there with all its parts or not at all, and the index catches up. */
static void assert_consistent(sm_store *store)
{
    struct sm_store_check check;
    assert_sm_ok(sm_store_check_all(store, &check, on_problem, NULL));
    assert_int_equal(check.problems, 0);
    assert_int_equal(check.rows[SM_FAMILY_CERT], check.last_sequence);
    assert_int_equal(check.rows[SM_FAMILY_STATE], check.last_sequence);
    assert_int_equal(check.rows[SM_FAMILY_LOG], check.last_sequence);
    for (int i = 0; i < 6000 && check.index_sequence < check.last_sequence; i++) {
        (void)usleep(10000);
        assert_sm_ok(sm_store_check_all(store, &check, on_problem, NULL));
    }
    assert_int_equal(count_rows(store, SM_FAMILY_INDEX), check.last_sequence);
}

static void crash__nothing_answered_is_missing(void **state)
{
    char dir[256];
    struct answers answers = {0};
    (void)state;
    assert_non_null(sm_test_dir(dir, sizeof(dir)));
    for (uint64_t round = 0; round < ROUNDS; round++) {
        sm_store *store;
        sm_diag diag = {.reason = ""};
        size_t before = answers.count;
        run_and_kill(dir, round << 32, &answers);
        sm_err err = open_store(dir, &store, &diag);
        if (!sm_ok(err)) {
            print_error("round %" PRIu64 ": %s\n", round, diag.reason);
        }
        assert_sm_ok(err);
        struct answers latest = {answers.all + before, answers.count - before, 0};
        assert_answers_kept(store, &latest);
        assert_consistent(store);
        if (round == ROUNDS - 1) {
            assert_answers_kept(store, &answers); /* and nothing of the rounds before was lost */
        }
        sm_store_close(&store);
    }
    print_message("%zu answers over %d kills\n", answers.count, ROUNDS);
    assert_true(answers.count > ROUNDS);
    sm_free(answers.all);
    sm_test_remove_dir(dir);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "write") == 0) {
        return write_until_killed(argv[2], argv[3]);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(crash__nothing_answered_is_missing)};
    return cmocka_run_group_tests_name("store_crash", tests, NULL, NULL);
}
