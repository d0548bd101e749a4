/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ca_cert.h"

#include "api/ca_publish.h"
#include "base/clock.h"
#include "sign/der.h"
#include "sign/oids.h"

#define CA_KEY_USAGE (1U << 0 | 1U << 5 | 1U << 6) /* digitalSignature, keyCertSign, cRLSign */
#define BACKDATE_S 300
#define EXTENSIONS_MAX 8
#define CA_VALIDITY_DEFAULT_S (INT64_C(10) * 365 * 86400)
#define TIME_MAX_S INT64_C(253402300799) /* 9999-12-31T23:59:59Z (RFC 5280 4.1.2.5) */

struct maker {
    sm_arena *arena;
    struct sm_extension list[EXTENSIONS_MAX];
    size_t count;
    sm_buf value;
    sm_err err;
};

static void add(struct maker *m, sm_slice oid, bool critical)
{
    if (sm_ok(m->err)) {
        m->err = sm_buf_err(&m->value);
    }
    if (sm_ok(m->err)) {
        m->list[m->count].oid = oid;
        m->list[m->count].critical = critical;
        m->err = sm_arena_copy(m->arena, sm_buf_slice(&m->value), &m->list[m->count].value);
        m->count++;
    }
    sm_buf_reset(&m->value);
}

static void to_slices(char *const *texts, size_t count, sm_slice out[SM_CA_URLS_MAX])
{
    for (size_t i = 0; i < count; i++) {
        out[i] = sm_slice_str(texts[i]);
    }
}

static sm_err to_subtrees(struct maker *m, Sealmill__V1__SubjectAltName *const *names, size_t count,
                          struct sm_san out[SM_CA_SUBTREES_MAX], sm_diag *diag)
{
    for (size_t i = 0; i < count; i++) {
        SM_TRY(sm_san_from_message(names[i], m->arena, &out[i], diag));
    }
    return SM_NO_ERR;
}

static sm_err add_constraints(struct maker *m, const Sealmill__V1__NameConstraints *nc,
                              sm_diag *diag)
{
    struct sm_san permitted[SM_CA_SUBTREES_MAX];
    struct sm_san excluded[SM_CA_SUBTREES_MAX];
    SM_TRY(to_subtrees(m, nc->permitted, nc->n_permitted, permitted, diag));
    SM_TRY(to_subtrees(m, nc->excluded, nc->n_excluded, excluded, diag));
    SM_TRY(
        sm_ext_name_constraints(&m->value, permitted, nc->n_permitted, excluded, nc->n_excluded));
    add(m, SM_OID_NAME_CONSTRAINTS, true);
    return SM_NO_ERR;
}

/* JSON has no way to say that a number is set: one that is not 0 is. */
static int path_length(const Sealmill__V1__CreateCaRequest *r)
{
    return r->path_length_set || r->path_length != 0 ? r->path_length : -1;
}

static sm_err check_count(size_t count, size_t max, const char *field, sm_diag *diag)
{
    return count <= max ? SM_NO_ERR
                        : sm_diag_set(diag, SM_ERR(TOO_LARGE), field, "more than %zu entries", max);
}

sm_err sm_ca_request_check(const Sealmill__V1__CreateCaRequest *r, int64_t validity_s,
                           sm_diag *diag)
{
    const Sealmill__V1__NameConstraints *nc = r->name_constraints;
    if (validity_s < 0 || validity_s > TIME_MAX_S - sm_clock_wall_s()) {
        return sm_diag_set(diag, SM_ERR(OUT_OF_RANGE), "validity_seconds",
                           "at least 1 and no end behind the year 9999 are wanted");
    }
    if (path_length(r) < -1) {
        return sm_diag_set(diag, SM_ERR(OUT_OF_RANGE), "path_length", "-1 (none) or more");
    }
    if (nc != NULL) {
        SM_TRY(
            check_count(nc->n_permitted, SM_CA_SUBTREES_MAX, "name_constraints.permitted", diag));
        SM_TRY(check_count(nc->n_excluded, SM_CA_SUBTREES_MAX, "name_constraints.excluded", diag));
    }
    SM_TRY(check_count(r->n_crl_urls, SM_CA_URLS_MAX, "crl_urls", diag));
    SM_TRY(check_count(r->n_ocsp_urls, SM_CA_URLS_MAX, "ocsp_urls", diag));
    return check_count(r->n_ca_issuer_urls, SM_CA_URLS_MAX, "ca_issuer_urls", diag);
}

static sm_err add_aia(struct maker *m, const struct sm_ca_cert_request *cert)
{
    const Sealmill__V1__CreateCaRequest *r = cert->request;
    sm_slice ocsp[SM_CA_URLS_MAX];
    sm_slice issuers[SM_CA_URLS_MAX];
    to_slices(r->ocsp_urls, r->n_ocsp_urls, ocsp);
    to_slices(r->ca_issuer_urls, r->n_ca_issuer_urls, issuers);
    for (size_t i = 0; i < r->n_ca_issuer_urls && cert->issuer_name != NULL; i++) {
        const char *url = sm_ca_generation_url(r->ca_issuer_urls[i], cert->issuer_name,
                                               cert->issuer_generation, m->arena);
        if (url == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        issuers[i] = sm_slice_str(url);
    }
    SM_TRY(sm_ext_aia(&m->value, ocsp, r->n_ocsp_urls, issuers, r->n_ca_issuer_urls));
    add(m, SM_OID_AIA, false);
    return SM_NO_ERR;
}

static sm_err add_extensions(struct maker *m, const struct sm_ca_cert_request *cert, sm_diag *diag)
{
    const Sealmill__V1__CreateCaRequest *r = cert->request;
    sm_slice urls[SM_CA_URLS_MAX];
    sm_ext_basic_constraints(&m->value, true, path_length(r));
    add(m, SM_OID_BASIC_CONSTRAINTS, true);
    sm_ext_key_usage(&m->value, CA_KEY_USAGE);
    add(m, SM_OID_KEY_USAGE, true);
    if (r->name_constraints != NULL) {
        SM_TRY(add_constraints(m, r->name_constraints, diag));
    }
    if (r->n_ocsp_urls + r->n_ca_issuer_urls > 0) {
        SM_TRY(add_aia(m, cert));
    }
    to_slices(r->crl_urls, r->n_crl_urls, urls);
    if (r->n_crl_urls > 0) {
        SM_TRY(sm_ext_crl_dp(&m->value, urls, r->n_crl_urls));
        add(m, SM_OID_CRL_DP, false);
    }
    return m->err;
}

/* Template, TBSCertificate, signature. */
static sm_err sign_cert(struct maker *m, const struct sm_cert_template_config *config,
                        const struct sm_cert_params *params, sm_key *issuer_key, sm_slice *out)
{
    sm_cert_template *t;
    sm_buf tbs = sm_buf_init(SM_CERT_MAX);
    sm_buf signature = sm_buf_init(SM_SIGNATURE_MAX);
    sm_buf cert = sm_buf_init(SM_CERT_MAX);
    SM_TRY(sm_cert_template_new(config, &t));
    sm_err err = sm_cert_write_tbs(t, params, &tbs);
    err = sm_ok(err) ? sm_sign_now(issuer_key, config->sig_alg, sm_buf_slice(&tbs), &signature)
                     : err;
    err = sm_ok(err) ? sm_signed_write(&cert, sm_buf_slice(&tbs), config->sig_alg,
                                       sm_buf_slice(&signature))
                     : err;
    err = sm_ok(err) ? sm_arena_copy(m->arena, sm_buf_slice(&cert), out) : err;
    sm_cert_template_free(&t);
    sm_buf_deinit(&tbs);
    sm_buf_deinit(&signature);
    sm_buf_deinit(&cert);
    return err;
}

static sm_err make_ca(struct maker *m, const struct sm_ca_cert_request *r, sm_slice *out,
                      sm_diag *diag)
{
    uint8_t serial[SM_SERIAL_LEN];
    uint8_t own_id[20];
    const struct sm_public_key *key = r->linked_key != NULL ? r->linked_key : sm_key_public(r->key);
    SM_TRY(sm_ca_request_check(r->request, r->validity_s, diag));
    SM_TRY(add_extensions(m, r, diag));
    SM_TRY(sm_public_key_id(key, own_id));
    sm_serial_make(serial);
    const struct sm_cert_template_config config = {
        .sig_alg = sm_sig_alg_for(sm_key_get_type(r->issuer_key), SM_DIGEST_NONE, false),
        .issuer = r->issuer == NULL ? r->subject : r->issuer->subject,
        .authority_key_id = r->issuer == NULL ? sm_slice_of(own_id, sizeof(own_id))
                                              : r->issuer->subject_key_id,
        .subject_key_id = true,
        .extensions = m->list,
        .extension_count = m->count,
    };
    int64_t now = sm_clock_wall_s();
    struct sm_cert_params params = {
        .serial = sm_slice_of(serial, sizeof(serial)),
        .not_before = now - BACKDATE_S,
        .not_after = now + (r->validity_s == 0 ? CA_VALIDITY_DEFAULT_S : r->validity_s) - 1,
        .subject = r->subject,
        .key = key,
    };
    if (r->linked_key != NULL) {
        params.not_before = r->not_before;
        params.not_after = r->not_after;
    } else if (r->issuer != NULL) {
        params.not_before = params.not_before < r->issuer->not_before ? r->issuer->not_before
                                                                      : params.not_before;
        params.not_after = params.not_after > r->issuer->not_after ? r->issuer->not_after
                                                                   : params.not_after;
    }
    return sign_cert(m, &config, &params, r->issuer_key, out);
}

sm_err sm_ca_cert_make(const struct sm_ca_cert_request *r, sm_arena *arena, sm_slice *out,
                       sm_diag *diag)
{
    struct maker m = {.arena = arena, .value = sm_buf_init(65536)};
    sm_err err = make_ca(&m, r, out, diag);
    sm_buf_deinit(&m.value);
    return err;
}

static sm_err make_leaf(struct maker *m, const struct sm_leaf_request *r, sm_buf *subject,
                        sm_slice *out)
{
    uint8_t serial[SM_SERIAL_LEN];
    struct sm_name name = {.count = 0};
    sm_serial_make(serial);
    sm_ext_key_usage(&m->value, 1U << 0);
    add(m, SM_OID_KEY_USAGE, true);
    SM_TRY(m->err);
    SM_TRY(sm_ext_eku(&m->value, r->eku, r->eku_count));
    add(m, SM_OID_EKU, false);
    if (r->ocsp_no_check) {
        sm_der_write_null(&m->value);
        add(m, SM_OID_OCSP_NO_CHECK, false); /* RFC 6960 4.2.2.2.1 */
    }
    SM_TRY(m->err);
    SM_TRY(sm_name_from_text(sm_slice_str(r->subject), m->arena, &name, NULL));
    sm_name_write(subject, &name);
    const struct sm_cert_template_config config = {
        .sig_alg = sm_sig_alg_for(sm_key_get_type(r->issuer_key), SM_DIGEST_NONE, false),
        .issuer = r->issuer->subject,
        .authority_key_id = r->issuer->subject_key_id,
        .subject_key_id = true,
        .extensions = m->list,
        .extension_count = m->count,
    };
    int64_t now = sm_clock_wall_s();
    int64_t end = now + r->validity_s - 1;
    const struct sm_cert_params params = {
        .serial = sm_slice_of(serial, sizeof(serial)),
        .not_before = now - BACKDATE_S < r->issuer->not_before ? r->issuer->not_before
                                                               : now - BACKDATE_S,
        .not_after = end > r->issuer->not_after ? r->issuer->not_after : end,
        .subject = sm_buf_slice(subject),
        .key = sm_key_public(r->key),
        .sans = r->sans,
        .san_count = r->san_count,
    };
    return sign_cert(m, &config, &params, r->issuer_key, out);
}

sm_err sm_leaf_cert_make(const struct sm_leaf_request *r, sm_arena *arena, sm_slice *out)
{
    struct maker m = {.arena = arena, .value = sm_buf_init(4096)};
    sm_buf subject = sm_buf_init(4096);
    sm_err err = make_leaf(&m, r, &subject, out);
    sm_buf_deinit(&subject);
    sm_buf_deinit(&m.value);
    return err;
}

sm_err sm_ocsp_cert_make(const struct sm_cert *issuer, sm_key *issuer_key, sm_key *key,
                         int64_t validity_s, sm_arena *arena, sm_slice *out)
{
    const sm_slice eku[] = {SM_OID_EKU_OCSP_SIGNING};
    const struct sm_leaf_request r = {
        .issuer = issuer,
        .issuer_key = issuer_key,
        .key = key,
        .subject = "CN=OCSP responder",
        .eku = eku,
        .eku_count = 1,
        .ocsp_no_check = true,
        .validity_s = validity_s,
    };
    return sm_leaf_cert_make(&r, arena, out);
}

sm_err sm_ca_csr_make(sm_slice subject, sm_key *key, sm_arena *arena, sm_slice *out)
{
    enum sm_sig_alg alg = sm_sig_alg_for(sm_key_get_type(key), SM_DIGEST_NONE, false);
    sm_buf info = sm_buf_init(SM_CSR_MAX);
    sm_buf signature = sm_buf_init(SM_SIGNATURE_MAX);
    sm_buf csr = sm_buf_init(SM_CSR_MAX);
    sm_der_block block = sm_der_begin(&info, SM_DER_SEQUENCE);
    sm_der_write_u64(&info, 0);
    sm_buf_put(&info, subject);
    sm_buf_put(&info, sm_key_public(key)->spki);
    sm_der_write(&info, SM_DER_CTX_CONS(0), SM_SLICE_NONE);
    sm_der_end(&info, block);
    sm_err err = sm_buf_err(&info);
    err = sm_ok(err) ? sm_sign_now(key, alg, sm_buf_slice(&info), &signature) : err;
    err = sm_ok(err) ? sm_signed_write(&csr, sm_buf_slice(&info), alg, sm_buf_slice(&signature))
                     : err;
    err = sm_ok(err) ? sm_arena_copy(arena, sm_buf_slice(&csr), out) : err;
    sm_buf_deinit(&info);
    sm_buf_deinit(&signature);
    sm_buf_deinit(&csr);
    return err;
}
