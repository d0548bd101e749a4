/* SPDX-License-Identifier: Apache-2.0 */
/* CRLs beside OpenSSL's reader: what both accept has the same serial numbers, in the same order. */
#include "ocsp-cache/crl_read.h"

#include <openssl/bn.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good)
{
    if (!good) {
        abort();
    }
}

static bool is_serial(sm_slice magnitude, const ASN1_INTEGER *theirs)
{
    BIGNUM *a = BN_bin2bn(magnitude.ptr, (int)magnitude.len, NULL);
    BIGNUM *b = ASN1_INTEGER_to_BN(theirs, NULL);
    bool same = a != NULL && b != NULL && BN_cmp(a, b) == 0;
    BN_free(a);
    BN_free(b);
    return same;
}

static void compare(const struct sm_crl_read *ours, X509_CRL *theirs)
{
    struct sm_crl_read_entry entry;
    /* As they stand in it: X509_CRL_get0_by_serial would sort them. */
    STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(theirs);
    int count = list == NULL ? 0 : sk_X509_REVOKED_num(list);
    sm_der cursor = sm_der_init(ours->entries);
    require((size_t)count == ours->count);
    for (int i = 0; i < count; i++) {
        require(sm_crl_read_next(&cursor, &entry));
        require(is_serial(entry.serial,
                          X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(list, i))));
    }
    require(!sm_crl_read_next(&cursor, &entry));
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
