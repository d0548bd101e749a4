/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/value_p.h"

#include <jansson.h>
#include <stdio.h>

static struct value *new_value(sm_arena *arena, enum value_kind kind)
{
    struct value *v = sm_arena_zalloc(arena, sizeof(*v));
    if (v != NULL) {
        v->kind = kind;
    }
    return v;
}

static struct value *convert(const json_t *json, sm_arena *arena, unsigned depth);

static bool add_members(struct value *v, const json_t *json, sm_arena *arena, unsigned depth)
{
    union {
        const json_t *in;
        json_t *out;
    } object = {json};
    struct value **tail = &v->first;
    const char *key;
    size_t key_len;
    json_t *member;
    json_object_keylen_foreach(object.out, key, key_len, member)
    {
        *tail = convert(member, arena, depth);
        if (*tail == NULL) {
            return false;
        }
        (*tail)->key = sm_slice_of(key, key_len);
        tail = &(*tail)->next;
    }
    return true;
}

static bool add_elements(struct value *v, const json_t *json, sm_arena *arena, unsigned depth)
{
    struct value **tail = &v->first;
    for (size_t i = 0; i < json_array_size(json); i++) {
        *tail = convert(json_array_get(json, i), arena, depth);
        if (*tail == NULL) {
            return false;
        }
        tail = &(*tail)->next;
    }
    return true;
}

/* NULL: out of memory, or too deep. Text is borrowed from `json`. */
static struct value *convert(const json_t *json, sm_arena *arena, unsigned depth)
{
    struct value *v = depth > SM_MESSAGE_DEPTH_MAX ? NULL : new_value(arena, VALUE_NULL);
    if (v == NULL) {
        return NULL;
    }
    bool good = true;
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        v->kind = VALUE_MAP;
        good = add_members(v, json, arena, depth + 1);
        break;
    case JSON_ARRAY:
        v->kind = VALUE_LIST;
        good = add_elements(v, json, arena, depth + 1);
        break;
    case JSON_STRING:
        v->kind = VALUE_STRING;
        v->text = sm_slice_of(json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER:
    case JSON_REAL: {
        char *text = json_is_integer(json)
                         ? sm_arena_printf(arena, "%lld", (long long)json_integer_value(json))
                         : sm_arena_printf(arena, "%.17g", json_real_value(json));
        v->kind = VALUE_PLAIN;
        v->text = sm_slice_str(text);
        good = text != NULL;
        break;
    }
    case JSON_TRUE:
    case JSON_FALSE:
        v->kind = VALUE_PLAIN;
        v->text = json_is_true(json) ? SM_LIT("true") : SM_LIT("false");
        break;
    case JSON_NULL:
        break;
    }
    return good ? v : NULL;
}

sm_err sm_message_from_json(const ProtobufCMessageDescriptor *type, sm_slice text, sm_arena *arena,
                            ProtobufCMessage **out, sm_diag *diag)
{
    json_error_t error;
    ProtobufCMessage *m = sm_message_new(type, arena);
    if (m == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    if (sm_slice_trim(text).len == 0) {
        *out = m;
        return SM_NO_ERR; /* an empty body is an empty message */
    }
    json_t *json = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), "body", "not JSON: line %d, column %d: %.120s",
                           error.line, error.column, error.text);
    }
    struct value *v = convert(json, arena, 0);
    sm_err err = v == NULL ? sm_diag_set(diag, SM_ERR(TOO_LARGE), "body",
                                         "nested too deeply, or too large")
                           : sm_fill_message(m, v, arena, diag);
    json_decref(json); /* everything was copied into the arena */
    if (sm_ok(err)) {
        *out = m;
    }
    return err;
}
