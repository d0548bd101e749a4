/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the types of the configuration cannot say: values that must be there, words of a list,
 * limits, durations.
 *
 * Threads:   main.
 * Limits:    none.
 * Security:  holds no secret.
 * Standards: none.
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "gen/sealmill/v1/config.pb-c.h"

/* diag's field is the key's path ("listeners[1].tls.client_ca_file"). Errors: INVALID, TOO_LARGE,
 * NO_MEMORY. */
SM_FALLIBLE config_check(const Sealmill__Config__V1__Config *config, sm_arena *arena,
                         sm_diag *diag);
