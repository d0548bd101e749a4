/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file. */
#include "api/profile.h"
#include "gen/sealmill/v1/config.pb-c.h"
#include "proto/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sm_arena arena;
    sm_diag diag = {.reason = ""};
    ProtobufCMessage *m;
    sm_arena_init(&arena, 16U << 20);
    if (size < 65536 && sm_ok(sm_message_from_yaml(&sealmill__config__v1__config__descriptor,
                                                   sm_slice_of(data, size), &arena, &m, &diag))) {
        Sealmill__Config__V1__Config *config = (Sealmill__Config__V1__Config *)(void *)m;
        for (size_t i = 0; i < config->n_profiles; i++) {
            struct sm_profile profile;
            if (sm_ok(sm_profile_compile(config->profiles[i], &arena, &profile, &diag))) {
                sm_profile_deinit(&profile);
            }
        }
    }
    sm_arena_deinit(&arena);
    return 0;
}
