/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/p11_module.h"

#include "base/log.h"
#include "base/mem.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

void sm_p11_enter(struct p11_module *module)
{
    if (module->one_thread) {
        (void)pthread_mutex_lock(&module->lane);
    }
}

void sm_p11_leave(struct p11_module *module)
{
    if (module->one_thread) {
        (void)pthread_mutex_unlock(&module->lane);
    }
}

/* PKCS#11 5.4: a module that cannot use the system's locks says CANT_LOCK, and may then be used by
 * one thread at a time. */
static CK_RV initialize(struct p11_module *m)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    CK_RV rv = m->one_thread ? CKR_CANT_LOCK : m->f->C_Initialize(&args);
    if (rv == CKR_CANT_LOCK || rv == CKR_NEED_TO_CREATE_THREADS) {
        m->one_thread = true;
        rv = m->f->C_Initialize(NULL);
    }
    return rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ? CKR_OK : rv;
}

/* PKCS#11 5.4 promises nothing for two threads in C_Initialize: all its tokens find out at once
 * that a module was finalised. */
CK_RV sm_p11_module_initialize(struct p11_module *m)
{
    if (pthread_mutex_trylock(&m->start) != 0) {
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    CK_RV rv = initialize(m);
    (void)pthread_mutex_unlock(&m->start);
    return rv;
}

static sm_err open_library(struct p11_module *m, sm_diag *diag)
{
    /* It stays mapped for good: modules leave threads and exit handlers of their own behind. */
    m->library = dlopen(m->path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (m->library == NULL) {
        return sm_diag_set(diag, SM_ERR(NOT_FOUND), "pkcs11", "the module cannot be loaded: %.200s",
                           dlerror());
    }
    union {
        void *symbol;
        CK_C_GetFunctionList get;
    } entry = {dlsym(m->library, "C_GetFunctionList")};
    if (entry.symbol == NULL || entry.get(&m->f) != CKR_OK || m->f == NULL) {
        return sm_diag_set(diag, SM_ERR(TOKEN), "pkcs11", "%.200s is not a PKCS#11 module",
                           m->path);
    }
    return SM_NO_ERR;
}

sm_err sm_p11_module_load(const char *path, bool one_thread, struct p11_module **out, sm_diag *diag)
{
    struct p11_module *m = sm_calloc(1, sizeof(*m));
    if (m == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    (void)pthread_mutex_init(&m->lane, NULL);
    (void)pthread_mutex_init(&m->start, NULL);
    m->one_thread = one_thread;
    m->path = sm_strdup(path);
    sm_err err = m->path == NULL ? SM_ERR(NO_MEMORY) : open_library(m, diag);
    if (!sm_ok(err)) {
        sm_p11_module_unload(&m);
        return err;
    }
    *out = m;
    return SM_NO_ERR;
}

#define TURN_TRIES 200 /* a millisecond each */

/* One after the other: modules read their configuration with strtok and the like, and may be two copies of one. One that
 * hangs holds up the others for a moment alone. */
static CK_RV initialize_in_turn(struct p11_module *m)
{
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    bool mine = false;
    for (int i = 0; i < TURN_TRIES && !mine; i++) {
        mine = pthread_mutex_trylock(&turn) == 0;
        if (!mine) {
            (void)usleep(1000);
        }
    }
    CK_RV rv = initialize(m);
    if (mine) {
        (void)pthread_mutex_unlock(&turn);
    }
    return rv;
}

/* Under `start`, which it gives up. */
static CK_RV begin(struct p11_module *m)
{
    CK_RV rv = m->begun ? CKR_OK : initialize_in_turn(m);
    if (rv == CKR_OK && !m->begun && m->one_thread) {
        sm_log(SM_LOG_WARN, "pkcs11_one_thread", SM_KS("module", m->path), SM_KEND);
    }
    m->begun = rv == CKR_OK;
    (void)pthread_mutex_unlock(&m->start);
    return rv;
}

CK_RV sm_p11_module_begin(struct p11_module *m)
{
    (void)pthread_mutex_lock(&m->start);
    return begin(m);
}

CK_RV sm_p11_module_try_begin(struct p11_module *m)
{
    return pthread_mutex_trylock(&m->start) == 0 ? begin(m) : CKR_CRYPTOKI_NOT_INITIALIZED;
}

void sm_p11_module_unload(struct p11_module **module)
{
    struct p11_module *m = *module;
    *module = NULL;
    if (m == NULL) {
        return;
    }
    if (m->begun) {
        (void)m->f->C_Finalize(NULL);
    }
    if (m->library != NULL) {
        (void)dlclose(m->library);
    }
    (void)pthread_mutex_destroy(&m->lane);
    (void)pthread_mutex_destroy(&m->start);
    sm_free(m->path);
    sm_free(m);
}

/* Every code that has a meaning of its own here. */
static const struct {
    CK_RV rv;
    enum p11_trouble trouble;
    const char *name;
} codes[] = {
    {CKR_OK, P11_FINE, "CKR_OK"},
    {CKR_SESSION_HANDLE_INVALID, P11_SESSION, "CKR_SESSION_HANDLE_INVALID"},
    {CKR_SESSION_CLOSED, P11_SESSION, "CKR_SESSION_CLOSED"},
    {CKR_USER_NOT_LOGGED_IN, P11_SESSION, "CKR_USER_NOT_LOGGED_IN"},
    {CKR_OPERATION_ACTIVE, P11_SESSION, "CKR_OPERATION_ACTIVE"},
    {CKR_OPERATION_NOT_INITIALIZED, P11_SESSION, "CKR_OPERATION_NOT_INITIALIZED"},
    {CKR_KEY_HANDLE_INVALID, P11_SESSION, "CKR_KEY_HANDLE_INVALID"},
    {CKR_OBJECT_HANDLE_INVALID, P11_SESSION, "CKR_OBJECT_HANDLE_INVALID"},
    {CKR_FUNCTION_CANCELED, P11_SESSION, "CKR_FUNCTION_CANCELED"},
    {CKR_DEVICE_ERROR, P11_TOKEN, "CKR_DEVICE_ERROR"},
    {CKR_DEVICE_MEMORY, P11_TOKEN, "CKR_DEVICE_MEMORY"},
    {CKR_DEVICE_REMOVED, P11_TOKEN, "CKR_DEVICE_REMOVED"},
    {CKR_TOKEN_NOT_PRESENT, P11_TOKEN, "CKR_TOKEN_NOT_PRESENT"},
    {CKR_TOKEN_NOT_RECOGNIZED, P11_TOKEN, "CKR_TOKEN_NOT_RECOGNIZED"},
    {CKR_SLOT_ID_INVALID, P11_TOKEN, "CKR_SLOT_ID_INVALID"},
    {CKR_CRYPTOKI_NOT_INITIALIZED, P11_TOKEN, "CKR_CRYPTOKI_NOT_INITIALIZED"},
    {CKR_GENERAL_ERROR, P11_TOKEN, "CKR_GENERAL_ERROR"},
    {CKR_FUNCTION_FAILED, P11_TOKEN, "CKR_FUNCTION_FAILED"},
    {CKR_HOST_MEMORY, P11_TOKEN, "CKR_HOST_MEMORY"},
    {CKR_USER_ANOTHER_ALREADY_LOGGED_IN, P11_TOKEN, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN"},
    {CKR_USER_TOO_MANY_TYPES, P11_TOKEN, "CKR_USER_TOO_MANY_TYPES"},
    {CKR_USER_PIN_NOT_INITIALIZED, P11_REFUSED, "CKR_USER_PIN_NOT_INITIALIZED"},
    {CKR_PIN_INCORRECT, P11_REFUSED, "CKR_PIN_INCORRECT"},
    {CKR_PIN_INVALID, P11_REFUSED, "CKR_PIN_INVALID"},
    {CKR_PIN_LEN_RANGE, P11_REFUSED, "CKR_PIN_LEN_RANGE"},
    {CKR_PIN_EXPIRED, P11_REFUSED, "CKR_PIN_EXPIRED"},
    {CKR_PIN_LOCKED, P11_REFUSED, "CKR_PIN_LOCKED"},
    {P11_RV_HUNG, P11_TOKEN, "a call does not come back"},
    {CKR_SESSION_COUNT, P11_FULL, "CKR_SESSION_COUNT"},
    {CKR_ATTRIBUTE_SENSITIVE, P11_REQUEST, "CKR_ATTRIBUTE_SENSITIVE"},
    {CKR_ARGUMENTS_BAD, P11_REQUEST, "CKR_ARGUMENTS_BAD"},
    {CKR_ATTRIBUTE_TYPE_INVALID, P11_REQUEST, "CKR_ATTRIBUTE_TYPE_INVALID"},
    {CKR_ATTRIBUTE_VALUE_INVALID, P11_REQUEST, "CKR_ATTRIBUTE_VALUE_INVALID"},
    {CKR_BUFFER_TOO_SMALL, P11_REQUEST, "CKR_BUFFER_TOO_SMALL"},
    {CKR_DATA_INVALID, P11_REQUEST, "CKR_DATA_INVALID"},
    {CKR_DATA_LEN_RANGE, P11_REQUEST, "CKR_DATA_LEN_RANGE"},
    {CKR_FUNCTION_NOT_SUPPORTED, P11_REQUEST, "CKR_FUNCTION_NOT_SUPPORTED"},
    {CKR_KEY_FUNCTION_NOT_PERMITTED, P11_REQUEST, "CKR_KEY_FUNCTION_NOT_PERMITTED"},
    {CKR_KEY_SIZE_RANGE, P11_REQUEST, "CKR_KEY_SIZE_RANGE"},
    {CKR_KEY_TYPE_INCONSISTENT, P11_REQUEST, "CKR_KEY_TYPE_INCONSISTENT"},
    {CKR_MECHANISM_INVALID, P11_REQUEST, "CKR_MECHANISM_INVALID"},
    {CKR_MECHANISM_PARAM_INVALID, P11_REQUEST, "CKR_MECHANISM_PARAM_INVALID"},
    {CKR_TEMPLATE_INCOMPLETE, P11_REQUEST, "CKR_TEMPLATE_INCOMPLETE"},
    {CKR_TEMPLATE_INCONSISTENT, P11_REQUEST, "CKR_TEMPLATE_INCONSISTENT"},
    {CKR_TOKEN_WRITE_PROTECTED, P11_REQUEST, "CKR_TOKEN_WRITE_PROTECTED"},
    {CKR_CANT_LOCK, P11_REQUEST, "CKR_CANT_LOCK"},
};

enum p11_trouble sm_p11_trouble(CK_RV rv)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (codes[i].rv == rv) {
            return codes[i].trouble;
        }
    }
    return P11_UNKNOWN;
}

const char *sm_p11_name(CK_RV rv)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (codes[i].rv == rv) {
            return codes[i].name;
        }
    }
    return rv >= CKR_VENDOR_DEFINED ? "CKR_VENDOR_DEFINED" : "CKR_?";
}
