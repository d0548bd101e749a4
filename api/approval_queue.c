/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for a person: how many there may be, and which go. */
#include "api/approval_p.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "sign/alg.h"
#include "sign/sha.h"

static struct {
    sm_metric waiting;
    sm_metric requested;
    sm_metric full;
    sm_metric expired;
    sm_metric approved;
    sm_metric denied;
    sm_metric issued;
} metrics;
static pthread_once_t metrics_once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    static const char name[] = "sealmill_approvals_total";
    static const char help[] = "Steps of requests that wait for a person";
    metrics.waiting = sm_metric_register(SM_GAUGE, "sealmill_approvals_waiting",
                                         "Requests that nobody has decided about", NULL);
    metrics.requested = sm_metric_register(SM_COUNTER, name, help, "step=\"requested\"");
    metrics.full = sm_metric_register(SM_COUNTER, name, help, "step=\"queue_full\"");
    metrics.expired = sm_metric_register(SM_COUNTER, name, help, "step=\"expired\"");
    metrics.approved = sm_metric_register(SM_COUNTER, name, help, "step=\"approved\"");
    metrics.denied = sm_metric_register(SM_COUNTER, name, help, "step=\"denied\"");
    metrics.issued = sm_metric_register(SM_COUNTER, name, help, "step=\"issued\"");
}

void sm_approval_count_issued(void)
{
    sm_metric_inc(metrics.issued);
}

#define TIME_LEN 8
#define OWNER_LEN 8 /* of a requester's hash, behind the time: who collide share a bound */

/* ---- rows that go ---- */

/* Of one write: a new record, its two marks and what stands beside it; the old ones' up to three rows. */
#define PUTS_MAX (4 + 3 * SM_APPROVAL_PURGE_MAX)

struct batch {
    sm_arena *arena;
    struct sm_store_put *puts;
    size_t count;
};

static sm_err add(struct batch *b, enum sm_store_put_kind kind, sm_slice key, sm_slice value)
{
    sm_slice copy;
    SM_CHECK(b->count < PUTS_MAX);
    SM_TRY(sm_arena_copy(b->arena, key, &copy));
    b->puts[b->count++] = (struct sm_store_put){kind, SM_FAMILY_META, copy, value};
    return SM_NO_ERR;
}

static int64_t read_time(sm_slice octets)
{
    uint64_t v = 0;
    for (size_t i = 0; i < TIME_LEN && i < octets.len; i++) {
        v = v << 8 | octets.ptr[i];
    }
    return (int64_t)v;
}

static sm_err write_time(int64_t time, sm_slice behind, sm_arena *arena, sm_slice *out)
{
    sm_buf octets = sm_buf_init(64);
    sm_buf_put_u32be(&octets, (uint32_t)((uint64_t)time >> 32));
    sm_buf_put_u32be(&octets, (uint32_t)time);
    sm_buf_put(&octets, behind);
    sm_err err = sm_buf_err(&octets);
    err = sm_ok(err) ? sm_arena_copy(arena, sm_buf_slice(&octets), out) : err;
    sm_buf_deinit(&octets);
    return err;
}

/* ---- counting a label's ---- */

struct count {
    struct batch *batch;
    sm_slice owner;
    int64_t now;
    size_t open;
    size_t own;  /* of them: the owner's */
    size_t late; /* whose marks go */
    sm_err err;
};

static bool count_open(void *ctx, sm_slice key, sm_slice value)
{
    struct count *c = ctx;
    if (read_time(value) > c->now) {
        c->open++;
        c->own += sm_slice_equal(sm_slice_from(value, TIME_LEN), c->owner) ? 1 : 0;
    } else if (c->batch != NULL && c->late < SM_APPROVAL_PURGE_MAX) {
        c->late++;
        c->err = add(c->batch, SM_DELETE, key, SM_SLICE_NONE);
    }
    return sm_ok(c->err);
}

static sm_err count_label(sm_api *api, const char *label, struct count *c, sm_arena *arena)
{
    sm_slice from;
    sm_slice to;
    SM_TRY(sm_approval_rows(SM_APPROVAL_OPEN, label, arena, &from, &to));
    SM_TRY(sm_store_scan_sync(sm_api_store(api), SM_FAMILY_META, from, to, count_open, c));
    return c->err;
}

/* ---- forgetting ---- */

struct forget {
    struct batch *batch;
    size_t count;
    sm_err err;
};

static bool forget_row(void *ctx, sm_slice key, sm_slice value)
{
    struct forget *f = ctx;
    sm_slice record;
    sm_slice id = sm_slice_from(key, sizeof(SM_APPROVAL_END) - 1 + TIME_LEN);
    (void)value;
    if (f->count == SM_APPROVAL_PURGE_MAX) {
        return false;
    }
    f->count++;
    f->err = add(f->batch, SM_DELETE, key, SM_SLICE_NONE);
    f->err = sm_ok(f->err) ? sm_approval_key(id, f->batch->arena, &record) : f->err;
    f->err = sm_ok(f->err) ? add(f->batch, SM_DELETE, record, SM_SLICE_NONE) : f->err;
    return sm_ok(f->err);
}

static sm_err forget_old(sm_api *api, struct batch *b)
{
    struct forget f = {.batch = b};
    sm_slice from;
    sm_slice to;
    sm_slice now;
    SM_TRY(write_time(sm_clock_wall_s(), SM_SLICE_NONE, b->arena, &now));
    SM_TRY(sm_record_key(SM_APPROVAL_END, SM_SLICE_NONE, b->arena, &from));
    SM_TRY(sm_record_key(SM_APPROVAL_END, now, b->arena, &to));
    SM_TRY(sm_store_scan_sync(sm_api_store(api), SM_FAMILY_META, from, to, forget_row, &f));
    return f.err;
}

/* ---- a new one ---- */

/* What could not be read again is not written. */
static sm_err pack(const Sealmill__Record__V1__ApprovalRecord *r, sm_arena *arena, sm_slice *out)
{
    SM_TRY(sm_record_pack(&r->base, arena, out));
    return out->len <= SM_APPROVAL_RECORD_MAX ? SM_NO_ERR : SM_ERR(TOO_LARGE);
}

static sm_err add_rows(struct batch *b, const struct sm_approval_rules *rules, sm_slice id,
                       const Sealmill__V1__Approval *approval, sm_slice owner, sm_slice *key)
{
    Sealmill__Record__V1__ApprovalRecord r;
    Sealmill__V1__Approval a = *approval;
    int64_t now = sm_clock_wall_s();
    sm_slice value;
    sm_slice other;
    sm_slice time;
    sealmill__record__v1__approval_record__init(&r);
    a.state = SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_PENDING;
    a.created_at = sm_timestamp(b->arena, now);
    a.expires_at = sm_timestamp(b->arena, now + rules->expires_s);
    if (a.created_at == NULL || a.expires_at == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    r.version = SM_RECORD_VERSION;
    r.approval = &a;
    /* An approval begins its time anew, once. */
    r.forgotten_at = now + 2 * rules->expires_s + SM_APPROVAL_KEPT_S;
    SM_TRY(pack(&r, b->arena, &value));
    SM_TRY(sm_approval_key(id, b->arena, key));
    SM_TRY(add(b, SM_PUT, *key, value));
    SM_TRY(write_time(now + rules->expires_s, owner, b->arena, &value));
    SM_TRY(sm_approval_open_key(id, b->arena, &other));
    SM_TRY(add(b, SM_PUT, other, value));
    SM_TRY(write_time(r.forgotten_at, id, b->arena, &time));
    SM_TRY(sm_record_key(SM_APPROVAL_END, time, b->arena, &other));
    return add(b, SM_PUT, other, SM_LIT("1"));
}

static sm_err write_new(sm_api *api, const struct batch *b, sm_slice key,
                        const struct sm_approval_beside *beside, const struct sm_audit *audit)
{
    struct sm_store_cond conds[2] = {{SM_COND_ABSENT, SM_FAMILY_META, key, SM_SLICE_NONE}};
    sm_slice log;
    SM_TRY(sm_audit_pack(audit, b->arena, &log));
    if (beside != NULL) {
        conds[1] = beside->cond;
    }
    sm_store_write op = {.conds = conds,
                         .cond_count = beside == NULL ? 1 : 2,
                         .puts = b->puts,
                         .put_count = b->count,
                         .log = &log,
                         .log_count = 1};
    return sm_store_write_sync(sm_api_store(api), &op);
}

static sm_err check_room(const struct sm_approval_rules *rules, const struct count *c,
                         sm_diag *diag)
{
    if (c->open < rules->queue && c->own < rules->own_queue) {
        return SM_NO_ERR;
    }
    sm_metric_inc(metrics.full);
    return c->open < rules->queue
               ? sm_diag_set(diag, SM_ERR(QUEUE_FULL), "",
                             "%zu requests of the same requester wait for approval already", c->own)
               : sm_diag_set(diag, SM_ERR(QUEUE_FULL), "",
                             "%zu requests wait for approval already: try again later", c->open);
}

static sm_err request_locked(sm_api *api, const struct sm_approval_rules *rules, sm_slice id,
                             const Sealmill__V1__Approval *approval,
                             const struct sm_approval_beside *beside, const struct sm_audit *audit,
                             sm_arena *arena, sm_diag *diag)
{
    struct batch b = {.arena = arena, .puts = sm_arena_alloc(arena, PUTS_MAX * sizeof(*b.puts))};
    struct count c = {.batch = &b, .now = sm_clock_wall_s()};
    uint8_t digest[SM_DIGEST_MAX];
    sm_slice key;
    if (b.puts == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(sm_digest_compute(SM_SHA256, sm_slice_str(approval->requester), digest));
    c.owner = sm_slice_of(digest, OWNER_LEN);
    SM_TRY(count_label(api, approval->label, &c, arena));
    SM_TRY(check_room(rules, &c, diag));
    SM_TRY(forget_old(api, &b));
    SM_TRY(add_rows(&b, rules, id, approval, c.owner, &key));
    if (beside != NULL) {
        b.puts[b.count++] = beside->put;
    }
    SM_TRY(write_new(api, &b, key, beside, audit));
    sm_metric_inc(metrics.requested);
    sm_metric_add(metrics.waiting, 1);
    sm_metric_add(metrics.expired, c.late);
    sm_metric_sub(metrics.waiting, c.late);
    return SM_NO_ERR;
}

sm_err sm_approval_request(sm_api *api, const struct sm_approval_rules *rules, sm_slice id,
                           const Sealmill__V1__Approval *approval,
                           const struct sm_approval_beside *beside, sm_slice correlation_id,
                           sm_arena *arena, sm_diag *diag)
{
    const struct sm_audit audit = {
        .caller = approval->requester,
        .action = "approval.request",
        .outcome = "ok",
        .target = sm_approval_id_text(id, arena),
        .profile = approval->profile,
        .detail = approval->subject,
        .correlation_id = correlation_id,
    };
    if (audit.target == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    (void)pthread_mutex_lock(&api->approval_lock);
    sm_err err = request_locked(api, rules, id, approval, beside, &audit, arena, diag);
    (void)pthread_mutex_unlock(&api->approval_lock);
    return err;
}

/* ---- a step of one that is there ---- */

static bool is_marked(sm_api *api, sm_slice key)
{
    sm_buf value = sm_buf_init(64);
    bool marked = sm_ok(sm_store_get_sync(sm_api_store(api), SM_FAMILY_META, key, &value));
    sm_buf_deinit(&value);
    return marked;
}

static void count_decision(Sealmill__V1__ApprovalState state)
{
    if (state == SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_APPROVED) {
        sm_metric_inc(metrics.approved);
    } else if (state == SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_DENIED) {
        sm_metric_inc(metrics.denied);
    }
}

static sm_err write_locked(sm_api *api, struct sm_approval *a, const struct sm_audit *audit,
                           sm_arena *arena)
{
    sm_slice key;
    sm_slice open;
    sm_slice value;
    Sealmill__V1__ApprovalState state = a->record->approval->state;
    bool decided = state != SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_PENDING;
    SM_TRY(sm_approval_key(a->id, arena, &key));
    SM_TRY(sm_approval_open_key(a->id, arena, &open));
    SM_TRY(pack(a->record, arena, &value));
    bool marked = is_marked(api, open);
    const struct sm_store_cond cond = {SM_COND_EQUALS, SM_FAMILY_META, key, a->old};
    struct sm_change change = {.key = key,
                               .value = value,
                               .conds = &cond,
                               .cond_count = 1,
                               .audit = audit,
                               .gone = &open,
                               .gone_count = decided ? 1 : 0};
    SM_TRY(sm_change_write(sm_api_store(api), &change, arena));
    if (decided) {
        sm_metric_sub(metrics.waiting, marked ? 1 : 0);
        count_decision(state);
    }
    a->old = value;
    return SM_NO_ERR;
}

sm_err sm_approval_write(sm_api *api, struct sm_approval *a, const char *caller, const char *action,
                         sm_slice correlation_id, sm_arena *arena)
{
    const struct sm_audit audit = {
        .caller = caller,
        .action = action,
        .outcome = "ok",
        .target = sm_approval_id_text(a->id, arena),
        .profile = a->record->approval->profile,
        .detail = a->record->approval->reason,
        .correlation_id = correlation_id,
    };
    if (audit.target == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    (void)pthread_mutex_lock(&api->approval_lock);
    sm_err err = write_locked(api, a, &audit, arena);
    (void)pthread_mutex_unlock(&api->approval_lock);
    return err;
}

/* ---- the start ---- */

sm_err sm_approval_start(sm_api *api)
{
    struct count c = {.now = 0}; /* late ones are counted too, until their marks go */
    sm_arena arena;
    (void)pthread_once(&metrics_once, register_metrics);
    sm_arena_init(&arena, 65536);
    sm_err err = count_label(api, NULL, &c, &arena);
    sm_arena_deinit(&arena);
    sm_metric_add(metrics.waiting, c.open);
    return err;
}
