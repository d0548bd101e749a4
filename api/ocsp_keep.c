/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ocsp_keep.h"

#include "api/api_p.h"
#include "base/log.h"
#include "base/mem.h"

struct keeping {
    sm_store_write write;
    sm_api_loop *loop;
    sm_arena arena;
    struct sm_store_cond cond;
    struct sm_store_put put;
};

static void end(struct keeping *k)
{
    sm_arena_deinit(&k->arena);
    sm_free(k);
}

static void on_written(sm_store_write *op)
{
    struct keeping *k = SM_CONTAINER_OF(op, struct keeping, write);
    bool changed = sm_err_is(op->err, SM_E_EXISTS) || sm_err_is(op->err, SM_E_CONFLICT);
    if (!sm_ok(op->err) && !changed) {
        sm_log(SM_LOG_DEBUG, "ocsp_answer_not_kept", SM_KE("error", op->err), SM_KEND);
    }
    k->loop->ocsp_keeping--;
    end(k);
}

static sm_err fill(struct keeping *k, sm_ocsp_presign *p, const struct sm_store_cond *so_far)
{
    struct sm_store_put put;
    SM_TRY(sm_ocsp_presign_put(p, &put));
    SM_TRY(sm_arena_copy(&k->arena, put.key, &put.key));
    SM_TRY(sm_arena_copy(&k->arena, put.value, &put.value));
    k->put = put;
    k->cond = *so_far;
    SM_TRY(sm_arena_copy(&k->arena, so_far->key, &k->cond.key));
    return sm_arena_copy(&k->arena, so_far->value, &k->cond.value);
}

void sm_ocsp_keep(sm_api_loop *loop, sm_ocsp_presign *p, const struct sm_store_cond *so_far)
{
    if (loop->ocsp_keeping >= SM_OCSP_KEEP_MAX) {
        return;
    }
    struct keeping *k = sm_calloc(1, sizeof(*k));
    if (k == NULL) {
        return;
    }
    k->loop = loop;
    sm_arena_init(&k->arena, SM_OCSP_ROW_MAX);
    k->write = (sm_store_write){.home = sm_api_loop_home(loop),
                                .conds = &k->cond,
                                .cond_count = 1,
                                .puts = &k->put,
                                .put_count = 1,
                                .done = on_written};
    if (!sm_ok(fill(k, p, so_far)) ||
        !sm_ok(sm_store_submit_write(sm_api_store(sm_api_of(loop)), &k->write))) {
        end(k);
        return;
    }
    loop->ocsp_keeping++;
}
