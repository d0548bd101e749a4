/* SPDX-License-Identifier: Apache-2.0 */
/* CrlService. */
#include "api/api_p.h"
#include "api/method.h"
#include "api/record.h"
#include "base/check.h"
#include "gen/sealmill/v1/crl.pb-c.h"

static sm_err describe(sm_call *call, const char *ca, uint32_t generation, bool delta,
                       const struct sm_crl_published *p, Sealmill__V1__Crl **out)
{
    Sealmill__V1__Crl *c = SM_ARENA_NEW(&call->arena, Sealmill__V1__Crl);
    if (c == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__crl__init(c);
    c->ca = sm_text(&call->arena, sm_slice_str(ca));
    c->generation = (int32_t)generation;
    c->delta = delta;
    c->number = p->number;
    c->this_update = sm_timestamp(&call->arena, p->this_update);
    c->next_update = sm_timestamp(&call->arena, p->next_update);
    c->entries = p->entries;
    c->bytes = p->bytes;
    c->file = sm_arena_printf(&call->arena, "%s.%u%s.crl", ca, generation, delta ? ".delta" : "");
    *out = c;
    return c->file == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

/* ---- List ---- */

static sm_err add(sm_call *call, const struct sm_ca *ca, const struct sm_ca_generation *g,
                  Sealmill__V1__ListCrlsResponse *r)
{
    struct sm_crl_state state;
    SM_TRY(sm_crl_state_read(sm_api_store(sm_api_of(call->loop)), g->ca_id, g->number, &state));
    if (state.full.number != 0) {
        SM_TRY(describe(call, ca->name, g->number, false, &state.full, &r->crls[r->n_crls]));
        r->n_crls++;
    }
    if (state.delta.number != 0) {
        SM_TRY(describe(call, ca->name, g->number, true, &state.delta, &r->crls[r->n_crls]));
        r->n_crls++;
    }
    return SM_NO_ERR;
}

static sm_err list(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    Sealmill__V1__ListCrlsResponse *r = SM_ARENA_NEW(&call->arena, Sealmill__V1__ListCrlsResponse);
    const sm_world *w = call->world;
    size_t generations = 0;
    (void)request;
    for (size_t i = 0; i < w->ca_count; i++) {
        generations += w->cas[i].generation_count;
    }
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__list_crls_response__init(r);
    r->crls = sm_arena_alloc(&call->arena, (2 * generations + 1) * sizeof(*r->crls));
    if (r->crls == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < w->ca_count; i++) {
        for (size_t j = 0; j < w->cas[i].generation_count; j++) {
            SM_TRY(add(call, &w->cas[i], &w->cas[i].generations[j], r));
        }
    }
    *response = &r->base;
    return SM_NO_ERR;
}

/* ---- Make ---- */

static sm_err record(sm_call *call, const struct sm_ca *ca, bool delta)
{
    sm_slice log;
    const struct sm_audit audit = {
        .caller = call->caller.name,
        .action = delta ? "crl.make_delta" : "crl.make",
        .outcome = "ok",
        .target = ca->name,
        .correlation_id = call->correlation_id,
        .ca_id = ca->id,
    };
    SM_TRY(sm_audit_pack(&audit, &call->arena, &log));
    sm_store_write op = {.log = &log, .log_count = 1};
    return sm_store_write_sync(sm_api_store(sm_api_of(call->loop)), &op);
}

static sm_err make(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__MakeCrlRequest *q = (const Sealmill__V1__MakeCrlRequest *)(const void *)
        request;
    const struct sm_ca *ca = sm_world_ca(call->world, q->ca);
    const struct sm_ca_generation *g = NULL;
    sm_crls *crls = sm_api_of(call->loop)->crls;
    struct sm_crl_state state;
    Sealmill__V1__Crl *c;
    if (ca != NULL) {
        g = q->generation == 0 ? sm_ca_current(ca) : sm_ca_generation(ca, (uint32_t)q->generation);
    }
    if (g == NULL) {
        return sm_diag_set(&call->diag, SM_ERR(NOT_FOUND), "ca",
                           "there is no CA %.63s, or no such generation of it", q->ca);
    }
    if (crls == NULL) {
        return SM_ERR(UNAVAILABLE);
    }
    SM_TRY(sm_crls_make(crls, ca->name, g, q->delta, &state, &call->diag));
    SM_TRY(record(call, ca, q->delta));
    SM_TRY(
        describe(call, ca->name, g->number, q->delta, q->delta ? &state.delta : &state.full, &c));
    *response = &c->base;
    return SM_NO_ERR;
}

const struct sm_method sm_crl_methods[] = {
    {.service = "sealmill.v1.CrlService",
     .name = "List",
     .request = &sealmill__v1__list_crls_request__descriptor,
     .response = &sealmill__v1__list_crls_response__descriptor,
     .roles = SM_ROLE_ANY,
     .http_method = "GET",
     .http_path = "/v1/crls",
     .work = list},
    {.service = "sealmill.v1.CrlService",
     .name = "Make",
     .request = &sealmill__v1__make_crl_request__descriptor,
     .response = &sealmill__v1__crl__descriptor,
     .roles = SM_ROLE_ADMIN | SM_ROLE_OPERATOR,
     .http_method = "POST",
     .http_path = "/v1/cas/{ca}:makeCrl",
     .body = true,
     .work = make},
};
const size_t sm_crl_method_count = SM_ARRAY_LEN(sm_crl_methods);
