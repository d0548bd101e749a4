/* SPDX-License-Identifier: Apache-2.0 */
/* issue, renew, get, list, revoke, release. */
#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "proto/message.h"
#include "tools/client.h"
#include "tools/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE "/sealmill.v1.CertificateService/"

struct work {
    const struct cli_args *args;
    sm_arena arena;
    sm_diag diag;
    struct client_target target;
    struct sm_file out; /* --out, begun before the call: a certificate must not be lost for it */
};

static void begin(struct work *w, const struct cli_args *args, bool admin)
{
    w->args = args;
    w->diag.field[0] = '\0';
    w->diag.reason[0] = '\0';
    w->out.fd = -1;
    sm_arena_init(&w->arena, 256U << 20);
    client_target_from(args, admin, &w->target);
}

static int end(struct work *w, sm_err err)
{
    int rc = sm_ok(err) ? 0 : cli_fail(err, &w->diag);
    sm_file_discard(&w->out);
    sm_arena_deinit(&w->arena);
    return rc;
}

static char *text(struct work *w, const char *s)
{
    char *z = sm_arena_strdup(&w->arena, sm_slice_str(s == NULL ? "" : s));
    if (z == NULL) {
        cli_usage("out of memory");
    }
    return z;
}

static char *serial_word(struct work *w)
{
    if (w->args->word_count != 1) {
        cli_usage("a serial number is needed");
    }
    return text(w, w->args->words[0]);
}

/* A time as people write one: 2026-12-31, 2026-12-31T12:00:00Z, or so long from now: 30d. NULL when
 * the option was not given. */
static Google__Protobuf__Timestamp *time_option(struct work *w, const char *name)
{
    const char *given = cli_get(w->args, name);
    if (given == NULL) {
        return NULL;
    }
    char full[64];
    int64_t s = 0;
    Google__Protobuf__Timestamp *t = SM_ARENA_NEW(&w->arena, Google__Protobuf__Timestamp);
    (void)snprintf(full, sizeof(full), "%.40s%s", given, strlen(given) == 10 ? "T00:00:00Z" : "");
    bool good = sm_ok(sm_clock_parse(sm_slice_str(full), &s));
    if (!good && sm_ok(sm_duration_parse(sm_slice_str(given), &s))) {
        s += sm_clock_wall_s();
        good = true;
    }
    if (!good || t == NULL) {
        cli_usage("--%s wants a time such as 2026-12-31, 2026-12-31T12:00:00Z or 30d (from now)",
                  name);
    }
    google__protobuf__timestamp__init(t);
    t->seconds = s;
    return t;
}

/* ---- issue, renew ---- */

static sm_err read_csr(struct work *w, ProtobufCBinaryData *out)
{
    const char *path = cli_get(w->args, "csr");
    sm_slice copy;
    sm_buf csr = sm_buf_init(1U << 20);
    sm_err err = sm_file_read(path, &csr, &w->diag);
    err = sm_ok(err) ? sm_arena_copy(&w->arena, sm_buf_slice(&csr), &copy) : err;
    sm_buf_deinit(&csr);
    SM_TRY(err);
    union {
        const uint8_t *in;
        uint8_t *out;
    } ptr = {copy.ptr};
    *out = (ProtobufCBinaryData){copy.len, ptr.out};
    return SM_NO_ERR;
}

static int64_t validity(struct work *w)
{
    int64_t s = 0;
    const char *given = cli_get(w->args, "validity");
    if (given != NULL && !sm_ok(sm_duration_parse(sm_slice_str(given), &s))) {
        cli_usage("--validity wants a duration such as 90d or 12h");
    }
    return s;
}

static sm_err begin_out(struct work *w)
{
    const char *path = cli_get(w->args, "out");
    return path == NULL ? SM_NO_ERR : sm_file_begin(path, &w->out, &w->diag);
}

/* Into --out; where that fails after all (a full disk), the certificate goes to standard output. */
static sm_err write_out(struct work *w, sm_slice pem)
{
    sm_diag why = {.reason = ""};
    sm_err err = sm_file_commit(&w->out, pem, 0644, &why);
    if (!sm_ok(err)) {
        (void)printf("%.*s", (int)pem.len, (const char *)pem.ptr);
        err = sm_diag_set(&w->diag, err, "out",
                          "%s; the certificate is issued, it went to standard output", why.reason);
    }
    return err;
}

static sm_err write_certificate(struct work *w, const Sealmill__V1__IssueResponse *r)
{
    const char *path = cli_get(w->args, "out");
    sm_buf pem = sm_buf_init(1U << 20);
    sm_pem_encode(&pem, "CERTIFICATE", sm_slice_of(r->certificate.data, r->certificate.len));
    for (size_t i = 0; cli_has(w->args, "chain") && i < r->n_chain; i++) {
        sm_pem_encode(&pem, "CERTIFICATE", sm_slice_of(r->chain[i].data, r->chain[i].len));
    }
    sm_err err = sm_buf_err(&pem);
    if (sm_ok(err) && path != NULL) {
        err = write_out(w, sm_buf_slice(&pem));
    }
    if (sm_ok(err) && cli_has(w->args, "json")) {
        err = client_print_json(&r->base);
    } else if (sm_ok(err) && path == NULL) {
        (void)printf("%.*s", (int)pem.len, (const char *)pem.ptr);
    } else if (sm_ok(err)) {
        char until[SM_RFC3339_SIZE];
        (void)printf("issued %s, valid until %s, written to %s\n", r->serial,
                     sm_clock_format(r->not_after == NULL ? 0 : r->not_after->seconds, until),
                     path);
    }
    sm_buf_deinit(&pem);
    return err;
}

static sm_err add_metadata(struct work *w, Sealmill__V1__IssueRequest *r)
{
    size_t n = cli_count(w->args, "metadata");
    r->metadata = sm_arena_alloc(&w->arena, (n + 1) * sizeof(*r->metadata));
    for (size_t i = 0; i < n && r->metadata != NULL; i++) {
        char *pair = text(w, cli_at(w->args, "metadata", i));
        char *equals = strchr(pair, '=');
        Sealmill__V1__IssueRequest__MetadataEntry *e = SM_ARENA_NEW(
            &w->arena, Sealmill__V1__IssueRequest__MetadataEntry);
        if (equals == NULL || e == NULL) {
            cli_usage("--metadata wants KEY=VALUE");
        }
        *equals = '\0';
        sealmill__v1__issue_request__metadata_entry__init(e);
        e->key = pair;
        e->value = equals + 1;
        r->metadata[r->n_metadata++] = e;
    }
    return SM_NO_ERR;
}

static sm_err add_sans(struct work *w, Sealmill__V1__IssueRequest *r)
{
    size_t n = cli_count(w->args, "san");
    r->sans = sm_arena_alloc(&w->arena, (n + 1) * sizeof(*r->sans));
    for (size_t i = 0; i < n && r->sans != NULL; i++) {
        char *pair = text(w, cli_at(w->args, "san", i));
        char *colon = strchr(pair, ':');
        Sealmill__V1__SubjectAltName *m = SM_ARENA_NEW(&w->arena, Sealmill__V1__SubjectAltName);
        if (colon == NULL || m == NULL) {
            cli_usage("--san wants TYPE:NAME, such as dns:dev1.example.net");
        }
        *colon = '\0';
        sealmill__v1__subject_alt_name__init(m);
        SM_TRY(sm_message_set_text(&m->base, sm_slice_str(pair), sm_slice_str(colon + 1), &w->arena,
                                   &w->diag));
        r->sans[r->n_sans++] = m;
    }
    return SM_NO_ERR;
}

static int run_issue(struct cli_args *args)
{
    struct work w;
    Sealmill__V1__IssueRequest r;
    ProtobufCMessage *m;
    begin(&w, args, false);
    if (!cli_has(args, "csr")) {
        cli_usage("--csr FILE is needed");
    }
    sealmill__v1__issue_request__init(&r);
    r.ca = text(&w, cli_get(args, "ca"));
    r.profile = text(&w, cli_get(args, "profile"));
    r.idempotency_key = text(&w, cli_get(args, "idempotency-key"));
    r.validity_seconds = validity(&w);
    sm_err err = read_csr(&w, &r.csr);
    err = sm_ok(err) ? add_metadata(&w, &r) : err;
    err = sm_ok(err) ? add_sans(&w, &r) : err;
    err = sm_ok(err) ? begin_out(&w) : err;
    err = sm_ok(err) ? client_call(&w.target, SERVICE "Issue", &r.base,
                                   &sealmill__v1__issue_response__descriptor, &w.arena, &m, &w.diag)
                     : err;
    err = sm_ok(err) ? write_certificate(&w, (const Sealmill__V1__IssueResponse *)(void *)m) : err;
    return end(&w, err);
}

static const struct cli_option issue_options[] = {
    CLIENT_OPTIONS,
    {"ca", "NAME", "The CA (default: the only one for the profile)"},
    {"profile", "NAME", "The profile"},
    {"csr", "FILE", "PKCS#10 request, PEM or DER"},
    {"out", "FILE", "Where the certificate goes, PEM (default: standard output)"},
    {"chain", NULL, "Write the chain behind it"},
    {"validity", "DURATION", "Such as 90d; at most the profile's maximum"},
    {"san", "TYPE:NAME", "Replaces the CSR's SANs; may be repeated"},
    {"metadata", "KEY=VALUE", "For the profile's templates and the inventory; may be repeated"},
    {"idempotency-key", "KEY", "The same key and request give the same certificate for 24 hours"},
    {NULL, NULL, NULL},
};

const struct cli_command command_issue = {
    "issue",
    NULL,
    "Have a certificate issued",
    "  sealmill issue --dir ./ca --profile device --csr dev.csr --out dev.pem\n"
    "  sealmill issue --server 10.0.0.5:9000 --ca-file root.pem --cert ra.pem --key ra.key "
    "--profile device --csr dev.csr\n",
    issue_options,
    run_issue,
};

static int run_renew(struct cli_args *args)
{
    struct work w;
    Sealmill__V1__RenewRequest r;
    ProtobufCMessage *m;
    begin(&w, args, false);
    sealmill__v1__renew_request__init(&r);
    r.serial = serial_word(&w);
    r.validity_seconds = validity(&w);
    r.revoke_old = cli_has(args, "revoke-old");
    sm_err err = cli_has(args, "csr") ? read_csr(&w, &r.csr) : SM_NO_ERR;
    err = sm_ok(err) ? begin_out(&w) : err;
    err = sm_ok(err) ? client_call(&w.target, SERVICE "Renew", &r.base,
                                   &sealmill__v1__issue_response__descriptor, &w.arena, &m, &w.diag)
                     : err;
    err = sm_ok(err) ? write_certificate(&w, (const Sealmill__V1__IssueResponse *)(void *)m) : err;
    return end(&w, err);
}

static const struct cli_option renew_options[] = {
    CLIENT_OPTIONS,
    {"csr", "FILE",
     "Request with the new key (default: keep the key, where the profile allows it)"},
    {"out", "FILE", "Where the certificate goes, PEM"},
    {"chain", NULL, "Write the chain behind it"},
    {"validity", "DURATION", "Such as 90d"},
    {"revoke-old", NULL, "Revoke the old certificate as superseded"},
    {NULL, NULL, NULL},
};

const struct cli_command command_renew = {
    "renew",
    "SERIAL",
    "Renew a certificate",
    "  sealmill renew 4199... --dir ./ca --out dev.pem\n",
    renew_options,
    run_renew,
};

/* ---- get, list ---- */

static const char *state_word(Sealmill__V1__CertificateState s)
{
    static const char *const words[] = {"?", "valid", "revoked", "on hold", "expired"};
    return (unsigned)s < 5 ? words[s] : "?";
}

static void print_certificate(const Sealmill__V1__Certificate *c)
{
    char from[SM_RFC3339_SIZE];
    char until[SM_RFC3339_SIZE];
    (void)printf("serial     %s\nstate      %s\nsubject    %s\nca         %s\nprofile    %s\nvalid "
                 "     %s to %s\nrequester  %s\n",
                 c->serial, state_word(c->state), c->subject, c->ca, c->profile,
                 sm_clock_format(c->not_before == NULL ? 0 : c->not_before->seconds, from),
                 sm_clock_format(c->not_after == NULL ? 0 : c->not_after->seconds, until),
                 c->requester);
}

static sm_err show(struct work *w, const ProtobufCMessage *m)
{
    if (cli_has(w->args, "json")) {
        return client_print_json(m);
    }
    print_certificate((const Sealmill__V1__Certificate *)(const void *)m);
    return SM_NO_ERR;
}

static int run_get(struct cli_args *args)
{
    struct work w;
    Sealmill__V1__GetCertificateRequest r;
    ProtobufCMessage *m;
    begin(&w, args, false);
    sealmill__v1__get_certificate_request__init(&r);
    r.serial = serial_word(&w);
    sm_err err = client_call(&w.target, SERVICE "Get", &r.base,
                             &sealmill__v1__certificate__descriptor, &w.arena, &m, &w.diag);
    if (sm_ok(err) && cli_has(args, "pem")) {
        const Sealmill__V1__Certificate *c = (const Sealmill__V1__Certificate *)(void *)m;
        sm_buf pem = sm_buf_init(1U << 20);
        sm_pem_encode(&pem, "CERTIFICATE", sm_slice_of(c->certificate.data, c->certificate.len));
        (void)printf("%.*s", (int)pem.len, (const char *)pem.ptr);
        sm_buf_deinit(&pem);
    } else if (sm_ok(err)) {
        err = show(&w, m);
    }
    return end(&w, err);
}

static const struct cli_option get_options[] = {
    CLIENT_OPTIONS,
    {"pem", NULL, "Print the certificate in PEM"},
    {NULL, NULL, NULL},
};

const struct cli_command command_get = {
    "get",       "SERIAL", "Show one certificate", "  sealmill get 4199... --dir ./ca\n",
    get_options, run_get,
};

#define PAGE 1000
#define PAGE_MEMORY (64U << 20)
#define TOKEN_MAX 512 /* a row's key in base64 has some 120 */

static void print_row(const Sealmill__V1__Certificate *c)
{
    char until[SM_RFC3339_SIZE];
    (void)printf("%s  %-8s %s  %s\n", c->serial, state_word(c->state),
                 sm_clock_format(c->not_after == NULL ? 0 : c->not_after->seconds, until),
                 c->subject);
}

/* Asks for a page and prints it, in memory of its own: there may be millions. Sets the request's
 * token for the next one (NULL: there is none); it lives until the next call. */
static sm_err list_page(struct work *w, Sealmill__V1__ListCertificatesRequest *r, long *left)
{
    static char token[TOKEN_MAX];
    ProtobufCMessage *m;
    sm_arena arena;
    sm_arena_init(&arena, PAGE_MEMORY);
    sm_err err = client_call(&w->target, SERVICE "List", &r->base,
                             &sealmill__v1__list_certificates_response__descriptor, &arena, &m,
                             &w->diag);
    if (sm_ok(err)) {
        const Sealmill__V1__ListCertificatesResponse *page =
            (const Sealmill__V1__ListCertificatesResponse *)(void *)m;
        bool json = cli_has(w->args, "json");
        err = json ? client_print_json(m) : SM_NO_ERR;
        for (size_t i = 0; i < page->n_certificates && !json; i++) {
            print_row(page->certificates[i]);
        }
        *left -= (long)page->n_certificates;
        (void)snprintf(token, sizeof(token), "%s", page->next_page_token);
    }
    r->page_token = sm_ok(err) && token[0] != '\0' ? token : NULL;
    sm_arena_deinit(&arena);
    return err;
}

static int run_list(struct cli_args *args)
{
    static const char *const filters[] = {"ca", "profile", "subject", "san", "state"};
    struct work w;
    Sealmill__V1__ListCertificatesRequest r;
    sm_err err = SM_NO_ERR;
    long left = cli_number(args, "limit", 100, 1, 10000000);
    begin(&w, args, false);
    sealmill__v1__list_certificates_request__init(&r);
    r.brief = 1;
    for (size_t i = 0; i < SM_ARRAY_LEN(filters) && sm_ok(err); i++) {
        const char *value = cli_get(args, filters[i]);
        err = value == NULL ? err
                            : sm_message_set_text(&r.base, sm_slice_str(filters[i]),
                                                  sm_slice_str(value), &w.arena, &w.diag);
    }
    r.expires_after = time_option(&w, "expires-after");
    r.expires_before = time_option(&w, "expires-before");
    while (sm_ok(err) && left > 0 && r.page_token != NULL) {
        r.page_size = left < PAGE ? (int32_t)left : PAGE;
        err = list_page(&w, &r, &left);
    }
    return end(&w, err);
}

static const struct cli_option list_options[] = {
    CLIENT_OPTIONS,
    {"ca", "NAME", "Of this CA"},
    {"profile", "NAME", "Of this profile"},
    {"subject", "NAME", "Of this subject (RFC 4514)"},
    {"san", "NAME", "With this SAN"},
    {"state", "STATE", "valid, revoked, on-hold or expired"},
    {"expires-after", "TIME", "Whose validity ends then or later: a date, a time, or 30d from now"},
    {"expires-before", "TIME", "Whose validity ends before"},
    {"limit", "N", "At most so many (default 100)"},
    {NULL, NULL, NULL},
};

const struct cli_command command_list = {
    "list",
    NULL,
    "List certificates",
    "  sealmill list --dir ./ca --state revoked\n"
    "  sealmill list --dir ./ca --state valid --expires-before 30d\n",
    list_options,
    run_list,
};

/* ---- revoke, release ---- */

static int run_revoke(struct cli_args *args)
{
    struct work w;
    Sealmill__V1__RevokeRequest r;
    ProtobufCMessage *m;
    const char *reason = cli_get(args, "reason");
    sm_err err = SM_NO_ERR;
    begin(&w, args, false);
    sealmill__v1__revoke_request__init(&r);
    r.serial = serial_word(&w);
    if (reason != NULL) {
        err = sm_message_set_text(&r.base, SM_LIT("reason"), sm_slice_str(reason), &w.arena,
                                  &w.diag);
    }
    r.invalidity_date = time_option(&w, "invalidity-date");
    err = sm_ok(err) ? client_call(&w.target, SERVICE "Revoke", &r.base,
                                   &sealmill__v1__certificate__descriptor, &w.arena, &m, &w.diag)
                     : err;
    err = sm_ok(err) ? show(&w, m) : err;
    return end(&w, err);
}

static const struct cli_option revoke_options[] = {
    CLIENT_OPTIONS,
    {"reason", "REASON",
     "key-compromise, superseded, cessation-of-operation, certificate-hold, ..."},
    {"invalidity-date", "TIME", "Since when the key is not to be trusted (RFC 5280 5.3.2)"},
    {NULL, NULL, NULL},
};

const struct cli_command command_revoke = {
    "revoke",
    "SERIAL",
    "Revoke a certificate, or put it on hold",
    "  sealmill revoke 4199... --dir ./ca --reason key-compromise\n",
    revoke_options,
    run_revoke,
};

static int run_release(struct cli_args *args)
{
    struct work w;
    Sealmill__V1__ReleaseRequest r;
    ProtobufCMessage *m;
    begin(&w, args, false);
    sealmill__v1__release_request__init(&r);
    r.serial = serial_word(&w);
    sm_err err = client_call(&w.target, SERVICE "Release", &r.base,
                             &sealmill__v1__certificate__descriptor, &w.arena, &m, &w.diag);
    err = sm_ok(err) ? show(&w, m) : err;
    return end(&w, err);
}

static const struct cli_option release_options[] = {CLIENT_OPTIONS, {NULL, NULL, NULL}};

const struct cli_command command_release = {
    "release",
    "SERIAL",
    "Take a certificate off hold",
    "  sealmill release 4199... --dir ./ca\n",
    release_options,
    run_release,
};
