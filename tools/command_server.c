/* SPDX-License-Identifier: Apache-2.0 */
/* Commands around the server's own files: serve, config check, backup, restore, db check. */
#include "api/indexer.h"
#include "base/file.h"
#include "store/store.h"
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
    "serve", NULL, "Run the service", "  sealmill serve --config /etc/sealmill/sealmill.yaml\n", serve_options, run_serve,
};

static int run_config_check(struct cli_args *args)
{
    sm_arena arena;
    sm_diag diag = {.reason = ""};
    Sealmill__Config__V1__Config *config;
    sm_arena_init(&arena, 64U << 20);
    sm_err err = config_load(need(args, "config"), &arena, &config, &diag);
    int rc = sm_ok(err) ? 0 : cli_fail(err, &diag);
    if (rc == 0) {
        (void)printf("%s is good: %zu listeners, %zu profiles\n", cli_get(args, "config"), config->n_listeners, config->n_profiles);
    }
    sm_arena_deinit(&arena);
    return rc;
}

const struct cli_command command_config_check = {
    "config check", NULL, "Check a configuration file", "  sealmill config check --config sealmill.yaml\n", serve_options,
    run_config_check,
};

static sm_err open_store(const char *dir, sm_store **out, sm_diag *diag)
{
    const struct sm_store_config config = {.dir = dir, .create = false, .indexer = sm_api_index};
    return sm_store_open(&config, out, diag);
}

/* A running server holds the database: it is then asked to make the copy itself. */
static int run_backup(struct cli_args *args)
{
    sm_store *store;
    sm_diag diag = {.reason = ""};
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
    {"data-dir", "DIR", "The database's folder (data_dir)"},
    {"out", "DIR", "A new folder for the copy"},
    {NULL, NULL, NULL},
};

const struct cli_command command_backup = {
    "backup", NULL, "Copy the database of a stopped server", "  sealmill backup --data-dir ./ca/db --out ./backup-1\n",
    backup_options, run_backup,
};

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
    "restore", NULL, "Put a backup in place", "  sealmill restore --from ./backup-1 --data-dir ./ca/db\n", restore_options,
    run_restore,
};

static void on_problem(void *ctx, const char *what)
{
    (void)ctx;
    (void)printf("problem: %s\n", what);
}

static int run_db_check(struct cli_args *args)
{
    static const char *const names[SM_FAMILY_COUNT] = {"meta", "cert", "state", "log", "index", "ocsp"};
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
        (void)printf("%-6s %12llu rows %14llu octets\n", names[i], (unsigned long long)result.rows[i],
                     (unsigned long long)result.bytes[i]);
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
    "db check", NULL, "Read a stopped server's whole database and report damage", "  sealmill db check --data-dir ./ca/db\n",
    check_options, run_db_check,
};
