/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of methods.
 *
 * Threads:   constant after sm_methods_init.
 * Limits:    none.
 * Security:  each row names the roles that it needs.
 * Standards: none.
 */
#pragma once

#include "api/call.h"

/* Builds the look-up tables once. Errors: NO_MEMORY. */
SM_FALLIBLE sm_methods_init(void);
/* By gRPC path, "/package.Service/Method"; NULL when there is none. */
const struct sm_method *sm_method_by_path(sm_slice path);
size_t sm_method_count(void);
const struct sm_method *sm_method_at(size_t at);
/* Whether a service of this full name is served (health checks ask). */
bool sm_method_has_service(sm_slice service);

/* The rows, by file. */
extern const struct sm_method sm_certificate_methods[];
extern const size_t sm_certificate_method_count;
extern const struct sm_method sm_ca_methods[];
extern const size_t sm_ca_method_count;
extern const struct sm_method sm_admin_methods[];
extern const size_t sm_admin_method_count;
extern const struct sm_method sm_infra_methods[];
extern const size_t sm_infra_method_count;
extern const struct sm_method sm_maintenance_methods[];
extern const size_t sm_maintenance_method_count;
extern const struct sm_method sm_signing_methods[];
extern const size_t sm_signing_method_count;
extern const struct sm_method sm_crl_methods[];
extern const size_t sm_crl_method_count;
extern const struct sm_method sm_otp_methods[];
extern const size_t sm_otp_method_count;
extern const struct sm_method sm_decrypt_key_methods[];
extern const size_t sm_decrypt_key_method_count;
extern const struct sm_method sm_approval_methods[];
extern const size_t sm_approval_method_count;
extern const struct sm_method sm_status_methods[];
extern const size_t sm_status_method_count;
