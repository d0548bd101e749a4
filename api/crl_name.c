/* SPDX-License-Identifier: Apache-2.0 */
/* CRLs by name: their files, what is published of them, and what a path means. */
#include "api/api_p.h"
#include "api/crl_p.h"
#include "api/crl_partition.h"
#include "base/text.h"

#include <stdio.h>

#define FILE_NAME_MAX 128
#define PARTITION_ENDING 6 /* octets of ".p0042" */

struct sm_crl_scope sm_crl_scope_of(const struct sm_crl_name *n)
{
    return (struct sm_crl_scope){n->g->ca_id, n->g->number, n->partition};
}

const char *sm_crl_file(const struct sm_crl_name *n, sm_arena *arena)
{
    const char *delta = n->delta ? ".delta" : "";
    return n->partition == 0
               ? sm_arena_printf(arena, "%s.%u%s.crl", n->ca->name, n->g->number, delta)
               : sm_arena_printf(arena, "%s.%u.p%04u%s.crl", n->ca->name, n->g->number,
                                 n->partition, delta);
}

sm_err sm_crl_path(const sm_crls *crls, const struct sm_crl_name *n, char out[4096])
{
    char names[FILE_NAME_MAX];
    sm_arena arena;
    sm_arena_init(&arena, 4096);
    const char *file = sm_crl_file(n, &arena);
    int len = file == NULL ? -1 : snprintf(names, sizeof(names), "%s", file);
    sm_arena_deinit(&arena);
    if (len < 0 || (size_t)len >= sizeof(names)) {
        return SM_ERR(NO_MEMORY);
    }
    len = snprintf(out, 4096, "%s/%s", crls->folder, names);
    return len > 0 && len < 4096 ? SM_NO_ERR : SM_ERR(TOO_LARGE);
}

static const struct sm_ca *find_ca(const sm_world *world, sm_slice name)
{
    char z[64];
    if (name.len == 0 || name.len >= sizeof(z) || sm_slice_find(name, 0) < name.len) {
        return NULL;
    }
    memcpy(z, name.ptr, name.len);
    z[name.len] = '\0';
    return sm_world_ca(world, z);
}

/* Takes ".pPPPP" from the end of a stem; 0: it has none. */
static uint32_t take_partition(sm_slice *stem)
{
    uint64_t number;
    if (stem->len <= PARTITION_ENDING || stem->ptr[stem->len - PARTITION_ENDING] != '.' ||
        stem->ptr[stem->len - PARTITION_ENDING + 1] != 'p' ||
        !sm_ok(sm_decimal_parse(sm_slice_from(*stem, stem->len - 4), &number)) || number == 0 ||
        number > SM_CRL_PARTITIONS_MAX) {
        return 0;
    }
    *stem = sm_slice_first(*stem, stem->len - PARTITION_ENDING);
    return (uint32_t)number;
}

/* NAME, the current generation's; or NAME.N. */
static bool find_generation(const sm_world *world, sm_slice stem, struct sm_crl_name *out)
{
    size_t dot = stem.len;
    uint64_t number;
    out->ca = find_ca(world, stem);
    if (out->ca != NULL) {
        out->g = sm_ca_current(out->ca);
        return out->g != NULL;
    }
    while (dot > 0 && stem.ptr[dot - 1] != '.') {
        dot--;
    }
    if (dot == 0 || !sm_ok(sm_decimal_parse(sm_slice_from(stem, dot), &number)) ||
        number > UINT32_MAX) {
        return false;
    }
    out->ca = find_ca(world, sm_slice_first(stem, dot - 1));
    out->g = out->ca == NULL ? NULL : sm_ca_generation(out->ca, (uint32_t)number);
    return out->g != NULL;
}

sm_err sm_crls_state(sm_crls *crls, const struct sm_crl_name *name, struct sm_crl_state *out)
{
    const struct sm_crl_scope scope = sm_crl_scope_of(name);
    return sm_crl_state_read(sm_api_store(crls->api), &scope, out);
}

sm_err sm_crls_find(sm_crls *crls, const sm_world *world, sm_slice file, char path[4096],
                    struct sm_crl_name *found, struct sm_crl_published *out)
{
    struct sm_crl_state state;
    struct sm_crl_name name = {.partition = 0};
    if (!sm_slice_ends_with(file, SM_LIT(".crl"))) {
        return SM_ERR(NOT_FOUND);
    }
    sm_slice stem = sm_slice_first(file, file.len - 4);
    name.delta = sm_slice_ends_with(stem, SM_LIT(".delta"));
    stem = name.delta ? sm_slice_first(stem, stem.len - 6) : stem;
    name.partition = take_partition(&stem);
    if (!find_generation(world, stem, &name)) {
        return SM_ERR(NOT_FOUND);
    }
    SM_TRY(sm_crls_state(crls, &name, &state));
    *out = name.delta ? state.delta : state.full;
    sm_crl_state_deinit(&state);
    *found = name;
    return out->number == 0 ? SM_ERR(NOT_FOUND) : sm_crl_path(crls, &name, path);
}
