/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a label lets its requests ask for: rules of their own beside the profile's, which several labels may share.
 *
 * Threads:   constant after they were made.
 * Limits:    SM_LABEL_EKUS_MAX.
 * Security:  they only ever refuse; what they let through the profile still judges.
 * Standards: RFC 7030 4.2.3 (a refusal says why).
 */
#pragma once

#include "api/channel_binding.h"
#include "api/profile.h"
#include "gen/sealmill/v1/config.pb-c.h"
#include "sign/csr.h"

#define SM_LABEL_EKUS_MAX \
    16 /* purposes that one request must name; certificates have one to four */

struct sm_label_rules {
    uint32_t key_types; /* bit for each sm_key_type; 0: all */
    struct sm_pattern subject;
    sm_slice ekus[SM_LABEL_EKUS_MAX]; /* OIDs */
    size_t eku_count;
    uint32_t san_kinds;     /* bit for each sm_san_kind that is needed */
    int64_t validity_max_s; /* 0: the profile's matter */
    bool change_names;      /* a re-enrolment may */
    enum sm_binding_rule binding;
};

/* `message` may be NULL: no rules. `out` holds zeros before. Errors: INVALID, TOO_LARGE with the field;
 * NO_MEMORY. */
SM_FALLIBLE sm_label_rules_make(const Sealmill__Config__V1__LabelRequests *message, sm_arena *arena,
                                struct sm_label_rules *out, sm_diag *diag);
void sm_label_rules_deinit(struct sm_label_rules *rules);

/* Errors: POLICY with the field of the request and the reason; MALFORMED (an extension that cannot be read);
 * NO_MEMORY. */
SM_FALLIBLE sm_label_rules_check(const struct sm_label_rules *rules, const struct sm_csr *csr,
                                 sm_arena *arena, sm_diag *diag);
/* What IssueRequest.validity_seconds is to be when `wanted` was asked for (0: nothing was): 0 means the
 * profile's own. */
int64_t sm_label_rules_validity(const struct sm_label_rules *rules,
                                const struct sm_profile *profile, int64_t wanted);
