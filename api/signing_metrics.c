/* SPDX-License-Identifier: Apache-2.0 */
#include "api/signing_metrics.h"

#include "api/record.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define NAME_ROOM 64
#define LABELS_MAX 100

enum { OK, REFUSED, FAILED, OUTCOMES };

/* Labels must live as long as the program. */
struct row {
    char name[NAME_ROOM];
    char labels[OUTCOMES][LABELS_MAX];
    struct sm_signing_metrics metrics;
};

static struct row rows[SM_SIGNING_SERIES_KEYS + 1]; /* the last: all others */
static size_t count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* covers the two above */

static void fill(struct row *row, const char *name)
{
    static const char *const outcomes[OUTCOMES] = {"ok", "refused", "failed"};
    sm_metric made[OUTCOMES];
    (void)snprintf(row->name, sizeof(row->name), "%s", name);
    for (int i = 0; i < OUTCOMES; i++) {
        (void)snprintf(row->labels[i], LABELS_MAX, "key=\"%.63s\",outcome=\"%s\"", name,
                       outcomes[i]);
        made[i] = sm_metric_register(SM_COUNTER, "sealmill_key_sign_calls_total",
                                     "Calls of SigningService.Sign by key and outcome",
                                     row->labels[i]);
    }
    row->metrics = (struct sm_signing_metrics){made[OK], made[REFUSED], made[FAILED]};
}

/* Under the lock. */
static const struct row *row_of(const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].name, key) == 0) {
            return &rows[i];
        }
    }
    if (count < SM_SIGNING_SERIES_KEYS && sm_record_name_is_good(key)) {
        fill(&rows[count], key);
        return &rows[count++];
    }
    struct row *others = &rows[SM_SIGNING_SERIES_KEYS];
    if (others->name[0] == '\0') {
        fill(others, "*"); /* no key has this name */
    }
    return others;
}

void sm_signing_metrics_of(const char *key, struct sm_signing_metrics *out)
{
    (void)pthread_mutex_lock(&lock);
    *out = row_of(key)->metrics;
    (void)pthread_mutex_unlock(&lock);
}

void sm_signing_metrics_count(const struct sm_signing_metrics *m, sm_err err)
{
    bool refused = sm_err_is(err, SM_E_FORBIDDEN) || sm_err_is(err, SM_E_POLICY) ||
                   sm_err_is(err, SM_E_RATE_LIMITED) || sm_err_is(err, SM_E_UNAUTHENTICATED);
    sm_metric_inc(sm_ok(err) ? m->ok : refused ? m->refused : m->failed);
}
