/* SPDX-License-Identifier: Apache-2.0 */
#include "api/indexer.h"

#include "gen/sealmill/v1/certificate.pb-c.h"
#include "gen/sealmill/v1/record.pb-c.h"
#include "proto/message.h"
#include "sign/cert.h"
#include "sign/oids.h"
#include "sign/sha.h"

#define INDEX_ARENA (1U << 20)
#define KEY_BYTES (1 + SM_INDEX_HASH)

#define TEXT_CHUNK 64

void sm_index_hash_text(sm_slice text, uint8_t out[SM_INDEX_HASH])
{
    struct sm_sha sha;
    uint8_t digest[SM_DIGEST_MAX];
    uint8_t small[TEXT_CHUNK];
    sm_sha_begin(&sha, SM_SHA256);
    for (size_t at = 0; at < text.len; at += TEXT_CHUNK) {
        size_t n = text.len - at < TEXT_CHUNK ? text.len - at : TEXT_CHUNK;
        for (size_t i = 0; i < n; i++) {
            uint8_t c = text.ptr[at + i];
            small[i] = (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        sm_sha_add(&sha, small, n);
    }
    sm_sha_end(&sha, digest);
    memcpy(out, digest, SM_INDEX_HASH);
}

static void put_text_key(sm_buf *out, char kind, sm_slice text)
{
    uint8_t hash[SM_INDEX_HASH];
    sm_index_hash_text(text, hash);
    sm_buf_put_byte(out, (uint8_t)kind);
    sm_buf_put(out, sm_slice_of(hash, sizeof(hash)));
}

sm_err sm_index_keys(sm_slice subject, sm_slice spki, const struct sm_san *sans, size_t san_count,
                     sm_buf *out)
{
    uint8_t digest[SM_DIGEST_MAX];
    sm_buf text = sm_buf_init(SM_CERT_MAX);
    if (sm_ok(sm_name_to_text(subject, &text))) {
        put_text_key(out, 's', sm_buf_slice(&text));
    }
    if (sm_ok(sm_digest_compute(SM_SHA256, spki, digest))) {
        sm_buf_put_byte(out, 'k');
        sm_buf_put(out, sm_slice_of(digest, SM_INDEX_HASH));
    }
    for (size_t i = 0; i < san_count; i++) {
        sm_buf_reset(&text);
        if (sm_ok(sm_san_to_text(&sans[i], &text))) {
            put_text_key(out, 'n', sm_buf_slice(&text));
        }
    }
    sm_buf_deinit(&text);
    return sm_buf_err(out);
}

size_t sm_index_prefix(uint8_t out[SM_INDEX_KEY_MAX], char kind, sm_slice value)
{
    out[0] = (uint8_t)kind;
    if (value.len > 0) {
        memcpy(out + 1, value.ptr, value.len);
    }
    return 1 + value.len;
}

size_t sm_index_prefix_time(uint8_t out[SM_INDEX_KEY_MAX], int64_t unix_s)
{
    uint8_t be[8];
    for (size_t i = 0; i < 8; i++) {
        be[i] = (uint8_t)((uint64_t)unix_s >> (8 * (7 - i)));
    }
    return sm_index_prefix(out, 'e', sm_slice_of(be, sizeof(be)));
}

struct emission {
    sm_store_emit emit;
    void *emitter;
    sm_slice serial;
};

static void put(const struct emission *e, enum sm_store_put_kind kind, const uint8_t *prefix,
                size_t len, sm_slice value)
{
    uint8_t key[SM_INDEX_KEY_MAX + SM_SERIAL_LEN];
    memcpy(key, prefix, len);
    memcpy(key + len, e->serial.ptr, e->serial.len);
    e->emit(e->emitter, kind, sm_slice_of(key, len + e->serial.len), value);
}

static void put_keys(const struct emission *e, sm_slice keys, int64_t not_after)
{
    uint8_t prefix[SM_INDEX_KEY_MAX];
    put(e, SM_PUT, prefix, sm_index_prefix_time(prefix, not_after), SM_SLICE_NONE);
    for (; keys.len >= KEY_BYTES; keys = sm_slice_from(keys, KEY_BYTES)) {
        put(e, SM_PUT, keys.ptr, KEY_BYTES, SM_SLICE_NONE);
    }
}

static sm_err keys_of_certificate(sm_slice der, sm_arena *arena, sm_buf *keys, int64_t *not_after)
{
    struct sm_cert cert;
    struct sm_san *sans = NULL;
    size_t count = 0;
    SM_TRY(sm_cert_parse(der, &cert, NULL));
    const struct sm_extension *ext = sm_cert_extension(&cert, SM_OID_SUBJECT_ALT_NAME);
    if (ext != NULL && !sm_ok(sm_sans_parse(ext->value, true, arena, &sans, &count, NULL))) {
        count = 0; /* a certificate that another program issued: found by its other keys */
    }
    *not_after = cert.not_after;
    return sm_index_keys(cert.subject, cert.spki, sans, count, keys);
}

static sm_err index_certificate(const struct emission *e, sm_store *store, sm_arena *arena)
{
    sm_buf bytes = sm_buf_init(SM_CERT_MAX * 2);
    sm_buf keys = sm_buf_init(SM_CERT_MAX);
    int64_t not_after = 0;
    ProtobufCMessage *m = NULL;
    sm_err err = sm_store_get_sync(store, SM_FAMILY_CERT, e->serial, &bytes);
    if (sm_ok(err)) {
        err = sm_message_unpack(&sealmill__record__v1__certificate_record__descriptor,
                                sm_buf_slice(&bytes), arena, &m);
    }
    if (sm_ok(err)) {
        const Sealmill__Record__V1__CertificateRecord *record =
            (const Sealmill__Record__V1__CertificateRecord *)(void *)m;
        err = keys_of_certificate(sm_slice_of(record->certificate.data, record->certificate.len),
                                  arena, &keys, &not_after);
    }
    if (sm_ok(err)) {
        put_keys(e, sm_buf_slice(&keys), not_after);
    }
    sm_buf_deinit(&bytes);
    sm_buf_deinit(&keys);
    return err;
}

sm_err sm_api_index(void *ctx, sm_store *store, uint64_t sequence, sm_slice bytes,
                    sm_store_emit emit, void *emitter)
{
    sm_arena arena;
    ProtobufCMessage *m;
    (void)ctx;
    (void)sequence;
    sm_arena_init(&arena, INDEX_ARENA * 4);
    sm_err err = sm_message_unpack(&sealmill__record__v1__log_record__descriptor, bytes, &arena,
                                   &m);
    if (sm_ok(err)) {
        const Sealmill__Record__V1__LogRecord *log =
            (const Sealmill__Record__V1__LogRecord *)(void *)m;
        struct emission e = {emit, emitter, sm_slice_of(log->serial.data, log->serial.len)};
        uint8_t prefix[SM_INDEX_KEY_MAX];
        uint8_t state = 0;
        switch (log->kind) {
        case SEALMILL__V1__INVENTORY_EVENT__KIND__KIND_ISSUED:
            if (log->index_rules == SM_INDEX_RULES) {
                put_keys(&e, sm_slice_of(log->index_keys.data, log->index_keys.len),
                         log->not_after);
            } else {
                err = index_certificate(&e, store, &arena);
            }
            break;
        case SEALMILL__V1__INVENTORY_EVENT__KIND__KIND_REVOKED:
        case SEALMILL__V1__INVENTORY_EVENT__KIND__KIND_HELD:
            state = (uint8_t)log->kind;
            put(&e, SM_PUT, prefix, sm_index_prefix(prefix, 'r', SM_SLICE_NONE),
                sm_slice_of(&state, 1));
            break;
        case SEALMILL__V1__INVENTORY_EVENT__KIND__KIND_RELEASED:
            put(&e, SM_DELETE, prefix, sm_index_prefix(prefix, 'r', SM_SLICE_NONE), SM_SLICE_NONE);
            break;
        default:
            break;
        }
    }
    sm_arena_deinit(&arena);
    return err;
}
