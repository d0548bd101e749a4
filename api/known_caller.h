/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caller behind a connection's client certificate, found once and kept with the connection.
 *
 * Reading the certificate, hashing it, matching it with the configuration's rules and looking
 * its state up cost 2.5 us a request, of 33 that an issuance may take. What was found holds
 * until the world changes, any certificate's state changes, or the certificate expires. The
 * same three say when a stream's caller must be looked at anew.
 *
 * Threads:   the loop's.
 * Limits:    one for a connection.
 * Security:  a revocation is counted before it is answered, so that no request that begins after
 *            the answer is taken for good.
 * Standards: none.
 */
#pragma once

#include "api/call.h"

/* As sm_caller_identify, for the connection of `call->x`. Strings live as long as the call. */
SM_FALLIBLE sm_known_caller_identify(sm_call *call);
/* For streams, before each thing that is done for the caller or given to it: whether it is still
 * who it was when the call began. Errors: UNAUTHENTICATED; FORBIDDEN when its grants are others
 * than then. The diag is the call's. */
SM_FALLIBLE sm_known_caller_confirm(sm_call *call);
