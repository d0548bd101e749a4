/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled-in file descriptors: every name in them leads to its file, nothing else does. */
#include "tests/support/support.h"

#include "base/check.h"
#include "descriptors.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "proto/reflect.h"

#include <string.h>

typedef Google__Protobuf__FileDescriptorSet file_set;
typedef Google__Protobuf__FileDescriptorProto file_proto;
typedef Google__Protobuf__DescriptorProto message_proto;

static file_set *all;

static int set_up(void **state)
{
    (void)state;
    all = google__protobuf__file_descriptor_set__unpack(NULL, sm_descriptor_set_len,
                                                        sm_descriptor_set);
    return all != NULL && sm_ok(sm_reflect_init()) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    google__protobuf__file_descriptor_set__free_unpacked(all, NULL);
    return 0;
}

static file_proto *unpack(sm_slice bytes)
{
    file_proto *f = google__protobuf__file_descriptor_proto__unpack(NULL, bytes.len, bytes.ptr);
    assert_non_null(f);
    return f;
}

static void assert_leads_to(const char *scope, const char *name, const char *file)
{
    char symbol[300];
    sm_slice bytes;
    (void)snprintf(symbol, sizeof(symbol), "%s%s%s", scope, scope[0] == '\0' ? "" : ".", name);
    if (!sm_ok(sm_reflect_symbol(sm_slice_str(symbol), &bytes))) {
        print_error("%s is not found\n", symbol);
        fail();
    }
    file_proto *f = unpack(bytes);
    assert_string_equal(f->name, file);
    google__protobuf__file_descriptor_proto__free_unpacked(f, NULL);
}

static void check_enum(const char *scope, const Google__Protobuf__EnumDescriptorProto *e,
                       const char *file)
{
    assert_leads_to(scope, e->name, file);
    for (size_t i = 0; i < e->n_value; i++) {
        assert_leads_to(scope, e->value[i]->name, file);
    }
}

static void check_message(const char *scope, const message_proto *m, const char *file)
{
    char inner[256];
    (void)snprintf(inner, sizeof(inner), "%s.%s", scope, m->name);
    assert_leads_to(scope, m->name, file);
    for (size_t i = 0; i < m->n_field; i++) {
        assert_leads_to(inner, m->field[i]->name, file);
    }
    for (size_t i = 0; i < m->n_oneof_decl; i++) {
        assert_leads_to(inner, m->oneof_decl[i]->name, file);
    }
    for (size_t i = 0; i < m->n_enum_type; i++) {
        check_enum(inner, m->enum_type[i], file);
    }
    for (size_t i = 0; i < m->n_nested_type; i++) {
        check_message(inner, m->nested_type[i], file);
    }
}

static void reflect__every_symbol_leads_to_its_file(void **state)
{
    (void)state;
    assert_true(all->n_file > 10);
    for (size_t i = 0; i < all->n_file; i++) {
        const file_proto *f = all->file[i];
        for (size_t j = 0; j < f->n_message_type; j++) {
            check_message(f->package, f->message_type[j], f->name);
        }
        for (size_t j = 0; j < f->n_enum_type; j++) {
            check_enum(f->package, f->enum_type[j], f->name);
        }
        for (size_t j = 0; j < f->n_service; j++) {
            char service[256];
            assert_leads_to(f->package, f->service[j]->name, f->name);
            (void)snprintf(service, sizeof(service), "%s.%s", f->package, f->service[j]->name);
            for (size_t k = 0; k < f->service[j]->n_method; k++) {
                assert_leads_to(service, f->service[j]->method[k]->name, f->name);
            }
        }
    }
}

static void reflect__every_file_is_found_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < all->n_file; i++) {
        sm_slice bytes;
        assert_sm_ok(sm_reflect_file(sm_slice_str(all->file[i]->name), &bytes));
        file_proto *f = unpack(bytes);
        assert_string_equal(f->name, all->file[i]->name);
        assert_int_equal(f->n_message_type, all->file[i]->n_message_type);
        google__protobuf__file_descriptor_proto__free_unpacked(f, NULL);
    }
}

static void reflect__other_names_are_not_found(void **state)
{
    (void)state;
    static const char *const strangers[] = {"",
                                            ".",
                                            "sealmill",
                                            "sealmill.v1",
                                            "sealmill.v1.",
                                            ".sealmill.v1.CaService",
                                            "sealmill.v1.CaService.",
                                            "sealmill.v1.CaService.Lis",
                                            "sealmill.v1.caservice",
                                            "sealmill.v1.CaService/List",
                                            "/sealmill.v1.CaService/List",
                                            "sealmill.v1.CaService.List.x",
                                            "sealmill/v1/ca.proto",
                                            "CaService",
                                            " sealmill.v1.CaService"};
    static const char *const files[] = {"",
                                        "ca.proto",
                                        "/sealmill/v1/ca.proto",
                                        "sealmill/v1/ca.proto ",
                                        "sealmill/v1/CA.proto",
                                        "sealmill/v1/../v1/ca.proto",
                                        "sealmill.v1.CaService"};
    sm_slice out = SM_LIT("untouched");
    for (size_t i = 0; i < SM_ARRAY_LEN(strangers); i++) {
        assert_sm_err(sm_reflect_symbol(sm_slice_str(strangers[i]), &out), NOT_FOUND);
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(files); i++) {
        assert_sm_err(sm_reflect_file(sm_slice_str(files[i]), &out), NOT_FOUND);
    }
    assert_sm_err(sm_reflect_symbol(SM_LIT("sealmill.v1.CaService\0"), &out), NOT_FOUND);
    assert_sm_err(sm_reflect_file(SM_LIT("sealmill/v1/ca.proto\0"), &out), NOT_FOUND);
    assert_true(sm_slice_equal(out, SM_LIT("untouched")));
}

/* ---- closures ---- */

struct seen {
    char names[64][128];
    size_t count;
};

static void on_file(void *ctx, sm_slice bytes)
{
    struct seen *seen = ctx;
    file_proto *f = unpack(bytes);
    assert_true(seen->count < SM_ARRAY_LEN(seen->names));
    for (size_t i = 0; i < seen->count; i++) {
        assert_string_not_equal(seen->names[i], f->name); /* each once */
    }
    (void)snprintf(seen->names[seen->count++], sizeof(seen->names[0]), "%s", f->name);
    google__protobuf__file_descriptor_proto__free_unpacked(f, NULL);
}

static bool has(const struct seen *seen, const char *name)
{
    for (size_t i = 0; i < seen->count; i++) {
        if (strcmp(seen->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void reflect__closure_has_every_import_once_and_itself_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < all->n_file; i++) {
        struct seen seen = {.count = 0};
        sm_slice bytes;
        assert_sm_ok(sm_reflect_file(sm_slice_str(all->file[i]->name), &bytes));
        assert_sm_ok(sm_reflect_closure(bytes, on_file, &seen));
        assert_string_equal(seen.names[0], all->file[i]->name);
        for (size_t j = 0; j < all->n_file; j++) {
            const file_proto *f = all->file[j];
            for (size_t k = 0; has(&seen, f->name) && k < f->n_dependency; k++) {
                assert_true(has(&seen, f->dependency[k]));
            }
        }
    }
}

static void reflect__closure_of_strange_octets_is_not_found(void **state)
{
    (void)state;
    struct seen seen = {.count = 0};
    assert_sm_err(sm_reflect_closure(SM_LIT("\n\4nope"), on_file, &seen), NOT_FOUND);
    assert_sm_err(sm_reflect_closure(SM_SLICE_NONE, on_file, &seen), NOT_FOUND);
    assert_int_equal(seen.count, 0);
}

static void reflect__a_second_beginning_changes_nothing(void **state)
{
    (void)state;
    sm_slice before;
    sm_slice after;
    assert_sm_ok(sm_reflect_symbol(SM_LIT("sealmill.v1.CaService"), &before));
    assert_sm_ok(sm_reflect_init());
    assert_sm_ok(sm_reflect_symbol(SM_LIT("sealmill.v1.CaService"), &after));
    assert_ptr_equal(before.ptr, after.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reflect__every_symbol_leads_to_its_file),
        cmocka_unit_test(reflect__every_file_is_found_by_its_name),
        cmocka_unit_test(reflect__other_names_are_not_found),
        cmocka_unit_test(reflect__closure_has_every_import_once_and_itself_first),
        cmocka_unit_test(reflect__closure_of_strange_octets_is_not_found),
        cmocka_unit_test(reflect__a_second_beginning_changes_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
