/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What DER costs in one issuance: reading the request, writing the TBSCertificate and the
 * certificate, beside what OpenSSL takes for the same. Nanoseconds for one operation, the best of
 * several rounds.
 *
 *     bench_der [--seconds S]     S for each line, 0.2 unless told
 */
#include "base/check.h"
#include "base/clock.h"
#include "sign/cert.h"
#include "sign/oids.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 5
#define DEFAULT_SECONDS 0.2

struct input {
    sm_slice csr;
    sm_slice cert;
    struct sm_csr parsed;
    sm_cert_template *template;
    struct sm_san sans[2];
    sm_arena arena;
    sm_buf out;
    EVP_PKEY *key;
    X509_REQ *req;
};

static double seconds = DEFAULT_SECONDS;

/* ---- ours ---- */

static void parse_csr(struct input *in)
{
    SM_CHECK(sm_ok(sm_csr_parse(in->csr, &in->parsed, NULL)));
}

static void parse_sans(struct input *in)
{
    struct sm_san *sans;
    size_t count;
    const struct sm_extension *ext = sm_csr_extension(&in->parsed, SM_OID_SUBJECT_ALT_NAME);
    SM_CHECK(ext != NULL &&
             sm_ok(sm_sans_parse(ext->value, false, &in->arena, &sans, &count, NULL)));
    sm_arena_reset(&in->arena);
}

static void parse_key(struct input *in)
{
    struct sm_public_key key;
    SM_CHECK(sm_ok(sm_public_key_parse(in->parsed.key.spki, &key, NULL)));
}

static void write_tbs(struct input *in)
{
    static const uint8_t serial[20] = {0x41, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    const struct sm_cert_params params = {
        .serial = sm_slice_of(serial, sizeof(serial)),
        .not_before = 1700000000,
        .not_after = 1800000000,
        .subject = in->parsed.subject,
        .key = &in->parsed.key,
        .sans = in->sans,
        .san_count = 2,
    };
    sm_buf_reset(&in->out);
    SM_CHECK(sm_ok(sm_cert_write_tbs(in->template, &params, &in->out)));
}

static void make_serial(struct input *in)
{
    uint8_t serial[SM_SERIAL_LEN];
    (void)in;
    sm_serial_make(serial);
}

static void parse_cert(struct input *in)
{
    struct sm_cert cert;
    SM_CHECK(sm_ok(sm_cert_parse(in->cert, &cert, NULL)));
}

static void hash_key(struct input *in)
{
    uint8_t id[20];
    SM_CHECK(sm_ok(sm_public_key_id(&in->parsed.key, id)));
}

/* ---- OpenSSL ---- */

static void ossl_parse_csr(struct input *in)
{
    const uint8_t *p = in->csr.ptr;
    X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)in->csr.len);
    SM_CHECK(req != NULL);
    X509_REQ_free(req);
}

static void ossl_parse_sans(struct input *in)
{
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(in->req);
    GENERAL_NAMES *names = X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL);
    SM_CHECK(names != NULL);
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
}

static void ossl_parse_key(struct input *in)
{
    const uint8_t *p = in->parsed.key.spki.ptr;
    X509_PUBKEY *key = d2i_X509_PUBKEY(NULL, &p, (long)in->parsed.key.spki.len);
    SM_CHECK(key != NULL);
    X509_PUBKEY_free(key);
}

/* A certificate of the same content by the X509 functions, then its TBSCertificate. */
static void ossl_write_tbs(struct input *in)
{
    X509 *cert = X509_new();
    ASN1_INTEGER *serial = X509_get_serialNumber(cert);
    SM_CHECK(X509_set_version(cert, X509_VERSION_3) &&
             ASN1_INTEGER_set_uint64(serial, 0x4102030405060708));
    SM_CHECK(ASN1_TIME_set(X509_getm_notBefore(cert), 1700000000) != NULL);
    SM_CHECK(ASN1_TIME_set(X509_getm_notAfter(cert), 1800000000) != NULL);
    SM_CHECK(X509_set_subject_name(cert, X509_REQ_get_subject_name(in->req)));
    SM_CHECK(X509_set_issuer_name(cert, X509_REQ_get_subject_name(in->req)));
    SM_CHECK(X509_set_pubkey(cert, X509_REQ_get0_pubkey(in->req)));
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(in->req);
    for (int i = 0; i < sk_X509_EXTENSION_num(exts); i++) {
        SM_CHECK(X509_add_ext(cert, sk_X509_EXTENSION_value(exts, i), -1));
    }
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    /* The accessor gives a const pointer, yet this is the field that X509_sign would set. */
    X509_ALGOR *alg = (X509_ALGOR *)(uintptr_t)X509_get0_tbs_sigalg(cert);
    SM_CHECK(X509_ALGOR_set0(alg, OBJ_nid2obj(NID_ecdsa_with_SHA256), V_ASN1_UNDEF, NULL));
    uint8_t *der = NULL;
    SM_CHECK(i2d_re_X509_tbs(cert, &der) > 0);
    OPENSSL_free(der);
    X509_free(cert);
}

static void ossl_parse_cert(struct input *in)
{
    const uint8_t *p = in->cert.ptr;
    X509 *cert = d2i_X509(NULL, &p, (long)in->cert.len);
    SM_CHECK(cert != NULL);
    X509_free(cert);
}

static void ossl_hash_key(struct input *in)
{
    uint8_t id[20];
    SM_CHECK(
        EVP_Digest(in->parsed.key.bits.ptr, in->parsed.key.bits.len, id, NULL, EVP_sha1(), NULL));
}

static double measure(void (*f)(struct input *), struct input *in)
{
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = sm_clock_mono_ns();
        uint64_t end = start + (uint64_t)(seconds * 1e9 / ROUNDS);
        uint64_t now = start;
        uint64_t count = 0;
        while (now < end) {
            for (int i = 0; i < 64; i++) {
                f(in);
            }
            count += 64;
            now = sm_clock_mono_ns();
        }
        double ns = (double)(now - start) / (double)count;
        best = ns < best ? ns : best;
    }
    return best;
}

static void line(const char *what, void (*ours)(struct input *), void (*theirs)(struct input *),
                 struct input *in)
{
    double a = measure(ours, in);
    if (theirs == NULL) {
        (void)printf("%-38s %9.0f ns\n", what, a);
        return;
    }
    double b = measure(theirs, in);
    (void)printf("%-38s %9.0f ns %12.0f ns %9.1f x\n", what, a, b, b / a);
}

static void add_ext(STACK_OF(X509_EXTENSION) * exts, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_nconf_nid(NULL, NULL, nid, value);
    SM_CHECK(ext != NULL && sk_X509_EXTENSION_push(exts, ext) > 0);
}

static X509_REQ *make_request(EVP_PKEY *key)
{
    X509_REQ *req = X509_REQ_new();
    X509_NAME *name = X509_NAME_new();
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    SM_CHECK(req != NULL && name != NULL && exts != NULL);
    SM_CHECK(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const uint8_t *)"Acme Devices",
                                        -1, -1, 0));
    SM_CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)"device-000001",
                                        -1, -1, 0));
    SM_CHECK(X509_REQ_set_subject_name(req, name) && X509_REQ_set_pubkey(req, key));
    add_ext(exts, NID_subject_alt_name, "DNS:device-000001.fleet.example,IP:192.0.2.17");
    add_ext(exts, NID_key_usage, "critical,digitalSignature");
    add_ext(exts, NID_ext_key_usage, "clientAuth");
    SM_CHECK(X509_REQ_add_extensions(req, exts) && X509_REQ_sign(req, key, EVP_sha256()) > 0);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    X509_NAME_free(name);
    return req;
}

/* What a device profile writes besides the identifiers and the SANs. */
static void make_template(struct input *in)
{
    static const uint8_t ca_key_id[20] = {1, 2, 3};
    const struct sm_extension exts[] = {
        {SM_OID_KEY_USAGE, true, SM_LIT("\x03\x02\x07\x80")},
        {SM_OID_EKU, false, SM_LIT("\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02")},
        {SM_OID_BASIC_CONSTRAINTS, true, SM_LIT("\x30\x00")},
    };
    const struct sm_cert_template_config config = {
        .sig_alg = SM_SIG_ECDSA_SHA256,
        .issuer = in->parsed.subject,
        .authority_key_id = sm_slice_of(ca_key_id, sizeof(ca_key_id)),
        .subject_key_id = true,
        .extensions = exts,
        .extension_count = SM_ARRAY_LEN(exts),
    };
    SM_CHECK(sm_ok(sm_cert_template_new(&config, &in->template)));
}

static void run(const char *title, EVP_PKEY *key)
{
    struct input in = {.key = key, .req = make_request(key), .out = sm_buf_init(65536)};
    uint8_t *der = NULL;
    int len = i2d_X509_REQ(in.req, &der);
    SM_CHECK(key != NULL && len > 0);
    in.csr = sm_slice_of(der, (size_t)len);
    sm_arena_init(&in.arena, 1 << 20);
    (void)printf("\n%-38s %12s %15s %11s\n", title, "sealmill", "OpenSSL", "ratio");
    parse_csr(&in);
    in.sans[0] = (struct sm_san){SM_SAN_DNS, SM_LIT("device-000001.fleet.example")};
    in.sans[1] = (struct sm_san){SM_SAN_IP, SM_LIT("\xc0\x00\x02\x11")};
    make_template(&in);
    line("request: parse", parse_csr, ossl_parse_csr, &in);
    line("  of it the public key", parse_key, ossl_parse_key, &in);
    line("request: subjectAltName", parse_sans, ossl_parse_sans, &in);
    line("key identifier (SHA-1)", hash_key, ossl_hash_key, &in);
    line("serial number", make_serial, NULL, &in);
    line("TBSCertificate: write", write_tbs, ossl_write_tbs, &in);
    sm_buf cert = sm_buf_init(65536);
    SM_CHECK(sm_ok(
        sm_signed_write(&cert, sm_buf_slice(&in.out), SM_SIG_ECDSA_SHA256, in.parsed.signature)));
    in.cert = sm_buf_slice(&cert);
    line("certificate: parse", parse_cert, ossl_parse_cert, &in);
    sm_cert_template_free(&in.template);
    sm_buf_deinit(&cert);
    sm_buf_deinit(&in.out);
    sm_arena_deinit(&in.arena);
    X509_REQ_free(in.req);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--seconds") == 0) {
        seconds = atof(argv[2]);
    }
    run("P-256", EVP_EC_gen("P-256"));
    run("RSA-2048", EVP_RSA_gen(2048));
    run("RSA-4096", EVP_RSA_gen(4096));
    return 0;
}
