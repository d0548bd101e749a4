/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/index_txt.h"

#include "base/clock.h"
#include "base/text.h"

#define FIELDS 6
#define REASON_HOLD 6

enum { F_KIND, F_NOT_AFTER, F_REVOKED, F_SERIAL };

static sm_err bad(sm_diag *diag, const char *why)
{
    return sm_diag_set(diag, SM_ERR(MALFORMED), "line", "%s", why);
}

/* ---- times ---- */

static int number(const uint8_t *p, size_t digits)
{
    int n = 0;
    for (size_t i = 0; i < digits; i++) {
        n = n * 10 + (p[i] - '0');
    }
    return n;
}

/* RFC 5280 4.1.2.5.1: two digits of a year are of 1950 to 2049. */
static sm_err parse_time(sm_slice text, int64_t *out)
{
    size_t year = text.len == 13 ? 2 : 4;
    if ((text.len != 13 && text.len != 15) || text.ptr[text.len - 1] != 'Z') {
        return SM_ERR(MALFORMED);
    }
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return SM_ERR(MALFORMED);
        }
    }
    const uint8_t *p = text.ptr + year;
    struct sm_civil c = {.year = number(text.ptr, year),
                         .month = number(p, 2),
                         .day = number(p + 2, 2),
                         .hour = number(p + 4, 2),
                         .minute = number(p + 6, 2),
                         .second = number(p + 8, 2)};
    if (year == 2) {
        c.year += c.year < 50 ? 2000 : 1900;
    }
    return sm_civil_to_unix(&c, out);
}

/* ---- reasons ---- */

/* As openssl-ca writes them; the last two with a further field. */
static const struct {
    const char *word;
    int reason;
} reasons[] = {
    {"unspecified", 0},
    {"keyCompromise", 1},
    {"CACompromise", 2},
    {"affiliationChanged", 3},
    {"superseded", 4},
    {"cessationOfOperation", 5},
    {"certificateHold", REASON_HOLD},
    {"removeFromCRL", 8},
    {"privilegeWithdrawn", 9},
    {"AACompromise", 10},
    {"holdInstruction", REASON_HOLD},
    {"keyTime", 1},
    {"CAkeyTime", 2},
};

static sm_err parse_reason(sm_slice text, int *out)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (sm_slice_equal_nocase(text, sm_slice_str(reasons[i].word))) {
            *out = reasons[i].reason;
            return SM_NO_ERR;
        }
    }
    return SM_ERR(MALFORMED);
}

static sm_err parse_revoked(sm_slice field, struct sm_ocsp_imported *out, sm_diag *diag)
{
    sm_slice rest = field;
    sm_slice time = sm_slice_split(&rest, ',');
    sm_slice reason = rest.ptr == NULL ? SM_SLICE_NONE : sm_slice_split(&rest, ',');
    if (!sm_ok(parse_time(time, &out->revoked_at))) {
        return bad(diag, "the third field is not a time of revocation");
    }
    if (reason.len > 0 && !sm_ok(parse_reason(reason, &out->reason))) {
        return bad(diag, "the reason is not one that openssl-ca writes");
    }
    out->state = out->reason == REASON_HOLD ? SM_OCSP_IMPORTED_ON_HOLD : SM_OCSP_IMPORTED_REVOKED;
    return SM_NO_ERR;
}

/* ---- the line ---- */

static sm_err parse_serial(sm_slice hex, struct sm_index_line *out, sm_diag *diag)
{
    while (hex.len > 2 && hex.ptr[0] == '0' && hex.ptr[1] == '0') {
        hex = sm_slice_from(hex, 2);
    }
    sm_buf octets = sm_buf_init(SM_OCSP_SERIAL_MAX);
    sm_err err = sm_hex_decode(&octets, hex, false);
    if (sm_ok(err) && octets.len > 0) {
        memcpy(out->serial, octets.ptr, octets.len);
        out->serial_len = octets.len;
    }
    bool good = sm_ok(err) && octets.len > 0;
    sm_buf_deinit(&octets);
    return good ? SM_NO_ERR
                : bad(diag, "the fourth field is not a serial number of 1 to 20 octets in hex");
}

static sm_err split(sm_slice line, sm_slice fields[FIELDS], sm_diag *diag)
{
    sm_slice rest = line;
    for (int i = 0; i < FIELDS; i++) {
        if (rest.ptr == NULL) {
            return bad(diag, "six fields between tabs are wanted");
        }
        fields[i] = sm_slice_split(&rest, '\t');
    }
    return SM_NO_ERR;
}

sm_err sm_index_line_parse(sm_slice line, struct sm_index_line *out, sm_diag *diag)
{
    sm_slice fields[FIELDS];
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line = sm_slice_first(line, line.len - 1);
    }
    if (sm_slice_trim(line).len == 0 || line.ptr[0] == '#') {
        return SM_ERR(NOT_FOUND);
    }
    SM_TRY(split(line, fields, diag));
    out->what = (struct sm_ocsp_imported){.state = SM_OCSP_IMPORTED_VALID, .reason = -1};
    if (!sm_ok(parse_time(fields[F_NOT_AFTER], &out->what.not_after))) {
        return bad(diag, "the second field is not a time of expiry");
    }
    SM_TRY(parse_serial(fields[F_SERIAL], out, diag));
    char kind = fields[F_KIND].len == 1 ? (char)fields[F_KIND].ptr[0] : '?';
    if (kind == 'R') {
        return parse_revoked(fields[F_REVOKED], &out->what, diag);
    }
    if (kind != 'V' && kind != 'E') {
        return bad(diag, "it begins with none of V, R and E");
    }
    return fields[F_REVOKED].len == 0
               ? SM_NO_ERR
               : bad(diag, "a certificate that is not revoked has a time of revocation");
}
