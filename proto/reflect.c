/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/reflect.h"

#include "base/arena.h"
#include "base/map.h"

#include "descriptors.h"
#include "google/protobuf/descriptor.pb-c.h"

#include <stdio.h>

#define FILES_MAX 64
#define SYMBOLS_MAX 4096
#define NAME_MAX_LEN 256
#define REFLECT_MEMORY (4U << 20)

typedef Google__Protobuf__FileDescriptorSet file_set;
typedef Google__Protobuf__FileDescriptorProto file_proto;
typedef Google__Protobuf__DescriptorProto message_proto;
typedef Google__Protobuf__EnumDescriptorProto enum_proto;
typedef Google__Protobuf__ServiceDescriptorProto service_proto;

struct file {
    const char *name;
    sm_slice bytes;
    size_t dependencies[FILES_MAX];
    size_t dependency_count;
};

/* Built once at start, constant afterwards; lives as long as the program. */
static struct {
    sm_arena arena;
    struct file files[FILES_MAX];
    size_t count;
    sm_map *symbols; /* full name -> struct file */
} index_of;

static sm_err add_symbol(const char *scope, const char *name, struct file *file)
{
    char full[NAME_MAX_LEN];
    int n = snprintf(full, sizeof(full), "%s.%s", scope, name);
    if (n < 0 || (size_t)n >= sizeof(full)) {
        return SM_ERR(TOO_LARGE);
    }
    const char *at = scope[0] == '\0' ? full + 1 : full;
    return sm_map_put(index_of.symbols, sm_slice_str(at), file, NULL);
}

static sm_err add_enum(const char *scope, const enum_proto *e, struct file *file)
{
    SM_TRY(add_symbol(scope, e->name, file));
    for (size_t i = 0; i < e->n_value; i++) {
        SM_TRY(add_symbol(scope, e->value[i]->name, file)); /* values live beside their enum */
    }
    return SM_NO_ERR;
}

static sm_err add_message(const char *scope, const message_proto *m, struct file *file)
{
    char inner[NAME_MAX_LEN];
    (void)snprintf(inner, sizeof(inner), "%s%s%s", scope, scope[0] == '\0' ? "" : ".", m->name);
    SM_TRY(add_symbol(scope, m->name, file));
    for (size_t i = 0; i < m->n_field; i++) {
        SM_TRY(add_symbol(inner, m->field[i]->name, file));
    }
    for (size_t i = 0; i < m->n_oneof_decl; i++) {
        SM_TRY(add_symbol(inner, m->oneof_decl[i]->name, file));
    }
    for (size_t i = 0; i < m->n_enum_type; i++) {
        SM_TRY(add_enum(inner, m->enum_type[i], file));
    }
    for (size_t i = 0; i < m->n_nested_type; i++) {
        SM_TRY(add_message(inner, m->nested_type[i], file));
    }
    return SM_NO_ERR;
}

static sm_err add_service(const char *scope, const service_proto *s, struct file *file)
{
    char inner[NAME_MAX_LEN];
    (void)snprintf(inner, sizeof(inner), "%s%s%s", scope, scope[0] == '\0' ? "" : ".", s->name);
    SM_TRY(add_symbol(scope, s->name, file));
    for (size_t i = 0; i < s->n_method; i++) {
        SM_TRY(add_symbol(inner, s->method[i]->name, file));
    }
    return SM_NO_ERR;
}

static struct file *find_file(sm_slice name, size_t *at)
{
    for (size_t i = 0; i < index_of.count; i++) {
        if (sm_slice_equal(sm_slice_str(index_of.files[i].name), name)) {
            *at = i;
            return &index_of.files[i];
        }
    }
    return NULL;
}

/* The compiler writes a set so that each file stands behind those that it imports. */
static sm_err add_file(const file_proto *proto)
{
    if (index_of.count == FILES_MAX) {
        return SM_ERR(TOO_LARGE);
    }
    struct file *file = &index_of.files[index_of.count++];
    size_t len = google__protobuf__file_descriptor_proto__get_packed_size(proto);
    uint8_t *bytes = sm_arena_alloc(&index_of.arena, len);
    file->name = sm_arena_strdup(&index_of.arena, sm_slice_str(proto->name));
    if (bytes == NULL || file->name == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    file->bytes = sm_slice_of(bytes, google__protobuf__file_descriptor_proto__pack(proto, bytes));
    for (size_t i = 0; i < proto->n_dependency; i++) {
        size_t at;
        if (find_file(sm_slice_str(proto->dependency[i]), &at) == NULL) {
            return SM_ERR(MALFORMED);
        }
        file->dependencies[file->dependency_count++] = at;
    }
    const char *package = proto->package == NULL ? "" : proto->package;
    for (size_t i = 0; i < proto->n_message_type; i++) {
        SM_TRY(add_message(package, proto->message_type[i], file));
    }
    for (size_t i = 0; i < proto->n_enum_type; i++) {
        SM_TRY(add_enum(package, proto->enum_type[i], file));
    }
    for (size_t i = 0; i < proto->n_service; i++) {
        SM_TRY(add_service(package, proto->service[i], file));
    }
    return SM_NO_ERR;
}

sm_err sm_reflect_init(void)
{
    if (index_of.symbols != NULL) {
        return SM_NO_ERR;
    }
    sm_arena_init(&index_of.arena, REFLECT_MEMORY);
    SM_TRY(sm_map_new(SYMBOLS_MAX, &index_of.symbols));
    file_set *set = google__protobuf__file_descriptor_set__unpack(NULL, sm_descriptor_set_len,
                                                                  sm_descriptor_set);
    if (set == NULL) {
        return SM_ERR(MALFORMED);
    }
    sm_err err = SM_NO_ERR;
    for (size_t i = 0; i < set->n_file && sm_ok(err); i++) {
        err = add_file(set->file[i]);
    }
    google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
    return err;
}

sm_err sm_reflect_file(sm_slice name, sm_slice *out)
{
    size_t at;
    struct file *file = find_file(name, &at);
    if (file == NULL) {
        return SM_ERR(NOT_FOUND);
    }
    *out = file->bytes;
    return SM_NO_ERR;
}

sm_err sm_reflect_symbol(sm_slice symbol, sm_slice *out)
{
    struct file *file = sm_map_get(index_of.symbols, symbol);
    if (file == NULL) {
        return SM_ERR(NOT_FOUND);
    }
    *out = file->bytes;
    return SM_NO_ERR;
}

static void visit(size_t at, bool *seen, void (*dep)(void *ctx, sm_slice file), void *ctx)
{
    if (seen[at]) {
        return;
    }
    seen[at] = true;
    dep(ctx, index_of.files[at].bytes);
    for (size_t i = 0; i < index_of.files[at].dependency_count; i++) {
        visit(index_of.files[at].dependencies[i], seen, dep, ctx);
    }
}

sm_err sm_reflect_closure(sm_slice file_descriptor, void (*dep)(void *ctx, sm_slice file),
                          void *ctx)
{
    bool seen[FILES_MAX] = {false};
    for (size_t i = 0; i < index_of.count; i++) {
        if (index_of.files[i].bytes.ptr == file_descriptor.ptr) {
            visit(i, seen, dep, ctx);
            return SM_NO_ERR;
        }
    }
    return SM_ERR(NOT_FOUND);
}
