/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static _Atomic int64_t wall_offset_s;

uint64_t sm_clock_mono_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * SM_NS_PER_S + (uint64_t)ts.tv_nsec;
}

int64_t sm_clock_wall_s(void)
{
    return sm_clock_wall_ms() / 1000;
}

int64_t sm_clock_wall_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    int64_t offset = atomic_load_explicit(&wall_offset_s, memory_order_relaxed);
    return ((int64_t)ts.tv_sec + offset) * 1000 + ts.tv_nsec / 1000000;
}

void sm_clock_set_offset_s(int64_t offset)
{
    atomic_store(&wall_offset_s, offset);
}

#define DAYS_PER_ERA 146097               /* 400 Gregorian years */
#define DAYS_TO_1970 719468               /* from 0000-03-01 */
#define CIVIL_MIN_S INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define CIVIL_MAX_S INT64_C(253402300799) /* 9999-12-31T23:59:59Z, which RFC 5280 4.1.2.5 needs */

/* Years here begin in March, so that the leap day is the last of its year. */
void sm_civil_from_unix(int64_t unix_s, struct sm_civil *out)
{
    unix_s = unix_s < CIVIL_MIN_S ? CIVIL_MIN_S : unix_s;
    unix_s = unix_s > CIVIL_MAX_S ? CIVIL_MAX_S : unix_s;
    int64_t days = unix_s / 86400;
    int64_t rest = unix_s % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    days += DAYS_TO_1970;
    int64_t era = days / DAYS_PER_ERA; /* year 1 lies after 0000-03-01: never negative */
    int64_t doe = days - era * DAYS_PER_ERA;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    out->day = (int)(doy - (153 * mp + 2) / 5 + 1);
    out->month = (int)(mp < 10 ? mp + 3 : mp - 9);
    out->year = (int)(yoe + era * 400 + (out->month <= 2));
    out->hour = (int)(rest / 3600);
    out->minute = (int)(rest / 60 % 60);
    out->second = (int)(rest % 60);
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

sm_err sm_civil_to_unix(const struct sm_civil *c, int64_t *out)
{
    if (c->year < 1 || c->year > 9999 || c->month < 1 || c->month > 12 || c->day < 1 ||
        c->day > days_in_month(c->year, c->month) || c->hour < 0 || c->hour > 23 || c->minute < 0 ||
        c->minute > 59 || c->second < 0 || c->second > 59) {
        return SM_ERR(OUT_OF_RANGE);
    }
    int64_t y = c->year - (c->month <= 2);
    int64_t era = y / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (c->month > 2 ? c->month - 3 : c->month + 9) + 2) / 5 + c->day - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    int64_t days = era * DAYS_PER_ERA + doe - DAYS_TO_1970;
    *out = days * 86400 + c->hour * 3600 + c->minute * 60 + c->second;
    return SM_NO_ERR;
}

const char *sm_clock_format(int64_t unix_s, char out[SM_RFC3339_SIZE])
{
    struct sm_civil c;
    sm_civil_from_unix(unix_s, &c);
    /* The modulo tells the compiler (and the reader) that every part fits. */
    (void)snprintf(out, SM_RFC3339_SIZE, "%04u-%02u-%02uT%02u:%02u:%02uZ",
                   (unsigned)c.year % 10000U, (unsigned)c.month % 100U, (unsigned)c.day % 100U,
                   (unsigned)c.hour % 100U, (unsigned)c.minute % 100U, (unsigned)c.second % 100U);
    return out;
}

/* Reads exactly `digits` decimal digits. */
static bool take_digits(sm_slice *in, size_t digits, int *out)
{
    if (in->len < digits) {
        return false;
    }
    int v = 0;
    for (size_t i = 0; i < digits; i++) {
        uint8_t c = in->ptr[i];
        if (c < '0' || c > '9') {
            return false;
        }
        v = v * 10 + (c - '0');
    }
    *in = sm_slice_from(*in, digits);
    *out = v;
    return true;
}

static bool take_byte(sm_slice *in, const char *any_of)
{
    if (in->len == 0 || in->ptr[0] == '\0' || strchr(any_of, in->ptr[0]) == NULL) {
        return false;
    }
    *in = sm_slice_from(*in, 1);
    return true;
}

/* "Z", "+01:00": seconds east of UTC. */
static bool take_offset(sm_slice *in, int64_t *out)
{
    *out = 0;
    if (take_byte(in, "Zz")) {
        return true;
    }
    bool west = in->len > 0 && in->ptr[0] == '-';
    if (!take_byte(in, "+-")) {
        return false;
    }
    int hours;
    int minutes;
    if (!take_digits(in, 2, &hours) || !take_byte(in, ":") || !take_digits(in, 2, &minutes) ||
        hours > 23 || minutes > 59) {
        return false;
    }
    int64_t s = hours * 3600 + minutes * 60;
    *out = west ? -s : s;
    return true;
}

/* ".123": read and dropped (RFC 3339 5.6: at least one digit). */
static bool skip_fraction(sm_slice *in)
{
    int digit;
    if (!take_byte(in, ".")) {
        return true;
    }
    if (!take_digits(in, 1, &digit)) {
        return false;
    }
    while (take_digits(in, 1, &digit)) {
    }
    return true;
}

sm_err sm_clock_parse(sm_slice text, int64_t *out)
{
    struct sm_civil c;
    int64_t offset;
    /* A space instead of the T is what the note in RFC 3339 5.6 allows. */
    bool good = take_digits(&text, 4, &c.year) && take_byte(&text, "-") &&
                take_digits(&text, 2, &c.month) && take_byte(&text, "-") &&
                take_digits(&text, 2, &c.day) && take_byte(&text, "Tt ") &&
                take_digits(&text, 2, &c.hour) && take_byte(&text, ":") &&
                take_digits(&text, 2, &c.minute) && take_byte(&text, ":") &&
                take_digits(&text, 2, &c.second) && skip_fraction(&text) &&
                take_offset(&text, &offset) && text.len == 0;
    if (!good) {
        return SM_ERR(MALFORMED);
    }
    int64_t s;
    SM_TRY(sm_civil_to_unix(&c, &s));
    s -= offset;
    if (s < CIVIL_MIN_S || s > CIVIL_MAX_S) {
        return SM_ERR(OUT_OF_RANGE);
    }
    *out = s;
    return SM_NO_ERR;
}

static int64_t unit_seconds(uint8_t unit)
{
    switch (unit) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 3600;
    case 'd':
        return 86400;
    case 'w':
        return 7 * 86400;
    case 'y':
        return INT64_C(365) * 86400;
    default:
        return 0;
    }
}

#define DURATION_MAX_S (INT64_C(10000) * 366 * 86400) /* no certificate date is further away */

sm_err sm_duration_parse(sm_slice text, int64_t *out_s)
{
    int64_t sum = 0;
    if (text.len == 0) {
        return SM_ERR(MALFORMED);
    }
    while (text.len > 0) {
        int64_t v = 0;
        size_t digits = 0;
        while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
            v = v * 10 + (text.ptr[digits++] - '0');
            if (v > DURATION_MAX_S) {
                return SM_ERR(OUT_OF_RANGE);
            }
        }
        int64_t unit = digits == 0 || digits == text.len ? 0 : unit_seconds(text.ptr[digits]);
        if (unit == 0) {
            return SM_ERR(MALFORMED);
        }
        if (v > (DURATION_MAX_S - sum) / unit) {
            return SM_ERR(OUT_OF_RANGE);
        }
        sum += v * unit;
        text = sm_slice_from(text, digits + 1);
    }
    *out_s = sum;
    return SM_NO_ERR;
}
