/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/ocsp_single.h"

#include "base/clock.h"
#include "sign/der.h"
#include "sign/ecdsa_der.h"
#include "sign/oids.h"

#define TIME_LEN 17 /* GeneralizedTime with its header */
#define LAST_S \
    INT64_C(253402300799) /* the last second that it can say; none of ours is before 1970 */

/* Writes forward into memory that was reserved: every length is known before its content. */
struct out {
    uint8_t *at;
};

static void put(struct out *o, sm_slice bytes)
{
    memcpy(o->at, bytes.ptr, bytes.len);
    o->at += bytes.len;
}

static void put_header(struct out *o, uint8_t tag, size_t len)
{
    *o->at++ = tag;
    if (len < 128) {
        *o->at++ = (uint8_t)len;
        return;
    }
    unsigned octets = len < 256 ? 1 : len < 65536 ? 2 : 3;
    *o->at++ = (uint8_t)(0x80U | octets);
    while (octets-- > 0) {
        *o->at++ = (uint8_t)(len >> (8 * octets));
    }
}

static size_t sized(size_t len)
{
    return sm_der_header_size(len) + len;
}

static void put_two(struct out *o, int v)
{
    *o->at++ = (uint8_t)('0' + v / 10);
    *o->at++ = (uint8_t)('0' + v % 10);
}

#define DAY_S 86400
#define DATE_LEN 8

/* The dates of two days, as text: nearly all times of answers are of today or tomorrow, and finding the date is what a
 * time costs. */
struct date {
    int64_t day; /* + 1, since 1970; 0: none */
    uint8_t text[DATE_LEN];
};
static _Thread_local struct date dates[2];

static const struct date *date_of(int64_t day)
{
    struct date *d = &dates[day & 1];
    if (d->day != day + 1) {
        struct sm_civil c;
        struct out o = {d->text};
        sm_civil_from_unix(day * DAY_S, &c);
        put_two(&o, c.year / 100);
        put_two(&o, c.year % 100);
        put_two(&o, c.month);
        put_two(&o, c.day);
        d->day = day + 1;
    }
    return d;
}

static void put_time(struct out *o, int64_t unix_s)
{
    int64_t s = unix_s < 0 ? 0 : unix_s > LAST_S ? LAST_S : unix_s;
    int in_day = (int)(s % DAY_S);
    put_header(o, SM_DER_GENERALIZED_TIME, TIME_LEN - 2);
    put(o, sm_slice_of(date_of(s / DAY_S)->text, DATE_LEN));
    put_two(o, in_day / 3600);
    put_two(o, in_day / 60 % 60);
    put_two(o, in_day % 60);
    *o->at++ = 'Z';
}

/* ---- the issuer's part ---- */

static size_t fill_cert_id(uint8_t *out, sm_slice oid, sm_slice name_hash, sm_slice key_hash)
{
    struct out o = {out};
    put_header(&o, SM_DER_SEQUENCE, 2 + oid.len + 2); /* parameters NULL, as most clients have it */
    put_header(&o, SM_DER_OID, oid.len);
    put(&o, oid);
    put_header(&o, SM_DER_NULL, 0);
    put_header(&o, SM_DER_OCTET_STRING, name_hash.len);
    put(&o, name_hash);
    put_header(&o, SM_DER_OCTET_STRING, key_hash.len);
    put(&o, key_hash);
    return (size_t)(o.at - out);
}

void sm_ocsp_issuer_init(struct sm_ocsp_issuer *out, uint32_t ca_id, uint32_t generation,
                         const uint8_t name_sha1[20], const uint8_t key_sha1[20],
                         const uint8_t name_sha256[32], const uint8_t key_sha256[32])
{
    out->ca_id = ca_id;
    out->generation = generation;
    out->cert_id_len[SM_OCSP_SHA1] = fill_cert_id(out->cert_id[SM_OCSP_SHA1], SM_OID_SHA1,
                                                  sm_slice_of(name_sha1, 20),
                                                  sm_slice_of(key_sha1, 20));
    out->cert_id_len[SM_OCSP_SHA256] = fill_cert_id(out->cert_id[SM_OCSP_SHA256], SM_OID_SHA256,
                                                    sm_slice_of(name_sha256, 32),
                                                    sm_slice_of(key_sha256, 32));
}

sm_err sm_ocsp_cert_id_write(const struct sm_ocsp_issuer *issuer, enum sm_ocsp_hash hash,
                             sm_slice serial, sm_buf *out)
{
    if (hash >= SM_OCSP_HASHES) {
        return SM_ERR(INVALID);
    }
    sm_der_block block = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_buf_put(out, sm_slice_of(issuer->cert_id[hash], issuer->cert_id_len[hash]));
    sm_der_write_unsigned(out, serial);
    sm_der_end(out, block);
    return sm_buf_err(out);
}

/* ---- lengths, from the inside out ---- */

struct lengths {
    size_t serial;  /* content of the INTEGER */
    size_t cert_id; /* contents of the constructions */
    size_t status;
    size_t single;
    size_t data;
};

static bool has_reason(const struct sm_ocsp_said *said)
{
    return said->reason > 0; /* unspecified is left out (RFC 5280 5.3.1) */
}

static sm_err measure(const struct sm_ocsp_issuer *issuer, enum sm_ocsp_hash hash, sm_slice serial,
                      const struct sm_ocsp_signer *signer, const struct sm_ocsp_said *said,
                      struct lengths *out)
{
    if (hash >= SM_OCSP_HASHES || serial.len == 0 || serial.len > SM_OCSP_SERIAL_MAX) {
        return SM_ERR(INVALID);
    }
    out->serial = serial.len + (serial.ptr[0] >> 7);
    out->cert_id = issuer->cert_id_len[hash] + 2 + out->serial;
    out->status = said->status != SM_OCSP_REVOKED ? 0 : TIME_LEN + (has_reason(said) ? 5 : 0);
    out->single = sized(out->cert_id) + 2 + out->status + TIME_LEN + 2 + TIME_LEN;
    out->data = signer->responder.len + TIME_LEN + sized(sized(out->single));
    return SM_NO_ERR;
}

/* ---- ResponseData ---- */

static void put_status(struct out *o, const struct sm_ocsp_said *said, size_t len)
{
    if (said->status != SM_OCSP_REVOKED) {
        put_header(o, said->status == SM_OCSP_GOOD ? SM_DER_CTX(0) : SM_DER_CTX(2), 0);
        return;
    }
    put_header(o, SM_DER_CTX_CONS(1), len);
    put_time(o, said->revoked_at);
    if (has_reason(said)) {
        put_header(o, SM_DER_CTX_CONS(0), 3);
        put_header(o, SM_DER_ENUMERATED, 1);
        *o->at++ = (uint8_t)said->reason;
    }
}

static void put_data(struct out *o, const struct lengths *l, const struct sm_ocsp_issuer *issuer,
                     enum sm_ocsp_hash hash, sm_slice serial, const struct sm_ocsp_signer *signer,
                     const struct sm_ocsp_said *said)
{
    put_header(o, SM_DER_SEQUENCE, l->data);
    put(o, signer->responder);
    put_time(o, said->produced_at);
    put_header(o, SM_DER_SEQUENCE, sized(l->single));
    put_header(o, SM_DER_SEQUENCE, l->single);
    put_header(o, SM_DER_SEQUENCE, l->cert_id);
    put(o, sm_slice_of(issuer->cert_id[hash], issuer->cert_id_len[hash]));
    put_header(o, SM_DER_INTEGER, l->serial);
    if (l->serial > serial.len) {
        *o->at++ = 0;
    }
    put(o, serial);
    put_status(o, said, l->status);
    put_time(o, said->this_update);
    put_header(o, SM_DER_CTX_CONS(0), TIME_LEN);
    put_time(o, said->next_update);
}

sm_err sm_ocsp_single_data(const struct sm_ocsp_issuer *issuer, enum sm_ocsp_hash hash,
                           sm_slice serial, const struct sm_ocsp_signer *signer,
                           const struct sm_ocsp_said *said, sm_buf *out)
{
    struct lengths l;
    SM_TRY(measure(issuer, hash, serial, signer, said, &l));
    struct out o = {sm_buf_reserve(out, sized(l.data))};
    if (o.at == NULL) {
        return sm_buf_err(out);
    }
    put_data(&o, &l, issuer, hash, serial, signer, said);
    sm_buf_commit(out, sized(l.data));
    return SM_NO_ERR;
}

/* ---- signatures ---- */

/* Octets of each of an ECDSA signature's numbers; 0: the key is no such. */
static size_t coordinate(enum sm_key_type type)
{
    switch (type) {
    case SM_KEY_P256:
        return 32;
    case SM_KEY_P384:
        return 48;
    case SM_KEY_P521:
        return 66;
    default:
        return 0;
    }
}

size_t sm_ocsp_signature_room(const struct sm_ocsp_signer *signer)
{
    size_t n = coordinate(signer->type);
    return n > 0 ? 2 * n : sm_sig_size_max(signer->alg, signer->type);
}

size_t sm_ocsp_signature_keep(const struct sm_ocsp_signer *signer, sm_slice signature,
                              uint8_t out[SM_OCSP_SIGNATURE_MAX])
{
    size_t n = coordinate(signer->type);
    sm_slice r;
    sm_slice s;
    if (n == 0) {
        if (signature.len > SM_OCSP_SIGNATURE_MAX) {
            return 0;
        }
        memcpy(out, signature.ptr, signature.len);
        return signature.len;
    }
    if (!sm_ok(sm_ecdsa_split(signature, &r, &s)) || r.len > n || s.len > n) {
        return 0;
    }
    memset(out, 0, 2 * n);
    memcpy(out + n - r.len, r.ptr, r.len);
    memcpy(out + 2 * n - s.len, s.ptr, s.len);
    return 2 * n;
}

/* The signature as it goes into a BIT STRING. */
static sm_err unkeep(const struct sm_ocsp_signer *signer, const struct sm_ocsp_kept *kept,
                     uint8_t room[2 * 66 + 9], sm_slice *out)
{
    size_t n = coordinate(signer->type);
    const uint8_t *r = kept->signature.ptr;
    if (kept->signature.len == 0 || (n > 0 && kept->signature.len != 2 * n)) {
        return SM_ERR(CORRUPT);
    }
    *out = n == 0 ? kept->signature : sm_slice_of(room, sm_ecdsa_join(r, r + n, n, room));
    return SM_NO_ERR;
}

/* ---- the whole ---- */

sm_err sm_ocsp_single_response(const struct sm_ocsp_issuer *issuer, enum sm_ocsp_hash hash,
                               sm_slice serial, const struct sm_ocsp_signer *signer,
                               const struct sm_ocsp_kept *kept, sm_buf *out)
{
    struct lengths l;
    uint8_t room[2 * 66 + 9];
    sm_slice signature;
    sm_slice alg = sm_sig_alg_identifier(signer->alg);
    SM_TRY(measure(issuer, hash, serial, signer, &kept->said, &l));
    SM_TRY(unkeep(signer, kept, room, &signature));
    size_t cert = signer->certificate.len;
    size_t basic = sized(l.data) + alg.len + sized(1 + signature.len) +
                   (cert > 0 ? sized(sized(cert)) : 0);
    size_t bytes = 2 + SM_OID_OCSP_BASIC.len + sized(sized(basic));
    size_t whole = 3 + sized(sized(bytes));
    struct out o = {sm_buf_reserve(out, sized(whole))};
    if (o.at == NULL) {
        return sm_buf_err(out);
    }
    put_header(&o, SM_DER_SEQUENCE, whole);
    put(&o, SM_LIT("\x0a\x01\x00")); /* responseStatus: successful */
    put_header(&o, SM_DER_CTX_CONS(0), sized(bytes));
    put_header(&o, SM_DER_SEQUENCE, bytes);
    put_header(&o, SM_DER_OID, SM_OID_OCSP_BASIC.len);
    put(&o, SM_OID_OCSP_BASIC);
    put_header(&o, SM_DER_OCTET_STRING, sized(basic));
    put_header(&o, SM_DER_SEQUENCE, basic);
    put_data(&o, &l, issuer, hash, serial, signer, &kept->said);
    put(&o, alg);
    put_header(&o, SM_DER_BIT_STRING, 1 + signature.len);
    *o.at++ = 0;
    put(&o, signature);
    if (cert > 0) {
        put_header(&o, SM_DER_CTX_CONS(0), sized(cert));
        put_header(&o, SM_DER_SEQUENCE, cert);
        put(&o, signer->certificate);
    }
    sm_buf_commit(out, sized(whole));
    return SM_NO_ERR;
}
