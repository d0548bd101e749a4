/* SPDX-License-Identifier: Apache-2.0 */
#include "api/principal_map.h"

#include "api/otp.h"
#include "base/check.h"

#include <regex.h>
#include <stdio.h>

#define FIELD "enrolment.negotiate"
#define GROUPS_MAX 10 /* \0 to \9 */

struct rule {
    const Sealmill__Config__V1__NegotiatePrincipal *message;
    regex_t regex;
    bool compiled;
};

struct sm_principal_map {
    const Sealmill__Config__V1__Negotiate *message;
    struct rule *rules;
};

/* A principal, and where the groups of a rule's expression are in it. */
struct match {
    const char *text;
    regmatch_t groups[GROUPS_MAX];
};

/* ---- making ---- */

static bool is_group(const char *at)
{
    return at[0] == '\\' && at[1] >= '0' && at[1] <= '9';
}

static sm_err check_template(const struct rule *r, const char *text, const char *field,
                             sm_diag *diag)
{
    for (const char *at = text; *at != '\0'; at++) {
        size_t group = is_group(at) ? (size_t)(at[1] - '0') : 0;
        if (group + 1 > r->regex.re_nsub) { /* the outer pair is ours, and is \0 */
            return sm_diag_set(diag, SM_ERR(INVALID), field, "\"%.60s\" has no group %zu",
                               r->message->principal, group);
        }
    }
    return SM_NO_ERR;
}

static sm_err compile(struct rule *r, sm_diag *diag)
{
    char anchored[SM_PRINCIPAL_TEXT_MAX];
    const char *text = r->message->principal;
    int n = snprintf(anchored, sizeof(anchored), "^(%s)$", text);
    if (text[0] == '\0' || n < 0 || (size_t)n >= sizeof(anchored) ||
        regcomp(&r->regex, anchored, REG_EXTENDED) != 0) {
        return sm_diag_set(diag, SM_ERR(INVALID), FIELD ".principals.principal",
                           "\"%.80s\" is not a POSIX extended regular expression", text);
    }
    r->compiled = true;
    SM_TRY(check_template(r, r->message->entity, FIELD ".principals.entity", diag));
    return check_template(r, r->message->subject, FIELD ".principals.subject", diag);
}

sm_err sm_principal_map_make(const Sealmill__Config__V1__Negotiate *m, sm_arena *arena,
                             sm_principal_map **out, sm_diag *diag)
{
    if (m->n_principals > SM_PRINCIPAL_RULES_MAX || m->n_realms > SM_PRINCIPAL_REALMS_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), FIELD, "more than %d principals or %d realms",
                           SM_PRINCIPAL_RULES_MAX, SM_PRINCIPAL_REALMS_MAX);
    }
    if (m->n_principals == 0) {
        return sm_diag_set(diag, SM_ERR(INVALID), FIELD ".principals",
                           "it is needed: who may enrol");
    }
    sm_principal_map *map = SM_ARENA_NEW(arena, sm_principal_map);
    struct rule *rules = sm_arena_zalloc(arena, m->n_principals * sizeof(*rules));
    if (map == NULL || rules == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    map->message = m;
    map->rules = rules;
    for (size_t i = 0; i < m->n_principals; i++) {
        rules[i].message = m->principals[i];
        sm_err err = compile(&rules[i], diag);
        if (!sm_ok(err)) {
            sm_principal_map_deinit(map);
            return err;
        }
    }
    *out = map;
    return SM_NO_ERR;
}

void sm_principal_map_deinit(sm_principal_map *map)
{
    for (size_t i = 0; map != NULL && i < map->message->n_principals; i++) {
        if (map->rules[i].compiled) {
            regfree(&map->rules[i].regex);
            map->rules[i].compiled = false;
        }
    }
}

/* ---- realms ---- */

sm_slice sm_principal_realm(sm_slice principal)
{
    size_t begin = 0;
    for (size_t i = 0; i < principal.len; i++) {
        if (principal.ptr[i] == '\\') {
            i++; /* what it stands before is no separator */
        } else if (principal.ptr[i] == '@') {
            begin = i + 1;
        }
    }
    return begin == 0 ? SM_SLICE_NONE : sm_slice_from(principal, begin);
}

static bool takes_realm(const sm_principal_map *map, const struct sm_principal_claim *claim)
{
    sm_slice realm = sm_principal_realm(claim->principal);
    bool taken = map->message->n_realms == 0 &&
                 sm_slice_equal(realm, sm_principal_realm(claim->service));
    for (size_t i = 0; i < map->message->n_realms; i++) {
        taken = taken || sm_slice_equal(realm, sm_slice_str(map->message->realms[i]));
    }
    return realm.len > 0 && taken;
}

/* ---- rules ---- */

static bool is_for_label(const struct rule *r, const char *label)
{
    bool here = r->message->n_labels == 0;
    for (size_t i = 0; i < r->message->n_labels; i++) {
        here = here || strcmp(r->message->labels[i], label) == 0;
    }
    return here;
}

static bool fits(const struct rule *r, const char *label, struct match *m)
{
    regmatch_t groups[GROUPS_MAX + 1];
    if (!is_for_label(r, label) || regexec(&r->regex, m->text, GROUPS_MAX + 1, groups, 0) != 0) {
        return false;
    }
    memcpy(m->groups, groups + 1, sizeof(m->groups)); /* without the whole: it is \0 anyway */
    return true;
}

static sm_slice group_of(const struct match *m, const char *at)
{
    const regmatch_t *g = &m->groups[at[1] - '0'];
    return g->rm_so < 0 ? SM_SLICE_NONE
                        : sm_slice_of(m->text + g->rm_so, (size_t)(g->rm_eo - g->rm_so));
}

static void expand(const struct match *m, const char *text, sm_buf *out)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (is_group(at)) {
            sm_buf_put(out, group_of(m, at));
            at++;
        } else {
            sm_buf_put_byte(out, (uint8_t)*at);
        }
    }
}

/* Nothing that RFC 4514 text gives a meaning to, or writes in another way. */
static bool keeps_to_its_attribute(const struct match *m, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@/";
    for (const char *at = text; *at != '\0'; at++) {
        sm_slice group = is_group(at) ? group_of(m, at) : SM_SLICE_NONE;
        for (size_t i = 0; i < group.len; i++) {
            if (memchr(plain, group.ptr[i], sizeof(plain) - 1) == NULL) {
                return false;
            }
        }
    }
    return true;
}

static sm_err refuse(const struct match *m, const char *why, sm_diag *diag)
{
    char shown[SM_DIAG_REASON_MAX / 2];
    return sm_diag_set(diag, SM_ERR(FORBIDDEN), "authorization", "%s %s",
                       sm_diag_escape(sm_slice_str(m->text), shown, sizeof(shown)), why);
}

static sm_err apply(const struct rule *r, const struct match *m, sm_arena *arena,
                    struct sm_principal_found *out, sm_diag *diag)
{
    const char *entity = r->message->entity[0] == '\0' ? "\\0" : r->message->entity;
    const char *subject = r->message->subject;
    struct sm_principal_found found = {.subject = NULL};
    sm_buf text = sm_buf_init(SM_PRINCIPAL_TEXT_MAX);
    expand(m, entity, &text);
    sm_err err = sm_buf_err(&text);
    if (sm_err_is(err, SM_E_TOO_LARGE) || text.len > SM_OTP_ENTITY_MAX || text.len == 0) {
        err = refuse(m, "has too long a name, or none", diag);
    }
    err = sm_ok(err) ? sm_arena_copy(arena, sm_buf_slice(&text), &found.entity) : err;
    sm_buf_reset(&text);
    if (sm_ok(err) && subject[0] != '\0') {
        expand(m, subject, &text);
        found.subject = sm_arena_strdup(arena, sm_buf_slice(&text));
        err = !sm_ok(sm_buf_err(&text)) || !keeps_to_its_attribute(m, subject)
                  ? refuse(m, "cannot be written into a subject", diag)
              : found.subject == NULL ? SM_ERR(NO_MEMORY)
                                      : SM_NO_ERR;
    }
    sm_buf_deinit(&text);
    if (sm_ok(err)) {
        *out = found;
    }
    return err;
}

sm_err sm_principal_map_find(const sm_principal_map *map, const struct sm_principal_claim *claim,
                             sm_arena *arena, struct sm_principal_found *out, sm_diag *diag)
{
    struct match m = {.text = sm_arena_strdup(arena, claim->principal)};
    if (m.text == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    if (strlen(m.text) != claim->principal.len || claim->principal.len > SM_PRINCIPAL_MAX) {
        return refuse(&m, "is no principal", diag);
    }
    if (!takes_realm(map, claim)) {
        return refuse(&m, "is of a realm that is not taken here", diag);
    }
    for (size_t i = 0; i < map->message->n_principals; i++) {
        if (fits(&map->rules[i], claim->label, &m)) {
            return apply(&map->rules[i], &m, arena, out, diag);
        }
    }
    return refuse(&m, "may not enrol here", diag);
}
