/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/grpc_raw.h"

#include "base/buf.h"
#include "proto/grpc.h"
#include "proto/message.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>

void grpc_raw_call(int fd, uint32_t stream, const char *method, const char *path, const char *token,
                   const char *timeout)
{
    static struct h2_block block;
    char bearer[160];
    h2_raw_request(&block, method, path);
    h2_raw_field(&block, "content-type", "application/grpc");
    h2_raw_field(&block, "te", "trailers");
    if (token != NULL) {
        (void)snprintf(bearer, sizeof(bearer), "Bearer %s", token);
        h2_raw_field(&block, "authorization", bearer);
    }
    if (timeout != NULL) {
        h2_raw_field(&block, "grpc-timeout", timeout);
    }
    h2_raw_headers(fd, stream, H2_END_HEADERS, &block);
}

void grpc_raw_message(int fd, uint32_t stream, uint8_t flags, const ProtobufCMessage *message)
{
    sm_buf frame = sm_buf_init(H2_RAW_FRAME);
    size_t len = protobuf_c_message_get_packed_size(message);
    sm_grpc_frame_header(&frame, (uint32_t)len, false);
    assert_sm_ok(sm_message_pack(message, &frame));
    h2_raw_frame(fd, H2_DATA, flags, stream, frame.ptr, frame.len);
    sm_buf_deinit(&frame);
}

int grpc_raw_status(int fd, uint32_t stream, struct h2_frame *last)
{
    static struct h2_frame frame;
    do {
        if (!h2_raw_read(fd, &frame)) {
            fail_msg("the connection ended before stream %u", stream);
        }
        if (frame.stream == stream && frame.type == H2_RST_STREAM) {
            return -1;
        }
    } while (frame.stream != stream || (frame.flags & H2_END_STREAM) == 0 ||
             (frame.type != H2_HEADERS && frame.type != H2_DATA));
    if (last != NULL) {
        *last = frame;
    }
    return frame.grpc_status[0] == 0 ? -1 : atoi(frame.grpc_status);
}
