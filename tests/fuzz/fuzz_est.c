/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EST's paths, content types and bodies. The first octet picks which. What a body is read as is written again and
 * read as the same.
 */
#include <stdint.h>

#include "base/check.h"
#include "est-adapter/est_body.h"
#include "est-adapter/est_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_body(sm_slice in)
{
    sm_arena arena;
    struct sm_est_body body;
    struct sm_est_body again;
    sm_diag diag = {.reason = ""};
    sm_arena_init(&arena, 1U << 22);
    if (sm_ok(sm_est_body_read(in, &arena, &body, &diag))) {
        sm_buf text = sm_buf_init(1U << 22);
        enum sm_est_form form = body.form == SM_EST_DER ? SM_EST_LINES : body.form;
        sm_est_body_write(body.der, form, &text);
        SM_CHECK(sm_ok(sm_est_body_read(sm_buf_slice(&text), &arena, &again, &diag)));
        SM_CHECK(sm_slice_equal(body.der, again.der));
        sm_buf_deinit(&text);
    }
    sm_arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sm_est_path path;
    if (size == 0) {
        return 0;
    }
    sm_slice in = sm_slice_of(data + 1, size - 1);
    switch (data[0] % 3) {
    case 0:
        SM_CHECK(!sm_est_path_parse(in, &path) || sm_est_path_is_est(in));
        break;
    case 1:
        (void)sm_est_type_may_be_csr(in);
        break;
    default:
        try_body(in);
    }
    return 0;
}
