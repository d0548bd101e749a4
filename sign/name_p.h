/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside names: the alphabets of string types, and what the folder's other parsers need of host
 * names.
 *
 * Threads:   no state.
 * Limits:    none.
 * Security:  embedded NULs, unpaired surrogates and overlong UTF-8 are never good.
 * Standards: X.680 41 and 44, RFC 3629, RFC 5890, RFC 3492.
 */
#pragma once

#include "sign/name.h"

/* Whether the content octets are well-formed for a string type of DirectoryString or IA5String;
 * false for other tags. Empty is good. */
bool sm_string_is_good(uint8_t tag, sm_slice content);

/* A host name: LDH labels, A-labels that decode, not an IPv4 address in disguise. */
bool sm_host_is_good(sm_slice name);

/* An A-label ("xn--..."): Punycode of at least one character outside ASCII, in its shortest form.
 */
bool sm_alabel_is_good(sm_slice label);

/* Whether a CA may make it up: known types have the string type and length of RFC 5280 A.1, others
 * are UTF8String, PrintableString or IA5String. Errors: INVALID, MALFORMED, TOO_LARGE. */
SM_FALLIBLE sm_name_attribute_check(const struct sm_name_attribute *a, sm_diag *diag);

/* A string's characters in UTF-8, appended; TeletexString is read as Latin-1, as everybody does.
 * `content` is good. */
void sm_string_to_utf8(sm_buf *out, uint8_t tag, sm_slice content);

/* How many characters a good string has. */
size_t sm_string_length(uint8_t tag, sm_slice content);
