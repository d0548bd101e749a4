/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cli.h"

#include "base/version.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t find_option(const struct cli_option *options, const char *name, size_t len)
{
    size_t i = 0;
    while (options[i].name != NULL &&
           (strncmp(options[i].name, name, len) != 0 || options[i].name[len] != '\0')) {
        i++;
    }
    return i;
}

static size_t index_of(const struct cli_args *args, const char *name)
{
    size_t at = find_option(args->options, name, strlen(name));
    return args->options[at].name == NULL ? CLI_OPTIONS_MAX : at;
}

size_t cli_count(const struct cli_args *args, const char *name)
{
    size_t at = index_of(args, name);
    return at == CLI_OPTIONS_MAX ? 0 : args->counts[at];
}

const char *cli_at(const struct cli_args *args, const char *name, size_t i)
{
    return args->values[index_of(args, name)][i];
}

const char *cli_get(const struct cli_args *args, const char *name)
{
    size_t n = cli_count(args, name);
    return n == 0 ? NULL : cli_at(args, name, n - 1);
}

bool cli_has(const struct cli_args *args, const char *name)
{
    return cli_count(args, name) > 0;
}

void cli_usage(const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    (void)fprintf(stderr, "sealmill: ");
    (void)vfprintf(stderr, fmt, list);
    (void)fprintf(stderr, "\n");
    va_end(list);
    exit(2);
}

long cli_number(const struct cli_args *args, const char *name, long fallback, long low, long high)
{
    const char *text = cli_get(args, name);
    char *end;
    if (text == NULL) {
        return fallback;
    }
    long v = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || v < low || v > high) {
        cli_usage("--%s wants a number from %ld to %ld, not \"%s\"", name, low, high, text);
    }
    return v;
}

int cli_fail(sm_err err, const sm_diag *diag)
{
    const char *reason = diag != NULL && diag->reason[0] != '\0' ? diag->reason : sm_err_words(err);
    bool field = diag != NULL && diag->field[0] != '\0';
    (void)fprintf(stderr, "sealmill: %s%s%s\n", field ? diag->field : "", field ? ": " : "",
                  reason);
    return 1;
}

static void print_command_help(const struct cli_command *c)
{
    (void)printf("%s\n\nUsage: sealmill %s%s%s [options]\n\nOptions:\n", c->summary, c->name,
                 c->words == NULL ? "" : " ", c->words == NULL ? "" : c->words);
    for (size_t i = 0; c->options[i].name != NULL; i++) {
        char left[64];
        (void)snprintf(left, sizeof(left), "--%s%s%s", c->options[i].name,
                       c->options[i].value == NULL ? "" : " ",
                       c->options[i].value == NULL ? "" : c->options[i].value);
        (void)printf("  %-28s %s\n", left, c->options[i].help);
    }
    (void)printf("  %-28s %s\n", "--help", "Show this");
    if (c->examples != NULL) {
        (void)printf("\nExamples:\n%s", c->examples);
    }
}

static void print_help(const struct cli_command *const *commands, size_t count)
{
    (void)printf("sealmill %s - a certificate-signing service\n\nUsage: sealmill COMMAND "
                 "[options]\n\nCommands:\n",
                 SM_VERSION);
    for (size_t i = 0; i < count; i++) {
        (void)printf("  %-18s %s\n", commands[i]->name, commands[i]->summary);
    }
    (void)printf(
        "\nExamples:\n"
        "  sealmill dev --dir ./ca                      # a CA to try, on ports 9000 to 9003\n"
        "  sealmill issue --dir ./ca --profile device --csr dev.csr --out dev.pem\n"
        "  sealmill serve --config /etc/sealmill/sealmill.yaml\n\n"
        "sealmill help COMMAND, or COMMAND --help, tells more of one.\n");
}

/* What cli_main was given; for the commands that are about commands. */
static const struct cli_command *const *all_commands;
static size_t all_count;

static int run_completion(struct cli_args *args)
{
    const char *shell = args->word_count == 0 ? "bash" : args->words[0];
    if (args->word_count > 1 || !cli_print_completion(shell, all_commands, all_count)) {
        cli_usage("completion is made for bash, zsh and fish");
    }
    return 0;
}

static const struct cli_option no_options[] = {{NULL, NULL, NULL}};

const struct cli_command command_completion = {
    "completion",
    "[SHELL]",
    "Print a completion script for bash, zsh or fish",
    "  source <(sealmill completion bash)\n"
    "  sealmill completion zsh >~/.zfunc/_sealmill\n"
    "  sealmill completion fish >~/.config/fish/completions/sealmill.fish\n",
    no_options,
    run_completion,
};

static void add_value(struct cli_args *args, size_t at, const char *value)
{
    if (args->counts[at] == CLI_VALUES_MAX) {
        cli_usage("--%s is given too often", args->options[at].name);
    }
    args->values[at][args->counts[at]++] = value;
}

/* One argument; returns how many of argv were used. */
static int parse_one(const struct cli_command *c, struct cli_args *args, int left, char **argv)
{
    const char *arg = argv[0];
    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0') {
        if (c->words == NULL || args->word_count == CLI_VALUES_MAX) {
            cli_usage("unexpected argument \"%s\" (sealmill %s --help)", arg, c->name);
        }
        args->words[args->word_count++] = arg;
        return 1;
    }
    const char *equals = strchr(arg, '=');
    size_t len = equals == NULL ? strlen(arg + 2) : (size_t)(equals - arg - 2);
    size_t at = find_option(c->options, arg + 2, len);
    if (c->options[at].name == NULL) {
        cli_usage("unknown option \"%s\" (sealmill %s --help)", arg, c->name);
    }
    if (c->options[at].value == NULL) {
        add_value(args, at, "");
        return 1;
    }
    if (equals != NULL) {
        add_value(args, at, equals + 1);
        return 1;
    }
    if (left < 2) {
        cli_usage("--%s wants %s", c->options[at].name, c->options[at].value);
    }
    add_value(args, at, argv[1]);
    return 2;
}

static int run_command(const struct cli_command *c, int argc, char **argv)
{
    static struct cli_args args;
    args.options = c->options;
    for (int i = 0; i < argc;) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_command_help(c);
            return 0;
        }
        i += parse_one(c, &args, argc - i, argv + i);
    }
    return c->run(&args);
}

/* The command whose words stand at the start of argv; the longest wins. */
static const struct cli_command *find_command(int argc, char **argv,
                                              const struct cli_command *const *commands,
                                              size_t count, int *used)
{
    const struct cli_command *best = NULL;
    *used = 0;
    for (size_t i = 0; i < count; i++) {
        char two[128];
        (void)snprintf(two, sizeof(two), "%s %s", argv[1], argc > 2 ? argv[2] : "");
        bool one_word = strcmp(commands[i]->name, argv[1]) == 0;
        bool two_words = argc > 2 && strcmp(commands[i]->name, two) == 0;
        if (two_words || (one_word && *used < 1)) {
            best = commands[i];
            *used = two_words ? 2 : 1;
        }
    }
    return best;
}

/* "ca" is no command, but begins some. */
__attribute__((noreturn)) static void refuse_command(const char *word)
{
    char list[256];
    size_t at = 0;
    size_t len = strlen(word);
    for (size_t i = 0; i < all_count; i++) {
        const char *name = all_commands[i]->name;
        if (strncmp(name, word, len) == 0 && name[len] == ' ' &&
            at + strlen(name) + 3 < sizeof(list)) {
            at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", at == 0 ? "" : ", ", name);
        }
    }
    if (at > 0) {
        cli_usage("\"%s\" is not the whole command: %s", word, list);
    }
    cli_usage("there is no command \"%s\" (sealmill --help lists them)", word);
}

/* `help`, or `help COMMAND`. */
static int run_help(int argc, char **argv)
{
    int used;
    if (argc < 3) {
        print_help(all_commands, all_count);
        return 0;
    }
    const struct cli_command *c = find_command(argc - 1, argv + 1, all_commands, all_count, &used);
    if (c == NULL) {
        refuse_command(argv[2]);
    }
    print_command_help(c);
    return 0;
}

int cli_main(int argc, char **argv, const struct cli_command *const *commands, size_t count)
{
    all_commands = commands;
    all_count = count;
    if (argc < 2) {
        print_help(commands, count);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        return run_help(argc, argv);
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("sealmill %s\n", SM_VERSION);
        return 0;
    }
    int used;
    const struct cli_command *c = find_command(argc, argv, commands, count, &used);
    if (c == NULL) {
        refuse_command(argv[1]);
    }
    return run_command(c, argc - 1 - used, argv + 1 + used);
}
