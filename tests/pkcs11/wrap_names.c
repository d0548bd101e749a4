/* SPDX-License-Identifier: Apache-2.0 */
/* The functions' names. */
#include "wrap.h"

#include <string.h>

#define NAME(name, params, args) #name,
static const char *const names[] = {"C_Initialize", "C_Finalize",
                                    SM_WRAP_FUNCTIONS(NAME, NAME, NAME)};

const char *sm_wrap_name(enum sm_wrap_fn fn)
{
    return names[fn];
}

enum sm_wrap_fn sm_wrap_find(const char *name)
{
    unsigned fn = 0;
    while (fn < SM_WRAP_FN_COUNT && strcmp(names[fn], name) != 0) {
        fn++;
    }
    return (enum sm_wrap_fn)fn;
}
