/* SPDX-License-Identifier: Apache-2.0 */
#include "api/decrypt_key.h"

#include "api/api_p.h"
#include "api/record.h"
#include "gen/sealmill/v1/decrypt_key.pb-c.h"
#include "sign/key.h"

static sm_err not_known(sm_diag *diag)
{
    return sm_diag_set(diag, SM_ERR(INVALID), "csr.attributes",
                       "no key for the encryption of the answer is known under this identifier");
}

/* No fault of who asks. */
static sm_err cannot_open(sm_diag *diag)
{
    return sm_diag_set(diag, SM_ERR(CORRUPT), "",
                       "the registered key cannot be opened: after a change of the passphrase "
                       "secret keys are registered again");
}

static sm_slice bytes_of(ProtobufCBinaryData data)
{
    return sm_slice_of(data.data, data.len);
}

static sm_err read_record(sm_api *api, sm_slice key, sm_arena *arena,
                          Sealmill__Record__V1__DecryptKeyRecord **out, sm_diag *diag)
{
    ProtobufCMessage *m;
    sm_err err = sm_record_get(sm_api_store(api), SM_FAMILY_META, key,
                               &sealmill__record__v1__decrypt_key_record__descriptor, arena, &m);
    if (sm_err_is(err, SM_E_NOT_FOUND)) {
        return not_known(diag);
    }
    SM_TRY(err);
    *out = (Sealmill__Record__V1__DecryptKeyRecord *)(void *)m;
    return (*out)->key == NULL ? SM_ERR(CORRUPT) : SM_NO_ERR;
}

sm_err sm_decrypt_key_find(sm_api *api, sm_slice id, bool asymmetric, const char *label,
                           sm_arena *arena, sm_buf *secret, struct sm_cms_recipient *out,
                           sm_diag *diag)
{
    Sealmill__Record__V1__DecryptKeyRecord *record = NULL;
    sm_slice key;
    SM_TRY(sm_record_key(SM_DECRYPT_KEY_PREFIX, id, arena, &key));
    SM_TRY(read_record(api, key, arena, &record, diag));
    const sm_slice sealed = bytes_of(record->sealed_secret);
    const bool for_all = record->key->label[0] == '\0';
    if (asymmetric != (sealed.len == 0) || !(for_all || strcmp(record->key->label, label) == 0)) {
        return not_known(diag);
    }
    *out = (struct sm_cms_recipient){.id = id, .public_key = bytes_of(record->key->public_key)};
    if (sealed.len > 0) {
        sm_err err = sm_keystore_unseal(api->config.keystore, key, sealed, secret);
        out->secret = sm_buf_slice(secret);
        return sm_err_is(err, SM_E_FORBIDDEN) ? cannot_open(diag) : err;
    }
    return SM_NO_ERR;
}
