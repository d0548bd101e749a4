/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gRPC skin: frames in, frames and trailers out.
 *
 * Threads:   the loop's.
 * Limits:    `message_max` octets a message.
 * Security:  see call.h.
 * Standards: gRPC over HTTP/2 (PROTOCOL-HTTP2).
 */
#pragma once

#include "api/api.h"
#include "io/http.h"

/* Whether this is a gRPC request (by its content-type). */
bool sm_grpc_is_request(const sm_http_exchange *x);
/* Takes the exchange over. */
void sm_grpc_serve(sm_api_loop *loop, sm_http_exchange *x, uint32_t message_max);
