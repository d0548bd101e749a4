/* SPDX-License-Identifier: Apache-2.0 */
/* Keys on tokens: found or made by URI, and given to the pool. */
#include "base/mem.h"
#include "base/rand.h"
#include "sign/key_p.h"
#include "sign/p11_pool_p.h"

#include <stdio.h>
#include <string.h>

#define SPKI_MAX 2048
#define NEW_ID_LEN 16

/* ---- what a URI says ---- */

static sm_err read_match(P11KitUri *uri, struct p11_match *out, sm_diag *diag)
{
    const CK_ATTRIBUTE *id = p11_kit_uri_get_attribute(uri, CKA_ID);
    const CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(uri, CKA_LABEL);
    *out = (struct p11_match){.id_len = 0};
    if ((id != NULL && id->ulValueLen > P11_ID_MAX) ||
        (label != NULL && label->ulValueLen >= P11_LABEL_MAX)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "key_uri", "id has at most %d octets, object %d",
                           P11_ID_MAX, P11_LABEL_MAX - 1);
    }
    if (id != NULL) {
        memcpy(out->id, id->pValue, id->ulValueLen);
        out->id_len = id->ulValueLen;
    }
    if (label != NULL) {
        memcpy(out->label, label->pValue, label->ulValueLen);
    }
    return SM_NO_ERR;
}

static sm_err new_key(sm_tokens *set, P11KitUri *uri, struct sm_token_key **out, sm_diag *diag)
{
    struct sm_token *tokens[SM_TOKENS_MAX];
    struct p11_match match;
    size_t count = 0;
    SM_TRY(read_match(uri, &match, diag));
    for (size_t i = 0; i < set->token_count; i++) {
        if (sm_p11_uri_allows(uri, set->tokens[i])) {
            tokens[count++] = set->tokens[i];
        }
    }
    if (count == 0) {
        return sm_diag_set(diag, SM_ERR(NOT_FOUND), "key_uri",
                           "the configuration's pkcs11 section has no such token");
    }
    struct sm_token_key *key = sm_calloc(1, sizeof(*key) + count * sizeof(key->holders[0]));
    if (key == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    key->set = set;
    key->match = match;
    sm_list_init(&key->node);
    sm_list_init(&key->again);
    key->holder_count = count;
    for (size_t i = 0; i < count; i++) {
        key->holders[i].token = tokens[i];
        key->queue_max = key->queue_max > tokens[i]->queue_max ? key->queue_max
                                                               : tokens[i]->queue_max;
    }
    *out = key;
    return SM_NO_ERR;
}

static void note(struct sm_token_key *key, const struct sm_token *token,
                 const struct sm_token_says *says)
{
    (void)pthread_mutex_lock(&key->set->lock);
    struct key_holder *h = sm_p11_holder(key, token);
    h->seen = true;
    h->says = *says;
    (void)pthread_mutex_unlock(&key->set->lock);
}

size_t sm_key_token_count(const sm_key *key)
{
    return key->token == NULL ? 0 : key->token->holder_count;
}

void sm_key_token_facts(const sm_key *key, size_t at, struct sm_key_on_token *out)
{
    struct sm_token_key *k = key->token;
    const struct key_holder *h = &k->holders[at];
    (void)pthread_mutex_lock(&k->set->lock);
    *out = (struct sm_key_on_token){.token = h->token->name,
                                    .up = h->token->state == TOKEN_UP,
                                    .seen = h->seen,
                                    .says = h->says};
    (void)pthread_mutex_unlock(&k->set->lock);
}

/* The public key, from the first token that shows it. */
static sm_err find_public(struct sm_token_key *key, sm_buf *spki, sm_diag *diag)
{
    sm_err err = SM_ERR(UNAVAILABLE);
    for (size_t i = 0; i < key->holder_count; i++) {
        struct sm_token *token = key->holders[i].token;
        struct sm_token_says says;
        sm_buf_reset(spki);
        err = sm_p11_look(token, &key->match, spki, &says, diag);
        if (sm_ok(err)) {
            key->always_authenticate = says.always_authenticate;
            note(key, token, &says);
        }
        if (sm_ok(err) || sm_err_is(err, SM_E_POLICY) || sm_err_is(err, SM_E_INVALID)) {
            return err;
        }
    }
    return err;
}

static sm_err wrap(struct sm_token_key *key, const char *uri, sm_key **out, sm_diag *diag)
{
    sm_buf spki = sm_buf_init(SPKI_MAX);
    sm_err err = find_public(key, &spki, diag);
    err = sm_ok(err) ? sm_key_wrap_token(sm_buf_slice(&spki), uri, key, out) : err;
    sm_buf_deinit(&spki);
    if (!sm_ok(err)) {
        return err;
    }
    key->public_key = sm_key_public(*out);
    key->type = key->public_key->type;
    return SM_NO_ERR;
}

static sm_err load(sm_tokens *set, P11KitUri *uri, const char *text, sm_key **out, sm_diag *diag)
{
    struct sm_token_key *key;
    SM_TRY(new_key(set, uri, &key, diag));
    sm_err err = key->match.id_len == 0 && key->match.label[0] == '\0'
                     ? sm_diag_set(diag, SM_ERR(INVALID), "key_uri",
                                   "object or id is needed: which key of the token")
                     : wrap(key, text, out, diag);
    if (!sm_ok(err)) {
        sm_free(key);
    }
    return err;
}

sm_err sm_tokens_load(sm_tokens *tokens, const char *text, sm_key **out, sm_diag *diag)
{
    P11KitUri *uri;
    if (tokens == NULL) {
        return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "key_uri",
                           "the configuration has no pkcs11 section: no token is known");
    }
    SM_TRY(sm_p11_uri_parse(text, &uri, diag));
    sm_err err = p11_kit_uri_get_pin_source(uri) != NULL
                     ? sm_diag_set(diag, SM_ERR(INVALID), "key_uri",
                                   "pin-source belongs into the configuration's pkcs11 section")
                     : load(tokens, uri, text, out, diag);
    p11_kit_uri_free(uri);
    return err;
}

/* ---- making ---- */

/* What finds the new key again. */
static void write_uri(const struct sm_token *token, const struct p11_match *match, char **out)
{
    P11KitUri *uri = p11_kit_uri_new();
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    struct p11_match m = *match;
    if (uri == NULL) {
        return;
    }
    *p11_kit_uri_get_token_info(uri) = *p11_kit_uri_get_token_info(token->uri);
    CK_ATTRIBUTE attributes[] = {{CKA_CLASS, &class, sizeof(class)},
                                 {CKA_ID, m.id, m.id_len},
                                 {CKA_LABEL, m.label, strlen(m.label)}};
    for (size_t i = 0; i < 3; i++) {
        (void)p11_kit_uri_set_attribute(uri, &attributes[i]);
    }
    if (p11_kit_uri_format(uri, P11_KIT_URI_FOR_OBJECT_ON_TOKEN, out) != P11_KIT_URI_OK) {
        *out = NULL;
    }
    p11_kit_uri_free(uri);
}

static sm_err create(sm_tokens *set, P11KitUri *uri, const char *name, enum sm_key_type type,
                     sm_key **out, sm_diag *diag)
{
    struct sm_token_key *key;
    SM_TRY(new_key(set, uri, &key, diag));
    struct p11_match match = key->match;
    struct sm_token *token = key->holders[0].token;
    size_t holders = key->holder_count;
    sm_free(key);
    if (holders > 1) {
        return sm_diag_set(diag, SM_ERR(INVALID), "key_uri",
                           "%zu tokens fit: say which (token= or serial=) the key is to be made in",
                           holders);
    }
    if (match.label[0] == '\0') {
        (void)snprintf(match.label, sizeof(match.label), "%s", name);
    }
    if (match.id_len == 0) {
        sm_rand_bytes(match.id, NEW_ID_LEN);
        match.id_len = NEW_ID_LEN;
    }
    SM_TRY(sm_p11_make(token, type, &match, diag));
    char *text = NULL;
    write_uri(token, &match, &text);
    sm_err err = text == NULL ? SM_ERR(NO_MEMORY) : sm_tokens_load(set, text, out, diag);
    free(text); /* p11-kit's, by malloc */
    if (!sm_ok(err)) {
        sm_p11_unmake(token, &match); /* nobody knows of it, and its label would be taken */
    }
    return err;
}

sm_err sm_tokens_create(sm_tokens *tokens, const char *name, const char *text,
                        enum sm_key_type type, sm_key **out, sm_diag *diag)
{
    P11KitUri *uri;
    if (tokens == NULL) {
        return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "key_uri",
                           "the configuration has no pkcs11 section: no token is known");
    }
    SM_TRY(sm_p11_uri_parse(text, &uri, diag));
    sm_err err = create(tokens, uri, name, type, out, diag);
    p11_kit_uri_free(uri);
    return err;
}

void sm_token_key_free(struct sm_token_key **key)
{
    struct sm_token_key *k = *key;
    *key = NULL;
    if (k != NULL) {
        (void)pthread_mutex_lock(
            &k->set->lock); /* who answered its last request may be about to leave it */
        SM_CHECK(sm_p11_waiting(k) == 0);
        sm_list_remove(&k->node);
        (void)pthread_mutex_unlock(&k->set->lock);
        sm_free(k);
    }
}
