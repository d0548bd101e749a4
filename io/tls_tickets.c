/* SPDX-License-Identifier: Apache-2.0 */
/* Session tickets: the session itself, encrypted for its owner to keep. Nothing is stored here but
 * two keys, which all loops share, live in memory alone, and survive a reload of certificates. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "io/tls_p.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

void sm_tls_tickets_init(struct tls_tickets *t, uint64_t now_ns)
{
    (void)pthread_mutex_init(&t->lock, NULL);
    /* Both random: a key of zeros would let anyone forge a session, its client certificate too. */
    sm_rand_bytes(t->keys, sizeof(t->keys));
    t->born_ns = now_ns;
}

void sm_tls_tickets_deinit(struct tls_tickets *t)
{
    sm_wipe(t->keys, sizeof(t->keys));
    (void)pthread_mutex_destroy(&t->lock);
}

void sm_tls_tickets_rotate(struct tls_tickets *t, uint64_t now_ns)
{
    uint64_t age_ns = now_ns > t->born_ns ? now_ns - t->born_ns : 0;
    if (age_ns <= TLS_TICKET_LIFE_S * SM_NS_PER_S) {
        return;
    }
    if (age_ns > 2 * TLS_TICKET_LIFE_S * SM_NS_PER_S) {
        sm_rand_bytes(t->keys, sizeof(t->keys)); /* nobody came for a day: the old one is too old */
    } else {
        t->keys[1] = t->keys[0];
        sm_rand_bytes(&t->keys[0], sizeof(t->keys[0]));
    }
    t->born_ns = now_ns;
}

static bool use_key(const struct tls_ticket_key *key, const uint8_t *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, int encrypt)
{
    char digest[] = "SHA256";
    uint8_t mac_key[sizeof(key->mac)];
    memcpy(mac_key, key->mac, sizeof(mac_key));
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key, sizeof(mac_key)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    bool good = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv, encrypt) == 1 &&
                EVP_MAC_CTX_set_params(mac, params) == 1;
    sm_wipe(mac_key, sizeof(mac_key));
    return good;
}

/* What OpenSSL wants to hear. */
enum { TICKET_ERROR = -1, TICKET_UNKNOWN = 0, TICKET_GOOD = 1, TICKET_GOOD_RENEW = 2 };

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt)
{
    struct tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct tls_ticket_key keys[2];
    (void)pthread_mutex_lock(&t->lock);
    sm_tls_tickets_rotate(t, sm_clock_mono_ns());
    memcpy(keys, t->keys, sizeof(keys));
    (void)pthread_mutex_unlock(&t->lock);
    int result = TICKET_UNKNOWN;
    if (encrypt != 0) {
        memcpy(name, keys[0].name, TLS_TICKET_NAME);
        sm_rand_bytes(iv, EVP_MAX_IV_LENGTH);
        result = use_key(&keys[0], iv, cipher, mac, 1) ? TICKET_GOOD : TICKET_ERROR;
    } else if (memcmp(name, keys[0].name, TLS_TICKET_NAME) == 0) {
        /* TLS 1.3 clients use a ticket once and want the next (RFC 8446 C.4). */
        int good = SSL_version(ssl) >= TLS1_3_VERSION ? TICKET_GOOD_RENEW : TICKET_GOOD;
        result = use_key(&keys[0], iv, cipher, mac, 0) ? good : TICKET_ERROR;
    } else if (memcmp(name, keys[1].name, TLS_TICKET_NAME) == 0) {
        result = use_key(&keys[1], iv, cipher, mac, 0) ? TICKET_GOOD_RENEW : TICKET_ERROR;
    }
    sm_wipe(keys, sizeof(keys));
    return result;
}

void sm_tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx)
{
    (void)SSL_CTX_set_app_data(ctx, t);
    (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}
