/* SPDX-License-Identifier: Apache-2.0 */
/* status. */
#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "gen/sealmill/v1/status.pb-c.h"
#include "proto/message.h"
#include "sign/cert.h"
#include "tools/command_work.h"
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>

#define PATH "/sealmill.v1.StatusService/CheckBatch"
#define FILE_MAX (4U << 20)

struct work {
    const struct cli_args *args;
    sm_arena arena;
    sm_diag diag;
};

static char *text(struct work *w, const char *s)
{
    char *z = sm_arena_strdup(&w->arena, sm_slice_str(s == NULL ? "" : s));
    if (z == NULL) {
        cli_usage("out of memory");
    }
    return z;
}

/* A serial number has digits and colons alone. */
static bool is_serial(const char *word)
{
    return word[0] != '\0' && strspn(word, "0123456789abcdefABCDEF:") == strlen(word) &&
           !sm_file_exists(word);
}

/* The first certificate of a PEM file, or DER. */
static sm_err read_certificate(struct work *w, const char *path, ProtobufCBinaryData *out)
{
    sm_slice der;
    sm_slice copy;
    sm_buf file = sm_buf_init(FILE_MAX);
    sm_buf scratch = sm_buf_init(FILE_MAX);
    sm_err err = sm_file_read(path, &file, &w->diag);
    err = sm_ok(err) ? sm_cert_from_pem_or_der(sm_buf_slice(&file), &scratch, &der, &w->diag) : err;
    err = sm_ok(err) ? sm_arena_copy(&w->arena, der, &copy) : err;
    sm_buf_deinit(&file);
    sm_buf_deinit(&scratch);
    SM_TRY(err);
    union {
        const uint8_t *in;
        uint8_t *out;
    } ptr = {copy.ptr};
    *out = (ProtobufCBinaryData){copy.len, ptr.out};
    return SM_NO_ERR;
}

static sm_err make_question(struct work *w, const char *word, Sealmill__V1__CheckStatusRequest *r)
{
    sealmill__v1__check_status_request__init(r);
    r->sha256 = cli_has(w->args, "sha256");
    if (is_serial(word)) {
        r->ca = text(w, cli_get(w->args, "ca"));
        r->about_case = SEALMILL__V1__CHECK_STATUS_REQUEST__ABOUT_SERIAL;
        r->serial = text(w, word);
        return SM_NO_ERR;
    }
    r->about_case = SEALMILL__V1__CHECK_STATUS_REQUEST__ABOUT_CERTIFICATE;
    return read_certificate(w, word, &r->certificate);
}

static sm_err make_request(struct work *w, Sealmill__V1__CheckStatusBatchRequest *out)
{
    size_t n = w->args->word_count;
    sealmill__v1__check_status_batch_request__init(out);
    out->requests = sm_arena_alloc(&w->arena, (n + 1) * sizeof(*out->requests));
    for (size_t i = 0; i < n && out->requests != NULL; i++) {
        out->requests[i] = SM_ARENA_NEW(&w->arena, Sealmill__V1__CheckStatusRequest);
        if (out->requests[i] == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        SM_TRY(make_question(w, w->args->words[i], out->requests[i]));
        out->n_requests++;
    }
    return out->requests == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

/* ---- answers ---- */

static int64_t seconds(const Google__Protobuf__Timestamp *t)
{
    return t == NULL ? 0 : t->seconds;
}

static void print_answer(const Sealmill__V1__CheckStatusResponse *r)
{
    static const char *const words[] = {"?", "good", "revoked", "unknown"};
    char from[SM_RFC3339_SIZE];
    char until[SM_RFC3339_SIZE];
    (void)printf("%s  %-7s  %s  %s to %s", r->serial,
                 (unsigned)r->status < SM_ARRAY_LEN(words) ? words[r->status] : "?", r->ca,
                 sm_clock_format(seconds(r->this_update), from),
                 sm_clock_format(seconds(r->next_update), until));
    if (r->revoked_at != NULL) {
        (void)printf("  since %s, %s", sm_clock_format(seconds(r->revoked_at), from),
                     command_reason_word((int)r->reason));
    }
    (void)printf("\n");
}

/* Whether all of them are good. */
static bool print_all(struct work *w, const Sealmill__V1__CheckStatusBatchResponse *answer)
{
    bool good = true;
    for (size_t i = 0; i < answer->n_results && i < w->args->word_count; i++) {
        const Sealmill__V1__CheckStatusResult *r = answer->results[i];
        bool answered = r->result_case == SEALMILL__V1__CHECK_STATUS_RESULT__RESULT_RESPONSE;
        if (answered) {
            print_answer(r->response);
        } else {
            const char *why = r->error == NULL ? "there is no answer" : r->error->message;
            (void)fprintf(stderr, "sealmill: %s: %s\n", w->args->words[i], why);
        }
        good = good && answered &&
               r->response->status == SEALMILL__V1__CERTIFICATE_STATUS__CERTIFICATE_STATUS_GOOD;
    }
    return good;
}

static sm_err write_out(struct work *w, const Sealmill__V1__CheckStatusBatchResponse *answer)
{
    const char *path = cli_get(w->args, "out");
    if (path == NULL || answer->n_results != 1 || answer->results[0]->response == NULL) {
        return SM_NO_ERR;
    }
    const ProtobufCBinaryData *der = &answer->results[0]->response->response;
    return sm_file_write_atomic(path, sm_slice_of(der->data, der->len), 0644, &w->diag);
}

static sm_err check(struct work *w, bool *good)
{
    struct client_target target;
    Sealmill__V1__CheckStatusBatchRequest request;
    ProtobufCMessage *m;
    client_target_from(w->args, false, &target);
    SM_TRY(make_request(w, &request));
    SM_TRY(client_call(&target, PATH, &request.base,
                       &sealmill__v1__check_status_batch_response__descriptor, &w->arena, &m,
                       &w->diag));
    const Sealmill__V1__CheckStatusBatchResponse *answer =
        (const Sealmill__V1__CheckStatusBatchResponse *)(void *)m;
    SM_TRY(write_out(w, answer));
    if (!cli_has(w->args, "json")) {
        *good = print_all(w, answer);
        return SM_NO_ERR;
    }
    SM_TRY(client_print_json(m));
    *good = answer->n_results > 0;
    for (size_t i = 0; i < answer->n_results; i++) {
        const Sealmill__V1__CheckStatusResponse *r = answer->results[i]->response;
        *good = *good &&
                answer->results[i]->result_case ==
                    SEALMILL__V1__CHECK_STATUS_RESULT__RESULT_RESPONSE &&
                r->status == SEALMILL__V1__CERTIFICATE_STATUS__CERTIFICATE_STATUS_GOOD;
    }
    return SM_NO_ERR;
}

static int run_status(struct cli_args *args)
{
    struct work w = {.args = args};
    bool good = false;
    if (args->word_count == 0) {
        cli_usage("serial numbers or files with certificates are needed");
    }
    if (cli_has(args, "out") && args->word_count != 1) {
        cli_usage("--out takes the answer about one certificate");
    }
    sm_arena_init(&w.arena, 256U << 20);
    sm_err err = check(&w, &good);
    int rc = !sm_ok(err) ? cli_fail(err, &w.diag) : good ? 0 : 1;
    sm_arena_deinit(&w.arena);
    return rc;
}

static const struct cli_option status_options[] = {
    CLIENT_OPTIONS,
    {"ca", "NAME", "Whose serial numbers they are (default: as the inventory says)"},
    {"sha256", NULL, "SHA-256 in the answers' CertIDs instead of SHA-1"},
    {"out", "FILE", "Where the signed OCSP response goes, DER"},
    {NULL, NULL, NULL},
};

const struct cli_command command_status = {
    "status",
    "SERIAL|FILE...",
    "Show what OCSP says of certificates; exits 0 if all are good",
    "  sealmill status 4199... --dir ./ca\n"
    "  sealmill status dev.pem --dir ./ca --out dev.ocsp\n",
    status_options,
    run_status,
};
