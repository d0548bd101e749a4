/* SPDX-License-Identifier: Apache-2.0 */
/* ocsp create, csr, certificate: CAs that sealmill does not run. */
#include "base/check.h"
#include "base/file.h"
#include "base/text.h"
#include "gen/sealmill/v1/ca.pb-c.h"
#include "sign/alg.h"
#include "tools/command_work.h"
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>

#define SERVICE "/sealmill.v1.CaService/"
#define CHAIN_MAX 16

static sm_err keep(struct command_work *w, sm_slice der, ProtobufCBinaryData *out)
{
    sm_slice copy;
    SM_TRY(sm_arena_copy(&w->arena, der, &copy));
    union {
        const uint8_t *in;
        uint8_t *out;
    } ptr = {copy.ptr};
    *out = (ProtobufCBinaryData){copy.len, ptr.out};
    return SM_NO_ERR;
}

/* A file's certificates: PEM blocks, or one in DER. */
static sm_err read_certificates(struct command_work *w, const char *path, ProtobufCBinaryData *out,
                                size_t *count)
{
    sm_buf file = sm_buf_init(4U << 20);
    sm_err err = sm_file_read(path, &file, &w->diag);
    sm_slice rest = sm_buf_slice(&file);
    *count = 0;
    if (sm_ok(err) && rest.len > 0 && rest.ptr[0] == 0x30) {
        err = keep(w, rest, &out[(*count)++]);
        rest = SM_SLICE_NONE;
    }
    while (sm_ok(err) && *count < CHAIN_MAX) {
        sm_slice label;
        sm_buf der = sm_buf_init(1U << 20);
        err = sm_pem_next(&rest, &label, &der);
        err = sm_ok(err) ? keep(w, sm_buf_slice(&der), &out[*count]) : err;
        *count += sm_ok(err) ? 1 : 0;
        sm_buf_deinit(&der);
    }
    sm_buf_deinit(&file);
    if (sm_err_is(err, SM_E_NOT_FOUND) && *count > 0) {
        return SM_NO_ERR;
    }
    return *count == 0 ? sm_diag_set(&w->diag, sm_ok(err) ? SM_ERR(NOT_FOUND) : err, "file",
                                     "%s holds no certificate", path)
                       : err;
}

static sm_err show(struct command_work *w, const ProtobufCMessage *m)
{
    const Sealmill__V1__Ca *ca = (const Sealmill__V1__Ca *)(const void *)m;
    if (cli_has(w->args, "json")) {
        return client_print_json(m);
    }
    (void)printf("%s  responder only  %s\n", ca->name, ca->subject);
    return SM_NO_ERR;
}

/* ---- create ---- */

static sm_err fill_files(struct command_work *w, Sealmill__V1__CreateResponderRequest *r)
{
    static ProtobufCBinaryData certificates[CHAIN_MAX];
    static ProtobufCBinaryData responder[CHAIN_MAX];
    size_t count;
    SM_TRY(read_certificates(w, cli_get(w->args, "cert-file"), certificates, &count));
    r->certificate = certificates[0];
    r->chain = certificates + 1;
    r->n_chain = count - 1;
    if (cli_has(w->args, "responder-cert")) {
        SM_TRY(read_certificates(w, cli_get(w->args, "responder-cert"), responder, &count));
        r->responder_certificate = responder[0];
    }
    return SM_NO_ERR;
}

static int run_create(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__CreateResponderRequest r;
    ProtobufCMessage *m;
    const char *type = cli_get(args, "key-type");
    const char *unknown = cli_get(args, "unknown");
    command_begin(&w, args, true);
    sealmill__v1__create_responder_request__init(&r);
    r.name = command_word(&w, "a CA's name");
    if (!cli_has(args, "cert-file")) {
        cli_usage("--cert-file is needed: PEM or DER, the CA's certificate first, then its chain");
    }
    if (unknown != NULL && strcmp(unknown, "good") != 0 && strcmp(unknown, "unknown") != 0) {
        cli_usage("--unknown wants good or unknown");
    }
    r.unknown_is_good = unknown != NULL && strcmp(unknown, "good") == 0;
    r.offline = cli_has(args, "offline");
    r.key_uri = command_text(&w, cli_get(args, "key-uri"));
    r.use_existing_key = cli_has(args, "existing-key");
    r.key_type = type == NULL ? 0 : (Sealmill__V1__KeyType)sm_key_type_parse(sm_slice_str(type));
    if (type != NULL && r.key_type == 0) {
        cli_usage("--key-type: as for ca create");
    }
    sm_err err = fill_files(&w, &r);
    err = sm_ok(err) ? client_call(&w.target, SERVICE "CreateResponder", &r.base,
                                   &sealmill__v1__ca__descriptor, &w.arena, &m, &w.diag)
                     : err;
    err = sm_ok(err) ? show(&w, m) : err;
    return command_end(&w, err);
}

static const struct cli_option create_options[] = {
    CLIENT_OPTIONS,
    {"cert-file", "FILE", "The CA's certificate, then its chain: PEM, or DER"},
    {"offline", NULL, "No key: its answers are signed elsewhere, and loaded (ocsp load)"},
    {"unknown", "WORD", "good: so are serial numbers in no source (default unknown)"},
    {"key-type", "TYPE", "Of the responder's key, as for ca create (default p256)"},
    {"key-uri", "URI", "Where it is made (default file:NAME-ocsp-1)"},
    {"existing-key", NULL, "Take the key that is there under --key-uri"},
    {"responder-cert", "FILE", "The existing key's certificate, PEM or DER"},
    {NULL, NULL, NULL},
};

const struct cli_command command_ocsp_create = {
    "ocsp create",
    "NAME",
    "Answer OCSP for a CA that sealmill does not run",
    "  sealmill ocsp create old-ca --dir ./ca --cert-file old-ca.pem\n"
    "  sealmill ocsp create vault --dir ./ca --cert-file vault.pem --offline\n",
    create_options,
    run_create,
};

/* ---- csr, certificate ---- */

static int run_csr(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__GetResponderCsrRequest r;
    ProtobufCMessage *m;
    command_begin(&w, args, true);
    sealmill__v1__get_responder_csr_request__init(&r);
    r.name = command_word(&w, "a CA's name");
    sm_err err = client_call(&w.target, SERVICE "GetResponderCsr", &r.base,
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

static const struct cli_option plain_options[] = {CLIENT_OPTIONS, {NULL, NULL, NULL}};

const struct cli_command command_ocsp_csr = {
    "ocsp csr",
    "NAME",
    "Print the PKCS#10 request of the responder's key, for that CA's signer",
    "  sealmill ocsp csr old-ca --dir ./ca > responder.csr\n",
    plain_options,
    run_csr,
};

static int run_certificate(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__ImportResponderCertificateRequest r;
    ProtobufCBinaryData certificates[CHAIN_MAX];
    ProtobufCMessage *m;
    size_t count;
    command_begin(&w, args, true);
    sealmill__v1__import_responder_certificate_request__init(&r);
    r.name = command_word(&w, "a CA's name");
    if (!cli_has(args, "cert-file")) {
        cli_usage("--cert-file is needed: the responder's certificate");
    }
    sm_err err = read_certificates(&w, cli_get(args, "cert-file"), certificates, &count);
    if (sm_ok(err)) {
        r.certificate = certificates[0];
        err = client_call(&w.target, SERVICE "ImportResponderCertificate", &r.base,
                          &sealmill__v1__ca__descriptor, &w.arena, &m, &w.diag);
    }
    err = sm_ok(err) ? show(&w, m) : err;
    return command_end(&w, err);
}

static const struct cli_option certificate_options[] = {
    CLIENT_OPTIONS,
    {"cert-file", "FILE", "The responder's certificate, PEM or DER"},
    {NULL, NULL, NULL},
};

const struct cli_command command_ocsp_certificate = {
    "ocsp certificate",
    "NAME",
    "Give the responder of a foreign CA its certificate, the first or the next",
    "  sealmill ocsp certificate old-ca --dir ./ca --cert-file responder.pem\n",
    certificate_options,
    run_certificate,
};
