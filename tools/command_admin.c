/* SPDX-License-Identifier: Apache-2.0 */
/* ca create, import, csr, list, show; token create. */
#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "gen/sealmill/v1/ca.pb-c.h"
#include "gen/sealmill/v1/caller.pb-c.h"
#include "proto/message.h"
#include "sign/alg.h"
#include "sign/name.h"
#include "tools/command_work.h"
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>

#define CA_SERVICE "/sealmill.v1.CaService/"
#define CAS_PAGE 1000
#define CALLER_SERVICE "/sealmill.v1.CallerService/"

static void print_ca(const Sealmill__V1__Ca *ca)
{
    static const char *const states[] = {"?", "pending", "active", "disabled"};
    char until[SM_RFC3339_SIZE];
    (void)printf("%-16s %-9s %-9s until %s  %s\n", ca->name,
                 (unsigned)ca->state < 4 ? states[ca->state] : "?",
                 sm_key_type_name((enum sm_key_type)ca->key_type),
                 sm_clock_format(ca->not_after == NULL ? 0 : ca->not_after->seconds, until),
                 ca->subject);
}

static sm_err show(struct command_work *w, const ProtobufCMessage *m)
{
    if (cli_has(w->args, "json")) {
        return client_print_json(m);
    }
    const Sealmill__V1__Ca *ca = (const Sealmill__V1__Ca *)(const void *)m;
    print_ca(ca);
    if (cli_has(w->args, "pem") && ca->certificate.len > 0) {
        sm_buf pem = sm_buf_init(1U << 20);
        sm_pem_encode(&pem, "CERTIFICATE", sm_slice_of(ca->certificate.data, ca->certificate.len));
        (void)printf("%.*s", (int)pem.len, (const char *)pem.ptr);
        sm_buf_deinit(&pem);
    }
    return SM_NO_ERR;
}

/* "O=Acme,CN=Issuing CA" as a message. */
static sm_err parse_subject(struct command_work *w, const char *subject, Sealmill__V1__Name *out)
{
    struct sm_name name;
    SM_TRY(sm_name_from_text(sm_slice_str(subject), &w->arena, &name, &w->diag));
    sealmill__v1__name__init(out);
    out->attributes = sm_arena_alloc(&w->arena, (name.count + 1) * sizeof(*out->attributes));
    for (size_t i = 0; i < name.count && out->attributes != NULL; i++) {
        Sealmill__V1__NameAttribute *a = SM_ARENA_NEW(&w->arena, Sealmill__V1__NameAttribute);
        if (a == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        const char *type = sm_attribute_short_name(name.at[i].oid);
        sealmill__v1__name_attribute__init(a);
        a->type = command_text(w, type == NULL ? "?" : type);
        a->value = sm_arena_strdup(&w->arena, name.at[i].value);
        out->attributes[out->n_attributes++] = a;
    }
    return SM_NO_ERR;
}

static int run_create(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__CreateCaRequest r;
    Sealmill__V1__Name subject;
    ProtobufCMessage *m;
    const char *type = cli_get(args, "key-type");
    const char *validity = cli_get(args, "validity");
    command_begin(&w, args, true);
    sealmill__v1__create_ca_request__init(&r);
    r.name = command_word(&w, "a CA's name");
    if (!cli_has(args, "subject")) {
        cli_usage("--subject is needed, such as \"O=Acme,CN=Acme issuing\"");
    }
    r.key_type = (Sealmill__V1__KeyType)sm_key_type_parse(
        sm_slice_str(type == NULL ? "p256" : type));
    if (r.key_type == 0) {
        cli_usage("--key-type wants p256, p384, p521, rsa-2048, rsa-3072, rsa-4096, ed25519, ed448 "
                  "or ml-dsa-44/65/87");
    }
    if (validity != NULL &&
        !sm_ok(sm_duration_parse(sm_slice_str(validity), &r.validity_seconds))) {
        cli_usage("--validity wants a duration such as 10y");
    }
    r.parent = command_text(&w, cli_get(args, "parent"));
    r.self_signed = cli_has(args, "root");
    r.key_uri = command_text(&w, cli_get(args, "key-uri"));
    r.use_existing_key = cli_has(args, "existing-key");
    if (cli_has(args, "path-length")) {
        r.path_length_set = 1;
        r.path_length = (int32_t)cli_number(args, "path-length", 0, 0, 100);
    }
    sm_err err = parse_subject(&w, cli_get(args, "subject"), &subject);
    r.subject = &subject;
    err = sm_ok(err) ? client_call(&w.target, CA_SERVICE "Create", &r.base,
                                   &sealmill__v1__ca__descriptor, &w.arena, &m, &w.diag)
                     : err;
    err = sm_ok(err) ? show(&w, m) : err;
    return command_end(&w, err);
}

static const struct cli_option create_options[] = {
    CLIENT_OPTIONS,
    {"subject", "NAME", "Such as \"O=Acme,CN=Acme issuing\""},
    {"root", NULL, "Self-signed"},
    {"parent", "NAME",
     "Signed by this CA of ours (without --root and --parent: by an external signer, see ca csr)"},
    {"key-type", "TYPE",
     "p256 (default), p384, p521, rsa-2048, rsa-3072, rsa-4096, ed25519, ed448, ml-dsa-44/65/87"},
    {"key-uri", "URI", "Where the key is made (default file:NAME-1)"},
    {"existing-key", NULL, "Take the key that is there under --key-uri"},
    {"validity", "DURATION", "Default 10y"},
    {"path-length", "N", "pathLenConstraint"},
    {"pem", NULL, "Print the certificate too"},
    {NULL, NULL, NULL},
};

const struct cli_command command_ca_create = {
    "ca create",
    "NAME",
    "Make a CA",
    "  sealmill ca create acme-root --dir ./ca --root --subject \"O=Acme,CN=Acme root\" --key-type "
    "p384\n"
    "  sealmill ca create acme --dir ./ca --parent acme-root --subject \"O=Acme,CN=Acme "
    "issuing\"\n",
    create_options,
    run_create,
};

static int run_csr(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__GetCaCsrRequest r;
    ProtobufCMessage *m;
    command_begin(&w, args, true);
    sealmill__v1__get_ca_csr_request__init(&r);
    r.name = command_word(&w, "a CA's name");
    sm_err err = client_call(&w.target, CA_SERVICE "GetCsr", &r.base,
                             &sealmill__v1__get_ca_csr_response__descriptor, &w.arena, &m, &w.diag);
    if (sm_ok(err)) {
        const Sealmill__V1__GetCaCsrResponse *csr = (const Sealmill__V1__GetCaCsrResponse *)(void *)
            m;
        sm_buf pem = sm_buf_init(1U << 20);
        sm_pem_encode(&pem, "CERTIFICATE REQUEST", sm_slice_of(csr->csr.data, csr->csr.len));
        (void)printf("%.*s", (int)pem.len, (const char *)pem.ptr);
        sm_buf_deinit(&pem);
    }
    return command_end(&w, err);
}

static const struct cli_option plain_options[] = {
    CLIENT_OPTIONS, {"pem", NULL, "Print the certificate too"}, {NULL, NULL, NULL}};

const struct cli_command command_ca_csr = {
    "ca csr",
    "NAME",
    "Print a CA's PKCS#10 request for an external signer",
    "  sealmill ca csr acme --dir ./ca > acme.csr\n",
    plain_options,
    run_csr,
};

/* The first PEM block is the certificate, those behind it its chain. */
static sm_err read_chain(struct command_work *w, Sealmill__V1__ImportCaCertificateRequest *r)
{
    sm_buf file = sm_buf_init(4U << 20);
    SM_TRY(sm_file_read(cli_get(w->args, "cert-file"), &file, &w->diag));
    sm_slice rest = sm_buf_slice(&file);
    r->chain = sm_arena_alloc(&w->arena, 16 * sizeof(*r->chain));
    sm_err err = r->chain == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
    for (size_t i = 0; sm_ok(err) && i < 16; i++) {
        sm_slice label;
        sm_slice copy;
        sm_buf der = sm_buf_init(1U << 20);
        err = sm_pem_next(&rest, &label, &der);
        err = sm_ok(err) ? sm_arena_copy(&w->arena, sm_buf_slice(&der), &copy) : err;
        sm_buf_deinit(&der);
        if (sm_ok(err)) {
            union {
                const uint8_t *in;
                uint8_t *out;
            } ptr = {copy.ptr};
            ProtobufCBinaryData data = {copy.len, ptr.out};
            if (i == 0) {
                r->certificate = data;
            } else {
                r->chain[r->n_chain++] = data;
            }
        }
    }
    sm_buf_deinit(&file);
    return sm_err_is(err, SM_E_NOT_FOUND) && r->certificate.len > 0 ? SM_NO_ERR : err;
}

static int run_import(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__ImportCaCertificateRequest r;
    ProtobufCMessage *m;
    command_begin(&w, args, true);
    sealmill__v1__import_ca_certificate_request__init(&r);
    r.name = command_word(&w, "a CA's name");
    if (!cli_has(args, "cert-file")) {
        cli_usage("--cert-file is needed: PEM, the CA's certificate first, then its chain");
    }
    sm_err err = read_chain(&w, &r);
    err = sm_ok(err) ? client_call(&w.target, CA_SERVICE "ImportCertificate", &r.base,
                                   &sealmill__v1__ca__descriptor, &w.arena, &m, &w.diag)
                     : err;
    err = sm_ok(err) ? show(&w, m) : err;
    return command_end(&w, err);
}

static const struct cli_option import_options[] = {
    CLIENT_OPTIONS,
    {"cert-file", "FILE", "PEM: the CA's certificate, then its chain"},
    {"pem", NULL, "Print the certificate too"},
    {NULL, NULL, NULL},
};

const struct cli_command command_ca_import = {
    "ca import",
    "NAME",
    "Give a CA the certificate that an external signer made",
    "  sealmill ca import acme --dir ./ca --cert-file acme-chain.pem\n",
    import_options,
    run_import,
};

/* Adds a page to what there is. */
static sm_err add_page(struct command_work *w, const Sealmill__V1__ListCasResponse *page,
                       Sealmill__V1__ListCasResponse *all)
{
    Sealmill__V1__Ca **both = sm_arena_alloc(&w->arena,
                                             (all->n_cas + page->n_cas + 1) * sizeof(*both));
    if (both == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    if (all->n_cas > 0) {
        memcpy(both, all->cas, all->n_cas * sizeof(*both));
    }
    if (page->n_cas > 0) {
        memcpy(both + all->n_cas, page->cas, page->n_cas * sizeof(*both));
    }
    all->cas = both;
    all->n_cas += page->n_cas;
    return SM_NO_ERR;
}

/* Page after page. */
static sm_err list_cas(struct command_work *w, Sealmill__V1__ListCasResponse *all)
{
    Sealmill__V1__ListCasRequest r;
    sealmill__v1__list_cas_request__init(&r);
    r.page_size = CAS_PAGE;
    do {
        ProtobufCMessage *m;
        SM_TRY(client_call(&w->target, CA_SERVICE "List", &r.base,
                           &sealmill__v1__list_cas_response__descriptor, &w->arena, &m, &w->diag));
        const Sealmill__V1__ListCasResponse *page = (const Sealmill__V1__ListCasResponse *)(void *)
            m;
        SM_TRY(add_page(w, page, all));
        r.page_token = page->next_page_token;
    } while (r.page_token[0] != '\0');
    return SM_NO_ERR;
}

static int run_ca_list(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__ListCasResponse all;
    command_begin(&w, args, true);
    sealmill__v1__list_cas_response__init(&all);
    sm_err err = list_cas(&w, &all);
    if (sm_ok(err) && cli_has(args, "json")) {
        err = client_print_json(&all.base);
    }
    for (size_t i = 0; sm_ok(err) && !cli_has(args, "json") && i < all.n_cas; i++) {
        print_ca(all.cas[i]);
    }
    return command_end(&w, err);
}

const struct cli_command command_ca_list = {
    "ca list", NULL, "List the CAs", "  sealmill ca list --dir ./ca\n", plain_options, run_ca_list,
};

static int run_ca_show(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__GetCaRequest r;
    ProtobufCMessage *m;
    command_begin(&w, args, true);
    sealmill__v1__get_ca_request__init(&r);
    r.name = command_word(&w, "a CA's name");
    sm_err err = client_call(&w.target, CA_SERVICE "Get", &r.base, &sealmill__v1__ca__descriptor,
                             &w.arena, &m, &w.diag);
    err = sm_ok(err) ? show(&w, m) : err;
    return command_end(&w, err);
}

const struct cli_command command_ca_show = {
    "ca show",     "NAME",      "Show one CA", "  sealmill ca show issuing --dir ./ca --pem\n",
    plain_options, run_ca_show,
};

/* ---- tokens ---- */

static int run_token(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__CreateTokenRequest r;
    Sealmill__V1__Grant grant;
    Sealmill__V1__Grant *grants[] = {&grant};
    ProtobufCMessage *m;
    const char *validity = cli_get(args, "validity");
    char role[40];
    char *cas[CLI_VALUES_MAX];
    char *profiles[CLI_VALUES_MAX];
    command_begin(&w, args, true);
    if (!cli_has(args, "name") || !cli_has(args, "role")) {
        cli_usage("--name and --role are needed");
    }
    sealmill__v1__create_token_request__init(&r);
    sealmill__v1__grant__init(&grant);
    (void)snprintf(role, sizeof(role), "ROLE_%.30s", cli_get(args, "role"));
    for (char *c = role; *c != '\0'; c++) {
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    }
    sm_err err = sm_message_set_text(&grant.base, SM_LIT("role"), sm_slice_str(role), &w.arena,
                                     &w.diag);
    for (size_t i = 0; i < cli_count(args, "ca"); i++) {
        cas[grant.n_cas++] = command_text(&w, cli_at(args, "ca", i));
    }
    for (size_t i = 0; i < cli_count(args, "profile"); i++) {
        profiles[grant.n_profiles++] = command_text(&w, cli_at(args, "profile", i));
    }
    grant.cas = cas;
    grant.profiles = profiles;
    r.name = command_text(&w, cli_get(args, "name"));
    r.n_grants = 1;
    r.grants = grants;
    if (validity != NULL &&
        !sm_ok(sm_duration_parse(sm_slice_str(validity), &r.validity_seconds))) {
        cli_usage("--validity wants a duration such as 30d");
    }
    err = sm_ok(err)
              ? client_call(&w.target, CALLER_SERVICE "CreateToken", &r.base,
                            &sealmill__v1__create_token_response__descriptor, &w.arena, &m, &w.diag)
              : err;
    if (sm_ok(err) && cli_has(args, "json")) {
        err = client_print_json(m);
    } else if (sm_ok(err)) {
        (void)printf("%s\n", ((const Sealmill__V1__CreateTokenResponse *)(void *)m)->secret);
    }
    return command_end(&w, err);
}

static const struct cli_option token_options[] = {
    CLIENT_OPTIONS,
    {"name", "NAME", "The caller's name in logs and audit"},
    {"role", "ROLE", "admin, operator, ra, auditor or reader"},
    {"ca", "NAME", "ra: for this CA (\"*\": all); may be repeated"},
    {"profile", "NAME", "ra: for this profile (\"*\": all); may be repeated"},
    {"validity", "DURATION", "Default 30d"},
    {NULL, NULL, NULL},
};

const struct cli_command command_token_create = {
    "token create",
    NULL,
    "Make a bearer token; it is shown once",
    "  sealmill token create --dir ./ca --name ci --role ra --ca issuing --profile device > "
    "token\n",
    token_options,
    run_token,
};
