/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/grpc.h"

#define ZLIB_CONST /* next_in is not written through */
#include <zlib.h>

#define GZIP_WINDOW (15 + 16) /* zlib's way of saying: a gzip header */
#define STEP 4096

static voidpf take(voidpf ctx, uInt count, uInt size)
{
    return sm_arena_alloc(ctx, (size_t)count * size);
}

static void give_back(voidpf ctx, voidpf ptr)
{
    (void)ctx;
    (void)ptr; /* the arena ends with the call */
}

#define ZLIB_MEMORY (512U * 1024U) /* deflate needs 268 KiB, inflate 44 KiB */

static z_stream make_stream(sm_arena *arena, sm_slice in)
{
    z_stream z = {.zalloc = take, .zfree = give_back, .opaque = arena};
    z.next_in = in.ptr;
    z.avail_in = (uInt)in.len;
    return z;
}

/* Runs `step` until the stream ends; grows `out` as needed. */
static sm_err pump(z_stream *z, int (*step)(z_stream *z, int flush), sm_buf *out)
{
    int rc = Z_OK;
    while (rc == Z_OK) {
        size_t room = out->cap - out->len < STEP ? out->cap - out->len : STEP;
        uint8_t *to = sm_buf_reserve(out, room == 0 ? 1 : room);
        if (to == NULL) {
            return sm_buf_err(out);
        }
        z->next_out = to;
        z->avail_out = (uInt)(room == 0 ? 1 : room);
        rc = step(z, Z_FINISH);
        sm_buf_commit(out, (room == 0 ? 1 : room) - z->avail_out);
        if (rc == Z_BUF_ERROR && z->avail_out == 0) {
            rc = Z_OK; /* only the room was short */
        }
    }
    return rc == Z_STREAM_END && z->avail_in == 0 ? SM_NO_ERR : SM_ERR(MALFORMED);
}

sm_err sm_gzip_inflate(sm_slice in, sm_buf *out)
{
    sm_arena arena;
    sm_arena_init(&arena, ZLIB_MEMORY);
    z_stream z = make_stream(&arena, in);
    sm_err err = inflateInit2(&z, GZIP_WINDOW) == Z_OK ? pump(&z, inflate, out) : SM_ERR(NO_MEMORY);
    sm_arena_deinit(&arena);
    return err;
}

sm_err sm_gzip_deflate(sm_slice in, sm_buf *out)
{
    sm_arena arena;
    sm_arena_init(&arena, ZLIB_MEMORY);
    z_stream z = make_stream(&arena, in);
    int rc = deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY);
    sm_err err = rc == Z_OK ? pump(&z, deflate, out) : SM_ERR(NO_MEMORY);
    sm_arena_deinit(&arena);
    return err;
}
