/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/name.h"

#include "sign/der.h"

/* Well-formed UTF-8 without NUL (RFC 3629: no surrogates, nothing over U+10FFFF, shortest forms). */
static bool utf8_is_good(sm_slice v)
{
    size_t i = 0;
    while (i < v.len) {
        uint8_t c = v.ptr[i++];
        if (c < 0x80) {
            if (c == 0) {
                return false;
            }
            continue;
        }
        size_t more = c >= 0xf0 ? 3 : (c >= 0xe0 ? 2 : 1);
        uint32_t code = c & (0x3fU >> more);
        if (c < 0xc2 || c > 0xf4 || v.len - i < more) {
            return false;
        }
        for (size_t j = 0; j < more; j++, i++) {
            if ((v.ptr[i] & 0xc0) != 0x80) {
                return false;
            }
            code = code << 6 | (v.ptr[i] & 0x3fU);
        }
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
            return false;
        }
    }
    return true;
}

static bool is_printable_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr(" '()+,-./:=?", c) != NULL);
}

static bool all_of(sm_slice v, bool (*good)(uint8_t c))
{
    for (size_t i = 0; i < v.len; i++) {
        if (!good(v.ptr[i])) {
            return false;
        }
    }
    return true;
}

static bool is_ia5_char(uint8_t c)
{
    return c != 0 && c < 0x80;
}

static bool is_not_nul(uint8_t c)
{
    return c != 0;
}

/* The alphabet of a string type; BMPString and UniversalString only by their width. */
static bool value_is_good(uint8_t tag, sm_slice v)
{
    switch (tag) {
    case SM_DER_UTF8_STRING:
        return utf8_is_good(v);
    case SM_DER_PRINTABLE_STRING:
        return all_of(v, is_printable_char);
    case SM_DER_IA5_STRING:
        return all_of(v, is_ia5_char);
    case SM_DER_TELETEX_STRING:
        return all_of(v, is_not_nul);
    case SM_DER_BMP_STRING:
        return v.len % 2 == 0;
    case SM_DER_UNIVERSAL_STRING:
        return v.len % 4 == 0;
    default:
        return false;
    }
}

/* AttributeTypeAndValue (RFC 5280 4.1.2.4). False: a fault is set in `rdn`. */
static bool parse_attribute(sm_der *rdn, struct sm_name_attribute *out)
{
    sm_der pair = sm_der_enter(rdn, SM_DER_SEQUENCE);
    out->oid = sm_der_read_oid(&pair);
    out->value = sm_der_read_any(&pair, &out->tag);
    sm_der_leave(rdn, &pair);
    return sm_ok(sm_der_err(rdn));
}

sm_err sm_name_parse(sm_slice der, struct sm_name *out, sm_diag *diag)
{
    sm_der d = sm_der_init(der);
    sm_der name = sm_der_enter(&d, SM_DER_SEQUENCE);
    out->count = 0;
    while (!sm_der_at_end(&name)) {
        sm_der rdn = sm_der_enter(&name, SM_DER_SET);
        bool first = true;
        do {
            if (out->count == SM_NAME_ATTRIBUTES_MAX) {
                return sm_diag_set(diag, SM_ERR(TOO_LARGE), "subject", "more than %d attributes",
                                   SM_NAME_ATTRIBUTES_MAX);
            }
            struct sm_name_attribute *a = &out->at[out->count];
            if (!parse_attribute(&rdn, a)) {
                break;
            }
            a->with_previous = !first;
            first = false;
            if (!value_is_good(a->tag, a->value) || a->value.len == 0) {
                return sm_diag_set(diag, SM_ERR(MALFORMED), "subject",
                                   "attribute %zu is empty or has characters that its string type does not allow",
                                   out->count + 1);
            }
            out->count++;
        } while (!sm_der_at_end(&rdn));
        sm_der_leave(&name, &rdn);
    }
    sm_der_leave(&d, &name);
    sm_err err = sm_der_finish(&d);
    return sm_ok(err) ? err : sm_diag_set(diag, err, "subject", "the name is not well-formed DER");
}

void sm_name_write(sm_buf *out, const struct sm_name *name)
{
    sm_der_block all = sm_der_begin(out, SM_DER_SEQUENCE);
    for (size_t i = 0; i < name->count;) {
        sm_der_block set = sm_der_begin(out, SM_DER_SET);
        do {
            const struct sm_name_attribute *a = &name->at[i];
            sm_der_block pair = sm_der_begin(out, SM_DER_SEQUENCE);
            sm_der_write_oid(out, a->oid);
            sm_der_write(out, a->tag, a->value);
            sm_der_end(out, pair);
            i++;
        } while (i < name->count && name->at[i].with_previous);
        sm_der_end(out, set);
    }
    sm_der_end(out, all);
}
