/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partitions of CRLs: a certificate says in its cRLDistributionPoints which CRL it is on, and that stays so, however
 * many partitions there are later.
 *
 * A certificate of a CA whose CRLs are partitioned is in the partition that its serial number falls into when it is
 * issued: its URL ends in /crl/NAME.N.pPPPP.crl. Revoked, it is on that CRL, and on the generation's complete one. The
 * certificate is the only place that the partition is read from.
 *
 * Threads:   any.
 * Limits:    SM_CRL_PARTITIONS_MAX.
 * Security:  none.
 * Standards: RFC 5280 4.2.1.13, 5.2.5.
 */
#pragma once

#include "api/world.h"

/* Four digits of a URL. With that many a fleet of a hundred million has CRLs of a few hundred KiB. */
#define SM_CRL_PARTITIONS_MAX 4096

/* The text that stands for a partition in a template: "/crl/NAME.N.p0000.crl". NULL without memory. */
const char *sm_crl_partition_slot(const char *ca, uint32_t generation, sm_arena *arena);
/* What goes there for a serial number, `count` partitions; the same length. Errors: NO_MEMORY. */
SM_FALLIBLE sm_crl_partition_fill(sm_slice slot, sm_slice serial, uint32_t count, sm_arena *arena,
                                  sm_slice *out);
/* The partition that a certificate says it is in; 0: none. */
uint32_t sm_crl_partition_of(const struct sm_cert *cert, const char *ca, uint32_t generation);
/* Whether a profile's URL leads to this CA's CRL; what is before NAME in it. */
bool sm_crl_url_base(const char *url, const char *ca, sm_slice *base);
