/* SPDX-License-Identifier: Apache-2.0 */
/* PKCS#11 URIs (RFC 7512), read by p11-kit. */
#include "sign/p11_pool_p.h"
#include "sign/passphrase.h"

#include <stdio.h>
#include <string.h>

sm_err sm_p11_uri_parse(const char *text, P11KitUri **out, sm_diag *diag)
{
    P11KitUri *uri = p11_kit_uri_new();
    if (uri == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    int rc = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri);
    if (rc != P11_KIT_URI_OK) {
        p11_kit_uri_free(uri);
        return sm_diag_set(diag, SM_ERR(INVALID), "key_uri", "not a PKCS#11 URI (RFC 7512): %s",
                           p11_kit_uri_message(rc));
    }
    if (p11_kit_uri_any_unrecognized(uri) || p11_kit_uri_get_pin_value(uri) != NULL) {
        bool pin = p11_kit_uri_get_pin_value(uri) != NULL;
        p11_kit_uri_free(uri);
        return sm_diag_set(diag, SM_ERR(INVALID), "key_uri", "%s",
                           pin ? "no PIN in a URI: it would be stored and logged; use pin-source"
                               : "the PKCS#11 URI has attributes that are not known");
    }
    *out = uri;
    return SM_NO_ERR;
}

/* A blank-padded field of CK_TOKEN_INFO. */
static bool take_padded(const CK_UTF8CHAR *field, size_t size, char out[P11_LABEL_MAX])
{
    size_t len = strnlen((const char *)field, size);
    while (len > 0 && field[len - 1] == ' ') {
        len--;
    }
    memcpy(out, field, len);
    out[len] = '\0';
    return len > 0;
}

bool sm_p11_uri_token_name(P11KitUri *uri, char out[P11_LABEL_MAX])
{
    const CK_TOKEN_INFO *info = p11_kit_uri_get_token_info(uri);
    return take_padded(info->label, sizeof(info->label), out) ||
           take_padded(info->serialNumber, sizeof(info->serialNumber), out);
}

bool sm_p11_uri_token_full_name(P11KitUri *uri, char out[P11_LABEL_MAX])
{
    const CK_TOKEN_INFO *info = p11_kit_uri_get_token_info(uri);
    char label[P11_LABEL_MAX];
    char serial[P11_LABEL_MAX];
    _Static_assert(sizeof(info->label) + sizeof(info->serialNumber) + 2 <= P11_LABEL_MAX, "fits");
    bool both = take_padded(info->label, sizeof(info->label), label) &&
                take_padded(info->serialNumber, sizeof(info->serialNumber), serial);
    if (both) {
        (void)snprintf(out, P11_LABEL_MAX, "%.32s/%.16s", label, serial);
    }
    return both;
}

/* An attribute that both name must be the same. */
static bool agrees(const CK_UTF8CHAR *a, const CK_UTF8CHAR *b, size_t size)
{
    char left[P11_LABEL_MAX];
    char right[P11_LABEL_MAX];
    return !take_padded(a, size, left) || !take_padded(b, size, right) || strcmp(left, right) == 0;
}

static bool all_agree(const CK_TOKEN_INFO *a, const CK_TOKEN_INFO *b)
{
    return agrees(a->label, b->label, sizeof(a->label)) &&
           agrees(a->serialNumber, b->serialNumber, sizeof(a->serialNumber)) &&
           agrees(a->manufacturerID, b->manufacturerID, sizeof(a->manufacturerID)) &&
           agrees(a->model, b->model, sizeof(a->model));
}

bool sm_p11_uri_allows(P11KitUri *key, const struct sm_token *token)
{
    const char *path = p11_kit_uri_get_module_path(key);
    if (path != NULL && strcmp(path, token->module->path) != 0) {
        return false;
    }
    (void)pthread_mutex_lock(&token->set->lock);
    bool allowed = token->known ? p11_kit_uri_match_token_info(key, &token->info) == 1
                                : all_agree(p11_kit_uri_get_token_info(key),
                                            p11_kit_uri_get_token_info(token->uri));
    (void)pthread_mutex_unlock(&token->set->lock);
    return allowed;
}

/* pin-source is a "file:" URI or a path by RFC 7512 2.4; env: and credential: are ours. */
static sm_err from_source(const char *source, struct sm_keystore_config *out, sm_diag *diag)
{
    if (strncmp(source, "file:", 5) == 0) {
        source += strncmp(source, "file://", 7) == 0 ? 7 : 5;
        out->passphrase_file = source;
    } else if (strncmp(source, "env:", 4) == 0) {
        out->passphrase_env = source + 4;
    } else if (strncmp(source, "credential:", 11) == 0) {
        out->passphrase_credential = source + 11;
    } else if (source[0] == '/') {
        out->passphrase_file = source;
    } else {
        return sm_diag_set(diag, SM_ERR(INVALID), "pkcs11.uri",
                           "pin-source is file:PATH, env:NAME or credential:NAME");
    }
    return SM_NO_ERR;
}

sm_err sm_p11_pin_read(const struct sm_token_config *config, P11KitUri *uri, sm_buf *pin,
                       sm_diag *diag)
{
    const char *source = p11_kit_uri_get_pin_source(uri);
    struct sm_keystore_config where = {
        .passphrase_file = config->pin_file,
        .passphrase_env = config->pin_env,
        .passphrase_credential = config->pin_credential,
    };
    bool given = config->pin_file != NULL || config->pin_env != NULL ||
                 config->pin_credential != NULL;
    if (!given && source == NULL) {
        return SM_NO_ERR;
    }
    if (!given) {
        SM_TRY(from_source(source, &where, diag));
    }
    sm_diag inner = {.reason = ""};
    sm_err err = sm_passphrase_read(&where, pin, &inner);
    return sm_ok(err) ? err : sm_diag_set(diag, err, "pkcs11", "the PIN: %s", inner.reason);
}
