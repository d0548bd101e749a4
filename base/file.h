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

#include <limits.h>
#include <sys/types.h>

/* Appends the whole file. Errors: NOT_FOUND, OS, TOO_LARGE (over the buffer's cap), NO_MEMORY; diag
 * names path and reason. On failure the buffer is as long as it was. */
SM_FALLIBLE sm_file_read(const char *path, sm_buf *out, sm_diag *diag);

/* Writes a temporary file beside `path` with exactly `mode`, fsyncs it, renames it over `path`,
 * fsyncs the folder. Errors: DISK; diag names path and reason. After a failure `path` is what it
 * was, unless only the folder's fsync failed. */
SM_FALLIBLE sm_file_write_atomic(const char *path, sm_slice content, mode_t mode, sm_diag *diag);

/* The same in two steps, for content that must not be lost for want of a place: the file is made
 * before the content is. */
struct sm_file {
    int fd; /* -1: nothing is begun */
    char path[PATH_MAX];
    char temp[PATH_MAX];
};
/* Makes the temporary file. Errors: DISK, also where `path` is a folder. */
SM_FALLIBLE sm_file_begin(const char *path, struct sm_file *out, sm_diag *diag);
/* Writes all of it and puts it in place; nothing is begun afterwards. Errors: as
 * sm_file_write_atomic. */
SM_FALLIBLE sm_file_commit(struct sm_file *file, sm_slice content, mode_t mode, sm_diag *diag);
/* Removes the temporary file, if there is one. */
void sm_file_discard(struct sm_file *file);

/* Makes the folder and its parents (`mode`, less the umask, for each that is missing). Errors: OS,
 * also when `path` exists and is no folder. */
SM_FALLIBLE sm_file_mkdirs(const char *path, mode_t mode, sm_diag *diag);

bool sm_file_exists(const char *path);
