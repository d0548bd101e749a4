/* SPDX-License-Identifier: Apache-2.0 */
#include "api/caller.h"

#include "api/record.h"
#include "api/world.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/text.h"
#include "sign/oids.h"

#include <stdio.h>

sm_err sm_token_hash(sm_slice secret, uint8_t out[32])
{
    uint8_t digest[SM_DIGEST_MAX];
    SM_TRY(sm_digest_compute(SM_SHA256, secret, digest));
    memcpy(out, digest, 32);
    return SM_NO_ERR;
}

void sm_token_make(char out[SM_TOKEN_SECRET_SIZE])
{
    uint8_t random[32];
    sm_rand_bytes(random, sizeof(random));
    sm_buf text = sm_buf_init_secret(64);
    sm_base64url_encode(&text, sm_slice_of(random, sizeof(random)));
    (void)snprintf(out, SM_TOKEN_SECRET_SIZE, "sealmill_%.*s", (int)text.len,
                   (const char *)text.ptr);
    sm_buf_deinit(&text);
    explicit_bzero(random, sizeof(random));
}

static void set(struct sm_caller *out, const char *name, const char *method,
                Sealmill__V1__Grant *const *grants, size_t count)
{
    *out = (struct sm_caller){.name = name,
                              .method = method,
                              .grants = grants,
                              .grant_count = count,
                              .number = (uint32_t)sm_hash(sm_slice_str(name)),
                              .expires_at = INT64_MAX};
}

static sm_err by_token(const sm_world *world, sm_slice authorization, struct sm_caller *out,
                       sm_diag *diag)
{
    uint8_t hash[32];
    sm_slice scheme = sm_slice_split(&authorization, ' ');
    if (!sm_slice_equal_nocase(scheme, SM_LIT("bearer"))) {
        return sm_diag_set(diag, SM_ERR(UNAUTHENTICATED), "authorization",
                           "only the scheme Bearer is known here");
    }
    SM_TRY(sm_token_hash(sm_slice_trim(authorization), hash));
    const Sealmill__Record__V1__TokenRecord *record = sm_map_get(world->tokens,
                                                                 sm_slice_of(hash, sizeof(hash)));
    if (record == NULL || record->token->revoked) {
        return sm_diag_set(diag, SM_ERR(UNAUTHENTICATED), "authorization",
                           "the token is unknown or revoked");
    }
    if (record->token->expires_at != NULL &&
        record->token->expires_at->seconds <= sm_clock_wall_s()) {
        return sm_diag_set(diag, SM_ERR(UNAUTHENTICATED), "authorization", "the token has expired");
    }
    set(out, record->token->name, "token", record->token->grants, record->token->n_grants);
    if (record->token->expires_at != NULL) {
        out->expires_at = record->token->expires_at->seconds - 1;
    }
    return SM_NO_ERR;
}

struct certificate_facts {
    struct sm_cert cert;
    char *subject;
    char sha256[65];
    struct sm_san *sans;
    size_t san_count;
};

static sm_err learn(sm_slice der, sm_arena *arena, struct certificate_facts *out)
{
    uint8_t digest[SM_DIGEST_MAX];
    *out = (struct certificate_facts){.subject = NULL};
    SM_TRY(sm_cert_parse(der, &out->cert, NULL));
    SM_TRY(sm_digest_compute(SM_SHA256, der, digest));
    (void)sm_hex_format(sm_slice_of(digest, 32), out->sha256);
    sm_buf text = sm_buf_init(8192);
    sm_err err = sm_name_to_text(out->cert.subject, &text);
    out->subject = sm_ok(err) ? sm_arena_strdup(arena, sm_buf_slice(&text)) : NULL;
    sm_buf_deinit(&text);
    const struct sm_extension *ext = sm_cert_extension(&out->cert, SM_OID_SUBJECT_ALT_NAME);
    if (ext != NULL &&
        !sm_ok(sm_sans_parse(ext->value, true, arena, &out->sans, &out->san_count, NULL))) {
        out->san_count = 0;
    }
    return out->subject == NULL ? SM_ERR(MALFORMED) : SM_NO_ERR;
}

static bool has_san(const struct certificate_facts *facts, const char *want)
{
    for (size_t i = 0; i < facts->san_count; i++) {
        bool text = facts->sans[i].kind == SM_SAN_DNS || facts->sans[i].kind == SM_SAN_URI ||
                    facts->sans[i].kind == SM_SAN_EMAIL;
        if (text && sm_slice_equal(facts->sans[i].value, sm_slice_str(want))) {
            return true;
        }
    }
    return false;
}

/* All that the rule names must match, and it must name something. */
static bool rule_matches(const Sealmill__Config__V1__ClientCertificate *rule,
                         const struct certificate_facts *facts)
{
    bool any = false;
    if (rule->subject[0] != '\0') {
        any = strcmp(rule->subject, facts->subject) == 0;
        if (!any) {
            return false;
        }
    }
    if (rule->sha256[0] != '\0') {
        any = sm_slice_equal_nocase(sm_slice_str(rule->sha256), sm_slice_str(facts->sha256));
        if (!any) {
            return false;
        }
    }
    if (rule->san[0] != '\0') {
        any = has_san(facts, rule->san);
    }
    return any;
}

static sm_err read_state(sm_store *store, sm_slice serial, sm_buf *out)
{
    sm_err err = sm_store_try_get(store, SM_FAMILY_STATE, serial, out);
    return sm_err_is(err, SM_E_EXHAUSTED) ? sm_store_get_sync(store, SM_FAMILY_STATE, serial, out)
                                          : err;
}

/* TLS looked at the certificate once, when the connection began; connections live for days. */
static sm_err check_standing(const sm_world *world, const struct sm_cert *cert, sm_store *store,
                             bool expired, sm_diag *diag)
{
    if (!expired && cert->not_after < sm_clock_wall_s()) {
        return sm_diag_set(diag, SM_ERR(UNAUTHENTICATED), "", "the client certificate has expired");
    }
    if (store == NULL || sm_world_by_subject(world, cert->issuer) == NULL) {
        return SM_NO_ERR;
    }
    sm_buf bytes = sm_buf_init(4096);
    bool good = true;
    sm_err err = read_state(store, cert->serial, &bytes);
    if (sm_ok(err)) {
        err = sm_record_state_is_valid(sm_buf_slice(&bytes), &good);
    } else if (sm_err_is(err, SM_E_NOT_FOUND)) {
        err = SM_NO_ERR; /* never revoked */
    }
    sm_buf_deinit(&bytes);
    SM_TRY(err);
    return good ? SM_NO_ERR
                : sm_diag_set(diag, SM_ERR(UNAUTHENTICATED), "",
                              "the client certificate is revoked or on hold");
}

static sm_err by_certificate(const sm_world *world, sm_slice der, sm_store *store, bool expired,
                             sm_arena *arena, struct sm_caller *out, sm_diag *diag)
{
    struct certificate_facts facts;
    if (!sm_ok(learn(der, arena, &facts))) {
        return sm_diag_set(diag, SM_ERR(UNAUTHENTICATED), "",
                           "the client certificate cannot be read");
    }
    SM_TRY(check_standing(world, &facts.cert, store, expired, diag));
    for (size_t i = 0; i < world->config->n_client_certificates; i++) {
        const Sealmill__Config__V1__ClientCertificate *rule = world->config->client_certificates[i];
        if (rule_matches(rule, &facts)) {
            set(out, rule->name[0] == '\0' ? facts.subject : rule->name, "mtls", rule->grants,
                rule->n_grants);
            out->expires_at = facts.cert.not_after;
            return SM_NO_ERR;
        }
    }
    set(out, facts.subject, "mtls", NULL, 0); /* known, but without a grant */
    out->expires_at = facts.cert.not_after;
    return SM_NO_ERR;
}

sm_err sm_caller_identify(const sm_world *world, const struct sm_credentials *credentials,
                          sm_arena *arena, struct sm_caller *out, sm_diag *diag)
{
    return sm_caller_identify_expired(world, credentials, false, arena, out, diag);
}

sm_err sm_caller_identify_expired(const sm_world *world, const struct sm_credentials *credentials,
                                  bool expired, sm_arena *arena, struct sm_caller *out,
                                  sm_diag *diag)
{
    if (credentials->authorization.len > 0) {
        return by_token(world, credentials->authorization, out, diag);
    }
    if (credentials->peer_certificate.len > 0) {
        return by_certificate(world, credentials->peer_certificate, credentials->store, expired,
                              arena, out, diag);
    }
    set(out, "anonymous", "none", NULL, 0);
    return SM_NO_ERR;
}

static const char *role_words(unsigned roles, char out[80])
{
    static const char *const names[] = {"", "admin", "operator", "ra", "auditor", "reader"};
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 1; i < 6; i++) {
        if ((roles >> i & 1U) != 0) {
            at += (size_t)snprintf(out + at, 80 - at, "%s%s", at == 0 ? "" : " or ", names[i]);
        }
    }
    return out;
}

/* Protobuf lets any number stand in an enum's field: those without a name give no right. */
static unsigned role_bit(Sealmill__V1__Role role)
{
    return (int)role > SEALMILL__V1__ROLE__ROLE_UNSPECIFIED &&
                   (int)role <= SEALMILL__V1__ROLE__ROLE_READER
               ? 1U << (unsigned)role
               : 0;
}

sm_err sm_caller_require(const struct sm_caller *caller, unsigned roles, sm_diag *diag)
{
    char words[80];
    if (roles == SM_ROLE_NONE_NEEDED) {
        return SM_NO_ERR;
    }
    for (size_t i = 0; i < caller->grant_count; i++) {
        if ((roles & role_bit(caller->grants[i]->role)) != 0) {
            return SM_NO_ERR;
        }
    }
    if (strcmp(caller->method, "none") == 0) {
        return sm_diag_set(
            diag, SM_ERR(UNAUTHENTICATED), "",
            "the method needs the role %s: bring a client certificate or a bearer token",
            role_words(roles, words));
    }
    return sm_diag_set(diag, SM_ERR(FORBIDDEN), "",
                       "the method needs the role %s, which %.60s does not have",
                       role_words(roles, words), caller->name);
}

static bool lists(char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], "*") == 0 || strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

sm_err sm_caller_require_ra(const struct sm_caller *caller, const char *ca, const char *profile,
                            sm_diag *diag)
{
    for (size_t i = 0; i < caller->grant_count; i++) {
        const Sealmill__V1__Grant *g = caller->grants[i];
        if (g->role == SEALMILL__V1__ROLE__ROLE_ADMIN ||
            g->role == SEALMILL__V1__ROLE__ROLE_OPERATOR ||
            (g->role == SEALMILL__V1__ROLE__ROLE_RA && lists(g->cas, g->n_cas, ca) &&
             lists(g->profiles, g->n_profiles, profile))) {
            return SM_NO_ERR;
        }
    }
    SM_TRY(sm_caller_require(caller, SM_ROLE_ADMIN | SM_ROLE_OPERATOR | SM_ROLE_RA, diag));
    return sm_diag_set(diag, SM_ERR(FORBIDDEN), "",
                       "%.60s has the role ra, but not for CA %s with profile %s", caller->name, ca,
                       profile);
}
