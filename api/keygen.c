/* SPDX-License-Identifier: Apache-2.0 */
#include "api/keygen.h"

#include "api/decrypt_key.h"
#include "api/enrol_p.h"
#include "api/label_rules.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "io/http.h"
#include "sign/der.h"
#include "sign/key.h"
#include "sign/key_seal.h"

static struct {
    sm_metric made;
    sm_metric waiting;
} metrics;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic uint32_t waiting; /* of all loops */

static void register_metrics(void)
{
    metrics.made = sm_metric_register(SM_COUNTER, "sealmill_enrol_keys_made_total",
                                      "Key pairs made for clients that enrol", NULL);
    metrics.waiting = sm_metric_register(SM_GAUGE, "sealmill_enrol_keys_waiting",
                                         "Key pairs that clients wait for", NULL);
}

static sm_keygen *of(sm_enrolment *e)
{
    return e->ctx;
}

static void finish(sm_keygen *k, sm_err err)
{
    k->enrolment->done = k->done;
    sm_enrol_finish(k->enrolment, err);
}

/* ---- which ---- */

static bool allows(uint32_t profile, uint32_t label, enum sm_key_type type)
{
    return type != SM_KEY_NONE && (profile >> (unsigned)type & 1U) != 0 &&
           (label == 0 || (label >> (unsigned)type & 1U) != 0);
}

/* The wish where it is allowed, else the first type that is: P-256 where it is among them. */
static sm_err choose(sm_keygen *k)
{
    sm_enrolment *e = k->enrolment;
    const Sealmill__Config__V1__Label *label = e->label->message;
    const struct sm_profile *p = sm_world_profile(e->world, label->profile);
    uint32_t narrowed = e->label->rules.key_types;
    if (p == NULL) {
        return sm_diag_set(&e->diag, SM_ERR(UNAVAILABLE), "profile", "there is no profile %.60s",
                           label->profile);
    }
    k->type = k->wish.type;
    if (allows(p->key_types, narrowed, k->type)) {
        return SM_NO_ERR;
    }
    if (label->no_default_key) {
        return sm_diag_set(&e->diag, SM_ERR(INVALID), "csr.key",
                           "a key of the type that it has is not to be had here");
    }
    for (k->type = SM_KEY_P256; k->type < SM_KEY_TYPE_COUNT; k->type++) {
        if (allows(p->key_types, narrowed, k->type)) {
            return SM_NO_ERR;
        }
    }
    return sm_diag_set(&e->diag, SM_ERR(INVALID), "csr.key",
                       "the profile and the label have no type of key in common");
}

static sm_err read_wish(sm_keygen *k)
{
    sm_enrolment *e = k->enrolment;
    if (e->response !=
        NULL) { /* its one-time password got a certificate for this request before, which is no key */
        return sm_diag_set(&e->diag, SM_ERR(UNAUTHENTICATED), "authorization",
                           "the name or the password is wrong, used up or expired");
    }
    if (e->label->message->approval != NULL) {
        return sm_diag_set(&e->diag, SM_ERR(POLICY), "",
                           "requests here wait for a person: a key that is made here cannot");
    }
    SM_TRY(sm_server_key_wish_read(k->wished, &k->wish, &e->diag));
    SM_TRY(choose(k));
    if (k->wish.decrypt_key_id.ptr == NULL) {
        return SM_NO_ERR;
    }
    sm_err err = sm_http_tls_pair(e->x, &k->pair); /* of this connection, which ends here perhaps */
    return sm_ok(err) ? err
                      : sm_diag_set(&e->diag, err, "",
                                    "an encrypted answer is signed with the listener's "
                                    "certificate, and this connection has none");
}

/* ---- the key ---- */

static sm_err split_certificates(const sm_keygen *k, sm_slice *chain, struct sm_cms_signer *out)
{
    sm_der d = sm_der_init(sm_buf_slice(&k->pair.certificates));
    out->certificate = sm_der_read_raw(&d);
    out->chain = chain;
    for (out->chain_count = 0; out->chain_count < SM_CMS_CHAIN_MAX && !sm_der_at_end(&d);) {
        chain[out->chain_count++] = sm_der_read_raw(&d);
    }
    return sm_der_finish(&d);
}

/* Signed by the listener: who made the key, as the client knows him. */
static sm_err envelop(sm_keygen *k, const struct sm_cms_recipient *recipient, sm_slice pkcs8)
{
    sm_slice chain[SM_CMS_CHAIN_MAX];
    struct sm_cms_signer signer = {.key = NULL};
    SM_TRY(split_certificates(k, chain, &signer));
    SM_TRY(sm_key_of_openssl(k->pair.key, &signer.key));
    sm_err err = sm_server_key_envelop(pkcs8, &signer, recipient, &k->wish.algorithms,
                                       sm_clock_wall_s(), &k->out);
    sm_key_detach(&signer.key);
    return err;
}

/* RFC 7030 4.4.1: where a key for the encryption is named, none may be sent in another way. */
static sm_err make_enveloped(sm_keygen *k)
{
    sm_enrolment *e = k->enrolment;
    struct sm_cms_recipient recipient;
    sm_buf secret = sm_buf_init_secret(SM_SEALED_SECRET_MAX);
    sm_buf pkcs8 = sm_buf_init_secret(SM_SERVER_KEY_MAX);
    sm_err err = sm_decrypt_key_find(sm_api_of(e->loop), k->wish.decrypt_key_id, k->wish.asymmetric,
                                     e->label->message->name, e->arena, &secret, &recipient,
                                     &e->diag);
    err = sm_ok(err) ? sm_server_key_make(k->type, &k->wish, &pkcs8, &k->csr) : err;
    err = sm_ok(err) ? envelop(k, &recipient, sm_buf_slice(&pkcs8)) : err;
    sm_buf_deinit(&pkcs8);
    sm_buf_deinit(&secret);
    return err;
}

static void make(sm_errand *errand)
{
    sm_keygen *k = SM_CONTAINER_OF(errand, sm_keygen, errand);
    k->err = sm_keygen_is_enveloped(k) ? make_enveloped(k)
                                       : sm_server_key_make(k->type, &k->wish, &k->out, &k->csr);
}

static void on_made(sm_errand *errand)
{
    sm_keygen *k = SM_CONTAINER_OF(errand, sm_keygen, errand);
    sm_enrolment *e = k->enrolment;
    atomic_fetch_sub(&waiting, 1);
    sm_metric_sub(metrics.waiting, 1);
    e->loop->errands--;
    /* Nobody would get this key: its one-time password stays good for another. */
    k->err = sm_ok(k->err) && !sm_http_is_open(e->x) ? SM_ERR(CLOSED) : k->err;
    if (!sm_ok(k->err)) {
        finish(k, k->err);
        return;
    }
    sm_metric_inc(metrics.made);
    sm_log(SM_LOG_INFO, "enrol_key_made", SM_KS("label", e->label->message->name),
           SM_KS("type", sm_key_type_name(k->type)), SM_KEND);
    e->csr = sm_buf_slice(&k->csr);
    e->again = false;
    e->done = k->done;
    sm_enrol_start(e);
}

static sm_err submit(sm_keygen *k)
{
    sm_api_loop *loop = k->enrolment->loop;
    if (atomic_fetch_add(&waiting, 1) >= SM_KEYGEN_WAITING_MAX) {
        atomic_fetch_sub(&waiting, 1);
        return SM_ERR(QUEUE_FULL);
    }
    sm_metric_add(metrics.waiting, 1);
    k->errand.work = make;
    k->errand.done = on_made;
    loop->errands++;
    sm_errand_run_slow(sm_api_of(loop), sm_api_loop_home(loop), &k->errand);
    return SM_NO_ERR;
}

/* ---- the start ---- */

static void go_on(sm_keygen *k)
{
    sm_err err = submit(k);
    if (!sm_ok(err)) {
        finish(k, err);
    }
}

/* What is wrong with its own key says nothing of the one that it gets. */
static void on_tried(sm_issue *issue)
{
    sm_enrolment *e = issue->ctx;
    sm_keygen *k = of(e);
    if (sm_ok(issue->err) || strcmp(issue->diag.field, "csr.key") == 0) {
        go_on(k);
        return;
    }
    e->done = k->done;
    sm_enrol_finish_issued(e, issue);
}

/* Its own key is of the type that it gets, and it can be read: it may be tried as it is. */
static bool can_be_tried(const sm_keygen *k)
{
    struct sm_csr *csr = SM_ARENA_NEW(k->enrolment->arena, struct sm_csr);
    return k->wish.type == k->type && csr != NULL && sm_ok(sm_csr_parse(k->wished, csr, NULL));
}

static void on_authenticated(sm_enrolment *e)
{
    sm_keygen *k = of(e);
    if (!sm_ok(e->err)) {
        k->done(e);
        return;
    }
    sm_err err = read_wish(k);
    if (!sm_ok(err)) {
        finish(k, err);
    } else if (can_be_tried(k)) {
        sm_enrol_try(e, on_tried); /* no key is made for what would be refused */
    } else {
        go_on(k);
    }
}

void sm_keygen_start(sm_keygen *k, sm_slice csr)
{
    (void)pthread_once(&once, register_metrics);
    k->wished = csr;
    k->out = sm_buf_init_secret(SM_SERVER_KEY_ENVELOPE_MAX);
    k->csr = sm_buf_init(SM_CSR_MAX);
    k->enrolment->done = on_authenticated;
    k->enrolment->ctx = k;
    sm_enrol_authenticate_for(k->enrolment, csr);
}

void sm_keygen_free(sm_keygen *k)
{
    sm_buf_deinit(&k->out);
    sm_buf_deinit(&k->csr);
    sm_tls_pair_deinit(&k->pair);
}

bool sm_keygen_is_enveloped(const sm_keygen *k)
{
    return k->wish.decrypt_key_id.ptr != NULL;
}
