/* SPDX-License-Identifier: Apache-2.0 */
/* Server names: read from the certificates once, at load, so that a handshake costs two look-ups.
 */
#include "base/map.h"
#include "base/mem.h"
#include "io/tls_p.h"

#include <openssl/x509v3.h>

#define NAMES_MAX 4096   /* of one listener: 64 names in each of 64 certificates */
#define NAME_MAX_LEN 253 /* RFC 1035 2.3.4, as text */

struct tls_names {
    sm_map *map; /* "host.example" or, for "*.example", ".example"; to number + 1 */
};

sm_err sm_tls_names_new(tls_names **out)
{
    tls_names *names = sm_calloc(1, sizeof(*names));
    if (names == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sm_err err = sm_map_new(NAMES_MAX, &names->map);
    if (!sm_ok(err)) {
        sm_free(names);
        return err;
    }
    *out = names;
    return SM_NO_ERR;
}

void sm_tls_names_free(tls_names **out)
{
    tls_names *names = *out;
    if (names != NULL) {
        *out = NULL;
        sm_map_free(&names->map);
        sm_free(names);
    }
}

/* Lower-case copy without the root's dot; empty when it cannot be a host name. */
static sm_slice fold(sm_slice name, uint8_t out[NAME_MAX_LEN])
{
    if (name.len > 0 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    if (name.len == 0 || name.len > NAME_MAX_LEN) {
        return SM_SLICE_NONE;
    }
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        out[i] = (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    return sm_slice_of(out, name.len);
}

static sm_err add_name(tls_names *names, sm_slice name, size_t at)
{
    uint8_t folded[NAME_MAX_LEN];
    sm_slice key = fold(name, folded);
    if (key.len > 2 && key.ptr[0] == '*' && key.ptr[1] == '.') {
        key = sm_slice_from(key, 1);
    }
    if (key.len == 0 || sm_map_get(names->map, key) != NULL) {
        return SM_NO_ERR;
    }
    return sm_map_put(names->map, key, (void *)(uintptr_t)(at + 1), NULL);
}

sm_err sm_tls_names_add(tls_names *names, X509 *leaf, size_t at)
{
    GENERAL_NAMES *sans = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    sm_err err = SM_NO_ERR;
    for (int i = 0; sm_ok(err) && i < sk_GENERAL_NAME_num(sans); i++) {
        const GENERAL_NAME *san = sk_GENERAL_NAME_value(sans, i);
        if (san->type == GEN_DNS) {
            err = add_name(names,
                           sm_slice_of(ASN1_STRING_get0_data(san->d.dNSName),
                                       (size_t)ASN1_STRING_length(san->d.dNSName)),
                           at);
        }
    }
    GENERAL_NAMES_free(sans);
    return err;
}

int sm_tls_names_find(const tls_names *names, sm_slice name)
{
    uint8_t folded[NAME_MAX_LEN];
    sm_slice key = fold(name, folded);
    if (key.len == 0 || key.ptr[0] == '.') {
        return -1;
    }
    uintptr_t number = (uintptr_t)sm_map_get(names->map, key);
    if (number == 0) {
        /* A wildcard stands for exactly one label (RFC 9525 6.3). */
        size_t dot = sm_slice_find(key, '.');
        number = dot == 0 || dot == key.len
                     ? 0
                     : (uintptr_t)sm_map_get(names->map, sm_slice_from(key, dot));
    }
    return (int)number - 1;
}
