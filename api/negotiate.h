/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP Negotiate by GSSAPI: what a token says of who sent it. The only user of libgssapi; where that was not there at build,
 * nothing can be made.
 *
 * Threads:   sm_negotiate_new/free: any. sm_negotiate_accept blocks (the keytab, the replay cache): service threads, several
 *            at a time.
 * Limits:    SM_NEGOTIATE_TOKEN_MAX, SM_NEGOTIATE_ANSWER_MAX.
 * Security:  Kerberos alone, by itself or in SPNEGO; no anonymous principals, no delegation. One token must do: contexts are
 *            not kept. A token is good once (the library's replay cache) and for one connection where the client bound it.
 *            Tokens are never logged. Which enctypes, how much skew: the library's configuration (krb5.conf).
 * Standards: RFC 4559, RFC 4178 (SPNEGO), RFC 4121, RFC 5929 4.
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "base/err.h"
#include "gen/sealmill/v1/config.pb-c.h"

/* Octets. A device's is 1 to 2 KiB, that of a user in hundreds of groups (a PAC) 12; in base64 it fits into the default of
 * limits.header_bytes. */
#define SM_NEGOTIATE_TOKEN_MAX (16U << 10)
/* Octets of our answer to it: an AP-REP has some 150, and heads of answers are small. */
#define SM_NEGOTIATE_ANSWER_MAX 384

typedef struct sm_negotiate sm_negotiate;

struct sm_negotiated {
    sm_slice
        principal; /* "alice@EXAMPLE.NET", as MIT's library writes it; empty: nothing was found */
    sm_slice service; /* the principal of ours that the ticket is for */
    sm_slice answer;  /* by which the client knows us; empty: there is none */
};

/* Whether it was there at build. */
bool sm_negotiate_is_built(void);
/* Looks for the service's key in the keytab, which is read again for each token. Given. Errors: UNSUPPORTED (not built),
 * INVALID with the field and the library's words; NO_MEMORY. */
SM_FALLIBLE sm_negotiate_new(const Sealmill__Config__V1__Negotiate *config, sm_negotiate **out,
                             sm_diag *diag);
void sm_negotiate_free(sm_negotiate **n);
/* `end_point`: tls-server-end-point of the connection; empty: it has none, and the client's binding is not looked at. Everything
 * is in the arena. Errors: UNAUTHENTICATED with a reason that may be told, NO_MEMORY. */
SM_FALLIBLE sm_negotiate_accept(const sm_negotiate *n, sm_slice token, sm_slice end_point,
                                sm_arena *arena, struct sm_negotiated *out, sm_diag *diag);
