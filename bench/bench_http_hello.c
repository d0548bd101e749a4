/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare server: 200 and twelve octets for every request, in cleartext or TLS. What h2load and
 * wrk measure here is io alone.
 *
 *     bench_http_hello PORT [CERTIFICATE KEY]
 */
#include "base/thread.h"
#include "io/http.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void on_request(void *ctx, sm_http_exchange *x)
{
    static const sm_http_header fields[] = {{SM_LIT("content-type"), SM_LIT("text/plain")}};
    (void)ctx;
    sm_http_reply(x, 200, fields, 1, SM_LIT("hello world\n"));
}

static sm_loop *loop;

static void on_signal(int number)
{
    (void)number;
    sm_loop_stop(loop);
}

static int fail(const char *what, const sm_diag *diag)
{
    (void)fprintf(stderr, "%s: %s: %s\n", what, diag->field, diag->reason);
    return 1;
}

static int serve(const char *port, sm_tls_server *tls)
{
    char address[64];
    sm_diag diag = {.reason = ""};
    sm_listener *listener = NULL;
    sm_http_server *server = NULL;
    (void)snprintf(address, sizeof(address), "127.0.0.1:%s", port);
    struct sm_listener_config config = {
        .name = "hello", .address = address, .inherited_fd = -1, .tls = tls, .loops = 1};
    sm_http_limits_default(&config.limits);
    config.limits.connections_per_address = config.limits.connections;
    if (!sm_ok(sm_listener_new(&config, &listener, &diag))) {
        return fail("listener", &diag);
    }
    if (!sm_ok(sm_loop_new(&loop, &diag))) {
        return fail("loop", &diag);
    }
    struct sm_http_handler handler = {on_request, NULL};
    if (!sm_ok(sm_http_server_start(loop, listener, 0, handler, &server))) {
        return fail("server", &diag);
    }
    (void)signal(SIGTERM, on_signal);
    (void)signal(SIGINT, on_signal);
    sm_loop_run(loop);
    sm_http_server_free(&server);
    sm_loop_free(&loop);
    sm_listener_free(&listener);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 4) {
        (void)fprintf(stderr, "usage: %s PORT [CERTIFICATE KEY]\n", argv[0]);
        return 2;
    }
    sm_tls_server *tls = NULL;
    if (argc == 4) {
        sm_diag diag = {.reason = ""};
        struct sm_tls_files files = {argv[2], argv[3]};
        struct sm_tls_server_config config = {.certificates = &files, .certificate_count = 1};
        if (!sm_ok(sm_tls_server_new(&config, &tls, &diag))) {
            return fail("tls", &diag);
        }
    }
    int result = serve(argv[1], tls);
    sm_tls_server_free(&tls);
    return result;
}
