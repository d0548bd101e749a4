/* SPDX-License-Identifier: Apache-2.0 */
/* What certificates of a partition rely on for as long as they live: how many partitions there are, and where. */
#include "api/api_p.h"
#include "api/crl_p.h"
#include "api/crl_partition.h"

/* The places that certificates of this CA name, or will. True: there is a new one. */
static bool gather_bases(const sm_world *world, const struct sm_ca *ca, struct sm_crl_state *whole)
{
    bool more = false;
    for (size_t i = 0; i < world->profile_count; i++) {
        const Sealmill__V1__Profile *m = world->profiles[i].message;
        for (size_t j = 0; j < m->n_crl_urls; j++) {
            sm_slice base;
            if (sm_crl_url_base(m->crl_urls[j], ca->name, &base) &&
                sm_world_issues(ca, &world->profiles[i])) {
                more = sm_crl_state_add_base(whole, base) || more;
            }
        }
    }
    return more;
}

sm_err sm_crl_keep_partitions(sm_store *store, const sm_world *world, const struct sm_ca *ca,
                              const struct sm_ca_generation *g, struct sm_crl_state *whole)
{
    const struct sm_crl_scope scope = {g->ca_id, g->number, 0};
    if (g != sm_ca_current(ca) || world->crl_partitions == 0) {
        return SM_NO_ERR;
    }
    bool more = gather_bases(world, ca, whole);
    if (whole->base_count == 0 || (!more && whole->partitions >= world->crl_partitions)) {
        return SM_NO_ERR;
    }
    if (whole->partitions < world->crl_partitions) {
        whole->partitions = world->crl_partitions;
    }
    return sm_crl_state_write(store, &scope, whole);
}

static sm_err promise_of(sm_store *store, const sm_world *world, const struct sm_ca *ca,
                         const struct sm_ca_generation *g)
{
    const struct sm_crl_scope scope = {g->ca_id, g->number, 0};
    struct sm_crl_state whole;
    SM_TRY(sm_crl_state_read(store, &scope, &whole));
    sm_err err = sm_crl_keep_partitions(store, world, ca, g, &whole);
    sm_crl_state_deinit(&whole);
    return err;
}

static sm_err promise_all(sm_store *store, const sm_world *world)
{
    for (size_t i = 0; i < world->ca_count; i++) {
        const struct sm_ca_generation *g = sm_ca_current(&world->cas[i]);
        if (g != NULL && g->key != NULL) {
            SM_TRY(promise_of(store, world, &world->cas[i], g));
        }
    }
    return SM_NO_ERR;
}

sm_err sm_crls_promise(sm_crls *crls, sm_store *store, const sm_world *world)
{
    if (world->crl_partitions == 0) {
        return SM_NO_ERR;
    }
    if (crls == NULL) { /* no other thread takes numbers yet */
        return promise_all(store, world);
    }
    (void)pthread_mutex_lock(&crls->lock);
    sm_err err = promise_all(store, world);
    (void)pthread_mutex_unlock(&crls->lock);
    return err;
}
