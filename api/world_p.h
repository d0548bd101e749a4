/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside api: a world on its way.
 *
 * Threads:   whoever holds the lock of changes.
 * Limits:    world.h.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "api/world.h"

/* What is stored was accepted once: where it is over a limit now it is left out, so that one record
 * cannot keep the others from working. A change that is not stored yet is refused instead. */
enum row_kind {
    ROW_STORED,
    ROW_REPLACED, /* the change, in the place of its stored record */
    ROW_NEW,      /* the change, without one */
};

struct builder {
    sm_api *api;
    sm_world *world;
    sm_diag *diag;
    const sm_world *before; /* of the same configuration: what is as it was is shared; NULL: none */
    const struct sm_change *change; /* NULL: none */
    bool expects_change;            /* it is among the rows in hand */
    bool change_seen;
    bool change_new;
    enum row_kind kind; /* of the row in hand */
    size_t left_out;    /* over a limit */
    sm_err (*add)(struct builder *b, sm_slice key, sm_slice value);
    sm_err err;
    size_t opened;   /* key files */
    bool key_missed; /* one that could not be loaded */
    sm_err refused;  /* the first key file that is there and cannot be used */
    sm_diag refusal; /* and why */
};

/* ---- world.c ---- */
sm_err sm_world_over_limit(struct builder *b, const char *what, const char *name, int limit);

/* ---- world_ca.c ---- */
/* A key of a CA's or a signing key's, shared; NULL: it is not there, which leaves a CA to its status service and must not
 * keep the others from starting. */
sm_key *sm_world_try_key(struct builder *b, const char *uri, const char *ca);
/* Adds the CA of a row of META: as it is in the world before, where its record is the same. */
sm_err sm_world_add_ca(struct builder *b, sm_slice key, sm_slice value);
/* Its keys and its responders', which are never certified. Errors: NO_MEMORY. */
sm_err sm_world_deny_keys(const struct sm_ca *ca, struct sm_denied_keys *out);
void sm_world_free_ca(struct sm_ca *ca);
