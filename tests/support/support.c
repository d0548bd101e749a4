/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include <stdlib.h>

const char *sm_test_dir(char *out, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(out, size, "%s/sealmill-test-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    return mkdtemp(out);
}

void sm_test_remove_dir(const char *path)
{
    char command[512];
    (void)snprintf(command, sizeof(command), "rm -rf -- '%s'", path);
    if (system(command) != 0) {
        (void)fprintf(stderr, "cannot remove %s\n", path);
    }
}
