/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment labels: what a device gets that comes without an account here, and what it must show. One set for
 * every enrolment protocol; part of the world.
 *
 * Threads:   constant after they were made.
 * Limits:    SM_LABELS_MAX, SM_ENROLMENT_USERS_MAX.
 * Security:  what a label does not say is refused. Trust anchors are read when the configuration is.
 * Standards: RFC 7030 3.2.2; RFC 4559 (negotiate).
 */
#pragma once

#include "api/approval.h"
#include "api/ca_group.h"
#include "api/label_rules.h"
#include "api/world.h"
#include "sign/chain.h"

#define SM_LABELS_MAX 1000          /* each with trust anchors of its own */
#define SM_LABEL_ATTRIBUTES_MAX 64  /* OIDs of csrattrs */
#define SM_ENROLMENT_USERS_MAX 1000 /* of the configuration file */

/* Operations, as bits. */
enum sm_label_operation {
    SM_LABEL_CACERTS = 1,
    SM_LABEL_ENROLL = 2,
    SM_LABEL_REENROLL = 4,
    SM_LABEL_KEYGEN = 8,
    SM_LABEL_CSRATTRS = 16,
};

/* Ways of authentication, as bits. */
enum sm_label_auth {
    SM_LABEL_CERTIFICATE = 1,
    SM_LABEL_DEVICE = 2,
    SM_LABEL_OTP = 4,
    SM_LABEL_USER = 8,
    SM_LABEL_TOKEN = 16,
    SM_LABEL_NEGOTIATE = 32,
};

enum sm_label_certificates {
    SM_LABEL_CERT_REENROLL, /* for re-enrolment alone; taken elsewhere */
    SM_LABEL_CERT_REQUIRED,
    SM_LABEL_CERT_OPTIONAL,
    SM_LABEL_CERT_NONE, /* not looked at */
};

/* What an operation wants of a client. */
struct sm_label_access {
    unsigned auth;
    enum sm_label_certificates certificates;
};

#define SM_LABEL_OPERATIONS 5

struct sm_label {
    const Sealmill__Config__V1__Label *message;
    struct sm_ca_group *group;          /* NULL: one CA */
    char *cas[SM_CA_GROUP_MEMBERS_MAX]; /* that issue by it: the one, or the group's */
    size_t ca_count;
    unsigned operations;
    unsigned auth; /* ways that any operation takes */
    struct sm_label_access access[SM_LABEL_OPERATIONS];
    int64_t expired_grace_s;
    int64_t renewal_window_s; /* 0: at any time */
    sm_anchors *anchors;      /* of devices' first certificates; NULL: none */
    sm_slice attributes;      /* CsrAttrs, DER; empty: nothing is asked for */
    struct sm_label_rules rules;
    struct sm_approval_rules approval;
    /* What who enrols by this label may do: ra for its CA and profile. */
    Sealmill__V1__Grant grant;
    Sealmill__V1__Grant *grants[1];
};

/* Makes all of them, in the world's arena. Errors: INVALID, TOO_LARGE, NOT_FOUND with the field in diag; UNSUPPORTED
 * (negotiate, which was not built); NO_MEMORY. */
SM_FALLIBLE sm_labels_make(sm_api *api, sm_world *world, sm_diag *diag);
void sm_labels_free(sm_world *world);
/* What this one operation wants. */
const struct sm_label_access *sm_label_access(const struct sm_label *label,
                                              enum sm_label_operation operation);
/* Whether a CA issues by this label. */
bool sm_label_has_ca(const struct sm_label *label, const char *ca);
/* NULL: there is none of that name (empty: the one without). */
const struct sm_label *sm_label_find(const sm_world *world, sm_slice name);
typedef struct sm_call sm_call;
/* Whether the caller may prepare enrolments by this label (empty: by every one): an operator or an admin, or who could issue
 * there himself. Errors: FORBIDDEN, with the diag. */
SM_FALLIBLE sm_label_right(sm_call *call, const char *label);
