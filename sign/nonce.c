/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/nonce.h"

#include "base/mem.h"
#include "base/rand.h"
#include "sign/sha.h"

#include <pthread.h>

struct drbg {
    enum sm_digest hash;
    size_t size;
    struct sm_hmac
        keyed; /* HMAC_K, its key's two blocks done: each key is used two or three times */
    uint8_t v[SM_DIGEST_MAX];
};

/* HMAC under the first K, all zeros. */
static struct sm_hmac zero_keyed[SM_SHA512 + 1];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_zero_keyed(void)
{
    static const uint8_t zeros[SM_DIGEST_MAX];
    static const enum sm_digest all[] = {SM_SHA256, SM_SHA384, SM_SHA512};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        sm_hmac_begin(&zero_keyed[all[i]], all[i], zeros);
    }
}

/* V = HMAC_K(V) */
static void step(struct drbg *d)
{
    struct sm_hmac h = d->keyed;
    sm_hmac_add(&h, d->v, d->size);
    sm_hmac_end(&h, d->v);
}

/* K = HMAC_K(V || tag || x || h || extra), V = HMAC_K(V) */
static void mix(struct drbg *d, uint8_t tag, sm_slice x, sm_slice digest, sm_slice extra)
{
    uint8_t k[SM_DIGEST_MAX];
    struct sm_hmac h = d->keyed;
    sm_hmac_add(&h, d->v, d->size);
    sm_hmac_add(&h, &tag, 1);
    sm_hmac_add(&h, x.ptr, x.len);
    sm_hmac_add(&h, digest.ptr, digest.len);
    sm_hmac_add(&h, extra.ptr, extra.len);
    sm_hmac_end(&h, k);
    sm_hmac_begin(&d->keyed, d->hash, k);
    sm_wipe(k, sizeof(k));
    step(d);
}

/* The leftmost `bits` bits of `in` (at least as many as it has) as a number of `len` octets. */
static void leftmost(unsigned bits, size_t len, const uint8_t *in, uint8_t *out)
{
    unsigned shift = (unsigned)(len * 8) - bits;
    uint8_t carry = 0;
    if (shift == 0) {
        memcpy(out, in, len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t octet = in[i];
        out[i] = (uint8_t)(carry | octet >> shift);
        carry = (uint8_t)((unsigned)octet << (8 - shift));
    }
}

static uint64_t load(const uint8_t *octets)
{
    uint64_t v;
    memcpy(&v, octets, sizeof(v));
    return __builtin_bswap64(v);
}

/* a - b into `out`; returns the borrow. In time that depends on `len` alone. */
static unsigned subtract(const uint8_t *a, const uint8_t *b, uint8_t *out, size_t len)
{
    unsigned borrow = 0;
    size_t i = len;
    for (; i >= sizeof(uint64_t); i -= sizeof(uint64_t)) {
        uint64_t x = load(a + i - sizeof(x));
        uint64_t y = load(b + i - sizeof(y));
        unsigned __int128 d = (unsigned __int128)x - y - borrow;
        x = __builtin_bswap64((uint64_t)d);
        memcpy(out + i - sizeof(x), &x, sizeof(x));
        borrow = (unsigned)(d >> 64) & 1;
    }
    for (; i > 0; i--) {
        unsigned d = (unsigned)a[i - 1] - b[i - 1] - borrow;
        out[i - 1] = (uint8_t)d;
        borrow = d >> 8 & 1;
    }
    return borrow;
}

void sm_curve_digest(const struct sm_curve *curve, sm_slice digest, uint8_t *out)
{
    uint8_t less[SM_CURVE_OCTETS];
    if (digest.len * 8 >= curve->bits) {
        leftmost(curve->bits, curve->octets, digest.ptr, out);
    } else {
        size_t pad = curve->octets - digest.len;
        memset(out, 0, pad);
        memcpy(out + pad, digest.ptr, digest.len);
    }
    /* The order is above half of 2^bits: one subtraction reduces. */
    if (subtract(out, curve->order, less, curve->octets) == 0) {
        memcpy(out, less, curve->octets);
    }
}

static bool in_range(const struct sm_curve *curve, const uint8_t *k)
{
    uint8_t scratch[SM_CURVE_OCTETS];
    unsigned any = 0;
    for (size_t i = 0; i < curve->octets; i++) {
        any |= k[i];
    }
    unsigned below = subtract(k, curve->order, scratch, curve->octets);
    sm_wipe(scratch, sizeof(scratch));
    return any != 0 && below != 0;
}

/* RFC 6979 3.2 h.1-2: T as long as the order. */
static void draw(struct drbg *d, const struct sm_curve *curve, uint8_t *out)
{
    uint8_t t[SM_CURVE_OCTETS + SM_DIGEST_MAX];
    for (size_t len = 0; len < curve->octets; len += d->size) {
        step(d);
        memcpy(t + len, d->v, d->size);
    }
    leftmost(curve->bits, curve->octets, t, out);
    sm_wipe(t, sizeof(t));
}

void sm_nonce_make(const struct sm_curve *curve, enum sm_digest hash, const uint8_t *secret,
                   sm_slice digest, sm_slice extra, uint8_t *out)
{
    struct drbg d = {.hash = hash, .size = sm_digest_size(hash)};
    uint8_t h1[SM_CURVE_OCTETS];
    (void)pthread_once(&once, make_zero_keyed);
    d.keyed = zero_keyed[hash];
    sm_curve_digest(curve, digest, h1);
    sm_slice x = sm_slice_of(secret, curve->octets);
    memset(d.v, 1, d.size);
    mix(&d, 0, x, sm_slice_of(h1, curve->octets), extra);
    mix(&d, 1, x, sm_slice_of(h1, curve->octets), extra);
    draw(&d, curve, out);
    while (!in_range(curve, out)) { /* for P-256 once in 2^32 */
        mix(&d, 0, SM_SLICE_NONE, SM_SLICE_NONE, SM_SLICE_NONE);
        draw(&d, curve, out);
    }
    sm_wipe(&d, sizeof(d));
}

void sm_nonce_make_hedged(const struct sm_curve *curve, enum sm_digest hash, const uint8_t *secret,
                          sm_slice digest, uint8_t *out)
{
    uint8_t extra[SM_NONCE_ENTROPY];
    sm_rand_bytes(extra, sizeof(extra));
    sm_nonce_make(curve, hash, secret, digest, sm_slice_of(extra, sizeof(extra)), out);
    sm_wipe(extra, sizeof(extra));
}
