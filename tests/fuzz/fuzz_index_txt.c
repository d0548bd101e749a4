/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of openssl-ca's index.txt. */
#include "ocsp-cache/index_txt.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sm_slice rest = sm_slice_of(data, size);
    while (rest.len > 0) {
        sm_slice line = sm_slice_split(&rest, '\n');
        struct sm_index_line out;
        sm_diag diag = {.reason = ""};
        if (!sm_ok(sm_index_line_parse(line, &out, &diag))) {
            continue;
        }
        bool revoked = out.what.state != SM_OCSP_IMPORTED_VALID;
        if (out.serial_len == 0 || out.serial_len > SM_OCSP_SERIAL_MAX ||
            revoked != (line.ptr[0] == 'R')) {
            abort();
        }
    }
    return 0;
}
