/* SPDX-License-Identifier: Apache-2.0 */
#include "io/metrics_p.h"

#include "base/check.h"
#include "base/mem.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>

struct io_metrics sm_io_metrics;

#define VERSIONS 2
#define HANDSHAKES "sealmill_tls_handshakes_total"
#define HANDSHAKES_HELP "TLS handshakes that clients made with us, by result, version and group"

/* The last row takes every other group. */
static const struct {
    const char *group;
    const char *labels[VERSIONS];
} groups[] = {
    {"X25519MLKEM768",
     {"result=\"ok\",version=\"1.2\",group=\"X25519MLKEM768\"",
      "result=\"ok\",version=\"1.3\",group=\"X25519MLKEM768\""}},
    {"SecP256r1MLKEM768",
     {"result=\"ok\",version=\"1.2\",group=\"SecP256r1MLKEM768\"",
      "result=\"ok\",version=\"1.3\",group=\"SecP256r1MLKEM768\""}},
    {"x25519",
     {"result=\"ok\",version=\"1.2\",group=\"x25519\"",
      "result=\"ok\",version=\"1.3\",group=\"x25519\""}},
    {"secp256r1",
     {"result=\"ok\",version=\"1.2\",group=\"secp256r1\"",
      "result=\"ok\",version=\"1.3\",group=\"secp256r1\""}},
    {"secp384r1",
     {"result=\"ok\",version=\"1.2\",group=\"secp384r1\"",
      "result=\"ok\",version=\"1.3\",group=\"secp384r1\""}},
    {NULL,
     {"result=\"ok\",version=\"1.2\",group=\"other\"",
      "result=\"ok\",version=\"1.3\",group=\"other\""}},
};

static sm_metric handshakes[SM_ARRAY_LEN(groups)][VERSIONS];
static sm_metric handshakes_failed;
static sm_metric handshakes_resumed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_refusals(void)
{
    static const char name[] = "sealmill_connections_refused_total";
    static const char help[] = "Connections closed at accept, or left waiting, by reason";
    static const char *const labels[IO_REFUSED_COUNT] = {
        [IO_REFUSED_CONNECTIONS] = "reason=\"connections\"",
        [IO_REFUSED_ADDRESS] = "reason=\"address\"",
        [IO_REFUSED_MEMORY] = "reason=\"memory\"",
        [IO_REFUSED_DRAINING] = "reason=\"draining\"",
        [IO_REFUSED_FILES] = "reason=\"files\"",
    };
    for (size_t i = 0; i < IO_REFUSED_COUNT; i++) {
        sm_io_metrics.refused[i] = sm_metric_register(SM_COUNTER, name, help, labels[i]);
    }
}

static void register_timeouts(void)
{
    static const char name[] = "sealmill_connections_timed_out_total";
    static const char help[] = "Connections closed because their peer was too slow, by reason";
    static const char *const labels[IO_TIMEOUT_COUNT] = {
        [IO_TIMEOUT_HANDSHAKE] = "reason=\"handshake\"",
        [IO_TIMEOUT_IDLE] = "reason=\"idle\"",
        [IO_TIMEOUT_WRITE] = "reason=\"write\"",
    };
    for (size_t i = 0; i < IO_TIMEOUT_COUNT; i++) {
        sm_io_metrics.timed_out[i] = sm_metric_register(SM_COUNTER, name, help, labels[i]);
    }
}

static void register_handshakes(void)
{
    for (size_t i = 0; i < SM_ARRAY_LEN(groups); i++) {
        for (size_t v = 0; v < VERSIONS; v++) {
            handshakes[i][v] = sm_metric_register(SM_COUNTER, HANDSHAKES, HANDSHAKES_HELP,
                                                  groups[i].labels[v]);
        }
    }
    handshakes_failed = sm_metric_register(SM_COUNTER, HANDSHAKES, HANDSHAKES_HELP,
                                           "result=\"failed\"");
    handshakes_resumed = sm_metric_register(SM_COUNTER, "sealmill_tls_resumptions_total",
                                            "TLS handshakes that resumed a session", NULL);
}

static void register_all(void)
{
    sm_io_metrics.turns = sm_metric_register(SM_COUNTER, "sealmill_loop_turns_total",
                                             "Turns of the event loops", NULL);
    sm_io_metrics.turn_time = sm_metric_register(SM_HISTOGRAM, "sealmill_loop_turn_seconds",
                                                 "Time from waking to the end of a turn", NULL);
    sm_io_metrics.bytes_in = sm_metric_register(SM_COUNTER, "sealmill_received_bytes_total",
                                                "Octets received, TLS included", NULL);
    sm_io_metrics.bytes_out = sm_metric_register(SM_COUNTER, "sealmill_sent_bytes_total",
                                                 "Octets sent, TLS included", NULL);
    sm_io_metrics.accepted = sm_metric_register(SM_COUNTER, "sealmill_connections_accepted_total",
                                                "Connections accepted", NULL);
    register_refusals();
    register_timeouts();
    register_handshakes();
}

void sm_io_metrics_init(void)
{
    (void)pthread_once(&once, register_all);
}

void sm_io_metrics_handshake(bool server, int version, const char *group, bool resumed)
{
    if (!server) {
        return;
    }
    size_t i = 0;
    while (groups[i].group != NULL && strcasecmp(groups[i].group, group) != 0) {
        i++;
    }
    sm_metric_inc(handshakes[i][version >= TLS1_3_VERSION ? 1 : 0]);
    if (resumed) {
        sm_metric_inc(handshakes_resumed);
    }
}

void sm_io_metrics_handshake_failed(bool server)
{
    if (server) {
        sm_metric_inc(handshakes_failed);
    }
}

/* A series keeps its labels for the program's life, so each name is kept once, listeners being few.
 * The lock covers the list. */
struct label {
    struct label *next;
    char text[];
};
static pthread_mutex_t labels_lock = PTHREAD_MUTEX_INITIALIZER;
static struct label *labels;

static const char *intern(const char *text)
{
    for (struct label *l = labels; l != NULL; l = l->next) {
        if (strcmp(l->text, text) == 0) {
            return l->text;
        }
    }
    size_t size = strlen(text) + 1;
    struct label *l = sm_malloc(sizeof(*l) + size);
    if (l == NULL) {
        return NULL;
    }
    memcpy(l->text, text, size);
    l->next = labels;
    labels = l;
    return l->text;
}

sm_metric sm_io_metrics_connections(const char *listener)
{
    char text[96];
    (void)snprintf(text, sizeof(text), "listener=\"%.64s\"", listener);
    (void)pthread_mutex_lock(&labels_lock);
    const char *kept = intern(text);
    (void)pthread_mutex_unlock(&labels_lock);
    return sm_metric_register(SM_GAUGE, "sealmill_connections", "Open connections by listener",
                              kept);
}
