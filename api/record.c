/* SPDX-License-Identifier: Apache-2.0 */
#include "api/record.h"

#include "api/indexer.h"
#include "base/clock.h"
#include "base/text.h"
#include "proto/message.h"
#include "sign/cert.h"

static char empty[] = "";

ProtobufCBinaryData sm_binary(sm_slice s)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } ptr = {s.ptr};
    return (ProtobufCBinaryData){s.len, ptr.out};
}

char *sm_text(sm_arena *arena, sm_slice s)
{
    char *z = sm_arena_strdup(arena, s);
    return z == NULL ? empty : z;
}

Google__Protobuf__Timestamp *sm_timestamp(sm_arena *arena, int64_t unix_s)
{
    Google__Protobuf__Timestamp *t = SM_ARENA_NEW(arena, Google__Protobuf__Timestamp);
    if (t != NULL) {
        google__protobuf__timestamp__init(t);
        t->seconds = unix_s;
    }
    return t;
}

sm_err sm_record_pack(const ProtobufCMessage *message, sm_arena *arena, sm_slice *out)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = sm_arena_alloc(arena, len);
    if (bytes == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    *out = sm_slice_of(bytes, protobuf_c_message_pack(message, bytes));
    return SM_NO_ERR;
}

#define RECORD_MAX (4U << 20)

sm_err sm_record_get(sm_store *store, enum sm_store_family family, sm_slice key,
                     const ProtobufCMessageDescriptor *type, sm_arena *arena,
                     ProtobufCMessage **out)
{
    sm_buf bytes = sm_buf_init(RECORD_MAX);
    sm_err err = sm_store_get_sync(store, family, key, &bytes);
    err = sm_ok(err) ? sm_record_unpack(sm_buf_slice(&bytes), type, arena, out) : err;
    sm_buf_deinit(&bytes);
    return err;
}

sm_err sm_record_unpack(sm_slice packed, const ProtobufCMessageDescriptor *type, sm_arena *arena,
                        ProtobufCMessage **out)
{
    ProtobufCMessage *m;
    uint32_t version; /* the first field of every record */
    sm_err err = sm_message_unpack(type, packed, arena, &m);
    if (!sm_ok(err)) {
        return sm_err_is(err, SM_E_NO_MEMORY) ? err : SM_ERR(CORRUPT);
    }
    memcpy(&version, (const uint8_t *)m + type->fields[0].offset, sizeof(version));
    if (version != SM_RECORD_VERSION) {
        return SM_ERR(CORRUPT);
    }
    *out = m;
    return SM_NO_ERR;
}

bool sm_record_name_is_good(const char *name)
{
    for (const char *s = name; *s != '\0'; s++) {
        bool word = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                    (*s >= '0' && *s <= '9') || *s == '-' || *s == '_' || *s == '.';
        if (!word) {
            return false;
        }
    }
    return name[0] != '\0' && name[0] != '.' && strlen(name) <= 63;
}

sm_err sm_record_key(const char *prefix, sm_slice name, sm_arena *arena, sm_slice *out)
{
    size_t len = strlen(prefix);
    uint8_t *key = sm_arena_alloc(arena, len + name.len);
    if (key == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    memcpy(key, prefix, len);
    if (name.len > 0) {
        memcpy(key + len, name.ptr, name.len);
    }
    *out = sm_slice_of(key, len + name.len);
    return SM_NO_ERR;
}

static char *text_of(sm_arena *arena, const char *s)
{
    return s == NULL ? empty : sm_text(arena, sm_slice_str(s));
}

sm_err sm_audit_pack(const struct sm_audit *audit, sm_arena *arena, sm_slice *out)
{
    Sealmill__Record__V1__LogRecord log;
    sealmill__record__v1__log_record__init(&log);
    log.version = SM_RECORD_VERSION;
    log.time_ms = sm_clock_wall_ms();
    log.kind = audit->kind;
    log.serial = sm_binary(audit->serial);
    log.ca_id = audit->ca_id;
    log.profile = text_of(arena, audit->profile);
    log.caller = text_of(arena, audit->caller);
    log.action = text_of(arena, audit->action);
    log.outcome = text_of(arena, audit->outcome);
    log.target = text_of(arena, audit->target);
    log.detail = text_of(arena, audit->detail);
    log.correlation_id = sm_text(arena, audit->correlation_id);
    log.reason = audit->reason;
    if (audit->index_keys.len > 0) {
        log.index_rules = SM_INDEX_RULES;
        log.not_after = audit->not_after;
        log.index_keys = sm_binary(audit->index_keys);
    }
    return sm_record_pack(&log.base, arena, out);
}

static bool certainly_not_written(sm_err err)
{
    return sm_err_is(err, SM_E_CONFLICT) || sm_err_is(err, SM_E_EXISTS) ||
           sm_err_is(err, SM_E_QUEUE_FULL) || sm_err_is(err, SM_E_DRAINING) ||
           sm_err_is(err, SM_E_TOO_LARGE);
}

static size_t gather_puts(const struct sm_change *change, struct sm_store_put *puts)
{
    size_t count = 0;
    for (size_t i = 0; i < change->gone_count; i++) {
        puts[count++] = (struct sm_store_put){SM_DELETE, SM_FAMILY_META, change->gone[i],
                                              SM_SLICE_NONE};
    }
    if (change->key.len > 0) {
        puts[count++] = (struct sm_store_put){change->remove ? SM_DELETE : SM_PUT, SM_FAMILY_META,
                                              change->key, change->value};
    }
    for (size_t i = 0; i < change->more_count; i++) {
        puts[count++] = change->more[i];
    }
    return count;
}

sm_err sm_change_write(sm_store *store, struct sm_change *change, sm_arena *arena)
{
    size_t room = change->gone_count + change->more_count + 1;
    struct sm_store_put *puts = sm_arena_alloc(arena, room * sizeof(*puts));
    sm_slice *log = sm_arena_alloc(arena, (change->more_log_count + 1) * sizeof(*log));
    if (puts == NULL || log == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(sm_audit_pack(change->audit, arena, &log[0]));
    for (size_t i = 0; i < change->more_log_count; i++) {
        log[i + 1] = change->more_log[i];
    }
    sm_store_write op = {
        .conds = change->conds,
        .cond_count = change->cond_count,
        .puts = puts,
        .put_count = gather_puts(change, puts),
        .log = log,
        .log_count = change->more_log_count + 1,
    };
    sm_err err = sm_store_write_sync(store, &op);
    change->uncertain = !sm_ok(err) && !certainly_not_written(err);
    return err;
}

sm_err sm_record_last_time_ms(sm_store *store, int64_t *out)
{
    uint64_t sequence = sm_store_last_sequence(store);
    uint8_t key[8];
    sm_arena arena;
    ProtobufCMessage *m;
    *out = 0;
    if (sequence == 0) {
        return SM_NO_ERR;
    }
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)(sequence >> (8 * (7 - i)));
    }
    sm_arena_init(&arena, RECORD_MAX * 2);
    sm_err err = sm_record_get(store, SM_FAMILY_LOG, sm_slice_of(key, sizeof(key)),
                               &sealmill__record__v1__log_record__descriptor, &arena, &m);
    if (sm_ok(err)) {
        *out = ((const Sealmill__Record__V1__LogRecord *)(void *)m)->time_ms;
    }
    sm_arena_deinit(&arena);
    return err;
}

sm_err sm_record_state_is_valid(sm_slice packed, bool *valid)
{
    Sealmill__Record__V1__StateRecord *r = sealmill__record__v1__state_record__unpack(
        NULL, packed.len, packed.ptr);
    if (r == NULL || r->version != SM_RECORD_VERSION) {
        sealmill__record__v1__state_record__free_unpacked(r, NULL);
        return SM_ERR(CORRUPT);
    }
    *valid = r->state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID;
    sealmill__record__v1__state_record__free_unpacked(r, NULL);
    return SM_NO_ERR;
}

static bool read_varint(sm_slice *in, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && in->len > 0; shift += 7) {
        uint8_t octet = in->ptr[0];
        *in = sm_slice_from(*in, 1);
        *out |= (uint64_t)(octet & 0x7f) << shift;
        if (octet < 0x80) {
            return true;
        }
    }
    return false;
}

/* A field's number and its value: a varint, or the length of octets, which are passed over. */
static bool read_field(sm_slice *in, unsigned *number, uint64_t *value)
{
    uint64_t key;
    if (!read_varint(in, &key) || !read_varint(in, value)) {
        return false;
    }
    *number = (unsigned)(key >> 3);
    if ((key & 7) == 2) {
        if (*value > in->len) {
            return false;
        }
        *in = sm_slice_from(*in, (size_t)*value);
    }
    return (key & 7) == 0 || (key & 7) == 2;
}

/* Protobuf-c writes fields in their order; those that are 0 are left out. */
bool sm_record_read_brief(sm_slice packed, struct sm_record_brief *out)
{
    enum { VERSION = 1, CA_ID = 2, GENERATION = 3, NOT_AFTER = 7 };
    uint64_t fields[NOT_AFTER + 1] = {0};
    unsigned number = 0;
    while (packed.len > 0 && number < NOT_AFTER) {
        uint64_t value;
        if (!read_field(&packed, &number, &value)) {
            return false;
        }
        if (number <= NOT_AFTER) {
            fields[number] = value;
        }
    }
    *out = (struct sm_record_brief){(uint32_t)fields[CA_ID], (uint32_t)fields[GENERATION],
                                    (int64_t)fields[NOT_AFTER]};
    return fields[VERSION] == SM_RECORD_VERSION;
}

sm_err sm_serial_parse(const char *text, sm_arena *arena, sm_slice *out, sm_diag *diag)
{
    sm_buf bytes = sm_buf_init(SM_SERIAL_LEN + 1);
    sm_err err = text == NULL || text[0] == '\0' ? SM_ERR(INVALID)
                                                 : sm_hex_decode(&bytes, sm_slice_str(text), true);
    sm_slice serial = sm_buf_slice(&bytes);
    if (serial.len > 1 && serial.ptr[0] == 0) {
        serial = sm_slice_from(serial, 1);
    }
    err = sm_ok(err) ? sm_arena_copy(arena, serial, out)
                     : sm_diag_set(diag, SM_ERR(INVALID), "serial",
                                   "hexadecimal of at most 20 octets is wanted");
    sm_buf_deinit(&bytes);
    return err;
}
