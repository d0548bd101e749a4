/* SPDX-License-Identifier: Apache-2.0 */
/* Enrolment: what a label has to say of a request. */
#include "api/enrol_p.h"
#include "api/same_names.h"
#include "sign/csr_attributes.h"
#include "sign/oids.h"

/* ---- other names ---- */

/* RFC 7030 4.2.2: the request's own names are those of the certificate that it renews, whatever it asks for. */
static sm_err check_own_names(const sm_issue *issue, sm_diag *diag)
{
    const struct sm_extension *ext = sm_csr_extension(&issue->csr, SM_OID_SUBJECT_ALT_NAME);
    struct sm_san *sans = NULL;
    size_t count = 0;
    if (ext != NULL) {
        SM_TRY(sm_sans_parse(ext->value, true, issue->arena, &sans, &count, diag));
    }
    return sm_same_names_check(issue->renewed->cert, issue->csr.subject, sans, count, issue->arena,
                               diag);
}

static sm_err change_names(sm_issue *issue, const struct sm_label *label)
{
    struct sm_csr_names names;
    sm_diag *diag = &issue->diag;
    SM_TRY(sm_csr_read_names(&issue->csr, issue->arena, &names, diag));
    if (!names.has_subject && !names.has_sans) {
        return SM_NO_ERR;
    }
    if (issue->renewed == NULL || !label->rules.change_names) {
        return sm_diag_set(diag, SM_ERR(POLICY), "csr.attributes.change_subject_name",
                           issue->renewed == NULL ? "it is for re-enrolment alone"
                                                  : "this label does not let names be changed");
    }
    SM_TRY(check_own_names(issue, diag));
    issue->renames = true;
    return sm_csr_set_names(&issue->csr, &names, diag);
}

/* ---- the connection ---- */

static sm_err check_binding(sm_issue *issue, const sm_enrolment *e)
{
    uint8_t octets[SM_HTTP_BINDING_MAX];
    size_t len = 0;
    struct sm_binding_claim claim = {.challenge = issue->csr.challenge_password};
    if (e->label->rules.binding == SM_BINDING_OFF) {
        return SM_NO_ERR;
    }
    SM_TRY(sm_csr_read_linking(&issue->csr, &claim.linking, &issue->diag));
    if (sm_ok(sm_http_channel_binding(e->x, octets, &len))) {
        claim.binding = sm_slice_of(octets, len);
    }
    return sm_binding_check(e->label->rules.binding, &claim, &issue->diag);
}

/* What a person has approved is not measured by the label again: he has seen it, and its connection was another. */
sm_err sm_enrol_examine(sm_issue *issue)
{
    const sm_enrolment *e = issue->ctx;
    if (e->approval.record != NULL) {
        SM_TRY(change_names(issue, e->label));
        return sm_enrol_set_approved_names(issue);
    }
    SM_TRY(check_binding(issue, e));
    SM_TRY(change_names(issue, e->label));
    return sm_label_rules_check(&e->label->rules, &issue->csr, issue->arena, &issue->diag);
}
