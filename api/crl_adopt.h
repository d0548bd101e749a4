/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries for CRLs of certificates that were revoked by releases that wrote none.
 *
 * Threads:   main, before anything is served: it reads states and writes rows that a change of state would
 *            write too.
 * Limits:    SM_CRL_ADOPT_ROWS at a time in memory.
 * Security:  done once, durably marked when it is whole; broken off, it begins again.
 * Standards: none.
 */
#pragma once

#include "api/api.h"

#define SM_CRL_ADOPT_ROWS 1000

/* Errors: DISK, CORRUPT, NO_MEMORY. */
SM_FALLIBLE sm_crl_adopt(sm_store *store);
