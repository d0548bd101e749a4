/* SPDX-License-Identifier: Apache-2.0 */
/* crl list, make. */
#include "base/clock.h"
#include "gen/sealmill/v1/crl.pb-c.h"
#include "tools/command_work.h"
#include "tools/commands.h"

#include <stdio.h>

#define CRL_SERVICE "/sealmill.v1.CrlService/"

void command_print_crl(const Sealmill__V1__Crl *c)
{
    char made[SM_RFC3339_SIZE];
    char until[SM_RFC3339_SIZE];
    (void)printf("%-24s number %-6llu %8llu entries  %s to %s\n", c->file,
                 (unsigned long long)c->number, (unsigned long long)c->entries,
                 sm_clock_format(c->this_update == NULL ? 0 : c->this_update->seconds, made),
                 sm_clock_format(c->next_update == NULL ? 0 : c->next_update->seconds, until));
}

static int run_list(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__ListCrlsRequest r;
    ProtobufCMessage *m;
    command_begin(&w, args, true);
    sealmill__v1__list_crls_request__init(&r);
    sm_err err = client_call(&w.target, CRL_SERVICE "List", &r.base,
                             &sealmill__v1__list_crls_response__descriptor, &w.arena, &m, &w.diag);
    if (sm_ok(err) && cli_has(args, "json")) {
        err = client_print_json(m);
    } else if (sm_ok(err)) {
        const Sealmill__V1__ListCrlsResponse *l = (const Sealmill__V1__ListCrlsResponse *)(void *)m;
        for (size_t i = 0; i < l->n_crls; i++) {
            command_print_crl(l->crls[i]);
        }
    }
    return command_end(&w, err);
}

static const struct cli_option list_options[] = {CLIENT_OPTIONS, {NULL, NULL, NULL}};

const struct cli_command command_crl_list = {
    "crl list",   NULL,     "List the CRLs that are published", "  sealmill crl list --dir ./ca\n",
    list_options, run_list,
};

static int run_make(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__MakeCrlRequest r;
    ProtobufCMessage *m;
    if (args->word_count != 1) {
        cli_usage("a CA's name is needed");
    }
    command_begin(&w, args, true);
    sealmill__v1__make_crl_request__init(&r);
    r.ca = sm_arena_strdup(&w.arena, sm_slice_str(args->words[0]));
    r.generation = (int32_t)cli_number(args, "generation", 0, 0, 1000000);
    r.delta = cli_has(args, "delta");
    r.partition = (int32_t)cli_number(args, "partition", 0, 0, 4096);
    sm_err err = r.ca == NULL ? SM_ERR(NO_MEMORY)
                              : client_call(&w.target, CRL_SERVICE "Make", &r.base,
                                            &sealmill__v1__crl__descriptor, &w.arena, &m, &w.diag);
    if (sm_ok(err) && cli_has(args, "json")) {
        err = client_print_json(m);
    } else if (sm_ok(err)) {
        command_print_crl((const Sealmill__V1__Crl *)(void *)m);
    }
    return command_end(&w, err);
}

static const struct cli_option make_options[] = {
    CLIENT_OPTIONS,
    {"delta", NULL, "What has changed since the last full one"},
    {"generation", "N", "Of the CA; default the current one"},
    {"partition", "N", "Of the generation; default the complete CRL"},
    {NULL, NULL, NULL},
};

const struct cli_command command_crl_make = {
    "crl make",
    "CA",
    "Make a CRL now, whether it is due or not",
    "  sealmill crl make issuing --dir ./ca\n"
    "  sealmill crl make issuing --dir ./ca --delta\n",
    make_options,
    run_make,
};
