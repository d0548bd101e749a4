/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client certificate of a connection whose handshake asked for one and judged nothing: what it is worth
 * is decided for each request, and found once.
 *
 * Threads:   the loop's.
 * Limits:    one for a connection is remembered.
 * Security:  what was found holds while the world, the states of certificates and its time stand still, as in
 *            known_caller.h. Own certificates are looked up in the inventory; devices' first ones (IDevID) chain
 *            to the label's anchors, and their revocation is their maker's matter.
 * Standards: RFC 7030 3.3.2; IEEE 802.1AR.
 */
#pragma once

#include "api/caller.h"
#include "api/label.h"
#include "io/http.h"

enum sm_peer_kind {
    SM_PEER_NONE,   /* no certificate, or one that chains to nothing that is trusted here */
    SM_PEER_OWN,    /* one that we issued */
    SM_PEER_DEVICE, /* chains to the label's anchors */
};

struct sm_peer {
    enum sm_peer_kind kind;
    bool sent;    /* a certificate was shown */
    bool expired; /* within the label's grace */
    struct sm_cert cert;
    struct sm_caller caller; /* with the configuration's grants */
    const char *reason;      /* why it is NONE although one was shown */
};

/* Looks at the exchange's client certificate as the label has it. Slices borrow from the connection, strings
 * from the connection or the arena: `out` is good for this request. Errors: NO_MEMORY, DISK. */
SM_FALLIBLE sm_peer_identify(sm_http_exchange *x, sm_world *world, const struct sm_label *label,
                             sm_store *store, uint64_t state_changes, sm_arena *arena,
                             struct sm_peer *out);
