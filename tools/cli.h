/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: commands, their options, help, completion.
 *
 * Threads:   main.
 * Limits:    CLI_VALUES_MAX repetitions of an option.
 * Security:  secrets never come by argv.
 * Standards: GNU long options; exit 0 done, 1 failed, 2 wrong usage.
 */
#pragma once

#include "base/diag.h"

#include <stddef.h>

#define CLI_VALUES_MAX 32
#define CLI_OPTIONS_MAX 24

struct cli_option {
    const char *name;  /* without dashes */
    const char *value; /* the value's word in help; NULL: a switch */
    const char *help;
};

struct cli_args {
    const struct cli_option *options;
    const char *values[CLI_OPTIONS_MAX][CLI_VALUES_MAX];
    size_t counts[CLI_OPTIONS_MAX];
    const char *words[CLI_VALUES_MAX];
    size_t word_count;
};

struct cli_command {
    const char *name;  /* "ca create" */
    const char *words; /* "SERIAL", or NULL */
    const char *summary;
    const char *examples;
    const struct cli_option *options; /* ends with name NULL */
    int (*run)(struct cli_args *args);
};

/* The last value of an option; NULL when it was not given. */
const char *cli_get(const struct cli_args *args, const char *name);
size_t cli_count(const struct cli_args *args, const char *name);
const char *cli_at(const struct cli_args *args, const char *name, size_t at);
bool cli_has(const struct cli_args *args, const char *name);
/* A whole number in a range, or `fallback` when it was not given; exits 2 with a sentence when
 * it is wrong. */
long cli_number(const struct cli_args *args, const char *name, long fallback, long low, long high);

/* Prints the completion script of "bash", "zsh" or "fish"; false for another shell. */
bool cli_print_completion(const char *shell, const struct cli_command *const *commands,
                          size_t count);
/* The command that does so; it is one of those of cli_main. */
extern const struct cli_command command_completion;

/* Finds the command, parses its options, runs it. */
int cli_main(int argc, char **argv, const struct cli_command *const *commands, size_t count);

/* Prints "sealmill: ..." for an error and returns 1. */
int cli_fail(sm_err err, const sm_diag *diag);
/* Prints a usage error and exits 2. */
__attribute__((noreturn, format(printf, 1, 2))) void cli_usage(const char *fmt, ...);
