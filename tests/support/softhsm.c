/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/softhsm.h"

#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64];

static void run(const char *command)
{
    if (system(command) != 0) {
        fail_msg("failed: %s", command);
    }
}

bool softhsm_begin(void)
{
    char path[128];
    if (access(SOFTHSM_MODULE, R_OK) != 0) {
        return false;
    }
    (void)snprintf(dir, sizeof(dir), "/tmp/sealmill-softhsm.XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/softhsm2.conf", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fprintf(f, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n",
                  dir);
    (void)fclose(f);
    (void)setenv("SOFTHSM2_CONF", path, 1);
    return true;
}

void softhsm_token(const char *label)
{
    char command[512];
    (void)snprintf(
        command, sizeof(command),
        "softhsm2-util --init-token --free --label %s --so-pin 1234567 --pin " SOFTHSM_PIN
        " >/dev/null 2>&1",
        label);
    run(command);
}

void softhsm_key(const char *token, const char *type, const char *label, const char *id,
                 const char *extra)
{
    char command[512];
    (void)snprintf(command, sizeof(command),
                   "pkcs11-tool --module " SOFTHSM_MODULE
                   " --token-label %s --login --pin " SOFTHSM_PIN
                   " --keypairgen --key-type %s --label %s --id %s %s >/dev/null 2>&1",
                   token, type, label, id, extra);
    run(command);
}

void softhsm_import(const char *token, const char *pem_path, const char *label, const char *id)
{
    char command[512];
    (void)snprintf(command, sizeof(command),
                   "softhsm2-util --import %s --token %s --label %s --id %s --pin " SOFTHSM_PIN
                   " >/dev/null 2>&1",
                   pem_path, token, label, id);
    run(command);
}

const char *softhsm_dir(void)
{
    return dir;
}

void softhsm_end(void)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    run(command);
}
