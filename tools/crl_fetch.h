/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CRL of a server's, fetched into a file and verified there.
 *
 * Threads:   main.
 * Limits:    none of its own: it comes in pieces, and goes to the file as they come.
 * Security:  what comes is believed only when the issuer's key signed it and it is the CRL that was asked for: its kind,
 *            its partition, its number, its times. The issuer is whom the server names, unless --issuer is given.
 * Standards: RFC 5280 5.1.2, 5.2.3, 5.2.4, 5.2.5.
 */
#pragma once

#include "tools/command_work.h"
#include "tools/crl_file.h"

/* Which CRL of a CA. */
#define CRL_FETCH_OPTIONS                                                                        \
    {"delta", NULL, "The delta CRL"}, {"generation", "N", "Of the CA; default the current one"}, \
        {"partition", "N", "Of the generation; default the complete CRL"},                       \
    {                                                                                            \
        "issuer", "FILE", "Verify with this certificate; default the one that the server has"    \
    }

/* The name that the options say: NAME, or NAME.N, NAME.N.pPPPP, each with .delta; in the work's arena. */
char *crl_fetch_name(struct command_work *w, const char *ca);
/* Fetches it into the file `path`, over what is there, and opens it; the caller closes it, and the file is his. On failure
 * there is no file. Errors: DISK, those of the call and of crl_file, PRECONDITION (it is not what was asked for, or not
 * of now). */
SM_FALLIBLE crl_fetch(struct command_work *w, const char *ca, const char *path,
                      struct crl_file *out);
/* Whether the certificate in a file signed it. Errors: those of reading it and of crl_file_verify. */
SM_FALLIBLE crl_fetch_verify_with(const struct crl_file *file, const char *cert_path,
                                  sm_diag *diag);
