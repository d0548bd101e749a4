/* SPDX-License-Identifier: Apache-2.0 */
/* DecryptKeyService. */
#include "api/api_p.h"
#include "api/decrypt_key.h"
#include "api/label.h"
#include "api/method.h"
#include "api/record.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "gen/sealmill/v1/decrypt_key.pb-c.h"
#include "proto/message.h"
#include "sign/cert.h"
#include "sign/der.h"
#include "sign/key.h"
#include "sign/oids.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000
#define SEALED_ROOM 512

/* ---- what is registered ---- */

struct candidate {
    const char *type;
    sm_slice id;
    sm_slice public_key; /* empty: a secret */
};

static sm_slice bytes_of(ProtobufCBinaryData data)
{
    return sm_slice_of(data.data, data.len);
}

static sm_err read_secret(sm_call *call, sm_slice secret, struct candidate *out)
{
    out->type = secret.len == 16   ? "AES-128"
                : secret.len == 24 ? "AES-192"
                : secret.len == 32 ? "AES-256"
                                   : NULL;
    return out->type != NULL
               ? SM_NO_ERR
               : sm_diag_set(&call->diag, SM_ERR(INVALID), "secret",
                             "a key of AES has 16, 24 or 32 octets, this has %zu", secret.len);
}

static bool can_encrypt(enum sm_key_type type)
{
    return type == SM_KEY_RSA_2048 || type == SM_KEY_RSA_3072 || type == SM_KEY_RSA_4096 ||
           type == SM_KEY_P256 || type == SM_KEY_P384 || type == SM_KEY_P521;
}

static sm_err read_public_key(sm_call *call, const char *field, sm_slice spki,
                              struct candidate *out)
{
    struct sm_public_key key;
    sm_diag reason = {.reason = ""};
    uint8_t id[20];
    sm_err err = sm_public_key_parse(spki, &key, &reason);
    if (!sm_ok(err)) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), field, "%s", reason.reason);
    }
    if (!can_encrypt(key.type)) {
        return sm_diag_set(&call->diag, SM_ERR(UNSUPPORTED), field,
                           "nothing is encrypted with a key of type %s: RSA, P-256, P-384 and "
                           "P-521 can be",
                           sm_key_type_name(key.type));
    }
    out->type = sm_key_type_name(key.type);
    out->public_key = spki;
    SM_TRY(sm_public_key_id(&key, id));
    return sm_arena_copy(&call->arena, sm_slice_of(id, sizeof(id)), &out->id);
}

#define KEY_ENCIPHERMENT 0x20 /* bits 2 and 4 of the first octet (RFC 5280 4.2.1.3) */
#define KEY_AGREEMENT 0x08

static bool usage_allows(const struct sm_cert *cert, const char *type)
{
    const struct sm_extension *e = sm_cert_extension(cert, SM_OID_KEY_USAGE);
    if (e == NULL) {
        return true;
    }
    sm_der d = sm_der_init(e->value);
    sm_slice bits = sm_der_read(&d, SM_DER_BIT_STRING);
    const uint8_t wanted = type[0] == 'R' ? KEY_ENCIPHERMENT : KEY_AGREEMENT;
    return sm_ok(sm_der_finish(&d)) && bits.len >= 2 && (bits.ptr[1] & wanted) != 0;
}

static sm_err read_certificate(sm_call *call, sm_slice der, struct candidate *out)
{
    static const char field[] = "certificate";
    struct sm_cert *cert = SM_ARENA_NEW(&call->arena, struct sm_cert);
    sm_diag reason = {.reason = ""};
    if (cert == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    if (!sm_ok(sm_cert_parse(der, cert, &reason))) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), field, "%s", reason.reason);
    }
    SM_TRY(read_public_key(call, field, cert->spki, out));
    if (!usage_allows(cert, out->type)) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), field,
                           "its keyUsage lets nothing be encrypted for it");
    }
    if (cert->subject_key_id.len > 0) {
        out->id = cert->subject_key_id;
    }
    return SM_NO_ERR;
}

/* What the request says of the identifier, in the place of the key's own. */
static sm_err read_id(sm_call *call, const char *hex, sm_slice *id)
{
    sm_buf octets = sm_buf_init(SM_CMS_ID_MAX);
    sm_err err = sm_hex_decode(&octets, sm_slice_str(hex), false);
    err = sm_ok(err) && octets.len > 0 ? sm_arena_copy(&call->arena, sm_buf_slice(&octets), id)
                                       : SM_ERR(INVALID);
    sm_buf_deinit(&octets);
    return sm_ok(err) ? err
                      : sm_diag_set(&call->diag, err, "id", "1 to %d octets in hex are wanted",
                                    SM_CMS_ID_MAX);
}

static sm_err check_create(sm_call *call, const Sealmill__V1__CreateDecryptKeyRequest *q,
                           struct candidate *out)
{
    sm_diag *d = &call->diag;
    const bool given[] = {q->secret.len > 0, q->public_key.len > 0, q->certificate.len > 0};
    if (given[0] + given[1] + given[2] != 1) {
        return sm_diag_set(d, SM_ERR(INVALID), "",
                           "one of secret, public_key and certificate is wanted");
    }
    if (q->label[0] != '\0' && sm_label_find(call->world, sm_slice_str(q->label)) == NULL) {
        return sm_diag_set(d, SM_ERR(NOT_FOUND), "label", "there is no label %.63s", q->label);
    }
    SM_TRY(given[0]   ? read_secret(call, bytes_of(q->secret), out)
           : given[1] ? read_public_key(call, "public_key", bytes_of(q->public_key), out)
                      : read_certificate(call, bytes_of(q->certificate), out));
    if (q->id[0] != '\0') {
        return read_id(call, q->id, &out->id);
    }
    return out->id.len > 0 && out->id.len <= SM_CMS_ID_MAX
               ? SM_NO_ERR
               : sm_diag_set(d, SM_ERR(INVALID), "id",
                             "the identifier that requests name it by is wanted");
}

/* ---- creating ---- */

static struct sm_audit audit_of(const sm_call *call, const char *action, const char *id)
{
    return (struct sm_audit){.caller = call->caller.name,
                             .action = action,
                             .outcome = "ok",
                             .target = id,
                             .correlation_id = call->correlation_id};
}

static sm_err seal(sm_call *call, sm_slice key, sm_slice secret, sm_slice *out)
{
    sm_buf sealed = sm_buf_init(SEALED_ROOM);
    sm_keystore *keys = sm_api_of(call->loop)->config.keystore;
    sm_err err = secret.len == 0 ? SM_NO_ERR : sm_keystore_seal(keys, key, secret, &sealed);
    err = sm_ok(err) ? sm_arena_copy(&call->arena, sm_buf_slice(&sealed), out) : err;
    sm_buf_deinit(&sealed);
    return err;
}

static sm_err write_new(sm_call *call, const Sealmill__Record__V1__DecryptKeyRecord *record,
                        sm_slice key)
{
    const struct sm_store_cond cond = {SM_COND_ABSENT, SM_FAMILY_META, key, SM_SLICE_NONE};
    const struct sm_audit audit = audit_of(call, "decrypt_key.create", record->key->id);
    struct sm_change change = {.key = key, .conds = &cond, .cond_count = 1, .audit = &audit};
    SM_TRY(sm_record_pack(&record->base, &call->arena, &change.value));
    sm_err err = sm_change_write(sm_api_store(sm_api_of(call->loop)), &change, &call->arena);
    return sm_err_is(err, SM_E_EXISTS)
               ? sm_diag_set(&call->diag, SM_ERR(EXISTS), "id",
                             "there is a key under this identifier: decrypt-key remove ends it")
               : err;
}

static sm_err make_record(sm_call *call, const Sealmill__V1__CreateDecryptKeyRequest *q,
                          const struct candidate *c, Sealmill__V1__DecryptKey *out)
{
    Sealmill__Record__V1__DecryptKeyRecord record;
    sm_slice key;
    sm_slice sealed = SM_SLICE_NONE;
    char *hex = sm_arena_alloc(&call->arena, 2 * SM_CMS_ID_MAX + 1);
    if (hex == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(sm_record_key(SM_DECRYPT_KEY_PREFIX, c->id, &call->arena, &key));
    SM_TRY(seal(call, key, bytes_of(q->secret), &sealed));
    sealmill__v1__decrypt_key__init(out);
    out->id = sm_hex_format(c->id, hex);
    out->label = q->label;
    out->type = sm_text(&call->arena, sm_slice_str(c->type));
    out->public_key = sm_binary(c->public_key);
    out->created_at = sm_timestamp(&call->arena, sm_clock_wall_s());
    out->created_by = sm_text(&call->arena, sm_slice_str(call->caller.name));
    sealmill__record__v1__decrypt_key_record__init(&record);
    record.version = SM_RECORD_VERSION;
    record.key = out;
    record.sealed_secret = sm_binary(sealed);
    return write_new(call, &record, key);
}

static sm_err create(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__CreateDecryptKeyRequest *q =
        (const Sealmill__V1__CreateDecryptKeyRequest *)(const void *)request;
    struct candidate c = {.type = NULL};
    Sealmill__V1__DecryptKey *r = SM_ARENA_NEW(&call->arena, Sealmill__V1__DecryptKey);
    SM_TRY(check_create(call, q, &c));
    SM_TRY(sm_label_right(call, q->label));
    SM_TRY(r == NULL ? SM_ERR(NO_MEMORY) : make_record(call, q, &c, r));
    *response = &r->base;
    return SM_NO_ERR;
}

/* ---- listing ---- */

struct page {
    sm_call *call;
    Sealmill__V1__ListDecryptKeysResponse *response;
    size_t wanted;
    sm_err err;
};

static bool end_page(struct page *p, sm_slice key)
{
    char *token = sm_arena_alloc(&p->call->arena, 2 * key.len + 1);
    p->err = token == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
    if (token != NULL) {
        p->response->next_page_token = sm_hex_format(key, token);
    }
    return false;
}

static bool on_row(void *ctx, sm_slice key, sm_slice value)
{
    struct page *p = ctx;
    ProtobufCMessage *m = NULL;
    if (p->response->n_keys == p->wanted) {
        return end_page(p, key);
    }
    p->err = sm_arena_copy(&p->call->arena, value, &value);
    p->err = sm_ok(p->err)
                 ? sm_record_unpack(value, &sealmill__record__v1__decrypt_key_record__descriptor,
                                    &p->call->arena, &m)
                 : p->err;
    if (!sm_ok(p->err)) {
        return false;
    }
    const Sealmill__Record__V1__DecryptKeyRecord *r =
        (const Sealmill__Record__V1__DecryptKeyRecord *)(const void *)m;
    p->response->keys[p->response->n_keys++] = r->key;
    return true;
}

static sm_err choose_start(sm_call *call, const char *token, sm_slice *from)
{
    *from = SM_LIT(SM_DECRYPT_KEY_PREFIX);
    if (token[0] == '\0') {
        return SM_NO_ERR;
    }
    sm_buf key = sm_buf_init(SM_CMS_ID_MAX + from->len);
    sm_err err = sm_hex_decode(&key, sm_slice_str(token), false);
    bool good = sm_ok(err) && sm_slice_starts_with(sm_buf_slice(&key), *from);
    err = good ? sm_arena_copy(&call->arena, sm_buf_slice(&key), from)
               : sm_diag_set(&call->diag, SM_ERR(INVALID), "page_token", "it is of another list");
    sm_buf_deinit(&key);
    return err;
}

static sm_err list(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__ListDecryptKeysRequest *q =
        (const Sealmill__V1__ListDecryptKeysRequest *)(const void *)request;
    struct page p = {.call = call};
    sm_slice from;
    if (q->page_size < 0 || q->page_size > PAGE_MAX) {
        return sm_diag_set(&call->diag, SM_ERR(OUT_OF_RANGE), "page_size", "1 to %d", PAGE_MAX);
    }
    SM_TRY(choose_start(call, q->page_token, &from));
    p.wanted = q->page_size == 0 ? PAGE_DEFAULT : (size_t)q->page_size;
    p.response = SM_ARENA_NEW(&call->arena, Sealmill__V1__ListDecryptKeysResponse);
    if (p.response == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__list_decrypt_keys_response__init(p.response);
    p.response->keys = sm_arena_alloc(&call->arena, p.wanted * sizeof(*p.response->keys));
    if (p.response->keys == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(sm_store_scan_sync(sm_api_store(sm_api_of(call->loop)), SM_FAMILY_META, from,
                              SM_LIT("decrypt-key0"), on_row, &p)); /* '0' follows '/' */
    *response = &p.response->base;
    return p.err;
}

/* ---- deleting ---- */

static sm_err load(sm_call *call, const char *id, sm_slice *key,
                   Sealmill__Record__V1__DecryptKeyRecord **out)
{
    ProtobufCMessage *m;
    sm_slice octets;
    SM_TRY(read_id(call, id, &octets));
    SM_TRY(sm_record_key(SM_DECRYPT_KEY_PREFIX, octets, &call->arena, key));
    sm_err err = sm_record_get(sm_api_store(sm_api_of(call->loop)), SM_FAMILY_META, *key,
                               &sealmill__record__v1__decrypt_key_record__descriptor, &call->arena,
                               &m);
    if (sm_err_is(err, SM_E_NOT_FOUND)) {
        return sm_diag_set(&call->diag, err, "id", "there is no key under this identifier");
    }
    SM_TRY(err);
    *out = (Sealmill__Record__V1__DecryptKeyRecord *)(void *)m;
    return (*out)->key == NULL ? SM_ERR(CORRUPT) : SM_NO_ERR;
}

static sm_err delete_key(sm_call *call, const ProtobufCMessage *request,
                         ProtobufCMessage **response)
{
    const Sealmill__V1__DeleteDecryptKeyRequest *q =
        (const Sealmill__V1__DeleteDecryptKeyRequest *)(const void *)request;
    Sealmill__V1__DeleteDecryptKeyResponse *r = SM_ARENA_NEW(
        &call->arena, Sealmill__V1__DeleteDecryptKeyResponse);
    Sealmill__Record__V1__DecryptKeyRecord *record = NULL;
    sm_slice key;
    SM_TRY(load(call, q->id, &key, &record));
    SM_TRY(sm_label_right(call, record->key->label));
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__delete_decrypt_key_response__init(r);
    const struct sm_audit audit = audit_of(call, "decrypt_key.delete", record->key->id);
    struct sm_change change = {.key = key, .remove = true, .audit = &audit};
    SM_TRY(sm_change_write(sm_api_store(sm_api_of(call->loop)), &change, &call->arena));
    *response = &r->base;
    return SM_NO_ERR;
}

#define MAKERS (SM_ROLE_ADMIN | SM_ROLE_OPERATOR | SM_ROLE_RA)

const struct sm_method sm_decrypt_key_methods[] = {
    {.service = "sealmill.v1.DecryptKeyService",
     .name = "Create",
     .request = &sealmill__v1__create_decrypt_key_request__descriptor,
     .response = &sealmill__v1__decrypt_key__descriptor,
     .roles = MAKERS,
     .secret = true,
     .http_method = "POST",
     .http_path = "/v1/decrypt-keys",
     .body = true,
     .work = create},
    {.service = "sealmill.v1.DecryptKeyService",
     .name = "List",
     .request = &sealmill__v1__list_decrypt_keys_request__descriptor,
     .response = &sealmill__v1__list_decrypt_keys_response__descriptor,
     .roles = MAKERS | SM_ROLE_AUDITOR,
     .http_method = "GET",
     .http_path = "/v1/decrypt-keys",
     .work = list},
    {.service = "sealmill.v1.DecryptKeyService",
     .name = "Delete",
     .request = &sealmill__v1__delete_decrypt_key_request__descriptor,
     .response = &sealmill__v1__delete_decrypt_key_response__descriptor,
     .roles = MAKERS,
     .http_method = "DELETE",
     .http_path = "/v1/decrypt-keys/{id}",
     .work = delete_key},
};
const size_t sm_decrypt_key_method_count = SM_ARRAY_LEN(sm_decrypt_key_methods);
