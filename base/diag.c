/* SPDX-License-Identifier: Apache-2.0 */
#include "base/diag.h"

#include <stdarg.h>
#include <stdio.h>

sm_err sm_diag_set(sm_diag *diag, sm_err err, const char *field, const char *fmt, ...)
{
    if (diag == NULL || diag->reason[0] != '\0') {
        return err;
    }
    (void)snprintf(diag->field, sizeof(diag->field), "%s", field == NULL ? "" : field);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(diag->reason, sizeof(diag->reason), fmt, args);
    va_end(args);
    return err;
}

void sm_diag_clear(sm_diag *diag)
{
    if (diag != NULL) {
        diag->field[0] = '\0';
        diag->reason[0] = '\0';
    }
}

const char *sm_diag_escape(sm_slice in, char *out, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '\\';
        if (at + (plain ? 1 : 4) + 4 > size) {
            (void)snprintf(out + at, size - at, "...");
            return out;
        }
        if (plain) {
            out[at++] = (char)c;
            continue;
        }
        out[at++] = '\\';
        out[at++] = 'x';
        out[at++] = digits[c >> 4];
        out[at++] = digits[c & 15];
    }
    if (size > 0) {
        out[at] = '\0';
    }
    return out;
}
