/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC frames and the messages in them. */
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "proto/grpc.h"
#include "proto/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sm_grpc_reader reader;
    sm_slice in = sm_slice_of(data, size);
    sm_slice message;
    sm_err err;
    sm_grpc_reader_init(&reader, 1U << 16, true);
    while (in.len > 0) {
        sm_slice piece = sm_slice_first(in, 7); /* frames in pieces */
        in = sm_slice_from(in, piece.len);
        while (sm_grpc_reader_next(&reader, &piece, &message, &err)) {
            sm_arena arena;
            ProtobufCMessage *m;
            sm_arena_init(&arena, 1U << 20);
            (void)sm_ok(sm_message_unpack(&sealmill__v1__issue_stream_request__descriptor, message,
                                          &arena, &m));
            sm_arena_deinit(&arena);
        }
        if (!sm_ok(err)) {
            break;
        }
    }
    sm_grpc_reader_deinit(&reader);
    return 0;
}
