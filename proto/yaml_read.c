/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/value_p.h"

#include "base/text.h"

#include <stdio.h>
#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    sm_slice text;
    sm_arena *arena;
    sm_diag *diag;
};

static sm_err complain(struct reader *r, const yaml_mark_t *mark, const char *what)
{
    return sm_diag_set(r->diag, SM_ERR(INVALID), "", "line %zu: %s", mark->line + 1, what);
}

/* libyaml decodes ahead of what it parses: of an octet that is no text it tells the offset, and no
 * line. */
static size_t problem_line(const struct reader *r)
{
    if (r->parser.error != YAML_READER_ERROR) {
        return r->parser.problem_mark.line + 1;
    }
    sm_slice before = sm_slice_first(r->text, r->parser.problem_offset);
    size_t line = 1;
    for (size_t i = 0; i < before.len; i++) {
        line += before.ptr[i] == '\n' ? 1 : 0;
    }
    return line;
}

static sm_err next_event(struct reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event)) {
        return SM_NO_ERR;
    }
    return sm_diag_set(r->diag, SM_ERR(MALFORMED), "", "line %zu: not YAML: %.150s",
                       problem_line(r),
                       r->parser.problem == NULL ? "unreadable" : r->parser.problem);
}

static sm_err read_value(struct reader *r, yaml_event_t *event, unsigned depth, struct value **out);

static sm_err take_scalar(struct reader *r, const yaml_event_t *event, struct value *v)
{
    v->text.len = event->data.scalar.length;
    v->text.ptr = (const uint8_t *)sm_arena_strdup(
        r->arena, sm_slice_of(event->data.scalar.value, event->data.scalar.length));
    if (v->text.ptr == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    v->kind = plain ? VALUE_PLAIN : VALUE_STRING;
    if (plain && (v->text.len == 0 || sm_slice_equal(v->text, SM_LIT("null")) ||
                  sm_slice_equal(v->text, SM_LIT("~")))) {
        v->kind = VALUE_NULL;
    }
    return SM_NO_ERR;
}

/* Members of a sequence or mapping, up to its end event. */
static sm_err read_members(struct reader *r, struct value *v, unsigned depth)
{
    struct value **tail = &v->first;
    bool map = v->kind == VALUE_MAP;
    for (;;) {
        yaml_event_t event;
        sm_slice key = SM_SLICE_NONE;
        SM_TRY(next_event(r, &event));
        if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return SM_NO_ERR;
        }
        struct value *member = NULL;
        sm_err err = read_value(r, &event, depth, &member);
        size_t line = event.start_mark.line + 1;
        yaml_event_delete(&event);
        SM_TRY(err);
        if (map) {
            if (member->kind != VALUE_PLAIN && member->kind != VALUE_STRING) {
                return sm_diag_set(r->diag, SM_ERR(INVALID), "", "line %zu: a key must be a word",
                                   line);
            }
            key = member->text;
            SM_TRY(next_event(r, &event));
            err = read_value(r, &event, depth, &member);
            yaml_event_delete(&event);
            SM_TRY(err);
            member->line = line;
        }
        member->key = key;
        *tail = member;
        tail = &member->next;
    }
}

static bool has_anchor_or_tag(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor != NULL || event->data.sequence_start.tag != NULL;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor != NULL || event->data.mapping_start.tag != NULL;
    default:
        return false;
    }
}

static sm_err read_value(struct reader *r, yaml_event_t *event, unsigned depth, struct value **out)
{
    struct value *v = sm_arena_zalloc(r->arena, sizeof(*v));
    if (v == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    v->yaml = true;
    v->line = event->start_mark.line + 1;
    *out = v;
    if (depth > SM_MESSAGE_DEPTH_MAX) {
        return complain(r, &event->start_mark, "nested too deeply");
    }
    if (has_anchor_or_tag(event)) {
        return complain(r, &event->start_mark, "anchors and tags are not used here");
    }
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(r, event, v);
    case YAML_SEQUENCE_START_EVENT:
        v->kind = VALUE_LIST;
        return read_members(r, v, depth + 1);
    case YAML_MAPPING_START_EVENT:
        v->kind = VALUE_MAP;
        return read_members(r, v, depth + 1);
    case YAML_ALIAS_EVENT:
        return complain(r, &event->start_mark, "aliases are not used here");
    default:
        return complain(r, &event->start_mark, "a value is wanted");
    }
}

/* The first document's root; NULL for an empty text. */
static sm_err read_document(struct reader *r, struct value **out)
{
    *out = NULL;
    for (;;) {
        yaml_event_t event;
        SM_TRY(next_event(r, &event));
        yaml_event_type_t type = event.type;
        bool content = type == YAML_SCALAR_EVENT || type == YAML_SEQUENCE_START_EVENT ||
                       type == YAML_MAPPING_START_EVENT || type == YAML_ALIAS_EVENT;
        sm_err err = SM_NO_ERR;
        if (content && *out != NULL) {
            err = complain(r, &event.start_mark, "a second document");
        } else if (content) {
            err = read_value(r, &event, 0, out);
        }
        yaml_event_delete(&event);
        SM_TRY(err);
        if (type == YAML_STREAM_END_EVENT || type == YAML_NO_EVENT) {
            return SM_NO_ERR;
        }
    }
}

/* The whole text as a tree; NULL for an empty one. */
static sm_err read_text(sm_slice text, sm_arena *arena, struct value **out, sm_diag *diag)
{
    struct reader r = {.text = text, .arena = arena, .diag = diag};
    if (!yaml_parser_initialize(&r.parser)) {
        return SM_ERR(NO_MEMORY);
    }
    yaml_parser_set_input_string(&r.parser, text.ptr == NULL ? (const uint8_t *)"" : text.ptr,
                                 text.len);
    sm_err err = read_document(&r, out);
    yaml_parser_delete(&r.parser);
    return err;
}

sm_err sm_message_from_yaml(const ProtobufCMessageDescriptor *type, sm_slice text, sm_arena *arena,
                            ProtobufCMessage **out, sm_diag *diag)
{
    ProtobufCMessage *m = sm_message_new(type, arena);
    struct value *v = NULL;
    sm_err err = m == NULL ? SM_ERR(NO_MEMORY) : read_text(text, arena, &v, diag);
    if (sm_ok(err) && v != NULL && v->kind != VALUE_NULL) {
        err = sm_fill_message(m, v, arena, diag);
    }
    if (sm_ok(err)) {
        *out = m;
    }
    return err;
}

/* ---- where something stands ---- */

static const struct value *member_at(const struct value *v, size_t index)
{
    const struct value *it = v->kind == VALUE_LIST ? v->first : NULL;
    while (it != NULL && index > 0) {
        it = it->next;
        index--;
    }
    return it;
}

static const struct value *member_named(const struct value *v, sm_slice name)
{
    const struct value *it = v->kind == VALUE_MAP ? v->first : NULL;
    while (it != NULL && !sm_slice_equal(it->key, name)) {
        it = it->next;
    }
    return it;
}

/* One step, "name" or "[3]", taken off the path. */
static const struct value *take_step(const struct value *v, sm_slice *path)
{
    if (path->ptr[0] == '[') {
        uint64_t index;
        sm_slice digits = sm_slice_from(sm_slice_split(path, ']'), 1);
        return sm_ok(sm_decimal_parse(digits, &index)) ? member_at(v, index) : NULL;
    }
    *path = sm_slice_from(*path, path->ptr[0] == '.' ? 1 : 0);
    size_t dot = sm_slice_find(*path, '.');
    size_t bracket = sm_slice_find(*path, '[');
    sm_slice name = sm_slice_first(*path, dot < bracket ? dot : bracket);
    *path = sm_slice_from(*path, name.len);
    return name.len == 0 ? NULL : member_named(v, name);
}

size_t sm_yaml_line(sm_slice text, const char *path, sm_arena *arena)
{
    struct value *root = NULL;
    sm_slice rest = sm_slice_str(path);
    size_t line = 0;
    if (!sm_ok(read_text(text, arena, &root, NULL))) {
        return 0;
    }
    for (const struct value *v = root; v != NULL && rest.len > 0;) {
        v = take_step(v, &rest);
        line = v == NULL ? line : v->line;
    }
    return line;
}
