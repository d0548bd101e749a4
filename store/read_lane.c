/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and scans on threads of their own, since they may wait for the disk. */
#include "store/store_p.h"

#include "base/mem.h"

static sm_worker *pick_reader(sm_store *store)
{
    return &store->readers[atomic_fetch_add(&store->next_reader, 1) % READ_LANES];
}

static bool admit(sm_store *store)
{
    if (atomic_fetch_add(&store->reads_waiting, 1) >= SM_STORE_QUEUE_MAX) {
        atomic_fetch_sub(&store->reads_waiting, 1);
        return false;
    }
    return true;
}

/* The buffer moves while it grows: values are kept as offsets until the end. */
static void complete_read(sm_msg *msg)
{
    sm_store_read *op = SM_CONTAINER_OF(msg, sm_store_read, msg);
    op->done(op);
}

static void run_read(sm_msg *msg)
{
    sm_store_read *op = SM_CONTAINER_OF(msg, sm_store_read, msg);
    sm_store *store = op->store;
    op->err = SM_NO_ERR;
    for (size_t i = 0; i < op->count && sm_ok(op->err); i++) {
        size_t start = op->bytes.len;
        sm_err err = store->ops->get(store->backend, op->family, op->keys[i], &op->bytes);
        op->values[i].len = sm_ok(err) ? op->bytes.len - start : SIZE_MAX;
        op->err = sm_err_is(err, SM_E_NOT_FOUND) ? SM_NO_ERR : err;
    }
    size_t at = 0;
    for (size_t i = 0; i < op->count && sm_ok(op->err); i++) {
        bool absent = op->values[i].len == SIZE_MAX;
        op->values[i] = absent ? SM_SLICE_NONE
                               : sm_slice_of(op->bytes.ptr == NULL ? (const uint8_t *)"" : op->bytes.ptr + at,
                                             op->values[i].len);
        at += op->values[i].len;
    }
    atomic_fetch_sub(&store->reads_waiting, 1);
    op->msg.run = complete_read;
    sm_mailbox_post(op->home, &op->msg);
}

sm_err sm_store_submit_read(sm_store *store, sm_store_read *op)
{
    if (atomic_load(&store->closing)) {
        return SM_ERR(DRAINING);
    }
    if (!admit(store)) {
        return SM_ERR(QUEUE_FULL);
    }
    op->store = store;
    op->msg.run = run_read;
    sm_worker_post(pick_reader(store), &op->msg);
    return SM_NO_ERR;
}

static bool collect_row(void *ctx, sm_slice key, sm_slice value)
{
    sm_store_scan *op = ctx;
    if (op->row_count == op->max_rows || key.len + value.len > op->bytes.cap - op->bytes.len) {
        op->more = true;
        return false;
    }
    struct sm_store_row *row = &op->rows[op->row_count];
    row->key.len = key.len;
    row->value.len = value.len;
    sm_buf_put(&op->bytes, key);
    sm_buf_put(&op->bytes, value);
    op->err = sm_buf_err(&op->bytes);
    if (!sm_ok(op->err)) {
        return false;
    }
    op->row_count++;
    return true;
}

static void complete_scan(sm_msg *msg)
{
    sm_store_scan *op = SM_CONTAINER_OF(msg, sm_store_scan, msg);
    op->done(op);
}

static void run_scan(sm_msg *msg)
{
    sm_store_scan *op = SM_CONTAINER_OF(msg, sm_store_scan, msg);
    sm_store *store = op->store;
    op->err = SM_NO_ERR;
    op->row_count = 0;
    op->more = false;
    sm_slice from = op->from;
    if (op->family == SM_FAMILY_INDEX && from.len == 0) {
        from = SM_LIT("\1"); /* behind the indexer's cursor */
    }
    sm_err err = store->ops->scan(store->backend, op->family, from, op->to, op->reverse, collect_row, op);
    op->err = sm_ok(op->err) ? err : op->err;
    const uint8_t *at = op->bytes.ptr == NULL ? (const uint8_t *)"" : op->bytes.ptr;
    for (size_t i = 0; i < op->row_count; i++) {
        op->rows[i].key.ptr = at;
        op->rows[i].value.ptr = at + op->rows[i].key.len;
        at += op->rows[i].key.len + op->rows[i].value.len;
    }
    atomic_fetch_sub(&store->reads_waiting, 1);
    op->msg.run = complete_scan;
    sm_mailbox_post(op->home, &op->msg);
}

void sm_store_scan_submit(sm_store *store, sm_store_scan *op)
{
    op->msg.run = run_scan;
    sm_worker_post(pick_reader(store), &op->msg);
}

sm_err sm_store_submit_scan(sm_store *store, sm_store_scan *op)
{
    if (atomic_load(&store->closing)) {
        return SM_ERR(DRAINING);
    }
    if (!admit(store)) {
        return SM_ERR(QUEUE_FULL);
    }
    op->store = store;
    op->target = atomic_load(&store->last_sequence);
    if (op->wait_index && store->has_indexer &&
        atomic_load(&store->indexer.done_sequence) < op->target) {
        sm_store_indexer_park(store, op);
    } else {
        sm_store_scan_submit(store, op);
    }
    return SM_NO_ERR;
}
