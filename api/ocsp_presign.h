/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pre-signed answer on its way: signed through a loop's batcher or at once, then a row of the
 * caller's write, then in memory.
 *
 * Who changes a certificate's status makes both of its answers anew (SHA-1 and SHA-256 CertIDs) and
 * writes them with the change; where nobody can sign, their rows are removed with it, and what is asked
 * next is signed then, or answered tryLater. So no answer of before outlives a change.
 *
 * Threads:   start and done on the batcher's loop; now on any thread that may block.
 * Limits:    none.
 * Security:  the world that the responder is of is held by the caller until done.
 * Standards: RFC 6960 4.2.1.
 */
#pragma once

#include "api/ocsp_responder.h"
#include "ocsp-cache/ocsp_cache.h"
#include "ocsp-cache/ocsp_record.h"

typedef struct sm_ocsp_presign sm_ocsp_presign;

/* Caller-owned, pinned until done. */
struct sm_ocsp_presign {
    /* ---- the caller fills ---- */
    const struct sm_ocsp_responder *responder;
    const struct sm_ocsp_signer *signer;
    struct sm_ocsp_key key; /* the serial number is pinned */
    struct sm_ocsp_said said;
    int64_t not_after; /* of the certificate; 0: not known */
    sm_arena *arena;   /* has the row's octets and the signature afterwards */
    void (*done)(sm_ocsp_presign *p);
    void *ctx;
    /* ---- results ---- */
    sm_err err;
    struct sm_ocsp_kept kept;
    /* ---- private ---- */
    sm_crypt_job job;
    sm_buf data;
    uint8_t row_key[SM_OCSP_ROW_KEY_MAX];
};

/* Submits; done comes once, never from here. Errors: those of sm_batcher_submit, NO_MEMORY, INVALID:
 * then done does not run. */
SM_FALLIBLE sm_ocsp_presign_start(sm_ocsp_presign *p, sm_batcher *batcher, uint32_t caller);
/* Blocks. Errors: those of signing. */
SM_FALLIBLE sm_ocsp_presign_now(sm_ocsp_presign *p);
/* The row, once signed; it borrows from `p` and its arena. Errors: NO_MEMORY. */
SM_FALLIBLE sm_ocsp_presign_put(sm_ocsp_presign *p, struct sm_store_put *out);

/* Both answers about a certificate whose status changes. */
struct sm_ocsp_change {
    sm_ocsp_presign answers[SM_OCSP_HASHES];
    struct sm_store_put puts[SM_OCSP_HASHES];
    bool is_signed; /* else the rows go */
    uint64_t epoch; /* of the memory, before the write */
};

/* Fills in what both answers say. `responder` may be NULL, or without a signer now: then nothing will
 * be signed. `serial` and `c` are pinned. */
void sm_ocsp_change_init(struct sm_ocsp_change *c, const struct sm_ocsp_responder *responder,
                         uint32_t ca_id, uint32_t generation, sm_slice serial, int64_t not_after,
                         enum sm_ocsp_status status, int64_t revoked_at, int reason,
                         sm_arena *arena);
/* Signs both at once (blocking); whatever fails leaves them unsigned, with a line in the log. */
void sm_ocsp_change_sign_now(struct sm_ocsp_change *c);
/* The rows for the caller's write, which is submitted after this: the answers, or their removal. Errors: NO_MEMORY. */
SM_FALLIBLE sm_ocsp_change_puts(struct sm_ocsp_change *c, sm_ocsp_cache *cache);
/* The write is durable, and is told to nobody yet. Of two changes of one certificate memory may hear in the other order: who
 * hears of another's since its own write began leaves the answer to the store. */
void sm_ocsp_change_apply(struct sm_ocsp_change *c, sm_ocsp_cache *cache);
