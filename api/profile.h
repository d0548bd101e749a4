/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Profiles, compiled: what a certificate may be, ready to be applied.
 *
 * Threads:   constant after compilation.
 * Limits:    SM_PROFILE_RULES_MAX patterns.
 * Security:  patterns are the administrator's, the text they see is bounded by the names' own
 *            limits.
 * Standards: RFC 5280 4.2.
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "gen/sealmill/v1/profile.pb-c.h"
#include "sign/cert.h"

#include <regex.h>

#define SM_PROFILE_RULES_MAX 64
#define SM_PROFILE_EXTENSIONS_MAX 32
#define SM_PROFILE_URLS_MAX 16 /* of each kind: relying parties try a few */

struct sm_pattern {
    bool used;
    regex_t regex;
};

/* Anchored at both ends; of empty text nothing is made, and `used` stays false. To be freed by regfree where it
 * is used. Errors: INVALID with the field. */
SM_FALLIBLE sm_pattern_compile(const char *text, struct sm_pattern *out, const char *field,
                               sm_diag *diag);
/* Against the whole value; one that holds a NUL, or for which there is no memory, matches nothing. */
bool sm_pattern_matches(const struct sm_pattern *pattern, sm_slice value, sm_arena *arena);

struct sm_profile {
    Sealmill__V1__Profile *message;
    size_t index;       /* in the world */
    uint32_t key_types; /* bit for each sm_key_type */
    int64_t validity_s;
    int64_t maximum_s;
    int64_t backdate_s;
    struct sm_extension extensions[SM_PROFILE_EXTENSIONS_MAX]; /* the same in each certificate */
    size_t extension_count;
    struct sm_pattern subject_patterns[SM_PROFILE_RULES_MAX];
    struct sm_pattern san_patterns[SM_PROFILE_RULES_MAX];
    uint32_t san_kinds;                      /* bit for each sm_san_kind */
    sm_slice honoured[SM_PROFILE_RULES_MAX]; /* OIDs of CSR extensions that are copied */
    size_t honoured_count;
    bool from_file; /* of the configuration: not replaceable over the API */
};

/* Checks and compiles. The message and all slices live in `arena`. Errors: INVALID with the
 * field. */
SM_FALLIBLE sm_profile_compile(Sealmill__V1__Profile *message, sm_arena *arena,
                               struct sm_profile *out, sm_diag *diag);
void sm_profile_deinit(struct sm_profile *profile);

/* What a request makes of a profile. */
struct sm_profile_input {
    const struct sm_csr *csr;
    const Sealmill__V1__IssueRequest *request;
    const char *caller;
    int64_t now;
    int64_t ca_not_before;
    int64_t ca_not_after;
};

/* Applies the rules: fills subject, validity, SANs and extensions of `params` (key and serial
 * are the caller's). Errors: POLICY, INVALID, MALFORMED with the field and reason. Memory from
 * `arena`. */
SM_FALLIBLE sm_profile_apply(const struct sm_profile *profile, const struct sm_profile_input *input,
                             sm_arena *arena, struct sm_cert_params *params, sm_diag *diag);

/* Names and SANs between their messages and ours. */
SM_FALLIBLE sm_name_from_message(const Sealmill__V1__Name *message, sm_arena *arena, sm_slice *der,
                                 sm_diag *diag);
SM_FALLIBLE sm_san_from_message(const Sealmill__V1__SubjectAltName *message, sm_arena *arena,
                                struct sm_san *out, sm_diag *diag);
/* A message that describes the name. NULL without memory. */
Sealmill__V1__SubjectAltName *sm_san_to_message(const struct sm_san *san, sm_arena *arena);
/* Key usage bits and EKU OIDs by name. */
SM_FALLIBLE sm_key_usage_parse(char *const *names, size_t count, uint32_t *bits, sm_diag *diag);
SM_FALLIBLE sm_eku_parse(const char *name, sm_arena *arena, sm_slice *oid, sm_diag *diag);
