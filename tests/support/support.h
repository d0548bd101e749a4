/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every test program shares: cmocka with its prerequisites, assertions on errors, temporary
 * folders.
 *
 * Threads:   a test's own.
 * Limits:    none.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/err.h"

#define assert_sm_ok(e)                           \
    do {                                          \
        sm_err e_ = (e);                          \
        if (!sm_ok(e_)) {                         \
            print_error("%s\n", sm_err_name(e_)); \
        }                                         \
        assert_true(sm_ok(e_));                   \
    } while (0)

#define assert_sm_err(e, name) assert_string_equal(sm_err_name(e), sm_err_name(SM_ERR(name)))

/* Makes a new folder; writes its path to `out`. NULL on failure. */
const char *sm_test_dir(char *out, size_t size);
void sm_test_remove_dir(const char *path);
