/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a label asks its clients to put into their requests: EST's CSR attributes.
 *
 * A label that names OIDs asks for these. Otherwise what its profile and its own rules say is told: the type of key that
 * is liked best, keyUsage and extendedKeyUsage as they will be, a channel binding's attribute; and where names are wanted
 * that only the client knows, a template with a place for them.
 *
 * Threads:   a part of the world's build.
 * Limits:    SM_LABEL_ATTRIBUTES_MAX.
 * Security:  a wish: what is issued is the profile's matter.
 * Standards: RFC 7030 4.5.2, RFC 8951 3.5, RFC 9908 3.
 */
#pragma once

#include "api/label.h"

/* Sets the label's `attributes`, in the world's arena; empty: there is nothing to ask for. Errors: INVALID, TOO_LARGE with the
 * field; NO_MEMORY. */
SM_FALLIBLE sm_label_attributes_make(sm_world *world, struct sm_label *label, sm_diag *diag);
