/* SPDX-License-Identifier: Apache-2.0 */
/* The version of what is in the database: META "schema", 8 octets. */
#include "store/store_p.h"

#define SCHEMA_KEY SM_LIT("schema")

static sm_err write_schema(sm_store *store)
{
    uint8_t version[8];
    sm_store_put_sequence(version, SM_STORE_SCHEMA);
    struct sm_store_put put = {SM_PUT, SM_FAMILY_META, SCHEMA_KEY,
                               sm_slice_of(version, sizeof(version))};
    store->ops->batch_put(store->backend, STORE_LANE_COMMIT, &put);
    sm_err err = store->ops->batch_write(store->backend, STORE_LANE_COMMIT);
    store->ops->batch_clear(store->backend, STORE_LANE_COMMIT);
    return err;
}

static bool note_row(void *ctx, sm_slice key, sm_slice value)
{
    (void)key;
    (void)value;
    *(bool *)ctx = true;
    return false;
}

/* A crash between making the database and marking it leaves it empty; anything else without a mark
 * is not ours. */
static sm_err mark_new(sm_store *store, sm_diag *diag)
{
    const struct store_range all = {.reverse = false};
    bool used = false;
    for (int i = 0; i < SM_FAMILY_COUNT && !used; i++) {
        SM_TRY(store->ops->scan(store->backend, (enum sm_store_family)i, &all, note_row, &used));
    }
    if (used) {
        return sm_diag_set(diag, SM_ERR(CORRUPT), "data_dir",
                           "%s holds records but no schema version: restore a backup",
                           store->config.dir);
    }
    return write_schema(store);
}

sm_err sm_store_check_schema(sm_store *store, sm_diag *diag)
{
    sm_buf value = sm_buf_init(64);
    sm_err err = store->ops->get(store->backend, SM_FAMILY_META, SCHEMA_KEY, &value);
    uint64_t version = value.len == 8 ? sm_store_get_sequence(sm_buf_slice(&value)) : 0;
    sm_buf_deinit(&value);
    if (sm_err_is(err, SM_E_NOT_FOUND)) {
        return mark_new(store, diag);
    }
    SM_TRY(err);
    if (version == SM_STORE_SCHEMA) {
        return SM_NO_ERR;
    }
    return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "data_dir",
                       "%s has schema version %llu, this sealmill knows %d: use the sealmill that "
                       "wrote it",
                       store->config.dir, (unsigned long long)version, SM_STORE_SCHEMA);
}
