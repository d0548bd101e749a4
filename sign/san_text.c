/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "sign/der.h"
#include "sign/name.h"

#include <arpa/inet.h>

static bool kind_of(sm_slice type, enum sm_san_kind *out)
{
    for (int i = 0; i <= SM_SAN_REGISTERED_ID; i++) {
        if (sm_slice_equal_nocase(type, sm_slice_str(sm_san_kind_name((enum sm_san_kind)i)))) {
            *out = (enum sm_san_kind)i;
            return true;
        }
    }
    return false;
}

static sm_err address_from_text(sm_slice text, uint8_t out[16], size_t *len)
{
    char z[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof(z) || memchr(text.ptr, 0, text.len) != NULL) {
        return SM_ERR(INVALID);
    }
    memcpy(z, text.ptr, text.len);
    z[text.len] = '\0';
    bool is_v4 = inet_pton(AF_INET, z, out) == 1;
    if (!is_v4 && inet_pton(AF_INET6, z, out) != 1) {
        return SM_ERR(INVALID);
    }
    *len = is_v4 ? 4 : 16;
    return SM_NO_ERR;
}

/* The mask of a prefix behind the address that it is for; the address has no bits beyond it. */
static sm_err add_mask(sm_slice prefix, uint8_t *octets, size_t len)
{
    uint64_t bits;
    if (!sm_ok(sm_decimal_parse(prefix, &bits)) || bits > len * 8) {
        return SM_ERR(INVALID);
    }
    for (size_t i = 0; i < len; i++) {
        size_t ones = bits > i * 8 ? (size_t)bits - i * 8 : 0;
        octets[len + i] = (uint8_t)(ones >= 8 ? 0xffU : 0xff00U >> ones);
        if ((octets[i] & ~octets[len + i]) != 0) {
            return SM_ERR(INVALID);
        }
    }
    return SM_NO_ERR;
}

static sm_err ip_from_text(sm_slice text, sm_arena *arena, sm_slice *out)
{
    uint8_t octets[32];
    size_t len;
    sm_slice prefix = text;
    sm_slice address = sm_slice_split(&prefix, '/');
    SM_TRY(address_from_text(address, octets, &len));
    if (prefix.ptr == NULL) {
        return sm_arena_copy(arena, sm_slice_of(octets, len), out);
    }
    SM_TRY(add_mask(prefix, octets, len));
    return sm_arena_copy(arena, sm_slice_of(octets, 2 * len), out);
}

static sm_err der_from_text(enum sm_san_kind kind, sm_slice text, sm_arena *arena, sm_slice *out,
                            sm_diag *diag)
{
    sm_buf der = sm_buf_init(65536);
    sm_err err;
    if (kind == SM_SAN_DIRECTORY) {
        struct sm_name name;
        err = sm_name_from_text(text, arena, &name, diag);
        if (sm_ok(err)) {
            sm_name_write(&der, &name);
            err = sm_buf_err(&der);
        }
    } else {
        err = sm_oid_from_text(text, &der);
    }
    if (sm_ok(err)) {
        err = sm_arena_copy(arena, sm_buf_slice(&der), out);
    }
    sm_buf_deinit(&der);
    return err;
}

sm_err sm_san_from_text(sm_slice type, sm_slice text, sm_arena *arena, struct sm_san *out,
                        sm_diag *diag)
{
    char shown[80];
    struct sm_san san;
    if (!kind_of(type, &san.kind)) {
        return sm_diag_set(
            diag, SM_ERR(INVALID), "sans",
            "%s is not a type of name (dns, email, uri, ip, directory, registered_id)",
            sm_diag_escape(type, shown, sizeof(shown)));
    }
    sm_err err;
    switch (san.kind) {
    case SM_SAN_IP:
        err = ip_from_text(text, arena, &san.value);
        break;
    case SM_SAN_DIRECTORY:
    case SM_SAN_REGISTERED_ID:
        err = der_from_text(san.kind, text, arena, &san.value, diag);
        break;
    case SM_SAN_DNS:
    case SM_SAN_EMAIL:
    case SM_SAN_URI:
        err = sm_arena_copy(arena, text, &san.value);
        break;
    default:
        err = SM_ERR(UNSUPPORTED);
        break;
    }
    if (!sm_ok(err)) {
        return sm_diag_set(diag, err, "sans", "\"%s\" is not a name of type %s",
                           sm_diag_escape(text, shown, sizeof(shown)), sm_san_kind_name(san.kind));
    }
    *out = san;
    return SM_NO_ERR;
}

static unsigned prefix_of(sm_slice mask)
{
    unsigned bits = 0;
    for (size_t i = 0; i < mask.len; i++) {
        bits += (unsigned)__builtin_popcount(mask.ptr[i]);
    }
    return bits;
}

/* 4 or 16 octets; twice as many with a mask, as name constraints have it. */
static sm_err ip_to_text(sm_slice v, sm_buf *out)
{
    char text[INET6_ADDRSTRLEN];
    bool masked = v.len == 8 || v.len == 32;
    size_t len = masked ? v.len / 2 : v.len;
    if ((len != 4 && len != 16) ||
        inet_ntop(len == 4 ? AF_INET : AF_INET6, v.ptr, text, sizeof(text)) == NULL) {
        return SM_ERR(MALFORMED);
    }
    sm_buf_put_str(out, text);
    if (masked) {
        sm_buf_put_byte(out, '/');
        sm_buf_put_decimal(out, prefix_of(sm_slice_from(v, len)));
    }
    return sm_buf_err(out);
}

sm_err sm_san_to_text(const struct sm_san *san, sm_buf *out)
{
    switch (san->kind) {
    case SM_SAN_IP:
        return ip_to_text(san->value, out);
    case SM_SAN_DIRECTORY:
        return sm_name_to_text(san->value, out);
    case SM_SAN_REGISTERED_ID:
        return sm_oid_to_text(san->value, out);
    case SM_SAN_OTHER: {
        sm_der d = sm_der_init(san->value);
        return sm_oid_to_text(sm_der_read_oid(&d), out);
    }
    case SM_SAN_EMAIL:
    case SM_SAN_DNS:
    case SM_SAN_URI:
        sm_buf_put(out, san->value);
        return sm_buf_err(out);
    default:
        return SM_ERR(UNSUPPORTED);
    }
}
