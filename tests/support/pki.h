/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and certificates for tests, made when they run.
 *
 * Threads:   none.
 * Limits:    paths of 512 characters.
 * Security:  test keys only.
 * Standards: RFC 5280.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sm_pki_spec {
    const char *name;       /* writes <dir>/<name>.pem and <dir>/<name>.key */
    const char *issuer;     /* the name of one made before; NULL: self-signed */
    const char *subject_cn; /* NULL: `name` */
    const char *sans;       /* "DNS:a.example,IP:127.0.0.1"; NULL: none */
    const char *eku;        /* "serverAuth", "clientAuth"; NULL: none */
    const char *key_type;   /* "EC" (P-256), "RSA" (2048), "ED25519"; NULL: EC */
    bool ca;
    int64_t valid_for_s; /* from an hour ago; 0: a day */
};

/* Makes key and certificate. When its issuer is not self-signed, the issuer's certificate follows
 * the leaf's in the file. False (and OpenSSL's errors on stderr) on failure. */
bool sm_pki_make(const char *dir, const struct sm_pki_spec *spec);

/* "<dir>/<name><suffix>" in one of a few static places; copy it if it must last. */
const char *sm_pki_path(const char *dir, const char *name, const char *suffix);

/* Copies one file over another. */
bool sm_pki_copy(const char *from, const char *to);
