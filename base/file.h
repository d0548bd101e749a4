/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files: read with a cap, write durably and all at once.
 *
 * Threads:   any; blocks.
 * Limits:    the buffer's cap.
 * Security:  writes go to a new file of the mode asked for, so that a secret is never readable for a moment.
 * Standards: none.
 */
#pragma once

#include "base/buf.h"
#include "base/diag.h"

#include <sys/types.h>

/* Appends the whole file. Errors: NOT_FOUND, OS, TOO_LARGE; diag names the path. */
SM_FALLIBLE sm_file_read(const char *path, sm_buf *out, sm_diag *diag);

/* Writes a temporary file beside `path`, fsyncs, renames over it, fsyncs the folder. Errors: DISK; diag names the path. */
SM_FALLIBLE sm_file_write_atomic(const char *path, sm_slice content, mode_t mode, sm_diag *diag);

/* Makes the folder and its parents (mode for each that is missing). Errors: OS. */
SM_FALLIBLE sm_file_mkdirs(const char *path, mode_t mode, sm_diag *diag);

bool sm_file_exists(const char *path);
