/* SPDX-License-Identifier: Apache-2.0 */
#include "est-adapter/est_status.h"

#include <stddef.h>

/* Codes that are not what their category is. */
static const struct {
    uint32_t code;
    unsigned status;
} table[] = {
    {SM_E_NOT_FOUND, 404}, /* an unknown label, or an operation switched off (RFC 9110 15.5.5) */
    {SM_E_TOO_LARGE, 413}, /* RFC 9110 15.5.14 */
    {SM_E_CONFLICT, 503},  /* another request came in between: the same one may succeed */
    {SM_E_UNIMPLEMENTED, 501}, /* RFC 7030 4.3: full CMC is optional */
    {SM_E_RATE_LIMITED, 429},  /* RFC 6585 4 */
    {SM_E_PENDING, 202},       /* RFC 7030 4.2.3: with Retry-After */
    {SM_E_NO_MEMORY, 503},     /* RFC 9110 15.6.4 */
};

unsigned sm_est_status(sm_err err, bool scheme_helps)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].code == err.code) {
            return table[i].status;
        }
    }
    switch (sm_err_category(err)) {
    case SM_OK:
        return 200;
    case SM_INPUT:
        return 400; /* RFC 7030 4.2.3: with the reason in the body */
    case SM_DENIED:
        return scheme_helps ? 401 : 403; /* RFC 7030 3.2.3, RFC 9110 15.5.4 */
    case SM_BUSY:
    case SM_UPSTREAM:
        return 503; /* RFC 7030 4.2.3: Retry-After */
    default:
        return 500;
    }
}

bool sm_est_status_retries(unsigned status)
{
    return status == 202 || status == 429 || status == 503;
}
