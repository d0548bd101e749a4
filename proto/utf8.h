/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8, as proto3 strings must be.
 *
 * Threads:   no state.
 * Limits:    none.
 * Security:  overlong forms, surrogates and values over U+10FFFF are refused.
 * Standards: RFC 3629.
 */
#pragma once

#include "base/slice.h"

bool sm_utf8_is_valid(sm_slice s);
