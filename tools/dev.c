/* SPDX-License-Identifier: Apache-2.0 */
/* `sealmill dev`: a whole CA in one folder. */
#include "api/ca.h"
#include "api/ca_cert.h"
#include "api/indexer.h"
#include "api/method.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rand.h"
#include "base/text.h"
#include "sign/oids.h"
#include "tools/commands.h"
#include "tools/config.h"
#include "tools/serve.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_BASE_DEFAULT 9000
#define LEAF_VALIDITY_S (INT64_C(365) * 86400)

struct dev {
    char dir[PATH_MAX - 256];
    long base; /* of the first start; afterwards sealmill.yaml says the addresses */
    char api_at[80];
    char ocsp_at[80];
    char operations_at[80];
    char est_at[80];
    sm_arena arena;
    sm_diag diag;
    sm_keystore *keystore;
    sm_store *store;
    sm_api *api;
};

static char *path_in(struct dev *d, const char *name)
{
    return sm_arena_printf(&d->arena, "%s/%s", d->dir, name);
}

static sm_err write_text(struct dev *d, const char *name, sm_slice text, mode_t mode)
{
    char *path = path_in(d, name);
    return path == NULL ? SM_ERR(NO_MEMORY) : sm_file_write_atomic(path, text, mode, &d->diag);
}

/* ---- files ---- */

static const char config_text[] =
    "# Made by `sealmill dev`; yours to change. `sealmill config check --config sealmill.yaml` "
    "tells what is wrong with it.\n"
    "data_dir: db\n"
    "backup_dir: backups\n"
    "keys:\n"
    "  dir: keys\n"
    "  passphrase_file: keys/passphrase\n"
    "listeners:\n"
    "  - name: api            # gRPC and JSON\n"
    "    address: 127.0.0.1:%ld\n"
    "    services: [api]\n"
    "    tls:\n"
    "      certificates:\n"
    "        - certificate_file: pki/server.pem\n"
    "          key_file: pki/server.key\n"
    "      client_certificates: optional\n"
    "      client_ca_file: pki/chain.pem\n"
    "  - name: est            # devices enrol here\n"
    "    address: 127.0.0.1:%ld\n"
    "    services: [est]\n"
    "    tls:\n"
    "      certificates:\n"
    "        - certificate_file: pki/server.pem\n"
    "          key_file: pki/server.key\n"
    "      client_certificates: any\n"
    "  - name: public         # OCSP, CA certificates\n"
    "    address: 127.0.0.1:%ld\n"
    "    services: [public]\n"
    "    plaintext: true\n"
    "  - name: operations     # health, metrics\n"
    "    address: 127.0.0.1:%ld\n"
    "    services: [operations]\n"
    "    plaintext: true\n"
    "limits:\n"
    "  connections_per_address: 20000   # everything comes from this machine\n"
    "client_certificates:\n"
    "  - name: admin\n"
    "    sha256: \"%s\"\n"
    "    grants:\n"
    "      - role: admin\n"
    "  - name: ra\n"
    "    sha256: \"%s\"\n"
    "    grants:\n"
    "      - role: ra\n"
    "        cas: [issuing]\n"
    "        profiles: [device]\n"
    "ocsp:\n"
    "  pre_sign: eager\n"
    "enrolment:\n"
    "  labels:\n"
    "    - ca: issuing          # without a label in the path\n"
    "      profile: device\n"
    "      authentication: [certificate, otp]\n"
    "profiles:\n"
    "  - name: device\n"
    "    description: TLS client and server certificates of devices\n"
    "    cas: [issuing]\n"
    "    subject:\n"
    "      source: copy\n"
    "      allow_override: true\n"
    "    sans:\n"
    "      copy: true\n"
    "      allow_override: true\n"
    "    validity:\n"
    "      default: 90d\n"
    "      maximum: 1y\n"
    "    key_usage: [digitalSignature]\n"
    "    extended_key_usage: [clientAuth, serverAuth]\n"
    "    allow_same_key_renewal: true\n"
    "    ocsp_urls: [\"http://127.0.0.1:%ld/ocsp\"]\n"
    "    ca_issuer_urls: [\"http://127.0.0.1:%ld/ca/issuing.cer\"]\n"
    "    crl_urls: [\"http://127.0.0.1:%ld/crl/issuing.crl\"]\n";

static sm_err write_config(struct dev *d, const char *admin_sha256, const char *ra_sha256)
{
    sm_buf text = sm_buf_init(65536);
    sm_buf_printf(&text, config_text, d->base, d->base + 1, d->base + 2, d->base + 3, admin_sha256,
                  ra_sha256, d->base + 2, d->base + 2, d->base + 2);
    sm_err err = sm_buf_err(&text);
    err = sm_ok(err) ? write_text(d, "sealmill.yaml", sm_buf_slice(&text), 0644) : err;
    sm_buf_deinit(&text);
    return err;
}

static sm_err write_env(struct dev *d)
{
    sm_buf text = sm_buf_init(32768);
    sm_buf_printf(&text,
                  "# Source this in a shell: . %s/env\n# Made anew at each start.\n"
                  "SEALMILL_DIR='%s'\nSEALMILL_API=%s\nSEALMILL_URL=https://%s\n"
                  "SEALMILL_PUBLIC_URL=http://%s\nSEALMILL_OCSP_URL=http://%s/ocsp\n"
                  "SEALMILL_EST_URL=https://%s/.well-known/est\n"
                  "SEALMILL_OPERATIONS_URL=http://%s\nSEALMILL_CA_FILE='%s/pki/root.pem'\n"
                  "SEALMILL_CERT='%s/pki/ra.pem'\nSEALMILL_KEY='%s/pki/ra.key'\n"
                  "SEALMILL_ADMIN_CERT='%s/pki/admin.pem'\nSEALMILL_ADMIN_KEY='%s/pki/admin.key'\n",
                  d->dir, d->dir, d->api_at, d->api_at, d->ocsp_at, d->ocsp_at, d->est_at,
                  d->operations_at, d->dir, d->dir, d->dir, d->dir, d->dir);
    sm_err err = sm_buf_err(&text);
    err = sm_ok(err) ? write_text(d, "env", sm_buf_slice(&text), 0644) : err;
    sm_buf_deinit(&text);
    return err;
}

/* ---- where it listens ---- */

/* How a client on this machine reaches a listener: "[::]:9000" is no address to connect to. */
static void reach(const char *address, char *out, size_t size)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - address);
    bool any4 = len == 7 && strncmp(address, "0.0.0.0", len) == 0;
    bool any6 = (len == 4 && strncmp(address, "[::]", len) == 0) ||
                (len == 2 && strncmp(address, "::", len) == 0);
    (void)snprintf(out, size, "%s%s", any4 ? "127.0.0.1" : (any6 ? "[::1]" : ""),
                   any4 || any6 ? colon : address);
}

/* The addresses that sealmill.yaml says; a service without a listener has none. */
static sm_err read_addresses(struct dev *d)
{
    Sealmill__Config__V1__Config *config;
    const char *path = path_in(d, "sealmill.yaml");
    if (path == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(config_load(path, CONFIG_FILES_HERE, &d->arena, &config, &d->diag));
    for (size_t i = config->n_listeners; i-- > 0;) { /* so that the first of a kind wins */
        const Sealmill__Config__V1__Listener *l = config->listeners[i];
        unsigned services;
        SM_TRY(config_services(l, &services, &d->diag));
        if ((services & CONFIG_SERVICE_API) != 0) {
            reach(l->address, d->api_at, sizeof(d->api_at));
        }
        if ((services & CONFIG_SERVICE_PUBLIC) != 0) {
            reach(l->address, d->ocsp_at, sizeof(d->ocsp_at));
        }
        if ((services & CONFIG_SERVICE_EST) != 0) {
            reach(l->address, d->est_at, sizeof(d->est_at));
        }
        if ((services & CONFIG_SERVICE_OPERATIONS) != 0) {
            reach(l->address, d->operations_at, sizeof(d->operations_at));
        }
    }
    return SM_NO_ERR;
}

static sm_err write_passphrase(struct dev *d)
{
    uint8_t random[32];
    char *path = path_in(d, "keys/passphrase");
    if (path == NULL || sm_file_exists(path)) {
        return path == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
    }
    sm_buf text = sm_buf_init_secret(128);
    sm_rand_bytes(random, sizeof(random));
    sm_hex_encode(&text, sm_slice_of(random, sizeof(random)));
    sm_buf_put_byte(&text, '\n');
    sm_err err = sm_file_write_atomic(path, sm_buf_slice(&text), 0600, &d->diag);
    sm_buf_deinit(&text);
    explicit_bzero(random, sizeof(random));
    return err;
}

static sm_err write_pem(struct dev *d, const char *name, const sm_slice *ders, size_t count)
{
    sm_buf text = sm_buf_init(1U << 20);
    for (size_t i = 0; i < count; i++) {
        sm_pem_encode(&text, "CERTIFICATE", ders[i]);
    }
    sm_err err = sm_buf_err(&text);
    err = sm_ok(err) ? write_text(d, name, sm_buf_slice(&text), 0644) : err;
    sm_buf_deinit(&text);
    return err;
}

/* ---- CAs and the first certificates ---- */

static sm_err create_ca(struct dev *d, const char *name, const char *cn, const char *parent)
{
    char type_o[] = "O";
    char value_o[] = "sealmill dev";
    char type_cn[] = "CN";
    Sealmill__V1__NameAttribute o;
    Sealmill__V1__NameAttribute c;
    Sealmill__V1__NameAttribute *list[] = {&o, &c};
    Sealmill__V1__Name subject;
    Sealmill__V1__CreateCaRequest r;
    Sealmill__V1__Ca *ca;
    sealmill__v1__name_attribute__init(&o);
    sealmill__v1__name_attribute__init(&c);
    sealmill__v1__name__init(&subject);
    sealmill__v1__create_ca_request__init(&r);
    o.type = type_o;
    o.value = value_o;
    c.type = type_cn;
    c.value = sm_text(&d->arena, sm_slice_str(cn));
    subject.n_attributes = 2;
    subject.attributes = list;
    r.name = sm_text(&d->arena, sm_slice_str(name));
    r.subject = &subject;
    r.key_type = SEALMILL__V1__KEY_TYPE__KEY_TYPE_EC_P256;
    r.parent = sm_text(&d->arena, sm_slice_str(parent));
    r.self_signed = parent[0] == '\0';
    r.path_length_set = parent[0] != '\0';
    r.path_length = 0;
    const struct sm_admin admin = {d->api, &d->arena, "sealmill dev", SM_SLICE_NONE, &d->diag};
    return sm_ca_create(&admin, &r, &ca);
}

static sm_err record_certificate(struct dev *d, const struct sm_ca *ca, sm_slice der)
{
    Sealmill__Record__V1__CertificateRecord r;
    struct sm_cert cert;
    sm_slice value;
    sm_slice log;
    char profile[] = "dev";
    char requester[] = "sealmill dev";
    union {
        const uint8_t *in;
        uint8_t *out;
    } ptr = {der.ptr};
    SM_TRY(sm_cert_parse(der, &cert, &d->diag));
    sealmill__record__v1__certificate_record__init(&r);
    r.version = SM_RECORD_VERSION;
    r.ca_id = ca->id;
    r.ca_generation = 1;
    r.profile = profile;
    r.requester = requester;
    r.certificate.data = ptr.out;
    r.certificate.len = der.len;
    r.not_before = cert.not_before;
    r.not_after = cert.not_after;
    r.issued_at = sm_clock_wall_s();
    const struct sm_audit audit = {.caller = requester,
                                   .action = "certificate.issue",
                                   .outcome = "ok",
                                   .profile = profile,
                                   .serial = cert.serial,
                                   .ca_id = ca->id,
                                   .kind = SEALMILL__V1__INVENTORY_EVENT__KIND__KIND_ISSUED};
    SM_TRY(sm_record_pack(&r.base, &d->arena, &value));
    SM_TRY(sm_audit_pack(&audit, &d->arena, &log));
    const struct sm_store_put put = {SM_PUT, SM_FAMILY_CERT, cert.serial, value};
    sm_store_write op = {.puts = &put, .put_count = 1, .log = &log, .log_count = 1};
    return sm_store_write_sync(d->store, &op);
}

static sm_err make_leaf(struct dev *d, const struct sm_ca *ca, const char *name,
                        const char *subject, bool server, char sha256[65])
{
    static const char server_auth[] = "\x2b\x06\x01\x05\x05\x07\x03\x01";
    static const char client_auth[] = "\x2b\x06\x01\x05\x05\x07\x03\x02";
    static const char cmc_ra[] = "\x2b\x06\x01\x05\x05\x07\x03\x1c"; /* RFC 7030 3.6.1 */
    const sm_slice server_eku[] = {sm_slice_of(server_auth, 8), sm_slice_of(cmc_ra, 8)};
    const sm_slice client_eku[] = {sm_slice_of(client_auth, 8)};
    struct sm_san sans[3];
    const struct sm_ca_generation *g = sm_ca_current(ca);
    sm_key *key;
    sm_slice der;
    uint8_t digest[SM_DIGEST_MAX];
    SM_TRY(sm_san_from_text(SM_LIT("dns"), SM_LIT("localhost"), &d->arena, &sans[0], &d->diag));
    SM_TRY(sm_san_from_text(SM_LIT("ip"), SM_LIT("127.0.0.1"), &d->arena, &sans[1], &d->diag));
    SM_TRY(sm_san_from_text(SM_LIT("ip"), SM_LIT("::1"), &d->arena, &sans[2], &d->diag));
    SM_TRY(sm_key_generate(SM_KEY_P256, &key));
    const struct sm_leaf_request r = {
        .issuer = &g->cert,
        .issuer_key = g->key,
        .key = key,
        .subject = subject,
        .sans = sans,
        .san_count = server ? 3 : 0,
        .eku = server ? server_eku : client_eku,
        .eku_count = server ? 2 : 1,
        .validity_s = LEAF_VALIDITY_S,
    };
    char *key_path = sm_arena_printf(&d->arena, "%s/pki/%s.key", d->dir, name);
    char *pem = sm_arena_printf(&d->arena, "pki/%s.pem", name);
    sm_err err = key_path == NULL || pem == NULL ? SM_ERR(NO_MEMORY)
                                                 : sm_leaf_cert_make(&r, &d->arena, &der);
    err = sm_ok(err) ? record_certificate(d, ca, der) : err;
    err = sm_ok(err) ? sm_key_write_pem(key, key_path, &d->diag) : err;
    if (sm_ok(err)) {
        const sm_slice chain[] = {der, g->cert.der};
        err = write_pem(d, pem, chain, 2);
    }
    err = sm_ok(err) ? sm_digest_compute(SM_SHA256, der, digest) : err;
    sm_key_detach(&key);
    if (sm_ok(err)) {
        (void)sm_hex_format(sm_slice_of(digest, 32), sha256);
    }
    return err;
}

static sm_err make_pki(struct dev *d, char admin[65], char ra[65])
{
    char server[65];
    SM_TRY(create_ca(d, "root", "sealmill dev root", ""));
    SM_TRY(create_ca(d, "issuing", "sealmill dev issuing", "root"));
    sm_world *world = sm_world_attach(d->api);
    const struct sm_ca *root = sm_world_ca(world, "root");
    const struct sm_ca *issuing = sm_world_ca(world, "issuing");
    const sm_slice chain[] = {sm_ca_current(issuing)->cert.der, sm_ca_current(root)->cert.der};
    sm_err err = write_pem(d, "pki/root.pem", &chain[1], 1);
    err = sm_ok(err) ? write_pem(d, "pki/issuing.pem", chain, 1) : err;
    err = sm_ok(err) ? write_pem(d, "pki/chain.pem", chain, 2) : err;
    err = sm_ok(err) ? make_leaf(d, issuing, "server", "O=sealmill dev,CN=localhost", true, server)
                     : err;
    err = sm_ok(err) ? make_leaf(d, issuing, "admin", "O=sealmill dev,CN=admin", false, admin)
                     : err;
    err = sm_ok(err) ? make_leaf(d, issuing, "ra", "O=sealmill dev,CN=ra", false, ra) : err;
    sm_world_detach(&world);
    return err;
}

static sm_err open_core(struct dev *d, Sealmill__Config__V1__Config *empty)
{
    sealmill__config__v1__config__init(empty);
    const struct sm_keystore_config keys = {.dir = path_in(d, "keys"),
                                            .passphrase_file = path_in(d, "keys/passphrase")};
    const struct sm_store_config store = {.dir = path_in(d, "db"),
                                          .create = true,
                                          .indexer = sm_api_index,
                                          .indexer_version = SM_INDEX_RULES};
    SM_TRY(sm_keystore_open(&keys, &d->keystore, &d->diag));
    SM_TRY(sm_store_open(&store, &d->store, &d->diag));
    const struct sm_api_config api = {
        .config = empty, .store = d->store, .keystore = d->keystore, .service_threads = 1};
    return sm_api_new(&api, &d->api, &d->diag);
}

/* A first run that was broken off left no sealmill.yaml: what it left is made anew. */
static sm_err refuse_leftovers(struct dev *d)
{
    char *db = path_in(d, "db");
    return db != NULL && sm_file_exists(db)
               ? sm_diag_set(&d->diag, SM_ERR(PRECONDITION), "dir",
                             "%s has a database but no sealmill.yaml: an earlier start was broken "
                             "off; remove the folder",
                             d->dir)
               : SM_NO_ERR;
}

static sm_err set_up(struct dev *d)
{
    static Sealmill__Config__V1__Config empty;
    char admin[65] = "";
    char ra[65] = "";
    SM_TRY(refuse_leftovers(d));
    SM_TRY(sm_file_mkdirs(path_in(d, "pki"), 0755, &d->diag));
    SM_TRY(sm_file_mkdirs(path_in(d, "keys"), 0700, &d->diag));
    SM_TRY(write_passphrase(d));
    sm_err err = open_core(d, &empty);
    err = sm_ok(err) ? make_pki(d, admin, ra) : err;
    sm_api_free(&d->api);
    sm_store_close(&d->store);
    sm_keystore_close(&d->keystore);
    SM_TRY(err);
    return write_config(d, admin, ra); /* last: its presence means that everything is there */
}

static void say_ready(void *ctx)
{
    struct dev *d = ctx;
    (void)printf("sealmill dev is ready in %s\n"
                 "  API (gRPC and JSON, TLS)  https://%s\n"
                 "  EST                       https://%s/.well-known/est\n"
                 "  OCSP                      http://%s/ocsp\n"
                 "  health and metrics        http://%s/metrics\n\n"
                 "Try:\n"
                 "  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "
                 "dev.key -subj /CN=dev1 -out dev.csr\n"
                 "  sealmill issue --dir %s --profile device --csr dev.csr --out dev.pem\n"
                 "Stop with Ctrl-C; starting again on the same folder goes on with the same CA.\n",
                 d->dir, d->api_at, d->est_at, d->ocsp_at, d->operations_at, d->dir);
    (void)fflush(stdout);
}

static int run_dev(struct cli_args *args)
{
    static struct dev d;
    const char *dir = cli_get(args, "dir");
    if (dir == NULL) {
        cli_usage("--dir is needed: the folder to keep everything in");
    }
    d.base = cli_number(args, "port-base", PORT_BASE_DEFAULT, 1, 65530);
    serve_take_signals();
    sm_arena_init(&d.arena, 64U << 20);
    sm_err err = sm_file_mkdirs(dir, 0755, &d.diag);
    char real[PATH_MAX];
    if (sm_ok(err) && (realpath(dir, real) == NULL || strlen(real) >= sizeof(d.dir))) {
        err = sm_diag_set(&d.diag, SM_ERR(INVALID), "dir", "%s cannot be used", dir);
    }
    if (!sm_ok(err)) {
        return cli_fail(err, &d.diag);
    }
    memcpy(d.dir, real, strlen(real) + 1);
    char *config = path_in(&d, "sealmill.yaml");
    if (config != NULL && !sm_file_exists(config)) {
        err = set_up(&d);
    } else if (cli_has(args, "port-base")) {
        (void)fprintf(stderr,
                      "sealmill: --port-base counts at the first start alone: %s says the "
                      "addresses\n",
                      config);
    }
    err = sm_ok(err) ? read_addresses(&d) : err;
    err = sm_ok(err) ? write_env(&d) : err;
    if (!sm_ok(err) || config == NULL) {
        return cli_fail(err, &d.diag);
    }
    int rc = serve_run(config, say_ready, &d);
    sm_arena_deinit(&d.arena);
    return rc;
}

static const struct cli_option options[] = {
    {"dir", "DIR", "Folder for configuration, keys, certificates and data"},
    {"port-base", "N",
     "At the first start: its first port (default 9000): API N, public N+2, operations N+3"},
    {NULL, NULL, NULL},
};

const struct cli_command command_dev = {
    "dev",
    NULL,
    "Make and run a whole CA in one folder",
    "  sealmill dev --dir ./ca\n  sealmill dev --dir ./ca2 --port-base 9100\n",
    options,
    run_dev,
};
