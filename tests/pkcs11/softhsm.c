/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/pkcs11/softhsm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs softhsm.sh; `argv` ends with NULL and leaves room for the script's own name in front. */
static bool run(const char **argv)
{
    int status = 0;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        argv[0] = SM_SOFTHSM_SH;
        union {
            const char **in;
            char *const *out;
        } args = {argv};
        (void)execv(SM_SOFTHSM_SH, args.out);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

bool sm_softhsm_present(void)
{
    const char *argv[] = {NULL, "missing", NULL};
    return run(argv);
}

bool sm_softhsm_init(struct sm_softhsm *hsm)
{
    const char *tmp = getenv("TMPDIR");
    char conf[SM_SOFTHSM_PATH + 32];
    int n = snprintf(hsm->dir, sizeof(hsm->dir), "%s/sm-softhsm-XXXXXX",
                     tmp == NULL || *tmp == 0 ? "/tmp" : tmp);
    if (n < 0 || (size_t)n >= sizeof(hsm->dir) || mkdtemp(hsm->dir) == NULL) {
        perror("softhsm: no temporary folder");
        return false;
    }
    (void)snprintf(conf, sizeof(conf), "%s/softhsm2.conf", hsm->dir);
    const char *argv[] = {NULL, "new", hsm->dir, NULL};
    return run(argv) && setenv("SOFTHSM2_CONF", conf, 1) == 0;
}

bool sm_softhsm_token(const struct sm_softhsm *hsm, const char *label, const char *pin)
{
    const char *argv[] = {NULL, "token", hsm->dir, label, pin, NULL};
    return run(argv);
}

bool sm_softhsm_key(const struct sm_softhsm *hsm, const char *token, const char *pin,
                    const char *type, const char *label, const char *id)
{
    return sm_softhsm_key_with(hsm, token, pin, type, label, id, NULL, NULL);
}

bool sm_softhsm_key_with(const struct sm_softhsm *hsm, const char *token, const char *pin,
                         const char *type, const char *label, const char *id, const char *option,
                         const char *another)
{
    const char *argv[] = {NULL,  "key", hsm->dir, token,   pin, type,
                          label, id,    option,   another, NULL};
    return run(argv);
}

bool sm_softhsm_import(const struct sm_softhsm *hsm, const char *token, const char *pin,
                       const char *file, const char *label, const char *id)
{
    const char *argv[] = {NULL, "import", hsm->dir, token, pin, file, label, id, NULL};
    return run(argv);
}

bool sm_softhsm_write(const struct sm_softhsm *hsm, const char *token, const char *pin,
                      const char *file, const char *label, const char *id, const char *option)
{
    const char *argv[] = {NULL, "write", hsm->dir, token, pin, file, label, id, option, NULL};
    return run(argv);
}

void sm_softhsm_deinit(struct sm_softhsm *hsm)
{
    if (hsm->dir[0] != 0) {
        const char *argv[] = {NULL, "remove", hsm->dir, NULL};
        (void)run(argv);
        hsm->dir[0] = 0;
    }
}

const char *sm_softhsm_module(void)
{
    const char *path = getenv("SM_SOFTHSM");
    return path == NULL || *path == 0 ? "/usr/lib/softhsm/libsofthsm2.so" : path;
}

const char *sm_softhsm_slow_module(void)
{
    return SM_SLOW_MODULE;
}

const char *sm_softhsm_faulty_module(void)
{
    return SM_FAULTY_MODULE;
}
