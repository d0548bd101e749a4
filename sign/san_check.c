/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/der.h"
#include "sign/name_p.h"

#include <arpa/inet.h>

#define EMAIL_MAX 254 /* RFC 5321 4.5.3.1.3, less the angle brackets */
#define EMAIL_LOCAL_MAX 64
#define URI_MAX 2048 /* no limit in RFC 3986; longer ones are no names */

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* c is one of `set`; never for NUL. */
static bool is_one_of(uint8_t c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

/* A host name; a wildcard stands for one whole label, the first, and not for a registry's names
 * ("*.tld"). */
static bool dns_is_good(sm_slice name, bool wildcards)
{
    if (!wildcards || !sm_slice_starts_with(name, SM_LIT("*."))) {
        return sm_host_is_good(name);
    }
    sm_slice rest = sm_slice_from(name, 2);
    return sm_slice_find(rest, '.') < rest.len && sm_host_is_good(rest);
}

/* Mailbox of RFC 5321 4.1.2 in its dot-string form, which RFC 5280 4.2.1.6 asks for. */
static bool email_is_good(sm_slice v)
{
    size_t at = sm_slice_find(v, '@');
    sm_slice local = sm_slice_first(v, at);
    if (v.len > EMAIL_MAX || at == v.len || local.len == 0 || local.len > EMAIL_LOCAL_MAX ||
        local.ptr[0] == '.' || local.ptr[local.len - 1] == '.') {
        return false;
    }
    for (size_t i = 0; i < local.len; i++) {
        uint8_t c = local.ptr[i];
        bool doubled = c == '.' && local.ptr[i - 1] == '.'; /* the first is none */
        if (doubled || (!is_letter(c) && !is_digit(c) && !is_one_of(c, "!#$%&'*+-/=?^_`{|}~."))) {
            return false;
        }
    }
    return sm_host_is_good(sm_slice_from(v, at + 1));
}

static bool is_address(int family, sm_slice text)
{
    char z[INET6_ADDRSTRLEN];
    uint8_t octets[16];
    if (text.len >= sizeof(z) || memchr(text.ptr, 0, text.len) != NULL) {
        return false;
    }
    memcpy(z, text.ptr, text.len);
    z[text.len] = '\0';
    return inet_pton(family, z, octets) == 1;
}

/* Every character is one that RFC 3986 has in a path, query, fragment or user's part; '%' begins an
 * escape. */
static bool uri_characters_are_good(sm_slice v)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        if (c == '%') {
            if (v.len - i < 3 || !is_one_of(v.ptr[i + 1], hex) || !is_one_of(v.ptr[i + 2], hex)) {
                return false;
            }
        } else if (!is_letter(c) && !is_digit(c) && !is_one_of(c, "-._~:/?#@!$&'()*+,;=")) {
            return false;
        }
    }
    return true;
}

/* [":" port] */
static bool port_is_good(sm_slice v)
{
    for (size_t i = 0; i < v.len; i++) {
        if (i == 0 ? v.ptr[i] != ':' : !is_digit(v.ptr[i])) {
            return false;
        }
    }
    return true;
}

/* [user "@"] host [":" port] (RFC 3986 3.2); RFC 5280 4.2.1.6 wants a host name or an address
 * there. */
static bool authority_is_good(sm_slice v)
{
    size_t at = sm_slice_find(v, '@');
    if (at < v.len) {
        if (!uri_characters_are_good(sm_slice_first(v, at))) {
            return false;
        }
        v = sm_slice_from(v, at + 1);
    }
    if (v.len > 0 && v.ptr[0] == '[') {
        size_t end = sm_slice_find(v, ']');
        return end < v.len && is_address(AF_INET6, sm_slice_first(sm_slice_from(v, 1), end - 1)) &&
               port_is_good(sm_slice_from(v, end + 1));
    }
    size_t end = sm_slice_find(v, ':');
    sm_slice host = sm_slice_first(v, end);
    return (is_address(AF_INET, host) || sm_host_is_good(host)) &&
           port_is_good(sm_slice_from(v, end));
}

/* ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) */
static bool scheme_is_good(sm_slice v)
{
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        if (!is_letter(c) && (i == 0 || (!is_digit(c) && !is_one_of(c, "+-.")))) {
            return false;
        }
    }
    return v.len > 0;
}

/* An absolute URI with a scheme-specific part (RFC 5280 4.2.1.6). */
static bool uri_is_good(sm_slice v)
{
    size_t colon = sm_slice_find(v, ':');
    sm_slice rest = sm_slice_from(v, colon + 1);
    if (v.len > URI_MAX || rest.len == 0 || !scheme_is_good(sm_slice_first(v, colon))) {
        return false;
    }
    if (sm_slice_starts_with(rest, SM_LIT("//"))) {
        rest = sm_slice_from(rest, 2);
        size_t end = 0;
        while (end < rest.len && !is_one_of(rest.ptr[end], "/?#")) {
            end++;
        }
        if (!authority_is_good(sm_slice_first(rest, end))) {
            return false;
        }
        rest = sm_slice_from(rest, end);
    }
    return uri_characters_are_good(rest);
}

/* OtherName: type-id, [0] EXPLICIT ANY. `v` is the content of the [0] IMPLICIT SEQUENCE. It is
 * passed on, so that it must be DER. */
static bool other_is_good(sm_slice v)
{
    sm_der d = sm_der_init(v);
    (void)sm_der_read_oid(&d);
    sm_der value = sm_der_enter(&d, SM_DER_CTX_CONS(0));
    sm_slice any = sm_der_read_raw(&value);
    sm_der_leave(&d, &value);
    return sm_ok(sm_der_finish(&d)) && sm_ok(sm_der_check(any));
}

static bool directory_is_good(sm_slice v)
{
    struct sm_name name;
    return sm_ok(sm_name_parse(v, &name, NULL)) && name.count > 0;
}

static bool is_good(const struct sm_san *san, bool wildcards)
{
    switch (san->kind) {
    case SM_SAN_DNS:
        return dns_is_good(san->value, wildcards);
    case SM_SAN_EMAIL:
        return email_is_good(san->value);
    case SM_SAN_URI:
        return uri_is_good(san->value);
    case SM_SAN_IP:
        return san->value.len == 4 || san->value.len == 16;
    case SM_SAN_DIRECTORY:
        return directory_is_good(san->value);
    case SM_SAN_REGISTERED_ID:
        return sm_oid_is_good(san->value);
    default:
        return other_is_good(san->value);
    }
}

static const char *what_is_wanted(enum sm_san_kind kind, bool wildcards)
{
    switch (kind) {
    case SM_SAN_DNS:
        return wildcards ? "a host name in ASCII (IDNs as A-labels), with at most one leading "
                           "\"*.\" before two labels"
                         : "a host name in ASCII (IDNs as A-labels) without a wildcard";
    case SM_SAN_EMAIL:
        return "local@host in ASCII (RFC 5280 4.2.1.6)";
    case SM_SAN_URI:
        return "an absolute URI in ASCII whose host is a name or an address (RFC 5280 4.2.1.6)";
    case SM_SAN_IP:
        return "an address of 4 or 16 octets";
    case SM_SAN_DIRECTORY:
        return "a Name that is not empty";
    case SM_SAN_REGISTERED_ID:
        return "an object identifier";
    default:
        return "an OtherName in DER (RFC 5280 4.2.1.6)";
    }
}

sm_err sm_san_check(const struct sm_san *san, bool wildcards, sm_diag *diag)
{
    if (san->kind == SM_SAN_X400 || san->kind == SM_SAN_EDI) {
        return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "sans", "names of type %s are not supported",
                           sm_san_kind_name(san->kind));
    }
    if (is_good(san, wildcards)) {
        return SM_NO_ERR;
    }
    char shown[80];
    bool text = san->kind == SM_SAN_DNS || san->kind == SM_SAN_EMAIL || san->kind == SM_SAN_URI;
    if (text) {
        return sm_diag_set(
            diag, SM_ERR(INVALID), "sans", "%s name \"%s\" is not %s", sm_san_kind_name(san->kind),
            sm_diag_escape(san->value, shown, sizeof(shown)), what_is_wanted(san->kind, wildcards));
    }
    return sm_diag_set(diag, SM_ERR(INVALID), "sans", "a name of type %s is not %s",
                       sm_san_kind_name(san->kind), what_is_wanted(san->kind, wildcards));
}

/* Leading one bits, then zero bits (RFC 4632 5.1). */
static bool mask_is_good(sm_slice mask)
{
    bool ended = false;
    for (size_t i = 0; i < mask.len * 8; i++) {
        bool one = (mask.ptr[i / 8] >> (7 - i % 8) & 1) != 0;
        if (one && ended) {
            return false;
        }
        ended = !one;
    }
    return true;
}

/* The forms of RFC 5280 4.2.1.10: "example.com" is the name and what is under it; with a leading
 * dot (URIs, e-mail) only what is under it; an e-mail address is that mailbox alone. An empty one
 * is everything. */
static bool constraint_is_good(const struct sm_san *san)
{
    sm_slice v = san->value;
    switch (san->kind) {
    case SM_SAN_DNS:
        return v.len == 0 || sm_host_is_good(v);
    case SM_SAN_EMAIL:
        if (sm_slice_find(v, '@') < v.len) {
            return email_is_good(v);
        }
        __attribute__((fallthrough));
    case SM_SAN_URI:
        v = sm_slice_from(v, v.len > 0 && v.ptr[0] == '.' ? 1 : 0);
        return san->value.len == 0 || sm_host_is_good(v);
    case SM_SAN_IP:
        return (v.len == 8 || v.len == 32) && mask_is_good(sm_slice_from(v, v.len / 2));
    default:
        return is_good(san, false);
    }
}

sm_err sm_san_check_constraint(const struct sm_san *san, sm_diag *diag)
{
    if (san->kind == SM_SAN_X400 || san->kind == SM_SAN_EDI || !constraint_is_good(san)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "name_constraints",
                           "a name of type %s is not of the form that RFC 5280 4.2.1.10 gives it",
                           sm_san_kind_name(san->kind));
    }
    return SM_NO_ERR;
}
