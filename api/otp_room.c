/* SPDX-License-Identifier: Apache-2.0 */
/* How many one-time passwords an entity has. */
#include "api/otp_p.h"
#include "api/record.h"
#include "base/clock.h"

struct room {
    sm_arena *arena;
    struct sm_store_put *puts;
    size_t *put_count;
    size_t purge_end; /* of put_count */
    int64_t now;
    size_t live;
    sm_err err;
};

static sm_err purge(struct room *r, sm_slice key)
{
    if (*r->put_count == r->purge_end) {
        return SM_NO_ERR; /* the next creation's */
    }
    SM_TRY(sm_arena_copy(r->arena, key, &key));
    r->puts[(*r->put_count)++] = (struct sm_store_put){SM_DELETE, SM_FAMILY_META, key,
                                                       SM_SLICE_NONE};
    return SM_NO_ERR;
}

static bool on_row(void *ctx, sm_slice key, sm_slice value)
{
    struct room *r = ctx;
    ProtobufCMessage *m;
    r->err = sm_arena_copy(r->arena, value, &value);
    r->err = sm_ok(r->err) ? sm_record_unpack(value, &sealmill__record__v1__otp_record__descriptor,
                                              r->arena, &m)
                           : r->err;
    if (!sm_ok(r->err)) {
        return false;
    }
    const Sealmill__Record__V1__OtpRecord *otp =
        (const Sealmill__Record__V1__OtpRecord *)(const void *)m;
    r->live += sm_otp_is_live(otp, r->now) ? 1 : 0;
    r->err = sm_otp_is_over(otp, r->now) ? purge(r, key) : SM_NO_ERR;
    return sm_ok(r->err);
}

static size_t count_named(char *const *entities, size_t count, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        n += strcmp(entities[i], name) == 0 ? 1 : 0;
    }
    return n;
}

static sm_err look(sm_store *store, const char *entity, size_t wanted, struct room *r,
                   sm_diag *diag)
{
    sm_slice from;
    sm_slice to;
    r->live = 0;
    SM_TRY(sm_otp_prefix(sm_slice_str(entity), r->arena, &from));
    SM_TRY(sm_otp_prefix_end(from, r->arena, &to));
    SM_TRY(sm_store_scan_sync(store, SM_FAMILY_META, from, to, on_row, r));
    SM_TRY(r->err);
    return r->live + wanted <= SM_OTP_PER_ENTITY_MAX
               ? SM_NO_ERR
               : sm_diag_set(diag, SM_ERR(PRECONDITION), "entity_ids",
                             "one of them would have %zu one-time passwords that have not expired, "
                             "and may have %d",
                             r->live + wanted, SM_OTP_PER_ENTITY_MAX);
}

sm_err sm_otp_make_room(sm_store *store, char *const *entities, size_t count, sm_arena *arena,
                        struct sm_store_put *puts, size_t *put_count, sm_diag *diag)
{
    struct room r = {.arena = arena,
                     .puts = puts,
                     .put_count = put_count,
                     .purge_end = *put_count + SM_OTP_PURGE_MAX,
                     .now = sm_clock_wall_s()};
    for (size_t i = 0; i < count; i++) {
        if (count_named(entities, i, entities[i]) == 0) {
            SM_TRY(look(store, entities[i], count_named(entities + i, count - i, entities[i]), &r,
                        diag));
        }
    }
    return SM_NO_ERR;
}
