/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The durable inventory behind one asynchronous interface: submit, then exactly one completion.
 *
 * A store is a set of key-value families, plus a log: an append-only family whose keys are sequence
 * numbers given at commit. One commit lane (a thread) takes every write that waits, checks their
 * conditions one after the other, writes them as one batch with one fsync, and completes them;
 * since that lane is the only writer, conditions are atomic. The index family is filled from the
 * log by an indexer thread behind the commits: it holds no truth and can be rebuilt.
 *
 * Threads:   submit from any; `done` runs on the mailbox that the operation names, never inside
 *            submit.
 * Limits:    SM_STORE_QUEUE_MAX operations waiting in each lane: past it submit says QUEUE_FULL
 *            and nothing happened.
 * Security:  the folder is 0700, which also covers the files that RocksDB makes in it. Values are
 *            opaque here; no private key is ever stored.
 * Standards: none.
 */
#pragma once

#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "base/slice.h"

#define SM_STORE_QUEUE_MAX 65536
#define SM_STORE_COMMIT_MAX 1024         /* writes in one commit: bounds its latency */
#define SM_STORE_COMMIT_BYTES (4U << 20) /* and its memory; one write may hold no more either */
#define SM_STORE_READ_MAX 64             /* keys in one read */
#define SM_STORE_SCAN_MAX 10000          /* rows in one scan */
#define SM_STORE_SCHEMA 1                /* checked at open */

typedef struct sm_store sm_store;

/* Families, in their order on disk. Keys are binary and sorted. */
enum sm_store_family {
    SM_FAMILY_META, /* small named records: CAs, profiles, tokens, idempotency, uniqueness. "schema"
                       is the store's own */
    SM_FAMILY_CERT, /* serial -> CertificateRecord; serials begin with the time, so this grows at
                       its end */
    SM_FAMILY_STATE, /* serial -> StateRecord */
    SM_FAMILY_LOG,   /* sequence (8 octets, big-endian) -> LogRecord; written through `log` alone */
    SM_FAMILY_INDEX, /* written by the indexer alone; its keys do not begin with octet 0 */
    SM_FAMILY_OCSP,  /* of ocsp-cache */
    SM_FAMILY_COUNT,
};

enum sm_store_put_kind { SM_PUT, SM_DELETE };

struct sm_store_put {
    enum sm_store_put_kind kind;
    enum sm_store_family family;
    sm_slice key;
    sm_slice value;
};

/* What must hold at commit, else the whole operation fails with CONFLICT (or EXISTS for
 * SM_COND_ABSENT) and writes nothing. */
enum sm_store_cond_kind { SM_COND_ABSENT, SM_COND_EQUALS };

struct sm_store_cond {
    enum sm_store_cond_kind kind;
    enum sm_store_family family;
    sm_slice key;
    sm_slice value; /* SM_COND_EQUALS */
};

/* Nothing may have been written to the family since its version was read (sm_store_version): one look
 * instead of a condition for each key. Fails with CONFLICT and failed_cond SM_STORE_CHANGED. */
struct sm_store_unchanged {
    enum sm_store_family family;
    uint64_t version;
};
#define SM_STORE_CHANGED SIZE_MAX

typedef struct sm_store_write sm_store_write;

/* One atomic write. The caller fills everything above the line; all slices are pinned until done.
 */
struct sm_store_write {
    sm_msg msg; /* private */
    sm_mailbox *home;
    const struct sm_store_cond *conds;
    size_t cond_count;
    const struct sm_store_put *puts;
    size_t put_count;
    const sm_slice *log; /* LogRecords to append */
    size_t log_count;
    const struct sm_store_unchanged *unchanged; /* NULL: none */
    void (*done)(sm_store_write *op);
    /* ---- results ---- */
    /* EXISTS, CONFLICT, TOO_LARGE (over SM_STORE_COMMIT_BYTES), DISK, CORRUPT, NO_MEMORY. After
     * DISK nothing is visible; only where the disk took the bytes and then failed the fsync, the
     * whole write may be found once the store has recovered (as after a crash before the answer): a
     * retry by the same keys and conditions then says EXISTS. */
    sm_err err;
    size_t failed_cond;      /* index, when err is EXISTS or CONFLICT */
    uint64_t first_sequence; /* of `log` */
    sm_store_write *next;    /* private */
    sm_store *store;         /* private */
    void *table;             /* private */
};

typedef struct sm_store_read sm_store_read;

/* A point read of `count` keys of one family. */
struct sm_store_read {
    sm_msg msg; /* private */
    sm_mailbox *home;
    enum sm_store_family family;
    const sm_slice *keys;
    size_t count; /* at most SM_STORE_READ_MAX */
    void (*done)(sm_store_read *op);
    /* ---- results ---- */
    sm_err err; /* none even when keys are absent; TOO_LARGE (over the buffer's cap), DISK, CORRUPT,
                   NO_MEMORY */
    sm_buf bytes; /* owns the values: sm_buf_deinit after use. Set its cap with sm_buf_init before
                     submit */
    sm_slice *values; /* caller's array of `count`; ptr NULL: absent */
    sm_store *store;  /* private */
};

typedef struct sm_store_scan sm_store_scan;

struct sm_store_row {
    sm_slice key;
    sm_slice value;
};

/* Rows with from <= key < to (to.len 0: to the end), in order (or falling, with `reverse`). */
struct sm_store_scan {
    sm_msg msg; /* private */
    sm_mailbox *home;
    enum sm_store_family family;
    sm_slice from;
    sm_slice to;
    bool reverse;
    size_t max_rows; /* 1..SM_STORE_SCAN_MAX */
    bool wait_index; /* first wait until the index holds everything committed before this submit */
    void (*done)(sm_store_scan *op);
    /* ---- results ---- */
    /* DISK, CORRUPT, NO_MEMORY; TOO_LARGE (the first row does not fit); with wait_index:
     * UNAVAILABLE (the indexer fails, see sm_store_indexer), DRAINING */
    sm_err err;
    sm_buf bytes; /* owns the rows' octets; cap set by the caller; the scan ends early when it is
                     full */
    struct sm_store_row *rows; /* caller's array of max_rows */
    size_t row_count;
    bool more;       /* ended early, by max_rows or by the buffer */
    sm_store *store; /* private */
    sm_list node;    /* private */
    uint64_t target; /* private */
};

/* Errors: QUEUE_FULL, DRAINING; then `done` does not run. */
SM_FALLIBLE sm_store_submit_write(sm_store *store, sm_store_write *op);
SM_FALLIBLE sm_store_submit_read(sm_store *store, sm_store_read *op);
SM_FALLIBLE sm_store_submit_scan(sm_store *store, sm_store_scan *op);

/* A point read that never waits for the disk: appends the value. Errors: NOT_FOUND (certainly
 * absent), EXHAUSTED (not in memory: submit a read), the buffer's own. Any thread. */
SM_FALLIBLE sm_store_try_get(sm_store *store, enum sm_store_family family, sm_slice key,
                             sm_buf *out);

/* Blocking forms, for start-up, offline commands and the indexer; not from a loop. */
SM_FALLIBLE sm_store_get_sync(sm_store *store, enum sm_store_family family, sm_slice key,
                              sm_buf *out);
SM_FALLIBLE sm_store_write_sync(sm_store *store, sm_store_write *op);
/* The same for many rows of one family but LOG and INDEX, in ascending order of their keys and no key
 * twice, without log records: they are made into a table of the database on the caller's thread, which the commit
 * lane takes in as a whole once the conditions hold, past its log and memtable. That costs the lane about a
 * millisecond, however many they are. Not bounded by SM_STORE_COMMIT_BYTES. One at a time. Errors: those of a
 * write; UNSUPPORTED (the backend has no tables), EXHAUSTED (some of the rows' neighbours are still in the
 * memtable): then write them as others are. */
SM_FALLIBLE sm_store_write_table(sm_store *store, sm_store_write *op);
/* How often a family was written to. To be read before what is to be unchanged is. Any thread. */
uint64_t sm_store_version(sm_store *store, enum sm_store_family family);
/* Calls `row` for each; stops when it says false. `row` may read the store; it must not wait for a
 * write. */
SM_FALLIBLE sm_store_scan_sync(sm_store *store, enum sm_store_family family, sm_slice from,
                               sm_slice to, bool (*row)(void *ctx, sm_slice key, sm_slice value),
                               void *ctx);

/* Whether the last commit went through: false while the disk refuses writes. Any thread. */
bool sm_store_is_up(const sm_store *store);
/* Lets a store that is down try the disk again (at most once a second), though nobody writes. Any
 * thread; does not wait. */
void sm_store_probe(sm_store *store);

/* ---- the log ---- */
/* The last durable sequence; 0 when the log is empty. Any thread. */
uint64_t sm_store_last_sequence(const sm_store *store);

/* Tells `home` each time the last sequence has grown (coalesced: one message in flight). Pinned
 * until unsubscribed. */
typedef struct sm_store_subscription {
    sm_msg msg; /* private */
    sm_mailbox *home;
    void (*on_advance)(struct sm_store_subscription *sub);
    struct sm_store_subscription *next; /* private */
    _Atomic bool posted;                /* private */
    _Atomic bool closing;               /* private */
} sm_store_subscription;

void sm_store_subscribe(sm_store *store, sm_store_subscription *sub);
/* After return no new message is posted; one that is under way still arrives at `home`, before
 * anything posted after this call. */
void sm_store_unsubscribe(sm_store *store, sm_store_subscription *sub);

/* ---- the index ---- */
/* Emits one index row; the slices are copied. */
typedef void (*sm_store_emit)(void *emitter, enum sm_store_put_kind kind, sm_slice key,
                              sm_slice value);

/* Turns one log record into index rows, on the indexer's thread. Reads other families by
 * sm_store_get_sync. An error stops the indexer with an alarm in the log and in
 * `sealmill_store_index_failed`; it tries again after 1 s, and scans that waited for it complete
 * with UNAVAILABLE. */
typedef sm_err (*sm_store_indexer)(void *ctx, sm_store *store, uint64_t sequence, sm_slice record,
                                   sm_store_emit emit, void *emitter);

/* ---- life ---- */
struct sm_store_config {
    const char *dir;           /* NULL: the memory backend */
    unsigned block_cache_mib;  /* 0: 64 */
    unsigned write_buffer_mib; /* 0: 32; one family's; all together hold at most twice that */
    bool create;               /* make it when it is not there */
    sm_store_indexer indexer;  /* NULL: no index */
    void *indexer_ctx;
    uint32_t indexer_version; /* of its rows' layout: an index of another version is built again */
};

/* Opens (RocksDB) or makes (memory). Errors: NOT_FOUND, CORRUPT, UNSUPPORTED (a schema version we
 * do not know), EXHAUSTED (in use by another process), DISK, NO_MEMORY; diag names the folder and
 * what to do. Starts the threads. Given. */
SM_FALLIBLE sm_store_open(const struct sm_store_config *config, sm_store **out, sm_diag *diag);
/* Completes what was submitted, stops the threads, closes. From now on submit says DRAINING; nobody
 * may call after return. The mailboxes that operations name must still be there; their messages may
 * run later. */
void sm_store_close(sm_store **store);

/* A consistent copy of the files (a checkpoint: hard links where possible) while serving. `dir`
 * must not exist. Blocks; own thread. The folder is itself a database: restoring is opening it, or
 * a copy of it. Errors: EXISTS, DISK, UNSUPPORTED (memory). */
SM_FALLIBLE sm_store_backup(sm_store *store, const char *dir, sm_diag *diag);

struct sm_store_check {
    uint64_t rows[SM_FAMILY_COUNT];
    uint64_t bytes[SM_FAMILY_COUNT];
    uint64_t last_sequence;
    uint64_t index_sequence;
    uint64_t problems;
};

/* Reads everything with checksums verified; the log's sequences must run from 1 without a gap;
 * calls `problem` for each finding. Blocks. Blocks of a serving store may come from its cache:
 * damage on the disk is found for certain by a store just opened. */
SM_FALLIBLE sm_store_check_all(sm_store *store, struct sm_store_check *out,
                               void (*problem)(void *ctx, const char *what), void *ctx);

/* Drops the index and builds it again from the log (in the background). Errors: PRECONDITION
 * (opened without an indexer). */
SM_FALLIBLE sm_store_rebuild_index(sm_store *store);
