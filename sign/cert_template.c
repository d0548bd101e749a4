/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/cert.h"

#include "base/mem.h"
#include "sign/der.h"
#include "sign/oids.h"

/* What is the same in every certificate of a CA and profile, encoded once. The TBSCertificate (RFC
 * 5280 4.1) is then version . serial . `middle` (signature, issuer) . validity . subject . SPKI .
 * extensions { SKI . SAN . `fixed` . own }. */
struct sm_cert_template {
    enum sm_sig_alg sig_alg;
    bool subject_key_id;
    sm_buf middle;
    sm_buf fixed;
    sm_slice oids[SM_CERT_EXTENSIONS_MAX]; /* of all extensions that the template brings; they point
                                              into `fixed` or are ours */
    size_t oid_count;
    sm_slice slot; /* in `fixed`, at the first of these */
    size_t slots[SM_CERT_SLOTS_MAX];
    size_t slot_count;
};

#define TEMPLATE_MAX 262144 /* octets; a quarter of the largest certificate */
#define EMPTY_NAME_LEN 2    /* 30 00 */

static void write_extension(sm_buf *out, const struct sm_extension *ext)
{
    sm_der_block block = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, ext->oid);
    if (ext->critical) {
        sm_der_write_bool(out, true);
    }
    sm_der_write(out, SM_DER_OCTET_STRING, ext->value);
    sm_der_end(out, block);
}

/* AuthorityKeyIdentifier ::= SEQUENCE { [0] IMPLICIT OCTET STRING } (RFC 5280 4.2.1.1). */
static void write_authority_key_id(sm_buf *out, sm_slice id)
{
    sm_der_block ext = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, SM_OID_AUTHORITY_KEY_ID);
    sm_der_block octets = sm_der_begin(out, SM_DER_OCTET_STRING);
    sm_der_block aki = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write(out, SM_DER_CTX(0), id);
    sm_der_end(out, aki);
    sm_der_end(out, octets);
    sm_der_end(out, ext);
}

static bool is_among(const sm_slice *oids, size_t count, sm_slice oid)
{
    for (size_t i = 0; i < count; i++) {
        if (sm_slice_equal(oids[i], oid)) {
            return true;
        }
    }
    return false;
}

/* Notes an extension's type; a certificate has each at most once (RFC 5280 4.2). */
static sm_err add_oid(sm_cert_template *t, sm_slice oid)
{
    if (is_among(t->oids, t->oid_count, oid)) {
        return SM_ERR(INVALID);
    }
    if (t->oid_count == SM_CERT_EXTENSIONS_MAX) {
        return SM_ERR(TOO_LARGE);
    }
    t->oids[t->oid_count++] = oid;
    return SM_NO_ERR;
}

/* The types of what `fixed` holds, once it will not move any more. */
static sm_err note_fixed(sm_cert_template *t)
{
    sm_der d = sm_der_init(sm_buf_slice(&t->fixed));
    while (!sm_der_at_end(&d)) {
        sm_der ext = sm_der_enter(&d, SM_DER_SEQUENCE);
        sm_slice oid = sm_der_read_oid(&ext);
        SM_TRY(sm_der_err(&ext));
        SM_TRY(add_oid(t, oid));
    }
    return sm_der_err(&d);
}

static sm_err note_slots(sm_cert_template *t, sm_slice slot)
{
    sm_slice all = sm_buf_slice(&t->fixed);
    for (size_t at = 0; slot.len > 0 && at + slot.len <= all.len; at++) {
        if (memcmp(all.ptr + at, slot.ptr, slot.len) != 0) {
            continue;
        }
        if (t->slot_count == SM_CERT_SLOTS_MAX) {
            return SM_ERR(TOO_LARGE);
        }
        t->slots[t->slot_count++] = at;
    }
    t->slot = t->slot_count == 0 ? SM_SLICE_NONE : sm_slice_of(all.ptr + t->slots[0], slot.len);
    return SM_NO_ERR;
}

static sm_err fill(sm_cert_template *t, const struct sm_cert_template_config *config)
{
    sm_slice identifier = sm_sig_alg_identifier(config->sig_alg);
    sm_buf_put(&t->middle, identifier);
    sm_buf_put(&t->middle, config->issuer);
    SM_TRY(sm_buf_err(&t->middle));
    if (config->authority_key_id.len > 0) {
        write_authority_key_id(&t->fixed, config->authority_key_id);
    }
    for (size_t i = 0; i < config->extension_count; i++) {
        write_extension(&t->fixed, &config->extensions[i]);
    }
    SM_TRY(sm_buf_err(&t->fixed));
    if (config->subject_key_id) {
        SM_TRY(add_oid(t, SM_OID_SUBJECT_KEY_ID));
    }
    SM_TRY(note_fixed(t));
    return note_slots(t, config->slot);
}

sm_err sm_cert_template_new(const struct sm_cert_template_config *config, sm_cert_template **out)
{
    sm_cert_template *t = sm_calloc(1, sizeof(*t));
    if (t == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    t->sig_alg = config->sig_alg;
    t->subject_key_id = config->subject_key_id;
    t->middle = sm_buf_init(TEMPLATE_MAX);
    t->fixed = sm_buf_init(TEMPLATE_MAX);
    sm_err err = fill(t, config);
    if (!sm_ok(err)) {
        sm_cert_template_free(&t);
        return err;
    }
    *out = t;
    return SM_NO_ERR;
}

void sm_cert_template_free(sm_cert_template **t)
{
    if (*t == NULL) {
        return;
    }
    sm_buf_deinit(&(*t)->middle);
    sm_buf_deinit(&(*t)->fixed);
    sm_free(*t);
    *t = NULL;
}

enum sm_sig_alg sm_cert_template_sig_alg(const sm_cert_template *t)
{
    return t->sig_alg;
}

sm_slice sm_cert_template_slot(const sm_cert_template *t)
{
    return t->slot;
}

static sm_err write_subject_key_id(const struct sm_public_key *key, sm_buf *out)
{
    /* SEQUENCE { OID subjectKeyIdentifier, OCTET STRING { OCTET STRING { 20 octets } } }: always of
     * this size. */
    static const uint8_t head[] = {0x30, 0x1d, 0x06, 0x03, 0x55, 0x1d,
                                   0x0e, 0x04, 0x16, 0x04, 0x14};
    uint8_t id[20];
    SM_TRY(sm_public_key_id(key, id));
    sm_buf_put(out, sm_slice_of(head, sizeof(head)));
    sm_buf_put(out, sm_slice_of(id, sizeof(id)));
    return SM_NO_ERR;
}

/* RFC 5280 4.2.1.6: critical when the subject is empty. */
static void write_sans(const struct sm_cert_params *p, sm_buf *out)
{
    sm_der_block ext = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, SM_OID_SUBJECT_ALT_NAME);
    if (p->sans_critical || p->subject.len == EMPTY_NAME_LEN) {
        sm_der_write_bool(out, true);
    }
    sm_der_block octets = sm_der_begin(out, SM_DER_OCTET_STRING);
    sm_sans_write(out, p->sans, p->san_count);
    sm_der_end(out, octets);
    sm_der_end(out, ext);
}

/* RFC 5280 4.2: no type twice, be it the template's, the SANs or this certificate's own. */
static sm_err check_extensions(const sm_cert_template *t, const struct sm_cert_params *p)
{
    size_t sans = p->san_count > 0;
    if (t->oid_count + sans + p->extension_count > SM_CERT_EXTENSIONS_MAX) {
        return SM_ERR(TOO_LARGE);
    }
    if (sans && is_among(t->oids, t->oid_count, SM_OID_SUBJECT_ALT_NAME)) {
        return SM_ERR(INVALID);
    }
    for (size_t i = 0; i < p->extension_count; i++) {
        sm_slice oid = p->extensions[i].oid;
        bool twice = is_among(t->oids, t->oid_count, oid) ||
                     (sans && sm_slice_equal(oid, SM_OID_SUBJECT_ALT_NAME));
        for (size_t j = 0; j < i; j++) {
            twice = twice || sm_slice_equal(p->extensions[j].oid, oid);
        }
        if (twice || !sm_oid_is_good(oid)) {
            return SM_ERR(INVALID);
        }
    }
    return SM_NO_ERR;
}

static sm_err write_extensions(const sm_cert_template *t, const struct sm_cert_params *p,
                               sm_buf *out)
{
    if (t->oid_count == 0 && p->san_count == 0 && p->extension_count == 0) {
        return SM_NO_ERR; /* Extensions is SIZE (1..MAX) */
    }
    sm_der_block tagged = sm_der_begin(out, SM_DER_CTX_CONS(3));
    sm_der_block list = sm_der_begin(out, SM_DER_SEQUENCE);
    if (t->subject_key_id) {
        SM_TRY(write_subject_key_id(p->key, out));
    }
    if (p->san_count > 0) {
        write_sans(p, out);
    }
    size_t fixed = out->len;
    sm_buf_put(out, sm_buf_slice(&t->fixed));
    if (p->slot.len == t->slot.len && sm_ok(sm_buf_err(out))) {
        for (size_t i = 0; i < t->slot_count; i++) {
            memcpy(out->ptr + fixed + t->slots[i], p->slot.ptr, p->slot.len);
        }
    }
    for (size_t i = 0; i < p->extension_count; i++) {
        write_extension(out, &p->extensions[i]);
    }
    sm_der_end(out, list);
    sm_der_end(out, tagged);
    return SM_NO_ERR;
}

static sm_err write_tbs(const sm_cert_template *t, const struct sm_cert_params *p, sm_buf *out)
{
    sm_der_block tbs = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_buf_put(out, SM_LIT("\xa0\x03\x02\x01\x02")); /* version [0] v3 */
    sm_der_write_unsigned(out, p->serial);
    sm_buf_put(out, sm_buf_slice(&t->middle));
    sm_der_block validity = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_time(out, p->not_before);
    sm_der_write_time(out, p->not_after);
    sm_der_end(out, validity);
    sm_buf_put(out, p->subject);
    sm_buf_put(out, p->key->spki);
    SM_TRY(write_extensions(t, p, out));
    sm_der_end(out, tbs);
    return sm_buf_err(out);
}

/* RFC 5280 4.1.2.2: positive, at most 20 octets, the sign octet counted. */
static bool serial_is_good(sm_slice serial)
{
    while (serial.len > 0 && serial.ptr[0] == 0) {
        serial = sm_slice_from(serial, 1);
    }
    return serial.len > 0 && serial.len + (serial.ptr[0] >> 7) <= SM_SERIAL_LEN;
}

sm_err sm_cert_write_tbs(const sm_cert_template *t, const struct sm_cert_params *p, sm_buf *out)
{
    size_t start = out->len;
    if (!serial_is_good(p->serial) || p->not_after < p->not_before) {
        return SM_ERR(INVALID);
    }
    SM_TRY(check_extensions(t, p));
    sm_err err = write_tbs(t, p, out);
    if (!sm_ok(err)) {
        sm_buf_truncate(out, start);
    }
    return err;
}

sm_err sm_signed_write(sm_buf *out, sm_slice tbs, enum sm_sig_alg alg, sm_slice signature)
{
    /* The lengths are known, so nothing needs to move. */
    sm_slice identifier = sm_sig_alg_identifier(alg);
    size_t bits = sm_der_header_size(signature.len + 1) + signature.len + 1;
    size_t len = tbs.len + identifier.len + bits;
    uint8_t header[6] = {SM_DER_SEQUENCE};
    size_t header_len = sm_der_header_size(len);
    header[1] = (uint8_t)(header_len == 2 ? len : 0x80U | (header_len - 2));
    for (size_t i = 2; i < header_len; i++) {
        header[i] = (uint8_t)(len >> (8 * (header_len - 1 - i)));
    }
    if (sm_buf_reserve(out, header_len + len) == NULL) {
        return sm_buf_err(out);
    }
    sm_buf_put(out, sm_slice_of(header, header_len));
    sm_buf_put(out, tbs);
    sm_buf_put(out, identifier);
    sm_der_write_bits(out, signature);
    return sm_buf_err(out);
}
