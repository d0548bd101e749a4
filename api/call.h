/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of a method, whether it came as gRPC or as JSON: the thin skin's seam.
 *
 * A method is a row of a table (method.h). The skin parses the request, finds the caller, checks
 * the role, and calls the row's handler; the handler answers through the functions here, at once
 * or later, on the call's loop.
 *
 * Threads:   the loop's. A `work` handler runs on a service thread and only touches its own call.
 * Limits:    messages of SM_GRPC_MESSAGE_DEFAULT octets, or the listener's own limit.
 * Security:  no handler runs before the role was checked.
 * Standards: gRPC over HTTP/2; google.api.http mapping.
 */
#pragma once

#include "api/api.h"
#include "api/caller.h"
#include "base/arena.h"
#include "io/http.h"

#include <protobuf-c/protobuf-c.h>

typedef struct sm_call sm_call;

struct sm_method {
    const char *service; /* "sealmill.v1.CertificateService" */
    const char *name;    /* "Issue" */
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    unsigned roles; /* sm_role_bits, of which the caller needs one */
    bool client_streaming;
    bool server_streaming;
    bool
        secret; /* its request or its answer has secrets: what has them in memory is wiped; unary */
    /* JSON: "POST", "/v1/certificates/{serial}:renew"; `body` says whether the body is the
     * message, or `body_field` a field of it. NULL: gRPC alone. */
    const char *http_method;
    const char *http_path;
    const char *body_field;
    bool body;
    /* One of these. `work`: blocking, on a service thread: sets *response (in the call's arena).
     * `start`: on the loop, answers by itself. */
    sm_err (*work)(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response);
    void (*start)(sm_call *call, const ProtobufCMessage *request);
    /* Client streams: each message, then the half-close. */
    void (*on_message)(sm_call *call, const ProtobufCMessage *message, sm_arena *arena);
    void (*on_half_close)(sm_call *call);
    /* There is room again after sm_call_send said false; with it messages come again. */
    void (*on_writable)(sm_call *call);
    /* The peer has gone, or the deadline has passed; the memory lives until every hold is
     * released. */
    void (*on_gone)(sm_call *call);
    /* Its memory ends, whatever became of it: frees what `user` owns besides. */
    void (*on_end)(sm_call *call);
};

struct sm_call_skin {
    bool (*send)(sm_call *call, const ProtobufCMessage *message);
    void (*finish)(sm_call *call, sm_err err);
    void (*resume)(sm_call *call); /* of client streams */
};

struct sm_call {
    const struct sm_call_skin *skin;
    const struct sm_method *method;
    sm_api_loop *loop;
    sm_http_exchange *x;
    sm_arena arena;
    sm_world *world; /* of the caller's grants */
    struct sm_caller caller;
    uint64_t seen_world; /* what the caller was confirmed with last */
    uint64_t seen_changes;
    sm_diag diag;
    sm_slice correlation_id;
    const char *target; /* what it is about, for the audit; NULL: not known */
    void *user;         /* the handler's */
    bool finished;      /* an answer was given */
    bool gone;          /* nobody waits for one */
    bool paused;        /* no message is wanted: set inside on_message, ended by sm_call_resume */
    /* work handlers */
    sm_errand errand;
    const ProtobufCMessage *request;
    ProtobufCMessage *response;
    sm_err err;
    uint64_t start_ns;
};

/* Initialises the common part: identifies the caller, checks the role. Errors: UNAUTHENTICATED,
 * FORBIDDEN; the diag is the call's. */
SM_FALLIBLE sm_call_init(sm_call *call, const struct sm_call_skin *skin,
                         const struct sm_method *method, sm_api_loop *loop, sm_http_exchange *x);
void sm_call_deinit(sm_call *call);
/* Runs the method with this request (in the call's arena). */
void sm_call_run(sm_call *call, const ProtobufCMessage *request);

/* One message; false: wait for on_writable. */
bool sm_call_send(sm_call *call, const ProtobufCMessage *message);
/* Messages come again after the call was paused; perhaps inside. */
void sm_call_resume(sm_call *call);
/* The end, with an error or without. Counts and logs it. */
void sm_call_finish(sm_call *call, sm_err err);
/* A unary answer: send and finish. */
void sm_call_reply(sm_call *call, const ProtobufCMessage *message);
void sm_call_hold(sm_call *call);
void sm_call_release(sm_call *call);
