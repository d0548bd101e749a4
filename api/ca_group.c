/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ca_group.h"

#include "api/api_p.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rand.h"

#define OUT_FIRST_NS SM_NS_PER_S
#define OUT_MAX_NS (30 * SM_NS_PER_S)
#define WEIGHT_MAX 1000
#define SMOOTHING 8 /* a new latency counts one part in so many */

static sm_metric failovers;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    failovers = sm_metric_register(SM_COUNTER, "sealmill_ca_group_failovers_total",
                                   "Requests that a CA of a group could not issue", NULL);
}

/* ---- making ---- */

static const char *const policies[] = {"active-passive", "round-robin", "weighted",
                                       "lowest-latency"};

static bool read_policy(const char *text, enum sm_ca_group_policy *out)
{
    for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        if (strcmp(text[0] == '\0' ? policies[0] : text, policies[i]) == 0) {
            *out = (enum sm_ca_group_policy)i;
            return true;
        }
    }
    return false;
}

static sm_err check_members(const Sealmill__Config__V1__CaGroup *m, sm_diag *diag)
{
    for (size_t i = 0; i < m->n_members; i++) {
        if (m->members[i]->ca[0] == '\0' || m->members[i]->weight > WEIGHT_MAX) {
            return sm_diag_set(diag, SM_ERR(INVALID), "enrolment.groups.members",
                               "a member has a CA's name, and a weight of %d at most", WEIGHT_MAX);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(m->members[i]->ca, m->members[j]->ca) == 0) {
                return sm_diag_set(diag, SM_ERR(INVALID), "enrolment.groups.members",
                                   "\"%.60s\" comes twice", m->members[i]->ca);
            }
        }
    }
    return SM_NO_ERR;
}

sm_err sm_ca_group_check(const Sealmill__Config__V1__CaGroup *m, sm_diag *diag)
{
    enum sm_ca_group_policy policy;
    if (m->name[0] == '\0') {
        return sm_diag_set(diag, SM_ERR(INVALID), "enrolment.groups.name", "a group has a name");
    }
    if (m->n_members == 0 || m->n_members > SM_CA_GROUP_MEMBERS_MAX) {
        return sm_diag_set(diag, SM_ERR(INVALID), "enrolment.groups.members",
                           "\"%.60s\" has 1 to %d of them", m->name, SM_CA_GROUP_MEMBERS_MAX);
    }
    if (!read_policy(m->policy, &policy)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "enrolment.groups.policy",
                           "\"%.40s\" is none of active-passive, round-robin, weighted, "
                           "lowest-latency",
                           m->policy);
    }
    return check_members(m, diag);
}

sm_err sm_ca_group_make(sm_api *api, const Sealmill__Config__V1__CaGroup *m,
                        struct sm_ca_group *out, sm_diag *diag)
{
    (void)pthread_once(&once, register_metrics);
    SM_TRY(sm_ca_group_check(m, diag));
    out->name = m->name;
    (void)read_policy(m->policy, &out->policy);
    for (size_t i = 0; i < m->n_members; i++) {
        struct sm_ca_group_member *member = &out->members[i];
        member->ca = m->members[i]->ca;
        member->weight = m->members[i]->weight == 0 ? 1 : m->members[i]->weight;
        if (api != NULL) {
            SM_TRY(sm_api_ca_health(api, member->ca, &member->health));
        }
        out->count++;
    }
    return SM_NO_ERR;
}

/* ---- choosing ---- */

/* A key in tokens of which none is up cannot sign, and can as soon as one is. */
static bool has_key(const sm_key *key)
{
    size_t count = key == NULL ? 0 : sm_key_token_count(key);
    bool up = count == 0;
    for (size_t i = 0; i < count && !up; i++) {
        struct sm_key_on_token facts;
        sm_key_token_facts(key, i, &facts);
        up = facts.up;
    }
    return key != NULL && up;
}

static bool can_issue(const sm_world *world, const char *name)
{
    const struct sm_ca *ca = sm_world_ca(world, name);
    const struct sm_ca_generation *g = ca == NULL ? NULL : sm_ca_current(ca);
    return g != NULL && ca->active && g->cert.der.len > 0 &&
           g->cert.not_after > sm_clock_wall_s() && has_key(g->key);
}

/* Those that may be chosen, as bits. */
static uint32_t candidates(const struct sm_ca_group *g, const sm_world *world, uint32_t tried,
                           bool left_out_too)
{
    uint64_t now = sm_clock_mono_ns();
    uint32_t found = 0;
    for (size_t i = 0; i < g->count; i++) {
        bool in = left_out_too || now >= atomic_load(&g->members[i].health->out_until_ns);
        if ((tried >> i & 1U) == 0 && in && can_issue(world, g->members[i].ca)) {
            found |= 1U << i;
        }
    }
    return found;
}

static int first_from(uint32_t found, size_t from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = (from + i) % count;
        if ((found >> at & 1U) != 0) {
            return (int)at;
        }
    }
    return -1;
}

static int by_weight(const struct sm_ca_group *g, uint32_t found)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < g->count; i++) {
        sum += (found >> i & 1U) != 0 ? g->members[i].weight : 0;
    }
    uint64_t at = sm_rand_u64() % sum;
    for (size_t i = 0; i < g->count; i++) {
        uint32_t weight = (found >> i & 1U) != 0 ? g->members[i].weight : 0;
        if (at < weight) {
            return (int)i;
        }
        at -= weight;
    }
    return first_from(found, 0, g->count);
}

/* One that was never measured is measured first. */
static int by_latency(const struct sm_ca_group *g, uint32_t found)
{
    int best = -1;
    uint32_t least = 0;
    for (size_t i = 0; i < g->count; i++) {
        uint32_t latency = atomic_load(&g->members[i].health->latency_us);
        if ((found >> i & 1U) != 0 && (best < 0 || latency < least)) {
            best = (int)i;
            least = latency;
        }
    }
    return best;
}

static uint32_t find(struct sm_ca_group *g, const sm_world *world, uint32_t tried)
{
    uint32_t found = candidates(g, world, tried, false);
    return found == 0 ? candidates(g, world, tried, true) : found;
}

int sm_ca_group_look(struct sm_ca_group *g, const sm_world *world, uint32_t tried)
{
    return first_from(find(g, world, tried), 0, g->count);
}

int sm_ca_group_choose(struct sm_ca_group *g, const sm_world *world, uint32_t tried)
{
    uint32_t found = find(g, world, tried);
    if (found == 0) {
        return -1;
    }
    switch (g->policy) {
    case SM_CA_ROUND_ROBIN:
        return first_from(found, atomic_fetch_add(&g->turn, 1) % g->count, g->count);
    case SM_CA_WEIGHTED:
        return by_weight(g, found);
    case SM_CA_LOWEST_LATENCY:
        return by_latency(g, found);
    default:
        return first_from(found, 0, g->count);
    }
}

/* ---- what came of it ---- */

static void note_success(struct sm_ca_health *h, const char *ca, uint64_t took_ns)
{
    uint32_t old = atomic_load(&h->latency_us);
    uint32_t took = took_ns / 1000 > UINT32_MAX ? UINT32_MAX : (uint32_t)(took_ns / 1000);
    took = took == 0 ? 1 : took;
    atomic_store(&h->latency_us, old == 0 ? took : old - old / SMOOTHING + took / SMOOTHING);
    if (atomic_exchange(&h->failures, 0) > 0) {
        atomic_store(&h->out_until_ns, 0);
        sm_log(SM_LOG_INFO, "ca_back", SM_KS("ca", ca), SM_KEND);
    }
}

static void note_failure(struct sm_ca_health *h, const char *ca, sm_err err)
{
    uint32_t failures = atomic_fetch_add(&h->failures, 1);
    uint64_t pause = OUT_FIRST_NS << (failures < 5 ? failures : 5);
    pause = pause < OUT_MAX_NS ? pause : OUT_MAX_NS;
    atomic_store(&h->out_until_ns, sm_clock_mono_ns() + pause);
    sm_metric_inc(failovers);
    sm_log(SM_LOG_WARN, "ca_left_out", SM_KS("ca", ca), SM_KE("error", err),
           SM_KU("seconds", pause / SM_NS_PER_S), SM_KEND);
}

bool sm_ca_group_tell(struct sm_ca_group *g, int member, sm_err err, uint64_t took_ns)
{
    const struct sm_ca_group_member *m = &g->members[member];
    if (sm_ok(err)) {
        note_success(m->health, m->ca, took_ns);
        return false;
    }
    if (sm_err_category(err) == SM_UPSTREAM) {
        note_failure(m->health, m->ca, err);
        return true;
    }
    /* A full queue is no failure, but another's may have room; the rest is the request's own matter. */
    return sm_err_is(err, SM_E_QUEUE_FULL);
}
