/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time: a monotonic clock for durations, the wall clock for certificates, and their text.
 *
 * Threads:   any.
 * Limits:    wall times from year 1 to 9999.
 * Security:  a wall clock that ran backwards is found by the store (its log has times), not here.
 * Standards: RFC 3339 text.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

#define SM_NS_PER_S 1000000000ULL
#define SM_NS_PER_MS 1000000ULL
#define SM_NS_PER_US 1000ULL

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t sm_clock_mono_ns(void);

/* CLOCK_REALTIME in seconds, and in milliseconds, since 1970-01-01T00:00:00Z. Tests may shift it
 * with sm_clock_set_offset_s. */
int64_t sm_clock_wall_s(void);
int64_t sm_clock_wall_ms(void);

/* Adds `offset` seconds to every wall time from now on (tests and `--fake-time` of the test tools).
 */
void sm_clock_set_offset_s(int64_t offset);

struct sm_civil {
    int year; /* 1..9999 */
    int month;
    int day;
    int hour;
    int minute;
    int second;
};

/* Proleptic Gregorian calendar, UTC. Times outside the years 1..9999 give the nearest one inside.
 */
void sm_civil_from_unix(int64_t unix_s, struct sm_civil *out);

/* Errors: OUT_OF_RANGE for a date that does not exist. A leap second (60) is refused. */
SM_FALLIBLE sm_civil_to_unix(const struct sm_civil *civil, int64_t *out);

#define SM_RFC3339_SIZE 21 /* "2026-01-31T12:34:56Z" with NUL */

/* Writes UTC text with NUL; returns `out`. Times are clamped as above. */
const char *sm_clock_format(int64_t unix_s, char out[SM_RFC3339_SIZE]);

/* Reads RFC 3339 with `Z` or a numeric offset; fractions are dropped. Errors: MALFORMED,
 * OUT_OF_RANGE. */
SM_FALLIBLE sm_clock_parse(sm_slice text, int64_t *out);

/* Reads a duration such as "90s", "15m", "12h", "30d", "52w", "1y" (365 days) or a sum "1d12h" into
 * seconds. A bare number is refused: the unit must be said. Errors: MALFORMED, OUT_OF_RANGE. */
SM_FALLIBLE sm_duration_parse(sm_slice text, int64_t *out_s);
