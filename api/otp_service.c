/* SPDX-License-Identifier: Apache-2.0 */
/* OtpService. */
#include "api/api_p.h"
#include "api/label.h"
#include "api/method.h"
#include "api/otp_p.h"
#include "api/record.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/text.h"
#include "gen/sealmill/v1/otp.pb-c.h"
#include "proto/message.h"

#define VALIDITY_DEFAULT_S (INT64_C(24) * 3600)
#define VALIDITY_MAX_S (INT64_C(365) * 86400)
#define USES_MAX 1000 /* the record keeps each of them */
#define PAGE_DEFAULT 100
#define PAGE_MAX 1000
#define SALT_LEN 16

/* Without those that people mistake for one another; 32 of them, so that each takes five bits. */
static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";

/* ---- creating ---- */

/* Of a label and a profile that nobody could come by it is not made. */
static sm_err check_place(sm_call *call, const Sealmill__V1__CreateOtpsRequest *r)
{
    const struct sm_label *label = sm_label_find(call->world, sm_slice_str(r->label));
    if (r->label[0] != '\0' && label == NULL) {
        return sm_diag_set(&call->diag, SM_ERR(NOT_FOUND), "label", "there is no label %.63s",
                           r->label);
    }
    if (r->profile[0] != '\0' && sm_world_profile(call->world, r->profile) == NULL) {
        return sm_diag_set(&call->diag, SM_ERR(NOT_FOUND), "profile", "there is no profile %.63s",
                           r->profile);
    }
    if (r->label[0] != '\0' && r->profile[0] != '\0' &&
        strcmp(label->message->profile, r->profile) != 0) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "profile",
                           "the label %.63s issues another profile", r->label);
    }
    return SM_NO_ERR;
}

static sm_err check_create(sm_call *call, const Sealmill__V1__CreateOtpsRequest *r)
{
    sm_diag *d = &call->diag;
    if (r->n_entity_ids == 0 || r->n_entity_ids > SM_OTP_CREATE_MAX) {
        return sm_diag_set(d, SM_ERR(OUT_OF_RANGE), "entity_ids", "1 to %d", SM_OTP_CREATE_MAX);
    }
    for (size_t i = 0; i < r->n_entity_ids; i++) {
        size_t len = strlen(r->entity_ids[i]);
        if (len == 0 || len > SM_OTP_ENTITY_MAX || strchr(r->entity_ids[i], ':') != NULL) {
            return sm_diag_set(d, SM_ERR(INVALID), "entity_ids",
                               "each has 1 to %d octets and no colon", SM_OTP_ENTITY_MAX);
        }
    }
    if (r->length != 0 && (r->length < SM_OTP_LENGTH_MIN || r->length > SM_OTP_LENGTH_MAX)) {
        return sm_diag_set(d, SM_ERR(OUT_OF_RANGE), "length", "%d to %d", SM_OTP_LENGTH_MIN,
                           SM_OTP_LENGTH_MAX);
    }
    if (r->validity_seconds < 0 || r->validity_seconds > VALIDITY_MAX_S || r->uses > USES_MAX) {
        return sm_diag_set(d, SM_ERR(OUT_OF_RANGE), "validity_seconds",
                           "at most a year, and at most %d uses", USES_MAX);
    }
    return check_place(call, r);
}

static char *make_password(sm_arena *arena, size_t length)
{
    uint8_t random[SM_OTP_LENGTH_MAX];
    char *out = sm_arena_zalloc(arena, length + 1);
    sm_rand_bytes(random, length);
    for (size_t i = 0; out != NULL && i < length; i++) {
        out[i] = alphabet[random[i] & 31];
    }
    explicit_bzero(random, sizeof(random));
    return out;
}

static sm_err make_record(sm_call *call, const Sealmill__V1__CreateOtpsRequest *q, size_t i,
                          Sealmill__V1__CreatedOtp *out, struct sm_store_put *put)
{
    sm_arena *arena = &call->arena;
    Sealmill__Record__V1__OtpRecord r;
    uint8_t id[8];
    char hex[17];
    uint8_t salt[SALT_LEN];
    uint8_t hash[32];
    sealmill__record__v1__otp_record__init(&r);
    sm_rand_bytes(id, sizeof(id));
    sm_rand_bytes(salt, sizeof(salt));
    int64_t validity = q->validity_seconds == 0 ? VALIDITY_DEFAULT_S : q->validity_seconds;
    Sealmill__V1__Otp *o = SM_ARENA_NEW(arena, Sealmill__V1__Otp);
    out->password = make_password(arena, q->length == 0 ? SM_OTP_LENGTH_DEFAULT : q->length);
    if (o == NULL || out->password == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__otp__init(o);
    o->entity_id = q->entity_ids[i];
    o->label = q->label;
    o->profile = q->profile;
    o->subject = q->subject;
    o->created_at = sm_timestamp(arena, sm_clock_wall_s());
    o->expires_at = sm_timestamp(arena, sm_clock_wall_s() + validity);
    o->uses = q->uses == 0 ? 1 : q->uses;
    o->created_by = sm_text(arena, sm_slice_str(call->caller.name));
    sm_slice prefix;
    SM_TRY(sm_otp_prefix(sm_slice_str(o->entity_id), arena, &prefix));
    o->id = sm_arena_printf(arena, "%s%s",
                            sm_hex_format(sm_slice_from(prefix, 4), sm_arena_zalloc(arena, 64)),
                            sm_hex_format(sm_slice_of(id, sizeof(id)), hex));
    sm_otp_hash(sm_slice_of(salt, sizeof(salt)), sm_slice_str(out->password), hash);
    r.version = SM_RECORD_VERSION;
    r.otp = o;
    r.salt = sm_binary(sm_slice_of(salt, sizeof(salt)));
    r.secret_hash = sm_binary(sm_slice_of(hash, sizeof(hash)));
    out->otp = o;
    put->kind = SM_PUT;
    put->family = SM_FAMILY_META;
    sm_buf key = sm_buf_init(64);
    sm_buf_put(&key, prefix);
    sm_buf_put(&key, sm_slice_of(id, sizeof(id)));
    sm_err err = sm_buf_err(&key);
    err = sm_ok(err) ? sm_arena_copy(arena, sm_buf_slice(&key), &put->key) : err;
    sm_buf_deinit(&key);
    return sm_ok(err) ? sm_record_pack(&r.base, arena, &put->value) : err;
}

static struct sm_audit audit_of(const sm_call *call, const char *action, const char *target)
{
    return (struct sm_audit){.caller = call->caller.name,
                             .action = action,
                             .outcome = "ok",
                             .target = target,
                             .correlation_id = call->correlation_id};
}

/* Each of them is in the audit. */
static sm_err write_all(sm_call *call, const Sealmill__V1__CreateOtpsResponse *r,
                        const struct sm_store_put *puts, size_t count)
{
    sm_slice *logs = sm_arena_alloc(&call->arena, r->n_otps * sizeof(*logs));
    if (logs == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < r->n_otps; i++) {
        struct sm_audit audit = audit_of(call, "otp.create", r->otps[i]->otp->entity_id);
        audit.detail = r->otps[i]->otp->id;
        SM_TRY(sm_audit_pack(&audit, &call->arena, &logs[i]));
    }
    sm_store_write op = {.puts = puts, .put_count = count, .log = logs, .log_count = r->n_otps};
    return sm_store_write_sync(sm_api_store(sm_api_of(call->loop)), &op);
}

static sm_err create(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__CreateOtpsRequest *q =
        (const Sealmill__V1__CreateOtpsRequest *)(const void *)request;
    Sealmill__V1__CreateOtpsResponse *r = SM_ARENA_NEW(&call->arena,
                                                       Sealmill__V1__CreateOtpsResponse);
    SM_TRY(check_create(call, q));
    SM_TRY(sm_label_right(call, q->label));
    size_t count = q->n_entity_ids;
    struct sm_store_put *puts = sm_arena_alloc(&call->arena,
                                               (count + SM_OTP_PURGE_MAX) * sizeof(*puts));
    if (r == NULL || puts == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__create_otps_response__init(r);
    r->otps = sm_arena_alloc(&call->arena, q->n_entity_ids * sizeof(*r->otps));
    for (size_t i = 0; i < q->n_entity_ids && r->otps != NULL; i++) {
        Sealmill__V1__CreatedOtp *c = SM_ARENA_NEW(&call->arena, Sealmill__V1__CreatedOtp);
        if (c == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        sealmill__v1__created_otp__init(c);
        SM_TRY(make_record(call, q, i, c, &puts[i]));
        r->otps[r->n_otps++] = c;
    }
    SM_TRY(r->otps == NULL
               ? SM_ERR(NO_MEMORY)
               : sm_otp_make_room(sm_api_store(sm_api_of(call->loop)), q->entity_ids,
                                  q->n_entity_ids, &call->arena, puts, &count, &call->diag));
    SM_TRY(write_all(call, r, puts, count));
    *response = &r->base;
    return SM_NO_ERR;
}

/* ---- listing ---- */

struct page {
    sm_call *call;
    Sealmill__V1__ListOtpsResponse *response;
    size_t wanted;
    sm_err err;
};

static bool on_row(void *ctx, sm_slice key, sm_slice value)
{
    struct page *p = ctx;
    ProtobufCMessage *m;
    if (p->response->n_otps == p->wanted) {
        char *token = sm_arena_alloc(&p->call->arena, 2 * key.len + 1);
        p->err = token == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
        p->response->next_page_token = token == NULL ? p->response->next_page_token
                                                     : sm_hex_format(key, token);
        return false;
    }
    p->err = sm_arena_copy(&p->call->arena, value, &value);
    p->err = sm_ok(p->err) ? sm_record_unpack(value, &sealmill__record__v1__otp_record__descriptor,
                                              &p->call->arena, &m)
                           : p->err;
    if (!sm_ok(p->err)) {
        return false;
    }
    Sealmill__Record__V1__OtpRecord *r = (Sealmill__Record__V1__OtpRecord *)(void *)m;
    r->otp->used = (uint32_t)r->n_uses;
    p->response->otps[p->response->n_otps++] = r->otp;
    return true;
}

static sm_err choose_range(sm_call *call, const Sealmill__V1__ListOtpsRequest *q, sm_slice *from,
                           sm_slice *to)
{
    *from = SM_LIT("otp/");
    if (q->entity_id[0] != '\0') {
        SM_TRY(sm_otp_prefix(sm_slice_str(q->entity_id), &call->arena, from));
    }
    SM_TRY(sm_otp_prefix_end(*from, &call->arena, to));
    if (q->page_token[0] == '\0') {
        return SM_NO_ERR;
    }
    sm_buf key = sm_buf_init(64);
    sm_err err = sm_hex_decode(&key, sm_slice_str(q->page_token), false);
    bool good = sm_ok(err) && sm_slice_starts_with(sm_buf_slice(&key), *from);
    err = good ? sm_arena_copy(&call->arena, sm_buf_slice(&key), from)
               : sm_diag_set(&call->diag, SM_ERR(INVALID), "page_token", "it is of another list");
    sm_buf_deinit(&key);
    return err;
}

static sm_err list(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__ListOtpsRequest *q = (const Sealmill__V1__ListOtpsRequest *)(const void *)
        request;
    struct page p = {.call = call};
    sm_slice from;
    sm_slice to;
    if (q->page_size < 0 || q->page_size > PAGE_MAX) {
        return sm_diag_set(&call->diag, SM_ERR(OUT_OF_RANGE), "page_size", "1 to %d", PAGE_MAX);
    }
    SM_TRY(choose_range(call, q, &from, &to));
    p.wanted = q->page_size == 0 ? PAGE_DEFAULT : (size_t)q->page_size;
    p.response = SM_ARENA_NEW(&call->arena, Sealmill__V1__ListOtpsResponse);
    if (p.response == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__list_otps_response__init(p.response);
    p.response->otps = sm_arena_alloc(&call->arena, p.wanted * sizeof(*p.response->otps));
    if (p.response->otps == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(sm_store_scan_sync(sm_api_store(sm_api_of(call->loop)), SM_FAMILY_META, from, to, on_row,
                              &p));
    *response = &p.response->base;
    return p.err;
}

/* ---- revoking ---- */

static sm_err load(sm_call *call, const char *id, sm_slice *key, sm_slice *old,
                   Sealmill__Record__V1__OtpRecord **out)
{
    ProtobufCMessage *m;
    sm_buf octets = sm_buf_init(64);
    sm_buf value = sm_buf_init(1U << 20);
    sm_err err = sm_hex_decode(&octets, sm_slice_str(id), false);
    err = sm_ok(err) ? sm_record_key("otp/", sm_buf_slice(&octets), &call->arena, key) : err;
    err = sm_ok(err)
              ? sm_store_get_sync(sm_api_store(sm_api_of(call->loop)), SM_FAMILY_META, *key, &value)
              : SM_ERR(NOT_FOUND);
    err = sm_ok(err) ? sm_arena_copy(&call->arena, sm_buf_slice(&value), old) : err;
    sm_buf_deinit(&octets);
    sm_buf_deinit(&value);
    if (!sm_ok(err)) {
        return sm_diag_set(&call->diag, err, "id", "there is no one-time password of this id");
    }
    SM_TRY(sm_record_unpack(*old, &sealmill__record__v1__otp_record__descriptor, &call->arena, &m));
    *out = (Sealmill__Record__V1__OtpRecord *)(void *)m;
    return SM_NO_ERR;
}

static sm_err revoke(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__RevokeOtpRequest *q = (const Sealmill__V1__RevokeOtpRequest *)(const void *)
        request;
    Sealmill__V1__RevokeOtpResponse *r = SM_ARENA_NEW(&call->arena,
                                                      Sealmill__V1__RevokeOtpResponse);
    Sealmill__Record__V1__OtpRecord *record = NULL;
    sm_slice key;
    sm_slice old;
    sm_slice value;
    sm_slice log;
    SM_TRY(load(call, q->id, &key, &old, &record));
    SM_TRY(sm_label_right(call, record->otp->label));
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__revoke_otp_response__init(r);
    record->otp->revoked = true;
    SM_TRY(sm_record_pack(&record->base, &call->arena, &value));
    const struct sm_audit audit = audit_of(call, "otp.revoke", record->otp->entity_id);
    SM_TRY(sm_audit_pack(&audit, &call->arena, &log));
    const struct sm_store_cond cond = {SM_COND_EQUALS, SM_FAMILY_META, key, old};
    const struct sm_store_put put = {SM_PUT, SM_FAMILY_META, key, value};
    sm_store_write op = {
        .conds = &cond, .cond_count = 1, .puts = &put, .put_count = 1, .log = &log, .log_count = 1};
    SM_TRY(sm_store_write_sync(sm_api_store(sm_api_of(call->loop)), &op));
    *response = &r->base;
    return SM_NO_ERR;
}

#define MAKERS (SM_ROLE_ADMIN | SM_ROLE_OPERATOR | SM_ROLE_RA)

const struct sm_method sm_otp_methods[] = {
    {.service = "sealmill.v1.OtpService",
     .name = "Create",
     .request = &sealmill__v1__create_otps_request__descriptor,
     .response = &sealmill__v1__create_otps_response__descriptor,
     .roles = MAKERS,
     .secret = true,
     .http_method = "POST",
     .http_path = "/v1/otps",
     .body = true,
     .work = create},
    {.service = "sealmill.v1.OtpService",
     .name = "List",
     .request = &sealmill__v1__list_otps_request__descriptor,
     .response = &sealmill__v1__list_otps_response__descriptor,
     .roles = MAKERS | SM_ROLE_AUDITOR,
     .http_method = "GET",
     .http_path = "/v1/otps",
     .work = list},
    {.service = "sealmill.v1.OtpService",
     .name = "Revoke",
     .request = &sealmill__v1__revoke_otp_request__descriptor,
     .response = &sealmill__v1__revoke_otp_response__descriptor,
     .roles = MAKERS,
     .http_method = "DELETE",
     .http_path = "/v1/otps/{id}",
     .work = revoke},
};
const size_t sm_otp_method_count = SM_ARRAY_LEN(sm_otp_methods);
