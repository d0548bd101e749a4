/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/crl_read.h"

#include "base/text.h"
#include "sign/oids.h"

#define VERSION_2 1
#define REASON_MAX 10

/* ---- extensions ---- */

struct extension {
    sm_slice oid;
    bool critical;
    sm_slice value;
};

static struct extension read_extension(sm_der *list)
{
    struct extension e = {.critical = false};
    sm_der inner = sm_der_enter(list, SM_DER_SEQUENCE);
    e.oid = sm_der_read_oid(&inner);
    if (sm_der_peek(&inner) == SM_DER_BOOLEAN) {
        e.critical = sm_der_read_bool(&inner);
    }
    e.value = sm_der_read(&inner, SM_DER_OCTET_STRING);
    sm_der_leave(list, &inner);
    return e;
}

static sm_slice unsigned_of(sm_der *outer, sm_slice value)
{
    sm_der d = sm_der_init(value);
    sm_slice n = sm_der_read_unsigned(&d);
    if (!sm_ok(sm_der_finish(&d))) {
        sm_der_fail(outer, SM_ERR(MALFORMED));
    }
    return n;
}

/* ---- entries ---- */

/* RFC 5280 5.3.1 */
static int reason_of(sm_der *outer, sm_slice value)
{
    sm_der d = sm_der_init(value);
    sm_slice n = sm_der_read(&d, SM_DER_ENUMERATED);
    bool good = n.len == 1 && n.ptr[0] <= REASON_MAX && n.ptr[0] != 7 && sm_ok(sm_der_finish(&d));
    if (!good) {
        sm_der_fail(outer, SM_ERR(MALFORMED));
        return -1;
    }
    return n.ptr[0];
}

/* GeneralizedTime (RFC 5280 5.3.2) */
static int64_t time_of(sm_der *outer, sm_slice value)
{
    sm_der d = sm_der_init(value);
    int64_t t = sm_der_read_time(&d);
    if (!sm_ok(sm_der_finish(&d))) {
        sm_der_fail(outer, SM_ERR(MALFORMED));
        return 0;
    }
    return t;
}

static void read_entry_extensions(sm_der *entry, struct sm_crl_read_entry *out)
{
    sm_der list = sm_der_enter(entry, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&list)) {
        struct extension e = read_extension(&list);
        if (sm_slice_equal(e.oid, SM_OID_CRL_REASON)) {
            out->reason = reason_of(&list, e.value);
        } else if (sm_slice_equal(e.oid, SM_OID_INVALIDITY_DATE)) {
            out->invalidity_date = time_of(&list, e.value);
        } else if (e.critical) { /* certificateIssuer (RFC 5280 5.3.3), for one */
            sm_der_fail(&list, SM_ERR(UNSUPPORTED));
        }
    }
    sm_der_leave(entry, &list);
}

bool sm_crl_read_next(sm_der *cursor, struct sm_crl_read_entry *out)
{
    if (sm_der_at_end(cursor)) {
        return false;
    }
    out->reason = -1;
    out->invalidity_date = 0;
    sm_der entry = sm_der_enter(cursor, SM_DER_SEQUENCE);
    out->serial = sm_der_read_unsigned(&entry);
    out->revoked_at = sm_der_read_time(&entry);
    if (!sm_der_at_end(&entry)) {
        read_entry_extensions(&entry, out);
    }
    sm_der_leave(cursor, &entry);
    return sm_ok(sm_der_err(cursor));
}

static sm_err count_entries(struct sm_crl_read *crl)
{
    struct sm_crl_read_entry entry;
    sm_der d = sm_der_init(crl->entries);
    while (sm_crl_read_next(&d, &entry)) {
        crl->count++;
    }
    return sm_der_finish(&d);
}

/* ---- the list ---- */

/* RFC 5280 5.2.5: [1] onlyContainsUserCerts, [2] onlyContainsCACerts, [5] onlyContainsAttributeCerts. */
static bool narrows(uint8_t tag)
{
    return tag == SM_DER_CTX(1) || tag == SM_DER_CTX(2) || tag == SM_DER_CTX(5);
}

/* RFC 5280 5.2.5: [3] onlySomeReasons, [4] indirectCRL. */
static void read_distribution(sm_der *outer, sm_slice value, struct sm_crl_read *out)
{
    out->distribution = value;
    sm_der d = sm_der_init(value);
    sm_der idp = sm_der_enter(&d, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&idp)) {
        uint8_t tag;
        sm_slice content = sm_der_read_any(&idp, &tag);
        bool is_true = content.len == 1 && content.ptr[0] != 0;
        if (tag == SM_DER_CTX(3) || (tag == SM_DER_CTX(4) && is_true)) {
            sm_der_fail(outer, SM_ERR(UNSUPPORTED));
        }
        out->some_certificates = out->some_certificates || (narrows(tag) && is_true);
    }
    sm_der_leave(&d, &idp);
    if (!sm_ok(sm_der_finish(&d))) {
        sm_der_fail(outer, SM_ERR(MALFORMED));
    }
}

static void read_extensions(sm_der *tbs, struct sm_crl_read *out)
{
    sm_der tagged = sm_der_enter(tbs, SM_DER_CTX_CONS(0));
    sm_der list = sm_der_enter(&tagged, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&list)) {
        struct extension e = read_extension(&list);
        if (sm_slice_equal(e.oid, SM_OID_CRL_NUMBER)) {
            out->number = unsigned_of(&list, e.value);
        } else if (sm_slice_equal(e.oid, SM_OID_DELTA_CRL)) {
            out->is_delta = true;
            out->base_number = unsigned_of(&list, e.value);
        } else if (sm_slice_equal(e.oid, SM_OID_ISSUING_DP)) {
            read_distribution(&list, e.value, out);
        } else if (e.critical) {
            sm_der_fail(&list, SM_ERR(UNSUPPORTED));
        }
    }
    sm_der_leave(&tagged, &list);
    sm_der_leave(tbs, &tagged);
}

static bool is_time(uint8_t tag)
{
    return tag == SM_DER_UTC_TIME || tag == SM_DER_GENERALIZED_TIME;
}

static void read_tbs(sm_slice whole, struct sm_crl_read *out, sm_slice *algorithm, sm_der *outer)
{
    sm_der d = sm_der_init(whole);
    sm_der tbs = sm_der_enter(&d, SM_DER_SEQUENCE);
    bool v2 = sm_der_peek(&tbs) == SM_DER_INTEGER;
    if (v2 && sm_der_read_u64(&tbs) != VERSION_2) {
        sm_der_fail(&tbs, SM_ERR(MALFORMED));
    }
    *algorithm = sm_der_read(&tbs, SM_DER_SEQUENCE);
    out->issuer = sm_der_read_raw(&tbs);
    out->this_update = sm_der_read_time(&tbs);
    if (is_time(sm_der_peek(&tbs))) {
        out->next_update = sm_der_read_time(&tbs);
    }
    (void)sm_der_read_if(&tbs, SM_DER_SEQUENCE, &out->entries);
    if (!sm_der_at_end(&tbs)) {
        read_extensions(&tbs, out);
    }
    sm_der_leave(&d, &tbs);
    if (!sm_ok(sm_der_finish(&d))) {
        sm_der_fail(outer, sm_der_err(&d));
    }
}

static sm_err parse(sm_slice der, struct sm_crl_read *out)
{
    sm_slice inner_algorithm;
    sm_der d = sm_der_init(der);
    sm_der crl = sm_der_enter(&d, SM_DER_SEQUENCE);
    out->tbs = sm_der_read_raw(&crl);
    sm_slice algorithm = sm_der_read(&crl, SM_DER_SEQUENCE);
    out->signature = sm_der_read_bits(&crl);
    sm_der_leave(&d, &crl);
    SM_TRY(sm_der_finish(&d));
    read_tbs(out->tbs, out, &inner_algorithm, &d);
    SM_TRY(sm_der_err(&d));
    if (!sm_slice_equal(algorithm, inner_algorithm)) { /* RFC 5280 5.1.1.2 */
        return SM_ERR(MALFORMED);
    }
    if (!sm_ok(sm_sig_alg_parse(algorithm, &out->sig_alg))) {
        out->sig_alg = SM_SIG_NONE;
    }
    return count_entries(out);
}

sm_err sm_crl_read_parse(sm_slice der, struct sm_crl_read *out, sm_diag *diag)
{
    *out = (struct sm_crl_read){.sig_alg = SM_SIG_NONE};
    sm_err err = parse(der, out);
    if (sm_err_is(err, SM_E_UNSUPPORTED)) {
        return sm_diag_set(
            diag, err, "crl",
            "it is indirect, of some reasons alone, or has a critical extension that "
            "is not known here");
    }
    return sm_ok(err) ? err : sm_diag_set(diag, err, "crl", "it is not a CRL in DER");
}

sm_err sm_crl_read_pem_or_der(sm_slice text, sm_buf *scratch, sm_slice *der, sm_diag *diag)
{
    sm_slice label;
    if (text.len > 0 && text.ptr[0] == SM_DER_SEQUENCE) {
        *der = text;
        return SM_NO_ERR;
    }
    sm_err err = sm_pem_next(&text, &label, scratch);
    if (sm_ok(err) && sm_slice_equal(label, SM_LIT("X509 CRL"))) {
        *der = sm_buf_slice(scratch);
        return SM_NO_ERR;
    }
    return sm_diag_set(diag, sm_ok(err) ? SM_ERR(MALFORMED) : err, "crl",
                       "it is neither DER nor a PEM block X509 CRL");
}
