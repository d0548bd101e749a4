/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/crl_entry.h"

#include "base/mem.h"
#include "gen/sealmill/v1/record.pb-c.h"

#define ROW_VERSION 1
#define STATE_MAX (SM_CRL_BASES_MAX * (SM_CRL_BASE_MAX + 8) + 1024)
#define STATE_VALID 1 /* sealmill.v1.CertificateState */
#define STATE_REVOKED 2

static void put_u32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

/* `past`: of the scope after it, where its own keys end. */
static size_t put_prefix(char whole, char part, const struct sm_crl_scope *s, uint32_t past,
                         uint8_t out[SM_CRL_PREFIX_MAX])
{
    bool is_part = s->partition > 0;
    out[0] = (uint8_t)(is_part ? part : whole);
    put_u32(out + 1, s->ca_id);
    put_u32(out + 5, s->generation + (is_part ? 0 : past));
    if (is_part) {
        put_u32(out + 9, s->partition + past);
    }
    return is_part ? SM_CRL_PREFIX_MAX : 9;
}

struct sm_crl_range sm_crl_entries(const struct sm_crl_scope *scope)
{
    struct sm_crl_range r;
    r.len = put_prefix('c', 'C', scope, 0, r.from);
    (void)put_prefix('c', 'C', scope, 1, r.to);
    return r;
}

static sm_err pack(const ProtobufCMessage *m, sm_arena *arena, sm_slice *out)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *octets = sm_arena_alloc(arena, size + 1);
    if (octets == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    *out = sm_slice_of(octets, protobuf_c_message_pack(m, octets));
    return SM_NO_ERR;
}

sm_err sm_crl_entry_pack(const struct sm_crl_entry *entry, sm_arena *arena, sm_slice *out)
{
    Sealmill__Record__V1__CrlEntry r;
    sealmill__record__v1__crl_entry__init(&r);
    r.version = ROW_VERSION;
    r.state = entry->standing == SM_CRL_RELEASED ? STATE_VALID : STATE_REVOKED;
    r.reason = (uint32_t)entry->reason;
    r.changed_at = entry->changed_at;
    r.invalidity_date = entry->invalidity_date;
    r.not_after = entry->not_after;
    return pack(&r.base, arena, out);
}

static sm_err put_entry(const struct sm_crl_scope *scope, sm_slice serial, sm_slice value,
                        sm_arena *arena, struct sm_store_put *out)
{
    uint8_t key[SM_CRL_KEY_MAX];
    size_t len = put_prefix('c', 'C', scope, 0, key);
    memcpy(key + len, serial.ptr, serial.len);
    *out = (struct sm_store_put){.kind = SM_PUT, .family = SM_FAMILY_OCSP, .value = value};
    return sm_arena_copy(arena, sm_slice_of(key, len + serial.len), &out->key);
}

sm_err sm_crl_entry_put(const struct sm_crl_scope *scope, sm_slice serial,
                        const struct sm_crl_entry *entry, sm_arena *arena,
                        struct sm_store_put out[SM_CRL_ENTRY_PUTS], size_t *count)
{
    const struct sm_crl_scope whole = {scope->ca_id, scope->generation, 0};
    sm_slice value;
    if (serial.len == 0 || serial.len > SM_OCSP_SERIAL_MAX) {
        return SM_ERR(INVALID);
    }
    SM_TRY(sm_crl_entry_pack(entry, arena, &value));
    SM_TRY(put_entry(&whole, serial, value, arena, &out[0]));
    if (scope->partition > 0) {
        SM_TRY(put_entry(scope, serial, value, arena, &out[1]));
    }
    *count += scope->partition > 0 ? 2 : 1;
    return SM_NO_ERR;
}

sm_err sm_crl_entry_unpack(sm_slice row, struct sm_crl_entry *out)
{
    Sealmill__Record__V1__CrlEntry *r = sealmill__record__v1__crl_entry__unpack(NULL, row.len,
                                                                                row.ptr);
    if (r == NULL || r->version != ROW_VERSION || r->reason > 10) {
        sealmill__record__v1__crl_entry__free_unpacked(r, NULL);
        return SM_ERR(CORRUPT);
    }
    *out = (struct sm_crl_entry){
        .standing = r->state == STATE_VALID ? SM_CRL_RELEASED : SM_CRL_REVOKED,
        .reason = (int)r->reason,
        .changed_at = r->changed_at,
        .invalidity_date = r->invalidity_date,
        .not_after = r->not_after,
    };
    sealmill__record__v1__crl_entry__free_unpacked(r, NULL);
    return SM_NO_ERR;
}

/* ---- an issuer's record ---- */

static sm_err read_state(sm_slice row, struct sm_crl_state *out)
{
    Sealmill__Record__V1__CrlState *r = sealmill__record__v1__crl_state__unpack(NULL, row.len,
                                                                                row.ptr);
    if (r == NULL || r->version != ROW_VERSION) {
        sealmill__record__v1__crl_state__free_unpacked(r, NULL);
        return SM_ERR(CORRUPT);
    }
    *out = (struct sm_crl_state){
        .last_number = r->last_number,
        .loading = r->loading,
        .full = {r->full_number, r->full_this_update, r->full_next_update, r->full_entries,
                 r->full_bytes},
        .delta = {r->delta_number, r->delta_this_update, r->delta_next_update, r->delta_entries,
                  r->delta_bytes},
        .partitions = r->partitions,
    };
    for (size_t i = 0; i < r->n_bases; i++) {
        (void)sm_crl_state_add_base(out, sm_slice_str(r->bases[i]));
    }
    sealmill__record__v1__crl_state__free_unpacked(r, NULL);
    return SM_NO_ERR;
}

void sm_crl_state_deinit(struct sm_crl_state *state)
{
    for (size_t i = 0; i < state->base_count; i++) {
        sm_free(state->bases[i]);
    }
    state->base_count = 0;
}

bool sm_crl_state_add_base(struct sm_crl_state *state, sm_slice base)
{
    for (size_t i = 0; i < state->base_count; i++) {
        if (sm_slice_equal(sm_slice_str(state->bases[i]), base)) {
            return false;
        }
    }
    char *copy = state->base_count == SM_CRL_BASES_MAX || base.len > SM_CRL_BASE_MAX
                     ? NULL
                     : sm_malloc(base.len + 1);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, base.ptr, base.len);
    copy[base.len] = '\0';
    state->bases[state->base_count++] = copy;
    return true;
}

sm_err sm_crl_state_read(sm_store *store, const struct sm_crl_scope *scope,
                         struct sm_crl_state *out)
{
    uint8_t key[SM_CRL_PREFIX_MAX];
    sm_buf row = sm_buf_init(STATE_MAX);
    size_t len = put_prefix('n', 'N', scope, 0, key);
    sm_err err = sm_store_get_sync(store, SM_FAMILY_OCSP, sm_slice_of(key, len), &row);
    if (sm_err_is(err, SM_E_NOT_FOUND)) {
        *out = (struct sm_crl_state){.last_number = 0};
        err = SM_NO_ERR;
    } else if (sm_ok(err)) {
        err = read_state(sm_buf_slice(&row), out);
    }
    sm_buf_deinit(&row);
    return err;
}

static void fill_state(const struct sm_crl_state *s, Sealmill__Record__V1__CrlState *r)
{
    sealmill__record__v1__crl_state__init(r);
    r->version = ROW_VERSION;
    r->last_number = s->last_number;
    r->loading = s->loading;
    r->full_number = s->full.number;
    r->full_this_update = s->full.this_update;
    r->full_next_update = s->full.next_update;
    r->full_entries = s->full.entries;
    r->full_bytes = s->full.bytes;
    r->delta_number = s->delta.number;
    r->delta_this_update = s->delta.this_update;
    r->delta_next_update = s->delta.next_update;
    r->delta_entries = s->delta.entries;
    r->delta_bytes = s->delta.bytes;
    r->partitions = s->partitions;
    r->n_bases = s->base_count;
}

sm_err sm_crl_state_write(sm_store *store, const struct sm_crl_scope *scope,
                          const struct sm_crl_state *s)
{
    Sealmill__Record__V1__CrlState r;
    uint8_t key[SM_CRL_PREFIX_MAX];
    char *bases[SM_CRL_BASES_MAX];
    sm_arena arena;
    sm_slice value;
    fill_state(s, &r);
    memcpy(bases, s->bases, s->base_count * sizeof(*bases));
    r.bases = bases;
    size_t len = put_prefix('n', 'N', scope, 0, key);
    sm_arena_init(&arena, 2 * STATE_MAX);
    sm_err err = pack(&r.base, &arena, &value);
    if (sm_ok(err)) {
        const struct sm_store_put put = {SM_PUT, SM_FAMILY_OCSP, sm_slice_of(key, len), value};
        sm_store_write op = {.puts = &put, .put_count = 1};
        err = sm_store_write_sync(store, &op);
    }
    sm_arena_deinit(&arena);
    return err;
}

/* ---- what no CRL needs any more ---- */

#define FORGET_MAX 1000 /* rows of one write */

struct forgetting {
    int64_t settled_at;
    sm_arena arena;
    struct sm_store_put puts[FORGET_MAX];
    size_t count;
    sm_err err;
};

static bool on_old(void *ctx, sm_slice key, sm_slice value)
{
    struct forgetting *f = ctx;
    struct sm_crl_entry e;
    if (!sm_ok(sm_crl_entry_unpack(value, &e)) || e.not_after == 0 || e.not_after > f->settled_at) {
        return true;
    }
    struct sm_store_put *put = &f->puts[f->count++];
    *put = (struct sm_store_put){.kind = SM_DELETE, .family = SM_FAMILY_OCSP};
    f->err = sm_arena_copy(&f->arena, key, &put->key);
    return sm_ok(f->err) && f->count < FORGET_MAX;
}

sm_err sm_crl_entries_forget(sm_store *store, const struct sm_crl_scope *scope, int64_t settled_at)
{
    const struct sm_crl_range range = sm_crl_entries(scope);
    struct forgetting *f = sm_calloc(1, sizeof(*f));
    sm_err err = f == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
    bool more = true;
    while (sm_ok(err) && more) {
        f->settled_at = settled_at;
        f->count = 0;
        sm_arena_init(&f->arena, 1U << 20);
        err = sm_store_scan_sync(store, SM_FAMILY_OCSP, sm_slice_of(range.from, range.len),
                                 sm_slice_of(range.to, range.len), on_old, f);
        err = sm_ok(err) ? f->err : err;
        more = f->count == FORGET_MAX;
        if (sm_ok(err) && f->count > 0) {
            sm_store_write op = {.puts = f->puts, .put_count = f->count};
            err = sm_store_write_sync(store, &op);
        }
        sm_arena_deinit(&f->arena);
    }
    sm_free(f);
    return err;
}

/* ---- numbers after a restore ---- */

#define SKIP_MAX 500 /* records of one write */
#define SKIP_BYTES (SM_STORE_COMMIT_BYTES / 2)

struct skipping {
    uint64_t gap;
    sm_arena arena;
    struct sm_store_put puts[SKIP_MAX];
    size_t count;
    size_t bytes;
    uint8_t from[SM_CRL_PREFIX_MAX + 1]; /* the last key and a zero: where the next page begins */
    size_t from_len;
    bool more;
    sm_err err;
};

static sm_err raise_number(struct skipping *s, sm_slice key, sm_slice value)
{
    Sealmill__Record__V1__CrlState *r = sealmill__record__v1__crl_state__unpack(NULL, value.len,
                                                                                value.ptr);
    struct sm_store_put *put = &s->puts[s->count];
    sm_err err = SM_NO_ERR;
    if (r != NULL && r->version == ROW_VERSION) {
        r->last_number += s->gap;
        *put = (struct sm_store_put){.kind = SM_PUT, .family = SM_FAMILY_OCSP};
        err = pack(&r->base, &s->arena, &put->value);
        err = sm_ok(err) ? sm_arena_copy(&s->arena, key, &put->key) : err;
        s->bytes += put->value.len;
        s->count += sm_ok(err) ? 1 : 0;
    }
    sealmill__record__v1__crl_state__free_unpacked(r, NULL);
    return err;
}

static bool on_number(void *ctx, sm_slice key, sm_slice value)
{
    struct skipping *s = ctx;
    if (key.len >= sizeof(s->from)) {
        return true;
    }
    if (s->count == SKIP_MAX || s->bytes > SKIP_BYTES) {
        s->more = true;
        return false;
    }
    memcpy(s->from, key.ptr, key.len);
    s->from[key.len] = 0;
    s->from_len = key.len + 1;
    s->err = raise_number(s, key, value);
    return sm_ok(s->err);
}

static sm_err skip_page(sm_store *store, struct skipping *s, sm_slice end)
{
    s->count = 0;
    s->bytes = 0;
    s->more = false;
    SM_TRY(sm_store_scan_sync(store, SM_FAMILY_OCSP, sm_slice_of(s->from, s->from_len), end,
                              on_number, s));
    SM_TRY(s->err);
    sm_store_write op = {.puts = s->puts, .put_count = s->count};
    return s->count == 0 ? SM_NO_ERR : sm_store_write_sync(store, &op);
}

static sm_err skip_kind(sm_store *store, struct skipping *s, char kind)
{
    const uint8_t end = (uint8_t)(kind + 1);
    s->from[0] = (uint8_t)kind;
    s->from_len = 1;
    s->more = true;
    sm_err err = SM_NO_ERR;
    while (sm_ok(err) && s->more) {
        sm_arena_init(&s->arena, 2 * SM_STORE_COMMIT_BYTES);
        err = skip_page(store, s, sm_slice_of(&end, 1));
        sm_arena_deinit(&s->arena);
    }
    return err;
}

sm_err sm_crl_numbers_skip(sm_store *store, uint64_t gap)
{
    struct skipping *s = sm_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    s->gap = gap;
    sm_err err = skip_kind(store, s, 'n');
    err = sm_ok(err) ? skip_kind(store, s, 'N') : err;
    sm_free(s);
    return err;
}
