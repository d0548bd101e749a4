/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is published of a CA under /ca/, and the URLs that certificates name for it.
 *
 *   NAME.cer    the current generation's certificate; NAME.2.cer (and NAME-2.cer, where no CA has
 *               that name) the second's
 *   NAME.2.new-with-old.cer, NAME.2.old-with-new.cer
 *               of a root that was rolled over: its second key signed with its first, and the
 *               other way round
 *   NAME.p7c    certs-only CMS of all generations, what is above the current one, and the root's
 *               links
 *
 * A name has no '.', so that NAME.2.cer is never another CA's.
 *
 * Threads:   no state; the world is attached.
 * Limits:    SM_PUBLISHED_MAX.
 * Security:  public certificates only.
 * Standards: RFC 5280 4.2.2.1; RFC 4210 4.4; RFC 8551 3.2.2 (certs-only), RFC 5652.
 */
#pragma once

#include "api/world.h"
#include "base/buf.h"

/* Octets of one answer: 256 KiB hold ten generations of the largest keys with their chains. */
#define SM_PUBLISHED_MAX (256U << 10)

/* The file's octets (borrowed from the world, or in `out`) and media type. Errors: NOT_FOUND,
 * TOO_LARGE, NO_MEMORY. */
SM_FALLIBLE sm_ca_published(const sm_world *world, sm_slice file, sm_buf *out, sm_slice *bytes,
                            const char **type);

/* What NAME.p7c has, of one CA or of several: certs-only CMS. Errors: NOT_FOUND (it has no certificate yet), NO_MEMORY, the
 * buffer's own. */
SM_FALLIBLE sm_ca_bundle(const sm_world *world, const struct sm_ca *const *cas, size_t count,
                         bool without_root, sm_buf *out);

/* A URL that ends in /ca/NAME.cer with the issuing CA's own name is this service's: certificates
 * get the generation's (.../ca/NAME.2.cer), which leads to their issuer after a rollover, too.
 * Others are as they were. NULL without memory. */
const char *sm_ca_generation_url(const char *url, const char *ca, uint32_t generation,
                                 sm_arena *arena);
/* The same for one that ends in /crl/NAME.crl: a certificate is on its generation's CRL. `partitioned`: on that of a
 * partition that is not known yet, with sm_crl_partition_slot's text at its end. */
const char *sm_crl_generation_url(const char *url, const char *ca, uint32_t generation,
                                  bool partitioned, sm_arena *arena);
