/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records to and from the store: small helpers that every operation shares.
 *
 * Threads:   no state.
 * Limits:    none.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "api/caller.h"
#include "base/arena.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "gen/sealmill/v1/record.pb-c.h"

#include <protobuf-c/protobuf-c.h>

#define SM_RECORD_VERSION 1

/* Packs into the arena. Errors: NO_MEMORY. */
SM_FALLIBLE sm_record_pack(const ProtobufCMessage *message, sm_arena *arena, sm_slice *out);
/* Reads and unpacks (blocking). Errors: NOT_FOUND, DISK, CORRUPT (a version that we do not know,
 * too). */
SM_FALLIBLE sm_record_get(sm_store *store, enum sm_store_family family, sm_slice key,
                          const ProtobufCMessageDescriptor *type, sm_arena *arena,
                          ProtobufCMessage **out);
/* Unpacks what was read. Errors: CORRUPT, as above. */
SM_FALLIBLE sm_record_unpack(sm_slice packed, const ProtobufCMessageDescriptor *type,
                             sm_arena *arena, ProtobufCMessage **out);
/* protobuf-c's octets, which are not const, borrowing a slice's. */
ProtobufCBinaryData sm_binary(sm_slice s);
/* A name of the user's: 1 to 63 letters, digits, '-', '_' and '.', the first of them no '.'. Names stand
 * in paths, in logs and in grants. */
bool sm_record_name_is_good(const char *name);
/* A key of META: prefix and name, in the arena. */
SM_FALLIBLE sm_record_key(const char *prefix, sm_slice name, sm_arena *arena, sm_slice *out);

/* What the audit says of one action. */
struct sm_audit {
    const char *caller;
    const char *action;  /* "certificate.issue" */
    const char *outcome; /* "ok" or an error's name */
    const char *target;
    const char *profile;
    const char *detail;
    sm_slice correlation_id;
    sm_slice serial;
    uint32_t ca_id;
    uint32_t kind; /* sealmill.v1.InventoryEvent.Kind */
    uint32_t reason;
    sm_slice index_keys; /* of a certificate, and when it expires (indexer.h) */
    int64_t not_after;
};

/* Packs a LogRecord into the arena. */
SM_FALLIBLE sm_audit_pack(const struct sm_audit *audit, sm_arena *arena, sm_slice *out);

/* A write of one META record with its audit record (blocking, service threads). */
struct sm_change {
    sm_slice key;
    sm_slice value;
    bool remove;
    const struct sm_store_cond *conds;
    size_t cond_count;
    const struct sm_audit *audit;
    const sm_slice *gone; /* keys of META that are removed with it */
    size_t gone_count;
    const struct sm_store_put *more; /* other rows, and their log records */
    size_t more_count;
    const sm_slice *more_log;
    size_t more_log_count;
    bool uncertain; /* out: the write failed, but its record may be on the disk */
};
/* Errors: CONFLICT, EXISTS, QUEUE_FULL, DRAINING, TOO_LARGE, NO_MEMORY, DISK. */
SM_FALLIBLE sm_change_write(sm_store *store, struct sm_change *change, sm_arena *arena);

/* When the last record of the log was written, unix milliseconds; 0: the log is empty. Errors: DISK,
 * CORRUPT, NO_MEMORY. */
SM_FALLIBLE sm_record_last_time_ms(sm_store *store, int64_t *out);

/* What a StateRecord's octets say: false for revoked or on hold. Errors: CORRUPT, NO_MEMORY. */
SM_FALLIBLE sm_record_state_is_valid(sm_slice packed, bool *valid);

/* What OCSP needs of a CertificateRecord: its issuer, and when it expires (Unix seconds). The first
 * fields alone are read. */
struct sm_record_brief {
    uint32_t ca_id;
    uint32_t generation;
    int64_t not_after;
};
/* False for octets that are no such record. */
bool sm_record_read_brief(sm_slice packed, struct sm_record_brief *out);

/* A serial from hex text (either case, colons). Errors: INVALID. */
SM_FALLIBLE sm_serial_parse(const char *text, sm_arena *arena, sm_slice *out, sm_diag *diag);
/* A NUL-terminated copy for protobuf's char *; never NULL ("" without memory). */
char *sm_text(sm_arena *arena, sm_slice s);
Google__Protobuf__Timestamp *sm_timestamp(sm_arena *arena, int64_t unix_s);
