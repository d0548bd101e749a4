/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "base/mem.h"
#include "store/overlay_p.h"

#include <inttypes.h>
#include <string.h>

#define PUTS 5000 /* grows several times */

struct numbered {
    struct sm_store_put put;
    char key[16];
};

static struct numbered all[PUTS];

static void make_puts(void)
{
    for (size_t i = 0; i < PUTS; i++) {
        int len = snprintf(all[i].key, sizeof(all[i].key), "k%zu", i / 2);
        all[i].put = (struct sm_store_put){.kind = SM_PUT,
                                           .family = i % 2 == 0 ? SM_FAMILY_META : SM_FAMILY_CERT,
                                           .key = sm_slice_of(all[i].key, (size_t)len)};
    }
}

static void overlay__finds_by_family_and_key(void **state)
{
    struct overlay o = {0};
    (void)state;
    make_puts();
    assert_null(sm_overlay_find(&o, SM_FAMILY_META, SM_LIT("k0")));
    for (size_t i = 0; i < PUTS; i++) {
        assert_sm_ok(sm_overlay_add(&o, &all[i].put));
    }
    assert_int_equal(o.count, PUTS);
    for (size_t i = 0; i < PUTS; i++) {
        assert_ptr_equal(sm_overlay_find(&o, all[i].put.family, all[i].put.key), &all[i].put);
        assert_null(sm_overlay_find(&o, SM_FAMILY_STATE, all[i].put.key));
    }
    assert_null(sm_overlay_find(&o, SM_FAMILY_META, SM_LIT("k")));
    assert_null(sm_overlay_find(&o, SM_FAMILY_META, SM_SLICE_NONE));
    sm_overlay_deinit(&o);
}

static void overlay__newest_put_wins(void **state)
{
    struct overlay o = {0};
    struct sm_store_put first = {SM_PUT, SM_FAMILY_META, SM_LIT("k"), SM_LIT("1")};
    struct sm_store_put second = {SM_DELETE, SM_FAMILY_META, SM_LIT("k"), SM_SLICE_NONE};
    (void)state;
    assert_sm_ok(sm_overlay_add(&o, &first));
    assert_sm_ok(sm_overlay_add(&o, &second));
    assert_int_equal(o.count, 1);
    assert_ptr_equal(sm_overlay_find(&o, SM_FAMILY_META, SM_LIT("k")), &second);
    sm_overlay_clear(&o);
    assert_null(sm_overlay_find(&o, SM_FAMILY_META, SM_LIT("k")));
    assert_sm_ok(sm_overlay_add(&o, &first));
    assert_ptr_equal(sm_overlay_find(&o, SM_FAMILY_META, SM_LIT("k")), &first);
    sm_overlay_deinit(&o);
}

static void overlay__survives_failed_growth(void **state)
{
    struct overlay o = {0};
    size_t added = 0;
    (void)state;
    make_puts();
    sm_mem_fail_at(2); /* the first table is made, the second is not */
    while (added < PUTS && sm_ok(sm_overlay_add(&o, &all[added].put))) {
        added++;
    }
    assert_true(sm_mem_has_failed());
    sm_mem_fail_at(0);
    assert_in_range(added, 1, PUTS - 1);
    for (size_t i = 0; i < added; i++) {
        assert_ptr_equal(sm_overlay_find(&o, all[i].put.family, all[i].put.key), &all[i].put);
    }
    assert_null(sm_overlay_find(&o, all[added].put.family, all[added].put.key));
    assert_sm_ok(sm_overlay_add(&o, &all[added].put));
    sm_overlay_deinit(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlay__finds_by_family_and_key),
        cmocka_unit_test(overlay__newest_put_wins),
        cmocka_unit_test(overlay__survives_failed_growth),
    };
    return cmocka_run_group_tests_name("store_overlay", tests, NULL, NULL);
}
