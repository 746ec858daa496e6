/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <linux/vhost_types.h>

#include "backend/ops.h"
#include "util/error.h"

static const VhostOps nothing = { .backend_type = VHOST_BACKEND_TYPE_KERNEL };

static void assert_fails(struct vhost_dev *dev, int r, int code,
                         const char *operation, int queue)
{
    assert_int_equal(r, code);
    assert_int_equal(vhost_error_code(dev->error), code);
    assert_string_equal(vhost_error_operation(dev->error), operation);
    assert_int_equal(vhost_error_queue(dev->error), queue);
    vh_error_clear(&dev->error);
}

static void test_knows_what_an_absent_entry_means(void **state)
{
    struct vhost_virtqueue vq = { .desc = &vq,
                                  .avail = &vq.num,
                                  .used = &vq.dev };
    struct vhost_vring_addr addr = { .index = 3 };
    struct vhost_dev dev = { .vhost_ops = &nothing };
    uint8_t byte = 0;

    (void)state;
    assert_int_equal(vh_be_sync(&dev), 0);
    assert_int_equal(vh_be_get_fd(&dev), -1);
    assert_int_equal(vh_be_dispatch(&dev), 0);
    assert_true(vh_be_is_connected(&dev));
    assert_false(vh_be_no_private_memslots(&dev));
    assert_int_equal(vh_be_set_owner(&dev), 0);
    assert_int_equal(vh_be_set_backend_cap(&dev), 0);
    assert_false(vh_be_force_iommu(&dev));
    assert_false(vh_be_has_vring_err(&dev));
    assert_int_equal(vh_be_set_vring_enable(&dev, true), 0);
    assert_int_equal(vh_be_dev_start(&dev, true), 0);
    vh_be_reset_status(&dev);
    assert_int_equal(vh_be_vq_get_addr(&dev, &addr, &vq), 0);
    assert_int_equal(addr.desc_user_addr, (uintptr_t)&vq);
    assert_int_equal(addr.avail_user_addr, (uintptr_t)&vq.num);
    assert_int_equal(addr.used_user_addr, (uintptr_t)&vq.dev);
    assert_null(dev.error);

    assert_fails(&dev, vh_be_set_vring_endian(&dev, 1, true), -ENOTSUP,
                 "SET_VRING_ENDIAN", 1);
    assert_fails(&dev, vh_be_set_vring_err(&dev, 2, -1), -ENOSYS,
                 "SET_VRING_ERR", 2);
    assert_fails(&dev, vh_be_set_vring_busyloop_timeout(&dev, 3, 50), -EINVAL,
                 "SET_VRING_BUSYLOOP_TIMEOUT", 3);
    assert_fails(&dev, vh_be_get_config(&dev, &byte, 1), -ENOSYS, "GET_CONFIG",
                 -1);
    assert_fails(&dev, vh_be_set_config(&dev, &byte, 0, 1, 0), -ENOSYS,
                 "SET_CONFIG", -1);
}

static void test_knows_the_kinds_that_this_build_has(void **state)
{
    (void)state;
    assert_ptr_equal(vh_be_ops(VHOST_BACKEND_TYPE_USER), &user_ops);
    assert_null(vh_be_ops(VHOST_BACKEND_TYPE_NONE));
    assert_ptr_equal(vh_be_ops(VHOST_BACKEND_TYPE_KERNEL), &kernel_ops);
    assert_null(vh_be_ops(VHOST_BACKEND_TYPE_MAX));
}

static int get_features(struct vhost_dev *dev, uint64_t *features)
{
    (void)dev;
    *features = 7;
    return 0;
}

static int set_features(struct vhost_dev *dev, uint64_t features)
{
    dev->acked_features = features;
    return 0;
}

static void test_refuses_features_that_have_no_way_to_the_back_end(void **state)
{
    static const VhostOps ops = {
        .vhost_get_features = get_features,
        .vhost_set_features = set_features,
    };
    struct vhost_dev dev = { .vhost_ops = &ops };
    uint64_t features[2] = { 1, 1 };

    (void)state;
    assert_fails(&dev, vh_be_set_features(&dev, features), -EINVAL,
                 "SET_FEATURES", -1);
    assert_int_equal(dev.acked_features, 0);
    features[1] = 0;
    assert_int_equal(vh_be_set_features(&dev, features), 0);
    assert_int_equal(dev.acked_features, 1);
    features[1] = 1;
    assert_int_equal(vh_be_get_features(&dev, features), 0);
    assert_int_equal(features[0], 7);
    assert_int_equal(features[1], 0);
}

static int plus_ten(struct vhost_dev *dev, int index)
{
    (void)dev;
    return index + 10;
}

static int set_num(struct vhost_dev *dev, struct vhost_vring_state *ring)
{
    dev->max_queues = ring->index;
    return ring->num ? 0 : -EIO;
}

static int get_base(struct vhost_dev *dev, struct vhost_vring_state *ring)
{
    (void)dev;
    ring->num = ring->index * 2;
    return ring->index == 11 ? -EIO : 0;
}

static const VhostOps indexed = {
    .vhost_get_vq_index = plus_ten,
    .vhost_set_vring_num = set_num,
    .vhost_get_vring_base = get_base,
};

static void test_gives_the_back_end_its_own_indices(void **state)
{
    struct vhost_dev dev = { .vhost_ops = &indexed };

    (void)state;
    assert_int_equal(vh_be_set_vring_num(&dev, 3, 64), 0);
    assert_int_equal(dev.max_queues, 13);
    /* A failure without words gets some, with the caller's index. */
    assert_fails(&dev, vh_be_set_vring_num(&dev, 3, 0), -EIO, "SET_VRING_NUM",
                 3);
}

static void test_asks_for_bases_one_at_a_time_if_need_be(void **state)
{
    struct vhost_vring_state states[3] = { { 0, 5 }, { 1, 5 }, { 2, 5 } };
    struct vhost_dev dev = { .vhost_ops = &indexed };
    int results[3];

    (void)state;
    assert_fails(&dev, vh_be_get_vring_bases(&dev, states, results, 3, true), -EIO,
                 "GET_VRING_BASE", 1);
    assert_int_equal(results[0], 0);
    assert_int_equal(states[0].num, 20);
    assert_int_equal(results[1], -EIO);
    assert_int_equal(states[1].num, 5);
    assert_int_equal(results[2], 0);
    assert_int_equal(states[2].index, 2);
    assert_int_equal(states[2].num, 24);
}

static int words_of_its_own(struct vhost_dev *dev)
{
    return vh_be_fail(dev, -EIO, "own", 4, "the cause");
}

static void test_keeps_the_first_words(void **state)
{
    static const VhostOps ops = { .vhost_sync = words_of_its_own };
    struct vhost_dev dev = { .vhost_ops = &ops };

    (void)state;
    assert_int_equal(vh_be_sync(&dev), -EIO);
    vh_be_fail(&dev, -EINVAL, "later", -1, "a consequence");
    assert_string_equal(vhost_error_message(dev.error), "the cause");
    assert_fails(&dev, -EIO, -EIO, "own", 4);
}

static void *fail_often(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        vh_be_fail(arg, -EIO, "race", -1, "number %d", i);
    }
    return NULL;
}

/* Under a sanitizer: nothing is lost, freed twice or torn. */
static void test_takes_words_from_several_threads(void **state)
{
    struct vhost_dev dev = { .vhost_ops = &nothing };
    pthread_t threads[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, fail_often, &dev),
                         0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_string_equal(vhost_error_message(dev.error), "number 0");
    vh_error_clear(&dev.error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_knows_what_an_absent_entry_means),
        cmocka_unit_test(test_knows_the_kinds_that_this_build_has),
        cmocka_unit_test(
            test_refuses_features_that_have_no_way_to_the_back_end),
        cmocka_unit_test(test_gives_the_back_end_its_own_indices),
        cmocka_unit_test(test_asks_for_bases_one_at_a_time_if_need_be),
        cmocka_unit_test(test_keeps_the_first_words),
        cmocka_unit_test(test_takes_words_from_several_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
