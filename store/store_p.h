/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside store: the seam between lanes and a backend, and the lanes' shared state.
 *
 * Threads:   a backend's get, try_get, scan and checkpoint from any thread; batches and recover
 *            from the lane that they name; clear_index from the indexer.
 * Limits:    store.h.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "base/list.h"
#include "base/thread.h"
#include "store/overlay_p.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

/* Whose batch: each is built and written by one thread. */
enum store_lane { STORE_LANE_COMMIT, STORE_LANE_INDEX, STORE_LANE_COUNT };

typedef bool (*store_row)(void *ctx, sm_slice key, sm_slice value);
/* Gives one change after the other; false: there are no more. */
typedef bool (*store_next_put)(void *ctx, struct sm_store_put *out);

struct store_range {
    sm_slice from; /* inclusive */
    sm_slice to;   /* exclusive; empty: to the end */
    bool reverse;
};

struct store_backend_ops {
    /* Appends the value. Errors: NOT_FOUND, DISK, CORRUPT, the buffer's own. */
    sm_err (*get)(void *backend, enum sm_store_family family, sm_slice key, sm_buf *out);
    /* The same without disk: EXHAUSTED when it is not in memory. */
    sm_err (*try_get)(void *backend, enum sm_store_family family, sm_slice key, sm_buf *out);
    /* A batch under way: add to it, write it all or not at all, clear it. A put that cannot be
     * added makes the write fail. It is durable when batch_write returns. */
    void (*batch_put)(void *backend, enum store_lane lane, const struct sm_store_put *put);
    sm_err (*batch_write)(void *backend, enum store_lane lane);
    void (*batch_clear)(void *backend, enum store_lane lane);
    /* The index lane's changes, `count` or fewer, in ascending order of their keys and no key
     * twice: all or nothing, durable some time later, in the order of the calls. */
    sm_err (*write_index)(void *backend, store_next_put next, void *ctx, size_t count);
    /* A table of rows as sm_store_write_table has them: made on any thread (one at a time), taken in by the
     * commit lane (durable then; EXHAUSTED: it meets the memtable), freed. NULL: there are none. */
    sm_err (*table_make)(void *backend, const struct sm_store_put *puts, size_t count, void **out);
    sm_err (*table_take)(void *backend, void *table);
    void (*table_free)(void *backend, void *table);
    /* Rows in order; stops when `row` says false. Errors: DISK, CORRUPT. */
    sm_err (*scan)(void *backend, enum sm_store_family family, const struct store_range *range,
                   store_row row, void *ctx);
    /* After a failed write of this lane: makes its part of the backend usable again if the disk
     * is. Reads go on meanwhile. Of the index the newest batches may be lost. */
    sm_err (*recover)(void *backend, enum store_lane lane);
    /* A consistent copy into `dir`, which does not exist. */
    sm_err (*checkpoint)(void *backend, const char *dir, sm_diag *diag);
    /* Deletes the index family's rows. */
    sm_err (*clear_index)(void *backend);
    void (*close)(void *backend);
};

SM_FALLIBLE sm_store_memory_open(const struct store_backend_ops **ops, void **backend);
SM_FALLIBLE sm_store_rocksdb_open(const struct sm_store_config *config,
                                  const struct store_backend_ops **ops, void **backend,
                                  sm_diag *diag);

/* The commit lane's own thread touches all but `waiting`; others may look at what
 * is atomic. */
struct commit_lane {
    sm_worker worker;
    bool started;
    sm_store_write *first; /* taken and not yet committed */
    sm_store_write *last;
    struct overlay overlay;
    sm_buf scratch; /* the value that a condition reads */
    uint64_t next_sequence;
    sm_msg probe;
    _Atomic bool probing; /* `probe` is posted */
    _Atomic bool failed;  /* the last write did not go through*/
    uint64_t retry_ns;    /* not before: the next recovery */
    _Atomic uint32_t waiting;
    _Atomic uint64_t versions[SM_FAMILY_COUNT]; /* raised when what was written can be read */
};

/* Point reads at a time: each may wait for the disk, which serves several as fast as one. */
#define READ_THREADS 4

struct read_lane {
    sm_worker reads[READ_THREADS]; /* their own, so that a long scan holds no read up */
    sm_worker scans;
    unsigned started; /* threads, the scans' last */
    _Atomic unsigned next;
    _Atomic uint32_t waiting;
};

/* What the indexer does next; a later one includes the earlier. */
enum index_state {
    INDEX_FOLLOWS, /* the log, from `done_sequence` on */
    INDEX_RELOAD,  /* reads its cursor first: after a failure it is not known what is there */
    INDEX_REBUILD, /* drops all rows first */
};

struct indexer {
    sm_thread thread;
    bool started;
    struct index_run *run; /* the thread's own */
    pthread_mutex_t lock;  /* covers `scans`, `stopping`, `state` and growth of `done_sequence` */
    pthread_cond_t wake;
    sm_list scans; /* that wait for the index */
    bool stopping;
    enum index_state state;
    _Atomic uint64_t wake_at;       /* the last sequence at which the thread wants to be woken */
    _Atomic uint64_t done_sequence; /* everything up to here is indexed */
};

struct sm_store {
    const struct store_backend_ops *ops;
    void *backend;
    struct sm_store_config config;
    struct commit_lane commit;
    struct read_lane read;
    struct indexer indexer;
    _Atomic uint64_t last_sequence;
    _Atomic bool closing;
    pthread_mutex_t subscribers_lock; /* covers `subscribers` */
    sm_store_subscription *subscribers;
};

/* Each lane: start it, and let it complete what was submitted and end. Stopping what was not
 * started does nothing. */
SM_FALLIBLE sm_store_commit_start(sm_store *store);
void sm_store_commit_stop(sm_store *store);
SM_FALLIBLE sm_store_read_start(sm_store *store);
void sm_store_read_stop(sm_store *store);
SM_FALLIBLE sm_store_indexer_start(sm_store *store);
void sm_store_indexer_stop(sm_store *store);
/* Once no scan can look at it any more. */
void sm_store_indexer_deinit(sm_store *store);

/* Counts an operation into a lane: QUEUE_FULL or DRAINING and it is not in. */
SM_FALLIBLE sm_store_admit(sm_store *store, _Atomic uint32_t *waiting);
/* Waits until every operation that was let in has completed; nothing else is let in any more. */
void sm_store_drain(_Atomic uint32_t *waiting);

/* Any thread: there are new log records. */
void sm_store_indexer_wake(sm_store *store);
/* Takes a scan until the index has reached op->target; false: it has, the scan may go. */
bool sm_store_indexer_park(sm_store *store, sm_store_scan *op);

/* Lets a scan that waited for the index run, or completes it with an error. */
void sm_store_scan_go(sm_store *store, sm_store_scan *op);
void sm_store_scan_fail(sm_store *store, sm_store_scan *op, sm_err err);

/* Publishes the last durable sequence: subscribers, indexer. */
void sm_store_advance(sm_store *store, uint64_t sequence);
/* Reads it from the log: 0 when that is empty. */
SM_FALLIBLE sm_store_read_last(sm_store *store, uint64_t *out);

/* Refuses another schema; marks a new database. */
SM_FALLIBLE sm_store_check_schema(sm_store *store, sm_diag *diag);

/* Keys of the log, and values of the schema and the cursor: 8 octets, big-endian. */
void sm_store_put_sequence(uint8_t out[8], uint64_t sequence);
uint64_t sm_store_get_sequence(sm_slice key);

/* The indexer's cursor in SM_FAMILY_INDEX: a key before all others, hidden from scans. */
#define INDEX_CURSOR_KEY SM_LIT("\0cursor")
#define INDEX_FIRST_KEY SM_LIT("\1")

/* What the public sees of a range. */
struct store_range sm_store_visible(enum sm_store_family family, struct store_range range);
