/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "sign/pubkey_p.h"

#define WORDS_MAX 64 /* 4096 bits */

/* The odd primes under 752 (SP 800-89 5.3.3 asks for trial division by them). */
static const uint16_t primes[] = {
    3,   5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,  43,  47,  53,  59,  61,  67,  71,
    73,  79,  83,  89,  97,  101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    173, 179, 181, 191, 193, 197, 199, 211, 223, 227, 229, 233, 239, 241, 251, 257, 263, 269, 271,
    277, 281, 283, 293, 307, 311, 313, 317, 331, 337, 347, 349, 353, 359, 367, 373, 379, 383, 389,
    397, 401, 409, 419, 421, 431, 433, 439, 443, 449, 457, 461, 463, 467, 479, 487, 491, 499, 503,
    509, 521, 523, 541, 547, 557, 563, 569, 571, 577, 587, 593, 599, 601, 607, 613, 617, 619, 631,
    641, 643, 647, 653, 659, 661, 673, 677, 683, 691, 701, 709, 719, 727, 733, 739, 743, 751};

/* Their products, as many in a row as fit 64 bits, and the products' inverses modulo 2^64. */
static const struct group {
    uint64_t product;
    uint64_t inverse;
    size_t count;
} groups[] = {
    {UINT64_C(0xe221f97c30e94e1d), UINT64_C(0x79a964b0f8d5e435), 15},
    {UINT64_C(0x6329899ea9f2714b), UINT64_C(0x0b0b4904c80c9063), 10},
    {UINT64_C(0x58edcb4c9ed39c8b), UINT64_C(0x67dbbd296edaeb23), 9},
    {UINT64_C(0x09966ff94fd516fb), UINT64_C(0x88b1810397a98433), 8},
    {UINT64_C(0x3bd7632c1f36eb51), UINT64_C(0x9d2329d01e653db1), 8},
    {UINT64_C(0x00fd14b3c90d88a9), UINT64_C(0xb959bb5dbfb39b99), 7},
    {UINT64_C(0x02ad3dbe0cca85ff), UINT64_C(0x701e227b5d1179ff), 7},
    {UINT64_C(0x0787f9a02c3388a7), UINT64_C(0xa45152195f699f17), 7},
    {UINT64_C(0x1113c5cc6d101657), UINT64_C(0xbbe47ee20ef13567), 7},
    {UINT64_C(0x2456c94f936bdb15), UINT64_C(0xa56249c5519c9c3d), 7},
    {UINT64_C(0x4236a30b85ffe139), UINT64_C(0x19f475aab88abd09), 7},
    {UINT64_C(0x805437b38eada69d), UINT64_C(0xdd930c4f576e0fb5), 7},
    {UINT64_C(0x00723e97bddcd2af), UINT64_C(0x0665332af883c44f), 6},
    {UINT64_C(0x00a5a792ee239667), UINT64_C(0xd3344709d09d2557), 6},
    {UINT64_C(0x00e451352ebca269), UINT64_C(0xfbadf7669da30dd9), 6},
    {UINT64_C(0x013a7955f14b7805), UINT64_C(0x1d7f71665dd694cd), 6},
    {UINT64_C(0x01d37cbd653b06ff), UINT64_C(0xd594f9dd0993f8ff), 6},
    {UINT64_C(0x00000000189410db), UINT64_C(0x6ab711fe8bc96b53), 3},
};

#define GROUPS SM_ARRAY_LEN(groups)

/* Little-endian words of a number whose length is a multiple of eight octets. */
static size_t load_words(sm_slice n, uint64_t words[WORDS_MAX])
{
    size_t count = n.len / 8;
    SM_CHECK(n.len % 8 == 0 && count <= WORDS_MAX);
    for (size_t i = 0; i < count; i++) {
        uint64_t word;
        memcpy(&word, n.ptr + 8 * (count - 1 - i), 8);
        words[i] = __builtin_bswap64(word); /* x86-64 and aarch64 are little-endian */
    }
    return count;
}

/*
 * Hensel's remainder of n by each product d: the c with n = -c * 2^(64 * count) mod d. It takes two
 * multiplications a word where the ordinary remainder takes a division, and the chains of the
 * products run beside each other; 0.3 us for 2048 bits where octet-wise divisions took 25. A word's
 * step: y * d takes x = word - c away at the low end, what is left over is the next c.
 */
static void hensel_remainders(const uint64_t *words, size_t count, uint64_t out[GROUPS])
{
    memset(out, 0, GROUPS * sizeof(out[0]));
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < GROUPS; j++) {
            uint64_t y = (words[i] - out[j]) * groups[j].inverse;
            uint64_t borrow = words[i] < out[j];
            out[j] = (uint64_t)(((unsigned __int128)y * groups[j].product) >> 64) + borrow;
        }
    }
}

/* A prime p of the group divides n just when it divides c, since 2^64 has an inverse. */
static bool has_small_factor(const uint64_t remainders[GROUPS])
{
    const uint16_t *p = primes;
    for (size_t j = 0; j < GROUPS; j++) {
        for (size_t i = 0; i < groups[j].count; i++, p++) {
            if (remainders[j] % *p == 0) {
                return true;
            }
        }
    }
    return false;
}

static uint64_t power_mod(uint64_t base, size_t exponent, uint64_t m)
{
    uint64_t out = 1;
    for (base %= m; exponent > 0; exponent >>= 1) {
        out = (exponent & 1) != 0 ? out * base % m : out;
        base = base * base % m;
    }
    return out;
}

static bool is_power_of_65537(uint64_t residue, uint64_t p)
{
    uint64_t power = 1;
    do {
        if (power == residue) {
            return true;
        }
        power = power * (65537 % p) % p;
    } while (power != 1);
    return false;
}

#define ROCA_PRIME_MAX 167

/* The ROCA fingerprint: the residues of the modulus by the primes up to 167 are powers of 65537,
 * all of them. Chance does that to one modulus in 2^27. */
static bool is_roca(const uint64_t remainders[GROUPS], size_t count)
{
    const uint16_t *p = primes;
    for (size_t j = 0; j < GROUPS; j++) {
        for (size_t i = 0; i < groups[j].count; i++, p++) {
            if (*p > ROCA_PRIME_MAX) {
                return true;
            }
            uint64_t shift = power_mod(UINT64_MAX % *p + 1, count, *p); /* 2^(64 * count) */
            uint64_t residue = (*p - remainders[j] % *p) * shift % *p;
            if (!is_power_of_65537(residue, *p)) {
                return false;
            }
        }
    }
    return true;
}

const char *sm_rsa_weakness(sm_slice modulus)
{
    uint64_t words[WORDS_MAX];
    uint64_t remainders[GROUPS];
    size_t count = load_words(modulus, words);
    hensel_remainders(words, count, remainders);
    if ((words[0] & 1) == 0 || has_small_factor(remainders)) {
        return "the RSA modulus has a small factor";
    }
    if (is_roca(remainders, count)) {
        return "the RSA modulus has the ROCA fingerprint (CVE-2017-15361)";
    }
    return NULL;
}
