/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "sign/key.h"
#include "sign/key_p.h"

#include <openssl/pem.h>

sm_err sm_key_write_pem(const sm_key *key, const char *path, sm_diag *diag)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *pem = NULL;
    int good = bio != NULL &&
               PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL);
    long len = good ? BIO_get_mem_data(bio, &pem) : 0;
    sm_err err = len > 0 ? sm_file_write_atomic(path, sm_slice_of(pem, (size_t)len), 0600, diag)
                         : SM_ERR(CRYPTO);
    BIO_free(bio);
    return err;
}
