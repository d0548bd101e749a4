/* SPDX-License-Identifier: Apache-2.0 */
#include "api/negotiate.h"

#include "base/log.h"
#include "base/mem.h"

#ifdef SM_HAVE_GSSAPI

#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define KEYTAB_FIELD "enrolment.negotiate.keytab_file"
#define SERVICE_FIELD "enrolment.negotiate.service"
#define HTTP_SERVICE "HTTP@"

struct sm_negotiate {
    gss_cred_id_t credential; /* has a lock of its own */
};

static char spnego_oid[] = "\x2b\x06\x01\x05\x05\x02"; /* RFC 4178: 1.3.6.1.5.5.2 */

/* ---- what the library says ---- */

/* The mechanism's words where it has any, else GSSAPI's. */
static const char *explain(OM_uint32 major, OM_uint32 minor, char *to, size_t room)
{
    OM_uint32 ignored;
    OM_uint32 more = 0;
    OM_uint32 routine = GSS_ROUTINE_ERROR(major);
    bool mech = routine == GSS_S_FAILURE || routine == GSS_S_NO_CRED ||
                routine == GSS_S_CRED_UNAVAIL;
    gss_buffer_desc words = GSS_C_EMPTY_BUFFER;
    OM_uint32 rc = gss_display_status(&ignored, mech ? minor : major,
                                      mech ? GSS_C_MECH_CODE : GSS_C_GSS_CODE, gss_mech_krb5, &more,
                                      &words);
    (void)sm_diag_escape(rc == GSS_S_COMPLETE ? sm_slice_of(words.value, words.length)
                                              : SM_LIT("no more is known"),
                         to, room);
    (void)gss_release_buffer(&ignored, &words);
    return to;
}

/* ---- making ---- */

bool sm_negotiate_is_built(void)
{
    return true;
}

/* "HTTP@" and this machine's name where nothing is said. */
static const char *service_of(const Sealmill__Config__V1__Negotiate *config, char *room,
                              size_t size)
{
    if (config->service[0] != '\0') {
        return config->service;
    }
    (void)snprintf(room, size, "%s", HTTP_SERVICE);
    size_t used = sizeof(HTTP_SERVICE) - 1;
    if (gethostname(room + used, size - used) != 0) {
        room[used - 1] = '\0'; /* the library knows a name */
    }
    room[size - 1] = '\0';
    return room;
}

static sm_err import_service(const char *service, gss_name_t *out, sm_diag *diag)
{
    char words[SM_DIAG_REASON_MAX / 2];
    OM_uint32 minor;
    union {
        const char *in;
        void *out;
    } text = {service};
    gss_buffer_desc name = {strlen(service), text.out};
    gss_OID type = strchr(service, '/') != NULL ? GSS_KRB5_NT_PRINCIPAL_NAME
                                                : GSS_C_NT_HOSTBASED_SERVICE;
    OM_uint32 major = gss_import_name(&minor, &name, type, out);
    return major == GSS_S_COMPLETE
               ? SM_NO_ERR
               : sm_diag_set(diag, SM_ERR(INVALID), SERVICE_FIELD, "\"%.80s\": %s", service,
                             explain(major, minor, words, sizeof(words)));
}

/* Mechanisms beside Kerberos may be installed; nobody has asked for them. */
static OM_uint32 acquire(OM_uint32 *minor, gss_name_t name, const char *keytab, gss_cred_id_t *out)
{
    gss_OID_desc oids[] = {*gss_mech_krb5, {sizeof(spnego_oid) - 1, spnego_oid}};
    gss_OID_set_desc both = {2, oids};
    gss_OID_set_desc kerberos = {1, oids};
    gss_key_value_element_desc element = {"keytab", keytab};
    gss_key_value_set_desc store = {1, &element};
    OM_uint32 major = gss_acquire_cred_from(minor, name, GSS_C_INDEFINITE, &both, GSS_C_ACCEPT,
                                            &store, out, NULL, NULL);
    if (major == GSS_S_COMPLETE) {
        major = gss_set_neg_mechs(minor, *out, &kerberos);
    }
    return major;
}

static sm_err make(const Sealmill__Config__V1__Negotiate *config, sm_negotiate *n, sm_diag *diag)
{
    char host[sizeof(HTTP_SERVICE) + HOST_NAME_MAX + 1];
    char keytab[PATH_MAX + sizeof("FILE:")];
    char words[SM_DIAG_REASON_MAX / 2];
    const char *service = service_of(config, host, sizeof(host));
    gss_name_t name = GSS_C_NO_NAME;
    OM_uint32 minor;
    OM_uint32 ignored;
    if (config->keytab_file[0] == '\0') {
        return sm_diag_set(diag, SM_ERR(INVALID), KEYTAB_FIELD, "it is needed: the service's key");
    }
    (void)snprintf(keytab, sizeof(keytab), "FILE:%s", config->keytab_file);
    SM_TRY(import_service(service, &name, diag));
    OM_uint32 major = acquire(&minor, name, keytab, &n->credential);
    (void)gss_release_name(&ignored, &name);
    return major == GSS_S_COMPLETE ? SM_NO_ERR
                                   : sm_diag_set(diag, SM_ERR(INVALID), KEYTAB_FIELD,
                                                 "no key of %.80s is to be had of it: %s", service,
                                                 explain(major, minor, words, sizeof(words)));
}

sm_err sm_negotiate_new(const Sealmill__Config__V1__Negotiate *config, sm_negotiate **out,
                        sm_diag *diag)
{
    sm_negotiate *n = sm_calloc(1, sizeof(*n));
    if (n == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    n->credential = GSS_C_NO_CREDENTIAL;
    sm_err err = make(config, n, diag);
    if (!sm_ok(err)) {
        sm_negotiate_free(&n);
        return err;
    }
    *out = n;
    return SM_NO_ERR;
}

void sm_negotiate_free(sm_negotiate **n)
{
    OM_uint32 minor;
    if (*n != NULL) {
        (void)gss_release_cred(&minor, &(*n)->credential);
        sm_free(*n);
        *n = NULL;
    }
}

/* ---- one token ---- */

struct acceptance {
    gss_ctx_id_t context;
    gss_name_t client;
    gss_buffer_desc answer;
    OM_uint32 flags;
};

/* RFC 5929 4: "tls-server-end-point:" and the hash. */
static void bind_to(sm_slice end_point, uint8_t *room, size_t size,
                    struct gss_channel_bindings_struct *out)
{
    static const char prefix[] = "tls-server-end-point:";
    size_t len = sizeof(prefix) - 1;
    size_t hash = end_point.len < size - len ? end_point.len : size - len;
    memcpy(room, prefix, len);
    memcpy(room + len, end_point.ptr, hash);
    *out = (struct gss_channel_bindings_struct){.application_data = {len + hash, room}};
}

static OM_uint32 accept_token(const sm_negotiate *n, sm_slice token, sm_slice end_point,
                              struct acceptance *a, OM_uint32 *minor)
{
    uint8_t room[128];
    struct gss_channel_bindings_struct bindings;
    union {
        const uint8_t *in;
        void *out;
    } octets = {token.ptr};
    gss_buffer_desc in = {token.len, octets.out};
    if (end_point.len > 0) {
        bind_to(end_point, room, sizeof(room), &bindings);
    }
    return gss_accept_sec_context(minor, &a->context, n->credential, &in,
                                  end_point.len > 0 ? &bindings : GSS_C_NO_CHANNEL_BINDINGS,
                                  &a->client, NULL, &a->answer, &a->flags, NULL, NULL);
}

static const char *reason_for(OM_uint32 major)
{
    switch (GSS_ROUTINE_ERROR(major)) {
    case GSS_S_COMPLETE:
        return "it needs more than one token, and one alone is taken";
    case GSS_S_DEFECTIVE_TOKEN:
    case GSS_S_BAD_MECH:
        return "it is no token of Kerberos, or of SPNEGO with Kerberos";
    case GSS_S_BAD_BINDINGS:
        return "the token is bound to another connection";
    case GSS_S_CREDENTIALS_EXPIRED:
        return "the ticket has expired";
    default:
        return "the ticket is not taken";
    }
}

/* What the library says of our keytab, our clock and our principals is for the log. */
static sm_err refuse(OM_uint32 major, OM_uint32 minor, sm_diag *diag)
{
    char words[SM_DIAG_REASON_MAX];
    sm_log(SM_LOG_INFO, "negotiate_refused",
           SM_KS("reason", explain(major, minor, words, sizeof(words))), SM_KEND);
    return sm_diag_set(diag, SM_ERR(UNAUTHENTICATED), "authorization", "%s", reason_for(major));
}

static sm_err name_text(gss_name_t name, sm_arena *arena, sm_slice *out, gss_OID *type)
{
    OM_uint32 minor;
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    if (gss_display_name(&minor, name, &text, type) != GSS_S_COMPLETE) {
        return SM_ERR(NO_MEMORY);
    }
    sm_err err = sm_arena_copy(arena, sm_slice_of(text.value, text.length), out);
    (void)gss_release_buffer(&minor, &text);
    return err;
}

static sm_err service_text(gss_ctx_id_t context, sm_arena *arena, sm_slice *out)
{
    OM_uint32 minor;
    gss_name_t service = GSS_C_NO_NAME;
    if (gss_inquire_context(&minor, context, NULL, &service, NULL, NULL, NULL, NULL, NULL) !=
            GSS_S_COMPLETE ||
        service == GSS_C_NO_NAME) {
        return SM_ERR(NO_MEMORY);
    }
    sm_err err = name_text(service, arena, out, NULL);
    (void)gss_release_name(&minor, &service);
    return err;
}

static sm_err take(const struct acceptance *a, sm_arena *arena, struct sm_negotiated *out,
                   sm_diag *diag)
{
    gss_OID type = GSS_C_NO_OID;
    sm_slice answer = sm_slice_of(a->answer.value, a->answer.length);
    struct sm_negotiated found = {.answer = SM_SLICE_NONE};
    SM_TRY(name_text(a->client, arena, &found.principal, &type));
    if ((a->flags & GSS_C_ANON_FLAG) != 0 || type == GSS_C_NO_OID ||
        !gss_oid_equal(type, GSS_KRB5_NT_PRINCIPAL_NAME)) {
        return sm_diag_set(diag, SM_ERR(UNAUTHENTICATED), "authorization",
                           "the ticket says nothing of who has it");
    }
    SM_TRY(service_text(a->context, arena, &found.service));
    if (answer.len <= SM_NEGOTIATE_ANSWER_MAX) {
        SM_TRY(sm_arena_copy(arena, answer, &found.answer));
    }
    *out = found;
    return SM_NO_ERR;
}

sm_err sm_negotiate_accept(const sm_negotiate *n, sm_slice token, sm_slice end_point,
                           sm_arena *arena, struct sm_negotiated *out, sm_diag *diag)
{
    OM_uint32 minor = 0;
    OM_uint32 ignored;
    struct acceptance a = {.context = GSS_C_NO_CONTEXT, .client = GSS_C_NO_NAME};
    OM_uint32 major = accept_token(n, token, end_point, &a, &minor);
    sm_err err = major == GSS_S_COMPLETE ? take(&a, arena, out, diag) : refuse(major, minor, diag);
    (void)gss_release_buffer(&ignored, &a.answer);
    (void)gss_release_name(&ignored, &a.client);
    (void)gss_delete_sec_context(&ignored, &a.context, GSS_C_NO_BUFFER);
    return err;
}

#else

bool sm_negotiate_is_built(void)
{
    return false;
}

sm_err sm_negotiate_new(const Sealmill__Config__V1__Negotiate *config, sm_negotiate **out,
                        sm_diag *diag)
{
    (void)config;
    (void)out;
    return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "enrolment.negotiate",
                       "this program was built without GSSAPI (libkrb5-dev)");
}

void sm_negotiate_free(sm_negotiate **n)
{
    (void)n;
}

sm_err sm_negotiate_accept(const sm_negotiate *n, sm_slice token, sm_slice end_point,
                           sm_arena *arena, struct sm_negotiated *out, sm_diag *diag)
{
    (void)n;
    (void)token;
    (void)end_point;
    (void)arena;
    (void)out;
    return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "authorization",
                       "this program was built without GSSAPI");
}

#endif
