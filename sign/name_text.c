/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "sign/der.h"
#include "sign/name.h"

/* Attribute types with a short name: how they are written and how long they may be (RFC 5280 appendix A.1, ub-*; X.520). */
struct attribute_row {
    const char *name;
    sm_slice oid;
    uint8_t tag;
    uint16_t max; /* characters */
};

#define DER(s) {(const uint8_t *)(s), sizeof(s) - 1}
#define AT(n) DER("\x55\x04" n)

static const struct attribute_row rows[] = {
    {"CN", AT("\x03"), SM_DER_UTF8_STRING, 64},
    {"SN", AT("\x04"), SM_DER_UTF8_STRING, 64},
    {"serialNumber", AT("\x05"), SM_DER_PRINTABLE_STRING, 64},
    {"C", AT("\x06"), SM_DER_PRINTABLE_STRING, 2},
    {"L", AT("\x07"), SM_DER_UTF8_STRING, 128},
    {"ST", AT("\x08"), SM_DER_UTF8_STRING, 128},
    {"street", AT("\x09"), SM_DER_UTF8_STRING, 128},
    {"O", AT("\x0a"), SM_DER_UTF8_STRING, 64},
    {"OU", AT("\x0b"), SM_DER_UTF8_STRING, 64},
    {"title", AT("\x0c"), SM_DER_UTF8_STRING, 64},
    {"postalCode", AT("\x11"), SM_DER_UTF8_STRING, 40},
    {"name", AT("\x29"), SM_DER_UTF8_STRING, 128},
    {"GN", AT("\x2a"), SM_DER_UTF8_STRING, 64},
    {"initials", AT("\x2b"), SM_DER_UTF8_STRING, 64},
    {"generationQualifier", AT("\x2c"), SM_DER_UTF8_STRING, 64},
    {"dnQualifier", AT("\x2e"), SM_DER_PRINTABLE_STRING, 64},
    {"pseudonym", AT("\x41"), SM_DER_UTF8_STRING, 128},
    {"organizationIdentifier", AT("\x61"), SM_DER_UTF8_STRING, 256},
    {"emailAddress", DER("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"), SM_DER_IA5_STRING, 255},
    {"unstructuredName", DER("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02"), SM_DER_UTF8_STRING, 255},
    {"UID", DER("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01"), SM_DER_UTF8_STRING, 256},
    {"DC", DER("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19"), SM_DER_IA5_STRING, 63},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))
#define OTHER_MAX 32768 /* ub-name of X.520 for types that we do not know */

static const struct attribute_row *row_by_oid(sm_slice oid)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (sm_slice_equal(rows[i].oid, oid)) {
            return &rows[i];
        }
    }
    return NULL;
}

static const struct attribute_row *row_by_name(sm_slice name)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (sm_slice_equal_nocase(sm_slice_str(rows[i].name), name)) {
            return &rows[i];
        }
    }
    return NULL;
}

const char *sm_attribute_short_name(sm_slice oid)
{
    const struct attribute_row *row = row_by_oid(oid);
    return row == NULL ? NULL : row->name;
}

sm_err sm_attribute_oid(sm_slice type, sm_arena *arena, sm_slice *oid)
{
    const struct attribute_row *row = row_by_name(type);
    if (row != NULL) {
        *oid = row->oid;
        return SM_NO_ERR;
    }
    sm_buf dotted = sm_buf_init(64);
    sm_err err = sm_oid_from_text(type, &dotted);
    if (sm_ok(err)) {
        err = sm_arena_copy(arena, sm_buf_slice(&dotted), oid);
    }
    sm_buf_deinit(&dotted);
    return err;
}

static size_t count_characters(sm_slice utf8)
{
    size_t n = 0;
    for (size_t i = 0; i < utf8.len; i++) {
        n += (utf8.ptr[i] & 0xc0) != 0x80;
    }
    return n;
}

/* One attribute's value through the parser, which knows the alphabets. */
static sm_err check_attribute(const struct sm_name_attribute *a, sm_diag *diag)
{
    struct sm_name one = {.count = 1};
    struct sm_name again;
    one.at[0] = *a;
    one.at[0].with_previous = false;
    sm_buf der = sm_buf_init(a->value.len + 128);
    sm_name_write(&der, &one);
    sm_err err = sm_buf_err(&der);
    if (sm_ok(err)) {
        err = sm_name_parse(sm_buf_slice(&der), &again, diag);
    }
    sm_buf_deinit(&der);
    return err;
}

sm_err sm_name_attribute_make(sm_slice type, sm_slice value, sm_arena *arena,
                              struct sm_name_attribute *out, sm_diag *diag)
{
    char shown[40];
    struct sm_name_attribute a = {.tag = SM_DER_UTF8_STRING};
    sm_err err = sm_attribute_oid(type, arena, &a.oid);
    if (!sm_ok(err)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "subject", "%s is not an attribute type or a dotted OID",
                           sm_diag_escape(type, shown, sizeof(shown)));
    }
    const struct attribute_row *row = row_by_oid(a.oid);
    size_t max = row == NULL ? OTHER_MAX : row->max;
    if (value.len == 0 || count_characters(value) > max) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "subject", "%s must have 1 to %zu characters (RFC 5280 A.1)",
                           sm_diag_escape(type, shown, sizeof(shown)), max);
    }
    a.tag = row == NULL ? SM_DER_UTF8_STRING : row->tag;
    SM_TRY(sm_arena_copy(arena, value, &a.value));
    SM_TRY(check_attribute(&a, diag));
    *out = a;
    return SM_NO_ERR;
}

/* Takes "type=value" up to an unescaped ',' or '+' from `*text`; backslashes are taken out (RFC 4514 2.4). */
static sm_err take_pair(sm_slice *text, sm_slice *type, sm_buf *value, uint8_t *end)
{
    size_t equals = sm_slice_find(*text, '=');
    if (equals == text->len) {
        return SM_ERR(MALFORMED);
    }
    *type = sm_slice_trim(sm_slice_first(*text, equals));
    size_t i = equals + 1;
    *end = 0;
    for (; i < text->len; i++) {
        uint8_t c = text->ptr[i];
        if (c == ',' || c == '+') {
            *end = c;
            break;
        }
        if (c == '\\') {
            if (++i == text->len) {
                return SM_ERR(MALFORMED);
            }
            sm_slice pair = sm_slice_first(sm_slice_from(*text, i), 2);
            if (strchr(",+\"\\<>;=# ", text->ptr[i]) == NULL && sm_ok(sm_hex_decode(value, pair, false))) {
                i++;
                continue;
            }
            c = text->ptr[i];
        }
        sm_buf_put_byte(value, c);
    }
    *text = i < text->len ? sm_slice_from(*text, i + 1) : SM_SLICE_NONE;
    return sm_buf_err(value);
}

sm_err sm_name_from_text(sm_slice text, sm_arena *arena, struct sm_name *out, sm_diag *diag)
{
    bool joined = false;
    out->count = 0;
    text = sm_slice_trim(text);
    while (text.len > 0) {
        if (out->count == SM_NAME_ATTRIBUTES_MAX) {
            return sm_diag_set(diag, SM_ERR(TOO_LARGE), "subject", "more than %d attributes", SM_NAME_ATTRIBUTES_MAX);
        }
        sm_slice type;
        uint8_t end;
        sm_buf value = sm_buf_init(OTHER_MAX);
        sm_err err = take_pair(&text, &type, &value, &end);
        if (sm_ok(err)) {
            err = sm_name_attribute_make(type, sm_slice_trim(sm_buf_slice(&value)), arena,
                                         &out->at[out->count], diag);
        }
        sm_buf_deinit(&value);
        if (!sm_ok(err)) {
            return sm_diag_set(diag, err, "subject", "write a name as \"C=DE,O=Acme,CN=x\"");
        }
        out->at[out->count++].with_previous = joined;
        joined = end == '+';
        if (end != 0 && text.len == 0) {
            return sm_diag_set(diag, SM_ERR(MALFORMED), "subject", "a name ends with ',' or '+'");
        }
    }
    return SM_NO_ERR;
}

/* RFC 4514 2.4. */
static void put_escaped(sm_buf *out, sm_slice v)
{
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        bool edge_space = c == ' ' && (i == 0 || i + 1 == v.len);
        if (c < 0x20 || c == 0x7f) {
            sm_buf_printf(out, "\\%02X", c);
            continue;
        }
        if (edge_space || (c == '#' && i == 0) || strchr(",+\"\\<>;", c) != NULL) {
            sm_buf_put_byte(out, '\\');
        }
        sm_buf_put_byte(out, c);
    }
}

static void put_code_point(sm_buf *out, uint32_t c)
{
    if (c < 0x80) {
        uint8_t octet = (uint8_t)c;
        put_escaped(out, sm_slice_of(&octet, 1));
    } else if (c < 0x800) {
        sm_buf_put_byte(out, (uint8_t)(0xc0 | c >> 6));
        sm_buf_put_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
    } else {
        if (c >= 0x10000) {
            sm_buf_put_byte(out, (uint8_t)(0xf0 | (c >> 18 & 7)));
            sm_buf_put_byte(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        } else {
            sm_buf_put_byte(out, (uint8_t)(0xe0 | c >> 12));
        }
        sm_buf_put_byte(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        sm_buf_put_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
    }
}

/* The old string types in UTF-8: TeletexString read as Latin-1, as everybody does. */
static void put_value(sm_buf *out, const struct sm_name_attribute *a)
{
    size_t width = a->tag == SM_DER_BMP_STRING ? 2 : (a->tag == SM_DER_UNIVERSAL_STRING ? 4 : 1);
    if (width == 1 && a->tag != SM_DER_TELETEX_STRING) {
        put_escaped(out, a->value);
        return;
    }
    for (size_t i = 0; i + width <= a->value.len; i += width) {
        uint32_t c = 0;
        for (size_t j = 0; j < width; j++) {
            c = c << 8 | a->value.ptr[i + j];
        }
        put_code_point(out, c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0xfffd : c);
    }
}

sm_err sm_name_to_text(sm_slice der, sm_buf *out)
{
    struct sm_name name;
    SM_TRY(sm_name_parse(der, &name, NULL));
    size_t end = name.count;
    while (end > 0) {
        size_t start = end - 1;
        while (name.at[start].with_previous) {
            start--;
        }
        for (size_t i = start; i < end; i++) {
            const struct sm_name_attribute *a = &name.at[i];
            const char *type = sm_attribute_short_name(a->oid);
            if (type != NULL) {
                sm_buf_put_str(out, type);
            } else {
                SM_TRY(sm_oid_to_text(a->oid, out));
            }
            sm_buf_put_byte(out, '=');
            put_value(out, a);
            if (i + 1 < end) {
                sm_buf_put_byte(out, '+');
            }
        }
        end = start;
        if (end > 0) {
            sm_buf_put_byte(out, ',');
        }
    }
    return sm_buf_err(out);
}
