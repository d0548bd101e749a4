/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/der.h"
#include "sign/name_p.h"

/* AttributeTypeAndValue (RFC 5280 4.1.2.4). False: a fault is set in `rdn`. */
static bool parse_pair(sm_der *rdn, struct sm_name_attribute *out)
{
    sm_der pair = sm_der_enter(rdn, SM_DER_SEQUENCE);
    out->oid = sm_der_read_oid(&pair);
    out->value = sm_der_read_any(&pair, &out->tag);
    sm_der_leave(rdn, &pair);
    return sm_ok(sm_der_err(rdn));
}

/* RelativeDistinguishedName: a SET OF, so that its members come in the order of their encodings
 * (X.690 11.6). */
static sm_err parse_rdn(sm_der *rdn, struct sm_name *out, sm_diag *diag)
{
    sm_slice previous = SM_SLICE_NONE;
    do {
        if (out->count == SM_NAME_ATTRIBUTES_MAX) {
            return sm_diag_set(diag, SM_ERR(TOO_LARGE), "subject", "more than %d attributes",
                               SM_NAME_ATTRIBUTES_MAX);
        }
        struct sm_name_attribute *a = &out->at[out->count];
        const uint8_t *start = rdn->at;
        if (!parse_pair(rdn, a)) {
            return SM_NO_ERR; /* the reader has it */
        }
        sm_slice all = sm_slice_of(start, (size_t)(rdn->at - start));
        a->with_previous = previous.ptr != NULL;
        if (a->with_previous && sm_slice_compare(previous, all) > 0) {
            return sm_diag_set(
                diag, SM_ERR(MALFORMED), "subject",
                "attributes that are joined in one RDN are not in DER's order (X.690 11.6)");
        }
        previous = all;
        if (a->value.len == 0 || !sm_string_is_good(a->tag, a->value)) {
            return sm_diag_set(
                diag, SM_ERR(MALFORMED), "subject",
                "attribute %zu is empty, no string, or has characters that its string type does "
                "not allow",
                out->count + 1);
        }
        out->count++;
    } while (!sm_der_at_end(rdn));
    return SM_NO_ERR;
}

sm_err sm_name_parse(sm_slice der, struct sm_name *out, sm_diag *diag)
{
    sm_der d = sm_der_init(der);
    sm_der name = sm_der_enter(&d, SM_DER_SEQUENCE);
    out->count = 0;
    while (!sm_der_at_end(&name)) {
        sm_der rdn = sm_der_enter(&name, SM_DER_SET);
        SM_TRY(parse_rdn(&rdn, out, diag));
        sm_der_leave(&name, &rdn);
    }
    sm_der_leave(&d, &name);
    sm_err err = sm_der_finish(&d);
    return sm_ok(err) ? err : sm_diag_set(diag, err, "subject", "the name is not well-formed DER");
}

static void write_pair(sm_buf *out, const struct sm_name_attribute *a)
{
    sm_der_block pair = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, a->oid);
    sm_der_write(out, a->tag, a->value);
    sm_der_end(out, pair);
}

/* Writes `count` pairs in the order of their encodings: first as they come, then sorted behind
 * these, then moved down. */
static void write_set(sm_buf *out, const struct sm_name_attribute *at, size_t count)
{
    sm_slice encoded[SM_NAME_ATTRIBUTES_MAX];
    size_t ends[SM_NAME_ATTRIBUTES_MAX];
    size_t start = out->len;
    for (size_t i = 0; i < count; i++) {
        write_pair(out, &at[i]);
        ends[i] = out->len;
    }
    size_t len = out->len - start;
    if (count == 1 || sm_buf_reserve(out, len) == NULL) {
        return; /* in order, or the error sticks */
    }
    for (size_t i = 0; i < count; i++) {
        size_t from = i == 0 ? start : ends[i - 1];
        sm_slice one = sm_slice_of(out->ptr + from, ends[i] - from);
        size_t j = i;
        for (; j > 0 && sm_slice_compare(encoded[j - 1], one) > 0; j--) {
            encoded[j] = encoded[j - 1];
        }
        encoded[j] = one;
    }
    for (size_t i = 0; i < count; i++) {
        sm_buf_put(out, encoded[i]);
    }
    memmove(out->ptr + start, out->ptr + start + len, len);
    sm_buf_truncate(out, start + len);
}

void sm_name_write(sm_buf *out, const struct sm_name *name)
{
    sm_der_block all = sm_der_begin(out, SM_DER_SEQUENCE);
    for (size_t i = 0; i < name->count;) {
        size_t next = i + 1;
        while (next < name->count && name->at[next].with_previous) {
            next++;
        }
        sm_der_block set = sm_der_begin(out, SM_DER_SET);
        write_set(out, &name->at[i], next - i);
        sm_der_end(out, set);
        i = next;
    }
    sm_der_end(out, all);
}
