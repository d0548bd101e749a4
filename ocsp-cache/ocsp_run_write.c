/* SPDX-License-Identifier: Apache-2.0 */
/* A run signed in batches, and written back unless a status has changed meanwhile. */
#include "base/clock.h"
#include "base/log.h"
#include "ocsp-cache/ocsp_refresh_p.h"

/* ---- signing ---- */

struct signing {
    sm_crypt_job job;
    struct block *block;
    struct row *row;
};

struct block {
    struct run *run;
    size_t done;
    size_t count;
    sm_buf data;
    uint8_t *signatures; /* `room` octets each */
    size_t room;
    struct signing jobs[RUN_BLOCK];
};

static void on_signed(sm_crypt_job *job)
{
    struct signing *s = SM_CONTAINER_OF(job, struct signing, job);
    s->block->run->refresh->left--;
}

static sm_err keep(struct signing *s)
{
    struct run *run = s->block->run;
    struct row *row = s->row;
    uint8_t room[SM_OCSP_SIGNATURE_MAX];
    SM_TRY(s->job.err);
    size_t len = sm_ocsp_signature_keep(run->signer, sm_slice_of(s->job.out, s->job.out_len), room);
    if (len == 0) {
        return SM_ERR(CRYPTO);
    }
    row->kept = (struct sm_ocsp_kept){.said = row->said, .signer = run->signer->id};
    SM_TRY(sm_arena_copy(&run->arena, sm_slice_of(room, len), &row->kept.signature));
    return sm_ocsp_row_pack(&row->kept, row->not_after, &run->arena, &row->value);
}

static sm_err start(struct block *b, struct signing *s)
{
    struct run *run = b->run;
    struct row *row = s->row;
    size_t begin = b->data.len;
    SM_TRY(sm_ocsp_single_data(run->issuer->issuer, row->key.hash, row->key.serial, run->signer,
                               &row->said, &b->data));
    s->block = b;
    s->job = (sm_crypt_job){.op = SM_CRYPT_SIGN,
                            .alg = run->signer->alg,
                            .message = sm_slice_of(b->data.ptr + begin, b->data.len - begin),
                            .key = run->signer->key,
                            .out = b->signatures + (size_t)(s - b->jobs) * b->room,
                            .out_room = b->room,
                            .done = on_signed};
    SM_TRY(sm_batcher_submit(run->refresh->batcher, &s->job));
    run->refresh->left++;
    return SM_NO_ERR;
}

static void run_jobs(sm_ocsp_refresh *r)
{
    while (r->left > 0) {
        if (!sm_batcher_run(r->batcher) && r->left > 0) {
            sm_ocsp_refresh_wait_mail(r);
        }
    }
}

/* The data never moves: there is room for all of a block from the beginning. */
static sm_err sign_block(struct block *b)
{
    sm_err err = SM_NO_ERR;
    size_t n = 0;
    sm_buf_reset(&b->data);
    if (sm_buf_reserve(&b->data, b->data.cap) == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    while (n < b->count && sm_ok(err)) {
        err = start(b, &b->jobs[n]);
        n += sm_ok(err) ? 1 : 0;
    }
    run_jobs(b->run->refresh);
    for (size_t i = 0; i < n; i++) {
        sm_err one = keep(&b->jobs[i]);
        if (!sm_ok(one)) {
            return one;
        }
        b->done++;
    }
    return err;
}

/* Fills the block from row `at` on; returns the row behind it. */
static size_t gather(struct block *b, size_t at)
{
    struct run *run = b->run;
    b->count = 0;
    b->done = 0;
    for (; at < run->count && b->count < RUN_BLOCK; at++) {
        if (run->rows[at].what == ROW_SIGN) {
            b->jobs[b->count++].row = &run->rows[at];
        }
    }
    return at;
}

sm_err sm_ocsp_run_sign(struct run *run)
{
    size_t room = sm_sig_size_max(run->signer->alg, run->signer->type);
    struct block *b = sm_arena_alloc(&run->arena, sizeof(*b));
    uint8_t *signatures = sm_arena_alloc(&run->arena, RUN_BLOCK * room);
    sm_err err = SM_NO_ERR;
    if (b == NULL || signatures == NULL) {
        run->count = 0;
        return SM_ERR(NO_MEMORY);
    }
    b->run = run;
    b->signatures = signatures;
    b->room = room;
    b->data = sm_buf_init((size_t)RUN_BLOCK *
                          (SM_OCSP_DATA_MAX - SM_OCSP_RESPONDER_MAX + run->signer->responder.len));
    for (size_t at = 0; at < run->count && sm_ok(err);) {
        at = gather(b, at);
        err = sign_block(b);
        if (!sm_ok(err)) {
            run->count = (size_t)(b->jobs[b->done].row - run->rows);
        }
    }
    sm_buf_deinit(&b->data);
    return err;
}

/* ---- writing ---- */

static sm_ocsp_cache *cache_of(const struct run *run)
{
    return run->refresh->config.cache;
}

/* It is durable. */
static void is_written(struct run *run, struct row *const *rows, size_t count)
{
    struct refresh_metrics *m = &run->refresh->metrics;
    for (size_t i = 0; i < count; i++) {
        const struct row *row = rows[i];
        if (row->what == ROW_SIGN) {
            sm_ocsp_cache_renew(cache_of(run), run->signer, &row->key, &row->kept, run->epoch);
        }
        sm_metric_inc(row->what == ROW_REMOVE ? m->removed : row->fresh ? m->filled : m->renewed);
    }
}

struct writing {
    struct run *run;
    struct row **rows; /* without those that are left as they are */
    size_t count;
    struct sm_store_put *puts;
    struct sm_store_cond *conds;
};

static size_t conditions(const struct run *run, const struct row *row, struct sm_store_cond *out)
{
    size_t n = 0;
    if (row->what == ROW_REMOVE) {
        return 0;
    }
    out[n++] = (struct sm_store_cond){row->state.ptr == NULL ? SM_COND_ABSENT : SM_COND_EQUALS,
                                      sm_ocsp_run_state_family(run), row->state_key, row->state};
    if (row->fresh) {
        out[n++] = (struct sm_store_cond){SM_COND_ABSENT, SM_FAMILY_OCSP, row->row_key,
                                          SM_SLICE_NONE};
    }
    return n;
}

static bool is_overtaken(sm_err err)
{
    return sm_err_is(err, SM_E_EXISTS) || sm_err_is(err, SM_E_CONFLICT);
}

/* Rows that must be absent, and states that have no family of their own whose version would tell of changes. */
static bool by_each(const struct run *run)
{
    return run->of_new || run->issuer->foreign;
}

/* All of them or none, on condition that no state at all has changed, which costs one look. */
static sm_err write_unchanged(struct writing *w, size_t from, size_t count, bool table)
{
    const struct sm_store_unchanged unchanged = {SM_FAMILY_STATE, w->run->state_version};
    sm_store *store = w->run->refresh->config.store;
    sm_store_write op = {.puts = w->puts + from, .put_count = count, .unchanged = &unchanged};
    return table ? sm_store_write_table(store, &op) : sm_store_write_sync(store, &op);
}

/* The same on condition of each one's state. */
static sm_err write_each_state(struct writing *w, size_t from, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        n += conditions(w->run, w->rows[from + i], w->conds + n);
    }
    sm_store_write op = {
        .puts = w->puts + from, .put_count = count, .conds = w->conds, .cond_count = n};
    return sm_store_write_sync(w->run->refresh->config.store, &op);
}

/* Some of them were overtaken: one by one those go in that were not. */
static sm_err write_singly(struct writing *w, size_t from, size_t count)
{
    for (size_t i = from; i < from + count; i++) {
        sm_err err = write_each_state(w, i, 1);
        if (sm_ok(err)) {
            is_written(w->run, &w->rows[i], 1);
        } else if (is_overtaken(err)) {
            sm_metric_inc(w->run->refresh->metrics.overtaken);
        } else {
            return err;
        }
    }
    return SM_NO_ERR;
}

static sm_err write_some(struct writing *w, size_t from, size_t count)
{
    sm_err err = by_each(w->run) ? SM_ERR(CONFLICT) : write_unchanged(w, from, count, false);
    if (is_overtaken(err)) {
        err = write_each_state(w, from, count);
    }
    if (sm_ok(err)) {
        is_written(w->run, w->rows + from, count);
    }
    return is_overtaken(err) ? write_singly(w, from, count) : err;
}

/* Where the table cannot be taken in, its rows go the ordinary way. */
static sm_err write_table(struct writing *w)
{
    sm_err err = write_unchanged(w, 0, w->count, true);
    if (sm_ok(err)) {
        is_written(w->run, w->rows, w->count);
    }
    return err;
}

static sm_err fill_writing(struct run *run, struct writing *w)
{
    sm_arena *arena = &run->arena;
    w->rows = sm_arena_alloc(arena, (run->count + 1) * sizeof(struct row *));
    w->puts = sm_arena_alloc(arena, (run->count + 1) * sizeof(struct sm_store_put));
    w->conds = sm_arena_alloc(arena, 2 * RUN_WRITE_ROWS * sizeof(struct sm_store_cond));
    if (w->rows == NULL || w->puts == NULL || w->conds == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < run->count; i++) {
        struct row *row = &run->rows[i];
        if (row->what != ROW_LEAVE) {
            w->puts[w->count] = (struct sm_store_put){row->what == ROW_SIGN ? SM_PUT : SM_DELETE,
                                                      SM_FAMILY_OCSP, row->row_key, row->value};
            w->rows[w->count++] = row;
        }
    }
    return SM_NO_ERR;
}

/* How many rows from `at` on go in one write. */
static size_t fitting(const struct writing *w, size_t at)
{
    size_t bytes = 0;
    size_t n = 0;
    while (n < RUN_WRITE_ROWS && at + n < w->count && (n == 0 || bytes < RUN_WRITE_BYTES)) {
        bytes += w->puts[at + n].key.len + w->puts[at + n].value.len;
        n++;
    }
    return n;
}

sm_err sm_ocsp_run_write(struct run *run)
{
    struct writing w = {.run = run};
    SM_TRY(fill_writing(run, &w));
    if (w.count >= RUN_TABLE_ROWS && !by_each(run) && !run->refresh->no_tables) {
        sm_err err = write_table(&w);
        bool other_way = is_overtaken(err) || sm_err_is(err, SM_E_EXHAUSTED) ||
                         sm_err_is(err, SM_E_UNSUPPORTED);
        if (!other_way) {
            return err;
        }
    }
    for (size_t at = 0; at < w.count;) {
        size_t n = fitting(&w, at);
        SM_TRY(write_some(&w, at, n));
        at += n;
    }
    return SM_NO_ERR;
}
