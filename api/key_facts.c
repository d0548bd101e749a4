/* SPDX-License-Identifier: Apache-2.0 */
#include "api/key_facts.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define KEY_SERIES_MAX 128 /* a quarter of all series */

static Sealmill__V1__TokenKeyFacts *facts_of(const struct sm_key_on_token *from, sm_arena *arena)
{
    Sealmill__V1__TokenKeyFacts *m = SM_ARENA_NEW(arena, Sealmill__V1__TokenKeyFacts);
    if (m == NULL) {
        return NULL;
    }
    sealmill__v1__token_key_facts__init(m);
    m->token = sm_text(arena, sm_slice_str(from->token));
    m->up = from->up;
    m->seen = from->seen;
    m->sensitive = from->says.sensitive;
    m->extractable = from->says.extractable;
    m->always_sensitive = from->says.always_sensitive;
    m->never_extractable = from->says.never_extractable;
    m->local = from->says.local;
    m->always_authenticate = from->says.always_authenticate;
    return m;
}

Sealmill__V1__KeyFacts *sm_key_facts(const sm_key *key, sm_arena *arena)
{
    Sealmill__V1__KeyFacts *m = SM_ARENA_NEW(arena, Sealmill__V1__KeyFacts);
    if (m == NULL) {
        return NULL;
    }
    sealmill__v1__key_facts__init(m);
    if (key == NULL) {
        m->reason = sm_text(arena, SM_LIT("the key is not at hand"));
        return m;
    }
    const char *why;
    size_t count = sm_key_token_count(key);
    m->backend = sm_text(arena, sm_slice_str(sm_key_backend(key, &why)));
    m->reason = sm_text(arena, sm_slice_str(why));
    m->tokens = sm_arena_alloc(arena, (count + 1) * sizeof(*m->tokens));
    for (size_t i = 0; i < count && m->tokens != NULL; i++) {
        struct sm_key_on_token on;
        sm_key_token_facts(key, i, &on);
        m->tokens[m->n_tokens] = facts_of(&on, arena);
        m->n_tokens += m->tokens[m->n_tokens] != NULL;
    }
    return m;
}

/* Labels live as long as the program. NULL: one too many, or no memory. */
static const char *keep_labels(const char *text)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* covers the two below */
    static char *kept[KEY_SERIES_MAX];
    static size_t count;
    const char *found = NULL;
    (void)pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count && found == NULL; i++) {
        found = strcmp(kept[i], text) == 0 ? kept[i] : NULL;
    }
    if (found == NULL && count < KEY_SERIES_MAX) {
        kept[count] = sm_strdup(text);
        found = kept[count];
        count += found != NULL;
    }
    (void)pthread_mutex_unlock(&lock);
    return found;
}

static void count_key(const char *uri, const char *backend, const char *why)
{
    char text[512];
    int n = snprintf(text, sizeof(text), "key=\"%s\",backend=\"%s\",why=\"%s\"", uri, backend, why);
    bool plain = n > 0 && (size_t)n < sizeof(text) && strpbrk(uri, "\"\\\n") == NULL;
    const char *labels = plain ? keep_labels(text) : NULL;
    if (labels != NULL) {
        sm_metric_set(sm_metric_register(SM_GAUGE, "sealmill_key_backend",
                                         "1: what signs with the key in full batches, and why",
                                         labels),
                      1);
    }
}

void sm_key_facts_tell(const sm_key *key, const char *uri)
{
    const char *why;
    const char *backend = sm_key_backend(key, &why);
    sm_log(SM_LOG_INFO, "key_loaded", SM_KS("key", uri),
           SM_KS("type", sm_key_type_name(sm_key_get_type(key))), SM_KS("backend", backend),
           SM_KS("why", why), SM_KEND);
    for (size_t i = 0; i < sm_key_token_count(key); i++) {
        struct sm_key_on_token on;
        sm_key_token_facts(key, i, &on);
        if (on.seen) {
            sm_log(SM_LOG_INFO, "token_key", SM_KS("key", uri), SM_KS("token", on.token),
                   SM_KI("sensitive", on.says.sensitive), SM_KI("extractable", on.says.extractable),
                   SM_KI("always_sensitive", on.says.always_sensitive),
                   SM_KI("never_extractable", on.says.never_extractable),
                   SM_KI("local", on.says.local), SM_KEND);
        }
    }
    count_key(uri, backend, why);
}
