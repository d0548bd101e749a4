/* SPDX-License-Identifier: Apache-2.0 */
#include "api/approval.h"

#include "api/approval_p.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/text.h"
#include "sign/alg.h"
#include "sign/sha.h"

#define EXPIRES_DEFAULT_S (INT64_C(7) * 86400)
#define EXPIRES_MAX_S (INT64_C(365) * 86400)
#define RETRY_DEFAULT_S 60
#define RETRY_MAX_S 86400

#define NAME_TEXT_MAX 8192 /* of a subject: names are a few hundred octets */
#define LABEL_LEN 8        /* octets of its hash, in front of an id */

#define FIELD "enrolment.labels.approval"

/* ---- rules ---- */

static sm_err read_duration(const char *text, int64_t otherwise, int64_t max, const char *field,
                            int64_t *out, sm_diag *diag)
{
    *out = otherwise;
    if (text[0] == '\0' ||
        (sm_ok(sm_duration_parse(sm_slice_str(text), out)) && *out > 0 && *out <= max)) {
        return SM_NO_ERR;
    }
    return sm_diag_set(diag, SM_ERR(INVALID), field,
                       "\"%.40s\" is not a duration from 1s to %llds, such as 5m or 7d", text,
                       (long long)max);
}

sm_err sm_approval_rules_make(const Sealmill__Config__V1__LabelApproval *message,
                              struct sm_approval_rules *out, sm_diag *diag)
{
    int64_t retry;
    if (message == NULL) {
        *out = (struct sm_approval_rules){.used = false, .retry_after_s = RETRY_DEFAULT_S};
        return SM_NO_ERR;
    }
    if (message->queue > SM_APPROVAL_QUEUE_MAX ||
        message->queue_per_requester > SM_APPROVAL_QUEUE_MAX) {
        return sm_diag_set(diag, SM_ERR(OUT_OF_RANGE), FIELD ".queue", "1 to %d",
                           SM_APPROVAL_QUEUE_MAX);
    }
    SM_TRY(read_duration(message->expires, EXPIRES_DEFAULT_S, EXPIRES_MAX_S, FIELD ".expires",
                         &out->expires_s, diag));
    SM_TRY(read_duration(message->retry_after, RETRY_DEFAULT_S, RETRY_MAX_S, FIELD ".retry_after",
                         &retry, diag));
    out->used = true;
    out->reenroll = message->reenroll;
    out->queue = message->queue == 0 ? SM_APPROVAL_QUEUE_DEFAULT : message->queue;
    out->own_queue = message->queue_per_requester == 0 ? SM_APPROVAL_OWN_DEFAULT
                                                       : message->queue_per_requester;
    out->retry_after_s = (unsigned)retry;
    return SM_NO_ERR;
}

/* Up to a quarter more, at random: a fleet does not come back at once. */
unsigned sm_approval_retry_s(const struct sm_approval_rules *rules)
{
    return rules->retry_after_s + (unsigned)(sm_rand_u64() % (rules->retry_after_s / 4 + 1));
}

/* ---- ids and keys ---- */

static void put_text(sm_buf *out, sm_slice text)
{
    sm_buf_put_u32be(out, (uint32_t)text.len);
    sm_buf_put(out, text);
}

static sm_err hash_label(const char *label, uint8_t out[SM_DIGEST_MAX])
{
    return sm_digest_compute(SM_SHA256, sm_slice_str(label), out);
}

sm_err sm_approval_id(const struct sm_approval_claim *claim, sm_arena *arena, sm_slice *out)
{
    uint8_t label[SM_DIGEST_MAX];
    uint8_t request[SM_DIGEST_MAX];
    uint8_t id[SM_APPROVAL_ID_LEN];
    sm_buf text = sm_buf_init(1U << 20);
    put_text(&text, sm_slice_str(claim->label));
    put_text(&text, sm_slice_str(claim->requester));
    put_text(&text, claim->renews);
    put_text(&text, claim->csr);
    sm_err err = sm_buf_err(&text);
    err = sm_ok(err) ? sm_digest_compute(SM_SHA256, sm_buf_slice(&text), request) : err;
    err = sm_ok(err) ? hash_label(claim->label, label) : err;
    sm_buf_deinit(&text);
    SM_TRY(err);
    memcpy(id, label, LABEL_LEN);
    memcpy(id + LABEL_LEN, request, SM_APPROVAL_ID_LEN - LABEL_LEN);
    return sm_arena_copy(arena, sm_slice_of(id, sizeof(id)), out);
}

char *sm_approval_id_text(sm_slice id, sm_arena *arena)
{
    char *text = sm_arena_alloc(arena, 2 * id.len + 1);
    return text == NULL ? NULL : sm_hex_format(id, text);
}

bool sm_approval_id_parse(const char *text, sm_arena *arena, sm_slice *out)
{
    sm_buf octets = sm_buf_init(SM_APPROVAL_ID_LEN);
    bool good = strlen(text) == (size_t)2 * SM_APPROVAL_ID_LEN &&
                sm_ok(sm_hex_decode(&octets, sm_slice_str(text), false)) &&
                sm_ok(sm_arena_copy(arena, sm_buf_slice(&octets), out));
    sm_buf_deinit(&octets);
    return good;
}

sm_err sm_approval_key(sm_slice id, sm_arena *arena, sm_slice *out)
{
    return sm_record_key(SM_APPROVAL_ROWS, id, arena, out);
}

sm_err sm_approval_open_key(sm_slice id, sm_arena *arena, sm_slice *out)
{
    return sm_record_key(SM_APPROVAL_OPEN, id, arena, out);
}

/* The prefix with its last octet grown: they end in '/' or in a hash, which may be full of 255s. */
static sm_err end_of(sm_slice prefix, sm_arena *arena, sm_slice *out)
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

sm_err sm_approval_rows(const char *prefix, const char *label, sm_arena *arena, sm_slice *from,
                        sm_slice *to)
{
    uint8_t digest[SM_DIGEST_MAX];
    sm_slice part = SM_SLICE_NONE;
    if (label != NULL) {
        SM_TRY(hash_label(label, digest));
        part = sm_slice_of(digest, LABEL_LEN);
    }
    SM_TRY(sm_record_key(prefix, part, arena, from));
    return end_of(*from, arena, to);
}

sm_err sm_approval_range(const char *label, sm_arena *arena, sm_slice *from, sm_slice *to)
{
    return sm_approval_rows(SM_APPROVAL_ROWS, label, arena, from, to);
}

/* ---- records ---- */

static Sealmill__V1__ApprovalState state_now(const Sealmill__V1__Approval *a)
{
    bool ends = a->state == SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_PENDING ||
                a->state == SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_APPROVED;
    return ends && a->expires_at->seconds <= sm_clock_wall_s()
               ? SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_EXPIRED
               : a->state;
}

sm_err sm_approval_read(sm_slice id, sm_slice value, sm_arena *arena, struct sm_approval *out)
{
    ProtobufCMessage *m;
    struct sm_approval a = {.record = NULL};
    SM_TRY(sm_arena_copy(arena, id, &a.id));
    SM_TRY(sm_arena_copy(arena, value, &a.old));
    SM_TRY(sm_record_unpack(a.old, &sealmill__record__v1__approval_record__descriptor, arena, &m));
    a.record = (Sealmill__Record__V1__ApprovalRecord *)(void *)m;
    const Sealmill__V1__Approval *shown = a.record->approval;
    if (shown == NULL || shown->created_at == NULL || shown->expires_at == NULL) {
        return SM_ERR(CORRUPT);
    }
    a.state = state_now(shown);
    *out = a;
    return SM_NO_ERR;
}

sm_err sm_approval_load(sm_store *store, sm_slice id, sm_arena *arena, struct sm_approval *out)
{
    sm_slice key;
    sm_buf value = sm_buf_init(SM_APPROVAL_RECORD_MAX);
    sm_err err = sm_approval_key(id, arena, &key);
    err = sm_ok(err) ? sm_store_get_sync(store, SM_FAMILY_META, key, &value) : err;
    err = sm_ok(err) ? sm_approval_read(id, sm_buf_slice(&value), arena, out) : err;
    sm_buf_deinit(&value);
    return err;
}

sm_err sm_approval_use(const struct sm_approval *a, sm_slice serial, sm_arena *arena,
                       struct sm_store_cond *cond, struct sm_store_put *put)
{
    Sealmill__Record__V1__ApprovalRecord r = *a->record;
    Sealmill__V1__Approval approval = *r.approval;
    sm_slice key;
    sm_slice value;
    approval.state = SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_ISSUED;
    approval.serial = sm_approval_id_text(serial, arena);
    r.approval = &approval;
    if (approval.serial == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(sm_approval_key(a->id, arena, &key));
    SM_TRY(sm_record_pack(&r.base, arena, &value));
    *cond = (struct sm_store_cond){SM_COND_EQUALS, SM_FAMILY_META, key, a->old};
    *put = (struct sm_store_put){SM_PUT, SM_FAMILY_META, key, value};
    return SM_NO_ERR;
}

/* ---- what people see ---- */

static sm_err take_sans(Sealmill__V1__Approval *a, const struct sm_cert_params *p, sm_arena *arena)
{
    a->sans = sm_arena_alloc(arena, (p->san_count + 1) * sizeof(*a->sans));
    for (size_t i = 0; a->sans != NULL && i < p->san_count; i++) {
        a->sans[i] = sm_san_to_message(&p->sans[i], arena);
        if (a->sans[i] == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        a->n_sans++;
    }
    return a->sans == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

sm_err sm_approval_describe(Sealmill__V1__Approval *a, const struct sm_cert_params *p,
                            sm_arena *arena)
{
    sm_buf text = sm_buf_init(NAME_TEXT_MAX);
    sm_err err = sm_name_to_text(p->subject, &text);
    a->subject = sm_text(arena, sm_buf_slice(&text));
    a->n_sans = 0;
    sm_buf_deinit(&text);
    return sm_ok(err) ? take_sans(a, p, arena) : err;
}
