/* SPDX-License-Identifier: Apache-2.0 */
/* Enrolment: who comes by HTTP Negotiate. */
#include "api/api_p.h"
#include "api/enrol_p.h"
#include "api/principal_map.h"
#include "base/metrics.h"
#include "base/text.h"

#define LOCK_NAME "negotiate:" /* principals and the names of passwords are counted apart */

static struct {
    sm_metric accepted;
    sm_metric refused;
} metrics;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    static const char name[] = "sealmill_negotiate_total";
    static const char help[] = "Negotiate tokens by what became of them";
    metrics.accepted = sm_metric_register(SM_COUNTER, name, help, "outcome=\"accepted\"");
    metrics.refused = sm_metric_register(SM_COUNTER, name, help, "outcome=\"refused\"");
}

/* ---- on the loop ---- */

sm_err sm_enrol_prepare_negotiate(sm_enrolment *e)
{
    uint8_t hash[SM_HTTP_END_POINT_MAX];
    size_t len = 0;
    if ((e->access->auth & SM_LABEL_NEGOTIATE) == 0) {
        return sm_diag_set(&e->diag, SM_ERR(UNAUTHENTICATED), "authorization",
                           "Negotiate is not taken here");
    }
    e->end_point = SM_SLICE_NONE;
    if (!sm_ok(sm_http_server_end_point(e->x, hash, &len))) {
        return SM_NO_ERR; /* nothing that a client could have bound its token to */
    }
    return sm_arena_copy(e->arena, sm_slice_of(hash, len), &e->end_point);
}

/* ---- on a service thread ---- */

static sm_err refuse_locked(sm_enrolment *e, sm_slice name)
{
    e->retry_after_s = sm_otp_locked_s(sm_api_of(e->loop), name, sm_enrol_address(e));
    return e->retry_after_s == 0
               ? SM_NO_ERR
               : sm_diag_set(&e->diag, SM_ERR(RATE_LIMITED), "authorization",
                             "too many tokens that are not taken: try again later");
}

/* "Negotiate BASE64(token)" (RFC 4559 4.2). */
static sm_err read_token(sm_enrolment *e, sm_buf *token)
{
    sm_slice text = e->authorization;
    text = sm_slice_trim(sm_slice_from(text, sm_slice_find(text, ' ')));
    sm_err err = sm_base64_decode(token, text, SM_BASE64_NO_PAD);
    if (sm_ok(err) && token->len > 0) {
        return SM_NO_ERR;
    }
    if (sm_err_is(err, SM_E_NO_MEMORY)) {
        return err;
    }
    return sm_err_is(err, SM_E_TOO_LARGE)
               ? sm_diag_set(&e->diag, SM_ERR(UNAUTHENTICATED), "authorization",
                             "the token is longer than %u octets", SM_NEGOTIATE_TOKEN_MAX)
               : sm_diag_set(&e->diag, SM_ERR(UNAUTHENTICATED), "authorization",
                             "Negotiate has a token in base64 (RFC 4559)");
}

static sm_err accept_token(sm_enrolment *e)
{
    sm_buf token = sm_buf_init_secret(SM_NEGOTIATE_TOKEN_MAX);
    sm_err err = read_token(e, &token);
    err = sm_ok(err) ? sm_negotiate_accept(e->world->negotiate, sm_buf_slice(&token), e->end_point,
                                           e->arena, &e->negotiated, &e->diag)
                     : err;
    sm_buf_deinit(&token);
    return err;
}

/* Once for a request. */
static sm_err find_principal(sm_enrolment *e)
{
    if (e->negotiated.principal.len > 0) {
        return SM_NO_ERR;
    }
    SM_TRY(refuse_locked(e, SM_SLICE_NONE));
    sm_err err = accept_token(e);
    sm_metric_inc(sm_ok(err) ? metrics.accepted : metrics.refused);
    if (sm_err_category(err) == SM_DENIED) {
        sm_otp_failed(sm_api_of(e->loop), SM_SLICE_NONE, sm_enrol_address(e));
    }
    return err;
}

static sm_err set_challenge(sm_enrolment *e)
{
    sm_buf text = sm_buf_init(2 * SM_NEGOTIATE_ANSWER_MAX);
    if (e->negotiated.answer.len == 0) {
        return SM_NO_ERR;
    }
    sm_buf_put_str(&text, "Negotiate ");
    sm_base64_encode(&text, e->negotiated.answer);
    e->challenge = sm_ok(sm_buf_err(&text)) ? sm_arena_strdup(e->arena, sm_buf_slice(&text)) : NULL;
    sm_buf_deinit(&text);
    return e->challenge == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

/* A name of nobody's here, shown again and again, is locked as a password's is. */
static sm_err find_entity(sm_enrolment *e, struct sm_principal_found *out)
{
    const struct sm_principal_claim claim = {.principal = e->negotiated.principal,
                                             .service = e->negotiated.service,
                                             .label = e->label->message->name};
    char *lock = sm_arena_printf(e->arena, "%s%.*s", LOCK_NAME, (int)claim.principal.len,
                                 (const char *)claim.principal.ptr);
    if (lock == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(refuse_locked(e, sm_slice_str(lock)));
    sm_err err = sm_principal_map_find(e->world->principals, &claim, e->arena, out, &e->diag);
    if (sm_err_category(err) == SM_DENIED) {
        sm_otp_failed(sm_api_of(e->loop), sm_slice_str(lock), sm_enrol_address(e));
    }
    return err;
}

sm_err sm_enrol_by_negotiate(sm_enrolment *e)
{
    struct sm_principal_found found;
    (void)pthread_once(&once, register_metrics);
    SM_TRY(find_principal(e));
    SM_TRY(set_challenge(e));
    SM_TRY(find_entity(e, &found));
    SM_TRY(sm_enrol_name_caller(e, "negotiate", found.entity));
    e->caller.detail = sm_arena_printf(e->arena, "principal=%.*s", (int)e->negotiated.principal.len,
                                       (const char *)e->negotiated.principal.ptr);
    if (e->caller.detail == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    return found.subject == NULL || e->csr.len == 0
               ? SM_NO_ERR
               : sm_enrol_check_subject(e, found.subject,
                                        "the principal may enrol for another subject alone");
}
