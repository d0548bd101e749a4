/* SPDX-License-Identifier: Apache-2.0 */
#include "base/diag.h"

#include <stdarg.h>
#include <stdio.h>

/* The last line of defence for callers that forgot sm_diag_escape: nothing but printable ASCII is
 * kept. */
static void make_printable(char *s)
{
    for (; *s != '\0'; s++) {
        if (*s < 0x20 || *s > 0x7e) {
            *s = '?';
        }
    }
}

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
    make_printable(diag->field);
    make_printable(diag->reason);
    return err;
}

void sm_diag_clear(sm_diag *diag)
{
    if (diag != NULL) {
        diag->field[0] = '\0';
        diag->reason[0] = '\0';
    }
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '\\';
}

static size_t escaped_len(sm_slice in)
{
    size_t len = 0;
    for (size_t i = 0; i < in.len; i++) {
        len += is_plain(in.ptr[i]) ? 1 : 4;
    }
    return len;
}

const char *sm_diag_escape(sm_slice in, char *out, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    static const char cut[] = "...";
    if (size < sizeof(cut)) {
        return size == 0 ? "" : memcpy(out, "", 1);
    }
    /* Every octet makes at least one character: past `size` of them the rest need not be looked at.
     */
    bool fits = in.len < size && escaped_len(in) < size;
    size_t room = fits ? size - 1 : size - sizeof(cut);
    size_t at = 0;
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        if ((is_plain(c) ? 1U : 4U) > room - at) {
            break;
        }
        if (is_plain(c)) {
            out[at++] = (char)c;
            continue;
        }
        out[at++] = '\\';
        out[at++] = 'x';
        out[at++] = digits[c >> 4];
        out[at++] = digits[c & 15];
    }
    memcpy(out + at, fits ? "" : cut, fits ? 1 : sizeof(cut));
    return out;
}
