/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rate_table.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

#define COUNT_MAX 1000000000U

sm_err sm_rate_rule_parse(sm_slice text, struct sm_rate_rule *out)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    uint64_t count;
    *out = (struct sm_rate_rule){0, 0};
    if (text.len == 0) {
        return SM_NO_ERR;
    }
    sm_slice unit = text;
    sm_slice number = sm_slice_split(&unit, '/');
    if (!sm_ok(sm_decimal_parse(number, &count)) || count == 0 || count > COUNT_MAX) {
        return SM_ERR(MALFORMED);
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (sm_slice_equal(unit, sm_slice_str(units[i].unit))) {
            *out = (struct sm_rate_rule){(uint32_t)count, units[i].seconds * SM_NS_PER_S};
            return SM_NO_ERR;
        }
    }
    return SM_ERR(MALFORMED);
}

bool sm_rate_table_init(sm_rate_table *t)
{
    (void)pthread_mutex_init(&t->lock, NULL);
    t->places = sm_calloc(SM_RATE_PLACES, sizeof(*t->places));
    return t->places != NULL;
}

void sm_rate_table_deinit(sm_rate_table *t)
{
    sm_free(t->places);
    t->places = NULL;
    (void)pthread_mutex_destroy(&t->lock);
}

/* The key's place, or the one to take for it: the earliest due of its set. */
static struct sm_rate_place *find(sm_rate_table *t, uint64_t key)
{
    struct sm_rate_place *set = &t->places[key % (SM_RATE_PLACES / SM_RATE_WAYS) * SM_RATE_WAYS];
    struct sm_rate_place *earliest = set;
    for (size_t i = 0; i < SM_RATE_WAYS; i++) {
        if (set[i].key == key) {
            return &set[i];
        }
        earliest = set[i].due_ns < earliest->due_ns ? &set[i] : earliest;
    }
    *earliest = (struct sm_rate_place){key, 0};
    return earliest;
}

bool sm_rate_table_take(sm_rate_table *t, sm_slice key, const struct sm_rate_rule *rule,
                        uint64_t now_ns, uint64_t *wait_ns)
{
    if (rule->count == 0) {
        return true;
    }
    uint64_t step = rule->period_ns / rule->count;
    uint64_t hash = sm_hash(key);
    (void)pthread_mutex_lock(&t->lock);
    struct sm_rate_place *p = find(t, hash);
    uint64_t from = p->due_ns > now_ns ? p->due_ns : now_ns;
    bool taken = from + step <= now_ns + rule->period_ns;
    if (taken) {
        p->due_ns = from + step;
    } else {
        *wait_ns = from + step - now_ns - rule->period_ns;
    }
    (void)pthread_mutex_unlock(&t->lock);
    return taken;
}
