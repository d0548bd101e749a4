/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/grpc.h"

#include "google/protobuf/any.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"

#include <stdio.h>

#define RETRY_SECONDS 1 /* what a busy answer advises */
#define DETAILS_MAX 4

void sm_grpc_message(sm_err err, const sm_diag *diag, sm_buf *out)
{
    if (diag == NULL || diag->reason[0] == '\0') {
        sm_buf_put_str(out, sm_err_words(err));
        return;
    }
    if (diag->field[0] != '\0') {
        sm_buf_put_str(out, diag->field);
        sm_buf_put_str(out, ": ");
    }
    sm_buf_put_str(out, diag->reason);
}

/* Details under way: each message packed into `bytes`, wrapped in an Any. */
struct details {
    Google__Protobuf__Any any[DETAILS_MAX];
    Google__Protobuf__Any *list[DETAILS_MAX];
    uint8_t bytes[DETAILS_MAX][640];
    size_t count;
};

static char url_bad_request[] = "type.googleapis.com/google.rpc.BadRequest";
static char url_error_info[] = "type.googleapis.com/google.rpc.ErrorInfo";
static char url_retry_info[] = "type.googleapis.com/google.rpc.RetryInfo";
static char url_request_info[] = "type.googleapis.com/google.rpc.RequestInfo";

static void add(struct details *d, char *url, const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    if (len > sizeof(d->bytes[0])) {
        return;
    }
    google__protobuf__any__init(&d->any[d->count]);
    d->any[d->count].type_url = url;
    d->any[d->count].value.data = d->bytes[d->count];
    d->any[d->count].value.len = protobuf_c_message_pack(message, d->bytes[d->count]);
    d->list[d->count] = &d->any[d->count];
    d->count++;
}

static void add_bad_request(struct details *d, const sm_diag *diag)
{
    sm_diag copy = *diag;
    Google__Rpc__BadRequest__FieldViolation violation;
    google__rpc__bad_request__field_violation__init(&violation);
    Google__Rpc__BadRequest__FieldViolation *violations[] = {&violation};
    Google__Rpc__BadRequest bad;
    google__rpc__bad_request__init(&bad);
    violation.field = copy.field;
    violation.description = copy.reason;
    bad.n_field_violations = 1;
    bad.field_violations = violations;
    add(d, url_bad_request, &bad.base);
}

static void add_error_info(struct details *d, sm_err err)
{
    char reason[32];
    char domain[] = "sealmill";
    Google__Rpc__ErrorInfo info;
    google__rpc__error_info__init(&info);
    (void)snprintf(reason, sizeof(reason), "%s", sm_err_name(err));
    for (char *c = reason; *c != '\0'; c++) {
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c); /* reasons are UPPER_SNAKE_CASE */
    }
    info.reason = reason;
    info.domain = domain;
    add(d, url_error_info, &info.base);
}

static void add_retry_info(struct details *d)
{
    Google__Protobuf__Duration delay;
    google__protobuf__duration__init(&delay);
    Google__Rpc__RetryInfo retry;
    google__rpc__retry_info__init(&retry);
    delay.seconds = RETRY_SECONDS;
    retry.retry_delay = &delay;
    add(d, url_retry_info, &retry.base);
}

static void add_request_info(struct details *d, sm_slice correlation_id)
{
    char id[80];
    Google__Rpc__RequestInfo info;
    google__rpc__request_info__init(&info);
    (void)snprintf(id, sizeof(id), "%.*s", (int)(correlation_id.len > 64 ? 64 : correlation_id.len),
                   (const char *)correlation_id.ptr);
    info.request_id = id;
    add(d, url_request_info, &info.base);
}

sm_err sm_grpc_details(sm_err err, const sm_diag *diag, sm_slice correlation_id, sm_buf *out)
{
    struct details d = {.count = 0};
    if (diag != NULL && diag->field[0] != '\0' && sm_err_category(err) == SM_INPUT) {
        add_bad_request(&d, diag);
    }
    add_error_info(&d, err);
    if (sm_err_category(err) == SM_BUSY) {
        add_retry_info(&d);
    }
    if (correlation_id.len > 0) {
        add_request_info(&d, correlation_id);
    }
    sm_buf message = sm_buf_init(1024);
    sm_grpc_message(err, diag, &message);
    sm_buf_put_byte(&message, 0);
    Google__Rpc__Status status;
    google__rpc__status__init(&status);
    status.code = (int32_t)sm_grpc_status_of(err);
    status.message = sm_ok(sm_buf_err(&message)) ? (char *)message.ptr : NULL;
    status.n_details = d.count;
    status.details = d.list;
    size_t len = google__rpc__status__get_packed_size(&status);
    uint8_t *to = sm_buf_reserve(out, len);
    if (to != NULL) {
        sm_buf_commit(out, google__rpc__status__pack(&status, to));
    }
    sm_buf_deinit(&message);
    return sm_buf_err(out);
}
