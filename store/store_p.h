/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside store: the seam between lanes and a backend, and the lanes' shared state.
 *
 * Threads:   a backend's get, try_get and scan from any thread; write from the commit lane and (INDEX alone) the indexer.
 * Limits:    store.h.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "base/list.h"
#include "base/thread.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

struct store_backend_ops {
    /* Appends the value. Errors: NOT_FOUND, DISK, CORRUPT. */
    sm_err (*get)(void *backend, enum sm_store_family family, sm_slice key, sm_buf *out);
    /* The same without disk: EXHAUSTED when it is not in memory. */
    sm_err (*try_get)(void *backend, enum sm_store_family family, sm_slice key, sm_buf *out);
    /* A batch under way: add to it, then write it. One batch for the commit lane (wal) and one for the indexer. */
    void (*batch_put)(void *backend, bool wal, const struct sm_store_put *put);
    sm_err (*batch_write)(void *backend, bool wal);
    void (*batch_clear)(void *backend, bool wal);
    /* Rows in order; stops when `row` says false. Errors: DISK, CORRUPT. */
    sm_err (*scan)(void *backend, enum sm_store_family family, sm_slice from, sm_slice to, bool reverse,
                   bool (*row)(void *ctx, sm_slice key, sm_slice value), void *ctx);
    /* After a failed write: makes the backend usable again if the disk is. */
    sm_err (*recover)(void *backend);
    sm_err (*backup)(void *backend, const char *dir, sm_diag *diag);
    /* Verifies checksums of all files. */
    sm_err (*verify)(void *backend, sm_buf *what);
    /* Deletes a whole family's rows. */
    sm_err (*clear)(void *backend, enum sm_store_family family);
    void (*close)(void *backend);
};

SM_FALLIBLE sm_store_memory_open(const struct store_backend_ops **ops, void **backend);
SM_FALLIBLE sm_store_rocksdb_open(const struct sm_store_config *config, const struct store_backend_ops **ops,
                                  void **backend, sm_diag *diag);

#define READ_LANES 2

struct commit_lane {
    sm_worker worker;
    sm_store_write *first; /* taken and not yet committed; the lane's thread alone */
    sm_store_write *last;
    uint64_t next_sequence;
    bool failed;             /* the last write did not go through */
    uint64_t retry_ns;       /* not before: the next recovery */
    _Atomic uint32_t waiting;
};

struct indexer {
    sm_worker worker;
    sm_msg wake; /* in flight while `waking` */
    _Atomic bool waking;
    sm_list scans; /* that wait for the index; the indexer's thread alone */
    _Atomic uint64_t done_sequence;
    _Atomic bool stopping;
    bool lowered; /* the indexer's thread alone */
};

struct sm_store {
    const struct store_backend_ops *ops;
    void *backend;
    struct sm_store_config config;
    struct commit_lane commit;
    sm_worker readers[READ_LANES];
    _Atomic uint32_t reads_waiting;
    _Atomic uint32_t next_reader;
    struct indexer indexer;
    bool has_indexer;
    _Atomic uint64_t last_sequence;
    _Atomic bool closing;
    pthread_mutex_t subscribers_lock; /* covers `subscribers` */
    sm_store_subscription *subscribers;
};

SM_FALLIBLE sm_store_commit_start(sm_store *store);
void sm_store_commit_stop(sm_store *store);
void sm_store_commit_submit(sm_store *store, sm_store_write *op);

SM_FALLIBLE sm_store_indexer_start(sm_store *store);
void sm_store_indexer_stop(sm_store *store);
/* Any thread: there are new log records. */
void sm_store_indexer_wake(sm_store *store);
/* Parks a scan until the index has caught up. */
void sm_store_indexer_park(sm_store *store, sm_store_scan *op);

/* Runs a scan on a reader's thread. */
void sm_store_scan_submit(sm_store *store, sm_store_scan *op);
/* Tells subscribers. */
void sm_store_advance(sm_store *store, uint64_t sequence);

void sm_store_put_sequence(uint8_t out[8], uint64_t sequence);
uint64_t sm_store_get_sequence(sm_slice key);

/* The indexer's cursor in SM_FAMILY_INDEX: a key before all others. */
#define INDEX_CURSOR_KEY SM_LIT("\0cursor")
