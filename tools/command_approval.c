/* SPDX-License-Identifier: Apache-2.0 */
/* approval list, show, approve, deny, edit. */
#include "base/clock.h"
#include "gen/sealmill/v1/approval.pb-c.h"
#include "proto/message.h"
#include "sign/alg.h"
#include "tools/command_work.h"
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>

#define APPROVAL_SERVICE "/sealmill.v1.ApprovalService/"
#define PAGE 1000

static const char *word_of(Sealmill__V1__ApprovalState state)
{
    static const char *const words[] = {"", "pending", "approved", "denied", "issued", "expired"};
    return (size_t)state < sizeof(words) / sizeof(words[0]) ? words[state] : "?";
}

static const char *time_of(const Google__Protobuf__Timestamp *t, char text[SM_RFC3339_SIZE])
{
    return sm_clock_format(t == NULL ? 0 : t->seconds, text);
}

/* ---- list ---- */

static void print_line(const Sealmill__V1__Approval *a)
{
    char created[SM_RFC3339_SIZE];
    (void)printf("%s  %-8s  %s  %-12s %-20s %s\n", a->id, word_of(a->state),
                 time_of(a->created_at, created), a->label[0] == '\0' ? "-" : a->label,
                 a->requester, a->subject);
}

static int run_list(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__ListApprovalsRequest r;
    ProtobufCMessage *m;
    const char *state = cli_get(args, "state");
    command_begin(&w, args, true);
    sealmill__v1__list_approvals_request__init(&r);
    r.label = command_text(&w, cli_get(args, "label"));
    r.page_size = PAGE;
    sm_err err = state == NULL ? SM_NO_ERR
                               : sm_message_set_text(&r.base, SM_LIT("state"), sm_slice_str(state),
                                                     &w.arena, &w.diag);
    while (sm_ok(err)) {
        err = client_call(&w.target, APPROVAL_SERVICE "List", &r.base,
                          &sealmill__v1__list_approvals_response__descriptor, &w.arena, &m,
                          &w.diag);
        if (!sm_ok(err)) {
            break;
        }
        const Sealmill__V1__ListApprovalsResponse *page =
            (const Sealmill__V1__ListApprovalsResponse *)(void *)m;
        if (cli_has(args, "json")) {
            err = client_print_json(m);
        }
        for (size_t i = 0; i < page->n_approvals && !cli_has(args, "json"); i++) {
            print_line(page->approvals[i]);
        }
        r.page_token = page->next_page_token;
        if (r.page_token[0] == '\0') {
            break;
        }
    }
    return command_end(&w, err);
}

static const struct cli_option list_options[] = {
    CLIENT_OPTIONS,
    {"label", "NAME", "Of this enrolment label alone"},
    {"state", "STATE", "pending, approved, denied, issued or expired"},
    {NULL, NULL, NULL},
};

const struct cli_command command_approval_list = {
    "approval list",
    NULL,
    "List requests that wait, or waited, for a person",
    "  sealmill approval list --dir ./ca --state pending\n",
    list_options,
    run_list,
};

/* ---- show ---- */

static void print_sans(const Sealmill__V1__Approval *a)
{
    for (size_t i = 0; i < a->n_sans; i++) {
        const Sealmill__V1__SubjectAltName *s = a->sans[i];
        switch (s->name_case) {
        case SEALMILL__V1__SUBJECT_ALT_NAME__NAME_DNS:
            (void)printf("san         dns:%s\n", s->dns);
            break;
        case SEALMILL__V1__SUBJECT_ALT_NAME__NAME_EMAIL:
            (void)printf("san         email:%s\n", s->email);
            break;
        case SEALMILL__V1__SUBJECT_ALT_NAME__NAME_URI:
            (void)printf("san         uri:%s\n", s->uri);
            break;
        case SEALMILL__V1__SUBJECT_ALT_NAME__NAME_IP:
            (void)printf("san         ip:%s\n", s->ip);
            break;
        default:
            (void)printf("san         of another type: --json shows it\n");
        }
    }
}

static void print_text(const char *name, const char *value)
{
    if (value[0] != '\0') {
        (void)printf("%-11s %s\n", name, value);
    }
}

static void print_decision(const Sealmill__V1__Approval *a)
{
    char text[SM_RFC3339_SIZE];
    if (a->decided_at != NULL) {
        (void)printf("%-11s %s by %s\n", "decided", time_of(a->decided_at, text), a->decided_by);
    }
    print_text("reason", a->reason);
    print_text("serial", a->serial);
}

static void print_whole(const Sealmill__V1__Approval *a)
{
    char text[SM_RFC3339_SIZE];
    print_text("id", a->id);
    (void)printf("%-11s %s%s\n", "state", word_of(a->state), a->edited ? ", edited" : "");
    print_text("label", a->label);
    print_text("ca", a->ca);
    print_text("profile", a->profile);
    (void)printf("%-11s %s from %s\n", "requester", a->requester, a->address);
    print_text("subject", a->subject);
    print_sans(a);
    if (a->validity_seconds != 0) {
        (void)printf("%-11s %lld s\n", "validity", (long long)a->validity_seconds);
    }
    (void)printf("%-11s %s, SHA-256 %s\n", "key", sm_key_type_name((enum sm_key_type)a->key_type),
                 a->key_sha256);
    print_text("renews", a->renews);
    (void)printf("%-11s %s\n", "created", time_of(a->created_at, text));
    (void)printf("%-11s %s\n", "expires", time_of(a->expires_at, text));
    print_decision(a);
}

/* Calls with a request that has an id, and prints the Approval that comes. */
static int call_and_show(struct command_work *w, const char *path, const ProtobufCMessage *request)
{
    ProtobufCMessage *m;
    sm_err err = client_call(&w->target, path, request, &sealmill__v1__approval__descriptor,
                             &w->arena, &m, &w->diag);
    if (sm_ok(err) && cli_has(w->args, "json")) {
        err = client_print_json(m);
    } else if (sm_ok(err)) {
        print_whole((const Sealmill__V1__Approval *)(void *)m);
    }
    return command_end(w, err);
}

static int run_show(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__GetApprovalRequest r;
    command_begin(&w, args, true);
    sealmill__v1__get_approval_request__init(&r);
    r.id = command_word(&w, "an id: approval list shows them");
    return call_and_show(&w, APPROVAL_SERVICE "Get", &r.base);
}

static const struct cli_option show_options[] = {CLIENT_OPTIONS, {NULL, NULL, NULL}};

const struct cli_command command_approval_show = {
    "approval show",
    "ID",
    "Show a request that waits for a person; with its CSR in --json",
    "  sealmill approval show 824bc409d15e15911265a9d16b59da45d7cf2632016e8609 --dir ./ca\n",
    show_options,
    run_show,
};

/* ---- approve, deny ---- */

static int run_approve(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__ApproveRequest r;
    command_begin(&w, args, true);
    sealmill__v1__approve_request__init(&r);
    r.id = command_word(&w, "an id: approval list shows them");
    r.reason = command_text(&w, cli_get(args, "reason"));
    return call_and_show(&w, APPROVAL_SERVICE "Approve", &r.base);
}

static const struct cli_option approve_options[] = {
    CLIENT_OPTIONS,
    {"reason", "TEXT", "For the audit"},
    {NULL, NULL, NULL},
};

const struct cli_command command_approval_approve = {
    "approval approve",
    "ID",
    "Let a request have its certificate: whoever sent it gets it when he asks again",
    "  sealmill approval approve 824bc409d15e15911265a9d16b59da45d7cf2632016e8609 --dir ./ca\n",
    approve_options,
    run_approve,
};

static int run_deny(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__DenyRequest r;
    command_begin(&w, args, true);
    sealmill__v1__deny_request__init(&r);
    r.id = command_word(&w, "an id: approval list shows them");
    r.reason = command_text(&w, cli_get(args, "reason"));
    return call_and_show(&w, APPROVAL_SERVICE "Deny", &r.base);
}

static const struct cli_option deny_options[] = {
    CLIENT_OPTIONS,
    {"reason", "TEXT", "Whoever sent it is told it when he asks again"},
    {NULL, NULL, NULL},
};

const struct cli_command command_approval_deny = {
    "approval deny",
    "ID",
    "Refuse a request for good",
    "  sealmill approval deny 824bc409d15e15911265a9d16b59da45d7cf2632016e8609 --dir ./ca \\\n"
    "      --reason \"no such device\"\n",
    deny_options,
    run_deny,
};

/* ---- edit ---- */

static sm_err add_sans(struct command_work *w, Sealmill__V1__EditApprovalRequest *r)
{
    size_t n = cli_count(w->args, "san");
    r->sans = sm_arena_alloc(&w->arena, (n + 1) * sizeof(*r->sans));
    for (size_t i = 0; i < n && r->sans != NULL; i++) {
        char *pair = command_text(w, cli_at(w->args, "san", i));
        char *colon = strchr(pair, ':');
        Sealmill__V1__SubjectAltName *m = SM_ARENA_NEW(&w->arena, Sealmill__V1__SubjectAltName);
        if (colon == NULL || m == NULL) {
            cli_usage("--san wants TYPE:NAME, such as dns:dev1.example.net");
        }
        *colon = '\0';
        sealmill__v1__subject_alt_name__init(m);
        SM_TRY(sm_message_set_text(&m->base, sm_slice_str(pair), sm_slice_str(colon + 1), &w->arena,
                                   &w->diag));
        r->sans[r->n_sans++] = m;
    }
    return SM_NO_ERR;
}

static int run_edit(struct cli_args *args)
{
    struct command_work w;
    Sealmill__V1__EditApprovalRequest r;
    const char *validity = cli_get(args, "validity");
    command_begin(&w, args, true);
    sealmill__v1__edit_approval_request__init(&r);
    r.id = command_word(&w, "an id: approval list shows them");
    r.subject = command_text(&w, cli_get(args, "subject"));
    r.profile = command_text(&w, cli_get(args, "profile"));
    r.no_sans = cli_has(args, "no-sans");
    if (validity != NULL &&
        !sm_ok(sm_duration_parse(sm_slice_str(validity), &r.validity_seconds))) {
        cli_usage("--validity wants a duration such as 30d");
    }
    sm_err err = add_sans(&w, &r);
    return sm_ok(err) ? call_and_show(&w, APPROVAL_SERVICE "Edit", &r.base) : command_end(&w, err);
}

static const struct cli_option edit_options[] = {
    CLIENT_OPTIONS,
    {"subject", "NAME", "In place of the subject, such as \"CN=dev7,O=Acme\""},
    {"san", "TYPE:NAME", "In place of all SANs; may be repeated"},
    {"no-sans", NULL, "No SAN at all"},
    {"profile", "NAME", "Another profile of the same CA"},
    {"validity", "DURATION", "Such as 30d; at most the profile's maximum"},
    {NULL, NULL, NULL},
};

const struct cli_command command_approval_edit = {
    "approval edit",
    "ID",
    "Change what a request is to get before it is approved",
    "  sealmill approval edit 824bc409d15e15911265a9d16b59da45d7cf2632016e8609 --dir ./ca \\\n"
    "      --subject CN=dev7,O=Acme --san dns:dev7.example.net --validity 30d\n",
    edit_options,
    run_edit,
};
