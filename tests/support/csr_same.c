/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/csr_same.h"

static bool same_oid(sm_slice ours, const ASN1_OBJECT *theirs)
{
    return sm_slice_equal(ours, sm_slice_of(OBJ_get0_data(theirs), OBJ_length(theirs)));
}

static bool same_string(sm_slice ours, const ASN1_STRING *theirs)
{
    return sm_slice_equal(
        ours, sm_slice_of(ASN1_STRING_get0_data(theirs), (size_t)ASN1_STRING_length(theirs)));
}

/* i2d's octets, which are freed. */
static bool same_der(sm_slice ours, unsigned char *der, int len)
{
    bool same = len > 0 && sm_slice_equal(ours, sm_slice_of(der, (size_t)len));
    OPENSSL_free(der);
    return same;
}

static bool same_subject(const struct sm_csr *ours, X509_REQ *theirs)
{
    unsigned char *der = NULL;
    X509_NAME *name = X509_REQ_get_subject_name(theirs);
    int len = i2d_X509_NAME(name, &der);
    if (!same_der(ours->subject, der, len) ||
        X509_NAME_entry_count(name) != (int)ours->name.count) {
        return false;
    }
    int previous = -1;
    for (size_t i = 0; i < ours->name.count; i++) {
        const struct sm_name_attribute *a = &ours->name.at[i];
        X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, (int)i);
        const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
        bool joined = X509_NAME_ENTRY_set(entry) == previous;
        previous = X509_NAME_ENTRY_set(entry);
        if (!same_oid(a->oid, X509_NAME_ENTRY_get_object(entry)) ||
            ASN1_STRING_type(value) != a->tag || !same_string(a->value, value) ||
            joined != a->with_previous) {
            return false;
        }
    }
    return true;
}

static bool same_extensions(const struct sm_csr *ours, X509_REQ *theirs)
{
    STACK_OF(X509_EXTENSION) *all = X509_REQ_get_extensions(theirs);
    int count = all == NULL ? 0 : sk_X509_EXTENSION_num(all);
    bool same = count == (int)ours->extension_count;
    for (int i = 0; same && i < count; i++) {
        const struct sm_extension *e = &ours->extensions[i];
        X509_EXTENSION *ext = sk_X509_EXTENSION_value(all, i);
        same = same_oid(e->oid, X509_EXTENSION_get_object(ext)) &&
               e->critical == (X509_EXTENSION_get_critical(ext) == 1) &&
               same_string(e->value, X509_EXTENSION_get_data(ext));
    }
    sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
    return same;
}

/* EXTERNAL, EMBEDDED PDV and CHARACTER STRING are constructed (X.690 8.17, 8.18, 8.24), but OpenSSL takes
 * them for strings in pieces, keeps what is in the pieces, and forgets the rest. */
static bool openssl_keeps(sm_slice value)
{
    return value.len == 0 || (value.ptr[0] != 0x28 && value.ptr[0] != 0x2b && value.ptr[0] != 0x3d);
}

/* Each attribute's type, and each of its values one after the other. */
static bool same_attribute(const struct sm_attribute *ours, X509_ATTRIBUTE *theirs)
{
    sm_slice rest = ours->values;
    if (!same_oid(ours->oid, X509_ATTRIBUTE_get0_object(theirs))) {
        return false;
    }
    for (int i = 0; i < X509_ATTRIBUTE_count(theirs); i++) {
        if (!openssl_keeps(rest)) {
            return true; /* nothing to compare the values with */
        }
        unsigned char *der = NULL;
        int len = i2d_ASN1_TYPE(X509_ATTRIBUTE_get0_type(theirs, i), &der);
        if (len <= 0 || !same_der(sm_slice_first(rest, (size_t)len), der, len)) {
            return false;
        }
        rest = sm_slice_from(rest, (size_t)len);
    }
    return rest.len == 0;
}

static bool same_attributes(const struct sm_csr *ours, X509_REQ *theirs)
{
    int count = X509_REQ_get_attr_count(theirs); /* -1 when the field is missing */
    bool same = (count < 0 ? 0 : count) == (int)ours->attribute_count;
    for (size_t i = 0; same && i < ours->attribute_count; i++) {
        same = same_attribute(&ours->attributes[i], X509_REQ_get_attr(theirs, (int)i));
    }
    int at = same ? X509_REQ_get_attr_by_NID(theirs, NID_pkcs9_challengePassword, -1) : -1;
    if (at < 0) {
        return same && ours->challenge_password.ptr == NULL;
    }
    ASN1_TYPE *value = X509_ATTRIBUTE_get0_type(X509_REQ_get_attr(theirs, at), 0);
    return same_string(ours->challenge_password, value->value.asn1_string);
}

static int nid_of(enum sm_sig_alg alg)
{
    static const int nids[SM_SIG_ALG_COUNT] = {
        [SM_SIG_ECDSA_SHA256] = NID_ecdsa_with_SHA256,
        [SM_SIG_ECDSA_SHA384] = NID_ecdsa_with_SHA384,
        [SM_SIG_ECDSA_SHA512] = NID_ecdsa_with_SHA512,
        [SM_SIG_RSA_SHA256] = NID_sha256WithRSAEncryption,
        [SM_SIG_RSA_SHA384] = NID_sha384WithRSAEncryption,
        [SM_SIG_RSA_SHA512] = NID_sha512WithRSAEncryption,
        [SM_SIG_PSS_SHA256] = NID_rsassaPss,
        [SM_SIG_PSS_SHA384] = NID_rsassaPss,
        [SM_SIG_PSS_SHA512] = NID_rsassaPss,
        [SM_SIG_ED25519] = NID_ED25519,
        [SM_SIG_ED448] = NID_ED448,
        [SM_SIG_ML_DSA_44] = NID_ML_DSA_44,
        [SM_SIG_ML_DSA_65] = NID_ML_DSA_65,
        [SM_SIG_ML_DSA_87] = NID_ML_DSA_87,
    };
    return nids[alg];
}

const char *sm_test_csr_difference(const struct sm_csr *ours, X509_REQ *theirs)
{
    unsigned char *spki = NULL;
    const ASN1_BIT_STRING *signature;
    X509_REQ_get0_signature(theirs, &signature, NULL);
    if (X509_REQ_get_version(theirs) != X509_REQ_VERSION_1) {
        return "version";
    }
    if (!same_subject(ours, theirs)) {
        return "subject";
    }
    int len = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(theirs), &spki);
    if (!same_der(ours->key.spki, spki, len)) {
        return "key";
    }
    if (!same_attributes(ours, theirs)) {
        return "attributes";
    }
    if (!same_extensions(ours, theirs)) {
        return "extensions";
    }
    if (nid_of(ours->sig_alg) != X509_REQ_get_signature_nid(theirs)) {
        return "signature algorithm";
    }
    return same_string(ours->signature, signature) ? NULL : "signature";
}

X509_REQ *sm_test_csr_read(sm_slice der)
{
    const unsigned char *at = der.ptr;
    X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)der.len);
    if (req != NULL && at != der.ptr + der.len) {
        X509_REQ_free(req);
        return NULL;
    }
    return req;
}

const char *sm_test_csr_disagrees(const struct sm_csr *ours)
{
    X509_REQ *theirs = sm_test_csr_read(ours->der);
    if (theirs == NULL) {
        return "OpenSSL refuses it";
    }
    const char *difference = sm_test_csr_difference(ours, theirs);
    X509_REQ_free(theirs);
    return difference;
}
