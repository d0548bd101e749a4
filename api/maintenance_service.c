/* SPDX-License-Identifier: Apache-2.0 */
/* MaintenanceService. */
#include "api/api_p.h"
#include "api/method.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/file.h"
#include "gen/sealmill/v1/maintenance.pb-c.h"

#include <time.h>

static sm_err choose_name(sm_call *call, const char *asked, int64_t now, const char **out)
{
    char text[32];
    struct tm tm;
    time_t t = (time_t)now;
    if (asked[0] != '\0') {
        *out = asked;
        return sm_record_name_is_good(asked)
                   ? SM_NO_ERR
                   : sm_diag_set(&call->diag, SM_ERR(INVALID), "name",
                                 "1 to 63 letters, digits, '-', '_' and '.' are wanted");
    }
    if (gmtime_r(&t, &tm) == NULL || strftime(text, sizeof(text), "%Y%m%dT%H%M%SZ", &tm) == 0) {
        return SM_ERR(INTERNAL);
    }
    *out = sm_text(&call->arena, sm_slice_str(text));
    return SM_NO_ERR;
}

static sm_err write_audit(sm_call *call, const char *name)
{
    const struct sm_audit audit = {.caller = call->caller.name,
                                   .action = "backup.make",
                                   .outcome = "ok",
                                   .target = name,
                                   .correlation_id = call->correlation_id};
    struct sm_change change = {.audit = &audit};
    return sm_change_write(sm_api_store(sm_api_of(call->loop)), &change, &call->arena);
}

static sm_err backup(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const char *dir = call->world->config->backup_dir;
    const char *asked = ((const Sealmill__V1__BackupRequest *)(const void *)request)->name;
    const char *name;
    sm_store *store = sm_api_store(sm_api_of(call->loop));
    Sealmill__V1__BackupResponse *r = SM_ARENA_NEW(&call->arena, Sealmill__V1__BackupResponse);
    int64_t now = sm_clock_wall_s();
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    if (dir[0] == '\0') {
        return sm_diag_set(&call->diag, SM_ERR(PRECONDITION), "",
                           "the configuration names no backup_dir");
    }
    sealmill__v1__backup_response__init(r);
    SM_TRY(choose_name(call, asked, now, &name));
    SM_TRY(sm_file_mkdirs(dir, 0700, &call->diag));
    r->path = sm_arena_printf(&call->arena, "%s/%s", dir, name);
    if (r->path == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    r->last_sequence = (int64_t)sm_store_last_sequence(
        store); /* before: the copy may hold more, never less */
    SM_TRY(sm_store_backup(store, r->path, &call->diag));
    r->made_at = sm_timestamp(&call->arena, now);
    *response = &r->base;
    return write_audit(call, name);
}

const struct sm_method sm_maintenance_methods[] = {
    {.service = "sealmill.v1.MaintenanceService",
     .name = "Backup",
     .request = &sealmill__v1__backup_request__descriptor,
     .response = &sealmill__v1__backup_response__descriptor,
     .roles = SM_ROLE_ADMIN,
     .http_method = "POST",
     .http_path = "/v1/backups",
     .body = true,
     .work = backup},
};
const size_t sm_maintenance_method_count = SM_ARRAY_LEN(sm_maintenance_methods);
