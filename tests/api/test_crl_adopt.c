/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "api/crl_adopt.h"
#include "api/record.h"
#include "ocsp-cache/crl_entry.h"

static sm_store *store;
static sm_arena arena;

static int set_up(void **state)
{
    sm_diag diag = {.reason = ""};
    const struct sm_store_config config = {.dir = NULL};
    (void)state;
    sm_arena_init(&arena, 16U << 20);
    return sm_ok(sm_store_open(&config, &store, &diag)) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sm_store_close(&store);
    sm_arena_deinit(&arena);
    return 0;
}

/* As releases without entries left them: a certificate and its state. */
static void put_revoked(uint32_t number, uint32_t state)
{
    Sealmill__Record__V1__CertificateRecord cert;
    Sealmill__Record__V1__StateRecord s;
    uint8_t serial[4] = {0x41, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};
    sm_slice key;
    struct sm_store_put puts[2] = {{.kind = SM_PUT, .family = SM_FAMILY_CERT},
                                   {.kind = SM_PUT, .family = SM_FAMILY_STATE}};
    sealmill__record__v1__certificate_record__init(&cert);
    sealmill__record__v1__state_record__init(&s);
    cert.version = SM_RECORD_VERSION;
    cert.ca_id = 3;
    cert.ca_generation = 2;
    cert.not_after = 2000000000;
    s.version = SM_RECORD_VERSION;
    s.state = state;
    s.changed_at = 1700000000;
    s.reason = 4;
    assert_sm_ok(sm_arena_copy(&arena, sm_slice_of(serial, sizeof(serial)), &key));
    puts[0].key = puts[1].key = key;
    assert_sm_ok(sm_record_pack(&cert.base, &arena, &puts[0].value));
    assert_sm_ok(sm_record_pack(&s.base, &arena, &puts[1].value));
    sm_store_write op = {.puts = puts, .put_count = 2};
    assert_sm_ok(sm_store_write_sync(store, &op));
}

static bool count_entry(void *ctx, sm_slice key, sm_slice value)
{
    struct sm_crl_entry e;
    assert_int_equal(key.len, 9 + 4);
    assert_sm_ok(sm_crl_entry_unpack(value, &e));
    assert_int_equal(e.standing, SM_CRL_REVOKED);
    assert_int_equal(e.reason, 4);
    assert_int_equal(e.changed_at, 1700000000);
    assert_int_equal(e.not_after, 2000000000);
    ++*(size_t *)ctx;
    return true;
}

static size_t entries(void)
{
    const struct sm_crl_scope scope = {3, 2, 0};
    const struct sm_crl_range range = sm_crl_entries(&scope);
    size_t n = 0;
    assert_sm_ok(sm_store_scan_sync(store, SM_FAMILY_OCSP, sm_slice_of(range.from, range.len),
                                    sm_slice_of(range.to, range.len), count_entry, &n));
    return n;
}

/* More than a page of them; those that are valid again have none. */
static void crl_adopt__writes_what_earlier_releases_did_not(void **state)
{
    (void)state;
    enum { REVOKED = SM_CRL_ADOPT_ROWS + 7 };
    for (uint32_t i = 0; i < REVOKED; i++) {
        put_revoked(i, SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED);
    }
    put_revoked(REVOKED, SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID);
    put_revoked(REVOKED + 1, SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_ON_HOLD);
    assert_int_equal(entries(), 0);
    assert_sm_ok(sm_crl_adopt(store));
    assert_int_equal(entries(), REVOKED + 1);
}

static void crl_adopt__is_done_once(void **state)
{
    (void)state;
    size_t before = entries();
    put_revoked(5000, SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED);
    assert_sm_ok(sm_crl_adopt(store));
    assert_int_equal(entries(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crl_adopt__writes_what_earlier_releases_did_not),
        cmocka_unit_test(crl_adopt__is_done_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
