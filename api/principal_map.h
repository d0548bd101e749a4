/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kerberos principals, and who they are here: the rules of enrolment.negotiate. Knows no GSSAPI.
 *
 * Threads:   constant after it was made; part of the world.
 * Limits:    SM_PRINCIPAL_RULES_MAX rules, SM_PRINCIPAL_REALMS_MAX realms, SM_PRINCIPAL_MAX octets of a principal.
 * Security:  what no rule fits is refused, and so is a realm that is not named. What a principal brings into a subject is
 *            letters, digits and '-', '_', '.', '@', '/' alone, so that it stays within its attribute.
 * Standards: RFC 4120 6; principals are written as MIT's library does: '@', '/' and '\' within a part have a '\' before them.
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "base/err.h"
#include "gen/sealmill/v1/config.pb-c.h"

#define SM_PRINCIPAL_RULES_MAX 256 /* each is tried with each request, until one fits */
#define SM_PRINCIPAL_REALMS_MAX 64
#define SM_PRINCIPAL_MAX 512       /* "host/" and a DNS name of 255 octets, twice */
#define SM_PRINCIPAL_TEXT_MAX 1024 /* of what a rule makes of it */

typedef struct sm_principal_map sm_principal_map;

struct sm_principal_claim {
    sm_slice principal; /* "alice@EXAMPLE.NET" */
    sm_slice service;   /* the principal of ours that its ticket is for */
    const char *label;  /* that the request came by */
};

struct sm_principal_found {
    sm_slice entity;
    const char *subject; /* NULL: any */
};

/* In the arena but for its expressions, which deinit frees. Errors: INVALID, TOO_LARGE with the field; NO_MEMORY. */
SM_FALLIBLE sm_principal_map_make(const Sealmill__Config__V1__Negotiate *message, sm_arena *arena,
                                  sm_principal_map **out, sm_diag *diag);
/* Accepts NULL, and one whose making failed. */
void sm_principal_map_deinit(sm_principal_map *map);
/* Everything is in the arena. Errors: FORBIDDEN (its realm, or no rule fits), NO_MEMORY. */
SM_FALLIBLE sm_principal_map_find(const sm_principal_map *map,
                                  const struct sm_principal_claim *claim, sm_arena *arena,
                                  struct sm_principal_found *out, sm_diag *diag);
/* What stands behind the last '@' that is one; empty: there is none. Borrowed. */
sm_slice sm_principal_realm(sm_slice principal);
