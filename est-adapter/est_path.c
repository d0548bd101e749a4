/* SPDX-License-Identifier: Apache-2.0 */
#include "est-adapter/est_path.h"

static const char *const names[SM_EST_OPERATION_COUNT] = {
    "cacerts", "simpleenroll", "simplereenroll", "serverkeygen", "csrattrs", "fullcmc",
};

#define WELL_KNOWN SM_LIT("/.well-known/est/")

const char *sm_est_operation_name(enum sm_est_operation operation)
{
    return names[operation];
}

static bool is_label(sm_slice s)
{
    bool good = s.len > 0 && s.len <= SM_EST_LABEL_MAX && s.ptr[0] != '.';
    for (size_t i = 0; i < s.len && good; i++) {
        uint8_t c = s.ptr[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
    }
    return good;
}

static bool find_operation(sm_slice name, enum sm_est_operation *out)
{
    for (unsigned i = 0; i < SM_EST_OPERATION_COUNT; i++) {
        if (sm_slice_equal(name, sm_slice_str(names[i]))) {
            *out = (enum sm_est_operation)i;
            return true;
        }
    }
    return false;
}

/* "/{label}" before the well-known part; `rest` is what follows that. False: the path is none of
 * EST's. */
static bool cut(sm_slice path, sm_slice *label, sm_slice *rest)
{
    *label = SM_SLICE_NONE;
    if (!sm_slice_starts_with(path, WELL_KNOWN)) {
        sm_slice tail = sm_slice_from(path, 1);
        size_t len = sm_slice_find(tail, '/');
        *label = sm_slice_first(tail, len);
        path = sm_slice_from(tail, len);
        if (!is_label(*label) || !sm_slice_starts_with(path, WELL_KNOWN)) {
            return false;
        }
    }
    *rest = sm_slice_from(path, WELL_KNOWN.len);
    return true;
}

bool sm_est_path_is_est(sm_slice path)
{
    sm_slice label;
    sm_slice rest;
    return path.len > 0 && path.ptr[0] == '/' && cut(path, &label, &rest);
}

bool sm_est_path_parse(sm_slice path, struct sm_est_path *out)
{
    sm_slice label;
    sm_slice rest;
    enum sm_est_operation operation;
    if (path.len == 0 || path.ptr[0] != '/' || !cut(path, &label, &rest)) {
        return false;
    }
    size_t slash = sm_slice_find(rest, '/');
    if (slash < rest.len && label.len == 0) {
        label = sm_slice_first(rest, slash);
        rest = sm_slice_from(rest, slash + 1);
        if (!is_label(label)) {
            return false;
        }
    }
    if (!find_operation(rest, &operation)) {
        return false;
    }
    *out = (struct sm_est_path){operation, label};
    return true;
}
