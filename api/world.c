/* SPDX-License-Identifier: Apache-2.0 */
#include "api/world_p.h"

#include "api/api_p.h"
#include "api/label.h"
#include "api/ocsp_responder.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/message.h"

#define LEFT_OUT_LOGGED 10               /* by name; the rest are counted */
#define WORLD_MEMORY (UINT64_C(1) << 30) /* what the limits take with P-256, several times over */

sm_err sm_world_over_limit(struct builder *b, const char *what, const char *name, int limit)
{
    if (b->change_new) { /* it, or the one behind it that it drives out */
        return sm_diag_set(b->diag, SM_ERR(TOO_LARGE), "name", "there are %d %s already", limit,
                           what);
    }
    if (b->left_out++ < LEFT_OUT_LOGGED) {
        sm_log(SM_LOG_ERROR, "record_left_out", SM_KS("of", what), SM_KS("name", name),
               SM_KS("reason", "over the limit"), SM_KI("limit", limit), SM_KEND);
    }
    return SM_NO_ERR;
}

const struct sm_ca *sm_world_top(const sm_world *world, const struct sm_ca *ca)
{
    for (int i = 0; i < SM_CAS_MAX && ca->record->ca->parent[0] != '\0'; i++) {
        const struct sm_ca *parent = sm_world_ca(world, ca->record->ca->parent);
        if (parent == NULL) {
            break;
        }
        ca = parent;
    }
    return ca;
}

const struct sm_profile *sm_world_profile(const sm_world *world, const char *name)
{
    for (size_t i = 0; i < world->profile_count; i++) {
        if (strcmp(world->profiles[i].message->name, name) == 0) {
            return &world->profiles[i];
        }
    }
    return NULL;
}

/* ---- rows ---- */

static sm_err add_profile(struct builder *b, Sealmill__V1__Profile *message, bool from_file)
{
    sm_world *w = b->world;
    struct sm_profile *p = &w->profiles[w->profile_count];
    SM_TRY(sm_profile_compile(message, &w->arena, p, b->diag));
    p->index = w->profile_count++;
    p->from_file = from_file;
    return SM_NO_ERR;
}

/* A stored profile that this release refuses is left out: its requests are refused, others not. */
static sm_err add_profile_row(struct builder *b, sm_slice key, sm_slice value)
{
    ProtobufCMessage *m;
    (void)key;
    SM_TRY(sm_message_unpack(&sealmill__record__v1__profile_record__descriptor, value,
                             &b->world->arena, &m));
    Sealmill__V1__Profile *profile = ((Sealmill__Record__V1__ProfileRecord *)(void *)m)->profile;
    sm_diag diag = {.reason = ""};
    sm_diag *given = b->diag;
    if (sm_world_profile(b->world, profile->name) != NULL) {
        return SM_NO_ERR; /* the configuration file, which comes first, wins */
    }
    if (b->world->profile_count == SM_PROFILES_MAX) {
        return sm_world_over_limit(b, "profiles", profile->name, SM_PROFILES_MAX);
    }
    if (b->kind != ROW_STORED) {
        return add_profile(b, profile, false);
    }
    b->diag = &diag;
    sm_err err = add_profile(b, profile, false);
    b->diag = given;
    if (sm_err_category(err) == SM_INPUT) {
        sm_log(SM_LOG_ERROR, "record_left_out", SM_KS("of", "profiles"),
               SM_KS("name", profile->name), SM_KS("field", diag.field),
               SM_KS("reason", diag.reason), SM_KEND);
        err = SM_NO_ERR;
    }
    return err;
}

static sm_err remember_dead(struct builder *b, sm_slice key)
{
    sm_world *w = b->world;
    if (w->dead_count == SM_WORLD_DEAD_MAX) {
        return SM_NO_ERR; /* with the next change */
    }
    SM_TRY(sm_arena_copy(&w->arena, key, &w->dead[w->dead_count]));
    w->dead_count++;
    return SM_NO_ERR;
}

static sm_err add_token(struct builder *b, sm_slice key, sm_slice value)
{
    sm_world *w = b->world;
    ProtobufCMessage *m;
    SM_TRY(
        sm_message_unpack(&sealmill__record__v1__token_record__descriptor, value, &w->arena, &m));
    Sealmill__Record__V1__TokenRecord *record = (Sealmill__Record__V1__TokenRecord *)(void *)m;
    const Google__Protobuf__Timestamp *end = record->token->expires_at;
    if (b->kind == ROW_STORED && end != NULL &&
        end->seconds < sm_clock_wall_s() - SM_TOKEN_GRACE_S) {
        return remember_dead(b, key);
    }
    if (sm_map_count(w->tokens) == SM_BEARER_TOKENS_MAX) {
        return sm_world_over_limit(b, "tokens", record->token->id, SM_BEARER_TOKENS_MAX);
    }
    return sm_map_put(w->tokens, sm_slice_of(record->secret_sha256.data, record->secret_sha256.len),
                      record, NULL);
}

/* The change's own row, which the store has not. */
static sm_err add_new(struct builder *b)
{
    b->kind = ROW_NEW;
    b->change_seen = true;
    b->change_new = true;
    return b->add(b, b->change->key, b->change->value);
}

static bool on_row(void *ctx, sm_slice key, sm_slice value)
{
    struct builder *b = ctx;
    if (b->expects_change && !b->change_seen && sm_slice_compare(b->change->key, key) < 0) {
        b->err = add_new(b); /* in its place, so that lists do not change with the next start */
        if (!sm_ok(b->err)) {
            return false;
        }
    }
    bool changed = b->change != NULL && sm_slice_equal(key, b->change->key);
    b->kind = changed ? ROW_REPLACED : ROW_STORED;
    b->change_seen = b->change_seen || changed;
    if (changed && b->change->remove) {
        return true;
    }
    b->err = b->add(b, key, changed ? b->change->value : value);
    return sm_ok(b->err);
}

/* Every row of META whose key begins with `prefix`, as it is after the change. */
static sm_err each_row(struct builder *b, const char *prefix,
                       sm_err (*add)(struct builder *b, sm_slice key, sm_slice value))
{
    char end[32];
    size_t len = strlen(prefix);
    memcpy(end, prefix, len);
    end[len - 1] = (char)(end[len - 1] + 1); /* '/' becomes '0' */
    b->err = SM_NO_ERR;
    b->add = add;
    b->change_seen = false;
    b->change_new = false;
    b->expects_change = b->change != NULL && !b->change->remove &&
                        sm_slice_starts_with(b->change->key, sm_slice_str(prefix));
    SM_TRY(sm_store_scan_sync(b->api->config.store, SM_FAMILY_META, sm_slice_str(prefix),
                              sm_slice_of(end, len), on_row, b));
    SM_TRY(b->err);
    return b->expects_change && !b->change_seen ? add_new(b) : SM_NO_ERR;
}

/* ---- signing keys of SigningService ---- */

static sm_err add_signing_key(struct builder *b, Sealmill__V1__SigningKey *key)
{
    sm_world *w = b->world;
    if (w->signing_key_count == SM_SIGNING_KEYS_MAX) {
        return sm_world_over_limit(b, "signing keys", key->name, SM_SIGNING_KEYS_MAX);
    }
    sm_key *handle = sm_world_try_key(b, key->key_uri, key->name);
    sm_err err = sm_api_rate(b->api, key->name, &w->signing_key_rates[w->signing_key_count]);
    if (!sm_ok(err)) {
        sm_key_detach(&handle);
        return err;
    }
    w->signing_keys[w->signing_key_count] = key;
    sm_signing_metrics_of(key->name, &w->signing_key_metrics[w->signing_key_count]);
    w->signing_key_handles[w->signing_key_count++] = handle;
    return SM_NO_ERR;
}

static sm_err add_key_row(struct builder *b, sm_slice key, sm_slice value)
{
    ProtobufCMessage *m;
    (void)key;
    SM_TRY(sm_message_unpack(&sealmill__record__v1__key_record__descriptor, value, &b->world->arena,
                             &m));
    return add_signing_key(b, ((Sealmill__Record__V1__KeyRecord *)(void *)m)->key);
}

/* ---- keys that are never certified ---- */

/* A CA's own key in a leaf would let whoever holds that leaf's name borrow the CA's signatures. */
static sm_err gather_denied_keys(struct builder *b)
{
    sm_world *w = b->world;
    if (w->config->denied_keys_file[0] != '\0') {
        SM_TRY(sm_denied_keys_read(&w->denied, w->config->denied_keys_file, b->diag));
    }
    for (size_t i = 0; i < w->ca_count; i++) {
        SM_TRY(sm_world_deny_keys(&w->cas[i], &w->denied));
    }
    sm_denied_keys_sort(&w->denied);
    return SM_NO_ERR;
}

static size_t pending_max(const Sealmill__Config__V1__Config *config)
{
    uint32_t n = config->limits == NULL ? 0 : config->limits->pending_requests;
    return n == 0 ? SM_API_PENDING_MAX : n;
}

/* Checked when the configuration was read: what cannot be read is no limit here. */
static void read_rates(sm_world *w)
{
    const Sealmill__Config__V1__Limits *l = w->config->limits;
    if (l == NULL ||
        !sm_ok(sm_rate_rule_parse(sm_slice_str(l->issue_per_caller), &w->per_caller))) {
        w->per_caller.count = 0;
    }
    if (l == NULL ||
        !sm_ok(sm_rate_rule_parse(sm_slice_str(l->issue_per_subject), &w->per_subject))) {
        w->per_subject.count = 0;
    }
}

/* ---- the whole ---- */

/* One damaged file costs its CA alone; when none opens, the passphrase or the folder is wrong, and
 * a server without any key would look alive. Keys in tokens may come later. */
static sm_err check_key_files(struct builder *b)
{
    return b->opened > 0 || sm_ok(b->refused)
               ? SM_NO_ERR
               : sm_diag_set(b->diag, b->refused, "keys", "%s, and no other key file opens",
                             b->refusal.reason);
}

static sm_err check_config(struct builder *b)
{
    const Sealmill__Config__V1__Config *c = b->world->config;
    if (c->n_profiles > SM_PROFILES_MAX) {
        return sm_diag_set(b->diag, SM_ERR(TOO_LARGE), "profiles", "more than %d", SM_PROFILES_MAX);
    }
    return c->n_signing_keys <= SM_SIGNING_KEYS_MAX
               ? SM_NO_ERR
               : sm_diag_set(b->diag, SM_ERR(TOO_LARGE), "signing_keys", "more than %d",
                             SM_SIGNING_KEYS_MAX);
}

static sm_err fill(struct builder *b)
{
    sm_world *w = b->world;
    w->cas = sm_arena_zalloc(&w->arena, SM_CAS_MAX * sizeof(*w->cas));
    w->profiles = sm_arena_zalloc(&w->arena, SM_PROFILES_MAX * sizeof(*w->profiles));
    w->signing_keys = sm_arena_zalloc(&w->arena, SM_SIGNING_KEYS_MAX * sizeof(*w->signing_keys));
    w->signing_key_handles = sm_arena_zalloc(&w->arena, SM_SIGNING_KEYS_MAX * sizeof(sm_key *));
    w->signing_key_rates = sm_arena_zalloc(&w->arena, SM_SIGNING_KEYS_MAX * sizeof(sm_rate *));
    w->signing_key_metrics = sm_arena_zalloc(&w->arena,
                                             SM_SIGNING_KEYS_MAX * sizeof(*w->signing_key_metrics));
    w->dead = sm_arena_zalloc(&w->arena, SM_WORLD_DEAD_MAX * sizeof(*w->dead));
    if (w->cas == NULL || w->profiles == NULL || w->signing_keys == NULL ||
        w->signing_key_handles == NULL || w->signing_key_rates == NULL ||
        w->signing_key_metrics == NULL || w->dead == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(sm_map_new(SM_BEARER_TOKENS_MAX, &w->tokens));
    SM_TRY(check_config(b));
    for (size_t i = 0; i < w->config->n_profiles; i++) {
        if (sm_world_profile(w, w->config->profiles[i]->name) == NULL) {
            SM_TRY(add_profile(b, w->config->profiles[i], true));
        }
    }
    for (size_t i = 0; i < w->config->n_signing_keys; i++) {
        SM_TRY(add_signing_key(b, w->config->signing_keys[i]));
    }
    SM_TRY(each_row(b, "ca/", sm_world_add_ca));
    SM_TRY(each_row(b, "profile/", add_profile_row));
    SM_TRY(each_row(b, "token/", add_token));
    SM_TRY(each_row(b, "key/", add_key_row));
    SM_TRY(sm_world_index_make(w));
    SM_TRY(check_key_files(b));
    if (b->left_out > LEFT_OUT_LOGGED) {
        sm_log(SM_LOG_ERROR, "records_left_out", SM_KI("count", b->left_out), SM_KEND);
    }
    SM_TRY(sm_world_make_templates(w));
    SM_TRY(sm_labels_make(b->api, w, b->diag));
    return gather_denied_keys(b);
}

sm_err sm_world_build(sm_api *api, const struct sm_change *change, sm_world **out, sm_diag *diag)
{
    sm_world *w = sm_calloc(1, sizeof(*w));
    if (w == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    static _Atomic uint64_t last_number;
    atomic_init(&w->refs, 1);
    (void)pthread_mutex_init(&w->lazy_lock, NULL);
    w->number = atomic_fetch_add(&last_number, 1) + 1;
    sm_arena_init(&w->arena, WORLD_MEMORY);
    w->config = api->config.config;
    w->pending_max = pending_max(w->config);
    read_rates(w);
    w->crl_partitions = w->config->crl == NULL ? 0 : w->config->crl->partitions;
    /* A change is made to the world that there is, and its configuration stays: without one anything may be another. */
    const sm_world *before = change == NULL ? NULL : api->world;
    struct builder b = {.api = api, .world = w, .diag = diag, .change = change, .before = before};
    sm_err err = fill(&b);
    if (!sm_ok(err)) {
        sm_world_detach(&w);
        return err;
    }
    *out = w;
    return SM_NO_ERR;
}

void sm_world_detach(sm_world **world)
{
    sm_world *w = *world;
    *world = NULL;
    if (w == NULL || atomic_fetch_sub(&w->refs, 1) != 1) {
        return;
    }
    sm_world_free_lazy(w);
    sm_world_index_free(w);
    for (size_t i = 0; i < w->ca_count; i++) {
        sm_world_free_ca(&w->cas[i]);
    }
    for (size_t i = 0; i < w->profile_count; i++) {
        sm_profile_deinit(&w->profiles[i]);
    }
    for (size_t i = 0; i < w->signing_key_count; i++) {
        sm_key_detach(&w->signing_key_handles[i]);
    }
    sm_labels_free(w);
    sm_denied_keys_deinit(&w->denied);
    sm_map_free(&w->tokens);
    (void)pthread_mutex_destroy(&w->lazy_lock);
    sm_arena_deinit(&w->arena);
    sm_free(w);
}
