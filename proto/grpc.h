/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC on the wire, without HTTP: message frames, status codes, timeouts, rich errors.
 *
 * Threads:   values; one owner at a time.
 * Limits:    a message's size is given to the reader at birth.
 * Security:  lengths are checked before anything is allocated; a compressed message may not
 *            inflate past the same limit.
 * Standards: gRPC over HTTP/2 (PROTOCOL-HTTP2), google.rpc.Code.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"

#define SM_GRPC_FRAME_HEADER 5
#define SM_GRPC_MESSAGE_DEFAULT (4U << 20) /* gRPC's own default receive limit */

enum sm_grpc_status {
    SM_GRPC_OK = 0,
    SM_GRPC_CANCELLED = 1,
    SM_GRPC_UNKNOWN = 2,
    SM_GRPC_INVALID_ARGUMENT = 3,
    SM_GRPC_DEADLINE_EXCEEDED = 4,
    SM_GRPC_NOT_FOUND = 5,
    SM_GRPC_ALREADY_EXISTS = 6,
    SM_GRPC_PERMISSION_DENIED = 7,
    SM_GRPC_RESOURCE_EXHAUSTED = 8,
    SM_GRPC_FAILED_PRECONDITION = 9,
    SM_GRPC_ABORTED = 10,
    SM_GRPC_OUT_OF_RANGE = 11,
    SM_GRPC_UNIMPLEMENTED = 12,
    SM_GRPC_INTERNAL = 13,
    SM_GRPC_UNAVAILABLE = 14,
    SM_GRPC_DATA_LOSS = 15,
    SM_GRPC_UNAUTHENTICATED = 16,
};

/* The one table from our errors to gRPC's. */
enum sm_grpc_status sm_grpc_status_of(sm_err err);
/* And to HTTP's, as google.api.http's mapping of codes does. */
unsigned sm_grpc_http_status(enum sm_grpc_status status);
/* "INVALID_ARGUMENT"; static. */
const char *sm_grpc_status_name(enum sm_grpc_status status);

/* Incremental reader of length-prefixed messages. */
typedef struct sm_grpc_reader {
    sm_buf buf; /* the message under way, when it came in pieces */
    uint8_t header[SM_GRPC_FRAME_HEADER];
    uint8_t header_len;
    bool gzip;     /* the stream's grpc-encoding is gzip: a frame may be compressed */
    uint32_t need; /* octets of the message */
    uint32_t max;
    sm_buf plain; /* inflated */
} sm_grpc_reader;

void sm_grpc_reader_init(sm_grpc_reader *r, uint32_t max, bool gzip);
void sm_grpc_reader_deinit(sm_grpc_reader *r);
/* Takes octets from `*in` (moving it) until one message is whole: true and `*message` borrowed
 * until the next call (it may point into `*in`'s memory: no copy when a frame came whole).
 * False: needs more (then `*in` is empty) or `*err` is set: TOO_LARGE, MALFORMED (bad flag,
 * compressed without an encoding, bad gzip). */
bool sm_grpc_reader_next(sm_grpc_reader *r, sm_slice *in, sm_slice *message, sm_err *err);
/* In the middle of a message: the stream ended too early. */
bool sm_grpc_reader_is_partial(const sm_grpc_reader *r);

/* Appends the 5-octet header for a message of `len` octets. */
void sm_grpc_frame_header(sm_buf *out, uint32_t len, bool compressed);

/* grpc-timeout: 1 to 8 digits and a unit H M S m u n. Errors: MALFORMED. */
SM_FALLIBLE sm_grpc_timeout_parse(sm_slice text, uint64_t *out_ns);
void sm_grpc_timeout_format(uint64_t ns, sm_buf *out);

/* The serialized google.rpc.Status for grpc-status-details-bin: code, message, BadRequest with
 * the field when there is one, ErrorInfo with the error's name (domain "sealmill"), RetryInfo
 * for busy errors, RequestInfo with the correlation id. */
SM_FALLIBLE sm_grpc_details(sm_err err, const sm_diag *diag, sm_slice correlation_id, sm_buf *out);
/* The words for grpc-message: the diag's reason, with the field in front, else the error's
 * words. Not yet percent-encoded. */
void sm_grpc_message(sm_err err, const sm_diag *diag, sm_buf *out);

/* gzip (RFC 1952). Errors: MALFORMED, TOO_LARGE (the buffer's cap), NO_MEMORY. */
SM_FALLIBLE sm_gzip_inflate(sm_slice in, sm_buf *out);
SM_FALLIBLE sm_gzip_deflate(sm_slice in, sm_buf *out);
