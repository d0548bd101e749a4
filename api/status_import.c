/* SPDX-License-Identifier: Apache-2.0 */
#include "api/status_import.h"

#include "api/api_p.h"
#include "api/ocsp_presign.h"
#include "api/record.h"
#include "base/metrics.h"
#include "sign/batch.h"

#include <pthread.h>
#include <stdio.h>

#define WRITE_MEMORY (16U << 20)

static sm_metric imported[3];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    static const char name[] = "sealmill_status_imported_total";
    static const char help[] = "Imported entries of CAs that sealmill does not run, by outcome";
    imported[0] = sm_metric_register(SM_COUNTER, name, help, "outcome=\"added\"");
    imported[1] = sm_metric_register(SM_COUNTER, name, help, "outcome=\"changed\"");
    imported[2] = sm_metric_register(SM_COUNTER, name, help, "outcome=\"unchanged\"");
}

/* ---- the CA ---- */

sm_err sm_import_attach(struct sm_import *in, sm_diag *diag)
{
    (void)pthread_once(&once, register_metrics);
    in->world = sm_world_attach(in->api);
    const struct sm_ca *ca = sm_world_ca(in->world, in->ca_name);
    in->g = ca == NULL ? NULL : sm_ca_current(ca);
    sm_err err = SM_NO_ERR;
    if (ca == NULL) {
        err = sm_diag_set(diag, SM_ERR(NOT_FOUND), "ca", "there is no CA %.63s", in->ca_name);
    } else if (in->g->ocsp == NULL || !in->g->ocsp->foreign) {
        err = sm_diag_set(diag, SM_ERR(PRECONDITION), "ca",
                          "%.63s is run here: its certificates are in the inventory", in->ca_name);
    } else if (in->g->ocsp->offline) {
        err = sm_diag_set(diag, SM_ERR(PRECONDITION), "ca",
                          "%.63s is offline: its answers are loaded, not made here", in->ca_name);
    }
    if (!sm_ok(err)) {
        sm_import_detach(in);
    }
    return err;
}

void sm_import_detach(struct sm_import *in)
{
    sm_world_detach(&in->world);
    in->g = NULL;
}

static sm_err refuse(sm_diag *diag, const char *why)
{
    return sm_diag_set(diag, SM_ERR(INVALID), "certificate", "%s", why);
}

sm_err sm_import_certificate(const struct sm_import *in, sm_slice der, struct sm_import_entry *out,
                             sm_diag *diag)
{
    struct sm_cert cert;
    struct sm_public_key key;
    const struct sm_cert *ca = &in->g->cert;
    if (!sm_ok(sm_cert_parse(der, &cert, NULL))) {
        return refuse(diag, "it is not a certificate in DER");
    }
    if (!sm_slice_equal(cert.issuer, ca->subject)) {
        return refuse(diag, "the CA is not its issuer");
    }
    if (cert.serial.len == 0 || cert.serial.len > SM_OCSP_SERIAL_MAX) {
        return refuse(diag, "its serial number has not 1 to 20 octets");
    }
    if (cert.sig_alg == SM_SIG_NONE || !sm_ok(sm_public_key_parse(ca->spki, &key, NULL))) {
        return refuse(diag, "its signature algorithm is not supported");
    }
    if (!sm_ok(sm_verify_now(&key, cert.sig_alg, cert.tbs, cert.signature))) {
        return refuse(diag, "the CA's key has not signed it");
    }
    *out = (struct sm_import_entry){
        .serial = cert.serial,
        .what = {.state = SM_OCSP_IMPORTED_VALID, .reason = -1, .not_after = cert.not_after},
        .issued_only = true};
    return SM_NO_ERR;
}

/* ---- what an entry makes of a row ---- */

enum effect { E_ADDED, E_CHANGED, E_UNCHANGED, E_KEPT_REVOKED };

struct plan {
    const struct sm_import_entry *entry;
    uint8_t key[SM_OCSP_FOREIGN_KEY_MAX];
    size_t key_len;
    sm_slice old; /* as it is stored; ptr NULL: absent */
    struct sm_ocsp_imported row;
    enum effect effect;
    bool write;
    bool released;
    struct sm_ocsp_change change; /* E_CHANGED */
};

struct write {
    struct sm_import *in;
    sm_arena arena;
    struct plan *plans;
    size_t count;
    uint64_t shown; /* answers that memory was told of: each is a change there */
};

static bool says_more(const struct sm_ocsp_imported *old, const struct sm_ocsp_imported *new)
{
    return old->state != new->state || old->revoked_at != new->revoked_at ||
           (new->reason > 0 && old->reason != new->reason);
}

/* The row as it will be. */
static void merge(struct plan *p, const struct sm_ocsp_imported *old)
{
    const struct sm_import_entry *e = p->entry;
    const struct sm_ocsp_imported *new = &e->what;
    bool valid = new->state == SM_OCSP_IMPORTED_VALID;
    p->row = *old;
    p->row.not_after = old->not_after == 0 ? new->not_after : old->not_after;
    p->write = p->row.not_after != old->not_after;
    p->effect = E_UNCHANGED;
    if (e->issued_only || (valid && old->state == SM_OCSP_IMPORTED_VALID)) {
        return;
    }
    if (old->state == SM_OCSP_IMPORTED_REVOKED && new->state != SM_OCSP_IMPORTED_REVOKED) {
        p->effect = E_KEPT_REVOKED;
        return;
    }
    bool seen = e->of_crl && new->crl != old->crl &&new->state == SM_OCSP_IMPORTED_ON_HOLD;
    p->row.crl = seen ? new->crl : p->row.crl;
    p->write = p->write || seen;
    if (says_more(old, new)) {
        p->effect = E_CHANGED;
        p->write = true;
        p->released = valid;
        p->row.state = new->state;
        p->row.revoked_at = valid ? 0 : new->revoked_at;
        p->row.reason = valid ? -1 : new->reason;
    }
}

static sm_err make_plan(struct write *w, struct plan *p)
{
    const struct sm_ca_generation *g = w->in->g;
    struct sm_ocsp_imported old;
    sm_buf row = sm_buf_init(SM_OCSP_IMPORTED_MAX);
    p->key_len = sm_ocsp_imported_key(g->ca_id, g->number, p->entry->serial, p->key);
    sm_err err = sm_store_get_sync(sm_api_store(w->in->api), SM_FAMILY_OCSP,
                                   sm_slice_of(p->key, p->key_len), &row);
    if (sm_ok(err)) {
        err = sm_arena_copy(&w->arena, sm_buf_slice(&row), &p->old);
        err = sm_ok(err) ? sm_ocsp_imported_unpack(p->old, &old) : err;
        if (sm_ok(err)) {
            merge(p, &old);
        }
    } else if (sm_err_is(err, SM_E_NOT_FOUND)) {
        err = SM_NO_ERR;
        p->old = SM_SLICE_NONE;
        p->row = p->entry->what;
        p->effect = E_ADDED;
        p->write = true;
    }
    sm_buf_deinit(&row);
    return err;
}

/* What OCSP says from now on. */
static void sign_change(struct write *w, struct plan *p)
{
    const struct sm_ca_generation *g = w->in->g;
    bool valid = p->row.state == SM_OCSP_IMPORTED_VALID;
    sm_ocsp_change_init(&p->change, g->ocsp, g->ca_id, g->number, p->entry->serial,
                        p->row.not_after, valid ? SM_OCSP_GOOD : SM_OCSP_REVOKED, p->row.revoked_at,
                        p->row.reason, &w->arena);
    sm_ocsp_change_sign_now(&p->change);
}

/* ---- one write ---- */

static sm_err pack_log(struct write *w, sm_slice *out)
{
    char detail[160];
    unsigned added = 0;
    unsigned changed = 0;
    for (size_t i = 0; i < w->count; i++) {
        added += w->plans[i].effect == E_ADDED ? 1 : 0;
        changed += w->plans[i].effect == E_CHANGED ? 1 : 0;
    }
    (void)snprintf(detail, sizeof(detail), "%.80s: %u added, %u changed", w->in->source, added,
                   changed);
    const struct sm_audit audit = {.caller = w->in->caller,
                                   .action = "status.import",
                                   .outcome = "ok",
                                   .target = w->in->ca_name,
                                   .detail = detail,
                                   .correlation_id = w->in->correlation_id,
                                   .ca_id = w->in->g->ca_id};
    return sm_audit_pack(&audit, &w->arena, out);
}

static sm_err add_rows(struct write *w, struct plan *p, sm_store_write *op,
                       struct sm_store_put *puts, struct sm_store_cond *conds)
{
    sm_slice key = sm_slice_of(p->key, p->key_len);
    sm_slice value;
    SM_TRY(sm_ocsp_imported_pack(&p->row, &w->arena, &value));
    puts[op->put_count++] = (struct sm_store_put){SM_PUT, SM_FAMILY_OCSP, key, value};
    conds[op->cond_count++] = (struct sm_store_cond){
        p->old.ptr == NULL ? SM_COND_ABSENT : SM_COND_EQUALS, SM_FAMILY_OCSP, key, p->old};
    if (p->effect == E_CHANGED) {
        sign_change(w, p);
        SM_TRY(sm_ocsp_change_puts(&p->change, w->in->api->ocsp_cache));
        for (int i = 0; i < SM_OCSP_HASHES; i++) {
            puts[op->put_count++] = p->change.puts[i];
        }
    }
    return SM_NO_ERR;
}

static sm_err write_plans(struct write *w)
{
    size_t room = w->count * (1 + SM_OCSP_HASHES);
    struct sm_store_put *puts = sm_arena_alloc(&w->arena, room * sizeof(*puts));
    struct sm_store_cond *conds = sm_arena_alloc(&w->arena, w->count * sizeof(*conds));
    sm_slice log;
    if (puts == NULL || conds == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sm_store_write op = {.puts = puts, .conds = conds, .log = &log, .log_count = 1};
    for (size_t i = 0; i < w->count; i++) {
        if (w->plans[i].write) {
            SM_TRY(add_rows(w, &w->plans[i], &op, puts, conds));
        }
    }
    if (op.put_count == 0) {
        return SM_NO_ERR;
    }
    SM_TRY(pack_log(w, &log));
    return sm_store_write_sync(sm_api_store(w->in->api), &op);
}

/* It is durable, and is told to nobody yet. A serial number that is new here had answers of nobody's. */
static void show_plan(struct write *w, struct plan *p)
{
    sm_ocsp_cache *cache = w->in->api->ocsp_cache;
    const struct sm_ca_generation *g = w->in->g;
    if (p->effect == E_CHANGED) {
        p->change.epoch += w->shown;
        sm_ocsp_change_apply(&p->change, cache);
        w->shown += SM_OCSP_HASHES;
    } else if (p->effect == E_ADDED) {
        sm_ocsp_cache_issued(cache, g->ca_id, g->number, p->entry->serial);
        bool was_good = g->ocsp->rules.of_nobody == SM_OCSP_SAY_GOOD && g->ocsp->signer_count > 0;
        for (int hash = 0; was_good && hash < SM_OCSP_HASHES; hash++) {
            const struct sm_ocsp_key key = {g->ca_id, g->number, (enum sm_ocsp_hash)hash,
                                            p->entry->serial};
            sm_ocsp_cache_change(cache, &g->ocsp->signers[0], &key, NULL, 0);
            w->shown++;
        }
    }
}

static void count(struct sm_import *in, const struct plan *p)
{
    struct sm_import_counts *c = &in->counts;
    c->entries++;
    c->added += p->effect == E_ADDED ? 1 : 0;
    c->changed += p->effect == E_CHANGED ? 1 : 0;
    c->unchanged += p->effect == E_UNCHANGED ? 1 : 0;
    c->kept_revoked += p->effect == E_KEPT_REVOKED ? 1 : 0;
    c->released += p->released ? 1 : 0;
    if (p->effect <= E_UNCHANGED) {
        sm_metric_inc(imported[p->effect]);
    }
}

static sm_err try_once(struct write *w, const struct sm_import_entry *entries)
{
    w->plans = sm_arena_zalloc(&w->arena, w->count * sizeof(*w->plans));
    if (w->plans == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < w->count; i++) {
        w->plans[i].entry = &entries[i];
        SM_TRY(make_plan(w, &w->plans[i]));
    }
    SM_TRY(write_plans(w));
    for (size_t i = 0; i < w->count; i++) {
        show_plan(w, &w->plans[i]);
        count(w->in, &w->plans[i]);
    }
    return SM_NO_ERR;
}

static sm_err apply_some(struct sm_import *in, const struct sm_import_entry *entries, size_t n)
{
    sm_err err = SM_ERR(CONFLICT);
    for (int i = 0;
         i < SM_IMPORT_TRIES && (sm_err_is(err, SM_E_CONFLICT) || sm_err_is(err, SM_E_EXISTS));
         i++) {
        struct write w = {.in = in, .count = n};
        sm_arena_init(&w.arena, WRITE_MEMORY);
        err = try_once(&w, entries);
        sm_arena_deinit(&w.arena);
    }
    return err;
}

/* How many of them go in one write: a serial number that comes again begins the next. */
static size_t fitting(const struct sm_import_entry *entries, size_t n)
{
    n = n < SM_IMPORT_WRITE_MAX ? n : SM_IMPORT_WRITE_MAX;
    for (size_t i = 1; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (sm_slice_equal(entries[i].serial, entries[j].serial)) {
                return i;
            }
        }
    }
    return n;
}

sm_err sm_import_apply(struct sm_import *in, const struct sm_import_entry *entries, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t some = fitting(entries + at, n - at);
        SM_TRY(apply_some(in, entries + at, some));
        at += some;
    }
    return SM_NO_ERR;
}
