/* SPDX-License-Identifier: Apache-2.0 */
/* Messages from trees: the one place that knows how a field's value is written in JSON and YAML. */
#include "proto/value_p.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "proto/utf8.h"

#include <stdarg.h>
#include <stdio.h>

#define PATH_MAX_TEXT SM_DIAG_FIELD_MAX

struct fill {
    sm_arena *arena;
    sm_diag *diag;
    unsigned depth;
};

__attribute__((format(printf, 4, 5))) static sm_err refuse(struct fill *fill, const struct value *v,
                                                           const char *path, const char *fmt, ...)
{
    char what[SM_DIAG_REASON_MAX - sizeof("line 4294967295: ")];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    if (v->line > 0) {
        return sm_diag_set(fill->diag, SM_ERR(INVALID), path, "line %zu: %s", v->line, what);
    }
    return sm_diag_set(fill->diag, SM_ERR(INVALID), path, "%s", what);
}

static sm_err fill_message(struct fill *fill, ProtobufCMessage *m, const struct value *v,
                           const char *path);

/* `path` with one step more. A path that would have to be cut stays as it is: its beginning still
 * leads to the place, half a name leads nowhere. */
__attribute__((format(printf, 3, 4))) static void step(char out[PATH_MAX_TEXT], const char *path,
                                                       const char *fmt, ...)
{
    char more[PATH_MAX_TEXT];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(more, sizeof(more), fmt, args);
    va_end(args);
    size_t len = strlen(path);
    bool fits = n >= 0 && len + (size_t)n < PATH_MAX_TEXT;
    memcpy(out, path, len + 1);
    if (fits) {
        memcpy(out + len, more, (size_t)n + 1);
    }
}

static bool is_scalar(const struct value *v)
{
    return v->kind == VALUE_PLAIN || v->kind == VALUE_STRING;
}

/* A decimal number with a sign; JSON writers may send 64-bit numbers as strings. */
static bool parse_signed(sm_slice text, int64_t low, int64_t high, int64_t *out)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t magnitude;
    if (!sm_ok(sm_decimal_parse(sm_slice_from(text, negative ? 1 : 0), &magnitude)) ||
        magnitude > (uint64_t)INT64_MAX + (negative ? 1U : 0U)) {
        return false;
    }
    int64_t v = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    *out = v;
    return v >= low && v <= high;
}

static sm_err set_integer(struct fill *fill, const ProtobufCFieldDescriptor *f,
                          const struct value *v, void *to, const char *path)
{
    int64_t n = 0;
    uint64_t u = 0;
    bool good = is_scalar(v);
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        good = good && parse_signed(v->text, INT32_MIN, INT32_MAX, &n);
        *(int32_t *)to = (int32_t)n;
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        good = good && parse_signed(v->text, 0, UINT32_MAX, &n);
        *(uint32_t *)to = (uint32_t)n;
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        good = good && parse_signed(v->text, INT64_MIN, INT64_MAX, &n);
        *(int64_t *)to = n;
        break;
    default:
        good = good && sm_ok(sm_decimal_parse(v->text, &u));
        *(uint64_t *)to = u;
        break;
    }
    return good ? SM_NO_ERR : refuse(fill, v, path, "a whole number (in range) is wanted");
}

static sm_err set_bool(struct fill *fill, const struct value *v, void *to, const char *path)
{
    bool yes = sm_slice_equal(v->text, SM_LIT("true"));
    if (v->kind != VALUE_PLAIN || (!yes && !sm_slice_equal(v->text, SM_LIT("false")))) {
        return refuse(fill, v, path, "true or false is wanted");
    }
    *(protobuf_c_boolean *)to = yes;
    return SM_NO_ERR;
}

/* Octets of what every value's name begins with: "KEY_TYPE_". */
static size_t enum_prefix(const ProtobufCEnumDescriptor *type)
{
    const char *first = type->values[0].name;
    size_t len = strlen(first);
    for (unsigned i = 1; i < type->n_values; i++) {
        while (strncmp(first, type->values[i].name, len) != 0) {
            len--;
        }
    }
    while (len > 0 && first[len - 1] != '_') {
        len--;
    }
    return len;
}

/* "ec-p256" for KEY_TYPE_EC_P256: all behind the prefix, case and '-' aside. Less would guess:
 * "compromise" could be a key's or a CA's. */
static bool short_name_matches(const char *tail, sm_slice given)
{
    if (strlen(tail) != given.len) {
        return false;
    }
    for (size_t i = 0; i < given.len; i++) {
        uint8_t c = given.ptr[i];
        c = (uint8_t)(c >= 'a' && c <= 'z' ? c - 32 : (c == '-' ? '_' : c));
        if (c != (uint8_t)tail[i]) {
            return false;
        }
    }
    return true;
}

static const ProtobufCEnumValue *find_enum(const ProtobufCEnumDescriptor *type,
                                           const struct value *v)
{
    size_t prefix = enum_prefix(type);
    for (unsigned i = 0; i < type->n_values; i++) {
        if (sm_slice_equal(sm_slice_str(type->values[i].name), v->text) ||
            short_name_matches(type->values[i].name + prefix, v->text)) {
            return &type->values[i];
        }
    }
    return NULL;
}

#define ENUM_NAMES_MAX 200 /* the reasons of revocation, the longest list, take 150 */

/* The short names, as people write them: "valid, revoked, on-hold". */
static const char *list_enum(const ProtobufCEnumDescriptor *type, char out[ENUM_NAMES_MAX])
{
    size_t prefix = enum_prefix(type);
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < type->n_values; i++) {
        const char *tail = type->values[i].name + prefix;
        if (strcmp(tail, "UNSPECIFIED") == 0 || at + strlen(tail) + 3 > ENUM_NAMES_MAX) {
            continue;
        }
        at += (size_t)snprintf(out + at, ENUM_NAMES_MAX - at, "%s", at == 0 ? "" : ", ");
        for (; *tail != '\0'; tail++) {
            bool letter = *tail >= 'A' && *tail <= 'Z';
            out[at++] = (char)(letter ? *tail + 32 : (*tail == '_' ? '-' : *tail));
        }
        out[at] = '\0';
    }
    return out;
}

static sm_err set_enum(struct fill *fill, const ProtobufCFieldDescriptor *f, const struct value *v,
                       void *to, const char *path)
{
    const ProtobufCEnumDescriptor *type = f->descriptor;
    const ProtobufCEnumValue *found = is_scalar(v) ? find_enum(type, v) : NULL;
    int64_t number;
    if (found != NULL) {
        *(int32_t *)to = found->value;
        return SM_NO_ERR;
    }
    if (v->kind == VALUE_PLAIN && parse_signed(v->text, 0, INT32_MAX, &number) &&
        protobuf_c_enum_descriptor_get_value(type, (int)number) != NULL) {
        *(int32_t *)to = (int32_t)number;
        return SM_NO_ERR;
    }
    char names[ENUM_NAMES_MAX];
    return refuse(fill, v, path, "one of %s is wanted", list_enum(type, names));
}

/* JSON's numbers and booleans are no text; in YAML a word without quotes is. */
static bool is_text(const struct value *v)
{
    return v->kind == VALUE_STRING || (v->kind == VALUE_PLAIN && v->yaml);
}

static sm_err set_string(struct fill *fill, const struct value *v, void *to, const char *path)
{
    if (!is_text(v) || sm_slice_find(v->text, 0) < v->text.len || !sm_utf8_is_valid(v->text)) {
        return refuse(fill, v, path, "a string (UTF-8 without NUL) is wanted");
    }
    char *copy = sm_arena_strdup(fill->arena, v->text);
    if (copy == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    *(char **)to = copy;
    return SM_NO_ERR;
}

static sm_err set_bytes(struct fill *fill, const struct value *v, void *to, const char *path)
{
    sm_buf bytes = sm_buf_init(v->text.len + 4);
    sm_err err = is_text(v) ? sm_base64_decode(&bytes, v->text,
                                               SM_BASE64_URL | SM_BASE64_NO_PAD | SM_BASE64_SPACE)
                            : SM_ERR(INVALID);
    sm_slice copy = SM_SLICE_NONE;
    if (!sm_ok(err)) {
        err = refuse(fill, v, path, "base64 is wanted");
    } else {
        err = sm_arena_copy(fill->arena, sm_buf_slice(&bytes), &copy);
    }
    sm_buf_deinit(&bytes);
    if (sm_ok(err)) {
        union {
            const uint8_t *in;
            uint8_t *out;
        } ptr = {copy.ptr};
        *(ProtobufCBinaryData *)to = (ProtobufCBinaryData){copy.len, ptr.out};
    }
    return err;
}

/* Timestamp and Duration are text in JSON and YAML. Both are { int64 seconds = 1; int32 nanos =
 * 2; }. */
static bool is_well_known(const ProtobufCMessageDescriptor *type)
{
    return strcmp(type->name, "google.protobuf.Timestamp") == 0 ||
           strcmp(type->name, "google.protobuf.Duration") == 0;
}

static sm_err set_well_known(struct fill *fill, ProtobufCMessage *m, const struct value *v,
                             const char *path)
{
    int64_t *seconds = (int64_t *)(void *)((uint8_t *)m + m->descriptor->fields[0].offset);
    bool time = strcmp(m->descriptor->short_name, "Timestamp") == 0;
    sm_err err = !is_scalar(v) ? SM_ERR(INVALID)
                 : time        ? sm_clock_parse(v->text, seconds)
                               : sm_duration_parse(v->text, seconds);
    return sm_ok(err) ? err
                      : refuse(fill, v, path,
                               time ? "a time such as 2026-01-31T12:00:00Z is wanted"
                                    : "a duration such as 90s is wanted");
}

static sm_err set_message(struct fill *fill, const ProtobufCFieldDescriptor *f,
                          const struct value *v, void *to, const char *path)
{
    ProtobufCMessage *m = sm_message_new(f->descriptor, fill->arena);
    if (m == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    *(ProtobufCMessage **)to = m;
    return is_well_known(m->descriptor) ? set_well_known(fill, m, v, path)
                                        : fill_message(fill, m, v, path);
}

static sm_err set_one(struct fill *fill, const ProtobufCFieldDescriptor *f, const struct value *v,
                      void *to, const char *path)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return set_bool(fill, v, to, path);
    case PROTOBUF_C_TYPE_ENUM:
        return set_enum(fill, f, v, to, path);
    case PROTOBUF_C_TYPE_STRING:
        return set_string(fill, v, to, path);
    case PROTOBUF_C_TYPE_BYTES:
        return set_bytes(fill, v, to, path);
    case PROTOBUF_C_TYPE_MESSAGE:
        return set_message(fill, f, v, to, path);
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        return refuse(fill, v, path, "fractions are not used in this API");
    default:
        return set_integer(fill, f, v, to, path);
    }
}

/* Makes room for `more` elements behind those that a repeated field has; returns the first new
 * one. */
static uint8_t *extend(struct fill *fill, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                       size_t more)
{
    size_t *count = (size_t *)(void *)((uint8_t *)m + f->quantifier_offset);
    uint8_t **list = (uint8_t **)(void *)((uint8_t *)m + f->offset);
    size_t size = sm_field_size(f);
    uint8_t *bigger = sm_arena_zalloc(fill->arena, (*count + more) * size);
    if (bigger == NULL) {
        return NULL;
    }
    if (*count > 0) {
        memcpy(bigger, *list, *count * size);
    }
    uint8_t *at = bigger + *count * size;
    *list = bigger;
    *count += more;
    return at;
}

static size_t count_members(const struct value *v)
{
    size_t n = 0;
    for (const struct value *it = v->first; it != NULL; it = it->next) {
        n++;
    }
    return n;
}

static sm_err fill_list(struct fill *fill, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                        const struct value *v, const char *path)
{
    if (v->kind != VALUE_LIST) {
        return refuse(fill, v, path, "a list is wanted");
    }
    size_t n = count_members(v);
    uint8_t *at = extend(fill, m, f, n);
    if (at == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    size_t i = 0;
    for (const struct value *it = v->first; it != NULL; it = it->next, i++) {
        char inner[PATH_MAX_TEXT];
        step(inner, path, "[%zu]", i);
        SM_TRY(set_one(fill, f, it, at + i * sm_field_size(f), inner));
    }
    return SM_NO_ERR;
}

/* jansson refuses a key that comes twice, libyaml does not. YAML's maps are a person's: short. */
static bool comes_before(const struct value *first, const struct value *member)
{
    for (const struct value *it = first; member->yaml && it != member; it = it->next) {
        if (sm_slice_equal(it->key, member->key)) {
            return true;
        }
    }
    return false;
}

static sm_err fill_map(struct fill *fill, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                       const struct value *v, const char *path)
{
    if (v->kind != VALUE_MAP) {
        return refuse(fill, v, path, "an object of keys and values is wanted");
    }
    uint8_t *at = extend(fill, m, f, count_members(v));
    if (at == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (const struct value *it = v->first; it != NULL; it = it->next, at += sizeof(void *)) {
        if (comes_before(v->first, it)) {
            return refuse(fill, it, path, "the key comes twice");
        }
        ProtobufCMessage *entry = sm_message_new(f->descriptor, fill->arena);
        if (entry == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        *(ProtobufCMessage **)(void *)at = entry;
        struct value key = {
            .kind = VALUE_STRING, .yaml = it->yaml, .line = it->line, .text = it->key};
        const ProtobufCFieldDescriptor *fields = entry->descriptor->fields;
        SM_TRY(set_one(fill, &fields[0], &key, (uint8_t *)entry + fields[0].offset, path));
        SM_TRY(set_one(fill, &fields[1], it, (uint8_t *)entry + fields[1].offset, path));
    }
    return SM_NO_ERR;
}

/* Marks a field as present: the chosen member of a oneof, or an `optional` scalar. */
static sm_err mark(struct fill *fill, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                   const struct value *v, const char *path)
{
    uint32_t *quantifier = (uint32_t *)(void *)((uint8_t *)m + f->quantifier_offset);
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        if (*quantifier != 0) {
            return refuse(fill, v, path, "only one of the alternatives may be given");
        }
        *quantifier = f->id;
    } else if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type != PROTOBUF_C_TYPE_MESSAGE &&
               f->type != PROTOBUF_C_TYPE_STRING) {
        *(protobuf_c_boolean *)(void *)quantifier = 1;
    }
    return SM_NO_ERR;
}

static sm_err fill_field(struct fill *fill, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                         const struct value *v, const char *path, bool append)
{
    if (v->kind == VALUE_NULL) {
        return SM_NO_ERR;
    }
    if (sm_field_is_map(f)) {
        return fill_map(fill, m, f, v, path);
    }
    if (f->label == PROTOBUF_C_LABEL_REPEATED && append) {
        uint8_t *at = extend(fill, m, f, 1);
        return at == NULL ? SM_ERR(NO_MEMORY) : set_one(fill, f, v, at, path);
    }
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        return fill_list(fill, m, f, v, path);
    }
    SM_TRY(mark(fill, m, f, v, path));
    return set_one(fill, f, v, (uint8_t *)m + f->offset, path);
}

/* The known name nearest to a wrong one, by shared leading letters; NULL when none is near. */
static const char *nearest(const ProtobufCMessageDescriptor *type, sm_slice name)
{
    const char *best = NULL;
    size_t best_score = 2;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const char *known = type->fields[i].name;
        size_t score = 0;
        while (score < name.len && known[score] != '\0' &&
               (uint8_t)known[score] == name.ptr[score]) {
            score++;
        }
        if (score > best_score) {
            best_score = score;
            best = known;
        }
    }
    return best;
}

/* `seen` has a bit for each field that came already, by whichever of its two names. */
static sm_err fill_member(struct fill *fill, ProtobufCMessage *m, const struct value *v,
                          const char *path, uint64_t *seen)
{
    char shown[48];
    const ProtobufCFieldDescriptor *f = sm_find_field(m->descriptor, v->key);
    if (f == NULL) {
        const char *near = nearest(m->descriptor, v->key);
        return refuse(fill, v, path, "unknown key \"%s\"%s%s%s",
                      sm_diag_escape(v->key, shown, sizeof(shown)),
                      near == NULL ? "" : ", did you mean \"", near == NULL ? "" : near,
                      near == NULL ? "" : "\"?");
    }
    char inner[PATH_MAX_TEXT];
    step(inner, path, "%s%s", path[0] == '\0' ? "" : ".", f->name);
    uint64_t bit = UINT64_C(1) << (f - m->descriptor->fields);
    if ((*seen & bit) != 0) {
        return refuse(fill, v, inner, "the key comes twice");
    }
    *seen |= bit;
    return fill_field(fill, m, f, v, inner, false);
}

static sm_err fill_message(struct fill *fill, ProtobufCMessage *m, const struct value *v,
                           const char *path)
{
    if (v->kind != VALUE_MAP) {
        return refuse(fill, v, path, "an object of keys and values is wanted");
    }
    if (++fill->depth > SM_MESSAGE_DEPTH_MAX) {
        return refuse(fill, v, path, "nested too deeply");
    }
    uint64_t seen = 0;
    SM_CHECK(m->descriptor->n_fields <= 64);
    for (const struct value *it = v->first; it != NULL; it = it->next) {
        SM_TRY(fill_member(fill, m, it, path, &seen));
    }
    fill->depth--;
    return SM_NO_ERR;
}

sm_err sm_fill_message(ProtobufCMessage *m, const struct value *v, sm_arena *arena, sm_diag *diag)
{
    struct fill fill = {arena, diag, 0};
    return fill_message(&fill, m, v, "");
}

sm_err sm_fill_field(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const struct value *v,
                     const char *path, bool append, sm_arena *arena, sm_diag *diag)
{
    struct fill fill = {arena, diag, 0};
    return fill_field(&fill, m, f, v, path, append);
}
