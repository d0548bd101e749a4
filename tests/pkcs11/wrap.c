/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the wrapped module and forwards every function to it. */
#include "wrap_p.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);

CK_FUNCTION_LIST *sm_wrap_real;

/* ---- Settings ---- */

static bool setting_beside(const char *name, char out[SM_WRAP_SETTING_LEN])
{
    Dl_info self;
    char line[SM_WRAP_SETTING_LEN];
    if (dladdr(&sm_wrap_table, &self) == 0 || self.dli_fname == NULL) {
        return false;
    }
    (void)snprintf(line, sizeof(line), "%s.env", self.dli_fname);
    FILE *f = fopen(line, "re");
    if (f == NULL) {
        return false;
    }
    size_t len = strlen(name);
    bool found = false;
    while (!found && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = 0;
        found = strncmp(line, name, len) == 0 && line[len] == '=';
    }
    (void)fclose(f);
    if (found) {
        (void)snprintf(out, SM_WRAP_SETTING_LEN, "%s", line + len + 1);
    }
    return found;
}

bool sm_wrap_setting(const char *name, char out[SM_WRAP_SETTING_LEN])
{
    if (setting_beside(name, out)) {
        return true;
    }
    const char *value = getenv(name);
    if (value == NULL || *value == 0 || strlen(value) >= SM_WRAP_SETTING_LEN) {
        return false;
    }
    (void)snprintf(out, SM_WRAP_SETTING_LEN, "%s", value);
    return true;
}

unsigned long sm_wrap_setting_number(const char *name, unsigned long otherwise)
{
    char text[SM_WRAP_SETTING_LEN];
    if (!sm_wrap_setting(name, text)) {
        return otherwise;
    }
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != 0) {
        (void)fprintf(stderr, "%s: %s is not a number\n", name, text);
        abort();
    }
    return value;
}

/* ---- Calls ---- */

CK_RV sm_wrap_enter(const struct sm_wrap_call *call)
{
    sm_wrap_count_enter(call->fn);
    CK_RV rv = sm_wrap_on_call(call);
    if (call->has_session) {
        sm_wrap_session_use();
    }
    return rv;
}

CK_RV sm_wrap_leave(const struct sm_wrap_call *call, CK_RV rv)
{
    if (call->has_session) {
        sm_wrap_session_done();
    }
    rv = sm_wrap_on_return(call, rv);
    sm_wrap_count_leave(call->fn, rv);
    return rv;
}

#define FORWARD(fn_name, params, args, ...)                                  \
    static CK_RV forward_##fn_name params                                    \
    {                                                                        \
        struct sm_wrap_call call = {.fn = FN_##fn_name, ##__VA_ARGS__};      \
        CK_RV rv = sm_wrap_enter(&call);                                     \
        if (rv == CKR_OK) {                                                  \
            rv = sm_wrap_real->fn_name == NULL ? CKR_FUNCTION_NOT_SUPPORTED  \
                                               : sm_wrap_real->fn_name args; \
        }                                                                    \
        return sm_wrap_leave(&call, rv);                                     \
    }
#define FORWARD_G(name, params, args) FORWARD(name, params, args)
#define FORWARD_L(name, params, args) FORWARD(name, params, args, .has_slot = true, .slot = slot)
#define FORWARD_S(name, params, args) \
    FORWARD(name, params, args, .has_session = true, .session = session)

SM_WRAP_FUNCTIONS(FORWARD_G, FORWARD_L, FORWARD_S)

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                          CK_SESSION_HANDLE *session)
{
    struct sm_wrap_call call = {.fn = FN_C_OpenSession, .has_slot = true, .slot = slot};
    CK_RV rv = sm_wrap_enter(&call);
    if (rv == CKR_OK && !sm_wrap_session_reserve(slot)) {
        rv = CKR_SESSION_COUNT;
    } else if (rv == CKR_OK) {
        rv = sm_wrap_real->C_OpenSession(slot, flags, app, notify, session);
        if (rv == CKR_OK) {
            sm_wrap_session_record(slot, *session);
        } else {
            sm_wrap_session_release(slot);
        }
    }
    return sm_wrap_leave(&call, rv);
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
    CK_RV rv = forward_C_CloseSession(session);
    if (rv == CKR_OK) {
        sm_wrap_session_forget(session);
    }
    return rv;
}

static CK_RV close_all_sessions(CK_SLOT_ID slot)
{
    CK_RV rv = forward_C_CloseAllSessions(slot);
    if (rv == CKR_OK) {
        sm_wrap_sessions_forget(&slot);
    }
    return rv;
}

static CK_RV initialize(void *arg)
{
    struct sm_wrap_call call = {.fn = FN_C_Initialize};
    sm_wrap_sessions_limit(sm_wrap_setting_number("SM_P11_MAX_SESSIONS", 0));
    CK_RV rv = sm_wrap_enter(&call);
    if (rv == CKR_OK) {
        rv = sm_wrap_on_initialize(arg);
    }
    if (rv == CKR_OK) {
        rv = sm_wrap_real->C_Initialize(arg);
    }
    return sm_wrap_leave(&call, rv);
}

static CK_RV finalize(void *reserved)
{
    struct sm_wrap_call call = {.fn = FN_C_Finalize};
    CK_RV rv = sm_wrap_enter(&call);
    if (rv == CKR_OK) {
        rv = sm_wrap_real->C_Finalize(reserved);
    }
    if (rv == CKR_OK) {
        sm_wrap_sessions_forget(NULL);
    }
    rv = sm_wrap_leave(&call, rv);
    sm_wrap_counts_write();
    return rv;
}

/* clang-format off */
#define ENTRY(name, params, args) .name = forward_##name,
CK_FUNCTION_LIST sm_wrap_table = {
    .version = {2, 40}, /* whatever the headers are of: the list of C_GetFunctionList is that version's */
    .C_GetFunctionList = C_GetFunctionList,
    SM_WRAP_FUNCTIONS(ENTRY, ENTRY, ENTRY)
};
/* clang-format on */

/* ---- Loading ---- */

/* A copy in memory has an inode of its own, so the loader makes a new instance of it. The
 * descriptor stays open: the loader knows the library by its path, which must not come to mean
 * another. */
static void *load_copy(const char *path)
{
    char copy[64];
    struct stat st;
    off_t at = 0;
    int from = open(path, O_RDONLY | O_CLOEXEC);
    int to = memfd_create("pkcs11", MFD_CLOEXEC);
    bool ok = from >= 0 && to >= 0 && fstat(from, &st) == 0;
    while (ok && at < st.st_size) {
        ok = sendfile(to, from, &at, (size_t)(st.st_size - at)) > 0;
    }
    if (from >= 0) {
        (void)close(from);
    }
    (void)snprintf(copy, sizeof(copy), "/proc/%ld/fd/%d", (long)getpid(), to);
    void *library = ok ? dlopen(copy, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library == NULL) {
        (void)fprintf(stderr, "wrapped module %s: %s\n", path, ok ? dlerror() : strerror(errno));
    }
    return library;
}

static void load(void)
{
    char path[SM_WRAP_SETTING_LEN] = SM_WRAP_DEFAULT;
    (void)sm_wrap_setting("SM_P11_WRAPPED", path);
    void *library = load_copy(path);
    if (library == NULL) {
        return;
    }
    union {
        void *symbol;
        CK_C_GetFunctionList get;
    } entry = {dlsym(library, "C_GetFunctionList")};
    if (entry.symbol == NULL || entry.get(&sm_wrap_real) != CKR_OK) {
        (void)fprintf(stderr, "%s is not a PKCS#11 module\n", path);
        sm_wrap_real = NULL;
        return;
    }
    sm_wrap_table.C_Initialize = initialize;
    sm_wrap_table.C_Finalize = finalize;
    sm_wrap_table.C_OpenSession = open_session;
    sm_wrap_table.C_CloseSession = close_session;
    sm_wrap_table.C_CloseAllSessions = close_all_sessions;
    sm_wrap_on_load();
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, load);
    if (list == NULL) {
        return CKR_ARGUMENTS_BAD;
    }
    if (sm_wrap_real == NULL) {
        return CKR_GENERAL_ERROR;
    }
    *list = &sm_wrap_table;
    return CKR_OK;
}
