/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: the tables as hard links where the file system allows it, the write-ahead log as a
 * copy. */
#include "store/rocksdb_p.h"

#include <limits.h>
#include <stdio.h>

static sm_err checkpoint_db(struct rocks_db *d, const char *dir, sm_diag *diag)
{
    char *message = NULL;
    sm_gate_enter(&d->gate);
    rocksdb_checkpoint_t *checkpoint = d->db == NULL
                                           ? NULL
                                           : rocksdb_checkpoint_object_create(d->db, &message);
    if (checkpoint != NULL) {
        /* 0: flushes first, so that the index's newest rows, which are in no log, are in it. */
        rocksdb_checkpoint_create(checkpoint, dir, 0, &message);
        rocksdb_checkpoint_object_destroy(checkpoint);
    }
    sm_gate_leave(&d->gate);
    if (checkpoint != NULL && message == NULL) {
        return SM_NO_ERR;
    }
    sm_err err = sm_diag_set(diag, SM_ERR(DISK), "backup", "%s",
                             message == NULL ? "the store is down" : message);
    rocksdb_free(message);
    return err;
}

/* The index first: it is then behind the log in the copy, and catches up. The other way round it
 * would be ahead, and be dropped. */
sm_err sm_rocks_checkpoint(void *backend, const char *dir, sm_diag *diag)
{
    struct rocks *r = backend;
    char index[PATH_MAX];
    char place[PATH_MAX];
    int n = snprintf(index, sizeof(index), "%s-index", dir);
    int m = snprintf(place, sizeof(place), "%s/" INDEX_DIR, dir);
    if (n < 0 || m < 0 || (size_t)n >= sizeof(index) || (size_t)m >= sizeof(place)) {
        return sm_diag_set(diag, SM_ERR(DISK), "backup", "the path is too long");
    }
    SM_TRY(checkpoint_db(&r->dbs[STORE_LANE_INDEX], index, diag));
    SM_TRY(checkpoint_db(&r->dbs[STORE_LANE_COMMIT], dir, diag));
    if (rename(index, place) != 0) {
        return sm_diag_set(diag, SM_ERR(DISK), "backup", "%s cannot be put in place", place);
    }
    return SM_NO_ERR;
}
