/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/ocsp_pass.h"

#include "gen/sealmill/v1/record.pb-c.h"

#define PASS_VERSION 1
#define AHEAD_OF_CLOCK_S \
    60               /* an answer from the future by more than that was made by another clock */
#define STEPS_MIN 16 /* in a pass, where there are rows enough */

static int64_t length_of(int64_t validity_s)
{
    int64_t s = validity_s * SM_OCSP_PASS_SHARE / 100;
    return s < 1 ? 1 : s;
}

void sm_ocsp_pass_init(struct sm_ocsp_pass *pass, int64_t validity_s, int64_t now)
{
    *pass = (struct sm_ocsp_pass){.started_at = now, .length_s = length_of(validity_s)};
}

/* How long after its start the pass is where it is. */
static int64_t offset(const struct sm_ocsp_pass *p)
{
    if (p->done) {
        return p->length_s;
    }
    if (p->expected == 0) {
        return 0;
    }
    double share = (double)p->seen / (double)p->expected;
    return share >= 1 ? p->length_s : (int64_t)(share * (double)p->length_s);
}

void sm_ocsp_pass_follow(struct sm_ocsp_pass *pass, int64_t validity_s, int64_t now)
{
    int64_t length = length_of(validity_s);
    if (pass->length_s != length) {
        int64_t late = now - pass->started_at - offset(pass);
        pass->length_s = length;
        /* As late as before, or as early as is right for where it is now. */
        pass->started_at = now - offset(pass) - (late > 0 ? late : 0);
    }
    if (pass->started_at > now) {
        pass->started_at = now - offset(pass);
    }
}

int64_t sm_ocsp_pass_due(const struct sm_ocsp_pass *pass)
{
    /* With more rows than expected the rest is new, and quickly seen. */
    bool over = !pass->done && pass->seen >= pass->expected;
    return over ? pass->started_at : pass->started_at + offset(pass);
}

int64_t sm_ocsp_pass_lag(const struct sm_ocsp_pass *pass, int64_t now)
{
    int64_t late = now - pass->started_at - offset(pass);
    return late < 0 ? 0 : late;
}

size_t sm_ocsp_pass_step(const struct sm_ocsp_pass *pass, bool behind)
{
    int64_t every = pass->length_s / STEPS_MIN;
    every = every > SM_OCSP_STEP_S ? SM_OCSP_STEP_S : every < 1 ? 1 : every;
    double rows = (double)pass->expected * (double)every / (double)pass->length_s;
    if (behind || rows >= SM_OCSP_STEP_MAX || pass->expected == 0) {
        return SM_OCSP_STEP_MAX;
    }
    return rows < SM_OCSP_STEP_MIN ? SM_OCSP_STEP_MIN : (size_t)rows;
}

void sm_ocsp_pass_begin(struct sm_ocsp_pass *pass, int64_t now)
{
    if (!pass->done) {
        return;
    }
    int64_t start = pass->started_at + pass->length_s;
    /* After a long time off, one pass catches up, not one for each that was missed. */
    pass->started_at = start < now - pass->length_s ? now - pass->length_s : start;
    pass->expected = pass->seen;
    pass->seen = 0;
    pass->cursor_len = 0;
    pass->done = false;
}

void sm_ocsp_pass_advance(struct sm_ocsp_pass *pass, size_t rows, sm_slice key, bool end)
{
    pass->seen += rows;
    if (key.len > 0 && key.len <= sizeof(pass->cursor)) {
        memcpy(pass->cursor, key.ptr, key.len);
        pass->cursor_len = key.len;
    }
    pass->done = end;
}

bool sm_ocsp_pass_wants(const struct sm_ocsp_said *said, int64_t validity_s, int64_t now)
{
    int64_t least = validity_s * (SM_OCSP_PASS_SHARE + SM_OCSP_PASS_SLACK) / 100;
    return said->next_update - now < least || said->produced_at > now + AHEAD_OF_CLOCK_S ||
           said->next_update > now + validity_s + AHEAD_OF_CLOCK_S;
}

/* ---- its row ---- */

void sm_ocsp_pass_key(uint32_t ca_id, uint32_t generation, uint8_t out[SM_OCSP_PASS_KEY_LEN])
{
    out[0] = 's';
    for (int i = 0; i < 4; i++) {
        out[1 + i] = (uint8_t)(ca_id >> (24 - 8 * i));
        out[5 + i] = (uint8_t)(generation >> (24 - 8 * i));
    }
}

sm_err sm_ocsp_pass_pack(const struct sm_ocsp_pass *pass, sm_arena *arena, sm_slice *out)
{
    Sealmill__Record__V1__OcspPassRecord r;
    uint8_t cursor[SM_OCSP_ROW_KEY_MAX];
    sealmill__record__v1__ocsp_pass_record__init(&r);
    memcpy(cursor, pass->cursor, sizeof(cursor));
    r.version = PASS_VERSION;
    r.started_at = pass->started_at;
    r.length_s = pass->length_s;
    r.seen = pass->seen;
    r.expected = pass->expected;
    r.cursor = (ProtobufCBinaryData){pass->cursor_len, cursor};
    r.done = pass->done;
    r.filled = pass->filled;
    uint8_t *packed = sm_arena_alloc(arena, protobuf_c_message_get_packed_size(&r.base));
    if (packed == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    *out = sm_slice_of(packed, protobuf_c_message_pack(&r.base, packed));
    return SM_NO_ERR;
}

sm_err sm_ocsp_pass_unpack(sm_slice row, struct sm_ocsp_pass *out)
{
    Sealmill__Record__V1__OcspPassRecord *r = sealmill__record__v1__ocsp_pass_record__unpack(
        NULL, row.len, row.ptr);
    if (r == NULL) {
        return SM_ERR(CORRUPT);
    }
    bool good = r->version == PASS_VERSION && r->cursor.len <= sizeof(out->cursor) &&
                r->length_s > 0;
    if (good) {
        *out = (struct sm_ocsp_pass){.started_at = r->started_at,
                                     .length_s = r->length_s,
                                     .seen = r->seen,
                                     .expected = r->expected,
                                     .cursor_len = r->cursor.len,
                                     .done = r->done,
                                     .filled = r->filled};
        if (r->cursor.len > 0) {
            memcpy(out->cursor, r->cursor.data, r->cursor.len);
        }
    }
    sealmill__record__v1__ocsp_pass_record__free_unpacked(r, NULL);
    return good ? SM_NO_ERR : SM_ERR(CORRUPT);
}
