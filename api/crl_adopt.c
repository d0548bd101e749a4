/* SPDX-License-Identifier: Apache-2.0 */
#include "api/crl_adopt.h"

#include "api/record.h"
#include "base/log.h"
#include "base/mem.h"
#include "ocsp-cache/crl_entry.h"
#include "sign/cert.h"

#define MARK SM_LIT("crl/adopted")
#define ARENA_CAP (8U << 20)

struct adopting {
    sm_store *store;
    sm_arena arena; /* of one page */
    struct sm_store_put puts[SM_CRL_ADOPT_ROWS + 1];
    size_t count;
    size_t rows; /* looked at in this page */
    uint8_t next[64];
    size_t next_len; /* the last key and a zero: where the next page begins */
    uint64_t adopted;
    sm_err err;
};

/* The certificate's part: whose it is, and when it expires. */
static sm_err read_cert(sm_store *store, sm_slice serial, struct sm_record_brief *out)
{
    sm_buf bytes = sm_buf_init(SM_CERT_MAX);
    sm_err err = sm_store_get_sync(store, SM_FAMILY_CERT, serial, &bytes);
    if (sm_ok(err) && !sm_record_read_brief(sm_buf_slice(&bytes), out)) {
        err = SM_ERR(CORRUPT);
    }
    sm_buf_deinit(&bytes);
    return err;
}

static sm_err adopt(struct adopting *a, sm_slice serial, sm_slice value)
{
    ProtobufCMessage *m;
    struct sm_record_brief cert;
    SM_TRY(sm_record_unpack(value, &sealmill__record__v1__state_record__descriptor, &a->arena, &m));
    const Sealmill__Record__V1__StateRecord *s = (const Sealmill__Record__V1__StateRecord *)(void *)
        m;
    sm_err err = read_cert(a->store, serial, &cert);
    if (s->state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID ||
        sm_err_is(err, SM_E_NOT_FOUND)) {
        return SM_NO_ERR;
    }
    SM_TRY(err);
    const struct sm_crl_entry entry = {SM_CRL_REVOKED, (int)s->reason, s->changed_at,
                                       s->invalidity_date, cert.not_after};
    const struct sm_crl_scope scope = {cert.ca_id, cert.generation,
                                       0}; /* nothing was partitioned then */
    return sm_crl_entry_put(&scope, serial, &entry, &a->arena, &a->puts[a->count], &a->count);
}

static bool on_state(void *ctx, sm_slice key, sm_slice value)
{
    struct adopting *a = ctx;
    if (key.len >= sizeof(a->next)) {
        a->err = SM_ERR(CORRUPT);
        return false;
    }
    memcpy(a->next, key.ptr, key.len);
    a->next[key.len] = 0;
    a->next_len = key.len + 1;
    a->err = adopt(a, key, value);
    return sm_ok(a->err) && ++a->rows < SM_CRL_ADOPT_ROWS;
}

static sm_err adopt_page(struct adopting *a, bool *more)
{
    a->count = 0;
    a->rows = 0;
    SM_TRY(sm_store_scan_sync(a->store, SM_FAMILY_STATE, sm_slice_of(a->next, a->next_len),
                              SM_SLICE_NONE, on_state, a));
    SM_TRY(a->err);
    *more = a->rows == SM_CRL_ADOPT_ROWS;
    a->adopted += a->count;
    sm_store_write op = {.puts = a->puts, .put_count = a->count};
    return a->count == 0 ? SM_NO_ERR : sm_store_write_sync(a->store, &op);
}

static sm_err adopt_all(struct adopting *a)
{
    sm_err err = SM_NO_ERR;
    bool more = true;
    while (sm_ok(err) && more) {
        sm_arena_init(&a->arena, ARENA_CAP);
        err = adopt_page(a, &more);
        sm_arena_deinit(&a->arena);
    }
    SM_TRY(err);
    const struct sm_store_put mark = {SM_PUT, SM_FAMILY_META, MARK, SM_LIT("1")};
    sm_store_write op = {.puts = &mark, .put_count = 1};
    return sm_store_write_sync(a->store, &op);
}

sm_err sm_crl_adopt(sm_store *store)
{
    sm_buf mark = sm_buf_init(64);
    sm_err err = sm_store_get_sync(store, SM_FAMILY_META, MARK, &mark);
    sm_buf_deinit(&mark);
    if (!sm_err_is(err, SM_E_NOT_FOUND)) {
        return err; /* done, or it cannot be known */
    }
    struct adopting *a = sm_calloc(1, sizeof(*a));
    if (a == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    a->store = store;
    err = adopt_all(a);
    if (sm_ok(err) && a->adopted > 0) {
        sm_log(SM_LOG_INFO, "crl_entries_adopted", SM_KU("entries", a->adopted), SM_KEND);
    }
    sm_free(a);
    return err;
}
