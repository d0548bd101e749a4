/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/ocsp_response_read.h"

#include "sign/der.h"
#include "sign/oids.h"

struct reader {
    struct sm_ocsp_response_read *out;
    sm_diag *diag;
    sm_err refused; /* well-formed, but not what is wanted */
};

static void refuse(struct reader *r, const char *why)
{
    if (sm_ok(r->refused)) {
        r->refused = sm_diag_set(r->diag, SM_ERR(UNSUPPORTED), "response", "%s", why);
    }
}

/* ---- parts ---- */

static void read_extensions(struct reader *r, sm_der *outer, uint8_t tag)
{
    sm_der tagged = sm_der_enter(outer, tag);
    sm_der list = sm_der_enter(&tagged, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&list)) {
        sm_der e = sm_der_enter(&list, SM_DER_SEQUENCE);
        sm_slice oid = sm_der_read_oid(&e);
        bool critical = sm_der_peek(&e) == SM_DER_BOOLEAN && sm_der_read_bool(&e);
        (void)sm_der_read(&e, SM_DER_OCTET_STRING);
        sm_der_leave(&list, &e);
        if (critical) {
            refuse(r, "it has a critical extension");
        } else if (sm_slice_equal(oid, SM_OID_OCSP_NONCE)) {
            refuse(r, "it has a nonce: it was made for one client");
        }
    }
    sm_der_leave(&tagged, &list);
    sm_der_leave(outer, &tagged);
}

static enum sm_ocsp_hash hash_of(sm_slice oid)
{
    return sm_slice_equal(oid, SM_OID_SHA1)     ? SM_OCSP_SHA1
           : sm_slice_equal(oid, SM_OID_SHA256) ? SM_OCSP_SHA256
                                                : SM_OCSP_OTHER;
}

static void read_cert_id(struct reader *r, sm_der *single)
{
    struct sm_ocsp_cert_id *id = &r->out->cert_id;
    sm_der cert_id = sm_der_enter(single, SM_DER_SEQUENCE);
    sm_der algorithm = sm_der_enter(&cert_id, SM_DER_SEQUENCE);
    id->hash = hash_of(sm_der_read_oid(&algorithm));
    if (!sm_der_at_end(&algorithm)) {
        (void)sm_der_read(&algorithm, SM_DER_NULL);
    }
    sm_der_leave(&cert_id, &algorithm);
    id->name_hash = sm_der_read(&cert_id, SM_DER_OCTET_STRING);
    id->key_hash = sm_der_read(&cert_id, SM_DER_OCTET_STRING);
    id->serial = sm_der_read_unsigned(&cert_id);
    sm_der_leave(single, &cert_id);
}

static int read_reason(sm_der *info)
{
    sm_der tagged = sm_der_enter(info, SM_DER_CTX_CONS(0));
    sm_slice n = sm_der_read(&tagged, SM_DER_ENUMERATED);
    if (n.len != 1 || n.ptr[0] > 10 || n.ptr[0] == 7) {
        sm_der_fail(&tagged, SM_ERR(MALFORMED));
        n = SM_SLICE_NONE;
    }
    sm_der_leave(info, &tagged);
    return n.len == 1 ? n.ptr[0] : -1;
}

/* CertStatus ::= CHOICE { good [0] NULL, revoked [1] RevokedInfo, unknown [2] NULL } */
static void read_status(struct reader *r, sm_der *single)
{
    struct sm_ocsp_said *said = &r->out->said;
    sm_slice nothing = SM_SLICE_NONE;
    said->reason = -1;
    if (sm_der_read_if(single, SM_DER_CTX(0), &nothing)) {
        said->status = SM_OCSP_GOOD;
    } else if (sm_der_read_if(single, SM_DER_CTX(2), &nothing)) {
        said->status = SM_OCSP_UNKNOWN;
    } else {
        sm_der info = sm_der_enter(single, SM_DER_CTX_CONS(1));
        said->status = SM_OCSP_REVOKED;
        said->revoked_at = sm_der_read_time(&info);
        if (!sm_der_at_end(&info)) {
            said->reason = read_reason(&info);
        }
        sm_der_leave(single, &info);
    }
    if (nothing.len > 0) {
        sm_der_fail(single, SM_ERR(MALFORMED));
    }
}

static void read_single(struct reader *r, sm_der *list)
{
    struct sm_ocsp_said *said = &r->out->said;
    sm_der single = sm_der_enter(list, SM_DER_SEQUENCE);
    read_cert_id(r, &single);
    read_status(r, &single);
    said->this_update = sm_der_read_time(&single);
    if (sm_der_peek(&single) == SM_DER_CTX_CONS(0)) {
        sm_der next = sm_der_enter(&single, SM_DER_CTX_CONS(0));
        said->next_update = sm_der_read_time(&next);
        sm_der_leave(&single, &next);
    } else {
        refuse(r, "it has no nextUpdate");
    }
    if (sm_der_peek(&single) == SM_DER_CTX_CONS(1)) {
        read_extensions(r, &single, SM_DER_CTX_CONS(1));
    }
    sm_der_leave(list, &single);
}

static void read_responder(struct reader *r, sm_der *data)
{
    if (sm_der_peek(data) == SM_DER_CTX_CONS(1)) {
        sm_der name = sm_der_enter(data, SM_DER_CTX_CONS(1));
        r->out->by_name = sm_der_read_raw(&name);
        sm_der_leave(data, &name);
        return;
    }
    sm_der key = sm_der_enter(data, SM_DER_CTX_CONS(2));
    r->out->by_key = sm_der_read(&key, SM_DER_OCTET_STRING);
    sm_der_leave(data, &key);
}

/* ---- the layers ---- */

static sm_err read_data(struct reader *r)
{
    sm_der d = sm_der_init(r->out->data);
    sm_der data = sm_der_enter(&d, SM_DER_SEQUENCE);
    if (sm_der_peek(&data) == SM_DER_CTX_CONS(0)) { /* the DEFAULT, written all the same */
        sm_der version = sm_der_enter(&data, SM_DER_CTX_CONS(0));
        if (sm_der_read_u64(&version) != 0) {
            sm_der_fail(&version, SM_ERR(MALFORMED));
        }
        sm_der_leave(&data, &version);
    }
    read_responder(r, &data);
    r->out->said.produced_at = sm_der_read_time(&data);
    sm_der list = sm_der_enter(&data, SM_DER_SEQUENCE);
    read_single(r, &list);
    if (!sm_der_at_end(&list)) {
        refuse(r, "it is about several certificates");
        return r->refused;
    }
    sm_der_leave(&data, &list);
    if (sm_der_peek(&data) == SM_DER_CTX_CONS(1)) {
        read_extensions(r, &data, SM_DER_CTX_CONS(1));
    }
    sm_der_leave(&d, &data);
    return sm_der_finish(&d);
}

static void read_certificates(struct reader *r, sm_der *basic)
{
    sm_der tagged = sm_der_enter(basic, SM_DER_CTX_CONS(0));
    sm_der list = sm_der_enter(&tagged, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&list)) {
        sm_slice der = sm_der_read_raw(&list);
        if (r->out->certificate_count == SM_OCSP_READ_CERTS_MAX) {
            refuse(r, "it has too many certificates");
        } else {
            r->out->certificates[r->out->certificate_count++] = der;
        }
    }
    sm_der_leave(&tagged, &list);
    sm_der_leave(basic, &tagged);
}

static sm_err read_basic(struct reader *r, sm_slice octets)
{
    sm_der d = sm_der_init(octets);
    sm_der basic = sm_der_enter(&d, SM_DER_SEQUENCE);
    r->out->data = sm_der_read_raw(&basic);
    sm_slice algorithm = sm_der_read(&basic, SM_DER_SEQUENCE);
    r->out->signature = sm_der_read_bits(&basic);
    if (sm_der_peek(&basic) == SM_DER_CTX_CONS(0)) {
        read_certificates(r, &basic);
    }
    sm_der_leave(&d, &basic);
    SM_TRY(sm_der_finish(&d));
    if (!sm_ok(sm_sig_alg_parse(algorithm, &r->out->sig_alg))) {
        refuse(r, "its signature algorithm is not supported");
    }
    return read_data(r);
}

static sm_err read_response(struct reader *r, sm_slice der)
{
    sm_der d = sm_der_init(der);
    sm_der response = sm_der_enter(&d, SM_DER_SEQUENCE);
    sm_slice status = sm_der_read(&response, SM_DER_ENUMERATED);
    if (sm_ok(sm_der_err(&response)) && status.len == 1 && status.ptr[0] != 0) {
        refuse(r, "it is an error, not an answer");
        return r->refused;
    }
    sm_der tagged = sm_der_enter(&response, SM_DER_CTX_CONS(0));
    sm_der bytes = sm_der_enter(&tagged, SM_DER_SEQUENCE);
    sm_slice type = sm_der_read_oid(&bytes);
    sm_slice octets = sm_der_read(&bytes, SM_DER_OCTET_STRING);
    sm_der_leave(&tagged, &bytes);
    sm_der_leave(&response, &tagged);
    sm_der_leave(&d, &response);
    SM_TRY(sm_der_finish(&d));
    if (status.len != 1) {
        return SM_ERR(MALFORMED);
    }
    if (!sm_slice_equal(type, SM_OID_OCSP_BASIC)) {
        refuse(r, "it is no BasicOCSPResponse");
        return r->refused;
    }
    return read_basic(r, octets);
}

sm_err sm_ocsp_response_read(sm_slice der, struct sm_ocsp_response_read *out, sm_diag *diag)
{
    *out = (struct sm_ocsp_response_read){.sig_alg = SM_SIG_NONE};
    struct reader r = {.out = out, .diag = diag};
    sm_err err = read_response(&r, der);
    if (sm_ok(err)) {
        return r.refused;
    }
    return sm_err_is(err, SM_E_UNSUPPORTED) ? err
                                            : sm_diag_set(diag, SM_ERR(MALFORMED), "response",
                                                          "it is not an OCSPResponse in DER");
}
