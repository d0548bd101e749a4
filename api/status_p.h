/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside api: the handlers of StatusService that are not in status_service.c.
 *
 * Threads:   the loop's; `work` on a service thread.
 * Limits:    SM_STATUS_BATCH_MAX; see status_stream.c.
 * Security:  roles are in the table.
 * Standards: none.
 */
#pragma once

#include "api/call.h"
#include "gen/sealmill/v1/status.pb-c.h"

/* Questions of a CheckBatch: half a megabyte of answers by P-256 keys. */
#define SM_STATUS_BATCH_MAX 256

void sm_status_stream_start(sm_call *call, const ProtobufCMessage *request);
void sm_status_stream_message(sm_call *call, const ProtobufCMessage *message, sm_arena *arena);
void sm_status_stream_half_close(sm_call *call);
void sm_status_stream_writable(sm_call *call);

/* Entries of a message of Import. */
#define SM_STATUS_IMPORT_MAX 1000
void sm_status_import_start(sm_call *call, const ProtobufCMessage *request);
void sm_status_import_message(sm_call *call, const ProtobufCMessage *message, sm_arena *arena);
void sm_status_import_half_close(sm_call *call);
void sm_status_import_end(sm_call *call);

/* Responses of one LoadResponses. */
#define SM_STATUS_LOAD_MAX 1000
sm_err sm_work_load_responses(sm_call *call, const ProtobufCMessage *request,
                              ProtobufCMessage **response);
