/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/message.h"

#include "proto/utf8.h"

/* protobuf-c says only that it failed; why is another matter for who asked. */
struct unpack_memory {
    sm_arena *arena;
    bool exhausted;
};

static void *arena_alloc(void *ctx, size_t size)
{
    struct unpack_memory *memory = ctx;
    void *ptr = sm_arena_alloc(memory->arena, size);
    memory->exhausted = memory->exhausted || ptr == NULL;
    return ptr;
}

static void arena_free(void *ctx, void *ptr)
{
    (void)ctx;
    (void)ptr;
}

static bool check_message(const ProtobufCMessage *m, unsigned depth);

static bool check_string(const char *s)
{
    return s == NULL || sm_utf8_is_valid(sm_slice_str(s));
}

/* One field's strings, and those of the messages in it. */
static bool check_field(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                        unsigned depth)
{
    const uint8_t *base = (const uint8_t *)m;
    if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE) {
        return true;
    }
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t chosen;
        memcpy(&chosen, base + f->quantifier_offset, sizeof(chosen));
        if (chosen != f->id) {
            return true;
        }
    }
    size_t count = 1;
    const void *const *at = (const void *const *)(const void *)(base + f->offset);
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        memcpy(&count, base + f->quantifier_offset, sizeof(count));
        at = *(const void *const *const *)(const void *)at;
    }
    for (size_t i = 0; i < count; i++) {
        bool good = f->type == PROTOBUF_C_TYPE_STRING
                        ? check_string(at[i])
                        : at[i] == NULL || check_message(at[i], depth + 1);
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool check_message(const ProtobufCMessage *m, unsigned depth)
{
    if (depth > SM_MESSAGE_DEPTH_MAX) {
        return false;
    }
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        if (!check_field(m, &m->descriptor->fields[i], depth)) {
            return false;
        }
    }
    return true;
}

/* None of our messages contains itself, so that protobuf-c's recursion is bounded by the types. */
sm_err sm_message_unpack(const ProtobufCMessageDescriptor *type, sm_slice bytes, sm_arena *arena,
                         ProtobufCMessage **out)
{
    struct unpack_memory memory = {arena, false};
    ProtobufCAllocator allocator = {arena_alloc, arena_free, &memory};
    ProtobufCMessage *m = protobuf_c_message_unpack(
        type, &allocator, bytes.len, bytes.ptr == NULL ? (const uint8_t *)"" : bytes.ptr);
    if (m == NULL || !check_message(m, 0)) {
        return memory.exhausted ? SM_ERR(NO_MEMORY) : SM_ERR(MALFORMED);
    }
    *out = m;
    return SM_NO_ERR;
}

sm_err sm_message_pack(const ProtobufCMessage *message, sm_buf *out)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *to = sm_buf_reserve(out, len);
    if (to == NULL) {
        return sm_buf_err(out);
    }
    sm_buf_commit(out, protobuf_c_message_pack(message, to));
    return SM_NO_ERR;
}

sm_err sm_message_copy(const ProtobufCMessage *message, sm_arena *arena, ProtobufCMessage **out)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = sm_arena_alloc(arena, len);
    if (bytes == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    (void)protobuf_c_message_pack(message, bytes);
    return sm_message_unpack(message->descriptor, sm_slice_of(bytes, len), arena, out);
}
