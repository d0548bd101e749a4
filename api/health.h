/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the program serves: for grpc.health.v1 and /readyz.
 *
 * Ready means: started, not draining, and the store takes writes. A server whose disk is full
 * goes on to answer reads and OCSP, but a load balancer should send enrolments elsewhere.
 *
 * Threads:   set from main; read by all.
 * Limits:    none.
 * Security:  none.
 * Standards: gRPC health checking protocol.
 */
#pragma once

#include "api/api.h"

#include <stdbool.h>

/* Started and not draining. */
void sm_health_set(bool serving);
/* NULL: ready; else why not, for people. Static. */
const char *sm_health_trouble(sm_api *api);
