/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the configuration's check: what its parts share.
 *
 * Threads:   main.
 * Limits:    paths of SM_DIAG_FIELD_MAX octets; longer ones are cut.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "tools/config.h"

struct check {
    const Sealmill__Config__V1__Config *config;
    bool files; /* look at them */
    sm_arena arena;
    sm_diag *diag;
};

/* A path in the configuration: "listeners[1].address". */
struct place {
    char text[SM_DIAG_FIELD_MAX];
};
__attribute__((format(printf, 1, 2))) struct place config_at(const char *fmt, ...);

static inline bool config_given(const char *s)
{
    return s != NULL && s[0] != '\0';
}

/* What an inner check said, with the place in front of its field. Returns `err`. */
sm_err config_pass_on(struct check *c, sm_err err, struct place place, const sm_diag *inner);

/* That a file is there and may be read; true of "" and where files are elsewhere. Errors:
 * NOT_FOUND, OS. */
SM_FALLIBLE config_check_file(struct check *c, const char *path, struct place place);
/* The same of a private key, a PIN, a passphrase: its group may read it (a service's account under
 * another owner's file is usual), others may not. systemd's credentials are private as they come.
 * Errors: INVALID too. */
SM_FALLIBLE config_check_secret_file(struct check *c, const char *path, struct place place);

SM_FALLIBLE config_check_listeners(struct check *c);
