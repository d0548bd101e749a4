/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stapling: the OCSP answers about our listeners' own certificates, where a CA of ours issued them.
 *
 * Each second every certificate's answer is asked for as a client would, which costs a look into memory;
 * when it is another one it goes to the listener. So a revocation is in the next second's handshakes, and what a
 * reload has replaced is noticed. An answer that has less than half of the validity left is signed anew.
 *
 * Threads:   one loop's.
 * Limits:    SM_STAPLE_SERVERS_MAX; a signature in 10 s for each certificate.
 * Security:  an answer whose nextUpdate is past is taken away. "Revoked" is stapled too; "unknown" is not.
 * Standards: RFC 6066 8, RFC 6961 (not: one answer alone), RFC 8446 4.4.2.1.
 */
#pragma once

#include "api/api.h"
#include "io/loop.h"
#include "io/tls.h"

#define SM_STAPLE_SERVERS_MAX 64
#define SM_STAPLE_LOOK_MS 1000
#define SM_STAPLE_SIGN_EACH_S 10

typedef struct sm_staples sm_staples;

/* `servers` live longer. Errors: NO_MEMORY, TOO_LARGE. Given. */
SM_FALLIBLE sm_staples_new(sm_loop *loop, sm_api_loop *api, sm_tls_server *const *servers,
                           size_t count, sm_staples **out);
/* Asks no more. NULL is allowed. */
void sm_staples_stop(sm_staples *staples);
/* No question is under way: only then it may be freed. */
bool sm_staples_is_idle(const sm_staples *staples);
void sm_staples_free(sm_staples **staples);
