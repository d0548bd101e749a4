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

/* One line and one series for each operation and type of key: which backend, and why. */
static void tell(enum sm_crypt_op op, enum sm_key_type type)
{
    static char labels[SM_OPS][SM_KEY_TYPE_COUNT][160];
    const struct sm_backend_choice *choice = sm_backend_get_choice(op, type);
    const char *why;
    const char *name = sm_sign_backend(op, type, &why);
    const char *op_name = op == SM_CRYPT_SIGN ? "sign" : "verify";
    unsigned from = choice->from <= SM_BACKEND_LANES ? choice->from : 1;
    (void)snprintf(labels[op][type], sizeof(labels[op][type]),
                   "op=\"%s\",key=\"%s\",backend=\"%s\",from=\"%u\",why=\"%s\"", op_name,
                   sm_key_type_name(type), name, from, why);
    sm_metric_set(sm_metric_register(
                      SM_GAUGE, "sealmill_crypto_backend",
                      "1: the backend of full batches; from: jobs from which on a batch goes there",
                      labels[op][type]),
                  1);
    sm_log(SM_LOG_INFO, "crypto_backend", SM_KS("op", op_name),
           SM_KS("key", sm_key_type_name(type)), SM_KS("backend", name), SM_KU("from", from),
           SM_KS("why", why), SM_KU("openssl_one_ns", choice->single_ns),
           SM_KU("multi_buffer_call_ns", choice->batch_ns), SM_KEND);
}

static bool multi_buffer = true;

void sm_sign_set_multi_buffer(bool on)
{
    multi_buffer = on;
}

static const char *why_not(enum sm_key_type type)
{
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
        SM_TRY(
            sm_kat_run(&sm_backend_mb, type, &choices[SM_CRYPT_VERIFY], &choices[SM_CRYPT_SIGN]));
    }
    for (unsigned op = 0; op < SM_OPS; op++) {
        if (!multi_buffer) {
            choices[op].from = SM_BACKEND_NEVER;
            choices[op].why = "multi-buffer is switched off";
        }
        sm_backend_set_choice((enum sm_crypt_op)op, type, &choices[op]);
        tell((enum sm_crypt_op)op, type);
    }
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
