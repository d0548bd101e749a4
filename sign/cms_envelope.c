/* SPDX-License-Identifier: Apache-2.0 */
/* EnvelopedData. */
#include "base/mem.h"
#include "base/rand.h"
#include "sign/cms_recipient.h"
#include "sign/der.h"
#include "sign/oids.h"

#include <limits.h>
#include <openssl/evp.h>

#define ENVELOPED_VERSION 2 /* a recipient of another version than 0 (RFC 5652 6.1) */
#define BLOCK 16            /* octets of AES */

size_t sm_cms_key_len(enum sm_cms_cipher cipher)
{
    return cipher == SM_CMS_AES_128_CBC ? 16 : cipher == SM_CMS_AES_192_CBC ? 24 : 32;
}

static sm_slice cipher_oid(enum sm_cms_cipher cipher)
{
    return cipher == SM_CMS_AES_128_CBC   ? SM_OID_AES_128_CBC
           : cipher == SM_CMS_AES_192_CBC ? SM_OID_AES_192_CBC
                                          : SM_OID_AES_256_CBC;
}

static const EVP_CIPHER *cipher_of(enum sm_cms_cipher cipher)
{
    return cipher == SM_CMS_AES_128_CBC   ? EVP_aes_128_cbc()
           : cipher == SM_CMS_AES_192_CBC ? EVP_aes_192_cbc()
                                          : EVP_aes_256_cbc();
}

/* Appends [0] with the encrypted octets, padded as RFC 5652 6.3 says. */
static sm_err write_encrypted(enum sm_cms_cipher cipher, const uint8_t *key, const uint8_t *iv,
                              sm_slice content, sm_buf *out)
{
    const size_t room = content.len + BLOCK;
    uint8_t *encrypted = content.len > INT_MAX - BLOCK ? NULL : sm_malloc(room);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int head = 0;
    int tail = 0;
    if (encrypted == NULL || ctx == NULL) {
        sm_free(encrypted);
        EVP_CIPHER_CTX_free(ctx);
        return SM_ERR(NO_MEMORY);
    }
    bool ok = EVP_EncryptInit_ex(ctx, cipher_of(cipher), NULL, key, iv) == 1 &&
              EVP_EncryptUpdate(ctx, encrypted, &head, content.ptr, (int)content.len) == 1 &&
              EVP_EncryptFinal_ex(ctx, encrypted + head, &tail) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (ok) {
        sm_der_write(out, SM_DER_CTX(0), sm_slice_of(encrypted, (size_t)(head + tail)));
    }
    sm_free(encrypted);
    return ok ? sm_buf_err(out) : SM_ERR(CRYPTO);
}

static sm_err write_content(enum sm_cms_cipher cipher, const uint8_t *key, sm_slice content_type,
                            sm_slice content, sm_buf *out)
{
    uint8_t iv[BLOCK];
    sm_rand_bytes(iv, sizeof(iv));
    sm_der_block info = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, content_type);
    sm_der_block algorithm = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, cipher_oid(cipher));
    sm_der_write(out, SM_DER_OCTET_STRING, sm_slice_of(iv, sizeof(iv))); /* RFC 3565 4.1 */
    sm_der_end(out, algorithm);
    sm_err err = write_encrypted(cipher, key, iv, content, out);
    sm_der_end(out, info);
    return err;
}

sm_err sm_cms_envelop(const struct sm_cms_recipient *recipient,
                      const struct sm_cms_algorithms *algorithms, sm_slice content_type,
                      sm_slice content, sm_buf *out)
{
    uint8_t key[SM_CMS_KEY_MAX];
    sm_rand_bytes(key, sizeof(key));
    sm_der_block info = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, SM_OID_ENVELOPED_DATA);
    sm_der_block explicit_content = sm_der_begin(out, SM_DER_CTX_CONS(0));
    sm_der_block data = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_u64(out, ENVELOPED_VERSION);
    sm_der_block recipients = sm_der_begin(out, SM_DER_SET);
    sm_err err = sm_cms_recipient_write(recipient, algorithms,
                                        sm_slice_of(key, sm_cms_key_len(algorithms->cipher)), out);
    sm_der_end(out, recipients);
    err = sm_ok(err) ? write_content(algorithms->cipher, key, content_type, content, out) : err;
    sm_der_end(out, data);
    sm_der_end(out, explicit_content);
    sm_der_end(out, info);
    sm_wipe(key, sizeof(key));
    return sm_ok(err) ? sm_buf_err(out) : err;
}
