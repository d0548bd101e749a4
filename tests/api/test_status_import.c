/* SPDX-License-Identifier: Apache-2.0 */
/* Foreign CAs: what their sources make of OCSP's answers, in every order; what streams and CRLs are refused for. */
#include "api/api_p.h"
#include "api/ocsp_schedule.h"
#include "api/status_import.h"
#include "api/status_p.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "gen/sealmill/v1/status.pb-c.h"
#include "ocsp-cache/ocsp_record.h"
#include "proto/grpc.h"
#include "tests/support/api_server.h"
#include "tests/support/grpc_raw.h"
#include "tests/support/ossl.h"

#include <openssl/x509v3.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define PATH "/sealmill.v1.StatusService/Import"

static struct sm_api_server server;
static const char *admin;
static const char *reader;
static EVP_PKEY *ca_key; /* of both foreign CAs: their names differ */

/* ---- the other CAs ---- */

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
}

static X509_NAME *name_of(const char *cn)
{
    X509_NAME *name = X509_NAME_new();
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0),
        1);
    return name;
}

/* Signed by the CA's key; `eku` NULL: a CA's own, or a leaf when the names differ. */
static sm_buf certificate(const char *issuer, const char *subject, EVP_PKEY *key, long serial,
                          const char *eku)
{
    X509 *cert = X509_new();
    X509_NAME *i = name_of(issuer);
    X509_NAME *s = name_of(subject);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial), 1);
    assert_int_equal(X509_set_issuer_name(cert, i), 1);
    assert_int_equal(X509_set_subject_name(cert, s), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 86400 * 30));
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    if (strcmp(issuer, subject) == 0) {
        add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    }
    if (eku != NULL) {
        add_extension(cert, NID_ext_key_usage, eku);
    }
    assert_true(X509_sign(cert, ca_key, EVP_sha256()) > 0);
    sm_buf der = SM_TEST_DER(X509, cert);
    X509_NAME_free(i);
    X509_NAME_free(s);
    X509_free(cert);
    return der;
}

static char *base64(sm_slice in)
{
    sm_buf text = sm_buf_init(1U << 20);
    sm_base64_encode(&text, in);
    char *out = sm_arena_strdup(&server.arena, sm_buf_slice(&text));
    sm_buf_deinit(&text);
    assert_non_null(out);
    return out;
}

static unsigned ask(const char *path, const char *body)
{
    const char *answer;
    return sm_api_server_ask(&server, "POST", path, admin, body, &answer);
}

/* A responder of the CA `cn`, under the same name. */
static void make_foreign(const char *cn, const char *more)
{
    unsigned status;
    sm_buf ca = certificate(cn, cn, ca_key, 1, NULL);
    char *body = sm_arena_printf(&server.arena, "{\"name\":\"%s\",\"certificate\":\"%s\"%s}", cn,
                                 base64(sm_buf_slice(&ca)), more);
    sm_buf_deinit(&ca);
    assert_int_equal(ask("/v1/cas:createResponder", body), 200);
    char *path = sm_arena_printf(&server.arena, "/v1/cas/%s/responderCsr", cn);
    json_t *answer = sm_api_server_json(&server, "GET", path, admin, NULL, &status);
    assert_int_equal(status, 200);
    sm_buf csr = sm_buf_init(65536);
    assert_sm_ok(
        sm_base64_decode(&csr, sm_slice_str(json_string_value(json_object_get(answer, "csr"))), 0));
    json_decref(answer);
    const unsigned char *at = csr.ptr;
    X509_REQ *request = d2i_X509_REQ(NULL, &at, (long)csr.len);
    sm_buf cert = certificate(cn, "responder", X509_REQ_get0_pubkey(request), 2, "OCSPSigning");
    path = sm_arena_printf(&server.arena, "/v1/cas/%s:importResponder", cn);
    body = sm_arena_printf(&server.arena, "{\"certificate\":\"%s\"}", base64(sm_buf_slice(&cert)));
    assert_int_equal(ask(path, body), 200);
    X509_REQ_free(request);
    sm_buf_deinit(&csr);
    sm_buf_deinit(&cert);
}

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    reader = sm_api_server_token(&server, "reader", "[{\"role\":\"reader\"}]", 0);
    ca_key = EVP_EC_gen("P-256");
    assert_non_null(ca_key);
    make_foreign("foreign", "");
    make_foreign("lenient", ",\"unknownIsGood\":true");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_PKEY_free(ca_key);
    sm_api_server_stop(&server);
    return 0;
}

/* ---- what OCSP says ---- */

static void assert_says(const char *ca, const char *serial, const char *wanted)
{
    for (int sha256 = 0; sha256 < 2; sha256++) {
        unsigned status;
        char *body = sm_arena_printf(&server.arena,
                                     "{\"ca\":\"%s\",\"serial\":\"%s\",\"sha256\":%s}", ca, serial,
                                     sha256 == 0 ? "false" : "true");
        json_t *answer = sm_api_server_json(&server, "POST", "/v1/status:check", admin, body,
                                            &status);
        assert_int_equal(status, 200);
        const char *said = json_string_value(json_object_get(answer, "status"));
        assert_string_equal(said + strlen("CERTIFICATE_STATUS_"), wanted);
        json_decref(answer);
    }
}

/* ---- the importer ---- */

static struct sm_import import_of(const char *ca)
{
    return (struct sm_import){.api = server.api,
                              .ca_name = ca,
                              .caller = "test",
                              .source = "test",
                              .correlation_id = SM_LIT("x")};
}

static struct sm_import_entry entry(uint8_t *serial, enum sm_ocsp_imported_state state, int reason)
{
    return (struct sm_import_entry){
        .serial = sm_slice_of(serial, 2),
        .what = {.state = state,
                 .reason = reason,
                 .revoked_at = state == SM_OCSP_IMPORTED_VALID ? 0 : 1767225600}};
}

static struct sm_import_counts apply(const char *ca, const struct sm_import_entry *entries,
                                     size_t n)
{
    sm_diag diag = {.reason = ""};
    struct sm_import in = import_of(ca);
    assert_sm_ok(sm_import_attach(&in, &diag));
    assert_sm_ok(sm_import_apply(&in, entries, n));
    sm_import_detach(&in);
    return in.counts;
}

#define GOOD SM_OCSP_IMPORTED_VALID
#define REVOKED SM_OCSP_IMPORTED_REVOKED
#define HOLD SM_OCSP_IMPORTED_ON_HOLD

static void import__replaces_what_was_said_before(void **state)
{
    (void)state;
    uint8_t serial[] = {0x10, 1};
    struct sm_import_entry e = entry(serial, GOOD, -1);
    assert_says("foreign", "1001", "UNKNOWN");
    assert_int_equal(apply("foreign", &e, 1).added, 1);
    assert_says("foreign", "1001", "GOOD"); /* "unknown" was in memory */
    assert_int_equal(apply("foreign", &e, 1).unchanged, 1);
    e = entry(serial, HOLD, 6);
    assert_int_equal(apply("foreign", &e, 1).changed, 1);
    assert_says("foreign", "1001", "REVOKED");
    e = entry(serial, GOOD, -1);
    struct sm_import_counts c = apply("foreign", &e, 1);
    assert_true(c.changed == 1 && c.released == 1);
    assert_says("foreign", "1001", "GOOD");
    e = entry(serial, REVOKED, 1);
    assert_int_equal(apply("foreign", &e, 1).changed, 1);
    assert_says("foreign", "1001", "REVOKED");
}

static void import__never_takes_a_revocation_back(void **state)
{
    (void)state;
    uint8_t serial[] = {0x10, 2};
    struct sm_import_entry e = entry(serial, REVOKED, 1);
    assert_int_equal(apply("foreign", &e, 1).added, 1);
    e = entry(serial, GOOD, -1);
    assert_int_equal(apply("foreign", &e, 1).kept_revoked, 1);
    e = entry(serial, HOLD, 6);
    assert_int_equal(apply("foreign", &e, 1).kept_revoked, 1);
    e = entry(serial, GOOD, -1);
    e.issued_only = true;
    e.what.not_after = sm_clock_wall_s() + 1000;
    assert_int_equal(apply("foreign", &e, 1).unchanged, 1);
    assert_says("foreign", "1002", "REVOKED");
}

/* The same serial number in two CAs, and one that our own inventory has. */
static void import__is_one_cas_alone(void **state)
{
    (void)state;
    uint8_t serial[] = {0x10, 3};
    struct sm_import_entry e = entry(serial, REVOKED, 4);
    (void)apply("foreign", &e, 1);
    e = entry(serial, GOOD, -1);
    (void)apply("lenient", &e, 1);
    assert_says("foreign", "1003", "REVOKED");
    assert_says("lenient", "1003", "GOOD");
    assert_says("issuing", "1003", "UNKNOWN");
}

/* Good of nobody's is in memory; the revocation that comes is said at once. */
static void import__revokes_what_was_good_without_being_known(void **state)
{
    (void)state;
    uint8_t serial[] = {0x10, 4};
    assert_says("lenient", "1004", "GOOD");
    struct sm_import_entry e = entry(serial, REVOKED, 1);
    assert_int_equal(apply("lenient", &e, 1).added, 1);
    assert_says("lenient", "1004", "REVOKED");
}

static void import__takes_a_serial_number_that_comes_twice(void **state)
{
    (void)state;
    uint8_t serial[] = {0x10, 5};
    uint8_t other[] = {0x10, 6};
    const struct sm_import_entry all[] = {entry(serial, GOOD, -1), entry(other, GOOD, -1),
                                          entry(serial, REVOKED, 5), entry(serial, GOOD, -1)};
    struct sm_import_counts c = apply("foreign", all, SM_ARRAY_LEN(all));
    assert_true(c.entries == 4 && c.added == 2 && c.changed == 1 && c.kept_revoked == 1);
    assert_says("foreign", "1005", "REVOKED");
    assert_says("foreign", "1006", "GOOD");
}

#define RACE_ENTRIES 600

static void *race(void *ctx)
{
    static uint8_t serials[2][RACE_ENTRIES][2];
    static struct sm_import_entry entries[2][RACE_ENTRIES];
    size_t me = *(size_t *)ctx;
    for (unsigned i = 0; i < RACE_ENTRIES; i++) {
        serials[me][i][0] = (uint8_t)(0x20 + (i >> 8));
        serials[me][i][1] = (uint8_t)i;
        entries[me][i] = entry(serials[me][i], me == 0 ? GOOD : REVOKED, me == 0 ? -1 : 1);
    }
    sm_diag diag = {.reason = ""};
    struct sm_import in = import_of("foreign");
    bool good = sm_ok(sm_import_attach(&in, &diag)) &&
                sm_ok(sm_import_apply(&in, entries[me], RACE_ENTRIES));
    sm_import_detach(&in);
    sm_sign_thread_deinit();
    return good ? ctx : NULL;
}

/* Two imports of the same certificates: whichever comes first, the revocations stand. */
static void import__races_end_revoked(void **state)
{
    (void)state;
    pthread_t threads[2];
    size_t numbers[2] = {0, 1};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, race, &numbers[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
    assert_says("foreign", "2000", "REVOKED");
    assert_says("foreign", "2257", "REVOKED");
    assert_says("foreign", "21ff", "REVOKED");
}

/* ---- signing anew ---- */

static bool kept(const char *ca, const char *serial, struct sm_ocsp_row *out)
{
    uint8_t octets[2];
    uint8_t key[SM_OCSP_ROW_KEY_MAX];
    sm_buf text = sm_buf_init(2);
    sm_buf row = sm_buf_init(SM_OCSP_ROW_MAX);
    sm_world *w = sm_world_attach(server.api);
    uint32_t ca_id = sm_world_ca(w, ca)->id;
    sm_world_detach(&w);
    assert_sm_ok(sm_hex_decode(&text, sm_slice_str(serial), false));
    memcpy(octets, text.ptr, 2);
    const struct sm_ocsp_key k = {ca_id, 1, SM_OCSP_SHA1, sm_slice_of(octets, 2)};
    size_t len = sm_ocsp_row_key(&k, key);
    bool found = sm_ok(sm_store_get_sync(server.store, SM_FAMILY_OCSP, sm_slice_of(key, len),
                                         &row)) &&
                 sm_ok(sm_ocsp_row_unpack(sm_buf_slice(&row), out));
    sm_buf_deinit(&text);
    sm_buf_deinit(&row);
    return found;
}

static void wait_kept(const char *ca, const char *serial, struct sm_ocsp_row *out)
{
    for (int i = 0; i < 5000 && !kept(ca, serial, out); i++) {
        (void)usleep(1000); /* it is written behind the answer */
    }
    assert_true(kept(ca, serial, out));
}

static void turn_all(void)
{
    uint64_t wait_ns;
    for (int i = 0; i < 1000 && sm_ocsp_refresh_turn(server.api->ocsp_refresh, &wait_ns); i++) {
    }
}

/* What OCSP says of foreign certificates is renewed from their rows, not from the inventory's states; what nobody
 * has issued has no row. */
static void refresh__renews_foreign_answers(void **state)
{
    (void)state;
    uint8_t serials[2][2] = {{0x60, 1}, {0x60, 2}};
    struct sm_ocsp_row good;
    struct sm_ocsp_row revoked;
    struct sm_ocsp_row nobody;
    const struct sm_import_entry all[] = {entry(serials[0], GOOD, -1),
                                          entry(serials[1], REVOKED, 4)};
    (void)apply("lenient", all, 2);
    assert_says("lenient", "6001", "GOOD");
    assert_says("lenient", "6002", "REVOKED");
    assert_says("lenient", "6003", "GOOD");
    wait_kept("lenient", "6001", &good);
    wait_kept("lenient", "6002", &revoked);
    assert_sm_ok(sm_ocsp_schedule_new(server.api, NULL));
    turn_all();
    int64_t first = good.kept.said.next_update;
    for (int64_t offset = 0; offset < 11 * 3600; offset += 600) {
        sm_clock_set_offset_s(offset);
        turn_all();
    }
    wait_kept("lenient", "6001", &good);
    wait_kept("lenient", "6002", &revoked);
    assert_true(good.kept.said.next_update > first);
    assert_int_equal(good.kept.said.status, SM_OCSP_GOOD);
    assert_true(revoked.kept.said.next_update > first);
    assert_int_equal(revoked.kept.said.status, SM_OCSP_REVOKED);
    assert_int_equal(revoked.kept.said.reason, 4);
    assert_int_equal(revoked.kept.said.revoked_at, 1767225600);
    assert_false(kept("lenient", "6003", &nobody));
    sm_clock_set_offset_s(0);
}

/* ---- CRLs ---- */

struct crl_spec {
    const char *issuer;
    long number; /* 0: none */
    long this_update;
    const uint8_t (*revoked)[2];
    size_t count;
    int reason;
    long delta_base; /* 0: full */
};

static sm_buf make_crl(const struct crl_spec *s)
{
    X509_CRL *crl = X509_CRL_new();
    X509_NAME *issuer = name_of(s->issuer);
    ASN1_TIME *now = ASN1_TIME_set(NULL, sm_clock_wall_s() + s->this_update);
    ASN1_TIME *when = ASN1_TIME_set(NULL, 1767225600);
    ASN1_TIME *next = ASN1_TIME_set(NULL, sm_clock_wall_s() + 86400);
    assert_int_equal(X509_CRL_set_version(crl, X509_CRL_VERSION_2), 1);
    assert_int_equal(X509_CRL_set_issuer_name(crl, issuer), 1);
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, now), 1);
    assert_int_equal(X509_CRL_set1_nextUpdate(crl, next), 1);
    for (size_t i = 0; i < s->count; i++) {
        X509_REVOKED *r = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
        assert_int_equal(ASN1_INTEGER_set(serial, s->revoked[i][0] << 8 | s->revoked[i][1]), 1);
        assert_int_equal(X509_REVOKED_set_serialNumber(r, serial), 1);
        assert_int_equal(X509_REVOKED_set_revocationDate(r, when), 1);
        assert_int_equal(ASN1_ENUMERATED_set(reason, s->reason), 1);
        assert_int_equal(X509_REVOKED_add1_ext_i2d(r, NID_crl_reason, reason, 0, 0), 1);
        assert_int_equal(X509_CRL_add0_revoked(crl, r), 1);
        ASN1_INTEGER_free(serial);
        ASN1_ENUMERATED_free(reason);
    }
    const long numbers[] = {s->number, s->delta_base};
    static const int nids[] = {NID_crl_number, NID_delta_crl};
    for (size_t i = 0; i < 2; i++) {
        ASN1_INTEGER *n = ASN1_INTEGER_new();
        assert_int_equal(ASN1_INTEGER_set(n, numbers[i]), 1);
        if (numbers[i] != 0) {
            assert_int_equal(X509_CRL_add1_ext_i2d(crl, nids[i], n, i == 1, 0), 1);
        }
        ASN1_INTEGER_free(n);
    }
    assert_true(X509_CRL_sign(crl, ca_key, EVP_sha256()) > 0);
    sm_buf der = SM_TEST_DER(X509_CRL, crl);
    ASN1_TIME_free(now);
    ASN1_TIME_free(when);
    ASN1_TIME_free(next);
    X509_NAME_free(issuer);
    X509_CRL_free(crl);
    return der;
}

static sm_err import_crl(const struct crl_spec *s, struct sm_import_counts *counts)
{
    static struct sm_import_crl c;
    sm_diag diag = {.reason = ""};
    bool more = true;
    sm_buf der = make_crl(s);
    struct sm_import in = import_of("foreign");
    c = (struct sm_import_crl){.state = SM_IMPORT_BEGIN};
    assert_sm_ok(sm_import_attach(&in, &diag));
    sm_err err = sm_import_crl_begin(&in, &c, sm_buf_slice(&der), &diag);
    while (sm_ok(err) && more) {
        err = sm_import_crl_step(&in, &c, &more);
    }
    sm_import_detach(&in);
    sm_buf_deinit(&der);
    *counts = in.counts;
    return err;
}

static void crl__ends_holds_and_never_goes_back(void **state)
{
    (void)state;
    static const uint8_t held[][2] = {{0x30, 1}, {0x30, 2}};
    static const uint8_t revoked[][2] = {{0x30, 3}};
    struct sm_import_counts c;
    struct crl_spec s = {"foreign", 5, -100, held, 2, 6, 0};
    assert_sm_ok(import_crl(&s, &c));
    assert_int_equal(c.added, 2);
    assert_says("foreign", "3001", "REVOKED");
    s = (struct crl_spec){"foreign", 6, -90, revoked, 1, 1, 0};
    assert_sm_ok(import_crl(&s, &c)); /* both holds are over */
    assert_true(c.entries == 1 && c.released == 2);
    assert_says("foreign", "3001", "GOOD");
    assert_says("foreign", "3002", "GOOD");
    assert_says("foreign", "3003", "REVOKED");
    s = (struct crl_spec){"foreign", 5, -80, held, 2, 6, 0};
    assert_sm_err(import_crl(&s, &c), PRECONDITION);
    s = (struct crl_spec){"foreign", 7, -95, held, 2, 6, 0};
    assert_sm_err(import_crl(&s, &c), PRECONDITION);
    s = (struct crl_spec){"foreign", 0, -10, held, 2, 6, 0};
    assert_sm_err(import_crl(&s, &c), PRECONDITION);
    s = (struct crl_spec){"foreign", 7, 1000, held, 2, 6, 0};
    assert_sm_err(import_crl(&s, &c), PRECONDITION);
    s = (struct crl_spec){"lenient", 7, 0, held, 2, 6, 0};
    assert_sm_err(import_crl(&s, &c), INVALID);
    assert_says("foreign", "3001", "GOOD");
    /* A newer one without an entry: what was revoked stays so. */
    s = (struct crl_spec){"foreign", 7, -80, NULL, 0, 0, 0};
    assert_sm_ok(import_crl(&s, &c));
    assert_says("foreign", "3003", "REVOKED");
}

static void crl__deltas_need_their_base(void **state)
{
    (void)state;
    static const uint8_t one[][2] = {{0x31, 1}};
    struct sm_import_counts c;
    struct crl_spec s = {"foreign", 40, -70, one, 1, 6, 39};
    assert_sm_err(import_crl(&s, &c), PRECONDITION);
    s = (struct crl_spec){"foreign", 40, -70, one, 1, 6, 0};
    assert_sm_ok(import_crl(&s, &c));
    s = (struct crl_spec){"foreign", 41, -60, NULL, 0, 0, 40};
    assert_sm_ok(import_crl(&s, &c)); /* a delta leaves out what has not changed */
    assert_says("foreign", "3101", "REVOKED");
    s = (struct crl_spec){"foreign", 42, -50, one, 1, 8, 40};
    assert_sm_ok(import_crl(&s, &c)); /* removeFromCRL */
    assert_says("foreign", "3101", "GOOD");
}

static void crl__of_many_entries_goes_in_steps(void **state)
{
    (void)state;
    static uint8_t many[3000][2];
    struct sm_import_counts c;
    for (unsigned i = 0; i < SM_ARRAY_LEN(many); i++) {
        many[i][0] = (uint8_t)(0x40 + (i >> 8));
        many[i][1] = (uint8_t)i;
    }
    struct crl_spec s = {"foreign", 50, -40, (const uint8_t(*)[2])many, SM_ARRAY_LEN(many), 6, 0};
    assert_sm_ok(import_crl(&s, &c));
    assert_int_equal(c.added, 3000);
    s = (struct crl_spec){"foreign", 51, -30, (const uint8_t(*)[2])many, 1000, 6, 0};
    assert_sm_ok(import_crl(&s, &c));
    assert_int_equal(c.released, 2000);
    assert_int_equal(c.unchanged, 1000);
    assert_says("foreign", "4000", "REVOKED");
    assert_says("foreign", "4bb7", "GOOD");
}

/* ---- the stream ---- */

typedef Sealmill__V1__ImportStatusesRequest message;

static int open_stream(const char *token)
{
    int fd = h2_raw_open_window(server.port, 1U << 20);
    h2_raw_window_update(fd, 0, 1U << 20);
    grpc_raw_call(fd, 1, "POST", PATH, token, NULL);
    return fd;
}

static void send_message(int fd, const message *m)
{
    sm_buf out = sm_buf_init(4U << 20);
    size_t len = protobuf_c_message_get_packed_size(&m->base);
    sm_grpc_frame_header(&out, (uint32_t)len, false);
    uint8_t *to = sm_buf_reserve(&out, len);
    assert_non_null(to);
    sm_buf_commit(&out, protobuf_c_message_pack(&m->base, to));
    for (size_t at = 0; at < out.len; at += 8000) {
        size_t n = out.len - at < 8000 ? out.len - at : 8000;
        h2_raw_frame(fd, H2_DATA, 0, 1, out.ptr + at, n);
    }
    sm_buf_deinit(&out);
}

static void begin(message *m, Sealmill__V1__ImportStart *start, char *ca)
{
    sealmill__v1__import_statuses_request__init(m);
    sealmill__v1__import_start__init(start);
    start->ca = ca;
    m->start = start;
}

/* The stream's end after this message alone. */
static int status_after(const char *token, const message *m)
{
    int fd = open_stream(token);
    send_message(fd, m);
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "", 0);
    int status = grpc_raw_status(fd, 1, NULL);
    (void)close(fd);
    return status;
}

static void stream__says_what_it_does_not_take(void **state)
{
    (void)state;
    char foreign[] = "foreign";
    char issuing[] = "issuing";
    char none[] = "none";
    message m;
    Sealmill__V1__ImportStart start;
    static Sealmill__V1__ImportEntry e;
    static Sealmill__V1__ImportEntry *entries[SM_STATUS_IMPORT_MAX + 1];
    uint8_t octet = 1;
    sealmill__v1__import_entry__init(&e);
    for (size_t i = 0; i < SM_ARRAY_LEN(entries); i++) {
        entries[i] = &e;
    }
    begin(&m, &start, foreign);
    assert_int_equal(status_after(admin, &m), SM_GRPC_OK);
    assert_int_equal(status_after(reader, &m), SM_GRPC_PERMISSION_DENIED);
    m.start = NULL;
    assert_int_equal(status_after(admin, &m), SM_GRPC_INVALID_ARGUMENT);
    begin(&m, &start, none);
    assert_int_equal(status_after(admin, &m), SM_GRPC_NOT_FOUND);
    begin(&m, &start, issuing);
    assert_int_equal(status_after(admin, &m), SM_GRPC_FAILED_PRECONDITION);
    begin(&m, &start, foreign);
    m.entries = entries;
    m.n_entries = SM_STATUS_IMPORT_MAX + 1;
    assert_int_equal(status_after(admin, &m), SM_GRPC_INVALID_ARGUMENT);
    m.n_entries = SM_STATUS_IMPORT_MAX;
    assert_int_equal(status_after(admin, &m), SM_GRPC_OK); /* refused one by one */
    m.crl = (ProtobufCBinaryData){1, &octet};
    assert_int_equal(status_after(admin, &m), SM_GRPC_INVALID_ARGUMENT);
    m.n_entries = 0;
    assert_int_equal(status_after(admin, &m), SM_GRPC_INVALID_ARGUMENT); /* no CRL */
}

/* Each message is answered when OCSP says so, before the stream ends. */
static void stream__answers_when_it_is_done(void **state)
{
    (void)state;
    static struct h2_frame f;
    char foreign[] = "foreign";
    message m;
    Sealmill__V1__ImportStart start;
    Sealmill__V1__ImportEntry e;
    Sealmill__V1__ImportEntry *entries[] = {&e};
    Google__Protobuf__Timestamp when;
    uint8_t serial[] = {0, 0x50, 1}; /* a leading zero, as DER has it */
    sealmill__v1__import_entry__init(&e);
    google__protobuf__timestamp__init(&when);
    when.seconds = 1767225600;
    e.about_case = SEALMILL__V1__IMPORT_ENTRY__ABOUT_SERIAL;
    e.serial = (ProtobufCBinaryData){sizeof(serial), serial};
    e.state = SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED;
    e.revoked_at = &when;
    begin(&m, &start, foreign);
    m.entries = entries;
    m.n_entries = 1;
    int fd = open_stream(admin);
    send_message(fd, &m);
    do {
        assert_true(h2_raw_read(fd, &f));
    } while (f.stream != 1 || f.type != H2_DATA);
    Sealmill__V1__ImportStatusesResponse *r = sealmill__v1__import_statuses_response__unpack(
        NULL, f.len - SM_GRPC_FRAME_HEADER, f.payload + SM_GRPC_FRAME_HEADER);
    assert_non_null(r);
    assert_true(r->messages == 1 && r->entries == 1 && r->added == 1);
    sealmill__v1__import_statuses_response__free_unpacked(r, NULL);
    assert_says("foreign", "5001", "REVOKED");
    h2_raw_reset(fd, 1, H2_CANCEL); /* what was answered stays */
    (void)close(fd);
    assert_says("foreign", "5001", "REVOKED");
}

/* A CRL in pieces of a few octets. */
static void stream__takes_a_crl_in_pieces(void **state)
{
    (void)state;
    static const uint8_t one[][2] = {{0x51, 1}};
    const struct crl_spec s = {"foreign", 60, -20, one, 1, 1, 0};
    char foreign[] = "foreign";
    message m;
    Sealmill__V1__ImportStart start;
    sm_buf der = make_crl(&s);
    int fd = open_stream(admin);
    begin(&m, &start, foreign);
    for (size_t at = 0; at < der.len; at += 50) {
        m.crl = (ProtobufCBinaryData){der.len - at < 50 ? der.len - at : 50, der.ptr + at};
        send_message(fd, &m);
        m.start = NULL;
    }
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "", 0);
    assert_int_equal(grpc_raw_status(fd, 1, NULL), SM_GRPC_OK);
    (void)close(fd);
    assert_says("foreign", "5101", "REVOKED");
    sm_buf_deinit(&der);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import__replaces_what_was_said_before),
        cmocka_unit_test(import__never_takes_a_revocation_back),
        cmocka_unit_test(import__is_one_cas_alone),
        cmocka_unit_test(import__revokes_what_was_good_without_being_known),
        cmocka_unit_test(import__takes_a_serial_number_that_comes_twice),
        cmocka_unit_test(import__races_end_revoked),
        cmocka_unit_test(refresh__renews_foreign_answers),
        cmocka_unit_test(crl__ends_holds_and_never_goes_back),
        cmocka_unit_test(crl__deltas_need_their_base),
        cmocka_unit_test(crl__of_many_entries_goes_in_steps),
        cmocka_unit_test(stream__says_what_it_does_not_take),
        cmocka_unit_test(stream__answers_when_it_is_done),
        cmocka_unit_test(stream__takes_a_crl_in_pieces),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
