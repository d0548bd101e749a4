/* SPDX-License-Identifier: Apache-2.0 */
#include "est-adapter/est.h"

#include "base/rand.h"
#include "est-adapter/est_body.h"
#include "est-adapter/est_keygen.h"
#include "est-adapter/est_path.h"
#include "est-adapter/est_status.h"

#include <stdio.h>

#define CERTS_ONLY SM_LIT("application/pkcs7-mime; smime-type=certs-only")
#define CSRATTRS SM_LIT("application/csrattrs")
#define CMS_MAX (512U << 10)
#define RETRY_LEAST_S \
    1 /* seconds, and as many again at random: a fleet does not come back at once */
#define RETRY_SPREAD_S 4

struct request {
    sm_web *w;
    struct sm_est_path path;
    sm_ticket *ticket;
    enum sm_est_form form; /* of the answer */
};

/* ---- answers ---- */

/* RFC 4559 5: by which a client that came by Negotiate knows the server. Returns how many. */
static size_t add_proof(const sm_ticket *t, struct sm_web_header *headers)
{
    sm_slice proof = t == NULL ? SM_SLICE_NONE : sm_ticket_challenge(t);
    if (proof.len == 0) {
        return 0;
    }
    headers[0] = (struct sm_web_header){SM_LIT("www-authenticate"), proof};
    return 1;
}

static void reply_bytes(const struct request *r, sm_slice type, sm_slice der)
{
    sm_buf body = sm_buf_init(2 * CMS_MAX);
    struct sm_web_header headers[3];
    size_t n = 0;
    enum sm_est_form form = sm_ticket_answers_der(r->ticket) ? SM_EST_DER : r->form;
    headers[n++] = (struct sm_web_header){SM_LIT("content-type"), type};
    if (form != SM_EST_DER) { /* RFC 8951 3.1 deprecates it; clients of before look for it. */
        headers[n++] = (struct sm_web_header){SM_LIT("content-transfer-encoding"),
                                              SM_LIT("base64")};
    }
    n += add_proof(r->ticket, headers + n);
    sm_est_body_write(der, form, &body);
    if (sm_ok(sm_buf_err(&body))) {
        sm_web_reply(r->w, 200, headers, n, sm_buf_slice(&body));
    } else {
        sm_web_abort(r->w);
    }
    sm_buf_deinit(&body);
}

/* A field for each (RFC 9110 11.6.1 lets a client choose). Basic comes first: small clients look at one alone. */
static size_t add_challenges(const sm_ticket *t, struct sm_web_header *headers)
{
    size_t n = 0;
    if (sm_ticket_takes_basic(t)) {
        headers[n++] = (struct sm_web_header){SM_LIT("www-authenticate"),
                                              SM_LIT("Basic realm=\"est\"")};
    }
    if (sm_ticket_takes_negotiate(t)) {
        headers[n++] = (struct sm_web_header){SM_LIT("www-authenticate"), SM_LIT("Negotiate")};
    }
    if (sm_ticket_takes_bearer(t)) {
        headers[n++] = (struct sm_web_header){SM_LIT("www-authenticate"),
                                              SM_LIT("Bearer realm=\"est\"")};
    }
    return n;
}

static void reply_error(sm_web *w, const sm_ticket *t, sm_err err, const sm_diag *diag)
{
    struct sm_web_header headers[6];
    char text[SM_DIAG_FIELD_MAX + SM_DIAG_REASON_MAX + 8];
    char seconds[16];
    unsigned status = sm_est_status(err, t != NULL && sm_ticket_scheme_helps(t));
    size_t n = 0;
    headers[n++] = (struct sm_web_header){SM_LIT("content-type"), SM_LIT("text/plain")};
    n += status == 401 ? add_challenges(t, headers + n) : add_proof(t, headers + n);
    if (sm_est_status_retries(status)) {
        unsigned wait = t == NULL ? 0 : sm_ticket_retry_after_s(t);
        wait = wait > 0 ? wait : RETRY_LEAST_S + (unsigned)(sm_rand_u64() % (RETRY_SPREAD_S + 1));
        (void)snprintf(seconds, sizeof(seconds), "%u", wait);
        headers[n++] = (struct sm_web_header){SM_LIT("retry-after"), sm_slice_str(seconds)};
    }
    bool said = diag != NULL && diag->reason[0] != '\0';
    (void)snprintf(text, sizeof(text), "%s%s%s\n", said ? diag->field : "",
                   said && diag->field[0] != '\0' ? ": " : "",
                   said ? diag->reason : sm_err_words(err));
    sm_web_reply(w, status, headers, n, sm_slice_str(text));
}

static void end(struct request *r)
{
    sm_ticket_close(&r->ticket);
}

static void fail(struct request *r, sm_err err, const sm_diag *diag)
{
    reply_error(r->w, r->ticket, err, diag);
    end(r);
}

/* ---- what is read ---- */

static void reply_cacerts(struct request *r)
{
    sm_buf der = sm_buf_init(CMS_MAX);
    sm_err err = sm_ticket_cacerts(r->ticket, &der);
    if (sm_ok(err)) {
        reply_bytes(r, CERTS_ONLY, sm_buf_slice(&der));
    } else {
        reply_error(r->w, r->ticket, err, NULL);
    }
    sm_buf_deinit(&der);
}

/* RFC 7030 4.5.2: 204 where there is nothing. */
static void reply_csrattrs(struct request *r)
{
    sm_slice der = sm_ticket_csrattrs(r->ticket);
    if (der.len == 0) {
        struct sm_web_header headers[1];
        sm_web_reply(r->w, 204, headers, add_proof(r->ticket, headers), SM_SLICE_NONE);
        return;
    }
    reply_bytes(r, CSRATTRS, der);
}

static void reply_read(struct request *r)
{
    if (r->path.operation == SM_EST_CACERTS) {
        reply_cacerts(r);
    } else {
        reply_csrattrs(r);
    }
    end(r);
}

static void on_authenticated(void *ctx, sm_ticket *t)
{
    struct request *r = ctx;
    if (sm_ok(sm_ticket_err(t))) {
        reply_read(r);
    } else {
        fail(r, sm_ticket_err(t), sm_ticket_diag(t));
    }
}

/* strongSwan, which sends neither of these, reads one line. */
static enum sm_est_form form_for_get(sm_web *w)
{
    bool bare = sm_web_header(w, SM_LIT("user-agent")).ptr == NULL &&
                sm_web_header(w, SM_LIT("accept")).ptr == NULL;
    return bare ? SM_EST_ONE_LINE : SM_EST_LINES;
}

static void serve_read(struct request *r)
{
    r->form = form_for_get(r->w);
    if (sm_ticket_guards_reads(r->ticket)) {
        sm_ticket_authenticate(r->ticket, on_authenticated, r);
    } else {
        reply_read(r);
    }
}

/* ---- enrolment ---- */

static void on_enrolled(void *ctx, sm_ticket *t)
{
    struct request *r = ctx;
    sm_buf der = sm_buf_init(CMS_MAX);
    sm_err err = sm_ticket_err(t);
    err = sm_ok(err) ? sm_ticket_certificate(t, &der) : err;
    if (sm_ok(err)) {
        reply_bytes(r, CERTS_ONLY, sm_buf_slice(&der));
        end(r);
    } else {
        fail(r, err, sm_ticket_diag(t));
    }
    sm_buf_deinit(&der);
}

static void reply_key(struct request *r, sm_slice certs_only)
{
    struct sm_est_parts parts;
    sm_buf body = sm_buf_init_secret(2 * CMS_MAX);
    sm_est_parts_init(&parts);
    sm_est_parts_write(&parts, sm_ticket_private_key(r->ticket),
                       sm_ticket_key_is_enveloped(r->ticket), certs_only, &body);
    struct sm_web_header headers[2] = {{SM_LIT("content-type"), sm_slice_str(parts.type)}};
    size_t n = 1 + add_proof(r->ticket, headers + 1);
    if (sm_ok(sm_buf_err(&body))) {
        sm_web_mark_secret(r->w);
        sm_web_reply(r->w, 200, headers, n, sm_buf_slice(&body));
    } else {
        sm_web_abort(r->w);
    }
    sm_buf_deinit(&body);
}

static void on_key_made(void *ctx, sm_ticket *t)
{
    struct request *r = ctx;
    sm_buf der = sm_buf_init(CMS_MAX);
    sm_err err = sm_ticket_err(t);
    err = sm_ok(err) ? sm_ticket_certificate(t, &der) : err;
    if (sm_ok(err)) {
        reply_key(r, sm_buf_slice(&der));
        end(r);
    } else {
        fail(r, err, sm_ticket_diag(t));
    }
    sm_buf_deinit(&der);
}

static void on_body(void *ctx, sm_web *w, sm_slice body, sm_err err)
{
    struct request *r = ctx;
    struct sm_est_body in;
    sm_diag diag = {.reason = ""};
    if (!sm_ok(err)) {
        end(r); /* nobody is there to be answered, or he has been */
        return;
    }
    err = sm_est_body_read(body, sm_web_arena(w), &in, &diag);
    if (!sm_ok(err)) {
        fail(r, err, &diag);
        return;
    }
    r->form = in.form == SM_EST_ONE_LINE ? SM_EST_ONE_LINE : SM_EST_LINES;
    if (r->path.operation == SM_EST_SERVERKEYGEN) {
        sm_ticket_keygen(r->ticket, in.der, on_key_made, r);
        return;
    }
    sm_ticket_enroll(r->ticket, in.der, r->path.operation == SM_EST_SIMPLEREENROLL, on_enrolled, r);
}

static void serve_enroll(struct request *r)
{
    if (!sm_est_type_may_be_csr(sm_web_header(r->w, SM_LIT("content-type")))) {
        sm_web_accept(r->w);
        const struct sm_web_header headers[] = {{SM_LIT("content-type"), SM_LIT("text/plain")}};
        sm_web_reply(r->w, 415, headers, 1, SM_LIT("application/pkcs10 is wanted\n"));
        end(r);
        return;
    }
    sm_web_collect(r->w, SM_EST_BODY_MAX, on_body, r);
}

/* ---- which ---- */

static bool is_method(const struct request *r, sm_slice method)
{
    return sm_slice_equal(sm_web_method(r->w), method);
}

static void refuse_method(struct request *r, sm_slice allow)
{
    const struct sm_web_header headers[] = {{SM_LIT("allow"), allow},
                                            {SM_LIT("content-type"), SM_LIT("text/plain")}};
    sm_web_accept(r->w);
    sm_web_reply(r->w, 405, headers, 2, SM_LIT("the operation has another method\n"));
    end(r);
}

static void dispatch(struct request *r)
{
    bool reads = r->path.operation == SM_EST_CACERTS || r->path.operation == SM_EST_CSRATTRS;
    if (reads && !is_method(r, SM_LIT("GET")) && !is_method(r, SM_LIT("HEAD"))) {
        refuse_method(r, SM_LIT("GET, HEAD"));
    } else if (!reads && !is_method(r, SM_LIT("POST"))) {
        refuse_method(r, SM_LIT("POST"));
    } else if (reads) {
        sm_web_accept(r->w);
        serve_read(r);
    } else {
        serve_enroll(r);
    }
}

/* Operations that an adapter does not have are not the label's to switch on. */
static sm_err choose(const struct request *r)
{
    static const enum sm_ticket_operation operations[] = {
        SM_TICKET_CACERTS, SM_TICKET_ENROLL,   SM_TICKET_REENROLL,
        SM_TICKET_KEYGEN,  SM_TICKET_CSRATTRS,
    };
    if (r->path.operation == SM_EST_FULLCMC) {
        return SM_ERR(UNIMPLEMENTED);
    }
    return sm_ticket_choose(r->ticket, operations[r->path.operation]) ? SM_NO_ERR
                                                                      : SM_ERR(NOT_FOUND);
}

bool sm_est_serve(sm_api_loop *loop, sm_web *w)
{
    if (!sm_est_path_is_est(sm_web_path(w))) {
        return false;
    }
    struct request *r = SM_ARENA_NEW(sm_web_arena(w), struct request);
    if (r == NULL) {
        sm_web_abort(w);
        return true;
    }
    r->w = w;
    r->ticket = sm_est_path_parse(sm_web_path(w), &r->path) ? sm_ticket_open(loop, w, r->path.label)
                                                            : NULL;
    sm_err err = r->ticket == NULL ? SM_ERR(NOT_FOUND) : choose(r);
    if (!sm_ok(err)) {
        sm_web_accept(w);
        reply_error(w, r->ticket, err, NULL);
        end(r);
        return true;
    }
    dispatch(r);
    return true;
}
