/* SPDX-License-Identifier: Apache-2.0 */
/* CertificateService: Get and List. */
#include "api/certificate_p.h"
#include "api/indexer.h"
#include "api/record.h"
#include "api/world.h"
#include "base/clock.h"
#include "base/text.h"
#include "sign/der.h"
#include "sign/oids.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000
#define PAGE_BYTES (3U << 20) /* a gRPC client takes 4 MiB, unless it was told otherwise */
#define ROW_MEMORY (4U << 20) /* for looking at one certificate */
#define EXAMINED_MAX 20000 /* index rows that one List looks at before it hands back a page token */

void sm_pseudo_csr_write(sm_buf *out, sm_slice subject, sm_slice spki, sm_slice san_value,
                         enum sm_sig_alg alg)
{
    sm_der_block request = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_block info = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_u64(out, 0);
    sm_buf_put(out, subject);
    sm_buf_put(out, spki);
    sm_der_block attributes = sm_der_begin(out, SM_DER_CTX_CONS(0));
    if (san_value.len > 0) {
        sm_der_block attribute = sm_der_begin(out, SM_DER_SEQUENCE);
        sm_der_write_oid(out, SM_OID_EXTENSION_REQUEST);
        sm_der_block set = sm_der_begin(out, SM_DER_SET);
        sm_der_block list = sm_der_begin(out, SM_DER_SEQUENCE);
        sm_der_block ext = sm_der_begin(out, SM_DER_SEQUENCE);
        sm_der_write_oid(out, SM_OID_SUBJECT_ALT_NAME);
        sm_der_write(out, SM_DER_OCTET_STRING, san_value);
        sm_der_end(out, ext);
        sm_der_end(out, list);
        sm_der_end(out, set);
        sm_der_end(out, attribute);
    }
    sm_der_end(out, attributes);
    sm_der_end(out, info);
    sm_buf_put(out, sm_sig_alg_identifier(alg));
    sm_der_write_bits(out, SM_LIT("\0"));
    sm_der_end(out, request);
}

/* ---- one certificate ---- */

static void describe_state(Sealmill__V1__Certificate *c,
                           const Sealmill__Record__V1__StateRecord *state, sm_arena *arena)
{
    c->state = SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID;
    if (state != NULL && state->state != SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID) {
        c->state = (Sealmill__V1__CertificateState)state->state;
        c->revoked_at = sm_timestamp(arena, state->changed_at);
        c->revocation_reason = (Sealmill__V1__RevocationReason)state->reason;
        if (state->invalidity_date != 0) {
            c->invalidity_date = sm_timestamp(arena, state->invalidity_date);
        }
    } else if (c->not_after != NULL && c->not_after->seconds < sm_clock_wall_s()) {
        c->state = SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_EXPIRED;
    }
}

static sm_err describe_names(Sealmill__V1__Certificate *c, const struct sm_cert *cert,
                             sm_arena *arena)
{
    uint8_t digest[SM_DIGEST_MAX];
    char hex[65];
    sm_buf text = sm_buf_init(65536);
    sm_err err = sm_name_to_text(cert->subject, &text);
    c->subject = sm_text(arena, sm_buf_slice(&text));
    sm_buf_deinit(&text);
    SM_TRY(err);
    SM_TRY(sm_digest_compute(SM_SHA256, cert->spki, digest));
    c->key_sha256 = sm_text(arena, sm_slice_str(sm_hex_format(sm_slice_of(digest, 32), hex)));
    const struct sm_extension *ext = sm_cert_extension(cert, SM_OID_SUBJECT_ALT_NAME);
    struct sm_san *sans;
    size_t count = 0;
    if (ext == NULL || !sm_ok(sm_sans_parse(ext->value, true, arena, &sans, &count, NULL))) {
        return SM_NO_ERR;
    }
    c->sans = sm_arena_alloc(arena, (count + 1) * sizeof(*c->sans));
    for (size_t i = 0; i < count && c->sans != NULL; i++) {
        c->sans[c->n_sans] = sm_san_to_message(&sans[i], arena);
        c->n_sans += c->sans[c->n_sans] != NULL;
    }
    return SM_NO_ERR;
}

static sm_err describe_metadata(Sealmill__V1__Certificate *c,
                                const Sealmill__Record__V1__CertificateRecord *r, sm_arena *arena)
{
    c->metadata = sm_arena_alloc(arena, (r->n_metadata + 1) * sizeof(*c->metadata));
    for (size_t i = 0; i < r->n_metadata && c->metadata != NULL; i++) {
        Sealmill__V1__Certificate__MetadataEntry *e = SM_ARENA_NEW(
            arena, Sealmill__V1__Certificate__MetadataEntry);
        if (e == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        sealmill__v1__certificate__metadata_entry__init(e);
        e->key = r->metadata[i]->key;
        e->value = r->metadata[i]->value;
        c->metadata[c->n_metadata++] = e;
    }
    return SM_NO_ERR;
}

sm_err sm_describe_certificate(sm_call *call, sm_slice serial, bool brief, sm_arena *arena,
                               Sealmill__V1__Certificate **out)
{
    sm_store *store = sm_api_store(sm_api_of(call->loop));
    ProtobufCMessage *m;
    struct sm_cert cert;
    SM_TRY(sm_record_get(store, SM_FAMILY_CERT, serial,
                         &sealmill__record__v1__certificate_record__descriptor, arena, &m));
    const Sealmill__Record__V1__CertificateRecord *r =
        (const Sealmill__Record__V1__CertificateRecord *)(void *)m;
    SM_TRY(sm_cert_parse(sm_slice_of(r->certificate.data, r->certificate.len), &cert, NULL));
    Sealmill__V1__Certificate *c = SM_ARENA_NEW(arena, Sealmill__V1__Certificate);
    char *hex = sm_arena_alloc(arena, 2 * serial.len + 1);
    if (c == NULL || hex == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__certificate__init(c);
    const struct sm_ca *ca = sm_world_ca_by_id(call->world, r->ca_id);
    c->serial = sm_hex_format(serial, hex);
    c->ca = sm_text(arena, ca == NULL ? SM_LIT("?") : sm_slice_str(ca->name));
    c->profile = r->profile;
    if (!brief) {
        c->certificate = r->certificate;
    }
    c->not_before = sm_timestamp(arena, r->not_before);
    c->not_after = sm_timestamp(arena, r->not_after);
    c->issued_at = sm_timestamp(arena, r->issued_at);
    if (c->not_before == NULL || c->not_after == NULL || c->issued_at == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    c->requester = r->requester;
    c->correlation_id = r->correlation_id;
    SM_TRY(describe_names(c, &cert, arena));
    SM_TRY(describe_metadata(c, r, arena));
    sm_err err = sm_record_get(store, SM_FAMILY_STATE, serial,
                               &sealmill__record__v1__state_record__descriptor, arena, &m);
    if (!sm_ok(err) && !sm_err_is(err, SM_E_NOT_FOUND)) {
        return err;
    }
    describe_state(c, sm_ok(err) ? (const Sealmill__Record__V1__StateRecord *)(void *)m : NULL,
                   arena);
    *out = c;
    return SM_NO_ERR;
}

static ProtobufCBinaryData binary(sm_slice s)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } ptr = {s.ptr};
    return (ProtobufCBinaryData){s.len, ptr.out};
}

sm_err sm_work_get(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__GetCertificateRequest *r =
        (const Sealmill__V1__GetCertificateRequest *)(const void *)request;
    Sealmill__V1__Certificate *c;
    sm_slice serial;
    SM_TRY(sm_serial_parse(r->serial, &call->arena, &serial, &call->diag));
    sm_err err = sm_describe_certificate(call, serial, false, &call->arena, &c);
    if (sm_err_is(err, SM_E_NOT_FOUND)) {
        return sm_diag_set(&call->diag, err, "serial",
                           "there is no certificate of this serial number");
    }
    SM_TRY(err);
    const struct sm_ca *ca = sm_world_ca(call->world, c->ca);
    const struct sm_ca_generation *g = ca == NULL ? NULL : sm_ca_current(ca);
    if (g != NULL) {
        c->chain = sm_arena_alloc(&call->arena, (g->chain_count + 1) * sizeof(*c->chain));
        if (c->chain == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        c->chain[c->n_chain++] = binary(g->cert.der);
        for (size_t i = 0; i + 1 < g->chain_count; i++) {
            c->chain[c->n_chain++] = binary(g->chain[i]);
        }
    }
    *response = &c->base;
    return SM_NO_ERR;
}

/* ---- List ---- */

struct listing {
    sm_call *call;
    const Sealmill__V1__ListCertificatesRequest *request;
    sm_slice last_key;
    uint8_t last_key_bytes[SM_INDEX_KEY_MAX + SM_SERIAL_LEN];
    Sealmill__V1__ListCertificatesResponse *response;
    size_t wanted;
    size_t examined;
    size_t bytes; /* of the page */
    sm_arena scratch;
    char key_sha256[65]; /* the filter in lower case without colons; empty: none */
    size_t prefix_len;   /* octets before the serial */
    bool more;
    sm_err err;
};

static bool same(const char *filter, const char *value)
{
    return filter[0] == '\0' || strcmp(filter, value) == 0;
}

static bool has_san(const Sealmill__V1__Certificate *c, const char *want)
{
    for (size_t i = 0; i < c->n_sans; i++) {
        const Sealmill__V1__SubjectAltName *s = c->sans[i];
        const char *text = s->name_case == SEALMILL__V1__SUBJECT_ALT_NAME__NAME_IP      ? s->ip
                           : s->name_case == SEALMILL__V1__SUBJECT_ALT_NAME__NAME_EMAIL ? s->email
                           : s->name_case == SEALMILL__V1__SUBJECT_ALT_NAME__NAME_URI   ? s->uri
                           : s->name_case == SEALMILL__V1__SUBJECT_ALT_NAME__NAME_DNS   ? s->dns
                                                                                        : "";
        if (strcmp(text, want) == 0) {
            return true;
        }
    }
    return false;
}

/* Index rows are hints (hashes may meet, states change): every filter is checked on the
 * certificate itself. */
static bool passes(const struct listing *l, const Sealmill__V1__Certificate *c)
{
    const Sealmill__V1__ListCertificatesRequest *r = l->request;
    return (r->state == 0 || r->state == c->state) && same(r->ca, c->ca) &&
           same(r->profile, c->profile) && same(r->subject, c->subject) &&
           same(l->key_sha256, c->key_sha256) && (r->san[0] == '\0' || has_san(c, r->san)) &&
           (r->expires_after == NULL || c->not_after->seconds >= r->expires_after->seconds) &&
           (r->expires_before == NULL || c->not_after->seconds < r->expires_before->seconds);
}

/* Adds it to the page. Without room for it the page ends before it: it begins the next one. */
static bool add_to_page(struct listing *l, sm_slice serial, const Sealmill__V1__Certificate *c)
{
    size_t size = protobuf_c_message_get_packed_size(&c->base);
    bool first = l->response->n_certificates == 0;
    if (!first && l->bytes + size > PAGE_BYTES) {
        l->more = true;
        return false;
    }
    size_t at = l->response->n_certificates;
    l->err = sm_describe_certificate(l->call, serial, l->request->brief, &l->call->arena,
                                     &l->response->certificates[at]);
    l->response->n_certificates += sm_ok(l->err) ? 1 : 0;
    l->bytes += size;
    return sm_ok(l->err);
}

/* Each row is looked at in memory of its own: those that do not pass leave nothing behind. */
static bool on_row(void *ctx, sm_slice key, sm_slice value)
{
    struct listing *l = ctx;
    (void)value;
    if (key.len <= l->prefix_len || key.len > sizeof(l->last_key_bytes)) {
        return true;
    }
    if (l->response->n_certificates == l->wanted || ++l->examined > EXAMINED_MAX) {
        l->more = true;
        return false;
    }
    Sealmill__V1__Certificate *c;
    sm_slice serial = sm_slice_from(key, l->prefix_len);
    sm_arena_reset(&l->scratch);
    l->err = sm_describe_certificate(l->call, serial, l->request->brief, &l->scratch, &c);
    if (!sm_ok(l->err) || (passes(l, c) && !add_to_page(l, serial, c))) {
        return false;
    }
    memcpy(l->last_key_bytes, key.ptr, key.len);
    l->last_key = sm_slice_of(l->last_key_bytes, key.len);
    return true;
}

/* The index sorts times as numbers without a sign; nothing that we issue ends before 1970. */
static int64_t after_1970(const Google__Protobuf__Timestamp *time)
{
    return time->seconds < 0 ? 0 : time->seconds;
}

/* The most selective index for the filters: key prefix and, for times, an end. */
static sm_err choose_index(struct listing *l, uint8_t from[SM_INDEX_KEY_MAX], size_t *from_len,
                           uint8_t to[SM_INDEX_KEY_MAX], size_t *to_len)
{
    const Sealmill__V1__ListCertificatesRequest *r = l->request;
    uint8_t hash[SM_INDEX_HASH];
    char kind = 'a';
    sm_slice value = SM_SLICE_NONE;
    sm_buf bytes = sm_buf_init(64);
    if (r->key_sha256[0] != '\0') {
        if (!sm_ok(sm_hex_decode(&bytes, sm_slice_str(r->key_sha256), true)) || bytes.len != 32) {
            sm_buf_deinit(&bytes);
            return sm_diag_set(&l->call->diag, SM_ERR(INVALID), "key_sha256",
                               "64 hexadecimal digits are wanted");
        }
        kind = 'k';
        memcpy(hash, bytes.ptr, SM_INDEX_HASH);
        (void)sm_hex_format(sm_buf_slice(&bytes), l->key_sha256);
        value = sm_slice_of(hash, sizeof(hash));
    } else if (r->san[0] != '\0') {
        kind = 'n';
        sm_index_hash(sm_slice_str(r->san), hash);
        value = sm_slice_of(hash, sizeof(hash));
    } else if (r->state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED ||
               r->state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_ON_HOLD) {
        kind = 'r';
    } else if (r->expires_after != NULL || r->expires_before != NULL) {
        kind = 'e';
    }
    sm_buf_deinit(&bytes);
    l->prefix_len = kind == 'e' ? 9 : 1 + value.len;
    *from_len = sm_index_prefix(from, kind, value);
    *to_len = sm_index_prefix(to, kind, value);
    if (kind == 'e' && r->expires_after != NULL) {
        *from_len = sm_index_prefix_time(from, after_1970(r->expires_after));
    }
    if (kind == 'e' && r->expires_before != NULL) {
        *to_len = sm_index_prefix_time(to, after_1970(r->expires_before));
    } else {
        size_t i = *to_len; /* the first key behind all with this prefix */
        while (i > 0 && ++to[i - 1] == 0) {
            i--;
        }
    }
    return SM_NO_ERR;
}

static sm_err run_listing(struct listing *l)
{
    uint8_t from[SM_INDEX_KEY_MAX];
    uint8_t to[SM_INDEX_KEY_MAX];
    size_t from_len = 0;
    size_t to_len = 0;
    SM_TRY(choose_index(l, from, &from_len, to, &to_len));
    sm_slice start = sm_slice_of(from, from_len);
    sm_buf token = sm_buf_init(256);
    sm_err err = SM_NO_ERR;
    if (l->request->page_token[0] != '\0') {
        err = sm_base64_decode(&token, sm_slice_str(l->request->page_token),
                               SM_BASE64_URL | SM_BASE64_NO_PAD);
        if (!sm_ok(err) || token.len < 1 || token.ptr[0] != from[0]) {
            err = sm_diag_set(&l->call->diag, SM_ERR(INVALID), "page_token",
                              "it does not belong to these filters");
        } else {
            sm_buf_put_byte(&token, 0); /* behind the last key */
            start = sm_buf_slice(&token);
        }
    }
    if (sm_ok(err)) {
        err = sm_store_scan_sync(sm_api_store(sm_api_of(l->call->loop)), SM_FAMILY_INDEX, start,
                                 sm_slice_of(to, to_len), on_row, l);
    }
    sm_buf_deinit(&token);
    return sm_ok(err) ? l->err : err;
}

sm_err sm_work_list(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__ListCertificatesRequest *r =
        (const Sealmill__V1__ListCertificatesRequest *)(const void *)request;
    struct listing l = {.call = call, .request = r};
    if (r->page_size < 0 || r->page_size > PAGE_MAX) {
        return sm_diag_set(&call->diag, SM_ERR(OUT_OF_RANGE), "page_size", "1 to %d", PAGE_MAX);
    }
    l.wanted = r->page_size == 0 ? PAGE_DEFAULT : (size_t)r->page_size;
    l.response = SM_ARENA_NEW(&call->arena, Sealmill__V1__ListCertificatesResponse);
    if (l.response == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__list_certificates_response__init(l.response);
    l.response->certificates = sm_arena_alloc(&call->arena,
                                              l.wanted * sizeof(*l.response->certificates));
    if (l.response->certificates == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(sm_index_wait(sm_api_store(sm_api_of(call->loop))));
    sm_arena_init(&l.scratch, ROW_MEMORY);
    sm_err err = run_listing(&l);
    sm_arena_deinit(&l.scratch);
    SM_TRY(err);
    if (l.more) {
        sm_buf token = sm_buf_init(256);
        sm_base64url_encode(&token, l.last_key);
        l.response->next_page_token = sm_text(&call->arena, sm_buf_slice(&token));
        sm_buf_deinit(&token);
    }
    *response = &l.response->base;
    return SM_NO_ERR;
}
