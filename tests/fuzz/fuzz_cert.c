/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates, names and SANs. */
#include "base/arena.h"
#include "sign/cert.h"
#include "sign/oids.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sm_cert cert;
    sm_diag diag = {.reason = ""};
    sm_arena arena;
    sm_arena_init(&arena, 1U << 20);
    if (sm_ok(sm_cert_parse(sm_slice_of(data, size), &cert, &diag))) {
        sm_buf text = sm_buf_init(1U << 20);
        struct sm_san *sans;
        size_t count;
        const struct sm_extension *ext = sm_cert_extension(&cert, SM_OID_SUBJECT_ALT_NAME);
        (void)sm_ok(sm_name_to_text(cert.subject, &text));
        if (ext != NULL && sm_ok(sm_sans_parse(ext->value, true, &arena, &sans, &count, &diag))) {
            for (size_t i = 0; i < count; i++) {
                (void)sm_ok(sm_san_to_text(&sans[i], &text));
            }
        }
        sm_buf_deinit(&text);
    }
    sm_arena_deinit(&arena);
    return 0;
}
