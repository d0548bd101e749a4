/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates without an answer, whose issuers are to sign one for each: after a change from on-demand to
 * eager, and where issuance could not sign. One reading of all certificates for all such issuers, which goes on
 * where it was after a restart; none once each of them has been looked at. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gen/sealmill/v1/record.pb-c.h"
#include "ocsp-cache/ocsp_refresh_p.h"

#define FILL_VERSION 1
#define FILL_READ 4096 /* certificates in a step: 4 MB, 10 ms */
#define FILL_SIGN 1024 /* of them without an answer */
#define FILL_KEY SM_LIT("f")
#define ISSUER_LEN 8
#define ISSUERS_MAX 100000
#define AGAIN_NS (600 * SM_NS_PER_S) /* between two readings that failures at issuance ask for */

struct hit {
    struct sm_ocsp_refresh_cert cert;
    uint8_t serial[SM_OCSP_SERIAL_MAX];
    size_t serial_len;
    bool done;
};

struct reading {
    sm_ocsp_refresh *r;
    int64_t now;
    size_t read;
    bool more;
    struct hit *hits;
    size_t count;
};

static sm_slice issuer_key(uint32_t ca_id, uint32_t generation, uint8_t room[SM_OCSP_PASS_KEY_LEN])
{
    sm_ocsp_pass_key(ca_id, generation, room);
    return sm_slice_of(room + 1, ISSUER_LEN);
}

/* ---- whose certificates ---- */

static sm_err want(struct fill *f, sm_slice issuer)
{
    return sm_map_put(f->wanted, issuer, f, NULL);
}

static bool is_wanted(const struct fill *f, uint32_t ca_id, uint32_t generation)
{
    uint8_t room[SM_OCSP_PASS_KEY_LEN];
    return sm_map_get(f->wanted, issuer_key(ca_id, generation, room)) != NULL;
}

void sm_ocsp_fill_deinit(struct fill *fill)
{
    sm_map_free(&fill->wanted);
}

static void forget(struct fill *f)
{
    sm_ocsp_fill_deinit(f);
    f->active = false;
    f->cursor_len = 0;
}

/* One that went on under way, of an earlier start. */
static sm_err load(sm_ocsp_refresh *r)
{
    struct fill *f = &r->fill;
    sm_buf value = sm_buf_init(SM_STORE_COMMIT_BYTES);
    sm_err err = sm_store_get_sync(r->config.store, SM_FAMILY_OCSP, FILL_KEY, &value);
    Sealmill__Record__V1__OcspFillRecord *m = sm_ok(err)
                                                  ? sealmill__record__v1__ocsp_fill_record__unpack(
                                                        NULL, value.len, value.ptr)
                                                  : NULL;
    if (m != NULL && m->version == FILL_VERSION && m->cursor.len <= sizeof(f->cursor)) {
        err = sm_map_new(ISSUERS_MAX, &f->wanted);
        for (size_t at = 0; at + ISSUER_LEN <= m->issuers.len && sm_ok(err); at += ISSUER_LEN) {
            err = want(f, sm_slice_of(m->issuers.data + at, ISSUER_LEN));
        }
        if (m->cursor.len > 0) {
            memcpy(f->cursor, m->cursor.data, m->cursor.len);
        }
        f->cursor_len = m->cursor.len;
        f->active = true;
    }
    sealmill__record__v1__ocsp_fill_record__free_unpacked(m, NULL);
    sm_buf_deinit(&value);
    f->loaded = sm_ok(err) || sm_err_is(err, SM_E_NOT_FOUND);
    return f->loaded ? SM_NO_ERR : err;
}

static sm_err pack_issuers(const struct fill *f, sm_buf *out)
{
    size_t at = 0;
    sm_slice key;
    void *value;
    while (sm_map_next(f->wanted, &at, &key, &value)) {
        sm_buf_put(out, key);
    }
    return sm_buf_err(out);
}

static sm_err keep_place(sm_ocsp_refresh *r)
{
    struct fill *f = &r->fill;
    Sealmill__Record__V1__OcspFillRecord m;
    sm_buf issuers = sm_buf_init(SM_STORE_COMMIT_BYTES / 2);
    sm_buf packed = sm_buf_init(SM_STORE_COMMIT_BYTES);
    sealmill__record__v1__ocsp_fill_record__init(&m);
    sm_err err = pack_issuers(f, &issuers);
    m.version = FILL_VERSION;
    m.cursor = (ProtobufCBinaryData){f->cursor_len, f->cursor};
    m.issuers = (ProtobufCBinaryData){issuers.len, issuers.ptr};
    uint8_t *room = sm_buf_reserve(&packed,
                                   sealmill__record__v1__ocsp_fill_record__get_packed_size(&m));
    if (sm_ok(err) && room != NULL) {
        sm_buf_commit(&packed, sealmill__record__v1__ocsp_fill_record__pack(&m, room));
        const struct sm_store_put put = {SM_PUT, SM_FAMILY_OCSP, FILL_KEY, sm_buf_slice(&packed)};
        sm_store_write op = {.puts = &put, .put_count = 1};
        err = sm_store_write_sync(r->config.store, &op);
    }
    sm_buf_deinit(&issuers);
    sm_buf_deinit(&packed);
    return err;
}

/* Those that need it; false: none. */
static bool begin(sm_ocsp_refresh *r)
{
    struct fill *f = &r->fill;
    int64_t now = sm_clock_wall_s();
    bool again = f->ended_ns == 0 || sm_clock_mono_ns() - f->ended_ns > AGAIN_NS;
    bool missing = again && atomic_exchange(&r->missing, false);
    if (!sm_ok(sm_map_new(ISSUERS_MAX, &f->wanted))) {
        return false;
    }
    for (size_t i = 0; i < r->schedule_count; i++) {
        struct schedule *s = &r->schedules[i];
        uint8_t room[SM_OCSP_PASS_KEY_LEN];
        bool not_filled = missing || !s->issuer.eager;
        if (s->loaded && not_filled && s->pass.filled) {
            s->pass.filled = false;
            sm_ocsp_refresh_keep_place(r, s);
        }
        if (s->loaded && s->issuer.eager && !s->pass.filled &&
            sm_clock_mono_ns() >= s->fill_after_ns &&
            sm_ocsp_refresh_signer(&s->issuer, now) != NULL &&
            sm_ok(want(f, issuer_key(s->ca_id, s->generation, room)))) {
            f->active = true;
        }
    }
    if (!f->active) {
        forget(f);
    }
    return f->active;
}

/* ---- reading ---- */

static bool on_cert(void *ctx, sm_slice serial, sm_slice value)
{
    struct reading *reading = ctx;
    struct fill *f = &reading->r->fill;
    struct sm_ocsp_refresh_cert cert;
    if (reading->read == FILL_READ || reading->count == FILL_SIGN) {
        reading->more = true;
        return false;
    }
    if (serial.len > SM_OCSP_SERIAL_MAX) {
        return true;
    }
    reading->read++;
    memcpy(f->cursor, serial.ptr, serial.len);
    f->cursor_len = serial.len;
    if (reading->r->config.read_cert(value, &cert) && cert.not_after > reading->now &&
        is_wanted(f, cert.ca_id, cert.generation)) {
        struct hit *hit = &reading->hits[reading->count++];
        hit->cert = cert;
        hit->serial_len = serial.len;
        hit->done = false;
        memcpy(hit->serial, serial.ptr, serial.len);
    }
    return true;
}

static sm_err read_certs(struct reading *reading)
{
    struct fill *f = &reading->r->fill;
    uint8_t from[SM_OCSP_SERIAL_MAX + 1];
    size_t len = 0;
    if (f->cursor_len > 0) {
        memcpy(from, f->cursor, f->cursor_len);
        from[f->cursor_len] = 0; /* the next one after it */
        len = f->cursor_len + 1;
    }
    return sm_store_scan_sync(reading->r->config.store, SM_FAMILY_CERT, sm_slice_of(from, len),
                              SM_SLICE_NONE, on_cert, reading);
}

/* ---- signing ---- */

static bool has_row(sm_ocsp_refresh *r, sm_slice row_key)
{
    sm_buf value = sm_buf_init(SM_OCSP_ROW_MAX);
    sm_err err = sm_store_get_sync(r->config.store, SM_FAMILY_OCSP, row_key, &value);
    sm_buf_deinit(&value);
    return !sm_err_is(err, SM_E_NOT_FOUND);
}

static sm_err add_hit(struct run *run, struct hit *hit)
{
    struct sm_ocsp_key key = {hit->cert.ca_id, hit->cert.generation, SM_OCSP_SHA1,
                              sm_slice_of(hit->serial, hit->serial_len)};
    uint8_t room[SM_OCSP_ROW_KEY_MAX];
    struct row *row;
    sm_slice row_key = sm_slice_of(room, sm_ocsp_row_key(&key, room));
    hit->done = true;
    if (row_key.len == 0 || has_row(run->refresh, row_key)) {
        return SM_NO_ERR;
    }
    SM_TRY(sm_ocsp_run_add(run, row_key, &key, &row));
    row->what = ROW_SIGN;
    row->fresh = true;
    row->not_after = hit->cert.not_after;
    return SM_NO_ERR;
}

static bool is_of(const struct hit *hit, const struct sm_ocsp_refresh_cert *c)
{
    return hit->cert.ca_id == c->ca_id && hit->cert.generation == c->generation;
}

/* All hits of the issuer of the first. *can_sign: false when it is the issuer that failed. */
static sm_err sign_those_of(struct reading *reading, size_t first, struct schedule *s,
                            bool *can_sign)
{
    const struct sm_ocsp_refresh_cert *c = &reading->hits[first].cert;
    struct run run;
    *can_sign = sm_ocsp_refresh_signer(&s->issuer, reading->now) != NULL;
    if (!*can_sign) {
        return SM_ERR(UNAVAILABLE);
    }
    sm_err err = sm_ocsp_run_begin(&run, reading->r, &s->issuer, FILL_SIGN);
    run.of_new = true;
    for (size_t i = first; i < reading->count && sm_ok(err); i++) {
        struct hit *hit = &reading->hits[i];
        if (!hit->done && is_of(hit, c)) {
            err = add_hit(&run, hit);
        }
    }
    err = sm_ok(err) ? sm_ocsp_run_read_states(&run) : err;
    sm_err signing = sm_ok(err) ? sm_ocsp_run_sign(&run) : err;
    *can_sign = !sm_ok(err) || sm_ok(signing);
    err = sm_ok(err) ? sm_ocsp_run_write(&run) : err;
    sm_ocsp_run_end(&run);
    return sm_ok(signing) ? err : signing;
}

/* Others are not to wait for it: its certificates are read once more, later. */
static void leave_out(struct reading *reading, struct schedule *s, sm_err err)
{
    uint8_t room[SM_OCSP_PASS_KEY_LEN];
    (void)sm_map_remove(reading->r->fill.wanted, issuer_key(s->ca_id, s->generation, room));
    s->fill_after_ns = sm_clock_mono_ns() + AGAIN_NS;
    sm_metric_inc(reading->r->metrics.failed);
    sm_log(SM_LOG_WARN, "ocsp_fill_issuer_failed", SM_KU("ca_id", s->ca_id),
           SM_KU("generation", s->generation), SM_KE("error", err),
           SM_KS("so", "its certificates without an answer are looked at again in 10 minutes"),
           SM_KEND);
}

static sm_err take_issuer(struct reading *reading, size_t first)
{
    const struct sm_ocsp_refresh_cert c = reading->hits[first].cert;
    struct schedule *s = sm_ocsp_schedule_of(reading->r, c.ca_id, c.generation);
    bool can_sign = true;
    /* One that is gone: whoever asks is told by the rules of today. */
    sm_err err = s == NULL ? SM_NO_ERR : sign_those_of(reading, first, s, &can_sign);
    if (!can_sign) {
        leave_out(reading, s, err);
        err = SM_NO_ERR;
    }
    for (size_t i = first; i < reading->count; i++) {
        reading->hits[i].done = reading->hits[i].done || is_of(&reading->hits[i], &c);
    }
    return err;
}

static void finish(sm_ocsp_refresh *r)
{
    struct fill *f = &r->fill;
    const struct sm_store_put gone = {SM_DELETE, SM_FAMILY_OCSP, FILL_KEY, SM_SLICE_NONE};
    sm_store_write op = {.puts = &gone, .put_count = 1};
    for (size_t i = 0; i < r->schedule_count; i++) {
        struct schedule *s = &r->schedules[i];
        if (s->loaded && is_wanted(f, s->ca_id, s->generation)) {
            s->pass.filled = true;
            sm_ocsp_refresh_keep_place(r, s);
        }
    }
    (void)sm_ok(sm_store_write_sync(r->config.store, &op)); /* else it is done once more: no harm */
    f->ended_ns = sm_clock_mono_ns();
    forget(f);
}

static sm_err step(struct reading *reading)
{
    SM_TRY(read_certs(reading));
    for (size_t i = 0; i < reading->count; i++) {
        if (!reading->hits[i].done) {
            SM_TRY(take_issuer(reading, i));
        }
    }
    reading->more = reading->more && sm_map_count(reading->r->fill.wanted) > 0;
    return reading->more ? keep_place(reading->r) : SM_NO_ERR;
}

static void fail(sm_ocsp_refresh *r, sm_err err)
{
    r->fill.not_before_ns = sm_clock_mono_ns() + RUN_RETRY_NS;
    sm_metric_inc(r->metrics.failed);
    sm_log(SM_LOG_WARN, "ocsp_fill_failed", SM_KE("error", err),
           SM_KS("so", "it is tried again in 10 s"), SM_KEND);
}

bool sm_ocsp_fill_step(sm_ocsp_refresh *r)
{
    struct fill *f = &r->fill;
    if (sm_clock_mono_ns() < f->not_before_ns || (!f->loaded && !sm_ok(load(r))) ||
        (!f->active && !begin(r))) {
        return false;
    }
    struct reading reading = {.r = r, .now = sm_clock_wall_s()};
    uint8_t before[SM_OCSP_SERIAL_MAX];
    size_t before_len = f->cursor_len;
    memcpy(before, f->cursor, sizeof(before));
    reading.hits = sm_malloc(FILL_SIGN * sizeof(*reading.hits));
    sm_err err = reading.hits == NULL ? SM_ERR(NO_MEMORY) : step(&reading);
    sm_free(reading.hits);
    if (!sm_ok(err)) { /* all of it once more */
        memcpy(f->cursor, before, sizeof(before));
        f->cursor_len = before_len;
        fail(r, err);
    } else if (!reading.more) {
        finish(r);
    }
    return true;
}
