/* SPDX-License-Identifier: Apache-2.0 */
/* CertificateService.List: filters, the rows that they are looked up in, pages. */
#include "api/certificate_p.h"
#include "api/indexer.h"
#include "api/record.h"
#include "base/text.h"
#include "sign/cert.h"

#include <strings.h>

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000         /* a page is built in memory, in CALL_ARENA_CAP */
#define EXAMINED_MAX 20000    /* rows that one List looks at before it hands back a page token */
#define PAGE_BYTES (3U << 20) /* a gRPC client takes 4 MiB, unless it was told otherwise */
#define ROW_MEMORY (4U << 20) /* for looking at one certificate */
#define ALL_KIND 'a'          /* of page tokens: the certificates themselves, by serial */
#define KEY_MAX (SM_INDEX_KEY_MAX + SM_SERIAL_LEN)

struct listing {
    sm_call *call;
    const Sealmill__V1__ListCertificatesRequest *request;
    enum sm_store_family family; /* of the rows that are looked at */
    char kind;                   /* of those in the index; ALL_KIND */
    size_t prefix_len;           /* octets of a key before the serial */
    uint8_t from[KEY_MAX];
    size_t from_len;
    uint8_t to[KEY_MAX];
    size_t to_len;
    uint8_t last_key[KEY_MAX];
    size_t last_key_len;
    Sealmill__V1__ListCertificatesResponse *response;
    size_t wanted;
    size_t examined;
    size_t bytes; /* of the page */
    sm_arena scratch;
    char key_sha256[65]; /* the filter in lower case without colons; empty: none */
    bool more;
    sm_err err;
};

static bool same(const char *filter, const char *value)
{
    return filter[0] == '\0' || strcmp(filter, value) == 0;
}

static bool same_folded(const char *filter, const char *value)
{
    return filter[0] == '\0' || strcasecmp(filter, value) == 0;
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
        if (strcasecmp(text, want) == 0) {
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
           same(r->profile, c->profile) && same_folded(r->subject, c->subject) &&
           same(l->key_sha256, c->key_sha256) && (r->san[0] == '\0' || has_san(c, r->san)) &&
           (r->expires_after == NULL || c->not_after->seconds >= r->expires_after->seconds) &&
           (r->expires_before == NULL || c->not_after->seconds < r->expires_before->seconds);
}

static sm_err describe_row(struct listing *l, sm_slice serial, sm_slice value, sm_arena *arena,
                           Sealmill__V1__Certificate **out)
{
    if (l->family == SM_FAMILY_CERT) {
        return sm_describe_record(l->call, serial, l->request->brief, value, arena, out);
    }
    return sm_describe_certificate(l->call, serial, l->request->brief, arena, out);
}

/* Adds it to the page. Without room for it the page ends before it: it begins the next one. */
static bool add_to_page(struct listing *l, sm_slice serial, sm_slice value,
                        const Sealmill__V1__Certificate *c)
{
    size_t size = protobuf_c_message_get_packed_size(&c->base);
    size_t at = l->response->n_certificates;
    if (at > 0 && l->bytes + size > PAGE_BYTES) {
        l->more = true;
        return false;
    }
    l->err = describe_row(l, serial, value, &l->call->arena, &l->response->certificates[at]);
    l->response->n_certificates += sm_ok(l->err) ? 1 : 0;
    l->bytes += size;
    return sm_ok(l->err);
}

/* Each row is looked at in memory of its own: those that do not pass leave nothing behind. */
static bool on_row(void *ctx, sm_slice key, sm_slice value)
{
    struct listing *l = ctx;
    if (key.len <= l->prefix_len || key.len > sizeof(l->last_key)) {
        return true;
    }
    if (l->response->n_certificates == l->wanted || ++l->examined > EXAMINED_MAX) {
        l->more = true;
        return false;
    }
    Sealmill__V1__Certificate *c;
    sm_slice serial = sm_slice_from(key, l->prefix_len);
    sm_arena_reset(&l->scratch);
    l->err = describe_row(l, serial, value, &l->scratch, &c);
    if (!sm_ok(l->err) || (passes(l, c) && !add_to_page(l, serial, value, c))) {
        return false;
    }
    memcpy(l->last_key, key.ptr, key.len);
    l->last_key_len = key.len;
    return true;
}

/* ---- where to look ---- */

static void use_hash(struct listing *l, char kind, const uint8_t hash[SM_INDEX_HASH])
{
    l->kind = kind;
    l->from_len = sm_index_prefix(l->from, kind, sm_slice_of(hash, SM_INDEX_HASH));
    l->prefix_len = l->from_len;
}

static sm_err use_key(struct listing *l)
{
    sm_buf digest = sm_buf_init(64);
    sm_err err = sm_hex_decode(&digest, sm_slice_str(l->request->key_sha256), true);
    if (sm_ok(err) && digest.len == 32) {
        use_hash(l, 'k', digest.ptr);
        (void)sm_hex_format(sm_buf_slice(&digest), l->key_sha256);
    } else {
        err = sm_diag_set(&l->call->diag, SM_ERR(INVALID), "key_sha256",
                          "64 hexadecimal digits are wanted");
    }
    sm_buf_deinit(&digest);
    return err;
}

static void use_text(struct listing *l, char kind, const char *text)
{
    uint8_t hash[SM_INDEX_HASH];
    sm_index_hash_text(sm_slice_str(text), hash);
    use_hash(l, kind, hash);
}

/* The index sorts times as numbers without a sign; nothing that we issue ends before 1970. */
static int64_t after_1970(const Google__Protobuf__Timestamp *time)
{
    return time->seconds < 0 ? 0 : time->seconds;
}

static void use_times(struct listing *l)
{
    const Sealmill__V1__ListCertificatesRequest *r = l->request;
    l->kind = 'e';
    l->prefix_len = 1 + 8;
    l->from_len = r->expires_after == NULL
                      ? sm_index_prefix(l->from, 'e', SM_SLICE_NONE)
                      : sm_index_prefix_time(l->from, after_1970(r->expires_after));
}

static void use_state(struct listing *l)
{
    l->kind = 'r';
    l->prefix_len = sm_index_prefix(l->from, 'r', SM_SLICE_NONE);
    l->from_len = l->prefix_len;
}

/* The first key behind all that begin as `from` does, or behind the time that is wanted. */
static void find_end(struct listing *l)
{
    if (l->kind == 'e') {
        const Google__Protobuf__Timestamp *before = l->request->expires_before;
        l->to_len = before == NULL ? sm_index_prefix(l->to, 'e' + 1, SM_SLICE_NONE)
                                   : sm_index_prefix_time(l->to, after_1970(before));
        return;
    }
    memcpy(l->to, l->from, l->from_len);
    l->to_len = l->from_len;
    size_t i = l->to_len;
    while (i > 0 && ++l->to[i - 1] == 0) {
        i--;
    }
}

/* The most selective rows for the filters; the certificates themselves when there are none. */
static sm_err choose_rows(struct listing *l)
{
    const Sealmill__V1__ListCertificatesRequest *r = l->request;
    l->family = SM_FAMILY_INDEX;
    if (r->key_sha256[0] != '\0') {
        SM_TRY(use_key(l));
    } else if (r->san[0] != '\0') {
        use_text(l, 'n', r->san);
    } else if (r->subject[0] != '\0') {
        use_text(l, 's', r->subject);
    } else if (r->state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED ||
               r->state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_ON_HOLD) {
        use_state(l);
    } else if (r->expires_after != NULL || r->expires_before != NULL) {
        use_times(l);
    } else {
        l->family = SM_FAMILY_CERT;
        l->kind = ALL_KIND;
        return SM_NO_ERR;
    }
    find_end(l);
    return SM_NO_ERR;
}

/* ---- pages: a token is the kind of the rows and the last key that was looked at ---- */

static sm_err go_on_behind(struct listing *l, sm_slice token)
{
    bool fits = token.len > 1 && token.len < sizeof(l->from) && token.ptr[0] == (uint8_t)l->kind;
    sm_slice key = fits && l->kind == ALL_KIND ? sm_slice_from(token, 1) : token;
    if (!fits || sm_slice_compare(key, sm_slice_of(l->from, l->from_len)) < 0) {
        return sm_diag_set(&l->call->diag, SM_ERR(INVALID), "page_token",
                           "it does not belong to these filters");
    }
    memcpy(l->from, key.ptr, key.len);
    l->from[key.len] = 0; /* the key right behind it */
    l->from_len = key.len + 1;
    return SM_NO_ERR;
}

static sm_err read_token(struct listing *l)
{
    sm_buf token = sm_buf_init(256);
    sm_err err = sm_base64_decode(&token, sm_slice_str(l->request->page_token),
                                  SM_BASE64_URL | SM_BASE64_NO_PAD);
    err = go_on_behind(l, sm_ok(err) ? sm_buf_slice(&token) : SM_SLICE_NONE);
    sm_buf_deinit(&token);
    return err;
}

static void write_token(struct listing *l)
{
    uint8_t kind = ALL_KIND;
    sm_buf key = sm_buf_init(KEY_MAX + 1);
    sm_buf token = sm_buf_init(256);
    sm_buf_put(&key, sm_slice_of(&kind, l->kind == ALL_KIND ? 1 : 0));
    sm_buf_put(&key, sm_slice_of(l->last_key, l->last_key_len));
    sm_base64url_encode(&token, sm_buf_slice(&key));
    l->response->next_page_token = sm_text(&l->call->arena, sm_buf_slice(&token));
    sm_buf_deinit(&key);
    sm_buf_deinit(&token);
}

static sm_err run_listing(struct listing *l)
{
    sm_store *store = sm_api_store(sm_api_of(l->call->loop));
    SM_TRY(choose_rows(l));
    if (l->request->page_token[0] != '\0') {
        SM_TRY(read_token(l));
    }
    if (l->family == SM_FAMILY_INDEX) {
        SM_TRY(sm_index_wait(store));
    }
    SM_TRY(sm_store_scan_sync(store, l->family, sm_slice_of(l->from, l->from_len),
                              sm_slice_of(l->to, l->to_len), on_row, l));
    return l->err;
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
    sm_arena_init(&l.scratch, ROW_MEMORY);
    sm_err err = run_listing(&l);
    sm_arena_deinit(&l.scratch);
    SM_TRY(err);
    if (l.more) {
        write_token(&l);
    }
    *response = &l.response->base;
    return SM_NO_ERR;
}
