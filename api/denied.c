/* SPDX-License-Identifier: Apache-2.0 */
#include "api/denied.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "sign/alg.h"

#include <stdlib.h>
#include <string.h>

sm_err sm_denied_keys_add(struct sm_denied_keys *keys, const uint8_t hash[32])
{
    if (keys->count == keys->room) {
        size_t room = keys->room == 0 ? 64 : keys->room * 2;
        uint8_t(*more)[32] = sm_realloc(keys->hashes, room * sizeof(*more));
        if (more == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        keys->hashes = more;
        keys->room = room;
    }
    memcpy(keys->hashes[keys->count++], hash, 32);
    return SM_NO_ERR;
}

static sm_err add_line(struct sm_denied_keys *keys, sm_slice line, sm_buf *scratch)
{
    sm_slice word = sm_slice_trim(sm_slice_split(&line, '#'));
    if (word.len == 0) {
        return SM_NO_ERR;
    }
    sm_buf_reset(scratch);
    SM_TRY(sm_hex_decode(scratch, word, true));
    return scratch->len == 32 ? sm_denied_keys_add(keys, scratch->ptr) : SM_ERR(MALFORMED);
}

sm_err sm_denied_keys_read(struct sm_denied_keys *keys, const char *path, sm_diag *diag)
{
    sm_buf text = sm_buf_init(SM_DENIED_FILE_MAX);
    sm_buf scratch = sm_buf_init(256);
    sm_err err = sm_file_read(path, &text, diag);
    sm_slice rest = sm_buf_slice(&text);
    for (size_t line = 1; sm_ok(err) && rest.len > 0; line++) {
        err = add_line(keys, sm_slice_split(&rest, '\n'), &scratch);
        if (!sm_ok(err) && !sm_err_is(err, SM_E_NO_MEMORY)) {
            err = sm_diag_set(diag, SM_ERR(MALFORMED), "denied_keys_file",
                              "%.160s, line %zu: 64 hex digits are wanted", path, line);
        }
    }
    sm_buf_deinit(&scratch);
    sm_buf_deinit(&text);
    return err;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

void sm_denied_keys_sort(struct sm_denied_keys *keys)
{
    if (keys->count > 1) {
        qsort(keys->hashes, keys->count, sizeof(*keys->hashes), compare);
    }
}

sm_err sm_denied_keys_find(const struct sm_denied_keys *keys, sm_slice spki, bool *found)
{
    uint8_t digest[SM_DIGEST_MAX];
    SM_TRY(sm_digest_compute(SM_SHA256, spki, digest));
    *found = keys->count > 0 &&
             bsearch(digest, keys->hashes, keys->count, sizeof(*keys->hashes), compare) != NULL;
    return SM_NO_ERR;
}

void sm_denied_keys_deinit(struct sm_denied_keys *keys)
{
    sm_free(keys->hashes);
    *keys = (struct sm_denied_keys){.hashes = NULL};
}
