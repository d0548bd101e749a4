/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON skin: the same methods by paths and verbs.
 *
 * Threads:   the loop's.
 * Limits:    `body_max` octets a request.
 * Security:  see call.h.
 * Standards: google.api.http; errors as google.rpc.Status in JSON.
 */
#pragma once

#include "api/api.h"
#include "io/http.h"

/* Takes the exchange over; an unknown path is answered 404, a known one with another verb 405. */
void sm_json_serve(sm_api_loop *loop, sm_http_exchange *x, uint64_t body_max);
