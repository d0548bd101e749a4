/* SPDX-License-Identifier: Apache-2.0 */
/* Completion scripts for bash, zsh and fish, made from the table of commands. */
#include "tools/cli.h"

#include <stdio.h>
#include <string.h>

/* Octets of the first word: "ca" of "ca create". */
static size_t first_len(const struct cli_command *c)
{
    return strcspn(c->name, " ");
}

/* "create" of "ca create"; NULL for a command of one word. */
static const char *second_word(const struct cli_command *c)
{
    const char *space = strchr(c->name, ' ');
    return space == NULL ? NULL : space + 1;
}

static bool same_first(const struct cli_command *a, const struct cli_command *b)
{
    return first_len(a) == first_len(b) && strncmp(a->name, b->name, first_len(a)) == 0;
}

/* No command before it has the same first word. */
static bool is_first_of_its_word(const struct cli_command *const *commands, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (same_first(commands[i], commands[at])) {
            return false;
        }
    }
    return true;
}

/* Text inside single quotes: bash, zsh and fish agree on '\'' alone. `colon`: zsh's _describe takes
 * a ':' for the end of the word. */
static void put_quoted(const char *text, bool colon)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            (void)printf("'\\''");
        } else if (*text == ':' && colon) {
            (void)printf("\\:");
        } else {
            (void)putchar(*text);
        }
    }
}

/* ---- bash ---- */

static void bash_options(const struct cli_command *c)
{
    for (size_t i = 0; c->options[i].name != NULL; i++) {
        (void)printf("--%s ", c->options[i].name);
    }
    (void)printf("--help");
}

static void print_bash(const struct cli_command *const *commands, size_t count)
{
    (void)printf("_sealmill() {\n"
                 "    local words=\"${COMP_WORDS[*]:1:COMP_CWORD-1}\" known=\n"
                 "    case $words in\n"
                 "        '') known='");
    for (size_t i = 0; i < count; i++) {
        if (is_first_of_its_word(commands, i)) {
            (void)printf("%.*s ", (int)first_len(commands[i]), commands[i]->name);
        }
    }
    (void)printf("help' ;;\n");
    for (size_t i = 0; i < count; i++) {
        if (second_word(commands[i]) == NULL || !is_first_of_its_word(commands, i)) {
            continue;
        }
        (void)printf("        '%.*s') known='", (int)first_len(commands[i]), commands[i]->name);
        for (size_t j = i; j < count; j++) {
            if (same_first(commands[i], commands[j])) {
                (void)printf("%s ", second_word(commands[j]));
            }
        }
        (void)printf("' ;;\n");
    }
    for (size_t i = 0; i < count; i++) {
        (void)printf("        '%s' | '%s '*) known='", commands[i]->name, commands[i]->name);
        bash_options(commands[i]);
        (void)printf("' ;;\n");
    }
    /* What matches nothing is left to the completion of file names. */
    (void)printf("    esac\n"
                 "    COMPREPLY=($(compgen -W \"$known\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
                 "}\n"
                 "complete -o default -F _sealmill sealmill\n");
}

/* ---- zsh ---- */

static void zsh_entry(const char *dashes, const char *word, size_t len, const char *help)
{
    (void)printf(" '%s%.*s:", dashes, (int)len, word);
    put_quoted(help, true);
    (void)printf("'");
}

static void zsh_words(const struct cli_command *const *commands, size_t count)
{
    (void)printf("        '') known=(");
    for (size_t i = 0; i < count; i++) {
        if (is_first_of_its_word(commands, i)) {
            zsh_entry("", commands[i]->name, first_len(commands[i]),
                      second_word(commands[i]) == NULL ? commands[i]->summary : "");
        }
    }
    (void)printf(" ) ;;\n");
    for (size_t i = 0; i < count; i++) {
        if (second_word(commands[i]) == NULL || !is_first_of_its_word(commands, i)) {
            continue;
        }
        (void)printf("        '%.*s') known=(", (int)first_len(commands[i]), commands[i]->name);
        for (size_t j = i; j < count; j++) {
            if (same_first(commands[i], commands[j])) {
                const char *word = second_word(commands[j]);
                zsh_entry("", word, strlen(word), commands[j]->summary);
            }
        }
        (void)printf(" ) ;;\n");
    }
}

static void print_zsh(const struct cli_command *const *commands, size_t count)
{
    (void)printf("#compdef sealmill\n"
                 "compdef _sealmill sealmill\n"
                 "_sealmill() {\n"
                 "    local before=\"${(j: :)words[2,CURRENT-1]}\"\n"
                 "    local -a known\n"
                 "    case $before in\n");
    zsh_words(commands, count);
    for (size_t i = 0; i < count; i++) {
        const struct cli_command *c = commands[i];
        (void)printf("        '%s' | '%s '*) known=(", c->name, c->name);
        for (size_t j = 0; c->options[j].name != NULL; j++) {
            zsh_entry("--", c->options[j].name, strlen(c->options[j].name), c->options[j].help);
        }
        zsh_entry("--", "help", 4, "Show the options");
        (void)printf(" ) ;;\n");
    }
    (void)printf("    esac\n"
                 "    if (( ! $#known )) || [[ $known[1] == --* && $PREFIX != -* ]]; then\n"
                 "        _files\n"
                 "    else\n"
                 "        _describe sealmill known\n"
                 "    fi\n"
                 "}\n"
                 "if [ \"$funcstack[1]\" = _sealmill ]; then _sealmill \"$@\"; fi\n");
}

/* ---- fish ---- */

static void fish_word(const char *after, size_t after_len, const char *word, size_t len,
                      const char *help)
{
    (void)printf("complete -c sealmill -n '__sealmill_is %.*s' -f -a '%.*s'", (int)after_len, after,
                 (int)len, word);
    if (help != NULL) {
        (void)printf(" -d '");
        put_quoted(help, false);
        (void)printf("'");
    }
    (void)printf("\n");
}

static void fish_options(const struct cli_command *c)
{
    for (size_t i = 0; c->options[i].name != NULL; i++) {
        (void)printf("complete -c sealmill -n '__sealmill_begins %s' -l %s%s -d '", c->name,
                     c->options[i].name, c->options[i].value == NULL ? "" : " -r");
        put_quoted(c->options[i].help, false);
        (void)printf("'\n");
    }
}

static void print_fish(const struct cli_command *const *commands, size_t count)
{
    (void)printf("function __sealmill_is\n"
                 "    set -l words (commandline -opc)\n"
                 "    set -e words[1]\n"
                 "    test \"$words\" = \"$argv\"\n"
                 "end\n"
                 "function __sealmill_begins\n"
                 "    set -l words (commandline -opc)\n"
                 "    set -e words[1]\n"
                 "    string match -q -- \"$argv *\" \"$words \"\n"
                 "end\n");
    for (size_t i = 0; i < count; i++) {
        const struct cli_command *c = commands[i];
        const char *second = second_word(c);
        if (is_first_of_its_word(commands, i)) {
            fish_word("", 0, c->name, first_len(c), second == NULL ? c->summary : NULL);
        }
        if (second != NULL) {
            fish_word(c->name, first_len(c), second, strlen(second), c->summary);
        }
        fish_options(c);
    }
}

bool cli_print_completion(const char *shell, const struct cli_command *const *commands,
                          size_t count)
{
    static const struct {
        const char *name;
        void (*print)(const struct cli_command *const *commands, size_t count);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].print(commands, count);
            return true;
        }
    }
    return false;
}
