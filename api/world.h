/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world: CAs with their keys and certificates, compiled profiles, callers - one immutable
 * snapshot.
 *
 * Threads:   constant after it was built, but for templates and anchors, which are made when they are first asked for;
 *            shared by count, and its CAs by a count of their own.
 * Limits:    SM_CAS_MAX, SM_PROFILES_MAX, SM_BEARER_TOKENS_MAX, SM_SIGNING_KEYS_MAX. A change over
 *            a limit is refused; what is stored over one (by a release with other limits) is left
 *            out with a line in the log, and the rest works.
 * Security:  holds sm_key references, never key material.
 * Standards: none.
 */
#pragma once

#include "api/api.h"
#include "api/denied.h"
#include "api/profile.h"
#include "api/signing_metrics.h"
#include "base/arena.h"
#include "base/map.h"
#include "base/rate.h"
#include "base/rate_table.h"
#include "gen/sealmill/v1/record.pb-c.h"
#include "sign/cert.h"
#include "sign/chain.h"

#include <pthread.h>
#include <stdatomic.h>

/* Each change of the world reads their rows again, and indexes them. A fleet's operators have a CA for each of their customers;
 * above that it is another deployment. */
#define SM_CAS_MAX 16384
#define SM_PROFILES_MAX 256
/* Each change of the world reads them all again: 0.2 s and 65 MiB at the limit. */
#define SM_BEARER_TOKENS_MAX 100000
/* Of SigningService. Their keys share the cache with the CAs' (KEYS_MAX). */
#define SM_SIGNING_KEYS_MAX 256
/* How long a dead token is still shown to administrators before it is removed. */
#define SM_TOKEN_GRACE_S (INT64_C(24) * 3600)
#define SM_WORLD_DEAD_MAX 1000 /* tokens removed with one change: bounds that write */

struct sm_change;
struct sm_ocsp_responder;
struct sm_label;
struct sm_ca_group;
struct sm_ca_made;
struct sm_negotiate;
struct sm_principal_map;

#define SM_OCSP_FURTHER_MAX 4

/* A responder beside the usual one, with a key of another type. */
struct sm_further_responder {
    enum sm_key_type type;
    sm_key *key; /* NULL: not at hand */
    struct sm_cert cert;
};

/* A CA's key and certificate, and those of its OCSP responder. */
struct sm_ca_generation {
    uint32_t ca_id;
    uint32_t number;
    sm_key *key; /* NULL: not at hand (an external or lost key) */
    sm_key *ocsp_key;
    struct sm_cert cert; /* der.len 0 while pending */
    struct sm_cert ocsp_cert;
    struct sm_further_responder *further;
    size_t further_count;
    sm_slice *chain; /* DER, issuer first, the root last where known */
    size_t chain_count;
    size_t chain_sent;     /* those that go with answers: not a root at the end */
    sm_slice new_with_old; /* DER, or empty: see RFC 4210 4.4 */
    sm_slice old_with_new;
    uint8_t name_sha1[20]; /* of the subject: OCSP's issuerNameHash */
    uint8_t key_sha1[20];
    uint8_t name_sha256[32];
    uint8_t key_sha256[32];
    struct sm_ocsp_responder *ocsp; /* NULL while pending */
    _Atomic(sm_anchors *) anchors;  /* its certificate, for clients' chains; NULL: not made yet */
};

struct sm_ca {
    const char *name;
    uint32_t id;
    Sealmill__Record__V1__CaRecord *record;
    struct sm_ca_generation *generations; /* the last one issues */
    size_t generation_count;
    bool active;
    _Atomic(sm_cert_template *) *templates; /* by profile's index; NULL: not made yet */
    struct sm_ca_made
        *made; /* what holds the record and the generations, shared with other worlds */
};

/* Generations of one subject, in one world. */
struct sm_same_subject {
    struct sm_ca_generation *g;
    struct sm_same_subject *next; /* newer ones of a CA first; NULL: none */
};

struct sm_world_index;

struct sm_world {
    _Atomic uint32_t refs;
    uint64_t number; /* of no other snapshot, ever */
    sm_arena arena;
    struct sm_ca *cas;
    size_t ca_count;
    struct sm_world_index *index;
    pthread_mutex_t
        lazy_lock; /* templates are made when they are first asked for: one at a time; covers the arena once the world is built */
    struct sm_profile *profiles;
    size_t profile_count;
    uint32_t last_ca_id; /* the highest, of those left out too */
    sm_map *tokens;      /* SHA-256 of the secret -> TokenRecord */
    sm_slice *dead;      /* keys of META: tokens that ended SM_TOKEN_GRACE_S ago */
    size_t dead_count;
    const Sealmill__Config__V1__Config *config;
    Sealmill__V1__SigningKey **signing_keys;
    sm_key **signing_key_handles; /* NULL: not at hand */
    sm_rate **signing_key_rates;  /* of the api: they outlive the snapshot */
    struct sm_signing_metrics *signing_key_metrics;
    size_t signing_key_count;
    struct sm_denied_keys denied;
    struct sm_label *labels;       /* of enrolment */
    struct sm_ca_group *ca_groups; /* that labels name */
    size_t ca_group_count;
    size_t label_count;
    struct sm_negotiate *negotiate; /* NULL: no label takes it */
    struct sm_principal_map *principals;
    bool keys_missing;  /* some could not be loaded: a token may not be there yet */
    size_t pending_max; /* issuances under way in a loop */
    struct sm_rate_rule per_caller;
    struct sm_rate_rule per_subject;
    uint32_t crl_partitions; /* that new certificates are in; 0: none */
};

struct sm_ca *sm_world_ca(const sm_world *world, const char *name);
struct sm_ca *sm_world_ca_named(const sm_world *world, sm_slice name);
struct sm_ca *sm_world_ca_by_id(const sm_world *world, uint32_t id);
const struct sm_profile *sm_world_profile(const sm_world *world, const char *name);
/* The CA of ours at the top of its chain: itself, or what its parents lead to. */
const struct sm_ca *sm_world_top(const sm_world *world, const struct sm_ca *ca);
/* The generation that issues. */
static inline struct sm_ca_generation *sm_ca_current(const struct sm_ca *ca)
{
    return ca->generation_count == 0 ? NULL : &ca->generations[ca->generation_count - 1];
}

/* NULL: there is none of that number. */
static inline struct sm_ca_generation *sm_ca_generation(const struct sm_ca *ca, uint32_t number)
{
    for (size_t i = 0; i < ca->generation_count; i++) {
        if (ca->generations[i].number == number) {
            return &ca->generations[i];
        }
    }
    return NULL;
}

/* The generation that a CertID means: by the hashes of its name and key, both SHA-1 or both SHA-256 (RFC 6960 4.1.1).
 * NULL: none of ours. Any thread. */
const struct sm_ca_generation *sm_world_by_cert_id(const sm_world *world, sm_slice name_hash,
                                                   sm_slice key_hash);
/* The generations with this subject; NULL: none. Any thread. */
const struct sm_same_subject *sm_world_by_subject(const sm_world *world, sm_slice subject);
/* This generation as a trust anchor, made when it is first asked for; borrowed from its world. Any thread. Errors:
 * NO_MEMORY, MALFORMED. */
SM_FALLIBLE sm_world_anchors(struct sm_ca_generation *g, const sm_anchors **out);
/* The only CA that issues this profile: active, no root, its key at hand. NULL: none, or (`*several`) more than one. */
struct sm_ca *sm_world_sole_ca(const sm_world *world, const struct sm_profile *profile,
                               bool *several);
/* Tells its keys whether their signatures are verified before they leave; when it comes into force, not before. */
void sm_world_set_checks(const sm_world *world);
/* Part of the build: what finds all of the above. Errors: NO_MEMORY. */
SM_FALLIBLE sm_world_index_make(sm_world *world);
void sm_world_index_free(sm_world *world);

/* Whether this CA, as it is, can issue this profile, and the profile allows it. */
bool sm_world_issues(const struct sm_ca *ca, const struct sm_profile *profile);
/* The template of a CA and a profile, made when it is first asked for; borrowed from the world. Any thread.
 * Errors: POLICY (not allowed, or the CA's key cannot sign so), NO_MEMORY. */
SM_FALLIBLE sm_world_template(sm_world *world, const struct sm_ca *ca,
                              const struct sm_profile *profile, const sm_cert_template **out);
/* Part of the build: room for them, and the first one of each profile, which shows that the profile is good. */
SM_FALLIBLE sm_world_make_templates(sm_world *world);
void sm_world_free_lazy(sm_world *world);
/* Builds a snapshot from the store and the configuration, as it would be with `change` (of a
 * record, see record.h; NULL: none) written. Errors: TOO_LARGE when the change is one too many, and
 * what makes its record none. */
SM_FALLIBLE sm_world_build(sm_api *api, const struct sm_change *change, sm_world **out,
                           sm_diag *diag);
