/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ocsp_schedule.h"

#include "api/api_p.h"
#include "api/ocsp_responder.h"
#include "api/record.h"
#include "base/text.h"

struct held {
    sm_world *world;
    /* Where the last look was: issuers are asked for in order. */
    size_t at;
    size_t ca;
    size_t generation;
};

static void fill_settings(const Sealmill__Config__V1__Ocsp *ocsp,
                          struct sm_ocsp_refresh_settings *out)
{
    int64_t alarm_s = 0;
    bool has = ocsp != NULL && ocsp->refresh_alarm[0] != '\0' &&
               sm_ok(sm_duration_parse(sm_slice_str(ocsp->refresh_alarm), &alarm_s));
    out->share = ocsp == NULL ? 0 : ocsp->refresh_share;
    out->share_behind = ocsp == NULL ? 0 : ocsp->refresh_share_behind;
    out->alarm_s = has ? alarm_s : 0;
}

static void *attach(void *ctx, struct sm_ocsp_refresh_settings *out)
{
    sm_api *api = ctx;
    static _Thread_local struct held held;
    held = (struct held){.world = sm_world_attach(api)};
    fill_settings(held.world->config->ocsp, out);
    out->number = held.world->number;
    return &held;
}

static void detach(void *ctx)
{
    struct held *held = ctx;
    sm_world_detach(&held->world);
}

/* The next generation that has a responder which signs here. */
static const struct sm_ocsp_responder *next_responder(struct held *h)
{
    while (h->ca < h->world->ca_count) {
        const struct sm_ca *ca = &h->world->cas[h->ca];
        if (h->generation == ca->generation_count) {
            h->ca++;
            h->generation = 0;
            continue;
        }
        const struct sm_ca_generation *g = &ca->generations[h->generation++];
        if (g->ocsp != NULL && !g->ocsp->offline) {
            return g->ocsp;
        }
    }
    return NULL;
}

static bool issuer(void *ctx, size_t at, struct sm_ocsp_refresh_issuer *out)
{
    struct held *h = ctx;
    const struct sm_ocsp_responder *r = NULL;
    if (at < h->at || h->at == 0) {
        h->at = h->ca = h->generation = 0;
    }
    while (h->at <= at) {
        r = next_responder(h);
        if (r == NULL) {
            h->at = 0;
            return false;
        }
        h->at++;
    }
    *out = (struct sm_ocsp_refresh_issuer){.issuer = &r->issuer,
                                           .signers = r->signers,
                                           .signer_count = r->signer_count,
                                           .validity_s = r->rules.validity_s,
                                           .backdate_s = r->rules.backdate_s,
                                           .eager = r->rules.eager,
                                           .foreign = r->foreign};
    return true;
}

static bool read_cert(sm_slice record, struct sm_ocsp_refresh_cert *out)
{
    struct sm_record_brief brief;
    if (!sm_record_read_brief(record, &brief)) {
        return false;
    }
    *out = (struct sm_ocsp_refresh_cert){brief.ca_id, brief.generation, brief.not_after};
    return true;
}

sm_err sm_ocsp_schedule_new(sm_api *api, sm_sign_pool *pool)
{
    const struct sm_ocsp_refresh_config config = {.store = api->config.store,
                                                  .cache = api->ocsp_cache,
                                                  .pool = pool,
                                                  .attach = attach,
                                                  .issuer = issuer,
                                                  .detach = detach,
                                                  .read_cert = read_cert,
                                                  .ctx = api};
    return sm_ocsp_refresh_new(&config, &api->ocsp_refresh);
}

sm_err sm_ocsp_schedule_start(sm_api *api, sm_sign_pool *pool)
{
    SM_TRY(sm_ocsp_schedule_new(api, pool));
    return sm_ocsp_refresh_start(api->ocsp_refresh);
}

void sm_ocsp_schedule_stop(sm_api *api)
{
    if (api != NULL && api->ocsp_refresh != NULL) {
        sm_ocsp_refresh_stop(api->ocsp_refresh);
    }
}

void sm_ocsp_schedule_tell(sm_api *api, sm_buf *text)
{
    struct sm_ocsp_refresh_status status;
    if (api->ocsp_refresh == NULL) {
        return;
    }
    sm_ocsp_refresh_status(api->ocsp_refresh, &status);
    if (status.alarm) {
        sm_buf_printf(text, "ocsp: signing answers anew is %lld s late\n", (long long)status.lag_s);
    }
    if (status.unable > 0) {
        sm_buf_printf(text, "ocsp: the responders of %zu generations of CAs cannot sign\n",
                      status.unable);
    }
}
