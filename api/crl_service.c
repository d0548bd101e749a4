/* SPDX-License-Identifier: Apache-2.0 */
/* CrlService. */
#include "api/api_p.h"
#include "api/method.h"
#include "api/record.h"
#include "base/check.h"
#include "gen/sealmill/v1/crl.pb-c.h"
#include "ocsp-cache/crl_read.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_MAX (1U << 20) /* of a CRL, in one answer */

#define CRLS_MAX 10000 /* of one answer: 1.5 MB; a CA's own are asked for by its name */

static sm_err describe(sm_call *call, const struct sm_crl_name *name,
                       const struct sm_crl_published *p, Sealmill__V1__Crl **out)
{
    Sealmill__V1__Crl *c = SM_ARENA_NEW(&call->arena, Sealmill__V1__Crl);
    if (c == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__crl__init(c);
    c->ca = sm_text(&call->arena, sm_slice_str(name->ca->name));
    c->generation = (int32_t)name->g->number;
    c->partition = (int32_t)name->partition;
    c->delta = name->delta;
    c->number = p->number;
    c->this_update = sm_timestamp(&call->arena, p->this_update);
    c->next_update = sm_timestamp(&call->arena, p->next_update);
    c->entries = p->entries;
    c->bytes = p->bytes;
    const char *file = sm_crl_file(name, &call->arena);
    c->file = file == NULL ? NULL : sm_text(&call->arena, sm_slice_str(file));
    *out = c;
    return c->file == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

/* ---- List ---- */

static sm_err add(sm_call *call, struct sm_crl_name *name, const struct sm_crl_published *p,
                  Sealmill__V1__ListCrlsResponse *r)
{
    if (p->number == 0) {
        return SM_NO_ERR;
    }
    if (r->n_crls == CRLS_MAX) {
        return sm_diag_set(&call->diag, SM_ERR(TOO_LARGE), "ca",
                           "there are more than %d CRLs: say which CA's", CRLS_MAX);
    }
    SM_TRY(describe(call, name, p, &r->crls[r->n_crls]));
    r->n_crls++;
    return SM_NO_ERR;
}

/* A scope's; how many partitions a generation has. */
static sm_err add_scope(sm_call *call, struct sm_crl_name *name, uint32_t *partitions,
                        Sealmill__V1__ListCrlsResponse *r)
{
    struct sm_crl_state state;
    SM_TRY(sm_crls_state(sm_api_of(call->loop)->crls, name, &state));
    *partitions = name->partition == 0 ? state.partitions : *partitions;
    name->delta = false;
    sm_err err = add(call, name, &state.full, r);
    name->delta = true;
    err = sm_ok(err) ? add(call, name, &state.delta, r) : err;
    sm_crl_state_deinit(&state);
    return err;
}

static sm_err add_ca(sm_call *call, const struct sm_ca *ca, Sealmill__V1__ListCrlsResponse *r)
{
    for (size_t i = 0; i < ca->generation_count; i++) {
        struct sm_crl_name name = {.ca = ca, .g = &ca->generations[i]};
        uint32_t partitions = 0;
        for (; name.partition <= partitions; name.partition++) {
            SM_TRY(add_scope(call, &name, &partitions, r));
        }
    }
    return SM_NO_ERR;
}

static sm_err list(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__ListCrlsRequest *q = (const Sealmill__V1__ListCrlsRequest *)(const void *)
        request;
    Sealmill__V1__ListCrlsResponse *r = SM_ARENA_NEW(&call->arena, Sealmill__V1__ListCrlsResponse);
    const sm_world *w = call->world;
    const struct sm_ca *only = q->ca[0] == '\0' ? NULL : sm_world_ca(w, q->ca);
    if (q->ca[0] != '\0' && only == NULL) {
        return sm_diag_set(&call->diag, SM_ERR(NOT_FOUND), "ca", "there is no CA %.63s", q->ca);
    }
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__list_crls_response__init(r);
    if (sm_api_of(call->loop)->crls == NULL) { /* none are made */
        *response = &r->base;
        return SM_NO_ERR;
    }
    r->crls = sm_arena_alloc(&call->arena, CRLS_MAX * sizeof(*r->crls));
    if (r->crls == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    *response = &r->base;
    if (only != NULL) {
        return add_ca(call, only, r);
    }
    for (size_t i = 0; i < w->ca_count; i++) {
        SM_TRY(add_ca(call, &w->cas[i], r));
    }
    return SM_NO_ERR;
}

/* ---- Make ---- */

static sm_err record(sm_call *call, const struct sm_ca *ca, const char *action)
{
    sm_slice log;
    const struct sm_audit audit = {
        .caller = call->caller.name,
        .action = action,
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
    struct sm_crl_published made;
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
    if (q->partition < 0) {
        return sm_diag_set(&call->diag, SM_ERR(OUT_OF_RANGE), "partition", "1 or more");
    }
    const struct sm_crl_name name = {ca, g, (uint32_t)q->partition, q->delta};
    SM_TRY(sm_crls_make(crls, &name, &made, &call->diag));
    SM_TRY(record(call, ca, q->delta ? "crl.make_delta" : "crl.make"));
    SM_TRY(describe(call, &name, &made, &c));
    *response = &c->base;
    return SM_NO_ERR;
}

/* ---- Get ---- */

static sm_err read_piece(sm_call *call, const char *path, uint64_t offset,
                         Sealmill__V1__GetCrlResponse *r)
{
    struct stat st;
    uint8_t *piece = sm_arena_alloc(&call->arena, PIECE_MAX);
    int fd = piece == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return piece == NULL ? SM_ERR(NO_MEMORY) : SM_ERR(DISK);
    }
    ssize_t n = fstat(fd, &st) == 0 && offset <= INT64_MAX
                    ? pread(fd, piece, PIECE_MAX, (off_t)offset)
                    : -1;
    (void)close(fd);
    if (n < 0) {
        return SM_ERR(DISK);
    }
    r->piece = (ProtobufCBinaryData){(size_t)n, piece};
    r->size = (uint64_t)st.st_size;
    return SM_NO_ERR;
}

static sm_err get(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__GetCrlRequest *q = (const Sealmill__V1__GetCrlRequest *)(const void *)
        request;
    Sealmill__V1__GetCrlResponse *r = SM_ARENA_NEW(&call->arena, Sealmill__V1__GetCrlResponse);
    sm_crls *crls = sm_api_of(call->loop)->crls;
    struct sm_crl_published published;
    struct sm_crl_name name;
    char path[4096];
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__get_crl_response__init(r);
    sm_err err = crls == NULL ? SM_ERR(NOT_FOUND)
                              : sm_crls_find(crls, call->world, sm_slice_str(q->file), path, &name,
                                             &published);
    if (!sm_ok(err)) {
        return sm_diag_set(&call->diag, err, "file", "there is no CRL %.100s", q->file);
    }
    if (q->number != 0 && q->number != published.number) {
        return sm_diag_set(&call->diag, SM_ERR(CONFLICT), "number",
                           "number %llu has taken its place: begin anew",
                           (unsigned long long)published.number);
    }
    SM_TRY(read_piece(call, path, q->offset, r));
    r->number = published.number;
    if (q->offset == 0) {
        r->issuer = sm_binary(name.g->cert.der);
    }
    *response = &r->base;
    return SM_NO_ERR;
}

/* ---- Load ---- */

static sm_err load(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__LoadCrlRequest *q = (const Sealmill__V1__LoadCrlRequest *)(const void *)
        request;
    const struct sm_ca *ca = sm_world_ca(call->world, q->ca);
    sm_crls *crls = sm_api_of(call->loop)->crls;
    sm_slice der = sm_slice_of(q->crl.data, q->crl.len);
    sm_buf scratch = sm_buf_init(q->crl.len + 1);
    struct sm_crl_published published;
    struct sm_crl_name name;
    Sealmill__V1__Crl *c;
    if (ca == NULL) {
        return sm_diag_set(&call->diag, SM_ERR(NOT_FOUND), "ca", "there is no CA %.63s", q->ca);
    }
    if (crls == NULL) {
        return SM_ERR(UNAVAILABLE);
    }
    sm_err err = sm_crl_read_pem_or_der(der, &scratch, &der, &call->diag);
    err = sm_ok(err) ? sm_crls_load(crls, ca, der, &name, &published, &call->diag) : err;
    sm_buf_deinit(&scratch);
    SM_TRY(err);
    SM_TRY(record(call, ca, name.delta ? "crl.load_delta" : "crl.load"));
    SM_TRY(describe(call, &name, &published, &c));
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
    {.service = "sealmill.v1.CrlService",
     .name = "Get",
     .request = &sealmill__v1__get_crl_request__descriptor,
     .response = &sealmill__v1__get_crl_response__descriptor,
     .roles = SM_ROLE_ANY,
     .http_method = "GET",
     .http_path = "/v1/crls/{file}",
     .work = get},
    {.service = "sealmill.v1.CrlService",
     .name = "Load",
     .request = &sealmill__v1__load_crl_request__descriptor,
     .response = &sealmill__v1__crl__descriptor,
     .roles = SM_ROLE_ADMIN,
     .http_method = "POST",
     .http_path = "/v1/cas/{ca}:loadCrl",
     .body = true,
     .work = load},
};
const size_t sm_crl_method_count = SM_ARRAY_LEN(sm_crl_methods);
