/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/chain.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#define FILE_MAX (4U << 20)

struct sm_anchors {
    X509_STORE *store;
    size_t count;
};

static X509 *read_x509(sm_slice der)
{
    const unsigned char *at = der.ptr;
    X509 *x = d2i_X509(NULL, &at, (long)der.len);
    if (x != NULL && at != der.ptr + der.len) {
        X509_free(x);
        x = NULL;
    }
    return x;
}

/* ---- anchors ---- */

static sm_err new_empty(sm_anchors **out)
{
    sm_anchors *a = sm_calloc(1, sizeof(*a));
    if (a == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    a->store = X509_STORE_new();
    if (a->store == NULL) {
        sm_free(a);
        return SM_ERR(NO_MEMORY);
    }
    *out = a;
    return SM_NO_ERR;
}

static sm_err add_anchor(sm_anchors *a, sm_slice der, sm_diag *diag)
{
    if (a->count == SM_ANCHORS_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "trust_anchors", "more than %d",
                           SM_ANCHORS_MAX);
    }
    X509 *x = read_x509(der);
    if (x == NULL) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), "trust_anchors", "number %zu is no certificate",
                           a->count + 1);
    }
    int added = X509_STORE_add_cert(a->store, x);
    X509_free(x);
    a->count++;
    return added == 1 ? SM_NO_ERR : SM_ERR(NO_MEMORY);
}

sm_err sm_anchors_new(const sm_slice *certificates, size_t count, sm_anchors **out, sm_diag *diag)
{
    sm_anchors *a;
    SM_TRY(new_empty(&a));
    sm_err err = SM_NO_ERR;
    for (size_t i = 0; i < count && sm_ok(err); i++) {
        err = add_anchor(a, certificates[i], diag);
    }
    if (!sm_ok(err)) {
        sm_anchors_free(&a);
        return err;
    }
    *out = a;
    return SM_NO_ERR;
}

static sm_err add_pem(sm_anchors *a, sm_slice text, sm_diag *diag)
{
    sm_err err = SM_NO_ERR;
    while (sm_ok(err)) {
        sm_buf der = sm_buf_init(FILE_MAX);
        sm_slice label;
        err = sm_pem_next(&text, &label, &der);
        if (sm_ok(err) && sm_slice_equal(label, SM_LIT("CERTIFICATE"))) {
            err = add_anchor(a, sm_buf_slice(&der), diag);
        }
        sm_buf_deinit(&der);
    }
    return sm_err_is(err, SM_E_NOT_FOUND) ? SM_NO_ERR : err;
}

sm_err sm_anchors_read(const char *path, sm_anchors **out, sm_diag *diag)
{
    sm_buf text = sm_buf_init(FILE_MAX);
    sm_anchors *a = NULL;
    sm_err err = sm_file_read(path, &text, diag);
    err = sm_ok(err) ? new_empty(&a) : err;
    err = sm_ok(err) ? add_pem(a, sm_buf_slice(&text), diag) : err;
    sm_buf_deinit(&text);
    if (sm_ok(err) && a->count == 0) {
        err = sm_diag_set(diag, SM_ERR(MALFORMED), "trust_anchors", "%.200s has no certificate",
                          path);
    }
    if (!sm_ok(err)) {
        sm_anchors_free(&a);
        return err;
    }
    *out = a;
    return SM_NO_ERR;
}

void sm_anchors_free(sm_anchors **anchors)
{
    sm_anchors *a = *anchors;
    *anchors = NULL;
    if (a != NULL) {
        X509_STORE_free(a->store);
        sm_free(a);
    }
}

/* ---- chains ---- */

static STACK_OF(X509) * read_sent(const sm_slice *sent, size_t count)
{
    STACK_OF(X509) *list = sk_X509_new_null();
    for (size_t i = 0; list != NULL && i < count && i < SM_CHAIN_SENT_MAX; i++) {
        X509 *x = read_x509(sent[i]);
        if (x != NULL && sk_X509_push(list, x) == 0) {
            X509_free(x);
        }
    }
    return list;
}

static sm_err verify(const sm_anchors *anchors, X509 *leaf, STACK_OF(X509) * sent, int64_t at,
                     sm_diag *diag)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (ctx == NULL || X509_STORE_CTX_init(ctx, anchors->store, leaf, sent) != 1) {
        X509_STORE_CTX_free(ctx);
        return SM_ERR(NO_MEMORY);
    }
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)at);
    X509_VERIFY_PARAM_set_depth(param, SM_CHAIN_DEPTH_MAX);
    (void)X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    bool good = X509_verify_cert(ctx) == 1;
    int reason = X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    return good ? SM_NO_ERR
                : sm_diag_set(diag, SM_ERR(FORBIDDEN), "client certificate", "%s",
                              X509_verify_cert_error_string(reason));
}

sm_err sm_chain_verify(const sm_anchors *anchors, sm_slice leaf, const sm_slice *sent,
                       size_t sent_count, int64_t at, sm_diag *diag)
{
    X509 *x = read_x509(leaf);
    if (x == NULL) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), "client certificate", "it cannot be read");
    }
    STACK_OF(X509) *list = read_sent(sent, sent_count);
    sm_err err = list == NULL ? SM_ERR(NO_MEMORY) : verify(anchors, x, list, at, diag);
    sk_X509_pop_free(list, X509_free);
    X509_free(x);
    return err;
}
