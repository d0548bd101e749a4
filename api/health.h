/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the program serves: for grpc.health.v1 and /readyz.
 *
 * Threads:   set from main; read by all.
 * Limits:    none.
 * Security:  none.
 * Standards: gRPC health checking protocol.
 */
#pragma once

#include <stdbool.h>

void sm_health_set(bool serving);
bool sm_health_get(void);
