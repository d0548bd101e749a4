/* SPDX-License-Identifier: Apache-2.0 */
#include "io/address.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static bool split(const char *text, char host[64], uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    uint64_t number;
    if (colon == NULL || !sm_ok(sm_decimal_parse(sm_slice_str(colon + 1), &number)) ||
        number > UINT16_MAX) {
        return false;
    }
    size_t len = (size_t)(colon - text);
    if (len > 1 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (len == 0 || len >= 64) {
        return false;
    }
    (void)snprintf(host, 64, "%.*s", (int)len, text);
    *port = (uint16_t)number;
    return true;
}

sm_err sm_address_parse(const char *text, struct sockaddr_storage *out, socklen_t *len)
{
    char host[64];
    uint16_t port;
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (!split(text, host, &port)) {
        return SM_ERR(INVALID);
    }
    const char *number = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, number, &in.sin_addr) == 1) {
        in.sin_port = htons(port);
        memcpy(out, &in, sizeof(in));
        *len = sizeof(in);
        return SM_NO_ERR;
    }
    if (inet_pton(AF_INET6, number, &in6.sin6_addr) == 1) {
        in6.sin6_port = htons(port);
        memcpy(out, &in6, sizeof(in6));
        *len = sizeof(in6);
        return SM_NO_ERR;
    }
    return SM_ERR(INVALID);
}
