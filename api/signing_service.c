/* SPDX-License-Identifier: Apache-2.0 */
/* SigningService: raw signatures through the same batches. */
#include "api/api_p.h"
#include "api/key_facts.h"
#include "api/method.h"
#include "api/record.h"
#include "api/refusal.h"
#include "base/check.h"
#include "base/text.h"
#include "gen/sealmill/v1/signing.pb-c.h"
#include "sign/rsa_pad.h"

#define DATA_MAX (1U << 20)

struct signing {
    sm_call *call;
    sm_crypt_job job;
    Sealmill__V1__SignResponse response;
    sm_slice log;
    sm_store_write write;
    uint8_t digest[SM_DIGEST_MAX];
    enum sm_digest digest_kind; /* what the record names it by; of a whole message, SHA-256 */
    sm_slice signed_digest;
    const struct sm_signing_metrics *metrics; /* NULL: there is no such key */
};

/* ---- Sign ---- */

static void end(struct signing *s, sm_err err)
{
    if (s->metrics != NULL) {
        sm_signing_metrics_count(s->metrics, err);
    }
    if (sm_ok(err)) {
        sm_call_reply(s->call, &s->response.base);
    } else {
        sm_call_finish(s->call, err);
    }
    sm_call_release(s->call);
}

static void on_logged(sm_store_write *op)
{
    struct signing *s = SM_CONTAINER_OF(op, struct signing, write);
    end(s, op->err); /* the audit record is durable: now the signature may leave */
}

/* "ecdsa-sha256 sha256:2cf2...": what can be held against the thing that was signed. */
static const char *describe(const struct signing *s)
{
    static const char *const names[SM_DIGEST_COUNT] = {"", "sha256", "sha384", "sha512"};
    char hex[2 * SM_DIGEST_MAX + 1];
    return sm_arena_printf(&s->call->arena, "%s %s:%s", sm_sig_alg_name(s->job.alg),
                           names[s->digest_kind], sm_hex_format(s->signed_digest, hex));
}

static sm_err write_audit(struct signing *s)
{
    sm_call *call = s->call;
    const char *detail = describe(s);
    if (detail == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    const struct sm_audit audit = {.caller = call->caller.name,
                                   .action = "key.sign",
                                   .outcome = "ok",
                                   .target = call->target,
                                   .detail = detail,
                                   .correlation_id = call->correlation_id};
    SM_TRY(sm_audit_pack(&audit, &call->arena, &s->log));
    s->write = (sm_store_write){
        .home = sm_api_loop_home(call->loop), .log = &s->log, .log_count = 1, .done = on_logged};
    return sm_store_submit_write(sm_api_store(sm_api_of(call->loop)), &s->write);
}

static void on_signed(sm_crypt_job *job)
{
    struct signing *s = SM_CONTAINER_OF(job, struct signing, job);
    sm_err err = job->err;
    if (sm_ok(err)) {
        sealmill__v1__sign_response__init(&s->response);
        s->response.signature.data = job->out;
        s->response.signature.len = job->out_len;
        s->response.correlation_id = sm_text(&s->call->arena, s->call->correlation_id);
        err = write_audit(s);
    }
    if (!sm_ok(err)) {
        end(s, err);
    }
}

static sm_err check_caller(sm_call *call, const Sealmill__V1__SigningKey *key)
{
    for (size_t i = 0; i < key->n_signers; i++) {
        if (strcmp(key->signers[i], call->caller.name) == 0) {
            return SM_NO_ERR;
        }
    }
    return sm_caller_require(&call->caller, SM_ROLE_ADMIN | SM_ROLE_OPERATOR, &call->diag);
}

/* By what is signed with, named or not. A key whose policy names none signs with its type's usual one. */
static sm_err check_algorithm(sm_call *call, const Sealmill__V1__SigningKey *key,
                              enum sm_key_type type, enum sm_sig_alg alg)
{
    enum sm_digest digest = sm_sig_alg_digest(alg);
    enum sm_digest usual = sm_sig_alg_digest(sm_sig_alg_for(type, SM_DIGEST_NONE, false));
    bool allowed = digest == SM_DIGEST_NONE || (key->n_digest_algorithms == 0 && digest == usual);
    for (size_t i = 0; i < key->n_digest_algorithms; i++) {
        allowed = allowed || (enum sm_digest)key->digest_algorithms[i] == digest;
    }
    return allowed ? SM_NO_ERR
                   : sm_diag_set(&call->diag, SM_ERR(POLICY), "digest_algorithm",
                                 "the key's policy does not allow %s", sm_sig_alg_name(alg));
}

static sm_err check_padding(sm_call *call, const Sealmill__V1__SigningKey *key, enum sm_sig_alg alg)
{
    Sealmill__V1__RsaPadding padding = sm_sig_alg_is_pss(alg)
                                           ? SEALMILL__V1__RSA_PADDING__RSA_PADDING_PSS
                                           : SEALMILL__V1__RSA_PADDING__RSA_PADDING_PKCS1;
    return !sm_sig_alg_is_rsa(alg) || key->rsa_padding == padding ||
                   key->rsa_padding == SEALMILL__V1__RSA_PADDING__RSA_PADDING_UNSPECIFIED
               ? SM_NO_ERR
               : sm_diag_set(&call->diag, SM_ERR(POLICY), "rsa_pss",
                             "the key's policy does not allow %s", sm_sig_alg_name(alg));
}

static sm_err check_rate(sm_call *call, const Sealmill__V1__SigningKey *key, sm_rate *rate)
{
    return key->rate_per_second == 0 || sm_rate_take(rate, key->rate_per_second, sm_clock_mono_ns())
               ? SM_NO_ERR
               : sm_diag_set(&call->diag, SM_ERR(RATE_LIMITED), "key",
                             "the key's policy allows %u signatures a second",
                             key->rate_per_second);
}

/* Hashed here, since the record tells the digest too. */
static sm_err set_message(struct signing *s, enum sm_sig_alg alg, sm_slice input, bool is_digest)
{
    enum sm_digest kind = sm_sig_alg_digest(alg);
    s->digest_kind = kind == SM_DIGEST_NONE ? SM_SHA256 : kind;
    s->signed_digest = input;
    if (!is_digest) {
        SM_TRY(sm_digest_compute(s->digest_kind, input, s->digest));
        s->signed_digest = sm_slice_of(s->digest, sm_digest_size(s->digest_kind));
    }
    s->job.is_digest = kind != SM_DIGEST_NONE;
    s->job.message = s->job.is_digest ? s->signed_digest : input;
    return SM_NO_ERR;
}

/* Where the key's handle and its policy are in the world. */
static sm_err find_key(sm_call *call, const char *name, size_t *out)
{
    for (size_t i = 0; i < call->world->signing_key_count; i++) {
        if (strcmp(call->world->signing_keys[i]->name, name) == 0) {
            *out = i;
            return SM_NO_ERR;
        }
    }
    return sm_diag_set(&call->diag, SM_ERR(NOT_FOUND), "key", "there is no signing key %.60s",
                       name);
}

/* Which algorithm, and that the input is one for it. */
static sm_err read_request(sm_call *call, const Sealmill__V1__SignRequest *r, enum sm_key_type type,
                           enum sm_sig_alg *alg, sm_slice *input)
{
    *alg = sm_sig_alg_for(type, (enum sm_digest)r->digest_algorithm, r->rsa_pss);
    if (*alg == SM_SIG_NONE) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "digest_algorithm",
                           "it does not fit a %s key", sm_key_type_name(type));
    }
    bool digest = r->input_case == SEALMILL__V1__SIGN_REQUEST__INPUT_DIGEST;
    ProtobufCBinaryData given = digest ? r->digest : r->data;
    if (r->input_case == SEALMILL__V1__SIGN_REQUEST__INPUT__NOT_SET || given.len > DATA_MAX) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "digest",
                           "a digest, or at most 1 MiB of data, is wanted");
    }
    size_t want = sm_digest_size(sm_sig_alg_digest(*alg));
    if (digest && (want == 0 || given.len != want)) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "digest",
                           "%zu octets are wanted (0: send data instead)", want);
    }
    *input = sm_slice_of(given.data, given.len);
    return SM_NO_ERR;
}

static sm_err submit(struct signing *s, const Sealmill__V1__SignRequest *r, sm_key *handle,
                     enum sm_sig_alg alg, sm_slice input)
{
    sm_call *call = s->call;
    size_t room = sm_sig_size_max(alg, sm_key_get_type(handle));
    s->job = (sm_crypt_job){.op = SM_CRYPT_SIGN,
                            .alg = alg,
                            .key = handle,
                            .out = sm_arena_alloc(&call->arena, room),
                            .out_room = room,
                            .caller = call->caller.number,
                            .done = on_signed};
    if (s->job.out == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(set_message(s, alg, input, r->input_case == SEALMILL__V1__SIGN_REQUEST__INPUT_DIGEST));
    return sm_batcher_submit(sm_api_loop_batcher(call->loop), &s->job);
}

/* The rate comes last: what is refused uses none of it up. */
static sm_err prepare(struct signing *s, const Sealmill__V1__SignRequest *r)
{
    sm_call *call = s->call;
    size_t at = 0;
    enum sm_sig_alg alg = SM_SIG_NONE;
    sm_slice input = SM_SLICE_NONE;
    call->target = r->key;
    SM_TRY(find_key(call, r->key, &at));
    s->metrics = &call->world->signing_key_metrics[at];
    const Sealmill__V1__SigningKey *key = call->world->signing_keys[at];
    sm_key *handle = call->world->signing_key_handles[at];
    SM_TRY(check_caller(call, key));
    if (handle == NULL) {
        return sm_diag_set(&call->diag, SM_ERR(UNAVAILABLE), "key", "%.60s is not at hand", r->key);
    }
    SM_TRY(read_request(call, r, sm_key_get_type(handle), &alg, &input));
    SM_TRY(check_algorithm(call, key, sm_key_get_type(handle), alg));
    SM_TRY(check_padding(call, key, alg));
    SM_TRY(check_rate(call, key, call->world->signing_key_rates[at]));
    return submit(s, r, handle, alg, input);
}

static void start_sign(sm_call *call, const ProtobufCMessage *request)
{
    struct signing *s = SM_ARENA_NEW(&call->arena, struct signing);
    if (s == NULL) {
        sm_call_finish(call, SM_ERR(NO_MEMORY));
        return;
    }
    s->call = call;
    call->user = s;
    sm_call_hold(call);
    sm_err err = prepare(s, (const Sealmill__V1__SignRequest *)(const void *)request);
    if (!sm_ok(err)) {
        if (sm_err_is(err, SM_E_POLICY) || sm_err_is(err, SM_E_RATE_LIMITED)) {
            sm_refusal_record(call, call->correlation_id, err, &call->diag);
        }
        end(s, err);
    }
}

/* What is signed already is still recorded. */
static void sign_gone(sm_call *call)
{
    struct signing *s = call->user;
    if (s != NULL) { /* the request was complete */
        sm_batcher_cancel(sm_api_loop_batcher(call->loop), &s->job);
    }
}

/* ---- keys ---- */

/* Of a key that is not at hand nothing is known but what its record says. */
static void tell_key(Sealmill__V1__SigningKey *key, sm_key *handle, sm_arena *arena)
{
    key->key_facts = sm_key_facts(handle, arena);
    if (handle != NULL) {
        key->key_type = (Sealmill__V1__KeyType)sm_key_get_type(handle);
        key->public_key = sm_binary(sm_key_public(handle)->spki); /* the world keeps it */
    }
}

static sm_err list_keys(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    (void)request;
    Sealmill__V1__ListKeysResponse *r = SM_ARENA_NEW(&call->arena, Sealmill__V1__ListKeysResponse);
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__list_keys_response__init(r);
    r->keys = sm_arena_alloc(&call->arena, (call->world->signing_key_count + 1) * sizeof(*r->keys));
    for (size_t i = 0; i < call->world->signing_key_count && r->keys != NULL; i++) {
        Sealmill__V1__SigningKey *key = SM_ARENA_NEW(&call->arena, Sealmill__V1__SigningKey);
        if (key == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        *key = *call->world->signing_keys[i];
        tell_key(key, call->world->signing_key_handles[i], &call->arena);
        r->keys[r->n_keys++] = key;
    }
    *response = &r->base;
    return SM_NO_ERR;
}

static ProtobufCBinaryData copy_bytes(sm_arena *arena, sm_slice s)
{
    sm_slice copy = SM_SLICE_NONE;
    union {
        const uint8_t *in;
        uint8_t *out;
    } ptr;
    if (!sm_ok(sm_arena_copy(arena, s, &copy))) {
        return (ProtobufCBinaryData){0, NULL};
    }
    ptr.in = copy.ptr;
    return (ProtobufCBinaryData){copy.len, ptr.out};
}

static sm_err make_key(sm_call *call, Sealmill__V1__SigningKey *key)
{
    sm_api *api = sm_api_of(call->loop);
    Sealmill__Record__V1__KeyRecord record;
    sm_key *handle;
    const struct sm_audit audit = {.caller = call->caller.name,
                                   .action = "key.create",
                                   .outcome = "ok",
                                   .target = key->name,
                                   .correlation_id = call->correlation_id};
    struct sm_change c = {.audit = &audit};
    char *name = sm_arena_printf(&call->arena, "key-%s", key->name);
    if (name == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    enum sm_key_type type = key->key_type == SEALMILL__V1__KEY_TYPE__KEY_TYPE_UNSPECIFIED
                                ? SM_KEY_P256
                                : (enum sm_key_type)key->key_type;
    SM_TRY(
        sm_keystore_create(api->config.keystore, name, key->key_uri, type, &handle, &call->diag));
    key->key_type = (Sealmill__V1__KeyType)type;
    key->key_uri = sm_text(&call->arena, sm_slice_str(sm_key_uri(handle)));
    key->public_key = copy_bytes(&call->arena, sm_key_public(handle)->spki);
    sealmill__record__v1__key_record__init(&record);
    record.version = SM_RECORD_VERSION;
    record.key = key;
    sm_err err = sm_record_key("key/", sm_slice_str(key->name), &call->arena, &c.key);
    err = sm_ok(err) ? sm_record_pack(&record.base, &call->arena, &c.value) : err;
    const struct sm_store_cond cond = {SM_COND_ABSENT, SM_FAMILY_META, c.key, SM_SLICE_NONE};
    c.conds = &cond;
    c.cond_count = 1;
    err = sm_ok(err) ? sm_api_commit(api, &c, &call->arena, &call->diag) : err;
    if (!sm_ok(err) && !c.uncertain) {
        sm_api_drop_key(api, sm_key_uri(handle));
    }
    sm_key_detach(&handle);
    return err;
}

static sm_err create_key(sm_call *call, const ProtobufCMessage *request,
                         ProtobufCMessage **response)
{
    sm_api *api = sm_api_of(call->loop);
    Sealmill__V1__SigningKey *key =
        ((const Sealmill__V1__CreateKeyRequest *)(const void *)request)->key;
    if (key == NULL || !sm_record_name_is_good(key->name)) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "key.name",
                           "1 to 63 letters, digits, '-', '_' and '.' are wanted");
    }
    (void)pthread_mutex_lock(&api->admin_lock);
    sm_err err = make_key(call, key);
    (void)pthread_mutex_unlock(&api->admin_lock);
    *response = &key->base;
    return err;
}

const struct sm_method sm_signing_methods[] = {
    {.service = "sealmill.v1.SigningService",
     .name = "Sign",
     .request = &sealmill__v1__sign_request__descriptor,
     .response = &sealmill__v1__sign_response__descriptor,
     .roles = SM_ROLE_ANY,
     .http_method = "POST",
     .http_path = "/v1/keys/{key}:sign",
     .body = true,
     .start = start_sign,
     .on_gone = sign_gone},
    {.service = "sealmill.v1.SigningService",
     .name = "ListKeys",
     .request = &sealmill__v1__list_keys_request__descriptor,
     .response = &sealmill__v1__list_keys_response__descriptor,
     .roles = SM_ROLE_ANY,
     .http_method = "GET",
     .http_path = "/v1/keys",
     .work = list_keys},
    {.service = "sealmill.v1.SigningService",
     .name = "CreateKey",
     .request = &sealmill__v1__create_key_request__descriptor,
     .response = &sealmill__v1__signing_key__descriptor,
     .roles = SM_ROLE_ADMIN,
     .http_method = "POST",
     .http_path = "/v1/keys",
     .body = true,
     .work = create_key},
};
const size_t sm_signing_method_count = SM_ARRAY_LEN(sm_signing_methods);
