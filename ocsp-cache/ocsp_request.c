/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/ocsp.h"

#include "sign/der.h"
#include "sign/oids.h"

/* hashAlgorithm with parameters NULL or absent. */
static enum sm_ocsp_hash parse_hash(sm_der *id)
{
    sm_der alg = sm_der_enter(id, SM_DER_SEQUENCE);
    sm_slice oid = sm_der_read_oid(&alg);
    sm_slice null;
    if (sm_der_peek(&alg) == SM_DER_NULL) {
        null = sm_der_read(&alg, SM_DER_NULL);
        if (null.len != 0) {
            sm_der_fail(&alg, SM_ERR(MALFORMED));
        }
    }
    sm_der_leave(id, &alg);
    return sm_slice_equal(oid, SM_OID_SHA1)     ? SM_OCSP_SHA1
           : sm_slice_equal(oid, SM_OID_SHA256) ? SM_OCSP_SHA256
                                                : SM_OCSP_OTHER;
}

struct extension {
    sm_slice oid;
    bool critical;
    sm_slice value;
};

static struct extension read_extension(sm_der *list)
{
    struct extension e;
    sm_der ext = sm_der_enter(list, SM_DER_SEQUENCE);
    e.oid = sm_der_read_oid(&ext);
    e.critical = sm_der_peek(&ext) == SM_DER_BOOLEAN && sm_der_read_bool(&ext);
    e.value = sm_der_read(&ext, SM_DER_OCTET_STRING);
    sm_der_leave(list, &ext);
    return e;
}

/* None of them is ours; one that is critical is not to be passed over (RFC 6960 4.4). */
static void pass_extensions(sm_der *request)
{
    sm_der tagged = sm_der_enter(request, SM_DER_CTX_CONS(0));
    sm_der list = sm_der_enter(&tagged, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&list)) {
        if (read_extension(&list).critical) {
            sm_der_fail(&list, SM_ERR(MALFORMED));
        }
    }
    sm_der_leave(&tagged, &list);
    sm_der_leave(request, &tagged);
}

/* Request ::= SEQUENCE { reqCert CertID, singleRequestExtensions [0] OPTIONAL } */
static void parse_one(sm_der *list, struct sm_ocsp_cert_id *out)
{
    sm_der request = sm_der_enter(list, SM_DER_SEQUENCE);
    out->der = sm_der_read_raw(&request);
    sm_der raw = sm_der_init(out->der);
    sm_der id = sm_der_enter(&raw, SM_DER_SEQUENCE);
    out->hash = parse_hash(&id);
    out->name_hash = sm_der_read(&id, SM_DER_OCTET_STRING);
    out->key_hash = sm_der_read(&id, SM_DER_OCTET_STRING);
    out->serial = sm_der_read_unsigned(&id);
    sm_der_leave(&raw, &id);
    if (!sm_ok(sm_der_finish(&raw))) {
        sm_der_fail(&request, SM_ERR(MALFORMED));
    }
    if (!sm_der_at_end(&request)) {
        pass_extensions(&request);
    }
    sm_der_leave(list, &request);
}

/* RFC 9654 2.1: Nonce ::= OCTET STRING (SIZE(1..128)). */
static void parse_nonce(sm_der *d, sm_slice value, struct sm_ocsp_request *out)
{
    sm_der inner = sm_der_init(value);
    bool second = out->nonce.ptr != NULL; /* the answer has room for one */
    out->nonce = sm_der_read(&inner, SM_DER_OCTET_STRING);
    if (second || !sm_ok(sm_der_finish(&inner)) || out->nonce.len == 0 ||
        out->nonce.len > SM_OCSP_NONCE_MAX) {
        sm_der_fail(d, SM_ERR(MALFORMED));
    }
}

/* PreferredSignatureAlgorithms ::= SEQUENCE OF SEQUENCE { sigIdentifier AlgorithmIdentifier,
 * pubKeyAlgIdentifier SMIMECapability OPTIONAL } (RFC 6960 4.4.7.1) */
static void parse_preferred(sm_der *d, sm_slice value, struct sm_ocsp_request *out)
{
    sm_der inner = sm_der_init(value);
    sm_der list = sm_der_enter(&inner, SM_DER_SEQUENCE);
    out->preferred_count = 0;
    while (!sm_der_at_end(&list)) {
        sm_der one = sm_der_enter(&list, SM_DER_SEQUENCE);
        sm_slice identifier = sm_der_read(&one, SM_DER_SEQUENCE);
        sm_slice ignored;
        enum sm_sig_alg alg;
        (void)sm_der_read_if(&one, SM_DER_SEQUENCE, &ignored);
        sm_der_leave(&list, &one);
        if (sm_ok(sm_der_err(&list)) && out->preferred_count < SM_OCSP_PREFERRED_MAX &&
            sm_ok(sm_sig_alg_parse(identifier, &alg))) {
            out->preferred[out->preferred_count++] = alg;
        }
    }
    sm_der_leave(&inner, &list);
    if (!sm_ok(sm_der_finish(&inner))) {
        sm_der_fail(d, SM_ERR(MALFORMED));
    }
}

static void parse_extensions(sm_der *tbs, struct sm_ocsp_request *out)
{
    sm_der tagged = sm_der_enter(tbs, SM_DER_CTX_CONS(2));
    sm_der list = sm_der_enter(&tagged, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&list)) {
        struct extension e = read_extension(&list);
        if (sm_slice_equal(e.oid, SM_OID_OCSP_NONCE)) {
            parse_nonce(&list, e.value, out);
        } else if (sm_slice_equal(e.oid, SM_OID_OCSP_PREFERRED)) {
            parse_preferred(&list, e.value, out);
        } else if (e.critical) {
            sm_der_fail(&list, SM_ERR(MALFORMED)); /* RFC 6960 4.1.2: one that we do not know */
        }
    }
    sm_der_leave(&tagged, &list);
    sm_der_leave(tbs, &tagged);
}

sm_err sm_ocsp_request_parse(sm_slice der, struct sm_ocsp_request *out)
{
    out->count = 0;
    out->nonce = SM_SLICE_NONE;
    out->preferred_count = 0;
    sm_der d = sm_der_init(der);
    sm_der request = sm_der_enter(&d, SM_DER_SEQUENCE);
    sm_der tbs = sm_der_enter(&request, SM_DER_SEQUENCE);
    sm_slice ignored;
    if (sm_der_read_if(&tbs, SM_DER_CTX_CONS(0), &ignored)) {
        sm_der version = sm_der_init(ignored);
        if (sm_der_read_u64(&version) != 0 || !sm_ok(sm_der_finish(&version))) {
            sm_der_fail(&tbs, SM_ERR(MALFORMED));
        }
    }
    (void)sm_der_read_if(&tbs, SM_DER_CTX_CONS(1), &ignored); /* requestorName */
    sm_der list = sm_der_enter(&tbs, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&list)) {
        if (out->count == SM_OCSP_CERTS_MAX) {
            return SM_ERR(TOO_LARGE);
        }
        parse_one(&list, &out->certs[out->count++]);
    }
    sm_der_leave(&tbs, &list);
    if (!sm_der_at_end(&tbs)) {
        parse_extensions(&tbs, out);
    }
    sm_der_leave(&request, &tbs);
    (void)sm_der_read_if(&request, SM_DER_CTX_CONS(0),
                         &ignored); /* optionalSignature: nobody is asked who he is */
    sm_der_leave(&d, &request);
    SM_TRY(sm_der_finish(&d));
    return out->count == 0 ? SM_ERR(MALFORMED) : SM_NO_ERR;
}
