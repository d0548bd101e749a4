/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/clock.h"
#include "base/map.h"

#include <errno.h>
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

/*
 * A line under way: a fixed buffer, so that logging never allocates. LINE_TAIL octets stay free for
 * ` cut=1`, the brace and the newline. Fields are measured before they are written, so that a line
 * is whole (and its JSON valid) whatever it holds.
 */
#define LINE_TAIL 16
#define LINE_END (SM_LOG_LINE_MAX - LINE_TAIL)
#define FIELD_MIN 32 /* room that a value may want at least: a number has up to 20 digits */

struct line {
    char at[SM_LOG_LINE_MAX];
    size_t len;
    bool json;
    bool cut;
};

static void put_raw(struct line *line, const void *s, size_t len)
{
    memcpy(line->at + line->len, s, len);
    line->len += len;
}

static void put_str(struct line *line, const char *s)
{
    put_raw(line, s, strlen(s));
}

static bool needs_escape(uint8_t c)
{
    return c < 0x20 || c >= 0x7f || c == '"' || c == '\\';
}

static bool needs_quotes(sm_slice v)
{
    for (size_t i = 0; i < v.len; i++) {
        if (needs_escape(v.ptr[i]) || v.ptr[i] == ' ' || v.ptr[i] == '=') {
            return true;
        }
    }
    return v.len == 0;
}

static void put_escaped(struct line *line, uint8_t c)
{
    if (!needs_escape(c)) {
        put_raw(line, &c, 1);
    } else if (c == '"' || c == '\\') {
        put_raw(line, "\\", 1);
        put_raw(line, &c, 1);
    } else {
        char escaped[8];
        (void)snprintf(escaped, sizeof(escaped), "\\u%04x", c);
        put_raw(line, escaped, 6);
    }
}

static void put_value(struct line *line, sm_slice v)
{
    bool quotes = line->json || needs_quotes(v);
    size_t end = line->len + SM_LOG_VALUE_MAX < LINE_END ? line->len + SM_LOG_VALUE_MAX : LINE_END;
    size_t longest = quotes ? 6 : 1; /* of one octet's text */
    end -= 3 + 1;                    /* "..." and the quote */
    if (quotes) {
        put_raw(line, "\"", 1);
    }
    size_t i = 0;
    for (; i < v.len && line->len + longest <= end; i++) {
        put_escaped(line, v.ptr[i]);
    }
    if (i < v.len) {
        put_raw(line, "...", 3);
    }
    if (quotes) {
        put_raw(line, "\"", 1);
    }
}

/* False when the field no longer fits; the line is then marked as cut. */
static bool put_key(struct line *line, const char *key)
{
    size_t len = strlen(key);
    if (len > LINE_END || line->len + len + FIELD_MIN > LINE_END) {
        line->cut = true;
        return false;
    }
    if (line->json) {
        put_str(line, line->len == 0 ? "{\"" : ",\"");
        put_raw(line, key, len);
        put_str(line, "\":");
    } else {
        put_str(line, line->len == 0 ? "" : " ");
        put_raw(line, key, len);
        put_str(line, "=");
    }
    return true;
}

static void put_field(struct line *line, const sm_log_field *f)
{
    char number[24];
    if (!put_key(line, f->key)) {
        return;
    }
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

/* One budget for each event, found by the hash of its name; a slot once taken stays. */
#define BURST_SLOTS 256 /* more than the program has names of warnings */

struct burst {
    _Atomic uint64_t event; /* hash; 0: free */
    _Atomic int64_t second;
    _Atomic uint32_t lines;
};

static struct burst bursts[BURST_SLOTS];

static struct burst *burst_of(const char *event)
{
    uint64_t hash = sm_hash(sm_slice_str(event)) | 1;
    size_t home = (size_t)(hash >> 32);
    for (size_t i = 0; i < BURST_SLOTS; i++) {
        struct burst *b = &bursts[(home + i) % BURST_SLOTS];
        uint64_t seen = atomic_load_explicit(&b->event, memory_order_relaxed);
        if (seen == hash) {
            return b;
        }
        if (seen == 0 && (atomic_compare_exchange_strong(&b->event, &seen, hash) || seen == hash)) {
            return b;
        }
    }
    return &bursts[home % BURST_SLOTS];
}

/* False when this warning is over its budget. `*missed` is how many were left out before it. */
static bool admit(const char *event, uint32_t *missed)
{
    *missed = 0;
    struct burst *b = burst_of(event);
    int64_t now = (int64_t)(sm_clock_mono_ns() / SM_NS_PER_S);
    int64_t then = atomic_load_explicit(&b->second, memory_order_relaxed);
    if (then != now && atomic_compare_exchange_strong(&b->second, &then, now)) {
        uint32_t lines = atomic_exchange(&b->lines, 0);
        *missed = lines > SM_LOG_BURST ? lines - SM_LOG_BURST : 0;
    }
    return atomic_fetch_add(&b->lines, 1) < SM_LOG_BURST;
}

static void put_time(struct line *line)
{
    char text[SM_RFC3339_SIZE];
    char with_ms[SM_RFC3339_SIZE + 8];
    int64_t ms = sm_clock_wall_ms();
    (void)sm_clock_format(ms / 1000, text);
    (void)snprintf(with_ms, sizeof(with_ms), "%.19s.%03uZ", text, (unsigned)(ms % 1000));
    sm_log_field f = SM_KS("ts", with_ms);
    put_field(line, &f);
}

/* One write, so that lines of several threads never mix. A log that cannot be written has nowhere
 * to complain. */
static void emit(const struct line *line)
{
    int fd = atomic_load_explicit(&log_fd, memory_order_relaxed);
    while (write(fd, line->at, line->len) < 0 && errno == EINTR) {
    }
}

void sm_log_write(enum sm_log_level level, const char *event, const sm_log_field *fields)
{
    uint32_t missed = 0;
    if (level >= SM_LOG_WARN && !admit(event, &missed)) {
        return;
    }
    struct line line;
    line.len = 0;
    line.cut = false;
    line.json = atomic_load_explicit(&log_format, memory_order_relaxed) == SM_LOG_JSON;
    put_time(&line);
    put_field(&line, &SM_KS("level", level_names[level]));
    put_field(&line, &SM_KS("event", event));
    if (missed > 0) {
        put_field(&line, &SM_KU("missed", missed));
    }
    for (; fields->kind != SM_LOG_K_END; fields++) {
        put_field(&line, fields);
    }
    if (line.cut) {
        put_str(&line, line.json ? ",\"cut\":1" : " cut=1");
    }
    put_str(&line, line.json ? "}\n" : "\n");
    emit(&line);
}
