/* SPDX-License-Identifier: Apache-2.0 */
/* SMIMECapabilities: which of the algorithms that a recipient names are used. */
#include "base/check.h"
#include "sign/cms.h"
#include "sign/der.h"
#include "sign/oids.h"

enum kind { CIPHER, TRANSPORT, KDF, WRAP, KIND_COUNT };

struct known {
    const sm_slice *oid;
    enum kind kind;
    int value;
};

/* The key wrap is as strong as the cipher: what the list says of it alone chooses nothing. */
static const struct known known[] = {
    {&SM_OID_AES_128_CBC, CIPHER, SM_CMS_AES_128_CBC},
    {&SM_OID_AES_192_CBC, CIPHER, SM_CMS_AES_192_CBC},
    {&SM_OID_AES_256_CBC, CIPHER, SM_CMS_AES_256_CBC},
    {&SM_OID_RSA_ENCRYPTION, TRANSPORT, true},
    {&SM_OID_RSAES_OAEP, TRANSPORT, false},
    {&SM_OID_DH_SHA256_KDF, KDF, SM_SHA256},
    {&SM_OID_DH_SHA384_KDF, KDF, SM_SHA384},
    {&SM_OID_DH_SHA512_KDF, KDF, SM_SHA512},
    {&SM_OID_AES_128_WRAP, WRAP, 0},
    {&SM_OID_AES_192_WRAP, WRAP, 0},
    {&SM_OID_AES_256_WRAP, WRAP, 0},
};

static const struct known *find(sm_slice oid)
{
    for (size_t i = 0; i < SM_ARRAY_LEN(known); i++) {
        if (sm_slice_equal(*known[i].oid, oid)) {
            return &known[i];
        }
    }
    return NULL;
}

/* SMIMECapability ::= SEQUENCE { capabilityID OBJECT IDENTIFIER, parameters ANY OPTIONAL }: its parameters choose nothing */
static sm_slice read_capability(sm_der *list)
{
    sm_der capability = sm_der_enter(list, SM_DER_SEQUENCE);
    sm_slice oid = sm_der_read_oid(&capability);
    if (!sm_der_at_end(&capability)) {
        (void)sm_der_read_raw(&capability);
    }
    sm_der_leave(list, &capability);
    return oid;
}

sm_err sm_cms_algorithms_read(sm_slice capabilities, struct sm_cms_algorithms *out)
{
    int first[KIND_COUNT] = {[CIPHER] = -1, [TRANSPORT] = -1, [KDF] = -1, [WRAP] = -1};
    bool others = false;
    sm_der d = sm_der_init(capabilities);
    sm_der list = capabilities.len == 0 ? d : sm_der_enter(&d, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&list)) {
        const struct known *k = find(read_capability(&list));
        others = others || k == NULL;
        if (k != NULL && first[k->kind] < 0) {
            first[k->kind] = k->value;
        }
    }
    sm_der_leave(&d, &list);
    SM_TRY(sm_der_finish(&d));
    if (first[CIPHER] < 0 && others) {
        return SM_ERR(UNSUPPORTED);
    }
    *out = (struct sm_cms_algorithms){
        .cipher = first[CIPHER] < 0 ? SM_CMS_AES_256_CBC : (enum sm_cms_cipher)first[CIPHER],
        .pkcs1 = first[TRANSPORT] > 0,
        .kdf = first[KDF] < 0 ? SM_DIGEST_NONE : (enum sm_digest)first[KDF],
    };
    return SM_NO_ERR;
}
