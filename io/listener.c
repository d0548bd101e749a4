/* SPDX-License-Identifier: Apache-2.0 */
#include "io/listener_p.h"

#include "base/mem.h"
#include "io/address.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define BACKLOG 4096

/* Thousands of connections need as many descriptors. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int open_socket(const struct sockaddr_storage *address, socklen_t len)
{
    int one = 1;
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    /* Accepted sockets inherit it: answers leave at once. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    bool good = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
                setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0 &&
                bind(fd, (const struct sockaddr *)address, len) == 0 && listen(fd, BACKLOG) == 0;
    if (!good) {
        int kept = errno;
        (void)close(fd);
        errno = kept;
        return -1;
    }
    return fd;
}

/* SO_REUSEPORT would let a second server bind beside the first without a word: the port is tried
 * without it. */
static bool is_taken(const struct sockaddr_storage *address, socklen_t len)
{
    int one = 1;
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    bool taken = bind(fd, (const struct sockaddr *)address, len) != 0 && errno == EADDRINUSE;
    (void)close(fd);
    return taken;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (address->ss_family == AF_INET6) {
        memcpy(&in6, address, sizeof(in6));
        return ntohs(in6.sin6_port);
    }
    memcpy(&in, address, sizeof(in));
    return address->ss_family == AF_INET ? ntohs(in.sin_port) : 0;
}

static sm_err bind_error(const struct sm_listener_config *config, sm_diag *diag)
{
    if (errno == EADDRINUSE) {
        return sm_diag_set(diag, SM_ERR(OS), config->name,
                           "the address %s is already in use by another program", config->address);
    }
    return sm_diag_set(diag, SM_ERR(OS), config->name, "cannot listen on %s: %s", config->address,
                       strerror(errno));
}

static sm_err open_sockets(sm_listener *l, const struct sm_listener_config *config, sm_diag *diag)
{
    struct sockaddr_storage address;
    socklen_t len;
    if (!sm_ok(sm_address_parse(config->address, &address, &len))) {
        return sm_diag_set(diag, SM_ERR(INVALID), config->name,
                           "%s is not an address such as 127.0.0.1:9000 or [::]:9000",
                           config->address);
    }
    if (port_of(&address) != 0 && is_taken(&address, len)) {
        errno = EADDRINUSE;
        return bind_error(config, diag);
    }
    for (unsigned i = 0; i < config->loops; i++) {
        int fd = open_socket(&address, len);
        if (fd < 0) {
            return bind_error(config, diag);
        }
        l->sockets[l->socket_count++] = fd;
        /* ":0" becomes the port that was given, for the other sockets too. */
        (void)getsockname(fd, (struct sockaddr *)&address, &len);
    }
    l->port = port_of(&address);
    return SM_NO_ERR;
}

/* One socket from systemd: each loop accepts from a duplicate of it. */
static sm_err inherit_socket(sm_listener *l, const struct sm_listener_config *config, sm_diag *diag)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(address);
    int one = 1;
    l->inherited = true;
    (void)setsockopt(config->inherited_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    for (unsigned i = 0; i < config->loops; i++) {
        int fd = i == 0 ? config->inherited_fd : fcntl(config->inherited_fd, F_DUPFD_CLOEXEC, 3);
        l->sockets[l->socket_count++] = fd;
        if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
            return sm_diag_set(diag, SM_ERR(OS), config->name,
                               "the socket given by systemd cannot be used: %s", strerror(errno));
        }
    }
    l->port = port_of(&address);
    return SM_NO_ERR;
}

sm_err sm_listener_new(const struct sm_listener_config *config, sm_listener **out, sm_diag *diag)
{
    if (config->loops == 0 || config->loops > SOCKETS_MAX) {
        return sm_diag_set(diag, SM_ERR(INVALID), config->name, "1 to %d loops can listen",
                           SOCKETS_MAX);
    }
    sm_listener *l = sm_calloc(1, sizeof(*l));
    if (l == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    raise_file_limit();
    sm_io_metrics_init();
    l->name = sm_strdup(config->name);
    l->tls = config->tls;
    l->limits = config->limits;
    l->gauge = sm_io_metrics_connections(config->name);
    sm_err err = l->name == NULL ? SM_ERR(NO_MEMORY)
                                 : sm_peers_new(config->limits.connections_per_address, &l->peers);
    if (sm_ok(err)) {
        err = config->inherited_fd >= 0 ? inherit_socket(l, config, diag)
                                        : open_sockets(l, config, diag);
    }
    if (!sm_ok(err)) {
        sm_listener_free(&l);
        return err;
    }
    *out = l;
    return SM_NO_ERR;
}

uint16_t sm_listener_port(const sm_listener *l)
{
    return l->port;
}

void sm_listener_free(sm_listener **out)
{
    sm_listener *l = *out;
    if (l == NULL) {
        return;
    }
    *out = NULL;
    for (unsigned i = 0; i < l->socket_count; i++) {
        if (l->sockets[i] >= 0) {
            (void)close(l->sockets[i]);
        }
    }
    sm_peers_free(&l->peers);
    sm_free(l->name);
    sm_free(l);
}

bool sm_listener_admit(sm_listener *l, const struct sockaddr_storage *address, enum io_refusal *why)
{
    if (atomic_fetch_add(&l->connections, 1) >= l->limits.connections) {
        atomic_fetch_sub(&l->connections, 1);
        *why = IO_REFUSED_CONNECTIONS;
        return false;
    }
    sm_err err = sm_peers_enter(l->peers, address);
    if (!sm_ok(err)) {
        atomic_fetch_sub(&l->connections, 1);
        *why = sm_err_is(err, SM_E_EXHAUSTED) ? IO_REFUSED_ADDRESS : IO_REFUSED_MEMORY;
        return false;
    }
    sm_metric_inc(l->gauge);
    return true;
}

void sm_listener_release(sm_listener *l, const struct sockaddr_storage *address)
{
    sm_peers_leave(l->peers, address);
    atomic_fetch_sub(&l->connections, 1);
    sm_metric_sub(l->gauge, 1);
}

void sm_listener_close_socket(sm_listener *l, unsigned index)
{
    if (!l->inherited && l->sockets[index] >= 0) {
        (void)close(l->sockets[index]);
        l->sockets[index] = -1;
    }
}
