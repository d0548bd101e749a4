/* SPDX-License-Identifier: Apache-2.0 */
/* StatusService: what it says is what OCSP says, one by one, in batches and in streams. */
#include "api/api_p.h"
#include "base/check.h"
#include "base/text.h"
#include "gen/sealmill/v1/status.pb-c.h"
#include "ocsp-cache/ocsp.h"
#include "proto/grpc.h"
#include "tests/support/api_server.h"
#include "tests/support/grpc_raw.h"

#include <openssl/ocsp.h>
#include <string.h>
#include <unistd.h>

typedef Sealmill__V1__CheckStatusStreamRequest question;
typedef Sealmill__V1__CheckStatusStreamResponse reply;

#define STREAM "/sealmill.v1.StatusService/CheckStream"

static struct sm_api_server server;
static const char *admin;
static const char *reader;

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\nocsp:\n  cas:\n  - ca: strict\n    "
                                 "unknown: unauthorized\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    reader = sm_api_server_token(&server, "reader", "[{\"role\":\"reader\"}]", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

/* ---- helpers ---- */

/* A certificate's serial number; its DER in base64 goes to `der`. */
static const char *issue(const char **der)
{
    unsigned status;
    char *body = sm_arena_printf(&server.arena,
                                 "{\"ca\":\"issuing\",\"profile\":\"device\",\"csr\":\"%s\"}",
                                 sm_api_csr("dev", NULL));
    json_t *answer = sm_api_server_json(&server, "POST", "/v1/certificates", admin, body, &status);
    assert_int_equal(status, 200);
    const char *serial = sm_arena_printf(&server.arena, "%s",
                                         json_string_value(json_object_get(answer, "serial")));
    if (der != NULL) {
        *der = sm_arena_printf(&server.arena, "%s",
                               json_string_value(json_object_get(answer, "certificate")));
    }
    json_decref(answer);
    return serial;
}

static void do_revoke(const char *serial, const char *reason)
{
    const char *answer;
    char *path = sm_arena_printf(&server.arena, "/v1/certificates/%s:revoke", serial);
    char *body = sm_arena_printf(&server.arena, "{\"reason\":\"%s\"}", reason);
    assert_int_equal(sm_api_server_ask(&server, "POST", path, admin, body, &answer), 200);
}

static json_t *check(const char *body, unsigned *status)
{
    return sm_api_server_json(&server, "POST", "/v1/status:check", reader, body, status);
}

static const char *member(const json_t *answer, const char *name)
{
    const char *text = json_string_value(json_object_get(answer, name));
    return text == NULL ? "" : text;
}

/* The OCSPResponse inside the answer, as OpenSSL reads it. */
static OCSP_BASICRESP *basic(const json_t *answer)
{
    sm_buf der = sm_buf_init(65536);
    assert_sm_ok(sm_base64_decode(&der, sm_slice_str(member(answer, "response")), 0));
    const unsigned char *at = der.ptr;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
    assert_non_null(response);
    assert_int_equal(OCSP_response_status(response), OCSP_RESPONSE_STATUS_SUCCESSFUL);
    OCSP_BASICRESP *b = OCSP_response_get1_basic(response);
    assert_non_null(b);
    OCSP_RESPONSE_free(response);
    sm_buf_deinit(&der);
    return b;
}

static int openssl_status(const json_t *answer, int *reason)
{
    OCSP_BASICRESP *b = basic(answer);
    assert_int_equal(OCSP_resp_count(b), 1);
    int status = OCSP_single_get0_status(OCSP_resp_get0(b, 0), reason, NULL, NULL, NULL);
    OCSP_BASICRESP_free(b);
    return status;
}

static void assert_refused(const char *body, unsigned wanted, const char *field)
{
    unsigned status;
    json_t *answer = check(body, &status);
    if (status != wanted || strcmp(sm_api_error(answer, "field"), field) != 0) {
        print_error("%s: %u, %s: %s\n", body, status, sm_api_error(answer, "field"),
                    sm_api_error(answer, "message"));
    }
    assert_int_equal(status, wanted);
    assert_string_equal(sm_api_error(answer, "field"), field);
    json_decref(answer);
}

/* ---- Check ---- */

static void check__says_what_the_response_says(void **state)
{
    (void)state;
    unsigned status;
    int reason = -1;
    const char *serial = issue(NULL);
    char *body = sm_arena_printf(&server.arena, "{\"serial\":\"%s\"}", serial);
    json_t *answer = check(body, &status);
    assert_int_equal(status, 200);
    assert_string_equal(member(answer, "serial"), serial);
    assert_string_equal(member(answer, "ca"), "issuing");
    assert_string_equal(member(answer, "status"), "CERTIFICATE_STATUS_GOOD");
    assert_true(strlen(member(answer, "nextUpdate")) > 10);
    assert_int_equal(openssl_status(answer, &reason), V_OCSP_CERTSTATUS_GOOD);
    json_decref(answer);

    do_revoke(serial, "key-compromise");
    answer = check(body, &status);
    assert_string_equal(member(answer, "status"), "CERTIFICATE_STATUS_REVOKED");
    assert_string_equal(member(answer, "reason"), "REVOCATION_REASON_KEY_COMPROMISE");
    assert_true(strlen(member(answer, "revokedAt")) > 10);
    assert_int_equal(openssl_status(answer, &reason), V_OCSP_CERTSTATUS_REVOKED);
    assert_int_equal(reason, OCSP_REVOKED_STATUS_KEYCOMPROMISE);
    json_decref(answer);
}

static void check__finds_the_issuer_of_a_certificate(void **state)
{
    (void)state;
    unsigned status;
    const char *der;
    const char *serial = issue(&der);
    json_t *answer = check(
        sm_arena_printf(&server.arena, "{\"certificate\":\"%s\",\"sha256\":true}", der), &status);
    assert_int_equal(status, 200);
    assert_string_equal(member(answer, "serial"), serial);
    assert_string_equal(member(answer, "ca"), "issuing");
    OCSP_BASICRESP *b = basic(answer);
    ASN1_OBJECT *hash;
    OCSP_id_get0_info(NULL, &hash, NULL, NULL,
                      (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(OCSP_resp_get0(b, 0)));
    assert_int_equal(OBJ_obj2nid(hash), NID_sha256);
    OCSP_BASICRESP_free(b);
    json_decref(answer);
    assert_refused("{\"certificate\":\"MAA=\"}", 400, "certificate");
}

/* After a rollover the record says which key answers. */
static void check__asks_the_generation_that_issued(void **state)
{
    (void)state;
    unsigned status;
    const char *ignored;
    const char *old = issue(NULL);
    assert_int_equal(
        sm_api_server_ask(&server, "POST", "/v1/cas/issuing:rollover", admin, "{}", &ignored), 200);
    const char *fresh = issue(NULL);
    const char *serials[] = {old, fresh};
    for (size_t i = 0; i < 2; i++) {
        json_t *answer = check(
            sm_arena_printf(&server.arena, "{\"ca\":\"issuing\",\"serial\":\"%s\"}", serials[i]),
            &status);
        assert_int_equal(status, 200);
        assert_string_equal(member(answer, "status"), "CERTIFICATE_STATUS_GOOD");
        json_decref(answer);
    }
    json_t *answer = check("{\"ca\":\"issuing\",\"serial\":\"0badc0de\"}", &status);
    assert_string_equal(member(answer, "status"), "CERTIFICATE_STATUS_UNKNOWN");
    json_decref(answer);
    answer = check(sm_arena_printf(&server.arena, "{\"ca\":\"root\",\"serial\":\"%s\"}", old),
                   &status);
    assert_string_equal(member(answer, "status"), "CERTIFICATE_STATUS_UNKNOWN");
    json_decref(answer);
}

static void check__refuses_with_a_reason(void **state)
{
    (void)state;
    const char *ignored;
    static const char create[] =
        "{\"name\":\"strict\",\"parent\":\"root\",\"subject\":{\"attributes\":[{\"type\":\"CN\","
        "\"value\":\"strict\"}]}}";
    assert_int_equal(sm_api_server_ask(&server, "POST", "/v1/cas", admin, create, &ignored), 200);
    assert_refused("{}", 400, "serial");
    assert_refused("{\"serial\":\"xyz\"}", 400, "serial");
    assert_refused("{\"serial\":\"0badc0de\"}", 404, "serial");
    assert_refused("{\"ca\":\"none\",\"serial\":\"01\"}", 404, "ca");
    assert_refused("{\"ca\":\"strict\",\"serial\":\"01\"}", 404, "");
    assert_refused("{\"request\":\"MAA=\"}", 400, "request");
    assert_refused("{\"request\":\"\"}", 400, "request");
    const char *answer;
    assert_int_equal(sm_api_server_ask(&server, "POST", "/v1/status:check", NULL,
                                       "{\"serial\":\"01\"}", &answer),
                     401);
}

static void check__takes_a_whole_request(void **state)
{
    (void)state;
    unsigned status;
    const char *der;
    const char *serial = issue(&der);
    sm_buf cert = sm_buf_init(65536);
    assert_sm_ok(sm_base64_decode(&cert, sm_slice_str(der), 0));
    const unsigned char *at = cert.ptr;
    X509 *x = d2i_X509(NULL, &at, (long)cert.len);
    sm_world *w = sm_world_attach(server.api);
    sm_slice issuer = sm_ca_current(sm_world_ca(w, "issuing"))->cert.der;
    at = issuer.ptr;
    X509 *ca = d2i_X509(NULL, &at, (long)issuer.len);
    sm_world_detach(&w);
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    assert_non_null(OCSP_request_add0_id(request, OCSP_cert_to_id(NULL, x, ca)));
    assert_int_equal(OCSP_request_add1_nonce(request, NULL, 32), 1);
    unsigned char *octets = NULL;
    int len = i2d_OCSP_REQUEST(request, &octets);
    sm_buf text = sm_buf_init(65536);
    sm_base64_encode(&text, sm_slice_of(octets, (size_t)len));
    json_t *answer = check(sm_arena_printf(&server.arena, "{\"request\":\"%.*s\"}", (int)text.len,
                                           (const char *)text.ptr),
                           &status);
    assert_int_equal(status, 200);
    assert_string_equal(member(answer, "serial"), serial);
    assert_string_equal(member(answer, "ca"), "issuing");
    OCSP_BASICRESP *b = basic(answer);
    assert_int_equal(OCSP_check_nonce(request, b), 1);
    OCSP_BASICRESP_free(b);
    json_decref(answer);
    OPENSSL_free(octets);
    OCSP_REQUEST_free(request);
    X509_free(x);
    X509_free(ca);
    sm_buf_deinit(&text);
    sm_buf_deinit(&cert);
}

/* ---- CheckBatch ---- */

static void batch__answers_in_order_each_by_itself(void **state)
{
    (void)state;
    unsigned status;
    const char *good = issue(NULL);
    const char *bad = issue(NULL);
    do_revoke(bad, "certificate-hold");
    char *body = sm_arena_printf(&server.arena,
                                 "{\"requests\":[{\"serial\":\"%s\"},{},{\"serial\":\"%s\"},"
                                 "{\"serial\":\"77\",\"ca\":\"issuing\"}]}",
                                 good, bad);
    json_t *answer = sm_api_server_json(&server, "POST", "/v1/status:checkBatch", reader, body,
                                        &status);
    json_t *results = json_object_get(answer, "results");
    assert_int_equal(status, 200);
    assert_int_equal(json_array_size(results), 4);
    static const char *const wanted[] = {
        "CERTIFICATE_STATUS_GOOD", "", "CERTIFICATE_STATUS_REVOKED", "CERTIFICATE_STATUS_UNKNOWN"};
    for (size_t i = 0; i < 4; i++) {
        const json_t *r = json_array_get(results, i);
        assert_string_equal(member(json_object_get(r, "response"), "status"), wanted[i]);
    }
    const json_t *error = json_object_get(json_array_get(results, 1), "error");
    assert_int_equal(json_integer_value(json_object_get(error, "code")), SM_GRPC_INVALID_ARGUMENT);
    assert_string_equal(member(error, "field"), "serial");
    json_decref(answer);
}

static void batch__has_a_limit(void **state)
{
    (void)state;
    for (int count = 256; count <= 257; count++) {
        unsigned status;
        sm_buf body = sm_buf_init(1U << 20);
        sm_buf_put_str(&body, "{\"requests\":[");
        for (int i = 0; i < count; i++) {
            sm_buf_printf(&body, "%s{\"serial\":\"%x\",\"ca\":\"issuing\"}", i == 0 ? "" : ",",
                          0x1000 + i);
        }
        sm_buf_put_str(&body, "]}");
        sm_buf_put_byte(&body, 0);
        json_t *answer = sm_api_server_json(&server, "POST", "/v1/status:checkBatch", reader,
                                            (const char *)body.ptr, &status);
        assert_int_equal(status, count == 256 ? 200 : 400);
        assert_int_equal(json_array_size(json_object_get(answer, "results")),
                         count == 256 ? 256 : 0);
        json_decref(answer);
        sm_buf_deinit(&body);
    }
    const char *answer;
    assert_int_equal(
        sm_api_server_ask(&server, "POST", "/v1/status:checkBatch", reader, "{}", &answer), 200);
}

/* ---- CheckStream ---- */

static void put_question(sm_buf *out, uint64_t id, const char *serial)
{
    question q;
    Sealmill__V1__CheckStatusRequest r;
    char text[64];
    char ca[] = "issuing";
    sealmill__v1__check_status_stream_request__init(&q);
    sealmill__v1__check_status_request__init(&r);
    q.id = id;
    if (serial != NULL) {
        (void)snprintf(text, sizeof(text), "%s", serial);
        r.ca = ca;
        r.about_case = SEALMILL__V1__CHECK_STATUS_REQUEST__ABOUT_SERIAL;
        r.serial = text;
        q.request = &r;
    }
    size_t len = protobuf_c_message_get_packed_size(&q.base);
    sm_grpc_frame_header(out, (uint32_t)len, false);
    uint8_t *to = sm_buf_reserve(out, len);
    assert_non_null(to);
    sm_buf_commit(out, protobuf_c_message_pack(&q.base, to));
}

static void take(sm_buf *data, unsigned *good, unsigned *errors, bool *seen, size_t max)
{
    size_t at = 0;
    while (data->len - at >= 5) {
        const uint8_t *p = data->ptr + at;
        size_t len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        if (data->len - at - 5 < len) {
            break;
        }
        reply *r = sealmill__v1__check_status_stream_response__unpack(NULL, len, p + 5);
        assert_non_null(r);
        assert_true(r->id < max && !seen[r->id]);
        seen[r->id] = true;
        bool answered = r->result_case ==
                        SEALMILL__V1__CHECK_STATUS_STREAM_RESPONSE__RESULT_RESPONSE;
        *good += answered && r->response->response.len > 100 ? 1 : 0;
        *errors += answered ? 0 : 1;
        sealmill__v1__check_status_stream_response__free_unpacked(r, NULL);
        at += 5 + len;
    }
    sm_buf_consume(data, at);
}

#define QUESTIONS 9000

/* More than the stream lets wait at a time, with a window that the test opens as it reads. */
static void stream__every_question_has_its_answer(void **state)
{
    (void)state;
    static struct h2_frame f;
    static bool seen[QUESTIONS];
    unsigned good = 0;
    unsigned errors = 0;
    const char *serial = issue(NULL);
    sm_buf out = sm_buf_init(1U << 20);
    sm_buf data = sm_buf_init(4U << 20);
    int fd = h2_raw_open_window(server.port, 65535);
    grpc_raw_call(fd, 1, "POST", STREAM, reader, NULL);
    for (uint64_t id = 0; id < QUESTIONS; id++) {
        put_question(&out, id, id % 3 == 0 ? NULL : serial);
    }
    size_t sent = 0;
    size_t window = 256U << 10; /* the server's, at first */
    bool ended = false;
    while (!ended) {
        size_t n = out.len - sent < 8000 ? out.len - sent : 8000;
        if (n > 0 && n <= window) {
            h2_raw_frame(fd, H2_DATA, sent + n == out.len ? H2_END_STREAM : 0, 1, out.ptr + sent,
                         n);
            sent += n;
            window -= n;
            continue;
        }
        assert_true(h2_raw_read(fd, &f));
        if (f.type == H2_WINDOW_UPDATE && f.stream == 1) {
            window += (size_t)f.payload[0] << 24 | (size_t)f.payload[1] << 16 |
                      (size_t)f.payload[2] << 8 | f.payload[3];
        } else if (f.type == H2_DATA && f.stream == 1 && f.len > 0) {
            sm_buf_put(&data, sm_slice_of(f.payload, f.len));
            h2_raw_window_update(fd, 0, f.len);
            h2_raw_window_update(fd, 1, f.len);
            take(&data, &good, &errors, seen, QUESTIONS);
        }
        ended = f.stream == 1 && (f.type == H2_RST_STREAM ||
                                  (f.type == H2_HEADERS && (f.flags & H2_END_STREAM) != 0));
    }
    assert_int_equal(f.type, H2_HEADERS);
    assert_string_equal(f.grpc_status, "0");
    assert_int_equal(good, QUESTIONS - QUESTIONS / 3);
    assert_int_equal(errors, QUESTIONS / 3);
    (void)close(fd);
    sm_buf_deinit(&out);
    sm_buf_deinit(&data);
}

/* A client that goes away with questions under way leaves nothing behind. */
static void stream__a_client_may_go(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        sm_buf out = sm_buf_init(1U << 20);
        int fd = h2_raw_open(server.port);
        grpc_raw_call(fd, 1, "POST", STREAM, reader, NULL);
        for (uint64_t id = 0; id < 100; id++) {
            char serial[16];
            (void)snprintf(serial, sizeof(serial), "%x",
                           (0x5000U + (unsigned)round * 100U + (unsigned)id));
            put_question(&out, id, serial);
        }
        h2_raw_frame(fd, H2_DATA, 0, 1, out.ptr, out.len);
        h2_raw_reset(fd, 1, H2_CANCEL);
        (void)close(fd);
        sm_buf_deinit(&out);
    }
    unsigned status;
    json_t *answer = check("{\"serial\":\"01\",\"ca\":\"issuing\"}", &status);
    assert_int_equal(status, 200);
    json_decref(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check__says_what_the_response_says),
        cmocka_unit_test(check__finds_the_issuer_of_a_certificate),
        cmocka_unit_test(check__asks_the_generation_that_issued),
        cmocka_unit_test(check__refuses_with_a_reason),
        cmocka_unit_test(check__takes_a_whole_request),
        cmocka_unit_test(batch__answers_in_order_each_by_itself),
        cmocka_unit_test(batch__has_a_limit),
        cmocka_unit_test(stream__every_question_has_its_answer),
        cmocka_unit_test(stream__a_client_may_go),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
