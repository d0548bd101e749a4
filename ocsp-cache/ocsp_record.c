/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/ocsp_record.h"

#include "gen/sealmill/v1/record.pb-c.h"

#define ROW_VERSION 1
#define UNPACK_ROOM \
    8192 /* a message with a signature of the longest kind: more comes from the heap */

static void put_u32(uint8_t *out, uint32_t v)
{
    out[0] = (uint8_t)(v >> 24);
    out[1] = (uint8_t)(v >> 16);
    out[2] = (uint8_t)(v >> 8);
    out[3] = (uint8_t)v;
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

size_t sm_ocsp_row_key(const struct sm_ocsp_key *key, uint8_t out[SM_OCSP_ROW_KEY_MAX])
{
    if (key->serial.len == 0 || key->serial.len > SM_OCSP_SERIAL_MAX) {
        return 0;
    }
    out[0] = 'o';
    put_u32(out + 1, key->ca_id);
    put_u32(out + 5, key->generation);
    out[SM_OCSP_ROW_PREFIX] = (uint8_t)key->hash;
    memcpy(out + SM_OCSP_ROW_PREFIX + 1, key->serial.ptr, key->serial.len);
    return SM_OCSP_ROW_PREFIX + 1 + key->serial.len;
}

bool sm_ocsp_row_key_parse(sm_slice row_key, struct sm_ocsp_key *out)
{
    if (row_key.len <= SM_OCSP_ROW_PREFIX + 1 || row_key.len > SM_OCSP_ROW_KEY_MAX ||
        row_key.ptr[0] != 'o' || row_key.ptr[SM_OCSP_ROW_PREFIX] >= SM_OCSP_HASHES) {
        return false;
    }
    *out = (struct sm_ocsp_key){get_u32(row_key.ptr + 1), get_u32(row_key.ptr + 5),
                                (enum sm_ocsp_hash)row_key.ptr[SM_OCSP_ROW_PREFIX],
                                sm_slice_from(row_key, SM_OCSP_ROW_PREFIX + 1)};
    return true;
}

sm_err sm_ocsp_row_pack(const struct sm_ocsp_kept *kept, int64_t not_after, sm_arena *arena,
                        sm_slice *out)
{
    Sealmill__Record__V1__OcspRecord r;
    uint8_t signature[SM_OCSP_SIGNATURE_MAX];
    sealmill__record__v1__ocsp_record__init(&r);
    r.version = ROW_VERSION;
    r.layout = SM_OCSP_LAYOUT;
    r.signer = kept->signer;
    r.status = (uint32_t)kept->said.status;
    r.reason = (uint32_t)(kept->said.reason + 1);
    r.revoked_at = kept->said.revoked_at;
    r.produced_at = kept->said.produced_at;
    r.next_update = kept->said.next_update;
    r.backdate = (uint32_t)(kept->said.produced_at - kept->said.this_update);
    r.not_after = not_after;
    if (kept->signature.len > sizeof(signature)) {
        return SM_ERR(TOO_LARGE);
    }
    memcpy(signature, kept->signature.ptr, kept->signature.len); /* protobuf-c's are not const */
    r.signature.data = signature;
    r.signature.len = kept->signature.len;
    size_t size = sealmill__record__v1__ocsp_record__get_packed_size(&r);
    uint8_t *octets = sm_arena_alloc(arena, size);
    if (octets == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    *out = sm_slice_of(octets, sealmill__record__v1__ocsp_record__pack(&r, octets));
    return SM_NO_ERR;
}

/* protobuf-c's memory out of an array: a row is read on the way to an answer. */
struct room {
    size_t used;
    _Alignas(16) uint8_t octets[UNPACK_ROOM];
};

static void *room_alloc(void *ctx, size_t size)
{
    struct room *room = ctx;
    size_t at = (room->used + 15) / 16 * 16;
    if (at > UNPACK_ROOM || size > UNPACK_ROOM - at) {
        return NULL;
    }
    room->used = at + size;
    return room->octets + at;
}

static void room_free(void *ctx, void *ptr)
{
    (void)ctx;
    (void)ptr;
}

static sm_err read_fields(const Sealmill__Record__V1__OcspRecord *r, struct sm_ocsp_row *out)
{
    if (r->version != ROW_VERSION || r->layout != SM_OCSP_LAYOUT || r->status > SM_OCSP_UNKNOWN ||
        r->reason > 11 || r->signature.len == 0 || r->signature.len > SM_OCSP_SIGNATURE_MAX) {
        return SM_ERR(CORRUPT);
    }
    out->kept.said = (struct sm_ocsp_said){
        .status = (enum sm_ocsp_status)r->status,
        .reason = (int)r->reason - 1,
        .revoked_at = r->revoked_at,
        .produced_at = r->produced_at,
        .this_update = r->produced_at - (int64_t)r->backdate,
        .next_update = r->next_update,
    };
    out->kept.signer = r->signer;
    memcpy(out->signature, r->signature.data, r->signature.len);
    out->kept.signature = sm_slice_of(out->signature, r->signature.len);
    return SM_NO_ERR;
}

sm_err sm_ocsp_row_unpack(sm_slice row, struct sm_ocsp_row *out)
{
    struct room room;
    room.used = 0;
    ProtobufCAllocator allocator = {room_alloc, room_free, &room};
    Sealmill__Record__V1__OcspRecord *r = sealmill__record__v1__ocsp_record__unpack(
        &allocator, row.len, row.ptr);
    if (r == NULL) {
        return SM_ERR(CORRUPT);
    }
    out->not_after = r->not_after;
    return read_fields(r, out);
}
