/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ca_p.h"

#include "api/api_p.h"
#include "api/ca_import.h"
#include "api/ocsp_responder.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/log.h"
#include "proto/message.h"

bool sm_ca_name_is_good(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++) {
        bool word = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
                    name[i] == '-';
        if (!word) {
            return false;
        }
    }
    return len > 0 && len <= 63;
}

/* ---- records ---- */

sm_err sm_ca_record_load(const struct sm_admin *a, const char *name, ca_record **out, sm_slice *old)
{
    sm_slice key;
    ProtobufCMessage *m;
    sm_buf bytes = sm_buf_init(4U << 20);
    SM_TRY(sm_record_key("ca/", sm_slice_str(name), a->arena, &key));
    sm_err err = sm_store_get_sync(a->api->config.store, SM_FAMILY_META, key, &bytes);
    if (sm_err_is(err, SM_E_NOT_FOUND)) {
        err = sm_diag_set(a->diag, err, "name", "there is no CA %.63s", name);
    }
    err = sm_ok(err) ? sm_arena_copy(a->arena, sm_buf_slice(&bytes), old) : err;
    sm_buf_deinit(&bytes);
    SM_TRY(err);
    SM_TRY(sm_message_unpack(&sealmill__record__v1__ca_record__descriptor, *old, a->arena, &m));
    *out = (ca_record *)(void *)m;
    return SM_NO_ERR;
}

sm_err sm_ca_record_save(struct sm_ca_operation *op, ca_record *record, sm_slice old,
                         const char *action)
{
    const struct sm_admin *a = op->a;
    sm_slice key;
    sm_slice value;
    const struct sm_audit audit = {
        .caller = a->caller,
        .action = action,
        .outcome = "ok",
        .target = record->ca->name,
        .correlation_id = a->correlation_id,
        .ca_id = record->id,
    };
    SM_TRY(sm_record_key("ca/", sm_slice_str(record->ca->name), a->arena, &key));
    SM_TRY(sm_record_pack(&record->base, a->arena, &value));
    const struct sm_store_cond cond = {old.ptr == NULL ? SM_COND_ABSENT : SM_COND_EQUALS,
                                       SM_FAMILY_META, key, old};
    struct sm_change change = {
        .key = key, .value = value, .conds = &cond, .cond_count = 1, .audit = &audit};
    SM_TRY(sm_ca_add_issued(op, &change));
    sm_err err = sm_api_commit(a->api, &change, a->arena, a->diag);
    op->uncertain = change.uncertain;
    return err;
}

uint32_t sm_ca_next_id(const sm_api *api)
{
    return api->world->last_ca_id + 1;
}

/* ---- operations ---- */

static sm_err create(struct sm_ca_operation *op, const Sealmill__V1__CreateCaRequest *r,
                     Sealmill__V1__Ca **out)
{
    const struct sm_admin *a = op->a;
    ca_record record;
    Sealmill__V1__Ca *ca = SM_ARENA_NEW(a->arena, Sealmill__V1__Ca);
    ProtobufCMessage *kept;
    ca_generation *g;
    sm_key *key;
    sm_slice subject;
    if (ca == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    if (!sm_ca_name_is_good(r->name)) {
        return sm_diag_set(a->diag, SM_ERR(INVALID), "name",
                           "1 to 63 lower-case letters, digits and '-' are wanted");
    }
    if (sm_world_ca(a->api->world, r->name) != NULL) {
        return sm_diag_set(a->diag, SM_ERR(EXISTS), "name", "there is a CA %s already", r->name);
    }
    if (r->subject == NULL || r->subject->n_attributes == 0) {
        return sm_diag_set(a->diag, SM_ERR(INVALID), "subject",
                           "a CA needs a subject (RFC 5280 4.1.2.6)");
    }
    SM_TRY(sm_name_from_message(r->subject, a->arena, &subject, a->diag));
    SM_TRY(sm_ca_request_check(r, r->validity_seconds, a->diag));
    SM_TRY(sm_message_copy(&r->base, a->arena, &kept));
    sealmill__record__v1__ca_record__init(&record);
    sealmill__v1__ca__init(ca);
    record.version = SM_RECORD_VERSION;
    record.id = sm_ca_next_id(a->api);
    record.ca = ca;
    record.request = (Sealmill__V1__CreateCaRequest *)(void *)kept;
    ca->name = record.request->name;
    ca->parent = record.request->parent;
    ca->root = r->self_signed && r->parent[0] == '\0';
    SM_TRY(sm_ca_append_generation(a, &record, &g));
    SM_TRY(sm_ca_make_key(op, r->name, g->number, r->key_uri, r->use_existing_key,
                          (enum sm_key_type)r->key_type, &key));
    sm_err err = sm_ca_fill_generation(op, &record, g, key, subject, r->validity_seconds);
    err = sm_ok(err) ? sm_ca_describe(a, &record) : err;
    err = sm_ok(err) ? sm_ca_record_save(op, &record, SM_SLICE_NONE, "ca.create") : err;
    sm_key_detach(&key);
    *out = ca;
    return err;
}

static sm_err rollover(struct sm_ca_operation *op, const Sealmill__V1__RolloverCaRequest *r,
                       Sealmill__V1__Ca **out)
{
    const struct sm_admin *a = op->a;
    ca_record *record;
    ca_generation *g;
    sm_slice old;
    sm_slice subject;
    sm_key *key;
    SM_TRY(sm_ca_record_load(a, r->name, &record, &old));
    if (record->foreign != NULL) {
        return sm_diag_set(a->diag, SM_ERR(PRECONDITION), "name",
                           "%s is not run here: its next key is a CA of another name", r->name);
    }
    if (record->ca->state != SEALMILL__V1__CA_STATE__CA_STATE_ACTIVE) {
        return sm_diag_set(a->diag, SM_ERR(PRECONDITION), "name",
                           "only an active CA can be rolled over");
    }
    if (record->request->parent[0] == '\0' && !record->request->self_signed) {
        return sm_diag_set(a->diag, SM_ERR(UNSUPPORTED), "name",
                           "a CA signed outside is rolled over by creating its successor");
    }
    SM_TRY(sm_name_from_message(record->request->subject, a->arena, &subject, a->diag));
    SM_TRY(sm_ca_append_generation(a, record, &g));
    enum sm_key_type type = r->key_type == 0 ? (enum sm_key_type)record->ca->key_type
                                             : (enum sm_key_type)r->key_type;
    int64_t validity = r->validity_seconds == 0 ? record->request->validity_seconds
                                                : r->validity_seconds;
    SM_TRY(sm_ca_request_check(record->request, validity, a->diag));
    SM_TRY(sm_ca_make_key(op, r->name, g->number, r->key_uri, false, type, &key));
    sm_err err = sm_ca_fill_generation(op, record, g, key, subject, validity);
    if (sm_ok(err) && record->request->parent[0] == '\0') {
        err = sm_ca_make_links(op, record, key);
    }
    err = sm_ok(err) ? sm_ca_describe(a, record) : err;
    err = sm_ok(err) ? sm_ca_record_save(op, record, old, "ca.rollover") : err;
    sm_key_detach(&key);
    *out = record->ca;
    return err;
}

static sm_err check_import(const struct sm_admin *a, const ca_record *record,
                           const struct sm_cert *cert, sm_slice spki,
                           const Sealmill__V1__ImportCaCertificateRequest *r)
{
    sm_slice subject;
    sm_slice *chain = sm_arena_alloc(a->arena, (r->n_chain + 1) * sizeof(*chain));
    if (chain == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < r->n_chain; i++) {
        chain[i] = sm_slice_of(r->chain[i].data, r->chain[i].len);
    }
    SM_TRY(sm_name_from_message(record->request->subject, a->arena, &subject, a->diag));
    return sm_ca_import_check(cert, subject, spki, chain, r->n_chain, sm_clock_wall_s(), a->arena,
                              a->diag);
}

static sm_err import(struct sm_ca_operation *op, const Sealmill__V1__ImportCaCertificateRequest *r,
                     Sealmill__V1__Ca **out)
{
    const struct sm_admin *a = op->a;
    ca_record *record;
    sm_slice old;
    sm_slice der;
    sm_slice copy;
    struct sm_cert cert;
    sm_key *key;
    SM_TRY(sm_ca_record_load(a, r->name, &record, &old));
    ca_generation *g = record->generations[record->n_generations - 1];
    if (g->certificate.len > 0) {
        return sm_diag_set(a->diag, SM_ERR(PRECONDITION), "name", "%s has its certificate already",
                           r->name);
    }
    sm_buf scratch = sm_buf_init(SM_CERT_MAX);
    sm_err err = sm_cert_from_pem_or_der(sm_slice_of(r->certificate.data, r->certificate.len),
                                         &scratch, &der, a->diag);
    err = sm_ok(err) ? sm_arena_copy(a->arena, der, &copy) : err;
    sm_buf_deinit(&scratch);
    SM_TRY(err);
    SM_TRY(sm_cert_parse(copy, &cert, a->diag));
    SM_TRY(sm_api_load_key(a->api, g->key_uri, &key, a->diag));
    err = check_import(a, record, &cert, sm_key_public(key)->spki, r);
    if (sm_ok(err)) {
        g->certificate = sm_binary(copy);
        g->chain = r->chain;
        g->n_chain = r->n_chain;
        record->ca->state = SEALMILL__V1__CA_STATE__CA_STATE_ACTIVE;
        err = sm_ca_make_responder(op, record, g, key);
    }
    sm_key_detach(&key);
    SM_TRY(err);
    SM_TRY(sm_ca_describe(a, record));
    *out = record->ca;
    return sm_ca_record_save(op, record, old, "ca.import");
}

static sm_err set_state(struct sm_ca_operation *op, const char *name, bool active,
                        Sealmill__V1__Ca **out)
{
    const struct sm_admin *a = op->a;
    ca_record *record;
    sm_slice old;
    SM_TRY(sm_ca_record_load(a, name, &record, &old));
    if (record->ca->state == SEALMILL__V1__CA_STATE__CA_STATE_PENDING) {
        return sm_diag_set(a->diag, SM_ERR(PRECONDITION), "name", "%s waits for its certificate",
                           name);
    }
    record->ca->state = active ? SEALMILL__V1__CA_STATE__CA_STATE_ACTIVE
                               : SEALMILL__V1__CA_STATE__CA_STATE_DISABLED;
    *out = record->ca;
    return sm_ca_record_save(op, record, old, active ? "ca.enable" : "ca.disable");
}

#define RESPONDER_SPARE_S 7200 /* it is looked at each hour, and may fail once */

/* In its last quarter, and early enough that no answer ends before its time for its sake; not where a new one would end no
 * later. */
static bool is_due(const struct sm_cert *cert, const sm_key *key, const struct sm_ca_generation *g,
                   int64_t now)
{
    if (cert->der.len == 0 || key == NULL) {
        return true;
    }
    int64_t life = cert->not_after - cert->not_before;
    int64_t early = g->ocsp == NULL ? 0 : g->ocsp->rules.validity_s + RESPONDER_SPARE_S;
    early = early < life / 4 ? life / 4 : early > life / 2 ? life / 2 : early;
    return now > cert->not_after - early && cert->not_after < g->cert.not_after;
}

/* Of a CA that sealmill does not run: nobody here can renew it. */
static void look_at_foreign(const struct sm_ca *ca)
{
    const struct sm_ca_generation *g = sm_ca_current(ca);
    const struct sm_cert *cert = &g->ocsp_cert;
    if (g->ocsp->offline) {
        return;
    }
    if (cert->der.len == 0) {
        sm_log(SM_LOG_WARN, "responder_has_no_certificate", SM_KS("ca", ca->name), SM_KEND);
    } else if (sm_clock_wall_s() > cert->not_after - (cert->not_after - cert->not_before) / 4) {
        sm_log(SM_LOG_WARN, "responder_certificate_ends", SM_KS("ca", ca->name),
               SM_KI("not_after", cert->not_after),
               SM_KS("so", "have its request signed again, see `ocsp certificate`"), SM_KEND);
    }
}

static bool can_have_responders(const struct sm_ca_generation *g, int64_t now)
{
    return g->key != NULL && g->cert.der.len > 0 && now < g->cert.not_after;
}

/* The types of keys that it is to have besides; whether any of it is another than it has. */
static bool list_further(const struct sm_ca_generation *g, int64_t now,
                         struct sm_ca_wanted_responder out[SM_OCSP_FURTHER_MAX], size_t *count)
{
    const struct sm_ocsp_rules *rules = &g->ocsp->rules;
    size_t found = 0;
    bool any = false;
    *count = 0;
    for (size_t i = 0; i < rules->further_count; i++) {
        const struct sm_further_responder *has = NULL;
        if (g->ocsp->signer_count > 0 && g->ocsp->signers[0].type == rules->further[i]) {
            continue; /* the usual one is such */
        }
        for (size_t j = 0; j < g->further_count; j++) {
            has = g->further[j].type == rules->further[i] ? &g->further[j] : has;
        }
        found += has != NULL;
        bool due = has == NULL || is_due(&has->cert, has->key, g, now);
        any = any || due;
        out[(*count)++] = (struct sm_ca_wanted_responder){rules->further[i], due};
    }
    return any || found < g->further_count;
}

static bool any_wants_responder(const struct sm_ca *ca, int64_t now)
{
    struct sm_ca_wanted_responder further[SM_OCSP_FURTHER_MAX];
    size_t count;
    bool any = false;
    for (size_t i = 0; i < ca->generation_count; i++) {
        const struct sm_ca_generation *g = &ca->generations[i];
        any = any || (can_have_responders(g, now) && (is_due(&g->ocsp_cert, g->ocsp_key, g, now) ||
                                                      list_further(g, now, further, &count)));
    }
    return any;
}

static sm_err renew_generation(struct sm_ca_operation *op, const ca_record *record,
                               ca_generation *into, const struct sm_ca_generation *g, int64_t now)
{
    struct sm_ca_wanted_responder further[SM_OCSP_FURTHER_MAX];
    size_t count;
    if (!can_have_responders(g, now)) {
        return SM_NO_ERR;
    }
    if (is_due(&g->ocsp_cert, g->ocsp_key, g, now)) {
        SM_TRY(sm_ca_make_responder(op, record, into, g->key));
    }
    return list_further(g, now, further, &count)
               ? sm_ca_make_further(op, record, into, g->key, further, count)
               : SM_NO_ERR;
}

static sm_err renew_one(struct sm_ca_operation *op, const struct sm_ca *ca, int64_t now)
{
    const struct sm_admin *a = op->a;
    ca_record *record;
    sm_slice old;
    SM_TRY(sm_ca_record_load(a, ca->name, &record, &old));
    for (size_t i = 0; i < ca->generation_count; i++) {
        SM_TRY(renew_generation(op, record, record->generations[i], &ca->generations[i], now));
    }
    return sm_ca_record_save(op, record, old, "ca.renew_responder");
}

/* One CA's trouble (its token's, its key's) is not the others', nor a reason not to start. */
static sm_err renew_responders(const struct sm_admin *a, size_t max, size_t *at)
{
    sm_world *world = sm_world_attach(a->api);
    sm_err first = SM_NO_ERR;
    int64_t now = sm_clock_wall_s();
    size_t tried = 0;
    size_t i = *at;
    for (; i < world->ca_count && tried < max; i++) {
        const struct sm_ca *ca = &world->cas[i];
        struct sm_ca_operation op = {.a = a};
        if (ca->record->foreign != NULL || !any_wants_responder(ca, now)) {
            continue;
        }
        tried++;
        sm_diag_clear(a->diag);
        sm_err err = sm_ca_operation_end(&op, renew_one(&op, ca, now));
        if (sm_ok(err)) {
            continue;
        }
        sm_log(SM_LOG_ERROR, "responder_not_renewed", SM_KS("ca", ca->name), SM_KE("error", err),
               SM_KS("reason", a->diag->reason), SM_KEND);
        if (sm_ok(first) && (sm_err_is(err, SM_E_NO_MEMORY) || sm_err_is(err, SM_E_DISK))) {
            first = err;
        }
    }
    *at = i < world->ca_count ? i : 0;
    sm_world_detach(&world);
    return first;
}

void sm_ca_look_at_foreign(sm_api *api)
{
    sm_world *world = sm_world_attach(api);
    for (size_t i = 0; i < world->ca_count; i++) {
        if (world->cas[i].record->foreign != NULL) {
            look_at_foreign(&world->cas[i]);
        }
    }
    sm_world_detach(&world);
}

uint64_t sm_ca_world_number(sm_api *api)
{
    sm_world *world = sm_world_attach(api);
    uint64_t number = world->number;
    sm_world_detach(&world);
    return number;
}

sm_err sm_ca_create(const struct sm_admin *a, const Sealmill__V1__CreateCaRequest *r,
                    Sealmill__V1__Ca **out)
{
    SM_CA_LOCKED(create(&op, r, out));
}

sm_err sm_ca_import(const struct sm_admin *a, const Sealmill__V1__ImportCaCertificateRequest *r,
                    Sealmill__V1__Ca **out)
{
    SM_CA_LOCKED(import(&op, r, out));
}

sm_err sm_ca_rollover(const struct sm_admin *a, const Sealmill__V1__RolloverCaRequest *r,
                      Sealmill__V1__Ca **out)
{
    SM_CA_LOCKED(rollover(&op, r, out));
}

sm_err sm_ca_set_state(const struct sm_admin *a, const char *name, bool active,
                       Sealmill__V1__Ca **out)
{
    SM_CA_LOCKED(set_state(&op, name, active, out));
}

sm_err sm_ca_renew_responders(const struct sm_admin *a, size_t max, size_t *at)
{
    (void)pthread_mutex_lock(&a->api->admin_lock);
    sm_err err = renew_responders(a, max, at);
    (void)pthread_mutex_unlock(&a->api->admin_lock);
    return err;
}
