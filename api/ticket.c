/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ticket.h"

#include "api/ca_publish.h"
#include "api/enrol.h"
#include "api/keygen.h"
#include "sign/certs_only.h"

struct sm_ticket {
    sm_enrolment enrolment;
    sm_keygen keygen;
    void (*done)(void *ctx, sm_ticket *t);
    void *ctx;
};

sm_ticket *sm_ticket_open(sm_api_loop *loop, sm_web *w, sm_slice name)
{
    sm_world *world = sm_world_attach(sm_api_of(loop));
    const struct sm_label *label = sm_label_find(world, name);
    sm_ticket *t = label == NULL ? NULL : SM_ARENA_NEW(sm_http_arena(w), struct sm_ticket);
    if (t == NULL) {
        sm_world_detach(&world);
        return NULL;
    }
    t->enrolment.loop = loop;
    t->enrolment.x = w;
    t->enrolment.arena = sm_http_arena(w);
    t->enrolment.world = world;
    t->enrolment.label = label;
    sm_http_hold(w);
    return t;
}

void sm_ticket_close(sm_ticket **ticket)
{
    sm_ticket *t = *ticket;
    *ticket = NULL;
    if (t != NULL) {
        sm_keygen_free(&t->keygen);
        sm_world_detach(&t->enrolment.world);
        sm_http_release(t->enrolment.x); /* the ticket ends with the exchange's arena */
    }
}

/* ---- the label ---- */

bool sm_ticket_choose(sm_ticket *t, enum sm_ticket_operation operation)
{
    static const enum sm_label_operation bits[] = {
        SM_LABEL_CACERTS, SM_LABEL_ENROLL, SM_LABEL_REENROLL, SM_LABEL_KEYGEN, SM_LABEL_CSRATTRS};
    t->enrolment.access = sm_label_access(t->enrolment.label, bits[operation]);
    return (t->enrolment.label->operations & bits[operation]) != 0;
}

bool sm_ticket_answers_der(const sm_ticket *t)
{
    return t->enrolment.label->message->answer_der;
}

bool sm_ticket_guards_reads(const sm_ticket *t)
{
    return t->enrolment.label->message->authenticate_reads;
}

sm_err sm_ticket_cacerts(const sm_ticket *t, sm_buf *out)
{
    const struct sm_label *l = t->enrolment.label;
    const struct sm_ca *cas[SM_CA_GROUP_MEMBERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < l->ca_count; i++) {
        cas[count] = sm_world_ca(t->enrolment.world, l->cas[i]);
        count += cas[count] != NULL;
    }
    return count == 0 ? SM_ERR(NOT_FOUND)
                      : sm_ca_bundle(t->enrolment.world, cas, count, l->message->no_root, out);
}

sm_slice sm_ticket_csrattrs(const sm_ticket *t)
{
    return t->enrolment.label->attributes;
}

/* ---- enrolment ---- */

static void on_done(sm_enrolment *e)
{
    sm_ticket *t = SM_CONTAINER_OF(e, sm_ticket, enrolment);
    t->done(t->ctx, t);
}

void sm_ticket_authenticate(sm_ticket *t, void (*done)(void *ctx, sm_ticket *t), void *ctx)
{
    t->done = done;
    t->ctx = ctx;
    t->enrolment.done = on_done;
    sm_enrol_authenticate(&t->enrolment);
}

void sm_ticket_enroll(sm_ticket *t, sm_slice csr, bool again, void (*done)(void *ctx, sm_ticket *t),
                      void *ctx)
{
    t->done = done;
    t->ctx = ctx;
    t->enrolment.done = on_done;
    t->enrolment.again = again;
    t->enrolment.csr = csr;
    sm_enrol_start(&t->enrolment);
}

void sm_ticket_keygen(sm_ticket *t, sm_slice csr, void (*done)(void *ctx, sm_ticket *t), void *ctx)
{
    t->done = done;
    t->ctx = ctx;
    t->keygen.enrolment = &t->enrolment;
    t->keygen.done = on_done;
    sm_keygen_start(&t->keygen, csr);
}

sm_slice sm_ticket_private_key(const sm_ticket *t)
{
    return sm_buf_slice(&t->keygen.out);
}

bool sm_ticket_key_is_enveloped(const sm_ticket *t)
{
    return sm_keygen_is_enveloped(&t->keygen);
}

/* ---- results ---- */

sm_err sm_ticket_err(const sm_ticket *t)
{
    return t->enrolment.err;
}

const sm_diag *sm_ticket_diag(const sm_ticket *t)
{
    return &t->enrolment.diag;
}

bool sm_ticket_scheme_helps(const sm_ticket *t)
{
    return t->enrolment.scheme_helps;
}

bool sm_ticket_takes_negotiate(const sm_ticket *t)
{
    return (t->enrolment.access->auth & SM_LABEL_NEGOTIATE) != 0;
}

sm_slice sm_ticket_challenge(const sm_ticket *t)
{
    return sm_slice_str(t->enrolment.challenge);
}

bool sm_ticket_takes_basic(const sm_ticket *t)
{
    return (t->enrolment.access->auth & (SM_LABEL_OTP | SM_LABEL_USER)) != 0;
}

bool sm_ticket_takes_bearer(const sm_ticket *t)
{
    return (t->enrolment.access->auth & SM_LABEL_TOKEN) != 0;
}

unsigned sm_ticket_retry_after_s(const sm_ticket *t)
{
    return t->enrolment.retry_after_s;
}

sm_err sm_ticket_certificate(const sm_ticket *t, sm_buf *out)
{
    const Sealmill__V1__IssueResponse *r = t->enrolment.response;
    size_t chain = t->enrolment.label->message->include_chain ? r->n_chain : 0;
    sm_slice *certs = sm_arena_alloc(t->enrolment.arena, (1 + chain) * sizeof(*certs));
    if (certs == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    certs[0] = sm_slice_of(r->certificate.data, r->certificate.len);
    for (size_t i = 0; i < chain; i++) {
        certs[1 + i] = sm_slice_of(r->chain[i].data, r->chain[i].len);
    }
    return sm_certs_only_write(out, certs, 1 + chain, false);
}
