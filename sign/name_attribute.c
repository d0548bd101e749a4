/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/der.h"
#include "sign/name_p.h"

#include "base/check.h"

/* Attribute types with names: how they are written, and how long they may be in characters (RFC
 * 5280 A.1, its ub-*; X.520; RFC 2985; RFC 4519). */
struct attribute_row {
    const char *name;  /* as RFC 4514 text shows it */
    const char *other; /* as it may be given, too; NULL when there is none */
    sm_slice oid;
    uint8_t tag; /* UTF8String stands for DirectoryString */
    uint16_t min;
    uint16_t max;
};

#define DER(s)                              \
    {                                       \
        (const uint8_t *)(s), sizeof(s) - 1 \
    }
#define AT(n) DER("\x55\x04" n)
#define PKCS9(n) DER("\x2a\x86\x48\x86\xf7\x0d\x01\x09" n)
#define PILOT(n) DER("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01" n)
#define NAME_MAX_X520 32768 /* ub-name */

/* clang-format off */
static const struct attribute_row rows[] = {
    {"CN", "commonName", AT("\x03"), SM_DER_UTF8_STRING, 1, 64},
    {"C", "countryName", AT("\x06"), SM_DER_PRINTABLE_STRING, 2, 2},
    {"O", "organizationName", AT("\x0a"), SM_DER_UTF8_STRING, 1, 64},
    {"OU", "organizationalUnitName", AT("\x0b"), SM_DER_UTF8_STRING, 1, 64},
    {"serialNumber", NULL, AT("\x05"), SM_DER_PRINTABLE_STRING, 1, 64},
    {"L", "localityName", AT("\x07"), SM_DER_UTF8_STRING, 1, 128},
    {"ST", "stateOrProvinceName", AT("\x08"), SM_DER_UTF8_STRING, 1, 128},
    {"SN", "surname", AT("\x04"), SM_DER_UTF8_STRING, 1, NAME_MAX_X520},
    {"GN", "givenName", AT("\x2a"), SM_DER_UTF8_STRING, 1, NAME_MAX_X520},
    {"initials", NULL, AT("\x2b"), SM_DER_UTF8_STRING, 1, NAME_MAX_X520},
    {"generationQualifier", NULL, AT("\x2c"), SM_DER_UTF8_STRING, 1, NAME_MAX_X520},
    {"name", NULL, AT("\x29"), SM_DER_UTF8_STRING, 1, NAME_MAX_X520},
    {"street", "streetAddress", AT("\x09"), SM_DER_UTF8_STRING, 1, 128},
    {"title", NULL, AT("\x0c"), SM_DER_UTF8_STRING, 1, 64},
    {"description", NULL, AT("\x0d"), SM_DER_UTF8_STRING, 1, 1024},
    {"businessCategory", NULL, AT("\x0f"), SM_DER_UTF8_STRING, 1, 128},
    {"postalCode", NULL, AT("\x11"), SM_DER_UTF8_STRING, 1, 40},
    {"dnQualifier", NULL, AT("\x2e"), SM_DER_PRINTABLE_STRING, 1, 64},
    {"pseudonym", NULL, AT("\x41"), SM_DER_UTF8_STRING, 1, 128},
    {"organizationIdentifier", NULL, AT("\x61"), SM_DER_UTF8_STRING, 1, 256},
    {"emailAddress", "E", PKCS9("\x01"), SM_DER_IA5_STRING, 1, 255},
    {"unstructuredName", NULL, PKCS9("\x02"), SM_DER_UTF8_STRING, 1, 255},
    {"unstructuredAddress", NULL, PKCS9("\x08"), SM_DER_UTF8_STRING, 1, 255},
    {"UID", "userId", PILOT("\x01"), SM_DER_UTF8_STRING, 1, 256},
    {"DC", "domainComponent", PILOT("\x19"), SM_DER_IA5_STRING, 1, 63},
};
/* clang-format on */

/* Types without a row: any string. */
static const struct attribute_row other_row = {
    .tag = SM_DER_UTF8_STRING, .min = 1, .max = NAME_MAX_X520};

static const struct attribute_row *row_by_oid(sm_slice oid)
{
    for (size_t i = 0; i < SM_ARRAY_LEN(rows); i++) {
        if (sm_slice_equal(rows[i].oid, oid)) {
            return &rows[i];
        }
    }
    return &other_row;
}

const char *sm_attribute_short_name(sm_slice oid)
{
    return row_by_oid(oid)->name;
}

sm_err sm_attribute_oid(sm_slice type, sm_arena *arena, sm_slice *oid)
{
    for (size_t i = 0; i < SM_ARRAY_LEN(rows); i++) {
        if (sm_slice_equal_nocase(sm_slice_str(rows[i].name), type) ||
            (rows[i].other != NULL && sm_slice_equal_nocase(sm_slice_str(rows[i].other), type))) {
            *oid = rows[i].oid;
            return SM_NO_ERR;
        }
    }
    sm_buf dotted = sm_buf_init(type.len);
    sm_err err = sm_oid_from_text(type, &dotted);
    if (sm_ok(err)) {
        err = sm_arena_copy(arena, sm_buf_slice(&dotted), oid);
    }
    sm_buf_deinit(&dotted);
    return err;
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* DirectoryString: UTF8String or PrintableString for what is issued anew (RFC 5280 4.1.2.4); the
 * attributes of PKCS #9 may be IA5String as well (RFC 2985 5.4). Other types have one encoding. */
static bool tag_fits(const struct attribute_row *row, const struct sm_name_attribute *a)
{
    if (row->tag != SM_DER_UTF8_STRING || a->tag == row->tag) {
        return a->tag == row->tag;
    }
    bool ia5_too = row->name == NULL || row->oid.len == 9;
    return a->tag == SM_DER_PRINTABLE_STRING || (ia5_too && a->tag == SM_DER_IA5_STRING);
}

static const char *tag_name(uint8_t tag)
{
    return tag == SM_DER_UTF8_STRING        ? "UTF8String or PrintableString"
           : tag == SM_DER_PRINTABLE_STRING ? "PrintableString"
                                            : "IA5String";
}

sm_err sm_name_attribute_check(const struct sm_name_attribute *a, sm_diag *diag)
{
    const struct attribute_row *row = row_by_oid(a->oid);
    const char *name = row->name == NULL ? "the attribute" : row->name;
    if (!tag_fits(row, a)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "subject", "%s must be a %s (RFC 5280 A.1)", name,
                           tag_name(row->tag));
    }
    if (!sm_string_is_good(a->tag, a->value)) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), "subject",
                           "%s has characters that a %s does not allow", name, tag_name(a->tag));
    }
    size_t len = sm_string_length(a->tag, a->value);
    if (len < row->min || len > row->max) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "subject",
                           "%s must have %u to %u characters (RFC 5280 A.1)", name, row->min,
                           row->max);
    }
    bool is_country = row->min == 2;
    if (is_country && (!is_letter(a->value.ptr[0]) || !is_letter(a->value.ptr[1]))) {
        return sm_diag_set(diag, SM_ERR(INVALID), "subject", "C must be two letters (ISO 3166)");
    }
    return SM_NO_ERR;
}

sm_err sm_name_use_utf8(struct sm_name *name, sm_arena *arena)
{
    for (size_t i = 0; i < name->count; i++) {
        struct sm_name_attribute *a = &name->at[i];
        const struct attribute_row *row = row_by_oid(a->oid);
        if (row->tag != SM_DER_UTF8_STRING || tag_fits(row, a)) {
            continue;
        }
        sm_buf utf8 = sm_buf_init(2 *
                                  a->value.len); /* Latin-1 at most doubles, the others grow less */
        sm_string_to_utf8(&utf8, a->tag, a->value);
        sm_err err = sm_buf_err(&utf8);
        err = sm_ok(err) ? sm_arena_copy(arena, sm_buf_slice(&utf8), &a->value) : err;
        sm_buf_deinit(&utf8);
        SM_TRY(err);
        a->tag = SM_DER_UTF8_STRING;
    }
    return SM_NO_ERR;
}

sm_err sm_name_attribute_make(sm_slice type, sm_slice value, sm_arena *arena,
                              struct sm_name_attribute *out, sm_diag *diag)
{
    char shown[40];
    struct sm_name_attribute a = {.value = value};
    sm_err err = sm_attribute_oid(type, arena, &a.oid);
    if (!sm_ok(err)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "subject",
                           "%s is not an attribute type or a dotted OID",
                           sm_diag_escape(type, shown, sizeof(shown)));
    }
    a.tag = row_by_oid(a.oid)->tag;
    SM_TRY(sm_name_attribute_check(&a, diag));
    SM_TRY(sm_arena_copy(arena, value, &a.value));
    *out = a;
    return SM_NO_ERR;
}
