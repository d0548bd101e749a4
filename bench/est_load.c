/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that ask over HTTPS with a client certificate each: EST enrolments (POST of a request with a key of its own), or a
 * GET where only the handshake is to be measured. Built on OpenSSL alone; one thread.
 *
 *     est_load --port N --issuer FILE --issuer-key FILE [--method GET] [--path PATH] [--devices N] [--in-flight N]
 *              [--kept | --within SECONDS] [--libest]
 *
 * Each device has a certificate of its own by that issuer, made before the clock starts. Without further options every
 * device comes once, by a full TLS 1.3 handshake on a connection of its own, --in-flight of them at a time; --kept: over
 * --in-flight connections that stay open (and are before the clock starts), each with one request under way and the first
 * devices' certificates; --within: they come at even intervals, whatever is answered; --libest: by TLS 1.2
 * and with base64 in lines, as libest wants it. One line of JSON; fails unless all were answered.
 */
#include "bench/client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_NS 20000000000ULL /* without any answer: something hangs */
#define ANSWER_MAX 16384
#define ADDRESSES 64 /* that connections come from: a single one has not ports enough */
#define NS_PER_S 1000000000ULL

struct device {
    X509 *certificate;
    EVP_PKEY *key;
    char *request; /* the whole HTTP request */
    size_t request_len;
};

enum state { FREE, HANDSHAKE, OPEN, WAITING };

struct connection {
    SSL *ssl;
    int fd;
    enum state state;
    uint64_t start_ns;
    char answer[ANSWER_MAX];
    size_t answer_len;
};

struct load {
    /* as told */
    uint16_t port;
    const char *issuer;
    const char *issuer_key;
    const char *path;
    bool get;
    bool kept;
    bool libest;
    size_t device_count;
    size_t in_flight;
    double within;
    /* the run's */
    SSL_CTX *ctx;
    int epoll;
    struct device *devices;
    size_t next;
    struct connection *connections;
    size_t connection_count;
    size_t busy;
    size_t open; /* of those that are kept: before the clock starts */
    size_t done;
    size_t errors;
    uint32_t *latencies_us;
    uint64_t last_ns; /* of an answer */
    char first_error[200];
};

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- devices, made before the clock starts ---- */

static X509_NAME *name_of(size_t number)
{
    char text[32];
    X509_NAME *name = X509_NAME_new();
    (void)snprintf(text, sizeof(text), "device-%zu", number);
    require(name != NULL && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                       (const unsigned char *)text, -1, -1, 0) == 1,
            "name");
    return name;
}

static X509 *certify(X509 *issuer, EVP_PKEY *issuer_key, EVP_PKEY *key, size_t number)
{
    X509 *cert = X509_new();
    X509_NAME *subject = name_of(number);
    X509V3_CTX v3;
    X509V3_set_ctx(&v3, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *usage = X509V3_EXT_conf_nid(NULL, &v3, NID_key_usage,
                                                "critical,digitalSignature");
    require(cert != NULL && usage != NULL && X509_set_version(cert, X509_VERSION_3) == 1 &&
                ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), 1000 + number) == 1 &&
                X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
                X509_set_subject_name(cert, subject) == 1 && X509_set_pubkey(cert, key) == 1 &&
                X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL &&
                X509_gmtime_adj(X509_getm_notAfter(cert), 86400) != NULL &&
                X509_add_ext(cert, usage, -1) == 1 && X509_sign(cert, issuer_key, EVP_sha256()) > 0,
            "certificate");
    X509_EXTENSION_free(usage);
    X509_NAME_free(subject);
    return cert;
}

#define LINE 64

/* `text` in lines; given. */
static char *in_lines(char *text)
{
    size_t len = strlen(text);
    char *lines = malloc(len + len / LINE + 2);
    char *to = lines;
    require(lines != NULL, "memory");
    for (size_t at = 0; at < len; at += LINE) {
        size_t n = len - at < LINE ? len - at : LINE;
        memcpy(to, text + at, n);
        to += n;
        *to++ = '\n';
    }
    *to = '\0';
    free(text);
    return lines;
}

/* PKCS#10 in base64, one line. */
static char *csr_of(size_t number)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_REQ *req = X509_REQ_new();
    X509_NAME *subject = name_of(number);
    unsigned char *der = NULL;
    require(key != NULL && req != NULL && X509_REQ_set_subject_name(req, subject) == 1 &&
                X509_REQ_set_pubkey(req, key) == 1 && X509_REQ_sign(req, key, EVP_sha256()) > 0,
            "request");
    int len = i2d_X509_REQ(req, &der);
    require(len > 0, "request");
    char *text = malloc((size_t)len * 4 / 3 + 8);
    require(text != NULL, "memory");
    (void)EVP_EncodeBlock((unsigned char *)text, der, len);
    OPENSSL_free(der);
    X509_NAME_free(subject);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    return text;
}

static void make_request(const struct load *l, size_t number, struct device *d)
{
    char *body = l->get ? NULL : csr_of(number);
    body = l->libest && body != NULL ? in_lines(body) : body;
    const char *end = l->kept ? "keep-alive" : "close";
    int n = l->get ? asprintf(&d->request,
                              "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n\r\n",
                              l->path, end)
                   : asprintf(&d->request,
                              "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n"
                              "Content-Type: application/pkcs10\r\nContent-Length: %zu\r\n\r\n%s",
                              l->path, end, strlen(body), body);
    require(n > 0, "memory");
    d->request_len = (size_t)n;
    free(body);
}

static void make_devices(struct load *l)
{
    FILE *f = fopen(l->issuer, "r");
    require(f != NULL, l->issuer);
    X509 *issuer = PEM_read_X509(f, NULL, NULL, NULL);
    (void)fclose(f);
    f = fopen(l->issuer_key, "r");
    require(f != NULL, l->issuer_key);
    EVP_PKEY *issuer_key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    (void)fclose(f);
    require(issuer != NULL && issuer_key != NULL, "issuer");
    l->devices = calloc(l->device_count, sizeof(*l->devices));
    require(l->devices != NULL, "memory");
    for (size_t i = 0; i < l->device_count; i++) {
        struct device *d = &l->devices[i];
        make_request(l, i, d);
        if (!l->kept || i < l->in_flight) {
            d->key = EVP_EC_gen("P-256");
            require(d->key != NULL, "key");
            d->certificate = certify(issuer, issuer_key, d->key, i);
        }
    }
    X509_free(issuer);
    EVP_PKEY_free(issuer_key);
}

/* ---- connections ---- */

static void remember_error(struct load *l, const char *what, const char *detail)
{
    if (l->errors++ == 0) {
        (void)snprintf(l->first_error, sizeof(l->first_error), "%s: %.150s", what, detail);
    }
}

static void end_connection(struct load *l, struct connection *c)
{
    SSL_free(c->ssl);
    (void)close(c->fd);
    c->state = FREE;
    l->busy--;
}

static void lose(struct load *l, struct connection *c, const char *what)
{
    char why[150];
    ERR_error_string_n(ERR_peek_error(), why, sizeof(why));
    ERR_clear_error();
    c->answer[c->answer_len] = '\0';
    remember_error(l, what, c->answer_len > 0 ? c->answer : why);
    end_connection(l, c);
}

static void open_connection(struct load *l, struct connection *c, const struct device *d)
{
    static uint32_t turn;
    const int one = 1;
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(l->port)};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + turn++ % ADDRESSES);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    require(c->fd >= 0 &&
                setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) == 0 &&
                setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0 &&
                bind(c->fd, (const struct sockaddr *)&from, sizeof(from)) == 0,
            "socket");
    int r = connect(c->fd, (const struct sockaddr *)&to, sizeof(to));
    require(r == 0 || errno == EINPROGRESS, "connect");
    c->ssl = SSL_new(l->ctx);
    require(c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1 &&
                SSL_use_certificate(c->ssl, d->certificate) == 1 &&
                SSL_use_PrivateKey(c->ssl, d->key) == 1 &&
                SSL_set_tlsext_host_name(c->ssl, "localhost") == 1,
            "TLS");
    SSL_set_connect_state(c->ssl);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    require(epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) == 0, "epoll");
    c->state = HANDSHAKE;
    c->answer_len = 0;
    l->busy++;
}

static bool shall_wait(const struct connection *c, int result)
{
    int why = SSL_get_error(c->ssl, result);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

/* A request is a few hundred octets into an empty socket buffer: it fits. */
static void send_next(struct load *l, struct connection *c, const struct device *d)
{
    c->answer_len = 0;
    if (SSL_write(c->ssl, d->request, (int)d->request_len) != (int)d->request_len) {
        lose(l, c, "write");
        return;
    }
    c->state = WAITING;
}

/* 0: more is to come; 1: whole and good; -1: whole and not. */
static int judge(struct load *l, struct connection *c)
{
    c->answer[c->answer_len] = '\0';
    const char *head_end = strstr(c->answer, "\r\n\r\n");
    const char *length = strcasestr(c->answer, "\r\ncontent-length:");
    if (head_end == NULL) {
        return 0;
    }
    size_t want = length == NULL ? 0 : strtoul(length + 17, NULL, 10);
    size_t have = c->answer_len - (size_t)(head_end + 4 - c->answer);
    if (have < want) {
        return 0;
    }
    bool good = (strncmp(c->answer, "HTTP/1.1 200 ", 13) == 0 ||
                 strncmp(c->answer, "HTTP/1.0 200 ", 13) == 0) &&
                want > 0 &&
                (l->get || strncmp(head_end + 4, "MI", 2) == 0); /* DER's SEQUENCE in base64 */
    return good ? 1 : -1;
}

static void on_answer(struct load *l, struct connection *c, int verdict)
{
    uint64_t now = now_ns();
    l->last_ns = now;
    if (verdict < 0) {
        remember_error(l, "answer", c->answer);
    } else {
        l->latencies_us[l->done++] = (uint32_t)((now - c->start_ns) / 1000);
    }
    if (!l->kept || l->next == l->device_count) {
        (void)SSL_shutdown(c->ssl);
        end_connection(l, c);
        return;
    }
    c->start_ns = now;
    send_next(l, c, &l->devices[l->next++]);
}

static void on_event(struct load *l, struct connection *c)
{
    if (c->state == HANDSHAKE) {
        int n = SSL_do_handshake(c->ssl);
        if (n != 1) {
            if (!shall_wait(c, n)) {
                lose(l, c, "handshake");
            }
            return;
        }
        if (l->kept) {
            c->state = OPEN;
            l->open++;
            return;
        }
        send_next(l, c, &l->devices[(size_t)(uintptr_t)SSL_get_app_data(c->ssl)]);
    }
    while (c->state == WAITING) {
        int n = SSL_read(c->ssl, c->answer + c->answer_len, (int)(ANSWER_MAX - 1 - c->answer_len));
        if (n <= 0) {
            if (!shall_wait(c, n)) {
                lose(l, c, "read");
            }
            return;
        }
        c->answer_len += (size_t)n;
        int verdict = judge(l, c);
        if (verdict != 0) {
            on_answer(l, c, verdict);
        }
    }
}

/* ---- the run ---- */

static struct connection *find_free(struct load *l)
{
    static size_t at;
    for (size_t i = 0; i < l->connection_count; i++) {
        struct connection *c = &l->connections[at++ % l->connection_count];
        if (c->state == FREE) {
            return c;
        }
    }
    return NULL;
}

static void start_device(struct load *l, uint64_t start_ns)
{
    struct connection *c = find_free(l);
    require(c != NULL, "too many at a time");
    size_t number = l->next++;
    open_connection(l, c, &l->devices[number]);
    SSL_set_app_data(c->ssl, (char *)(uintptr_t)number);
    c->start_ns = start_ns;
}

/* Who is due by the clock, or as many as shall be under way. The latency counts from when it was due. */
static void start_due(struct load *l, uint64_t start_ns)
{
    if (l->within > 0) {
        double gap = l->within * 1e9 / (double)l->device_count;
        while (l->next < l->device_count &&
               now_ns() >= start_ns + (uint64_t)((double)l->next * gap)) {
            start_device(l, start_ns + (uint64_t)((double)l->next * gap));
        }
        return;
    }
    while (l->next < l->device_count && l->busy < l->in_flight) {
        start_device(l, now_ns());
    }
}

static void turn(struct load *l, int timeout_ms)
{
    struct epoll_event events[256];
    int n = epoll_wait(l->epoll, events, 256, timeout_ms);
    for (int i = 0; i < n; i++) {
        on_event(l, events[i].data.ptr);
    }
    require(now_ns() < l->last_ns + PATIENCE_NS, "nothing comes any more");
}

/* All connections are there before the first request goes. */
static void open_kept(struct load *l)
{
    l->last_ns = now_ns();
    start_due(l, l->last_ns);
    while (l->open + l->errors < l->in_flight) {
        turn(l, 1000);
    }
}

static void send_first(struct load *l)
{
    for (size_t i = 0; i < l->connection_count; i++) {
        struct connection *c = &l->connections[i];
        if (c->state == OPEN) {
            c->start_ns = now_ns();
            send_next(l, c, &l->devices[(size_t)(uintptr_t)SSL_get_app_data(c->ssl)]);
        }
    }
}

static void run(struct load *l, uint64_t start_ns)
{
    l->last_ns = start_ns;
    if (l->kept) {
        send_first(l);
    }
    while (l->next < l->device_count || l->busy > 0) {
        if (!l->kept) {
            start_due(l, start_ns);
        }
        turn(l, l->within > 0 ? 1 : 1000);
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report(struct load *l, double seconds)
{
    qsort(l->latencies_us, l->done, sizeof(*l->latencies_us), compare);
    size_t last = l->done == 0 ? 0 : l->done - 1;
    (void)printf("{\"answers_per_second\":%.1f,\"answers\":%zu,\"seconds\":%.3f,\"errors\":%zu,"
                 "\"latency_us\":{\"p50\":%u,\"p99\":%u,\"max\":%u}}\n",
                 (double)l->done / seconds, l->done, seconds, l->errors, l->latencies_us[last / 2],
                 l->latencies_us[last * 99 / 100], l->latencies_us[last]);
    if (l->errors > 0) {
        (void)fprintf(stderr, "est_load: the first of %zu errors: %s\n", l->errors, l->first_error);
    }
}

static SSL_CTX *make_ctx(bool tls12)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    static const unsigned char h1[] = "\x08http/1.1";
    require(ctx != NULL &&
                SSL_CTX_set_min_proto_version(ctx, tls12 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1 &&
                SSL_CTX_set_max_proto_version(ctx, tls12 ? TLS1_2_VERSION : 0) == 1 &&
                SSL_CTX_set1_groups_list(ctx, tls12 ? "P-256" : "X25519") == 1 &&
                SSL_CTX_set_alpn_protos(ctx, h1, sizeof(h1) - 1) == 0,
            "TLS");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE,
                       NULL); /* what it costs is the load's, not the server's */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return ctx;
}

static bool parse(int argc, char **argv, struct load *l)
{
    int i = 1;
    for (; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--kept") == 0) {
            l->kept = true;
            continue;
        }
        if (strcmp(argv[i], "--libest") == 0) {
            l->libest = true;
            continue;
        }
        if (value == NULL) {
            return false;
        }
        if (strcmp(argv[i], "--port") == 0) {
            l->port = (uint16_t)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i], "--issuer") == 0) {
            l->issuer = value;
        } else if (strcmp(argv[i], "--issuer-key") == 0) {
            l->issuer_key = value;
        } else if (strcmp(argv[i], "--path") == 0) {
            l->path = value;
        } else if (strcmp(argv[i], "--method") == 0) {
            l->get = strcmp(value, "GET") == 0;
        } else if (strcmp(argv[i], "--devices") == 0) {
            l->device_count = strtoul(value, NULL, 10);
        } else if (strcmp(argv[i], "--in-flight") == 0) {
            l->in_flight = strtoul(value, NULL, 10);
        } else if (strcmp(argv[i], "--within") == 0) {
            l->within = strtod(value, NULL);
        } else {
            return false;
        }
        i++;
    }
    return l->port != 0 && l->issuer != NULL && l->issuer_key != NULL && l->device_count > 0 &&
           l->in_flight > 0;
}

int main(int argc, char **argv)
{
    static struct load l = {
        .path = "/.well-known/est/simpleenroll", .device_count = 10000, .in_flight = 64};
    if (!parse(argc, argv, &l)) {
        (void)fprintf(
            stderr,
            "usage: %s --port N --issuer FILE --issuer-key FILE [--method GET] [--path PATH]\n"
            "    [--devices N] [--in-flight N] [--kept | --within SECONDS] [--libest]\n",
            argv[0]);
        return 2;
    }
    l.connection_count = l.within > 0 ? l.device_count : l.in_flight;
    raise_file_limit(l.connection_count);
    l.ctx = make_ctx(l.libest);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    l.connections = calloc(l.connection_count, sizeof(*l.connections));
    l.latencies_us = calloc(l.device_count + 1, sizeof(*l.latencies_us));
    require(l.connections != NULL && l.latencies_us != NULL && l.epoll >= 0, "memory");
    make_devices(&l);
    if (l.kept) {
        open_kept(&l);
    }
    uint64_t start = now_ns();
    run(&l, start);
    report(&l, (double)(l.last_ns - start) / 1e9);
    return l.errors == 0 && l.done == l.device_count ? 0 : 1;
}
