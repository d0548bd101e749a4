/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module: loaded once, however many of its tokens are used.
 *
 * Cryptoki is called directly, with p11-kit's headers: what decides whether a session, a token or
 * only one request is broken is the CKR code, which wrappers hide.
 *
 * Threads:   calls from any number of threads; to a module that cannot lock they go one at a time.
 * Limits:    none.
 * Security:  a module is code that runs in this process: its path comes from the configuration
 *            alone, never over the API.
 * Standards: PKCS#11 v2.40, RFC 7512.
 */
#pragma once

#include "base/diag.h"
#include "base/err.h"

#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdbool.h>

struct p11_module {
    char *path;
    void *library;
    CK_FUNCTION_LIST *f;
    bool one_thread;       /* constant once it is begun */
    pthread_mutex_t lane;  /* the one call at a time, with one_thread */
    pthread_mutex_t start; /* one C_Initialize at a time; covers begun */
    bool begun;            /* C_Initialize was called, and came back in order */
    unsigned refs;         /* of the token set that owns it */
    bool restarting;       /* under that set's lock: nobody else is to call it */
    struct p11_module *next;
};

/* Loads the library, and calls nothing of it that reaches a token. `one_thread`: even if it claims to lock. Errors:
 * NOT_FOUND, TOKEN, NO_MEMORY. Given. */
SM_FALLIBLE sm_p11_module_load(const char *path, bool one_thread, struct p11_module **out,
                               sm_diag *diag);
/* C_Initialize, before any other call, unless it was called already. May block for as long as the module likes. */
CK_RV sm_p11_module_begin(struct p11_module *module);
/* The same, but while another thread is in it: CKR_CRYPTOKI_NOT_INITIALIZED, at once. */
CK_RV sm_p11_module_try_begin(struct p11_module *module);
/* C_Finalize, and unloads. */
void sm_p11_module_unload(struct p11_module **module);
/* C_Initialize again, after the module said that it is not initialised; that still while another thread is in it, for which
 * nobody waits. */
CK_RV sm_p11_module_initialize(struct p11_module *module);

void sm_p11_enter(struct p11_module *module);
void sm_p11_leave(struct p11_module *module);

/* One call: P11(module, C_Sign(session, ...)). */
#define P11(module, call)              \
    ({                                 \
        sm_p11_enter(module);          \
        CK_RV rv_ = (module)->f->call; \
        sm_p11_leave(module);          \
        rv_;                           \
    })

/* Not Cryptoki's: what a call ends with that was to wait for another, which does not come back. */
#define P11_RV_HUNG (CKR_VENDOR_DEFINED | 0x534d0001UL)

/* What a failed call means for those who come after it. */
enum p11_trouble {
    P11_FINE,
    P11_REQUEST, /* this request cannot be done: it fails alone */
    P11_SESSION, /* the session, its login or its object handles are lost: open another */
    P11_TOKEN,   /* the token is not to be used for a while */
    P11_REFUSED, /* the PIN is wrong or locked: never again without the operator */
    P11_FULL,    /* no more sessions */
    P11_UNKNOWN, /* the vendor's own, or none that we know: whose trouble it is it does not say */
};
enum p11_trouble sm_p11_trouble(CK_RV rv);
/* "CKR_DEVICE_ERROR"; "CKR_?" when unknown. Static. */
const char *sm_p11_name(CK_RV rv);
