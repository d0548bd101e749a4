/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and scans on threads of their own, since they may wait for the disk. */
#include "store/store_p.h"

/* The buffer moves while it grows: lengths are kept until the end, then become slices. */
#define ABSENT SIZE_MAX

/* ---- point reads ---- */

static void complete_read(sm_msg *msg)
{
    sm_store_read *op = SM_CONTAINER_OF(msg, sm_store_read, msg);
    op->done(op);
}

static sm_err read_keys(sm_store_read *op, size_t lengths[SM_STORE_READ_MAX])
{
    sm_store *store = op->store;
    for (size_t i = 0; i < op->count; i++) {
        size_t start = op->bytes.len;
        sm_err err = store->ops->get(store->backend, op->family, op->keys[i], &op->bytes);
        if (!sm_ok(err) && !sm_err_is(err, SM_E_NOT_FOUND)) {
            return err;
        }
        lengths[i] = sm_ok(err) ? op->bytes.len - start : ABSENT;
    }
    return SM_NO_ERR;
}

static const uint8_t *octets_of(const sm_buf *buf)
{
    return buf->ptr == NULL ? (const uint8_t *)"" : buf->ptr; /* present but empty is not NULL */
}

static void run_read(sm_msg *msg)
{
    sm_store_read *op = SM_CONTAINER_OF(msg, sm_store_read, msg);
    size_t lengths[SM_STORE_READ_MAX];
    size_t start = op->bytes.len;
    op->err = read_keys(op, lengths);
    const uint8_t *at = octets_of(&op->bytes) + start;
    for (size_t i = 0; i < op->count && sm_ok(op->err); i++) {
        bool absent = lengths[i] == ABSENT;
        op->values[i] = absent ? SM_SLICE_NONE : sm_slice_of(at, lengths[i]);
        at += op->values[i].len;
    }
    atomic_fetch_sub(&op->store->read.waiting, 1);
    op->msg.run = complete_read;
    sm_mailbox_post(op->home, &op->msg);
}

sm_err sm_store_submit_read(sm_store *store, sm_store_read *op)
{
    SM_CHECK(op->count <= SM_STORE_READ_MAX);
    SM_TRY(sm_store_admit(store, &store->read.waiting));
    op->store = store;
    op->msg.run = run_read;
    unsigned at = atomic_fetch_add_explicit(&store->read.next, 1, memory_order_relaxed);
    sm_worker_post(&store->read.reads[at % READ_THREADS], &op->msg);
    return SM_NO_ERR;
}

/* ---- scans ---- */

static bool collect_row(void *ctx, sm_slice key, sm_slice value)
{
    sm_store_scan *op = ctx;
    if (op->row_count == op->max_rows || key.len + value.len > op->bytes.cap - op->bytes.len) {
        op->more = true;
        return false;
    }
    sm_buf_put(&op->bytes, key);
    sm_buf_put(&op->bytes, value);
    op->err = sm_buf_err(&op->bytes);
    if (!sm_ok(op->err)) {
        return false;
    }
    op->rows[op->row_count].key.len = key.len;
    op->rows[op->row_count].value.len = value.len;
    op->row_count++;
    return true;
}

static void complete_scan(sm_msg *msg)
{
    sm_store_scan *op = SM_CONTAINER_OF(msg, sm_store_scan, msg);
    op->done(op);
}

static void finish_scan(sm_store_scan *op)
{
    atomic_fetch_sub(&op->store->read.waiting, 1);
    op->msg.run = complete_scan;
    sm_mailbox_post(op->home, &op->msg);
}

static sm_err scan_rows(sm_store_scan *op)
{
    sm_store *store = op->store;
    struct store_range range = sm_store_visible(
        op->family, (struct store_range){op->from, op->to, op->reverse});
    SM_TRY(store->ops->scan(store->backend, op->family, &range, collect_row, op));
    SM_TRY(op->err);
    /* A page that can hold nothing would make its reader turn in circles. */
    return op->more && op->row_count == 0 ? SM_ERR(TOO_LARGE) : SM_NO_ERR;
}

static void run_scan(sm_msg *msg)
{
    sm_store_scan *op = SM_CONTAINER_OF(msg, sm_store_scan, msg);
    size_t start = op->bytes.len;
    op->err = SM_NO_ERR;
    op->row_count = 0;
    op->more = false;
    op->err = scan_rows(op);
    const uint8_t *at = octets_of(&op->bytes) + start;
    for (size_t i = 0; i < op->row_count; i++) {
        op->rows[i].key.ptr = at;
        op->rows[i].value.ptr = at + op->rows[i].key.len;
        at += op->rows[i].key.len + op->rows[i].value.len;
    }
    finish_scan(op);
}

void sm_store_scan_go(sm_store *store, sm_store_scan *op)
{
    op->msg.run = run_scan;
    sm_worker_post(&store->read.scans, &op->msg);
}

void sm_store_scan_fail(sm_store *store, sm_store_scan *op, sm_err err)
{
    (void)store;
    op->err = err;
    op->row_count = 0;
    op->more = false;
    finish_scan(op);
}

sm_err sm_store_submit_scan(sm_store *store, sm_store_scan *op)
{
    SM_CHECK(op->max_rows >= 1 && op->max_rows <= SM_STORE_SCAN_MAX);
    SM_TRY(sm_store_admit(store, &store->read.waiting));
    op->store = store;
    op->target = atomic_load(&store->last_sequence);
    if (!op->wait_index || !sm_store_indexer_park(store, op)) {
        sm_store_scan_go(store, op);
    }
    return SM_NO_ERR;
}

/* ---- life ---- */

sm_err sm_store_read_start(sm_store *store)
{
    struct read_lane *lane = &store->read;
    for (; lane->started < READ_THREADS; lane->started++) {
        SM_TRY(sm_worker_start(&lane->reads[lane->started], "read", NULL, NULL));
    }
    SM_TRY(sm_worker_start(&lane->scans, "scan", NULL, NULL));
    lane->started++;
    return SM_NO_ERR;
}

void sm_store_read_stop(sm_store *store)
{
    struct read_lane *lane = &store->read;
    if (lane->started > 0) {
        sm_store_drain(&lane->waiting);
    }
    for (unsigned i = 0; i < lane->started && i < READ_THREADS; i++) {
        sm_worker_stop(&lane->reads[i]);
    }
    if (lane->started > READ_THREADS) {
        sm_worker_stop(&lane->scans);
    }
}
