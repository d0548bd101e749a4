/* SPDX-License-Identifier: Apache-2.0 */
/* Key objects: finding, describing, making them. */
#include "sign/der.h"
#include "sign/oids.h"
#include "sign/p11_pool_p.h"
#include "sign/pubkey.h"

#include <string.h>

#define VALUE_MAX 1024 /* an RSA-4096 modulus has 512 octets */

/* Whether the session or the token failed, and said nothing of what was asked. */
static bool is_broken(CK_RV rv)
{
    enum p11_trouble trouble = sm_p11_trouble(rv);
    return trouble != P11_FINE && trouble != P11_REQUEST && trouble != P11_UNKNOWN;
}

/* An attribute's value into `room`. `*len` 0: the object has none, or does not show it. */
static CK_RV get(struct sm_token *token, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                 CK_ATTRIBUTE_TYPE type, void *value, CK_ULONG room, CK_ULONG *len)
{
    CK_ATTRIBUTE a = {type, value, room};
    CK_RV rv = P11(token->module, C_GetAttributeValue(session, object, &a, 1));
    bool shown = rv == CKR_OK && a.ulValueLen != CK_UNAVAILABLE_INFORMATION && a.ulValueLen <= room;
    *len = shown ? a.ulValueLen : 0;
    return is_broken(rv) ? rv : CKR_OK;
}

static CK_RV find(struct sm_token *token, CK_SESSION_HANDLE session, CK_ATTRIBUTE *match,
                  CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    CK_OBJECT_HANDLE found[2] = {0, 0};
    CK_ULONG n = 0;
    CK_RV rv = P11(token->module, C_FindObjectsInit(session, match, count));
    if (rv != CKR_OK) {
        return rv;
    }
    rv = P11(token->module, C_FindObjects(session, found, 2, &n));
    (void)P11(token->module, C_FindObjectsFinal(session));
    *out = n == 1 ? found[0] : 0;
    return rv == CKR_OK && n > 1 ? CKR_TEMPLATE_INCONSISTENT : rv;
}

/* What the object does not show counts as what is worst. */
static CK_RV ask(struct sm_token *token, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
                 struct sm_token_says *says)
{
    const struct {
        CK_ATTRIBUTE_TYPE type;
        bool *flag;
    } rows[] = {
        {CKA_SENSITIVE, &says->sensitive},
        {CKA_EXTRACTABLE, &says->extractable},
        {CKA_ALWAYS_SENSITIVE, &says->always_sensitive},
        {CKA_NEVER_EXTRACTABLE, &says->never_extractable},
        {CKA_LOCAL, &says->local},
        {CKA_ALWAYS_AUTHENTICATE, &says->always_authenticate},
    };
    CK_RV rv = CKR_OK;
    *says = (struct sm_token_says){.extractable = true};
    for (size_t i = 0; rv == CKR_OK && i < sizeof(rows) / sizeof(rows[0]); i++) {
        CK_BBOOL flag = CK_FALSE;
        CK_ULONG len;
        rv = get(token, session, key, rows[i].type, &flag, sizeof(flag), &len);
        *rows[i].flag = len > 0 ? flag != CK_FALSE : *rows[i].flag;
    }
    return rv;
}

CK_RV sm_p11_find_key(struct sm_token *token, CK_SESSION_HANDLE session, struct p11_match k,
                      struct p11_found *out)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE match[3] = {{CKA_CLASS, &class, sizeof(class)}};
    CK_ULONG count = 1;
    if (k.id_len > 0) {
        match[count++] = (CK_ATTRIBUTE){CKA_ID, k.id, k.id_len};
    }
    if (k.label[0] != '\0') {
        match[count++] = (CK_ATTRIBUTE){CKA_LABEL, k.label, strlen(k.label)};
    }
    *out = (struct p11_found){.handle = 0};
    CK_RV rv = find(token, session, match, count, &out->handle);
    if (rv == CKR_OK && out->handle == 0 && !sm_p11_is_logged_in(token, session)) {
        return CKR_USER_NOT_LOGGED_IN; /* private objects cannot be seen: it may well be there */
    }
    if (rv == CKR_OK && out->handle != 0) {
        rv = ask(token, session, out->handle, &out->says);
        out->open = out->says.extractable || !out->says.sensitive;
    }
    return rv;
}

/* ---- the public half ---- */

struct reader {
    struct sm_token *token;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE private_key;
    CK_OBJECT_HANDLE public_key; /* 0: there is none */
    CK_RV rv;                    /* the first that says that the token failed */
};

/* From the private object, or else from the public one beside it. */
static bool read_value(struct reader *r, CK_ATTRIBUTE_TYPE type, uint8_t value[VALUE_MAX],
                       sm_slice *out)
{
    const CK_OBJECT_HANDLE objects[] = {r->private_key, r->public_key};
    CK_ULONG len = 0;
    for (size_t i = 0; i < 2 && objects[i] != 0 && len == 0 && r->rv == CKR_OK; i++) {
        r->rv = get(r->token, r->session, objects[i], type, value, VALUE_MAX, &len);
    }
    *out = sm_slice_of(value, len);
    return len > 0;
}

/* The public object has the private one's CKA_ID (PKCS#11 4.8). */
static void find_public(struct reader *r)
{
    uint8_t id[P11_ID_MAX];
    CK_ULONG len = 0;
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_OBJECT_HANDLE found = 0;
    r->rv = get(r->token, r->session, r->private_key, CKA_ID, id, sizeof(id), &len);
    if (len == 0) {
        return;
    }
    CK_ATTRIBUTE match[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_ID, id, len}};
    CK_RV rv = find(r->token, r->session, match, 2, &found);
    r->rv = is_broken(rv) ? rv : r->rv;
    r->public_key = rv == CKR_OK ? found : 0;
}

static void write_rsa(struct reader *r, sm_buf *spki)
{
    uint8_t modulus[VALUE_MAX];
    uint8_t exponent[VALUE_MAX];
    uint8_t body[2 * VALUE_MAX];
    sm_slice n;
    sm_slice e;
    if (!read_value(r, CKA_MODULUS, modulus, &n) ||
        !read_value(r, CKA_PUBLIC_EXPONENT, exponent, &e)) {
        return;
    }
    sm_buf key = sm_buf_init(sizeof(body));
    sm_der_block seq = sm_der_begin(&key, SM_DER_SEQUENCE); /* RSAPublicKey, RFC 3279 2.3.1 */
    sm_der_write_unsigned(&key, n);
    sm_der_write_unsigned(&key, e);
    sm_der_end(&key, seq);
    sm_der_block outer = sm_der_begin(spki, SM_DER_SEQUENCE);
    sm_der_block alg = sm_der_begin(spki, SM_DER_SEQUENCE);
    sm_der_write_oid(spki, SM_OID_RSA_ENCRYPTION);
    sm_der_write_null(spki);
    sm_der_end(spki, alg);
    sm_der_write_bits(spki, sm_buf_slice(&key));
    sm_der_end(spki, outer);
    sm_buf_deinit(&key);
}

/* CKA_EC_POINT is an OCTET STRING with the point (PKCS#11 2.3.3); some modules give it bare. */
static sm_slice unwrap_point(sm_slice value)
{
    sm_der d = sm_der_init(value);
    sm_slice inner = sm_der_read(&d, SM_DER_OCTET_STRING);
    return sm_ok(sm_der_finish(&d)) && inner.len > 0 ? inner : value;
}

static void write_ec(struct reader *r, bool edwards, sm_buf *spki)
{
    uint8_t params_room[VALUE_MAX];
    uint8_t point_room[VALUE_MAX];
    sm_slice params;
    sm_slice point;
    if (!read_value(r, CKA_EC_PARAMS, params_room, &params) ||
        !read_value(r, CKA_EC_POINT, point_room, &point)) {
        return;
    }
    point = unwrap_point(point);
    sm_der_block outer = sm_der_begin(spki, SM_DER_SEQUENCE);
    sm_der_block alg = sm_der_begin(spki, SM_DER_SEQUENCE);
    if (edwards) {
        /* RFC 8410 3: no parameters. The point's length tells the curves apart in every module. */
        sm_der_write_oid(spki, point.len == 57 ? SM_OID_ED448 : SM_OID_ED25519);
    } else {
        sm_der_write_oid(spki, SM_OID_EC_PUBLIC_KEY);
        sm_buf_put(spki, params);
    }
    sm_der_end(spki, alg);
    sm_der_write_bits(spki, point);
    sm_der_end(spki, outer);
}

sm_err sm_p11_read_public(struct sm_token *token, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
                          sm_buf *spki, sm_diag *diag)
{
    CK_KEY_TYPE type = 0;
    CK_ULONG len = 0;
    struct reader r = {.token = token, .session = session, .private_key = key};
    find_public(&r);
    if (r.rv == CKR_OK) {
        r.rv = get(token, session, key, CKA_KEY_TYPE, &type, sizeof(type), &len);
    }
    if (r.rv == CKR_OK && len == 0) {
        return sm_diag_set(diag, SM_ERR(TOKEN), "key_uri", "the token does not say the key's type");
    }
    if (r.rv != CKR_OK) {
        return sm_p11_token_err(r.rv, token, diag);
    }
    if (type == CKK_RSA) {
        write_rsa(&r, spki);
    } else if (type == CKK_EC || type == CKK_EC_EDWARDS) {
        write_ec(&r, type == CKK_EC_EDWARDS, spki);
    } else {
        return sm_diag_set(
            diag, SM_ERR(UNSUPPORTED), "key_uri",
            "the key's type in the token is 0x%lx: RSA, EC and Edwards keys can be used", type);
    }
    if (r.rv != CKR_OK) {
        return sm_p11_token_err(r.rv, token, diag);
    }
    SM_TRY(sm_buf_err(spki));
    struct sm_public_key parsed;
    if (spki->len == 0 || !sm_ok(sm_public_key_parse(sm_buf_slice(spki), &parsed, diag))) {
        return sm_diag_set(
            diag, SM_ERR(UNSUPPORTED), "key_uri",
            "the token shows no public key that can be used (is its public object missing?)");
    }
    return SM_NO_ERR;
}

/* ---- making, and taking back ---- */

static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;

static bool ec_params(enum sm_key_type type, sm_buf *out)
{
    switch (type) {
    case SM_KEY_P256:
        sm_der_write_oid(out, SM_OID_P256);
        return true;
    case SM_KEY_P384:
        sm_der_write_oid(out, SM_OID_P384);
        return true;
    case SM_KEY_P521:
        sm_der_write_oid(out, SM_OID_P521);
        return true;
    case SM_KEY_ED25519: /* as PKCS#11 v3.0's CurveName, which SoftHSM wants too */
        sm_der_write(out, SM_DER_PRINTABLE_STRING, SM_LIT("edwards25519"));
        return true;
    case SM_KEY_ED448:
        sm_der_write(out, SM_DER_PRINTABLE_STRING, SM_LIT("edwards448"));
        return true;
    default:
        return false;
    }
}

static CK_ULONG rsa_bits(enum sm_key_type type)
{
    return type == SM_KEY_RSA_2048   ? 2048
           : type == SM_KEY_RSA_3072 ? 3072
           : type == SM_KEY_RSA_4096 ? 4096
                                     : 0;
}

CK_RV sm_p11_generate(struct sm_token *token, CK_SESSION_HANDLE session, enum sm_key_type type,
                      struct p11_match k)
{
    CK_BYTE exponent[] = {1, 0, 1};
    CK_ULONG bits = rsa_bits(type);
    sm_buf params = sm_buf_init(256);
    bool ec = ec_params(type, &params);
    bool edwards = type == SM_KEY_ED25519 || type == SM_KEY_ED448;
    CK_MECHANISM mechanism = {bits != 0 ? CKM_RSA_PKCS_KEY_PAIR_GEN
                              : edwards ? CKM_EC_EDWARDS_KEY_PAIR_GEN
                                        : CKM_EC_KEY_PAIR_GEN,
                              NULL, 0};
    CK_ATTRIBUTE public[6] = {{CKA_TOKEN, &yes, sizeof(yes)},
                              {CKA_VERIFY, &yes, sizeof(yes)},
                              {CKA_ID, k.id, k.id_len},
                              {CKA_LABEL, k.label, strlen(k.label)}};
    CK_ATTRIBUTE private[] = {
        {CKA_TOKEN, &yes, sizeof(yes)},       {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_SENSITIVE, &yes, sizeof(yes)},   {CKA_EXTRACTABLE, &no, sizeof(no)},
        {CKA_SIGN, &yes, sizeof(yes)},        {CKA_ID, k.id, k.id_len},
        {CKA_LABEL, k.label, strlen(k.label)}};
    CK_ULONG n = 4;
    if (bits != 0) {
        public[n++] = (CK_ATTRIBUTE){CKA_MODULUS_BITS, &bits, sizeof(bits)};
        public[n++] = (CK_ATTRIBUTE){CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent)};
    } else {
        public[n++] = (CK_ATTRIBUTE){CKA_EC_PARAMS, params.ptr, params.len};
    }
    CK_OBJECT_HANDLE handles[2];
    CK_RV rv = CKR_MECHANISM_INVALID;
    if (bits != 0 || ec) {
        rv = P11(token->module,
                 C_GenerateKeyPair(session, &mechanism, public, n, private,
                                   sizeof(private) / sizeof(private[0]), &handles[0], &handles[1]));
    }
    sm_buf_deinit(&params);
    return rv;
}

CK_RV sm_p11_destroy(struct sm_token *token, CK_SESSION_HANDLE session, struct p11_match k)
{
    const CK_OBJECT_CLASS classes[] = {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY};
    CK_RV first = CKR_OK;
    for (size_t i = 0; i < 2; i++) {
        CK_OBJECT_CLASS class = classes[i];
        CK_OBJECT_HANDLE object = 0;
        CK_ATTRIBUTE match[] = {{CKA_CLASS, &class, sizeof(class)},
                                {CKA_ID, k.id, k.id_len},
                                {CKA_LABEL, k.label, strlen(k.label)}};
        CK_RV rv = find(token, session, match, 3, &object);
        if (rv == CKR_OK && object != 0) {
            rv = P11(token->module, C_DestroyObject(session, object));
        }
        first = first == CKR_OK ? rv : first;
    }
    return first;
}
