/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: what RFC 9113 wants of a server and nghttp2 passes over.
 *
 *   5.1.1  a stream identifier that was skipped is closed: HEADERS on it ends the connection
 *   6.9.2  SETTINGS_INITIAL_WINDOW_SIZE that makes a stream's window too large ends the connection,
 *          not the stream alone
 *
 * Threads:   the connection's loop.
 * Limits:    H2_GAPS_MAX ranges of skipped identifiers are known, the newest.
 * Security:  none.
 * Standards: RFC 9113.
 */
#pragma once

#include "base/list.h"

#include <nghttp2/nghttp2.h>

#define H2_GAPS_MAX 8U /* clients count by two; a range appears when they skip */

struct h2_strict {
    int32_t last; /* the newest stream */
    struct {
        int32_t first;
        int32_t last;
    } gaps[H2_GAPS_MAX];
    unsigned gap_count; /* ever; the ring's next place */
    int64_t widest;     /* window of the streams, before the SETTINGS frame under way */
    int64_t initial;    /* the peer's SETTINGS_INITIAL_WINDOW_SIZE */
};

void sm_h2_strict_init(struct h2_strict *s);
/* At a frame's head; `exchanges` are the open streams'. NGHTTP2_NO_ERROR, or the connection's
 * error. */
uint32_t sm_h2_strict_begin(struct h2_strict *s, nghttp2_session *ng, const nghttp2_frame_hd *hd,
                            sm_list *exchanges);
/* After SETTINGS that are not an ACK were applied. As above. */
uint32_t sm_h2_strict_settings(struct h2_strict *s, nghttp2_session *ng);
