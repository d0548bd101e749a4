/* SPDX-License-Identifier: Apache-2.0 */
/* CertificateService.Watch: the log from a cursor, then live. */
#include "api/certificate_p.h"
#include "api/known_caller.h"
#include "api/record.h"
#include "api/world.h"
#include "base/clock.h"
#include "base/text.h"
#include "proto/message.h"

#define ROWS_AT_ONCE 256
#define BYTES_AT_ONCE (1U << 20)
#define HEARTBEAT_MIN 5
#define HEARTBEAT_MAX 300

struct watch {
    sm_call *call;
    uint64_t cursor; /* events up to here were sent */
    const char *ca;
    sm_store_subscription subscription;
    sm_store_scan scan;
    struct sm_store_row rows[ROWS_AT_ONCE];
    uint8_t from[8];
    sm_timer heartbeat;
    sm_msg last;
    int32_t heartbeat_s;
    bool scanning;
    bool blocked; /* the peer's window is full */
    bool ended;
};

static void read_on(struct watch *w);

static void put_be(uint8_t out[8], uint64_t v)
{
    for (size_t i = 0; i < 8; i++) {
        out[i] = (uint8_t)(v >> (8 * (7 - i)));
    }
}

static uint64_t get_be(sm_slice s)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.len && i < 8; i++) {
        v = v << 8 | s.ptr[i];
    }
    return v;
}

static bool send_event(struct watch *w, const Sealmill__Record__V1__LogRecord *log, sm_arena *arena)
{
    const struct sm_ca *ca = sm_world_ca_by_id(w->call->world, log->ca_id);
    if (log->kind == 0 || (w->ca[0] != '\0' && (ca == NULL || strcmp(ca->name, w->ca) != 0))) {
        return true;
    }
    Sealmill__V1__InventoryEvent event;
    sealmill__v1__inventory_event__init(&event);
    char *hex = sm_arena_alloc(arena, 2 * log->serial.len + 1);
    if (hex == NULL) {
        return true;
    }
    event.cursor = (int64_t)w->cursor;
    event.kind = (Sealmill__V1__InventoryEvent__Kind)log->kind;
    event.serial = sm_hex_format(sm_slice_of(log->serial.data, log->serial.len), hex);
    event.ca = sm_text(arena, ca == NULL ? SM_LIT("?") : sm_slice_str(ca->name));
    event.profile = log->profile;
    event.time = sm_timestamp(arena, log->time_ms / 1000);
    event.reason = (Sealmill__V1__RevocationReason)log->reason;
    event.correlation_id = log->correlation_id;
    return sm_call_send(w->call, &event.base);
}

static void let_go(sm_msg *msg)
{
    struct watch *w = SM_CONTAINER_OF(msg, struct watch, last);
    sm_call_release(w->call);
}

/* A message of the subscription may still be under way to this loop: the memory goes behind it. */
static void finish_memory(struct watch *w)
{
    sm_store_unsubscribe(sm_api_store(sm_api_of(w->call->loop)), &w->subscription);
    sm_timer_stop(sm_http_loop(w->call->x), &w->heartbeat);
    w->last.run = let_go;
    sm_mailbox_post(sm_api_loop_home(w->call->loop), &w->last);
}

static void on_rows(sm_store_scan *scan)
{
    struct watch *w = SM_CONTAINER_OF(scan, struct watch, scan);
    w->scanning = false;
    sm_err err = scan->err;
    if (sm_ok(err) && !w->ended) {
        err = sm_known_caller_confirm(w->call);
    }
    for (size_t i = 0; sm_ok(err) && i < scan->row_count && !w->ended; i++) {
        sm_arena arena;
        ProtobufCMessage *m;
        sm_arena_init(&arena, BYTES_AT_ONCE * 4);
        w->cursor = get_be(scan->rows[i].key);
        if (sm_ok(sm_message_unpack(&sealmill__record__v1__log_record__descriptor,
                                    scan->rows[i].value, &arena, &m))) {
            w->blocked = !send_event(w, (const Sealmill__Record__V1__LogRecord *)(void *)m,
                                     &arena) ||
                         w->blocked;
        }
        sm_arena_deinit(&arena);
    }
    bool more = scan->row_count > 0;
    sm_buf_deinit(&scan->bytes);
    if (!sm_ok(err) && !w->ended) {
        sm_call_finish(w->call, err);
        w->ended = true;
    }
    if (w->ended) {
        finish_memory(w);
    } else if (more && !w->blocked) {
        read_on(w);
    }
}

static void read_on(struct watch *w)
{
    sm_store *store = sm_api_store(sm_api_of(w->call->loop));
    if (w->scanning || w->blocked || w->ended || sm_store_last_sequence(store) <= w->cursor) {
        return;
    }
    put_be(w->from, w->cursor + 1);
    w->scan = (sm_store_scan){
        .home = sm_api_loop_home(w->call->loop),
        .family = SM_FAMILY_LOG,
        .from = sm_slice_of(w->from, sizeof(w->from)),
        .max_rows = ROWS_AT_ONCE,
        .done = on_rows,
        .bytes = sm_buf_init(BYTES_AT_ONCE),
        .rows = w->rows,
    };
    w->scanning = sm_ok(sm_store_submit_scan(
        store, &w->scan)); /* full: the next advance or heartbeat tries again */
}

static void on_advance(sm_store_subscription *subscription)
{
    read_on(SM_CONTAINER_OF(subscription, struct watch, subscription));
}

static void on_heartbeat(sm_timer *timer)
{
    struct watch *w = SM_CONTAINER_OF(timer, struct watch, heartbeat);
    Sealmill__V1__InventoryEvent event;
    Google__Protobuf__Timestamp now;
    if (w->ended) {
        return;
    }
    sealmill__v1__inventory_event__init(&event);
    google__protobuf__timestamp__init(&now);
    now.seconds = sm_clock_wall_s();
    event.kind = SEALMILL__V1__INVENTORY_EVENT__KIND__KIND_HEARTBEAT;
    event.cursor = (int64_t)w->cursor;
    event.time = &now;
    w->blocked = !sm_call_send(w->call, &event.base) || w->blocked;
    sm_err err = sm_timer_start(sm_http_loop(w->call->x), timer, (uint64_t)w->heartbeat_s * 1000);
    if (!sm_ok(err)) {
        sm_call_finish(w->call, err);
    }
    read_on(w);
}

void sm_start_watch(sm_call *call, const ProtobufCMessage *request)
{
    const Sealmill__V1__WatchRequest *r = (const Sealmill__V1__WatchRequest *)(const void *)request;
    sm_store *store = sm_api_store(sm_api_of(call->loop));
    if (r->heartbeat_seconds != 0 &&
        (r->heartbeat_seconds < HEARTBEAT_MIN || r->heartbeat_seconds > HEARTBEAT_MAX)) {
        sm_call_finish(call, sm_diag_set(&call->diag, SM_ERR(OUT_OF_RANGE), "heartbeat_seconds",
                                         "%d to %d, or 0", HEARTBEAT_MIN, HEARTBEAT_MAX));
        return;
    }
    struct watch *w = SM_ARENA_NEW(&call->arena, struct watch);
    if (w == NULL || r->cursor < -1) {
        sm_call_finish(call, w == NULL ? SM_ERR(NO_MEMORY)
                                       : sm_diag_set(&call->diag, SM_ERR(OUT_OF_RANGE), "cursor",
                                                     "-1, 0 or more"));
        return;
    }
    w->call = call;
    w->cursor = r->cursor == -1 ? sm_store_last_sequence(store) : (uint64_t)r->cursor;
    w->ca = r->ca;
    w->heartbeat_s = r->heartbeat_seconds;
    call->user = w;
    sm_call_hold(call);
    w->subscription.home = sm_api_loop_home(call->loop);
    w->subscription.on_advance = on_advance;
    sm_store_subscribe(store, &w->subscription);
    sm_timer_init(&w->heartbeat, on_heartbeat);
    if (w->heartbeat_s != 0) {
        sm_err err = sm_timer_start(sm_http_loop(call->x), &w->heartbeat,
                                    (uint64_t)w->heartbeat_s * 1000);
        if (!sm_ok(err)) {
            sm_call_finish(call, err);
            sm_watch_gone(call);
            return;
        }
    }
    read_on(w);
}

void sm_watch_writable(sm_call *call)
{
    struct watch *w = call->user;
    if (w != NULL) {
        w->blocked = false;
        read_on(w);
    }
}

void sm_watch_gone(sm_call *call)
{
    struct watch *w = call->user;
    if (w == NULL || w->ended) {
        return;
    }
    bool scanning = w->scanning;
    w->ended = true;
    if (!scanning) {
        finish_memory(w);
    }
}
