/* SPDX-License-Identifier: Apache-2.0 */
#include "api/status_check.h"

#include "api/api_p.h"
#include "api/record.h"
#include "base/metrics.h"
#include "base/text.h"
#include "proto/grpc.h"

#include <pthread.h>

static sm_metric checks;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    checks = sm_metric_register(SM_COUNTER, "sealmill_status_checks_total",
                                "Questions of StatusService", NULL);
}

/* ---- the end ---- */

static bool fail(sm_status_check *c, sm_err err)
{
    c->err = err;
    return true;
}

static void finish(sm_status_check *c)
{
    c->done(c);
}

void sm_status_check_deinit(sm_status_check *c)
{
    sm_buf_deinit(&c->query.response);
    sm_buf_deinit(&c->read.bytes);
    sm_world_detach(&c->world);
}

/* OCSP's errors as the API's (RFC 6960 4.2.1). */
static sm_err query_error(sm_status_check *c)
{
    switch (c->query.error) {
    case SM_OCSP_MALFORMED:
        return sm_diag_set(&c->diag, SM_ERR(MALFORMED), "request",
                           "it is not an OCSPRequest in DER");
    case SM_OCSP_UNAUTHORIZED:
        return sm_diag_set(&c->diag, SM_ERR(NOT_FOUND), "",
                           "nothing is said of this certificate here (OCSP: unauthorized)");
    case SM_OCSP_TRY_LATER:
        return sm_diag_set(&c->diag, SM_ERR(EXHAUSTED), "",
                           "the responder is busy, or cannot sign now (OCSP: tryLater)");
    default:
        return sm_diag_set(&c->diag, SM_ERR(CORRUPT), "", "the certificate's record is damaged");
    }
}

static Sealmill__V1__CertificateStatus status_of(enum sm_ocsp_status status)
{
    switch (status) {
    case SM_OCSP_GOOD:
        return SEALMILL__V1__CERTIFICATE_STATUS__CERTIFICATE_STATUS_GOOD;
    case SM_OCSP_REVOKED:
        return SEALMILL__V1__CERTIFICATE_STATUS__CERTIFICATE_STATUS_REVOKED;
    default:
        return SEALMILL__V1__CERTIFICATE_STATUS__CERTIFICATE_STATUS_UNKNOWN;
    }
}

static char *serial_text(sm_status_check *c, sm_slice serial)
{
    char *out = sm_arena_alloc(c->arena, 2 * serial.len + 1);
    return out == NULL ? sm_text(c->arena, SM_SLICE_NONE) : sm_hex_format(serial, out);
}

static sm_err fill_response(sm_status_check *c)
{
    const sm_ocsp_query *q = &c->query;
    Sealmill__V1__CheckStatusResponse *r = &c->response;
    const struct sm_ca *ca = sm_world_ca_by_id(c->world, q->ca_id);
    SM_TRY(sm_buf_err(&q->response));
    if (q->error != 0) {
        return query_error(c);
    }
    r->ca = sm_text(c->arena, sm_slice_str(ca == NULL ? "" : ca->name));
    r->serial = serial_text(c, q->request.certs[0].serial);
    r->status = status_of(q->said.status);
    if (q->said.status == SM_OCSP_REVOKED) {
        r->reason = (Sealmill__V1__RevocationReason)(q->said.reason < 0 ? 0 : q->said.reason);
        r->revoked_at = sm_timestamp(c->arena, q->said.revoked_at);
    }
    r->this_update = sm_timestamp(c->arena, q->said.this_update);
    r->next_update = sm_timestamp(c->arena, q->said.next_update);
    r->response = sm_binary(sm_buf_slice(&q->response));
    return SM_NO_ERR;
}

static void on_answered(sm_ocsp_query *q)
{
    sm_status_check *c = q->ctx;
    c->err = fill_response(c);
    finish(c);
}

static bool end_query(sm_status_check *c, bool finished)
{
    if (finished) {
        c->err = fill_response(c);
    }
    return finished;
}

/* ---- by serial number ---- */

static bool ask(sm_status_check *c, const struct sm_ca_generation *g)
{
    if (g == NULL || g->ocsp == NULL) {
        return fail(
            c, sm_diag_set(&c->diag, SM_ERR(PRECONDITION), "ca", "it waits for its certificate"));
    }
    return end_query(c, sm_ocsp_query_start_for(&c->query, g,
                                                c->request->sha256 ? SM_OCSP_SHA256 : SM_OCSP_SHA1,
                                                c->serial));
}

/* Whose certificate it is: its record says (`packed` empty: there is none). */
static bool ask_by_record(sm_status_check *c, sm_slice packed)
{
    struct sm_record_brief brief;
    if (packed.ptr == NULL) {
        return c->ca != NULL
                   ? ask(c, sm_ca_current(c->ca))
                   : fail(c, sm_diag_set(&c->diag, SM_ERR(NOT_FOUND), "serial",
                                         "it is not in the inventory; name the CA in `ca`"));
    }
    if (!sm_record_read_brief(packed, &brief)) {
        return fail(c, SM_ERR(CORRUPT));
    }
    const struct sm_ca *ca = sm_world_ca_by_id(c->world, brief.ca_id);
    if (ca == NULL || (c->ca != NULL && ca != c->ca)) {
        ca = c->ca; /* that CA has not issued it, and says so */
        return ask(c, ca == NULL ? NULL : sm_ca_current(ca));
    }
    return ask(c, sm_ca_generation(ca, brief.generation));
}

static void on_record(sm_store_read *read)
{
    sm_status_check *c = SM_CONTAINER_OF(read, sm_status_check, read);
    c->loop->errands--;
    if (sm_ok(read->err) ? ask_by_record(c, c->value) : fail(c, read->err)) {
        finish(c);
    }
}

static bool read_record(sm_status_check *c)
{
    c->read = (sm_store_read){.home = sm_api_loop_home(c->loop),
                              .family = SM_FAMILY_CERT,
                              .keys = &c->serial,
                              .count = 1,
                              .done = on_record,
                              .bytes = sm_buf_init(SM_CERT_MAX * 2),
                              .values = &c->value};
    sm_err err = sm_store_submit_read(sm_api_store(sm_api_of(c->loop)), &c->read);
    if (!sm_ok(err)) {
        return fail(c, err);
    }
    c->loop->errands++;
    return false;
}

/* With one generation there is nothing to find out. */
static bool check_serial(sm_status_check *c)
{
    sm_err err = sm_serial_parse(c->request->serial, c->arena, &c->serial, &c->diag);
    if (!sm_ok(err)) {
        return fail(c, err);
    }
    return c->ca != NULL && c->ca->generation_count == 1 ? ask(c, sm_ca_current(c->ca))
                                                         : read_record(c);
}

/* ---- by certificate ---- */

static bool check_certificate(sm_status_check *c)
{
    struct sm_cert *cert = SM_ARENA_NEW(c->arena, struct sm_cert);
    const ProtobufCBinaryData *der = &c->request->certificate;
    sm_diag diag = {.reason = ""};
    if (cert == NULL) {
        return fail(c, SM_ERR(NO_MEMORY));
    }
    sm_err err = sm_cert_parse(sm_slice_of(der->data, der->len), cert, &diag);
    if (!sm_ok(err)) {
        return fail(c, sm_diag_set(&c->diag, err, "certificate", "it is not a certificate in DER"));
    }
    const struct sm_ca_generation *g = sm_ocsp_issuer_of(c->world, cert);
    if (g == NULL) {
        return fail(c, sm_diag_set(&c->diag, SM_ERR(NOT_FOUND), "certificate",
                                   "none of our CAs is its issuer"));
    }
    c->serial = cert->serial;
    return ask(c, g);
}

/* ---- the start ---- */

static bool find_ca(sm_status_check *c)
{
    if (c->request->ca[0] == '\0') {
        return true;
    }
    c->ca = sm_world_ca(c->world, c->request->ca);
    return c->ca != NULL || !fail(c, sm_diag_set(&c->diag, SM_ERR(NOT_FOUND), "ca",
                                                 "there is no CA %.63s", c->request->ca));
}

bool sm_status_check_start(sm_status_check *c)
{
    (void)pthread_once(&once, register_metrics);
    sm_metric_inc(checks);
    sealmill__v1__check_status_response__init(&c->response);
    c->world = sm_world_attach(sm_api_of(c->loop));
    c->query.loop = c->loop;
    c->query.arena = c->arena;
    c->query.response = sm_buf_init(1U << 20);
    c->query.done = on_answered;
    c->query.ctx = c;
    if (!find_ca(c)) {
        return true;
    }
    switch (c->request->about_case) {
    case SEALMILL__V1__CHECK_STATUS_REQUEST__ABOUT_SERIAL:
        return check_serial(c);
    case SEALMILL__V1__CHECK_STATUS_REQUEST__ABOUT_CERTIFICATE:
        return check_certificate(c);
    case SEALMILL__V1__CHECK_STATUS_REQUEST__ABOUT_REQUEST:
        return end_query(c, sm_ocsp_query_start(&c->query, sm_slice_of(c->request->request.data,
                                                                       c->request->request.len)));
    default:
        return fail(c, sm_diag_set(&c->diag, SM_ERR(INVALID), "serial",
                                   "a serial, a certificate or a request is wanted"));
    }
}

void sm_status_check_result(sm_status_check *c, Sealmill__V1__CheckStatusResponse **response,
                            Sealmill__V1__StatusError **error)
{
    *error = NULL;
    *response = &c->response;
    if (sm_ok(c->err)) {
        return;
    }
    sm_buf text = sm_buf_init(1024);
    Sealmill__V1__StatusError *e = SM_ARENA_NEW(c->arena, Sealmill__V1__StatusError);
    sm_grpc_message(c->err, &c->diag, &text);
    if (e != NULL) {
        sealmill__v1__status_error__init(e);
        e->code = (int32_t)sm_grpc_status_of(c->err);
        e->message = sm_text(c->arena, sm_buf_slice(&text));
        e->field = c->diag.field;
    }
    sm_buf_deinit(&text);
    *error = e;
    *response = NULL;
}
