/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/crl_file.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "sign/batch.h"
#include "sign/cert.h"
#include "sign/name.h"
#include "tools/command_work.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX (UINT64_C(3) << 30) /* of standard input: the largest CRL as PEM */
#define NAME_MAX_OCTETS 65536

/* ---- reading ---- */

static sm_err fail(const char *path, sm_diag *diag)
{
    return sm_diag_set(diag, errno == ENOENT ? SM_ERR(NOT_FOUND) : SM_ERR(DISK), "", "%.200s: %s",
                       path, strerror(errno));
}

static sm_err map_file(const char *path, struct crl_file *f, sm_diag *diag)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail(path, diag);
    }
    bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    f->size = ok ? (size_t)st.st_size : 0;
    f->map = f->size == 0 ? MAP_FAILED : mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, fd, 0);
    (void)close(fd);
    if (f->map == MAP_FAILED) {
        f->map = NULL;
        return sm_diag_set(diag, SM_ERR(MALFORMED), "", "%.200s is no file with a CRL", path);
    }
    return SM_NO_ERR;
}

static sm_err read_input(sm_buf *out)
{
    uint8_t piece[65536];
    ssize_t n;
    while ((n = read(STDIN_FILENO, piece, sizeof(piece))) > 0) {
        sm_buf_put(out, sm_slice_of(piece, (size_t)n));
    }
    return n < 0 ? SM_ERR(DISK) : sm_buf_err(out);
}

static sm_err read_all(const char *path, struct crl_file *f, sm_buf *input, sm_diag *diag)
{
    sm_slice text;
    if (strcmp(path, "-") == 0) {
        SM_TRY(read_input(input));
        text = sm_buf_slice(input);
    } else {
        SM_TRY(map_file(path, f, diag));
        text = sm_slice_of(f->map, f->size);
    }
    SM_TRY(sm_crl_read_pem_or_der(text, &f->scratch, &f->der, diag));
    return sm_crl_read_parse(f->der, &f->crl, diag);
}

sm_err crl_file_open(const char *path, struct crl_file *out, sm_diag *diag)
{
    *out = (struct crl_file){.scratch = sm_buf_init(INPUT_MAX)};
    sm_buf input = sm_buf_init(INPUT_MAX);
    sm_err err = read_all(path, out, &input, diag);
    if (sm_ok(err) && out->der.ptr == input.ptr) { /* DER that was read lives on there */
        sm_buf_deinit(&out->scratch);
        out->scratch = input;
        return SM_NO_ERR;
    }
    sm_buf_deinit(&input);
    if (!sm_ok(err)) {
        crl_file_close(out);
    }
    return err;
}

void crl_file_close(struct crl_file *f)
{
    if (f->map != NULL) {
        (void)munmap(f->map, f->size);
        f->map = NULL;
    }
    sm_buf_deinit(&f->scratch);
}

static sm_err verify(const struct crl_file *f, sm_slice der, sm_diag *diag)
{
    struct sm_cert cert;
    struct sm_public_key key;
    SM_TRY(sm_cert_parse(der, &cert, diag));
    if (!sm_slice_equal(cert.subject, f->crl.issuer)) {
        return sm_diag_set(diag, SM_ERR(BAD_SIGNATURE), "issuer",
                           "the certificate is not the issuer's: its subject is another name");
    }
    SM_TRY(sm_public_key_parse(cert.spki, &key, diag));
    return sm_ok(sm_verify_now(&key, f->crl.sig_alg, f->crl.tbs, f->crl.signature))
               ? SM_NO_ERR
               : sm_diag_set(diag, SM_ERR(BAD_SIGNATURE), "issuer",
                             "the signature is not this certificate's key's");
}

sm_err crl_file_verify(const struct crl_file *f, sm_slice issuer, sm_diag *diag)
{
    sm_slice der;
    sm_buf scratch = sm_buf_init(SM_CERT_MAX);
    sm_err err = sm_cert_from_pem_or_der(issuer, &scratch, &der, diag);
    err = sm_ok(err) ? verify(f, der, diag) : err;
    sm_buf_deinit(&scratch);
    return err;
}

/* ---- showing ---- */

static bool number_of(sm_slice magnitude, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < magnitude.len && i < sizeof(n); i++) {
        n = n << 8 | magnitude.ptr[i];
    }
    *out = n;
    return magnitude.len > 0 && magnitude.len <= sizeof(n);
}

static void write_number(sm_slice magnitude, sm_buf *out)
{
    uint64_t n;
    char text[2 * 64 + 1];
    if (magnitude.len > sizeof(n)) { /* larger ones as they are */
        (void)sm_hex_format(sm_slice_first(magnitude, 64), text);
        sm_buf_printf(out, "0x%s", text);
        return;
    }
    (void)number_of(magnitude, &n);
    sm_buf_printf(out, "%" PRIu64, n);
}

bool crl_file_number(const struct crl_file *f, uint64_t *out)
{
    return number_of(f->crl.number, out);
}

static void write_issuer(sm_slice name, sm_buf *out)
{
    if (!sm_ok(sm_name_to_text(name, out))) {
        sm_buf_reset(out);
        sm_buf_put(out, SM_LIT("?"));
    }
}

/* The URIs of an issuingDistributionPoint's full name, one after the other. */
static bool next_url(sm_der *names, sm_slice *out)
{
    while (!sm_der_at_end(names)) {
        uint8_t tag;
        *out = sm_der_read_any(names, &tag);
        if (tag == SM_DER_CTX(6)) {
            return true;
        }
    }
    return false;
}

static sm_der names_of(sm_slice distribution)
{
    sm_der d = sm_der_init(distribution);
    sm_der idp = sm_der_enter(&d, SM_DER_SEQUENCE);
    if (sm_der_peek(&idp) != SM_DER_CTX_CONS(0)) {
        return sm_der_init(SM_SLICE_NONE);
    }
    sm_der point = sm_der_enter(&idp, SM_DER_CTX_CONS(0));
    return sm_der_peek(&point) == SM_DER_CTX_CONS(0) ? sm_der_enter(&point, SM_DER_CTX_CONS(0))
                                                     : sm_der_init(SM_SLICE_NONE);
}

bool crl_file_is_of(const struct crl_file *f, sm_slice ending)
{
    sm_der names = names_of(f->crl.distribution);
    sm_slice url;
    while (next_url(&names, &url)) {
        if (sm_slice_ends_with(url, ending)) {
            return true;
        }
    }
    return false;
}

static void print_escaped(sm_slice text)
{
    char out[1024];
    (void)printf("%s", sm_diag_escape(text, out, sizeof(out)));
}

static void print_head(const struct sm_crl_read *c, bool verified)
{
    char from[SM_RFC3339_SIZE];
    char until[SM_RFC3339_SIZE];
    sm_buf text = sm_buf_init(NAME_MAX_OCTETS);
    write_issuer(c->issuer, &text);
    (void)printf("issuer       %.*s\n", (int)text.len, (const char *)text.ptr);
    sm_buf_reset(&text);
    write_number(c->number, &text);
    (void)printf("number       %.*s\n", (int)text.len, (const char *)text.ptr);
    if (c->is_delta) {
        sm_buf_reset(&text);
        write_number(c->base_number, &text);
        (void)printf("kind         delta, since number %.*s\n", (int)text.len,
                     (const char *)text.ptr);
    }
    sm_buf_deinit(&text);
    sm_der names = names_of(c->distribution);
    sm_slice url;
    while (next_url(&names, &url)) {
        (void)printf("is of        ");
        print_escaped(url);
        (void)printf("\n");
    }
    (void)printf("this update  %s\nnext update  %s\n", sm_clock_format(c->this_update, from),
                 c->next_update == 0 ? "none" : sm_clock_format(c->next_update, until));
    (void)printf("signature    %s, %s\n", sm_sig_alg_name(c->sig_alg),
                 verified ? "verified" : "not verified (--issuer verifies it)");
    (void)printf("entries      %zu\n", c->count);
}

void crl_file_print(const struct crl_file *f, bool verified)
{
    struct sm_crl_read_entry e;
    char hex[2 * 64 + 1];
    char at[SM_RFC3339_SIZE];
    sm_der cursor = sm_der_init(f->crl.entries);
    print_head(&f->crl, verified);
    while (sm_crl_read_next(&cursor, &e)) {
        (void)printf("%s  %s  %s", sm_hex_format(sm_slice_first(e.serial, 64), hex),
                     sm_clock_format(e.revoked_at, at),
                     e.reason < 0 ? "unspecified" : command_reason_word(e.reason));
        if (e.invalidity_date != 0) {
            (void)printf("  invalid since %s", sm_clock_format(e.invalidity_date, at));
        }
        (void)printf("\n");
    }
}

/* ---- as JSON ---- */

static void print_json_text(sm_slice text)
{
    (void)putchar('"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '"' || c == '\\') {
            (void)printf("\\%c", c);
        } else if (c < ' ') {
            (void)printf("\\u%04x", c);
        } else {
            (void)putchar(c);
        }
    }
    (void)putchar('"');
}

static void print_json_number(const char *name, sm_slice magnitude)
{
    sm_buf text = sm_buf_init(256);
    write_number(magnitude, &text);
    (void)printf(",\"%s\":", name);
    print_json_text(sm_buf_slice(&text)); /* text: JavaScript's numbers end at 2^53 */
    sm_buf_deinit(&text);
}

static void print_json_urls(const struct sm_crl_read *c)
{
    sm_der names = names_of(c->distribution);
    sm_slice url;
    const char *before = ",\"distributionPoints\":[";
    bool any = false;
    while (next_url(&names, &url)) {
        (void)printf("%s", before);
        print_json_text(url);
        before = ",";
        any = true;
    }
    (void)printf("%s", any ? "]" : "");
}

static void print_json_head(const struct sm_crl_read *c, bool verified)
{
    char at[SM_RFC3339_SIZE];
    sm_buf text = sm_buf_init(NAME_MAX_OCTETS);
    write_issuer(c->issuer, &text);
    (void)printf("{\"issuer\":");
    print_json_text(sm_buf_slice(&text));
    sm_buf_deinit(&text);
    print_json_number("number", c->number);
    if (c->is_delta) {
        print_json_number("baseNumber", c->base_number);
    }
    print_json_urls(c);
    (void)printf(",\"thisUpdate\":\"%s\"", sm_clock_format(c->this_update, at));
    if (c->next_update != 0) {
        (void)printf(",\"nextUpdate\":\"%s\"", sm_clock_format(c->next_update, at));
    }
    (void)printf(",\"signatureAlgorithm\":\"%s\",\"verified\":%s,\"entries\":[",
                 sm_sig_alg_name(c->sig_alg), verified ? "true" : "false");
}

void crl_file_print_json(const struct crl_file *f, bool verified)
{
    struct sm_crl_read_entry e;
    char hex[2 * 64 + 1];
    char at[SM_RFC3339_SIZE];
    sm_der cursor = sm_der_init(f->crl.entries);
    const char *before = "";
    print_json_head(&f->crl, verified);
    while (sm_crl_read_next(&cursor, &e)) {
        (void)printf("%s{\"serial\":\"%s\",\"revokedAt\":\"%s\"", before,
                     sm_hex_format(sm_slice_first(e.serial, 64), hex),
                     sm_clock_format(e.revoked_at, at));
        if (e.reason >= 0) {
            (void)printf(",\"reason\":\"%s\"", command_reason_word(e.reason));
        }
        if (e.invalidity_date != 0) {
            (void)printf(",\"invalidityDate\":\"%s\"", sm_clock_format(e.invalidity_date, at));
        }
        (void)printf("}");
        before = ",";
    }
    (void)printf("]}\n");
}
