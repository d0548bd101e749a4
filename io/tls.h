/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts: certificates by SNI, client certificates, ALPN, resumption, reload.
 *
 * A sm_tls_server is what a listener uses; reloading swaps its inside while connections that began
 * under the old one go on with it.
 *
 * Threads:   create and reload from the main thread; every loop reads (attached per connection).
 * Limits:    SM_TLS_CERTIFICATES_MAX certificates a listener.
 * Security:  TLS 1.2 needs ECDHE and an AEAD; no renegotiation, no compression; session tickets are
 * encrypted by keys that live in memory and rotate; private keys are wiped by OpenSSL. Standards:
 * RFC 8446, RFC 5246, RFC 7301 (ALPN), RFC 6066 (SNI), X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem).
 */
#pragma once

#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"

#define SM_TLS_CERTIFICATES_MAX 64
#define SM_TLS_GROUPS_DEFAULT "X25519MLKEM768:X25519:P-256:P-384"

enum sm_tls_client_auth {
    SM_TLS_CLIENT_NONE,
    SM_TLS_CLIENT_OPTIONAL, /* asked for; what comes must chain to client_ca_file */
    SM_TLS_CLIENT_REQUIRED,
    SM_TLS_CLIENT_UNVERIFIED, /* asked for with an empty CA list; never fails the handshake; the
                                 handler decides (EST) */
};

struct sm_tls_files {
    const char *certificate_file; /* PEM, leaf first, then its chain */
    const char *key_file;         /* PEM, not encrypted, or readable by this process alone */
};

struct sm_tls_server_config {
    const struct sm_tls_files *certificates; /* the first is the default without SNI */
    size_t certificate_count;
    enum sm_tls_client_auth client_auth;
    const char *client_ca_file; /* PEM; NULL when client_auth is none or unverified */
    const char *groups;         /* NULL: SM_TLS_GROUPS_DEFAULT */
    int minimum_version;        /* 0x0303 or 0x0304 (TLS1_2_VERSION, TLS1_3_VERSION) */
    bool no_resumption;
    bool no_http2; /* offer http/1.1 alone by ALPN */
};

typedef struct sm_tls_server sm_tls_server;

/* Reads every file. Errors: NOT_FOUND, MALFORMED, INVALID (key does not match), with the file named
 * in diag; NO_MEMORY. Given. */
SM_FALLIBLE sm_tls_server_new(const struct sm_tls_server_config *config, sm_tls_server **out,
                              sm_diag *diag);
/* Reads every file again; on error the old content stays in use. */
SM_FALLIBLE sm_tls_server_reload(sm_tls_server *server, sm_diag *diag);
/* After the last connection's detach. */
void sm_tls_server_free(sm_tls_server **server);

/* ---- stapling (RFC 6066 8, RFC 8446 4.4.2.1): octets from outside beside a certificate ---- */
#define SM_TLS_STAPLE_MAX (64U << 10)

size_t sm_tls_server_certificate_count(const sm_tls_server *server);
/* Appends the DER of a certificate's leaf, as it is now. Any thread. Errors: the buffer's own. */
SM_FALLIBLE sm_tls_server_leaf(sm_tls_server *server, size_t at, sm_buf *out);
/* From now on clients that ask for its status get this OCSPResponse with this certificate; empty: none.
 * `leaf` is the certificate that it is about: where a reload has replaced that, nothing happens
 * (NOT_FOUND). A reload also forgets staples. Any thread. Errors: TOO_LARGE, NO_MEMORY. */
SM_FALLIBLE sm_tls_server_staple(sm_tls_server *server, size_t at, sm_slice leaf,
                                 sm_slice response);

struct sm_tls_client_config {
    const char *ca_file;          /* PEM trust anchors; NULL: the system's */
    const char *certificate_file; /* NULL: no client certificate */
    const char *key_file;
    const char *server_name; /* for SNI and verification: a DNS name or an IP address */
    const char *groups;      /* NULL: default */
    bool resume;             /* keep sessions for the next connection */
};

typedef struct sm_tls_client sm_tls_client;

SM_FALLIBLE sm_tls_client_new(const struct sm_tls_client_config *config, sm_tls_client **out,
                              sm_diag *diag);
void sm_tls_client_free(sm_tls_client **client);

/* What a handler may know of a connection's TLS. Slices are borrowed until the connection closes.
 */
struct sm_tls_info {
    bool used;
    bool resumed;
    int version;                /* 0x0303, 0x0304 */
    const char *group;          /* "X25519MLKEM768"; static */
    const char *cipher;         /* static */
    sm_slice server_name;       /* SNI, lower case */
    sm_slice peer_certificate;  /* DER of the client's leaf; empty when none was sent */
    const sm_slice *peer_chain; /* DER of what came with it, leaf first */
    size_t peer_chain_count;
    bool peer_verified; /* chains to client_ca_file */
};

/* A certificate with its key, taken out for signatures in its name. */
struct sm_tls_pair {
    struct evp_pkey_st *key;
    sm_buf certificates; /* DER, leaf first, one after the other */
};
void sm_tls_pair_deinit(struct sm_tls_pair *pair);

/* Exported keying material (RFC 8446 7.5, RFC 9266). Only through io/http.h:
 * sm_http_export_keying_material. */
