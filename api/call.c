/* SPDX-License-Identifier: Apache-2.0 */
#include "api/call.h"

#include "api/api_p.h"
#include "api/known_caller.h"
#include "api/record.h"
#include "api/refusal.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "proto/grpc.h"

#include <pthread.h>

/* What one call may hold: a page of PAGE_MAX certificates with room for 30 KiB each, and a bound
 * for what a request can make of its few octets. */
#define CALL_ARENA_CAP (32U << 20)

static struct {
    sm_metric ok;
    sm_metric failed[SM_INTERNAL + 1];
    sm_metric time;
} metrics;
static pthread_once_t metrics_once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    static const char name[] = "sealmill_calls_total";
    static const char help[] = "Calls of API methods by outcome";
    static const char *const labels[SM_INTERNAL + 1] = {
        "outcome=\"ok\"",   "outcome=\"input\"",    "outcome=\"denied\"",
        "outcome=\"busy\"", "outcome=\"upstream\"", "outcome=\"internal\"",
    };
    metrics.ok = sm_metric_register(SM_COUNTER, name, help, labels[0]);
    for (int i = SM_INPUT; i <= SM_INTERNAL; i++) {
        metrics.failed[i] = sm_metric_register(SM_COUNTER, name, help, labels[i]);
    }
    metrics.time = sm_metric_register(SM_HISTOGRAM, "sealmill_call_seconds", "Time of unary calls",
                                      NULL);
}

sm_err sm_call_init(sm_call *call, const struct sm_call_skin *skin, const struct sm_method *method,
                    sm_api_loop *loop, sm_http_exchange *x)
{
    (void)pthread_once(&metrics_once, register_metrics);
    call->skin = skin;
    call->method = method;
    call->loop = loop;
    call->x = x;
    call->start_ns = sm_clock_mono_ns();
    call->correlation_id = sm_http_correlation_id(x);
    sm_arena_init(&call->arena, CALL_ARENA_CAP);
    call->arena.secret = method->secret;
    if (method->secret) {
        sm_http_mark_secret(x);
    }
    if (method->roles == SM_ROLE_NONE_NEEDED) {
        return SM_NO_ERR;
    }
    call->world = sm_world_attach(sm_api_of(loop));
    SM_TRY(sm_known_caller_identify(call));
    return sm_caller_require(&call->caller, method->roles, &call->diag);
}

void sm_call_deinit(sm_call *call)
{
    if (call->user != NULL && call->method->on_end != NULL) {
        call->method->on_end(call);
    }
    sm_world_detach(&call->world);
    sm_arena_deinit(&call->arena);
}

bool sm_call_send(sm_call *call, const ProtobufCMessage *message)
{
    return call->gone || call->finished || call->skin->send(call, message);
}

void sm_call_resume(sm_call *call)
{
    if (call->paused) {
        call->paused = false;
        call->skin->resume(call);
    }
}

static void log_failure(const sm_call *call, sm_err err)
{
    /* A client that goes away is no trouble of ours. */
    bool trouble = sm_err_category(err) >= SM_UPSTREAM && !sm_err_is(err, SM_E_CANCELLED);
    enum sm_log_level level = trouble ? SM_LOG_WARN : SM_LOG_INFO;
    sm_log(level, "call_failed", SM_KS("service", call->method->service),
           SM_KS("method", call->method->name), SM_KE("error", err),
           SM_KS("field", call->diag.field), SM_KS("reason", call->diag.reason),
           SM_KS("caller", call->caller.name == NULL ? "-" : call->caller.name),
           SM_KB("peer", sm_http_peer(call->x)), SM_KB("correlation_id", call->correlation_id),
           SM_KEND);
}

void sm_call_finish(sm_call *call, sm_err err)
{
    if (call->finished) {
        return;
    }
    call->finished = true;
    sm_metric_inc(sm_ok(err) ? metrics.ok : metrics.failed[sm_err_category(err)]);
    sm_metric_observe_ns(metrics.time, sm_clock_mono_ns() - call->start_ns);
    if (!sm_ok(err)) {
        log_failure(call, err);
        if (sm_err_is(err, SM_E_FORBIDDEN)) {
            sm_refusal_record(call, call->correlation_id, err, &call->diag);
        }
    }
    if (!call->gone) {
        call->skin->finish(call, err);
    }
}

void sm_call_reply(sm_call *call, const ProtobufCMessage *message)
{
    (void)sm_call_send(call, message);
    sm_call_finish(call, SM_NO_ERR);
}

void sm_call_hold(sm_call *call)
{
    sm_http_hold(call->x);
}

void sm_call_release(sm_call *call)
{
    sm_http_release(call->x);
}

/* ---- blocking methods ---- */

static void work(sm_errand *errand)
{
    sm_call *call = SM_CONTAINER_OF(errand, sm_call, errand);
    call->err = call->method->work(call, call->request, &call->response);
}

static void work_done(sm_errand *errand)
{
    sm_call *call = SM_CONTAINER_OF(errand, sm_call, errand);
    call->loop->errands--;
    if (sm_ok(call->err)) {
        sm_call_reply(call, call->response);
    } else {
        sm_call_finish(call, call->err);
    }
    sm_call_release(call);
}

void sm_call_run(sm_call *call, const ProtobufCMessage *request)
{
    SM_CHECK(!call->finished); /* who was refused must not get here */
    if (call->method->start != NULL) {
        call->method->start(call, request);
        return;
    }
    call->request = request;
    call->response = NULL;
    call->errand.work = work;
    call->errand.done = work_done;
    sm_call_hold(call);
    call->loop->errands++;
    sm_errand_run(sm_api_of(call->loop), sm_api_loop_home(call->loop), &call->errand);
}
