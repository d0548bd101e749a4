/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/command_work.h"

#define ARENA_CAP (64U << 20)

void command_begin(struct command_work *w, const struct cli_args *args, bool admin)
{
    w->args = args;
    w->diag.field[0] = '\0';
    w->diag.reason[0] = '\0';
    sm_arena_init(&w->arena, ARENA_CAP);
    client_target_from(args, admin, &w->target);
}

int command_end(struct command_work *w, sm_err err)
{
    int rc = sm_ok(err) ? 0 : cli_fail(err, &w->diag);
    sm_arena_deinit(&w->arena);
    return rc;
}

char *command_text(struct command_work *w, const char *s)
{
    char *z = sm_arena_strdup(&w->arena, sm_slice_str(s == NULL ? "" : s));
    if (z == NULL) {
        cli_usage("out of memory");
    }
    return z;
}

char *command_word(struct command_work *w, const char *what)
{
    if (w->args->word_count != 1) {
        cli_usage("%s is needed", what);
    }
    return command_text(w, w->args->words[0]);
}

const char *command_reason_word(int reason)
{
    static const char *const words[] = {
        "unspecified",     "key-compromise",         "ca-compromise",    "affiliation-changed",
        "superseded",      "cessation-of-operation", "certificate-hold", "?",
        "remove-from-crl", "privilege-withdrawn",    "aa-compromise"};
    return (unsigned)reason < SM_ARRAY_LEN(words) ? words[reason] : "?";
}
