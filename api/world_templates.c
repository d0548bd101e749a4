/* SPDX-License-Identifier: Apache-2.0 */
/* The world's certificate templates: one for each CA and each profile that allows it. */
#include "api/ca_publish.h"
#include "api/world.h"
#include "sign/oids.h"

static bool allows_ca(const struct sm_profile *p, const struct sm_ca *ca)
{
    for (size_t i = 0; i < p->message->n_cas; i++) {
        if (strcmp(p->message->cas[i], ca->name) == 0 || strcmp(p->message->cas[i], "*") == 0) {
            return true;
        }
    }
    return p->message->n_cas == 0;
}

/* The profile's authorityInfoAccess with the URL of this generation where it is the CA's own. */
static sm_err write_aia(sm_buf *out, const struct sm_ca *ca, const Sealmill__V1__Profile *m,
                        sm_arena *arena)
{
    sm_slice ocsp[SM_PROFILE_URLS_MAX];
    sm_slice issuers[SM_PROFILE_URLS_MAX];
    for (size_t i = 0; i < m->n_ocsp_urls; i++) {
        ocsp[i] = sm_slice_str(m->ocsp_urls[i]);
    }
    for (size_t i = 0; i < m->n_ca_issuer_urls; i++) {
        const char *url = sm_ca_generation_url(m->ca_issuer_urls[i], ca->name,
                                               sm_ca_current(ca)->number, arena);
        if (url == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        issuers[i] = sm_slice_str(url);
    }
    return sm_ext_aia(out, ocsp, m->n_ocsp_urls, issuers, m->n_ca_issuer_urls);
}

/* The same for cRLDistributionPoints. */
static sm_err write_crl_dp(sm_buf *out, const struct sm_ca *ca, const Sealmill__V1__Profile *m,
                           sm_arena *arena)
{
    sm_slice urls[SM_PROFILE_URLS_MAX];
    for (size_t i = 0; i < m->n_crl_urls; i++) {
        const char *url = sm_crl_generation_url(m->crl_urls[i], ca->name, sm_ca_current(ca)->number,
                                                arena);
        if (url == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        urls[i] = sm_slice_str(url);
    }
    return sm_ext_crl_dp(out, urls, m->n_crl_urls);
}

static sm_err make_template(const struct sm_ca *ca, const struct sm_profile *p, sm_arena *arena,
                            sm_cert_template **out)
{
    const struct sm_ca_generation *g = sm_ca_current(ca);
    struct sm_extension extensions[SM_PROFILE_EXTENSIONS_MAX];
    sm_buf aia = sm_buf_init(1U << 16);
    sm_buf crl_dp = sm_buf_init(1U << 16);
    sm_err err = SM_NO_ERR;
    enum sm_sig_alg alg = sm_sig_alg_for(
        sm_key_get_type(g->key), (enum sm_digest)p->message->signature_digest, p->message->rsa_pss);
    if (alg == SM_SIG_NONE) {
        return SM_ERR(UNSUPPORTED);
    }
    for (size_t i = 0; i < p->extension_count; i++) {
        extensions[i] = p->extensions[i];
        if (p->message->n_ca_issuer_urls > 0 && sm_ok(err) &&
            sm_slice_equal(extensions[i].oid, SM_OID_AIA)) {
            err = write_aia(&aia, ca, p->message, arena);
            extensions[i].value = sm_buf_slice(&aia);
        }
        if (p->message->n_crl_urls > 0 && sm_ok(err) &&
            sm_slice_equal(extensions[i].oid, SM_OID_CRL_DP)) {
            err = write_crl_dp(&crl_dp, ca, p->message, arena);
            extensions[i].value = sm_buf_slice(&crl_dp);
        }
    }
    const struct sm_cert_template_config config = {
        .sig_alg = alg,
        .issuer = g->cert.subject,
        .authority_key_id = g->cert.subject_key_id,
        .subject_key_id = !p->message->no_subject_key_identifier,
        .extensions = extensions,
        .extension_count = p->extension_count,
    };
    err = sm_ok(err) ? sm_cert_template_new(&config, out) : err;
    sm_buf_deinit(&aia);
    sm_buf_deinit(&crl_dp);
    return err;
}

sm_err sm_world_make_templates(sm_world *w)
{
    for (size_t i = 0; i < w->ca_count; i++) {
        const struct sm_ca_generation *g = sm_ca_current(&w->cas[i]);
        if (g == NULL || g->key == NULL || g->cert.der.len == 0) {
            continue;
        }
        for (size_t j = 0; j < w->profile_count; j++) {
            if (!allows_ca(&w->profiles[j], &w->cas[i])) {
                continue;
            }
            sm_err err = make_template(&w->cas[i], &w->profiles[j], &w->arena,
                                       &w->cas[i].templates[j]);
            if (!sm_ok(err) && !sm_err_is(err, SM_E_UNSUPPORTED)) {
                return err;
            }
        }
    }
    return SM_NO_ERR;
}
