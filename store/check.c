/* SPDX-License-Identifier: Apache-2.0 */
/* Reads everything once: checksums (the backend verifies each block that it reads) and a log
 * without gaps. */
#include "store/store_p.h"

#include <inttypes.h>
#include <stdio.h>

#define PROBLEM_MAX 160
#define KEY_SHOWN 40 /* octets: a serial is 20 */

struct walk {
    struct sm_store_check *out;
    enum sm_store_family family;
    uint64_t next_sequence;
    sm_buf last_key; /* the last one that could be read */
    void (*problem)(void *ctx, const char *what);
    void *ctx;
};

static const char *const family_words[SM_FAMILY_COUNT] = {"meta", "certificates", "states",
                                                          "log",  "index",        "ocsp"};

static void report(struct walk *w, const char *what)
{
    w->out->problems++;
    if (w->problem != NULL) {
        w->problem(w->ctx, what);
    }
}

static void check_sequence(struct walk *w, sm_slice key)
{
    char what[PROBLEM_MAX];
    uint64_t sequence = sm_store_get_sequence(key);
    if (key.len != 8) {
        report(w, "the log holds a key that is no sequence number");
        return;
    }
    if (sequence != w->next_sequence) {
        (void)snprintf(what, sizeof(what), "the log has no records %" PRIu64 " to %" PRIu64,
                       w->next_sequence, sequence - 1);
        report(w, what);
    }
    w->next_sequence = sequence + 1;
    w->out->last_sequence = sequence;
}

static bool on_row(void *ctx, sm_slice key, sm_slice value)
{
    struct walk *w = ctx;
    w->out->rows[w->family]++;
    w->out->bytes[w->family] += key.len + value.len;
    sm_buf_reset(&w->last_key);
    sm_buf_put(&w->last_key, sm_slice_first(key, KEY_SHOWN));
    if (w->family == SM_FAMILY_LOG) {
        check_sequence(w, key);
    }
    return true;
}

static void report_unreadable(struct walk *w, sm_err err)
{
    char what[PROBLEM_MAX];
    int len = snprintf(what, sizeof(what), "%s: %s %s", family_words[w->family], sm_err_words(err),
                       w->last_key.len == 0 ? "from the beginning" : "behind key ");
    for (size_t i = 0; i < w->last_key.len && (size_t)len + 3 < sizeof(what); i++) {
        len += snprintf(what + len, sizeof(what) - (size_t)len, "%02x", w->last_key.ptr[i]);
    }
    report(w, what);
}

static void check_family(sm_store *store, struct walk *w)
{
    const struct store_range all = {.reverse = false};
    sm_buf_reset(&w->last_key);
    sm_err err = store->ops->scan(store->backend, w->family, &all, on_row, w);
    if (!sm_ok(err)) {
        report_unreadable(w, err);
    }
}

sm_err sm_store_check_all(sm_store *store, struct sm_store_check *out,
                          void (*problem)(void *ctx, const char *what), void *ctx)
{
    struct walk w = {.out = out, .next_sequence = 1, .problem = problem, .ctx = ctx};
    w.last_key = sm_buf_init(KEY_SHOWN);
    *out = (struct sm_store_check){.index_sequence = atomic_load(&store->indexer.done_sequence)};
    uint64_t last = sm_store_last_sequence(store);
    for (int i = 0; i < SM_FAMILY_COUNT; i++) {
        w.family = (enum sm_store_family)i;
        check_family(store, &w);
    }
    if (out->last_sequence < last) {
        report(&w, "the log ends before its last sequence");
    }
    sm_buf_deinit(&w.last_key);
    return SM_NO_ERR;
}
