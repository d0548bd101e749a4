/* SPDX-License-Identifier: Apache-2.0 */
#include "api/channel_binding.h"

#include "base/buf.h"
#include "base/text.h"

#define TEXT_MAX 128
/* Of tls-unique and tls-exporter in base64: what may be one where the connection's own is not to be had. */
#define UNIQUE_TEXT 16
#define EXPORTER_TEXT 44

#define LINKING_FIELD "csr.attributes.est_identity_linking"
#define CHALLENGE_FIELD "csr.attributes.challenge_password"

static bool is_as_long(sm_slice challenge, sm_slice binding)
{
    size_t text = (binding.len + 2) / 3 * 4;
    return binding.len > 0 ? challenge.len == text
                           : challenge.len == UNIQUE_TEXT || challenge.len == EXPORTER_TEXT;
}

static sm_err compare(sm_slice text, sm_slice binding, const char *field, sm_diag *diag)
{
    if (binding.len == 0) {
        return sm_diag_set(diag, SM_ERR(POLICY), field,
                           "this connection has no channel binding to compare it with");
    }
    sm_buf own = sm_buf_init_secret(TEXT_MAX);
    sm_base64_encode(&own, binding);
    sm_err err = sm_buf_err(&own);
    if (sm_ok(err) && !sm_slice_equal_secret(text, sm_buf_slice(&own))) {
        err = sm_diag_set(diag, SM_ERR(POLICY), field,
                          "it is not this connection's channel binding");
    }
    sm_buf_deinit(&own);
    return err;
}

sm_err sm_binding_check(enum sm_binding_rule rule, const struct sm_binding_claim *claim,
                        sm_diag *diag)
{
    if (rule == SM_BINDING_OFF) {
        return SM_NO_ERR;
    }
    if (claim->linking.ptr != NULL) {
        return compare(claim->linking, claim->binding, LINKING_FIELD, diag);
    }
    if (claim->challenge.ptr != NULL &&
        (rule == SM_BINDING_REQUIRED || is_as_long(claim->challenge, claim->binding))) {
        return compare(claim->challenge, claim->binding, CHALLENGE_FIELD, diag);
    }
    return rule == SM_BINDING_CHECKED
               ? SM_NO_ERR
               : sm_diag_set(diag, SM_ERR(POLICY), CHALLENGE_FIELD,
                             "this label wants the connection's channel binding in it (RFC 7030 "
                             "3.5), or in estIdentityLinking (RFC 7894)");
}
