/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside CaService: one operation, its keys, and the generations that it makes.
 *
 * Threads:   blocking; the caller holds admin_lock.
 * Limits:    none.
 * Security:  a key file is removed only when no record names it: neither the stored one nor one
 *            that may have been stored.
 * Standards: RFC 6960 4.2.2.2.
 */
#pragma once

#include "api/ca.h"
#include "api/ca_cert.h"
#include "api/record.h"
#include "gen/sealmill/v1/record.pb-c.h"

typedef Sealmill__Record__V1__CaRecord ca_record;
typedef Sealmill__Record__V1__CaGeneration ca_generation;

struct sm_ca_key_use {
    const char *uri;
    struct sm_ca_key_use *next;
};

/* A certificate that the operation made: it goes into the inventory with the CA's record. */
struct sm_ca_issued {
    sm_slice der;
    uint32_t ca_id; /* the issuer's, and its generation */
    uint32_t generation;
    struct sm_ca_issued *next;
};

/* What an operation did so far. */
struct sm_ca_operation {
    const struct sm_admin *a;
    struct sm_ca_key_use *made;       /* removed when the record is not written */
    struct sm_ca_key_use *superseded; /* removed when it is */
    struct sm_ca_issued *issued;
    size_t issued_count;
    bool uncertain; /* the write failed, but the record may be on the disk */
};

/* Removes the keys that are no more in use after the operation's end. Returns `err`. */
SM_FALLIBLE sm_ca_operation_end(struct sm_ca_operation *op, sm_err err);

/* Remembers a certificate; `der` lives in the arena. */
SM_FALLIBLE sm_ca_note_issued(struct sm_ca_operation *op, sm_slice der, uint32_t ca_id,
                              uint32_t generation);
/* Adds what was made to the change: CertificateRecords and their log records (RFC 6960 2.2: what is
 * not in the inventory is "unknown" to OCSP). */
SM_FALLIBLE sm_ca_add_issued(const struct sm_ca_operation *op, struct sm_change *change);

/* A new key for the generation, or one that is there. Shared. */
SM_FALLIBLE sm_ca_make_key(struct sm_ca_operation *op, const char *name, uint32_t number,
                           const char *uri, bool existing, enum sm_key_type type, sm_key **out);
/* A new key and certificate for the generation's responder, signed by the CA's own key (RFC 6960
 * 4.2.2.2); the old key is superseded. */
SM_FALLIBLE sm_ca_make_responder(struct sm_ca_operation *op, const ca_record *record,
                                 ca_generation *g, sm_key *ca_key);
/* A type of key that a generation is to have a responder of besides, and whether that is to be made anew. */
struct sm_ca_wanted_responder {
    enum sm_key_type type;
    bool due;
};
/* Makes those that are due; the others stay, and those of no type in `wanted` go. */
SM_FALLIBLE sm_ca_make_further(struct sm_ca_operation *op, const ca_record *record,
                               ca_generation *g, sm_key *ca_key,
                               const struct sm_ca_wanted_responder *wanted, size_t count);
/* The responder's certificate will be another: the answers of this one are served until they end; of those that can,
 * the newest SM_OCSP_PAST_MAX. Errors: NO_MEMORY. */
SM_FALLIBLE sm_ca_keep_past_responder(const struct sm_admin *a, ca_generation *g);
/* An empty one at the record's end. */
SM_FALLIBLE sm_ca_append_generation(const struct sm_admin *a, ca_record *record,
                                    ca_generation **out);
/* Its certificate (unless an external signer makes it), chain and responder. */
SM_FALLIBLE sm_ca_fill_generation(struct sm_ca_operation *op, ca_record *record, ca_generation *g,
                                  sm_key *key, sm_slice subject, int64_t validity_s);
/* Of a root's new generation, the last one: NewWithOld and OldWithNew (RFC 4210 4.4), where the
 * generation before has not expired; without its key the latter alone. */
SM_FALLIBLE sm_ca_make_links(struct sm_ca_operation *op, ca_record *record, sm_key *new_key);
/* The public description follows the last generation. */
SM_FALLIBLE sm_ca_describe(const struct sm_admin *a, ca_record *record);

/* Lower-case letters, digits and '-', 1 to 63. */
bool sm_ca_name_is_good(const char *name);
/* A number that no CA has had. */
uint32_t sm_ca_next_id(const sm_api *api);
/* A CA's record, and its octets as they are stored. Errors: NOT_FOUND, DISK, CORRUPT, NO_MEMORY. */
SM_FALLIBLE sm_ca_record_load(const struct sm_admin *a, const char *name, ca_record **out,
                              sm_slice *old);
/* Writes the record if it is still as it was read (`old`; ptr NULL: absent), and puts the new world in
 * place. */
SM_FALLIBLE sm_ca_record_save(struct sm_ca_operation *op, ca_record *record, sm_slice old,
                              const char *action);

/* Each change of the world holds the administration's lock from its first read to the new world. */
#define SM_CA_LOCKED(call)                           \
    struct sm_ca_operation op = {.a = a};            \
    (void)pthread_mutex_lock(&a->api->admin_lock);   \
    sm_err err = sm_ca_operation_end(&op, (call));   \
    (void)pthread_mutex_unlock(&a->api->admin_lock); \
    return err
