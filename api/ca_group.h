/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAs that stand in for each other: which one issues, and which are left out for the moment.
 *
 * A CA that fails for reasons of its own (its token, its key) is left out for a second, then twice as long each time, 30
 * at the most; then a request tries it again. What is known of a CA's health is the process's, and outlives reloads.
 *
 * Threads:   health: any; groups are constant parts of the world.
 * Limits:    SM_CA_GROUPS_MAX groups, SM_CA_GROUP_MEMBERS_MAX members.
 * Security:  a group gives no rights: labels and profiles do.
 * Standards: none.
 */
#pragma once

#include "api/world.h"

#define SM_CA_GROUPS_MAX 1000
#define SM_CA_GROUP_MEMBERS_MAX 16 /* a bit each, in what a request has tried */

enum sm_ca_group_policy {
    SM_CA_ACTIVE_PASSIVE,
    SM_CA_ROUND_ROBIN,
    SM_CA_WEIGHTED,
    SM_CA_LOWEST_LATENCY,
};

/* Of one CA. */
struct sm_ca_health {
    _Atomic uint64_t
        out_until_ns;          /* monotonic; it is not chosen before, unless nothing else is left */
    _Atomic uint32_t failures; /* in a row */
    _Atomic uint32_t latency_us; /* of issuance, smoothed; 0: none was measured */
};

struct sm_ca_group_member {
    const char *ca;
    uint32_t weight;
    struct sm_ca_health *health; /* the api's */
};

struct sm_ca_group {
    const char *name;
    enum sm_ca_group_policy policy;
    struct sm_ca_group_member members[SM_CA_GROUP_MEMBERS_MAX];
    size_t count;
    _Atomic uint32_t turn; /* of round-robin */
};

/* Checks a group of the configuration. Errors: INVALID, TOO_LARGE with the field. */
SM_FALLIBLE sm_ca_group_check(const Sealmill__Config__V1__CaGroup *message, sm_diag *diag);
/* Makes it. `api` NULL: to be checked alone, without health. Errors: those of check; NO_MEMORY. */
SM_FALLIBLE sm_ca_group_make(sm_api *api, const Sealmill__Config__V1__CaGroup *message,
                             struct sm_ca_group *out, sm_diag *diag);

/* The member that is to issue, of those without a bit in `tried`: healthy and able, by the policy; where there is none, one
 * that is left out, since it may be back. -1: all were tried, or none can issue. */
int sm_ca_group_choose(struct sm_ca_group *group, const sm_world *world, uint32_t tried);
/* One of them, without taking its turn: for who only wants to know. */
int sm_ca_group_look(struct sm_ca_group *group, const sm_world *world, uint32_t tried);
/* What came of it. `err` is issuance's; only what is the CA's own trouble counts against it. True: another member may do
 * better. */
bool sm_ca_group_tell(struct sm_ca_group *group, int member, sm_err err, uint64_t took_ns);
