/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that are one call each: CAs' rollover and state, profiles, tokens, keys and
 * signatures, the audit. They print the answer as JSON. */
#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "gen/sealmill/v1/ca.pb-c.h"
#include "gen/sealmill/v1/caller.pb-c.h"
#include "gen/sealmill/v1/profile.pb-c.h"
#include "gen/sealmill/v1/signing.pb-c.h"
#include "proto/message.h"
#include "tools/client.h"
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>

#define INPUT_MAX (1U << 20) /* SigningService's own limit */

/* An option or the word of the command, and the request's field that it sets. */
struct setter {
    const char *option; /* NULL: the word */
    const char *field;
    enum { AS_TEXT, AS_DURATION, AS_SWITCH } how;
};

struct rpc {
    const char *path;
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    const char *word; /* what the one word is; NULL: none */
    const struct setter *setters;
};

struct work {
    const struct cli_args *args;
    const struct rpc *rpc;
    sm_arena arena;
    sm_diag diag;
    ProtobufCMessage *request;
};

static sm_err set_one(struct work *w, const struct setter *s, const char *value)
{
    char number[24];
    int64_t seconds;
    if (s->how == AS_DURATION) {
        if (!sm_ok(sm_duration_parse(sm_slice_str(value), &seconds))) {
            cli_usage("--%s: \"%s\" is not a duration such as 90d", s->option, value);
        }
        (void)snprintf(number, sizeof(number), "%lld", (long long)seconds);
        value = number;
    }
    return sm_message_set_text(w->request, sm_slice_str(s->field), sm_slice_str(value), &w->arena,
                               &w->diag);
}

static sm_err set_all(struct work *w)
{
    for (const struct setter *s = w->rpc->setters; s != NULL && s->field != NULL; s++) {
        if (s->option == NULL) {
            SM_TRY(set_one(w, s, w->args->words[0]));
        } else if (s->how == AS_SWITCH) {
            SM_TRY(cli_has(w->args, s->option) ? set_one(w, s, "true") : SM_NO_ERR);
        } else {
            for (size_t i = 0; i < cli_count(w->args, s->option); i++) {
                SM_TRY(set_one(w, s, cli_at(w->args, s->option, i)));
            }
        }
    }
    return SM_NO_ERR;
}

/* Checks the words and makes the empty request. */
static sm_err begin(struct work *w, const struct cli_args *args, const struct rpc *rpc)
{
    *w = (struct work){.args = args, .rpc = rpc};
    if (args->word_count != (rpc->word == NULL ? 0U : 1U)) {
        cli_usage(rpc->word == NULL ? "the command takes no word%s" : "%s is needed",
                  rpc->word == NULL ? "" : rpc->word);
    }
    sm_arena_init(&w->arena, 64U << 20);
    SM_TRY(sm_message_unpack(rpc->request, SM_SLICE_NONE, &w->arena, &w->request));
    return set_all(w);
}

static sm_err call(struct work *w, ProtobufCMessage **answer)
{
    struct client_target target;
    client_target_from(w->args, true, &target);
    return client_call(&target, w->rpc->path, w->request, w->rpc->response, &w->arena, answer,
                       &w->diag);
}

static int end(struct work *w, sm_err err)
{
    int rc = sm_ok(err) ? 0 : cli_fail(err, &w->diag);
    sm_arena_deinit(&w->arena);
    return rc;
}

static int run(const struct cli_args *args, const struct rpc *rpc)
{
    struct work w;
    ProtobufCMessage *answer;
    sm_err err = begin(&w, args, rpc);
    err = sm_ok(err) ? call(&w, &answer) : err;
    err = sm_ok(err) ? client_print_json(answer) : err;
    return end(&w, err);
}

/* A command's call: its setters are id_setters, its function run_id. */
#define OPTIONS(...)                               \
    {                                              \
        CLIENT_OPTIONS, __VA_ARGS__ __VA_OPT__(, ) \
        {                                          \
            NULL, NULL, NULL                       \
        }                                          \
    }
#define RPC(id, full_path, in, out, what)                                                        \
    static const struct rpc id##_rpc = {full_path, &sealmill__v1__##in##__descriptor,            \
                                        &sealmill__v1__##out##__descriptor, what, id##_setters}; \
    static int run_##id(struct cli_args *args)                                                   \
    {                                                                                            \
        return run(args, &id##_rpc);                                                             \
    }

#define CA_SERVICE "/sealmill.v1.CaService/"
#define PROFILE_SERVICE "/sealmill.v1.ProfileService/"
#define CALLER_SERVICE "/sealmill.v1.CallerService/"
#define SIGNING_SERVICE "/sealmill.v1.SigningService/"

static const struct cli_option plain_options[] = OPTIONS();
static const struct setter name_setters[] = {{NULL, "name", AS_TEXT}, {NULL, NULL, AS_TEXT}};

/* ---- CAs ---- */

static const struct setter ca_rollover_setters[] = {
    {NULL, "name", AS_TEXT},         {"key-type", "key_type", AS_TEXT},
    {"key-uri", "key_uri", AS_TEXT}, {"validity", "validity_seconds", AS_DURATION},
    {NULL, NULL, AS_TEXT},
};
RPC(ca_rollover, CA_SERVICE "Rollover", rollover_ca_request, ca, "a CA's name")
static const struct cli_option ca_rollover_options[] = OPTIONS(
    {"key-type", "TYPE",
     "As for ca create, in words of the API: KEY_TYPE_EC_P384 (default: as before)"},
    {"key-uri", "URI", "Where the new key is made"},
    {"validity", "DURATION", "Default: as before"});
const struct cli_command command_ca_rollover = {
    "ca rollover",
    "NAME",
    "Give a CA a new key and certificate; the old ones keep serving status",
    "  sealmill ca rollover issuing --dir ./ca\n",
    ca_rollover_options,
    run_ca_rollover,
};

#define ca_disable_setters name_setters
RPC(ca_disable, CA_SERVICE "Disable", disable_ca_request, ca, "a CA's name")
const struct cli_command command_ca_disable = {
    "ca disable",
    "NAME",
    "Stop a CA from issuing; OCSP goes on",
    "  sealmill ca disable issuing --dir ./ca\n",
    plain_options,
    run_ca_disable,
};

#define ca_enable_setters name_setters
RPC(ca_enable, CA_SERVICE "Enable", enable_ca_request, ca, "a CA's name")
const struct cli_command command_ca_enable = {
    "ca enable",
    "NAME",
    "Let a disabled CA issue again",
    "  sealmill ca enable issuing --dir ./ca\n",
    plain_options,
    run_ca_enable,
};

/* ---- profiles ---- */

#define profile_list_setters NULL
RPC(profile_list, PROFILE_SERVICE "List", list_profiles_request, list_profiles_response, NULL)
const struct cli_command command_profile_list = {
    "profile list",      NULL,
    "List the profiles", "  sealmill profile list --dir ./ca\n",
    plain_options,       run_profile_list,
};

#define profile_show_setters name_setters
RPC(profile_show, PROFILE_SERVICE "Get", get_profile_request, profile, "a profile's name")
const struct cli_command command_profile_show = {
    "profile show",     "NAME",
    "Show one profile", "  sealmill profile show device --dir ./ca\n",
    plain_options,      run_profile_show,
};

#define profile_delete_setters name_setters
RPC(profile_delete, PROFILE_SERVICE "Delete", delete_profile_request, delete_profile_response,
    "a profile's name")
const struct cli_command command_profile_delete = {
    "profile delete",
    "NAME",
    "Delete a profile that was put",
    "  sealmill profile delete tls --dir ./ca\n",
    plain_options,
    run_profile_delete,
};

#define profile_put_setters name_setters
static const struct rpc profile_put_rpc = {
    PROFILE_SERVICE "Put", &sealmill__v1__put_profile_request__descriptor,
    &sealmill__v1__profile__descriptor, "a profile's name", profile_put_setters};

/* YAML, as in the configuration file. */
static sm_err read_profile(struct work *w, const char *path)
{
    ProtobufCMessage *m;
    sm_buf text = sm_buf_init(INPUT_MAX);
    sm_err err = sm_file_read(path, &text, &w->diag);
    err = sm_ok(err) ? sm_message_from_yaml(&sealmill__v1__profile__descriptor, sm_buf_slice(&text),
                                            &w->arena, &m, &w->diag)
                     : err;
    sm_buf_deinit(&text);
    SM_TRY(err);
    ((Sealmill__V1__PutProfileRequest *)(void *)w->request)->profile =
        (Sealmill__V1__Profile *)(void *)m;
    return SM_NO_ERR;
}

static int run_profile_put(struct cli_args *args)
{
    struct work w;
    ProtobufCMessage *answer;
    if (cli_get(args, "file") == NULL) {
        cli_usage("--file is needed: the profile as YAML, as in the configuration");
    }
    sm_err err = begin(&w, args, &profile_put_rpc);
    err = sm_ok(err) ? read_profile(&w, cli_get(args, "file")) : err;
    err = sm_ok(err) ? call(&w, &answer) : err;
    err = sm_ok(err) ? client_print_json(answer) : err;
    return end(&w, err);
}

static const struct cli_option profile_put_options[] = OPTIONS(
    {"file", "FILE", "The profile as YAML, as in the configuration"});
const struct cli_command command_profile_put = {
    "profile put",
    "NAME",
    "Make or replace a profile",
    "  sealmill profile put tls --dir ./ca --file tls.yaml\n",
    profile_put_options,
    run_profile_put,
};

/* ---- tokens, audit ---- */

#define token_list_setters NULL
RPC(token_list, CALLER_SERVICE "ListTokens", list_tokens_request, list_tokens_response, NULL)
const struct cli_command command_token_list = {
    "token list",
    NULL,
    "List the bearer tokens (not their secrets)",
    "  sealmill token list --dir ./ca\n",
    plain_options,
    run_token_list,
};

static const struct setter token_revoke_setters[] = {{NULL, "id", AS_TEXT}, {NULL, NULL, AS_TEXT}};
RPC(token_revoke, CALLER_SERVICE "RevokeToken", revoke_token_request, revoke_token_response,
    "a token's id")
const struct cli_command command_token_revoke = {
    "token revoke",
    "ID",
    "Revoke a bearer token at once",
    "  sealmill token revoke 5f3a... --dir ./ca\n",
    plain_options,
    run_token_revoke,
};

#define whoami_setters NULL
RPC(whoami, CALLER_SERVICE "WhoAmI", who_am_irequest, who_am_iresponse, NULL)
const struct cli_command command_whoami = {
    "whoami",
    NULL,
    "Show how the server knows this identity, and its grants",
    "  sealmill whoami --dir ./ca\n",
    plain_options,
    run_whoami,
};

static const struct setter audit_setters[] = {
    {"after", "after_sequence", AS_TEXT}, {"limit", "page_size", AS_TEXT}, {NULL, NULL, AS_TEXT}};
RPC(audit, CALLER_SERVICE "ListAudit", list_audit_request, list_audit_response, NULL)
static const struct cli_option audit_options[] = OPTIONS(
    {"after", "N", "Records behind this sequence number"},
    {"limit", "N", "At most so many (default 100)"});
const struct cli_command command_audit = {
    "audit",
    NULL,
    "Show audit records",
    "  sealmill audit --dir ./ca --after 0 --limit 20\n",
    audit_options,
    run_audit,
};

/* ---- keys ---- */

#define key_list_setters NULL
RPC(key_list, SIGNING_SERVICE "ListKeys", list_keys_request, list_keys_response, NULL)
const struct cli_command command_key_list = {
    "key list",    NULL,         "List the signing keys", "  sealmill key list --dir ./ca\n",
    plain_options, run_key_list,
};

static const struct setter key_create_setters[] = {
    {NULL, "key.name", AS_TEXT},
    {"key-type", "key.key_type", AS_TEXT},
    {"key-uri", "key.key_uri", AS_TEXT},
    {"signer", "key.signers", AS_TEXT},
    {"digest", "key.digest_algorithms", AS_TEXT},
    {"padding", "key.rsa_padding", AS_TEXT},
    {"rate", "key.rate_per_second", AS_TEXT},
    {NULL, NULL, AS_TEXT},
};
RPC(key_create, SIGNING_SERVICE "CreateKey", create_key_request, signing_key, "the key's name")
static const struct cli_option key_create_options[] = OPTIONS(
    {"key-type", "TYPE",
     "KEY_TYPE_EC_P256 (default), KEY_TYPE_EC_P384, KEY_TYPE_RSA_2048, KEY_TYPE_ED25519, ..."},
    {"key-uri", "URI", "Where the key is made (default file:key-NAME)"},
    {"signer", "NAME", "A caller that may sign with it; may be repeated"},
    {"digest", "ALGORITHM", "DIGEST_ALGORITHM_SHA256, ...: those allowed; may be repeated"},
    {"padding", "PADDING", "RSA_PADDING_PKCS1 or RSA_PADDING_PSS: an RSA key's only one"},
    {"rate", "N", "Signatures a second (default: no limit)"});
const struct cli_command command_key_create = {
    "key create",
    "NAME",
    "Make a key for raw signatures",
    "  sealmill key create firmware --dir ./ca --signer ra --rate 10\n",
    key_create_options,
    run_key_create,
};

static const struct setter sign_setters[] = {{NULL, "key", AS_TEXT},
                                             {"digest", "digest_algorithm", AS_TEXT},
                                             {"pss", "rsa_pss", AS_SWITCH},
                                             {NULL, NULL, AS_TEXT}};
static const struct rpc sign_rpc = {SIGNING_SERVICE "Sign", &sealmill__v1__sign_request__descriptor,
                                    &sealmill__v1__sign_response__descriptor, "a key's name",
                                    sign_setters};

static sm_err sign(struct work *w, sm_buf *data)
{
    Sealmill__V1__SignRequest *r = (Sealmill__V1__SignRequest *)(void *)w->request;
    ProtobufCMessage *answer;
    SM_TRY(sm_file_read(cli_get(w->args, "in"), data, &w->diag));
    r->input_case = SEALMILL__V1__SIGN_REQUEST__INPUT_DATA;
    r->data.data = data->ptr;
    r->data.len = data->len;
    SM_TRY(call(w, &answer));
    const Sealmill__V1__SignResponse *s = (const Sealmill__V1__SignResponse *)(void *)answer;
    if (cli_has(w->args, "json")) {
        return client_print_json(answer);
    }
    return sm_file_write_atomic(cli_get(w->args, "out"),
                                sm_slice_of(s->signature.data, s->signature.len), 0644, &w->diag);
}

static int run_sign(struct cli_args *args)
{
    struct work w;
    if (cli_get(args, "in") == NULL || (cli_get(args, "out") == NULL && !cli_has(args, "json"))) {
        cli_usage("--in FILE and --out FILE (or --json) are needed");
    }
    sm_buf data = sm_buf_init(INPUT_MAX);
    sm_err err = begin(&w, args, &sign_rpc);
    err = sm_ok(err) ? sign(&w, &data) : err;
    sm_buf_deinit(&data);
    return end(&w, err);
}

static const struct cli_option sign_options[] = OPTIONS(
    {"in", "FILE", "The data; at most 1 MiB"},
    {"out", "FILE", "Where the raw signature goes (ECDSA: DER)"},
    {"digest", "ALGORITHM", "DIGEST_ALGORITHM_SHA256, ... (default: the key's usual one)"},
    {"pss", NULL, "RSA: PSS instead of PKCS#1 v1.5"});
const struct cli_command command_sign = {
    "sign",
    "KEY",
    "Sign a file with a named key",
    "  sealmill sign firmware --dir ./ca --in image.bin --out image.sig\n",
    sign_options,
    run_sign,
};
