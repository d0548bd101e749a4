/* SPDX-License-Identifier: Apache-2.0 */
/* RocksDB's options, opening and closing. README.md has the figures behind the choices. */
#include "store/rocksdb_p.h"

#include "base/log.h"
#include "base/mem.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define BLOCK_CACHE_MIB 64
#define WRITE_BUFFER_MIB 32
/* RocksDB would take an eighth of a write buffer at once: 4 MiB for each family of an idle server.
 */
#define ARENA_BLOCK ((size_t)256 * 1024)
#define WAL_MAX (32 * MIB) /* bounds what a start after a crash must read */
#define BLOB_MIN 256       /* certificates are larger, everything else is smaller */
#define MAX_OPEN_FILES 512
#define INDEX_L0_TABLES 16
#define BLOOM_BITS 10 /* one false positive in a hundred */

/* RocksDB's numbers. */
#define WAL_TOLERATE_TORN_TAIL 0
#define READ_TIER_MEMORY 1
#define INFO_LOG_ERROR 3

static const char *const family_names[SM_FAMILY_COUNT] = {
    [SM_FAMILY_META] = "default", /* each database has one of this name */
    [SM_FAMILY_CERT] = "cert",     [SM_FAMILY_STATE] = "state", [SM_FAMILY_LOG] = "log",
    [SM_FAMILY_INDEX] = "default", [SM_FAMILY_OCSP] = "ocsp"};

static size_t write_buffer(const struct sm_store_config *config)
{
    return (config->write_buffer_mib == 0 ? WRITE_BUFFER_MIB : config->write_buffer_mib) * MIB;
}

/* ---- options ---- */

/* Tables are written once and mostly read much later: through the page cache each octet is copied
 * once more, and pushes others out. Some file systems (tmpfs of older kernels) know no O_DIRECT. */
static bool takes_direct_io(const char *dir)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/.direct-io", dir);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        return false;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    if (fd < 0) {
        (void)unlink(path); /* the name may have been made before O_DIRECT was refused */
        return false;
    }
    (void)close(fd);
    (void)unlink(path);
    return true;
}

static rocksdb_block_based_table_options_t *table_options(enum sm_store_family family,
                                                          rocksdb_cache_t *cache)
{
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(t, cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(t, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(t, 1);
    rocksdb_block_based_options_set_format_version(t, 5);
    /* LOG and INDEX are only ever scanned. */
    if (family != SM_FAMILY_LOG && family != SM_FAMILY_INDEX) {
        rocksdb_block_based_options_set_filter_policy(
            t, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    }
    return t;
}

static rocksdb_options_t *family_options(enum sm_store_family family,
                                         const struct sm_store_config *config,
                                         rocksdb_cache_t *cache)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_write_buffer_size(o, write_buffer(config));
    rocksdb_options_set_arena_block_size(o, ARENA_BLOCK);
    /* An answer is a signature and times: nothing to compress, and it is read on the way to a client. */
    rocksdb_options_set_compression(o, family == SM_FAMILY_OCSP ? rocksdb_no_compression
                                                                : rocksdb_lz4_compression);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
    rocksdb_block_based_table_options_t *table = table_options(family, cache);
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_block_based_options_destroy(table);
    if (family == SM_FAMILY_INDEX) {
        /* Its tables are a run each, a tenth of a memtable: compaction waits for as much as it
         * would get otherwise. */
        rocksdb_options_set_level0_file_num_compaction_trigger(o, INDEX_L0_TABLES);
        rocksdb_options_set_level0_slowdown_writes_trigger(o, 3 * INDEX_L0_TABLES);
        rocksdb_options_set_level0_stop_writes_trigger(o, 4 * INDEX_L0_TABLES);
    }
    if (family == SM_FAMILY_CERT) {
        /* Written once and hardly compressible: kept out of the tree, compaction does not copy
         * them. */
        rocksdb_options_set_enable_blob_files(o, 1);
        rocksdb_options_set_min_blob_size(o, BLOB_MIN);
        rocksdb_options_set_blob_compression_type(o, rocksdb_no_compression);
        rocksdb_options_set_enable_blob_gc(o, 1);
        rocksdb_options_set_blob_cache(o, cache);
    }
    return o;
}

static rocksdb_options_t *database_options(rocksdb_options_t *family,
                                           const struct sm_store_config *config)
{
    rocksdb_options_t *o = rocksdb_options_create_copy(family);
    rocksdb_options_set_db_write_buffer_size(o, 2 * write_buffer(config));
    rocksdb_options_set_max_total_wal_size(o, WAL_MAX);
    rocksdb_options_set_max_open_files(o, MAX_OPEN_FILES);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_keep_log_file_num(o, 4);
    rocksdb_options_set_max_log_file_size(o, 4 * MIB);
    rocksdb_options_set_info_log_level(o, INFO_LOG_ERROR);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_stats_persist_period_sec(o, 0);
    rocksdb_options_set_allow_concurrent_memtable_write(o, 0); /* one writer */
    rocksdb_options_set_enable_write_thread_adaptive_yield(o, 0);
    rocksdb_options_set_bytes_per_sync(o, MIB);
    if (takes_direct_io(config->dir)) {
        rocksdb_options_set_use_direct_io_for_flush_and_compaction(o, 1);
        rocksdb_options_compaction_readahead_size(o,
                                                  2 * MIB); /* the page cache does not read ahead */
    }
    /* A torn record at the log's end was never acknowledged: dropped. Damage before it refuses to
     * open, where point-in-time recovery would silently forget what follows. */
    rocksdb_options_set_wal_recovery_mode(o, WAL_TOLERATE_TORN_TAIL);
    rocksdb_options_set_paranoid_checks(o, 1);
    rocksdb_options_set_create_missing_column_families(o, 1);
    return o;
}

static void make_read_options(struct rocks *r)
{
    r->read = rocksdb_readoptions_create();
    r->read_memory = rocksdb_readoptions_create();
    r->read_scan = rocksdb_readoptions_create();
    rocksdb_readoptions_set_read_tier(r->read_memory, READ_TIER_MEMORY);
    rocksdb_readoptions_set_fill_cache(r->read_scan, 0); /* a long scan must not empty it */
}

/* RocksDB's C++ aborts when it finds no memory here: at start-up, before anything was promised. */
static void make_options(struct rocks *r, const struct sm_store_config *config)
{
    unsigned cache_mib = config->block_cache_mib == 0 ? BLOCK_CACHE_MIB : config->block_cache_mib;
    r->cache = rocksdb_cache_create_lru(cache_mib * MIB);
    for (int i = 0; i < SM_FAMILY_COUNT; i++) {
        enum sm_store_family family = (enum sm_store_family)i;
        struct rocks_db *d = sm_rocks_db_of(r, family);
        d->families[d->family_count++] = family;
        r->family_options[i] = family_options(family, config, r->cache);
    }
    for (int i = 0; i < STORE_LANE_COUNT; i++) {
        struct rocks_db *d = &r->dbs[i];
        d->options = database_options(r->family_options[d->families[0]], config);
        d->write = rocksdb_writeoptions_create();
        d->batch = rocksdb_writebatch_create();
        sm_gate_init(&d->gate);
    }
    rocksdb_writeoptions_set_sync(r->dbs[STORE_LANE_COMMIT].write, 1);
    rocksdb_writeoptions_disable_WAL(r->dbs[STORE_LANE_INDEX].write, 1);
    make_read_options(r);
}

static char *index_path(const char *dir)
{
    size_t size = strlen(dir) + sizeof("/" INDEX_DIR);
    char *path = sm_malloc(size);
    if (path != NULL) {
        (void)snprintf(path, size, "%s/" INDEX_DIR, dir);
    }
    return path;
}

sm_err sm_rocks_new(const struct sm_store_config *config, struct rocks **out)
{
    struct rocks *r = sm_calloc(1, sizeof(*r));
    char *dir = sm_strdup(config->dir);
    char *index = index_path(config->dir);
    if (r == NULL || dir == NULL || index == NULL) {
        sm_free(r);
        sm_free(dir);
        sm_free(index);
        return SM_ERR(NO_MEMORY);
    }
    r->dbs[STORE_LANE_COMMIT].path = dir;
    r->dbs[STORE_LANE_INDEX].path = index;
    make_options(r, config);
    *out = r;
    return SM_NO_ERR;
}

static void free_db(struct rocks_db *d)
{
    sm_rocks_close_db(d);
    rocksdb_writebatch_destroy(d->batch);
    rocksdb_writeoptions_destroy(d->write);
    rocksdb_options_destroy(d->options);
    sm_gate_deinit(&d->gate);
    sm_free(d->path);
}

void sm_rocks_free(struct rocks *r)
{
    for (int i = 0; i < STORE_LANE_COUNT; i++) {
        free_db(&r->dbs[i]);
    }
    rocksdb_readoptions_destroy(r->read);
    rocksdb_readoptions_destroy(r->read_memory);
    rocksdb_readoptions_destroy(r->read_scan);
    for (int i = 0; i < SM_FAMILY_COUNT; i++) {
        rocksdb_options_destroy(r->family_options[i]);
    }
    rocksdb_cache_destroy(r->cache);
    sm_free(r);
}

/* ---- open and close ---- */

/* RocksDB's refusals come as English: these are the ones with an answer of their own. */
static sm_err open_error(char *message, const char *dir, sm_diag *diag)
{
    sm_err err;
    if (strstr(message, "/LOCK") != NULL) {
        err = sm_diag_set(diag, SM_ERR(EXHAUSTED), "data_dir",
                          "%s is in use by a running sealmill: stop it first, or ask it (backup: "
                          "--dir or --server)",
                          dir);
    } else if (strstr(message, "does not exist (create_if_missing") != NULL) {
        err = sm_diag_set(diag, SM_ERR(NOT_FOUND), "data_dir", "there is no database in %s", dir);
    } else if (strstr(message, "families not opened") != NULL) {
        err = sm_diag_set(diag, SM_ERR(UNSUPPORTED), "data_dir",
                          "%s was written by a newer sealmill: use that", dir);
    } else if (strstr(message, "Corruption") != NULL) {
        err = sm_diag_set(diag, SM_ERR(CORRUPT), "data_dir", "%s is damaged, restore a backup: %s",
                          dir, message);
    } else {
        err = sm_diag_set(diag, SM_ERR(DISK), "data_dir", "%s cannot be opened: %s", dir, message);
    }
    rocksdb_free(message);
    return err;
}

sm_err sm_rocks_open_db(struct rocks *r, enum store_lane lane, enum rocks_open how, sm_diag *diag)
{
    struct rocks_db *d = &r->dbs[lane];
    const char *names[SM_FAMILY_COUNT];
    const rocksdb_options_t *options[SM_FAMILY_COUNT];
    rocksdb_column_family_handle_t *handles[SM_FAMILY_COUNT];
    char *message = NULL;
    for (int i = 0; i < d->family_count; i++) {
        names[i] = family_names[d->families[i]];
        options[i] = r->family_options[d->families[i]];
    }
    rocksdb_options_set_create_if_missing(d->options, how == ROCKS_CREATE);
    rocksdb_t *db;
    if (how == ROCKS_READ_ONLY) {
        db = rocksdb_open_for_read_only_column_families(d->options, d->path, d->family_count, names,
                                                        options, handles, 0, &message);
    } else {
        db = rocksdb_open_column_families(d->options, d->path, d->family_count, names, options,
                                          handles, &message);
    }
    if (message != NULL) {
        return open_error(message, d->path, diag);
    }
    for (int i = 0; i < d->family_count; i++) {
        d->handles[d->families[i]] = handles[i];
    }
    d->db = db;
    d->read_only = how == ROCKS_READ_ONLY;
    return SM_NO_ERR;
}

sm_err sm_rocks_destroy_index(struct rocks *r)
{
    struct rocks_db *d = &r->dbs[STORE_LANE_INDEX];
    char *message = NULL;
    rocksdb_destroy_db(d->options, d->path, &message);
    return message == NULL ? SM_NO_ERR : sm_rocks_error(message, "destroy_index");
}

sm_err sm_rocks_open_index(struct rocks *r, sm_diag *diag)
{
    sm_diag why = {.reason = ""};
    sm_err err = sm_rocks_open_db(r, STORE_LANE_INDEX, ROCKS_CREATE, &why);
    if (!sm_err_is(err, SM_E_CORRUPT)) {
        return sm_ok(err) ? err : sm_diag_set(diag, err, why.field, "%s", why.reason);
    }
    sm_log(SM_LOG_WARN, "store_index_damaged", SM_KS("reason", why.reason), SM_KEND);
    SM_TRY(sm_rocks_destroy_index(r));
    return sm_rocks_open_db(r, STORE_LANE_INDEX, ROCKS_CREATE, diag);
}

/* With everything in tables the next start has no log to read; and the index's newest rows are in
 * no log at all. A flush that fails loses nothing that was acknowledged. */
static void flush_all(struct rocks_db *d)
{
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    for (int i = 0; i < d->family_count; i++) {
        char *message = NULL;
        rocksdb_flush_cf(d->db, options, d->handles[d->families[i]], &message);
        if (message != NULL) {
            (void)!sm_ok(sm_rocks_error(message, "flush"));
        }
    }
    rocksdb_flushoptions_destroy(options);
}

void sm_rocks_close_db(struct rocks_db *d)
{
    if (d->db == NULL) {
        return;
    }
    if (!d->read_only && !d->failed) {
        flush_all(d);
    }
    for (int i = 0; i < d->family_count; i++) {
        rocksdb_column_family_handle_destroy(d->handles[d->families[i]]);
    }
    rocksdb_close(d->db);
    d->db = NULL;
}
