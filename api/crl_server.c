/* SPDX-License-Identifier: Apache-2.0 */
#include "api/crl_server.h"

#include "api/api_p.h"
#include "api/http_cache.h"
#include "base/clock.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_AGE_S 3600

struct serving {
    sm_errand errand;
    sm_api_loop *loop;
    sm_http_exchange *x;
    sm_slice file; /* of the exchange */
    bool head;
    /* Of the file, once it is found. */
    int fd;
    uint64_t size;
    uint64_t sent;
    struct sm_crl_published published;
    sm_err err;
    uint8_t *piece;
    size_t piece_len;
    bool reading;
    bool started;
};

/* ---- on a service thread ---- */

static void find_work(sm_errand *errand)
{
    struct serving *s = SM_CONTAINER_OF(errand, struct serving, errand);
    sm_api *api = sm_api_of(s->loop);
    sm_world *world = sm_world_attach(api);
    char path[4096];
    struct sm_crl_name name;
    struct stat st;
    s->err = api->crls == NULL
                 ? SM_ERR(NOT_FOUND)
                 : sm_crls_find(api->crls, world, s->file, path, &name, &s->published);
    sm_world_detach(&world);
    if (!sm_ok(s->err)) {
        return;
    }
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st) != 0) {
        s->err = SM_ERR(DISK);
        return;
    }
    s->size = (uint64_t)st.st_size;
}

static void read_work(sm_errand *errand)
{
    struct serving *s = SM_CONTAINER_OF(errand, struct serving, errand);
    ssize_t n = pread(s->fd, s->piece, SM_CRL_PIECE, (off_t)s->sent);
    s->piece_len = n > 0 ? (size_t)n : 0;
}

/* ---- on the loop ---- */

static void start_errand(struct serving *s, void (*work)(sm_errand *errand),
                         void (*done)(sm_errand *errand))
{
    s->errand.work = work;
    s->errand.done = done;
    s->reading = true;
    s->loop->errands++;
    sm_http_hold(s->x);
    sm_errand_run(sm_api_of(s->loop), sm_api_loop_home(s->loop), &s->errand);
}

static void end_errand(struct serving *s)
{
    s->reading = false;
    s->loop->errands--;
    sm_http_release(s->x);
}

static void on_free(void *ctx)
{
    struct serving *s = ctx;
    if (s->fd >= 0) {
        (void)close(s->fd);
    }
    sm_free(s->piece);
}

static void read_done(sm_errand *errand)
{
    struct serving *s = SM_CONTAINER_OF(errand, struct serving, errand);
    if (sm_http_is_open(s->x)) {
        if (s->piece_len == 0) {
            sm_http_abort(s->x, 2); /* the disk refused, or the file is shorter than it was */
        } else {
            s->sent += s->piece_len;
            bool room = sm_http_write(s->x, sm_slice_of(s->piece, s->piece_len));
            if (s->sent >= s->size) {
                sm_http_finish(s->x, NULL, 0);
            } else if (room) {
                end_errand(s);
                start_errand(s, read_work, read_done);
                return;
            }
        }
    }
    end_errand(s);
}

static void on_writable(void *ctx, sm_http_exchange *x)
{
    struct serving *s = ctx;
    (void)x;
    if (s->started && !s->reading && s->sent < s->size) {
        start_errand(s, read_work, read_done);
    }
}

static void reply_plain(struct serving *s, unsigned status, sm_slice text)
{
    const sm_http_header headers[] = {SM_HEADER("content-type", SM_LIT("text/plain"))};
    sm_http_reply(s->x, status, headers, 1, text);
}

/* Whether there is anything left to send. */
static bool begin(struct serving *s)
{
    struct sm_http_cache cache;
    sm_http_header headers[2 + SM_HTTP_CACHE_HEADERS];
    char length[24];
    sm_http_cache_init(&cache, s->published.this_update, s->published.next_update,
                       s->published.number << 32 ^ (uint64_t)s->published.this_update, MAX_AGE_S,
                       sm_clock_wall_s());
    sm_http_cache_headers(&cache, headers + 2);
    if (sm_http_cache_is_known(&cache, s->x)) {
        sm_http_reply(s->x, 304, headers + 2, SM_HTTP_CACHE_HEADERS, SM_SLICE_NONE);
        return false;
    }
    (void)snprintf(length, sizeof(length), "%llu", (unsigned long long)s->size);
    headers[0] = SM_HEADER("content-type", SM_LIT("application/pkix-crl"));
    headers[1] = SM_HEADER("content-length", sm_slice_str(length));
    if (s->head) {
        sm_http_reply_headers_only(s->x, 200, headers, 2 + SM_HTTP_CACHE_HEADERS);
        return false;
    }
    s->piece = sm_malloc(SM_CRL_PIECE);
    if (s->piece == NULL) {
        reply_plain(s, 503, SM_LIT("try later\n"));
        return false;
    }
    sm_http_start(s->x, 200, headers, 2 + SM_HTTP_CACHE_HEADERS);
    s->started = true;
    return true;
}

static void find_done(sm_errand *errand)
{
    struct serving *s = SM_CONTAINER_OF(errand, struct serving, errand);
    bool more = false;
    if (sm_err_is(s->err, SM_E_NOT_FOUND)) {
        reply_plain(s, 404, SM_LIT("there is no such CRL\n"));
    } else if (!sm_ok(s->err)) {
        reply_plain(s, 503, SM_LIT("try later\n"));
    } else {
        more = sm_http_is_open(s->x) && begin(s);
    }
    end_errand(s);
    if (more) {
        start_errand(s, read_work, read_done);
    }
}

static void ignore_close(void *ctx, sm_http_exchange *x, sm_err err)
{
    (void)ctx;
    (void)x;
    (void)err;
}

void sm_crl_serve(sm_api_loop *loop, sm_http_exchange *x, sm_slice file)
{
    static const struct sm_http_stream_ops ops = {.on_writable = on_writable,
                                                  .on_close = ignore_close};
    struct serving *s = SM_ARENA_NEW(sm_http_arena(x), struct serving);
    if (s == NULL) {
        sm_http_abort(x, 2);
        return;
    }
    s->loop = loop;
    s->x = x;
    s->file = file;
    s->fd = -1;
    s->head = sm_slice_equal(sm_http_method(x), SM_LIT("HEAD"));
    sm_http_accept(x, &ops, s);
    sm_http_on_free(x, on_free, s);
    start_errand(s, find_work, find_done);
}
