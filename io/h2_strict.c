/* SPDX-License-Identifier: Apache-2.0 */
#include "io/h2_strict_p.h"

#include "io/exchange_p.h"

#define FIRST_WINDOW 65535       /* RFC 9113 6.9.2 */
#define LARGEST_WINDOW INT32_MAX /* RFC 9113 6.9.1 */

void sm_h2_strict_init(struct h2_strict *s)
{
    *s = (struct h2_strict){.last = -1, .initial = FIRST_WINDOW};
}

static bool was_skipped(const struct h2_strict *s, int32_t stream)
{
    unsigned known = s->gap_count < H2_GAPS_MAX ? s->gap_count : H2_GAPS_MAX;
    for (unsigned i = 0; i < known; i++) {
        if (stream >= s->gaps[i].first && stream <= s->gaps[i].last) {
            return true;
        }
    }
    return false;
}

static void note_stream(struct h2_strict *s, int32_t stream)
{
    if (stream > s->last + 2) {
        unsigned at = s->gap_count++ % H2_GAPS_MAX;
        s->gaps[at].first = s->last + 2;
        s->gaps[at].last = stream - 2;
    }
    s->last = stream;
}

/* A window below zero counts as zero here: it is not the widest one that matters. */
static int64_t widest_window(nghttp2_session *ng, sm_list *exchanges)
{
    int64_t widest = 0;
    SM_LIST_FOR(node, exchanges)
    {
        const sm_http_exchange *x = SM_CONTAINER_OF(node, sm_http_exchange, node);
        int64_t window = nghttp2_session_get_stream_remote_window_size(ng, x->stream_id);
        widest = window > widest ? window : widest;
    }
    return widest;
}

uint32_t sm_h2_strict_begin(struct h2_strict *s, nghttp2_session *ng, const nghttp2_frame_hd *hd,
                            sm_list *exchanges)
{
    if (hd->type == NGHTTP2_SETTINGS && (hd->flags & NGHTTP2_FLAG_ACK) == 0) {
        s->widest = widest_window(ng, exchanges);
        return NGHTTP2_NO_ERROR;
    }
    if (hd->type != NGHTTP2_HEADERS || hd->stream_id % 2 == 0) {
        return NGHTTP2_NO_ERROR; /* nghttp2 refuses even ones */
    }
    if (hd->stream_id > s->last) {
        note_stream(s, hd->stream_id);
        return NGHTTP2_NO_ERROR;
    }
    return was_skipped(s, hd->stream_id) ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_NO_ERROR;
}

uint32_t sm_h2_strict_settings(struct h2_strict *s, nghttp2_session *ng)
{
    int64_t before = s->initial;
    s->initial = nghttp2_session_get_remote_settings(ng, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);
    return s->widest + s->initial - before > LARGEST_WINDOW ? NGHTTP2_FLOW_CONTROL_ERROR
                                                            : NGHTTP2_NO_ERROR;
}
