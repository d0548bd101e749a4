/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/cert.h"
#include "sign/der.h"
#include "sign/oids.h"

void sm_ext_key_usage(sm_buf *out, uint32_t bits)
{
    sm_der_write_named_bits(out, bits);
}

void sm_ext_basic_constraints(sm_buf *out, bool ca, int path_length)
{
    sm_der_block seq = sm_der_begin(out, SM_DER_SEQUENCE);
    if (ca) {
        sm_der_write_bool(out, true); /* DEFAULT FALSE is left out */
    }
    if (ca && path_length >= 0) {
        sm_der_write_u64(out, (uint64_t)path_length);
    }
    sm_der_end(out, seq);
}

sm_err sm_ext_eku(sm_buf *out, const sm_slice *oids, size_t count)
{
    if (count == 0) {
        return SM_ERR(INVALID); /* SIZE (1..MAX) */
    }
    sm_der_block seq = sm_der_begin(out, SM_DER_SEQUENCE);
    for (size_t i = 0; i < count; i++) {
        sm_der_write_oid(out, oids[i]);
    }
    sm_der_end(out, seq);
    return sm_buf_err(out);
}

static void write_access(sm_buf *out, sm_slice method, const sm_slice *urls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sm_der_block access = sm_der_begin(out, SM_DER_SEQUENCE);
        sm_der_write_oid(out, method);
        sm_der_write(out, SM_DER_CTX(SM_SAN_URI), urls[i]);
        sm_der_end(out, access);
    }
}

/* RFC 5280 4.2.2.1. */
sm_err sm_ext_aia(sm_buf *out, const sm_slice *ocsp, size_t ocsp_count, const sm_slice *issuers,
                  size_t issuer_count)
{
    if (ocsp_count + issuer_count == 0) {
        return SM_ERR(INVALID);
    }
    sm_der_block seq = sm_der_begin(out, SM_DER_SEQUENCE);
    write_access(out, SM_OID_AD_OCSP, ocsp, ocsp_count);
    write_access(out, SM_OID_AD_CA_ISSUERS, issuers, issuer_count);
    sm_der_end(out, seq);
    return sm_buf_err(out);
}

/* RFC 5280 4.2.1.13: one DistributionPoint per URL, as most clients expect. */
sm_err sm_ext_crl_dp(sm_buf *out, const sm_slice *urls, size_t count)
{
    if (count == 0) {
        return SM_ERR(INVALID);
    }
    sm_der_block seq = sm_der_begin(out, SM_DER_SEQUENCE);
    for (size_t i = 0; i < count; i++) {
        sm_der_block point = sm_der_begin(out, SM_DER_SEQUENCE);
        sm_der_block name = sm_der_begin(out, SM_DER_CTX_CONS(0));
        sm_der_block full = sm_der_begin(out, SM_DER_CTX_CONS(0));
        sm_der_write(out, SM_DER_CTX(SM_SAN_URI), urls[i]);
        sm_der_end(out, full);
        sm_der_end(out, name);
        sm_der_end(out, point);
    }
    sm_der_end(out, seq);
    return sm_buf_err(out);
}

static void write_subtrees(sm_buf *out, unsigned number, const struct sm_san *names, size_t count)
{
    if (count == 0) {
        return;
    }
    sm_der_block list = sm_der_begin(out, SM_DER_CTX_CONS(number));
    for (size_t i = 0; i < count; i++) {
        sm_der_block subtree = sm_der_begin(out, SM_DER_SEQUENCE);
        sm_san_write(out, &names[i]); /* minimum DEFAULT 0, maximum absent */
        sm_der_end(out, subtree);
    }
    sm_der_end(out, list);
}

static sm_err check_subtrees(const struct sm_san *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        SM_TRY(sm_san_check_constraint(&names[i], NULL));
    }
    return SM_NO_ERR;
}

/* RFC 5280 4.2.1.10. */
sm_err sm_ext_name_constraints(sm_buf *out, const struct sm_san *permitted, size_t permitted_count,
                               const struct sm_san *excluded, size_t excluded_count)
{
    if (permitted_count + excluded_count == 0) {
        return SM_ERR(INVALID); /* never an empty sequence */
    }
    SM_TRY(check_subtrees(permitted, permitted_count));
    SM_TRY(check_subtrees(excluded, excluded_count));
    sm_der_block seq = sm_der_begin(out, SM_DER_SEQUENCE);
    write_subtrees(out, 0, permitted, permitted_count);
    write_subtrees(out, 1, excluded, excluded_count);
    sm_der_end(out, seq);
    return sm_buf_err(out);
}

/* RFC 5280 4.2.1.4. */
sm_err sm_ext_policies(sm_buf *out, const struct sm_policy *policies, size_t count)
{
    if (count == 0) {
        return SM_ERR(INVALID);
    }
    sm_der_block seq = sm_der_begin(out, SM_DER_SEQUENCE);
    for (size_t i = 0; i < count; i++) {
        sm_der_block policy = sm_der_begin(out, SM_DER_SEQUENCE);
        sm_der_write_oid(out, policies[i].oid);
        if (policies[i].cps_count > 0) {
            sm_der_block qualifiers = sm_der_begin(out, SM_DER_SEQUENCE);
            for (size_t j = 0; j < policies[i].cps_count; j++) {
                sm_der_block qualifier = sm_der_begin(out, SM_DER_SEQUENCE);
                sm_der_write_oid(out, SM_OID_CPS);
                sm_der_write(out, SM_DER_IA5_STRING, policies[i].cps[j]);
                sm_der_end(out, qualifier);
            }
            sm_der_end(out, qualifiers);
        }
        sm_der_end(out, policy);
    }
    sm_der_end(out, seq);
    return sm_buf_err(out);
}
