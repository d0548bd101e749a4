/* SPDX-License-Identifier: Apache-2.0 */
/* ocsp import, load: what is so of a foreign CA's certificates. */
#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "gen/sealmill/v1/status.pb-c.h"
#include "ocsp-cache/index_txt.h"
#include "tools/client_stream.h"
#include "tools/commands.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IMPORT "/sealmill.v1.StatusService/Import"
#define LOAD "/sealmill.v1.StatusService/LoadResponses"
#define BATCH 1000
#define BATCH_BYTES (2U << 20) /* of certificates: a message has 4 MiB at the most */
#define BEHIND 4               /* messages that may wait for their answer */
#define CRL_PIECE (256U << 10)
#define FILE_MAX_OCTETS (256U << 20)
#define SHOWN_MAX 20 /* refusals that are told one by one */
#define REFUSED_EXIT 1

struct import {
    const struct cli_args *args;
    sm_diag diag;
    struct client_target target;
    client_stream *stream;
    const char *source;
    bool started;
    uint64_t sent;
    /* the message in hand */
    sm_arena arena;
    Sealmill__V1__ImportStatusesRequest message;
    Sealmill__V1__ImportStart start;
    Sealmill__V1__ImportEntry **entries;
    size_t bytes;
    /* what the server said last */
    Sealmill__V1__ImportStatusesResponse last;
    uint64_t bad_lines;
    unsigned shown;
    uint64_t told_ns;
};

/* ---- progress ---- */

static void tell(struct import *w, bool end)
{
    const Sealmill__V1__ImportStatusesResponse *r = &w->last;
    uint64_t now = sm_clock_mono_ns();
    if (!end && (!isatty(2) || now - w->told_ns < SM_NS_PER_S / 4)) {
        return;
    }
    w->told_ns = now;
    (void)fprintf(end ? stdout : stderr,
                  "%s%llu entries: %llu new, %llu changed, %llu as before, %llu stay revoked, %llu "
                  "off hold, %llu refused%s",
                  end ? "" : "\r", (unsigned long long)r->entries, (unsigned long long)r->added,
                  (unsigned long long)r->changed, (unsigned long long)r->unchanged,
                  (unsigned long long)r->kept_revoked, (unsigned long long)r->released,
                  (unsigned long long)(r->refused + w->bad_lines), end ? "\n" : "");
    (void)fflush(end ? stdout : stderr);
}

static void on_answer(void *ctx, const ProtobufCMessage *m)
{
    struct import *w = ctx;
    const Sealmill__V1__ImportStatusesResponse *r =
        (const Sealmill__V1__ImportStatusesResponse *)(const void *)m;
    for (size_t i = 0; i < r->n_refusals && w->shown < SHOWN_MAX; i++, w->shown++) {
        (void)fprintf(stderr, "sealmill: %s: refused: %s\n", w->source, r->refusals[i]->reason);
    }
    w->last = *r;
    w->last.refusals = NULL;
    w->last.n_refusals = 0;
    tell(w, false);
}

/* ---- messages ---- */

static void begin_message(struct import *w)
{
    sm_arena_reset(&w->arena);
    sealmill__v1__import_statuses_request__init(&w->message);
    w->entries = sm_arena_alloc(&w->arena, BATCH * sizeof(struct Sealmill__V1__ImportEntry *));
    w->message.entries = w->entries;
    w->bytes = 0;
}

static sm_err send_message(struct import *w)
{
    if (!w->started) {
        w->message.start = &w->start;
        w->started = true;
    }
    SM_TRY(client_stream_send(w->stream, &w->message.base));
    w->sent++;
    SM_TRY(client_stream_wait(w->stream, w->sent > BEHIND ? w->sent - BEHIND : 0));
    begin_message(w);
    return SM_NO_ERR;
}

static Sealmill__V1__ImportEntry *next_entry(struct import *w)
{
    Sealmill__V1__ImportEntry *e = SM_ARENA_NEW(&w->arena, Sealmill__V1__ImportEntry);
    if (e != NULL && w->entries != NULL) {
        sealmill__v1__import_entry__init(e);
        w->entries[w->message.n_entries++] = e;
    }
    return w->entries == NULL ? NULL : e;
}

static sm_err keep(struct import *w, sm_slice octets, ProtobufCBinaryData *out)
{
    sm_slice copy;
    SM_TRY(sm_arena_copy(&w->arena, octets, &copy));
    union {
        const uint8_t *in;
        uint8_t *out;
    } ptr = {copy.ptr};
    *out = (ProtobufCBinaryData){copy.len, ptr.out};
    w->bytes += octets.len + 64;
    return SM_NO_ERR;
}

static sm_err send_if_full(struct import *w)
{
    bool full = w->message.n_entries == BATCH || w->bytes > BATCH_BYTES;
    return full ? send_message(w) : SM_NO_ERR;
}

static Google__Protobuf__Timestamp *timestamp(struct import *w, int64_t s)
{
    Google__Protobuf__Timestamp *t = SM_ARENA_NEW(&w->arena, Google__Protobuf__Timestamp);
    if (t != NULL) {
        google__protobuf__timestamp__init(t);
        t->seconds = s;
    }
    return t;
}

/* ---- index.txt ---- */

static sm_err add_line(struct import *w, const struct sm_index_line *line)
{
    Sealmill__V1__ImportEntry *e = next_entry(w);
    if (e == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    e->about_case = SEALMILL__V1__IMPORT_ENTRY__ABOUT_SERIAL;
    SM_TRY(keep(w, sm_slice_of(line->serial, line->serial_len), &e->serial));
    e->state = (Sealmill__V1__CertificateState)line->what.state; /* the same numbers */
    e->not_after = timestamp(w, line->what.not_after);
    if (line->what.state != SM_OCSP_IMPORTED_VALID) {
        e->revoked_at = timestamp(w, line->what.revoked_at);
        e->reason = (Sealmill__V1__RevocationReason)(line->what.reason < 0 ? 0 : line->what.reason);
    }
    return send_if_full(w);
}

static sm_err import_index(struct import *w, const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t room = 0;
    ssize_t len;
    sm_err err = f == NULL ? sm_diag_set(&w->diag, SM_ERR(OS), "index", "cannot read %s", path)
                           : SM_NO_ERR;
    for (uint64_t number = 1; sm_ok(err) && (len = getline(&text, &room, f)) >= 0; number++) {
        struct sm_index_line line;
        sm_diag why = {.reason = ""};
        size_t n = (size_t)len - (len > 0 && text[len - 1] == '\n' ? 1 : 0);
        sm_err one = sm_index_line_parse(sm_slice_of(text, n), &line, &why);
        if (sm_ok(one)) {
            err = add_line(w, &line);
        } else if (!sm_err_is(one, SM_E_NOT_FOUND)) {
            w->bad_lines++;
            if (w->shown++ < SHOWN_MAX) {
                (void)fprintf(stderr, "sealmill: %s:%llu: %s\n", path, (unsigned long long)number,
                              why.reason);
            }
        }
    }
    free(text);
    if (f != NULL) {
        (void)fclose(f);
    }
    return err;
}

/* ---- files ---- */

/* Calls `each` for a file, or for every file of a folder (not those below it). */
static sm_err each_file(struct import *w, const char *path,
                        sm_err (*each)(struct import *w, const char *file))
{
    struct stat st;
    char file[4096];
    sm_err err = SM_NO_ERR;
    if (stat(path, &st) != 0) {
        return sm_diag_set(&w->diag, SM_ERR(NOT_FOUND), "file", "there is no %s", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        return each(w, path);
    }
    DIR *d = opendir(path);
    if (d == NULL) {
        return sm_diag_set(&w->diag, SM_ERR(OS), "file", "cannot read %s", path);
    }
    for (const struct dirent *e = readdir(d); e != NULL && sm_ok(err); e = readdir(d)) {
        int n = snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.' && n > 0 && (size_t)n < sizeof(file) && stat(file, &st) == 0 &&
            S_ISREG(st.st_mode)) {
            err = each(w, file);
        }
    }
    (void)closedir(d);
    return err;
}

static void pass_over(struct import *w, const char *file, const char *why)
{
    w->bad_lines++;
    if (w->shown++ < SHOWN_MAX) {
        (void)fprintf(stderr, "sealmill: %s: %s\n", file, why);
    }
}

static sm_err add_certificate(struct import *w, sm_slice der)
{
    Sealmill__V1__ImportEntry *e = next_entry(w);
    if (e == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    e->about_case = SEALMILL__V1__IMPORT_ENTRY__ABOUT_CERTIFICATE;
    SM_TRY(keep(w, der, &e->certificate));
    return send_if_full(w);
}

/* DER, or PEM with any number of certificates. */
static sm_err import_certificates(struct import *w, const char *path)
{
    size_t found = 0;
    sm_buf file = sm_buf_init(FILE_MAX_OCTETS);
    sm_err err = sm_file_read(path, &file, &w->diag);
    sm_slice rest = sm_buf_slice(&file);
    if (sm_ok(err) && rest.len > 0 && rest.ptr[0] == 0x30) {
        err = add_certificate(w, rest);
        found++;
        rest = SM_SLICE_NONE;
    }
    for (bool more = sm_ok(err); more && sm_ok(err);) {
        sm_slice label;
        sm_buf der = sm_buf_init(1U << 20);
        more = sm_ok(sm_pem_next(&rest, &label, &der));
        if (more && sm_slice_equal(label, SM_LIT("CERTIFICATE"))) {
            err = add_certificate(w, sm_buf_slice(&der));
            found++;
        }
        sm_buf_deinit(&der);
    }
    sm_buf_deinit(&file);
    if (sm_ok(err) && found == 0) {
        pass_over(w, path, "it holds no certificate");
    }
    return err;
}

/* ---- CRLs ---- */

static sm_err send_crl(struct import *w, sm_slice der)
{
    while (der.len > 0) {
        sm_slice piece = sm_slice_first(der, CRL_PIECE);
        SM_TRY(keep(w, piece, &w->message.crl));
        SM_TRY(send_message(w));
        der = sm_slice_from(der, piece.len);
    }
    return SM_NO_ERR;
}

static sm_err import_crl(struct import *w, const char *path)
{
    sm_slice label;
    sm_buf file = sm_buf_init(FILE_MAX_OCTETS);
    sm_buf der = sm_buf_init(FILE_MAX_OCTETS);
    sm_err err = sm_file_read(path, &file, &w->diag);
    sm_slice text = sm_buf_slice(&file);
    if (sm_ok(err) && text.len > 0 && text.ptr[0] == 0x30) {
        err = send_crl(w, text);
    } else if (sm_ok(err)) {
        err = sm_pem_next(&text, &label, &der);
        bool crl = sm_ok(err) && sm_slice_equal(label, SM_LIT("X509 CRL"));
        err = crl ? send_crl(w, sm_buf_slice(&der))
                  : sm_diag_set(&w->diag, SM_ERR(MALFORMED), "crl", "%s holds no CRL", path);
    }
    sm_buf_deinit(&file);
    sm_buf_deinit(&der);
    return err;
}

/* ---- one stream for each source ---- */

static sm_err run_source(struct import *w, const char *path,
                         sm_err (*source)(struct import *w, const char *path))
{
    char *ca = strdup(cli_get(w->args, "ca"));
    char *name = strdup(path);
    const struct client_stream_config config = {
        .target = &w->target,
        .path = IMPORT,
        .answer = &sealmill__v1__import_statuses_response__descriptor,
        .on_answer = on_answer,
        .ctx = w,
        .diag = &w->diag};
    w->source = path;
    w->started = false;
    w->sent = w->bad_lines = w->shown = 0;
    sealmill__v1__import_statuses_response__init(&w->last);
    sealmill__v1__import_start__init(&w->start);
    w->start.ca = ca;
    w->start.source = name;
    sm_arena_init(&w->arena, 64U << 20);
    begin_message(w);
    sm_err err = ca == NULL || name == NULL ? SM_ERR(NO_MEMORY)
                                            : client_stream_open(&config, &w->stream);
    err = sm_ok(err) ? source(w, path) : err;
    err = sm_ok(err) && w->message.n_entries > 0 ? send_message(w) : err;
    err = sm_ok(err) ? client_stream_finish(w->stream) : err;
    client_stream_free(&w->stream);
    if (w->last.entries > 0 || sm_ok(err)) {
        (void)printf("%s: ", path);
        tell(w, true);
    }
    sm_arena_deinit(&w->arena);
    free(ca);
    free(name);
    return err;
}

static sm_err certificates_of(struct import *w, const char *path)
{
    return each_file(w, path, import_certificates);
}

static int run_import(struct cli_args *args)
{
    static const struct {
        const char *option;
        sm_err (*source)(struct import *w, const char *path);
    } sources[] = {{"certs", certificates_of}, {"index", import_index}, {"crl", import_crl}};
    struct import w = {.args = args};
    sm_err err = SM_NO_ERR;
    uint64_t refused = 0;
    size_t given = 0;
    if (!cli_has(args, "ca")) {
        cli_usage("--ca is needed: a CA made by ocsp create");
    }
    client_target_from(args, true, &w.target);
    for (size_t i = 0; i < SM_ARRAY_LEN(sources); i++) {
        for (size_t j = 0; j < cli_count(args, sources[i].option) && sm_ok(err); j++, given++) {
            err = run_source(&w, cli_at(args, sources[i].option, j), sources[i].source);
            refused += w.last.refused + w.bad_lines;
        }
    }
    if (given == 0) {
        cli_usage("--certs, --index or --crl is needed");
    }
    return !sm_ok(err) ? cli_fail(err, &w.diag) : refused > 0 ? REFUSED_EXIT : 0;
}

static const struct cli_option import_options[] = {
    CLIENT_OPTIONS,
    {"ca", "NAME", "The CA, made by ocsp create"},
    {"certs", "PATH", "Issued certificates: a folder, a PEM bundle, or DER; may be repeated"},
    {"index", "FILE", "index.txt of openssl ca; may be repeated"},
    {"crl", "FILE", "Its CRL, PEM or DER; may be repeated"},
    {NULL, NULL, NULL},
};

const struct cli_command command_ocsp_import = {
    "ocsp import",
    NULL,
    "Tell what is so of a foreign CA's certificates; exits 1 if anything was refused",
    "  sealmill ocsp import --ca old-ca --dir ./ca --index demoCA/index.txt\n"
    "  sealmill ocsp import --ca old-ca --dir ./ca --certs demoCA/newcerts --crl old-ca.crl\n",
    import_options,
    run_import,
};

/* ---- load ---- */

struct load {
    struct import files; /* for each_file; its arena has the batch */
    Sealmill__V1__LoadResponsesRequest request;
    ProtobufCBinaryData *responses;
    const char **names;
    uint64_t loaded;
    uint64_t older;
    uint64_t refused;
};

static struct load loading;

static sm_err begin_batch(struct load *l)
{
    sm_arena_reset(&l->files.arena);
    sealmill__v1__load_responses_request__init(&l->request);
    l->responses = sm_arena_alloc(&l->files.arena, BATCH * sizeof(*l->responses));
    l->names = sm_arena_alloc(&l->files.arena, BATCH * sizeof(*l->names));
    l->request.ca = sm_arena_strdup(&l->files.arena, sm_slice_str(cli_get(l->files.args, "ca")));
    l->request.responses = l->responses;
    l->files.bytes = 0;
    return l->responses == NULL || l->names == NULL || l->request.ca == NULL ? SM_ERR(NO_MEMORY)
                                                                             : SM_NO_ERR;
}

static sm_err send_batch(struct load *l)
{
    ProtobufCMessage *m;
    if (l->request.n_responses == 0) {
        return SM_NO_ERR;
    }
    SM_TRY(client_call(&l->files.target, LOAD, &l->request.base,
                       &sealmill__v1__load_responses_response__descriptor, &l->files.arena, &m,
                       &l->files.diag));
    const Sealmill__V1__LoadResponsesResponse *r =
        (const Sealmill__V1__LoadResponsesResponse *)(void *)m;
    for (size_t i = 0; i < r->n_refusals && l->files.shown < SHOWN_MAX; i++, l->files.shown++) {
        uint32_t at = r->refusals[i]->index;
        (void)fprintf(stderr, "sealmill: %s: %s\n",
                      at < l->request.n_responses ? l->names[at] : "?", r->refusals[i]->reason);
    }
    l->loaded += r->loaded;
    l->older += r->older;
    l->refused += r->n_refusals;
    return begin_batch(l);
}

static sm_err load_file(struct import *w, const char *path)
{
    struct load *l = SM_CONTAINER_OF(w, struct load, files);
    sm_buf file = sm_buf_init(1U << 20);
    sm_err err = sm_file_read(path, &file, &w->diag);
    size_t at = l->request.n_responses;
    err = sm_ok(err) ? keep(w, sm_buf_slice(&file), &l->responses[at]) : err;
    sm_buf_deinit(&file);
    SM_TRY(err);
    l->names[at] = sm_arena_strdup(&w->arena, sm_slice_str(path));
    if (l->names[at] == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    l->request.n_responses++;
    bool full = l->request.n_responses == BATCH || w->bytes > BATCH_BYTES;
    return full ? send_batch(l) : SM_NO_ERR;
}

static int run_load(struct cli_args *args)
{
    struct load *l = &loading;
    l->files.args = args;
    if (!cli_has(args, "ca") || args->word_count == 0) {
        cli_usage("--ca and files or folders with OCSP responses are needed");
    }
    client_target_from(args, true, &l->files.target);
    sm_arena_init(&l->files.arena, 64U << 20);
    sm_err err = begin_batch(l);
    for (size_t i = 0; i < args->word_count && sm_ok(err); i++) {
        err = each_file(&l->files, args->words[i], load_file);
    }
    err = sm_ok(err) ? send_batch(l) : err;
    (void)printf("%llu loaded, %llu not newer than what is there, %llu refused\n",
                 (unsigned long long)l->loaded, (unsigned long long)l->older,
                 (unsigned long long)l->refused);
    sm_arena_deinit(&l->files.arena);
    return !sm_ok(err) ? cli_fail(err, &l->files.diag) : l->refused > 0 ? REFUSED_EXIT : 0;
}

static const struct cli_option load_options[] = {
    CLIENT_OPTIONS,
    {"ca", "NAME", "The CA, made by ocsp create --offline"},
    {NULL, NULL, NULL},
};

const struct cli_command command_ocsp_load = {
    "ocsp load",
    "FILE|DIR...",
    "Load OCSP responses (DER) of an offline CA, signed there; exits 1 if any was refused",
    "  sealmill ocsp load responses/ --ca vault --dir ./ca\n",
    load_options,
    run_load,
};
