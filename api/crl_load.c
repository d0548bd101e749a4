/* SPDX-License-Identifier: Apache-2.0 */
/* A CRL that was made elsewhere: checked as a relying party would, then published as ours are. */
#include "api/api_p.h"
#include "api/crl_p.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "ocsp-cache/crl_build.h"
#include "ocsp-cache/crl_read.h"
#include "sign/batch.h"

#define CLOCKS_APART_S 300 /* between the CA that made it and us */
#define NUMBER_OCTETS 8

static sm_err refuse(sm_diag *diag, sm_err err, const char *why)
{
    return sm_diag_set(diag, err, "crl", "%s", why);
}

static bool is_signed_by(const struct sm_crl_read *crl, const struct sm_ca_generation *g)
{
    struct sm_public_key key;
    return g->cert.der.len > 0 && sm_slice_equal(g->cert.subject, crl->issuer) &&
           sm_ok(sm_public_key_parse(g->cert.spki, &key, NULL)) &&
           sm_ok(sm_verify_now(&key, crl->sig_alg, crl->tbs, crl->signature));
}

/* The generation whose key made it: the name alone says nothing after a rollover. */
static sm_err find_signer(const struct sm_ca *ca, const struct sm_crl_read *crl,
                          const struct sm_ca_generation **out, sm_diag *diag)
{
    for (size_t i = ca->generation_count; i-- > 0;) {
        if (is_signed_by(crl, &ca->generations[i])) {
            *out = &ca->generations[i];
            return SM_NO_ERR;
        }
    }
    return refuse(diag, SM_ERR(BAD_SIGNATURE),
                  "no key of this CA signed it: the issuer or the signature is another's");
}

static sm_err read_number(sm_slice magnitude, const char *what, uint64_t *out, sm_diag *diag)
{
    *out = 0;
    if (magnitude.len == 0 || magnitude.len > NUMBER_OCTETS) {
        return refuse(diag, SM_ERR(UNSUPPORTED), what);
    }
    for (size_t i = 0; i < magnitude.len; i++) {
        *out = *out << 8 | magnitude.ptr[i];
    }
    return SM_NO_ERR;
}

/* RFC 5280 5.2.5. A relying party that asks for the CA's CRL would find it about none of the others. */
static sm_err check_scope(const struct sm_crl_read *crl, sm_diag *diag)
{
    return crl->some_certificates
               ? refuse(diag, SM_ERR(UNSUPPORTED),
                        "it is of users', CAs' or attribute certificates alone, by its "
                        "issuingDistributionPoint: one that is of all of them is needed")
               : SM_NO_ERR;
}

static sm_err check_times(const struct sm_crl_read *crl, sm_diag *diag)
{
    int64_t now = sm_clock_wall_s();
    if (crl->next_update == 0) {
        return refuse(diag, SM_ERR(UNSUPPORTED), "it has no nextUpdate (RFC 5280 5.1.2.5)");
    }
    if (crl->next_update <= now) {
        return refuse(diag, SM_ERR(PRECONDITION), "its nextUpdate has passed");
    }
    return crl->this_update > now + CLOCKS_APART_S
               ? refuse(diag, SM_ERR(PRECONDITION), "its thisUpdate is in the future")
               : SM_NO_ERR;
}

/* RFC 5280 5.2.3: numbers grow; 5.2.4: a delta CRL goes with a complete one. */
static sm_err check_numbers(const struct sm_crl_read *crl, const struct sm_crl_state *state,
                            uint64_t *number, sm_diag *diag)
{
    uint64_t base = 0;
    SM_TRY(read_number(crl->number, "it has no cRLNumber of 1 to 8 octets", number, diag));
    if (crl->is_delta) {
        SM_TRY(
            read_number(crl->base_number, "its base has no number of 1 to 8 octets", &base, diag));
    }
    if (crl->is_delta && (state->full.number == 0 || base > state->full.number)) {
        return sm_diag_set(diag, SM_ERR(PRECONDITION), "crl",
                           "it is a delta to number %llu, and the full CRL here is number %llu",
                           (unsigned long long)base, (unsigned long long)state->full.number);
    }
    if (crl->is_delta && *number < state->full.number) { /* 5.2.4: no one would combine them */
        return sm_diag_set(diag, SM_ERR(PRECONDITION), "crl",
                           "it is older than the full CRL here, which is number %llu",
                           (unsigned long long)state->full.number);
    }
    const struct sm_crl_published *old = crl->is_delta ? &state->delta : &state->full;
    return *number > old->number
               ? SM_NO_ERR
               : sm_diag_set(diag, SM_ERR(EXISTS), "crl", "number %llu is published already",
                             (unsigned long long)old->number);
}

static struct sm_crl_published describe(const struct sm_crl_read *crl, uint64_t number, size_t len)
{
    return (struct sm_crl_published){number, crl->this_update, crl->next_update, crl->count, len};
}

/* That one is being loaded is noted before its file is there, and until what it is has been noted too. */
static sm_err publish(sm_crls *crls, const struct sm_crl_name *name, const struct sm_crl_read *crl,
                      sm_slice der, struct sm_crl_published *out, sm_diag *diag)
{
    const struct sm_crl_scope scope = sm_crl_scope_of(name);
    sm_store *store = sm_api_store(crls->api);
    struct sm_crl_state state;
    char path[4096];
    uint64_t number = 0;
    SM_TRY(sm_crl_path(crls, name, path));
    SM_TRY(sm_crl_state_read(store, &scope, &state));
    sm_err err = check_numbers(crl, &state, &number, diag);
    if (sm_ok(err)) {
        state.loading = true;
        err = sm_crl_state_write(store, &scope, &state);
    }
    err = sm_ok(err) ? sm_file_write_atomic(path, der, 0644, diag) : err;
    if (sm_ok(err)) {
        *out = describe(crl, number, der.len);
        *(crl->is_delta ? &state.delta : &state.full) = *out;
        state.last_number = number > state.last_number ? number : state.last_number;
        state.loading = false;
        err = sm_crl_state_write(store, &scope, &state);
    }
    sm_crl_state_deinit(&state);
    return err;
}

sm_err sm_crls_load(sm_crls *crls, const struct sm_ca *ca, sm_slice der, struct sm_crl_name *name,
                    struct sm_crl_published *out, sm_diag *diag)
{
    struct sm_crl_read crl;
    SM_TRY(sm_crl_read_parse(der, &crl, diag));
    *name = (struct sm_crl_name){.ca = ca, .delta = crl.is_delta};
    SM_TRY(find_signer(ca, &crl, &name->g, diag));
    if (name->g->key != NULL) {
        return refuse(diag, SM_ERR(PRECONDITION),
                      "the CA's key is at hand: its CRLs are made here");
    }
    SM_TRY(check_scope(&crl, diag));
    SM_TRY(check_times(&crl, diag));
    (void)pthread_mutex_lock(&crls->lock);
    sm_err err = publish(crls, name, &crl, der, out, diag);
    (void)pthread_mutex_unlock(&crls->lock);
    if (sm_ok(err)) {
        sm_log(SM_LOG_INFO, "crl_loaded", SM_KS("ca", ca->name),
               SM_KU("generation", name->g->number), SM_KS("kind", crl.is_delta ? "delta" : "full"),
               SM_KU("number", out->number), SM_KU("entries", out->entries), SM_KEND);
    }
    return err;
}

/* ---- after an interruption ---- */

/* What the file of `name` is, when the generation's key has made it. */
static sm_err read_file(const sm_crls *crls, const struct sm_crl_name *name,
                        struct sm_crl_published *out)
{
    struct sm_crl_read crl;
    char path[4096];
    sm_buf der = sm_buf_init(SM_CRL_BYTES_MAX);
    sm_diag diag = {.reason = ""};
    uint64_t number = 0;
    SM_TRY(sm_crl_path(crls, name, path));
    sm_err err = sm_file_read(path, &der, &diag);
    err = sm_ok(err) ? sm_crl_read_parse(sm_buf_slice(&der), &crl, &diag) : err;
    err = sm_ok(err) && !is_signed_by(&crl, name->g) ? SM_ERR(BAD_SIGNATURE) : err;
    err = sm_ok(err) ? read_number(crl.number, "", &number, &diag) : err;
    if (sm_ok(err)) {
        *out = describe(&crl, number, der.len);
    }
    sm_buf_deinit(&der);
    return err;
}

/* A file that is not there, or is none of the CA's, leaves what is noted. */
static sm_err settle_one(const sm_crls *crls, struct sm_crl_name *name, struct sm_crl_state *state)
{
    sm_err err = read_file(crls, name, name->delta ? &state->delta : &state->full);
    uint64_t number = name->delta ? state->delta.number : state->full.number;
    state->last_number = number > state->last_number ? number : state->last_number;
    return sm_err_category(err) == SM_INPUT ? SM_NO_ERR : err;
}

void sm_crl_settle_loaded(sm_crls *crls, const struct sm_crl_name *name, struct sm_crl_state *state)
{
    const struct sm_crl_scope scope = sm_crl_scope_of(name);
    struct sm_crl_name full = *name;
    struct sm_crl_name delta = *name;
    full.delta = false;
    delta.delta = true;
    sm_err err = settle_one(crls, &full, state);
    err = sm_ok(err) ? settle_one(crls, &delta, state) : err;
    state->loading = !sm_ok(err); /* the disk refuses: the next look tries again */
    err = sm_ok(err) ? sm_crl_state_write(sm_api_store(crls->api), &scope, state) : err;
    sm_log(sm_ok(err) ? SM_LOG_WARN : SM_LOG_ERROR, "crl_load_settled", SM_KS("ca", name->ca->name),
           SM_KU("generation", name->g->number), SM_KU("number", state->full.number),
           SM_KU("delta_number", state->delta.number), SM_KE("error", err), SM_KEND);
}
