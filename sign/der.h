/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DER: a bounded reader and a writer that patches its own lengths.
 *
 * Reader: a cursor with a sticky error. After the first fault every read gives empty values; check
 * once with sm_der_err. Writer: sm_der_begin writes the tag and leaves room for one length octet;
 * sm_der_end fills it in and moves the content only when it is longer than 127 octets. Content is
 * appended to the sm_buf in between.
 *
 * Threads:   values.
 * Limits:    SM_DER_DEPTH_MAX nested constructions; lengths up to 2^31-1; tags of one octet; arcs of
 *            OIDs under 2^128.
 * Security:  refuses indefinite and non-minimal lengths, high tag numbers, non-minimal integers,
 *            booleans but 00/FF.
 * Standards: X.690 (DER), clauses 8 and 10.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define SM_DER_DEPTH_MAX 32

enum sm_der_tag {
    SM_DER_BOOLEAN = 0x01,
    SM_DER_INTEGER = 0x02,
    SM_DER_BIT_STRING = 0x03,
    SM_DER_OCTET_STRING = 0x04,
    SM_DER_NULL = 0x05,
    SM_DER_OID = 0x06,
    SM_DER_ENUMERATED = 0x0a,
    SM_DER_UTF8_STRING = 0x0c,
    SM_DER_PRINTABLE_STRING = 0x13,
    SM_DER_TELETEX_STRING = 0x14,
    SM_DER_IA5_STRING = 0x16,
    SM_DER_UTC_TIME = 0x17,
    SM_DER_GENERALIZED_TIME = 0x18,
    SM_DER_UNIVERSAL_STRING = 0x1c,
    SM_DER_BMP_STRING = 0x1e,
    SM_DER_SEQUENCE = 0x30,
    SM_DER_SET = 0x31,
};

/* Context-specific tags: primitive (implicit) and constructed (explicit, or implicit of a
 * construction). */
#define SM_DER_CTX(n) ((uint8_t)(0x80U | (n)))
#define SM_DER_CTX_CONS(n) ((uint8_t)(0xa0U | (n)))

typedef struct sm_der {
    const uint8_t *at;
    const uint8_t *end;
    sm_err err; /* sticky: MALFORMED or TRUNCATED */
    uint8_t depth;
} sm_der;

static inline sm_der sm_der_init(sm_slice bytes)
{
    return (sm_der){bytes.ptr, bytes.ptr == NULL ? NULL : bytes.ptr + bytes.len, SM_NO_ERR, 0};
}

static inline sm_err sm_der_err(const sm_der *d)
{
    return d->err;
}

/* Nothing left (or a fault). */
bool sm_der_at_end(const sm_der *d);
/* The next tag, or 0 at the end. */
uint8_t sm_der_peek(const sm_der *d);
/* Reads an element with this tag: its content. A fault if the tag differs. */
sm_slice sm_der_read(sm_der *d, uint8_t tag);
/* Any element: its tag and content (0 and empty at a fault). */
sm_slice sm_der_read_any(sm_der *d, uint8_t *tag);
/* The whole next element with its header. */
sm_slice sm_der_read_raw(sm_der *d);
/* If the next tag is this one, reads it and says true. */
bool sm_der_read_if(sm_der *d, uint8_t tag, sm_slice *content);
/* Enters a construction: a reader of its content (it inherits depth; a fault inside must be brought
 * back with sm_der_leave). */
sm_der sm_der_enter(sm_der *d, uint8_t tag);
/* Ends a reader made by sm_der_enter: leftover octets are MALFORMED; faults go to the parent. */
void sm_der_leave(sm_der *parent, const sm_der *inner);
/* Marks MALFORMED unless all was read, and returns the error. */
SM_FALLIBLE sm_der_finish(sm_der *d);
void sm_der_fail(sm_der *d, sm_err err);

/* Whether the octets are elements of well-formed DER, one after the other: constructions to their
 * ground, universal types by their rules (the alphabets of strings aside). For what is kept or
 * passed on without being understood. Errors: MALFORMED, TRUNCATED. */
SM_FALLIBLE sm_der_check(sm_slice elements);

bool sm_der_read_bool(sm_der *d);
/* Minimal, non-negative, fits 63 bits. */
uint64_t sm_der_read_u64(sm_der *d);
/* Content octets of an INTEGER, minimal two's complement. */
sm_slice sm_der_read_integer(sm_der *d);
/* The same, must be positive or zero; without the leading zero octet. */
sm_slice sm_der_read_unsigned(sm_der *d);
/* Content octets of the OID. */
sm_slice sm_der_read_oid(sm_der *d);
/* BIT STRING with no unused bits: its octets. */
sm_slice sm_der_read_bits(sm_der *d);
/* UTCTime or GeneralizedTime as RFC 5280 4.1.2.5 allows: seconds since 1970. */
int64_t sm_der_read_time(sm_der *d);

/* ---- writer ---- */
typedef struct sm_der_block {
    size_t at; /* where the length octet is */
} sm_der_block;

sm_der_block sm_der_begin(sm_buf *out, uint8_t tag);
void sm_der_end(sm_buf *out, sm_der_block block);
void sm_der_write(sm_buf *out, uint8_t tag, sm_slice content);
void sm_der_write_bool(sm_buf *out, bool v);
void sm_der_write_u64(sm_buf *out, uint64_t v);
/* A positive integer from big-endian octets (leading zeros dropped, sign octet added). */
void sm_der_write_unsigned(sm_buf *out, sm_slice magnitude);
void sm_der_write_null(sm_buf *out);
/* Content octets as in sm_der_read_oid. */
void sm_der_write_oid(sm_buf *out, sm_slice oid);
/* BIT STRING of whole octets. */
void sm_der_write_bits(sm_buf *out, sm_slice octets);
/* A named-bit BIT STRING: trailing zero bits removed (X.690 11.2.2). Bit 0 is the most significant
 * of the first octet; `bits` has bit n at 1 << n. */
void sm_der_write_named_bits(sm_buf *out, uint32_t bits);
/* UTCTime until 2049, else GeneralizedTime (RFC 5280 4.1.2.5). */
void sm_der_write_time(sm_buf *out, int64_t unix_s);
void sm_der_write_generalized_time(sm_buf *out, int64_t unix_s);

/* The encoded size of a header for `len` content octets. */
size_t sm_der_header_size(size_t len);

/* Content octets of an OID: minimal, complete, within the limit of arcs. */
bool sm_oid_is_good(sm_slice oid);
/* Dotted text <-> content octets, appended. Errors: MALFORMED; the buffer's own. After MALFORMED
 * the buffer is as long as it was. */
SM_FALLIBLE sm_oid_from_text(sm_slice text, sm_buf *out);
SM_FALLIBLE sm_oid_to_text(sm_slice oid, sm_buf *out);
