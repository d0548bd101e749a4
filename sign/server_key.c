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

static bool names_a_key(sm_slice attributes)
{
    sm_der d = sm_der_init(attributes);
    while (!sm_der_at_end(&d)) {
        sm_der attribute = sm_der_enter(&d, SM_DER_SEQUENCE);
        sm_slice oid = sm_der_read_oid(&attribute);
        if (!sm_ok(sm_der_err(&attribute))) {
            return false; /* who reads the attributes says what is wrong with them */
        }
        if (sm_slice_equal(oid, SM_OID_DECRYPT_KEY_ID) ||
            sm_slice_equal(oid, SM_OID_ASYMM_DECRYPT_KEY_ID)) {
            return true;
        }
    }
    return false;
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
    *out = (struct sm_server_key_wish){.subject = subject,
                                       .attributes = attributes,
                                       .type = type_of(spki),
                                       .wants_envelope = names_a_key(attributes)};
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
