/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside ocsp-cache: signing anew, in parts. ocsp_refresh.c chooses what is next, ocsp_run.c reads and
 * decides, ocsp_run_write.c signs and writes, ocsp_fill.c looks for certificates without an answer,
 * ocsp_warm.c brings rows into memory.
 *
 * Threads:   the refresh's own.
 * Limits:    RUN_*.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "ocsp-cache/ocsp_refresh.h"

#include <pthread.h>
#include <stdatomic.h>

#define RUN_BYTES \
    (16U << 20)            /* of a run: RSA-4096 answers are 1 KB each with what belongs to them */
#define RUN_ROW_BYTES 512  /* of a row's copies, without its signature's two */
#define RUN_SEEN_MAX 65536 /* rows looked at in a run that finds little to sign */
#define RUN_BLOCK 64       /* signatures made at a time: their jobs stay in the nearest cache */
#define RUN_BLOCK_BYTES (2U << 20) /* its jobs, and its signatures of the longest kind */
#define RUN_WRITE_ROWS 1024        /* in one write through the memtable: 2 ms of the commit lane */
#define RUN_WRITE_BYTES (1U << 20)
#define RUN_TABLE_ROWS 2048 /* from here on a run becomes a table of the store's */
#define RUN_KEEP_PLACE_NS \
    (5 * SM_NS_PER_S)                   /* rows of that time are looked at again after a crash */
#define RUN_RETRY_NS (10 * SM_NS_PER_S) /* after signing or writing failed */

struct schedule {
    uint32_t ca_id;
    uint32_t generation;
    struct sm_ocsp_refresh_issuer issuer; /* of what is attached */
    struct sm_ocsp_pass pass;
    bool loaded;
    uint64_t not_before_ns; /* of the monotonic clock: it waits after a failure */
    uint64_t fill_after_ns; /* the same of certificates without an answer */
    int64_t next_update;    /* of the answer that is next; 0: not known */
    bool has_rows;
    uint64_t kept_ns; /* when its place was written last */
};

struct warm {
    size_t at; /* schedule */
    int hash;
    uint8_t below[SM_OCSP_ROW_KEY_MAX]; /* rows from here on are in memory; */
    size_t below_len;                   /* 0: begins */
    bool done;
    uint64_t rows;
    uint64_t began_ns;
};

struct fill {
    bool active;
    bool loaded;
    uint8_t cursor[SM_OCSP_SERIAL_MAX];
    size_t cursor_len;
    uint64_t not_before_ns; /* it waits after a failure */
    uint64_t ended_ns;
    sm_map *wanted; /* CA and generation of those that it fills; NULL: none yet */
};

struct refresh_metrics {
    sm_metric lag;
    sm_metric ahead;
    sm_metric alarm;
    sm_metric unable;
    sm_metric renewed;
    sm_metric removed;
    sm_metric filled;
    sm_metric overtaken;
    sm_metric failed;
    sm_metric warmed;
};

struct sm_ocsp_refresh {
    struct sm_ocsp_refresh_config config;
    struct sm_ocsp_refresh_settings settings;
    struct refresh_metrics metrics;
    sm_mailbox box; /* signatures of slow keys, and scans */
    sm_batcher *batcher;
    size_t left; /* signatures under way */
    struct schedule *schedules;
    size_t schedule_count;
    bool known; /* the schedules are those of settings.number */
    struct warm warm;
    struct fill fill;
    bool alarmed;
    bool warm_turn;
    bool no_tables; /* benches */
    _Atomic bool missing;
    _Atomic int64_t lag_s;
    _Atomic bool alarm;
    _Atomic size_t unable;
    pthread_mutex_t lock; /* covers `woken`, `stopping` */
    pthread_cond_t cond;
    bool woken;
    bool stopping;
    sm_thread thread;
    bool started;
};

/* ---- one run ---- */

enum row_what { ROW_SIGN, ROW_REMOVE, ROW_LEAVE };

struct row {
    enum row_what what;
    bool fresh;             /* there is no row yet: it must still be absent */
    bool is_good;           /* what the row said */
    struct sm_ocsp_key key; /* the serial number is in `row_key` */
    sm_slice row_key;
    int64_t not_after;
    sm_slice state_key; /* of the row that says its state: STATE's, or OCSP's of a foreign CA */
    sm_slice state;     /* its octets; ptr NULL: none */
    struct sm_ocsp_said said;
    struct sm_ocsp_kept kept;
    sm_slice value;
};

struct run {
    sm_ocsp_refresh *refresh;
    const struct sm_ocsp_refresh_issuer *issuer;
    const struct sm_ocsp_signer *signer;
    int64_t now;
    sm_arena arena;
    struct row *rows;
    size_t room;
    size_t count;
    uint64_t state_version; /* of the store, before states were read */
    uint64_t epoch;         /* of the memory, likewise */
    bool of_new;            /* fill's: rows are fresh */
};

/* Room for `rows` rows; to be ended whatever it says. Errors: NO_MEMORY, UNAVAILABLE (nobody can sign now). */
SM_FALLIBLE sm_ocsp_run_begin(struct run *run, sm_ocsp_refresh *r,
                              const struct sm_ocsp_refresh_issuer *issuer, size_t rows);
void sm_ocsp_run_end(struct run *run);
/* Adds a row. Errors: NO_MEMORY, TOO_LARGE (there is no room). */
SM_FALLIBLE sm_ocsp_run_add(struct run *run, sm_slice row_key, const struct sm_ocsp_key *key,
                            struct row **out);
/* Reads what is so of all rows (ascending by serial number, of one hash): what they will say. Errors: DISK,
 * CORRUPT, NO_MEMORY. */
SM_FALLIBLE sm_ocsp_run_read_states(struct run *run);
/* Where the rows are that say certificates' states. */
enum sm_store_family sm_ocsp_run_state_family(const struct run *run);
/* Signs; rows up to the first that could not be are signed then, the rest is cut off (`count`). Errors: of that
 * one. */
SM_FALLIBLE sm_ocsp_run_sign(struct run *run);
/* Writes, drops what was overtaken, and brings memory up to date. Errors: DISK, QUEUE_FULL, DRAINING. */
SM_FALLIBLE sm_ocsp_run_write(struct run *run);

/* ---- steps ---- */

/* One step of a schedule. */
void sm_ocsp_refresh_step(sm_ocsp_refresh *r, struct schedule *s, bool behind);
/* Keeps its place in the store. */
void sm_ocsp_refresh_keep_place(sm_ocsp_refresh *r, struct schedule *s);
/* Some of what it does; false: there is nothing (more) to do. */
bool sm_ocsp_warm_step(sm_ocsp_refresh *r);
bool sm_ocsp_fill_step(sm_ocsp_refresh *r);
void sm_ocsp_fill_deinit(struct fill *fill);
/* The schedule of an issuer; NULL: there is none. */
struct schedule *sm_ocsp_schedule_of(sm_ocsp_refresh *r, uint32_t ca_id, uint32_t generation);
/* Who signs for it now; NULL: nobody can. */
const struct sm_ocsp_signer *sm_ocsp_refresh_signer(const struct sm_ocsp_refresh_issuer *issuer,
                                                    int64_t now);
bool sm_ocsp_refresh_knows(const struct sm_ocsp_refresh_issuer *issuer, uint32_t signer);
/* Sleeps until something came to the mailbox, and runs it. */
void sm_ocsp_refresh_wait_mail(sm_ocsp_refresh *r);
