/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/text.h"
#include "proto/value_p.h"

struct writer {
    sm_buf *out;
    struct sm_json_options options;
    unsigned depth;
};

static void write_message(struct writer *w, const ProtobufCMessage *m);

static void new_line(struct writer *w)
{
    if (!w->options.pretty) {
        return;
    }
    sm_buf_put_byte(w->out, '\n');
    for (unsigned i = 0; i < w->depth; i++) {
        sm_buf_put_str(w->out, "  ");
    }
}

/* RFC 8259 7. */
static void write_string(struct writer *w, sm_slice s)
{
    sm_buf_put_byte(w->out, '"');
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c == '"' || c == '\\') {
            sm_buf_put_byte(w->out, '\\');
            sm_buf_put_byte(w->out, c);
        } else if (c < 0x20 || c == 0x7f) {
            sm_buf_printf(w->out, "\\u%04x", c);
        } else {
            sm_buf_put_byte(w->out, c);
        }
    }
    sm_buf_put_byte(w->out, '"');
}

static void write_time(struct writer *w, const ProtobufCMessage *m)
{
    int64_t seconds;
    memcpy(&seconds, (const uint8_t *)m + m->descriptor->fields[0].offset, sizeof(seconds));
    if (strcmp(m->descriptor->short_name, "Duration") == 0) {
        sm_buf_printf(w->out, "\"%llds\"", (long long)seconds);
        return;
    }
    char text[SM_RFC3339_SIZE];
    write_string(w, sm_slice_str(sm_clock_format(seconds, text)));
}

static void write_enum(struct writer *w, const ProtobufCFieldDescriptor *f, int32_t number)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, number);
    if (v == NULL) {
        sm_buf_printf(w->out, "%d", number);
    } else {
        write_string(w, sm_slice_str(v->name));
    }
}

static void write_one(struct writer *w, const ProtobufCFieldDescriptor *f, const void *at)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_BOOL:
        sm_buf_put_str(w->out, *(const protobuf_c_boolean *)at ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_ENUM:
        write_enum(w, f, *(const int32_t *)at);
        break;
    case PROTOBUF_C_TYPE_STRING:
        write_string(w, sm_slice_str(*(const char *const *)at));
        break;
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *bytes = at;
        sm_buf_put_byte(w->out, '"');
        sm_base64_encode(w->out, sm_slice_of(bytes->data, bytes->len));
        sm_buf_put_byte(w->out, '"');
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        write_message(w, *(const ProtobufCMessage *const *)at);
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        sm_buf_printf(w->out, "%d", *(const int32_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        sm_buf_printf(w->out, "%u", *(const uint32_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        sm_buf_printf(w->out, "\"%llu\"", (unsigned long long)*(const uint64_t *)at);
        break;
    default:
        /* The JSON mapping writes 64-bit numbers as strings, since JavaScript would round them. */
        sm_buf_printf(w->out, "\"%lld\"", (long long)*(const int64_t *)at);
        break;
    }
}

static bool bytes_are_zero(const uint8_t *at, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (at[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Whether a singular field has something to say. */
static bool is_present(const struct writer *w, const ProtobufCMessage *m,
                       const ProtobufCFieldDescriptor *f)
{
    const uint8_t *at = (const uint8_t *)m + f->offset;
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t chosen;
        memcpy(&chosen, (const uint8_t *)m + f->quantifier_offset, sizeof(chosen));
        return chosen == f->id;
    }
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        return *(const void *const *)(const void *)at != NULL;
    }
    if (w->options.all_fields) {
        return true;
    }
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        const char *s = *(const char *const *)(const void *)at;
        return s != NULL && s[0] != '\0';
    }
    if (f->type == PROTOBUF_C_TYPE_BYTES) {
        return ((const ProtobufCBinaryData *)(const void *)at)->len > 0;
    }
    return !bytes_are_zero(at, sm_field_size(f));
}

static void write_list(struct writer *w, const ProtobufCFieldDescriptor *f, const uint8_t *list,
                       size_t count)
{
    sm_buf_put_byte(w->out, '[');
    w->depth++;
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            sm_buf_put_byte(w->out, ',');
        }
        new_line(w);
        write_one(w, f, list + i * sm_field_size(f));
    }
    w->depth--;
    if (count > 0) {
        new_line(w);
    }
    sm_buf_put_byte(w->out, ']');
}

static void write_map(struct writer *w, const uint8_t *list, size_t count)
{
    sm_buf_put_byte(w->out, '{');
    w->depth++;
    for (size_t i = 0; i < count; i++) {
        const ProtobufCMessage *entry = ((const ProtobufCMessage *const *)(const void *)list)[i];
        const ProtobufCFieldDescriptor *fields = entry->descriptor->fields;
        if (i > 0) {
            sm_buf_put_byte(w->out, ',');
        }
        new_line(w);
        write_one(w, &fields[0], (const uint8_t *)entry + fields[0].offset);
        sm_buf_put_str(w->out, w->options.pretty ? ": " : ":");
        write_one(w, &fields[1], (const uint8_t *)entry + fields[1].offset);
    }
    w->depth--;
    if (count > 0) {
        new_line(w);
    }
    sm_buf_put_byte(w->out, '}');
}

static void write_value(struct writer *w, const ProtobufCMessage *m,
                        const ProtobufCFieldDescriptor *f)
{
    const uint8_t *at = (const uint8_t *)m + f->offset;
    if (f->label != PROTOBUF_C_LABEL_REPEATED) {
        write_one(w, f, at);
        return;
    }
    size_t count;
    memcpy(&count, (const uint8_t *)m + f->quantifier_offset, sizeof(count));
    const uint8_t *list = *(const uint8_t *const *)(const void *)at;
    if (sm_field_is_map(f)) {
        write_map(w, list, count);
    } else {
        write_list(w, f, list, count);
    }
}

static bool has_value(const struct writer *w, const ProtobufCMessage *m,
                      const ProtobufCFieldDescriptor *f)
{
    if (f->label != PROTOBUF_C_LABEL_REPEATED) {
        return is_present(w, m, f);
    }
    size_t count;
    memcpy(&count, (const uint8_t *)m + f->quantifier_offset, sizeof(count));
    return count > 0 || w->options.all_fields;
}

static void write_message(struct writer *w, const ProtobufCMessage *m)
{
    if (strcmp(m->descriptor->name, "google.protobuf.Timestamp") == 0 ||
        strcmp(m->descriptor->name, "google.protobuf.Duration") == 0) {
        write_time(w, m);
        return;
    }
    bool first = true;
    sm_buf_put_byte(w->out, '{');
    w->depth++;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (!has_value(w, m, f)) {
            continue;
        }
        if (!first) {
            sm_buf_put_byte(w->out, ',');
        }
        first = false;
        new_line(w);
        sm_buf_put_byte(w->out, '"');
        sm_json_name(f->name, w->out);
        sm_buf_put_str(w->out, w->options.pretty ? "\": " : "\":");
        write_value(w, m, f);
    }
    w->depth--;
    if (!first) {
        new_line(w);
    }
    sm_buf_put_byte(w->out, '}');
}

sm_err sm_message_to_json(const ProtobufCMessage *message, const struct sm_json_options *options,
                          sm_buf *out)
{
    struct writer w = {.out = out};
    if (options != NULL) {
        w.options = *options;
    }
    write_message(&w, message);
    return sm_buf_err(out);
}
