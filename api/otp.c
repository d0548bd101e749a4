/* SPDX-License-Identifier: Apache-2.0 */
#include "api/otp.h"

#include "api/api_p.h"
#include "api/otp_p.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "sign/sha.h"

/* Five wrong ones from an address lock that entity for that address; fifty lock it for all: more than a
 * device ever sends, and too few to guess 80 bits. */
static const struct sm_lockout_rules by_address = {5, 15 * 60, 30 * 60};
static const struct sm_lockout_rules by_entity = {50, 15 * 60, 30 * 60};
/* Many devices may be behind one address; without a name there is nothing to guess, only work to make. */
static const struct sm_lockout_rules by_place = {50, 15 * 60, 30 * 60};

/* ---- keys and hashes ---- */

sm_err sm_otp_prefix(sm_slice entity, sm_arena *arena, sm_slice *out)
{
    uint8_t digest[SM_DIGEST_MAX];
    SM_TRY(sm_digest_compute(SM_SHA256, entity, digest));
    return sm_record_key("otp/", sm_slice_of(digest, SM_OTP_ENTITY_HASH), arena, out);
}

/* What follows every key that begins so: the prefix with its last octet that can grow, grown. */
sm_err sm_otp_prefix_end(sm_slice prefix, sm_arena *arena, sm_slice *out)
{
    uint8_t *end = sm_arena_alloc(arena, prefix.len);
    size_t len = prefix.len;
    if (end == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    memcpy(end, prefix.ptr, prefix.len);
    while (len > 0 && ++end[len - 1] == 0) {
        len--;
    }
    *out = sm_slice_of(end, len);
    return SM_NO_ERR;
}

void sm_otp_hash(sm_slice salt, sm_slice password, uint8_t out[32])
{
    struct sm_hmac hmac;
    uint8_t key[32] = {0};
    memcpy(key, salt.ptr, salt.len < 32 ? salt.len : 32);
    sm_hmac_begin(&hmac, SM_SHA256, key);
    sm_hmac_add(&hmac, password.ptr, password.len);
    sm_hmac_end(&hmac, out);
}

/* ---- lock-out ---- */

struct guess {
    uint8_t octets[2 * SM_OTP_ENTITY_MAX + 2];
    size_t len;
};

static sm_slice guess_of(struct guess *g, sm_slice entity, sm_slice address)
{
    size_t a = entity.len < SM_OTP_ENTITY_MAX ? entity.len : SM_OTP_ENTITY_MAX;
    size_t b = address.len < SM_OTP_ENTITY_MAX ? address.len : SM_OTP_ENTITY_MAX;
    if (a > 0) {
        memcpy(g->octets, entity.ptr, a);
    }
    g->octets[a] = 0;
    if (b > 0) {
        memcpy(g->octets + a + 1, address.ptr, b);
    }
    return sm_slice_of(g->octets, a + 1 + b);
}

unsigned sm_otp_locked_s(sm_api *api, sm_slice entity, sm_slice address)
{
    struct guess g;
    uint64_t now = sm_clock_mono_ns();
    unsigned here = sm_lockout_left_s(&api->lockout, guess_of(&g, entity, address), now);
    unsigned all = sm_lockout_left_s(&api->lockout, guess_of(&g, entity, SM_SLICE_NONE), now);
    return here > all ? here : all;
}

void sm_otp_failed(sm_api *api, sm_slice entity, sm_slice address)
{
    struct guess g;
    uint64_t now = sm_clock_mono_ns();
    bool named = entity.len > 0;
    bool here = sm_lockout_fail(&api->lockout, guess_of(&g, entity, address),
                                named ? &by_address : &by_place, now);
    bool all = named &&
               sm_lockout_fail(&api->lockout, guess_of(&g, entity, SM_SLICE_NONE), &by_entity, now);
    if (here || all) {
        /* Not the name: people type passwords where names belong. */
        sm_log(SM_LOG_WARN, "enrolment_locked", SM_KB("address", address),
               SM_KS("scope", all ? "everywhere" : "address"), SM_KEND);
        sm_metric_inc(
            sm_metric_register(SM_COUNTER, "sealmill_enrolment_lockouts_total",
                               "Names and addresses that too many wrong credentials locked",
                               all ? "scope=\"everywhere\"" : "scope=\"address\""));
    }
}

/* ---- how long ---- */

/* A request that waits for a person uses one before it expires; by then it is forgotten (see approval_queue.c). */
#define WAITS_AT_MOST_S (INT64_C(761) * 86400)

bool sm_otp_is_over(const Sealmill__Record__V1__OtpRecord *r, int64_t now_s)
{
    bool waits = false;
    for (size_t i = 0; i < r->n_uses; i++) {
        waits = waits || r->uses[i]->approval.len > 0;
    }
    return r->otp == NULL || r->otp->expires_at == NULL ||
           r->otp->expires_at->seconds + (waits ? WAITS_AT_MOST_S : 0) <= now_s;
}

bool sm_otp_is_live(const Sealmill__Record__V1__OtpRecord *r, int64_t now_s)
{
    return !sm_otp_is_over(r, now_s) && !r->otp->revoked;
}

/* ---- checking ---- */

#define SEARCHED_MAX (4 * SM_OTP_PER_ENTITY_MAX) /* two who create at a time see not each other's */

struct search {
    const struct sm_otp_claim *claim;
    sm_arena *arena;
    struct sm_otp_found *out;
    int64_t now;
    unsigned looked; /* at those that are good still */
    bool found;
    sm_err err;
};

static sm_slice bytes_of(ProtobufCBinaryData b)
{
    return sm_slice_of(b.data, b.len);
}

static bool is_right(const struct sm_otp_claim *claim, const Sealmill__Record__V1__OtpRecord *r)
{
    uint8_t hash[32];
    sm_otp_hash(bytes_of(r->salt), claim->password, hash);
    bool same = sm_slice_equal_secret(sm_slice_of(hash, 32), bytes_of(r->secret_hash));
    explicit_bzero(hash, sizeof(hash));
    return same;
}

/* Its use by this request before; NULL: there was none. */
static const Sealmill__Record__V1__OtpUse *find_use(const struct sm_otp_claim *claim,
                                                    const Sealmill__Record__V1__OtpRecord *r)
{
    for (size_t i = 0; i < r->n_uses; i++) {
        if (sm_slice_equal(bytes_of(r->uses[i]->csr_sha256), claim->csr_sha256)) {
            return r->uses[i];
        }
    }
    return NULL;
}

/* A request that waits for a person came in time, however long he takes. */
static bool is_good_for(const struct sm_otp_claim *claim, const Sealmill__Record__V1__OtpRecord *r,
                        const Sealmill__Record__V1__OtpUse *use)
{
    const Sealmill__V1__Otp *o = r->otp;
    bool label = (o->label[0] == '\0' || sm_slice_equal(sm_slice_str(o->label), claim->label)) &&
                 (o->profile[0] == '\0' ||
                  sm_slice_equal(sm_slice_str(o->profile), claim->profile));
    bool waits = use != NULL && use->approval.len > 0;
    return !o->revoked && label && o->expires_at != NULL &&
           (waits || o->expires_at->seconds > sm_clock_wall_s());
}

static bool on_row(void *ctx, sm_slice key, sm_slice value)
{
    struct search *s = ctx;
    ProtobufCMessage *m;
    s->err = sm_arena_copy(s->arena, value, &value);
    s->err = sm_ok(s->err) ? sm_record_unpack(value, &sealmill__record__v1__otp_record__descriptor,
                                              s->arena, &m)
                           : s->err;
    if (!sm_ok(s->err)) {
        return false;
    }
    Sealmill__Record__V1__OtpRecord *r = (Sealmill__Record__V1__OtpRecord *)(void *)m;
    if (!sm_otp_is_live(r, s->now)) {
        return true; /* however many there were: they keep nobody from the good ones */
    }
    if (s->looked++ == SEARCHED_MAX) {
        return false;
    }
    const Sealmill__Record__V1__OtpUse *use = find_use(s->claim, r);
    if (!is_right(s->claim, r) || !is_good_for(s->claim, r, use) ||
        (use == NULL && r->n_uses >= r->otp->uses)) {
        return true;
    }
    s->err = sm_arena_copy(s->arena, key, &s->out->key);
    s->out->old = value;
    s->out->record = r;
    s->out->repeats = use == NULL ? SM_SLICE_NONE : bytes_of(use->serial);
    s->out->approval = use == NULL ? SM_SLICE_NONE : bytes_of(use->approval);
    s->found = sm_ok(s->err) && (use == NULL || use->serial.len > 0 || use->approval.len > 0);
    return false;
}

sm_err sm_otp_check(sm_api *api, const struct sm_otp_claim *claim, sm_arena *arena,
                    struct sm_otp_found *out, unsigned *retry_after_s, sm_diag *diag)
{
    sm_slice from;
    sm_slice to;
    struct search s = {.claim = claim, .arena = arena, .out = out, .now = sm_clock_wall_s()};
    unsigned left = sm_otp_locked_s(api, claim->entity, claim->address);
    if (left > 0) {
        *retry_after_s = left;
        return sm_diag_set(diag, SM_ERR(RATE_LIMITED), "authorization",
                           "too many wrong passwords: try again later");
    }
    SM_TRY(sm_otp_prefix(claim->entity, arena, &from));
    SM_TRY(sm_otp_prefix_end(from, arena, &to));
    SM_TRY(sm_store_scan_sync(sm_api_store(api), SM_FAMILY_META, from, to, on_row, &s));
    SM_TRY(s.err);
    if (!s.found) {
        sm_otp_failed(api, claim->entity, claim->address);
        return sm_diag_set(diag, SM_ERR(UNAUTHENTICATED), "authorization",
                           "the name or the password is wrong, used up or expired");
    }
    return SM_NO_ERR;
}

static sm_err add_use(const struct sm_otp_found *found, Sealmill__Record__V1__OtpUse *use,
                      sm_arena *arena, struct sm_store_cond *cond, struct sm_store_put *put)
{
    Sealmill__Record__V1__OtpRecord r = *found->record;
    Sealmill__Record__V1__OtpUse **uses = sm_arena_alloc(arena, (r.n_uses + 1) * sizeof(*uses));
    sm_slice value;
    if (uses == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < r.n_uses; i++) {
        uses[i] = r.uses[i];
    }
    uses[r.n_uses++] = use;
    r.uses = uses;
    SM_TRY(sm_record_pack(&r.base, arena, &value));
    *cond = (struct sm_store_cond){SM_COND_EQUALS, SM_FAMILY_META, found->key, found->old};
    *put = (struct sm_store_put){SM_PUT, SM_FAMILY_META, found->key, value};
    return SM_NO_ERR;
}

sm_err sm_otp_use(const struct sm_otp_found *found, sm_slice csr_sha256, sm_slice serial,
                  sm_arena *arena, struct sm_store_cond *cond, struct sm_store_put *put)
{
    Sealmill__Record__V1__OtpUse use;
    sealmill__record__v1__otp_use__init(&use);
    use.csr_sha256 = sm_binary(csr_sha256);
    use.serial = sm_binary(serial);
    return add_use(found, &use, arena, cond, put);
}

sm_err sm_otp_use_for_approval(const struct sm_otp_found *found, sm_slice csr_sha256,
                               sm_slice approval, sm_arena *arena, struct sm_store_cond *cond,
                               struct sm_store_put *put)
{
    Sealmill__Record__V1__OtpUse use;
    sealmill__record__v1__otp_use__init(&use);
    use.csr_sha256 = sm_binary(csr_sha256);
    use.approval = sm_binary(approval);
    return add_use(found, &use, arena, cond, put);
}
