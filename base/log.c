/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/clock.h"
#include "base/map.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static _Atomic int log_level = SM_LOG_INFO;
static _Atomic int log_format = SM_LOG_KEY_VALUE;
static _Atomic int log_fd = 2;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void sm_log_configure(enum sm_log_level level, enum sm_log_format format, int fd)
{
    atomic_store(&log_level, (int)level);
    atomic_store(&log_format, (int)format);
    atomic_store(&log_fd, fd);
}

bool sm_log_enabled(enum sm_log_level level)
{
    return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

/* A line under way: a fixed buffer, so that logging never allocates. The last octet is kept for the newline. */
struct line {
    char at[SM_LOG_LINE_MAX];
    size_t len;
    bool json;
};

static void put_raw(struct line *line, const char *s, size_t len)
{
    size_t room = sizeof(line->at) - 8 - line->len;
    if (len > room) {
        len = room;
    }
    memcpy(line->at + line->len, s, len);
    line->len += len;
}

static void put_str(struct line *line, const char *s)
{
    put_raw(line, s, strlen(s));
}

static bool needs_quotes(sm_slice v)
{
    if (v.len == 0) {
        return true;
    }
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '=') {
            return true;
        }
    }
    return false;
}

static void put_escaped(struct line *line, sm_slice v)
{
    put_raw(line, "\"", 1);
    for (size_t i = 0; i < v.len && line->len + 16 < sizeof(line->at); i++) {
        uint8_t c = v.ptr[i];
        char escaped[8];
        if (c == '"' || c == '\\') {
            escaped[0] = '\\';
            escaped[1] = (char)c;
            put_raw(line, escaped, 2);
        } else if (c < 0x20 || c >= 0x7f) {
            (void)snprintf(escaped, sizeof(escaped), "\\u%04x", c);
            put_raw(line, escaped, 6);
        } else {
            put_raw(line, (const char *)&v.ptr[i], 1);
        }
    }
    put_raw(line, "\"", 1);
}

static void put_value(struct line *line, sm_slice v)
{
    if (line->json || needs_quotes(v)) {
        put_escaped(line, v);
    } else {
        put_raw(line, (const char *)v.ptr, v.len);
    }
}

static void put_key(struct line *line, const char *key)
{
    if (line->json) {
        put_str(line, line->len == 0 ? "{\"" : ",\"");
        put_str(line, key);
        put_str(line, "\":");
        return;
    }
    if (line->len > 0) {
        put_raw(line, " ", 1);
    }
    put_str(line, key);
    put_raw(line, "=", 1);
}

static void put_field(struct line *line, const sm_log_field *f)
{
    char number[24];
    put_key(line, f->key);
    switch (f->kind) {
    case SM_LOG_K_SLICE:
        put_value(line, f->v.slice);
        break;
    case SM_LOG_K_STR:
        put_value(line, sm_slice_str(f->v.str));
        break;
    case SM_LOG_K_U64:
        (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)f->v.u64);
        put_str(line, number);
        break;
    case SM_LOG_K_I64:
        (void)snprintf(number, sizeof(number), "%lld", (long long)f->v.i64);
        put_str(line, number);
        break;
    case SM_LOG_K_ERR:
        put_value(line, sm_slice_str(sm_err_name(f->v.err)));
        break;
    case SM_LOG_K_END:
        break;
    }
}

/* Bursts are counted by a hash of the event's name; two events that share a slot share its budget. */
#define BURST_SLOTS 64

static struct {
    _Atomic int64_t second;
    _Atomic uint32_t lines;
} bursts[BURST_SLOTS];

/* False when this warning is over its budget. `*missed` is how many were left out in the second before. */
static bool admit(const char *event, uint32_t *missed)
{
    *missed = 0;
    int64_t now = (int64_t)(sm_clock_mono_ns() / SM_NS_PER_S);
    size_t slot = sm_hash(sm_slice_str(event)) % BURST_SLOTS;
    int64_t then = atomic_load_explicit(&bursts[slot].second, memory_order_relaxed);
    if (then != now && atomic_compare_exchange_strong(&bursts[slot].second, &then, now)) {
        uint32_t lines = atomic_exchange(&bursts[slot].lines, 0);
        *missed = lines > SM_LOG_BURST ? lines - SM_LOG_BURST : 0;
    }
    return atomic_fetch_add(&bursts[slot].lines, 1) < SM_LOG_BURST;
}

static void put_time(struct line *line)
{
    char text[SM_RFC3339_SIZE];
    char with_ms[SM_RFC3339_SIZE + 8];
    int64_t ms = sm_clock_wall_ms();
    (void)sm_clock_format(ms / 1000, text);
    (void)snprintf(with_ms, sizeof(with_ms), "%.19s.%03uZ", text, (unsigned)(ms % 1000));
    put_key(line, "ts");
    put_value(line, sm_slice_str(with_ms));
}

void sm_log_write(enum sm_log_level level, const char *event, const sm_log_field *fields)
{
    uint32_t missed = 0;
    if (level >= SM_LOG_WARN && !admit(event, &missed)) {
        return;
    }
    struct line line;
    line.len = 0;
    line.json = atomic_load_explicit(&log_format, memory_order_relaxed) == SM_LOG_JSON;
    put_time(&line);
    put_key(&line, "level");
    put_value(&line, sm_slice_str(level_names[level]));
    put_key(&line, "event");
    put_value(&line, sm_slice_str(event));
    for (; fields->kind != SM_LOG_K_END; fields++) {
        put_field(&line, fields);
    }
    if (missed > 0) {
        sm_log_field f = SM_KU("missed", missed);
        put_field(&line, &f);
    }
    if (line.json) {
        line.at[line.len++] = '}';
    }
    line.at[line.len++] = '\n';
    /* A log that cannot be written has nowhere to complain. */
    ssize_t n = write(atomic_load_explicit(&log_fd, memory_order_relaxed), line.at, line.len);
    (void)n;
}
