/* SPDX-License-Identifier: Apache-2.0 */
/* Commands around the server's own files: serve, config check, backup, restore, db check. */
#include "api/indexer.h"
#include "base/file.h"
#include "gen/sealmill/v1/maintenance.pb-c.h"
#include "ocsp-cache/crl_entry.h"
#include "store/store.h"
#include "tools/client.h"
#include "tools/commands.h"
#include "tools/config.h"
#include "tools/serve.h"

#include <stdio.h>
#include <stdlib.h>

static const char *need(const struct cli_args *args, const char *name)
{
    const char *value = cli_get(args, name);
    if (value == NULL) {
        cli_usage("--%s is needed", name);
    }
    return value;
}

static int run_serve(struct cli_args *args)
{
    return serve_run(need(args, "config"), NULL, NULL);
}

static const struct cli_option serve_options[] = {
    {"config", "FILE", "The configuration (YAML)"},
    {NULL, NULL, NULL},
};

const struct cli_command command_serve = {
    "serve",           NULL,
    "Run the service", "  sealmill serve --config /etc/sealmill/sealmill.yaml\n",
    serve_options,     run_serve,
};

static int run_config_check(struct cli_args *args)
{
    sm_arena arena;
    sm_diag diag = {.reason = ""};
    Sealmill__Config__V1__Config *config;
    sm_arena_init(&arena, 64U << 20);
    enum config_files files = cli_has(args, "no-files") ? CONFIG_FILES_ELSEWHERE
                                                        : CONFIG_FILES_HERE;
    sm_err err = config_load(need(args, "config"), files, &arena, &config, &diag);
    int rc = sm_ok(err) ? 0 : cli_fail(err, &diag);
    if (rc == 0) {
        (void)printf("%s is good: %zu listeners, %zu profiles\n", cli_get(args, "config"),
                     config->n_listeners, config->n_profiles);
    }
    sm_arena_deinit(&arena);
    return rc;
}

static const struct cli_option config_check_options[] = {
    {"config", "FILE", "The configuration (YAML)"},
    {"no-files", NULL, "Do not look at the files that it names: it is for another machine"},
    {NULL, NULL, NULL},
};

const struct cli_command command_config_check = {
    "config check",
    NULL,
    "Check a configuration file",
    "  sealmill config check --config sealmill.yaml\n",
    config_check_options,
    run_config_check,
};

static sm_err open_store(const char *dir, sm_store **out, sm_diag *diag)
{
    const struct sm_store_config config = {
        .dir = dir, .create = false, .indexer = sm_api_index, .indexer_version = SM_INDEX_RULES};
    return sm_store_open(&config, out, diag);
}

/* A running server holds the database: it makes the copy itself. */
static int backup_running(const struct cli_args *args)
{
    sm_arena arena;
    sm_diag diag = {.reason = ""};
    struct client_target target;
    ProtobufCMessage *answer;
    Sealmill__V1__BackupRequest request;
    sm_arena_init(&arena, 1U << 20);
    sealmill__v1__backup_request__init(&request);
    char *name = cli_get(args, "name") == NULL
                     ? NULL
                     : sm_arena_strdup(&arena, sm_slice_str(cli_get(args, "name")));
    request.name = name == NULL ? request.name : name;
    client_target_from(args, true, &target);
    sm_err err = client_call(&target, "/sealmill.v1.MaintenanceService/Backup", &request.base,
                             &sealmill__v1__backup_response__descriptor, &arena, &answer, &diag);
    err = sm_ok(err) && cli_has(args, "json") ? client_print_json(answer) : err;
    int rc = sm_ok(err) ? 0 : cli_fail(err, &diag);
    if (rc == 0 && !cli_has(args, "json")) {
        const Sealmill__V1__BackupResponse *r = (const Sealmill__V1__BackupResponse *)(const void *)
            answer;
        (void)printf("backup made on the server in %s, up to record %lld of the log\n", r->path,
                     (long long)r->last_sequence);
    }
    sm_arena_deinit(&arena);
    return rc;
}

static int run_backup(struct cli_args *args)
{
    sm_store *store;
    sm_diag diag = {.reason = ""};
    if (cli_get(args, "data-dir") == NULL) {
        return backup_running(args);
    }
    sm_err err = open_store(need(args, "data-dir"), &store, &diag);
    if (sm_ok(err)) {
        err = sm_store_backup(store, need(args, "out"), &diag);
        sm_store_close(&store);
    }
    if (!sm_ok(err)) {
        return cli_fail(err, &diag);
    }
    (void)printf("backup made in %s\n", cli_get(args, "out"));
    return 0;
}

static const struct cli_option backup_options[] = {
    CLIENT_OPTIONS,
    {"name", "NAME", "The copy's name in the server's backup_dir (default: the time)"},
    {"data-dir", "DIR", "Stopped server: the database's folder (data_dir)"},
    {"out", "DIR", "Stopped server: a new folder for the copy"},
    {NULL, NULL, NULL},
};

const struct cli_command command_backup = {
    "backup",
    NULL,
    "Copy the database, of a running server or of a stopped one",
    "  sealmill backup --dir ./ca\n"
    "  sealmill backup --server ca.example:9000 --ca-file root.pem --cert admin.pem --key "
    "admin.key --name before-update\n"
    "  sealmill backup --data-dir ./ca/db --out ./backup-1     # nothing runs on it\n",
    backup_options,
    run_backup,
};

/* Of CRLs that were made since the copy the numbers are not in it: they must not come again (RFC 5280 5.2.3). */
static sm_err skip_crl_numbers(const char *dir, sm_diag *diag)
{
    sm_store *store;
    SM_TRY(open_store(dir, &store, diag));
    sm_err err = sm_crl_numbers_skip(store, SM_CRL_NUMBERS_GAP);
    sm_store_close(&store);
    return sm_ok(err) ? err
                      : sm_diag_set(diag, err, "crl",
                                    "the CRLs' numbers could not be raised in %s: "
                                    "remove it and restore again",
                                    dir);
}

static int run_restore(struct cli_args *args)
{
    sm_store *store;
    sm_diag diag = {.reason = ""};
    const char *to = need(args, "data-dir");
    if (sm_file_exists(to)) {
        cli_usage("%s exists: move it away first, so that nothing is overwritten", to);
    }
    sm_err err = open_store(need(args, "from"), &store, &diag);
    if (sm_ok(err)) {
        err = sm_store_backup(store, to, &diag); /* a copy of a copy, opened and so checked */
        sm_store_close(&store);
    }
    err = sm_ok(err) ? skip_crl_numbers(to, &diag) : err;
    if (!sm_ok(err)) {
        return cli_fail(err, &diag);
    }
    (void)printf("restored %s\n", to);
    return 0;
}

static const struct cli_option restore_options[] = {
    {"from", "DIR", "A folder made by backup"},
    {"data-dir", "DIR", "Where the database shall be; must not exist"},
    {NULL, NULL, NULL},
};

const struct cli_command command_restore = {
    "restore",
    NULL,
    "Put a backup in place",
    "  sealmill restore --from ./backup-1 --data-dir ./ca/db\n",
    restore_options,
    run_restore,
};

static void on_problem(void *ctx, const char *what)
{
    (void)ctx;
    (void)printf("problem: %s\n", what);
}

static int run_db_check(struct cli_args *args)
{
    static const char *const names[SM_FAMILY_COUNT] = {"meta", "cert",  "state",
                                                       "log",  "index", "ocsp"};
    sm_store *store;
    sm_diag diag = {.reason = ""};
    struct sm_store_check result = {.problems = 0};
    sm_err err = open_store(need(args, "data-dir"), &store, &diag);
    if (sm_ok(err)) {
        err = sm_store_check_all(store, &result, on_problem, NULL);
        sm_store_close(&store);
    }
    if (!sm_ok(err)) {
        return cli_fail(err, &diag);
    }
    for (int i = 0; i < SM_FAMILY_COUNT; i++) {
        (void)printf("%-6s %12llu rows %14llu octets\n", names[i],
                     (unsigned long long)result.rows[i], (unsigned long long)result.bytes[i]);
    }
    (void)printf("last sequence %llu, %llu problems\n", (unsigned long long)result.last_sequence,
                 (unsigned long long)result.problems);
    return result.problems == 0 ? 0 : 1;
}

static const struct cli_option check_options[] = {
    {"data-dir", "DIR", "The database's folder (data_dir)"},
    {NULL, NULL, NULL},
};

const struct cli_command command_db_check = {
    "db check",
    NULL,
    "Read a stopped server's whole database and report damage",
    "  sealmill db check --data-dir ./ca/db\n",
    check_options,
    run_db_check,
};
