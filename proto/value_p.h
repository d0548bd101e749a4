/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside proto: the tree that JSON and YAML have in common, and how a message is filled from it.
 *
 * Threads:   one owner at a time.
 * Limits:    SM_MESSAGE_DEPTH_MAX levels.
 * Security:  built in the request's arena, whose cap bounds it.
 * Standards: proto3 JSON mapping.
 */
#pragma once

#include "proto/message.h"

enum value_kind {
    VALUE_NULL,
    VALUE_PLAIN, /* a number or boolean; in YAML any scalar without quotes */
    VALUE_STRING,
    VALUE_LIST,
    VALUE_MAP,
};

struct value {
    enum value_kind kind;
    bool yaml;           /* plain text may be a string; enums have short forms */
    size_t line;         /* 1 ..; 0: unknown */
    sm_slice key;        /* of a map's member */
    sm_slice text;       /* PLAIN, STRING; followed by a NUL in memory */
    struct value *first; /* members of LIST and MAP */
    struct value *next;  /* sibling */
};

/* Fills the message (initialised) from a MAP. diag gets the path and, where lines are known,
 * "line N: ". */
SM_FALLIBLE sm_fill_message(ProtobufCMessage *m, const struct value *v, sm_arena *arena,
                            sm_diag *diag);
/* Sets one field, by its .proto or JSON name. Repeated fields are appended to when `append`. */
SM_FALLIBLE sm_fill_field(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                          const struct value *v, const char *path, bool append, sm_arena *arena,
                          sm_diag *diag);
/* By .proto name or lowerCamelCase; NULL when there is none. */
const ProtobufCFieldDescriptor *sm_find_field(const ProtobufCMessageDescriptor *type,
                                              sm_slice name);
/* A message of this type with its defaults, in the arena; NULL without memory. */
ProtobufCMessage *sm_message_new(const ProtobufCMessageDescriptor *type, sm_arena *arena);

/* A map field: repeated XxxEntry { key = 1; value = 2; }. */
bool sm_field_is_map(const ProtobufCFieldDescriptor *f);
/* lowerCamelCase of a .proto name (also with a trailing '_' that protoc-c added). */
void sm_json_name(const char *name, sm_buf *out);
/* Octets of one element of a field's type. */
size_t sm_field_size(const ProtobufCFieldDescriptor *f);
