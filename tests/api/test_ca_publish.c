/* SPDX-License-Identifier: Apache-2.0 */
/* What is published of CAs: certificates of each generation, bundles, and the URLs in certificates. */
#include "api/api_p.h"
#include "api/ca_publish.h"
#include "base/check.h"
#include "base/text.h"
#include "tests/support/api_server.h"

#include <openssl/pkcs7.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <string.h>

static struct sm_api_server server;
static const char *admin;

static unsigned ask(const char *verb, const char *path, const char *body)
{
    const char *answer;
    return sm_api_server_ask(&server, verb, path, admin, body, &answer);
}

static const char *new_ca(const char *name, const char *parent)
{
    return sm_arena_printf(&server.arena,
                           "{\"name\":\"%s\",\"parent\":\"%s\",\"subject\":{\"attributes\":"
                           "[{\"type\":\"CN\",\"value\":\"%s\"}]},"
                           "\"caIssuerUrls\":[\"http://x.example/ca/%s.cer\"]}",
                           name, parent, name, parent);
}

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n"
                                 "- name: device\n"
                                 "  ca_issuer_urls: ['http://x.example/ca/edge.cer', "
                                 "'http://x.example/other/edge.cer']\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    assert_int_equal(ask("POST", "/v1/cas", new_ca("edge", "root")), 200);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

/* The certificate of a CA's generation; copied. */
static sm_slice cert_of(const char *ca, size_t generation)
{
    sm_slice copy;
    sm_world *w = sm_world_attach(server.api);
    assert_true(generation <= sm_world_ca(w, ca)->generation_count);
    assert_sm_ok(sm_arena_copy(&server.arena,
                               sm_world_ca(w, ca)->generations[generation - 1].cert.der, &copy));
    sm_world_detach(&w);
    return copy;
}

static void is_served(const char *path, sm_slice der)
{
    const char *answer;
    unsigned status = sm_api_server_ask(&server, "GET", path, NULL, NULL, &answer);
    if (status != 200 || memcmp(answer, der.ptr, der.len) != 0) {
        print_error("%s: %u\n", path, status);
    }
    assert_int_equal(status, 200);
    assert_memory_equal(answer, der.ptr, der.len);
}

static bool names(sm_slice der, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i + len <= der.len; i++) {
        if (memcmp(der.ptr + i, text, len) == 0) {
            return true;
        }
    }
    return false;
}

/* Issues one and says whether this URL is in it. */
static bool leaf_names(const char *url)
{
    unsigned status;
    char *body = sm_arena_printf(&server.arena,
                                 "{\"ca\":\"edge\",\"profile\":\"device\",\"csr\":\"%s\"}",
                                 sm_api_csr("/CN=x.example", NULL));
    json_t *answer = sm_api_server_json(&server, "POST", "/v1/certificates", admin, body, &status);
    assert_int_equal(status, 200);
    sm_world *w = sm_world_attach(server.api);
    sm_buf der = sm_buf_init(1U << 16);
    sm_slice text = sm_slice_str(json_string_value(json_object_get(answer, "certificate")));
    assert_sm_ok(sm_base64_decode(&der, text, 0));
    bool found = names(sm_buf_slice(&der), url);
    sm_buf_deinit(&der);
    sm_world_detach(&w);
    json_decref(answer);
    return found;
}

static void published__each_generation_has_its_own_url(void **state)
{
    (void)state;
    sm_slice first = cert_of("edge", 1);
    is_served("/ca/edge.cer", first);
    assert_true(leaf_names("http://x.example/ca/edge.1.cer"));
    assert_true(leaf_names("http://x.example/other/edge.cer")); /* not ours: as it was written */
    assert_int_equal(ask("POST", "/v1/cas/edge:rollover", "{}"), 200);
    sm_slice second = cert_of("edge", 2);
    assert_false(sm_slice_equal(first, second));
    is_served("/ca/edge.cer", second);
    is_served("/ca/edge.1.cer", first);
    is_served("/ca/edge.2.cer", second);
    is_served("/ca/edge-1.cer", first);
    is_served("/ca/edge-2.cer", second);
    assert_true(leaf_names("http://x.example/ca/edge.2.cer"));
    assert_true(names(second, "http://x.example/ca/root.1.cer"));
}

static void published__a_ca_with_a_number_in_its_name_is_itself(void **state)
{
    (void)state;
    assert_int_equal(ask("POST", "/v1/cas", new_ca("edge-1", "root")), 200);
    is_served("/ca/edge-1.cer", cert_of("edge-1", 1));
    is_served("/ca/edge-1.1.cer", cert_of("edge-1", 1));
    is_served("/ca/edge.1.cer", cert_of("edge", 1));
}

static void published__what_is_not_there_is_not_found(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/ca/",
        "/ca/.cer",
        "/ca/edge",
        "/ca/edge.3.cer",
        "/ca/edge.0.cer",
        "/ca/edge.01.cer",
        "/ca/edge..cer",
        "/ca/edge.-1.cer",
        "/ca/.1.cer",
        "/ca/edge.1.2.cer",
        "/ca/nobody.cer",
        "/ca/edge.4294967297.cer",
        "/ca/nobody.p7c",
        "/ca/.p7c",
        "/ca/edge.1.p7c",
        "/ca/edge.99999999999999999999.cer",
        "/ca/../edge.cer",
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(paths); i++) {
        unsigned status = ask("GET", paths[i], NULL);
        if (status != 404) {
            print_error("%s: %u\n", paths[i], status);
        }
        assert_int_equal(status, 404);
    }
    assert_int_equal(ask("POST", "/v1/cas",
                         "{\"name\":\"later\",\"subject\":{\"attributes\":"
                         "[{\"type\":\"CN\",\"value\":\"x\"}]}}"),
                     200);
    assert_int_equal(ask("GET", "/ca/later.cer", NULL), 404); /* it waits for its certificate */
    assert_int_equal(ask("GET", "/ca/later.p7c", NULL), 404);
}

static bool has(STACK_OF(X509) * certs, sm_slice der)
{
    const unsigned char *p = der.ptr;
    X509 *wanted = d2i_X509(NULL, &p, (long)der.len);
    bool found = false;
    assert_non_null(wanted);
    for (int i = 0; i < sk_X509_num(certs); i++) {
        found = found || X509_cmp(sk_X509_value(certs, i), wanted) == 0;
    }
    X509_free(wanted);
    return found;
}

static void published__a_bundle_has_all_generations_and_what_is_above(void **state)
{
    (void)state;
    sm_world *w = sm_world_attach(server.api);
    sm_buf out = sm_buf_init(SM_PUBLISHED_MAX);
    sm_slice bytes;
    const char *type;
    assert_sm_ok(sm_ca_published(w, SM_LIT("edge.p7c"), &out, &bytes, &type));
    assert_non_null(strstr(type, "certs-only"));
    const unsigned char *p = bytes.ptr;
    PKCS7 *cms = d2i_PKCS7(NULL, &p, (long)bytes.len);
    assert_non_null(cms);
    assert_true(p == bytes.ptr + bytes.len);
    assert_true(PKCS7_type_is_signed(cms));
    STACK_OF(X509) *certs = cms->d.sign->cert;
    assert_int_equal(sk_X509_num(certs), 3);
    assert_true(has(certs, cert_of("edge", 1)));
    assert_true(has(certs, cert_of("edge", 2)));
    assert_true(has(certs, cert_of("root", 1)));
    PKCS7_free(cms);
    sm_buf_deinit(&out);
    sm_world_detach(&w);
    assert_int_equal(ask("GET", "/ca/edge.p7c", NULL), 200);
}

/* ---- links (RFC 4210 4.4) ---- */

static X509 *parse(sm_slice der)
{
    const unsigned char *p = der.ptr;
    X509 *cert = d2i_X509(NULL, &p, (long)der.len);
    assert_non_null(cert);
    return cert;
}

/* Whether `leaf` verifies, strictly, with this trust anchor and these between. */
static bool verifies(sm_slice leaf, sm_slice anchor, const sm_slice *between, size_t count)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *untrusted = sk_X509_new_null();
    X509 *cert = parse(leaf);
    X509 *root = parse(anchor);
    for (size_t i = 0; i < count; i++) {
        assert_true(sk_X509_push(untrusted, parse(between[i])) > 0);
    }
    assert_int_equal(X509_STORE_add_cert(store, root), 1);
    assert_int_equal(X509_STORE_set_flags(store, X509_V_FLAG_X509_STRICT), 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, cert, untrusted), 1);
    bool good = X509_verify_cert(ctx) == 1;
    if (!good) {
        print_message("not verified: %s\n",
                      X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    }
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_pop_free(untrusted, X509_free);
    X509_free(cert);
    X509_free(root);
    return good;
}

static sm_slice link_of(const char *ca, size_t generation, bool new_with_old)
{
    sm_slice copy = SM_SLICE_NONE;
    sm_world *w = sm_world_attach(server.api);
    const struct sm_ca_generation *g = &sm_world_ca(w, ca)->generations[generation - 1];
    assert_sm_ok(
        sm_arena_copy(&server.arena, new_with_old ? g->new_with_old : g->old_with_new, &copy));
    sm_world_detach(&w);
    return copy;
}

static void published__a_roots_rollover_links_its_keys_both_ways(void **state)
{
    (void)state;
    sm_slice old_root = cert_of("root", 1);
    sm_slice old_issuing = cert_of("issuing", 1);
    assert_int_equal(ask("GET", "/ca/root.1.new-with-old.cer", NULL), 404);
    assert_int_equal(ask("POST", "/v1/cas/root:rollover", "{\"keyType\":\"ec-p384\"}"), 200);
    assert_int_equal(ask("POST", "/v1/cas/issuing:rollover", "{}"), 200);
    sm_slice new_root = cert_of("root", 2);
    sm_slice new_issuing = cert_of("issuing", 2);
    sm_slice new_with_old = link_of("root", 2, true);
    sm_slice old_with_new = link_of("root", 2, false);
    assert_true(new_with_old.len > 0 && old_with_new.len > 0);
    /* Who has the old root alone verifies what the new key signs, and the other way round. */
    assert_false(verifies(new_issuing, old_root, NULL, 0));
    assert_true(verifies(new_issuing, old_root, &new_with_old, 1));
    assert_false(verifies(old_issuing, new_root, NULL, 0));
    assert_true(verifies(old_issuing, new_root, &old_with_new, 1));
    is_served("/ca/root.2.new-with-old.cer", new_with_old);
    is_served("/ca/root.2.old-with-new.cer", old_with_new);
    assert_int_equal(ask("GET", "/ca/issuing.2.new-with-old.cer", NULL), 404);
    /* Times: RFC 4210 4.4.1. */
    struct sm_cert o;
    struct sm_cert n;
    struct sm_cert link;
    assert_sm_ok(sm_cert_parse(old_root, &o, NULL));
    assert_sm_ok(sm_cert_parse(new_root, &n, NULL));
    assert_sm_ok(sm_cert_parse(old_with_new, &link, NULL));
    assert_true(link.not_before == o.not_before && link.not_after == o.not_after);
    assert_memory_equal(link.subject.ptr, link.issuer.ptr, link.issuer.len);
    assert_sm_ok(sm_cert_parse(new_with_old, &link, NULL));
    assert_true(link.not_before == n.not_before && link.not_after == o.not_after);
    /* With the chains, of CAs below too. */
    static const char *const names[] = {"root", "issuing"};
    for (size_t i = 0; i < 2; i++) {
        unsigned status;
        char *path = sm_arena_printf(&server.arena, "/v1/cas/%s/chain", names[i]);
        json_t *answer = sm_api_server_json(&server, "GET", path, admin, NULL, &status);
        assert_int_equal(json_array_size(json_object_get(answer, "linkCertificates")), 2);
        json_decref(answer);
    }
}

static void published__a_second_rollover_links_across_both(void **state)
{
    (void)state;
    assert_int_equal(ask("POST", "/v1/cas/root:rollover", "{\"keyType\":\"rsa-2048\"}"), 200);
    assert_int_equal(ask("POST", "/v1/cas/issuing:rollover", "{}"), 200);
    const sm_slice up[] = {link_of("root", 2, true), link_of("root", 3, true)};
    const sm_slice down[] = {link_of("root", 2, false), link_of("root", 3, false)};
    assert_true(verifies(cert_of("issuing", 3), cert_of("root", 1), up, 2));
    assert_true(verifies(cert_of("issuing", 1), cert_of("root", 3), down, 2));
}

/* The links are in the inventory: a relying party may ask for their status. */
static void published__links_are_in_the_inventory(void **state)
{
    (void)state;
    struct sm_cert cert;
    char hex[64];
    assert_sm_ok(sm_cert_parse(link_of("root", 2, true), &cert, NULL));
    char *path = sm_arena_printf(&server.arena, "/v1/certificates/%s",
                                 sm_hex_format(cert.serial, hex));
    assert_int_equal(ask("GET", path, NULL), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published__each_generation_has_its_own_url),
        cmocka_unit_test(published__a_ca_with_a_number_in_its_name_is_itself),
        cmocka_unit_test(published__what_is_not_there_is_not_found),
        cmocka_unit_test(published__a_bundle_has_all_generations_and_what_is_above),
        cmocka_unit_test(published__a_roots_rollover_links_its_keys_both_ways),
        cmocka_unit_test(published__a_second_rollover_links_across_both),
        cmocka_unit_test(published__links_are_in_the_inventory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
