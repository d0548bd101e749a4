/* SPDX-License-Identifier: Apache-2.0 */
/* A CRL of a CA that sealmill does not run. */
#include "api/api_p.h"
#include "api/record.h"
#include "api/status_import.h"
#include "base/clock.h"
#include "base/log.h"
#include "sign/batch.h"

#include <stdio.h>

#define REASON_HOLD 6
#define REASON_REMOVE 8

static uint64_t first_octets(sm_slice in)
{
    uint8_t digest[SM_DIGEST_MAX] = {0};
    uint64_t n = 0;
    (void)sm_ok(sm_digest_compute(SM_SHA256, in, digest));
    for (int i = 0; i < 8; i++) {
        n = n << 8 | digest[i];
    }
    return n;
}

/* ---- whether it may be taken ---- */

static int compare_numbers(sm_slice a, sm_slice b)
{
    return a.len != b.len ? (a.len < b.len ? -1 : 1) : sm_slice_compare(a, b);
}

static sm_err check_origin(const struct sm_import *in, const struct sm_crl_read *crl, sm_diag *diag)
{
    struct sm_public_key key;
    const struct sm_cert *ca = &in->g->cert;
    if (!sm_slice_equal(crl->issuer, ca->subject)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "crl", "the CA is not its issuer");
    }
    SM_TRY(sm_public_key_parse(ca->spki, &key, diag));
    if (crl->sig_alg == SM_SIG_NONE) {
        return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "crl",
                           "its signature algorithm is not supported");
    }
    return sm_ok(sm_verify_now(&key, crl->sig_alg, crl->tbs, crl->signature))
               ? SM_NO_ERR
               : sm_diag_set(diag, SM_ERR(BAD_SIGNATURE), "crl", "the CA's key has not signed it");
}

static sm_err check_times(const struct sm_crl_read *crl, sm_diag *diag)
{
    int64_t now = sm_clock_wall_s();
    if (crl->this_update > now + SM_IMPORT_CLOCK_S) {
        return sm_diag_set(diag, SM_ERR(PRECONDITION), "crl", "its thisUpdate is in the future");
    }
    if (crl->next_update != 0 && crl->next_update <= now) {
        sm_log(SM_LOG_WARN, "crl_is_stale", SM_KI("next_update", crl->next_update),
               SM_KS("so", "it is imported: what it revokes is revoked"), SM_KEND);
    }
    return SM_NO_ERR;
}

/* The last one of its scope. */
static sm_err load_last(struct sm_import *in, struct sm_import_crl *c,
                        struct sm_ocsp_imported_crl *last)
{
    uint8_t key[SM_OCSP_FOREIGN_KEY_MAX];
    size_t len = sm_ocsp_imported_crl_key(in->g->ca_id, in->g->number, c->scope, key);
    sm_buf row = sm_buf_init(sizeof(c->old_octets));
    sm_err err = sm_store_get_sync(sm_api_store(in->api), SM_FAMILY_OCSP, sm_slice_of(key, len),
                                   &row);
    c->old_row = SM_SLICE_NONE;
    if (sm_ok(err)) {
        memcpy(c->old_octets, row.ptr, row.len);
        c->old_row = sm_slice_of(c->old_octets, row.len);
        err = sm_ocsp_imported_crl_unpack(c->old_row, last);
    } else if (sm_err_is(err, SM_E_NOT_FOUND)) {
        err = SM_NO_ERR;
    }
    sm_buf_deinit(&row);
    return err;
}

static sm_err goes_back(sm_diag *diag, const char *what)
{
    return sm_diag_set(diag, SM_ERR(PRECONDITION), "crl",
                       "its %s goes back: a later one was imported", what);
}

/* RFC 5280 5.2.3: numbers grow. The same CRL again finishes what was broken off. */
static sm_err check_order(const struct sm_import_crl *c, const struct sm_ocsp_imported_crl *last,
                          sm_diag *diag)
{
    sm_slice old = sm_slice_of(last->number, last->number_len);
    if (c->old_row.ptr != NULL && last->crl == c->now.crl) {
        return SM_NO_ERR;
    }
    if (c->crl.is_delta &&
        (c->old_row.ptr == NULL || compare_numbers(old, c->crl.base_number) < 0)) {
        return sm_diag_set(diag, SM_ERR(PRECONDITION), "crl",
                           "it is a delta; the CRL that it is based on has not been imported");
    }
    if (c->old_row.ptr == NULL) {
        return SM_NO_ERR;
    }
    if (compare_numbers(c->crl.number, old) < 0) {
        return goes_back(diag, "number");
    }
    return c->crl.this_update < last->this_update ? goes_back(diag, "thisUpdate") : SM_NO_ERR;
}

sm_err sm_import_crl_begin(struct sm_import *in, struct sm_import_crl *c, sm_slice der,
                           sm_diag *diag)
{
    struct sm_ocsp_imported_crl last = {.number_len = 0};
    SM_TRY(sm_crl_read_parse(der, &c->crl, diag));
    SM_TRY(check_origin(in, &c->crl, diag));
    SM_TRY(check_times(&c->crl, diag));
    if (c->crl.number.len > sizeof(c->now.number)) {
        return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "crl",
                           "its number is longer than 20 octets (RFC 5280 5.2.3)");
    }
    c->scope = c->crl.distribution.len == 0 ? 0 : first_octets(c->crl.distribution);
    c->now = (struct sm_ocsp_imported_crl){.number_len = c->crl.number.len,
                                           .this_update = c->crl.this_update,
                                           .crl = first_octets(c->crl.tbs)};
    if (c->crl.number.len > 0) {
        memcpy(c->now.number, c->crl.number.ptr, c->crl.number.len);
    }
    SM_TRY(load_last(in, c, &last));
    SM_TRY(check_order(c, &last, diag));
    c->state = SM_IMPORT_ENTRIES;
    c->cursor = sm_der_init(c->crl.entries);
    return SM_NO_ERR;
}

/* ---- its entries ---- */

static struct sm_import_entry entry_of(const struct sm_import_crl *c,
                                       const struct sm_crl_read_entry *e)
{
    struct sm_import_entry out = {
        .serial = e->serial,
        .what = {.reason = e->reason, .revoked_at = e->revoked_at, .crl = c->now.crl},
        .of_crl = true};
    out.what.state = e->reason == REASON_HOLD     ? SM_OCSP_IMPORTED_ON_HOLD
                     : e->reason == REASON_REMOVE ? SM_OCSP_IMPORTED_VALID
                                                  : SM_OCSP_IMPORTED_REVOKED;
    if (e->reason == REASON_REMOVE) {
        out.what.reason = -1;
        out.what.revoked_at = 0;
    }
    return out;
}

static sm_err apply_entries(struct sm_import *in, struct sm_import_crl *c)
{
    static _Thread_local struct sm_import_entry entries[SM_IMPORT_CRL_STEP];
    struct sm_crl_read_entry e;
    size_t n = 0;
    while (n < SM_IMPORT_CRL_STEP && sm_crl_read_next(&c->cursor, &e)) {
        if (e.serial.len == 0 || e.serial.len > SM_OCSP_SERIAL_MAX) {
            in->counts.refused++; /* no certificate has it that anybody could ask about */
            continue;
        }
        entries[n++] = entry_of(c, &e);
    }
    if (n < SM_IMPORT_CRL_STEP) { /* the end */
        bool whole = !c->crl.is_delta && c->crl.distribution.len == 0;
        c->state = whole ? SM_IMPORT_RELEASE : SM_IMPORT_END;
        c->from_len = 0;
    }
    return sm_import_apply(in, entries, n);
}

/* ---- those that it has no more ---- */

struct looking {
    const struct sm_import_crl *c;
    size_t left;
    bool more;
    sm_arena arena;
    struct sm_import_entry found[SM_IMPORT_WRITE_MAX];
    size_t count;
    uint8_t last[SM_OCSP_FOREIGN_KEY_MAX];
    size_t last_len;
    sm_err err;
};

/* On hold since before this CRL, and not in it: RFC 5280 5.3.1 has no other way to say that a hold is over. */
static bool on_row(void *ctx, sm_slice key, sm_slice value)
{
    struct looking *l = ctx;
    struct sm_ocsp_imported row;
    if (l->left-- == 0 || l->count == SM_IMPORT_WRITE_MAX) {
        l->more = true;
        return false;
    }
    memcpy(l->last, key.ptr, key.len);
    l->last_len = key.len;
    bool held = sm_ok(sm_ocsp_imported_unpack(value, &row)) &&
                row.state == SM_OCSP_IMPORTED_ON_HOLD && row.crl != l->c->now.crl &&
                row.revoked_at <= l->c->crl.this_update;
    if (held) {
        struct sm_import_entry *e = &l->found[l->count];
        *e = (struct sm_import_entry){.what = {.state = SM_OCSP_IMPORTED_VALID, .reason = -1}};
        l->err = sm_arena_copy(&l->arena, sm_slice_from(key, SM_OCSP_FOREIGN_PREFIX), &e->serial);
        l->count++;
    }
    return sm_ok(l->err);
}

static sm_err release(struct sm_import *in, struct sm_import_crl *c)
{
    static _Thread_local struct looking l;
    uint8_t from[SM_OCSP_FOREIGN_PREFIX];
    uint8_t to[SM_OCSP_FOREIGN_PREFIX];
    l = (struct looking){.c = c, .left = SM_IMPORT_RELEASE_STEP};
    sm_arena_init(&l.arena, 1U << 20);
    sm_ocsp_imported_range(in->g->ca_id, in->g->number, from, to);
    if (c->from_len == 0) {
        memcpy(c->from, from, sizeof(from));
        c->from_len = sizeof(from);
    }
    sm_err err = sm_store_scan_sync(sm_api_store(in->api), SM_FAMILY_OCSP,
                                    sm_slice_of(c->from, c->from_len), sm_slice_of(to, sizeof(to)),
                                    on_row, &l);
    err = sm_ok(err) ? l.err : err;
    uint64_t entries = in->counts.entries;
    err = sm_ok(err) ? sm_import_apply(in, l.found, l.count) : err;
    in->counts.entries = entries; /* they were none */
    if (sm_ok(err) && l.more) {
        memcpy(c->from, l.last, l.last_len);
        c->from[l.last_len] = 0;
        c->from_len = l.last_len + 1;
    }
    if (sm_ok(err) && !l.more) {
        c->state = SM_IMPORT_END;
    }
    sm_arena_deinit(&l.arena);
    return err;
}

/* ---- the end ---- */

static sm_err remember(struct sm_import *in, struct sm_import_crl *c)
{
    uint8_t key[SM_OCSP_FOREIGN_KEY_MAX];
    char detail[200];
    sm_arena arena;
    struct sm_store_put put = {.kind = SM_PUT, .family = SM_FAMILY_OCSP};
    sm_slice log;
    size_t len = sm_ocsp_imported_crl_key(in->g->ca_id, in->g->number, c->scope, key);
    (void)snprintf(detail, sizeof(detail), "%.80s: a CRL of %llu entries is complete", in->source,
                   (unsigned long long)c->crl.count);
    const struct sm_audit audit = {.caller = in->caller,
                                   .action = "status.import",
                                   .outcome = "ok",
                                   .target = in->ca_name,
                                   .detail = detail,
                                   .correlation_id = in->correlation_id,
                                   .ca_id = in->g->ca_id};
    sm_arena_init(&arena, 1U << 16);
    put.key = sm_slice_of(key, len);
    sm_err err = sm_ocsp_imported_crl_pack(&c->now, &arena, &put.value);
    err = sm_ok(err) ? sm_audit_pack(&audit, &arena, &log) : err;
    if (sm_ok(err)) {
        const struct sm_store_cond cond = {c->old_row.ptr == NULL ? SM_COND_ABSENT : SM_COND_EQUALS,
                                           SM_FAMILY_OCSP, put.key, c->old_row};
        sm_store_write op = {.puts = &put,
                             .put_count = 1,
                             .conds = &cond,
                             .cond_count = 1,
                             .log = &log,
                             .log_count = 1};
        err = sm_store_write_sync(sm_api_store(in->api), &op);
    }
    sm_arena_deinit(&arena);
    return err;
}

sm_err sm_import_crl_step(struct sm_import *in, struct sm_import_crl *c, bool *more)
{
    *more = true;
    switch (c->state) {
    case SM_IMPORT_ENTRIES:
        return apply_entries(in, c);
    case SM_IMPORT_RELEASE:
        return release(in, c);
    default:
        *more = false;
        return remember(in, c);
    }
}
