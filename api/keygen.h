/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment with a key that is made here: which type, made on a thread of its own, then the one path of enrolment with a
 * request that this key has signed.
 *
 * Threads:   the loop's; keys are made on the api's thread for them, one after the other.
 * Limits:    SM_KEYGEN_WAITING_MAX keys that are waited for.
 * Security:  a key is made for authenticated clients alone. It is nowhere but in `out`, wiped by the free; it is in no
 *            record and in no log. Where the request names a key for its encryption, it leaves in no other way.
 * Standards: RFC 7030 4.4.
 */
#pragma once

#include "api/api_p.h"
#include "api/enrol.h"
#include "io/tls.h"
#include "sign/server_key.h"

/* Of all loops. RSA-4096 keys take seconds each: who would wait longer is told to come again. */
#define SM_KEYGEN_WAITING_MAX 32

typedef struct sm_keygen {
    sm_enrolment *enrolment; /* set up but for `csr`, `again` and `done` */
    void (*done)(sm_enrolment *e);
    /* ---- private ---- */
    sm_slice wished; /* the client's request */
    struct sm_server_key_wish wish;
    enum sm_key_type type;
    struct sm_tls_pair pair; /* signs an envelope */
    sm_buf out;              /* secret */
    sm_buf csr;
    sm_errand errand;
    sm_err err;
} sm_keygen;

/* Authenticates, makes the key, enrols; `done` with the enrolment's results, later. After it `out` has the key where the
 * enrolment's `err` is fine: PKCS#8, or CMS where it is enveloped. `csr` is DER, borrowed until done. Pinned until free. */
void sm_keygen_start(sm_keygen *k, sm_slice csr);
bool sm_keygen_is_enveloped(const sm_keygen *k);
/* Wipes it. */
void sm_keygen_free(sm_keygen *k);
