/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP caching of signed documents that say themselves how long they are good: OCSP answers, CRLs.
 *
 * Threads:   values.
 * Limits:    none.
 * Security:  max-age always ends before the document does.
 * Standards: RFC 9111 5.2; RFC 9110 8.8, 13.1, 5.6.7; RFC 9919 7.
 */
#pragma once

#include "io/http.h"

#define SM_HTTP_DATE_LEN 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */
#define SM_HTTP_CACHE_HEADERS 4
#define SM_HTTP_CONTROL_SIZE 80 /* "max-age=", twenty digits, the rest */

struct sm_http_cache {
    char etag[2 + 2 * 8 + 1];
    char last_modified[SM_HTTP_DATE_LEN + 1];
    char expires[SM_HTTP_DATE_LEN + 1];
    char control[SM_HTTP_CONTROL_SIZE];
    uint64_t tag;
    int64_t modified_at;
};

/* `this_update` and `next_update` are the document's; `tag` is another for each document that is made;
 * `max_age_s` bounds what caches may keep. Times in Unix seconds. */
void sm_http_cache_init(struct sm_http_cache *c, int64_t this_update, int64_t next_update,
                        uint64_t tag, int64_t max_age_s, int64_t now);
/* ETag, Last-Modified, Expires, Cache-Control; they borrow from `c`. */
void sm_http_cache_headers(const struct sm_http_cache *c,
                           sm_http_header out[SM_HTTP_CACHE_HEADERS]);
/* Whether the client has this document already (If-None-Match, else If-Modified-Since): 304. */
bool sm_http_cache_is_known(const struct sm_http_cache *c, const sm_http_exchange *x);

/* IMF-fixdate of a time, with NUL. */
void sm_http_date_format(int64_t unix_s, char out[SM_HTTP_DATE_LEN + 1]);
/* Any of the three forms of RFC 9110 5.6.7. Errors: MALFORMED, OUT_OF_RANGE. */
SM_FALLIBLE sm_http_date_parse(sm_slice text, int64_t *out);
