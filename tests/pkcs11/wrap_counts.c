/* SPDX-License-Identifier: Apache-2.0 */
/* How often each function was called, how often it failed, and how many threads were in it at once.
 */
#include "wrap_p.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static struct {
    atomic_ulong calls;
    atomic_ulong failed;
    atomic_ulong now;
    atomic_ulong peak;
} counts[SM_WRAP_FN_COUNT];

void sm_wrap_count_enter(enum sm_wrap_fn fn)
{
    atomic_fetch_add(&counts[fn].calls, 1);
    unsigned long now = atomic_fetch_add(&counts[fn].now, 1) + 1;
    unsigned long peak = atomic_load(&counts[fn].peak);
    while (now > peak && !atomic_compare_exchange_weak(&counts[fn].peak, &peak, now)) {
    }
}

void sm_wrap_count_leave(enum sm_wrap_fn fn, CK_RV rv)
{
    atomic_fetch_sub(&counts[fn].now, 1);
    if (rv != CKR_OK) {
        atomic_fetch_add(&counts[fn].failed, 1);
    }
}

static void write_lines(FILE *out)
{
    for (unsigned fn = 0; fn < SM_WRAP_FN_COUNT; fn++) {
        unsigned long calls = atomic_load(&counts[fn].calls);
        if (calls > 0) {
            (void)fprintf(out, "%s calls=%lu failed=%lu now=%lu peak=%lu\n",
                          sm_wrap_name((enum sm_wrap_fn)fn), calls, atomic_load(&counts[fn].failed),
                          atomic_load(&counts[fn].now), atomic_load(&counts[fn].peak));
        }
    }
    sm_wrap_sessions_write(out);
    sm_wrap_on_counts(out);
}

/* Written beside and renamed: a reader sees the old counts or the new ones. */
void sm_wrap_counts_write(void)
{
    static pthread_mutex_t one_writer = PTHREAD_MUTEX_INITIALIZER; /* covers the temporary file */
    char path[SM_WRAP_SETTING_LEN];
    char beside[SM_WRAP_SETTING_LEN + 32];
    if (!sm_wrap_setting("SM_P11_COUNTS", path)) {
        return;
    }
    (void)snprintf(beside, sizeof(beside), "%s.%ld", path, (long)getpid());
    (void)pthread_mutex_lock(&one_writer);
    FILE *out = fopen(beside, "we");
    if (out != NULL) {
        write_lines(out);
        (void)fclose(out);
        (void)rename(beside, path);
    }
    (void)pthread_mutex_unlock(&one_writer);
}
