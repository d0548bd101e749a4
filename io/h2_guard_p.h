/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: budgets against floods of cheap frames. Each kind of frame that costs the peer
 * nothing has a bucket: so many at once, so many a second after that.
 *
 * Threads:   the connection's loop.
 * Limits:    the table in h2_guard.c.
 * Security:  rapid reset (CVE-2023-44487), CONTINUATION flood (CVE-2024-27316), SETTINGS, PING,
 *            PRIORITY, WINDOW_UPDATE and empty-frame floods (CVE-2019-9511 to 9518), resets that
 *            we are made to send (CVE-2025-8671).
 * Standards: RFC 9113 10.5.
 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

enum h2_bucket {
    H2_BUCKET_RESET,
    H2_BUCKET_SETTINGS,
    H2_BUCKET_PING,
    H2_BUCKET_PRIORITY,
    H2_BUCKET_WINDOW,
    H2_BUCKET_EMPTY,
    H2_BUCKET_UNKNOWN,
    H2_BUCKET_INVALID,
    H2_BUCKET_COUNT,
};

/* What is counted besides the buckets. */
enum sm_h2_defence {
    SM_H2_DEFENCE_HEADERS,
    SM_H2_DEFENCE_LATE,
    SM_H2_DEFENCE_CONTINUATION,
    SM_H2_DEFENCE_COUNT
};

struct h2_guard {
    uint64_t filled_ns;
    uint32_t left[H2_BUCKET_COUNT];
};

void sm_h2_guard_init(struct h2_guard *g, uint64_t now_ns);
/* False: a budget is used up; counted by its reason. */
bool sm_h2_guard_frame(struct h2_guard *g, const nghttp2_frame_hd *hd, uint64_t now_ns);
bool sm_h2_guard_invalid(struct h2_guard *g, uint64_t now_ns);
void sm_h2_count_defence(enum sm_h2_defence reason);
