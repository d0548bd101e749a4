/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an enrolment adapter holds while it serves one request: the label that it came by, who asks, what he gets.
 * Everything that adapters need of enrolment is here, in slices: they know no keys, no DER and no store.
 *
 * Threads:   the loop's; `done` callbacks run on it, later.
 * Limits:    those of enrol.h.
 * Security:  see enrol.h.
 * Standards: RFC 7030 3.2, 4.
 */
#pragma once

#include "api/web.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"

typedef struct sm_api_loop sm_api_loop;
typedef struct sm_ticket sm_ticket;

/* What a label may switch off. */
enum sm_ticket_operation {
    SM_TICKET_CACERTS,
    SM_TICKET_ENROLL,
    SM_TICKET_REENROLL,
    SM_TICKET_KEYGEN,
    SM_TICKET_CSRATTRS,
};

/* Opens one in the exchange's arena, which is held until it is closed. NULL: there is no such label, or no
 * memory. */
sm_ticket *sm_ticket_open(sm_api_loop *loop, sm_web *w, sm_slice label);
void sm_ticket_close(sm_ticket **ticket);

/* What it is for: once, before what follows. False: the label does not serve it. */
bool sm_ticket_choose(sm_ticket *t, enum sm_ticket_operation operation);
bool sm_ticket_answers_der(const sm_ticket *t);
/* Whether cacerts and csrattrs want an authenticated client. */
bool sm_ticket_guards_reads(const sm_ticket *t);

/* Appends certs-only CMS: the CA, what is above it, and a rolled-over root's links. Errors: NOT_FOUND (no
 * certificate yet), NO_MEMORY. */
SM_FALLIBLE sm_ticket_cacerts(const sm_ticket *t, sm_buf *out);
/* CsrAttrs in DER; empty: nothing is asked for. Borrowed. */
sm_slice sm_ticket_csrattrs(const sm_ticket *t);

/* Who asks. */
void sm_ticket_authenticate(sm_ticket *t, void (*done)(void *ctx, sm_ticket *t), void *ctx);
/* Issues; `again` renews the client certificate. `csr` is DER, borrowed until done. */
void sm_ticket_enroll(sm_ticket *t, sm_slice csr, bool again, void (*done)(void *ctx, sm_ticket *t),
                      void *ctx);

/* Makes a key, and issues for it. `csr` is DER, borrowed until done. */
void sm_ticket_keygen(sm_ticket *t, sm_slice csr, void (*done)(void *ctx, sm_ticket *t), void *ctx);

/* ---- after done ---- */
sm_err sm_ticket_err(const sm_ticket *t);
const sm_diag *sm_ticket_diag(const sm_ticket *t);
/* It was denied, and an HTTP scheme could help. */
bool sm_ticket_scheme_helps(const sm_ticket *t);
/* Which of them. */
bool sm_ticket_takes_negotiate(const sm_ticket *t);
bool sm_ticket_takes_basic(const sm_ticket *t);
bool sm_ticket_takes_bearer(const sm_ticket *t);
/* WWW-Authenticate by which a client that came by Negotiate knows us, for any answer but 401; empty: there is none. */
sm_slice sm_ticket_challenge(const sm_ticket *t);
/* 0: whatever the adapter finds fit. */
unsigned sm_ticket_retry_after_s(const sm_ticket *t);
/* The key that was made, PKCS#8, or CMS where it is enveloped; wiped when the ticket is closed. Secret. */
sm_slice sm_ticket_private_key(const sm_ticket *t);
/* The client named a key that it is encrypted with (RFC 7030 4.4.1). */
bool sm_ticket_key_is_enveloped(const sm_ticket *t);
/* Appends certs-only CMS of what was issued, leaf first, with the chain where the label has it so. */
SM_FALLIBLE sm_ticket_certificate(const sm_ticket *t, sm_buf *out);
