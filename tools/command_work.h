/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of a client command: its memory, its reason, where it calls.
 *
 * Threads:   main.
 * Limits:    64 MiB of answers and their parts.
 * Security:  see client.h.
 * Standards: none.
 */
#pragma once

#include "gen/sealmill/v1/crl.pb-c.h"
#include "tools/client.h"

struct command_work {
    const struct cli_args *args;
    sm_arena arena;
    sm_diag diag;
    struct client_target target;
};

/* `admin`: the dev instance's admin identity instead of ra. Exits 2 when something is missing. */
void command_begin(struct command_work *w, const struct cli_args *args, bool admin);
/* Tells of an error; the exit code. */
int command_end(struct command_work *w, sm_err err);
/* A copy in the arena, "" for NULL; without memory it exits. */
char *command_text(struct command_work *w, const char *s);
/* The one word; exits 2 with `what` ("a CA's name") where there is none. */
char *command_word(struct command_work *w, const char *what);

/* CRLReason (RFC 5280 5.3.1) as the commands' options say it. */
const char *command_reason_word(int reason);
/* A line about a published CRL. */
void command_print_crl(const Sealmill__V1__Crl *crl);
