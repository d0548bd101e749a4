/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ocsp_presign.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

#include <pthread.h>

static sm_metric made;
static sm_metric failed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    made = sm_metric_register(SM_COUNTER, "sealmill_ocsp_presigned_total",
                              "OCSP answers signed to be kept", NULL);
    failed = sm_metric_register(SM_COUNTER, "sealmill_ocsp_presign_failures_total",
                                "OCSP answers to be kept that could not be signed", NULL);
}

/* ---- one answer ---- */

static sm_err prepare(sm_ocsp_presign *p)
{
    (void)pthread_once(&once, register_metrics);
    p->data = sm_buf_init(SM_OCSP_DATA_MAX);
    return sm_ocsp_single_data(&p->responder->issuer, p->key.hash, p->key.serial, p->signer,
                               &p->said, &p->data);
}

static sm_err keep(sm_ocsp_presign *p, sm_slice signature)
{
    uint8_t room[SM_OCSP_SIGNATURE_MAX];
    size_t len = sm_ocsp_signature_keep(p->signer, signature, room);
    if (len == 0) {
        return SM_ERR(CRYPTO);
    }
    p->kept.said = p->said;
    p->kept.signer = p->signer->id;
    return sm_arena_copy(p->arena, sm_slice_of(room, len), &p->kept.signature);
}

static void conclude(sm_ocsp_presign *p, sm_err err, sm_slice signature)
{
    p->err = sm_ok(err) ? keep(p, signature) : err;
    sm_buf_deinit(&p->data);
    sm_metric_inc(sm_ok(p->err) ? made : failed);
}

static void on_signed(sm_crypt_job *job)
{
    sm_ocsp_presign *p = SM_CONTAINER_OF(job, sm_ocsp_presign, job);
    conclude(p, job->err, sm_slice_of(job->out, job->out_len));
    p->done(p);
}

sm_err sm_ocsp_presign_start(sm_ocsp_presign *p, sm_batcher *batcher, uint32_t caller)
{
    sm_err err = prepare(p);
    size_t room = sm_sig_size_max(p->signer->alg, p->signer->type);
    p->job = (sm_crypt_job){.op = SM_CRYPT_SIGN,
                            .alg = p->signer->alg,
                            .message = sm_buf_slice(&p->data),
                            .key = p->signer->key,
                            .out = sm_arena_alloc(p->arena, room),
                            .out_room = room,
                            .caller = caller,
                            .done = on_signed};
    if (sm_ok(err) && p->job.out == NULL) {
        err = SM_ERR(NO_MEMORY);
    }
    err = sm_ok(err) ? sm_batcher_submit(batcher, &p->job) : err;
    if (!sm_ok(err)) {
        sm_buf_deinit(&p->data);
    }
    return err;
}

sm_err sm_ocsp_presign_now(sm_ocsp_presign *p)
{
    sm_buf signature = sm_buf_init(SM_SIGNATURE_MAX);
    sm_err err = prepare(p);
    err = sm_ok(err)
              ? sm_sign_now(p->signer->key, p->signer->alg, sm_buf_slice(&p->data), &signature)
              : err;
    conclude(p, err, sm_buf_slice(&signature));
    sm_buf_deinit(&signature);
    return p->err;
}

sm_err sm_ocsp_presign_put(sm_ocsp_presign *p, struct sm_store_put *out)
{
    sm_slice row;
    SM_TRY(sm_ocsp_row_pack(&p->kept, p->not_after, p->arena, &row));
    size_t len = sm_ocsp_row_key(&p->key, p->row_key);
    *out = (struct sm_store_put){SM_PUT, SM_FAMILY_OCSP, sm_slice_of(p->row_key, len), row};
    return SM_NO_ERR;
}

/* ---- a change of status ---- */

void sm_ocsp_change_init(struct sm_ocsp_change *c, const struct sm_ocsp_responder *responder,
                         uint32_t ca_id, uint32_t generation, sm_slice serial, int64_t not_after,
                         enum sm_ocsp_status status, int64_t revoked_at, int reason,
                         sm_arena *arena)
{
    int64_t now = sm_clock_wall_s();
    const struct sm_ocsp_signer *signer = sm_ocsp_current_signer(responder, now);
    c->is_signed = false;
    for (int hash = 0; hash < SM_OCSP_HASHES; hash++) {
        sm_ocsp_presign *p = &c->answers[hash];
        *p = (sm_ocsp_presign){
            .responder = responder,
            .signer = signer,
            .key = {ca_id, generation, (enum sm_ocsp_hash)hash, serial},
            .said = {.status = status, .reason = reason, .revoked_at = revoked_at},
            .not_after = not_after,
            .arena = arena,
        };
        if (signer != NULL) {
            sm_ocsp_times(responder, signer, now, &p->said);
        }
    }
}

void sm_ocsp_change_sign_now(struct sm_ocsp_change *c)
{
    sm_err err = SM_NO_ERR;
    for (int hash = 0; hash < SM_OCSP_HASHES && sm_ok(err); hash++) {
        sm_ocsp_presign *p = &c->answers[hash];
        err = p->signer == NULL ? SM_ERR(UNAVAILABLE) : sm_ocsp_presign_now(p);
    }
    c->is_signed = sm_ok(err);
    if (!sm_ok(err)) {
        sm_log(SM_LOG_WARN, "ocsp_answer_not_signed", SM_KU("ca", c->answers[0].key.ca_id),
               SM_KE("error", err), SM_KS("so", "it is signed when it is asked for"), SM_KEND);
    }
}

sm_err sm_ocsp_change_puts(struct sm_ocsp_change *c, sm_ocsp_cache *cache)
{
    c->epoch = c->is_signed ? sm_ocsp_cache_epoch(cache, c->answers[0].signer) : 0;
    for (int hash = 0; hash < SM_OCSP_HASHES; hash++) {
        sm_ocsp_presign *p = &c->answers[hash];
        if (c->is_signed) {
            SM_TRY(sm_ocsp_presign_put(p, &c->puts[hash]));
            continue;
        }
        size_t len = sm_ocsp_row_key(&p->key, p->row_key);
        c->puts[hash] = (struct sm_store_put){SM_DELETE, SM_FAMILY_OCSP,
                                              sm_slice_of(p->row_key, len), SM_SLICE_NONE};
    }
    return SM_NO_ERR;
}

void sm_ocsp_change_apply(struct sm_ocsp_change *c, sm_ocsp_cache *cache)
{
    for (int hash = 0; hash < SM_OCSP_HASHES; hash++) {
        sm_ocsp_presign *p = &c->answers[hash];
        sm_ocsp_cache_change(cache, p->signer, &p->key, c->is_signed ? &p->kept : NULL,
                             c->epoch + (uint64_t)hash);
    }
}
