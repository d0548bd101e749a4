/* SPDX-License-Identifier: Apache-2.0 */
/* GSSAPI's part of Negotiate as far as it goes without a KDC: the keytab at the start, and octets that are no token. */
#include "api/negotiate.h"
#include "base/check.h"
#include "base/file.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char dir[256];
static char keytab[512];
static sm_arena arena;
static sm_diag diag;

/* ---- a keytab ---- */

static void put_counted(sm_buf *out, const char *s)
{
    sm_buf_put_u16be(out, (uint16_t)strlen(s));
    sm_buf_put_str(out, s);
}

/* HTTP/est.example.net@EXAMPLE.NET with an aes256-cts-hmac-sha1-96 key. */
static void write_keytab(void)
{
    static const uint8_t key[32] = {7};
    sm_buf entry = sm_buf_init(1024);
    sm_buf file = sm_buf_init(1024);
    sm_buf_put_u16be(&entry, 2); /* components */
    put_counted(&entry, "EXAMPLE.NET");
    put_counted(&entry, "HTTP");
    put_counted(&entry, "est.example.net");
    sm_buf_put_u32be(&entry, 3); /* the name's type */
    sm_buf_put_u32be(&entry, 0); /* when it was made */
    sm_buf_put_byte(&entry, 1);  /* kvno */
    sm_buf_put_u16be(&entry, 18);
    sm_buf_put_u16be(&entry, sizeof(key));
    sm_buf_put(&entry, sm_slice_of(key, sizeof(key)));
    sm_buf_put_u16be(&file, 0x0502);
    sm_buf_put_u32be(&file, (uint32_t)entry.len);
    sm_buf_put(&file, sm_buf_slice(&entry));
    (void)snprintf(keytab, sizeof(keytab), "%s/est.keytab", dir);
    assert_sm_ok(sm_file_write_atomic(keytab, sm_buf_slice(&file), 0600, NULL));
    sm_buf_deinit(&entry);
    sm_buf_deinit(&file);
}

static int set_up(void **state)
{
    (void)state;
    if (sm_test_dir(dir, sizeof(dir)) == NULL) {
        return -1;
    }
    char conf[512];
    (void)snprintf(conf, sizeof(conf), "%s/krb5.conf", dir);
    static const char text[] =
        "[libdefaults]\n  default_realm = EXAMPLE.NET\n  dns_lookup_kdc = false\n"
        "  dns_canonicalize_hostname = false\n  rdns = false\n";
    if (!sm_ok(sm_file_write_atomic(conf, sm_slice_str(text), 0600, NULL)) ||
        setenv("KRB5_CONFIG", conf, 1) != 0 || setenv("KRB5RCACHEDIR", dir, 1) != 0) {
        return -1;
    }
    write_keytab();
    sm_arena_init(&arena, 1U << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_arena_deinit(&arena);
    sm_test_remove_dir(dir);
    return 0;
}

static sm_err make(char *file, char *service, sm_negotiate **out)
{
    Sealmill__Config__V1__Negotiate config;
    sealmill__config__v1__negotiate__init(&config);
    config.keytab_file = file;
    config.service = service;
    sm_diag_clear(&diag);
    return sm_negotiate_new(&config, out, &diag);
}

/* ---- the start ---- */

static void negotiate__finds_the_services_key(void **state)
{
    (void)state;
    char as_principal[] = "HTTP/est.example.net@EXAMPLE.NET";
    char without_realm[] = "HTTP/est.example.net";
    char by_host[] = "HTTP@est.example.net";
    char *services[] = {as_principal, without_realm, by_host};
    for (size_t i = 0; i < SM_ARRAY_LEN(services); i++) {
        sm_negotiate *n = NULL;
        assert_sm_ok(make(keytab, services[i], &n));
        sm_negotiate_free(&n);
        assert_null(n);
    }
}

static void negotiate__says_which_key_is_missing(void **state)
{
    (void)state;
    char other[] = "HTTP/other.example.net@EXAMPLE.NET";
    char none[512];
    char empty[] = "";
    sm_negotiate *n = NULL;
    assert_sm_err(make(keytab, other, &n), INVALID);
    assert_string_equal(diag.field, "enrolment.negotiate.keytab_file");
    assert_non_null(strstr(diag.reason, "no key of HTTP/other.example.net@EXAMPLE.NET"));
    (void)snprintf(none, sizeof(none), "%s/none", dir);
    assert_sm_err(make(none, other, &n), INVALID);
    assert_non_null(strstr(diag.reason, none));
    assert_sm_err(make(empty, other, &n), INVALID);
    assert_non_null(strstr(diag.reason, "it is needed"));
    /* This machine's name, whatever it is, is in no keytab of ours. */
    assert_sm_err(make(keytab, empty, &n), INVALID);
    assert_non_null(strstr(diag.reason, "no key of HTTP@"));
    assert_null(n);
}

/* ---- no tokens ---- */

static void negotiate__refuses_what_is_no_token(void **state)
{
    (void)state;
    static const char *const octets[] = {"", "\x60", "NTLMSSP", "\x60\x03\x06\x01\x2a",
                                         "\x60\x82\xff\xff\x06\x06\x2b\x06\x01\x05\x05\x02"};
    char service[] = "HTTP/est.example.net";
    sm_negotiate *n = NULL;
    assert_sm_ok(make(keytab, service, &n));
    for (size_t i = 0; i < SM_ARRAY_LEN(octets); i++) {
        struct sm_negotiated out = {.answer = SM_SLICE_NONE};
        sm_diag_clear(&diag);
        assert_sm_err(
            sm_negotiate_accept(n, sm_slice_str(octets[i]), SM_LIT("hash"), &arena, &out, &diag),
            UNAUTHENTICATED);
        assert_string_equal(diag.field, "authorization");
        assert_true(diag.reason[0] != '\0');
        assert_int_equal(out.principal.len, 0);
    }
    sm_negotiate_free(&n);
}

/* Where it was not built, the start says so. */
static void negotiate__says_that_it_was_not_built(void **state)
{
    (void)state;
    sm_negotiate *n = NULL;
    char service[] = "HTTP/est.example.net";
    assert_sm_err(make(keytab, service, &n), UNSUPPORTED);
    assert_non_null(strstr(diag.reason, "built without GSSAPI"));
}

int main(void)
{
    const struct CMUnitTest built[] = {
        cmocka_unit_test(negotiate__finds_the_services_key),
        cmocka_unit_test(negotiate__says_which_key_is_missing),
        cmocka_unit_test(negotiate__refuses_what_is_no_token),
    };
    const struct CMUnitTest without[] = {cmocka_unit_test(negotiate__says_that_it_was_not_built)};
    return sm_negotiate_is_built() ? cmocka_run_group_tests(built, set_up, tear_down)
                                   : cmocka_run_group_tests(without, set_up, tear_down);
}
