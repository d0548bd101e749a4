/* SPDX-License-Identifier: Apache-2.0 */
/* grpc.reflection v1 and v1alpha, and grpc.health.v1, as gRPC over HTTP/2, without credentials. */
#include "base/check.h"
#include "base/mem.h"
#include "gen/grpc/health/v1/health.pb-c.h"
#include "gen/grpc/reflection/v1/reflection.pb-c.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "proto/grpc.h"
#include "tests/support/api_server.h"
#include "tests/support/h2_raw.h"

#include <string.h>
#include <unistd.h>

typedef Grpc__Reflection__V1__ServerReflectionRequest request;
typedef Grpc__Reflection__V1__ServerReflectionResponse response;

#define V1 "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define V1ALPHA "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
#define ANSWERS_MAX 8

static struct sm_api_server server;
static const char *const versions[] = {V1, V1ALPHA};

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

/* ---- a call ---- */

static void put_message(sm_buf *out, const ProtobufCMessage *m)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    sm_grpc_frame_header(out, (uint32_t)len, false);
    uint8_t *to = sm_buf_reserve(out, len);
    assert_non_null(to);
    sm_buf_commit(out, protobuf_c_message_pack(m, to));
}

static void open_call(int fd, const char *path)
{
    static struct h2_block b;
    b.len = 0;
    h2_raw_request(&b, "POST", path);
    h2_raw_field(&b, "content-type", "application/grpc");
    h2_raw_field(&b, "te", "trailers");
    h2_raw_headers(fd, 1, H2_END_HEADERS, &b);
}

/* The DATA of the whole answer. */
static void read_answer(int fd, sm_buf *out)
{
    static struct h2_frame f;
    bool ended = false;
    while (!ended) {
        assert_true(h2_raw_read(fd, &f));
        assert_int_not_equal(f.type, H2_RST_STREAM);
        if (f.stream != 1) {
            continue;
        }
        if (f.type == H2_DATA) {
            sm_buf_put(out, sm_slice_of(f.payload, f.len));
        }
        ended = (f.flags & H2_END_STREAM) != 0 && (f.type == H2_DATA || f.type == H2_HEADERS);
    }
    (void)close(fd);
}

static size_t split(sm_buf *data, sm_slice *out)
{
    size_t count = 0;
    size_t at = 0;
    while (at < data->len) {
        const uint8_t *p = data->ptr + at;
        assert_true(data->len - at >= 5 && p[0] == 0 && count < ANSWERS_MAX);
        size_t len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        assert_true(len <= data->len - at - 5);
        out[count++] = sm_slice_of(p + 5, len);
        at += 5 + len;
    }
    return count;
}

/* All the questions on one stream, the answers in their order; freed by the caller. */
static size_t ask(const char *path, const request *questions, size_t count, response **answers)
{
    sm_buf out = sm_buf_init(1U << 20);
    sm_buf in = sm_buf_init(4U << 20);
    sm_slice messages[ANSWERS_MAX];
    int fd = h2_raw_open_window(server.port, 1U << 20);
    h2_raw_window_update(fd, 0, 1U << 20);
    open_call(fd, path);
    for (size_t i = 0; i < count; i++) {
        put_message(&out, &questions[i].base);
    }
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, out.ptr, out.len);
    read_answer(fd, &in);
    size_t n = split(&in, messages);
    for (size_t i = 0; i < n; i++) {
        answers[i] = grpc__reflection__v1__server_reflection_response__unpack(NULL, messages[i].len,
                                                                              messages[i].ptr);
        assert_non_null(answers[i]);
    }
    sm_buf_deinit(&out);
    sm_buf_deinit(&in);
    return n;
}

static response *ask_one(const char *path, const request *question)
{
    response *answer;
    assert_int_equal(ask(path, question, 1, &answer), 1);
    assert_string_equal(answer->valid_host, question->host);
    assert_non_null(answer->original_request);
    assert_int_equal(answer->original_request->message_request_case,
                     question->message_request_case);
    return answer;
}

static void drop(response *r)
{
    grpc__reflection__v1__server_reflection_response__free_unpacked(r, NULL);
}

static request with(int kind, const char *text)
{
    request q;
    grpc__reflection__v1__server_reflection_request__init(&q);
    static char copy[4096];
    (void)snprintf(copy, sizeof(copy), "%s", text);
    q.message_request_case = (Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase)
        kind;
    q.list_services = copy; /* the alternatives that are text share their memory */
    return q;
}

#define BY_NAME GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME
#define BY_SYMBOL \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL
#define BY_EXTENSION \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION
#define NUMBERS \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE
#define SERVICES GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES
#define IS_ERROR GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE
#define IS_FILE \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE
#define IS_SERVICES \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE
#define IS_NUMBERS \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE

static void assert_not_found(response *r)
{
    assert_int_equal(r->message_response_case, IS_ERROR);
    assert_int_equal(r->error_response->error_code, SM_GRPC_NOT_FOUND);
    assert_true(r->error_response->error_message[0] != '\0');
    drop(r);
}

/* ---- each question ---- */

static void reflection__lists_every_service_once(void **state)
{
    (void)state;
    static const char *const wanted[] = {"grpc.health.v1.Health",
                                         "grpc.reflection.v1.ServerReflection",
                                         "grpc.reflection.v1alpha.ServerReflection",
                                         "sealmill.v1.ApprovalService",
                                         "sealmill.v1.CaService",
                                         "sealmill.v1.CallerService",
                                         "sealmill.v1.CertificateService",
                                         "sealmill.v1.CrlService",
                                         "sealmill.v1.DecryptKeyService",
                                         "sealmill.v1.MaintenanceService",
                                         "sealmill.v1.OtpService",
                                         "sealmill.v1.ProfileService",
                                         "sealmill.v1.SigningService",
                                         "sealmill.v1.StatusService"};
    for (size_t v = 0; v < SM_ARRAY_LEN(versions); v++) {
        request q = with(SERVICES, "");
        response *r = ask_one(versions[v], &q);
        assert_int_equal(r->message_response_case, IS_SERVICES);
        assert_int_equal(r->list_services_response->n_service, SM_ARRAY_LEN(wanted));
        for (size_t i = 0; i < SM_ARRAY_LEN(wanted); i++) {
            unsigned times = 0;
            for (size_t j = 0; j < r->list_services_response->n_service; j++) {
                times += strcmp(r->list_services_response->service[j]->name, wanted[i]) == 0;
            }
            assert_int_equal(times, 1);
        }
        drop(r);
    }
}

/* The file asked for comes first, and what it imports comes with it. */
static void assert_files(response *r, const char *first)
{
    assert_int_equal(r->message_response_case, IS_FILE);
    const Grpc__Reflection__V1__FileDescriptorResponse *f = r->file_descriptor_response;
    char names[64][128];
    assert_true(f->n_file_descriptor_proto > 0 && f->n_file_descriptor_proto <= 64);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < f->n_file_descriptor_proto; i++) {
            Google__Protobuf__FileDescriptorProto *file =
                google__protobuf__file_descriptor_proto__unpack(
                    NULL, f->file_descriptor_proto[i].len, f->file_descriptor_proto[i].data);
            assert_non_null(file);
            (void)snprintf(names[i], sizeof(names[i]), "%s", file->name);
            for (size_t d = 0; pass == 1 && d < file->n_dependency; d++) {
                bool there = false;
                for (size_t j = 0; j < f->n_file_descriptor_proto; j++) {
                    there = there || strcmp(names[j], file->dependency[d]) == 0;
                }
                assert_true(there);
            }
            google__protobuf__file_descriptor_proto__free_unpacked(file, NULL);
        }
    }
    assert_string_equal(names[0], first);
    drop(r);
}

static void reflection__files_by_name_and_symbol(void **state)
{
    (void)state;
    static const char *const symbols[][2] = {
        {"sealmill.v1.CertificateService", "sealmill/v1/certificate.proto"},
        {"sealmill.v1.CertificateService.Issue", "sealmill/v1/certificate.proto"},
        {"sealmill.v1.IssueRequest", "sealmill/v1/certificate.proto"},
        {"sealmill.v1.IssueRequest.csr", "sealmill/v1/certificate.proto"},
        {"sealmill.v1.IssueRequest.MetadataEntry", "sealmill/v1/certificate.proto"},
        {"sealmill.v1.InventoryEvent.Kind", "sealmill/v1/certificate.proto"},
        {"sealmill.v1.KeyType", "sealmill/v1/common.proto"},
        {"sealmill.v1.KEY_TYPE_ED25519", "sealmill/v1/common.proto"},
        {"google.protobuf.Timestamp", "google/protobuf/timestamp.proto"},
        {"grpc.health.v1.Health", "grpc/health/v1/health.proto"},
        {"grpc.reflection.v1alpha.ServerReflection", "grpc/reflection/v1alpha/reflection.proto"},
    };
    for (size_t v = 0; v < SM_ARRAY_LEN(versions); v++) {
        for (size_t i = 0; i < SM_ARRAY_LEN(symbols); i++) {
            request q = with(BY_SYMBOL, symbols[i][0]);
            assert_files(ask_one(versions[v], &q), symbols[i][1]);
            q = with(BY_NAME, symbols[i][1]);
            assert_files(ask_one(versions[v], &q), symbols[i][1]);
        }
    }
}

static void reflection__what_there_is_not(void **state)
{
    (void)state;
    static const char *const strangers[] = {"",
                                            "sealmill.v1.Nothing",
                                            "sealmill.v1",
                                            ".",
                                            "sealmill.v1.CertificateService.",
                                            "../../etc/passwd",
                                            "sealmill/v1/nothing.proto"};
    for (size_t v = 0; v < SM_ARRAY_LEN(versions); v++) {
        for (size_t i = 0; i < SM_ARRAY_LEN(strangers); i++) {
            request q = with(BY_SYMBOL, strangers[i]);
            assert_not_found(ask_one(versions[v], &q));
            q = with(BY_NAME, strangers[i]);
            assert_not_found(ask_one(versions[v], &q));
        }
    }
}

static void reflection__there_are_no_extensions(void **state)
{
    (void)state;
    Grpc__Reflection__V1__ExtensionRequest e;
    grpc__reflection__v1__extension_request__init(&e);
    char type[] = "sealmill.v1.IssueRequest";
    e.containing_type = type;
    e.extension_number = 1000;
    for (size_t v = 0; v < SM_ARRAY_LEN(versions); v++) {
        request q = with(BY_EXTENSION, "");
        q.file_containing_extension = &e;
        assert_not_found(ask_one(versions[v], &q));
        q = with(NUMBERS, "sealmill.v1.IssueRequest");
        response *r = ask_one(versions[v], &q);
        assert_int_equal(r->message_response_case, IS_NUMBERS);
        assert_string_equal(r->all_extension_numbers_response->base_type_name,
                            "sealmill.v1.IssueRequest");
        assert_int_equal(r->all_extension_numbers_response->n_extension_number, 0);
        drop(r);
        q = with(NUMBERS, "sealmill.v1.Nothing");
        assert_not_found(ask_one(versions[v], &q));
    }
}

static void reflection__a_question_without_one(void **state)
{
    (void)state;
    for (size_t v = 0; v < SM_ARRAY_LEN(versions); v++) {
        request q = with(0, "");
        response *r = ask_one(versions[v], &q);
        assert_int_equal(r->message_response_case, IS_ERROR);
        drop(r);
    }
}

static void reflection__many_questions_on_one_stream(void **state)
{
    (void)state;
    char host[] = "a host";
    request q[4] = {with(SERVICES, "x"), with(SERVICES, "x"), with(0, ""), with(SERVICES, "x")};
    response *answers[ANSWERS_MAX];
    q[1].host = host;
    assert_int_equal(ask(V1, q, 4, answers), 4);
    assert_string_equal(answers[0]->valid_host, "");
    assert_string_equal(answers[1]->valid_host, "a host");
    assert_int_equal(answers[2]->message_response_case, IS_ERROR);
    assert_int_equal(answers[3]->message_response_case, IS_SERVICES);
    for (size_t i = 0; i < 4; i++) {
        drop(answers[i]);
    }
    assert_int_equal(ask(V1, q, 0, answers), 0);
}

static void reflection__broken_questions_end_the_stream_alone(void **state)
{
    (void)state;
    static const struct {
        const char *octets;
        size_t len;
    } broken[] = {{"\0\0\0\0\2\xff\xff", 7}, {"\2\0\0\0\0", 5}, {"\0\0\0\0\5ab", 7},
                  {"\0\xff\xff\xff\xff", 5}, {"\0\0\0", 3},     {"\0\0\0\0\3\x22\1\xff", 8}};
    for (size_t i = 0; i < SM_ARRAY_LEN(broken); i++) {
        sm_buf in = sm_buf_init(65536);
        int fd = h2_raw_open(server.port);
        open_call(fd, V1);
        h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, broken[i].octets, broken[i].len);
        read_answer(fd, &in);
        assert_int_equal(in.len, 0);
        sm_buf_deinit(&in);
    }
    request q = with(SERVICES, "");
    drop(ask_one(V1, &q));
}

/* ---- health ---- */

static int health_of(const char *service)
{
    Grpc__Health__V1__HealthCheckRequest q;
    grpc__health__v1__health_check_request__init(&q);
    char copy[128];
    sm_buf out = sm_buf_init(4096);
    sm_buf in = sm_buf_init(4096);
    sm_slice messages[ANSWERS_MAX];
    (void)snprintf(copy, sizeof(copy), "%s", service);
    q.service = copy;
    int fd = h2_raw_open(server.port);
    open_call(fd, "/grpc.health.v1.Health/Check");
    put_message(&out, &q.base);
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, out.ptr, out.len);
    read_answer(fd, &in);
    int status = -1;
    if (split(&in, messages) == 1) {
        Grpc__Health__V1__HealthCheckResponse *r = grpc__health__v1__health_check_response__unpack(
            NULL, messages[0].len, messages[0].ptr);
        assert_non_null(r);
        status = (int)r->status;
        grpc__health__v1__health_check_response__free_unpacked(r, NULL);
    }
    sm_buf_deinit(&out);
    sm_buf_deinit(&in);
    return status;
}

static void health__known_services_serve(void **state)
{
    (void)state;
    static const char *const known[] = {"", "grpc.health.v1.Health",
                                        "sealmill.v1.CertificateService"};
    static const char *const strangers[] = {
        "sealmill.v1", "CertificateService", "pkcs11:",
        " ",           "pkcs11:nothing",     "sealmill.v1.CertificateService.Issue"};
    for (size_t i = 0; i < SM_ARRAY_LEN(known); i++) {
        assert_int_equal(health_of(known[i]), 1);
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(strangers); i++) {
        assert_int_equal(health_of(strangers[i]), -1); /* NOT_FOUND */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reflection__lists_every_service_once),
        cmocka_unit_test(reflection__files_by_name_and_symbol),
        cmocka_unit_test(reflection__what_there_is_not),
        cmocka_unit_test(reflection__there_are_no_extensions),
        cmocka_unit_test(reflection__a_question_without_one),
        cmocka_unit_test(reflection__many_questions_on_one_stream),
        cmocka_unit_test(reflection__broken_questions_end_the_stream_alone),
        cmocka_unit_test(health__known_services_serve),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
