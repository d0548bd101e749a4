/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/ocsp_foreign.h"

#include "gen/sealmill/v1/record.pb-c.h"

#define ROW_VERSION 1

/* ---- keys ---- */

static void put_u32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

static size_t key_of(uint8_t kind, uint32_t ca_id, uint32_t generation, uint8_t *out)
{
    out[0] = kind;
    put_u32(out + 1, ca_id);
    put_u32(out + 5, generation);
    return SM_OCSP_FOREIGN_PREFIX;
}

static bool is_good(sm_slice serial)
{
    return serial.len > 0 && serial.len <= SM_OCSP_SERIAL_MAX;
}

size_t sm_ocsp_imported_key(uint32_t ca_id, uint32_t generation, sm_slice serial,
                            uint8_t out[SM_OCSP_FOREIGN_KEY_MAX])
{
    if (!is_good(serial)) {
        return 0;
    }
    size_t at = key_of('i', ca_id, generation, out);
    memcpy(out + at, serial.ptr, serial.len);
    return at + serial.len;
}

void sm_ocsp_imported_range(uint32_t ca_id, uint32_t generation,
                            uint8_t from[SM_OCSP_FOREIGN_PREFIX],
                            uint8_t to[SM_OCSP_FOREIGN_PREFIX])
{
    (void)key_of('i', ca_id, generation, from);
    (void)key_of('i', ca_id, generation + 1, to);
}

size_t sm_ocsp_imported_crl_key(uint32_t ca_id, uint32_t generation, uint64_t scope,
                                uint8_t out[SM_OCSP_FOREIGN_KEY_MAX])
{
    size_t at = key_of('j', ca_id, generation, out);
    put_u32(out + at, (uint32_t)(scope >> 32));
    put_u32(out + at + 4, (uint32_t)scope);
    return at + 8;
}

size_t sm_ocsp_loaded_key(const struct sm_ocsp_key *key, uint8_t out[SM_OCSP_FOREIGN_KEY_MAX])
{
    if (!is_good(key->serial)) {
        return 0;
    }
    size_t at = key_of('w', key->ca_id, key->generation, out);
    out[at++] = (uint8_t)key->hash;
    memcpy(out + at, key->serial.ptr, key->serial.len);
    return at + key->serial.len;
}

/* ---- rows ---- */

static sm_err pack(const ProtobufCMessage *m, sm_arena *arena, sm_slice *out)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *to = sm_arena_alloc(arena, len + 1);
    if (to == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    *out = sm_slice_of(to, protobuf_c_message_pack(m, to));
    return SM_NO_ERR;
}

static ProtobufCBinaryData binary(sm_slice s)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } ptr = {s.ptr};
    return (ProtobufCBinaryData){s.len, ptr.out};
}

sm_err sm_ocsp_imported_pack(const struct sm_ocsp_imported *in, sm_arena *arena, sm_slice *out)
{
    Sealmill__Record__V1__ImportedRecord m;
    sealmill__record__v1__imported_record__init(&m);
    m.version = ROW_VERSION;
    m.state = (uint32_t)in->state;
    m.reason = (uint32_t)(in->reason + 1);
    m.revoked_at = in->revoked_at;
    m.not_after = in->not_after;
    m.crl = in->crl;
    return pack(&m.base, arena, out);
}

sm_err sm_ocsp_imported_unpack(sm_slice row, struct sm_ocsp_imported *out)
{
    Sealmill__Record__V1__ImportedRecord *m = sealmill__record__v1__imported_record__unpack(
        NULL, row.len, row.ptr);
    bool good = m != NULL && m->version == ROW_VERSION && m->state >= SM_OCSP_IMPORTED_VALID &&
                m->state <= SM_OCSP_IMPORTED_ON_HOLD && m->reason <= 11;
    if (good) {
        *out = (struct sm_ocsp_imported){(enum sm_ocsp_imported_state)m->state, (int)m->reason - 1,
                                         m->revoked_at, m->not_after, m->crl};
    }
    sealmill__record__v1__imported_record__free_unpacked(m, NULL);
    return good ? SM_NO_ERR : SM_ERR(CORRUPT);
}

sm_err sm_ocsp_imported_crl_pack(const struct sm_ocsp_imported_crl *in, sm_arena *arena,
                                 sm_slice *out)
{
    Sealmill__Record__V1__ImportedCrlRecord m;
    sealmill__record__v1__imported_crl_record__init(&m);
    m.version = ROW_VERSION;
    m.number = binary(sm_slice_of(in->number, in->number_len));
    m.this_update = in->this_update;
    m.crl = in->crl;
    return pack(&m.base, arena, out);
}

sm_err sm_ocsp_imported_crl_unpack(sm_slice row, struct sm_ocsp_imported_crl *out)
{
    Sealmill__Record__V1__ImportedCrlRecord *m = sealmill__record__v1__imported_crl_record__unpack(
        NULL, row.len, row.ptr);
    bool good = m != NULL && m->version == ROW_VERSION && m->number.len <= sizeof(out->number);
    if (good) {
        out->number_len = m->number.len;
        if (m->number.len > 0) {
            memcpy(out->number, m->number.data, m->number.len);
        }
        out->this_update = m->this_update;
        out->crl = m->crl;
    }
    sealmill__record__v1__imported_crl_record__free_unpacked(m, NULL);
    return good ? SM_NO_ERR : SM_ERR(CORRUPT);
}

sm_err sm_ocsp_loaded_pack(const struct sm_ocsp_loaded *in, sm_arena *arena, sm_slice *out)
{
    Sealmill__Record__V1__LoadedRecord m;
    sealmill__record__v1__loaded_record__init(&m);
    m.version = ROW_VERSION;
    m.response = binary(in->response);
    m.status = (uint32_t)in->said.status;
    m.reason = (uint32_t)(in->said.reason + 1);
    m.revoked_at = in->said.revoked_at;
    m.produced_at = in->said.produced_at;
    m.this_update = in->said.this_update;
    m.next_update = in->said.next_update;
    return pack(&m.base, arena, out);
}

sm_err sm_ocsp_loaded_unpack(sm_slice row, sm_arena *arena, struct sm_ocsp_loaded *out)
{
    Sealmill__Record__V1__LoadedRecord *m = sealmill__record__v1__loaded_record__unpack(
        NULL, row.len, row.ptr);
    bool good = m != NULL && m->version == ROW_VERSION && m->status <= SM_OCSP_UNKNOWN &&
                m->reason <= 11;
    sm_err err = good ? SM_NO_ERR : SM_ERR(CORRUPT);
    if (good) {
        out->said = (struct sm_ocsp_said){.status = (enum sm_ocsp_status)m->status,
                                          .reason = (int)m->reason - 1,
                                          .revoked_at = m->revoked_at,
                                          .produced_at = m->produced_at,
                                          .this_update = m->this_update,
                                          .next_update = m->next_update};
        err = sm_arena_copy(arena, sm_slice_of(m->response.data, m->response.len), &out->response);
    }
    sealmill__record__v1__loaded_record__free_unpacked(m, NULL);
    return err;
}
