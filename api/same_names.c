/* SPDX-License-Identifier: Apache-2.0 */
#include "api/same_names.h"

#include "sign/oids.h"

static sm_err check_sans(const struct sm_cert *old, const struct sm_san *now, size_t now_count,
                         sm_arena *arena, sm_diag *diag)
{
    const struct sm_extension *ext = sm_cert_extension(old, SM_OID_SUBJECT_ALT_NAME);
    struct sm_san *sans = NULL;
    size_t count = 0;
    if (ext != NULL) {
        SM_TRY(sm_sans_parse(ext->value, true, arena, &sans, &count, diag));
    }
    bool same = true;
    for (size_t i = 0; i < count; i++) {
        same = same && sm_sans_have(now, now_count, &sans[i]);
    }
    for (size_t i = 0; i < now_count; i++) {
        same = same && sm_sans_have(sans, count, &now[i]);
    }
    return same ? SM_NO_ERR
                : sm_diag_set(diag, SM_ERR(POLICY), "sans",
                              "a renewal keeps the SANs, and these are others: issue it anew");
}

sm_err sm_same_names_check(const struct sm_cert *old, sm_slice subject, const struct sm_san *sans,
                           size_t san_count, sm_arena *arena, sm_diag *diag)
{
    sm_buf before = sm_buf_init(SM_CERT_MAX);
    sm_buf now = sm_buf_init(SM_CERT_MAX);
    sm_err err = sm_name_to_text(old->subject, &before);
    err = sm_ok(err) ? sm_name_to_text(subject, &now) : err;
    if (sm_ok(err) && !sm_slice_equal(sm_buf_slice(&before), sm_buf_slice(&now))) {
        err = sm_diag_set(diag, SM_ERR(POLICY), "subject",
                          "a renewal keeps the subject %.*s, and this is %.*s: issue it anew",
                          (int)(before.len < 60 ? before.len : 60), (const char *)before.ptr,
                          (int)(now.len < 60 ? now.len : 60), (const char *)now.ptr);
    }
    sm_buf_deinit(&before);
    sm_buf_deinit(&now);
    return sm_ok(err) ? check_sans(old, sans, san_count, arena, diag) : err;
}
