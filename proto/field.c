/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/value_p.h"

ProtobufCMessage *sm_message_new(const ProtobufCMessageDescriptor *type, sm_arena *arena)
{
    ProtobufCMessage *m = sm_arena_alloc(arena, type->sizeof_message);
    if (m != NULL) {
        protobuf_c_message_init(type, m);
    }
    return m;
}

void sm_json_name(const char *name, sm_buf *out)
{
    bool upper = false;
    for (; *name != '\0'; name++) {
        if (*name == '_') {
            upper = true;
            continue;
        }
        bool letter = *name >= 'a' && *name <= 'z';
        sm_buf_put_byte(out, (uint8_t)(upper && letter ? *name - 32 : *name));
        upper = false;
    }
}

/* Equal to the name, or to its lowerCamelCase, without building either. */
static bool name_matches(const char *name, sm_slice given)
{
    if (sm_slice_equal(sm_slice_str(name), given)) {
        return true;
    }
    size_t at = 0;
    bool upper = false;
    for (; *name != '\0'; name++) {
        if (*name == '_') {
            upper = true;
            continue;
        }
        bool letter = *name >= 'a' && *name <= 'z';
        uint8_t c = (uint8_t)(upper && letter ? *name - 32 : *name);
        if (at == given.len || given.ptr[at++] != c) {
            return false;
        }
        upper = false;
    }
    return at == given.len;
}

const ProtobufCFieldDescriptor *sm_find_field(const ProtobufCMessageDescriptor *type, sm_slice name)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (name_matches(type->fields[i].name, name)) {
            return &type->fields[i];
        }
    }
    return NULL;
}

bool sm_field_is_map(const ProtobufCFieldDescriptor *f)
{
    if (f->label != PROTOBUF_C_LABEL_REPEATED || f->type != PROTOBUF_C_TYPE_MESSAGE) {
        return false;
    }
    const ProtobufCMessageDescriptor *entry = f->descriptor;
    return entry->n_fields == 2 && sm_slice_ends_with(sm_slice_str(entry->name), SM_LIT("Entry")) &&
           strcmp(entry->fields[0].name, "key") == 0 && strcmp(entry->fields[1].name, "value") == 0;
}

size_t sm_field_size(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    default:
        return 4;
    }
}
