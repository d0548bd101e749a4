/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/der.h"
#include "sign/name.h"

const char *sm_san_kind_name(enum sm_san_kind kind)
{
    static const char *const names[] = {"other",     "email", "dns", "x400",         "directory",
                                        "edi_party", "uri",   "ip",  "registered_id"};
    return (unsigned)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
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
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "sans", "%zu names, more than %d", n,
                           SM_SANS_MAX);
    }
    *out = n;
    return SM_NO_ERR;
}

bool sm_sans_have(const struct sm_san *sans, size_t count, const struct sm_san *wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (sans[i].kind == wanted->kind && sm_slice_equal(sans[i].value, wanted->value)) {
            return true;
        }
    }
    return false;
}

sm_err sm_sans_parse(sm_slice value, bool wildcards, sm_arena *arena, struct sm_san **out,
                     size_t *count, sm_diag *diag)
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
