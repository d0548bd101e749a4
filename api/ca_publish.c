/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ca_publish.h"

#include "base/mem.h"
#include "sign/certs_only.h"

/* ---- which ---- */

/* "1" to "4294967295", without leading zeros. */
static bool read_number(sm_slice text, uint32_t *out)
{
    uint64_t n = 0;
    if (text.len == 0 || text.len > 10 || text.ptr[0] == '0') {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        n = n * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *out = (uint32_t)n;
    return n <= UINT32_MAX;
}

static const struct sm_ca *find_ca(const sm_world *world, sm_slice name)
{
    char z[64];
    if (name.len == 0 || name.len >= sizeof(z)) {
        return NULL;
    }
    memcpy(z, name.ptr, name.len);
    z[name.len] = '\0';
    return strlen(z) == name.len ? sm_world_ca(world, z) : NULL;
}

static const struct sm_ca_generation *find_numbered(const sm_world *world, sm_slice stem, char mark)
{
    size_t at = stem.len;
    uint32_t number;
    while (at > 0 && stem.ptr[at - 1] != (uint8_t)mark) {
        at--;
    }
    if (at == 0 || !read_number(sm_slice_from(stem, at), &number)) {
        return NULL;
    }
    const struct sm_ca *ca = find_ca(world, sm_slice_first(stem, at - 1));
    for (size_t i = 0; ca != NULL && i < ca->generation_count; i++) {
        if (ca->generations[i].number == number) {
            return &ca->generations[i];
        }
    }
    return NULL;
}

static const struct sm_ca_generation *find_generation(const sm_world *world, sm_slice stem)
{
    const struct sm_ca *ca = find_ca(world, stem);
    if (ca != NULL) {
        return sm_ca_current(ca);
    }
    const struct sm_ca_generation *g = find_numbered(world, stem, '.');
    return g != NULL ? g : find_numbered(world, stem, '-');
}

/* The DER that a stem names; empty: none. */
static sm_slice find_certificate(const sm_world *world, sm_slice stem)
{
    static const sm_slice links[] = {SM_LIT(".new-with-old"), SM_LIT(".old-with-new")};
    const struct sm_ca_generation *g;
    for (size_t i = 0; i < 2; i++) {
        if (sm_slice_ends_with(stem, links[i])) {
            g = find_numbered(world, sm_slice_first(stem, stem.len - links[i].len), '.');
            return g == NULL ? SM_SLICE_NONE : i == 0 ? g->new_with_old : g->old_with_new;
        }
    }
    g = find_generation(world, stem);
    return g == NULL ? SM_SLICE_NONE : g->cert.der;
}

/* ---- certs-only CMS ---- */

struct bundle {
    sm_slice *certs;
    size_t count;
};

/* CAs of one root have it but once. */
static void add(struct bundle *b, sm_slice der)
{
    for (size_t i = 0; i < b->count; i++) {
        if (sm_slice_equal(b->certs[i], der)) {
            return;
        }
    }
    if (der.len > 0) {
        b->certs[b->count++] = der;
    }
}

static void gather(const struct sm_ca *ca, const struct sm_ca *top, bool without_root,
                   struct bundle *b)
{
    const struct sm_ca_generation *current = sm_ca_current(ca);
    for (size_t i = 0; i < ca->generation_count; i++) {
        add(b, ca->generations[i].cert.der);
    }
    size_t chain = without_root ? current->chain_sent : current->chain_count;
    for (size_t i = 0; i < chain; i++) {
        add(b, current->chain[i]);
    }
    for (size_t i = 0; i < top->generation_count; i++) {
        add(b, top->generations[i].new_with_old);
        add(b, top->generations[i].old_with_new);
    }
}

static size_t room_for(const sm_world *world, const struct sm_ca *ca)
{
    return ca->generation_count + sm_ca_current(ca)->chain_count +
           2 * sm_world_top(world, ca)->generation_count;
}

sm_err sm_ca_bundle(const sm_world *world, const struct sm_ca *const *cas, size_t count,
                    bool without_root, sm_buf *out)
{
    size_t room = 0;
    for (size_t i = 0; i < count; i++) {
        if (sm_ca_current(cas[i]) == NULL) {
            return SM_ERR(NOT_FOUND);
        }
        room += room_for(world, cas[i]);
    }
    struct bundle b = {.certs = sm_calloc(room + 1, sizeof(*b.certs))};
    if (b.certs == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < count; i++) {
        gather(cas[i], sm_world_top(world, cas[i]), without_root, &b);
    }
    sm_err err = b.count > 0 ? sm_certs_only_write(out, b.certs, b.count, true) : SM_ERR(NOT_FOUND);
    sm_free(b.certs);
    return err;
}

sm_err sm_ca_published(const sm_world *world, sm_slice file, sm_buf *out, sm_slice *bytes,
                       const char **type)
{
    if (sm_slice_ends_with(file, SM_LIT(".p7c"))) {
        const struct sm_ca *ca = find_ca(world, sm_slice_first(file, file.len - 4));
        if (ca == NULL) {
            return SM_ERR(NOT_FOUND);
        }
        SM_TRY(sm_ca_bundle(world, &ca, 1, false, out));
        *bytes = sm_buf_slice(out);
        *type = "application/pkcs7-mime; smime-type=certs-only";
        return SM_NO_ERR;
    }
    if (!sm_slice_ends_with(file, SM_LIT(".cer"))) {
        return SM_ERR(NOT_FOUND);
    }
    sm_slice der = find_certificate(world, sm_slice_first(file, file.len - 4));
    if (der.len == 0) {
        return SM_ERR(NOT_FOUND);
    }
    *bytes = der;
    *type = "application/pkix-cert";
    return SM_NO_ERR;
}

/* ---- URLs ---- */

/* A URL that ends in /FOLDER/NAME.ENDING gets /FOLDER/NAME.N.NEW instead. */
static const char *number_url(const char *url, const char *folder, const char *ending,
                              const char *becomes, const char *ca, uint32_t generation,
                              sm_arena *arena)
{
    char *own = sm_arena_printf(arena, "/%s/%s.%s", folder, ca, ending);
    if (own == NULL) {
        return NULL;
    }
    size_t len = strlen(url);
    size_t own_len = strlen(own);
    if (len < own_len || strcmp(url + len - own_len, own) != 0) {
        return url;
    }
    return sm_arena_printf(arena, "%.*s/%s/%s.%u.%s", (int)(len - own_len), url, folder, ca,
                           generation, becomes);
}

const char *sm_ca_generation_url(const char *url, const char *ca, uint32_t generation,
                                 sm_arena *arena)
{
    return number_url(url, "ca", "cer", "cer", ca, generation, arena);
}

const char *sm_crl_generation_url(const char *url, const char *ca, uint32_t generation,
                                  bool partitioned, sm_arena *arena)
{
    return number_url(url, "crl", "crl", partitioned ? "p0000.crl" : "crl", ca, generation, arena);
}
