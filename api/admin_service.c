/* SPDX-License-Identifier: Apache-2.0 */
/* ProfileService and CallerService. */
#include "api/api_p.h"
#include "api/method.h"
#include "api/record.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/text.h"
#include "proto/message.h"

#define TOKEN_VALIDITY_DEFAULT_S (INT64_C(30) * 86400)
#define TOKEN_VALIDITY_MAX_S (INT64_C(365) * 86400)
#define AUDIT_PAGE_DEFAULT 100
#define AUDIT_PAGE_MAX 1000 /* a page is built in memory: some 0.5 MiB */

static struct sm_audit audit_of(const sm_call *call, const char *action, const char *target)
{
    return (struct sm_audit){.caller = call->caller.name,
                             .action = action,
                             .outcome = "ok",
                             .target = target,
                             .correlation_id = call->correlation_id};
}

/* Writes one META record and puts the new world in place; one that would be over a limit is not
 * written. */
static sm_err change(sm_call *call, const char *prefix, const char *name,
                     const ProtobufCMessage *record, const char *action)
{
    sm_api *api = sm_api_of(call->loop);
    const struct sm_audit audit = audit_of(call, action, name);
    struct sm_change c = {.audit = &audit, .remove = record == NULL};
    SM_TRY(sm_record_key(prefix, sm_slice_str(name), &call->arena, &c.key));
    if (record != NULL) {
        SM_TRY(sm_record_pack(record, &call->arena, &c.value));
    }
    (void)pthread_mutex_lock(&api->admin_lock);
    sm_err err = sm_api_commit(api, &c, &call->arena, &call->diag);
    (void)pthread_mutex_unlock(&api->admin_lock);
    return err;
}

/* ---- profiles ---- */

static sm_err list_profiles(sm_call *call, const ProtobufCMessage *request,
                            ProtobufCMessage **response)
{
    (void)request;
    Sealmill__V1__ListProfilesResponse *r = SM_ARENA_NEW(&call->arena,
                                                         Sealmill__V1__ListProfilesResponse);
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__list_profiles_response__init(r);
    r->profiles = sm_arena_alloc(&call->arena,
                                 (call->world->profile_count + 1) * sizeof(*r->profiles));
    for (size_t i = 0; i < call->world->profile_count && r->profiles != NULL; i++) {
        r->profiles[r->n_profiles++] = call->world->profiles[i].message;
    }
    *response = &r->base;
    return SM_NO_ERR;
}

static sm_err find_profile(sm_call *call, const char *name, const struct sm_profile **out)
{
    *out = sm_world_profile(call->world, name);
    return *out != NULL ? SM_NO_ERR
                        : sm_diag_set(&call->diag, SM_ERR(NOT_FOUND), "name",
                                      "there is no profile %.63s", name);
}

static sm_err get_profile(sm_call *call, const ProtobufCMessage *request,
                          ProtobufCMessage **response)
{
    const struct sm_profile *p;
    SM_TRY(find_profile(
        call, ((const Sealmill__V1__GetProfileRequest *)(const void *)request)->name, &p));
    *response = &p->message->base;
    return SM_NO_ERR;
}

static sm_err put_profile(sm_call *call, const ProtobufCMessage *request,
                          ProtobufCMessage **response)
{
    const Sealmill__V1__PutProfileRequest *r =
        (const Sealmill__V1__PutProfileRequest *)(const void *)request;
    Sealmill__Record__V1__ProfileRecord record;
    struct sm_profile compiled;
    const struct sm_profile *old = sm_world_profile(call->world, r->name);
    if (r->profile == NULL) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "profile", "it is missing");
    }
    if (old != NULL && old->from_file) {
        return sm_diag_set(&call->diag, SM_ERR(PRECONDITION), "name",
                           "%s is of the configuration file: change it there", r->name);
    }
    if (!sm_record_name_is_good(r->name)) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "name",
                           "1 to 63 letters, digits, '-', '_' and '.' are wanted");
    }
    r->profile->name = r->name;
    SM_TRY(sm_profile_compile(r->profile, &call->arena, &compiled, &call->diag));
    sm_profile_deinit(&compiled);
    sealmill__record__v1__profile_record__init(&record);
    record.version = SM_RECORD_VERSION;
    record.profile = r->profile;
    *response = &r->profile->base;
    return change(call, "profile/", r->name, &record.base, "profile.put");
}

static sm_err delete_profile(sm_call *call, const ProtobufCMessage *request,
                             ProtobufCMessage **response)
{
    const struct sm_profile *p;
    const char *name = ((const Sealmill__V1__DeleteProfileRequest *)(const void *)request)->name;
    Sealmill__V1__DeleteProfileResponse *r = SM_ARENA_NEW(&call->arena,
                                                          Sealmill__V1__DeleteProfileResponse);
    SM_TRY(find_profile(call, name, &p));
    if (p->from_file || r == NULL) {
        return sm_diag_set(&call->diag, SM_ERR(PRECONDITION), "name",
                           "%s is of the configuration file", name);
    }
    sealmill__v1__delete_profile_response__init(r);
    *response = &r->base;
    return change(call, "profile/", name, NULL, "profile.delete");
}

/* ---- callers ---- */

static sm_err who_am_i(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    (void)request;
    Sealmill__V1__WhoAmIResponse *r = SM_ARENA_NEW(&call->arena, Sealmill__V1__WhoAmIResponse);
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__who_am_iresponse__init(r);
    r->name = sm_text(&call->arena, sm_slice_str(call->caller.name));
    r->method = sm_text(&call->arena, sm_slice_str(call->caller.method));
    r->grants = sm_arena_alloc(&call->arena, (call->caller.grant_count + 1) * sizeof(*r->grants));
    for (size_t i = 0; i < call->caller.grant_count && r->grants != NULL; i++) {
        r->grants[r->n_grants++] = call->caller.grants[i];
    }
    *response = &r->base;
    return SM_NO_ERR;
}

static sm_err check_token_request(sm_call *call, const Sealmill__V1__CreateTokenRequest *r)
{
    if (r->name[0] == '\0' || strlen(r->name) > 64) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "name", "1 to 64 octets are wanted");
    }
    if (r->validity_seconds < 0 || r->validity_seconds > TOKEN_VALIDITY_MAX_S) {
        return sm_diag_set(&call->diag, SM_ERR(OUT_OF_RANGE), "validity_seconds", "at most a year");
    }
    for (size_t i = 0; i < r->n_grants; i++) {
        if (r->grants[i]->role == SEALMILL__V1__ROLE__ROLE_UNSPECIFIED ||
            protobuf_c_enum_descriptor_get_value(&sealmill__v1__role__descriptor,
                                                 (int)r->grants[i]->role) == NULL) {
            return sm_diag_set(&call->diag, SM_ERR(INVALID), "grants.role", "a role is wanted");
        }
    }
    return r->n_grants > 0 ? SM_NO_ERR
                           : sm_diag_set(&call->diag, SM_ERR(INVALID), "grants",
                                         "a token needs at least one grant");
}

static sm_err create_token(sm_call *call, const ProtobufCMessage *request,
                           ProtobufCMessage **response)
{
    const Sealmill__V1__CreateTokenRequest *r =
        (const Sealmill__V1__CreateTokenRequest *)(const void *)request;
    Sealmill__Record__V1__TokenRecord record;
    Sealmill__V1__CreateTokenResponse *out = SM_ARENA_NEW(&call->arena,
                                                          Sealmill__V1__CreateTokenResponse);
    Sealmill__V1__Token *token = SM_ARENA_NEW(&call->arena, Sealmill__V1__Token);
    uint8_t *hash = sm_arena_alloc(&call->arena, 32);
    char *secret = sm_arena_alloc(&call->arena, SM_TOKEN_SECRET_SIZE);
    uint64_t id = sm_rand_u64();
    char hex[17];
    if (out == NULL || token == NULL || hash == NULL || secret == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(check_token_request(call, r));
    sealmill__v1__create_token_response__init(out);
    sealmill__v1__token__init(token);
    sealmill__record__v1__token_record__init(&record);
    sm_token_make(secret);
    SM_TRY(sm_token_hash(sm_slice_str(secret), hash));
    int64_t now = sm_clock_wall_s();
    token->id = sm_text(&call->arena,
                        sm_slice_str(sm_hex_format(sm_slice_of(&id, sizeof(id)), hex)));
    token->name = r->name;
    token->grants = r->grants;
    token->n_grants = r->n_grants;
    token->created_at = sm_timestamp(&call->arena, now);
    token->expires_at = sm_timestamp(
        &call->arena,
        now + (r->validity_seconds == 0 ? TOKEN_VALIDITY_DEFAULT_S : r->validity_seconds));
    record.version = SM_RECORD_VERSION;
    record.token = token;
    record.secret_sha256.data = hash;
    record.secret_sha256.len = 32;
    out->token = token;
    out->secret = secret;
    *response = &out->base;
    return change(call, "token/", token->id, &record.base, "token.create");
}

static sm_err list_tokens(sm_call *call, const ProtobufCMessage *request,
                          ProtobufCMessage **response)
{
    (void)request;
    Sealmill__V1__ListTokensResponse *r = SM_ARENA_NEW(&call->arena,
                                                       Sealmill__V1__ListTokensResponse);
    size_t at = 0;
    sm_slice key;
    void *value;
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__list_tokens_response__init(r);
    r->tokens = sm_arena_alloc(&call->arena,
                               (sm_map_count(call->world->tokens) + 1) * sizeof(*r->tokens));
    while (r->tokens != NULL && sm_map_next(call->world->tokens, &at, &key, &value)) {
        r->tokens[r->n_tokens++] = ((Sealmill__Record__V1__TokenRecord *)value)->token;
    }
    *response = &r->base;
    return SM_NO_ERR;
}

static sm_err revoke_token(sm_call *call, const ProtobufCMessage *request,
                           ProtobufCMessage **response)
{
    const char *id = ((const Sealmill__V1__RevokeTokenRequest *)(const void *)request)->id;
    Sealmill__V1__RevokeTokenResponse *r = SM_ARENA_NEW(&call->arena,
                                                        Sealmill__V1__RevokeTokenResponse);
    ProtobufCMessage *m;
    sm_slice key;
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(sm_record_key("token/", sm_slice_str(id), &call->arena, &key));
    sm_err err = sm_record_get(sm_api_store(sm_api_of(call->loop)), SM_FAMILY_META, key,
                               &sealmill__record__v1__token_record__descriptor, &call->arena, &m);
    if (!sm_ok(err)) {
        return sm_diag_set(&call->diag, err, "id", "there is no token of this id");
    }
    Sealmill__V1__Token *token = ((Sealmill__Record__V1__TokenRecord *)(void *)m)->token;
    int64_t now = sm_clock_wall_s();
    token->revoked = 1;
    if (token->expires_at == NULL || token->expires_at->seconds > now) {
        token->expires_at = sm_timestamp(&call->arena, now); /* its record is kept no longer */
    }
    sealmill__v1__revoke_token_response__init(r);
    *response = &r->base;
    return change(call, "token/", id, m, "token.revoke");
}

/* ---- audit ---- */

struct audit_page {
    sm_call *call;
    Sealmill__V1__ListAuditResponse *response;
    size_t wanted;
    sm_err err;
};

static bool on_log_row(void *ctx, sm_slice key, sm_slice value)
{
    struct audit_page *p = ctx;
    sm_arena *arena = &p->call->arena;
    ProtobufCMessage *m;
    Sealmill__V1__AuditRecord *r = SM_ARENA_NEW(arena, Sealmill__V1__AuditRecord);
    p->err = r == NULL ? SM_ERR(NO_MEMORY)
                       : sm_message_unpack(&sealmill__record__v1__log_record__descriptor, value,
                                           arena, &m);
    if (!sm_ok(p->err)) {
        return false;
    }
    const Sealmill__Record__V1__LogRecord *log = (const Sealmill__Record__V1__LogRecord *)(void *)m;
    const struct sm_ca *ca = sm_world_ca_by_id(p->call->world, log->ca_id);
    sealmill__v1__audit_record__init(r);
    for (size_t i = 0; i < key.len; i++) {
        r->sequence = (int64_t)((uint64_t)r->sequence << 8 | key.ptr[i]);
    }
    char *hex = sm_arena_alloc(arena, 2 * log->serial.len + 1);
    r->time = sm_timestamp(arena, log->time_ms / 1000);
    r->caller = log->caller;
    r->action = log->action;
    r->outcome = log->outcome;
    r->target = log->serial.len > 0 && hex != NULL
                    ? sm_hex_format(sm_slice_of(log->serial.data, log->serial.len), hex)
                    : log->target;
    r->ca = sm_text(arena, ca == NULL ? SM_SLICE_NONE : sm_slice_str(ca->name));
    r->profile = log->profile;
    r->correlation_id = log->correlation_id;
    r->detail = log->detail;
    p->response->records[p->response->n_records++] = r;
    return p->response->n_records < p->wanted;
}

static sm_err list_audit(sm_call *call, const ProtobufCMessage *request,
                         ProtobufCMessage **response)
{
    const Sealmill__V1__ListAuditRequest *q = (const Sealmill__V1__ListAuditRequest *)(const void *)
        request;
    struct audit_page p = {.call = call};
    uint8_t from[8];
    uint64_t after = (uint64_t)q->after_sequence + 1;
    if (q->after_sequence < 0) {
        return sm_diag_set(&call->diag, SM_ERR(OUT_OF_RANGE), "after_sequence",
                           "0, or the last record's that was read");
    }
    if (q->page_size < 0 || q->page_size > AUDIT_PAGE_MAX) {
        return sm_diag_set(&call->diag, SM_ERR(OUT_OF_RANGE), "page_size", "1 to %d",
                           AUDIT_PAGE_MAX);
    }
    p.wanted = q->page_size == 0 ? AUDIT_PAGE_DEFAULT : (size_t)q->page_size;
    p.response = SM_ARENA_NEW(&call->arena, Sealmill__V1__ListAuditResponse);
    if (p.response == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__list_audit_response__init(p.response);
    p.response->records = sm_arena_alloc(&call->arena, p.wanted * sizeof(*p.response->records));
    for (size_t i = 0; i < 8; i++) {
        from[i] = (uint8_t)(after >> (8 * (7 - i)));
    }
    SM_TRY(sm_store_scan_sync(sm_api_store(sm_api_of(call->loop)), SM_FAMILY_LOG,
                              sm_slice_of(from, 8), SM_SLICE_NONE, on_log_row, &p));
    *response = &p.response->base;
    return p.err;
}

#define ROW(svc, n, in, out, who, verb, path, has_body, fn)                                     \
    {                                                                                           \
        .service = "sealmill.v1." svc, .name = n, .request = &sealmill__v1__##in##__descriptor, \
        .response = &sealmill__v1__##out##__descriptor, .roles = who, .http_method = verb,      \
        .http_path = path, .body = has_body, .work = fn                                         \
    }

const struct sm_method sm_admin_methods[] = {
    ROW("ProfileService", "List", list_profiles_request, list_profiles_response, SM_ROLE_ANY, "GET",
        "/v1/profiles", false, list_profiles),
    ROW("ProfileService", "Get", get_profile_request, profile, SM_ROLE_ANY, "GET",
        "/v1/profiles/{name}", false, get_profile),
    {.service = "sealmill.v1.ProfileService",
     .name = "Put",
     .request = &sealmill__v1__put_profile_request__descriptor,
     .response = &sealmill__v1__profile__descriptor,
     .roles = SM_ROLE_ADMIN,
     .http_method = "PUT",
     .http_path = "/v1/profiles/{name}",
     .body = true,
     .body_field = "profile",
     .work = put_profile},
    ROW("ProfileService", "Delete", delete_profile_request, delete_profile_response, SM_ROLE_ADMIN,
        "DELETE", "/v1/profiles/{name}", false, delete_profile),
    ROW("CallerService", "WhoAmI", who_am_irequest, who_am_iresponse, SM_ROLE_ANY, "GET",
        "/v1/whoami", false, who_am_i),
    {.service = "sealmill.v1.CallerService",
     .name = "CreateToken",
     .request = &sealmill__v1__create_token_request__descriptor,
     .response = &sealmill__v1__create_token_response__descriptor,
     .roles = SM_ROLE_ADMIN,
     .secret = true,
     .http_method = "POST",
     .http_path = "/v1/tokens",
     .body = true,
     .work = create_token},
    ROW("CallerService", "ListTokens", list_tokens_request, list_tokens_response,
        SM_ROLE_ADMIN | SM_ROLE_AUDITOR, "GET", "/v1/tokens", false, list_tokens),
    ROW("CallerService", "RevokeToken", revoke_token_request, revoke_token_response, SM_ROLE_ADMIN,
        "DELETE", "/v1/tokens/{id}", false, revoke_token),
    ROW("CallerService", "ListAudit", list_audit_request, list_audit_response,
        SM_ROLE_ADMIN | SM_ROLE_AUDITOR, "GET", "/v1/audit", false, list_audit),
};
const size_t sm_admin_method_count = SM_ARRAY_LEN(sm_admin_methods);
