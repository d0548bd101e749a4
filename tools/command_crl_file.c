/* SPDX-License-Identifier: Apache-2.0 */
/* crl fetch, load, show. */
#include "base/file.h"
#include "base/text.h"
#include "gen/sealmill/v1/crl.pb-c.h"
#include "tools/command_work.h"
#include "tools/commands.h"
#include "tools/crl_fetch.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CRL_SERVICE "/sealmill.v1.CrlService/"
#define PEM_MAX (UINT64_C(4) << 30)

/* ---- show ---- */

static void show(const struct cli_args *args, const struct crl_file *f, bool verified)
{
    (cli_has(args, "json") ? crl_file_print_json : crl_file_print)(f, verified);
}

static int show_file(const struct cli_args *args)
{
    struct crl_file f;
    sm_diag diag = {.reason = ""};
    const char *issuer = cli_get(args, "issuer");
    sm_err err = crl_file_open(args->words[0], &f, &diag);
    if (!sm_ok(err)) {
        return cli_fail(err, &diag);
    }
    err = issuer == NULL ? SM_NO_ERR : crl_fetch_verify_with(&f, issuer, &diag);
    if (sm_ok(err)) {
        show(args, &f, issuer != NULL);
    }
    crl_file_close(&f);
    return sm_ok(err) ? 0 : cli_fail(err, &diag);
}

/* In a file that has no name any more when it is shown. */
static sm_err show_fetched(struct command_work *w)
{
    char path[PATH_MAX];
    struct crl_file f;
    const char *folder = getenv("TMPDIR");
    int n = snprintf(path, sizeof(path), "%s/sealmill-crl-XXXXXX",
                     folder == NULL || folder[0] == '\0' ? "/tmp" : folder);
    int fd = n < 0 || (size_t)n >= sizeof(path) ? -1 : mkstemp(path);
    if (fd < 0) {
        return sm_diag_set(&w->diag, SM_ERR(DISK), "", "no file can be made in TMPDIR");
    }
    (void)close(fd);
    SM_TRY(crl_fetch(w, w->args->words[0], path, &f));
    (void)unlink(path);
    show(w->args, &f, true);
    crl_file_close(&f);
    return SM_NO_ERR;
}

/* A CA's name has neither dot nor slash; a file of that name goes before. */
static bool is_name(const char *word)
{
    return strpbrk(word, "./") == NULL && strcmp(word, "-") != 0 && access(word, F_OK) != 0;
}

static int run_show(struct cli_args *args)
{
    struct command_work w;
    if (args->word_count != 1) {
        cli_usage("a file is needed, -, or a CA's name");
    }
    if (!is_name(args->words[0])) {
        return show_file(args);
    }
    command_begin(&w, args, false);
    return command_end(&w, show_fetched(&w));
}

static const struct cli_option show_options[] = {
    CLIENT_OPTIONS,
    CRL_FETCH_OPTIONS,
    {NULL, NULL, NULL},
};

const struct cli_command command_crl_show = {
    "crl show",
    "FILE|CA",
    "Show what a CRL says: a file's (- reads standard input), or a CA's, which is fetched and "
    "verified",
    "  sealmill crl show issuing.crl --issuer issuing.pem\n"
    "  sealmill crl show issuing --dir ./ca --delta\n"
    "  curl -sS http://127.0.0.1:9002/crl/issuing.crl | sealmill crl show - --json\n",
    show_options,
    run_show,
};

/* ---- fetch ---- */

static sm_err write_pem(struct command_work *w, const char *path, sm_slice der)
{
    sm_buf pem = sm_buf_init(PEM_MAX);
    sm_pem_encode(&pem, "X509 CRL", der);
    sm_err err = sm_buf_err(&pem);
    err = sm_ok(err) ? sm_file_write_atomic(path, sm_buf_slice(&pem), 0644, &w->diag) : err;
    sm_buf_deinit(&pem);
    return err;
}

/* It is put in its place when it has been read and verified, and not before. */
static sm_err fetch_to(struct command_work *w, const char *path)
{
    char temp[PATH_MAX];
    struct crl_file crl;
    uint64_t number = 0;
    int n = snprintf(temp, sizeof(temp), "%s.part", path);
    if (n < 0 || (size_t)n >= sizeof(temp)) {
        return SM_ERR(TOO_LARGE);
    }
    SM_TRY(crl_fetch(w, w->args->words[0], temp, &crl));
    sm_err err = SM_NO_ERR;
    if (cli_has(w->args, "pem")) {
        err = write_pem(w, path, crl.der);
    } else if (rename(temp, path) != 0) {
        err = sm_diag_set(&w->diag, SM_ERR(DISK), "out", "%.200s cannot be written", path);
    }
    (void)unlink(temp); /* what was renamed is there no more */
    if (sm_ok(err)) {
        (void)crl_file_number(&crl, &number);
        (void)fprintf(stderr, "%s: number %llu, %zu entries, verified\n", path,
                      (unsigned long long)number, crl.crl.count);
    }
    crl_file_close(&crl);
    return err;
}

static int run_fetch(struct cli_args *args)
{
    struct command_work w;
    if (args->word_count != 1) {
        cli_usage("a CA's name is needed");
    }
    command_begin(&w, args, false);
    const char *path = cli_get(args, "out");
    return command_end(&w, fetch_to(&w, path == NULL ? crl_fetch_name(&w, args->words[0]) : path));
}

static const struct cli_option fetch_options[] = {
    CLIENT_OPTIONS,
    {"out", "FILE", "Where it goes; default its name, such as issuing.crl, here"},
    {"pem", NULL, "Write PEM; default DER"},
    CRL_FETCH_OPTIONS,
    {NULL, NULL, NULL},
};

const struct cli_command command_crl_fetch = {
    "crl fetch",
    "CA",
    "Fetch a published CRL, verify it, write it to a file",
    "  sealmill crl fetch issuing --dir ./ca\n"
    "  sealmill crl fetch issuing --dir ./ca --delta --pem --out delta.pem\n",
    fetch_options,
    run_fetch,
};

/* ---- load ---- */

static sm_err send_crl(struct command_work *w, ProtobufCMessage **out)
{
    Sealmill__V1__LoadCrlRequest r;
    sm_buf crl = sm_buf_init(64U << 20);
    sealmill__v1__load_crl_request__init(&r);
    r.ca = command_text(w, w->args->words[0]);
    sm_err err = sm_file_read(w->args->words[1], &crl, &w->diag);
    r.crl = (ProtobufCBinaryData){crl.len, crl.ptr};
    err = sm_ok(err) ? client_call(&w->target, CRL_SERVICE "Load", &r.base,
                                   &sealmill__v1__crl__descriptor, &w->arena, out, &w->diag)
                     : err;
    sm_buf_deinit(&crl);
    return err;
}

static int run_load(struct cli_args *args)
{
    struct command_work w;
    ProtobufCMessage *m;
    if (args->word_count != 2) {
        cli_usage("a CA's name and a file are needed");
    }
    command_begin(&w, args, true);
    sm_err err = send_crl(&w, &m);
    if (sm_ok(err) && cli_has(args, "json")) {
        err = client_print_json(m);
    } else if (sm_ok(err)) {
        command_print_crl((const Sealmill__V1__Crl *)(void *)m);
    }
    return command_end(&w, err);
}

static const struct cli_option load_options[] = {CLIENT_OPTIONS, {NULL, NULL, NULL}};

const struct cli_command command_crl_load = {
    "crl load",
    "CA FILE",
    "Publish a CRL that was made elsewhere, for a CA whose key is not here",
    "  sealmill crl load acme-root root.crl --dir ./ca\n",
    load_options,
    run_load,
};
