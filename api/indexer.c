/* SPDX-License-Identifier: Apache-2.0 */
#include "api/indexer.h"

#include "gen/sealmill/v1/certificate.pb-c.h"
#include "gen/sealmill/v1/record.pb-c.h"
#include "proto/message.h"
#include "sign/cert.h"
#include "sign/oids.h"

#define INDEX_ARENA (1U << 20)

void sm_index_hash(sm_slice value, uint8_t out[SM_INDEX_HASH])
{
    uint8_t digest[SM_DIGEST_MAX] = {0};
    (void)sm_ok(sm_digest_compute(SM_SHA256, value, digest));
    memcpy(out, digest, SM_INDEX_HASH);
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

static void put_hash(const struct emission *e, char kind, sm_slice value)
{
    uint8_t prefix[SM_INDEX_KEY_MAX];
    uint8_t hash[SM_INDEX_HASH];
    sm_index_hash(value, hash);
    put(e, SM_PUT, prefix, sm_index_prefix(prefix, kind, sm_slice_of(hash, sizeof(hash))),
        SM_SLICE_NONE);
}

static void put_sans(const struct emission *e, const struct sm_cert *cert, sm_arena *arena)
{
    const struct sm_extension *ext = sm_cert_extension(cert, SM_OID_SUBJECT_ALT_NAME);
    struct sm_san *sans;
    size_t count = 0;
    if (ext == NULL || !sm_ok(sm_sans_parse(ext->value, true, arena, &sans, &count, NULL))) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        sm_buf text = sm_buf_init(65536);
        if (sm_ok(sm_san_to_text(&sans[i], &text))) {
            put_hash(e, 'n', sm_buf_slice(&text));
        }
        sm_buf_deinit(&text);
    }
}

static sm_err index_certificate(const struct emission *e, sm_store *store, sm_arena *arena)
{
    sm_buf bytes = sm_buf_init(SM_CERT_MAX * 2);
    ProtobufCMessage *m = NULL;
    struct sm_cert cert;
    sm_err err = sm_store_get_sync(store, SM_FAMILY_CERT, e->serial, &bytes);
    if (sm_ok(err)) {
        err = sm_message_unpack(&sealmill__record__v1__certificate_record__descriptor,
                                sm_buf_slice(&bytes), arena, &m);
    }
    const Sealmill__Record__V1__CertificateRecord *record =
        (const Sealmill__Record__V1__CertificateRecord *)(void *)m;
    if (sm_ok(err)) {
        err = sm_cert_parse(sm_slice_of(record->certificate.data, record->certificate.len), &cert,
                            NULL);
    }
    if (sm_ok(err)) {
        uint8_t prefix[SM_INDEX_KEY_MAX];
        put(e, SM_PUT, prefix, sm_index_prefix(prefix, 'a', SM_SLICE_NONE), SM_SLICE_NONE);
        put(e, SM_PUT, prefix, sm_index_prefix_time(prefix, cert.not_after), SM_SLICE_NONE);
        put_hash(e, 's', cert.subject);
        put_hash(e, 'k', cert.spki);
        put_sans(e, &cert, arena);
    }
    sm_buf_deinit(&bytes);
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
            err = index_certificate(&e, store, &arena);
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
