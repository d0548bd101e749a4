/* SPDX-License-Identifier: Apache-2.0 */
/* CertificateService: its rows in the table of methods. */
#include "api/certificate_p.h"
#include "api/method.h"

#include "base/check.h"

#define SERVICE .service = "sealmill.v1.CertificateService"
#define ISSUERS (SM_ROLE_ADMIN | SM_ROLE_OPERATOR | SM_ROLE_RA)

const struct sm_method sm_certificate_methods[] = {
    {SERVICE, .name = "Issue", .request = &sealmill__v1__issue_request__descriptor,
     .response = &sealmill__v1__issue_response__descriptor, .roles = ISSUERS, .http_method = "POST",
     .http_path = "/v1/certificates", .body = true, .start = sm_start_issue,
     .on_gone = sm_issue_gone},
    {SERVICE, .name = "IssueStream", .request = &sealmill__v1__issue_stream_request__descriptor,
     .response = &sealmill__v1__issue_stream_response__descriptor, .roles = ISSUERS,
     .client_streaming = true, .server_streaming = true, .start = sm_start_issue_stream,
     .on_message = sm_issue_stream_message, .on_half_close = sm_issue_stream_half_close,
     .on_writable = sm_issue_stream_writable, .on_gone = sm_issue_stream_gone},
    {SERVICE, .name = "Renew", .request = &sealmill__v1__renew_request__descriptor,
     .response = &sealmill__v1__issue_response__descriptor, .roles = ISSUERS, .http_method = "POST",
     .http_path = "/v1/certificates/{serial}:renew", .body = true, .start = sm_start_renew,
     .on_gone = sm_issue_gone},
    {SERVICE, .name = "Get", .request = &sealmill__v1__get_certificate_request__descriptor,
     .response = &sealmill__v1__certificate__descriptor, .roles = SM_ROLE_ANY, .http_method = "GET",
     .http_path = "/v1/certificates/{serial}", .work = sm_work_get},
    {SERVICE, .name = "List", .request = &sealmill__v1__list_certificates_request__descriptor,
     .response = &sealmill__v1__list_certificates_response__descriptor, .roles = SM_ROLE_ANY,
     .http_method = "GET", .http_path = "/v1/certificates", .work = sm_work_list},
    {SERVICE, .name = "Revoke", .request = &sealmill__v1__revoke_request__descriptor,
     .response = &sealmill__v1__certificate__descriptor, .roles = ISSUERS, .http_method = "POST",
     .http_path = "/v1/certificates/{serial}:revoke", .body = true, .work = sm_work_revoke},
    {SERVICE, .name = "Release", .request = &sealmill__v1__release_request__descriptor,
     .response = &sealmill__v1__certificate__descriptor, .roles = ISSUERS, .http_method = "POST",
     .http_path = "/v1/certificates/{serial}:release", .body = true, .work = sm_work_release},
    {SERVICE, .name = "Watch", .request = &sealmill__v1__watch_request__descriptor,
     .response = &sealmill__v1__inventory_event__descriptor,
     .roles = SM_ROLE_ADMIN | SM_ROLE_OPERATOR | SM_ROLE_AUDITOR | SM_ROLE_READER,
     .server_streaming = true, .http_method = "GET", .http_path = "/v1/certificates:watch",
     .start = sm_start_watch, .on_writable = sm_watch_writable, .on_gone = sm_watch_gone},
};
const size_t sm_certificate_method_count = SM_ARRAY_LEN(sm_certificate_methods);
