/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ca_publish.h"

#include "base/mem.h"
#include "sign/der.h"

#include <stdlib.h>

static const uint8_t oid_data[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01};
static const uint8_t oid_signed_data[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02};

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

static int compare_slices(const void *a, const void *b)
{
    const sm_slice *x = a;
    const sm_slice *y = b;
    int order = memcmp(x->ptr, y->ptr, x->len < y->len ? x->len : y->len);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static void add(struct bundle *b, sm_slice der)
{
    if (der.len > 0) {
        b->certs[b->count++] = der;
    }
}

static void gather(const struct sm_ca *ca, const struct sm_ca *top, struct bundle *b)
{
    const struct sm_ca_generation *current = sm_ca_current(ca);
    for (size_t i = 0; i < ca->generation_count; i++) {
        add(b, ca->generations[i].cert.der);
    }
    for (size_t i = 0; i < current->chain_count; i++) {
        add(b, current->chain[i]);
    }
    for (size_t i = 0; i < top->generation_count; i++) {
        add(b, top->generations[i].new_with_old);
        add(b, top->generations[i].old_with_new);
    }
}

/* SignedData without signers; the set of certificates in DER's order, each once. */
static void write_certs_only(sm_buf *out, struct bundle *b)
{
    qsort(b->certs, b->count, sizeof(*b->certs), compare_slices);
    sm_der_block info = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, sm_slice_of(oid_signed_data, sizeof(oid_signed_data)));
    sm_der_block content = sm_der_begin(out, SM_DER_CTX_CONS(0));
    sm_der_block data = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_u64(out, 1); /* version: only v3 certificates, content id-data (RFC 5652 5.1) */
    sm_der_write(out, SM_DER_SET, SM_SLICE_NONE);
    sm_der_block encap = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, sm_slice_of(oid_data, sizeof(oid_data)));
    sm_der_end(out, encap);
    sm_der_block certs = sm_der_begin(out, SM_DER_CTX_CONS(0));
    for (size_t i = 0; i < b->count; i++) {
        if (i == 0 || !sm_slice_equal(b->certs[i - 1], b->certs[i])) {
            sm_buf_put(out, b->certs[i]);
        }
    }
    sm_der_end(out, certs);
    sm_der_write(out, SM_DER_SET, SM_SLICE_NONE);
    sm_der_end(out, data);
    sm_der_end(out, content);
    sm_der_end(out, info);
}

static sm_err make_bundle(const sm_world *world, const struct sm_ca *ca, sm_buf *out)
{
    const struct sm_ca *top = sm_world_top(world, ca);
    size_t room = ca->generation_count + sm_ca_current(ca)->chain_count + 2 * top->generation_count;
    struct bundle b = {.certs = sm_calloc(room, sizeof(*b.certs))};
    if (b.certs == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    gather(ca, top, &b);
    if (b.count > 0) {
        write_certs_only(out, &b);
    }
    sm_err err = b.count > 0 ? sm_buf_err(out) : SM_ERR(NOT_FOUND);
    sm_free(b.certs);
    return err;
}

sm_err sm_ca_published(const sm_world *world, sm_slice file, sm_buf *out, sm_slice *bytes,
                       const char **type)
{
    if (sm_slice_ends_with(file, SM_LIT(".p7c"))) {
        const struct sm_ca *ca = find_ca(world, sm_slice_first(file, file.len - 4));
        if (ca == NULL || sm_ca_current(ca) == NULL) {
            return SM_ERR(NOT_FOUND);
        }
        SM_TRY(make_bundle(world, ca, out));
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

const char *sm_ca_generation_url(const char *url, const char *ca, uint32_t generation,
                                 sm_arena *arena)
{
    char *own = sm_arena_printf(arena, "/ca/%s.cer", ca);
    if (own == NULL) {
        return NULL;
    }
    size_t len = strlen(url);
    size_t own_len = strlen(own);
    if (len < own_len || strcmp(url + len - own_len, own) != 0) {
        return url;
    }
    return sm_arena_printf(arena, "%.*s/ca/%s.%u.cer", (int)(len - own_len), url, ca, generation);
}
