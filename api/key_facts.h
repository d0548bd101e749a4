/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is told of a private key: what signs with it and why, and what its tokens say of it. In
 * answers, in the log and in the metrics.
 *
 * Threads:   any.
 * Limits:    KEY_SERIES_MAX keys in the metrics; the log has all.
 * Security:  nothing of the key itself; URIs never have a PIN.
 * Standards: PKCS#11 4.9 (attributes of private keys).
 */
#pragma once

#include "api/record.h"
#include "sign/key.h"

/* In the arena. `key` NULL: it is not at hand. NULL without memory. */
Sealmill__V1__KeyFacts *sm_key_facts(const sm_key *key, sm_arena *arena);
/* Once for each key that is loaded: a line of log and a series. Takes locks. */
void sm_key_facts_tell(const sm_key *key, const char *uri);
