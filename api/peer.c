/* SPDX-License-Identifier: Apache-2.0 */
#include "api/peer.h"

#include "api/record.h"
#include "base/clock.h"
#include "base/mem.h"

#define REMEMBERED_ARENA_CAP 65536

struct remembered {
    sm_arena arena;
    struct sm_peer peer;
    const struct sm_label *label;
    uint64_t world;
    uint64_t state_changes;
    int64_t until; /* then it expires, or its grace is over */
};

static void free_remembered(void *value)
{
    struct remembered *r = value;
    sm_arena_deinit(&r->arena);
    sm_free(r);
}

/* ---- one look ---- */

static sm_err judge(struct sm_peer *p, sm_err err, const char *reason)
{
    if (sm_err_category(err) == SM_DENIED || sm_err_category(err) == SM_INPUT) {
        p->kind = SM_PEER_NONE;
        p->reason = reason;
        return SM_NO_ERR;
    }
    return err;
}

/* As of now, or of the last moment of an expired one that has grace. False: it is too late. OpenSSL has certificates expire
 * with their notAfter, and not after it (RFC 5280 4.1.2.5): the second before is their last one there. */
static bool choose_time(struct sm_peer *p, const struct sm_label *label, int64_t now, int64_t *at)
{
    *at = now < p->cert.not_after ? now : p->cert.not_after - 1;
    p->expired = p->cert.not_after < now;
    return !p->expired || p->cert.not_after + label->expired_grace_s >= now;
}

static sm_err look_up_own(struct sm_peer *p, const sm_world *world, sm_store *store,
                          sm_arena *arena)
{
    const struct sm_credentials credentials = {.peer_certificate = p->cert.der, .store = store};
    sm_diag diag = {.reason = ""};
    sm_err err = sm_caller_identify_expired(world, &credentials, p->expired, arena, &p->caller,
                                            &diag);
    return judge(p, err, "the client certificate is revoked or on hold");
}

static sm_err describe_device(struct sm_peer *p, sm_arena *arena)
{
    sm_buf text = sm_buf_init(8192);
    sm_err err = sm_name_to_text(p->cert.subject, &text);
    char *name = sm_ok(err)
                     ? sm_arena_printf(arena, "device:%.*s", (int)text.len, (const char *)text.ptr)
                     : NULL;
    sm_buf_deinit(&text);
    if (name == NULL) {
        return sm_ok(err) ? SM_ERR(NO_MEMORY) : judge(p, err, "its subject cannot be read");
    }
    p->caller = (struct sm_caller){.name = name,
                                   .method = "device",
                                   .number = (uint32_t)sm_hash(sm_slice_str(name)),
                                   .expires_at = p->cert.not_after};
    return SM_NO_ERR;
}

/* Whether a generation of a CA of ours issued it. For CAs that others run we answer OCSP, and no more: what they certify is
 * theirs. */
static bool is_own(const struct sm_tls_info *tls, const struct sm_cert *cert, sm_world *world,
                   int64_t at)
{
    const struct sm_same_subject *s = sm_world_by_subject(world, cert->issuer);
    for (; s != NULL; s = s->next) {
        const sm_anchors *anchors;
        const struct sm_ca *ca = sm_world_ca_by_id(world, s->g->ca_id);
        if (ca != NULL && !ca->record->foreign && sm_ok(sm_world_anchors(s->g, &anchors)) &&
            sm_ok(sm_chain_verify(anchors, tls->peer_certificate, tls->peer_chain,
                                  tls->peer_chain_count, at, NULL))) {
            return true;
        }
    }
    return false;
}

static sm_err look(const struct sm_tls_info *tls, sm_world *world, const struct sm_label *label,
                   sm_store *store, sm_arena *arena, struct sm_peer *out)
{
    int64_t at;
    *out = (struct sm_peer){.sent = true, .reason = "the client certificate is not trusted here"};
    if (!sm_ok(sm_cert_parse(tls->peer_certificate, &out->cert, NULL))) {
        out->reason = "the client certificate cannot be read";
        return SM_NO_ERR;
    }
    if (!choose_time(out, label, sm_clock_wall_s(), &at)) {
        out->reason = "the client certificate has expired";
        return SM_NO_ERR;
    }
    if (is_own(tls, &out->cert, world, at)) {
        out->kind = SM_PEER_OWN;
        return look_up_own(out, world, store, arena);
    }
    if (label->anchors != NULL && !out->expired &&
        sm_ok(sm_chain_verify(label->anchors, tls->peer_certificate, tls->peer_chain,
                              tls->peer_chain_count, at, NULL))) {
        out->kind = SM_PEER_DEVICE;
        return describe_device(out, arena);
    }
    return SM_NO_ERR;
}

/* ---- remembering ---- */

static struct remembered *get_remembered(sm_http_exchange *x)
{
    struct sm_http_note *note = sm_http_connection_note(x);
    if (note == NULL || (note->value != NULL && note->free != free_remembered)) {
        return NULL; /* the connection has gone, or serves callers of the API too */
    }
    if (note->value == NULL) {
        struct remembered *r = sm_calloc(1, sizeof(*r));
        if (r == NULL) {
            return NULL;
        }
        sm_arena_init(&r->arena, REMEMBERED_ARENA_CAP);
        *note = (struct sm_http_note){r, free_remembered};
    }
    return note->value;
}

static bool still_holds(const struct remembered *r, const sm_world *world,
                        const struct sm_label *label, uint64_t state_changes)
{
    return r->world == world->number && r->label == label && r->state_changes == state_changes &&
           sm_clock_wall_s() <= r->until;
}

static sm_err copy_name(struct sm_peer *p, sm_arena *arena)
{
    if (p->caller.name == NULL) {
        return SM_NO_ERR;
    }
    p->caller.name = sm_arena_strdup(arena, sm_slice_str(p->caller.name));
    return p->caller.name == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

sm_err sm_peer_identify(sm_http_exchange *x, sm_world *world, const struct sm_label *label,
                        sm_store *store, uint64_t state_changes, sm_arena *arena,
                        struct sm_peer *out)
{
    const struct sm_tls_info *tls = sm_http_tls(x);
    if (!tls->used || tls->peer_certificate.len == 0) {
        *out = (struct sm_peer){.kind = SM_PEER_NONE};
        return SM_NO_ERR;
    }
    struct remembered *r = get_remembered(x);
    if (r == NULL) {
        return look(tls, world, label, store, arena, out);
    }
    if (!still_holds(r, world, label, state_changes)) {
        r->world = 0;
        sm_arena_deinit(&r->arena);
        sm_arena_init(&r->arena, REMEMBERED_ARENA_CAP);
        SM_TRY(look(tls, world, label, store, &r->arena, &r->peer));
        r->label = label;
        r->state_changes = state_changes;
        r->until = r->peer.expired                ? r->peer.cert.not_after + label->expired_grace_s
                   : r->peer.kind == SM_PEER_NONE ? sm_clock_wall_s()
                                                  : r->peer.cert.not_after;
        r->world = world->number;
    }
    *out = r->peer;
    return copy_name(out, arena); /* the connection may end first */
}
