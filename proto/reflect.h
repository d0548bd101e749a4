/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file descriptors that were compiled in, for server reflection.
 *
 * Threads:   sm_reflect_init once at start; then constant.
 * Limits:    none.
 * Security:  what it answers is public: the .proto files.
 * Standards: google.protobuf.FileDescriptorProto.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* Indexes the embedded FileDescriptorSet. Errors: MALFORMED, NO_MEMORY. */
SM_FALLIBLE sm_reflect_init(void);
/* The serialized FileDescriptorProto of a file ("sealmill/v1/ca.proto"). Errors: NOT_FOUND. */
SM_FALLIBLE sm_reflect_file(sm_slice name, sm_slice *out);
/* The file that defines a symbol: a service, method ("pkg.Service.Method"), message, enum, field,
 * oneof or nested type. Errors: NOT_FOUND. */
SM_FALLIBLE sm_reflect_symbol(sm_slice symbol, sm_slice *out);
/* The names of files that `file` imports, so that a client can be sent all at once: calls `dep`
 * for each serialized dependency, transitive, each once, the file itself first. */
SM_FALLIBLE sm_reflect_closure(sm_slice file_descriptor, void (*dep)(void *ctx, sm_slice file),
                               void *ctx);
