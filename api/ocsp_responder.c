/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ocsp_responder.h"

#include "base/clock.h"
#include "base/text.h"
#include "sign/der.h"

#define VALIDITY_DEFAULT_S (12 * 3600)
#define BACKDATE_DEFAULT_S 300
#define KEEP_EXPIRED_DEFAULT_S (INT64_C(30) * 86400)
#define MAX_AGE_DEFAULT_S 3600
#define RESPONDER_VALIDITY_DEFAULT_S (INT64_C(30) * 86400)
#define DURATION_MIN_S 60

/* ---- rules ---- */

static int64_t duration(const char *text, int64_t fallback)
{
    int64_t s;
    return text != NULL && text[0] != '\0' && sm_ok(sm_duration_parse(sm_slice_str(text), &s))
               ? s
               : fallback;
}

static bool says(const char *own, const char *general, const char *word)
{
    const char *text = own != NULL && own[0] != '\0' ? own : general;
    return text != NULL && strcmp(text, word) == 0;
}

static const Sealmill__Config__V1__OcspCa *settings_of(const Sealmill__Config__V1__Ocsp *ocsp,
                                                       const char *ca,
                                                       const Sealmill__Config__V1__OcspCa *none)
{
    for (size_t i = 0; i < ocsp->n_cas; i++) {
        if (strcmp(ocsp->cas[i]->ca, ca) == 0) {
            return ocsp->cas[i];
        }
    }
    return none;
}

static void fill_rules(const Sealmill__Config__V1__Config *config, const char *ca,
                       struct sm_ocsp_rules *out)
{
    Sealmill__Config__V1__Ocsp defaults;
    Sealmill__Config__V1__OcspCa none;
    sealmill__config__v1__ocsp__init(&defaults);
    sealmill__config__v1__ocsp_ca__init(&none);
    const Sealmill__Config__V1__Ocsp *all = config->ocsp == NULL ? &defaults : config->ocsp;
    const Sealmill__Config__V1__OcspCa *own = settings_of(all, ca, &none);
    out->validity_s = duration(own->validity, duration(all->validity, VALIDITY_DEFAULT_S));
    out->backdate_s = duration(all->backdate, BACKDATE_DEFAULT_S);
    out->keep_expired_s = duration(all->keep_expired, KEEP_EXPIRED_DEFAULT_S);
    out->max_age_s = duration(all->max_age, MAX_AGE_DEFAULT_S);
    out->eager = says(own->pre_sign, all->pre_sign, "eager");
    out->ca_signs = says(own->responder, all->responder, "ca");
    for (size_t i = 0; i < all->n_responder_keys && i < SM_OCSP_FURTHER_MAX; i++) {
        out->further[out->further_count++] = sm_key_type_parse(
            sm_slice_str(all->responder_keys[i]));
    }
    out->by_name = says(own->responder_id, all->responder_id, "name");
    out->of_nobody = says(own->unknown, all->unknown, "extended-revoked") ? SM_OCSP_SAY_REVOKED
                     : says(own->unknown, all->unknown, "unauthorized")   ? SM_OCSP_SAY_UNAUTHORIZED
                                                                          : SM_OCSP_SAY_UNKNOWN;
}

static sm_err check_word(const char *text, const char *field, const char *a, const char *b,
                         const char *c, sm_diag *diag)
{
    if (text[0] == '\0' || strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0) {
        return SM_NO_ERR;
    }
    return sm_diag_set(diag, SM_ERR(INVALID), field, "\"%.40s\" is none of %s, %s%s%s", text, a, b,
                       strcmp(b, c) == 0 ? "" : ", ", strcmp(b, c) == 0 ? "" : c);
}

static sm_err check_duration(const char *text, const char *field, int64_t least, sm_diag *diag)
{
    int64_t s;
    if (text[0] == '\0') {
        return SM_NO_ERR;
    }
    if (!sm_ok(sm_duration_parse(sm_slice_str(text), &s)) || s < least) {
        return sm_diag_set(diag, SM_ERR(INVALID), field,
                           "\"%.40s\" is not a duration such as 5m, 12h or 30d, of %lld s at least",
                           text, (long long)least);
    }
    return SM_NO_ERR;
}

/* A responder is renewed before the answers that it signs would end with it. */
static sm_err check_lives(const Sealmill__Config__V1__Ocsp *o, const char *validity,
                          const char *field, sm_diag *diag)
{
    int64_t answers = duration(validity, duration(o->validity, VALIDITY_DEFAULT_S));
    int64_t responder = duration(o->responder_validity, RESPONDER_VALIDITY_DEFAULT_S);
    if (2 * answers > responder) {
        return sm_diag_set(
            diag, SM_ERR(INVALID), field,
            "answers are to be good for %lld s: ocsp.responder_validity (%lld s) must be "
            "twice that at least",
            (long long)answers, (long long)responder);
    }
    return SM_NO_ERR;
}

static sm_err check_responder_keys(const Sealmill__Config__V1__Ocsp *o, sm_diag *diag)
{
    if (o->n_responder_keys > SM_OCSP_FURTHER_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "ocsp.responder_keys", "at most %d",
                           SM_OCSP_FURTHER_MAX);
    }
    for (size_t i = 0; i < o->n_responder_keys; i++) {
        enum sm_key_type type = sm_key_type_parse(sm_slice_str(o->responder_keys[i]));
        bool twice = false;
        for (size_t j = 0; j < i; j++) {
            twice = twice || sm_key_type_parse(sm_slice_str(o->responder_keys[j])) == type;
        }
        if (type == SM_KEY_NONE || twice) {
            return sm_diag_set(diag, SM_ERR(INVALID), "ocsp.responder_keys",
                               twice ? "\"%.20s\" comes twice"
                                     : "\"%.20s\" is no type of key, such as p384 or rsa-2048",
                               o->responder_keys[i]);
        }
    }
    return SM_NO_ERR;
}

sm_err sm_ocsp_config_check(const Sealmill__Config__V1__Ocsp *o, sm_diag *diag)
{
    SM_TRY(check_duration(o->validity, "ocsp.validity", DURATION_MIN_S, diag));
    SM_TRY(check_duration(o->backdate, "ocsp.backdate", 0, diag));
    SM_TRY(check_duration(o->responder_validity, "ocsp.responder_validity", DURATION_MIN_S, diag));
    SM_TRY(check_duration(o->max_age, "ocsp.max_age", 0, diag));
    SM_TRY(check_duration(o->keep_expired, "ocsp.keep_expired", 0, diag));
    SM_TRY(check_duration(o->refresh_alarm, "ocsp.refresh_alarm", 1, diag));
    SM_TRY(check_word(o->pre_sign, "ocsp.pre_sign", "eager", "on-demand", "on-demand", diag));
    SM_TRY(check_word(o->unknown, "ocsp.unknown", "unknown", "extended-revoked", "unauthorized",
                      diag));
    SM_TRY(check_word(o->responder, "ocsp.responder", "delegated", "ca", "ca", diag));
    SM_TRY(check_word(o->responder_id, "ocsp.responder_id", "key", "name", "name", diag));
    SM_TRY(check_word(o->odd_nonces, "ocsp.odd_nonces", "echo", "ignore", "ignore", diag));
    SM_TRY(check_lives(o, o->validity, "ocsp.validity", diag));
    SM_TRY(check_responder_keys(o, diag));
    for (size_t i = 0; i < o->n_cas; i++) {
        const Sealmill__Config__V1__OcspCa *c = o->cas[i];
        SM_TRY(check_duration(c->validity, "ocsp.cas.validity", DURATION_MIN_S, diag));
        SM_TRY(check_lives(o, c->validity, "ocsp.cas.validity", diag));
        SM_TRY(
            check_word(c->pre_sign, "ocsp.cas.pre_sign", "eager", "on-demand", "on-demand", diag));
        SM_TRY(check_word(c->unknown, "ocsp.cas.unknown", "unknown", "extended-revoked",
                          "unauthorized", diag));
        SM_TRY(check_word(c->responder, "ocsp.cas.responder", "delegated", "ca", "ca", diag));
        SM_TRY(check_word(c->responder_id, "ocsp.cas.responder_id", "key", "name", "name", diag));
    }
    return SM_NO_ERR;
}

/* ---- signers ---- */

/* ResponderID ::= CHOICE { byName [1] Name, byKey [2] KeyHash }, in the arena. */
static sm_err write_responder(bool by_name, sm_slice subject, const struct sm_public_key *key,
                              sm_arena *arena, sm_slice *out)
{
    uint8_t key_id[20];
    sm_buf text = sm_buf_init(SM_OCSP_RESPONDER_MAX);
    SM_TRY(sm_public_key_id(key, key_id));
    by_name = by_name && subject.len + 8 < SM_OCSP_RESPONDER_MAX;
    sm_der_block block = sm_der_begin(&text, by_name ? SM_DER_CTX_CONS(1) : SM_DER_CTX_CONS(2));
    if (by_name) {
        sm_buf_put(&text, subject);
    } else {
        sm_der_write(&text, SM_DER_OCTET_STRING, sm_slice_of(key_id, sizeof(key_id)));
    }
    sm_der_end(&text, block);
    sm_err err = sm_buf_err(&text);
    err = sm_ok(err) ? sm_arena_copy(arena, sm_buf_slice(&text), out) : err;
    sm_buf_deinit(&text);
    return err;
}

/* Of all that its answers have of it: one that was signed under another name would not verify. */
static sm_err signer_id(sm_slice responder, sm_slice cert, uint32_t *out)
{
    uint8_t digest[SM_DIGEST_MAX];
    sm_buf both = sm_buf_init(responder.len + cert.len);
    sm_buf_put(&both, responder);
    sm_buf_put(&both, cert);
    sm_err err = sm_buf_err(&both);
    err = sm_ok(err) ? sm_digest_compute(SM_SHA256, sm_buf_slice(&both), digest) : err;
    sm_buf_deinit(&both);
    SM_TRY(err);
    *out = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 |
           digest[3];
    return SM_NO_ERR;
}

/* A signer by its certificate: a responder's, or (`own`) the CA's itself. */
static sm_err fill_signer(const struct sm_ocsp_responder *r, const struct sm_cert *cert, bool own,
                          sm_key *key, sm_arena *arena, struct sm_ocsp_signer *s)
{
    struct sm_public_key public_key;
    sm_diag diag = {.reason = ""};
    SM_TRY(sm_public_key_parse(cert->spki, &public_key, &diag));
    SM_TRY(write_responder(r->rules.by_name, cert->subject, &public_key, arena, &s->responder));
    SM_TRY(signer_id(s->responder, cert->der, &s->id));
    s->type = public_key.type;
    s->alg = sm_sig_alg_for(s->type, SM_DIGEST_NONE, false);
    s->certificate = own ? SM_SLICE_NONE : cert->der;
    s->not_after = cert->not_after;
    s->key = key;
    return SM_NO_ERR;
}

static sm_err add_signer(struct sm_ocsp_responder *r, const struct sm_cert *cert, bool own,
                         sm_key *key, sm_arena *arena)
{
    SM_TRY(fill_signer(r, cert, own, key, arena, &r->signers[r->signer_count]));
    r->signer_count++;
    return SM_NO_ERR;
}

static sm_err add_further(struct sm_ocsp_responder *r, const struct sm_ca_generation *g,
                          sm_arena *arena)
{
    for (size_t i = 0; i < g->further_count; i++) {
        SM_TRY(fill_signer(r, &g->further[i].cert, false, g->further[i].key, arena,
                           &r->further[r->further_count]));
        r->further_count++;
    }
    return SM_NO_ERR;
}

/* The answers of a responder of before are served as long as its certificate is good. */
static sm_err add_past(struct sm_ocsp_responder *r,
                       const Sealmill__Record__V1__CaGeneration *record, int64_t now,
                       sm_arena *arena)
{
    for (size_t i = record->n_past_ocsp_certificates; i-- > 0;) {
        const ProtobufCBinaryData *der = &record->past_ocsp_certificates[i];
        struct sm_cert cert;
        sm_diag diag = {.reason = ""};
        if (r->signer_count == sizeof(r->signers) / sizeof(r->signers[0])) {
            break;
        }
        SM_TRY(sm_cert_parse(sm_slice_of(der->data, der->len), &cert, &diag));
        if (cert.not_after > now) {
            SM_TRY(add_signer(r, &cert, false, NULL, arena));
        }
    }
    return SM_NO_ERR;
}

/* Its own key is not ours, and its certificates are not issued here. */
static void be_foreign(struct sm_ocsp_responder *r, const Sealmill__Record__V1__ForeignCa *foreign)
{
    r->foreign = true;
    r->offline = foreign->offline;
    r->rules.ca_signs = false;
    r->rules.eager = false;
    r->rules.of_nobody = foreign->unknown_is_good ? SM_OCSP_SAY_GOOD : r->rules.of_nobody;
}

sm_err sm_ocsp_responder_make(const Sealmill__Config__V1__Config *config, const char *ca_name,
                              const Sealmill__Record__V1__ForeignCa *foreign,
                              const Sealmill__Record__V1__CaGeneration *record,
                              const struct sm_ca_generation *g, sm_arena *arena,
                              struct sm_ocsp_responder **out)
{
    if (g->cert.der.len == 0) {
        *out = NULL;
        return SM_NO_ERR;
    }
    struct sm_ocsp_responder *r = SM_ARENA_NEW(arena, struct sm_ocsp_responder);
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    fill_rules(config, ca_name, &r->rules);
    if (foreign != NULL) {
        be_foreign(r, foreign);
    }
    sm_ocsp_issuer_init(&r->issuer, g->ca_id, g->number, g->name_sha1, g->key_sha1, g->name_sha256,
                        g->key_sha256);
    if (r->rules.ca_signs) {
        SM_TRY(add_signer(r, &g->cert, true, g->key, arena));
    }
    if (g->ocsp_cert.der.len > 0) {
        SM_TRY(add_signer(r, &g->ocsp_cert, false, g->ocsp_key, arena));
    }
    if (!r->rules.ca_signs && !r->foreign &&
        r->signer_count > 0) { /* what the CA signed itself before */
        SM_TRY(add_signer(r, &g->cert, true, NULL, arena));
    }
    SM_TRY(add_past(r, record, sm_clock_wall_s(), arena));
    SM_TRY(add_further(r, g, arena));
    *out = r;
    return SM_NO_ERR;
}

const struct sm_ocsp_signer *sm_ocsp_current_signer(const struct sm_ocsp_responder *r, int64_t now)
{
    return r != NULL && r->signer_count > 0 && r->signers[0].key != NULL &&
                   r->signers[0].not_after > now
               ? &r->signers[0]
               : NULL;
}

static const struct sm_ocsp_signer *find_further(const struct sm_ocsp_responder *r,
                                                 enum sm_sig_alg alg, int64_t now)
{
    for (size_t i = 0; i < r->further_count; i++) {
        const struct sm_ocsp_signer *s = &r->further[i];
        if (s->alg == alg && s->key != NULL && s->not_after > now) {
            return s;
        }
    }
    return NULL;
}

const struct sm_ocsp_signer *sm_ocsp_preferred_signer(const struct sm_ocsp_responder *r,
                                                      const enum sm_sig_alg *preferred,
                                                      size_t count, int64_t now)
{
    for (size_t i = 0; i < count; i++) {
        const struct sm_ocsp_signer *s = find_further(r, preferred[i], now);
        if (s != NULL || (r->signer_count > 0 && r->signers[0].alg == preferred[i])) {
            return s;
        }
    }
    return NULL;
}

const struct sm_ocsp_signer *sm_ocsp_signer_of(const struct sm_ocsp_responder *r, uint32_t id)
{
    for (size_t i = 0; i < r->signer_count; i++) {
        if (r->signers[i].id == id) {
            return &r->signers[i];
        }
    }
    return NULL;
}

void sm_ocsp_times(const struct sm_ocsp_responder *r, const struct sm_ocsp_signer *signer,
                   int64_t now, struct sm_ocsp_said *said)
{
    int64_t next = now + r->rules.validity_s;
    said->produced_at = now;
    said->this_update = now - r->rules.backdate_s;
    said->next_update = next > signer->not_after ? signer->not_after : next;
}

/* Of its subject. */
static bool is_issuer(const struct sm_ca_generation *g, const struct sm_cert *cert)
{
    return cert->authority_key_id.len == 0 || g->cert.subject_key_id.len == 0 ||
           sm_slice_equal(cert->authority_key_id, g->cert.subject_key_id);
}

const struct sm_ca_generation *sm_ocsp_issuer_of(const sm_world *w, const struct sm_cert *cert)
{
    const struct sm_same_subject *s = sm_world_by_subject(w, cert->issuer);
    while (s != NULL && !is_issuer(s->g, cert)) {
        s = s->next;
    }
    return s == NULL ? NULL : s->g;
}
