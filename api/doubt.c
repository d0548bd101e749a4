/* SPDX-License-Identifier: Apache-2.0 */
#include "api/doubt.h"

#include "api/api_p.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* How long after the store was seen to be up: it may be seen so before it knows that it is down, and an answer that was read
 * of what was so before may come a moment later. */
#define SETTLED_NS (5 * SM_NS_PER_S)

struct doubt {
    uint32_t ca_id;
    uint32_t generation;
    uint8_t serial[SM_OCSP_SERIAL_MAX];
    size_t serial_len;
    uint64_t up_ns; /* the store has been up since; 0: it was not */
};

struct sm_doubts {
    pthread_mutex_t lock; /* covers what follows */
    size_t count;
    struct doubt list[SM_DOUBTS_MAX];
};

sm_err sm_doubts_new(sm_doubts **out)
{
    sm_doubts *d = sm_calloc(1, sizeof(*d));
    if (d == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    (void)pthread_mutex_init(&d->lock, NULL);
    *out = d;
    return SM_NO_ERR;
}

void sm_doubts_free(sm_doubts **doubts)
{
    if (*doubts != NULL) {
        (void)pthread_mutex_destroy(&(*doubts)->lock);
        sm_free(*doubts);
        *doubts = NULL;
    }
}

/* What the disk says is not certain; all else was refused before it. */
static bool is_uncertain(sm_err err)
{
    return sm_err_is(err, SM_E_DISK) || sm_err_is(err, SM_E_CORRUPT);
}

void sm_doubt_add(sm_api *api, uint32_t ca_id, uint32_t generation, sm_slice serial, sm_err err)
{
    sm_doubts *d = api->doubts;
    if (sm_ok(err) || !is_uncertain(err) || serial.len > SM_OCSP_SERIAL_MAX) {
        return;
    }
    (void)pthread_mutex_lock(&d->lock);
    bool room = d->count < SM_DOUBTS_MAX;
    if (room) {
        struct doubt *one = &d->list[d->count++];
        *one = (struct doubt){
            .ca_id = ca_id, .generation = generation, .serial_len = serial.len, .up_ns = 0};
        memcpy(one->serial, serial.ptr, serial.len);
    }
    (void)pthread_mutex_unlock(&d->lock);
    if (!room) {
        sm_log(SM_LOG_ERROR, "status_in_doubt", SM_KB("serial", serial),
               SM_KS("so", "OCSP may say what was so before, until the answer is renewed"),
               SM_KEND);
    }
}

static void forget(sm_api *api, const struct doubt *one)
{
    for (int hash = 0; hash < SM_OCSP_HASHES; hash++) {
        const struct sm_ocsp_key key = {one->ca_id, one->generation, (enum sm_ocsp_hash)hash,
                                        sm_slice_of(one->serial, one->serial_len)};
        sm_ocsp_cache_change(api->ocsp_cache, NULL, &key, NULL, 0);
    }
}

/* Whether it is settled. */
static bool look_at(struct doubt *one, bool up, uint64_t now)
{
    one->up_ns = !up ? 0 : one->up_ns == 0 ? now : one->up_ns;
    return one->up_ns != 0 && now - one->up_ns >= SETTLED_NS;
}

void sm_doubts_settle(sm_api *api)
{
    sm_doubts *d = api->doubts;
    const bool up = sm_store_is_up(api->config.store);
    const uint64_t now = sm_clock_mono_ns();
    (void)pthread_mutex_lock(&d->lock);
    const size_t count = d->count;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        forget(api, &d->list[i]);
        if (!look_at(&d->list[i], up, now)) {
            d->list[kept++] = d->list[i];
        }
    }
    d->count = kept;
    (void)pthread_mutex_unlock(&d->lock);
    if (count > 0) {
        sm_api_count_state_change(api); /* connections look their certificates up again */
    }
}
