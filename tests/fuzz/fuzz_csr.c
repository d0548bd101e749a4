/* SPDX-License-Identifier: Apache-2.0 */
/* The CSR reader beside OpenSSL's: what we accept, OpenSSL accepts with the same subject and
 * key. */
#include "sign/csr.h"
#include "sign/server_key.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const unsigned char *der, int len, sm_slice ours)
{
    if (len < 0 || (size_t)len != ours.len || memcmp(der, ours.ptr, ours.len) != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sm_csr csr;
    sm_diag diag = {.reason = ""};
    sm_buf scratch = sm_buf_init(SM_CSR_MAX);
    sm_slice der;
    struct sm_server_key_wish wish;
    sm_err err = sm_csr_from_pem_or_der(sm_slice_of(data, size), &scratch, &der, &diag);
    bool wishes = sm_ok(err) && sm_ok(sm_server_key_wish_read(der, &wish, &diag));
    if (sm_ok(err) && sm_ok(sm_csr_parse(der, &csr, &diag))) {
        const unsigned char *at = der.ptr;
        X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)der.len);
        if (req == NULL || !wishes || !sm_slice_equal(wish.subject, csr.subject) ||
            wish.type != csr.key.type) {
            abort();
        }
        unsigned char *subject = NULL;
        int len = i2d_X509_NAME(X509_REQ_get_subject_name(req), &subject);
        same(subject, len, csr.subject);
        unsigned char *spki = NULL;
        len = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(req), &spki);
        same(spki, len, csr.key.spki);
        OPENSSL_free(subject);
        OPENSSL_free(spki);
        X509_REQ_free(req);
    }
    sm_buf_deinit(&scratch);
    return 0;
}
