/* SPDX-License-Identifier: Apache-2.0 */
#include "api/label_attributes.h"

#include "sign/der.h"
#include "sign/oids.h"

#define TEXT_MAX 65536

/* ---- named by the label ---- */

/* CsrAttrs ::= SEQUENCE OF AttrOrOID (RFC 7030 4.5.2): OIDs. */
static sm_err make_own(const Sealmill__Config__V1__Label *m, sm_arena *arena, sm_slice *out,
                       sm_diag *diag)
{
    if (m->n_attributes > SM_LABEL_ATTRIBUTES_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "enrolment.labels.attributes", "more than %d",
                           SM_LABEL_ATTRIBUTES_MAX);
    }
    sm_buf text = sm_buf_init(65536);
    sm_err err = SM_NO_ERR;
    sm_der_block list = sm_der_begin(&text, SM_DER_SEQUENCE);
    for (size_t i = 0; i < m->n_attributes && sm_ok(err); i++) {
        sm_der_block oid = sm_der_begin(&text, SM_DER_OID);
        err = sm_oid_from_text(sm_slice_str(m->attributes[i]), &text);
        sm_der_end(&text, oid);
        if (!sm_ok(err)) {
            err = sm_diag_set(diag, SM_ERR(INVALID), "enrolment.labels.attributes",
                              "\"%.60s\" is no OID", m->attributes[i]);
        }
    }
    sm_der_end(&text, list);
    err = sm_ok(err) ? sm_buf_err(&text) : err;
    err = sm_ok(err) ? sm_arena_copy(arena, sm_buf_slice(&text), out) : err;
    sm_buf_deinit(&text);
    return err;
}

/* ---- from the profile ---- */

/* P-256 where it is allowed, else the first type that is. */
static enum sm_key_type liked_best(const struct sm_profile *p, uint32_t narrowed)
{
    uint32_t allowed = narrowed == 0 ? p->key_types : p->key_types & narrowed;
    for (enum sm_key_type type = SM_KEY_P256; type < SM_KEY_TYPE_COUNT; type++) {
        if ((allowed >> (unsigned)type & 1U) != 0) {
            return type;
        }
    }
    return SM_KEY_NONE;
}

static unsigned rsa_bits(enum sm_key_type type)
{
    return type == SM_KEY_RSA_2048   ? 2048
           : type == SM_KEY_RSA_3072 ? 3072
           : type == SM_KEY_RSA_4096 ? 4096
                                     : 0;
}

/* ecPublicKey with the curve, rsaEncryption with the size, the rest by their OID alone (RFC 9908 3.2). */
static void put_key_type(sm_buf *out, enum sm_key_type type)
{
    sm_der algorithm = sm_der_init(sm_public_key_algorithm(type));
    sm_slice oid = sm_der_read_oid(&algorithm);
    bool ec = sm_slice_equal(oid, SM_OID_EC_PUBLIC_KEY);
    if (!ec && rsa_bits(type) == 0) {
        sm_der_write_oid(out, oid);
        return;
    }
    sm_der_block attribute = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, oid);
    sm_der_block values = sm_der_begin(out, SM_DER_SET);
    if (ec) {
        sm_der_write_oid(out, sm_der_read_oid(&algorithm));
    } else {
        sm_der_write_u64(out, rsa_bits(type));
    }
    sm_der_end(out, values);
    sm_der_end(out, attribute);
}

static bool is_told(const struct sm_extension *e)
{
    return sm_slice_equal(e->oid, SM_OID_KEY_USAGE) || sm_slice_equal(e->oid, SM_OID_EKU);
}

static void put_extension(sm_buf *out, sm_slice oid, bool critical, const sm_slice *value)
{
    sm_der_block extension = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, oid);
    if (critical) {
        sm_der_write_bool(out, true);
    }
    if (value != NULL) {
        sm_der_write(out, SM_DER_OCTET_STRING, *value);
    }
    sm_der_end(out, extension);
}

static size_t count_told(const struct sm_profile *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->extension_count; i++) {
        n += is_told(&p->extensions[i]);
    }
    return n;
}

/* An attribute whose value is a SEQUENCE of extensions; `blank`: with a subjectAltName that the client fills in, which
 * id-ExtensionReq has no way to say (RFC 9908 3.4). */
static void put_extensions(sm_buf *out, const struct sm_profile *p, bool blank)
{
    sm_der_block attribute = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, blank ? SM_OID_EXTENSION_TEMPLATE : SM_OID_EXTENSION_REQUEST);
    sm_der_block values = sm_der_begin(out, SM_DER_SET);
    sm_der_block list = sm_der_begin(out, SM_DER_SEQUENCE);
    for (size_t i = 0; i < p->extension_count; i++) {
        const struct sm_extension *e = &p->extensions[i];
        if (is_told(e)) {
            put_extension(out, e->oid, e->critical, &e->value);
        }
    }
    if (blank) {
        put_extension(out, SM_OID_SUBJECT_ALT_NAME, false, NULL);
    }
    sm_der_end(out, list);
    sm_der_end(out, values);
    sm_der_end(out, attribute);
}

/* CertificationRequestInfoTemplate ::= SEQUENCE { version, subject OPTIONAL, subjectPKInfo [0] OPTIONAL, attributes [1] }
 * (RFC 9908 3.4). An RSA key's size would want a key of that size in it: it is told by the attribute alone. */
static void put_template(sm_buf *out, const struct sm_profile *p, enum sm_key_type type)
{
    sm_der_block attribute = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, SM_OID_CSR_TEMPLATE);
    sm_der_block values = sm_der_begin(out, SM_DER_SET);
    sm_der_block info = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_u64(out, 0);
    if (type != SM_KEY_NONE && rsa_bits(type) == 0) {
        sm_der_block key = sm_der_begin(out, SM_DER_CTX_CONS(0));
        sm_der_write(out, SM_DER_SEQUENCE, sm_public_key_algorithm(type));
        sm_der_end(out, key);
    }
    sm_der_block attributes = sm_der_begin(out, SM_DER_CTX_CONS(1));
    put_extensions(out, p, true);
    sm_der_end(out, attributes);
    sm_der_end(out, info);
    sm_der_end(out, values);
    sm_der_end(out, attribute);
}

static sm_err make_from_profile(const struct sm_label *l, const struct sm_profile *p,
                                sm_arena *arena, sm_slice *out)
{
    sm_buf text = sm_buf_init(TEXT_MAX);
    enum sm_key_type type = liked_best(p, l->rules.key_types);
    sm_der_block list = sm_der_begin(&text, SM_DER_SEQUENCE);
    if (l->rules.binding != SM_BINDING_OFF) {
        sm_der_write_oid(&text, SM_OID_CHALLENGE_PASSWORD);
        sm_der_write_oid(&text, SM_OID_EST_LINKING); /* RFC 7894: who knows it takes it instead */
    }
    if (type != SM_KEY_NONE) {
        put_key_type(&text, type);
    }
    if (count_told(p) > 0) {
        put_extensions(&text, p, false);
    }
    if (l->rules.san_kinds != 0) {
        put_template(&text, p, type);
    }
    sm_der_end(&text, list);
    sm_err err = sm_buf_err(&text);
    err = sm_ok(err) ? sm_arena_copy(arena, sm_buf_slice(&text), out) : err;
    sm_buf_deinit(&text);
    return err;
}

sm_err sm_label_attributes_make(sm_world *world, struct sm_label *l, sm_diag *diag)
{
    const struct sm_profile *p = sm_world_profile(world, l->message->profile);
    l->attributes = SM_SLICE_NONE;
    if (l->message->n_attributes > 0) {
        return make_own(l->message, &world->arena, &l->attributes, diag);
    }
    return p == NULL || l->message->no_attributes
               ? SM_NO_ERR
               : make_from_profile(l, p, &world->arena, &l->attributes);
}
