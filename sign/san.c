/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/der.h"
#include "sign/name.h"

#include "base/mem.h"

#define DNS_NAME_MAX 253 /* RFC 1035 2.3.4, without the root's dot */
#define DNS_LABEL_MAX 63
#define EMAIL_MAX 254 /* RFC 5321 4.5.3.1.3 */
#define EMAIL_LOCAL_MAX 64
#define URI_MAX 2048 /* no limit in RFC 3986; longer ones are no names */

static bool is_alnum(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* LDH label (RFC 5890 2.3.1): letters, digits, inner hyphens; hyphens in places 3 and 4 only in A-labels. */
static bool label_is_good(sm_slice label)
{
    if (label.len == 0 || label.len > DNS_LABEL_MAX || label.ptr[0] == '-' ||
        label.ptr[label.len - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < label.len; i++) {
        if (!is_alnum(label.ptr[i]) && label.ptr[i] != '-' && label.ptr[i] != '_') {
            return false;
        }
    }
    bool reserved = label.len > 3 && label.ptr[2] == '-' && label.ptr[3] == '-';
    return !reserved || sm_slice_equal_nocase(sm_slice_first(label, 4), SM_LIT("xn--"));
}

/* A host name; not an IPv4 address in disguise (its last label must not be all digits). */
static bool dns_is_good(sm_slice name, bool wildcards)
{
    if (name.len == 0 || name.len > DNS_NAME_MAX) {
        return false;
    }
    if (wildcards && sm_slice_starts_with(name, SM_LIT("*."))) {
        name = sm_slice_from(name, 2);
        if (sm_slice_find(name, '.') == name.len) {
            return false; /* *.tld would speak for a whole registry */
        }
    }
    bool digits = false;
    while (name.ptr != NULL) {
        sm_slice label = sm_slice_split(&name, '.');
        if (!label_is_good(label)) {
            return false;
        }
        digits = true;
        for (size_t i = 0; i < label.len; i++) {
            digits = digits && label.ptr[i] >= '0' && label.ptr[i] <= '9';
        }
    }
    return !digits;
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
        bool doubled = c == '.' && i > 0 && local.ptr[i - 1] == '.';
        if (doubled || c == 0 || (!is_alnum(c) && strchr("!#$%&'*+-/=?^_`{|}~.", c) == NULL)) {
            return false;
        }
    }
    return dns_is_good(sm_slice_from(v, at + 1), false);
}

/* An absolute URI with a scheme-specific part (RFC 5280 4.2.1.6), in the characters of RFC 3986. */
static bool uri_is_good(sm_slice v)
{
    size_t colon = sm_slice_find(v, ':');
    if (v.len > URI_MAX || colon == 0 || colon + 1 >= v.len || !is_alnum(v.ptr[0]) || v.ptr[0] <= '9') {
        return false;
    }
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        bool in_scheme = is_alnum(c) || c == '+' || c == '-' || c == '.';
        if (i < colon ? !in_scheme : (c <= 0x20 || c >= 0x7f || strchr("\"<>\\^`{|}", c) != NULL)) {
            return false;
        }
    }
    return true;
}

/* OtherName: type-id, [0] EXPLICIT ANY. `v` is the content of the [0] IMPLICIT SEQUENCE. */
static bool other_is_good(sm_slice v)
{
    sm_der d = sm_der_init(v);
    (void)sm_der_read_oid(&d);
    sm_der value = sm_der_enter(&d, SM_DER_CTX_CONS(0));
    (void)sm_der_read_raw(&value);
    sm_der_leave(&d, &value);
    return sm_ok(sm_der_finish(&d));
}

static bool oid_is_good(sm_slice v)
{
    sm_buf der = sm_buf_init(v.len + 16);
    sm_der_write_oid(&der, v);
    sm_der d = sm_der_init(sm_buf_slice(&der));
    (void)sm_der_read_oid(&d);
    bool good = sm_ok(sm_buf_err(&der)) && sm_ok(sm_der_finish(&d));
    sm_buf_deinit(&der);
    return good;
}

static bool directory_is_good(sm_slice v)
{
    struct sm_name name;
    return sm_ok(sm_name_parse(v, &name, NULL)) && name.count > 0;
}

const char *sm_san_kind_name(enum sm_san_kind kind)
{
    static const char *const names[] = {"other",     "email", "dns", "x400",         "directory",
                                        "edi_party", "uri",   "ip",  "registered_id"};
    return (unsigned)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}

sm_err sm_san_check(const struct sm_san *san, bool wildcards, sm_diag *diag)
{
    bool good = false;
    const char *want = "";
    switch (san->kind) {
    case SM_SAN_DNS:
        good = dns_is_good(san->value, wildcards);
        want = wildcards ? "a host name in ASCII (IDNs as A-labels), at most one leading \"*.\""
                         : "a host name in ASCII (IDNs as A-labels) without a wildcard";
        break;
    case SM_SAN_EMAIL:
        good = email_is_good(san->value);
        want = "local@host in ASCII (RFC 5280 4.2.1.6)";
        break;
    case SM_SAN_URI:
        good = uri_is_good(san->value);
        want = "an absolute URI in ASCII (RFC 3986)";
        break;
    case SM_SAN_IP:
        good = san->value.len == 4 || san->value.len == 16;
        want = "4 or 16 octets";
        break;
    case SM_SAN_DIRECTORY:
        good = directory_is_good(san->value);
        want = "a Name that is not empty";
        break;
    case SM_SAN_REGISTERED_ID:
        good = oid_is_good(san->value);
        want = "an object identifier";
        break;
    case SM_SAN_OTHER:
        good = other_is_good(san->value);
        want = "OtherName (RFC 5280 4.2.1.6)";
        break;
    default:
        return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "sans", "names of type %s are not supported",
                           sm_san_kind_name(san->kind));
    }
    if (good) {
        return SM_NO_ERR;
    }
    char shown[80];
    bool text = san->kind == SM_SAN_DNS || san->kind == SM_SAN_EMAIL || san->kind == SM_SAN_URI;
    return sm_diag_set(diag, SM_ERR(INVALID), "sans", "%s name %s%s is not %s", sm_san_kind_name(san->kind),
                       text ? "\"" : "", text ? sm_diag_escape(san->value, shown, sizeof(shown)) : "", want);
}

/* One GeneralName. directoryName is EXPLICIT, since Name is a CHOICE. */
static struct sm_san parse_one(sm_der *list)
{
    uint8_t tag;
    struct sm_san san = {SM_SAN_X400, sm_der_read_any(list, &tag)};
    bool constructed = (tag & 0x20) != 0;
    unsigned number = tag & 0x1fU;
    bool wants_constructed = number == SM_SAN_OTHER || number == SM_SAN_X400 ||
                             number == SM_SAN_DIRECTORY || number == SM_SAN_EDI;
    if ((tag & 0xc0) != 0x80 || number > SM_SAN_REGISTERED_ID || constructed != wants_constructed) {
        sm_der_fail(list, SM_ERR(MALFORMED));
        return san;
    }
    san.kind = (enum sm_san_kind)number;
    return san;
}

static sm_err count_names(sm_slice value, size_t *out, sm_diag *diag)
{
    sm_der d = sm_der_init(value);
    sm_der list = sm_der_enter(&d, SM_DER_SEQUENCE);
    size_t n = 0;
    while (!sm_der_at_end(&list)) {
        (void)parse_one(&list);
        n++;
    }
    sm_der_leave(&d, &list);
    sm_err err = sm_der_finish(&d);
    if (!sm_ok(err) || n == 0) {
        return sm_diag_set(diag, sm_ok(err) ? SM_ERR(MALFORMED) : err, "sans",
                           "GeneralNames is empty or not well-formed DER");
    }
    if (n > SM_SANS_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "sans", "%zu names, more than %d", n, SM_SANS_MAX);
    }
    *out = n;
    return SM_NO_ERR;
}

sm_err sm_sans_parse(sm_slice value, bool wildcards, sm_arena *arena, struct sm_san **out, size_t *count,
                     sm_diag *diag)
{
    size_t n = 0;
    SM_TRY(count_names(value, &n, diag));
    struct sm_san *sans = sm_arena_alloc(arena, n * sizeof(*sans));
    if (sans == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sm_der d = sm_der_init(value);
    sm_der list = sm_der_enter(&d, SM_DER_SEQUENCE);
    for (size_t i = 0; i < n; i++) {
        sans[i] = parse_one(&list);
        SM_TRY(sm_san_check(&sans[i], wildcards, diag));
    }
    *out = sans;
    *count = n;
    return SM_NO_ERR;
}

void sm_san_write(sm_buf *out, const struct sm_san *san)
{
    bool constructed = san->kind == SM_SAN_OTHER || san->kind == SM_SAN_DIRECTORY;
    unsigned number = (unsigned)san->kind;
    sm_der_write(out, constructed ? SM_DER_CTX_CONS(number) : SM_DER_CTX(number), san->value);
}

void sm_sans_write(sm_buf *out, const struct sm_san *sans, size_t count)
{
    sm_der_block list = sm_der_begin(out, SM_DER_SEQUENCE);
    for (size_t i = 0; i < count; i++) {
        sm_san_write(out, &sans[i]);
    }
    sm_der_end(out, list);
}
