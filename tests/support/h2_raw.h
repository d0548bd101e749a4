/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/2 peer that writes frames octet by octet, so that it can break every rule, and reads what
 * comes back frame by frame.
 *
 * Threads:   the test's; one connection at a time (its HPACK state is one).
 * Limits:    H2_RAW_FRAME octets of a frame read, H2_RAW_BLOCK of a field section written.
 * Security:  none.
 * Standards: RFC 9113, RFC 7541.
 */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define H2_RAW_FRAME 16384U
#define H2_RAW_BLOCK 65536U

enum h2_type {
    H2_DATA,
    H2_HEADERS,
    H2_PRIORITY,
    H2_RST_STREAM,
    H2_SETTINGS,
    H2_PUSH_PROMISE,
    H2_PING,
    H2_GOAWAY,
    H2_WINDOW_UPDATE,
    H2_CONTINUATION,
};

#define H2_ACK 0x01U
#define H2_END_STREAM 0x01U
#define H2_END_HEADERS 0x04U
#define H2_PADDED 0x08U
#define H2_WITH_PRIORITY 0x20U

enum h2_error {
    H2_NO_ERROR,
    H2_PROTOCOL_ERROR,
    H2_INTERNAL_ERROR,
    H2_FLOW_CONTROL_ERROR,
    H2_SETTINGS_TIMEOUT,
    H2_STREAM_CLOSED,
    H2_FRAME_SIZE_ERROR,
    H2_REFUSED_STREAM,
    H2_CANCEL,
    H2_COMPRESSION_ERROR,
    H2_CONNECT_ERROR,
    H2_ENHANCE_YOUR_CALM,
};

/* Errors as a set: H2_ONE(H2_PROTOCOL_ERROR) | H2_ONE(H2_STREAM_CLOSED). */
#define H2_ONE(error) (1U << (unsigned)(error))

struct h2_frame {
    uint32_t len;
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
    uint8_t payload[H2_RAW_FRAME];
    char status[8]; /* of HEADERS; empty in trailers */
    char grpc_status[4];
    char request_id[80]; /* x-request-id */
};

struct h2_block {
    uint8_t octets[H2_RAW_BLOCK];
    size_t len;
};

/* ---- the connection ---- */

/* A connection without a preface. */
int h2_raw_connect(uint16_t port);
/* A connection with preface and empty SETTINGS, after the server's SETTINGS and its ACK. */
int h2_raw_open(uint16_t port);
/* The same with SETTINGS_INITIAL_WINDOW_SIZE. */
int h2_raw_open_window(uint16_t port, uint32_t window);
void h2_raw_write(int fd, const void *octets, size_t len);
/* A frame; `len` may differ from what the type wants. */
void h2_raw_frame(int fd, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
                  size_t len);
/* A frame's head that promises `len` octets. */
void h2_raw_head(int fd, uint32_t len, uint8_t type, uint8_t flags, uint32_t stream);
/* A SETTINGS frame with one parameter. */
void h2_raw_setting(int fd, uint16_t id, uint32_t value);
void h2_raw_window_update(int fd, uint32_t stream, uint32_t increment);
void h2_raw_reset(int fd, uint32_t stream, uint32_t error);
/* The next frame; false at the end of the connection. Fails after 10 s. */
bool h2_raw_read(int fd, struct h2_frame *frame);
/* The next frame of this type and stream; others are passed over. Fails at the end. */
void h2_raw_read_frame(int fd, uint8_t type, uint32_t stream, struct h2_frame *frame);

/* ---- field sections (RFC 7541) ---- */

/* A literal without indexing and without Huffman coding. */
void h2_raw_field(struct h2_block *b, const char *name, const char *value);
void h2_raw_octet(struct h2_block *b, uint8_t octet);
/* :method, :scheme http, :path and :authority. */
void h2_raw_request(struct h2_block *b, const char *method, const char *path);
void h2_raw_headers(int fd, uint32_t stream, uint8_t flags, const struct h2_block *b);
/* GET `path`, complete. */
void h2_raw_get(int fd, uint32_t stream, const char *path);

/* ---- what is expected; each fails the test otherwise ---- */

/* GOAWAY with one of `errors`, then the end of the connection. Closes `fd`. */
void h2_raw_expect_goaway(int fd, unsigned errors);
/* RST_STREAM with one of `errors`; the connection lives on (a PING is answered). Closes `fd`. */
void h2_raw_expect_reset(int fd, uint32_t stream, unsigned errors);
/* Either of them. Closes `fd`. */
void h2_raw_expect_error(int fd, uint32_t stream, unsigned errors);
/* A PING is answered, and nothing but WINDOW_UPDATE, SETTINGS and answers comes before it. Closes
 * `fd`. */
void h2_raw_expect_alive(int fd);
/* The stream's answer is complete, with this status; an RST_STREAM of NO_ERROR may follow it. */
void h2_raw_expect_status(int fd, uint32_t stream, const char *status);
