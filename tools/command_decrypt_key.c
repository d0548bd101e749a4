/* SPDX-License-Identifier: Apache-2.0 */
/* decrypt-key add, list, remove. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "gen/sealmill/v1/decrypt_key.pb-c.h"
#include "sign/cms.h"
#include "tools/command_work.h"
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>

#define SERVICE "/sealmill.v1.DecryptKeyService/"
#define SECRET_DIGITS_MAX 64 /* AES-256 in hex */
#define FILE_MAX (1U << 20)

/* ---- decrypt-key add ---- */

/* Secrets come in hex by a file or standard input ("-"), never as a word. */
static sm_err read_secret(struct command_work *w, const char *path, sm_buf *out)
{
    char line[SECRET_DIGITS_MAX + 8] = "";
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    bool read = f != NULL && fgets(line, sizeof(line), f) != NULL;
    if (f != NULL && f != stdin) {
        (void)fclose(f);
    }
    line[strcspn(line, " \t\r\n")] = '\0';
    sm_err err = read ? sm_hex_decode(out, sm_slice_str(line), true) : SM_ERR(INVALID);
    sm_wipe(line, sizeof(line));
    return sm_ok(err) ? err
                      : sm_diag_set(&w->diag, err, "secret-file",
                                    "%s wants a key of AES in one line of hex", path);
}

/* DER, or the first of this label in PEM. */
static sm_err read_object(struct command_work *w, const char *option, const char *wanted,
                          sm_buf *out)
{
    const char *path = cli_get(w->args, option);
    sm_buf file = sm_buf_init(FILE_MAX);
    sm_err err = sm_file_read(path, &file, &w->diag);
    sm_slice rest = sm_buf_slice(&file);
    if (sm_ok(err) && rest.len > 0 && rest.ptr[0] == 0x30) {
        sm_buf_put(out, rest);
        err = sm_buf_err(out);
    } else if (sm_ok(err)) {
        sm_slice label = SM_SLICE_NONE;
        err = sm_pem_next(&rest, &label, out);
        err = sm_ok(err) && sm_slice_equal(label, sm_slice_str(wanted))
                  ? err
                  : sm_diag_set(&w->diag, SM_ERR(INVALID), option, "%s has no %s", path, wanted);
    }
    sm_buf_deinit(&file);
    return err;
}

static sm_err read_key(struct command_work *w, Sealmill__V1__CreateDecryptKeyRequest *r,
                       sm_buf *octets)
{
    ProtobufCBinaryData *field = &r->secret;
    sm_err err;
    if (cli_has(w->args, "certificate")) {
        field = &r->certificate;
        err = read_object(w, "certificate", "CERTIFICATE", octets);
    } else if (cli_has(w->args, "public-key")) {
        field = &r->public_key;
        err = read_object(w, "public-key", "PUBLIC KEY", octets);
    } else {
        err = read_secret(w, cli_get(w->args, "secret-file"), octets);
    }
    field->data = octets->ptr;
    field->len = octets->len;
    return err;
}

static void print_key(const Sealmill__V1__DecryptKey *k)
{
    char at[SM_RFC3339_SIZE];
    (void)printf("%s  %-8s  %s  %s\n", k->id, k->type,
                 sm_clock_format(k->created_at == NULL ? 0 : k->created_at->seconds, at), k->label);
}

static int run_add(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__CreateDecryptKeyRequest r;
    ProtobufCMessage *m;
    sm_buf octets = sm_buf_init_secret(FILE_MAX);
    if (cli_has(args, "certificate") + cli_has(args, "public-key") + cli_has(args, "secret-file") !=
            1 ||
        args->word_count > 1) {
        cli_usage("one of --certificate, --public-key and --secret-file is wanted");
    }
    command_begin(&w, args, true);
    sealmill__v1__create_decrypt_key_request__init(&r);
    r.id = command_text(&w, args->word_count == 0 ? "" : args->words[0]);
    r.label = command_text(&w, cli_get(args, "label"));
    sm_err err = read_key(&w, &r, &octets);
    err = sm_ok(err) ? client_call(&w.target, SERVICE "Create", &r.base,
                                   &sealmill__v1__decrypt_key__descriptor, &w.arena, &m, &w.diag)
                     : err;
    sm_buf_deinit(&octets);
    if (sm_ok(err) && cli_has(args, "json")) {
        err = client_print_json(m);
    } else if (sm_ok(err)) {
        print_key((const Sealmill__V1__DecryptKey *)(void *)m);
    }
    return command_end(&w, err);
}

static const struct cli_option add_options[] = {
    CLIENT_OPTIONS,
    {"secret-file", "FILE",
     "A key of AES in one line of hex, that the device has too; - for standard input"},
    {"certificate", "FILE", "The device's certificate for encryption, PEM or DER"},
    {"public-key", "FILE", "Its public key, PEM or DER: RSA, P-256, P-384 or P-521"},
    {"label", "NAME", "For this enrolment label alone"},
    {NULL, NULL, NULL},
};

const struct cli_command command_decrypt_key_add = {
    "decrypt-key add",
    "[ID]",
    "Register a key that private keys made here are encrypted with; ID, in hex, is what requests "
    "name it by",
    "  sealmill decrypt-key add --dir ./ca --certificate dev7.pem\n"
    "  openssl rand -hex 32 > dev7.key; sealmill decrypt-key add 64657637 --dir ./ca --secret-file "
    "dev7.key\n",
    add_options,
    run_add,
};

/* ---- decrypt-key list, remove ---- */

static int run_list(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__ListDecryptKeysRequest r;
    ProtobufCMessage *m;
    sm_err err;
    command_begin(&w, args, true);
    sealmill__v1__list_decrypt_keys_request__init(&r);
    do {
        err = client_call(&w.target, SERVICE "List", &r.base,
                          &sealmill__v1__list_decrypt_keys_response__descriptor, &w.arena, &m,
                          &w.diag);
        if (!sm_ok(err)) {
            break;
        }
        const Sealmill__V1__ListDecryptKeysResponse *page =
            (const Sealmill__V1__ListDecryptKeysResponse *)(void *)m;
        if (cli_has(args, "json")) {
            err = client_print_json(m);
        }
        for (size_t i = 0; i < page->n_keys && !cli_has(args, "json"); i++) {
            print_key(page->keys[i]);
        }
        r.page_token = page->next_page_token;
    } while (sm_ok(err) && r.page_token[0] != '\0');
    return command_end(&w, err);
}

static const struct cli_option list_options[] = {CLIENT_OPTIONS, {NULL, NULL, NULL}};

const struct cli_command command_decrypt_key_list = {
    "decrypt-key list",
    NULL,
    "List the keys that private keys are encrypted with",
    "  sealmill decrypt-key list --dir ./ca\n",
    list_options,
    run_list,
};

static int run_remove(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__DeleteDecryptKeyRequest r;
    ProtobufCMessage *m;
    command_begin(&w, args, true);
    sealmill__v1__delete_decrypt_key_request__init(&r);
    r.id = command_word(&w, "an identifier");
    sm_err err = client_call(&w.target, SERVICE "Delete", &r.base,
                             &sealmill__v1__delete_decrypt_key_response__descriptor, &w.arena, &m,
                             &w.diag);
    return command_end(&w, err);
}

static const struct cli_option remove_options[] = {CLIENT_OPTIONS, {NULL, NULL, NULL}};

const struct cli_command command_decrypt_key_remove = {
    "decrypt-key remove",
    "ID",
    "Forget a key that private keys are encrypted with",
    "  sealmill decrypt-key remove 64657637 --dir ./ca\n",
    remove_options,
    run_remove,
};
