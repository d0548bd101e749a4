/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/grpc.h"

void sm_grpc_reader_init(sm_grpc_reader *r, uint32_t max, bool gzip)
{
    *r = (sm_grpc_reader){
        .buf = sm_buf_init(max), .gzip = gzip, .max = max, .plain = sm_buf_init(max)};
}

void sm_grpc_reader_deinit(sm_grpc_reader *r)
{
    sm_buf_deinit(&r->buf);
    sm_buf_deinit(&r->plain);
}

bool sm_grpc_reader_is_partial(const sm_grpc_reader *r)
{
    return r->header_len > 0;
}

/* The five octets before each message: a flag and the length. True when they are whole; checks
 * both. */
static bool take_header(sm_grpc_reader *r, sm_slice *in, sm_err *err)
{
    while (r->header_len < SM_GRPC_FRAME_HEADER && in->len > 0) {
        r->header[r->header_len++] = in->ptr[0];
        *in = sm_slice_from(*in, 1);
        if (r->header_len == SM_GRPC_FRAME_HEADER) {
            r->need = (uint32_t)r->header[1] << 24 | (uint32_t)r->header[2] << 16 |
                      (uint32_t)r->header[3] << 8 | r->header[4];
            sm_buf_reset(&r->buf);
        }
    }
    if (r->header_len < SM_GRPC_FRAME_HEADER) {
        return false;
    }
    if (r->header[0] > 1 || (r->header[0] == 1 && !r->gzip)) {
        *err = SM_ERR(MALFORMED);
        return false;
    }
    if (r->need > r->max) {
        *err = SM_ERR(TOO_LARGE);
        return false;
    }
    return true;
}

static bool inflate_message(sm_grpc_reader *r, sm_slice *message, sm_err *err)
{
    if (r->header[0] == 0) {
        return true;
    }
    sm_buf_reset(&r->plain);
    *err = sm_gzip_inflate(*message, &r->plain);
    *message = sm_buf_slice(&r->plain);
    return sm_ok(*err);
}

bool sm_grpc_reader_next(sm_grpc_reader *r, sm_slice *in, sm_slice *message, sm_err *err)
{
    *err = SM_NO_ERR;
    if (!take_header(r, in, err)) {
        return false;
    }
    if (r->buf.len == 0 && in->len >= r->need) {
        *message = sm_slice_first(*in, r->need);
        *in = sm_slice_from(*in, r->need);
    } else {
        sm_slice part = sm_slice_first(*in, r->need - r->buf.len);
        sm_buf_put(&r->buf, part);
        *in = sm_slice_from(*in, part.len);
        *err = sm_buf_err(&r->buf);
        if (!sm_ok(*err) || r->buf.len < r->need) {
            return false;
        }
        *message = sm_buf_slice(&r->buf);
    }
    r->header_len = 0;
    return inflate_message(r, message, err);
}

void sm_grpc_frame_header(sm_buf *out, uint32_t len, bool compressed)
{
    sm_buf_put_byte(out, compressed ? 1 : 0);
    sm_buf_put_u32be(out, len);
}
