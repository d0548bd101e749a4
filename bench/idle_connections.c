/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens many TLS connections, with a client certificate where one is given, exchanges HTTP/2's settings on each, and then
 * does nothing, so that what they cost the server can be read. Built on OpenSSL alone.
 *
 *     idle_connections --port N --count N --ca FILE [--certificate FILE --key FILE]
 *
 * One line of JSON when all are open. A line on standard input then has each connection pinged, to
 * see that it was open all the while; a second line of JSON tells how many answered. Fails unless
 * all did.
 */
#include "bench/client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OPENING_MAX 64    /* handshakes at a time: a listen backlog's worth */
#define PATIENCE_MS 20000 /* without any event: something hangs */
#define FRAME_HEADER 9
#define FRAME_SETTINGS 4
#define FRAME_PING 6
#define FRAME_GOAWAY 7
#define FLAG_ACK 1

enum state { HANDSHAKE, SETTINGS, IDLE, PINGED, ANSWERED, LOST };

struct connection {
    SSL *ssl;
    int fd;
    enum state state;
    uint8_t header[FRAME_HEADER]; /* of the frame that is being read */
    size_t header_len;
    size_t payload_left;
    bool theirs; /* their SETTINGS came */
    bool ours;   /* ours were acknowledged */
};

struct client {
    const char *ca;
    const char *certificate;
    const char *key;
    uint16_t port;
    size_t count;
    SSL_CTX *ctx;
    struct connection *connections;
    int epoll;
    size_t opened;
    size_t opening;
    size_t idle;
    size_t answered;
    size_t lost;
};

/* ---- HTTP/2, as much as an idle connection has ---- */

static void send_all(struct connection *c, const void *bytes, int len)
{
    /* A few octets into an empty socket buffer: they fit. */
    require(SSL_write(c->ssl, bytes, len) == len, "write");
}

static void send_preface(struct connection *c)
{
    /* RFC 9113 section 3.4: the preface, then SETTINGS; empty ones. */
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                  "\0\0\0\x04\0\0\0\0";
    send_all(c, preface, (int)sizeof(preface)); /* the last zero of the frame is the string's */
}

static void send_ping(struct connection *c)
{
    static const uint8_t ping[FRAME_HEADER + 8] = {0, 0, 8, FRAME_PING, 0, 0, 0, 0, 0};
    send_all(c, ping, sizeof(ping));
}

static void on_frame(struct client *client, struct connection *c)
{
    static const uint8_t ack[FRAME_HEADER] = {0, 0, 0, FRAME_SETTINGS, FLAG_ACK, 0, 0, 0, 0};
    uint8_t type = c->header[3];
    bool is_ack = (c->header[4] & FLAG_ACK) != 0;
    require(type != FRAME_GOAWAY, "the server said GOAWAY");
    if (type == FRAME_SETTINGS && is_ack) {
        c->ours = true;
    } else if (type == FRAME_SETTINGS) {
        c->theirs = true;
        send_all(c, ack, sizeof(ack));
    } else if (type == FRAME_PING && is_ack && c->state == PINGED) {
        c->state = ANSWERED;
        client->answered++;
    }
    if (c->state == SETTINGS && c->ours && c->theirs) {
        c->state = IDLE;
        client->idle++;
        client->opening--;
    }
}

static void take(struct client *client, struct connection *c, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        size_t n = FRAME_HEADER - c->header_len;
        if (n > 0) {
            n = n < len ? n : len;
            memcpy(c->header + c->header_len, bytes, n);
            c->header_len += n;
            c->payload_left = (size_t)c->header[0] << 16 | (size_t)c->header[1] << 8 | c->header[2];
        } else {
            n = c->payload_left < len ? c->payload_left : len;
            c->payload_left -= n;
        }
        bytes += n;
        len -= n;
        if (c->header_len == FRAME_HEADER && c->payload_left == 0) {
            on_frame(client, c);
            c->header_len = 0;
        }
    }
}

/* ---- connections ---- */

static bool shall_wait(const struct connection *c, int result)
{
    int why = SSL_get_error(c->ssl, result);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static void on_event(struct client *client, struct connection *c)
{
    uint8_t bytes[16384];
    int n;
    if (c->state == HANDSHAKE) {
        n = SSL_do_handshake(c->ssl);
        if (n != 1) {
            require(shall_wait(c, n), "handshake");
            return;
        }
        const unsigned char *protocol;
        unsigned len;
        SSL_get0_alpn_selected(c->ssl, &protocol, &len);
        require(len == 2 && memcmp(protocol, "h2", 2) == 0, "ALPN");
        c->state = SETTINGS;
        send_preface(c);
    }
    while ((n = SSL_read(c->ssl, bytes, sizeof(bytes))) > 0) {
        take(client, c, bytes, (size_t)n);
    }
    if (!shall_wait(c, n) && c->state != LOST) {
        client->opening -= c->state < IDLE ? 1 : 0;
        client->idle -= c->state == IDLE ? 1 : 0;
        client->lost++;
        c->state = LOST;
        (void)close(c->fd);
    }
}

static void open_one(struct client *client)
{
    struct connection *c = &client->connections[client->opened++];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(client->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(c->fd >= 0 && connect(c->fd, (const struct sockaddr *)&to, sizeof(to)) == 0, "connect");
    require(fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0, "socket");
    c->ssl = SSL_new(client->ctx);
    require(c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1 &&
                SSL_set1_host(c->ssl, "localhost") == 1 &&
                SSL_set_tlsext_host_name(c->ssl, "localhost") == 1,
            "TLS");
    SSL_set_connect_state(c->ssl);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    require(epoll_ctl(client->epoll, EPOLL_CTL_ADD, c->fd, &event) == 0, "epoll");
    client->opening++;
}

static void turn(struct client *client)
{
    struct epoll_event events[256];
    int n = epoll_wait(client->epoll, events, 256, PATIENCE_MS);
    require(n > 0 || errno == EINTR, "nothing comes any more");
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->state != LOST) {
            on_event(client, c);
        }
    }
}

static void open_all(struct client *client)
{
    while (client->idle + client->lost < client->count) {
        while (client->opening < OPENING_MAX && client->opened < client->count) {
            open_one(client);
        }
        turn(client);
    }
}

static void ping_all(struct client *client)
{
    for (size_t i = 0; i < client->count; i++) {
        if (client->connections[i].state == IDLE) {
            client->connections[i].state = PINGED;
            send_ping(&client->connections[i]);
        }
    }
    while (client->answered + client->lost < client->count) {
        turn(client);
    }
}

/* ---- the command ---- */

static SSL_CTX *make_ctx(const struct client *client)
{
    static const unsigned char h2[] = {2, 'h', '2'};
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    require(ctx != NULL && SSL_CTX_load_verify_file(ctx, client->ca) == 1, client->ca);
    require(client->certificate == NULL ||
                SSL_CTX_use_certificate_chain_file(ctx, client->certificate) == 1,
            client->certificate);
    require(client->key == NULL ||
                SSL_CTX_use_PrivateKey_file(ctx, client->key, SSL_FILETYPE_PEM) == 1,
            client->key);
    require(SSL_CTX_set_alpn_protos(ctx, h2, sizeof(h2)) == 0, "ALPN");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return ctx;
}

static bool parse(int argc, char **argv, struct client *client)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--port") == 0) {
            client->port = (uint16_t)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i], "--count") == 0) {
            client->count = strtoul(value, NULL, 10);
        } else if (strcmp(argv[i], "--ca") == 0) {
            client->ca = value;
        } else if (strcmp(argv[i], "--certificate") == 0) {
            client->certificate = value;
        } else if (strcmp(argv[i], "--key") == 0) {
            client->key = value;
        } else {
            return false;
        }
    }
    return argc % 2 == 1 && client->port != 0 && client->count != 0 && client->ca != NULL &&
           (client->certificate == NULL) == (client->key == NULL);
}

int main(int argc, char **argv)
{
    struct client client = {0};
    struct timespec start;
    struct timespec end;
    char line[64];
    if (!parse(argc, argv, &client)) {
        (void)fprintf(stderr,
                      "usage: %s --port N --count N --ca FILE [--certificate FILE --key FILE]\n",
                      argv[0]);
        return 2;
    }
    raise_file_limit(client.count);
    client.ctx = make_ctx(&client);
    client.epoll = epoll_create1(EPOLL_CLOEXEC);
    client.connections = calloc(client.count, sizeof(*client.connections));
    require(client.connections != NULL && client.epoll >= 0, "memory");
    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    open_all(&client);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    (void)printf("{\"connections\":%zu,\"lost\":%zu,\"seconds_to_open\":%.2f,\"tls\":\"%s %s\"}\n",
                 client.idle, client.lost,
                 (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9,
                 SSL_get_version(client.connections[0].ssl),
                 SSL_get_cipher_name(client.connections[0].ssl));
    (void)fflush(stdout);
    if (client.lost == 0 && fgets(line, sizeof(line), stdin) != NULL) {
        ping_all(&client);
        (void)printf("{\"connections\":%zu,\"answered_ping\":%zu}\n", client.count,
                     client.answered);
        (void)fflush(stdout);
    }
    return client.answered == client.count ? 0 : 1;
}
