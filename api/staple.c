/* SPDX-License-Identifier: Apache-2.0 */
#include "api/staple.h"

#include "api/ocsp_query.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

#define QUERY_MEMORY (1U << 20)

/* One certificate of a listener. */
struct target {
    sm_staples *owner;
    sm_tls_server *server;
    size_t at;
    sm_buf leaf; /* DER; empty: not looked at yet */
    sm_slice serial;
    uint64_t world; /* in which its issuer was looked for */
    uint32_t ca_id; /* 0: none of ours */
    uint32_t generation;
    sm_buf response; /* that is stapled; empty: none */
    int64_t next_update;
    uint64_t signed_ns; /* when a fresh answer was asked for last; 0: never */
    bool busy;
    sm_arena arena;
    sm_world *held;
    sm_ocsp_query query;
};

struct sm_staples {
    sm_loop *loop;
    sm_api_loop *api;
    sm_timer timer;
    sm_metric with_staple;
    struct target *targets;
    size_t count;
    size_t busy;
};

/* ---- the listener's side ---- */

static void set_staple(struct target *t, sm_slice response, int64_t next_update)
{
    sm_err err = sm_tls_server_staple(t->server, t->at, sm_buf_slice(&t->leaf), response);
    sm_buf_reset(&t->response);
    if (sm_ok(err)) {
        sm_buf_put(&t->response, response);
        t->next_update = next_update;
    } else if (!sm_err_is(err, SM_E_NOT_FOUND)) {
        sm_log(SM_LOG_WARN, "staple_not_set", SM_KE("error", err), SM_KEND);
    }
}

static void remove_if_stale(struct target *t, int64_t now)
{
    if (t->response.len > 0 && t->next_update <= now) {
        sm_log(SM_LOG_WARN, "staple_removed", SM_KU("ca", t->ca_id),
               SM_KS("reason", "its nextUpdate is past, and there is no other"), SM_KEND);
        set_staple(t, SM_SLICE_NONE, 0);
    }
}

/* ---- answers ---- */

static bool is_usable(const sm_ocsp_query *q, int64_t now)
{
    return q->error == 0 && sm_ok(sm_buf_err(&q->response)) && q->said.status != SM_OCSP_UNKNOWN &&
           q->said.next_update > now;
}

static void take_answer(struct target *t)
{
    int64_t now = sm_clock_wall_s();
    const sm_ocsp_query *q = &t->query;
    if (is_usable(q, now)) {
        if (!sm_slice_equal(sm_buf_slice(&q->response), sm_buf_slice(&t->response))) {
            set_staple(t, sm_buf_slice(&q->response), q->said.next_update);
        }
    } else if (q->error == 0 && q->said.status == SM_OCSP_UNKNOWN && t->response.len > 0) {
        set_staple(t, SM_SLICE_NONE, 0);
    }
    remove_if_stale(t, now);
}

static void count_staples(sm_staples *s)
{
    size_t with = 0;
    for (size_t i = 0; i < s->count; i++) {
        with += s->targets[i].response.len > 0 ? 1 : 0;
    }
    sm_metric_set(s->with_staple, (int64_t)with);
}

static void end_query(struct target *t)
{
    take_answer(t);
    sm_buf_deinit(&t->query.response);
    sm_world_detach(&t->held);
    sm_arena_deinit(&t->arena);
}

static void on_answered(sm_ocsp_query *q)
{
    struct target *t = q->ctx;
    end_query(t);
    t->busy = false;
    t->owner->busy--;
    count_staples(t->owner);
}

/* ---- questions ---- */

/* How long a kept answer must be good for: not at all, while a fresh one was asked for just now. */
static int64_t min_left(struct target *t, const struct sm_ocsp_responder *r)
{
    uint64_t now_ns = sm_clock_mono_ns();
    bool just_now = t->signed_ns != 0 &&
                    now_ns - t->signed_ns < SM_STAPLE_SIGN_EACH_S * SM_NS_PER_S;
    int64_t half = r->rules.validity_s / 2;
    if (just_now || t->next_update > sm_clock_wall_s() + half) {
        return 0;
    }
    t->signed_ns = now_ns;
    return half;
}

static void ask(struct target *t, const struct sm_ca_generation *g)
{
    sm_arena_init(&t->arena, QUERY_MEMORY);
    t->query = (sm_ocsp_query){.loop = t->owner->api,
                               .arena = &t->arena,
                               .min_left_s = min_left(t, g->ocsp),
                               .done = on_answered,
                               .ctx = t,
                               .response = sm_buf_init(SM_TLS_STAPLE_MAX)};
    if (sm_ocsp_query_start_for(&t->query, g, SM_OCSP_SHA1, t->serial)) {
        end_query(t);
    } else {
        t->busy = true;
        t->owner->busy++;
    }
}

/* ---- which certificate, which issuer ---- */

static sm_err look_at_leaf(struct target *t, bool *changed)
{
    sm_buf now = sm_buf_init(SM_CERT_MAX);
    sm_err err = sm_tls_server_leaf(t->server, t->at, &now);
    *changed = sm_ok(err) && !sm_slice_equal(sm_buf_slice(&now), sm_buf_slice(&t->leaf));
    if (*changed) {
        sm_buf old = t->leaf;
        t->leaf = now;
        now = old;
    }
    sm_buf_deinit(&now);
    return err;
}

static void look_for_issuer(struct target *t, const sm_world *w)
{
    static struct sm_cert cert; /* the loop's alone */
    t->world = w->number;
    t->ca_id = 0;
    if (!sm_ok(sm_cert_parse(sm_buf_slice(&t->leaf), &cert, NULL))) {
        return;
    }
    t->serial = cert.serial;
    const struct sm_ca_generation *g = sm_ocsp_issuer_of(w, &cert);
    if (g != NULL) {
        t->ca_id = g->ca_id;
        t->generation = g->number;
    }
}

static const struct sm_ca_generation *issuer_of(struct target *t, bool changed)
{
    if (changed || t->world != t->held->number) {
        look_for_issuer(t, t->held);
    }
    const struct sm_ca *ca = t->ca_id == 0 ? NULL : sm_world_ca_by_id(t->held, t->ca_id);
    const struct sm_ca_generation *g = ca == NULL ? NULL : sm_ca_generation(ca, t->generation);
    return g == NULL || g->ocsp == NULL ? NULL : g;
}

static void look(struct target *t)
{
    bool changed;
    if (t->busy || !sm_ok(look_at_leaf(t, &changed))) {
        return;
    }
    if (changed) { /* the reload has forgotten the staple */
        sm_buf_reset(&t->response);
        t->next_update = 0;
        t->signed_ns = 0;
    }
    t->held = sm_world_attach(sm_api_of(t->owner->api));
    const struct sm_ca_generation *g = issuer_of(t, changed);
    if (g != NULL) {
        ask(t, g);
        return;
    }
    sm_world_detach(&t->held);
    if (t->response.len > 0) {
        set_staple(t, SM_SLICE_NONE, 0);
    }
}

/* ---- the timer ---- */

static void on_fire(sm_timer *timer)
{
    sm_staples *s = SM_CONTAINER_OF(timer, sm_staples, timer);
    for (size_t i = 0; i < s->count; i++) {
        look(&s->targets[i]);
    }
    count_staples(s);
    if (!sm_ok(sm_timer_start(s->loop, timer, SM_STAPLE_LOOK_MS))) {
        sm_log(SM_LOG_ERROR, "stapling_stopped", SM_KS("reason", "out of memory"), SM_KEND);
    }
}

/* ---- life ---- */

static void add_targets(sm_staples *s, sm_tls_server *const *servers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t certificates = sm_tls_server_certificate_count(servers[i]);
        for (size_t at = 0; at < certificates; at++) {
            s->targets[s->count++] = (struct target){.owner = s,
                                                     .server = servers[i],
                                                     .at = at,
                                                     .leaf = sm_buf_init(SM_CERT_MAX),
                                                     .response = sm_buf_init(SM_TLS_STAPLE_MAX)};
        }
    }
}

sm_err sm_staples_new(sm_loop *loop, sm_api_loop *api, sm_tls_server *const *servers, size_t count,
                      sm_staples **out)
{
    size_t total = 0;
    if (count > SM_STAPLE_SERVERS_MAX) {
        return SM_ERR(TOO_LARGE);
    }
    for (size_t i = 0; i < count; i++) {
        total += sm_tls_server_certificate_count(servers[i]);
    }
    sm_staples *s = sm_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    s->loop = loop;
    s->api = api;
    s->targets = sm_calloc(total + 1, sizeof(*s->targets));
    s->with_staple = sm_metric_register(SM_GAUGE, "sealmill_tls_staples",
                                        "Listeners' certificates with a stapled OCSP answer", NULL);
    sm_timer_init(&s->timer, on_fire);
    sm_err err = s->targets == NULL ? SM_ERR(NO_MEMORY) : sm_timer_start(loop, &s->timer, 0);
    if (!sm_ok(err)) {
        sm_staples_free(&s);
        return err;
    }
    add_targets(s, servers, count);
    *out = s;
    return SM_NO_ERR;
}

void sm_staples_stop(sm_staples *s)
{
    if (s != NULL) {
        sm_timer_stop(s->loop, &s->timer);
    }
}

bool sm_staples_is_idle(const sm_staples *s)
{
    return s == NULL || s->busy == 0;
}

void sm_staples_free(sm_staples **out)
{
    sm_staples *s = *out;
    if (s == NULL) {
        return;
    }
    *out = NULL;
    sm_staples_stop(s);
    for (size_t i = 0; i < s->count; i++) {
        sm_buf_deinit(&s->targets[i].leaf);
        sm_buf_deinit(&s->targets[i].response);
    }
    sm_free(s->targets);
    sm_free(s);
}
