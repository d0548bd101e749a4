/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define NAMED(name) \
    {               \
#name, name \
    }
static const struct {
    const char *name;
    CK_RV rv;
} values[] = {
    NAMED(CKR_OK),
    NAMED(CKR_HOST_MEMORY),
    NAMED(CKR_SLOT_ID_INVALID),
    NAMED(CKR_GENERAL_ERROR),
    NAMED(CKR_FUNCTION_FAILED),
    NAMED(CKR_ARGUMENTS_BAD),
    NAMED(CKR_NEED_TO_CREATE_THREADS),
    NAMED(CKR_CANT_LOCK),
    NAMED(CKR_ATTRIBUTE_SENSITIVE),
    NAMED(CKR_ATTRIBUTE_TYPE_INVALID),
    NAMED(CKR_DATA_INVALID),
    NAMED(CKR_DATA_LEN_RANGE),
    NAMED(CKR_DEVICE_ERROR),
    NAMED(CKR_DEVICE_MEMORY),
    NAMED(CKR_DEVICE_REMOVED),
    NAMED(CKR_FUNCTION_CANCELED),
    NAMED(CKR_FUNCTION_NOT_SUPPORTED),
    NAMED(CKR_KEY_HANDLE_INVALID),
    NAMED(CKR_KEY_FUNCTION_NOT_PERMITTED),
    NAMED(CKR_MECHANISM_INVALID),
    NAMED(CKR_MECHANISM_PARAM_INVALID),
    NAMED(CKR_OBJECT_HANDLE_INVALID),
    NAMED(CKR_OPERATION_ACTIVE),
    NAMED(CKR_OPERATION_NOT_INITIALIZED),
    NAMED(CKR_PIN_INCORRECT),
    NAMED(CKR_PIN_INVALID),
    NAMED(CKR_PIN_EXPIRED),
    NAMED(CKR_PIN_LOCKED),
    NAMED(CKR_SESSION_CLOSED),
    NAMED(CKR_SESSION_COUNT),
    NAMED(CKR_SESSION_HANDLE_INVALID),
    NAMED(CKR_TOKEN_NOT_PRESENT),
    NAMED(CKR_TOKEN_NOT_RECOGNIZED),
    NAMED(CKR_TOKEN_WRITE_PROTECTED),
    NAMED(CKR_USER_ALREADY_LOGGED_IN),
    NAMED(CKR_USER_NOT_LOGGED_IN),
    NAMED(CKR_USER_PIN_NOT_INITIALIZED),
    NAMED(CKR_USER_ANOTHER_ALREADY_LOGGED_IN),
    NAMED(CKR_USER_TOO_MANY_TYPES),
    NAMED(CKR_BUFFER_TOO_SMALL),
    NAMED(CKR_CRYPTOKI_NOT_INITIALIZED),
    NAMED(CKR_CRYPTOKI_ALREADY_INITIALIZED),
    NAMED(CKR_FUNCTION_REJECTED),
    NAMED(CKR_VENDOR_DEFINED),
};

static const struct {
    const char *word;
    enum sm_fault_action action;
    CK_RV rv; /* what the call answers where the word itself says so */
} actions[] = {
    {"late", SM_FAULT_LATE, CKR_OK},
    {"delay", SM_FAULT_DELAY, CKR_OK},
    {"hang", SM_FAULT_HANG, CKR_OK},
    {"session-lost", SM_FAULT_SESSION_LOST, CKR_SESSION_HANDLE_INVALID},
    {"sessions-lost", SM_FAULT_SESSIONS_LOST, CKR_SESSION_HANDLE_INVALID},
    {"login-lost", SM_FAULT_LOGIN_LOST, CKR_USER_NOT_LOGGED_IN},
    {"corrupt", SM_FAULT_CORRUPT, CKR_OK},
    {"short", SM_FAULT_SHORT, CKR_OK},
    {"long", SM_FAULT_LONG, CKR_OK},
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static bool parse_number(const char *word, unsigned long *out)
{
    char *end = NULL;
    if (word == NULL || *word < '0' || *word > '9') {
        return false;
    }
    errno = 0;
    unsigned long value = strtoul(word, &end, 0);
    if (errno != 0 || *end != 0) {
        return false;
    }
    *out = value;
    return true;
}

/* CKR_OK is no fault: it would mean to forward. */
static bool parse_value(const char *word, CK_RV *out)
{
    for (size_t i = 0; word != NULL && i < COUNT(values); i++) {
        if (strcmp(word, values[i].name) == 0) {
            *out = values[i].rv;
            return *out != CKR_OK;
        }
    }
    return word != NULL && strncmp(word, "0x", 2) == 0 && parse_number(word, out) && *out != CKR_OK;
}

/* Cuts `@token` off `word`. */
static bool parse_token(char *word, char out[SM_FAULTS_LABEL + 1])
{
    char *at = strchr(word, '@');
    out[0] = 0;
    if (at == NULL) {
        return true;
    }
    *at = 0;
    size_t len = strlen(at + 1);
    if (len == 0 || len > SM_FAULTS_LABEL) {
        return false;
    }
    (void)memcpy(out, at + 1, len + 1);
    return true;
}

static bool parse_function(const char *word, enum sm_wrap_fn *out)
{
    *out = strcmp(word, "*") == 0 ? SM_WRAP_FN_COUNT : sm_wrap_find(word);
    return *out != SM_WRAP_FN_COUNT || strcmp(word, "*") == 0;
}

static bool is_of_signatures(const struct sm_fault *f)
{
    return f->fn == FN_C_Sign || f->fn == FN_C_SignFinal;
}

/* The words after the function: `save` is strtok_r's. */
static bool parse_action(char **save, struct sm_fault *f)
{
    const char *word = strtok_r(NULL, " \t", save);
    if (word == NULL) {
        return false;
    }
    for (size_t i = 0; i < COUNT(actions); i++) {
        if (strcmp(word, actions[i].word) == 0) {
            f->action = actions[i].action;
            f->rv = actions[i].rv;
        }
    }
    if (f->action == SM_FAULT_NONE) {
        f->action = SM_FAULT_ANSWER;
        if (!parse_value(word, &f->rv)) {
            return false;
        }
    }
    word = strtok_r(NULL, " \t", save);
    if (f->action == SM_FAULT_LATE || (f->action == SM_FAULT_HANG && parse_value(word, &f->rv))) {
        if (!parse_value(word, &f->rv)) {
            return false;
        }
        word = strtok_r(NULL, " \t", save);
    } else if (f->action == SM_FAULT_DELAY) {
        if (!parse_number(word, &f->ms)) {
            return false;
        }
        word = strtok_r(NULL, " \t", save);
    }
    f->left = ULONG_MAX;
    bool ok = word == NULL || parse_number(word, &f->left);
    bool shapes = f->action >= SM_FAULT_CORRUPT && f->action <= SM_FAULT_LONG;
    return ok && strtok_r(NULL, " \t", save) == NULL && (!shapes || is_of_signatures(f));
}

static bool parse_fault(char *word, char **save, struct sm_faults *out)
{
    struct sm_fault f = {.action = SM_FAULT_NONE, .fn = SM_WRAP_FN_COUNT, .left = ULONG_MAX};
    bool ok = out->n < SM_FAULTS_MAX && parse_token(word, f.token);
    if (ok && strcmp(word, "removed") == 0) {
        f.action = SM_FAULT_REMOVED;
        ok = strtok_r(NULL, " \t", save) == NULL;
    } else {
        ok = ok && parse_function(word, &f.fn) && parse_action(save, &f);
    }
    if (ok) {
        out->at[out->n++] = f;
    }
    return ok;
}

static bool parse_line(char *line, struct sm_faults *out)
{
    char *save = NULL;
    char *word = strtok_r(line, " \t", &save);
    if (word == NULL || *word == '#') {
        return true;
    }
    if (strcmp(word, "clear") == 0) {
        *out = (struct sm_faults){0};
    } else if (strcmp(word, "counts") == 0) {
        out->counts = true;
    } else if (strcmp(word, "serial") == 0) {
        word = strtok_r(NULL, " \t", &save);
        out->serial = word == NULL ? SM_FAULT_SERIAL_ABORT : SM_FAULT_SERIAL_COUNT;
        if (word != NULL && strcmp(word, "count") != 0) {
            return false;
        }
    } else {
        return parse_fault(word, &save, out);
    }
    return strtok_r(NULL, " \t", &save) == NULL;
}

unsigned sm_faults_parse(char *text, struct sm_faults *out)
{
    struct sm_faults read = {0};
    unsigned number = 0;
    for (char *line = text; line != NULL;) {
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end = 0;
        }
        number++;
        if (!parse_line(line, &read)) {
            return number;
        }
        line = end == NULL ? NULL : end + 1;
    }
    *out = read;
    return 0;
}
