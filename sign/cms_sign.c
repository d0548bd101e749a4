/* SPDX-License-Identifier: Apache-2.0 */
/* SignedData. */
#include "sign/batch.h"
#include "sign/cert.h"
#include "sign/cms.h"
#include "sign/der.h"
#include "sign/oids.h"

#define ATTRIBUTES_MAX 512
#define SIGNED_VERSION 3 /* its content is not id-data (RFC 5652 5.1) */
#define SIGNER_VERSION 1 /* named by issuer and serial number (RFC 5652 5.3) */

struct signing {
    const struct sm_cms_signer *signer;
    struct sm_cert cert;
    enum sm_sig_alg alg;
    enum sm_digest digest;
    sm_buf attributes; /* content of SignedAttributes */
    sm_buf signature;
};

/* ---- who ---- */

/* Ed25519 and ML-DSA take the attributes whole: SHA-512 is the content's hash with them (RFC 8419 3.1, RFC 9882 3.3). Ed448
 * wants SHAKE256 there, which nobody's CMS reads. */
static sm_err choose(struct signing *s)
{
    const struct sm_cms_signer *signer = s->signer;
    SM_TRY(sm_cert_parse(signer->certificate, &s->cert, NULL));
    if (!sm_slice_equal(s->cert.spki, sm_key_public(signer->key)->spki) ||
        signer->chain_count > SM_CMS_CHAIN_MAX) {
        return SM_ERR(INVALID);
    }
    s->alg = sm_sig_alg_for(sm_key_get_type(signer->key), SM_DIGEST_NONE, false);
    s->digest = sm_sig_alg_digest(s->alg);
    s->digest = s->digest == SM_DIGEST_NONE ? SM_SHA512 : s->digest;
    return s->alg == SM_SIG_NONE || s->alg == SM_SIG_ED448 ? SM_ERR(UNSUPPORTED) : SM_NO_ERR;
}

/* ---- what is signed ---- */

static void write_digest_algorithm(enum sm_digest digest, sm_buf *out)
{
    static const sm_slice *const oids[] = {
        [SM_SHA256] = &SM_OID_SHA256, [SM_SHA384] = &SM_OID_SHA384, [SM_SHA512] = &SM_OID_SHA512};
    sm_der_block algorithm = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, *oids[digest]); /* parameters absent (RFC 5754 2) */
    sm_der_end(out, algorithm);
}

/* In the order of a SET OF, by the octets: the shortest first (X.690 11.6). */
static sm_err write_attributes(struct signing *s, sm_slice content_type, sm_slice content,
                               int64_t now_s)
{
    sm_buf *out = &s->attributes;
    uint8_t hash[SM_DIGEST_MAX];
    SM_TRY(sm_digest_compute(s->digest, content, hash));
    const sm_slice digest = sm_slice_of(hash, sm_digest_size(s->digest));
    sm_der_block attribute = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, SM_OID_CONTENT_TYPE);
    sm_der_block values = sm_der_begin(out, SM_DER_SET);
    sm_der_write_oid(out, content_type);
    sm_der_end(out, values);
    sm_der_end(out, attribute);
    attribute = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, SM_OID_SIGNING_TIME);
    values = sm_der_begin(out, SM_DER_SET);
    sm_der_write_time(out, now_s);
    sm_der_end(out, values);
    sm_der_end(out, attribute);
    attribute = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, SM_OID_MESSAGE_DIGEST);
    values = sm_der_begin(out, SM_DER_SET);
    sm_der_write(out, SM_DER_OCTET_STRING, digest);
    sm_der_end(out, values);
    sm_der_end(out, attribute);
    return sm_buf_err(out);
}

/* The signature is over the attributes with the tag of a SET, which stand under [0] in the message (RFC 5652 5.4). */
static sm_err sign_attributes(struct signing *s)
{
    sm_buf set = sm_buf_init(ATTRIBUTES_MAX + 8);
    sm_der_write(&set, SM_DER_SET, sm_buf_slice(&s->attributes));
    sm_err err = sm_buf_err(&set);
    err = sm_ok(err) ? sm_sign_now(s->signer->key, s->alg, sm_buf_slice(&set), &s->signature) : err;
    sm_buf_deinit(&set);
    return err;
}

/* ---- the message ---- */

static void write_signer(const struct signing *s, sm_buf *out)
{
    sm_der_block info = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_u64(out, SIGNER_VERSION);
    sm_der_block id = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_buf_put(out, s->cert.issuer);
    sm_der_write_unsigned(out, s->cert.serial);
    sm_der_end(out, id);
    write_digest_algorithm(s->digest, out);
    sm_der_write(out, SM_DER_CTX_CONS(0), sm_buf_slice(&s->attributes));
    sm_buf_put(out, sm_sig_alg_identifier(s->alg));
    sm_der_write(out, SM_DER_OCTET_STRING, sm_buf_slice(&s->signature));
    sm_der_end(out, info);
}

static void write_certificates(const struct sm_cms_signer *signer, sm_buf *out)
{
    sm_der_block certificates = sm_der_begin(out, SM_DER_CTX_CONS(0));
    sm_buf_put(out, signer->certificate);
    for (size_t i = 0; i < signer->chain_count; i++) {
        sm_buf_put(out, signer->chain[i]);
    }
    sm_der_end(out, certificates);
}

static sm_err write_message(const struct signing *s, sm_slice content_type, sm_slice content,
                            sm_buf *out)
{
    sm_der_block data = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_u64(out, SIGNED_VERSION);
    sm_der_block digests = sm_der_begin(out, SM_DER_SET);
    write_digest_algorithm(s->digest, out);
    sm_der_end(out, digests);
    sm_der_block encapsulated = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, content_type);
    sm_der_block explicit_content = sm_der_begin(out, SM_DER_CTX_CONS(0));
    sm_der_write(out, SM_DER_OCTET_STRING, content);
    sm_der_end(out, explicit_content);
    sm_der_end(out, encapsulated);
    write_certificates(s->signer, out);
    sm_der_block signers = sm_der_begin(out, SM_DER_SET);
    write_signer(s, out);
    sm_der_end(out, signers);
    sm_der_end(out, data);
    return sm_buf_err(out);
}

sm_err sm_cms_sign(const struct sm_cms_signer *signer, sm_slice content_type, sm_slice content,
                   int64_t now_s, sm_buf *out)
{
    struct signing s = {.signer = signer,
                        .attributes = sm_buf_init(ATTRIBUTES_MAX),
                        .signature = sm_buf_init(SM_SIGNATURE_MAX)};
    sm_err err = choose(&s);
    err = sm_ok(err) ? write_attributes(&s, content_type, content, now_s) : err;
    err = sm_ok(err) ? sign_attributes(&s) : err;
    err = sm_ok(err) ? write_message(&s, content_type, content, out) : err;
    sm_buf_deinit(&s.attributes);
    sm_buf_deinit(&s.signature);
    return err;
}
