/* SPDX-License-Identifier: Apache-2.0 */
/* Stapling as time goes on: signed anew in time, revoked soon, taken away when stale. */
#include "api/api_p.h"
#include "api/staple.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "ocsp-cache/ocsp_response_read.h"
#include "tests/support/api_server.h"
#include "tests/support/ossl.h"
#include "tests/support/tls_peer.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct sm_api_server server;
static const char *admin;
static sm_tls_server *tls;
static sm_staples *staples;
static char serial[64];

/* ---- on the server's loop ---- */

struct task {
    sm_msg msg;
    _Atomic bool done;
};

static void start_stapling(sm_msg *msg)
{
    assert_sm_ok(sm_staples_new(server.loop, server.api_loop, &tls, 1, &staples));
    atomic_store(&SM_CONTAINER_OF(msg, struct task, msg)->done, true);
}

static void stop_stapling(sm_msg *msg)
{
    sm_staples_stop(staples);
    atomic_store(&SM_CONTAINER_OF(msg, struct task, msg)->done, true);
}

static void run_there(void (*run)(sm_msg *msg))
{
    static struct task task;
    task.msg.run = run;
    atomic_store(&task.done, false);
    sm_mailbox_post(sm_loop_mailbox(server.loop), &task.msg);
    while (!atomic_load(&task.done)) {
        (void)usleep(200);
    }
}

/* ---- the listener's certificate ---- */

static void write_file(const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", server.dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    (void)fclose(f);
}

static void make_certificate(void)
{
    unsigned status;
    char path[512];
    char *body = sm_arena_printf(&server.arena,
                                 "{\"ca\":\"issuing\",\"profile\":\"device\",\"csr\":\"%s\"}",
                                 sm_api_csr("localhost", NULL));
    (void)snprintf(path, sizeof(path), "%s/tls.key", server.dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, sm_test_pkey(SM_KEY_P256), NULL, NULL, 0, NULL, NULL),
                     1);
    (void)fclose(f);
    json_t *answer = sm_api_server_json(&server, "POST", "/v1/certificates", admin, body, &status);
    assert_int_equal(status, 200);
    sm_buf der = sm_buf_init(65536);
    sm_buf pem = sm_buf_init(65536);
    assert_sm_ok(sm_base64_decode(
        &der, sm_slice_str(json_string_value(json_object_get(answer, "certificate"))), 0));
    sm_pem_encode(&pem, "CERTIFICATE", sm_buf_slice(&der));
    sm_buf_put_byte(&pem, 0);
    write_file("tls.pem", (const char *)pem.ptr);
    (void)snprintf(serial, sizeof(serial), "%s",
                   json_string_value(json_object_get(answer, "serial")));
    json_decref(answer);
    sm_buf_deinit(&der);
    sm_buf_deinit(&pem);
}

static int set_up(void **state)
{
    sm_diag diag = {.reason = ""};
    char cert[512];
    char key[512];
    if (sm_tls_test_make_pki(state) != 0) {
        return -1;
    }
    sm_api_server_start(&server, "profiles:\n- name: device\nocsp:\n  validity: 12h\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    make_certificate();
    (void)snprintf(cert, sizeof(cert), "%s/tls.pem", server.dir);
    (void)snprintf(key, sizeof(key), "%s/tls.key", server.dir);
    const struct sm_tls_files files = {cert, key};
    const struct sm_tls_server_config config = {.certificates = &files, .certificate_count = 1};
    assert_sm_ok(sm_tls_server_new(&config, &tls, &diag));
    run_there(start_stapling);
    return 0;
}

static int tear_down(void **state)
{
    sm_clock_set_offset_s(0);
    run_there(stop_stapling);
    while (!sm_staples_is_idle(staples)) {
        (void)usleep(1000);
    }
    sm_api_server_stop(&server);
    sm_staples_free(&staples);
    sm_tls_server_free(&tls);
    return sm_tls_test_remove_pki(state);
}

/* ---- a client ---- */

/* What a handshake brings; false: nothing. */
static bool stapled(struct sm_ocsp_said *out)
{
    const unsigned char *octets = NULL;
    struct sm_ocsp_response_read r;
    sm_tls_conn *conn = sm_tls_test_open(tls);
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    SSL_set_verify(p->ssl, SSL_VERIFY_NONE, NULL);
    assert_int_equal(SSL_set_tlsext_status_type(p->ssl, TLSEXT_STATUSTYPE_ocsp), 1);
    assert_sm_ok(sm_tls_peer_shake(p, conn));
    long len = SSL_get_tlsext_status_ocsp_resp(p->ssl, &octets);
    if (len > 0) {
        assert_sm_ok(sm_ocsp_response_read(sm_slice_of(octets, (size_t)len), &r, NULL));
        *out = r.said;
    }
    sm_tls_test_end(p, &conn, &(sm_tls_server *){NULL});
    return len > 0;
}

/* Until a handshake brings this status with so late a nextUpdate; `status` -1: nothing. */
static struct sm_ocsp_said wait_for(int status, int64_t next_update)
{
    struct sm_ocsp_said said = {.status = SM_OCSP_UNKNOWN};
    for (int i = 0; i < 500; i++) {
        bool has = stapled(&said);
        if (status < 0 ? !has
                       : has && (int)said.status == status && said.next_update >= next_update) {
            return said;
        }
        (void)usleep(20000);
    }
    fail_msg("not within 10 s: %d", status);
    return said;
}

/* ---- */

static void staple__is_fresh_as_time_goes_on(void **state)
{
    (void)state;
    int64_t first = wait_for(SM_OCSP_GOOD, 0).next_update;
    assert_true(first > sm_clock_wall_s() + 11 * 3600);
    /* Less than half of it is left: nobody waits until the end. */
    sm_clock_set_offset_s(INT64_C(7) * 3600);
    (void)sleep(SM_STAPLE_SIGN_EACH_S); /* the first was signed that recently, by the other clock */
    int64_t second = wait_for(SM_OCSP_GOOD, first + 6 * 3600).next_update;
    assert_true(second > sm_clock_wall_s() + 11 * 3600);
}

static void staple__says_a_revocation_soon(void **state)
{
    (void)state;
    const char *answer;
    char *path = sm_arena_printf(&server.arena, "/v1/certificates/%s:revoke", serial);
    assert_int_equal(
        sm_api_server_ask(&server, "POST", path, admin, "{\"reason\":\"key-compromise\"}", &answer),
        200);
    uint64_t begin = sm_clock_mono_ns();
    struct sm_ocsp_said said = wait_for(SM_OCSP_REVOKED, 0);
    assert_int_equal(said.reason, 1);
    assert_true(sm_clock_mono_ns() - begin < 5 * SM_NS_PER_S);
}

/* Nobody can sign: the responder's certificate has expired. */
static void staple__is_taken_away_when_it_is_stale(void **state)
{
    (void)state;
    sm_clock_set_offset_s(INT64_C(40) * 86400);
    (void)wait_for(-1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(staple__is_fresh_as_time_goes_on),
        cmocka_unit_test(staple__says_a_revocation_soon),
        cmocka_unit_test(staple__is_taken_away_when_it_is_stale),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
