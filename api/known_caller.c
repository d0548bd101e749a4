/* SPDX-License-Identifier: Apache-2.0 */
#include "api/known_caller.h"

#include "api/world.h"
#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

#define KNOWN_ARENA_CAP 65536

struct known {
    sm_arena arena;
    struct sm_caller caller; /* grants are the world's, the rest is of the arena */
    uint64_t world;
    uint64_t state_changes;
    int64_t not_after;
};

static void free_known(void *value)
{
    struct known *k = value;
    sm_arena_deinit(&k->arena);
    sm_free(k);
}

/* NULL without memory, or where the connection's note is another's (peer.h). */
static struct known *get_known(struct sm_http_note *note)
{
    if (note->value != NULL && note->free != free_known) {
        return NULL;
    }
    if (note->value == NULL) {
        struct known *k = sm_calloc(1, sizeof(*k));
        if (k == NULL) {
            return NULL;
        }
        sm_arena_init(&k->arena, KNOWN_ARENA_CAP);
        *note = (struct sm_http_note){k, free_known};
    }
    return note->value;
}

/* `state_changes` was read before the state was: a change in between makes this stale at once. */
static sm_err learn(sm_call *call, struct known *k, const struct sm_credentials *credentials,
                    uint64_t state_changes)
{
    k->world = 0;
    sm_arena_deinit(&k->arena);
    sm_arena_init(&k->arena, KNOWN_ARENA_CAP);
    SM_TRY(sm_caller_identify(call->world, credentials, &k->arena, &call->caller, &call->diag));
    char *name = sm_arena_strdup(&k->arena, sm_slice_str(call->caller.name));
    if (name == NULL) {
        return SM_NO_ERR; /* known for this request alone */
    }
    call->caller.name = name;
    k->caller = call->caller;
    k->not_after = call->caller.expires_at;
    k->state_changes = state_changes;
    k->world = call->world->number;
    return SM_NO_ERR;
}

static struct sm_credentials credentials_of(sm_call *call)
{
    const struct sm_tls_info *tls = sm_http_tls(call->x);
    return (struct sm_credentials){
        .peer_certificate = tls->peer_verified ? tls->peer_certificate : SM_SLICE_NONE,
        .authorization = sm_http_header_get(call->x, SM_LIT("authorization")),
        .store = sm_api_store(sm_api_of(call->loop)),
    };
}

sm_err sm_known_caller_identify(sm_call *call)
{
    const struct sm_credentials credentials = credentials_of(call);
    sm_api *api = sm_api_of(call->loop);
    uint64_t changes = sm_api_state_changes(api);
    call->seen_world = call->world->number;
    call->seen_changes = changes;
    struct sm_http_note *note = sm_http_connection_note(call->x);
    struct known *k = NULL;
    if (credentials.authorization.len == 0 && credentials.peer_certificate.len > 0 &&
        note != NULL) {
        k = get_known(note);
    }
    if (k == NULL) {
        return sm_caller_identify(call->world, &credentials, &call->arena, &call->caller,
                                  &call->diag);
    }
    if (k->world == call->world->number && k->state_changes == changes &&
        sm_clock_wall_s() <= k->not_after) {
        call->caller = k->caller;
        call->caller.name = sm_arena_strdup(&call->arena, sm_slice_str(k->caller.name));
        return call->caller.name == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
    }
    SM_TRY(learn(call, k, &credentials, changes));
    call->caller.name = sm_arena_strdup(
        &call->arena, sm_slice_str(call->caller.name)); /* the connection may end first */
    return call->caller.name == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

/* ---- streams ---- */

static bool same_names(char *const *a, size_t a_count, char *const *b, size_t b_count)
{
    bool same = a_count == b_count;
    for (size_t i = 0; same && i < a_count; i++) {
        same = strcmp(a[i], b[i]) == 0;
    }
    return same;
}

static bool same_grants(const struct sm_caller *a, const struct sm_caller *b)
{
    bool same = a->grant_count == b->grant_count;
    for (size_t i = 0; same && i < a->grant_count; i++) {
        const Sealmill__V1__Grant *x = a->grants[i];
        const Sealmill__V1__Grant *y = b->grants[i];
        same = x->role == y->role && same_names(x->cas, x->n_cas, y->cas, y->n_cas) &&
               same_names(x->profiles, x->n_profiles, y->profiles, y->n_profiles);
    }
    return same;
}

/* The call keeps its caller: what is under way borrows its strings. */
static sm_err confirm_in(sm_call *call, const sm_world *world)
{
    const struct sm_credentials credentials = credentials_of(call);
    struct sm_caller now;
    sm_arena arena;
    sm_arena_init(&arena, KNOWN_ARENA_CAP);
    sm_err err = sm_caller_identify(world, &credentials, &arena, &now, &call->diag);
    if (sm_ok(err) && !same_grants(&now, &call->caller)) {
        err = sm_diag_set(&call->diag, SM_ERR(FORBIDDEN), "",
                          "the caller's grants have changed: begin a new stream");
    }
    sm_arena_deinit(&arena);
    return err;
}

sm_err sm_known_caller_confirm(sm_call *call)
{
    sm_api *api = sm_api_of(call->loop);
    uint64_t changes = sm_api_state_changes(api); /* before the look at the state, as above */
    sm_world *world = sm_world_attach(api);
    sm_err err = SM_NO_ERR;
    if (changes != call->seen_changes || world->number != call->seen_world ||
        sm_clock_wall_s() > call->caller.expires_at) {
        err = confirm_in(call, world);
        call->seen_changes = changes;
        call->seen_world = world->number;
    }
    sm_world_detach(&world);
    return err;
}
