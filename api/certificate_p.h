/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside api: the handlers of CertificateService.
 *
 * Threads:   start and stream handlers on the loop; work handlers on service threads.
 * Limits:    see each.
 * Security:  roles are in the table (certificate.c); rights for a CA and profile are checked here.
 * Standards: RFC 5280 5.3 (reasons).
 */
#pragma once

#include "api/call.h"
#include "api/issue.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "sign/alg.h"

void sm_start_issue(sm_call *call, const ProtobufCMessage *request);
void sm_start_renew(sm_call *call, const ProtobufCMessage *request);
/* Issue and Renew. */
void sm_issue_gone(sm_call *call);
void sm_start_issue_stream(sm_call *call, const ProtobufCMessage *request);
void sm_issue_stream_message(sm_call *call, const ProtobufCMessage *message, sm_arena *arena);
void sm_issue_stream_half_close(sm_call *call);
void sm_issue_stream_writable(sm_call *call);
void sm_issue_stream_gone(sm_call *call);
sm_err sm_work_get(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response);
sm_err sm_work_list(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response);
sm_err sm_work_revoke(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response);
sm_err sm_work_release(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response);
void sm_start_watch(sm_call *call, const ProtobufCMessage *request);
void sm_watch_writable(sm_call *call);
void sm_watch_gone(sm_call *call);

/* An issuance for the call, not yet started, that answers it at its end: the call is held until then.
 * NULL without memory. */
sm_issue *sm_issue_new(sm_call *call, const Sealmill__V1__IssueRequest *request);
/* The certificate's message from its record and state, in `arena`. */
SM_FALLIBLE sm_describe_certificate(sm_call *call, sm_slice serial, bool brief, sm_arena *arena,
                                    Sealmill__V1__Certificate **out);
/* The same from the record's octets. */
SM_FALLIBLE sm_describe_record(sm_call *call, sm_slice serial, bool brief, sm_slice packed,
                               sm_arena *arena, Sealmill__V1__Certificate **out);
