/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/metrics.h"
#include "sign/kat.h"
#include "sign/lane.h"

#include <openssl/crypto.h>
#include <stdio.h>

const char *sm_sign_backend(enum sm_crypt_op op, enum sm_key_type type, const char **why)
{
    const struct sm_backend_choice *choice = sm_backend_get_choice(op, type);
    if (why != NULL) {
        *why = choice->why;
    }
    return choice->from <= SM_BACKEND_LANES ? sm_backend_mb.name : sm_backend_openssl.name;
}

const char *sm_key_backend(const sm_key *key, const char **why)
{
    if (key->token != NULL) {
        *why = "the key is in a token";
        return "pkcs11";
    }
    const char *name = sm_sign_backend(SM_CRYPT_SIGN, key->type, why);
    if (name == sm_backend_mb.name && key->numbers == NULL) {
        *why = "multi-buffer code does not know this key's form";
        return sm_backend_openssl.name;
    }
    return name;
}

static unsigned used_from(const struct sm_backend_choice *choice)
{
    return choice->from <= SM_BACKEND_LANES ? choice->from : 1;
}

/* One series for each operation and type of key: which backend, and why. */
static void show(enum sm_crypt_op op, enum sm_key_type type)
{
    static char labels[SM_OPS][SM_KEY_TYPE_COUNT][160];
    char *text = labels[op][type];
    const char *why;
    const char *name = sm_sign_backend(op, type, &why);
    (void)snprintf(text, sizeof(labels[op][type]),
                   "op=\"%s\",key=\"%s\",backend=\"%s\",from=\"%u\",why=\"%s\"",
                   op == SM_CRYPT_SIGN ? "sign" : "verify", sm_key_type_name(type), name,
                   used_from(sm_backend_get_choice(op, type)), why);
    sm_metric_set(sm_metric_register(
                      SM_GAUGE, "sealmill_crypto_backend",
                      "1: the backend of full batches; from: jobs from which on a batch goes there",
                      text),
                  1);
}

/* One line for each type of key. */
static void tell(enum sm_key_type type)
{
    const struct sm_backend_choice *verify = sm_backend_get_choice(SM_CRYPT_VERIFY, type);
    const struct sm_backend_choice *sign = sm_backend_get_choice(SM_CRYPT_SIGN, type);
    sm_log(SM_LOG_INFO, "crypto_backend", SM_KS("key", sm_key_type_name(type)),
           SM_KS("verify", sm_sign_backend(SM_CRYPT_VERIFY, type, NULL)),
           SM_KU("verify_from", used_from(verify)), SM_KS("verify_why", verify->why),
           SM_KS("sign", sm_sign_backend(SM_CRYPT_SIGN, type, NULL)),
           SM_KU("sign_from", used_from(sign)), SM_KS("sign_why", sign->why), SM_KEND);
    sm_log(SM_LOG_DEBUG, "crypto_measured", SM_KS("key", sm_key_type_name(type)),
           SM_KU("openssl_verify_ns", verify->single_ns), SM_KU("openssl_sign_ns", sign->single_ns),
           SM_KU("multi_buffer_verify_ns", verify->batch_ns),
           SM_KU("multi_buffer_sign_ns", sign->batch_ns), SM_KEND);
}

static bool multi_buffer = true;

void sm_sign_set_multi_buffer(bool on)
{
    multi_buffer = on;
}

static const char *why_not(enum sm_key_type type)
{
    if (!multi_buffer) {
        return "multi-buffer is switched off";
    }
#ifdef SM_HAVE_CRYPTO_MB
    return type > SM_KEY_ED25519 ? "no multi-buffer code for it"
                                 : "the processor has no AVX-512 IFMA";
#else
    return type > SM_KEY_ED25519 ? "no multi-buffer code for it" : "built without crypto_mb";
#endif
}

static sm_err init_type(enum sm_key_type type)
{
    struct sm_backend_choice choices[SM_OPS];
    for (unsigned op = 0; op < SM_OPS; op++) {
        choices[op] = (struct sm_backend_choice){SM_BACKEND_NEVER, why_not(type), 0, 0};
    }
    if (type <= SM_KEY_ED25519) {
        SM_TRY(sm_kat_run(multi_buffer ? &sm_backend_mb : NULL, type, &choices[SM_CRYPT_VERIFY],
                          &choices[SM_CRYPT_SIGN]));
    }
    for (unsigned op = 0; op < SM_OPS; op++) {
        sm_backend_set_choice((enum sm_crypt_op)op, type, &choices[op]);
        show((enum sm_crypt_op)op, type);
    }
    tell(type);
    return SM_NO_ERR;
}

/* A pairwise test of what a start cannot do without. */
static sm_err self_test(void)
{
    sm_key *key;
    SM_TRY(sm_key_generate(SM_KEY_P256, &key));
    sm_buf signature = sm_buf_init(SM_SIGNATURE_MAX);
    sm_slice message = SM_LIT("sealmill");
    sm_err err = sm_sign_now(key, SM_SIG_ECDSA_SHA256, message, &signature);
    if (sm_ok(err)) {
        err = sm_verify_now(sm_key_public(key), SM_SIG_ECDSA_SHA256, message,
                            sm_buf_slice(&signature));
    }
    sm_buf_deinit(&signature);
    sm_key_detach(&key);
    return err;
}

sm_err sm_sign_init(sm_diag *diag)
{
    sm_err err = self_test();
    if (!sm_ok(err)) {
        return sm_diag_set(diag, err, "crypto", "OpenSSL's P-256 failed its self-test");
    }
    sm_log(SM_LOG_INFO, "crypto_ready", SM_KS("library", "openssl"),
           SM_KS("version", OpenSSL_version(OPENSSL_VERSION_STRING)), SM_KEND);
    for (unsigned type = SM_KEY_P256; type < SM_KEY_TYPE_COUNT; type++) {
        err = init_type((enum sm_key_type)type);
        if (!sm_ok(err)) {
            return sm_diag_set(diag, err, "crypto", "%s failed its self-test",
                               sm_key_type_name((enum sm_key_type)type));
        }
    }
    return SM_NO_ERR;
}
