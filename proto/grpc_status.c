/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "proto/grpc.h"

/* Our errors on gRPC's wire. */
static const struct {
    uint32_t code;
    enum sm_grpc_status status;
} table[] = {
    {0, SM_GRPC_OK},
    {SM_E_MALFORMED, SM_GRPC_INVALID_ARGUMENT},
    {SM_E_INVALID, SM_GRPC_INVALID_ARGUMENT},
    {SM_E_TOO_LARGE, SM_GRPC_INVALID_ARGUMENT},
    {SM_E_NOT_FOUND, SM_GRPC_NOT_FOUND},
    {SM_E_EXISTS, SM_GRPC_ALREADY_EXISTS},
    {SM_E_UNSUPPORTED, SM_GRPC_INVALID_ARGUMENT},
    {SM_E_PRECONDITION, SM_GRPC_FAILED_PRECONDITION},
    {SM_E_CONFLICT, SM_GRPC_ABORTED},
    {SM_E_OUT_OF_RANGE, SM_GRPC_OUT_OF_RANGE},
    {SM_E_BAD_SIGNATURE, SM_GRPC_INVALID_ARGUMENT},
    {SM_E_POLICY, SM_GRPC_INVALID_ARGUMENT},
    {SM_E_TRUNCATED, SM_GRPC_INVALID_ARGUMENT},
    {SM_E_UNIMPLEMENTED, SM_GRPC_UNIMPLEMENTED},
    {SM_E_UNAUTHENTICATED, SM_GRPC_UNAUTHENTICATED},
    {SM_E_FORBIDDEN, SM_GRPC_PERMISSION_DENIED},
    {SM_E_EXHAUSTED, SM_GRPC_RESOURCE_EXHAUSTED},
    {SM_E_QUEUE_FULL, SM_GRPC_RESOURCE_EXHAUSTED},
    {SM_E_DRAINING, SM_GRPC_UNAVAILABLE},
    {SM_E_RATE_LIMITED, SM_GRPC_RESOURCE_EXHAUSTED},
    {SM_E_PENDING, SM_GRPC_UNAVAILABLE},
    {SM_E_TIMED_OUT, SM_GRPC_DEADLINE_EXCEEDED},
    {SM_E_CANCELLED, SM_GRPC_CANCELLED},
    {SM_E_CLOSED, SM_GRPC_UNAVAILABLE},
    {SM_E_UNAVAILABLE, SM_GRPC_UNAVAILABLE},
    {SM_E_DISK, SM_GRPC_UNAVAILABLE},
    {SM_E_TOKEN, SM_GRPC_UNAVAILABLE},
    {SM_E_CORRUPT, SM_GRPC_DATA_LOSS},
    {SM_E_CLOCK, SM_GRPC_UNAVAILABLE},
    {SM_E_OS, SM_GRPC_INTERNAL},
    {SM_E_NO_MEMORY, SM_GRPC_RESOURCE_EXHAUSTED},
    {SM_E_INTERNAL, SM_GRPC_INTERNAL},
    {SM_E_CRYPTO, SM_GRPC_INTERNAL},
};

enum sm_grpc_status sm_grpc_status_of(sm_err err)
{
    for (size_t i = 0; i < SM_ARRAY_LEN(table); i++) {
        if (table[i].code == err.code) {
            return table[i].status;
        }
    }
    return SM_GRPC_UNKNOWN;
}

static const struct {
    const char *name;
    unsigned http; /* as google.rpc.code.proto says beside each code */
} statuses[] = {
    {"OK", 200},
    {"CANCELLED", 499},
    {"UNKNOWN", 500},
    {"INVALID_ARGUMENT", 400},
    {"DEADLINE_EXCEEDED", 504},
    {"NOT_FOUND", 404},
    {"ALREADY_EXISTS", 409},
    {"PERMISSION_DENIED", 403},
    {"RESOURCE_EXHAUSTED", 429},
    {"FAILED_PRECONDITION", 400},
    {"ABORTED", 409},
    {"OUT_OF_RANGE", 400},
    {"UNIMPLEMENTED", 501},
    {"INTERNAL", 500},
    {"UNAVAILABLE", 503},
    {"DATA_LOSS", 500},
    {"UNAUTHENTICATED", 401},
};

unsigned sm_grpc_http_status(enum sm_grpc_status status)
{
    return (unsigned)status < SM_ARRAY_LEN(statuses) ? statuses[status].http : 500;
}

const char *sm_grpc_status_name(enum sm_grpc_status status)
{
    return (unsigned)status < SM_ARRAY_LEN(statuses) ? statuses[status].name : "UNKNOWN";
}
