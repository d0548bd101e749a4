/* SPDX-License-Identifier: Apache-2.0 */
/* crl fetch, load, show. */
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "gen/sealmill/v1/crl.pb-c.h"
#include "tools/command_work.h"
#include "tools/commands.h"
#include "tools/crl_file.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CRL_SERVICE "/sealmill.v1.CrlService/"
#define CERT_FILE_MAX (1U << 20)
#define PEM_MAX (UINT64_C(4) << 30)

/* ---- show ---- */

static sm_err verify_with_file(const struct crl_file *f, const char *path, sm_diag *diag)
{
    sm_buf cert = sm_buf_init(CERT_FILE_MAX);
    sm_err err = sm_file_read(path, &cert, diag);
    err = sm_ok(err) ? crl_file_verify(f, sm_buf_slice(&cert), diag) : err;
    sm_buf_deinit(&cert);
    return err;
}

static int run_show(struct cli_args *args)
{
    struct crl_file f;
    sm_diag diag = {.reason = ""};
    const char *issuer = cli_get(args, "issuer");
    if (args->word_count != 1) {
        cli_usage("a file is needed, or -");
    }
    sm_err err = crl_file_open(args->words[0], &f, &diag);
    if (!sm_ok(err)) {
        return cli_fail(err, &diag);
    }
    err = issuer == NULL ? SM_NO_ERR : verify_with_file(&f, issuer, &diag);
    if (sm_ok(err)) {
        (cli_has(args, "json") ? crl_file_print_json : crl_file_print)(&f, issuer != NULL);
    }
    crl_file_close(&f);
    return sm_ok(err) ? 0 : cli_fail(err, &diag);
}

static const struct cli_option show_options[] = {
    {"issuer", "FILE", "The CA's certificate, PEM or DER: the signature is verified with it"},
    {"json", NULL, "Print JSON"},
    {NULL, NULL, NULL},
};

const struct cli_command command_crl_show = {
    "crl show",
    "FILE",
    "Show what a CRL says (- reads standard input)",
    "  sealmill crl show issuing.crl --issuer issuing.pem\n"
    "  curl -sS http://127.0.0.1:9002/crl/issuing.crl | sealmill crl show - --json\n",
    show_options,
    run_show,
};

/* ---- fetch ---- */

struct fetch {
    struct command_work w;
    char *name;       /* as the server has it */
    const char *path; /* where it goes */
    char temp[PATH_MAX];
    FILE *out;
    uint64_t number;
    sm_slice issuer; /* DER, the server's */
};

static sm_err disk(struct fetch *f)
{
    return sm_diag_set(&f->w.diag, SM_ERR(DISK), "out", "%.200s cannot be written", f->temp);
}

/* Piece after piece of one CRL. */
static sm_err fetch_pieces(struct fetch *f)
{
    Sealmill__V1__GetCrlRequest r;
    uint64_t size = 0;
    sealmill__v1__get_crl_request__init(&r);
    r.file = f->name;
    do {
        ProtobufCMessage *m;
        sm_arena arena;
        sm_arena_init(&arena, 8U << 20);
        sm_err err = client_call(&f->w.target, CRL_SERVICE "Get", &r.base,
                                 &sealmill__v1__get_crl_response__descriptor,
                                 r.offset == 0 ? &f->w.arena : &arena, &m, &f->w.diag);
        if (sm_ok(err)) {
            const Sealmill__V1__GetCrlResponse *got = (const Sealmill__V1__GetCrlResponse *)(void *)
                m;
            f->issuer = r.offset == 0 ? sm_slice_of(got->issuer.data, got->issuer.len) : f->issuer;
            err = fwrite(got->piece.data, 1, got->piece.len, f->out) == got->piece.len ? SM_NO_ERR
                                                                                       : disk(f);
            r.number = got->number;
            r.offset += got->piece.len;
            size = got->piece.len == 0 ? r.offset : got->size;
        }
        sm_arena_deinit(&arena);
        SM_TRY(err);
    } while (r.offset < size);
    f->number = r.number;
    return fflush(f->out) == 0 ? SM_NO_ERR : disk(f);
}

/* Another one may take its place while it is fetched: once is chance, twice is asked again by hand. */
static sm_err fetch_whole(struct fetch *f)
{
    sm_err err = fetch_pieces(f);
    if (sm_err_is(err, SM_E_CONFLICT)) {
        sm_diag_clear(&f->w.diag);
        rewind(f->out);
        err = ftruncate(fileno(f->out), 0) == 0 ? fetch_pieces(f) : disk(f);
    }
    return err;
}

static sm_err check(struct fetch *f, const struct crl_file *crl)
{
    const char *own = cli_get(f->w.args, "issuer");
    SM_TRY(own != NULL ? verify_with_file(crl, own, &f->w.diag)
                       : crl_file_verify(crl, f->issuer, &f->w.diag));
    return crl->crl.next_update == 0 || crl->crl.next_update > sm_clock_wall_s()
               ? SM_NO_ERR
               : sm_diag_set(&f->w.diag, SM_ERR(PRECONDITION), "crl", "its nextUpdate has passed");
}

static sm_err write_pem(struct fetch *f, sm_slice der)
{
    sm_buf pem = sm_buf_init(PEM_MAX);
    sm_pem_encode(&pem, "X509 CRL", der);
    sm_err err = sm_buf_err(&pem);
    err = sm_ok(err) ? sm_file_write_atomic(f->path, sm_buf_slice(&pem), 0644, &f->w.diag) : err;
    sm_buf_deinit(&pem);
    return err;
}

/* It is put in its place when it has been read and verified, and not before. */
static sm_err keep(struct fetch *f)
{
    struct crl_file crl;
    SM_TRY(crl_file_open(f->temp, &crl, &f->w.diag));
    sm_err err = check(f, &crl);
    if (sm_ok(err) && cli_has(f->w.args, "pem")) {
        err = write_pem(f, crl.der);
    } else if (sm_ok(err)) {
        err = rename(f->temp, f->path) == 0 ? SM_NO_ERR : disk(f);
    }
    if (sm_ok(err)) {
        (void)fprintf(stderr, "%s: number %llu, %zu entries, verified\n", f->path,
                      (unsigned long long)f->number, crl.crl.count);
    }
    crl_file_close(&crl);
    return err;
}

static sm_err fetch_to_file(struct fetch *f)
{
    int n = snprintf(f->temp, sizeof(f->temp), "%s.part", f->path);
    if (n < 0 || (size_t)n >= sizeof(f->temp)) {
        return SM_ERR(TOO_LARGE);
    }
    f->out = fopen(f->temp, "w+e");
    if (f->out == NULL) {
        return disk(f);
    }
    sm_err err = fetch_whole(f);
    err = sm_ok(err) ? keep(f) : err;
    (void)fclose(f->out);
    (void)unlink(f->temp); /* what was renamed is there no more */
    return err;
}

/* NAME, or NAME.N, NAME.N.pPPPP, each with .delta: see crl.h of api. */
static char *name_of(struct command_work *w, const char *ca)
{
    const struct cli_args *args = w->args;
    char name[160];
    long generation = cli_number(args, "generation", 0, 0, 1000000);
    long partition = cli_number(args, "partition", 0, 0, 4096);
    int n = snprintf(name, sizeof(name), "%.63s", ca);
    if (generation > 0) {
        n += snprintf(name + n, sizeof(name) - (size_t)n, ".%ld", generation);
    }
    if (partition > 0) {
        n += snprintf(name + n, sizeof(name) - (size_t)n, ".p%04ld", partition);
    }
    (void)snprintf(name + n, sizeof(name) - (size_t)n, "%s.crl",
                   cli_has(args, "delta") ? ".delta" : "");
    return command_text(w, name);
}

static int run_fetch(struct cli_args *args)
{
    struct fetch f = {.number = 0};
    if (args->word_count != 1) {
        cli_usage("a CA's name is needed");
    }
    command_begin(&f.w, args, false);
    f.name = name_of(&f.w, args->words[0]);
    f.path = cli_get(args, "out") == NULL ? f.name : cli_get(args, "out");
    return command_end(&f.w, fetch_to_file(&f));
}

static const struct cli_option fetch_options[] = {
    CLIENT_OPTIONS,
    {"out", "FILE", "Where it goes; default its name, such as issuing.crl, here"},
    {"pem", NULL, "Write PEM; default DER"},
    {"delta", NULL, "The delta CRL"},
    {"generation", "N", "Of the CA; default the current one"},
    {"partition", "N", "Of the generation; default the complete CRL"},
    {"issuer", "FILE", "Verify with this certificate; default the one that the server has"},
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
