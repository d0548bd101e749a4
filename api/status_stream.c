/* SPDX-License-Identifier: Apache-2.0 */
/* StatusService: CheckStream. */
#include "api/known_caller.h"
#include "api/status_check.h"
#include "api/status_p.h"
#include "base/mem.h"

/* Octets of answers, waiting and still to come, from which a stream's next questions stay in the
 * client's window: 500 answers by P-256 responders. */
#define DUE_HIGH (512U << 10)
#define DUE_LOW (DUE_HIGH / 2)
#define ANSWER_FIRST 4096 /* taken for one before the first is there */
#define ANSWER_MIN 512

struct stream {
    size_t in_flight;
    size_t answer_len; /* of the largest so far */
    bool half_closed;
};

struct item {
    sm_arena arena;
    sm_status_check check;
    Sealmill__V1__CheckStatusRequest nothing; /* for a message without a request */
    sm_call *call;
    uint64_t id;
};

/* What the client will have to take for all that it has asked for. */
static size_t answers_due(sm_call *call)
{
    const struct stream *s = call->user;
    size_t each = s->answer_len == 0 ? ANSWER_FIRST : s->answer_len;
    return sm_http_queued(call->x) + s->in_flight * each;
}

static void maybe_resume(sm_call *call)
{
    if (call->paused && answers_due(call) <= DUE_LOW) {
        sm_call_resume(call);
    }
}

void sm_status_stream_writable(sm_call *call)
{
    if (call->user != NULL) {
        maybe_resume(call);
    }
}

static void maybe_end(sm_call *call)
{
    struct stream *s = call->user;
    if (s->half_closed && s->in_flight == 0 && !call->finished) {
        sm_call_finish(call, SM_NO_ERR);
    }
}

static void send_answer(sm_call *call, uint64_t id, sm_status_check *c)
{
    struct stream *s = call->user;
    Sealmill__V1__CheckStatusStreamResponse answer;
    Sealmill__V1__CheckStatusResponse *response;
    Sealmill__V1__StatusError *error;
    sealmill__v1__check_status_stream_response__init(&answer);
    answer.id = id;
    sm_status_check_result(c, &response, &error);
    if (response != NULL) {
        answer.result_case = SEALMILL__V1__CHECK_STATUS_STREAM_RESPONSE__RESULT_RESPONSE;
        answer.response = response;
    } else {
        answer.result_case = SEALMILL__V1__CHECK_STATUS_STREAM_RESPONSE__RESULT_ERROR;
        answer.error = error;
    }
    size_t before = sm_http_queued(call->x);
    (void)sm_call_send(call, &answer.base);
    size_t len = sm_http_queued(call->x) - before;
    len = len < ANSWER_MIN ? ANSWER_MIN : len;
    s->answer_len = len > s->answer_len ? len : s->answer_len;
}

static void end_item(struct item *item)
{
    sm_status_check_deinit(&item->check);
    sm_arena_deinit(&item->arena);
    sm_free(item);
}

static void on_checked(sm_status_check *c)
{
    struct item *item = SM_CONTAINER_OF(c, struct item, check);
    sm_call *call = item->call;
    struct stream *s = call->user;
    send_answer(call, item->id, c);
    s->in_flight--;
    end_item(item);
    maybe_resume(call);
    maybe_end(call);
    sm_call_release(call);
}

void sm_status_stream_start(sm_call *call, const ProtobufCMessage *request)
{
    (void)request;
    struct stream *s = SM_ARENA_NEW(&call->arena, struct stream);
    if (s == NULL) {
        sm_call_finish(call, SM_ERR(NO_MEMORY));
        return;
    }
    call->user = s;
}

static void start_item(struct item *item)
{
    sm_call *call = item->call;
    struct stream *s = call->user;
    if (sm_status_check_start(&item->check)) {
        send_answer(call, item->id, &item->check);
        end_item(item);
    } else {
        s->in_flight++;
        sm_call_hold(call);
    }
    call->paused = answers_due(call) > DUE_HIGH;
}

void sm_status_stream_message(sm_call *call, const ProtobufCMessage *message, sm_arena *arena)
{
    const Sealmill__V1__CheckStatusStreamRequest *m =
        (const Sealmill__V1__CheckStatusStreamRequest *)(const void *)message;
    sm_err err = sm_known_caller_confirm(call);
    struct item *item = sm_ok(err) ? sm_calloc(1, sizeof(*item)) : NULL;
    if (item == NULL) {
        sm_call_finish(call, sm_ok(err) ? SM_ERR(NO_MEMORY) : err);
        return;
    }
    item->arena = *arena; /* taken over: the message lives in it */
    sm_arena_init(arena, 0);
    item->call = call;
    item->id = m->id;
    item->check.loop = call->loop;
    item->check.arena = &item->arena;
    sealmill__v1__check_status_request__init(&item->nothing);
    item->check.request = m->request == NULL ? &item->nothing : m->request;
    item->check.done = on_checked;
    start_item(item);
}

void sm_status_stream_half_close(sm_call *call)
{
    struct stream *s = call->user;
    s->half_closed = true;
    maybe_end(call);
}
