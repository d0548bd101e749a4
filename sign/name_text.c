/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "sign/der.h"
#include "sign/name_p.h"

/* ---- from text ---- */

/* Characters that must be escaped in a value, wherever they stand (RFC 4514 2.4). */
static bool is_special(uint8_t c)
{
    return c != 0 && strchr("\"+,;<>\\", c) != NULL;
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool take_hex_pair(sm_slice *text, uint8_t *out)
{
    int high = text->len < 2 ? -1 : hex_digit(text->ptr[0]);
    int low = text->len < 2 ? -1 : hex_digit(text->ptr[1]);
    if (high < 0 || low < 0) {
        return false;
    }
    *out = (uint8_t)(high << 4 | low);
    *text = sm_slice_from(*text, 2);
    return true;
}

/* What follows a backslash: a special character, space, '#', '=', or two hexadecimal digits (RFC
 * 4514 3, `pair`). */
static bool take_escaped(sm_slice *text, uint8_t *out)
{
    uint8_t c = text->len == 0 ? 0 : text->ptr[0];
    if (is_special(c) || c == ' ' || c == '#' || c == '=') {
        *out = c;
        *text = sm_slice_from(*text, 1);
        return true;
    }
    return take_hex_pair(text, out);
}

static bool is_end(sm_slice text)
{
    return text.len == 0 || text.ptr[0] == ',' || text.ptr[0] == '+';
}

/* A value up to its ',' or '+', unescaped into `out` (which has room for all of the text). Spaces
 * around it go unless escaped. */
static bool take_value(sm_slice *text, uint8_t *out, size_t *out_len)
{
    size_t len = 0;
    size_t keep = 0;
    while (!is_end(*text)) {
        uint8_t c = text->ptr[0];
        *text = sm_slice_from(*text, 1);
        bool escaped = c == '\\';
        if (escaped ? !take_escaped(text, &c) : is_special(c)) {
            return false;
        }
        if (c == ' ' && !escaped && len == 0) {
            continue;
        }
        out[len++] = c;
        keep = c == ' ' && !escaped ? keep : len;
    }
    *out_len = keep;
    return true;
}

/* "#0c0141": the value's whole DER (RFC 4514 2.4). */
static bool take_hex(sm_slice *text, uint8_t *out, struct sm_name_attribute *a)
{
    size_t len = 0;
    *text = sm_slice_from(*text, 1);
    while (take_hex_pair(text, &out[len])) {
        len++;
    }
    while (text->len > 0 && text->ptr[0] == ' ') {
        *text = sm_slice_from(*text, 1);
    }
    sm_der d = sm_der_init(sm_slice_of(out, len));
    a->value = sm_der_read_any(&d, &a->tag);
    return sm_ok(sm_der_finish(&d)) && is_end(*text);
}

/* "type=value" from the front of `*text`. `scratch` has room for the text; values in `arena`. */
static sm_err take_pair(sm_slice *text, uint8_t *scratch, sm_arena *arena,
                        struct sm_name_attribute *out, sm_diag *diag)
{
    size_t equals = sm_slice_find(*text, '=');
    if (equals == text->len) {
        return SM_ERR(MALFORMED);
    }
    sm_slice type = sm_slice_trim(sm_slice_first(*text, equals));
    *text = sm_slice_from(*text, equals + 1);
    while (text->len > 0 && text->ptr[0] == ' ') {
        *text = sm_slice_from(*text, 1);
    }
    if (text->len == 0 || text->ptr[0] != '#') {
        size_t len;
        if (!take_value(text, scratch, &len)) {
            return SM_ERR(MALFORMED);
        }
        return sm_name_attribute_make(type, sm_slice_of(scratch, len), arena, out, diag);
    }
    struct sm_name_attribute a;
    if (!take_hex(text, scratch, &a)) {
        return SM_ERR(MALFORMED);
    }
    if (!sm_ok(sm_attribute_oid(type, arena, &a.oid))) {
        return SM_ERR(INVALID);
    }
    SM_TRY(sm_name_attribute_check(&a, diag));
    SM_TRY(sm_arena_copy(arena, a.value, &a.value));
    *out = a;
    return SM_NO_ERR;
}

/* Without the white space around it, but with a last space that a backslash keeps. */
static sm_slice trim(sm_slice text)
{
    sm_slice t = sm_slice_trim(text);
    size_t slashes = 0;
    while (slashes < t.len && t.ptr[t.len - 1 - slashes] == '\\') {
        slashes++;
    }
    bool more = slashes % 2 == 1 && t.ptr + t.len < text.ptr + text.len;
    t.len += more && t.ptr[t.len] == ' ';
    return t;
}

sm_err sm_name_from_text(sm_slice text, sm_arena *arena, struct sm_name *out, sm_diag *diag)
{
    text = trim(text);
    uint8_t *scratch = sm_arena_alloc(arena, text.len + 1);
    if (scratch == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    bool joined = false;
    bool more = text.len > 0;
    for (out->count = 0; more; out->count++) {
        if (out->count == SM_NAME_ATTRIBUTES_MAX) {
            return sm_diag_set(diag, SM_ERR(TOO_LARGE), "subject", "more than %d attributes",
                               SM_NAME_ATTRIBUTES_MAX);
        }
        struct sm_name_attribute *a = &out->at[out->count];
        sm_err err = take_pair(&text, scratch, arena, a, diag);
        if (!sm_ok(err)) {
            return sm_diag_set(
                diag, err, "subject",
                "attribute %zu: write a name as \"C=DE,O=Acme,CN=x\", with a backslash before "
                "any of \"+,;<>\\ in a value",
                out->count + 1);
        }
        a->with_previous = joined;
        more = text.len > 0; /* a separator: something must follow it */
        joined = more && text.ptr[0] == '+';
        text = sm_slice_from(text, 1);
    }
    return SM_NO_ERR;
}

/* ---- to text ---- */

/* RFC 4514 2.4. Control characters are escaped too, so that the text stays one line. */
static void put_escaped(sm_buf *out, sm_slice v)
{
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        bool at_edge = i == 0 || i + 1 == v.len;
        if (c < 0x20 || c == 0x7f) {
            sm_buf_printf(out, "\\%02X", c);
            continue;
        }
        if (is_special(c) || (c == ' ' && at_edge) || (c == '#' && i == 0)) {
            sm_buf_put_byte(out, '\\');
        }
        sm_buf_put_byte(out, c);
    }
}

static void put_hex(sm_buf *out, const struct sm_name_attribute *a)
{
    sm_buf der = sm_buf_init(a->value.len + 16);
    sm_der_write(&der, a->tag, a->value);
    sm_buf_put_byte(out, '#');
    sm_hex_encode(out, sm_buf_slice(&der));
    if (sm_ok(out->err)) {
        out->err = sm_buf_err(&der);
    }
    sm_buf_deinit(&der);
}

static sm_err put_attribute(sm_buf *out, const struct sm_name_attribute *a)
{
    const char *type = sm_attribute_short_name(a->oid);
    if (type == NULL) {
        /* A dotted type goes with the value's DER: who reads it may not know its syntax (RFC
         * 4514 2.4). */
        SM_TRY(sm_oid_to_text(a->oid, out));
        sm_buf_put_byte(out, '=');
        put_hex(out, a);
        return sm_buf_err(out);
    }
    sm_buf_put_str(out, type);
    sm_buf_put_byte(out, '=');
    if (a->tag != SM_DER_TELETEX_STRING && a->tag != SM_DER_BMP_STRING &&
        a->tag != SM_DER_UNIVERSAL_STRING) {
        put_escaped(out, a->value);
        return sm_buf_err(out);
    }
    sm_buf utf8 = sm_buf_init(2 * a->value.len);
    sm_string_to_utf8(&utf8, a->tag, a->value);
    put_escaped(out, sm_buf_slice(&utf8));
    sm_err err = sm_buf_err(&utf8);
    sm_buf_deinit(&utf8);
    return sm_ok(err) ? sm_buf_err(out) : err;
}

sm_err sm_name_to_text(sm_slice der, sm_buf *out)
{
    struct sm_name name;
    SM_TRY(sm_name_parse(der, &name, NULL));
    /* The last RDN first (RFC 4514 2.1), the attributes of each in their order. */
    for (size_t end = name.count; end > 0;) {
        size_t start = end - 1;
        while (name.at[start].with_previous) {
            start--;
        }
        for (size_t i = start; i < end; i++) {
            SM_TRY(put_attribute(out, &name.at[i]));
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
