/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that ask and take no answers: their next requests stay in their window. */
#include "base/check.h"
#include "base/text.h"
#include "gen/grpc/reflection/v1/reflection.pb-c.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "tests/support/api_server.h"
#include "tests/support/grpc_raw.h"

#include <stdio.h>
#include <unistd.h>

#define REFLECT "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define ISSUE_STREAM "/sealmill.v1.CertificateService/IssueStream"
#define WINDOW_MAX 0x7fffffffU

static struct sm_api_server server;
static const char *admin;
static struct h2_frame frame;

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

static size_t certificates(void)
{
    unsigned status;
    json_t *list = sm_api_server_json(&server, "GET", "/v1/certificates?pageSize=1000", admin, NULL,
                                      &status);
    size_t n = json_array_size(json_object_get(list, "certificates"));
    assert_int_equal(status, 200);
    json_decref(list);
    return n;
}

/* Whether the stream's window was opened between now and the second PING's answer (the first one's
 * overtakes a WINDOW_UPDATE). */
static bool window_moves(int fd, uint32_t stream)
{
    bool moved = false;
    for (unsigned i = 0; i < 2; i++) {
        h2_raw_frame(fd, H2_PING, 0, 0, "12345678", 8);
        do {
            assert_true(h2_raw_read(fd, &frame));
            moved = moved || (frame.type == H2_WINDOW_UPDATE && frame.stream == stream);
        } while (frame.type != H2_PING);
    }
    return moved;
}

/* Opens the windows and reads to the call's end. Returns how many messages came. */
static size_t take_all(int fd, uint32_t stream)
{
    size_t messages = 0;
    size_t left = 0; /* of the message under way */
    uint8_t head[5];
    size_t head_len = 0;
    h2_raw_window_update(fd, 0, WINDOW_MAX - 65535);
    h2_raw_window_update(fd, stream, WINDOW_MAX);
    for (;;) {
        assert_true(h2_raw_read(fd, &frame));
        assert_false(frame.type == H2_RST_STREAM);
        for (size_t i = 0; frame.type == H2_DATA && i < frame.len; i++) {
            if (left > 0) {
                left--;
                continue;
            }
            head[head_len++] = frame.payload[i];
            if (head_len == sizeof(head)) {
                left = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 |
                       head[4];
                head_len = 0;
                messages++;
            }
        }
        if ((frame.flags & H2_END_STREAM) != 0 && frame.type == H2_HEADERS) {
            assert_string_equal(frame.grpc_status, "0");
            return messages;
        }
    }
}

static void backpressure__reflection_waits_for_its_answers(void **state)
{
    (void)state;
    enum { PER_FRAME = 2000, FRAMES = 10 };
    static const uint8_t list_services[] = {0, 0, 0, 0, 2, 0x3a, 0};
    static uint8_t data[PER_FRAME * sizeof(list_services)];
    for (size_t i = 0; i < PER_FRAME; i++) {
        memcpy(data + i * sizeof(list_services), list_services, sizeof(list_services));
    }
    int fd = h2_raw_open_window(server.port, 0);
    grpc_raw_call(fd, 1, "POST", REFLECT, NULL, NULL);
    for (unsigned i = 1; i <= FRAMES; i++) { /* more than half of its window: 140,000 octets */
        h2_raw_frame(fd, H2_DATA, i == FRAMES ? H2_END_STREAM : 0, 1, data, sizeof(data));
    }
    assert_false(window_moves(fd, 1));
    assert_int_equal(take_all(fd, 1), PER_FRAME * FRAMES);
    (void)close(fd);
}

static size_t issue_many(int fd, unsigned count)
{
    Sealmill__V1__IssueRequest request;
    Sealmill__V1__IssueStreamRequest item = SEALMILL__V1__ISSUE_STREAM_REQUEST__INIT;
    static char profile[] = "device";
    static char ca[] = "issuing";
    sm_buf der = sm_buf_init(16384);
    assert_sm_ok(sm_base64_decode(&der, sm_slice_str(sm_api_csr("dev", NULL)), 0));
    sealmill__v1__issue_request__init(&request);
    request.profile = profile;
    request.ca = ca;
    request.csr = (ProtobufCBinaryData){der.len, der.ptr};
    item.request = &request;
    size_t octets = 0;
    grpc_raw_call(fd, 1, "POST", ISSUE_STREAM, admin, NULL);
    for (item.id = 0; item.id < count; item.id++) {
        grpc_raw_message(fd, 1, item.id + 1 == count ? H2_END_STREAM : 0, &item.base);
        octets += 5 + sealmill__v1__issue_stream_request__get_packed_size(&item);
    }
    sm_buf_deinit(&der);
    return octets;
}

static void backpressure__issuance_waits_for_its_answers(void **state)
{
    (void)state;
    enum { COUNT = 800 };
    size_t before = certificates();
    int fd = h2_raw_open_window(server.port, 0);
    assert_true(issue_many(fd, COUNT) < 256U * 1024U); /* the stream's window */
    size_t made = before;
    for (size_t last = SIZE_MAX; made != last;) {
        last = made;
        (void)usleep(300 * 1000);
        made = certificates();
    }
    assert_true(made > before);
    assert_true(made < before + COUNT); /* the rest was not even looked at */
    assert_int_equal(take_all(fd, 1), COUNT);
    (void)close(fd);
}

/* All octets that wait in a stream may end with it: the connection lives on. */
static void backpressure__a_reset_stream_gives_back_what_it_held(void **state)
{
    (void)state;
    static const uint8_t list_services[] = {0, 0, 0, 0, 2, 0x3a, 0};
    static uint8_t data[2000 * sizeof(list_services)];
    for (size_t i = 0; i < 2000; i++) {
        memcpy(data + i * sizeof(list_services), list_services, sizeof(list_services));
    }
    int fd = h2_raw_open_window(server.port, 0);
    for (uint32_t stream = 1; stream < 80; stream += 2) { /* 10 MiB: its window is 4 */
        grpc_raw_call(fd, stream, "POST", REFLECT, NULL, NULL);
        for (unsigned i = 0; i < 18; i++) {
            h2_raw_frame(fd, H2_DATA, 0, stream, data, sizeof(data));
        }
        h2_raw_reset(fd, stream, H2_CANCEL);
    }
    grpc_raw_call(fd, 81, "POST", REFLECT, NULL, NULL);
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 81, list_services, sizeof(list_services));
    assert_int_equal(take_all(fd, 81), 1);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backpressure__reflection_waits_for_its_answers),
        cmocka_unit_test(backpressure__issuance_waits_for_its_answers),
        cmocka_unit_test(backpressure__a_reset_stream_gives_back_what_it_held),
    };
    return cmocka_run_group_tests_name("backpressure", tests, set_up, tear_down);
}
