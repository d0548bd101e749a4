/* SPDX-License-Identifier: Apache-2.0 */
#include "api/known_caller.h"

#include "api/world.h"
#include "base/clock.h"
#include "base/mem.h"

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

static struct known *get_known(struct sm_http_note *note)
{
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

sm_err sm_known_caller_identify(sm_call *call)
{
    const struct sm_tls_info *tls = sm_http_tls(call->x);
    sm_api *api = sm_api_of(call->loop);
    const struct sm_credentials credentials = {
        .peer_certificate = tls->peer_verified ? tls->peer_certificate : SM_SLICE_NONE,
        .authorization = sm_http_header_get(call->x, SM_LIT("authorization")),
        .store = sm_api_store(api),
    };
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
    uint64_t changes = sm_api_state_changes(api);
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
