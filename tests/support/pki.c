/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/pki.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define HOUR_S 3600L
#define DAY_S 86400L

const char *sm_pki_path(const char *dir, const char *name, const char *suffix)
{
    static char places[16][512];
    static unsigned at;
    char *to = places[at++ % 16];
    (void)snprintf(to, sizeof(places[0]), "%s/%s%s", dir, name, suffix);
    return to;
}

static EVP_PKEY *make_key(const char *type)
{
    if (type != NULL && strcmp(type, "RSA") == 0) {
        return EVP_RSA_gen(2048);
    }
    if (type != NULL && strcmp(type, "ED25519") == 0) {
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    return EVP_EC_gen("P-256");
}

static EVP_PKEY *read_key(const char *path)
{
    FILE *file = fopen(path, "re");
    EVP_PKEY *key = file == NULL ? NULL : PEM_read_PrivateKey(file, NULL, NULL, NULL);
    if (file != NULL) {
        (void)fclose(file);
    }
    return key;
}

static X509 *read_cert(const char *path)
{
    FILE *file = fopen(path, "re");
    X509 *cert = file == NULL ? NULL : PEM_read_X509(file, NULL, NULL, NULL);
    if (file != NULL) {
        (void)fclose(file);
    }
    return cert;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool good = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static bool set_serial(X509 *cert)
{
    uint8_t octets[16];
    if (RAND_bytes(octets, sizeof(octets)) != 1) {
        return false;
    }
    octets[0] &= 0x7f;
    BIGNUM *number = BN_bin2bn(octets, sizeof(octets), NULL);
    bool good = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return good;
}

static bool fill(X509 *cert, const struct sm_pki_spec *spec, EVP_PKEY *key, X509 *issuer)
{
    const char *cn = spec->subject_cn == NULL ? spec->name : spec->subject_cn;
    int64_t valid_for_s = spec->valid_for_s == 0 ? DAY_S : spec->valid_for_s;
    X509_NAME *subject = X509_get_subject_name(cert);
    bool good = X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
                X509_gmtime_adj(X509_getm_notBefore(cert), -HOUR_S) != NULL &&
                X509_gmtime_adj(X509_getm_notAfter(cert), (long)valid_for_s - HOUR_S) != NULL &&
                X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)cn,
                                           -1, -1, 0) == 1 &&
                X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
                X509_set_pubkey(cert, key) == 1;
    good = good && add_extension(cert, issuer, NID_basic_constraints,
                                 spec->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    good = good &&
           add_extension(cert, issuer, NID_key_usage,
                         spec->ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    good = good && add_extension(cert, issuer, NID_subject_key_identifier, "hash");
    good = good && add_extension(cert, issuer, NID_authority_key_identifier, "keyid");
    if (spec->sans != NULL) {
        good = good && add_extension(cert, issuer, NID_subject_alt_name, spec->sans);
    }
    if (spec->eku != NULL) {
        good = good && add_extension(cert, issuer, NID_ext_key_usage, spec->eku);
    }
    return good;
}

static bool write_files(const char *dir, const char *name, EVP_PKEY *key, X509 *cert, X509 *issuer)
{
    FILE *file = fopen(sm_pki_path(dir, name, ".key"), "we");
    bool good = file != NULL && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;
    if (file != NULL) {
        good = fclose(file) == 0 && good;
    }
    file = fopen(sm_pki_path(dir, name, ".pem"), "we");
    good = file != NULL && good && PEM_write_X509(file, cert) == 1;
    bool in_between = issuer != cert && X509_NAME_cmp(X509_get_subject_name(issuer),
                                                      X509_get_issuer_name(issuer)) != 0;
    if (in_between) {
        good = good && PEM_write_X509(file, issuer) == 1;
    }
    if (file != NULL) {
        good = fclose(file) == 0 && good;
    }
    return good;
}

bool sm_pki_make(const char *dir, const struct sm_pki_spec *spec)
{
    EVP_PKEY *key = make_key(spec->key_type);
    X509 *cert = X509_new();
    EVP_PKEY *issuer_key = key;
    X509 *issuer = cert;
    if (spec->issuer != NULL) {
        issuer_key = read_key(sm_pki_path(dir, spec->issuer, ".key"));
        issuer = read_cert(sm_pki_path(dir, spec->issuer, ".pem"));
    }
    bool good = key != NULL && cert != NULL && issuer_key != NULL && issuer != NULL &&
                fill(cert, spec, key, issuer);
    if (good) {
        bool plain = EVP_PKEY_is_a(issuer_key, "ED25519") == 1;
        good = X509_sign(cert, issuer_key, plain ? NULL : EVP_sha256()) > 0 &&
               write_files(dir, spec->name, key, cert, issuer);
    }
    if (!good) {
        ERR_print_errors_fp(stderr);
    }
    if (spec->issuer != NULL) {
        EVP_PKEY_free(issuer_key);
        X509_free(issuer);
    }
    EVP_PKEY_free(key);
    X509_free(cert);
    return good;
}

bool sm_pki_copy(const char *from, const char *to)
{
    char octets[65536];
    FILE *in = fopen(from, "re");
    FILE *out = in == NULL ? NULL : fopen(to, "we");
    size_t n = in == NULL || out == NULL ? 0 : fread(octets, 1, sizeof(octets), in);
    bool good = n > 0 && n < sizeof(octets) && fwrite(octets, 1, n, out) == n;
    if (in != NULL) {
        (void)fclose(in);
    }
    if (out != NULL) {
        good = fclose(out) == 0 && good;
    }
    return good;
}
