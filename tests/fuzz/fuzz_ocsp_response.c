/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP responses beside OpenSSL's reader: what we accept is one answer in its eyes, with the same status. */
#include "ocsp-cache/ocsp_response_read.h"

#include <openssl/ocsp.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(const struct sm_ocsp_response_read *ours, OCSP_RESPONSE *theirs)
{
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(theirs);
    if (basic != NULL) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, 0);
        int status = OCSP_single_get0_status(single, NULL, NULL, NULL, NULL);
        if (OCSP_resp_count(basic) != 1 || status != (int)ours->said.status) {
            abort();
        }
    }
    OCSP_BASICRESP_free(basic);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sm_ocsp_response_read response;
    sm_diag diag = {.reason = ""};
    if (sm_ok(sm_ocsp_response_read(sm_slice_of(data, size), &response, &diag))) {
        const unsigned char *at = data;
        OCSP_RESPONSE *theirs = d2i_OCSP_RESPONSE(NULL, &at, (long)size);
        if (theirs != NULL) {
            compare(&response, theirs);
        }
        OCSP_RESPONSE_free(theirs);
    }
    return 0;
}
