/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/crl_fetch.h"

#include "base/clock.h"
#include "base/file.h"
#include "gen/sealmill/v1/crl.pb-c.h"

#include <stdio.h>
#include <unistd.h>

#define CRL_SERVICE "/sealmill.v1.CrlService/"
#define CERT_FILE_MAX (1U << 20)
#define CLOCKS_APART_S 300 /* between the server and here */

struct fetch {
    struct command_work *w;
    char *name; /* as the server has it */
    const char *path;
    FILE *out;
    uint64_t number; /* that the server says it has */
    sm_slice issuer; /* DER, the server's */
};

static sm_err disk(struct fetch *f)
{
    return sm_diag_set(&f->w->diag, SM_ERR(DISK), "out", "%.200s cannot be written", f->path);
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
        sm_err err = client_call(&f->w->target, CRL_SERVICE "Get", &r.base,
                                 &sealmill__v1__get_crl_response__descriptor,
                                 r.offset == 0 ? &f->w->arena : &arena, &m, &f->w->diag);
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
    return fflush(f->out) == 0 && fsync(fileno(f->out)) == 0 ? SM_NO_ERR : disk(f);
}

/* Another one may take its place while it is fetched: once is chance, twice is asked again by hand. */
static sm_err fetch_whole(struct fetch *f)
{
    sm_err err = fetch_pieces(f);
    if (sm_err_is(err, SM_E_CONFLICT)) {
        sm_diag_clear(&f->w->diag);
        rewind(f->out);
        err = ftruncate(fileno(f->out), 0) == 0 ? fetch_pieces(f) : disk(f);
    }
    return err;
}

/* ---- what came ---- */

sm_err crl_fetch_verify_with(const struct crl_file *file, const char *cert_path, sm_diag *diag)
{
    sm_buf cert = sm_buf_init(CERT_FILE_MAX);
    sm_err err = sm_file_read(cert_path, &cert, diag);
    err = sm_ok(err) ? crl_file_verify(file, sm_buf_slice(&cert), diag) : err;
    sm_buf_deinit(&cert);
    return err;
}

static sm_err refuse(struct fetch *f, const char *why)
{
    return sm_diag_set(&f->w->diag, SM_ERR(PRECONDITION), "crl", "%s", why);
}

/* An older one with a good signature is not an answer, nor is another partition's. */
static sm_err check_kind(struct fetch *f, const struct crl_file *crl)
{
    long partition = cli_number(f->w->args, "partition", 0, 0, 4096);
    uint64_t number;
    char ending[16];
    if (crl->crl.is_delta != cli_has(f->w->args, "delta")) {
        return refuse(f, crl->crl.is_delta ? "it is a delta CRL" : "it is not a delta CRL");
    }
    if (!crl_file_number(crl, &number) || number != f->number) {
        return refuse(f, "its number is not the one that the server says: it is another CRL");
    }
    (void)snprintf(ending, sizeof(ending), ".p%04ld.crl", partition);
    return partition == 0 || crl_file_is_of(crl, sm_slice_str(ending))
               ? SM_NO_ERR
               : refuse(f, "its issuingDistributionPoint is not the partition's");
}

static sm_err check_times(struct fetch *f, const struct crl_file *crl)
{
    int64_t now = sm_clock_wall_s();
    if (crl->crl.this_update > now + CLOCKS_APART_S) {
        return refuse(f, "its thisUpdate is in the future");
    }
    return crl->crl.next_update == 0 || crl->crl.next_update > now
               ? SM_NO_ERR
               : refuse(f, "its nextUpdate has passed");
}

static sm_err check(struct fetch *f, const struct crl_file *crl)
{
    const char *own = cli_get(f->w->args, "issuer");
    SM_TRY(own != NULL ? crl_fetch_verify_with(crl, own, &f->w->diag)
                       : crl_file_verify(crl, f->issuer, &f->w->diag));
    SM_TRY(check_kind(f, crl));
    return check_times(f, crl);
}

static sm_err open_checked(struct fetch *f, struct crl_file *out)
{
    struct crl_file crl;
    SM_TRY(crl_file_open(f->path, &crl, &f->w->diag));
    sm_err err = check(f, &crl);
    if (!sm_ok(err)) {
        crl_file_close(&crl);
        return err;
    }
    *out = crl;
    return SM_NO_ERR;
}

sm_err crl_fetch(struct command_work *w, const char *ca, const char *path, struct crl_file *out)
{
    struct fetch f = {.w = w, .name = crl_fetch_name(w, ca), .path = path};
    f.out = fopen(path, "w+e");
    if (f.out == NULL) {
        return disk(&f);
    }
    sm_err err = fetch_whole(&f);
    err = fclose(f.out) == 0 || !sm_ok(err) ? err : disk(&f);
    err = sm_ok(err) ? open_checked(&f, out) : err;
    if (!sm_ok(err)) {
        (void)unlink(path);
    }
    return err;
}

/* ---- its name ---- */

/* See crl.h of api. */
char *crl_fetch_name(struct command_work *w, const char *ca)
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
