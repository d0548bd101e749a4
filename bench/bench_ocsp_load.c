/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills a dev instance that is stopped with certificates and their pre-signed answers, straight into its store: each
 * with a record of its own and a real signature of the CA's responder; without the audit log and the index, which OCSP does
 * not read. Prints a line of JSON.
 *
 *     bench_ocsp_load DIR --count N [--requests FILE [--sample N]]
 *
 * FILE gets OCSP requests (SHA-1 CertIDs, no nonce, all of one length) about certificates chosen at random.
 */
#include "api/api_p.h"
#include "api/ocsp_responder.h"
#include "api/ocsp_schedule.h"
#include "api/record.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rand.h"
#include "ocsp-cache/ocsp_refresh_p.h"
#include "proto/message.h"
#include "sign/der.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN 16384
#define PUTS 1024
#define FIRST_MS INT64_C(1700000000000)

static sm_arena arena;
static sm_keystore *keystore;
static sm_store *store;
static sm_api *api;
static sm_world *world;
static const struct sm_ca_generation *ca;

static void must(sm_err err, const sm_diag *diag, const char *what)
{
    if (!sm_ok(err)) {
        (void)fprintf(stderr, "bench_ocsp_load: %s: %s %s\n", what, sm_err_name(err),
                      diag == NULL ? "" : diag->reason);
        exit(1);
    }
}

/* As sealmill's: milliseconds, then random octets, of certificate number `n`. */
static void serial_of(uint64_t n, uint8_t out[SM_SERIAL_LEN])
{
    uint64_t ms = (uint64_t)FIRST_MS + n;
    uint64_t x = n * 0x9e3779b97f4a7c15ULL + 0x7654321;
    for (int i = 0; i < 6; i++) {
        out[i] = (uint8_t)(ms >> (40 - 8 * i));
    }
    for (int i = 6; i < SM_SERIAL_LEN; i++) {
        x ^= x >> 31;
        x *= 0xbf58476d1ce4e5b9ULL;
        out[i] = (uint8_t)(x >> 40);
    }
    out[0] |= 0x10;
}

static void open_all(const char *dir)
{
    sm_diag diag = {.reason = ""};
    ProtobufCMessage *m;
    sm_buf yaml = sm_buf_init(1U << 20);
    SM_CHECK(chdir(dir) == 0);
    sm_arena_init(&arena, 1U << 30);
    must(sm_file_read("sealmill.yaml", &yaml, &diag), &diag, "sealmill.yaml");
    must(sm_message_from_yaml(&sealmill__config__v1__config__descriptor, sm_buf_slice(&yaml),
                              &arena, &m, &diag),
         &diag, "sealmill.yaml");
    const Sealmill__Config__V1__Config *config = (Sealmill__Config__V1__Config *)(void *)m;
    const struct sm_keystore_config keys = {.dir = config->keys->dir,
                                            .passphrase_file = config->keys->passphrase_file};
    const struct sm_store_config data = {.dir = config->data_dir};
    must(sm_sign_init(&diag), &diag, "crypto");
    must(sm_keystore_open(&keys, &keystore, &diag), &diag, "keys");
    must(sm_store_open(&data, &store, &diag), &diag, "store");
    const struct sm_api_config c = {.config = config, .store = store, .keystore = keystore};
    must(sm_api_new(&c, &api, &diag), &diag, "api");
    must(sm_ocsp_schedule_new(api, NULL), NULL, "refresh");
    world = sm_world_attach(api);
    ca = sm_ca_current(sm_world_ca(world, "issuing"));
    SM_CHECK(ca != NULL && ca->ocsp != NULL && ca->ocsp->signer_count > 0);
}

static void close_all(void)
{
    sm_world_detach(&world);
    sm_api_free(&api);
    sm_store_close(&store);
    sm_keystore_close(&keystore);
    sm_arena_deinit(&arena);
}

/* ---- records ---- */

static int64_t not_after(void)
{
    return sm_clock_wall_s() + INT64_C(300) * 86400;
}

static void put_certs(uint64_t first, size_t count)
{
    static uint8_t serials[PUTS][SM_SERIAL_LEN];
    static struct sm_store_put puts[PUTS];
    sm_arena room;
    Sealmill__Record__V1__CertificateRecord r;
    sm_arena_init(&room, 16U << 20);
    for (size_t i = 0; i < count; i++) {
        serial_of(first + i, serials[i]);
        sealmill__record__v1__certificate_record__init(&r);
        r.version = SM_RECORD_VERSION;
        r.ca_id = ca->ca_id;
        r.ca_generation = ca->number;
        r.profile = sm_text(&room, SM_LIT("device"));
        r.certificate = sm_binary(ca->ocsp_cert.der); /* of a device certificate's size */
        r.not_before = sm_clock_wall_s();
        r.not_after = not_after();
        r.issued_at = r.not_before;
        r.requester = sm_text(&room, SM_LIT("bench"));
        puts[i] = (struct sm_store_put){.kind = SM_PUT,
                                        .family = SM_FAMILY_CERT,
                                        .key = sm_slice_of(serials[i], SM_SERIAL_LEN)};
        must(sm_record_pack(&r.base, &room, &puts[i].value), NULL, "a record");
    }
    sm_store_write op = {.puts = puts, .put_count = count};
    must(sm_store_write_sync(store, &op), NULL, "a write");
    sm_arena_deinit(&room);
}

static void put_answers(uint64_t first, size_t count)
{
    static struct sm_ocsp_refresh_issuer issuer;
    const struct sm_ocsp_responder *o = ca->ocsp;
    struct run run;
    issuer = (struct sm_ocsp_refresh_issuer){.issuer = &o->issuer,
                                             .signers = o->signers,
                                             .signer_count = o->signer_count,
                                             .validity_s = o->rules.validity_s,
                                             .backdate_s = o->rules.backdate_s};
    must(sm_ocsp_run_begin(&run, api->ocsp_refresh, &issuer, RUN), NULL, "a run");
    for (size_t i = 0; i < count; i++) {
        uint8_t serial[SM_SERIAL_LEN];
        uint8_t row_key[SM_OCSP_ROW_KEY_MAX];
        struct row *row;
        serial_of(first + i, serial);
        struct sm_ocsp_key key = {ca->ca_id, ca->number, SM_OCSP_SHA1,
                                  sm_slice_of(serial, sizeof(serial))};
        must(
            sm_ocsp_run_add(&run, sm_slice_of(row_key, sm_ocsp_row_key(&key, row_key)), &key, &row),
            NULL, "a row");
        row->not_after = not_after();
    }
    must(sm_ocsp_run_read_states(&run), NULL, "states");
    must(sm_ocsp_run_sign(&run), NULL, "signing");
    must(sm_ocsp_run_write(&run), NULL, "writing");
    sm_ocsp_run_end(&run);
}

/* As if the search for certificates without an answer had been, and a pass that counted. */
static void mark(uint64_t count)
{
    struct schedule s = {.ca_id = ca->ca_id, .generation = ca->number};
    sm_ocsp_pass_init(&s.pass, ca->ocsp->rules.validity_s, sm_clock_wall_s());
    s.pass.filled = true;
    s.pass.done = true;
    s.pass.seen = count;
    sm_ocsp_refresh_keep_place(api->ocsp_refresh, &s);
}

/* ---- requests ---- */

static void write_request(FILE *out, uint64_t n)
{
    uint8_t serial[SM_SERIAL_LEN];
    sm_buf der = sm_buf_init(4096);
    serial_of(n, serial);
    sm_der_block blocks[4];
    for (int i = 0; i < 4; i++) { /* OCSPRequest, TBSRequest, requestList, Request */
        blocks[i] = sm_der_begin(&der, SM_DER_SEQUENCE);
    }
    must(sm_ocsp_cert_id_write(&ca->ocsp->issuer, SM_OCSP_SHA1, sm_slice_of(serial, sizeof(serial)),
                               &der),
         NULL, "a CertID");
    for (int i = 4; i-- > 0;) {
        sm_der_end(&der, blocks[i]);
    }
    SM_CHECK(sm_ok(sm_buf_err(&der)) && fwrite(der.ptr, 1, der.len, out) == der.len);
    sm_buf_deinit(&der);
}

static void write_requests(const char *path, uint64_t count, uint64_t sample)
{
    FILE *out = fopen(path, "wb");
    SM_CHECK(out != NULL);
    for (uint64_t i = 0; i < sample; i++) {
        write_request(out, sm_rand_u64() % count);
    }
    SM_CHECK(fclose(out) == 0);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"count", required_argument, NULL, 'c'},
                                          {"requests", required_argument, NULL, 'r'},
                                          {"sample", required_argument, NULL, 's'},
                                          {NULL, 0, NULL, 0}};
    uint64_t count = 0;
    uint64_t sample = 1000000;
    const char *requests = NULL;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'c':
            count = strtoul(optarg, NULL, 10);
            break;
        case 'r':
            requests = optarg;
            break;
        case 's':
            sample = strtoul(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    SM_CHECK(optind < argc && count > 0);
    sm_log_configure(SM_LOG_WARN, SM_LOG_KEY_VALUE, 2);
    char *full = requests == NULL ? NULL : realpath(".", NULL);
    open_all(argv[optind]);
    uint64_t start = sm_clock_mono_ns();
    for (uint64_t at = 0; at < count; at += RUN) {
        size_t n = count - at < RUN ? (size_t)(count - at) : RUN;
        for (size_t i = 0; i < n; i += PUTS) {
            put_certs(at + i, n - i < PUTS ? n - i : PUTS);
        }
        put_answers(at, n);
    }
    mark(count);
    double took = (double)(sm_clock_mono_ns() - start) / 1e9;
    if (requests != NULL) {
        char path[4096];
        (void)snprintf(path, sizeof(path), "%s%s%s", requests[0] == '/' ? "" : full,
                       requests[0] == '/' ? "" : "/", requests);
        write_requests(path, count, sample);
    }
    free(full);
    close_all();
    (void)printf("{\"certificates\":%llu,\"seconds\":%.1f,\"certificates_per_second\":%.0f}\n",
                 (unsigned long long)count, took, (double)count / took);
    return 0;
}
