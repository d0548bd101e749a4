/* SPDX-License-Identifier: Apache-2.0 */
#include "api/refusal.h"

#include "api/api_p.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

#include <stdio.h>

struct refusal {
    sm_store_write write;
    sm_api_loop *loop;
    sm_arena arena;
    sm_slice log;
};

static sm_metric suppressed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    suppressed = sm_metric_register(SM_COUNTER, "sealmill_audit_refusals_suppressed_total",
                                    "Refused calls that left no audit record, being too many",
                                    NULL);
}

static void free_refusal(struct refusal *r)
{
    r->loop->pending--;
    sm_arena_deinit(&r->arena);
    sm_free(r);
}

static void on_written(sm_store_write *op)
{
    struct refusal *r = SM_CONTAINER_OF(op, struct refusal, write);
    if (!sm_ok(op->err)) {
        sm_log(SM_LOG_WARN, "audit_record_lost", SM_KE("error", op->err), SM_KEND);
    }
    free_refusal(r);
}

static sm_err pack(struct refusal *r, const sm_call *call, sm_slice correlation_id, sm_err err,
                   const sm_diag *diag)
{
    char action[128];
    (void)snprintf(action, sizeof(action), "%s/%s", call->method->service, call->method->name);
    const struct sm_audit audit = {
        .caller = call->caller.name,
        .action = action,
        .outcome = sm_err_name(err),
        .target = call->target,
        .detail = diag->reason,
        .correlation_id = correlation_id,
    };
    return sm_audit_pack(&audit, &r->arena, &r->log);
}

static void write_record(const sm_call *call, sm_slice correlation_id, sm_err why,
                         const sm_diag *diag)
{
    struct refusal *r = sm_calloc(1, sizeof(*r));
    if (r == NULL) {
        sm_metric_inc(suppressed);
        return;
    }
    sm_arena_init(&r->arena, 65536);
    r->loop = call->loop;
    r->loop->pending++; /* the loop waits for it at its end */
    sm_err err = pack(r, call, correlation_id, why, diag);
    r->write = (sm_store_write){
        .home = sm_api_loop_home(call->loop), .log = &r->log, .log_count = 1, .done = on_written};
    err = sm_ok(err) ? sm_store_submit_write(sm_api_store(sm_api_of(call->loop)), &r->write) : err;
    if (!sm_ok(err)) {
        sm_metric_inc(suppressed);
        free_refusal(r);
    }
}

void sm_refusal_record(const sm_call *call, sm_slice correlation_id, sm_err err,
                       const sm_diag *diag)
{
    (void)pthread_once(&once, register_metrics);
    if (call->caller.name == NULL || strcmp(call->caller.method, "none") == 0) {
        return;
    }
    if (sm_rate_take(&sm_api_of(call->loop)->refusals, SM_REFUSALS_PER_SECOND,
                     sm_clock_mono_ns())) {
        write_record(call, correlation_id, err, diag);
    } else {
        sm_metric_inc(suppressed);
    }
}
