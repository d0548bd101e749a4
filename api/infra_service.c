/* SPDX-License-Identifier: Apache-2.0 */
/* grpc.health.v1 and grpc.reflection. */
#include "api/health.h"
#include "api/method.h"
#include "api/record.h"
#include "base/check.h"
#include "gen/grpc/health/v1/health.pb-c.h"
#include "gen/grpc/reflection/v1/reflection.pb-c.h"
#include "proto/reflect.h"

#include <stdatomic.h>

static _Atomic bool serving;

void sm_health_set(bool value)
{
    atomic_store(&serving, value);
}

const char *sm_health_trouble(sm_api *api)
{
    if (!atomic_load(&serving)) {
        return "it starts or drains";
    }
    if (sm_store_is_up(sm_api_store(api))) {
        return NULL;
    }
    sm_store_probe(
        sm_api_store(api)); /* who is told "not ready" sends nothing that would try again */
    return "the store's disk refuses writes";
}

/* ---- health ---- */

#define TOKEN_SERVICE "pkcs11:" /* and a token's name: its own health */

static bool find_token(sm_api *api, const char *service, struct sm_token_status *out)
{
    sm_tokens *tokens = sm_api_tokens(api);
    size_t skip = sizeof(TOKEN_SERVICE) - 1;
    for (size_t i = 0; strncmp(service, TOKEN_SERVICE, skip) == 0 && i < sm_tokens_count(tokens);
         i++) {
        sm_tokens_status(tokens, i, out);
        if (strcmp(service + skip, out->name) == 0) {
            return true;
        }
    }
    return false;
}

static bool known(sm_api *api, const char *service)
{
    struct sm_token_status status;
    return find_token(api, service, &status) || service[0] == '\0' ||
           sm_method_has_service(sm_slice_str(service));
}

static Grpc__Health__V1__HealthCheckResponse__ServingStatus status_now(sm_api_loop *loop,
                                                                       const char *service)
{
    struct sm_token_status token;
    bool good = find_token(sm_api_of(loop), service, &token)
                    ? token.up
                    : sm_health_trouble(sm_api_of(loop)) == NULL;
    return good ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
}

static void check(sm_call *call, const ProtobufCMessage *request)
{
    const char *service =
        ((const Grpc__Health__V1__HealthCheckRequest *)(const void *)request)->service;
    Grpc__Health__V1__HealthCheckResponse r;
    if (!known(sm_api_of(call->loop), service)) {
        sm_call_finish(call, sm_diag_set(&call->diag, SM_ERR(NOT_FOUND), "service",
                                         "there is no such service here"));
        return;
    }
    grpc__health__v1__health_check_response__init(&r);
    r.status = status_now(call->loop, service);
    sm_call_reply(call, &r.base);
}

#define WATCH_EVERY_MS 500

struct health_watch {
    sm_call *call;
    sm_timer timer;
    const char *service; /* of the call's arena */
    int last;
};

static void on_watch_timer(sm_timer *timer)
{
    struct health_watch *w = SM_CONTAINER_OF(timer, struct health_watch, timer);
    Grpc__Health__V1__HealthCheckResponse r;
    grpc__health__v1__health_check_response__init(&r);
    int now = w->last == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN
                  ? w->last
                  : (int)status_now(w->call->loop, w->service);
    if (now != w->last) {
        w->last = now;
        r.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)now;
        (void)sm_call_send(w->call, &r.base);
    }
    sm_err err = sm_timer_start(sm_http_loop(w->call->x), timer, WATCH_EVERY_MS);
    if (!sm_ok(err)) {
        sm_call_finish(w->call, err);
    }
}

static void watch(sm_call *call, const ProtobufCMessage *request)
{
    const char *service =
        ((const Grpc__Health__V1__HealthCheckRequest *)(const void *)request)->service;
    struct health_watch *w = SM_ARENA_NEW(&call->arena, struct health_watch);
    Grpc__Health__V1__HealthCheckResponse r;
    if (w == NULL) {
        sm_call_finish(call, SM_ERR(NO_MEMORY));
        return;
    }
    grpc__health__v1__health_check_response__init(&r);
    r.status = known(sm_api_of(call->loop), service)
                   ? status_now(call->loop, service)
                   : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
    w->call = call;
    w->service = service;
    w->last = (int)r.status;
    call->user = w;
    (void)sm_call_send(call, &r.base);
    sm_timer_init(&w->timer, on_watch_timer);
    on_watch_timer(&w->timer);
}

static void watch_gone(sm_call *call)
{
    struct health_watch *w = call->user;
    if (w != NULL) {
        sm_timer_stop(sm_http_loop(call->x), &w->timer);
    }
}

/* ---- reflection: v1 and v1alpha are the same messages under two names ---- */

struct files {
    sm_arena *arena;
    ProtobufCBinaryData list[64];
    size_t count;
};

static void add_file(void *ctx, sm_slice file)
{
    struct files *f = ctx;
    union {
        const uint8_t *in;
        uint8_t *out;
    } ptr = {file.ptr};
    if (f->count < 64) {
        f->list[f->count++] = (ProtobufCBinaryData){file.len, ptr.out};
    }
}

static void reflect_error(Grpc__Reflection__V1__ServerReflectionResponse *r,
                          Grpc__Reflection__V1__ErrorResponse *e, int code)
{
    static char words[] = "not found";
    grpc__reflection__v1__error_response__init(e);
    e->error_code = code;
    e->error_message = words;
    r->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    r->error_response = e;
}

static size_t list_services(Grpc__Reflection__V1__ServiceResponse *out,
                            Grpc__Reflection__V1__ServiceResponse **list, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < sm_method_count() && count < max; i++) {
        const char *service = sm_method_at(i)->service;
        bool seen = false;
        for (size_t j = 0; j < count; j++) {
            seen = seen || strcmp(list[j]->name, service) == 0;
        }
        if (!seen) {
            union {
                const char *in;
                char *out;
            } name = {service};
            grpc__reflection__v1__service_response__init(&out[count]);
            out[count].name = name.out;
            list[count] = &out[count];
            count++;
        }
    }
    return count;
}

#define SERVICES_MAX 32
#define GRPC_NOT_FOUND 5

static void reflect(sm_call *call, const ProtobufCMessage *message, sm_arena *arena)
{
    union {
        const ProtobufCMessage *in;
        Grpc__Reflection__V1__ServerReflectionRequest *out;
    } q = {message};
    Grpc__Reflection__V1__ServerReflectionResponse r;
    Grpc__Reflection__V1__FileDescriptorResponse files_response;
    Grpc__Reflection__V1__ListServiceResponse services_response;
    Grpc__Reflection__V1__ExtensionNumberResponse numbers;
    Grpc__Reflection__V1__ErrorResponse error;
    Grpc__Reflection__V1__ServiceResponse services[SERVICES_MAX];
    Grpc__Reflection__V1__ServiceResponse *service_list[SERVICES_MAX];
    struct files files = {.arena = arena, .count = 0};
    sm_slice file;
    sm_err err = SM_ERR(NOT_FOUND);
    grpc__reflection__v1__server_reflection_response__init(&r);
    r.original_request = q.out;
    r.valid_host = q.out->host;
    switch (q.out->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        grpc__reflection__v1__list_service_response__init(&services_response);
        services_response.service = service_list;
        services_response.n_service = list_services(services, service_list, SERVICES_MAX);
        r.message_response_case =
            GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
        r.list_services_response = &services_response;
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        err = sm_reflect_file(sm_slice_str(q.out->file_by_filename), &file);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        err = sm_reflect_symbol(sm_slice_str(q.out->file_containing_symbol), &file);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        if (sm_ok(sm_reflect_symbol(sm_slice_str(q.out->all_extension_numbers_of_type), &file))) {
            grpc__reflection__v1__extension_number_response__init(&numbers); /* it has none */
            numbers.base_type_name = q.out->all_extension_numbers_of_type;
            r.message_response_case =
                GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
            r.all_extension_numbers_response = &numbers;
        }
        break;
    default:
        break; /* no extensions are defined here */
    }
    if (r.message_response_case == 0 && sm_ok(err) &&
        sm_ok(sm_reflect_closure(file, add_file, &files))) {
        grpc__reflection__v1__file_descriptor_response__init(&files_response);
        files_response.file_descriptor_proto = files.list;
        files_response.n_file_descriptor_proto = files.count;
        r.message_response_case =
            GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
        r.file_descriptor_response = &files_response;
    } else if (r.message_response_case == 0) {
        reflect_error(&r, &error, GRPC_NOT_FOUND);
    }
    (void)sm_call_send(call, &r.base);
}

static void reflect_start(sm_call *call, const ProtobufCMessage *request)
{
    (void)request;
    if (!sm_ok(sm_reflect_init())) {
        sm_call_finish(call, SM_ERR(INTERNAL));
    }
}

static void reflect_end(sm_call *call)
{
    sm_call_finish(call, SM_NO_ERR);
}

const struct sm_method sm_infra_methods[] = {
    {.service = "grpc.health.v1.Health",
     .name = "Check",
     .request = &grpc__health__v1__health_check_request__descriptor,
     .response = &grpc__health__v1__health_check_response__descriptor,
     .start = check},
    {.service = "grpc.health.v1.Health",
     .name = "Watch",
     .request = &grpc__health__v1__health_check_request__descriptor,
     .response = &grpc__health__v1__health_check_response__descriptor,
     .server_streaming = true,
     .start = watch,
     .on_gone = watch_gone},
    {.service = "grpc.reflection.v1.ServerReflection",
     .name = "ServerReflectionInfo",
     .request = &grpc__reflection__v1__server_reflection_request__descriptor,
     .response = &grpc__reflection__v1__server_reflection_response__descriptor,
     .client_streaming = true,
     .server_streaming = true,
     .start = reflect_start,
     .on_message = reflect,
     .on_half_close = reflect_end},
    /* v1alpha has the same fields and numbers: its own types are only for its descriptors. */
    {.service = "grpc.reflection.v1alpha.ServerReflection",
     .name = "ServerReflectionInfo",
     .request = &grpc__reflection__v1__server_reflection_request__descriptor,
     .response = &grpc__reflection__v1__server_reflection_response__descriptor,
     .client_streaming = true,
     .server_streaming = true,
     .start = reflect_start,
     .on_message = reflect,
     .on_half_close = reflect_end},
};
const size_t sm_infra_method_count = SM_ARRAY_LEN(sm_infra_methods);
