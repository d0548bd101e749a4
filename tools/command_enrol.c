/* SPDX-License-Identifier: Apache-2.0 */
/* otp create, list, revoke; hash-password. */
#include "base/clock.h"
#include "base/mem.h"
#include "gen/sealmill/v1/otp.pb-c.h"
#include "sign/password.h"
#include "tools/command_work.h"
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OTP_SERVICE "/sealmill.v1.OtpService/"
#define ENTITIES_MAX 1000

/* ---- otp create ---- */

/* One entity a line of standard input, where no word names any. */
static void read_entities(struct command_work *w, Sealmill__V1__CreateOtpsRequest *r)
{
    char line[512];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] == '\0') {
            continue;
        }
        if (r->n_entity_ids == ENTITIES_MAX) {
            cli_usage("more than %d entities at a time", ENTITIES_MAX);
        }
        r->entity_ids[r->n_entity_ids++] = command_text(w, line);
    }
}

static void fill_create(struct command_work *w, const struct cli_args *args,
                        Sealmill__V1__CreateOtpsRequest *r)
{
    const char *validity = cli_get(args, "validity");
    sealmill__v1__create_otps_request__init(r);
    r->entity_ids = sm_arena_alloc(&w->arena, ENTITIES_MAX * sizeof(*r->entity_ids));
    if (r->entity_ids == NULL) {
        cli_usage("out of memory");
    }
    for (size_t i = 0; i < args->word_count; i++) {
        r->entity_ids[r->n_entity_ids++] = command_text(w, args->words[i]);
    }
    if (args->word_count == 0) {
        read_entities(w, r);
    }
    r->label = command_text(w, cli_get(args, "label"));
    r->profile = command_text(w, cli_get(args, "profile"));
    r->subject = command_text(w, cli_get(args, "subject"));
    r->uses = (uint32_t)cli_number(args, "uses", 1, 1, 1000);
    r->length = (uint32_t)cli_number(args, "length", 0, 0, 64);
    if (validity != NULL &&
        !sm_ok(sm_duration_parse(sm_slice_str(validity), &r->validity_seconds))) {
        cli_usage("--validity wants a duration such as 24h");
    }
}

static int run_create(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__CreateOtpsRequest r;
    ProtobufCMessage *m;
    command_begin(&w, args, true);
    fill_create(&w, args, &r);
    sm_err err = client_call(&w.target, OTP_SERVICE "Create", &r.base,
                             &sealmill__v1__create_otps_response__descriptor, &w.arena, &m,
                             &w.diag);
    if (sm_ok(err) && cli_has(args, "json")) {
        err = client_print_json(m);
    } else if (sm_ok(err)) {
        const Sealmill__V1__CreateOtpsResponse *list =
            (const Sealmill__V1__CreateOtpsResponse *)(void *)m;
        for (size_t i = 0; i < list->n_otps; i++) {
            (void)printf("%s:%s\n", list->otps[i]->otp->entity_id, list->otps[i]->password);
        }
    }
    return command_end(&w, err);
}

static const struct cli_option create_options[] = {
    CLIENT_OPTIONS,
    {"label", "NAME", "For this enrolment label alone"},
    {"profile", "NAME", "For labels that issue this profile alone"},
    {"subject", "NAME", "For requests with this subject alone, such as \"CN=dev7,O=Acme\""},
    {"validity", "DURATION", "Default 24h"},
    {"uses", "N", "How many requests it is good for (default 1)"},
    {"length", "N", "Characters, 16 to 64 (default 24)"},
    {NULL, NULL, NULL},
};

const struct cli_command command_otp_create = {
    "otp create",
    "[ENTITY]",
    "Make one-time passwords for devices; each is shown once, as ENTITY:PASSWORD",
    "  sealmill otp create dev7 --dir ./ca\n"
    "  sealmill otp create --dir ./ca --validity 7d < serial-numbers > passwords\n",
    create_options,
    run_create,
};

/* ---- otp list, revoke ---- */

static void print_otp(const Sealmill__V1__Otp *o)
{
    char until[SM_RFC3339_SIZE];
    (void)printf("%s  %-24s %u of %u used  until %s%s\n", o->id, o->entity_id, o->used, o->uses,
                 sm_clock_format(o->expires_at == NULL ? 0 : o->expires_at->seconds, until),
                 o->revoked ? "  revoked" : "");
}

static int run_list(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__ListOtpsRequest r;
    ProtobufCMessage *m;
    sm_err err;
    command_begin(&w, args, true);
    sealmill__v1__list_otps_request__init(&r);
    r.entity_id = command_text(&w, cli_get(args, "entity"));
    r.page_size = ENTITIES_MAX;
    do {
        err = client_call(&w.target, OTP_SERVICE "List", &r.base,
                          &sealmill__v1__list_otps_response__descriptor, &w.arena, &m, &w.diag);
        if (!sm_ok(err)) {
            break;
        }
        const Sealmill__V1__ListOtpsResponse *page =
            (const Sealmill__V1__ListOtpsResponse *)(void *)m;
        if (cli_has(args, "json")) {
            err = client_print_json(m);
        }
        for (size_t i = 0; i < page->n_otps && !cli_has(args, "json"); i++) {
            print_otp(page->otps[i]);
        }
        r.page_token = page->next_page_token;
    } while (sm_ok(err) && r.page_token[0] != '\0');
    return command_end(&w, err);
}

static const struct cli_option list_options[] = {
    CLIENT_OPTIONS,
    {"entity", "ENTITY", "Of this entity alone"},
    {NULL, NULL, NULL},
};

const struct cli_command command_otp_list = {
    "otp list",
    NULL,
    "List one-time passwords, without the passwords",
    "  sealmill otp list --dir ./ca --entity dev7\n",
    list_options,
    run_list,
};

static int run_revoke(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__RevokeOtpRequest r;
    ProtobufCMessage *m;
    if (args->word_count != 1) {
        cli_usage("an id is needed: otp list shows them");
    }
    command_begin(&w, args, true);
    sealmill__v1__revoke_otp_request__init(&r);
    r.id = command_text(&w, args->words[0]);
    sm_err err = client_call(&w.target, OTP_SERVICE "Revoke", &r.base,
                             &sealmill__v1__revoke_otp_response__descriptor, &w.arena, &m, &w.diag);
    return command_end(&w, err);
}

static const struct cli_option revoke_options[] = {CLIENT_OPTIONS, {NULL, NULL, NULL}};

const struct cli_command command_otp_revoke = {
    "otp revoke",
    "ID",
    "Make a one-time password worthless",
    "  sealmill otp revoke 824bc409d15e15911265a9d16b59da45d7cf2632016e8609 --dir ./ca\n",
    revoke_options,
    run_revoke,
};

/* ---- hash-password ---- */

static int run_hash(struct cli_args *args)
{
    char line[SM_PASSWORD_MAX + 2];
    sm_diag diag = {.reason = ""};
    (void)args;
    if (isatty(STDIN_FILENO)) {
        (void)fprintf(stderr, "password (it is shown as you type): ");
    }
    bool read = fgets(line, sizeof(line), stdin) != NULL;
    size_t len = read ? strcspn(line, "\r\n") : 0;
    if (len == 0 || len > SM_PASSWORD_MAX) {
        sm_wipe(line, sizeof(line));
        cli_usage("a password of at most %d octets is wanted on standard input", SM_PASSWORD_MAX);
    }
    line[len] = '\0';
    sm_buf out = sm_buf_init(512);
    sm_err err = sm_password_hash(sm_slice_str(line), &out);
    sm_wipe(line, sizeof(line));
    if (sm_ok(err)) {
        (void)printf("%.*s\n", (int)out.len, (const char *)out.ptr);
    }
    sm_buf_deinit(&out);
    return sm_ok(err) ? 0 : cli_fail(err, &diag);
}

static const struct cli_option hash_options[] = {{NULL, NULL, NULL}};

const struct cli_command command_hash_password = {
    "hash-password",
    NULL,
    "Print the argon2id hash of a password for enrolment.users",
    "  sealmill hash-password < password\n",
    hash_options,
    run_hash,
};
