/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files: read with a cap, write durably and all at once.
 *
 * Threads:   any; blocks.
 * Limits:    the buffer's cap.
 * Security:  writes go to a new file that others cannot read until it has its mode.
 * Standards: none.
 */
#pragma once

#include "base/buf.h"
#include "base/diag.h"

#include <sys/types.h>

/* Appends the whole file. Errors: NOT_FOUND, OS, TOO_LARGE (over the buffer's cap), NO_MEMORY; diag
 * names path and reason. On failure the buffer is as long as it was. */
SM_FALLIBLE sm_file_read(const char *path, sm_buf *out, sm_diag *diag);

/* Writes a temporary file beside `path` with exactly `mode`, fsyncs it, renames it over `path`,
 * fsyncs the folder. Errors: DISK; diag names path and reason. After a failure `path` is what it
 * was, unless only the folder's fsync failed. */
SM_FALLIBLE sm_file_write_atomic(const char *path, sm_slice content, mode_t mode, sm_diag *diag);

/* Makes the folder and its parents (`mode`, less the umask, for each that is missing). Errors: OS,
 * also when `path` exists and is no folder. */
SM_FALLIBLE sm_file_mkdirs(const char *path, mode_t mode, sm_diag *diag);

bool sm_file_exists(const char *path);
