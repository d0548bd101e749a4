/* SPDX-License-Identifier: Apache-2.0 */
/* CRLs as OpenSSL reads them. SM_CRL_ENTRIES=1000000 makes a large one, and says what memory it took. */
#include "tests/support/support.h"

#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "ocsp-cache/crl_build.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define NOW INT64_C(1790000000)
/* Name { CN=x } */
static const uint8_t issuer[] = {0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 0x06,
                                 0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, 'x'};

static char dir[64];
static sm_store *store;
static sm_key *key;

static int set_up(void **state)
{
    sm_diag diag = {.reason = ""};
    char db[80];
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/sealmill-test-crl-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    (void)snprintf(db, sizeof(db), "%s/db", dir);
    const struct sm_store_config config = {.dir = db, .create = true};
    return sm_ok(sm_store_open(&config, &store, &diag)) && sm_ok(sm_key_generate(SM_KEY_P256, &key))
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    char command[100];
    (void)state;
    sm_store_close(&store);
    sm_key_detach(&key);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command) == 0 ? 0 : -1;
}

static void put_entry_of(const struct sm_crl_scope *scope, uint64_t serial,
                         const struct sm_crl_entry *entry)
{
    uint8_t octets[9] = {0x71};
    sm_arena arena;
    struct sm_store_put puts[SM_CRL_ENTRY_PUTS];
    size_t count = 0;
    for (int i = 0; i < 8; i++) {
        octets[1 + i] = (uint8_t)(serial >> (56 - 8 * i));
    }
    sm_arena_init(&arena, 65536);
    assert_sm_ok(
        sm_crl_entry_put(scope, sm_slice_of(octets, sizeof(octets)), entry, &arena, puts, &count));
    assert_int_equal(count, scope->partition == 0 ? 1 : 2);
    sm_store_write op = {.puts = puts, .put_count = count};
    assert_sm_ok(sm_store_write_sync(store, &op));
    sm_arena_deinit(&arena);
}

static void put_entry(uint32_t ca, uint64_t serial, const struct sm_crl_entry *entry)
{
    const struct sm_crl_scope scope = {ca, 1, 0};
    put_entry_of(&scope, serial, entry);
}

static struct sm_crl_order order_of(uint32_t ca, char path[100])
{
    (void)snprintf(path, 100, "%s/%u.crl", dir, ca);
    return (struct sm_crl_order){.store = store,
                                 .scope = {ca, 1, 0},
                                 .issuer = sm_slice_of(issuer, sizeof(issuer)),
                                 .authority_key_id = SM_LIT("12345678901234567890"),
                                 .key = key,
                                 .number = 300,
                                 .this_update = NOW,
                                 .next_update = NOW + 86400,
                                 .path = path};
}

static X509_CRL *build(const struct sm_crl_order *order, uint64_t entries)
{
    struct sm_crl_built built;
    sm_diag diag = {.reason = ""};
    assert_sm_ok(sm_crl_build(order, &built, &diag));
    assert_int_equal(built.entries, entries);
    FILE *f = fopen(order->path, "re");
    assert_non_null(f);
    X509_CRL *crl = d2i_X509_CRL_fp(f, NULL);
    assert_non_null(crl);
    assert_int_equal(ftell(f), (long)built.bytes);
    (void)fclose(f);
    sm_slice spki = sm_key_public(key)->spki;
    const unsigned char *at = spki.ptr;
    EVP_PKEY *public_key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    assert_int_equal(X509_CRL_verify(crl, public_key), 1);
    EVP_PKEY_free(public_key);
    STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(crl);
    assert_int_equal(list == NULL ? 0 : sk_X509_REVOKED_num(list), (int)entries);
    return crl;
}

/* OpenSSL's encoder makes the same octets of what its reader has read. */
static void assert_encodes_the_same(X509_CRL *crl, const char *path)
{
    unsigned char *again = NULL;
    sm_buf file = sm_buf_init(64U << 20);
    sm_diag diag = {.reason = ""};
    assert_sm_ok(sm_file_read(path, &file, &diag));
    X509_CRL *copy = X509_CRL_new();
    assert_int_equal(X509_CRL_set_version(copy, X509_CRL_get_version(crl)), 1);
    assert_int_equal(X509_CRL_set_issuer_name(copy, X509_CRL_get_issuer(crl)), 1);
    assert_int_equal(X509_CRL_set1_lastUpdate(copy, X509_CRL_get0_lastUpdate(crl)), 1);
    assert_int_equal(X509_CRL_set1_nextUpdate(copy, X509_CRL_get0_nextUpdate(crl)), 1);
    for (int i = 0; i < X509_CRL_get_ext_count(crl); i++) {
        assert_int_equal(X509_CRL_add_ext(copy, X509_CRL_get_ext(crl, i), -1), 1);
    }
    STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(crl);
    for (int i = 0; i < sk_X509_REVOKED_num(list); i++) {
        assert_int_equal(
            X509_CRL_add0_revoked(copy, X509_REVOKED_dup(sk_X509_REVOKED_value(list, i))), 1);
    }
    EVP_PKEY *other = EVP_EC_gen("P-256");
    assert_true(X509_CRL_sign(copy, other, EVP_sha256()) > 0);
    int len = i2d_re_X509_CRL_tbs(copy, &again);
    assert_true(len > 0);
    assert_true(sm_slice_search(sm_buf_slice(&file), sm_slice_of(again, (size_t)len)) < 8);
    OPENSSL_free(again);
    EVP_PKEY_free(other);
    X509_CRL_free(copy);
    sm_buf_deinit(&file);
}

static void crl_build__an_empty_one_has_no_list(void **state)
{
    (void)state;
    char path[100];
    const struct sm_crl_order order = order_of(1, path);
    X509_CRL *crl = build(&order, 0);
    assert_null(X509_CRL_get_REVOKED(crl));
    assert_encodes_the_same(crl, path);
    X509_CRL_free(crl);
}

static void crl_build__has_reasons_and_dates_as_openssl_writes_them(void **state)
{
    (void)state;
    char path[100];
    for (int reason = 0; reason <= 10; reason++) {
        const struct sm_crl_entry entry = {SM_CRL_REVOKED, reason, NOW - 100 * reason,
                                           reason % 2 == 0 ? 0 : NOW - 999, NOW + 500};
        put_entry(2, (uint64_t)reason, &entry);
    }
    struct sm_crl_order order = order_of(2, path);
    order.freshest_url = SM_LIT("http://crl.example.net/crl/x.1.delta.crl");
    X509_CRL *crl = build(&order, 11);
    assert_encodes_the_same(crl, path);
    X509_CRL_free(crl);
}

static void crl_build__a_delta_has_what_changed_since(void **state)
{
    (void)state;
    char path[100];
    const struct sm_crl_entry rows[] = {{SM_CRL_REVOKED, 1, NOW - 5000, 0, NOW + 500},
                                        {SM_CRL_REVOKED, 4, NOW - 10, 0, NOW + 500},
                                        {SM_CRL_RELEASED, 8, NOW - 5, 0, NOW + 500}};
    for (size_t i = 0; i < SM_ARRAY_LEN(rows); i++) {
        put_entry(3, i, &rows[i]);
    }
    struct sm_crl_order order = order_of(3, path);
    X509_CRL_free(build(&order, 2)); /* the full one has no released certificate */
    order.is_delta = true;
    order.base_number = 299;
    order.base_time = NOW - 1000;
    X509_CRL *crl = build(&order, 2);
    assert_true(X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0);
    assert_encodes_the_same(crl, path);
    X509_CRL_free(crl);
}

/* RFC 5280 3.3: an expired certificate is on one CRL more, and then on none. */
static void crl_build__expired_ones_leave_after_one_more(void **state)
{
    (void)state;
    char path[100];
    const struct sm_crl_entry entry = {SM_CRL_REVOKED, 1, NOW - 5000, 0, NOW - 100};
    put_entry(4, 1, &entry);
    struct sm_crl_order order = order_of(4, path);
    order.settled_at = NOW - 200; /* the last CRL was made before it expired */
    X509_CRL_free(build(&order, 1));
    order.settled_at = NOW;
    X509_CRL_free(build(&order, 0));
    assert_sm_ok(sm_crl_entries_forget(store, &order.scope, NOW));
    order.settled_at = 0;
    X509_CRL_free(build(&order, 0));
}

static void crl_build__a_folder_that_is_not_there_leaves_nothing(void **state)
{
    (void)state;
    char path[100];
    struct sm_crl_built built;
    sm_diag diag = {.reason = ""};
    struct sm_crl_order order = order_of(5, path);
    order.path = "/nowhere/x.crl";
    assert_sm_err(sm_crl_build(&order, &built, &diag), DISK);
    assert_non_null(strstr(diag.reason, "/nowhere/x.crl"));
}

static void crl_build__many_entries_take_no_more_memory(void **state)
{
    (void)state;
    const char *text = getenv("SM_CRL_ENTRIES");
    uint64_t count = text == NULL ? 3000 : strtoull(text, NULL, 10);
    char path[100];
    struct rusage before;
    struct rusage after;
    struct sm_crl_built built;
    sm_diag diag = {.reason = ""};
    enum { BATCH = 1000 };
    for (uint64_t i = 0; i < count; i += BATCH) {
        static struct sm_store_put puts[BATCH + 1];
        const struct sm_crl_scope scope = {6, 1, 0};
        size_t filled = 0;
        sm_arena arena;
        sm_arena_init(&arena, 1U << 20);
        for (uint64_t j = 0; j < BATCH; j++) {
            uint8_t octets[20] = {0x41};
            uint64_t n = i + j;
            memcpy(octets + 12, &n, sizeof(n));
            const struct sm_crl_entry entry = {SM_CRL_REVOKED, 1, NOW - 7, 0, NOW + 500};
            assert_sm_ok(sm_crl_entry_put(&scope, sm_slice_of(octets, 20), &entry, &arena, &puts[j],
                                          &filled));
        }
        sm_store_write op = {.puts = puts, .put_count = BATCH};
        assert_sm_ok(sm_store_write_sync(store, &op));
        sm_arena_deinit(&arena);
    }
    struct sm_crl_order order = order_of(6, path);
    (void)getrusage(RUSAGE_SELF, &before);
    assert_sm_ok(sm_crl_build(&order, &built, &diag));
    (void)getrusage(RUSAGE_SELF, &after);
    assert_int_equal(built.entries, count);
    print_message("%llu entries, %llu octets: %ld KiB more resident at the most\n",
                  (unsigned long long)count, (unsigned long long)built.bytes,
                  after.ru_maxrss - before.ru_maxrss);
    X509_CRL_free(build(&order, count));
}

/* IssuingDistributionPoint as OpenSSL reads it: critical, and these names. */
static void assert_own_urls(X509_CRL *crl, const char *const *urls, int count)
{
    int critical = -1;
    ISSUING_DIST_POINT *idp = X509_CRL_get_ext_d2i(crl, NID_issuing_distribution_point, &critical,
                                                   NULL);
    assert_non_null(idp);
    assert_int_equal(critical, 1);
    assert_int_equal(idp->distpoint->type, 0);
    GENERAL_NAMES *names = idp->distpoint->name.fullname;
    assert_int_equal(sk_GENERAL_NAME_num(names), count);
    for (int i = 0; i < count; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        assert_int_equal(name->type, GEN_URI);
        assert_int_equal(ASN1_STRING_length(name->d.uniformResourceIdentifier), strlen(urls[i]));
        assert_memory_equal(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier), urls[i],
                            strlen(urls[i]));
    }
    ISSUING_DIST_POINT_free(idp);
}

/* Each partition has its own certificates, the complete CRL has all; deltas are of the same scope. */
static void crl_build__partitions_have_what_is_theirs(void **state)
{
    (void)state;
    static const char *const urls[] = {"http://a.example/crl/x.1.p0002.crl",
                                       "http://b.example/crl/x.1.p0002.crl"};
    const sm_slice own[] = {sm_slice_str(urls[0]), sm_slice_str(urls[1])};
    const struct sm_crl_entry entry = {SM_CRL_REVOKED, 1, NOW - 50, 0, NOW + 5000};
    const struct sm_crl_entry late = {SM_CRL_RELEASED, 6, NOW + 50, 0, NOW + 5000};
    char path[100];
    for (uint32_t i = 0; i < 12; i++) {
        const struct sm_crl_scope scope = {8, 1, i % 4}; /* 0: before there were partitions */
        put_entry_of(&scope, i, i == 10 ? &late : &entry);
    }
    struct sm_crl_order order = order_of(8, path);
    X509_CRL *crl = build(&order, 11);
    assert_int_equal(X509_CRL_get_ext_by_NID(crl, NID_issuing_distribution_point, -1), -1);
    X509_CRL_free(crl);
    order.scope.partition = 2; /* 2, 6, and 10, which was released */
    order.own_urls = own;
    order.own_url_count = 2;
    crl = build(&order, 2);
    assert_own_urls(crl, urls, 2);
    assert_encodes_the_same(crl, path);
    X509_CRL_free(crl);
    order.is_delta = true;
    order.base_number = 300;
    order.base_time = NOW;
    crl = build(&order, 1);
    assert_own_urls(crl, urls, 2);
    X509_CRL_free(crl);
    order = order_of(8, path);
    order.scope.partition = 9;
    X509_CRL_free(build(&order, 0));
}

static void crl_state__keeps_what_partitions_need(void **state)
{
    (void)state;
    const struct sm_crl_scope whole = {9, 3, 0};
    const struct sm_crl_scope part = {9, 3, 7};
    struct sm_crl_state s = {.last_number = 4, .partitions = 7};
    struct sm_crl_state got;
    char base[32];
    for (int i = 0; i < SM_CRL_BASES_MAX; i++) {
        (void)snprintf(base, sizeof(base), "http://%d.example/crl/", i);
        assert_true(sm_crl_state_add_base(&s, sm_slice_str(base)));
        assert_false(sm_crl_state_add_base(&s, sm_slice_str(base)));
    }
    assert_false(sm_crl_state_add_base(&s, SM_LIT("http://one.too.many/crl/")));
    assert_sm_ok(sm_crl_state_write(store, &whole, &s));
    sm_crl_state_deinit(&s);
    assert_sm_ok(sm_crl_state_read(store, &whole, &got));
    assert_int_equal(got.last_number, 4);
    assert_int_equal(got.partitions, 7);
    assert_int_equal(got.base_count, SM_CRL_BASES_MAX);
    assert_string_equal(got.bases[3], "http://3.example/crl/");
    sm_crl_state_deinit(&got);
    assert_sm_ok(sm_crl_state_read(store, &part, &got));
    assert_int_equal(got.last_number, 0);
    assert_int_equal(got.partitions, 0);
    sm_crl_state_deinit(&got);
}

static void crl_state__numbers_of_all_issuers_are_raised(void **state)
{
    (void)state;
    for (uint32_t ca = 100; ca < 1300; ca++) { /* several pages */
        const struct sm_crl_scope scope = {ca, 1, ca % 2 * 7};
        const struct sm_crl_state put = {.last_number = ca, .full = {.number = ca - 1}};
        assert_sm_ok(sm_crl_state_write(store, &scope, &put));
    }
    assert_sm_ok(sm_crl_numbers_skip(store, SM_CRL_NUMBERS_GAP));
    for (uint32_t ca = 100; ca < 1300; ca++) {
        const struct sm_crl_scope scope = {ca, 1, ca % 2 * 7};
        struct sm_crl_state got;
        assert_sm_ok(sm_crl_state_read(store, &scope, &got));
        assert_int_equal(got.last_number, ca + SM_CRL_NUMBERS_GAP);
        assert_int_equal(got.full.number, ca - 1);
        sm_crl_state_deinit(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crl_build__an_empty_one_has_no_list),
        cmocka_unit_test(crl_build__has_reasons_and_dates_as_openssl_writes_them),
        cmocka_unit_test(crl_build__a_delta_has_what_changed_since),
        cmocka_unit_test(crl_build__expired_ones_leave_after_one_more),
        cmocka_unit_test(crl_build__partitions_have_what_is_theirs),
        cmocka_unit_test(crl_state__keeps_what_partitions_need),
        cmocka_unit_test(crl_state__numbers_of_all_issuers_are_raised),
        cmocka_unit_test(crl_build__a_folder_that_is_not_there_leaves_nothing),
        cmocka_unit_test(crl_build__many_entries_take_no_more_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
