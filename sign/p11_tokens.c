/* SPDX-License-Identifier: Apache-2.0 */
/* The set of tokens: its start and its end. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "sign/p11_pool_p.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LABELS_MAX (2 * SM_TOKENS_MAX)
#define END_TURNS 5000 /* of 1 ms: for calls that are still under way */

/* ---- modules ---- */

static sm_err use_module(sm_tokens *set, const char *path, bool one_thread, struct p11_module **out,
                         sm_diag *diag)
{
    for (struct p11_module *m = set->modules; m != NULL; m = m->next) {
        if (strcmp(m->path, path) == 0) {
            m->one_thread = m->one_thread || one_thread;
            m->refs++;
            *out = m;
            return SM_NO_ERR;
        }
    }
    SM_TRY(sm_p11_module_load(path, one_thread, out, diag));
    (*out)->refs = 1;
    (*out)->next = set->modules;
    set->modules = *out;
    return SM_NO_ERR;
}

/* ---- metrics ---- */

/* The registry keeps labels for as long as the program runs. */
static const char *label_of(const char *name)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* covers labels, count */
    static char labels[LABELS_MAX][P11_LABEL_MAX + 16];
    static unsigned count;
    char text[P11_LABEL_MAX + 16];
    int n = snprintf(text, sizeof(text), "token=\"");
    for (const char *c = name; *c != '\0'; c++) {
        text[n++] = *c == '"' || *c == '\\' || *c < ' ' ? '_' : *c;
    }
    memcpy(text + n, "\"", 2);
    (void)pthread_mutex_lock(&lock);
    unsigned at = 0;
    while (at < count && strcmp(labels[at], text) != 0) {
        at++;
    }
    if (at == count && count < LABELS_MAX) {
        memcpy(labels[count++], text, sizeof(text));
    }
    (void)pthread_mutex_unlock(&lock);
    return at < LABELS_MAX ? labels[at] : "token=\"others\"";
}

static void register_metrics(struct sm_token *t)
{
    const char *label = label_of(t->name);
    t->metrics = (struct token_metrics){
        .up = sm_metric_register(SM_GAUGE, "sealmill_token_up", "1: the token signs", label),
        .sessions = sm_metric_register(SM_GAUGE, "sealmill_token_sessions",
                                       "Open sessions of a token", label),
        .busy = sm_metric_register(SM_GAUGE, "sealmill_token_sessions_busy", "Sessions in a call",
                                   label),
        .signatures = sm_metric_register(SM_COUNTER, "sealmill_token_signatures_total",
                                         "Signatures made by a token", label),
        .failures = sm_metric_register(SM_COUNTER, "sealmill_token_failures_total",
                                       "Calls that a token refused", label),
        .given_up = sm_metric_register(SM_COUNTER, "sealmill_token_calls_given_up_total",
                                       "Calls that did not come back in time", label),
        .reopened = sm_metric_register(SM_COUNTER, "sealmill_token_sessions_lost_total",
                                       "Sessions or logins that were lost and opened again", label),
        .time = sm_metric_register(SM_HISTOGRAM, "sealmill_token_seconds",
                                   "Time of one signature in a token", label),
    };
}

/* ---- names ---- */

static bool is_taken(const sm_tokens *set, const char *name, size_t before)
{
    for (size_t i = 0; i < before; i++) {
        if (strcmp(set->tokens[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Their metrics and their health are found by the name. */
static void tell_apart(sm_tokens *set)
{
    bool shared[SM_TOKENS_MAX] = {false};
    for (size_t i = 0; i < set->token_count; i++) {
        for (size_t j = 0; j < set->token_count; j++) {
            shared[i] = shared[i] ||
                        (i != j && strcmp(set->tokens[i]->name, set->tokens[j]->name) == 0);
        }
    }
    for (size_t i = 0; i < set->token_count; i++) {
        struct sm_token *t = set->tokens[i];
        if (shared[i]) {
            (void)sm_p11_uri_token_full_name(t->uri, t->name);
        }
        if (is_taken(set, t->name, i)) {
            size_t len = strlen(t->name);
            (void)snprintf(t->name + len, sizeof(t->name) - len, "#%zu", i + 1);
        }
    }
}

/* ---- one token ---- */

static sm_err configure(struct sm_token *t, const struct sm_token_config *c, sm_diag *diag)
{
    SM_TRY(sm_p11_uri_parse(c->uri, &t->uri, diag));
    const char *path = p11_kit_uri_get_module_path(t->uri);
    if (path == NULL || path[0] != '/') {
        return sm_diag_set(diag, SM_ERR(INVALID), "pkcs11.uri",
                           "module-path is needed: the module's absolute path");
    }
    if (!sm_p11_uri_token_name(t->uri, t->name)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "pkcs11.uri",
                           "token or serial is needed: which token it is");
    }
    SM_TRY(sm_p11_pin_read(c, t->uri, &t->pin, diag));
    SM_TRY(use_module(t->set, path, c->one_thread, &t->module, diag));
    t->queue_max = c->queue == 0 ? SM_TOKEN_QUEUE_DEFAULT : c->queue;
    t->timeout_ns = (c->timeout_ms == 0 ? SM_TOKEN_TIMEOUT_MS : c->timeout_ms) * SM_NS_PER_MS;
    t->call_timeout_ns = (c->call_timeout_ms == 0 ? SM_TOKEN_CALL_TIMEOUT_MS : c->call_timeout_ms) *
                         SM_NS_PER_MS;
    t->allow_extractable = c->allow_extractable;
    t->sessions_wanted = c->sessions;
    return SM_NO_ERR;
}

static void init_cond(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(cond, &attr);
    (void)pthread_condattr_destroy(&attr);
}

static sm_err add_token(sm_tokens *set, const struct sm_token_config *c, sm_diag *diag)
{
    struct sm_token *t = sm_calloc(1, sizeof(*t));
    if (t == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    t->set = set;
    t->why = "";
    t->pin = sm_buf_init_secret(1024);
    (void)pthread_mutex_init(&t->login_lock, NULL);
    init_cond(&t->login_over);
    set->tokens[set->token_count++] = t;
    return configure(t, c, diag);
}

static sm_err add_tokens(sm_tokens *set, const struct sm_token_config *configs, size_t count,
                         sm_diag *diag)
{
    for (size_t i = 0; i < count; i++) {
        SM_TRY(add_token(set, &configs[i], diag));
    }
    tell_apart(set);
    for (size_t i = 0; i < count; i++) {
        register_metrics(set->tokens[i]);
    }
    return SM_NO_ERR;
}

/* ---- the set ---- */

sm_err sm_tokens_new(const struct sm_token_config *configs, size_t count, sm_tokens **out,
                     sm_diag *diag)
{
    if (count > SM_TOKENS_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "pkcs11", "more than %d tokens", SM_TOKENS_MAX);
    }
    sm_tokens *set = sm_calloc(1, sizeof(*set));
    if (set == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    init_cond(&set->wake);
    init_cond(&set->came);
    (void)pthread_mutex_init(&set->lock, NULL);
    sm_list_init(&set->keys);
    set->waiting_metric = sm_metric_register(SM_GAUGE, "sealmill_token_requests_waiting",
                                             "Signatures asked of tokens and not answered", NULL);
    sm_err err = add_tokens(set, configs, count, diag);
    err = sm_ok(err) ? sm_p11_first_contact(set) : err;
    err = sm_ok(err) ? sm_p11_watch_start(set) : err;
    if (!sm_ok(err)) {
        sm_tokens_free(&set);
        return err;
    }
    *out = set;
    return SM_NO_ERR;
}

/* Whether every call has come back. */
static bool is_still(sm_tokens *set)
{
    (void)pthread_mutex_lock(&set->lock);
    bool still = set->attempts == 0;
    for (size_t i = 0; i < set->token_count; i++) {
        const struct sm_token *t = set->tokens[i];
        for (unsigned j = 0; j < t->worker_count; j++) {
            still = still && (t->workers[j].idle || t->workers[j].retired);
        }
    }
    (void)pthread_mutex_unlock(&set->lock);
    return still;
}

static void end_session(sm_msg *msg)
{
    struct p11_worker *w = SM_CONTAINER_OF(msg, struct p11_worker, wake);
    if (w->open) {
        sm_p11_session_close(w->token, w->session);
        sm_metric_sub(w->token->metrics.sessions, 1);
    }
    sm_sign_thread_deinit();
}

static void free_token(struct sm_token *t)
{
    for (unsigned i = 0; i < t->worker_count; i++) {
        struct p11_worker *w = &t->workers[i];
        w->wake.run = end_session;
        sm_worker_post(&w->thread, &w->wake);
        sm_worker_stop(&w->thread);
        sm_buf_deinit(&w->input);
    }
    sm_free(t->workers);
    sm_buf_deinit(&t->pin);
    p11_kit_uri_free(t->uri);
    (void)pthread_cond_destroy(&t->login_over);
    (void)pthread_mutex_destroy(&t->login_lock);
    sm_free(t);
}

void sm_tokens_free(sm_tokens **tokens)
{
    sm_tokens *set = *tokens;
    *tokens = NULL;
    if (set == NULL) {
        return;
    }
    sm_p11_watch_stop(set);
    (void)pthread_mutex_lock(&set->lock);
    set->stopping = true;
    (void)pthread_mutex_unlock(&set->lock);
    for (int i = 0; i < END_TURNS && !is_still(set); i++) {
        const struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
    }
    if (!is_still(set)) { /* a thread that cannot be stopped still uses all of this */
        sm_log(SM_LOG_WARN, "token_call_left_behind", SM_KEND);
        return;
    }
    for (size_t i = 0; i < set->token_count; i++) {
        free_token(set->tokens[i]);
    }
    while (set->modules != NULL) {
        struct p11_module *m = set->modules;
        set->modules = m->next;
        sm_p11_module_unload(&m);
    }
    sm_p11_queues_free(set);
    (void)pthread_cond_destroy(&set->wake);
    (void)pthread_cond_destroy(&set->came);
    (void)pthread_mutex_destroy(&set->lock);
    sm_free(set);
}

size_t sm_tokens_count(const sm_tokens *tokens)
{
    return tokens == NULL ? 0 : tokens->token_count;
}

void sm_tokens_status(sm_tokens *tokens, size_t at, struct sm_token_status *out)
{
    (void)pthread_mutex_lock(&tokens->lock);
    const struct sm_token *t = tokens->tokens[at];
    unsigned busy = 0;
    unsigned usable = 0;
    for (unsigned i = 0; i < t->worker_count; i++) {
        busy += t->workers[i].job != NULL;
        usable += !t->workers[i].retired && !t->workers[i].lost;
    }
    *out = (struct sm_token_status){t->name, t->state == TOKEN_UP, usable, busy, t->why};
    (void)pthread_mutex_unlock(&tokens->lock);
}

uint64_t sm_tokens_epoch(sm_tokens *tokens)
{
    (void)pthread_mutex_lock(&tokens->lock);
    uint64_t epoch = tokens->epoch;
    (void)pthread_mutex_unlock(&tokens->lock);
    return epoch;
}
