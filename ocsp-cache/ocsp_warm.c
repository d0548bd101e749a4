/* SPDX-License-Identifier: Apache-2.0 */
/* After a start: the store's rows into memory, the newest certificates first, as far as there is room. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ocsp-cache/ocsp_refresh_p.h"

#define WARM_ROWS 4096
#define WARM_BYTES (2U << 20)

struct chunk {
    sm_store_scan scan;
    struct sm_store_row rows[WARM_ROWS];
    bool done;
};

static void on_scanned(sm_store_scan *scan)
{
    SM_CONTAINER_OF(scan, struct chunk, scan)->done = true;
}

static void finish(struct warm *w)
{
    w->done = true;
    sm_log(SM_LOG_INFO, "ocsp_memory_warm", SM_KU("answers", w->rows),
           SM_KU("ms", (sm_clock_mono_ns() - w->began_ns) / SM_NS_PER_MS), SM_KEND);
}

/* The next range: the other hash, or the next issuer. */
static void go_on(sm_ocsp_refresh *r)
{
    struct warm *w = &r->warm;
    w->below_len = 0;
    if (++w->hash == SM_OCSP_HASHES) {
        w->hash = 0;
        w->at++;
    }
}

static sm_err read_chunk(sm_ocsp_refresh *r, const struct schedule *s, struct chunk *c)
{
    struct warm *w = &r->warm;
    uint8_t from[SM_OCSP_ROW_PREFIX + 1];
    sm_ocsp_pass_key(s->ca_id, s->generation, from);
    from[0] = 'o';
    from[SM_OCSP_ROW_PREFIX] = (uint8_t)w->hash;
    if (w->below_len == 0) {
        memcpy(w->below, from, sizeof(from));
        w->below[SM_OCSP_ROW_PREFIX]++;
        w->below_len = sizeof(from);
    }
    c->scan = (sm_store_scan){.home = &r->box,
                              .family = SM_FAMILY_OCSP,
                              .from = sm_slice_of(from, sizeof(from)),
                              .to = sm_slice_of(w->below, w->below_len),
                              .reverse = true,
                              .max_rows = WARM_ROWS,
                              .done = on_scanned,
                              .bytes = sm_buf_init(WARM_BYTES),
                              .rows = c->rows};
    SM_TRY(sm_store_submit_scan(r->config.store, &c->scan));
    while (!c->done) {
        sm_ocsp_refresh_wait_mail(r);
    }
    return c->scan.err;
}

/* False: the memory is full. */
static bool keep(sm_ocsp_refresh *r, const struct schedule *s, const struct sm_store_row *stored,
                 uint64_t epoch)
{
    struct sm_ocsp_row row;
    struct sm_ocsp_key key;
    if (!sm_ocsp_row_key_parse(stored->key, &key) ||
        !sm_ok(sm_ocsp_row_unpack(stored->value, &row)) ||
        row.kept.said.next_update <= sm_clock_wall_s() ||
        !sm_ocsp_refresh_knows(&s->issuer, row.kept.signer)) {
        return true;
    }
    r->warm.rows++;
    sm_metric_inc(r->metrics.warmed);
    return sm_ocsp_cache_fill(r->config.cache, &s->issuer.signers[0], &key, &row.kept, epoch);
}

static void use_chunk(sm_ocsp_refresh *r, const struct schedule *s, struct chunk *c, uint64_t epoch)
{
    struct warm *w = &r->warm;
    for (size_t i = 0; i < c->scan.row_count; i++) {
        if (!keep(r, s, &c->scan.rows[i], epoch)) {
            finish(w);
            return;
        }
    }
    if (!c->scan.more || c->scan.row_count == 0) {
        go_on(r);
        return;
    }
    sm_slice last = c->scan.rows[c->scan.row_count - 1].key;
    memcpy(w->below, last.ptr, last.len < sizeof(w->below) ? last.len : sizeof(w->below));
    w->below_len = last.len;
}

bool sm_ocsp_warm_step(sm_ocsp_refresh *r)
{
    struct warm *w = &r->warm;
    w->began_ns = w->began_ns == 0 ? sm_clock_mono_ns() : w->began_ns;
    while (w->at < r->schedule_count && r->schedules[w->at].issuer.signer_count == 0) {
        w->at++;
    }
    if (w->at >= r->schedule_count) {
        finish(w);
        return true;
    }
    struct chunk *c = sm_malloc(sizeof(*c));
    if (c == NULL) {
        return false;
    }
    c->done = false;
    const struct schedule *s = &r->schedules[w->at];
    uint64_t epoch = sm_ocsp_cache_epoch(r->config.cache, &s->issuer.signers[0]);
    sm_err err = read_chunk(r, s, c);
    if (sm_ok(err)) {
        use_chunk(r, s, c, epoch);
    } else {
        go_on(r);
    }
    sm_buf_deinit(&c->scan.bytes);
    sm_free(c);
    return true;
}
