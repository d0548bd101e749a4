/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/h2_raw.h"

#include "tests/support/io_server.h"

#include <nghttp2/nghttp2.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD 9U
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
static const uint8_t ping_octets[8] = {'s', 'e', 'a', 'l', 'm', 'i', 'l', 'l'};

static void put_u32(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 24);
    to[1] = (uint8_t)(value >> 16);
    to[2] = (uint8_t)(value >> 8);
    to[3] = (uint8_t)value;
}

static uint32_t get_u32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* ---- the connection ---- */

static nghttp2_hd_inflater *inflater; /* the connection's */

int h2_raw_connect(uint16_t port)
{
    int fd = sm_io_connect(port);
    assert_true(fd >= 0);
    if (inflater != NULL) {
        nghttp2_hd_inflate_del(inflater);
    }
    assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
    return fd;
}

/* The server may have closed already: what it said is still read. */
void h2_raw_write(int fd, const void *octets, size_t len)
{
    (void)send(fd, octets, len, MSG_NOSIGNAL);
}

static void make_head(uint8_t to[HEAD], uint32_t len, uint8_t type, uint8_t flags, uint32_t stream)
{
    put_u32(to, len << 8);
    to[3] = type;
    to[4] = flags;
    put_u32(to + 5, stream);
}

void h2_raw_head(int fd, uint32_t len, uint8_t type, uint8_t flags, uint32_t stream)
{
    uint8_t head[HEAD];
    make_head(head, len, type, flags, stream);
    h2_raw_write(fd, head, sizeof(head));
}

void h2_raw_frame(int fd, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
                  size_t len)
{
    static uint8_t whole[HEAD + H2_RAW_BLOCK];
    assert_true(len <= H2_RAW_BLOCK);
    make_head(whole, (uint32_t)len, type, flags, stream);
    if (len > 0) {
        memcpy(whole + HEAD, payload, len);
    }
    h2_raw_write(fd, whole, HEAD + len);
}

void h2_raw_setting(int fd, uint16_t id, uint32_t value)
{
    uint8_t payload[6] = {(uint8_t)(id >> 8), (uint8_t)id};
    put_u32(payload + 2, value);
    h2_raw_frame(fd, H2_SETTINGS, 0, 0, payload, sizeof(payload));
}

void h2_raw_window_update(int fd, uint32_t stream, uint32_t increment)
{
    uint8_t payload[4];
    put_u32(payload, increment);
    h2_raw_frame(fd, H2_WINDOW_UPDATE, 0, stream, payload, sizeof(payload));
}

void h2_raw_reset(int fd, uint32_t stream, uint32_t error)
{
    uint8_t payload[4];
    put_u32(payload, error);
    h2_raw_frame(fd, H2_RST_STREAM, 0, stream, payload, sizeof(payload));
}

static bool read_octets(int fd, uint8_t *to, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = recv(fd, to + at, len - at, 0);
        if (n <= 0) {
            return false;
        }
        at += (size_t)n;
    }
    return true;
}

static void keep_field(const nghttp2_nv *nv, const char *name, char *to, size_t room)
{
    if (nv->namelen == strlen(name) && memcmp(nv->name, name, nv->namelen) == 0 &&
        nv->valuelen < room) {
        memcpy(to, nv->value, nv->valuelen);
        to[nv->valuelen] = 0;
    }
}

static void read_fields(struct h2_frame *frame)
{
    const uint8_t *at = frame->payload;
    size_t left = frame->len;
    int flags = 0;
    assert_true((frame->flags & H2_END_HEADERS) != 0); /* our answers are short */
    while ((flags & NGHTTP2_HD_INFLATE_FINAL) == 0) {
        nghttp2_nv nv;
        ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, at, left, 1);
        assert_true(n >= 0);
        at += n;
        left -= (size_t)n;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
            keep_field(&nv, ":status", frame->status, sizeof(frame->status));
            keep_field(&nv, "grpc-status", frame->grpc_status, sizeof(frame->grpc_status));
            keep_field(&nv, "x-request-id", frame->request_id, sizeof(frame->request_id));
        }
    }
    (void)nghttp2_hd_inflate_end_headers(inflater);
}

bool h2_raw_read(int fd, struct h2_frame *frame)
{
    uint8_t head[HEAD];
    if (!read_octets(fd, head, sizeof(head))) {
        return false;
    }
    frame->len = get_u32(head) >> 8;
    frame->type = head[3];
    frame->flags = head[4];
    frame->stream = get_u32(head + 5);
    assert_true(frame->len <= H2_RAW_FRAME); /* we never raise SETTINGS_MAX_FRAME_SIZE */
    if (!read_octets(fd, frame->payload, frame->len)) {
        return false;
    }
    frame->status[0] = 0;
    frame->grpc_status[0] = 0;
    frame->request_id[0] = 0;
    if (frame->type == H2_HEADERS) {
        read_fields(frame);
    }
    return true;
}

void h2_raw_read_frame(int fd, uint8_t type, uint32_t stream, struct h2_frame *frame)
{
    do {
        if (!h2_raw_read(fd, frame)) {
            fail_msg("the connection ended before a frame of type %u on stream %u", type, stream);
        }
    } while (frame->type != type || frame->stream != stream);
}

static int open_with(uint16_t port, const uint8_t *settings, size_t len)
{
    static struct h2_frame frame;
    int fd = h2_raw_connect(port);
    h2_raw_write(fd, PREFACE, sizeof(PREFACE) - 1);
    h2_raw_frame(fd, H2_SETTINGS, 0, 0, settings, len);
    bool theirs = false;
    bool ack = false;
    while (!theirs || !ack) {
        h2_raw_read_frame(fd, H2_SETTINGS, 0, &frame);
        theirs = theirs || (frame.flags & H2_ACK) == 0;
        ack = ack || (frame.flags & H2_ACK) != 0;
    }
    h2_raw_frame(fd, H2_SETTINGS, H2_ACK, 0, NULL, 0);
    return fd;
}

int h2_raw_open(uint16_t port)
{
    return open_with(port, NULL, 0);
}

int h2_raw_open_window(uint16_t port, uint32_t window)
{
    uint8_t payload[6] = {0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE};
    put_u32(payload + 2, window);
    return open_with(port, payload, sizeof(payload));
}

/* ---- field sections ---- */

void h2_raw_octet(struct h2_block *b, uint8_t octet)
{
    assert_true(b->len < sizeof(b->octets));
    b->octets[b->len++] = octet;
}

/* RFC 7541 5.2, H = 0; the length by 5.1 with a prefix of 7 bits. */
static void put_string(struct h2_block *b, const char *text)
{
    size_t len = strlen(text);
    if (len < 127) {
        h2_raw_octet(b, (uint8_t)len);
    } else {
        h2_raw_octet(b, 127);
        size_t left = len - 127;
        for (; left >= 128; left >>= 7) {
            h2_raw_octet(b, (uint8_t)(left | 0x80));
        }
        h2_raw_octet(b, (uint8_t)left);
    }
    for (size_t i = 0; i < len; i++) {
        h2_raw_octet(b, (uint8_t)text[i]);
    }
}

void h2_raw_field(struct h2_block *b, const char *name, const char *value)
{
    h2_raw_octet(b, 0x00); /* RFC 7541 6.2.2 */
    put_string(b, name);
    put_string(b, value);
}

void h2_raw_request(struct h2_block *b, const char *method, const char *path)
{
    b->len = 0;
    h2_raw_field(b, ":method", method);
    h2_raw_field(b, ":scheme", "http");
    h2_raw_field(b, ":path", path);
    h2_raw_field(b, ":authority", "127.0.0.1");
}

void h2_raw_headers(int fd, uint32_t stream, uint8_t flags, const struct h2_block *b)
{
    h2_raw_frame(fd, H2_HEADERS, flags, stream, b->octets, b->len);
}

void h2_raw_get(int fd, uint32_t stream, const char *path)
{
    static struct h2_block block;
    h2_raw_request(&block, "GET", path);
    h2_raw_headers(fd, stream, H2_END_STREAM | H2_END_HEADERS, &block);
}

/* ---- what is expected ---- */

static void check_in(unsigned errors, uint32_t error, const char *what)
{
    if (error >= 32 || (errors & H2_ONE(error)) == 0) {
        fail_msg("%s with error %u, not of the set 0x%x", what, error, errors);
    }
}

static void expect_end(int fd)
{
    static struct h2_frame frame;
    while (h2_raw_read(fd, &frame)) {
        assert_true(frame.type != H2_HEADERS); /* nothing is answered after a connection error */
    }
    (void)close(fd);
}

void h2_raw_expect_goaway(int fd, unsigned errors)
{
    static struct h2_frame frame;
    h2_raw_read_frame(fd, H2_GOAWAY, 0, &frame);
    assert_true(frame.len >= 8);
    check_in(errors, get_u32(frame.payload + 4), "GOAWAY");
    expect_end(fd);
}

void h2_raw_expect_reset(int fd, uint32_t stream, unsigned errors)
{
    static struct h2_frame frame;
    h2_raw_read_frame(fd, H2_RST_STREAM, stream, &frame);
    assert_int_equal(frame.len, 4);
    check_in(errors, get_u32(frame.payload), "RST_STREAM");
    h2_raw_expect_alive(fd);
}

void h2_raw_expect_error(int fd, uint32_t stream, unsigned errors)
{
    static struct h2_frame frame;
    while (h2_raw_read(fd, &frame)) {
        if (frame.type == H2_GOAWAY) {
            check_in(errors, get_u32(frame.payload + 4), "GOAWAY");
            expect_end(fd);
            return;
        }
        if (frame.type == H2_RST_STREAM && frame.stream == stream) {
            check_in(errors, get_u32(frame.payload), "RST_STREAM");
            h2_raw_expect_alive(fd);
            return;
        }
    }
    fail_msg("the connection ended without GOAWAY or RST_STREAM");
}

void h2_raw_expect_alive(int fd)
{
    static struct h2_frame frame;
    h2_raw_frame(fd, H2_PING, 0, 0, ping_octets, sizeof(ping_octets));
    do {
        assert_true(h2_raw_read(fd, &frame));
        assert_true(frame.type != H2_GOAWAY);
    } while (frame.type != H2_PING);
    assert_int_equal(frame.flags, H2_ACK);
    assert_memory_equal(frame.payload, ping_octets, sizeof(ping_octets));
    (void)close(fd);
}

void h2_raw_expect_status(int fd, uint32_t stream, const char *status)
{
    static struct h2_frame frame;
    h2_raw_read_frame(fd, H2_HEADERS, stream, &frame);
    assert_string_equal(frame.status, status);
    while ((frame.flags & H2_END_STREAM) == 0) {
        do {
            assert_true(h2_raw_read(fd, &frame));
        } while (frame.stream != stream);
        assert_true(frame.type == H2_DATA || frame.type == H2_HEADERS);
    }
}
