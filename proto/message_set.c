/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/value_p.h"

/* The message that holds the last part of the path, made on the way where it is missing. */
static sm_err descend(ProtobufCMessage **m, sm_slice *path, sm_arena *arena)
{
    while (sm_slice_find(*path, '.') < path->len) {
        sm_slice part = sm_slice_split(path, '.');
        const ProtobufCFieldDescriptor *f = sm_find_field((*m)->descriptor, part);
        /* Alternatives share their memory: what stands there may be another one's. */
        if (f == NULL || f->type != PROTOBUF_C_TYPE_MESSAGE ||
            f->label == PROTOBUF_C_LABEL_REPEATED ||
            (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
            return SM_ERR(NOT_FOUND);
        }
        ProtobufCMessage **inner = (ProtobufCMessage **)(void *)((uint8_t *)*m + f->offset);
        if (*inner == NULL) {
            *inner = sm_message_new(f->descriptor, arena);
        }
        if (*inner == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        *m = *inner;
    }
    return SM_NO_ERR;
}

sm_err sm_message_set_text(ProtobufCMessage *message, sm_slice path, sm_slice text, sm_arena *arena,
                           sm_diag *diag)
{
    char shown[SM_DIAG_FIELD_MAX];
    (void)sm_diag_escape(path, shown, sizeof(shown));
    sm_slice name = path;
    sm_err err = descend(&message, &name, arena);
    const ProtobufCFieldDescriptor *f = sm_ok(err) ? sm_find_field(message->descriptor, name)
                                                   : NULL;
    if (sm_ok(err) && f == NULL) {
        err = SM_ERR(NOT_FOUND);
    }
    if (!sm_ok(err)) {
        return sm_diag_set(diag, err, shown, "there is no parameter of this name");
    }
    bool plain = f->type == PROTOBUF_C_TYPE_BOOL;
    struct value v = {.kind = plain ? VALUE_PLAIN : VALUE_STRING, .text = text};
    if (f->type == PROTOBUF_C_TYPE_ENUM) {
        v.kind = VALUE_PLAIN; /* by name or number */
    }
    return sm_fill_field(message, f, &v, shown, true, arena, diag);
}
