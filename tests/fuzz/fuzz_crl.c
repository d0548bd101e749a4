/* SPDX-License-Identifier: Apache-2.0 */
/* CRLs beside OpenSSL's reader: what we accept, OpenSSL accepts with as many entries of the same serial numbers. */
#include "ocsp-cache/crl_read.h"

#include <openssl/x509.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(const struct sm_crl_read *ours, X509_CRL *theirs)
{
    struct sm_crl_read_entry entry;
    STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(theirs);
    int count = list == NULL ? 0 : sk_X509_REVOKED_num(list);
    sm_der cursor = sm_der_init(ours->entries);
    size_t n = 0;
    if ((size_t)count != ours->count) {
        abort();
    }
    while (sm_crl_read_next(&cursor, &entry)) {
        n++;
    }
    if (n != ours->count) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sm_crl_read crl;
    sm_diag diag = {.reason = ""};
    if (sm_ok(sm_crl_read_parse(sm_slice_of(data, size), &crl, &diag))) {
        const unsigned char *at = data;
        X509_CRL *theirs = d2i_X509_CRL(NULL, &at, (long)size);
        if (theirs != NULL) {
            compare(&crl, theirs);
        }
        X509_CRL_free(theirs);
    }
    return 0;
}
