/* SPDX-License-Identifier: Apache-2.0 */
/* What metrics say of CRLs one by one, those of partitions too: gathered with each turn, read by whoever asks for them. */
#include "api/api_p.h"
#include "api/crl_p.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define GATHERED_MAX (2 * (size_t)SM_CRL_FACTS_MAX)

struct fact {
    char ca[64];
    uint32_t generation;
    uint32_t partition;
    bool delta;
    bool overdue;
    struct sm_crl_published published;
};

struct sm_crl_facts {
    size_t count;
    struct fact list[GATHERED_MAX];
};

/* ---- gathering ---- */

/* Those that end first, the overdue ones before them. */
static int compare(const void *a, const void *b)
{
    const struct fact *x = a;
    const struct fact *y = b;
    if (x->overdue != y->overdue) {
        return x->overdue ? -1 : 1;
    }
    return (x->published.next_update > y->published.next_update) -
           (x->published.next_update < y->published.next_update);
}

static void cut(struct sm_crl_facts *f)
{
    qsort(f->list, f->count, sizeof(f->list[0]), compare);
    f->count = f->count < SM_CRL_FACTS_MAX ? f->count : SM_CRL_FACTS_MAX;
}

struct sm_crl_facts *sm_crl_facts_new(void)
{
    return sm_calloc(1, sizeof(struct sm_crl_facts));
}

void sm_crl_facts_add(struct sm_crl_facts *f, const struct sm_crl_name *name,
                      const struct sm_crl_published *published, bool overdue)
{
    if (f == NULL || (published->number == 0 && !overdue)) {
        return;
    }
    if (f->count == GATHERED_MAX) {
        cut(f);
    }
    struct fact *fact = &f->list[f->count++];
    *fact = (struct fact){.generation = name->g->number,
                          .partition = name->partition,
                          .delta = name->delta,
                          .overdue = overdue,
                          .published = *published};
    (void)snprintf(fact->ca, sizeof(fact->ca), "%s", name->ca->name);
}

void sm_crl_facts_show(sm_crls *crls, struct sm_crl_facts *f)
{
    if (f != NULL) {
        cut(f);
    }
    (void)pthread_mutex_lock(&crls->facts_lock);
    struct sm_crl_facts *old = crls->facts;
    crls->facts = f;
    (void)pthread_mutex_unlock(&crls->facts_lock);
    sm_free(old);
}

/* ---- telling ---- */

enum series { NEXT_UPDATE, BYTES, ENTRIES, OVERDUE, SERIES };

static const struct {
    const char *name;
    const char *help;
} series[SERIES] = {
    {"sealmill_crl_next_update_seconds", "When the CRL ends, Unix time"},
    {"sealmill_crl_bytes", "Its octets"},
    {"sealmill_crl_entries", "Its entries"},
    {"sealmill_crl_is_overdue", "1: it is due and cannot be made"},
};

static int64_t value_of(const struct fact *f, enum series which)
{
    switch (which) {
    case NEXT_UPDATE:
        return f->published.next_update;
    case BYTES:
        return (int64_t)f->published.bytes;
    case ENTRIES:
        return (int64_t)f->published.entries;
    default:
        return f->overdue;
    }
}

static void tell_series(const struct sm_crl_facts *facts, enum series which, sm_buf *text)
{
    sm_buf_printf(text, "# HELP %s %s\n# TYPE %s gauge\n", series[which].name, series[which].help,
                  series[which].name);
    for (size_t i = 0; i < facts->count; i++) {
        const struct fact *f = &facts->list[i];
        sm_buf_printf(text, "%s{ca=\"%s\",generation=\"%u\",partition=\"%u\",kind=\"%s\"} %lld\n",
                      series[which].name, f->ca, f->generation, f->partition,
                      f->delta ? "delta" : "full", (long long)value_of(f, which));
    }
}

void sm_crls_tell(sm_crls *crls, sm_buf *text)
{
    if (crls == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&crls->facts_lock);
    for (int i = 0; crls->facts != NULL && i < SERIES; i++) {
        tell_series(crls->facts, (enum series)i, text);
    }
    (void)pthread_mutex_unlock(&crls->facts_lock);
}
