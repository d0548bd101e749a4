/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of enrolment requests. The first octet says which one, the rest is its SET's content. Names that are
 * read are written as the tagged form and read as the same.
 */
#include <stdint.h>

#include "base/check.h"
#include "sign/csr_attributes.h"
#include "sign/der.h"
#include "sign/oids.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sm_csr csr;
static sm_diag diag;

static sm_err read_names(sm_slice values, sm_arena *arena, struct sm_csr_names *out)
{
    csr.attribute_count = 1;
    csr.extension_count = 0;
    csr.attributes[0] = (struct sm_attribute){SM_OID_CHANGE_NAME, values};
    sm_diag_clear(&diag);
    return sm_csr_read_names(&csr, arena, out, &diag);
}

static void write_names(const struct sm_csr_names *names, sm_buf *out)
{
    sm_der_block change = sm_der_begin(out, SM_DER_SEQUENCE);
    if (names->has_subject) {
        sm_buf_put(out, names->subject);
    }
    if (names->has_sans) {
        sm_der d = sm_der_init(names->sans);
        sm_der_write(out, SM_DER_CTX_CONS(1), sm_der_read(&d, SM_DER_SEQUENCE));
    }
    sm_der_end(out, change);
}

static void try_names(sm_slice values, sm_arena *arena)
{
    struct sm_csr_names names;
    struct sm_csr_names again;
    if (!sm_ok(read_names(values, arena, &names))) {
        SM_CHECK(diag.field[0] != '\0');
        return;
    }
    SM_CHECK(names.has_subject || names.has_sans);
    SM_CHECK(sm_ok(sm_csr_set_names(&csr, &names, &diag)));
    sm_buf text = sm_buf_init(1U << 20);
    write_names(&names, &text);
    SM_CHECK(sm_ok(read_names(sm_buf_slice(&text), arena, &again)));
    SM_CHECK(sm_slice_equal(names.subject, again.subject) &&
             sm_slice_equal(names.sans, again.sans));
    sm_buf_deinit(&text);
}

static void try_linking(sm_slice values)
{
    sm_slice text;
    csr.attribute_count = 1;
    csr.attributes[0] = (struct sm_attribute){SM_OID_EST_LINKING, values};
    if (sm_ok(sm_csr_read_linking(&csr, &text, &diag))) {
        SM_CHECK(text.len > 0 && text.len <= SM_CSR_LINKING_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sm_arena arena;
    if (size == 0 || size > SM_CSR_MAX) {
        return 0;
    }
    sm_arena_init(&arena, 1U << 22);
    sm_slice values = sm_slice_of(data + 1, size - 1);
    if (data[0] % 2 == 0) {
        try_names(values, &arena);
    } else {
        try_linking(values);
    }
    sm_arena_deinit(&arena);
    return 0;
}
