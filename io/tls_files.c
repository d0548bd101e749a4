/* SPDX-License-Identifier: Apache-2.0 */
/* What TLS reads from files, and the settings of every context. */
#include "base/log.h"
#include "io/tls_p.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define VERIFY_DEPTH 8 /* real chains have 2 to 4 */

/* A key that needs a passphrase is refused; OpenSSL would ask for it on the terminal. */
static int no_passphrase(char *to, int size, int writing, void *ctx)
{
    (void)to;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

bool sm_tls_set_common(SSL_CTX *ctx, const char *groups, int minimum_version)
{
    /* TLS 1.2 with forward secrecy and an AEAD alone (RFC 9325 4.2). */
    static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_verify_depth(ctx, VERIFY_DEPTH);
    (void)X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    /* SSL_CTX_set1_groups_list without its macro's cast, which drops const. */
    union {
        const char *in;
        void *out;
    } list = {groups == NULL ? SM_TLS_GROUPS_DEFAULT : groups};
    return SSL_CTX_set_min_proto_version(ctx, minimum_version) == 1 &&
           SSL_CTX_set_cipher_list(ctx, ciphers) == 1 &&
           SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, list.out) == 1;
}

const char *sm_tls_error_text(char *out, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    (void)snprintf(out, size, "%s", reason == NULL ? "unknown reason" : reason);
    ERR_clear_error();
    return out;
}

/* OpenSSL's words for a missing file are poor. */
static sm_err check_file(const char *path, const char *field, sm_diag *diag)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return sm_diag_set(diag, SM_ERR(NOT_FOUND), field, "%s: %s", path, strerror(errno));
    }
    (void)fclose(file);
    ERR_clear_error();
    return SM_NO_ERR;
}

static bool last_error_is(int library, int reason)
{
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == library && ERR_GET_REASON(code) == reason;
}

static void warn_if_expired(SSL_CTX *ctx, const char *path)
{
    const X509 *leaf = SSL_CTX_get0_certificate(ctx);
    if (leaf != NULL && X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0) {
        sm_log(SM_LOG_WARN, "tls_certificate_expired", SM_KS("file", path), SM_KEND);
    }
}

static sm_err key_error(const struct sm_tls_files *files, const char *field, sm_diag *diag)
{
    char why[128];
    if (last_error_is(ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH) ||
        last_error_is(ERR_LIB_X509, X509_R_KEY_TYPE_MISMATCH)) {
        ERR_clear_error();
        return sm_diag_set(diag, SM_ERR(INVALID), field, "%s is not the key of %s", files->key_file,
                           files->certificate_file);
    }
    if (last_error_is(ERR_LIB_PEM, PEM_R_BAD_PASSWORD_READ) ||
        last_error_is(ERR_LIB_CRYPTO, ERR_R_INTERRUPTED_OR_CANCELLED)) {
        ERR_clear_error();
        return sm_diag_set(diag, SM_ERR(MALFORMED), field,
                           "%s is encrypted; a server's TLS key cannot be", files->key_file);
    }
    return sm_diag_set(diag, SM_ERR(MALFORMED), field, "%s: %s", files->key_file,
                       sm_tls_error_text(why, sizeof(why)));
}

sm_err sm_tls_load_pair(SSL_CTX *ctx, const struct sm_tls_files *files, const char *field,
                        const char *key_field, sm_diag *diag)
{
    char why[128];
    if (files->certificate_file == NULL || files->key_file == NULL) {
        return sm_diag_set(diag, SM_ERR(INVALID), field, "a certificate and its key are wanted");
    }
    SM_TRY(check_file(files->certificate_file, field, diag));
    SM_TRY(check_file(files->key_file, key_field, diag));
    if (SSL_CTX_use_certificate_chain_file(ctx, files->certificate_file) != 1) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), field, "%s: %s", files->certificate_file,
                           sm_tls_error_text(why, sizeof(why)));
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, files->key_file, SSL_FILETYPE_PEM) != 1) {
        return key_error(files, key_field, diag);
    }
    if (SSL_CTX_check_private_key(ctx) != 1) {
        return key_error(files, key_field, diag);
    }
    warn_if_expired(ctx, files->certificate_file);
    return SM_NO_ERR;
}

sm_err sm_tls_load_anchors(SSL_CTX *ctx, const char *path, const char *field, sm_diag *diag)
{
    char why[128];
    SM_TRY(check_file(path, field, diag));
    if (SSL_CTX_load_verify_file(ctx, path) != 1) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), field, "%s: %s", path,
                           sm_tls_error_text(why, sizeof(why)));
    }
    return SM_NO_ERR;
}
