/* SPDX-License-Identifier: Apache-2.0 */
/* Any octets as a request: what we take, OpenSSL takes, with the same subject, key, attributes,
 * extensions, algorithm and signature; a subject is written as it was read; names turn to text and
 * back without a fault. */
#include "tests/support/csr_same.h"

#include "sign/name.h"
#include "sign/oids.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_CAP (1 << 22)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        (void)fprintf(stderr, "differs: %s\n", what);
        abort();
    }
}

/* DER has one encoding of a name, and only that is read. */
static void write_subject_back(const struct sm_csr *csr)
{
    sm_buf again = sm_buf_init(2 * SM_CSR_MAX);
    sm_name_write(&again, &csr->name);
    must(sm_slice_equal(sm_buf_slice(&again), csr->subject), "the subject written back");
    sm_buf_deinit(&again);
}

static void use_subject(struct sm_csr *csr, sm_arena *arena)
{
    struct sm_name back;
    sm_buf text = sm_buf_init(8 * SM_CSR_MAX);
    must(sm_ok(sm_name_to_text(csr->subject, &text)), "the subject's text");
    if (sm_ok(sm_name_from_text(sm_buf_slice(&text), arena, &back, NULL))) {
        must(back.count == csr->name.count, "the subject's text read back");
    }
    must(sm_ok(sm_name_use_utf8(&csr->name, arena)), "UTF-8");
    sm_buf_deinit(&text);
}

/* Names that are good are written as they were read, and OpenSSL reads them, too. */
static void use_sans(const struct sm_csr *csr, sm_arena *arena)
{
    const struct sm_extension *ext = sm_csr_extension(csr, SM_OID_SUBJECT_ALT_NAME);
    struct sm_san *sans;
    size_t count;
    sm_diag diag = {.reason = ""};
    if (ext == NULL || !sm_ok(sm_sans_parse(ext->value, true, arena, &sans, &count, &diag))) {
        return;
    }
    sm_buf again = sm_buf_init(2 * SM_CSR_MAX);
    sm_sans_write(&again, sans, count);
    must(sm_slice_equal(sm_buf_slice(&again), ext->value), "the names written back");
    sm_buf_deinit(&again);
    const unsigned char *at = ext->value.ptr;
    GENERAL_NAMES *theirs = d2i_GENERAL_NAMES(NULL, &at, (long)ext->value.len);
    must(theirs != NULL && sk_GENERAL_NAME_num(theirs) == (int)count, "the names' number");
    GENERAL_NAMES_free(theirs);
    for (size_t i = 0; i < count; i++) {
        sm_buf text = sm_buf_init(8 * SM_CSR_MAX);
        must(sm_ok(sm_san_to_text(&sans[i], &text)), "a name's text");
        sm_buf_deinit(&text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sm_csr csr;
    sm_diag diag = {.reason = ""};
    if (!sm_ok(sm_csr_parse(sm_slice_of(data, size), &csr, &diag))) {
        must(diag.reason[0] != '\0', "no reason given");
        return 0;
    }
    sm_arena arena;
    sm_arena_init(&arena, ARENA_CAP);
    const char *difference = sm_test_csr_disagrees(&csr);
    must(difference == NULL, difference);
    write_subject_back(&csr);
    use_sans(&csr, &arena);
    use_subject(&csr, &arena);
    sm_arena_deinit(&arena);
    return 0;
}
