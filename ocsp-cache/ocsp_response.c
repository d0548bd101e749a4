/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/ocsp.h"

#include "sign/der.h"
#include "sign/oids.h"

/* CertStatus: good [0] IMPLICIT NULL, revoked [1] IMPLICIT RevokedInfo, unknown [2] IMPLICIT
 * NULL. */
static void write_status(sm_buf *out, const struct sm_ocsp_single *s)
{
    if (s->status != SM_OCSP_REVOKED) {
        sm_der_write(out, s->status == SM_OCSP_GOOD ? SM_DER_CTX(0) : SM_DER_CTX(2), SM_SLICE_NONE);
        return;
    }
    sm_der_block revoked = sm_der_begin(out, SM_DER_CTX_CONS(1));
    sm_der_write_generalized_time(out, s->revoked_at);
    if (s->reason > 0) { /* unspecified is left out (RFC 5280 5.3.1) */
        uint8_t reason = (uint8_t)s->reason;
        sm_der_block tagged = sm_der_begin(out, SM_DER_CTX_CONS(0));
        sm_der_write(out, SM_DER_ENUMERATED, sm_slice_of(&reason, 1));
        sm_der_end(out, tagged);
    }
    sm_der_end(out, revoked);
}

/* singleExtensions: ArchiveCutoff ::= GeneralizedTime (RFC 6960 4.4.4). */
static void write_cutoff(sm_buf *out, int64_t cutoff)
{
    sm_der_block tagged = sm_der_begin(out, SM_DER_CTX_CONS(1));
    sm_der_block list = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_block ext = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, SM_OID_OCSP_CUTOFF);
    sm_der_block value = sm_der_begin(out, SM_DER_OCTET_STRING);
    sm_der_write_generalized_time(out, cutoff);
    sm_der_end(out, value);
    sm_der_end(out, ext);
    sm_der_end(out, list);
    sm_der_end(out, tagged);
}

static void write_single(sm_buf *out, const struct sm_ocsp_single *s)
{
    sm_der_block single = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_buf_put(out, s->cert_id);
    write_status(out, s);
    sm_der_write_generalized_time(out, s->this_update);
    sm_der_block next = sm_der_begin(out, SM_DER_CTX_CONS(0));
    sm_der_write_generalized_time(out, s->next_update);
    sm_der_end(out, next);
    if (s->archive_cutoff != 0) {
        write_cutoff(out, s->archive_cutoff);
    }
    sm_der_end(out, single);
}

static void write_extensions(sm_buf *out, const struct sm_ocsp_response_data *data)
{
    sm_der_block tagged = sm_der_begin(out, SM_DER_CTX_CONS(1));
    sm_der_block list = sm_der_begin(out, SM_DER_SEQUENCE);
    if (data->nonce.ptr != NULL) {
        sm_der_block ext = sm_der_begin(out, SM_DER_SEQUENCE);
        sm_der_write_oid(out, SM_OID_OCSP_NONCE);
        sm_der_block value = sm_der_begin(out, SM_DER_OCTET_STRING);
        sm_der_write(out, SM_DER_OCTET_STRING, data->nonce);
        sm_der_end(out, value);
        sm_der_end(out, ext);
    }
    if (data->extended_revoked) { /* its value is NULL */
        sm_der_block ext = sm_der_begin(out, SM_DER_SEQUENCE);
        sm_der_write_oid(out, SM_OID_OCSP_EXTENDED_REVOKE);
        sm_der_write(out, SM_DER_OCTET_STRING, SM_LIT("\x05\x00"));
        sm_der_end(out, ext);
    }
    sm_der_end(out, list);
    sm_der_end(out, tagged);
}

sm_err sm_ocsp_write_data(sm_buf *out, const struct sm_ocsp_response_data *data)
{
    sm_der_block all = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_buf_put(out, data->responder);
    sm_der_write_generalized_time(out, data->produced_at);
    sm_der_block list = sm_der_begin(out, SM_DER_SEQUENCE);
    for (size_t i = 0; i < data->count; i++) {
        write_single(out, &data->singles[i]);
    }
    sm_der_end(out, list);
    if (data->nonce.ptr != NULL || data->extended_revoked) {
        write_extensions(out, data);
    }
    sm_der_end(out, all);
    return sm_buf_err(out);
}

sm_err sm_ocsp_write_response(sm_buf *out, sm_slice data, enum sm_sig_alg alg, sm_slice signature,
                              sm_slice certificate)
{
    static const uint8_t successful = 0;
    sm_der_block response = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write(out, SM_DER_ENUMERATED, sm_slice_of(&successful, 1));
    sm_der_block tagged = sm_der_begin(out, SM_DER_CTX_CONS(0));
    sm_der_block bytes = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, SM_OID_OCSP_BASIC);
    sm_der_block octets = sm_der_begin(out, SM_DER_OCTET_STRING);
    sm_der_block basic = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_buf_put(out, data);
    sm_buf_put(out, sm_sig_alg_identifier(alg));
    sm_der_write_bits(out, signature);
    if (certificate.len > 0) {
        sm_der_block certs = sm_der_begin(out, SM_DER_CTX_CONS(0));
        sm_der_block list = sm_der_begin(out, SM_DER_SEQUENCE);
        sm_buf_put(out, certificate);
        sm_der_end(out, list);
        sm_der_end(out, certs);
    }
    sm_der_end(out, basic);
    sm_der_end(out, octets);
    sm_der_end(out, bytes);
    sm_der_end(out, tagged);
    sm_der_end(out, response);
    return sm_buf_err(out);
}

sm_slice sm_ocsp_error_response(enum sm_ocsp_error error)
{
    static const uint8_t rows[7][5] = {
        {0x30, 0x03, 0x0a, 0x01, 0}, {0x30, 0x03, 0x0a, 0x01, 1}, {0x30, 0x03, 0x0a, 0x01, 2},
        {0x30, 0x03, 0x0a, 0x01, 3}, {0x30, 0x03, 0x0a, 0x01, 4}, {0x30, 0x03, 0x0a, 0x01, 5},
        {0x30, 0x03, 0x0a, 0x01, 6},
    };
    return sm_slice_of(rows[error], 5);
}
