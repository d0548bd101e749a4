/* SPDX-License-Identifier: Apache-2.0 */
/* StatusService: Check and CheckBatch; its rows in the table of methods. */
#include "api/method.h"
#include "api/status_check.h"
#include "api/status_p.h"
#include "base/check.h"

/* ---- Check ---- */

static void answer(sm_status_check *c)
{
    sm_call *call = c->ctx;
    if (sm_ok(c->err)) {
        sm_call_reply(call, &c->response.base);
    } else {
        call->diag = c->diag;
        sm_call_finish(call, c->err);
    }
    sm_status_check_deinit(c);
}

static void on_checked(sm_status_check *c)
{
    sm_call *call = c->ctx;
    answer(c);
    sm_call_release(call);
}

static void start_check(sm_call *call, const ProtobufCMessage *request)
{
    sm_status_check *c = SM_ARENA_NEW(&call->arena, sm_status_check);
    if (c == NULL) {
        sm_call_finish(call, SM_ERR(NO_MEMORY));
        return;
    }
    c->loop = call->loop;
    c->arena = &call->arena;
    c->request = (const Sealmill__V1__CheckStatusRequest *)(const void *)request;
    c->done = on_checked;
    c->ctx = call;
    if (sm_status_check_start(c)) {
        answer(c);
    } else {
        sm_call_hold(call);
    }
}

/* ---- CheckBatch ---- */

struct batch {
    sm_call *call;
    sm_status_check *checks;
    size_t count;
    size_t left;
};

static sm_err fill_results(struct batch *b, Sealmill__V1__CheckStatusBatchResponse *out)
{
    sm_arena *arena = &b->call->arena;
    out->results = sm_arena_alloc(arena, (b->count + 1) * sizeof(*out->results));
    for (size_t i = 0; i < b->count && out->results != NULL; i++) {
        Sealmill__V1__CheckStatusResult *r = SM_ARENA_NEW(arena, Sealmill__V1__CheckStatusResult);
        Sealmill__V1__CheckStatusResponse *response;
        Sealmill__V1__StatusError *error;
        if (r == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        sealmill__v1__check_status_result__init(r);
        sm_status_check_result(&b->checks[i], &response, &error);
        if (response != NULL) {
            r->result_case = SEALMILL__V1__CHECK_STATUS_RESULT__RESULT_RESPONSE;
            r->response = response;
        } else if (error != NULL) {
            r->result_case = SEALMILL__V1__CHECK_STATUS_RESULT__RESULT_ERROR;
            r->error = error;
        } else {
            return SM_ERR(NO_MEMORY);
        }
        out->results[out->n_results++] = r;
    }
    return out->results == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

static void answer_batch(struct batch *b)
{
    Sealmill__V1__CheckStatusBatchResponse response;
    sealmill__v1__check_status_batch_response__init(&response);
    sm_err err = fill_results(b, &response);
    if (sm_ok(err)) {
        sm_call_reply(b->call, &response.base);
    } else {
        sm_call_finish(b->call, err);
    }
    for (size_t i = 0; i < b->count; i++) {
        sm_status_check_deinit(&b->checks[i]);
    }
}

static void on_one_checked(sm_status_check *c)
{
    struct batch *b = c->ctx;
    if (--b->left == 0) {
        sm_call *call = b->call;
        answer_batch(b);
        sm_call_release(call);
    }
}

static void start_all(struct batch *b, Sealmill__V1__CheckStatusRequest *const *requests)
{
    b->left = b->count + 1; /* until all have begun */
    sm_call_hold(b->call);
    for (size_t i = 0; i < b->count; i++) {
        sm_status_check *c = &b->checks[i];
        c->loop = b->call->loop;
        c->arena = &b->call->arena;
        c->request = requests[i];
        c->done = on_one_checked;
        c->ctx = b;
        b->left -= sm_status_check_start(c) ? 1 : 0;
    }
    if (--b->left == 0) {
        sm_call *call = b->call;
        answer_batch(b);
        sm_call_release(call);
    }
}

static void start_batch(sm_call *call, const ProtobufCMessage *request)
{
    const Sealmill__V1__CheckStatusBatchRequest *r =
        (const Sealmill__V1__CheckStatusBatchRequest *)(const void *)request;
    if (r->n_requests > SM_STATUS_BATCH_MAX) {
        sm_call_finish(call, sm_diag_set(&call->diag, SM_ERR(TOO_LARGE), "requests",
                                         "more than %d; CheckStream takes any number",
                                         SM_STATUS_BATCH_MAX));
        return;
    }
    struct batch *b = SM_ARENA_NEW(&call->arena, struct batch);
    if (b != NULL) {
        b->checks = sm_arena_zalloc(&call->arena, (r->n_requests + 1) * sizeof(*b->checks));
    }
    if (b == NULL || b->checks == NULL) {
        sm_call_finish(call, SM_ERR(NO_MEMORY));
        return;
    }
    b->call = call;
    b->count = r->n_requests;
    start_all(b, r->requests);
}

/* ---- rows ---- */

#define SERVICE .service = "sealmill.v1.StatusService", .roles = SM_ROLE_ANY
#define WRITING .service = "sealmill.v1.StatusService", .roles = SM_ROLE_ADMIN | SM_ROLE_OPERATOR

const struct sm_method sm_status_methods[] = {
    {SERVICE, .name = "Check", .request = &sealmill__v1__check_status_request__descriptor,
     .response = &sealmill__v1__check_status_response__descriptor, .http_method = "POST",
     .http_path = "/v1/status:check", .body = true, .start = start_check},
    {SERVICE, .name = "CheckBatch",
     .request = &sealmill__v1__check_status_batch_request__descriptor,
     .response = &sealmill__v1__check_status_batch_response__descriptor, .http_method = "POST",
     .http_path = "/v1/status:checkBatch", .body = true, .start = start_batch},
    {SERVICE, .name = "CheckStream",
     .request = &sealmill__v1__check_status_stream_request__descriptor,
     .response = &sealmill__v1__check_status_stream_response__descriptor, .client_streaming = true,
     .server_streaming = true, .start = sm_status_stream_start,
     .on_message = sm_status_stream_message, .on_half_close = sm_status_stream_half_close,
     .on_writable = sm_status_stream_writable},
    {WRITING, .name = "Import", .request = &sealmill__v1__import_statuses_request__descriptor,
     .response = &sealmill__v1__import_statuses_response__descriptor, .client_streaming = true,
     .server_streaming = true, .start = sm_status_import_start,
     .on_message = sm_status_import_message, .on_half_close = sm_status_import_half_close,
     .on_end = sm_status_import_end},
    {WRITING, .name = "LoadResponses", .request = &sealmill__v1__load_responses_request__descriptor,
     .response = &sealmill__v1__load_responses_response__descriptor, .http_method = "POST",
     .http_path = "/v1/status:loadResponses", .body = true, .work = sm_work_load_responses},
};
const size_t sm_status_method_count = SM_ARRAY_LEN(sm_status_methods);
