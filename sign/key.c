/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/key.h"

#include "base/check.h"
#include "base/mem.h"
#include "sign/key_p.h"
#include "sign/p11_pool_p.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>

const char *sm_key_openssl_name(enum sm_key_type type)
{
    static const char *const names[SM_KEY_TYPE_COUNT] = {
        NULL,  "EC",      "EC",    "EC",        "RSA",       "RSA",
        "RSA", "ED25519", "ED448", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87",
    };
    return (unsigned)type < SM_KEY_TYPE_COUNT ? names[type] : NULL;
}

EVP_PKEY *sm_key_make(enum sm_key_type type)
{
    const char *name = sm_key_openssl_name(type);
    switch (type) {
    case SM_KEY_NONE:
    case SM_KEY_TYPE_COUNT:
        return NULL;
    case SM_KEY_P256:
        return EVP_PKEY_Q_keygen(NULL, NULL, name, "P-256");
    case SM_KEY_P384:
        return EVP_PKEY_Q_keygen(NULL, NULL, name, "P-384");
    case SM_KEY_P521:
        return EVP_PKEY_Q_keygen(NULL, NULL, name, "P-521");
    case SM_KEY_RSA_2048:
        return EVP_PKEY_Q_keygen(NULL, NULL, name, (size_t)2048);
    case SM_KEY_RSA_3072:
        return EVP_PKEY_Q_keygen(NULL, NULL, name, (size_t)3072);
    case SM_KEY_RSA_4096:
        return EVP_PKEY_Q_keygen(NULL, NULL, name, (size_t)4096);
    default:
        return EVP_PKEY_Q_keygen(NULL, NULL, name);
    }
}

/* What every key has: the public half, parsed, and where it is. */
static sm_err fill_common(sm_key *key, sm_slice spki, const char *uri)
{
    atomic_init(&key->refs, 1);
    key->spki = sm_malloc(spki.len);
    key->uri = sm_strdup(uri == NULL ? "" : uri);
    if (key->spki == NULL || key->uri == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    memcpy(key->spki, spki.ptr, spki.len);
    SM_TRY(sm_public_key_parse(sm_slice_of(key->spki, spki.len), &key->public_key, NULL));
    key->type = key->public_key.type;
    return SM_NO_ERR;
}

static sm_err fill(sm_key *key, EVP_PKEY *pkey, const char *uri)
{
    unsigned char *spki = NULL;
    int len = i2d_PUBKEY(pkey, &spki);
    sm_err err = len <= 0 ? SM_ERR(CRYPTO) : fill_common(key, sm_slice_of(spki, (size_t)len), uri);
    OPENSSL_free(spki);
    SM_TRY(err);
    err = sm_key_numbers_new(pkey, key->type, &key->numbers);
    return sm_err_is(err, SM_E_UNSUPPORTED) ? SM_NO_ERR : err; /* then OpenSSL signs alone */
}

sm_err sm_key_wrap(EVP_PKEY *pkey, const char *uri, sm_key **out)
{
    sm_key *key = sm_calloc(1, sizeof(*key));
    if (key == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sm_err err = fill(key, pkey, uri);
    if (!sm_ok(err)) {
        sm_key_detach(&key);
        return err;
    }
    key->pkey = pkey;
    *out = key;
    return SM_NO_ERR;
}

sm_err sm_key_wrap_token(sm_slice spki, const char *uri, struct sm_token_key *token, sm_key **out)
{
    sm_key *key = sm_calloc(1, sizeof(*key));
    if (key == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sm_err err = fill_common(key, spki, uri);
    if (!sm_ok(err)) {
        sm_key_detach(&key);
        return err;
    }
    key->token = token;
    *out = key;
    return SM_NO_ERR;
}

sm_err sm_key_generate(enum sm_key_type type, sm_key **out)
{
    EVP_PKEY *pkey = sm_key_make(type);
    if (pkey == NULL) {
        return type == SM_KEY_NONE ? SM_ERR(UNSUPPORTED) : SM_ERR(CRYPTO);
    }
    sm_err err = sm_key_wrap(pkey, NULL, out);
    if (!sm_ok(err)) {
        EVP_PKEY_free(pkey);
    }
    return err;
}

sm_err sm_key_of_openssl(struct evp_pkey_st *pkey, sm_key **out)
{
    if (EVP_PKEY_up_ref(pkey) != 1) {
        return SM_ERR(CRYPTO);
    }
    sm_err err = sm_key_wrap(pkey, NULL, out);
    if (!sm_ok(err)) {
        EVP_PKEY_free(pkey);
    }
    return err;
}

sm_key *sm_key_attach(sm_key *key)
{
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    return key;
}

void sm_key_detach(sm_key **key)
{
    sm_key *k = *key;
    *key = NULL;
    if (k == NULL || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    sm_key_contexts_free(k);
    EVP_PKEY_free(k->pkey); /* wipes the private part */
    sm_token_key_free(&k->token);
    sm_key_numbers_free(&k->numbers);
    sm_free(k->spki);
    sm_free(k->uri);
    sm_free(k);
}

enum sm_key_type sm_key_get_type(const sm_key *key)
{
    return key->type;
}

const struct sm_public_key *sm_key_public(const sm_key *key)
{
    return &key->public_key;
}

const char *sm_key_uri(const sm_key *key)
{
    return key->uri;
}

void sm_key_set_check(sm_key *key, bool on)
{
    atomic_store_explicit(&key->check, on, memory_order_relaxed);
}

void sm_key_want_check(sm_key *key, uint64_t round)
{
    atomic_store_explicit(&key->check_round, round, memory_order_relaxed);
    sm_key_set_check(key, true);
}

void sm_key_settle_check(sm_key *key, uint64_t round)
{
    if (atomic_load_explicit(&key->check_round, memory_order_relaxed) != round) {
        sm_key_set_check(key, false);
    }
}

bool sm_key_checks_results(const sm_key *key)
{
    return atomic_load_explicit(&key->check, memory_order_relaxed);
}
