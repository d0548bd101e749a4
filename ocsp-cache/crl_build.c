/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/crl_build.h"

#include "sign/batch.h"
#include "sign/cert.h"
#include "sign/der.h"
#include "sign/oids.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES 65536
#define REMOVE_FROM_CRL 8

struct build {
    const struct sm_crl_order *order;
    sm_diag *diag;
    FILE *entries;
    FILE *tbs;
    FILE *crl;
    char path[4096]; /* of the last */
    size_t prefix;   /* octets of a key before the serial number */
    uint64_t entry_bytes;
    uint64_t count;
    uint64_t tbs_bytes;
    sm_buf one; /* an entry, a header */
    sm_err err;
};

static sm_err disk(struct build *b)
{
    return sm_diag_set(b->diag, SM_ERR(DISK), "crl", "%.200s: %s", b->order->path, strerror(errno));
}

static sm_err write_to(struct build *b, FILE *f, sm_slice bytes)
{
    return bytes.len == 0 || fwrite(bytes.ptr, 1, bytes.len, f) == bytes.len ? SM_NO_ERR : disk(b);
}

/* ---- entries ---- */

static void put_extension(sm_buf *out, sm_slice oid, bool critical, sm_slice value)
{
    sm_der_block ext = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, oid);
    if (critical) {
        sm_der_write_bool(out, true);
    }
    sm_der_write(out, SM_DER_OCTET_STRING, value);
    sm_der_end(out, ext);
}

/* reasonCode and invalidityDate (RFC 5280 5.3.1, 5.3.2); unspecified is left out. */
static void put_entry_extensions(sm_buf *out, int reason, int64_t invalidity)
{
    if (reason == 0 && invalidity == 0) {
        return;
    }
    sm_der_block list = sm_der_begin(out, SM_DER_SEQUENCE);
    if (reason != 0) {
        const uint8_t value[] = {SM_DER_ENUMERATED, 1, (uint8_t)reason};
        put_extension(out, SM_OID_CRL_REASON, false, sm_slice_of(value, sizeof(value)));
    }
    if (invalidity != 0) {
        sm_buf time = sm_buf_init(64);
        sm_der_write_generalized_time(&time, invalidity);
        put_extension(out, SM_OID_INVALIDITY_DATE, false, sm_buf_slice(&time));
        sm_buf_deinit(&time);
    }
    sm_der_end(out, list);
}

static bool belongs(const struct sm_crl_order *o, const struct sm_crl_entry *e)
{
    if (o->is_delta) {
        return e->changed_at >= o->base_time;
    }
    return e->standing == SM_CRL_REVOKED &&
           (o->settled_at == 0 || e->not_after == 0 || e->not_after > o->settled_at);
}

static bool on_entry(void *ctx, sm_slice key, sm_slice value)
{
    struct build *b = ctx;
    struct sm_crl_entry e;
    b->err = sm_crl_entry_unpack(value, &e);
    if (!sm_ok(b->err) || !belongs(b->order, &e)) {
        return sm_ok(b->err);
    }
    sm_buf_reset(&b->one);
    sm_der_block entry = sm_der_begin(&b->one, SM_DER_SEQUENCE);
    sm_der_write_unsigned(&b->one, sm_slice_from(key, b->prefix));
    sm_der_write_time(&b->one, e.changed_at);
    put_entry_extensions(&b->one, e.standing == SM_CRL_RELEASED ? REMOVE_FROM_CRL : e.reason,
                         e.invalidity_date);
    sm_der_end(&b->one, entry);
    b->err = sm_buf_err(&b->one);
    b->err = sm_ok(b->err) ? write_to(b, b->entries, sm_buf_slice(&b->one)) : b->err;
    b->entry_bytes += b->one.len;
    b->count++;
    if (b->entry_bytes > SM_CRL_BYTES_MAX) {
        b->err = SM_ERR(TOO_LARGE);
    }
    return sm_ok(b->err);
}

static sm_err gather(struct build *b)
{
    const struct sm_crl_range range = sm_crl_entries(&b->order->scope);
    b->prefix = range.len;
    SM_TRY(sm_store_scan_sync(b->order->store, SM_FAMILY_OCSP, sm_slice_of(range.from, range.len),
                              sm_slice_of(range.to, range.len), on_entry, b));
    return b->err;
}

/* ---- TBSCertList ---- */

static void put_u64_extension(sm_buf *out, sm_slice oid, bool critical, uint64_t v)
{
    sm_buf value = sm_buf_init(64);
    sm_der_write_u64(&value, v);
    put_extension(out, oid, critical, sm_buf_slice(&value));
    sm_buf_deinit(&value);
}

static void put_freshest(sm_buf *out, sm_slice url)
{
    sm_buf value = sm_buf_init(8192);
    if (url.len > 0 && sm_ok(sm_ext_crl_dp(&value, &url, 1))) {
        put_extension(out, SM_OID_FRESHEST_CRL, false, sm_buf_slice(&value));
    }
    sm_buf_deinit(&value);
}

/* IssuingDistributionPoint ::= SEQUENCE { distributionPoint [0] { fullName [0] { uniformResourceIdentifier [6] ... } } },
 * critical: the same names as in the certificates (RFC 5280 5.2.5). */
static void put_own_urls(sm_buf *out, const struct sm_crl_order *o)
{
    if (o->own_url_count == 0) {
        return;
    }
    sm_buf value = sm_buf_init(1U << 16);
    sm_der_block idp = sm_der_begin(&value, SM_DER_SEQUENCE);
    sm_der_block point = sm_der_begin(&value, SM_DER_CTX_CONS(0));
    sm_der_block names = sm_der_begin(&value, SM_DER_CTX_CONS(0));
    for (size_t i = 0; i < o->own_url_count; i++) {
        sm_der_write(&value, SM_DER_CTX(6), o->own_urls[i]);
    }
    sm_der_end(&value, names);
    sm_der_end(&value, point);
    sm_der_end(&value, idp);
    put_extension(out, SM_OID_ISSUING_DP, true, sm_buf_slice(&value));
    sm_buf_deinit(&value);
}

/* crlExtensions [0]: authorityKeyIdentifier, cRLNumber, deltaCRLIndicator, issuingDistributionPoint, freshestCRL. */
static void put_extensions(sm_buf *out, const struct sm_crl_order *o)
{
    sm_der_block tagged = sm_der_begin(out, SM_DER_CTX_CONS(0));
    sm_der_block list = sm_der_begin(out, SM_DER_SEQUENCE);
    if (o->authority_key_id.len > 0) {
        sm_buf value = sm_buf_init(1024);
        sm_der_block aki = sm_der_begin(&value, SM_DER_SEQUENCE);
        sm_der_write(&value, SM_DER_CTX(0), o->authority_key_id);
        sm_der_end(&value, aki);
        put_extension(out, SM_OID_AUTHORITY_KEY_ID, false, sm_buf_slice(&value));
        sm_buf_deinit(&value);
    }
    put_u64_extension(out, SM_OID_CRL_NUMBER, false, o->number);
    put_own_urls(out, o);
    if (o->is_delta) {
        put_u64_extension(out, SM_OID_DELTA_CRL, true, o->base_number);
    } else {
        put_freshest(out, o->freshest_url);
    }
    sm_der_end(out, list);
    sm_der_end(out, tagged);
}

/* A header alone: its content follows by itself. */
static void put_header(sm_buf *out, uint8_t tag, uint64_t len)
{
    unsigned octets = 0;
    sm_buf_put_byte(out, tag);
    if (len < 128) {
        sm_buf_put_byte(out, (uint8_t)len);
        return;
    }
    while (octets < 8 && len >> (8 * octets) != 0) {
        octets++;
    }
    sm_buf_put_byte(out, (uint8_t)(0x80U | octets));
    while (octets-- > 0) {
        sm_buf_put_byte(out, (uint8_t)(len >> (8 * octets)));
    }
}

static sm_err copy(struct build *b, FILE *from, FILE *to)
{
    uint8_t piece[COPY_BYTES];
    size_t n;
    rewind(from);
    while ((n = fread(piece, 1, sizeof(piece), from)) > 0) {
        SM_TRY(write_to(b, to, sm_slice_of(piece, n)));
    }
    return ferror(from) != 0 ? disk(b) : SM_NO_ERR;
}

/* Everything of the TBSCertList but the entries themselves, in two parts. */
static void write_parts(struct build *b, enum sm_sig_alg alg, sm_buf *before, sm_buf *after)
{
    const struct sm_crl_order *o = b->order;
    sm_der_write_u64(before, 1); /* version 2 */
    sm_buf_put(before, sm_sig_alg_identifier(alg));
    sm_buf_put(before, o->issuer);
    sm_der_write_time(before, o->this_update);
    sm_der_write_time(before, o->next_update);
    if (b->count > 0) { /* RFC 5280 5.1.2.6: absent, not empty */
        put_header(before, SM_DER_SEQUENCE, b->entry_bytes);
    }
    put_extensions(after, o);
}

static sm_err write_tbs(struct build *b, enum sm_sig_alg alg)
{
    sm_buf before = sm_buf_init(1U << 16);
    sm_buf after = sm_buf_init(1U << 16);
    write_parts(b, alg, &before, &after);
    sm_buf_reset(&b->one);
    put_header(&b->one, SM_DER_SEQUENCE, before.len + b->entry_bytes + after.len);
    sm_err err = sm_ok(sm_buf_err(&before)) ? sm_buf_err(&after) : sm_buf_err(&before);
    err = sm_ok(err) ? sm_buf_err(&b->one) : err;
    err = sm_ok(err) ? write_to(b, b->tbs, sm_buf_slice(&b->one)) : err;
    err = sm_ok(err) ? write_to(b, b->tbs, sm_buf_slice(&before)) : err;
    err = sm_ok(err) ? copy(b, b->entries, b->tbs) : err;
    err = sm_ok(err) ? write_to(b, b->tbs, sm_buf_slice(&after)) : err;
    b->tbs_bytes = b->one.len + before.len + b->entry_bytes + after.len;
    sm_buf_deinit(&before);
    sm_buf_deinit(&after);
    return sm_ok(err) && fflush(b->tbs) != 0 ? disk(b) : err;
}

static sm_err sign_tbs(struct build *b, enum sm_sig_alg alg, sm_buf *signature)
{
    void *map = mmap(NULL, b->tbs_bytes, PROT_READ, MAP_SHARED, fileno(b->tbs), 0);
    if (map == MAP_FAILED) {
        return disk(b);
    }
    sm_err err = sm_sign_now(b->order->key, alg, sm_slice_of(map, b->tbs_bytes), signature);
    (void)munmap(map, b->tbs_bytes);
    return err;
}

/* CertificateList ::= SEQUENCE { tbs, algorithm, BIT STRING } */
static sm_err write_crl(struct build *b, enum sm_sig_alg alg, sm_slice signature, uint64_t *bytes)
{
    sm_buf tail = sm_buf_init(16384);
    sm_buf_put(&tail, sm_sig_alg_identifier(alg));
    sm_der_write_bits(&tail, signature);
    sm_buf_reset(&b->one);
    put_header(&b->one, SM_DER_SEQUENCE, b->tbs_bytes + tail.len);
    sm_err err = sm_ok(sm_buf_err(&tail)) ? sm_buf_err(&b->one) : sm_buf_err(&tail);
    err = sm_ok(err) ? write_to(b, b->crl, sm_buf_slice(&b->one)) : err;
    err = sm_ok(err) ? copy(b, b->tbs, b->crl) : err;
    err = sm_ok(err) ? write_to(b, b->crl, sm_buf_slice(&tail)) : err;
    *bytes = b->one.len + b->tbs_bytes + tail.len;
    sm_buf_deinit(&tail);
    SM_TRY(err);
    return fflush(b->crl) != 0 || fsync(fileno(b->crl)) != 0 ? disk(b) : SM_NO_ERR;
}

/* ---- files ---- */

/* A file without a name beside the CRL, or (`named`) the one that is renamed. */
static sm_err open_file(struct build *b, const char *suffix, bool named, FILE **out)
{
    int n = snprintf(b->path, sizeof(b->path), "%s.%s", b->order->path, suffix);
    if (n < 0 || (size_t)n >= sizeof(b->path)) {
        return SM_ERR(TOO_LARGE);
    }
    *out = fopen(b->path, "w+e");
    if (*out == NULL) {
        return disk(b);
    }
    if (!named) {
        (void)unlink(b->path);
    }
    return SM_NO_ERR;
}

static sm_err sync_folder(struct build *b)
{
    char folder[4096];
    (void)snprintf(folder, sizeof(folder), "%s", b->order->path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        return SM_NO_ERR;
    }
    *slash = '\0';
    FILE *f = fopen(folder, "re");
    bool good = f != NULL && fsync(fileno(f)) == 0;
    if (f != NULL) {
        (void)fclose(f);
    }
    return good ? SM_NO_ERR : disk(b);
}

static void close_file(FILE *f)
{
    if (f != NULL) {
        (void)fclose(f);
    }
}

static sm_err run(struct build *b, uint64_t *bytes)
{
    sm_buf signature = sm_buf_init(SM_SIGNATURE_MAX);
    enum sm_sig_alg alg = sm_sig_alg_for(sm_key_get_type(b->order->key), SM_DIGEST_NONE, false);
    SM_TRY(open_file(b, "entries", false, &b->entries));
    SM_TRY(open_file(b, "tbs", false, &b->tbs));
    SM_TRY(open_file(b, "new", true, &b->crl));
    sm_err err = gather(b);
    err = sm_ok(err) ? write_tbs(b, alg) : err;
    err = sm_ok(err) ? sign_tbs(b, alg, &signature) : err;
    err = sm_ok(err) ? write_crl(b, alg, sm_buf_slice(&signature), bytes) : err;
    sm_buf_deinit(&signature);
    if (sm_ok(err) && rename(b->path, b->order->path) != 0) {
        err = disk(b);
    }
    if (!sm_ok(err)) {
        (void)unlink(b->path);
        return err;
    }
    return sync_folder(b);
}

sm_err sm_crl_build(const struct sm_crl_order *order, struct sm_crl_built *out, sm_diag *diag)
{
    struct build b = {.order = order, .diag = diag, .one = sm_buf_init(1U << 16)};
    uint64_t bytes = 0;
    sm_err err = run(&b, &bytes);
    close_file(b.entries);
    close_file(b.tbs);
    close_file(b.crl);
    sm_buf_deinit(&b.one);
    SM_TRY(err);
    *out = (struct sm_crl_built){b.count, bytes};
    return SM_NO_ERR;
}
