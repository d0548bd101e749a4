/* SPDX-License-Identifier: Apache-2.0 */
/*
 * protobuf messages: unpack into an arena, pack into a buffer, to and from JSON and YAML - all
 * by protobuf-c's descriptors.
 *
 * Threads:   values.
 * Limits:    SM_MESSAGE_DEPTH_MAX nested messages.
 * Security:  all text is checked for UTF-8 (proto3 wants it); unknown JSON or YAML keys are
 *            refused with their name (and line).
 * Standards: proto3 language and JSON mapping; RFC 8259; YAML 1.1 as libyaml reads it (no
 *            anchors, aliases, tags or merges).
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"

#include <protobuf-c/protobuf-c.h>

#define SM_MESSAGE_DEPTH_MAX 32

/* Unpacks; the message and all it points to live in the arena (do not free it). Errors:
 * MALFORMED, NO_MEMORY. */
SM_FALLIBLE sm_message_unpack(const ProtobufCMessageDescriptor *type, sm_slice bytes,
                              sm_arena *arena, ProtobufCMessage **out);
/* Appends the packed message. Errors: the buffer's own. */
SM_FALLIBLE sm_message_pack(const ProtobufCMessage *message, sm_buf *out);

/* Deep copy into an arena. */
SM_FALLIBLE sm_message_copy(const ProtobufCMessage *message, sm_arena *arena,
                            ProtobufCMessage **out);

/* Appends JSON: lowerCamelCase names, default values left out unless `all_fields`, bytes in
 * base64, int64 as strings, enums by name, Timestamp and Duration as text, maps as objects. One
 * line, or indented by two spaces with `pretty`. */
struct sm_json_options {
    bool pretty;
    bool all_fields;
};
SM_FALLIBLE sm_message_to_json(const ProtobufCMessage *message,
                               const struct sm_json_options *options, sm_buf *out);
/* Reads JSON: names in camelCase or as in the .proto; numbers also as strings; enums by name or
 * number; base64 or base64url. diag's field is the path ("csr", "subject.attributes[1].type").
 * Errors: MALFORMED, INVALID, NO_MEMORY. */
SM_FALLIBLE sm_message_from_json(const ProtobufCMessageDescriptor *type, sm_slice text,
                                 sm_arena *arena, ProtobufCMessage **out, sm_diag *diag);
/* Sets one field (a path of .proto names, "page_size") from text, for URL parameters and path
 * variables; repeated fields are appended to. Errors: NOT_FOUND, INVALID. */
SM_FALLIBLE sm_message_set_text(ProtobufCMessage *message, sm_slice path, sm_slice text,
                                sm_arena *arena, sm_diag *diag);
/* Reads YAML with the .proto's names (snake_case). Unknown keys, duplicate keys and wrong types
 * are refused: diag's reason begins with "line N: ". Enum values by full name, or its short form
 * in lower case with '-' or '_' for the part behind the enum's prefix ("ec-p256" for
 * KEY_TYPE_EC_P256, "admin" for ROLE_ADMIN). */
SM_FALLIBLE sm_message_from_yaml(const ProtobufCMessageDescriptor *type, sm_slice text,
                                 sm_arena *arena, ProtobufCMessage **out, sm_diag *diag);
/* The line (1 ..) at which a YAML text has what a path such as "listeners[1].address" names; where
 * it has no such thing, the line of the nearest around it; 0 when even that is missing, or the text
 * is no YAML. The tree is built in `arena`. */
size_t sm_yaml_line(sm_slice text, const char *path, sm_arena *arena);
