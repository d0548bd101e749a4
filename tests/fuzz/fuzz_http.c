/* SPDX-License-Identifier: Apache-2.0 */
/* Both HTTP sessions, by octets alone: the first one of the input says how it is cut into
 * pieces, HTTP/2 is found by its preface. The handler answers each request at once. */
#include "io/exchange_p.h"
#include "io/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_request(void *ctx, sm_http_exchange *x)
{
    const sm_http_header headers[] = {SM_HEADER("content-type", SM_LIT("text/plain"))};
    (void)ctx;
    sm_http_reply(x, 200, headers, 1, sm_http_path(x));
}

static void want_output(sm_session_host *host)
{
    (void)host;
}

static void run(sm_session *s, sm_slice input, size_t piece)
{
    sm_buf out = sm_buf_init(64U << 20);
    bool good = true;
    while (good && input.len > 0) {
        sm_slice part = sm_slice_first(input, piece);
        good = sm_ok(s->ops->receive(s, part));
        input = sm_slice_from(input, part.len);
        while (s->ops->produce(s, &out, 65536)) {
        }
        sm_buf_reset(&out);
    }
    s->ops->on_eof(s);
    (void)s->ops->produce(s, &out, 65536);
    s->ops->free(s, SM_ERR(CLOSED));
    sm_buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sm_http_limits limits;
    sm_session *s;
    sm_http_limits_default(&limits);
    sm_session_host host = {
        .limits = &limits, .handler = {on_request, NULL}, .want_output = want_output};
    if (size == 0) {
        return 0;
    }
    sm_slice input = sm_slice_of(data + 1, size - 1);
    bool h2 = sm_slice_starts_with(input, SM_H2_PREFACE);
    if (sm_ok(h2 ? sm_h2_server_new(&host, &s) : sm_h1_server_new(&host, &s))) {
        run(s, input, data[0] == 0 ? 1 : data[0]);
    }
    sm_exchange_pool_drain();
    return 0;
}
