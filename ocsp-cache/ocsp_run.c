/* SPDX-License-Identifier: Apache-2.0 */
/* A run of rows: which are to be signed anew, and what they will say. */
#include "base/clock.h"
#include "base/log.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "gen/sealmill/v1/record.pb-c.h"
#include "ocsp-cache/ocsp_foreign.h"
#include "ocsp-cache/ocsp_refresh_p.h"

#define STATE_VERSION 1
#define STATE_MAX 4096
/* Of state records read in passing for each row: then the rest is looked up one by one. */
#define STATES_PER_ROW 8

sm_err sm_ocsp_run_begin(struct run *run, sm_ocsp_refresh *r,
                         const struct sm_ocsp_refresh_issuer *issuer, size_t rows)
{
    int64_t now = sm_clock_wall_s();
    *run = (struct run){.refresh = r,
                        .issuer = issuer,
                        .signer = sm_ocsp_refresh_signer(issuer, now),
                        .now = now,
                        .room = rows};
    sm_arena_init(&run->arena, RUN_BYTES + RUN_BLOCK_BYTES + rows * sizeof(*run->rows));
    if (run->signer == NULL) { /* its certificate has ended since it was looked for */
        return SM_ERR(UNAVAILABLE);
    }
    run->rows = sm_arena_alloc(&run->arena, rows * sizeof(*run->rows));
    return run->rows == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

void sm_ocsp_run_end(struct run *run)
{
    sm_arena_deinit(&run->arena);
}

sm_err sm_ocsp_run_add(struct run *run, sm_slice row_key, const struct sm_ocsp_key *key,
                       struct row **out)
{
    if (run->count == run->room) {
        return SM_ERR(TOO_LARGE);
    }
    struct row *row = &run->rows[run->count];
    *row = (struct row){.key = *key, .is_good = true};
    SM_TRY(sm_arena_copy(&run->arena, row_key, &row->row_key));
    row->key.serial = sm_slice_from(row->row_key, row_key.len - key->serial.len);
    row->state_key = row->key.serial;
    run->count++;
    *out = row;
    return SM_NO_ERR;
}

/* ---- states ---- */

struct states {
    struct run *run;
    size_t at;   /* rows before have what there is */
    size_t left; /* state records to look at */
    sm_err err;
};

static bool on_state(void *ctx, sm_slice serial, sm_slice value)
{
    struct states *s = ctx;
    struct run *run = s->run;
    while (s->at < run->count && sm_slice_compare(run->rows[s->at].key.serial, serial) < 0) {
        s->at++;
    }
    if (s->at == run->count || s->left-- == 0) {
        return false;
    }
    struct row *row = &run->rows[s->at];
    if (sm_slice_equal(row->key.serial, serial)) {
        s->err = sm_arena_copy(&run->arena, value, &row->state);
        s->at++;
    }
    return sm_ok(s->err);
}

static sm_err look_up_state(struct run *run, struct row *row)
{
    sm_buf value = sm_buf_init(STATE_MAX);
    sm_err err = sm_store_get_sync(run->refresh->config.store, sm_ocsp_run_state_family(run),
                                   row->state_key, &value);
    if (sm_ok(err)) {
        err = sm_arena_copy(&run->arena, sm_buf_slice(&value), &row->state);
    } else if (sm_err_is(err, SM_E_NOT_FOUND)) {
        err = SM_NO_ERR;
    }
    sm_buf_deinit(&value);
    return err;
}

enum sm_store_family sm_ocsp_run_state_family(const struct run *run)
{
    return run->issuer->foreign ? SM_FAMILY_OCSP : SM_FAMILY_STATE;
}

/* Each certificate of a foreign CA has a row, and only those that were asked about have an answer. */
static sm_err load_foreign(struct run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        struct row *row = &run->rows[i];
        uint8_t key[SM_OCSP_FOREIGN_KEY_MAX];
        size_t len = sm_ocsp_imported_key(row->key.ca_id, row->key.generation, row->key.serial,
                                          key);
        SM_TRY(sm_arena_copy(&run->arena, sm_slice_of(key, len), &row->state_key));
        SM_TRY(look_up_state(run, row));
    }
    return SM_NO_ERR;
}

/* State records are few beside certificates: reading along them finds those of all rows at once. */
static sm_err load_states(struct run *run)
{
    struct states s = {run, 0, STATES_PER_ROW * run->count, SM_NO_ERR};
    sm_slice last = run->rows[run->count - 1].key.serial;
    uint8_t end[SM_OCSP_SERIAL_MAX + 1];
    memcpy(end, last.ptr, last.len);
    end[last.len] = 0; /* the next one after it */
    SM_TRY(sm_store_scan_sync(run->refresh->config.store, SM_FAMILY_STATE, run->rows[0].key.serial,
                              sm_slice_of(end, last.len + 1), on_state, &s));
    SM_TRY(s.err);
    for (; s.left == SIZE_MAX && s.at < run->count; s.at++) {
        SM_TRY(look_up_state(run, &run->rows[s.at]));
    }
    return SM_NO_ERR;
}

/* False: it cannot be read, and nothing is said of it. */
static bool say_state(struct row *row)
{
    row->said = (struct sm_ocsp_said){.status = SM_OCSP_GOOD, .reason = -1};
    if (row->state.ptr == NULL) {
        return row->is_good; /* else whoever wrote the row knew more than we do */
    }
    Sealmill__Record__V1__StateRecord *r = sealmill__record__v1__state_record__unpack(
        NULL, row->state.len, row->state.ptr);
    bool good = r != NULL && r->version == STATE_VERSION;
    if (good && r->state != SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID) {
        row->said.status = SM_OCSP_REVOKED;
        row->said.reason = (int)r->reason;
        row->said.revoked_at = r->changed_at;
    }
    sealmill__record__v1__state_record__free_unpacked(r, NULL);
    return good;
}

static bool say_foreign(struct row *row)
{
    struct sm_ocsp_imported cert;
    if (row->state.ptr == NULL || !sm_ok(sm_ocsp_imported_unpack(row->state, &cert))) {
        return false;
    }
    row->said = (struct sm_ocsp_said){.status = SM_OCSP_GOOD, .reason = -1};
    if (cert.state != SM_OCSP_IMPORTED_VALID) {
        row->said.status = SM_OCSP_REVOKED;
        row->said.reason = cert.reason;
        row->said.revoked_at = cert.revoked_at;
    }
    return true;
}

static void set_times(struct run *run, struct row *row)
{
    int64_t next = run->now + run->issuer->validity_s;
    row->said.produced_at = run->now;
    row->said.this_update = run->now - run->issuer->backdate_s;
    row->said.next_update = next > run->signer->not_after ? run->signer->not_after : next;
}

sm_err sm_ocsp_run_read_states(struct run *run)
{
    sm_ocsp_refresh *r = run->refresh;
    run->epoch = sm_ocsp_cache_epoch(r->config.cache, run->signer);
    run->state_version = sm_store_version(r->config.store, SM_FAMILY_STATE);
    if (run->count == 0) {
        return SM_NO_ERR;
    }
    SM_TRY(run->issuer->foreign ? load_foreign(run) : load_states(run));
    for (size_t i = 0; i < run->count; i++) {
        struct row *row = &run->rows[i];
        if (row->what == ROW_SIGN && !(run->issuer->foreign ? say_foreign(row) : say_state(row))) {
            row->what = ROW_LEAVE;
            sm_metric_inc(r->metrics.failed);
        }
        set_times(run, row);
    }
    return SM_NO_ERR;
}

/* ---- a schedule's step ---- */

struct reading {
    struct run *run;
    size_t seen;
    size_t seen_max;
    enum sm_ocsp_hash hash;
    uint8_t last[SM_OCSP_ROW_KEY_MAX];
    size_t last_len;
    int64_t next_update; /* of the row behind the run; 0: there is none */
    bool more;
    sm_err err;
};

static bool wants(const struct run *run, const struct sm_ocsp_row *row, bool readable)
{
    return !readable || !sm_ocsp_refresh_knows(run->issuer, row->kept.signer) ||
           sm_ocsp_pass_wants(&row->kept.said, run->issuer->validity_s, run->now);
}

/* A row that cannot be read tells nothing of its certificate: it goes, and the next query makes another. */
static enum row_what judge(const struct run *run, const struct sm_ocsp_row *row, bool readable)
{
    bool expired = row->not_after != 0 && row->not_after <= run->now;
    bool unknown = !readable && row->not_after == 0;
    return expired || unknown ? ROW_REMOVE : wants(run, row, readable) ? ROW_SIGN : ROW_LEAVE;
}

static bool take_row(struct reading *reading, sm_slice row_key, const struct sm_ocsp_key *key,
                     sm_slice value)
{
    struct run *run = reading->run;
    struct sm_ocsp_row was;
    struct row *row;
    was.not_after = 0;
    bool readable = sm_ok(sm_ocsp_row_unpack(value, &was));
    enum row_what what = judge(run, &was, readable);
    if (what != ROW_LEAVE) {
        reading->err = sm_ocsp_run_add(run, row_key, key, &row);
        if (!sm_ok(reading->err)) {
            return false;
        }
        row->what = what;
        row->is_good = !readable || was.kept.said.status == SM_OCSP_GOOD;
        row->not_after = was.not_after;
    }
    return true;
}

static bool on_row(void *ctx, sm_slice row_key, sm_slice value)
{
    struct reading *reading = ctx;
    struct sm_ocsp_key key;
    struct sm_ocsp_row next;
    if (!sm_ocsp_row_key_parse(row_key, &key)) {
        return true;
    }
    bool full = reading->run->count == reading->run->room || reading->seen == reading->seen_max ||
                (reading->seen > 0 && key.hash != reading->hash);
    if (full) {
        reading->more = true;
        reading->next_update = sm_ok(sm_ocsp_row_unpack(value, &next)) ? next.kept.said.next_update
                                                                       : 0;
        return false;
    }
    reading->hash = key.hash;
    if (!take_row(reading, row_key, &key, value)) {
        reading->more = true;
        return false;
    }
    reading->seen++;
    memcpy(reading->last, row_key.ptr, row_key.len);
    reading->last_len = row_key.len;
    return true;
}

static sm_err read_rows(struct reading *reading, const struct schedule *s)
{
    uint8_t from[SM_OCSP_ROW_KEY_MAX + 1];
    uint8_t to[SM_OCSP_ROW_PREFIX + 1];
    size_t from_len = SM_OCSP_ROW_PREFIX;
    sm_ocsp_pass_key(s->ca_id, s->generation, from);
    from[0] = 'o';
    memcpy(to, from, SM_OCSP_ROW_PREFIX);
    to[SM_OCSP_ROW_PREFIX] = SM_OCSP_HASHES;
    if (s->pass.cursor_len > 0) {
        memcpy(from, s->pass.cursor, s->pass.cursor_len);
        from[s->pass.cursor_len] = 0; /* the next one after it */
        from_len = s->pass.cursor_len + 1;
    }
    SM_TRY(sm_store_scan_sync(reading->run->refresh->config.store, SM_FAMILY_OCSP,
                              sm_slice_of(from, from_len), sm_slice_of(to, sizeof(to)), on_row,
                              reading));
    /* The rest of a run that outgrew its memory is the next one's. */
    return sm_err_is(reading->err, SM_E_NO_MEMORY) && reading->seen > 0 ? SM_NO_ERR : reading->err;
}

static sm_err do_run(struct run *run, struct reading *reading)
{
    SM_TRY(sm_ocsp_run_read_states(run));
    sm_err err = sm_ocsp_run_sign(run);
    SM_TRY(sm_ocsp_run_write(run));
    if (!sm_ok(err)) { /* what was signed is kept, and it goes on from there */
        reading->more = true;
        reading->seen = 0;
        reading->last_len = 0;
    }
    return err;
}

static void fail_step(sm_ocsp_refresh *r, struct schedule *s, sm_err err)
{
    s->not_before_ns = sm_clock_mono_ns() + RUN_RETRY_NS;
    sm_metric_inc(r->metrics.failed);
    sm_log(SM_LOG_WARN, "ocsp_refresh_failed", SM_KU("ca", s->ca_id),
           SM_KU("generation", s->generation), SM_KE("error", err),
           SM_KS("so", "it is tried again in 10 s"), SM_KEND);
}

void sm_ocsp_refresh_step(sm_ocsp_refresh *r, struct schedule *s, bool behind)
{
    struct run run;
    sm_ocsp_pass_begin(&s->pass, sm_clock_wall_s());
    size_t rows = sm_ocsp_pass_step(&s->pass, behind);
    size_t fit = RUN_BYTES / (RUN_ROW_BYTES + 2 * sm_ocsp_signature_room(&s->issuer.signers[0]));
    rows = rows < fit ? rows : fit;
    sm_err err = sm_ocsp_run_begin(&run, r, &s->issuer, rows);
    /* Rows that need nothing are cheap. */
    bool many = behind || s->pass.expected == 0;
    struct reading reading = {.run = &run, .seen_max = many ? RUN_SEEN_MAX : rows};
    err = sm_ok(err) ? read_rows(&reading, s) : err;
    err = sm_ok(err) ? do_run(&run, &reading) : err;
    sm_ocsp_run_end(&run);
    if (!sm_ok(err)) {
        fail_step(r, s, err);
        return;
    }
    s->has_rows = s->has_rows || reading.seen > 0;
    s->next_update = reading.next_update;
    sm_ocsp_pass_advance(&s->pass, reading.seen, sm_slice_of(reading.last, reading.last_len),
                         !reading.more);
    if (!reading.more || sm_clock_mono_ns() - s->kept_ns > RUN_KEEP_PLACE_NS) {
        sm_ocsp_refresh_keep_place(r, s);
    }
}
