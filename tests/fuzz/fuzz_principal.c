/* SPDX-License-Identifier: Apache-2.0 */
/* Kerberos principals as a KDC may write them: nobody of another realm comes in, and nothing leaves its attribute. */
#include <stdint.h>

#include "api/otp.h"
#include "api/principal_map.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_found(sm_slice principal, const struct sm_principal_found *found)
{
    SM_CHECK(sm_slice_equal(sm_principal_realm(principal), SM_LIT("A.NET")));
    SM_CHECK(found->entity.len > 0 && found->entity.len <= SM_OTP_ENTITY_MAX);
    SM_CHECK(found->subject == NULL || strncmp(found->subject, "CN=", 3) == 0);
    SM_CHECK(found->subject == NULL || strpbrk(found->subject + 3, ",+=\\\"<>;# ") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Sealmill__Config__V1__Negotiate message;
    Sealmill__Config__V1__NegotiatePrincipal rules[2];
    Sealmill__Config__V1__NegotiatePrincipal *all[] = {&rules[0], &rules[1]};
    char host[] = "host/(.*)@.*";
    char any[] = ".*@.*";
    char subject[] = "CN=\\1";
    struct sm_principal_found found;
    sm_principal_map *map;
    sm_arena arena;
    sealmill__config__v1__negotiate__init(&message);
    sealmill__config__v1__negotiate_principal__init(&rules[0]);
    sealmill__config__v1__negotiate_principal__init(&rules[1]);
    rules[0].principal = host;
    rules[0].subject = subject;
    rules[1].principal = any;
    message.principals = all;
    message.n_principals = 2;
    const struct sm_principal_claim claim = {
        .principal = sm_slice_of(data, size), .service = SM_LIT("HTTP/est@A.NET"), .label = ""};
    sm_arena_init(&arena, 1U << 20);
    SM_CHECK(sm_ok(sm_principal_map_make(&message, &arena, &map, NULL)));
    if (sm_ok(sm_principal_map_find(map, &claim, &arena, &found, NULL))) {
        check_found(claim.principal, &found);
    }
    sm_principal_map_deinit(map);
    sm_arena_deinit(&arena);
    return 0;
}
