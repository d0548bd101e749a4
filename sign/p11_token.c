/* SPDX-License-Identifier: Apache-2.0 */
/* Slots, sessions, logins: blocking calls on one token. */
#include "base/clock.h"
#include "base/mem.h"
#include "sign/p11_pool_p.h"

#include <time.h>

static void remember_info(struct sm_token *token, const CK_TOKEN_INFO *info)
{
    (void)pthread_mutex_lock(&token->set->lock);
    token->known = true;
    token->info = *info;
    (void)pthread_mutex_unlock(&token->set->lock);
}

/* PKCS#11 5.5: a token may turn up in another slot than last time. */
CK_RV sm_p11_find_slot(struct sm_token *token, CK_SLOT_ID *slot, CK_TOKEN_INFO *info)
{
    struct p11_module *m = token->module;
    CK_ULONG count = 0;
    CK_RV rv = P11(m, C_GetSlotList(CK_TRUE, NULL, &count));
    if (rv == CKR_CRYPTOKI_NOT_INITIALIZED && (rv = sm_p11_module_initialize(m)) == CKR_OK) {
        rv = P11(m, C_GetSlotList(CK_TRUE, NULL, &count));
    }
    if (rv != CKR_OK) {
        return rv;
    }
    CK_SLOT_ID *list = sm_calloc(count + 1, sizeof(*list));
    if (list == NULL) {
        return CKR_HOST_MEMORY;
    }
    rv = P11(m, C_GetSlotList(CK_TRUE, list, &count));
    bool found = false;
    for (CK_ULONG i = 0; rv == CKR_OK && i < count && !found; i++) {
        found = P11(m, C_GetTokenInfo(list[i], info)) == CKR_OK &&
                p11_kit_uri_match_token_info(token->uri, info) == 1;
        *slot = list[i];
    }
    sm_free(list);
    if (rv == CKR_OK && found) {
        remember_info(token, info);
    }
    return rv != CKR_OK ? rv : found ? CKR_OK : CKR_TOKEN_NOT_PRESENT;
}

/* Under login_lock. A login that does not come back holds up who waits for it, no longer than one call may take, and nobody
 * who comes later: unless the token never took this PIN, and may be about to say that it is wrong. */
static CK_RV wait_for_turn(struct sm_token *token)
{
    bool waited = false;
    while (token->logging_in) {
        uint64_t over_ns = token->login_ns + token->call_timeout_ns;
        const struct timespec over = {.tv_sec = (time_t)(over_ns / SM_NS_PER_S),
                                      .tv_nsec = (long)(over_ns % SM_NS_PER_S)};
        if (sm_clock_mono_ns() >= over_ns) {
            return waited || !token->accepted ? P11_RV_HUNG : CKR_OK;
        }
        waited = true;
        (void)pthread_cond_timedwait(&token->login_over, &token->login_lock, &over);
    }
    return CKR_OK;
}

/* Under login_lock, which it gives up meanwhile. */
static CK_RV show_pin(struct sm_token *token, CK_SESSION_HANDLE session, CK_USER_TYPE user)
{
    uint64_t began = sm_clock_mono_ns();
    token->logging_in = true;
    token->login_ns = began;
    (void)pthread_mutex_unlock(&token->login_lock);
    CK_RV rv = P11(token->module, C_Login(session, user, token->pin.ptr, token->pin.len));
    (void)pthread_mutex_lock(&token->login_lock);
    if (sm_p11_trouble(rv) == P11_REFUSED) {
        token->refused = rv;
    }
    token->accepted = token->accepted || rv == CKR_OK;
    if (token->login_ns == began) { /* nobody was let past it */
        token->logging_in = false;
        (void)pthread_cond_broadcast(&token->login_over);
    }
    return rv;
}

/* Tokens count wrong PINs and lock themselves: what one session was refused no other tries. */
CK_RV sm_p11_login(struct sm_token *token, CK_SESSION_HANDLE session, CK_USER_TYPE user)
{
    if (token->pin.len == 0 && user == CKU_USER) {
        return CKR_OK;
    }
    (void)pthread_mutex_lock(&token->login_lock);
    CK_RV rv = wait_for_turn(token);
    rv = token->refused != CKR_OK ? token->refused : rv;
    if (rv == CKR_OK) {
        rv = show_pin(token, session, user);
    }
    (void)pthread_mutex_unlock(&token->login_lock);
    return rv == CKR_USER_ALREADY_LOGGED_IN && user == CKU_USER ? CKR_OK : rv;
}

bool sm_p11_is_logged_in(struct sm_token *token, CK_SESSION_HANDLE session)
{
    CK_SESSION_INFO info = {.state = 0};
    return token->pin.len == 0 ||
           (P11(token->module, C_GetSessionInfo(session, &info)) == CKR_OK &&
            (info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS));
}

CK_RV sm_p11_session_open(struct sm_token *token, CK_SLOT_ID slot, bool writable,
                          CK_SESSION_HANDLE *out)
{
    CK_FLAGS flags = CKF_SERIAL_SESSION | (writable ? CKF_RW_SESSION : 0UL);
    CK_RV rv = P11(token->module, C_OpenSession(slot, flags, NULL, NULL, out));
    if (rv != CKR_OK) {
        return rv;
    }
    rv = sm_p11_login(token, *out, CKU_USER);
    if (rv != CKR_OK) {
        sm_p11_session_close(token, *out);
    }
    return rv;
}

void sm_p11_session_close(struct sm_token *token, CK_SESSION_HANDLE session)
{
    (void)P11(token->module, C_CloseSession(session)); /* it may be gone already */
}

sm_err sm_p11_token_err(CK_RV rv, const struct sm_token *token, sm_diag *diag)
{
    enum p11_trouble trouble = sm_p11_trouble(rv);
    bool passing = trouble == P11_SESSION || trouble == P11_TOKEN || trouble == P11_FULL;
    return sm_diag_set(diag, passing ? SM_ERR(UNAVAILABLE) : SM_ERR(TOKEN), "key_uri",
                       "the token %s says %s", token->name, sm_p11_name(rv));
}
