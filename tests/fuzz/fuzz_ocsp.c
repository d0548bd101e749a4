/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP requests beside OpenSSL's reader: what we accept, OpenSSL accepts with as many CertIDs. */
#include "ocsp-cache/ocsp.h"

#include <openssl/ocsp.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sm_ocsp_request request;
    if (sm_ok(sm_ocsp_request_parse(sm_slice_of(data, size), &request))) {
        const unsigned char *at = data;
        OCSP_REQUEST *theirs = d2i_OCSP_REQUEST(NULL, &at, (long)size);
        if (theirs != NULL && OCSP_request_onereq_count(theirs) != (int)request.count) {
            abort();
        }
        OCSP_REQUEST_free(theirs);
    }
    return 0;
}
