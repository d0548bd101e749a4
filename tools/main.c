/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "tools/commands.h"

/* In the order of --help: the server, certificates, CAs and profiles, callers, signatures, the
 * rest. */
static const struct cli_command *const commands[] = {
    &command_serve,         &command_dev,           &command_config_check,
    &command_backup,        &command_restore,       &command_db_check,
    &command_issue,         &command_renew,         &command_get,
    &command_list,          &command_revoke,        &command_release,
    &command_status,        &command_ca_create,     &command_ca_csr,
    &command_ca_import,     &command_ca_list,       &command_ca_show,
    &command_ca_rollover,   &command_ca_disable,    &command_ca_enable,
    &command_ocsp_create,   &command_ocsp_csr,      &command_ocsp_certificate,
    &command_ocsp_import,   &command_ocsp_load,     &command_profile_list,
    &command_profile_show,  &command_profile_put,   &command_profile_delete,
    &command_token_create,  &command_token_list,    &command_token_revoke,
    &command_whoami,        &command_crl_list,      &command_crl_make,
    &command_crl_fetch,     &command_crl_show,      &command_crl_load,
    &command_otp_create,    &command_otp_list,      &command_otp_revoke,
    &command_approval_list, &command_approval_show, &command_approval_approve,
    &command_approval_deny, &command_approval_edit, &command_hash_password,
    &command_audit,         &command_key_create,    &command_key_list,
    &command_sign,          &command_load,          &command_completion,
};

int main(int argc, char **argv)
{
    return cli_main(argc, argv, commands, SM_ARRAY_LEN(commands));
}
