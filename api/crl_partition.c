/* SPDX-License-Identifier: Apache-2.0 */
#include "api/crl_partition.h"

#include "sign/oids.h"

#include <stdio.h>
#include <string.h>

#define DIGITS 4
#define ENDING ".crl"
#define SLOT_MAX 128 /* NAME has 63 octets at most */

/* "/crl/NAME.N.p", before the digits. */
static size_t write_head(const char *ca, uint32_t generation, char out[SLOT_MAX])
{
    int n = snprintf(out, SLOT_MAX, "/crl/%.63s.%u.p", ca, generation);
    return n < 0 ? 0 : (size_t)n;
}

const char *sm_crl_partition_slot(const char *ca, uint32_t generation, sm_arena *arena)
{
    char head[SLOT_MAX];
    (void)write_head(ca, generation, head);
    return sm_arena_printf(arena, "%s0000" ENDING, head);
}

/* The last octets are random (sm_serial_make): every partition gets its share. */
static uint32_t choose(sm_slice serial, uint32_t count)
{
    uint32_t tail = 0;
    for (size_t i = serial.len < 4 ? 0 : serial.len - 4; i < serial.len; i++) {
        tail = tail << 8 | serial.ptr[i];
    }
    return 1 + tail % count;
}

sm_err sm_crl_partition_fill(sm_slice slot, sm_slice serial, uint32_t count, sm_arena *arena,
                             sm_slice *out)
{
    uint32_t partition = choose(serial, count);
    uint8_t *text = sm_arena_alloc(arena, slot.len);
    if (text == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    memcpy(text, slot.ptr, slot.len);
    uint8_t *digit = text + slot.len - strlen(ENDING);
    for (int i = 0; i < DIGITS; i++) {
        *--digit = (uint8_t)('0' + partition % 10);
        partition /= 10;
    }
    *out = sm_slice_of(text, slot.len);
    return SM_NO_ERR;
}

static sm_slice find_distribution_points(const struct sm_cert *cert)
{
    for (size_t i = 0; i < cert->extension_count; i++) {
        if (sm_slice_equal(cert->extensions[i].oid, SM_OID_CRL_DP)) {
            return cert->extensions[i].value;
        }
    }
    return SM_SLICE_NONE;
}

/* Digits and ".crl", and nothing else; 0: not so. */
static uint32_t read_partition(sm_slice text)
{
    uint32_t partition = 0;
    if (text.len < DIGITS + strlen(ENDING) ||
        memcmp(text.ptr + DIGITS, ENDING, strlen(ENDING)) != 0) {
        return 0;
    }
    for (size_t i = 0; i < DIGITS; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return 0;
        }
        partition = partition * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    return partition <= SM_CRL_PARTITIONS_MAX ? partition : 0;
}

uint32_t sm_crl_partition_of(const struct sm_cert *cert, const char *ca, uint32_t generation)
{
    char head[SLOT_MAX];
    sm_slice points = find_distribution_points(cert);
    size_t len = write_head(ca, generation, head);
    const uint8_t *at = points.len < len ? NULL : memmem(points.ptr, points.len, head, len);
    return at == NULL ? 0 : read_partition(sm_slice_from(points, (size_t)(at - points.ptr) + len));
}

bool sm_crl_url_base(const char *url, const char *ca, sm_slice *base)
{
    char own[SLOT_MAX];
    int n = snprintf(own, sizeof(own), "/crl/%.63s" ENDING, ca);
    size_t len = strlen(url);
    size_t own_len = n < 0 ? 0 : (size_t)n;
    if (own_len == 0 || len < own_len || strcmp(url + len - own_len, own) != 0) {
        return false;
    }
    *base = sm_slice_of(url, len - own_len + strlen("/crl/"));
    return true;
}
