/* SPDX-License-Identifier: Apache-2.0 */
/* Enrolment: what is looked for on a service thread. */
#include "api/api_p.h"
#include "api/enrol_p.h"
#include "api/record.h"
#include "base/text.h"
#include "sign/der.h"
#include "sign/password.h"

#define CREDENTIALS_MAX 1024 /* "name:password" */

/* ---- passwords ---- */

/* "192.0.2.1:4711" without its port. */
static sm_slice address_of(sm_slice peer)
{
    size_t at = peer.len;
    while (at > 0 && peer.ptr[at - 1] != ':') {
        at--;
    }
    return at == 0 ? peer : sm_slice_first(peer, at - 1);
}

sm_err sm_enrol_name_caller(sm_enrolment *e, const char *kind, sm_slice name)
{
    char escaped[4 * SM_OTP_ENTITY_MAX + 1]; /* whole: two of them are never one caller */
    char *text = sm_arena_printf(e->arena, "%s:%s", kind,
                                 sm_diag_escape(name, escaped, sizeof(escaped)));
    if (text == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    e->caller = (struct sm_caller){.name = text,
                                   .method = kind,
                                   .grants = e->label->grants,
                                   .grant_count = 1,
                                   .number = (uint32_t)sm_hash(sm_slice_str(text)),
                                   .expires_at = INT64_MAX};
    return SM_NO_ERR;
}

sm_slice sm_enrol_address(const sm_enrolment *e)
{
    return address_of(e->address);
}

sm_err sm_enrol_repeat(sm_enrolment *e, sm_slice serial)
{
    ProtobufCMessage *m;
    SM_TRY(sm_record_get(sm_api_store(sm_api_of(e->loop)), SM_FAMILY_CERT, serial,
                         &sealmill__record__v1__certificate_record__descriptor, e->arena, &m));
    const Sealmill__Record__V1__CertificateRecord *r =
        (const Sealmill__Record__V1__CertificateRecord *)(void *)m;
    sealmill__v1__issue_response__init(&e->repeated);
    e->repeated.certificate = r->certificate;
    const struct sm_ca *ca = sm_world_ca_by_id(e->world, r->ca_id);
    const struct sm_ca_generation *g = ca == NULL ? NULL : sm_ca_generation(ca, r->ca_generation);
    if (g == NULL) {
        return SM_ERR(CORRUPT);
    }
    e->repeated.chain = sm_arena_alloc(e->arena, (g->chain_count + 1) * sizeof(*e->repeated.chain));
    if (e->repeated.chain == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    e->repeated.chain[e->repeated.n_chain++] = sm_binary(g->cert.der);
    for (size_t i = 0; i < g->chain_sent; i++) {
        e->repeated.chain[e->repeated.n_chain++] = sm_binary(g->chain[i]);
    }
    e->response = &e->repeated;
    return SM_NO_ERR;
}

/* Nothing else of it, which issuance reads: a wish for a key that is made here may have one of a type that is not known
 * (RFC 7030 4.4). */
static sm_err read_subject(sm_enrolment *e, sm_slice *out)
{
    sm_der d = sm_der_init(e->csr);
    sm_der request = sm_der_enter(&d, SM_DER_SEQUENCE);
    sm_der info = sm_der_enter(&request, SM_DER_SEQUENCE);
    (void)sm_der_read_u64(&info);
    *out = sm_der_read_raw(&info);
    return sm_ok(sm_der_err(&info))
               ? SM_NO_ERR
               : sm_diag_set(&e->diag, SM_ERR(MALFORMED), "csr", "it is no PKCS#10 request");
}

/* What was shown may be for one subject alone. */
sm_err sm_enrol_check_subject(sm_enrolment *e, const char *wanted, const char *reason)
{
    sm_slice subject;
    sm_buf text = sm_buf_init(8192);
    SM_TRY(read_subject(e, &subject));
    sm_err err = sm_name_to_text(subject, &text);
    if (sm_ok(err) && !sm_slice_equal(sm_buf_slice(&text), sm_slice_str(wanted))) {
        err = sm_diag_set(&e->diag, SM_ERR(POLICY), "csr.subject", "%s", reason);
    }
    sm_buf_deinit(&text);
    return err;
}

static sm_err by_otp(sm_enrolment *e, sm_slice name, sm_slice password)
{
    const struct sm_otp_claim claim = {
        .entity = name,
        .password = password,
        .label = sm_slice_str(e->label->message->name),
        .profile = sm_slice_str(e->label->message->profile),
        .csr_sha256 = e->csr_sha256,
        .address = address_of(e->address),
    };
    e->by_otp = true;
    e->otp.repeats = SM_SLICE_NONE;
    e->otp.approval = SM_SLICE_NONE;
    SM_TRY(sm_enrol_name_caller(e, "otp", name));
    SM_TRY(
        sm_otp_check(sm_api_of(e->loop), &claim, e->arena, &e->otp, &e->retry_after_s, &e->diag));
    if (e->otp.repeats.len > 0) {
        return sm_enrol_repeat(e, e->otp.repeats); /* that this very request got before */
    }
    const char *subject = e->otp.record->otp->subject;
    return subject[0] == '\0'
               ? SM_NO_ERR
               : sm_enrol_check_subject(e, subject, "the one-time password is for another subject");
}

static const Sealmill__Config__V1__EnrolmentUser *find_user(const sm_enrolment *e, sm_slice name)
{
    const Sealmill__Config__V1__Enrolment *all = e->world->config->enrolment;
    for (size_t i = 0; i < all->n_users; i++) {
        const Sealmill__Config__V1__EnrolmentUser *u = all->users[i];
        bool here = u->n_labels == 0;
        for (size_t j = 0; j < u->n_labels; j++) {
            here = here || strcmp(u->labels[j], e->label->message->name) == 0;
        }
        if (here && sm_slice_equal(sm_slice_str(u->name), name)) {
            return u;
        }
    }
    return NULL;
}

static sm_err refuse_password(sm_enrolment *e)
{
    return sm_diag_set(&e->diag, SM_ERR(UNAUTHENTICATED), "authorization",
                       "the name or the password is wrong, used up or expired");
}

/* Looked at for names that are no user's, so that they take as long. */
static const char nobodys_hash[] = "$argon2id$v=19$m=65536,t=3,p=4$75wZgPBmick1BB8EGiDodw$"
                                   "zrZlb5pNxC/DpkM1pTKD/vXeF2YPzKUBhhlJiyhM5mw";

/* `user` NULL: there is none of this name, which is counted and locked as well, so that nobody learns of it. */
static sm_err by_user(sm_enrolment *e, const Sealmill__Config__V1__EnrolmentUser *user,
                      sm_slice name, sm_slice password)
{
    sm_api *api = sm_api_of(e->loop);
    sm_slice address = address_of(e->address);
    e->retry_after_s = sm_otp_locked_s(api, name, address);
    if (e->retry_after_s > 0) {
        return sm_diag_set(&e->diag, SM_ERR(RATE_LIMITED), "authorization",
                           "too many wrong passwords: try again later");
    }
    const char *hash = user == NULL ? nobodys_hash : user->password_hash;
    if (!sm_ok(sm_password_check(password, sm_slice_str(hash))) || user == NULL) {
        sm_otp_failed(api, name, address);
        return refuse_password(e);
    }
    return sm_enrol_name_caller(e, "user", name);
}

static sm_err by_password(sm_enrolment *e, sm_slice name, sm_slice password)
{
    const bool users = (e->access->auth & SM_LABEL_USER) != 0;
    const bool otps = (e->access->auth & SM_LABEL_OTP) != 0;
    const Sealmill__Config__V1__EnrolmentUser *user = users ? find_user(e, name) : NULL;
    if (user != NULL || (users && !otps)) {
        return by_user(e, user, name, password);
    }
    return otps && e->csr.len > 0 ? by_otp(e, name, password)
                                  : refuse_password(e); /* a device's, which is good elsewhere */
}

/* "Basic BASE64(name:password)" (RFC 7617). */
static sm_err by_basic(sm_enrolment *e)
{
    sm_slice authorization = e->authorization;
    sm_slice text = sm_slice_trim(sm_slice_from(authorization, sm_slice_find(authorization, ' ')));
    sm_buf plain = sm_buf_init_secret(CREDENTIALS_MAX);
    sm_err err = sm_base64_decode(&plain, text, SM_BASE64_NO_PAD);
    sm_slice password = sm_buf_slice(&plain);
    sm_slice name = sm_slice_split(&password, ':');
    if (!sm_ok(err) || password.ptr == NULL || name.len == 0 || name.len > SM_OTP_ENTITY_MAX) {
        err = sm_diag_set(&e->diag, SM_ERR(UNAUTHENTICATED), "authorization",
                          "Basic has base64 of a name, a colon and a password (RFC 7617)");
    } else {
        err = sm_arena_copy(e->arena, name, &name);
        err = sm_ok(err) ? by_password(e, name, password) : err;
    }
    sm_buf_deinit(&plain);
    return err;
}

/* ---- the certificate that is renewed ---- */

static sm_err load_renewed(sm_enrolment *e)
{
    const struct sm_cert *shown = &e->peer.cert;
    sm_slice serial;
    SM_TRY(sm_arena_copy(e->arena, shown->serial, &serial));
    SM_TRY(sm_renewal_source_load(sm_api_store(sm_api_of(e->loop)), e->world, serial, e->arena,
                                  &e->source, &e->diag));
    if (!sm_slice_equal(e->source.cert.der, shown->der)) {
        return sm_diag_set(&e->diag, SM_ERR(FORBIDDEN), "client certificate",
                           "it is not the one that we issued under its serial number");
    }
    if (e->source.is_revoked) {
        return sm_diag_set(&e->diag, SM_ERR(FORBIDDEN), "client certificate", "it is revoked");
    }
    if (!sm_label_has_ca(e->label, e->source.request.ca) ||
        strcmp(e->source.request.profile, e->label->message->profile) != 0) {
        return sm_diag_set(&e->diag, SM_ERR(FORBIDDEN), "client certificate",
                           "it is of another CA or profile than this label's");
    }
    return SM_NO_ERR;
}

/* ---- the errand ---- */

static void look_work(sm_errand *errand)
{
    sm_enrolment *e = SM_CONTAINER_OF(errand, sm_enrolment, errand);
    e->err = e->again                                                    ? load_renewed(e)
             : sm_enrol_is_scheme(e->authorization, SM_LIT("negotiate")) ? sm_enrol_by_negotiate(e)
                                                                         : by_basic(e);
}

static void look_done(sm_errand *errand)
{
    sm_enrolment *e = SM_CONTAINER_OF(errand, sm_enrolment, errand);
    e->loop->errands--;
    if (!sm_ok(e->err) || e->response != NULL) {
        sm_enrol_finish(e, e->err);
        return;
    }
    sm_enrol_issue(e);
}

void sm_enrol_look(sm_enrolment *e)
{
    e->tries++;
    e->errand.work = look_work;
    e->errand.done = look_done;
    e->loop->errands++;
    sm_errand_run(sm_api_of(e->loop), sm_api_loop_home(e->loop), &e->errand);
}

void sm_enrol_look_again(sm_enrolment *e)
{
    sm_diag_clear(&e->diag);
    sm_enrol_look(e);
}
