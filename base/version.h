/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The version of sealmill.
 *
 * Threads:   constant.
 * Limits:    none.
 * Security:  none.
 * Standards: semantic versioning.
 */
#pragma once

#define SM_VERSION "0.1.0"
