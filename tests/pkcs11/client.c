/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/pkcs11/client.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static bool copy_file(const char *from, const char *to)
{
    struct stat st;
    off_t at = 0;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    bool ok = in >= 0 && out >= 0 && fstat(in, &st) == 0;
    while (ok && at < st.st_size) {
        ok = sendfile(out, in, &at, (size_t)(st.st_size - at)) > 0;
    }
    if (in >= 0) {
        (void)close(in);
    }
    if (out >= 0) {
        (void)close(out);
    }
    return ok;
}

static bool write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    bool ok = f != NULL && fputs(text, f) >= 0;
    return (f == NULL || fclose(f) == 0) && ok;
}

static bool open_library(struct sm_p11_client *c)
{
    void *library = dlopen(c->path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        (void)fprintf(stderr, "%s\n", dlerror());
        return false;
    }
    union {
        void *symbol;
        CK_C_GetFunctionList get;
        void (*counts_write)(void);
    } entry = {dlsym(library, "C_GetFunctionList")};
    if (entry.symbol == NULL || entry.get(&c->f) != CKR_OK) {
        return false;
    }
    entry.symbol = dlsym(library, "sm_wrap_counts_write");
    c->counts_write = entry.counts_write;
    return c->counts_write != NULL;
}

bool sm_p11_client_load(struct sm_p11_client *c, const struct sm_softhsm *hsm, const char *module,
                        const char *settings)
{
    static unsigned serial;
    char env[sizeof(c->path) + 8];
    char text[1024];
    *c = (struct sm_p11_client){0};
    (void)snprintf(c->path, sizeof(c->path), "%s/module-%u.so", hsm->dir, serial++);
    (void)snprintf(c->control, sizeof(c->control), "%s.control", c->path);
    (void)snprintf(c->counts, sizeof(c->counts), "%s.counts", c->path);
    (void)snprintf(env, sizeof(env), "%s.env", c->path);
    (void)snprintf(text, sizeof(text), "%s\nSM_P11_CONTROL=%s\nSM_P11_COUNTS=%s\n", settings,
                   c->control, c->counts);
    if (!copy_file(module, c->path) || !write_file(env, text)) {
        (void)fprintf(stderr, "%s: %s\n", c->path, strerror(errno));
        return false;
    }
    return open_library(c);
}

void sm_p11_client_unload(struct sm_p11_client *c)
{
    char env[sizeof(c->path) + 8];
    if (c->f != NULL) {
        (void)unlink(c->control);
        (void)c->f->C_Finalize(NULL);
    }
    (void)snprintf(env, sizeof(env), "%s.env", c->path);
    (void)unlink(env);
    (void)unlink(c->control);
    (void)unlink(c->counts);
    (void)unlink(c->path);
    *c = (struct sm_p11_client){0};
}

bool sm_p11_client_control(const struct sm_p11_client *c, const char *text)
{
    char beside[sizeof(c->control) + 8];
    (void)snprintf(beside, sizeof(beside), "%s.new", c->control);
    return write_file(beside, text) && rename(beside, c->control) == 0;
}

unsigned long sm_p11_client_count(const struct sm_p11_client *c, const char *line,
                                  const char *field)
{
    char text[256];
    char wanted[64];
    unsigned long value = 0;
    c->counts_write();
    FILE *f = fopen(c->counts, "re");
    if (f == NULL) {
        return 0;
    }
    (void)snprintf(wanted, sizeof(wanted), " %s=", field);
    size_t len = strlen(line);
    while (fgets(text, sizeof(text), f) != NULL) {
        const char *at = strstr(text, wanted);
        if (strncmp(text, line, len) == 0 && text[len] == ' ' && at != NULL) {
            value = strtoul(at + strlen(wanted), NULL, 10);
        }
    }
    (void)fclose(f);
    return value;
}

CK_RV sm_p11_client_slot(const struct sm_p11_client *c, const char *label, CK_SLOT_ID *slot)
{
    CK_SLOT_ID slots[32];
    CK_ULONG n = sizeof(slots) / sizeof(*slots);
    CK_BYTE wanted[32];
    (void)memset(wanted, ' ', sizeof(wanted));
    (void)memcpy(wanted, label, strnlen(label, sizeof(wanted)));
    CK_RV rv = c->f->C_GetSlotList(1, slots, &n);
    for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++) {
        CK_TOKEN_INFO info;
        rv = c->f->C_GetTokenInfo(slots[i], &info);
        if (rv == CKR_OK && memcmp(info.label, wanted, sizeof(wanted)) == 0) {
            *slot = slots[i];
            return CKR_OK;
        }
    }
    return rv == CKR_OK ? CKR_TOKEN_NOT_PRESENT : rv;
}

CK_RV sm_p11_client_open(const struct sm_p11_client *c, CK_SLOT_ID slot, const char *pin,
                         CK_SESSION_HANDLE *session)
{
    CK_BYTE copy[64];
    size_t len = strnlen(pin, sizeof(copy));
    (void)memcpy(copy, pin, len);
    CK_RV rv = c->f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, session);
    if (rv == CKR_OK) {
        rv = c->f->C_Login(*session, CKU_USER, copy, len);
        rv = rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv;
    }
    return rv;
}

CK_RV sm_p11_client_find(const struct sm_p11_client *c, CK_SESSION_HANDLE session,
                         CK_OBJECT_CLASS class, const char *label, CK_OBJECT_HANDLE *key)
{
    char copy[64];
    size_t len = strnlen(label, sizeof(copy));
    (void)memcpy(copy, label, len);
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, copy, len}};
    CK_ULONG n = 0;
    CK_RV rv = c->f->C_FindObjectsInit(session, wanted, 2);
    if (rv == CKR_OK) {
        rv = c->f->C_FindObjects(session, key, 1, &n);
        CK_RV last = c->f->C_FindObjectsFinal(session);
        rv = rv == CKR_OK ? last : rv;
    }
    return rv == CKR_OK && n != 1 ? CKR_KEY_HANDLE_INVALID : rv;
}

CK_RV sm_p11_client_sign(const struct sm_p11_client *c, CK_SESSION_HANDLE session,
                         CK_MECHANISM_TYPE mechanism, CK_OBJECT_HANDLE key, const CK_BYTE data[32],
                         CK_BYTE sig[SM_P11_CLIENT_SIG], CK_ULONG *len)
{
    CK_MECHANISM m = {.mechanism = mechanism};
    CK_BYTE copy[32];
    (void)memcpy(copy, data, sizeof(copy));
    *len = SM_P11_CLIENT_SIG;
    CK_RV rv = c->f->C_SignInit(session, &m, key);
    return rv == CKR_OK ? c->f->C_Sign(session, copy, sizeof(copy), sig, len) : rv;
}

CK_RV sm_p11_client_verify(const struct sm_p11_client *c, CK_SESSION_HANDLE session,
                           CK_MECHANISM_TYPE mechanism, CK_OBJECT_HANDLE key,
                           const CK_BYTE data[32], const CK_BYTE *sig, CK_ULONG len)
{
    CK_MECHANISM m = {.mechanism = mechanism};
    CK_BYTE copy[32];
    CK_BYTE sig_copy[SM_P11_CLIENT_SIG];
    (void)memcpy(copy, data, sizeof(copy));
    if (len > sizeof(sig_copy)) {
        return CKR_SIGNATURE_LEN_RANGE;
    }
    (void)memcpy(sig_copy, sig, len);
    CK_RV rv = c->f->C_VerifyInit(session, &m, key);
    return rv == CKR_OK ? c->f->C_Verify(session, copy, sizeof(copy), sig_copy, len) : rv;
}
