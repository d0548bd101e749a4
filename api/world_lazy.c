/* SPDX-License-Identifier: Apache-2.0 */
/* What a world makes when it is first asked for: certificate templates, of a CA and a profile, and CAs as trust anchors.
 * A world of many CAs and profiles has more pairs than anybody uses. */
#include "api/ca_publish.h"
#include "api/crl_partition.h"
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
                           bool partitioned, sm_arena *arena)
{
    sm_slice urls[SM_PROFILE_URLS_MAX];
    for (size_t i = 0; i < m->n_crl_urls; i++) {
        const char *url = sm_crl_generation_url(m->crl_urls[i], ca->name, sm_ca_current(ca)->number,
                                                partitioned, arena);
        if (url == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        urls[i] = sm_slice_str(url);
    }
    return sm_ext_crl_dp(out, urls, m->n_crl_urls);
}

static sm_err make_template(sm_world *w, const struct sm_ca *ca, const struct sm_profile *p,
                            sm_cert_template **out)
{
    sm_arena *arena = &w->arena;
    bool partitioned = w->crl_partitions > 0;
    const char *slot = sm_crl_partition_slot(ca->name, sm_ca_current(ca)->number, arena);
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
    if (slot == NULL) {
        return SM_ERR(NO_MEMORY);
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
            err = write_crl_dp(&crl_dp, ca, p->message, partitioned, arena);
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
        .slot = partitioned ? sm_slice_str(slot) : SM_SLICE_NONE,
    };
    err = sm_ok(err) ? sm_cert_template_new(&config, out) : err;
    sm_buf_deinit(&aia);
    sm_buf_deinit(&crl_dp);
    return err;
}

bool sm_world_issues(const struct sm_ca *ca, const struct sm_profile *p)
{
    const struct sm_ca_generation *g = sm_ca_current(ca);
    return g != NULL && g->key != NULL && g->cert.der.len > 0 && allows_ca(p, ca) &&
           sm_sig_alg_for(sm_key_get_type(g->key), (enum sm_digest)p->message->signature_digest,
                          p->message->rsa_pss) != SM_SIG_NONE;
}

/* Under the lock: of two who ask first, the second finds it made. */
static sm_err make_once(sm_world *w, const struct sm_ca *ca, const struct sm_profile *p,
                        sm_cert_template **out)
{
    _Atomic(sm_cert_template *) *at = &ca->templates[p->index];
    *out = atomic_load_explicit(at, memory_order_relaxed);
    if (*out == NULL) {
        SM_TRY(make_template(w, ca, p, out));
        atomic_store_explicit(at, *out, memory_order_release);
    }
    return SM_NO_ERR;
}

sm_err sm_world_template(sm_world *w, const struct sm_ca *ca, const struct sm_profile *p,
                         const sm_cert_template **out)
{
    sm_cert_template *t = atomic_load_explicit(&ca->templates[p->index], memory_order_acquire);
    if (t == NULL && !sm_world_issues(ca, p)) {
        return SM_ERR(POLICY);
    }
    if (t == NULL) {
        (void)pthread_mutex_lock(&w->lazy_lock);
        sm_err err = make_once(w, ca, p, &t);
        (void)pthread_mutex_unlock(&w->lazy_lock);
        SM_TRY(err);
    }
    *out = t;
    return SM_NO_ERR;
}

/* What a profile says is the same for every CA but for its URLs. */
static sm_err try_profile(sm_world *w, const struct sm_profile *p)
{
    const sm_cert_template *t;
    for (size_t i = 0; i < w->ca_count; i++) {
        if (sm_world_issues(&w->cas[i], p)) {
            return sm_world_template(w, &w->cas[i], p, &t);
        }
    }
    return SM_NO_ERR;
}

sm_err sm_world_make_templates(sm_world *w)
{
    for (size_t i = 0; i < w->ca_count; i++) {
        w->cas[i].templates = sm_arena_zalloc(&w->arena, (w->profile_count + 1) *
                                                             sizeof(*w->cas[i].templates));
        if (w->cas[i].templates == NULL) {
            return SM_ERR(NO_MEMORY);
        }
    }
    for (size_t i = 0; i < w->profile_count; i++) {
        SM_TRY(try_profile(w, &w->profiles[i]));
    }
    return SM_NO_ERR;
}

/* ---- anchors ---- */

static sm_err make_anchors_once(struct sm_ca_generation *g, sm_anchors **out)
{
    *out = atomic_load_explicit(&g->anchors, memory_order_relaxed);
    if (*out == NULL) {
        SM_TRY(sm_anchors_new(&g->cert.der, 1, out, NULL));
        atomic_store_explicit(&g->anchors, *out, memory_order_release);
    }
    return SM_NO_ERR;
}

sm_err sm_world_anchors(struct sm_ca_generation *g, const sm_anchors **out)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* worlds share generations */
    sm_anchors *a = atomic_load_explicit(&g->anchors, memory_order_acquire);
    if (a == NULL) {
        (void)pthread_mutex_lock(&lock);
        sm_err err = make_anchors_once(g, &a);
        (void)pthread_mutex_unlock(&lock);
        SM_TRY(err);
    }
    *out = a;
    return SM_NO_ERR;
}

/* ---- the end ---- */

static void free_ca(struct sm_ca *ca, size_t profiles)
{
    for (size_t i = 0; ca->templates != NULL && i < profiles; i++) {
        sm_cert_template *t = atomic_load_explicit(&ca->templates[i], memory_order_relaxed);
        sm_cert_template_free(&t);
    }
}

void sm_world_free_lazy(sm_world *w)
{
    for (size_t i = 0; i < w->ca_count; i++) {
        free_ca(&w->cas[i], w->profile_count);
    }
}
