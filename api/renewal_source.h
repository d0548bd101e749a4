/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificate that a renewal is of: its record, its state as the renewal's write will insist on it, and
 * what it was issued with.
 *
 * Threads:   blocks: service threads.
 * Limits:    none.
 * Security:  a certificate on hold is refused; one that is revoked is told of, and the caller decides.
 * Standards: RFC 7030 4.2.2.
 */
#pragma once

#include "api/issue.h"

struct sm_renewal_source {
    struct sm_renewed old; /* for sm_issue.renewed; it points to `cert` */
    struct sm_cert cert;
    Sealmill__V1__IssueRequest request; /* CA, profile and metadata of the old one */
    bool is_revoked;
};

/* `serial` is borrowed for as long as `out` is used; `out` is pinned. Errors: NOT_FOUND, PRECONDITION (on
 * hold), CORRUPT, DISK, NO_MEMORY. */
SM_FALLIBLE sm_renewal_source_load(sm_store *store, const sm_world *world, sm_slice serial,
                                   sm_arena *arena, struct sm_renewal_source *out, sm_diag *diag);
