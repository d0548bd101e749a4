/* SPDX-License-Identifier: Apache-2.0 */
#include "api/method.h"

#include "base/check.h"
#include "base/map.h"

#include <stdio.h>

#define METHODS_MAX 256

static const struct sm_method *all[METHODS_MAX];
static size_t count;
static sm_map *by_path;

static sm_err add(const struct sm_method *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char path[160];
        union {
            const struct sm_method *in;
            void *out;
        } row = {&rows[i]};
        (void)snprintf(path, sizeof(path), "/%s/%s", rows[i].service, rows[i].name);
        SM_CHECK(count < METHODS_MAX);
        all[count++] = &rows[i];
        SM_TRY(sm_map_put(by_path, sm_slice_str(path), row.out, NULL));
    }
    return SM_NO_ERR;
}

sm_err sm_methods_init(void)
{
    if (by_path != NULL) {
        return SM_NO_ERR;
    }
    SM_TRY(sm_map_new(METHODS_MAX, &by_path));
    SM_TRY(add(sm_certificate_methods, sm_certificate_method_count));
    SM_TRY(add(sm_ca_methods, sm_ca_method_count));
    SM_TRY(add(sm_admin_methods, sm_admin_method_count));
    SM_TRY(add(sm_maintenance_methods, sm_maintenance_method_count));
    SM_TRY(add(sm_signing_methods, sm_signing_method_count));
    SM_TRY(add(sm_crl_methods, sm_crl_method_count));
    SM_TRY(add(sm_otp_methods, sm_otp_method_count));
    SM_TRY(add(sm_decrypt_key_methods, sm_decrypt_key_method_count));
    SM_TRY(add(sm_approval_methods, sm_approval_method_count));
    SM_TRY(add(sm_status_methods, sm_status_method_count));
    return add(sm_infra_methods, sm_infra_method_count);
}

const struct sm_method *sm_method_by_path(sm_slice path)
{
    return sm_map_get(by_path, path);
}

size_t sm_method_count(void)
{
    return count;
}

const struct sm_method *sm_method_at(size_t at)
{
    return all[at];
}

bool sm_method_has_service(sm_slice service)
{
    for (size_t i = 0; i < count; i++) {
        if (sm_slice_equal(sm_slice_str(all[i]->service), service)) {
            return true;
        }
    }
    return false;
}
