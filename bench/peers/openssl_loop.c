/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peer of one loop: an issuing CA as one writes it with OpenSSL alone. Each turn parses a
 * PKCS#10 request, verifies its proof of possession, builds a certificate with the extensions that
 * a device certificate has, signs it (P-256, SHA-256) and encodes it. In memory, one thread; no
 * TLS, no protocol, no database. The requests, of distinct keys, are made before the clock starts,
 * and so are the extensions that every certificate has alike: made anew from their configuration
 * text in each turn they cost 40 % of the rate.
 *
 *     openssl_loop [--seconds N] [--csrs N] [--print | --requests]
 *
 * Prints one line of JSON; with --print one certificate in PEM, to look at; with --requests the
 * requests in PEM, for another peer's load.
 */
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SERIAL_OCTETS 16 /* RFC 5280 section 4.1.2.2: 20 at the most, positive */
#define VALIDITY_S (365L * 24 * 3600)
#define CLOCK_EVERY 64 /* turns between two looks at the clock */

struct der {
    unsigned char *ptr;
    int len;
};

#define SAME_EXTENSIONS 4 /* AKI, KU, EKU, BC */

struct ca {
    EVP_PKEY *key;
    X509 *cert;
    EVP_MD *sha256;                        /* fetched once, not at each signature */
    X509_EXTENSION *same[SAME_EXTENSIONS]; /* in every certificate of this CA alike */
};

static void require(int ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "openssl_loop: %s\n", what);
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- what is made before the clock starts ---- */

static void add_name(X509_NAME *name, const char *common_name)
{
    require(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                       (const unsigned char *)common_name, -1, -1, 0),
            "name");
}

static struct der make_csr(int number)
{
    struct der out = {NULL, 0};
    char name[64];
    char san[80];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_REQ *csr = X509_REQ_new();
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    require(key != NULL && csr != NULL && extensions != NULL, "memory");
    (void)snprintf(name, sizeof(name), "load-%d", number);
    (void)snprintf(san, sizeof(san), "DNS:load-%d.example", number);
    add_name(X509_REQ_get_subject_name(csr), name);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    require(extension != NULL && sk_X509_EXTENSION_push(extensions, extension) > 0, "SAN");
    require(X509_REQ_add_extensions(csr, extensions), "extension request");
    require(X509_REQ_set_pubkey(csr, key), "public key");
    require(X509_REQ_sign(csr, key, EVP_sha256()) > 0, "request's signature");
    out.len = i2d_X509_REQ(csr, &out.ptr);
    require(out.len > 0, "request's encoding");
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    X509_REQ_free(csr);
    EVP_PKEY_free(key);
    return out;
}

static X509_EXTENSION *make_extension(X509 *issuer, X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    require(extension != NULL, value);
    return extension;
}

static void add_extension(X509 *issuer, X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = make_extension(issuer, cert, nid, value);
    require(X509_add_ext(cert, extension, -1), value);
    X509_EXTENSION_free(extension);
}

static void set_serial_and_dates(X509 *cert)
{
    unsigned char serial[SERIAL_OCTETS];
    require(RAND_bytes(serial, sizeof(serial)) == 1, "random octets");
    serial[0] = (unsigned char)((serial[0] & 0x7F) | 0x40);
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    require(number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL,
            "serial");
    BN_free(number);
    require(X509_gmtime_adj(X509_getm_notBefore(cert), 0) != NULL &&
                X509_gmtime_adj(X509_getm_notAfter(cert), VALIDITY_S) != NULL,
            "dates");
}

static struct ca make_ca(void)
{
    struct ca ca = {EVP_EC_gen("P-256"), X509_new(), EVP_MD_fetch(NULL, "SHA256", NULL), {NULL}};
    require(ca.key != NULL && ca.cert != NULL && ca.sha256 != NULL, "memory");
    require(X509_set_version(ca.cert, X509_VERSION_3), "version");
    set_serial_and_dates(ca.cert);
    add_name(X509_get_subject_name(ca.cert), "loop CA");
    require(X509_set_issuer_name(ca.cert, X509_get_subject_name(ca.cert)), "issuer");
    require(X509_set_pubkey(ca.cert, ca.key), "public key");
    add_extension(ca.cert, ca.cert, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(ca.cert, ca.cert, NID_subject_key_identifier, "hash");
    require(X509_sign(ca.cert, ca.key, ca.sha256) > 0, "CA's signature");
    ca.same[0] = make_extension(ca.cert, NULL, NID_authority_key_identifier, "keyid");
    ca.same[1] = make_extension(ca.cert, NULL, NID_key_usage, "critical,digitalSignature");
    ca.same[2] = make_extension(ca.cert, NULL, NID_ext_key_usage, "clientAuth,serverAuth");
    ca.same[3] = make_extension(ca.cert, NULL, NID_basic_constraints, "critical,CA:FALSE");
    return ca;
}

/* ---- what is measured ---- */

/* The SAN that the request asked for, as it stands. */
static void copy_san(X509_REQ *csr, X509 *cert)
{
    STACK_OF(X509_EXTENSION) *asked = X509_REQ_get_extensions(csr);
    int at = X509v3_get_ext_by_NID(asked, NID_subject_alt_name, -1);
    require(at >= 0 && X509_add_ext(cert, X509v3_get_ext(asked, at), -1), "SAN");
    sk_X509_EXTENSION_pop_free(asked, X509_EXTENSION_free);
}

/* RFC 5280 section 4.2.1.2, method 1. */
static void add_key_id(X509 *cert)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    require(id != NULL && X509_pubkey_digest(cert, EVP_sha1(), digest, &len) &&
                ASN1_OCTET_STRING_set(id, digest, (int)len) &&
                X509_add1_ext_i2d(cert, NID_subject_key_identifier, id, 0, X509V3_ADD_DEFAULT) == 1,
            "key identifier");
    ASN1_OCTET_STRING_free(id);
}

static struct der issue(const struct ca *ca, struct der request)
{
    struct der out = {NULL, 0};
    const unsigned char *at = request.ptr;
    X509_REQ *csr = d2i_X509_REQ(NULL, &at, request.len);
    require(csr != NULL, "request");
    EVP_PKEY *key = X509_REQ_get0_pubkey(csr);
    require(X509_REQ_verify(csr, key) == 1, "proof of possession");
    X509 *cert = X509_new();
    require(cert != NULL && X509_set_version(cert, X509_VERSION_3), "version");
    set_serial_and_dates(cert);
    require(X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) &&
                X509_set_subject_name(cert, X509_REQ_get_subject_name(csr)) &&
                X509_set_pubkey(cert, key),
            "names and key");
    for (int i = 0; i < SAME_EXTENSIONS; i++) {
        require(X509_add_ext(cert, ca->same[i], -1), "extension");
    }
    add_key_id(cert);
    copy_san(csr, cert);
    require(X509_sign(cert, ca->key, ca->sha256) > 0, "signature");
    out.len = i2d_X509(cert, &out.ptr);
    require(out.len > 0, "encoding");
    X509_free(cert);
    X509_REQ_free(csr);
    return out;
}

static void print_one(const struct ca *ca, struct der request)
{
    struct der made = issue(ca, request);
    const unsigned char *at = made.ptr;
    X509 *cert = d2i_X509(NULL, &at, made.len);
    require(cert != NULL && X509_verify(cert, ca->key) == 1, "what was made");
    (void)PEM_write_X509(stdout, cert);
    X509_free(cert);
    OPENSSL_free(made.ptr);
}

static void measure(const struct ca *ca, const struct der *csrs, int count, double seconds)
{
    unsigned long done = 0;
    double start = now_s();
    double end = start + seconds;
    double now = start;
    while (now < end) {
        for (int i = 0; i < CLOCK_EVERY; i++, done++) {
            struct der made = issue(ca, csrs[done % (unsigned long)count]);
            OPENSSL_free(made.ptr);
        }
        now = now_s();
    }
    (void)printf("{\"certificates_per_second\":%.1f,\"certificates\":%lu,\"seconds\":%.3f,"
                 "\"openssl\":\"%s\"}\n",
                 (double)done / (now - start), done, now - start,
                 OpenSSL_version(OPENSSL_VERSION_STRING));
}

static void print_requests(const struct der *csrs, int count)
{
    for (int i = 0; i < count; i++) {
        require(PEM_write(stdout, PEM_STRING_X509_REQ, "", csrs[i].ptr, csrs[i].len) > 0,
                "request's PEM");
    }
}

struct options {
    double seconds;
    int count;
    int print;
    int requests;
};

static struct options parse(int argc, char **argv)
{
    struct options o = {5, 20000, 0, 0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            o.seconds = strtod(argv[++i], NULL);
        } else if (strcmp(argv[i], "--csrs") == 0 && i + 1 < argc) {
            o.count = (int)strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--print") == 0) {
            o.print = 1;
        } else if (strcmp(argv[i], "--requests") == 0) {
            o.requests = 1;
        } else {
            (void)fprintf(stderr, "usage: %s [--seconds N] [--csrs N] [--print | --requests]\n",
                          argv[0]);
            exit(2);
        }
    }
    o.count = o.print || o.count < 1 ? 1 : o.count;
    return o;
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);
    struct ca ca = make_ca();
    struct der *csrs = calloc((size_t)o.count, sizeof(*csrs));
    require(csrs != NULL, "memory");
    for (int i = 0; i < o.count; i++) {
        csrs[i] = make_csr(i);
    }
    if (o.print) {
        print_one(&ca, csrs[0]);
    } else if (o.requests) {
        print_requests(csrs, o.count);
    } else {
        measure(&ca, csrs, o.count, o.seconds);
    }
    for (int i = 0; i < o.count; i++) {
        OPENSSL_free(csrs[i].ptr);
    }
    free(csrs);
    for (int i = 0; i < SAME_EXTENSIONS; i++) {
        X509_EXTENSION_free(ca.same[i]);
    }
    EVP_MD_free(ca.sha256);
    X509_free(ca.cert);
    EVP_PKEY_free(ca.key);
    return 0;
}
