/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http_cache.h"

#include "base/clock.h"
#include "base/text.h"

#include <string.h>
#include <time.h>

static const char days[][4] = {"Thu", "Fri", "Sat", "Sun",
                               "Mon", "Tue", "Wed"}; /* from 1970-01-01 */
static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* ---- dates ---- */

static char *put_two(char *at, int v)
{
    *at++ = (char)('0' + v / 10);
    *at++ = (char)('0' + v % 10);
    return at;
}

void sm_http_date_format(int64_t unix_s, char out[SM_HTTP_DATE_LEN + 1])
{
    struct sm_civil c;
    sm_civil_from_unix(unix_s, &c);
    int64_t day = unix_s / 86400 - (unix_s % 86400 < 0 ? 1 : 0);
    memcpy(out, days[(day % 7 + 7) % 7], 3);
    memcpy(out + 3, ", ", 2);
    char *at = put_two(out + 5, c.day);
    *at++ = ' ';
    memcpy(at, months[c.month - 1], 3);
    at[3] = ' ';
    at = put_two(at + 4, c.year / 100);
    at = put_two(at, c.year % 100);
    *at++ = ' ';
    at = put_two(at, c.hour);
    *at++ = ':';
    at = put_two(at, c.minute);
    *at++ = ':';
    at = put_two(at, c.second);
    memcpy(at, " GMT", 5);
}

/* Two-digit years lie at most 50 years ahead (RFC 9110 5.6.7). */
static int full_year(int two)
{
    struct sm_civil now;
    sm_civil_from_unix(sm_clock_wall_s(), &now);
    int year = now.year / 100 * 100 + two;
    return year > now.year + 50 ? year - 100 : year;
}

sm_err sm_http_date_parse(sm_slice text, int64_t *out)
{
    static const char *const forms[] = {"%d %b %Y %H:%M:%S GMT", "%d-%b-%y %H:%M:%S GMT",
                                        "%b %d %H:%M:%S %Y"};
    char copy[40];
    text = sm_slice_trim(text);
    if (text.len >= sizeof(copy)) {
        return SM_ERR(MALFORMED);
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    size_t day = strcspn(copy, " "); /* the day's name says nothing */
    for (size_t i = 0; i < 3 && day < text.len; i++) {
        struct tm tm = {.tm_year = 0};
        const char *end = strptime(copy + day + 1, forms[i], &tm);
        if (end == NULL || *end != '\0') {
            continue;
        }
        const struct sm_civil civil = {i == 1 ? full_year(tm.tm_year % 100) : tm.tm_year + 1900,
                                       tm.tm_mon + 1,
                                       tm.tm_mday,
                                       tm.tm_hour,
                                       tm.tm_min,
                                       tm.tm_sec};
        return sm_civil_to_unix(&civil, out);
    }
    return SM_ERR(MALFORMED);
}

/* ---- headers ---- */

/* By hand: printf would cost as much as all other headers. */
static void format_control(uint64_t age, char out[SM_HTTP_CONTROL_SIZE])
{
    static const char before[] = "max-age=";
    static const char after[] = ", public, no-transform, must-revalidate";
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + age % 10);
        age /= 10;
    } while (age > 0);
    memcpy(out, before, sizeof(before) - 1);
    out += sizeof(before) - 1;
    while (n > 0) {
        *out++ = digits[--n];
    }
    memcpy(out, after, sizeof(after));
}

void sm_http_cache_init(struct sm_http_cache *c, int64_t this_update, int64_t next_update,
                        uint64_t tag, int64_t max_age_s, int64_t now)
{
    static const char hex[] = "0123456789abcdef";
    int64_t left = next_update - now - 1; /* less than what is left */
    int64_t age = left < max_age_s ? left : max_age_s;
    c->tag = tag;
    c->modified_at = this_update;
    c->etag[0] = '"';
    for (int i = 0; i < 16; i++) {
        c->etag[1 + i] = hex[tag >> (60 - 4 * i) & 15];
    }
    memcpy(c->etag + 17, "\"", 2);
    sm_http_date_format(this_update, c->last_modified);
    sm_http_date_format(next_update, c->expires);
    format_control(age < 0 ? 0 : (uint64_t)age, c->control);
}

void sm_http_cache_headers(const struct sm_http_cache *c, sm_http_header out[SM_HTTP_CACHE_HEADERS])
{
    out[0] = SM_HEADER("etag", sm_slice_of(c->etag, 18));
    out[1] = SM_HEADER("last-modified", sm_slice_of(c->last_modified, SM_HTTP_DATE_LEN));
    out[2] = SM_HEADER("expires", sm_slice_of(c->expires, SM_HTTP_DATE_LEN));
    out[3] = SM_HEADER("cache-control", sm_slice_str(c->control));
}

/* A list of entity tags, or "*"; weak ones compare as strong ones (RFC 9110 13.1.2). */
static bool has_tag(sm_slice list, sm_slice tag)
{
    while (list.len > 0) {
        sm_slice one = sm_slice_trim(sm_slice_split(&list, ','));
        if (sm_slice_starts_with(one, SM_LIT("W/"))) {
            one = sm_slice_from(one, 2);
        }
        if (sm_slice_equal(one, tag) || sm_slice_equal(one, SM_LIT("*"))) {
            return true;
        }
    }
    return false;
}

bool sm_http_cache_is_known(const struct sm_http_cache *c, const sm_http_exchange *x)
{
    sm_slice tags = sm_http_header_get(x, SM_LIT("if-none-match"));
    sm_slice since = sm_http_header_get(x, SM_LIT("if-modified-since"));
    int64_t time;
    if (tags.ptr != NULL) {
        return has_tag(tags, sm_slice_of(c->etag, 18));
    }
    /* The same time, not a later one: thisUpdate lies before the answer was made, and a client that sends the time of its own
     * copy may have one from in between (RFC 9110 13.1.3 lets it ask so). */
    return since.ptr != NULL && sm_ok(sm_http_date_parse(since, &time)) && c->modified_at == time;
}
