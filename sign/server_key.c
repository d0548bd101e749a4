/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/server_key.h"

#include "sign/batch.h"
#include "sign/cert.h"
#include "sign/der.h"
#include "sign/key_p.h"
#include "sign/oids.h"
#include "sign/pkcs8.h"

#define INFO_MAX (1U << 18)

/* ---- the wish ---- */

/* DecryptKeyIdentifier, AsymmetricDecryptKeyIdentifier ::= OCTET STRING, one value (RFC 4108 2.2.5, RFC 7030 4.4.1.2) */
static sm_err read_key_id(sm_slice values, bool asymmetric, struct sm_server_key_wish *out,
                          sm_diag *diag)
{
    sm_der d = sm_der_init(values);
    sm_slice id = sm_der_read(&d, SM_DER_OCTET_STRING);
    sm_err err = sm_der_finish(&d);
    if (!sm_ok(err) || id.len == 0 || id.len > SM_CMS_ID_MAX) {
        return sm_diag_set(diag, sm_ok(err) ? SM_ERR(INVALID) : err, "csr.attributes",
                           "the identifier of the key for the encryption is one OCTET STRING of 1 "
                           "to %d octets",
                           SM_CMS_ID_MAX);
    }
    if (out->decrypt_key_id.ptr != NULL) {
        return sm_diag_set(diag, SM_ERR(INVALID), "csr.attributes",
                           "two keys for the encryption of the answer are named");
    }
    out->decrypt_key_id = id;
    out->asymmetric = asymmetric;
    return SM_NO_ERR;
}

/* SMIMECapabilities: SEQUENCE OF SMIMECapability (RFC 8551 2.5.2). They count where an encryption is asked for. */
static sm_err read_capabilities(sm_slice values, struct sm_server_key_wish *out, sm_diag *diag)
{
    sm_err err = sm_cms_algorithms_read(values, &out->algorithms);
    out->no_cipher = sm_err_is(err, SM_E_UNSUPPORTED);
    return sm_ok(err) || out->no_cipher
               ? SM_NO_ERR
               : sm_diag_set(diag, err, "csr.attributes", "SMIMECapabilities is not well-formed");
}

static sm_err read_attribute(sm_der *list, struct sm_server_key_wish *out, sm_diag *diag)
{
    sm_der attribute = sm_der_enter(list, SM_DER_SEQUENCE);
    sm_slice oid = sm_der_read_oid(&attribute);
    sm_slice values = sm_der_read(&attribute, SM_DER_SET);
    sm_der_leave(list, &attribute);
    if (!sm_ok(sm_der_err(list))) {
        return SM_NO_ERR; /* who reads the attributes says what is wrong with them */
    }
    if (sm_slice_equal(oid, SM_OID_DECRYPT_KEY_ID)) {
        return read_key_id(values, false, out, diag);
    }
    if (sm_slice_equal(oid, SM_OID_ASYMM_DECRYPT_KEY_ID)) {
        return read_key_id(values, true, out, diag);
    }
    return sm_slice_equal(oid, SM_OID_SMIME_CAPABILITIES) ? read_capabilities(values, out, diag)
                                                          : SM_NO_ERR;
}

static sm_err read_attributes(struct sm_server_key_wish *out, sm_diag *diag)
{
    sm_der d = sm_der_init(out->attributes);
    SM_TRY(sm_cms_algorithms_read(SM_SLICE_NONE, &out->algorithms));
    while (!sm_der_at_end(&d)) {
        SM_TRY(read_attribute(&d, out, diag));
    }
    return out->no_cipher && out->decrypt_key_id.ptr != NULL
               ? sm_diag_set(diag, SM_ERR(UNSUPPORTED), "csr.attributes",
                             "SMIMECapabilities names no cipher of AES-128-CBC, AES-192-CBC and "
                             "AES-256-CBC")
               : SM_NO_ERR;
}

static enum sm_key_type type_of(sm_slice spki)
{
    struct sm_public_key key;
    return sm_ok(sm_public_key_parse(spki, &key, NULL)) ? key.type : SM_KEY_NONE;
}

/* CertificationRequest ::= SEQUENCE { CertificationRequestInfo, AlgorithmIdentifier, BIT STRING } (RFC 2986 4) */
sm_err sm_server_key_wish_read(sm_slice csr, struct sm_server_key_wish *out, sm_diag *diag)
{
    sm_der d = sm_der_init(csr);
    sm_der request = sm_der_enter(&d, SM_DER_SEQUENCE);
    sm_der info = sm_der_enter(&request, SM_DER_SEQUENCE);
    uint64_t version = sm_der_read_u64(&info);
    sm_slice subject = sm_der_read_raw(&info);
    sm_slice spki = sm_der_read_raw(&info);
    sm_slice attributes = SM_SLICE_NONE;
    (void)sm_der_read_if(&info, SM_DER_CTX_CONS(0), &attributes);
    sm_der_leave(&request, &info);
    (void)sm_der_read(&request, SM_DER_SEQUENCE);
    (void)sm_der_read(&request, SM_DER_BIT_STRING);
    sm_der_leave(&d, &request);
    sm_err err = sm_der_finish(&d);
    if (!sm_ok(err) || version != 0 || subject.ptr[0] != SM_DER_SEQUENCE) {
        return sm_diag_set(diag, sm_ok(err) ? SM_ERR(MALFORMED) : err, "csr",
                           "it is no PKCS#10 request");
    }
    struct sm_server_key_wish wish = {
        .subject = subject, .attributes = attributes, .type = type_of(spki)};
    SM_TRY(read_attributes(&wish, diag));
    *out = wish;
    return SM_NO_ERR;
}

/* ---- the key ---- */

static sm_err write_csr(sm_key *key, const struct sm_server_key_wish *wish, sm_buf *out)
{
    enum sm_sig_alg alg = sm_sig_alg_for(sm_key_get_type(key), SM_DIGEST_NONE, false);
    sm_buf info = sm_buf_init(INFO_MAX);
    sm_buf signature = sm_buf_init(SM_SIGNATURE_MAX);
    sm_der_block block = sm_der_begin(&info, SM_DER_SEQUENCE);
    sm_der_write_u64(&info, 0);
    sm_buf_put(&info, wish->subject);
    sm_buf_put(&info, sm_key_public(key)->spki);
    sm_der_write(&info, SM_DER_CTX_CONS(0), wish->attributes);
    sm_der_end(&info, block);
    sm_err err = sm_buf_err(&info);
    err = sm_ok(err) ? sm_sign_now(key, alg, sm_buf_slice(&info), &signature) : err;
    err = sm_ok(err) ? sm_signed_write(out, sm_buf_slice(&info), alg, sm_buf_slice(&signature))
                     : err;
    sm_buf_deinit(&info);
    sm_buf_deinit(&signature);
    return err;
}

sm_err sm_server_key_make(enum sm_key_type type, const struct sm_server_key_wish *wish,
                          sm_buf *pkcs8, sm_buf *csr)
{
    sm_key *key;
    SM_TRY(sm_key_generate(type, &key));
    sm_err err = sm_pkcs8_write(key->pkey, pkcs8);
    err = sm_ok(err) ? write_csr(key, wish, csr) : err;
    sm_key_detach(&key); /* the last: OpenSSL wipes it */
    return err;
}

/* ---- its envelope ---- */

/* AsymmetricKeyPackage ::= SEQUENCE OF OneAsymmetricKey (RFC 5958 2) */
sm_err sm_server_key_envelop(sm_slice pkcs8, const struct sm_cms_signer *signer,
                             const struct sm_cms_recipient *recipient,
                             const struct sm_cms_algorithms *algorithms, int64_t now_s, sm_buf *out)
{
    sm_buf package = sm_buf_init_secret(SM_SERVER_KEY_MAX + 8);
    sm_buf data = sm_buf_init_secret(SM_SERVER_KEY_ENVELOPE_MAX);
    sm_der_write(&package, SM_DER_SEQUENCE, pkcs8);
    sm_err err = sm_buf_err(&package);
    err = sm_ok(err) ? sm_cms_sign(signer, SM_OID_KEY_PACKAGE, sm_buf_slice(&package), now_s, &data)
                     : err;
    err = sm_ok(err)
              ? sm_cms_envelop(recipient, algorithms, SM_OID_SIGNED_DATA, sm_buf_slice(&data), out)
              : err;
    sm_buf_deinit(&package);
    sm_buf_deinit(&data);
    return err;
}
