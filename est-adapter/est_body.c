/* SPDX-License-Identifier: Apache-2.0 */
#include "est-adapter/est_body.h"

#include "base/text.h"

/* ---- in ---- */

bool sm_est_type_may_be_csr(sm_slice content_type)
{
    static const char *const others[] = {
        "application/pkcs7-mime", "application/cms",       "application/csrattrs",
        "application/pkcs8",      "application/pkix-cert", "application/json",
    };
    sm_slice type = sm_slice_trim(sm_slice_first(content_type, sm_slice_find(content_type, ';')));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (sm_slice_equal_nocase(type, sm_slice_str(others[i]))) {
            return false;
        }
    }
    return !sm_slice_equal_nocase(sm_slice_first(type, 10), SM_LIT("multipart/"));
}

/* A SEQUENCE that is as long as the body: no base64 text is, since its second octet would be a letter or
 * digit that says another length than the text has. */
static bool is_der(sm_slice body)
{
    if (body.len < 2 || body.ptr[0] != 0x30) {
        return false;
    }
    size_t octets = body.ptr[1] < 0x80 ? 0 : body.ptr[1] & 0x7fU;
    size_t len = octets == 0 ? body.ptr[1] : 0;
    if (octets > 4 || body.len < 2 + octets) {
        return false;
    }
    for (size_t i = 0; i < octets; i++) {
        len = len << 8 | body.ptr[2 + i];
    }
    return len == body.len - 2 - octets;
}

static sm_err read_pem(sm_slice body, sm_buf *der, sm_diag *diag)
{
    sm_slice label;
    sm_err err = sm_pem_next(&body, &label, der);
    bool right = sm_ok(err) && (sm_slice_equal(label, SM_LIT("CERTIFICATE REQUEST")) ||
                                sm_slice_equal(label, SM_LIT("NEW CERTIFICATE REQUEST")));
    if (!right || sm_slice_trim(body).len > 0) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), "body",
                           "a PEM body is one CERTIFICATE REQUEST and nothing else");
    }
    return SM_NO_ERR;
}

static sm_err read_base64(sm_slice body, sm_buf *der, sm_diag *diag)
{
    if (!sm_ok(sm_base64_decode(der, body, SM_BASE64_SPACE)) || der->len == 0) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), "body",
                           "a request in base64 (RFC 8951 3), PEM or DER is wanted");
    }
    return SM_NO_ERR;
}

sm_err sm_est_body_read(sm_slice body, sm_arena *arena, struct sm_est_body *out, sm_diag *diag)
{
    if (is_der(body)) {
        *out = (struct sm_est_body){body, SM_EST_DER};
        return SM_NO_ERR;
    }
    body = sm_slice_trim(body);
    bool lines = sm_slice_find(body, '\n') < body.len || sm_slice_find(body, '\r') < body.len;
    bool pem = sm_slice_search(body, SM_LIT("-----BEGIN ")) < body.len;
    sm_buf der = sm_buf_init(body.len + 1);
    sm_err err = pem ? read_pem(body, &der, diag) : read_base64(body, &der, diag);
    sm_slice copy = SM_SLICE_NONE;
    err = sm_ok(err) ? sm_arena_copy(arena, sm_buf_slice(&der), &copy) : err;
    sm_buf_deinit(&der);
    SM_TRY(err);
    *out = (struct sm_est_body){copy, lines || pem ? SM_EST_LINES : SM_EST_ONE_LINE};
    return SM_NO_ERR;
}

/* ---- out ---- */

void sm_est_body_write(sm_slice der, enum sm_est_form form, sm_buf *out)
{
    const size_t octets = SM_EST_COLUMNS / 4 * 3; /* of a full line */
    if (form == SM_EST_DER) {
        sm_buf_put(out, der);
        return;
    }
    size_t lines = der.len / octets + 1;
    (void)sm_buf_reserve(out, lines * (SM_EST_COLUMNS + 1)); /* at once, instead of growing to it */
    if (form == SM_EST_ONE_LINE) {
        sm_base64_encode(out, der);
        return;
    }
    while (der.len > 0) {
        sm_base64_encode(out, sm_slice_first(der, octets));
        sm_buf_put_byte(out, '\n');
        der = sm_slice_from(der, octets);
    }
}
