/* SPDX-License-Identifier: Apache-2.0 */
/* JSON requests; what is read is written and read again to the same message. */
#include "gen/sealmill/v1/profile.pb-c.h"
#include "proto/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const ProtobufCMessageDescriptor *type = &sealmill__v1__put_profile_request__descriptor;
    sm_arena arena;
    sm_diag diag = {.reason = ""};
    ProtobufCMessage *first;
    ProtobufCMessage *second;
    sm_buf text = sm_buf_init(16U << 20);
    sm_buf a = sm_buf_init(16U << 20);
    sm_buf b = sm_buf_init(16U << 20);
    sm_arena_init(&arena, 64U << 20);
    if (size < 65536 &&
        sm_ok(sm_message_from_json(type, sm_slice_of(data, size), &arena, &first, &diag)) &&
        sm_ok(sm_message_to_json(first, NULL, &text))) {
        if (!sm_ok(sm_message_from_json(type, sm_buf_slice(&text), &arena, &second, &diag)) ||
            !sm_ok(sm_message_pack(first, &a)) || !sm_ok(sm_message_pack(second, &b)) ||
            !sm_slice_equal(sm_buf_slice(&a), sm_buf_slice(&b))) {
            abort();
        }
    }
    sm_buf_deinit(&text);
    sm_buf_deinit(&a);
    sm_buf_deinit(&b);
    sm_arena_deinit(&arena);
    return 0;
}
