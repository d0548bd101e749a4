/* SPDX-License-Identifier: Apache-2.0 */
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

static sm_err ip_from_text(sm_slice text, sm_arena *arena, sm_slice *out)
{
    uint8_t octets[16];
    char *z = sm_arena_strdup(arena, text);
    if (z == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    if (strlen(z) == text.len && inet_pton(AF_INET, z, octets) == 1) {
        return sm_arena_copy(arena, sm_slice_of(octets, 4), out);
    }
    if (strlen(z) == text.len && inet_pton(AF_INET6, z, octets) == 1) {
        return sm_arena_copy(arena, sm_slice_of(octets, 16), out);
    }
    return SM_ERR(INVALID);
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

sm_err sm_san_from_text(sm_slice type, sm_slice text, sm_arena *arena, struct sm_san *out, sm_diag *diag)
{
    char shown[80];
    struct sm_san san;
    if (!kind_of(type, &san.kind)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "sans",
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

sm_err sm_san_to_text(const struct sm_san *san, sm_buf *out)
{
    char text[INET6_ADDRSTRLEN];
    switch (san->kind) {
    case SM_SAN_IP:
        if (inet_ntop(san->value.len == 4 ? AF_INET : AF_INET6, san->value.ptr, text, sizeof(text)) == NULL) {
            return SM_ERR(MALFORMED);
        }
        sm_buf_put_str(out, text);
        return sm_buf_err(out);
    case SM_SAN_DIRECTORY:
        return sm_name_to_text(san->value, out);
    case SM_SAN_REGISTERED_ID:
        return sm_oid_to_text(san->value, out);
    case SM_SAN_OTHER: {
        sm_der d = sm_der_init(san->value);
        return sm_oid_to_text(sm_der_read_oid(&d), out);
    }
    default:
        sm_buf_put(out, san->value);
        return sm_buf_err(out);
    }
}
