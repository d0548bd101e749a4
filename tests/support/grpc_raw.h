/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC calls frame by frame, over the HTTP/2 peer of h2_raw.h: a client that leaves calls half
 * done, resets them, and takes no answers.
 *
 * Threads:   the test's.
 * Limits:    those of h2_raw.h: a message fits in one frame.
 * Security:  none.
 * Standards: gRPC over HTTP/2.
 */
#pragma once

#include "tests/support/h2_raw.h"

#include <protobuf-c/protobuf-c.h>

/* The call's header section. `method` is POST where it is right; `token` and `timeout` may be
 * NULL. */
void grpc_raw_call(int fd, uint32_t stream, const char *method, const char *path, const char *token,
                   const char *timeout);
/* One message in one DATA frame; `flags`: 0 or H2_END_STREAM. */
void grpc_raw_message(int fd, uint32_t stream, uint8_t flags, const ProtobufCMessage *message);
/* Reads up to the stream's end: its grpc-status, or -1 when it has none or was reset. `last`, if
 * not NULL, is the last header section. */
int grpc_raw_status(int fd, uint32_t stream, struct h2_frame *last);
