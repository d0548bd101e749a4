/* SPDX-License-Identifier: Apache-2.0 */
/* IssueStream over HTTP/2: every question has one answer with its id, good and bad beside each
 * other. */
#include "base/check.h"
#include "base/text.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "proto/grpc.h"
#include "tests/support/api_server.h"
#include "tests/support/h2_raw.h"

#include <string.h>
#include <unistd.h>

typedef Sealmill__V1__IssueStreamRequest question;
typedef Sealmill__V1__IssueStreamResponse reply;

#define PATH "/sealmill.v1.CertificateService/IssueStream"
#define REPLIES_MAX 64

static struct sm_api_server server;
static const char *admin;
static const char *narrow;
static const char *reader;

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n- name: other\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    reader = sm_api_server_token(&server, "reader", "[{\"role\":\"reader\"}]", 0);
    narrow = sm_api_server_token(
        &server, "narrow", "[{\"role\":\"ra\",\"cas\":[\"issuing\"],\"profiles\":[\"device\"]}]",
        0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

/* ---- a stream ---- */

static int open_stream(const char *token)
{
    static struct h2_block b;
    char authorization[128];
    int fd = h2_raw_open_window(server.port, 1U << 20);
    h2_raw_window_update(fd, 0, 1U << 20);
    b.len = 0;
    h2_raw_request(&b, "POST", PATH);
    h2_raw_field(&b, "content-type", "application/grpc");
    h2_raw_field(&b, "te", "trailers");
    if (token != NULL) {
        (void)snprintf(authorization, sizeof(authorization), "Bearer %s", token);
        h2_raw_field(&b, "authorization", authorization);
    }
    h2_raw_headers(fd, 1, H2_END_HEADERS, &b);
    return fd;
}

static void put(sm_buf *out, const ProtobufCMessage *m)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    sm_grpc_frame_header(out, (uint32_t)len, false);
    uint8_t *to = sm_buf_reserve(out, len);
    assert_non_null(to);
    sm_buf_commit(out, protobuf_c_message_pack(m, to));
}

/* `csr` in base64; NULL: no request at all. */
static void put_question(sm_buf *out, uint64_t id, const char *profile, const char *csr)
{
    question q;
    sealmill__v1__issue_stream_request__init(&q);
    Sealmill__V1__IssueRequest r;
    sealmill__v1__issue_request__init(&r);
    char ca[] = "issuing";
    char name[32];
    sm_buf der = sm_buf_init(16384);
    (void)snprintf(name, sizeof(name), "%s", profile);
    q.id = id;
    r.ca = ca;
    r.profile = name;
    if (csr != NULL) {
        assert_sm_ok(sm_base64_decode(&der, sm_slice_str(csr), 0));
        r.csr = (ProtobufCBinaryData){der.len, der.ptr};
        q.request = &r;
    }
    put(out, &q.base);
    sm_buf_deinit(&der);
}

/* Writes the octets in frames of at most 1000, and ends the stream. */
static void send_all(int fd, const sm_buf *out)
{
    for (size_t at = 0; at < out->len; at += 1000) {
        size_t n = out->len - at < 1000 ? out->len - at : 1000;
        h2_raw_frame(fd, H2_DATA, 0, 1, out->ptr + at, n);
    }
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "", 0);
}

/* Every reply until the stream's end; freed by drop. */
static size_t read_replies(int fd, reply **out)
{
    static struct h2_frame f;
    sm_buf data = sm_buf_init(4U << 20);
    size_t count = 0;
    bool ended = false;
    while (!ended) {
        assert_true(h2_raw_read(fd, &f));
        assert_int_not_equal(f.type, H2_GOAWAY);
        if (f.stream == 1 && f.type == H2_DATA) {
            sm_buf_put(&data, sm_slice_of(f.payload, f.len));
        }
        ended = f.stream == 1 &&
                (f.type == H2_RST_STREAM ||
                 ((f.flags & H2_END_STREAM) != 0 && (f.type == H2_DATA || f.type == H2_HEADERS)));
    }
    (void)close(fd);
    for (size_t at = 0; at < data.len;) {
        const uint8_t *p = data.ptr + at;
        assert_true(data.len - at >= 5 && count < REPLIES_MAX);
        size_t len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        assert_true(len <= data.len - at - 5);
        out[count] = sealmill__v1__issue_stream_response__unpack(NULL, len, p + 5);
        assert_non_null(out[count++]);
        at += 5 + len;
    }
    sm_buf_deinit(&data);
    return count;
}

static void drop(reply **replies, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sealmill__v1__issue_stream_response__free_unpacked(replies[i], NULL);
    }
}

static const reply *by_id(reply **replies, size_t count, uint64_t id)
{
    const reply *found = NULL;
    for (size_t i = 0; i < count; i++) {
        if (replies[i]->id == id) {
            assert_null(found); /* each once */
            found = replies[i];
        }
    }
    assert_non_null(found);
    return found;
}

static void assert_error(const reply *r, enum sm_grpc_status code, const char *field)
{
    assert_int_equal(r->result_case, SEALMILL__V1__ISSUE_STREAM_RESPONSE__RESULT_ERROR);
    assert_int_equal(r->error->code, code);
    assert_string_equal(r->error->field, field);
    assert_true(r->error->message[0] != '\0');
}

/* ---- */

static void stream__every_question_has_its_answer(void **state)
{
    (void)state;
    reply *replies[REPLIES_MAX];
    sm_buf out = sm_buf_init(1U << 20);
    int fd = open_stream(admin);
    for (uint64_t id = 1; id <= 20; id++) {
        put_question(&out, id == 20 ? UINT64_MAX : id * 7, "device", sm_api_csr("dev", NULL));
    }
    send_all(fd, &out);
    size_t count = read_replies(fd, replies);
    assert_int_equal(count, 20);
    for (uint64_t id = 1; id <= 20; id++) {
        const reply *r = by_id(replies, count, id == 20 ? UINT64_MAX : id * 7);
        assert_int_equal(r->result_case, SEALMILL__V1__ISSUE_STREAM_RESPONSE__RESULT_RESPONSE);
        assert_true(r->response->certificate.len > 100);
        assert_int_equal(strlen(r->response->serial), 40);
        for (uint64_t other = 0; other < count; other++) {
            assert_true(replies[other] == r ||
                        strcmp(replies[other]->response->serial, r->response->serial) != 0);
        }
    }
    drop(replies, count);
    sm_buf_deinit(&out);
}

static void stream__bad_questions_do_not_disturb_the_good(void **state)
{
    (void)state;
    reply *replies[REPLIES_MAX];
    sm_buf out = sm_buf_init(1U << 20);
    int fd = open_stream(admin);
    put_question(&out, 1, "device", sm_api_csr("dev", NULL));
    put_question(&out, 2, "device", NULL);
    put_question(&out, 3, "nothing", sm_api_csr("dev", NULL));
    put_question(&out, 4, "device", "AAAA");
    put_question(&out, 5, "device", "");
    put_question(&out, 6, "device", sm_api_csr("dev", NULL));
    send_all(fd, &out);
    size_t count = read_replies(fd, replies);
    assert_int_equal(count, 6);
    assert_int_equal(by_id(replies, count, 1)->result_case,
                     SEALMILL__V1__ISSUE_STREAM_RESPONSE__RESULT_RESPONSE);
    assert_error(by_id(replies, count, 2), SM_GRPC_INVALID_ARGUMENT, "request");
    assert_error(by_id(replies, count, 3), SM_GRPC_NOT_FOUND, "profile");
    assert_error(by_id(replies, count, 4), SM_GRPC_INVALID_ARGUMENT, "csr");
    assert_error(by_id(replies, count, 5), SM_GRPC_INVALID_ARGUMENT, "csr");
    assert_int_equal(by_id(replies, count, 6)->result_case,
                     SEALMILL__V1__ISSUE_STREAM_RESPONSE__RESULT_RESPONSE);
    drop(replies, count);
    sm_buf_deinit(&out);
}

static void stream__rights_are_asked_for_each_question(void **state)
{
    (void)state;
    reply *replies[REPLIES_MAX];
    sm_buf out = sm_buf_init(1U << 20);
    int fd = open_stream(narrow);
    put_question(&out, 1, "device", sm_api_csr("dev", NULL));
    put_question(&out, 2, "other", sm_api_csr("dev", NULL));
    put_question(&out, 3, "device", sm_api_csr("dev", NULL));
    send_all(fd, &out);
    size_t count = read_replies(fd, replies);
    assert_int_equal(count, 3);
    assert_error(by_id(replies, count, 2), SM_GRPC_PERMISSION_DENIED, "");
    assert_non_null(by_id(replies, count, 1)->response);
    assert_non_null(by_id(replies, count, 3)->response);
    drop(replies, count);
    sm_buf_deinit(&out);
}

static size_t certificates(void)
{
    unsigned status;
    json_t *answer = sm_api_server_json(&server, "GET", "/v1/certificates?pageSize=1000&brief=true",
                                        admin, NULL, &status);
    assert_int_equal(status, 200);
    size_t count = json_array_size(json_object_get(answer, "certificates"));
    json_decref(answer);
    return count;
}

static void stream__without_the_role_nothing_is_issued(void **state)
{
    (void)state;
    const char *const tokens[] = {reader, NULL, "sealmill_unknown"};
    size_t before = certificates();
    for (size_t i = 0; i < SM_ARRAY_LEN(tokens); i++) {
        reply *replies[REPLIES_MAX];
        sm_buf out = sm_buf_init(1U << 20);
        int fd = open_stream(tokens[i]);
        put_question(&out, 1, "device", sm_api_csr("dev", NULL));
        send_all(fd, &out);
        assert_int_equal(read_replies(fd, replies), 0);
        sm_buf_deinit(&out);
    }
    assert_int_equal(certificates(), before);
}

static void stream__broken_frames_end_it_after_what_came_whole(void **state)
{
    (void)state;
    static const struct {
        const char *octets;
        size_t len;
    } broken[] = {{"\0\0\0\0\2\xff\xff", 7},
                  {"\2\0\0\0\0", 5},
                  {"\0\0\0\0\x09"
                   "ab",
                   7},
                  {"\0\xff\xff\xff\xff", 5}};
    for (size_t i = 0; i < SM_ARRAY_LEN(broken); i++) {
        reply *replies[REPLIES_MAX];
        sm_buf out = sm_buf_init(1U << 20);
        size_t before = certificates();
        int fd = open_stream(admin);
        put_question(&out, 1, "device", sm_api_csr("dev", NULL));
        sm_buf_put(&out, sm_slice_of(broken[i].octets, broken[i].len));
        send_all(fd, &out);
        size_t count = read_replies(fd, replies);
        assert_true(count <= 1);
        drop(replies, count);
        for (int wait = 0; wait < 1000 && certificates() < before + 1; wait++) {
            (void)usleep(2000);
        }
        assert_true(certificates() <= before + 1);
        sm_buf_deinit(&out);
    }
}

static void stream__empty_one_ends_well(void **state)
{
    (void)state;
    reply *replies[REPLIES_MAX];
    sm_buf out = sm_buf_init(16);
    int fd = open_stream(admin);
    send_all(fd, &out);
    assert_int_equal(read_replies(fd, replies), 0);
}

/* The peer leaves in the middle: what was asked for is done or not, and the server lives on. */
static void stream__peer_that_leaves(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        sm_buf out = sm_buf_init(1U << 20);
        int fd = open_stream(admin);
        for (uint64_t id = 0; id < 10; id++) {
            put_question(&out, id, "device", sm_api_csr("dev", NULL));
        }
        h2_raw_frame(fd, H2_DATA, 0, 1, out.ptr, out.len / 2);
        if (i % 2 == 0) {
            h2_raw_reset(fd, 1, H2_CANCEL);
        }
        (void)close(fd);
        sm_buf_deinit(&out);
    }
    stream__every_question_has_its_answer(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream__every_question_has_its_answer),
        cmocka_unit_test(stream__bad_questions_do_not_disturb_the_good),
        cmocka_unit_test(stream__rights_are_asked_for_each_question),
        cmocka_unit_test(stream__without_the_role_nothing_is_issued),
        cmocka_unit_test(stream__broken_frames_end_it_after_what_came_whole),
        cmocka_unit_test(stream__empty_one_ends_well),
        cmocka_unit_test(stream__peer_that_leaves),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
