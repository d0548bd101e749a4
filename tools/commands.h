/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands, one static table row each; main.c lists them.
 *
 * Threads:   main.
 * Limits:    none.
 * Security:  see cli.h.
 * Standards: none.
 */
#pragma once

#include "tools/cli.h"

extern const struct cli_command command_serve;
extern const struct cli_command command_dev;
extern const struct cli_command command_config_check;
extern const struct cli_command command_issue;
extern const struct cli_command command_renew;
extern const struct cli_command command_get;
extern const struct cli_command command_list;
extern const struct cli_command command_revoke;
extern const struct cli_command command_release;
extern const struct cli_command command_status;
extern const struct cli_command command_ca_create;
extern const struct cli_command command_ca_import;
extern const struct cli_command command_ca_csr;
extern const struct cli_command command_ca_list;
extern const struct cli_command command_ca_show;
extern const struct cli_command command_ocsp_create;
extern const struct cli_command command_ocsp_csr;
extern const struct cli_command command_ocsp_certificate;
extern const struct cli_command command_ocsp_import;
extern const struct cli_command command_ocsp_load;
extern const struct cli_command command_token_create;
extern const struct cli_command command_crl_list;
extern const struct cli_command command_crl_make;
extern const struct cli_command command_crl_fetch;
extern const struct cli_command command_crl_show;
extern const struct cli_command command_crl_load;
extern const struct cli_command command_otp_create;
extern const struct cli_command command_otp_list;
extern const struct cli_command command_otp_revoke;
extern const struct cli_command command_decrypt_key_add;
extern const struct cli_command command_decrypt_key_list;
extern const struct cli_command command_decrypt_key_remove;
extern const struct cli_command command_approval_list;
extern const struct cli_command command_approval_show;
extern const struct cli_command command_approval_approve;
extern const struct cli_command command_approval_deny;
extern const struct cli_command command_approval_edit;
extern const struct cli_command command_hash_password;
extern const struct cli_command command_ca_rollover;
extern const struct cli_command command_ca_disable;
extern const struct cli_command command_ca_enable;
extern const struct cli_command command_profile_list;
extern const struct cli_command command_profile_show;
extern const struct cli_command command_profile_put;
extern const struct cli_command command_profile_delete;
extern const struct cli_command command_token_list;
extern const struct cli_command command_token_revoke;
extern const struct cli_command command_whoami;
extern const struct cli_command command_audit;
extern const struct cli_command command_key_list;
extern const struct cli_command command_key_create;
extern const struct cli_command command_sign;
extern const struct cli_command command_load;
extern const struct cli_command command_backup;
extern const struct cli_command command_restore;
extern const struct cli_command command_db_check;
