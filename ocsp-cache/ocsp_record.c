/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/ocsp_record.h"

#define ROW_VERSION 1

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

/* ---- the row: an OcspRecord, written and read by hand, since both are done for millions ---- */

/* Fields of OcspRecord. */
enum field {
    F_VERSION = 1,
    F_LAYOUT,
    F_SIGNER,
    F_STATUS,
    F_REASON,
    F_REVOKED_AT,
    F_PRODUCED_AT,
    F_NEXT_UPDATE,
    F_BACKDATE,
    F_SIGNATURE,
    F_NOT_AFTER,
    F_COUNT,
};
/* Protobuf's wire types. */
#define WIRE_VARINT 0U
#define WIRE_64 1U
#define WIRE_BYTES 2U
#define WIRE_32 5U
#define VARINT_MAX 10
#define FIELDS_MAX (F_COUNT * (1 + VARINT_MAX)) /* all but the signature's octets */

static uint8_t *put_varint(uint8_t *at, uint64_t v)
{
    for (; v >= 128; v >>= 7) {
        *at++ = (uint8_t)(v | 128);
    }
    *at++ = (uint8_t)v;
    return at;
}

/* As proto3 has it, zeros are left out. */
static uint8_t *put_number(uint8_t *at, enum field field, uint64_t v)
{
    if (v == 0) {
        return at;
    }
    *at++ = (uint8_t)((unsigned)field << 3 | WIRE_VARINT);
    return put_varint(at, v);
}

static uint8_t *put_signer(uint8_t *at, uint32_t signer)
{
    if (signer == 0) {
        return at;
    }
    *at++ = (uint8_t)(F_SIGNER << 3 | WIRE_32);
    for (int i = 0; i < 4; i++) {
        *at++ = (uint8_t)(signer >> (8 * i));
    }
    return at;
}

sm_err sm_ocsp_row_pack(const struct sm_ocsp_kept *kept, int64_t not_after, sm_arena *arena,
                        sm_slice *out)
{
    const struct sm_ocsp_said *said = &kept->said;
    if (kept->signature.len > SM_OCSP_SIGNATURE_MAX) {
        return SM_ERR(TOO_LARGE);
    }
    uint8_t room[FIELDS_MAX];
    uint8_t *at = put_number(room, F_VERSION, ROW_VERSION);
    at = put_number(at, F_LAYOUT, SM_OCSP_LAYOUT);
    at = put_signer(at, kept->signer);
    at = put_number(at, F_STATUS, (uint64_t)said->status);
    at = put_number(at, F_REASON, (uint64_t)(said->reason + 1));
    at = put_number(at, F_REVOKED_AT, (uint64_t)said->revoked_at);
    at = put_number(at, F_PRODUCED_AT, (uint64_t)said->produced_at);
    at = put_number(at, F_NEXT_UPDATE, (uint64_t)said->next_update);
    at = put_number(at, F_BACKDATE, (uint32_t)(said->produced_at - said->this_update));
    at = put_number(at, F_NOT_AFTER, (uint64_t)not_after);
    *at++ = (uint8_t)(F_SIGNATURE << 3 | WIRE_BYTES);
    at = put_varint(at, kept->signature.len);
    size_t fields = (size_t)(at - room);
    uint8_t *octets = sm_arena_alloc(arena, fields + kept->signature.len);
    if (octets == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    memcpy(octets, room, fields);
    memcpy(octets + fields, kept->signature.ptr, kept->signature.len);
    *out = sm_slice_of(octets, fields + kept->signature.len);
    return SM_NO_ERR;
}

/* ---- reading ---- */

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static uint64_t get_varint(struct cursor *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0; c->at < c->end && shift < 7 * VARINT_MAX; shift += 7) {
        uint8_t octet = *c->at++;
        v |= (uint64_t)(octet & 127U) << shift;
        if (octet < 128) {
            return v;
        }
    }
    c->bad = true;
    return 0;
}

static sm_slice get_octets(struct cursor *c, uint64_t len)
{
    if (c->bad || len > (uint64_t)(c->end - c->at)) {
        c->bad = true;
        return SM_SLICE_NONE;
    }
    sm_slice s = sm_slice_of(c->at, (size_t)len);
    c->at += len;
    return s;
}

static uint64_t get_little(sm_slice s)
{
    uint64_t v = 0;
    for (size_t i = s.len; i-- > 0;) {
        v = v << 8 | s.ptr[i];
    }
    return v;
}

/* Fields that we do not know are passed over; the last one of a number counts. */
static bool get_fields(sm_slice row, uint64_t numbers[F_COUNT], sm_slice *signature)
{
    struct cursor c = {row.ptr, row.ptr + row.len, false};
    while (c.at < c.end && !c.bad) {
        uint64_t tag = get_varint(&c);
        uint64_t field = tag >> 3;
        uint64_t number = 0;
        sm_slice octets = SM_SLICE_NONE;
        switch (tag & 7) {
        case WIRE_VARINT:
            number = get_varint(&c);
            break;
        case WIRE_64:
            number = get_little(get_octets(&c, 8));
            break;
        case WIRE_BYTES:
            octets = get_octets(&c, get_varint(&c));
            break;
        case WIRE_32:
            number = get_little(get_octets(&c, 4));
            break;
        default:
            c.bad = true;
        }
        if (field == F_SIGNATURE) {
            *signature = octets;
        } else if (field > 0 && field < F_COUNT) {
            numbers[field] = number;
        }
    }
    return !c.bad;
}

sm_err sm_ocsp_row_unpack(sm_slice row, struct sm_ocsp_row *out)
{
    uint64_t f[F_COUNT] = {0};
    sm_slice signature = SM_SLICE_NONE;
    if (!get_fields(row, f, &signature)) {
        return SM_ERR(CORRUPT);
    }
    out->not_after = (int64_t)f[F_NOT_AFTER];
    if (f[F_VERSION] != ROW_VERSION || f[F_LAYOUT] != SM_OCSP_LAYOUT ||
        f[F_STATUS] > SM_OCSP_UNKNOWN || f[F_REASON] > 11 || signature.len == 0 ||
        signature.len > SM_OCSP_SIGNATURE_MAX) {
        return SM_ERR(CORRUPT);
    }
    out->kept.said = (struct sm_ocsp_said){
        .status = (enum sm_ocsp_status)f[F_STATUS],
        .reason = (int)f[F_REASON] - 1,
        .revoked_at = (int64_t)f[F_REVOKED_AT],
        .produced_at = (int64_t)f[F_PRODUCED_AT],
        .this_update = (int64_t)(f[F_PRODUCED_AT] - (uint32_t)f[F_BACKDATE]),
        .next_update = (int64_t)f[F_NEXT_UPDATE],
    };
    out->kept.signer = (uint32_t)f[F_SIGNER];
    memcpy(out->signature, signature.ptr, signature.len);
    out->kept.signature = sm_slice_of(out->signature, signature.len);
    return SM_NO_ERR;
}
