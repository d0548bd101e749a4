/* SPDX-License-Identifier: Apache-2.0 */
/* RocksDB's options, opening and closing. */
#include "store/rocksdb_p.h"

#include "base/mem.h"

#define MIB ((size_t)1 << 20)
#define BLOCK_CACHE_MIB 64
#define WRITE_BUFFER_MIB 32
#define ARENA_BLOCK (256U * 1024U) /* RocksDB's own eighth of a write buffer would cost an idle server 4 MiB a family */
#define BLOB_MIN 256               /* certificates are larger, everything else is smaller */
#define MAX_OPEN_FILES 512
#define BLOOM_BITS 10 /* one false positive in a hundred */

static const char *const family_names[SM_FAMILY_COUNT] = {"default", "cert", "state", "log", "index", "ocsp"};

static rocksdb_options_t *family_options(enum sm_store_family family, const struct sm_store_config *config,
                                         rocksdb_cache_t *cache)
{
    rocksdb_options_t *o = rocksdb_options_create();
    size_t buffer = (config->write_buffer_mib == 0 ? WRITE_BUFFER_MIB : config->write_buffer_mib) * MIB;
    rocksdb_options_set_write_buffer_size(o, buffer);
    rocksdb_options_set_arena_block_size(o, ARENA_BLOCK);
    rocksdb_options_set_compression(o, rocksdb_lz4_compression);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    rocksdb_block_based_options_set_format_version(table, 5);
    if (family != SM_FAMILY_LOG && family != SM_FAMILY_INDEX) {
        rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    }
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_block_based_options_destroy(table);
    if (family == SM_FAMILY_CERT) {
        /* Certificates are written once and hardly compress: kept out of the tree, compaction does not copy them. */
        rocksdb_options_set_enable_blob_files(o, 1);
        rocksdb_options_set_min_blob_size(o, BLOB_MIN);
        rocksdb_options_set_blob_compression_type(o, rocksdb_no_compression);
        rocksdb_options_set_enable_blob_gc(o, 1);
    }
    return o;
}

static void set_database_options(rocksdb_options_t *o, const struct sm_store_config *config)
{
    size_t buffer = (config->write_buffer_mib == 0 ? WRITE_BUFFER_MIB : config->write_buffer_mib) * MIB;
    rocksdb_options_set_db_write_buffer_size(o, 2 * buffer);
    rocksdb_options_set_max_open_files(o, MAX_OPEN_FILES);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_keep_log_file_num(o, 4);
    rocksdb_options_set_max_log_file_size(o, 4 * MIB);
    rocksdb_options_set_info_log_level(o, 3);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_allow_concurrent_memtable_write(o, 0); /* one commit lane */
    rocksdb_options_set_bytes_per_sync(o, MIB);
    /* A torn record at the end of the log was never acknowledged; anything torn before it is damage. */
    rocksdb_options_set_wal_recovery_mode(o, 0);
    rocksdb_options_set_paranoid_checks(o, 1);
}

static bool make_io_options(struct rocks *r)
{
    r->read = rocksdb_readoptions_create();
    r->read_memory = rocksdb_readoptions_create();
    r->read_scan = rocksdb_readoptions_create();
    r->write_sync = rocksdb_writeoptions_create();
    r->write_no_wal = rocksdb_writeoptions_create();
    r->batches[0] = rocksdb_writebatch_create();
    r->batches[1] = rocksdb_writebatch_create();
    rocksdb_readoptions_set_read_tier(r->read_memory, 1);
    rocksdb_readoptions_set_fill_cache(r->read_scan, 0);
    rocksdb_writeoptions_set_sync(r->write_sync, 1);
    rocksdb_writeoptions_disable_WAL(r->write_no_wal, 1);
    return r->read != NULL && r->write_sync != NULL && r->batches[1] != NULL;
}

sm_err sm_rocks_new(const struct sm_store_config *config, struct rocks **out)
{
    struct rocks *r = sm_calloc(1, sizeof(*r));
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    (void)pthread_rwlock_init(&r->lock, NULL);
    r->dir = sm_strdup(config->dir);
    r->cache = rocksdb_cache_create_lru((config->block_cache_mib == 0 ? BLOCK_CACHE_MIB : config->block_cache_mib) * MIB);
    for (int i = 0; i < SM_FAMILY_COUNT; i++) {
        r->family_options[i] = family_options((enum sm_store_family)i, config, r->cache);
    }
    r->options = rocksdb_options_create_copy(r->family_options[0]);
    set_database_options(r->options, config);
    if (!make_io_options(r) || r->dir == NULL) {
        sm_rocks_free(r);
        return SM_ERR(NO_MEMORY);
    }
    *out = r;
    return SM_NO_ERR;
}

static sm_err open_error(char *message, const char *dir, sm_diag *diag)
{
    sm_err err = SM_ERR(DISK);
    if (strstr(message, "lock") != NULL && strstr(message, "LOCK") != NULL) {
        err = sm_diag_set(diag, SM_ERR(EXHAUSTED), "data_dir", "%s is in use by another sealmill: stop it first", dir);
    } else if (strstr(message, "does not exist") != NULL) {
        err = sm_diag_set(diag, SM_ERR(NOT_FOUND), "data_dir", "there is no database in %s", dir);
    } else if (strstr(message, "Corruption") != NULL) {
        err = sm_diag_set(diag, SM_ERR(CORRUPT), "data_dir", "%s is damaged, restore a backup: %.120s", dir, message);
    } else {
        err = sm_diag_set(diag, err, "data_dir", "%s cannot be opened: %.140s", dir, message);
    }
    rocksdb_free(message);
    return err;
}

sm_err sm_rocks_open_db(struct rocks *r, bool create, sm_diag *diag)
{
    char *message = NULL;
    rocksdb_options_set_create_if_missing(r->options, create);
    rocksdb_options_set_create_missing_column_families(r->options, 1);
    union {
        rocksdb_options_t *in[SM_FAMILY_COUNT];
        const rocksdb_options_t *out[SM_FAMILY_COUNT];
    } options;
    memcpy(options.in, r->family_options, sizeof(options.in));
    r->db = rocksdb_open_column_families(r->options, r->dir, SM_FAMILY_COUNT, family_names, options.out, r->families,
                                         &message);
    return message == NULL ? SM_NO_ERR : open_error(message, r->dir, diag);
}

void sm_rocks_close_db(struct rocks *r)
{
    if (r->db == NULL) {
        return;
    }
    /* The index is not in the write-ahead log; without this flush the next start would index again what is in memory now. */
    char *message = NULL;
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    rocksdb_flush_cf(r->db, flush, r->families[SM_FAMILY_INDEX], &message);
    rocksdb_flushoptions_destroy(flush);
    rocksdb_free(message);
    for (int i = 0; i < SM_FAMILY_COUNT; i++) {
        rocksdb_column_family_handle_destroy(r->families[i]);
    }
    rocksdb_close(r->db);
    r->db = NULL;
}

void sm_rocks_free(struct rocks *r)
{
    sm_rocks_close_db(r);
    rocksdb_readoptions_destroy(r->read);
    rocksdb_readoptions_destroy(r->read_memory);
    rocksdb_readoptions_destroy(r->read_scan);
    rocksdb_writeoptions_destroy(r->write_sync);
    rocksdb_writeoptions_destroy(r->write_no_wal);
    rocksdb_writebatch_destroy(r->batches[0]);
    rocksdb_writebatch_destroy(r->batches[1]);
    for (int i = 0; i < SM_FAMILY_COUNT; i++) {
        rocksdb_options_destroy(r->family_options[i]);
    }
    rocksdb_options_destroy(r->options);
    rocksdb_cache_destroy(r->cache);
    (void)pthread_rwlock_destroy(&r->lock);
    sm_free(r->dir);
    sm_free(r);
}
