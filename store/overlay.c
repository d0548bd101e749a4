/* SPDX-License-Identifier: Apache-2.0 */
#include "store/overlay_p.h"

#include "base/map.h"
#include "base/mem.h"

#define FIRST_ROOM 1024

/* Where the key is, or the free slot where it belongs. */
static size_t slot_of(const struct overlay *o, enum sm_store_family family, sm_slice key)
{
    size_t at = (size_t)(sm_hash(key) + (uint64_t)family * 0x9e3779b97f4a7c15ULL) & (o->room - 1);
    while (o->slots[at] != NULL &&
           !(o->slots[at]->family == family && sm_slice_equal(o->slots[at]->key, key))) {
        at = (at + 1) & (o->room - 1);
    }
    return at;
}

static sm_err grow(struct overlay *o)
{
    struct overlay bigger = {.room = o->room == 0 ? FIRST_ROOM : 2 * o->room, .count = o->count};
    bigger.slots = sm_calloc(bigger.room, sizeof(*bigger.slots));
    if (bigger.slots == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < o->room; i++) {
        if (o->slots[i] != NULL) {
            bigger.slots[slot_of(&bigger, o->slots[i]->family, o->slots[i]->key)] = o->slots[i];
        }
    }
    sm_free(o->slots);
    *o = bigger;
    return SM_NO_ERR;
}

sm_err sm_overlay_add(struct overlay *o, const struct sm_store_put *put)
{
    if (2 * (o->count + 1) > o->room) { /* half empty: probes stay short */
        SM_TRY(grow(o));
    }
    size_t at = slot_of(o, put->family, put->key);
    o->count += o->slots[at] == NULL;
    o->slots[at] = put;
    return SM_NO_ERR;
}

const struct sm_store_put *sm_overlay_find(const struct overlay *o, enum sm_store_family family,
                                           sm_slice key)
{
    return o->count == 0 ? NULL : o->slots[slot_of(o, family, key)];
}

void sm_overlay_clear(struct overlay *o)
{
    if (o->count > 0) {
        memset(o->slots, 0, o->room * sizeof(*o->slots));
        o->count = 0;
    }
}

void sm_overlay_deinit(struct overlay *o)
{
    sm_free(o->slots);
    *o = (struct overlay){0};
}
