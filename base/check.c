/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void sm_check_failed(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "event=check_failed file=%s line=%d check=\"%s\"\n", file, line, what);
    abort();
}
