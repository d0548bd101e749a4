/* SPDX-License-Identifier: Apache-2.0 */
/* CertificateService: Issue and IssueStream. */
#include "api/certificate_p.h"

#include "api/api_p.h"
#include "api/issue.h"
#include "api/known_caller.h"
#include "api/record.h"
#include "api/refusal.h"
#include "api/world.h"
#include "base/mem.h"
#include "proto/grpc.h"
#include "proto/message.h"

#include <stdio.h>

/* ---- Issue ---- */

static void on_issued(sm_issue *issue)
{
    sm_call *call = issue->ctx;
    if (sm_ok(issue->err)) {
        sm_call_reply(call, &issue->response.base);
    } else {
        call->diag = issue->diag;
        sm_call_finish(call, issue->err);
    }
    sm_call_release(call);
}

sm_issue *sm_issue_new(sm_call *call, const Sealmill__V1__IssueRequest *request)
{
    sm_issue *issue = SM_ARENA_NEW(&call->arena, sm_issue);
    if (issue != NULL) {
        issue->loop = call->loop;
        issue->arena = &call->arena;
        issue->request = request;
        issue->caller = &call->caller;
        issue->correlation_id = call->correlation_id;
        issue->done = on_issued;
        issue->ctx = call;
    }
    return issue;
}

void sm_start_issue(sm_call *call, const ProtobufCMessage *request)
{
    sm_issue *issue = sm_issue_new(call, (const Sealmill__V1__IssueRequest *)(const void *)request);
    if (issue == NULL) {
        sm_call_finish(call, SM_ERR(NO_MEMORY));
        return;
    }
    call->user = issue;
    sm_call_hold(call);
    sm_issue_start(issue);
}

/* Nobody takes the certificate: it is not signed, if that is not done yet. */
void sm_issue_gone(sm_call *call)
{
    if (call->user != NULL) { /* the request was complete */
        sm_issue_cancel(call->user);
    }
}

/* ---- IssueStream ---- */

/* Octets of answers, waiting and still to come, from which a stream's next requests stay in the
 * client's window: 350 certificates of P-256 keys with their chain, some milliseconds of work. */
#define STREAM_DUE_HIGH (512U << 10)
#define STREAM_DUE_LOW (STREAM_DUE_HIGH / 2)
#define STREAM_ANSWER_FIRST 16384 /* taken for one before the first is there */
#define STREAM_ANSWER_MIN 1024

struct stream {
    sm_list items; /* under way */
    size_t in_flight;
    size_t answer_len; /* of the largest so far */
    bool half_closed;
};

#define ITEM_ID_SIZE 96 /* 64 octets of a given id, 20 digits */

struct stream_item {
    sm_list node;
    sm_arena arena;
    sm_issue issue;
    sm_call *call;
    uint64_t id;
    char correlation_id[ITEM_ID_SIZE];
};

/* What the client will have to take for all that it has asked for. */
static size_t answers_due(sm_call *call)
{
    const struct stream *s = call->user;
    size_t each = s->answer_len == 0 ? STREAM_ANSWER_FIRST : s->answer_len;
    return sm_http_queued(call->x) + s->in_flight * each;
}

static void maybe_resume(sm_call *call)
{
    if (call->paused && answers_due(call) <= STREAM_DUE_LOW) {
        sm_call_resume(call);
    }
}

void sm_issue_stream_writable(sm_call *call)
{
    if (call->user != NULL) {
        maybe_resume(call);
    }
}

static void maybe_end(sm_call *call)
{
    struct stream *s = call->user;
    if (s->half_closed && s->in_flight == 0) {
        sm_call_finish(call, SM_NO_ERR);
    }
}

/* The stream's, and the client's number for the item. */
static sm_slice item_correlation_id(const sm_call *call, uint64_t id, char out[ITEM_ID_SIZE])
{
    int n = snprintf(out, ITEM_ID_SIZE, "%.*s-%llu", (int)call->correlation_id.len,
                     (const char *)call->correlation_id.ptr, (unsigned long long)id);
    return sm_slice_of(out, (size_t)n);
}

static void answer_item(sm_call *call, uint64_t id, const sm_issue *issue, sm_err err,
                        const sm_diag *diag)
{
    struct stream *s = call->user;
    Sealmill__V1__IssueStreamResponse answer;
    Sealmill__V1__IssueError error;
    Sealmill__V1__IssueResponse response;
    sm_diag copy = *diag;
    char correlation_id[ITEM_ID_SIZE];
    sm_buf text = sm_buf_init(1024);
    sealmill__v1__issue_stream_response__init(&answer);
    sealmill__v1__issue_error__init(&error);
    answer.id = id;
    if (sm_ok(err)) {
        response = issue->response;
        answer.result_case = SEALMILL__V1__ISSUE_STREAM_RESPONSE__RESULT_RESPONSE;
        answer.response = &response;
    } else {
        sm_grpc_message(err, &copy, &text);
        sm_buf_put_byte(&text, 0);
        answer.result_case = SEALMILL__V1__ISSUE_STREAM_RESPONSE__RESULT_ERROR;
        answer.error = &error;
        error.code = (int32_t)sm_grpc_status_of(err);
        error.field = copy.field;
        (void)item_correlation_id(call, id, correlation_id);
        error.correlation_id = correlation_id;
        if (sm_ok(sm_buf_err(&text))) {
            error.message = (char *)text.ptr;
        }
    }
    size_t before = sm_http_queued(call->x);
    (void)sm_call_send(call, &answer.base);
    size_t len = sm_http_queued(call->x) - before;
    len = len < STREAM_ANSWER_MIN ? STREAM_ANSWER_MIN : len;
    s->answer_len = len > s->answer_len ? len : s->answer_len;
    sm_buf_deinit(&text);
}

static void on_item_issued(sm_issue *issue)
{
    struct stream_item *item = SM_CONTAINER_OF(issue, struct stream_item, issue);
    sm_call *call = item->call;
    struct stream *s = call->user;
    answer_item(call, item->id, issue, issue->err, &issue->diag);
    if (sm_err_is(issue->err, SM_E_FORBIDDEN)) {
        sm_refusal_record(call, issue->correlation_id, issue->err, &issue->diag);
    }
    s->in_flight--;
    sm_list_remove(&item->node);
    sm_arena_deinit(&item->arena);
    sm_free(item);
    maybe_resume(call);
    maybe_end(call);
    sm_call_release(call);
}

void sm_start_issue_stream(sm_call *call, const ProtobufCMessage *request)
{
    (void)request;
    struct stream *s = SM_ARENA_NEW(&call->arena, struct stream);
    if (s == NULL) {
        sm_call_finish(call, SM_ERR(NO_MEMORY));
        return;
    }
    sm_list_init(&s->items);
    call->user = s;
}

void sm_issue_stream_gone(sm_call *call)
{
    struct stream *s = call->user;
    if (s == NULL) {
        return;
    }
    SM_LIST_FOR(node, &s->items)
    {
        sm_issue_cancel(&SM_CONTAINER_OF(node, struct stream_item, node)->issue);
    }
}

void sm_issue_stream_message(sm_call *call, const ProtobufCMessage *message, sm_arena *arena)
{
    struct stream *s = call->user;
    const Sealmill__V1__IssueStreamRequest *m =
        (const Sealmill__V1__IssueStreamRequest *)(const void *)message;
    sm_diag diag = {.reason = ""};
    struct stream_item *item = NULL;
    sm_err err = sm_known_caller_confirm(call);
    if (!sm_ok(err)) {
        sm_call_finish(call, err); /* what is under way was asked for in time; it is in the log */
        return;
    }
    if (m->request == NULL) {
        err = sm_diag_set(&diag, SM_ERR(INVALID), "request", "it is missing");
    } else {
        item = sm_calloc(1, sizeof(*item));
        err = item == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
    }
    if (!sm_ok(err)) {
        answer_item(call, m->id, NULL, err, &diag);
        return;
    }
    item->arena = *arena; /* taken over: the message lives in it */
    sm_arena_init(arena, 0);
    item->call = call;
    item->id = m->id;
    item->issue.loop = call->loop;
    item->issue.arena = &item->arena;
    item->issue.request = m->request;
    item->issue.caller = &call->caller;
    item->issue.correlation_id = item_correlation_id(call, m->id, item->correlation_id);
    item->issue.done = on_item_issued;
    s->in_flight++;
    sm_list_push_back(&s->items, &item->node);
    sm_call_hold(call);
    sm_issue_start(&item->issue);
    call->paused = answers_due(call) > STREAM_DUE_HIGH;
}

void sm_issue_stream_half_close(sm_call *call)
{
    struct stream *s = call->user;
    s->half_closed = true;
    maybe_end(call);
}
