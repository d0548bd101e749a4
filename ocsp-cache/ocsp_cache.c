/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/ocsp_cache.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"

#include <pthread.h>
#include <unistd.h>

/* P-256 and Ed25519; P-384; P-521 and Ed448; RSA-2048. */
static const size_t rooms[] = {64, 96, 136, SM_OCSP_TABLE_SIGNATURE_MAX};
#define ROOMS (sizeof(rooms) / sizeof(rooms[0]))
#define MEMORY_SHARE 16

struct sm_ocsp_cache {
    struct sm_ocsp_table_budget budget;
    struct sm_ocsp_table_budget unknown_budget; /* nothing but the first chunk */
    sm_ocsp_table *tables[ROOMS];
    sm_ocsp_table *unknown;
};

static sm_metric answers;
static sm_metric bytes;
static sm_metric evicted;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    answers = sm_metric_register(SM_GAUGE, "sealmill_ocsp_memory_answers",
                                 "Pre-signed OCSP answers in memory", NULL);
    bytes = sm_metric_register(SM_GAUGE, "sealmill_ocsp_memory_bytes", "Octets that they take",
                               NULL);
    evicted = sm_metric_register(SM_GAUGE, "sealmill_ocsp_memory_evicted",
                                 "Pre-signed OCSP answers that made room for others, ever", NULL);
}

/* ---- birth ---- */

/* What the control group allows; SIZE_MAX: all. */
static size_t group_memory(void)
{
    sm_buf text = sm_buf_init(64);
    uint64_t limit = SIZE_MAX;
    sm_diag diag = {.reason = ""};
    if (sm_ok(sm_file_read("/sys/fs/cgroup/memory.max", &text, &diag))) {
        if (!sm_ok(sm_decimal_parse(sm_slice_trim(sm_buf_slice(&text)), &limit))) {
            limit = SIZE_MAX; /* "max" */
        }
    }
    sm_buf_deinit(&text);
    return limit;
}

static size_t default_bytes(void)
{
    size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    size_t group = group_memory();
    size_t share = (memory < group ? memory : group) / MEMORY_SHARE;
    return share < SM_OCSP_MEMORY_MIN ? SM_OCSP_MEMORY_MIN : share;
}

sm_err sm_ocsp_cache_new(size_t wanted, sm_ocsp_cache **out)
{
    (void)pthread_once(&once, register_metrics);
    sm_ocsp_cache *c = sm_calloc(1, sizeof(*c));
    if (c == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    c->budget.chunks_max = (wanted == 0 ? default_bytes() : wanted) / SM_OCSP_TABLE_CHUNK;
    sm_err err = sm_ocsp_table_new(SM_OCSP_TABLE_SIGNATURE_MAX, &c->unknown_budget, &c->unknown);
    for (size_t i = 0; i < ROOMS && sm_ok(err); i++) {
        err = sm_ocsp_table_new(rooms[i], &c->budget, &c->tables[i]);
    }
    if (!sm_ok(err)) {
        sm_ocsp_cache_free(&c);
        return err;
    }
    *out = c;
    return SM_NO_ERR;
}

void sm_ocsp_cache_free(sm_ocsp_cache **cache)
{
    sm_ocsp_cache *c = *cache;
    *cache = NULL;
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < ROOMS; i++) {
        sm_ocsp_table_free(&c->tables[i]);
    }
    sm_ocsp_table_free(&c->unknown);
    sm_free(c);
}

/* ---- answers ---- */

/* NULL: this signer's signatures are too long for memory. */
static sm_ocsp_table *table_of(const sm_ocsp_cache *c, const struct sm_ocsp_signer *signer)
{
    size_t room = sm_ocsp_signature_room(signer);
    for (size_t i = 0; i < ROOMS; i++) {
        if (room <= rooms[i]) {
            return c->tables[i];
        }
    }
    return NULL;
}

bool sm_ocsp_cache_get(sm_ocsp_cache *cache, const struct sm_ocsp_signer *signer,
                       const struct sm_ocsp_key *key, struct sm_ocsp_kept *out,
                       uint8_t room[SM_OCSP_TABLE_SIGNATURE_MAX])
{
    sm_ocsp_table *t = table_of(cache, signer);
    return t != NULL && sm_ocsp_table_get(t, key, out, room);
}

uint64_t sm_ocsp_cache_epoch(sm_ocsp_cache *cache, const struct sm_ocsp_signer *signer)
{
    sm_ocsp_table *t = table_of(cache, signer);
    return t == NULL ? 0 : sm_ocsp_table_epoch(t);
}

void sm_ocsp_cache_put(sm_ocsp_cache *cache, const struct sm_ocsp_signer *signer,
                       const struct sm_ocsp_key *key, const struct sm_ocsp_kept *kept,
                       uint64_t epoch)
{
    sm_ocsp_table *t = table_of(cache, signer);
    if (t != NULL) {
        sm_ocsp_table_put(t, key, kept, epoch);
    }
}

bool sm_ocsp_cache_fill(sm_ocsp_cache *cache, const struct sm_ocsp_signer *signer,
                        const struct sm_ocsp_key *key, const struct sm_ocsp_kept *kept,
                        uint64_t epoch)
{
    sm_ocsp_table *t = table_of(cache, signer);
    return t == NULL || sm_ocsp_table_fill(t, key, kept, epoch);
}

void sm_ocsp_cache_renew(sm_ocsp_cache *cache, const struct sm_ocsp_signer *signer,
                         const struct sm_ocsp_key *key, const struct sm_ocsp_kept *kept,
                         uint64_t epoch)
{
    sm_ocsp_table *t = table_of(cache, signer);
    if (t != NULL && !sm_ocsp_table_renew(t, key, kept)) {
        (void)sm_ocsp_table_fill(t, key, kept, epoch);
    }
}

void sm_ocsp_cache_change(sm_ocsp_cache *cache, const struct sm_ocsp_signer *signer,
                          const struct sm_ocsp_key *key, const struct sm_ocsp_kept *kept,
                          uint64_t epoch)
{
    sm_ocsp_table *mine = signer == NULL ? NULL : table_of(cache, signer);
    for (size_t i = 0; i < ROOMS; i++) { /* a signer of before may have left one elsewhere */
        sm_ocsp_table_change(cache->tables[i], key, cache->tables[i] == mine ? kept : NULL, epoch);
    }
}

/* ---- serial numbers of nobody ---- */

bool sm_ocsp_cache_get_unknown(sm_ocsp_cache *cache, const struct sm_ocsp_key *key,
                               struct sm_ocsp_kept *out, uint8_t room[SM_OCSP_TABLE_SIGNATURE_MAX])
{
    return sm_ocsp_table_get(cache->unknown, key, out, room);
}

uint64_t sm_ocsp_cache_unknown_epoch(sm_ocsp_cache *cache)
{
    return sm_ocsp_table_epoch(cache->unknown);
}

void sm_ocsp_cache_put_unknown(sm_ocsp_cache *cache, const struct sm_ocsp_key *key,
                               const struct sm_ocsp_kept *kept, uint64_t epoch)
{
    sm_ocsp_table_put(cache->unknown, key, kept, epoch);
}

void sm_ocsp_cache_issued(sm_ocsp_cache *cache, uint32_t ca_id, uint32_t generation,
                          sm_slice serial)
{
    struct sm_ocsp_key key = {ca_id, generation, SM_OCSP_SHA1, serial};
    sm_ocsp_table_change(cache->unknown, &key, NULL, 0);
    key.hash = SM_OCSP_SHA256;
    sm_ocsp_table_change(cache->unknown, &key, NULL, 0);
}

void sm_ocsp_cache_measure(sm_ocsp_cache *cache)
{
    struct sm_ocsp_table_stats all = {.answers = 0};
    for (size_t i = 0; i < ROOMS; i++) {
        struct sm_ocsp_table_stats one;
        sm_ocsp_table_stats(cache->tables[i], &one);
        all.answers += one.answers;
        all.bytes += one.bytes;
        all.evicted += one.evicted;
    }
    sm_metric_set(answers, (int64_t)all.answers);
    sm_metric_set(bytes, (int64_t)all.bytes);
    sm_metric_set(evicted, (int64_t)all.evicted);
}
