/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that nobody waits for any more: not signed, unless that is done already. */
#include "base/check.h"
#include "base/text.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "gen/sealmill/v1/signing.pb-c.h"
#include "tests/support/api_server.h"
#include "tests/support/grpc_raw.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#define ISSUE "/sealmill.v1.CertificateService/Issue"
#define ISSUE_STREAM "/sealmill.v1.CertificateService/IssueStream"
#define RENEW "/sealmill.v1.CertificateService/Renew"
#define SIGN "/sealmill.v1.SigningService/Sign"

static struct sm_api_server server;
static const char *admin;

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n  allow_same_key_renewal: true\n");
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

static char profile[] = "device";
static char ca[] = "issuing";

static Sealmill__V1__IssueRequest request_of(sm_buf *der)
{
    Sealmill__V1__IssueRequest r;
    sealmill__v1__issue_request__init(&r);
    *der = sm_buf_init(16384);
    assert_sm_ok(sm_base64_decode(der, sm_slice_str(sm_api_csr("dev", NULL)), 0));
    r.profile = profile;
    r.ca = ca;
    r.csr = (ProtobufCBinaryData){der->len, der->ptr};
    return r;
}

/* What the reset calls did is over when a later call on the same loop is answered. */
static void issue_one(int fd, uint32_t stream, const Sealmill__V1__IssueRequest *request)
{
    grpc_raw_call(fd, stream, "POST", ISSUE, admin, NULL);
    grpc_raw_message(fd, stream, H2_END_STREAM, &request->base);
    assert_int_equal(grpc_raw_status(fd, stream, NULL), 0);
}

/* One turn of the loop reads all of it: the reset comes before the turn's batch of signatures. */
static void hold_together(int fd, bool on)
{
    int value = on ? 1 : 0;
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &value, sizeof(value)), 0);
}

static void cancel__a_reset_call_is_not_signed(void **state)
{
    (void)state;
    sm_buf der;
    Sealmill__V1__IssueRequest request = request_of(&der);
    size_t before = certificates();
    int fd = h2_raw_open(server.port);
    hold_together(fd, true);
    for (uint32_t stream = 1; stream < 20; stream += 2) {
        grpc_raw_call(fd, stream, "POST", ISSUE, admin, NULL);
        grpc_raw_message(fd, stream, H2_END_STREAM, &request.base);
        h2_raw_reset(fd, stream, H2_CANCEL);
    }
    hold_together(fd, false);
    issue_one(fd, 21, &request);
    assert_int_equal(certificates(), before + 1);
    (void)close(fd);
    sm_buf_deinit(&der);
}

static void cancel__a_reset_stream_takes_its_items_along(void **state)
{
    (void)state;
    sm_buf der;
    Sealmill__V1__IssueRequest request = request_of(&der);
    Sealmill__V1__IssueStreamRequest item = SEALMILL__V1__ISSUE_STREAM_REQUEST__INIT;
    size_t before = certificates();
    int fd = h2_raw_open(server.port);
    item.request = &request;
    hold_together(fd, true);
    grpc_raw_call(fd, 1, "POST", ISSUE_STREAM, admin, NULL);
    for (item.id = 0; item.id < 10; item.id++) {
        grpc_raw_message(fd, 1, 0, &item.base);
    }
    h2_raw_reset(fd, 1, H2_CANCEL);
    hold_together(fd, false);
    issue_one(fd, 3, &request);
    assert_int_equal(certificates(), before + 1);
    (void)close(fd);
    sm_buf_deinit(&der);
}

static void cancel__a_reset_renewal_renews_nothing(void **state)
{
    (void)state;
    sm_buf der;
    unsigned status;
    Sealmill__V1__IssueRequest request = request_of(&der);
    Sealmill__V1__RenewRequest renew;
    char body[20000];
    (void)snprintf(body, sizeof(body), "{\"ca\":\"issuing\",\"profile\":\"device\",\"csr\":\"%s\"}",
                   sm_api_csr("dev", NULL));
    json_t *old = sm_api_server_json(&server, "POST", "/v1/certificates", admin, body, &status);
    char serial[80];
    (void)snprintf(serial, sizeof(serial), "%s", json_string_value(json_object_get(old, "serial")));
    json_decref(old);
    size_t before = certificates();
    int fd = h2_raw_open(server.port);
    sealmill__v1__renew_request__init(&renew);
    renew.serial = serial;
    hold_together(fd, true);
    grpc_raw_call(fd, 1, "POST", RENEW, admin, NULL);
    grpc_raw_message(fd, 1, H2_END_STREAM, &renew.base);
    h2_raw_reset(fd, 1, H2_CANCEL);
    hold_together(fd, false);
    /* A renewal that is asked for after it has been answered means that the first has ended. */
    grpc_raw_call(fd, 3, "POST", RENEW, admin, NULL);
    grpc_raw_message(fd, 3, H2_END_STREAM, &renew.base);
    assert_int_equal(grpc_raw_status(fd, 3, NULL), 0);
    issue_one(fd, 5, &request);
    assert_int_equal(certificates(), before + 2);
    (void)close(fd);
    sm_buf_deinit(&der);
}

static size_t signatures(void)
{
    unsigned status;
    size_t n = 0;
    json_t *audit = sm_api_server_json(&server, "GET", "/v1/audit?pageSize=1000", admin, NULL,
                                       &status);
    json_t *records = json_object_get(audit, "records");
    assert_int_equal(status, 200);
    for (size_t i = 0; i < json_array_size(records); i++) {
        json_t *r = json_array_get(records, i);
        n += strcmp(json_string_value(json_object_get(r, "action")), "key.sign") == 0;
    }
    json_decref(audit);
    return n;
}

static void cancel__a_reset_raw_signature_is_not_made(void **state)
{
    (void)state;
    unsigned status;
    static char key[] = "k";
    static uint8_t data[] = "hello";
    Sealmill__V1__SignRequest request;
    json_decref(sm_api_server_json(&server, "POST", "/v1/keys", admin, "{\"key\":{\"name\":\"k\"}}",
                                   &status));
    assert_int_equal(status, 200);
    sealmill__v1__sign_request__init(&request);
    request.key = key;
    request.input_case = SEALMILL__V1__SIGN_REQUEST__INPUT_DATA;
    request.data = (ProtobufCBinaryData){sizeof(data), data};
    int fd = h2_raw_open(server.port);
    hold_together(fd, true);
    for (uint32_t stream = 1; stream < 20; stream += 2) {
        grpc_raw_call(fd, stream, "POST", SIGN, admin, NULL);
        grpc_raw_message(fd, stream, H2_END_STREAM, &request.base);
        h2_raw_reset(fd, stream, H2_CANCEL);
    }
    hold_together(fd, false);
    grpc_raw_call(fd, 21, "POST", SIGN, admin, NULL);
    grpc_raw_message(fd, 21, H2_END_STREAM, &request.base);
    assert_int_equal(grpc_raw_status(fd, 21, NULL), 0);
    assert_int_equal(signatures(), 1);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancel__a_reset_call_is_not_signed),
        cmocka_unit_test(cancel__a_reset_stream_takes_its_items_along),
        cmocka_unit_test(cancel__a_reset_renewal_renews_nothing),
        cmocka_unit_test(cancel__a_reset_raw_signature_is_not_made),
    };
    return cmocka_run_group_tests_name("cancel", tests, set_up, tear_down);
}
