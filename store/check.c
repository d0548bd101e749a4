/* SPDX-License-Identifier: Apache-2.0 */
/* Reads everything once: checksums, versions of rows, a log without gaps. */
#include "store/store_p.h"

#include <stdio.h>

struct walk {
    struct sm_store_check *out;
    enum sm_store_family family;
    uint64_t next_sequence; /* 0: none seen yet */
    void (*problem)(void *ctx, const char *what);
    void *ctx;
};

static void report(struct walk *w, const char *what)
{
    w->out->problems++;
    if (w->problem != NULL) {
        w->problem(w->ctx, what);
    }
}

static void check_sequence(struct walk *w, sm_slice key)
{
    char what[128];
    uint64_t sequence = sm_store_get_sequence(key);
    if (key.len != 8 || (w->next_sequence != 0 && sequence != w->next_sequence)) {
        (void)snprintf(what, sizeof(what), "the log has a gap before sequence %llu", (unsigned long long)sequence);
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
    if (w->family == SM_FAMILY_LOG) {
        check_sequence(w, key);
    }
    return true;
}

sm_err sm_store_check_all(sm_store *store, struct sm_store_check *out, void (*problem)(void *ctx, const char *what),
                          void *ctx)
{
    struct walk w = {.out = out, .problem = problem, .ctx = ctx};
    *out = (struct sm_store_check){.index_sequence = atomic_load(&store->indexer.done_sequence)};
    sm_buf what = sm_buf_init(4096);
    if (!sm_ok(store->ops->verify(store->backend, &what))) {
        sm_buf_put_byte(&what, 0);
        report(&w, sm_ok(sm_buf_err(&what)) ? (const char *)what.ptr : "checksums do not match");
    }
    sm_buf_deinit(&what);
    for (int i = 0; i < SM_FAMILY_COUNT; i++) {
        w.family = (enum sm_store_family)i;
        sm_err err = store->ops->scan(store->backend, w.family, SM_SLICE_NONE, SM_SLICE_NONE, false, on_row, &w);
        if (!sm_ok(err)) {
            report(&w, "a family cannot be read to its end: its files are damaged");
        }
    }
    return SM_NO_ERR;
}
