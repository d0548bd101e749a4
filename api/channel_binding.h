/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a request belongs to the connection that it came by: what it carries in base64 against the connection's
 * channel binding. Who relays a request over a connection of his own has another binding.
 *
 * Threads:   no state.
 * Limits:    SM_HTTP_BINDING_MAX octets of a binding.
 * Security:  compared in constant time; what cannot be checked is refused.
 * Standards: RFC 7030 3.5, RFC 7894 3.3, RFC 5929 3, RFC 9266.
 */
#pragma once

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"

enum sm_binding_rule {
    SM_BINDING_OFF, /* neither attribute is looked at */
    SM_BINDING_CHECKED, /* what is there must be right; challengePassword only if it is as long as a binding */
    SM_BINDING_REQUIRED,
};

struct sm_binding_claim {
    sm_slice
        linking; /* of estIdentityLinking; ptr NULL: it is not there. Comes before challengePassword */
    sm_slice challenge; /* of challengePassword; ptr NULL: it is not there */
    sm_slice binding;   /* the connection's; empty: it has none */
};

/* Errors: POLICY with the attribute; NO_MEMORY. */
SM_FALLIBLE sm_binding_check(enum sm_binding_rule rule, const struct sm_binding_claim *claim,
                             sm_diag *diag);
