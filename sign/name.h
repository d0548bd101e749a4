/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Distinguished names and general names.
 *
 * Threads:   no state.
 * Limits:    SM_NAME_ATTRIBUTES_MAX attributes, upper bounds of RFC 5280 appendix A, SM_SANS_MAX
 *            names.
 * Security:  every value from outside is checked for its string type's alphabet and for embedded
 *            NULs before it is used.
 * Standards: RFC 5280 4.1.2.4, 4.2.1.6, 7; RFC 4514 (text); RFC 5891 (A-labels); RFC 1034/1123 (host
 *            names).
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"

#define SM_NAME_ATTRIBUTES_MAX 32
#define SM_SANS_MAX 1000

struct sm_name_attribute {
    sm_slice oid;       /* content octets */
    uint8_t tag;        /* string type */
    sm_slice value;     /* content octets as encoded */
    bool with_previous; /* in the same RDN as the one before (multi-valued) */
};

struct sm_name {
    struct sm_name_attribute at[SM_NAME_ATTRIBUTES_MAX];
    size_t count;
};

/* From a Name's DER (with header); borrows it. Values are strings of DirectoryString or IA5String,
 * not empty, well-formed for their type (UTF-8, PrintableString's alphabet, no NUL); joined
 * attributes come in DER's order. `*out` is undefined after an error. Errors: MALFORMED, TRUNCATED,
 * TOO_LARGE. */
SM_FALLIBLE sm_name_parse(sm_slice der, struct sm_name *out, sm_diag *diag);
/* Makes UTF8Strings of what is TeletexString, BMPString or UniversalString (and IA5String where
 * that must not be): old clients still send these, RFC 5280 4.1.2.4 wants none issued. For a parsed
 * name; new values in `arena`. Errors: NO_MEMORY. */
SM_FALLIBLE sm_name_use_utf8(struct sm_name *name, sm_arena *arena);
/* Appends DER with header. Values are written with the tag given, joined attributes in DER's order.
 */
void sm_name_write(sm_buf *out, const struct sm_name *name);
/* RFC 4514 text (reverse order, as the RFC says; types without a short name as dotted OID and
 * #hex), appended. Errors: as sm_name_parse; the buffer's own. */
SM_FALLIBLE sm_name_to_text(sm_slice der, sm_buf *out);
/* From "C=DE,O=Acme,CN=x" in ENCODING order (OpenSSL's habit) with RFC 4514's escapes and #hex
 * values into `out`, values in `arena`: PrintableString for C and serialNumber, IA5String for DC
 * and emailAddress, else UTF8String. `*out` is undefined after an error. Errors: MALFORMED, INVALID
 * (unknown type), TOO_LARGE, NO_MEMORY. */
SM_FALLIBLE sm_name_from_text(sm_slice text, sm_arena *arena, struct sm_name *out, sm_diag *diag);
/* Fills one attribute from a type ("CN", "commonName" or dotted OID) and UTF-8 value: known types
 * have the string type and length of RFC 5280 A.1 (C two letters, CN 1 to 64 characters, ...),
 * others are UTF8Strings. Leaves with_previous false. Errors: INVALID, MALFORMED, TOO_LARGE,
 * NO_MEMORY. */
SM_FALLIBLE sm_name_attribute_make(sm_slice type, sm_slice value, sm_arena *arena,
                                   struct sm_name_attribute *out, sm_diag *diag);
/* Short name of an attribute type ("CN"), or NULL; and back (content octets). Errors: MALFORMED
 * (unknown and not dotted), NO_MEMORY. */
const char *sm_attribute_short_name(sm_slice oid);
SM_FALLIBLE sm_attribute_oid(sm_slice type, sm_arena *arena, sm_slice *oid);

/* GeneralName choices: numbers are the context tags (RFC 5280 4.2.1.6). */
enum sm_san_kind {
    SM_SAN_OTHER = 0,
    SM_SAN_EMAIL = 1,
    SM_SAN_DNS = 2,
    SM_SAN_X400 = 3,
    SM_SAN_DIRECTORY = 4,
    SM_SAN_EDI = 5,
    SM_SAN_URI = 6,
    SM_SAN_IP = 7,
    SM_SAN_REGISTERED_ID = 8,
};

struct sm_san {
    enum sm_san_kind kind;
    sm_slice value; /* dns, email, uri: text; ip: 4 or 16 octets (8 or 32 in name
                     * constraints); directory: Name DER; registered_id: OID; other: the
                     * whole content of [0] */
};

/* From a SubjectAltName extension's value, which the names borrow; the array in `arena`. Checks
 * each name as sm_san_check. Errors: MALFORMED, TRUNCATED, INVALID, TOO_LARGE, UNSUPPORTED (x400,
 * edi_party), NO_MEMORY. */
SM_FALLIBLE sm_sans_parse(sm_slice value, bool wildcards, sm_arena *arena, struct sm_san **out,
                          size_t *count, sm_diag *diag);
/* Whether one of them is the same name, octet for octet. */
bool sm_sans_have(const struct sm_san *sans, size_t count, const struct sm_san *wanted);
/* Checks one name's syntax: DNS: LDH labels, A-labels that decode, one leading "*." before two
 * labels if `wildcards`; e-mail: ASCII dot-string@host; URI: RFC 3986, absolute, its host a name or
 * an address; IP: 4 or 16 octets; directory: a Name, not empty; other: well-formed DER. Errors:
 * INVALID, UNSUPPORTED. */
SM_FALLIBLE sm_san_check(const struct sm_san *san, bool wildcards, sm_diag *diag);
/* Checks one name as a subtree of name constraints (RFC 5280 4.2.1.10): IP has 8 or 32 octets,
 * hosts may begin with a dot for URI and e-mail. Errors: INVALID. */
SM_FALLIBLE sm_san_check_constraint(const struct sm_san *san, sm_diag *diag);
/* Appends a GeneralNames SEQUENCE. */
void sm_sans_write(sm_buf *out, const struct sm_san *sans, size_t count);
/* Appends one GeneralName. */
void sm_san_write(sm_buf *out, const struct sm_san *san);
/* From text with a type word: ("dns", "x.example"), ("ip", "192.0.2.1" or with a mask
 * "192.0.2.0/24"), ("email", ..), ("uri", ..),
 * ("registered_id", "1.2.3"), ("directory", as sm_name_from_text). Copied to `arena`; the syntax of
 * dns, email and uri is not checked here (sm_san_check). Errors: INVALID, MALFORMED, UNSUPPORTED,
 * TOO_LARGE, NO_MEMORY. */
SM_FALLIBLE sm_san_from_text(sm_slice type, sm_slice text, sm_arena *arena, struct sm_san *out,
                             sm_diag *diag);
/* The text of a name without its type, appended; of an OtherName its type-id. Errors: MALFORMED,
 * UNSUPPORTED; the buffer's own. */
SM_FALLIBLE sm_san_to_text(const struct sm_san *san, sm_buf *out);
const char *sm_san_kind_name(enum sm_san_kind kind);
