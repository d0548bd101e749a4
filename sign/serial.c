/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/rand.h"
#include "sign/cert.h"

/* The layout: bit 158 set, so that the number is positive and always 20 octets long; 46 bits of
 * milliseconds since 1970; 112 bits from the CSPRNG. Time first makes the inventory's keys grow at
 * their end, which spares the store its merges; 112 random bits are more than the 64 that the
 * CA/Browser Forum (BR 7.1) asks for. */
#define TIME_OCTETS 6

void sm_serial_make(uint8_t out[SM_SERIAL_LEN])
{
    uint64_t ms = (uint64_t)sm_clock_wall_ms();
    uint64_t head = UINT64_C(0x400000000000) | (ms & UINT64_C(0x3fffffffffff));
    for (size_t i = 0; i < TIME_OCTETS; i++) {
        out[i] = (uint8_t)(head >> (8 * (TIME_OCTETS - 1 - i)));
    }
    sm_rand_bytes(out + TIME_OCTETS, SM_SERIAL_LEN - TIME_OCTETS);
}
