/* SPDX-License-Identifier: Apache-2.0 */
/* CaService: its rows in the table of methods. */
#include "api/ca.h"
#include "api/ca_cert.h"
#include "api/key_facts.h"
#include "api/method.h"
#include "api/record.h"
#include "base/check.h"

#include <stdio.h>
#include <string.h>

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000
#define PAGE_BYTES (3U << 20) /* a gRPC client takes 4 MiB, unless it was told otherwise */

static struct sm_admin admin_of(sm_call *call)
{
    return (struct sm_admin){sm_api_of(call->loop), &call->arena, call->caller.name,
                             call->correlation_id, &call->diag};
}

static sm_err answer(sm_err err, Sealmill__V1__Ca *ca, ProtobufCMessage **response)
{
    *response = &ca->base;
    return err;
}

static sm_err find(sm_call *call, const char *name, struct sm_ca **out)
{
    *out = sm_world_ca(call->world, name);
    return *out != NULL
               ? SM_NO_ERR
               : sm_diag_set(&call->diag, SM_ERR(NOT_FOUND), "name", "there is no CA %.63s", name);
}

/* The record's message, with what is known of its key now. */
static Sealmill__V1__Ca *show(sm_call *call, const struct sm_ca *ca)
{
    const struct sm_ca_generation *g = sm_ca_current(ca);
    Sealmill__V1__Ca *m = SM_ARENA_NEW(&call->arena, Sealmill__V1__Ca);
    if (m != NULL) {
        *m = *ca->record->ca;
        m->key_facts = sm_key_facts(g == NULL ? NULL : g->key, &call->arena);
    }
    return m;
}

/* The first CA of the page: they stand in the order of their names. */
static size_t first_of_page(const sm_world *w, const char *token)
{
    size_t low = 0;
    size_t high = w->ca_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(w->cas[middle].name, token) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static sm_err list(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__ListCasRequest *q = (const Sealmill__V1__ListCasRequest *)(const void *)
        request;
    const sm_world *w = call->world;
    if (q->page_size < 0 || q->page_size > PAGE_MAX) {
        return sm_diag_set(&call->diag, SM_ERR(OUT_OF_RANGE), "page_size", "1 to %d", PAGE_MAX);
    }
    size_t wanted = q->page_size == 0 ? PAGE_DEFAULT : (size_t)q->page_size;
    size_t bytes = 0;
    Sealmill__V1__ListCasResponse *r = SM_ARENA_NEW(&call->arena, Sealmill__V1__ListCasResponse);
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__list_cas_response__init(r);
    r->cas = sm_arena_alloc(&call->arena, wanted * sizeof(*r->cas));
    for (size_t i = first_of_page(w, q->page_token); i < w->ca_count && r->cas != NULL; i++) {
        Sealmill__V1__Ca *ca = show(call, &w->cas[i]);
        if (ca == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        bytes += protobuf_c_message_get_packed_size(&ca->base);
        if (r->n_cas == wanted || (r->n_cas > 0 && bytes > PAGE_BYTES)) {
            r->next_page_token = ca->name;
            break;
        }
        r->cas[r->n_cas++] = ca;
    }
    if (r->cas == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    *response = &r->base;
    return SM_NO_ERR;
}

static sm_err get(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    struct sm_ca *ca;
    SM_TRY(find(call, ((const Sealmill__V1__GetCaRequest *)(const void *)request)->name, &ca));
    Sealmill__V1__Ca *shown = show(call, ca);
    return shown == NULL ? SM_ERR(NO_MEMORY) : answer(SM_NO_ERR, shown, response);
}

static sm_err add_links(sm_call *call, const struct sm_ca *top, Sealmill__V1__GetChainResponse *r)
{
    r->link_certificates = sm_arena_alloc(&call->arena, (2 * top->generation_count + 1) *
                                                            sizeof(*r->link_certificates));
    if (r->link_certificates == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < top->generation_count; i++) {
        const struct sm_ca_generation *g = &top->generations[i];
        if (g->new_with_old.len > 0) {
            r->link_certificates[r->n_link_certificates++] = sm_binary(g->new_with_old);
        }
        if (g->old_with_new.len > 0) {
            r->link_certificates[r->n_link_certificates++] = sm_binary(g->old_with_new);
        }
    }
    return SM_NO_ERR;
}

static sm_err get_chain(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__GetChainRequest *q = (const Sealmill__V1__GetChainRequest *)(const void *)
        request;
    struct sm_ca *ca;
    SM_TRY(find(call, q->name, &ca));
    const struct sm_ca_generation *g = sm_ca_current(ca);
    Sealmill__V1__GetChainResponse *r = SM_ARENA_NEW(&call->arena, Sealmill__V1__GetChainResponse);
    if (r == NULL || g->cert.der.len == 0) {
        return r == NULL ? SM_ERR(NO_MEMORY)
                         : sm_diag_set(&call->diag, SM_ERR(PRECONDITION), "name",
                                       "it waits for its certificate");
    }
    sealmill__v1__get_chain_response__init(r);
    r->certificates = sm_arena_alloc(&call->arena, (g->chain_count + 1) * sizeof(*r->certificates));
    if (r->certificates == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    r->certificates[r->n_certificates++] = sm_binary(g->cert.der);
    for (size_t i = 0; i < (q->include_root ? g->chain_count : g->chain_sent); i++) {
        r->certificates[r->n_certificates++] = sm_binary(g->chain[i]);
    }
    *response = &r->base;
    return add_links(call, sm_world_top(call->world, ca), r);
}

static sm_err create(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    struct sm_admin a = admin_of(call);
    Sealmill__V1__Ca *ca = NULL;
    sm_err err = sm_ca_create(&a, (const Sealmill__V1__CreateCaRequest *)(const void *)request,
                              &ca);
    return sm_ok(err) ? answer(err, ca, response) : err;
}

static sm_err get_csr(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    struct sm_ca *ca;
    sm_slice subject;
    sm_slice der;
    SM_TRY(find(call, ((const Sealmill__V1__GetCaCsrRequest *)(const void *)request)->name, &ca));
    const struct sm_ca_generation *g = sm_ca_current(ca);
    if (g->key == NULL) {
        return sm_diag_set(&call->diag, SM_ERR(UNAVAILABLE), "name", "its key is not at hand");
    }
    SM_TRY(sm_name_from_message(ca->record->request->subject, &call->arena, &subject, &call->diag));
    SM_TRY(sm_ca_csr_make(subject, g->key, &call->arena, &der));
    Sealmill__V1__GetCaCsrResponse *r = SM_ARENA_NEW(&call->arena, Sealmill__V1__GetCaCsrResponse);
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__get_ca_csr_response__init(r);
    r->csr = sm_binary(der);
    *response = &r->base;
    return SM_NO_ERR;
}

static sm_err import(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    struct sm_admin a = admin_of(call);
    Sealmill__V1__Ca *ca = NULL;
    sm_err err = sm_ca_import(
        &a, (const Sealmill__V1__ImportCaCertificateRequest *)(const void *)request, &ca);
    return sm_ok(err) ? answer(err, ca, response) : err;
}

static sm_err rollover(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    struct sm_admin a = admin_of(call);
    Sealmill__V1__Ca *ca = NULL;
    sm_err err = sm_ca_rollover(&a, (const Sealmill__V1__RolloverCaRequest *)(const void *)request,
                                &ca);
    return sm_ok(err) ? answer(err, ca, response) : err;
}

static sm_err disable(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    struct sm_admin a = admin_of(call);
    Sealmill__V1__Ca *ca = NULL;
    sm_err err = sm_ca_set_state(
        &a, ((const Sealmill__V1__DisableCaRequest *)(const void *)request)->name, false, &ca);
    return sm_ok(err) ? answer(err, ca, response) : err;
}

static sm_err enable(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    struct sm_admin a = admin_of(call);
    Sealmill__V1__Ca *ca = NULL;
    sm_err err = sm_ca_set_state(
        &a, ((const Sealmill__V1__EnableCaRequest *)(const void *)request)->name, true, &ca);
    return sm_ok(err) ? answer(err, ca, response) : err;
}

/* ---- CAs that sealmill does not run ---- */

static sm_err create_responder(sm_call *call, const ProtobufCMessage *request,
                               ProtobufCMessage **response)
{
    struct sm_admin a = admin_of(call);
    Sealmill__V1__Ca *ca = NULL;
    sm_err err = sm_ca_create_responder(
        &a, (const Sealmill__V1__CreateResponderRequest *)(const void *)request, &ca);
    return sm_ok(err) ? answer(err, ca, response) : err;
}

static sm_err import_responder(sm_call *call, const ProtobufCMessage *request,
                               ProtobufCMessage **response)
{
    struct sm_admin a = admin_of(call);
    Sealmill__V1__Ca *ca = NULL;
    sm_err err = sm_ca_import_responder(
        &a, (const Sealmill__V1__ImportResponderCertificateRequest *)(const void *)request, &ca);
    return sm_ok(err) ? answer(err, ca, response) : err;
}

static sm_err subject_of(const char *text, sm_arena *arena, sm_slice *out)
{
    struct sm_name name;
    sm_buf der = sm_buf_init(4096);
    SM_TRY(sm_name_from_text(sm_slice_str(text), arena, &name, NULL));
    sm_name_write(&der, &name);
    sm_err err = sm_buf_err(&der);
    err = sm_ok(err) ? sm_arena_copy(arena, sm_buf_slice(&der), out) : err;
    sm_buf_deinit(&der);
    return err;
}

static sm_err get_responder_csr(sm_call *call, const ProtobufCMessage *request,
                                ProtobufCMessage **response)
{
    struct sm_ca *ca;
    sm_slice subject;
    sm_slice der;
    char name[96];
    SM_TRY(find(call, ((const Sealmill__V1__GetResponderCsrRequest *)(const void *)request)->name,
                &ca));
    const struct sm_ca_generation *g = sm_ca_current(ca);
    if (ca->record->foreign == NULL || ca->record->foreign->offline) {
        return sm_diag_set(&call->diag, SM_ERR(PRECONDITION), "name",
                           "it is no CA for which we have a responder's key alone");
    }
    if (g->ocsp_key == NULL) {
        return sm_diag_set(&call->diag, SM_ERR(UNAVAILABLE), "name", "its key is not at hand");
    }
    (void)snprintf(name, sizeof(name), "CN=OCSP responder of %.63s", ca->name);
    SM_TRY(subject_of(name, &call->arena, &subject));
    SM_TRY(sm_ca_csr_make(subject, g->ocsp_key, &call->arena, &der));
    Sealmill__V1__GetCaCsrResponse *r = SM_ARENA_NEW(&call->arena, Sealmill__V1__GetCaCsrResponse);
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__get_ca_csr_response__init(r);
    r->csr = sm_binary(der);
    *response = &r->base;
    return SM_NO_ERR;
}

#define ROW(n, in, out, who, verb, path, has_body, fn)                                     \
    {                                                                                      \
        .service = "sealmill.v1.CaService", .name = n,                                     \
        .request = &sealmill__v1__##in##__descriptor,                                      \
        .response = &sealmill__v1__##out##__descriptor, .roles = who, .http_method = verb, \
        .http_path = path, .body = has_body, .work = fn                                    \
    }

const struct sm_method sm_ca_methods[] = {
    ROW("List", list_cas_request, list_cas_response, SM_ROLE_ANY, "GET", "/v1/cas", false, list),
    ROW("Get", get_ca_request, ca, SM_ROLE_ANY, "GET", "/v1/cas/{name}", false, get),
    ROW("GetChain", get_chain_request, get_chain_response, SM_ROLE_ANY, "GET",
        "/v1/cas/{name}/chain", false, get_chain),
    ROW("Create", create_ca_request, ca, SM_ROLE_ADMIN, "POST", "/v1/cas", true, create),
    ROW("GetCsr", get_ca_csr_request, get_ca_csr_response, SM_ROLE_ADMIN, "GET",
        "/v1/cas/{name}/csr", false, get_csr),
    ROW("ImportCertificate", import_ca_certificate_request, ca, SM_ROLE_ADMIN, "POST",
        "/v1/cas/{name}:import", true, import),
    ROW("Rollover", rollover_ca_request, ca, SM_ROLE_ADMIN, "POST", "/v1/cas/{name}:rollover", true,
        rollover),
    ROW("Disable", disable_ca_request, ca, SM_ROLE_ADMIN, "POST", "/v1/cas/{name}:disable", true,
        disable),
    ROW("Enable", enable_ca_request, ca, SM_ROLE_ADMIN, "POST", "/v1/cas/{name}:enable", true,
        enable),
    ROW("CreateResponder", create_responder_request, ca, SM_ROLE_ADMIN, "POST",
        "/v1/cas:createResponder", true, create_responder),
    ROW("GetResponderCsr", get_responder_csr_request, get_ca_csr_response, SM_ROLE_ADMIN, "GET",
        "/v1/cas/{name}/responderCsr", false, get_responder_csr),
    ROW("ImportResponderCertificate", import_responder_certificate_request, ca, SM_ROLE_ADMIN,
        "POST", "/v1/cas/{name}:importResponder", true, import_responder),
};
const size_t sm_ca_method_count = SM_ARRAY_LEN(sm_ca_methods);
