/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stddef.h>

struct err_row {
    uint32_t code;
    const char *name;
    const char *words;
};

static const struct err_row rows[] = {
#define X(name, number, category, words) {SM_ERR_CODE(number, category), #name, words},
    SM_ERR_LIST(X)
#undef X
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct err_row *find(sm_err err)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].code == err.code) {
            return &rows[i];
        }
    }
    return NULL;
}

/* Lower-case names as literals would say every name twice in err.h; they are made once instead. */
static char lower_names[ROWS][24];

__attribute__((constructor)) static void make_lower_names(void)
{
    for (size_t i = 0; i < ROWS; i++) {
        const char *from = rows[i].name;
        for (size_t j = 0; from[j] != '\0' && j + 1 < sizeof(lower_names[i]); j++) {
            char c = from[j];
            lower_names[i][j] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
        }
    }
}

const char *sm_err_name(sm_err err)
{
    if (sm_ok(err)) {
        return "ok";
    }
    const struct err_row *row = find(err);
    return row == NULL ? "unknown" : lower_names[row - rows];
}

const char *sm_err_words(sm_err err)
{
    if (sm_ok(err)) {
        return "no error";
    }
    const struct err_row *row = find(err);
    return row == NULL ? "unknown error" : row->words;
}
