/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel back end under the core: taking up a device, start, stop, words.
 */
#include "lib/kernel-rig.h"

#include <endian.h>

static void test_an_old_kernel_has_64_bits_and_old_messages(void **state)
{
    struct vhost_kernel_info info;
    struct kernel_rig rig;

    (void)state;
    rig_prepare(&rig, VHOST_KERNEL_NET, 2);
    rig.k.offered[1] = 2;
    rig.k.caps = 0;
    rig.k.limit_text = NULL;
    assert_int_equal(rig_init(&rig), 0);
    vhost_kernel_get_info(rig.kernel, &info);
    assert_false(info.wide_features);
    assert_int_equal(info.features[1], 0);
    assert_int_equal(info.max_mem_slots, 64);
    rig.dev.acked_features_array[1] =
        2; /* as after a migration from a new one */
    assert_int_equal(rig_start(&rig), -EINVAL);
    rig_expect(vhost_dev_get_error(&rig.dev), -EINVAL, "take Linux 6.18");
    rig.dev.acked_features_array[1] = 0;
    assert_int_equal(rig_start(&rig), 0);
    rig_down(&rig);
}

static void test_vsock_runs_with_its_cid(void **state)
{
    struct kernel_rig rig;

    (void)state;
    rig_up(&rig, VHOST_KERNEL_VSOCK, 3);
    assert_int_equal(rig.k.nodes[0].cid, 42);
    assert_int_equal(rig_start(&rig), 0);
    assert_true(rig.k.nodes[0].running);
    assert_int_equal(rig.k.nodes[0].q[1].base, 11);
    assert_int_equal(vhost_kernel_set_guest_cid(rig.kernel, 43, NULL), 0);
    assert_int_equal(rig.k.nodes[0].cid, 43);
    assert_int_equal(rig_stop(&rig), 0);
    assert_false(rig.k.nodes[0].running);
    assert_int_equal(rig.queues[0].base, 15);
    assert_int_equal(rig.queues[2].base, 12); /* nobody was there to move it */
    assert_int_equal(rig_start(&rig), 0);
    rig_down(&rig);
}

static void test_a_cid_that_can_t_be_is_refused(void **state)
{
    struct kernel_rig rig;

    (void)state;
    rig_prepare(&rig, VHOST_KERNEL_VSOCK, 2);
    rig.options.guest_cid = 2;
    rig_refused(&rig, -EINVAL, "the cid 2: they go from 3");
    rig_prepare(&rig, VHOST_KERNEL_VSOCK, 2);
    rig.options.guest_cid = UINT32_MAX;
    rig_refused(&rig, -EINVAL, "the cid 4294967295");
    rig_prepare(&rig, VHOST_KERNEL_VSOCK, 2);
    rig.k.fail_request = VHOST_VSOCK_SET_GUEST_CID;
    rig.k.fail_code = -EADDRINUSE;
    rig_refused(&rig, -EADDRINUSE, "another guest has the cid 42");
    rig_prepare(&rig, VHOST_KERNEL_VSOCK, 2);
    rig.options.guest_cid = 0;
    assert_int_equal(rig_init(&rig), 0);
    assert_int_equal(rig_start(&rig), -EINVAL);
    rig_expect(vhost_dev_get_error(&rig.dev), -EINVAL, "no cid yet");
    assert_int_equal(vhost_kernel_set_guest_cid(rig.kernel, 5, NULL), 0);
    assert_int_equal(rig_start(&rig), 0);
    rig_down(&rig);
}

static void test_scsi_has_an_endpoint_while_it_runs(void **state)
{
    struct vhost_kernel_info info;
    struct kernel_rig rig;
    uint32_t missed;

    (void)state;
    rig_up(&rig, VHOST_KERNEL_SCSI, 4);
    vhost_kernel_get_info(rig.kernel, &info);
    assert_int_equal(info.scsi_abi, 1);
    assert_int_equal(info.nodes, 1);
    assert_int_equal(rig_start(&rig), 0);
    assert_true(rig.k.nodes[0].running);
    assert_string_equal(rig.k.nodes[0].target.vhost_wwpn, "naa.5001");
    assert_int_equal(rig.k.nodes[0].target.vhost_tpgt, 1);
    assert_int_equal(rig.k.nodes[0].q[3].base, 13);
    assert_int_equal(vhost_kernel_set_events_missed(rig.kernel, 3, NULL), 0);
    assert_int_equal(vhost_kernel_get_events_missed(rig.kernel, &missed, NULL),
                     0);
    assert_int_equal(missed, 3);
    assert_int_equal(rig_stop(&rig), 0);
    assert_false(rig.k.nodes[0].running);
    rig_down(&rig);
}

static void test_a_scsi_target_that_is_not_there(void **state)
{
    struct kernel_rig rig;

    (void)state;
    rig_prepare(&rig, VHOST_KERNEL_SCSI, 3);
    rig.options.wwpn = "eui.5";
    assert_int_equal(rig_init(&rig), 0);
    assert_int_equal(rig_start(&rig), -EEXIST);
    rig_expect(vhost_dev_get_error(&rig.dev), -EEXIST,
               "no target vhost/eui.5/tpgt_1");
    assert_int_equal(rig.queues[0].base, 10);
    rig_down(&rig);
    rig_prepare(&rig, VHOST_KERNEL_SCSI, 3);
    rig.k.scsi_abi = 2;
    rig_refused(&rig, -ENOTSUP, "version 2 of the interface");
}

static void test_workers_share_the_request_queues(void **state)
{
    struct kernel_rig rig;
    uint32_t id = 0;

    (void)state;
    rig_prepare(&rig, VHOST_KERNEL_SCSI, 7);
    rig.k.can_work = true;
    rig.options.workers = 2;
    assert_int_equal(rig_init(&rig), 0);
    assert_int_equal(rig.k.nodes[0].workers, 2);
    for (unsigned i = 2; i < 7; i++) {
        assert_int_equal(rig.k.nodes[0].q[i].worker, 1 + i % 2);
    }
    assert_int_equal(rig.k.nodes[0].q[0].worker, 0);
    assert_int_equal(vhost_kernel_get_worker(rig.kernel, 3, &id, NULL), 0);
    assert_int_equal(id, 2);
    assert_int_equal(vhost_kernel_free_worker(rig.kernel, 2, &rig.err), -EBUSY);
    rig_expect(rig.err, -EBUSY, "a queue is attached to it");
    assert_int_equal(vhost_kernel_new_worker(rig.kernel, &id, NULL), 0);
    assert_int_equal(id, 3);
    assert_int_equal(vhost_kernel_attach_worker(rig.kernel, 0, 3, NULL), 0);
    assert_int_equal(rig.k.nodes[0].q[0].worker, 3);
    assert_int_equal(vhost_kernel_attach_worker(rig.kernel, 7, 3, NULL),
                     -EINVAL);
    rig_down(&rig);
    rig_prepare(&rig, VHOST_KERNEL_SCSI, 3);
    rig.options.workers = 1;
    rig_refused(&rig, -ENOTSUP, "Linux 6.5");
}

static void test_who_serves_the_queues_is_chosen_before_the_claim(void **state)
{
    struct kernel_rig rig;

    (void)state;
    rig_prepare(&rig, VHOST_KERNEL_NET, 4);
    rig.k.forks = true;
    rig.options.fork = VHOST_KERNEL_FORK_TASK;
    assert_int_equal(rig_init(&rig), 0);
    assert_int_equal(rig.k.nodes[1].fork, 1 + VH_KERNEL_FORK_TASK);
    rig_down(&rig);
    rig_prepare(&rig, VHOST_KERNEL_NET, 2);
    rig.options.fork = VHOST_KERNEL_FORK_KTHREAD;
    rig_refused(&rig, -ENOTSUP, "Linux 6.18");
}

static void test_busy_polling_is_told_to_each_queue(void **state)
{
    struct kernel_rig rig;

    (void)state;
    rig_prepare(&rig, VHOST_KERNEL_NET, 4);
    rig.busyloop = 77;
    assert_int_equal(rig_init(&rig), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(rig.k.nodes[i / 2].q[i % 2].busyloop, 77);
    }
    rig_down(&rig);
    rig_prepare(&rig, VHOST_KERNEL_SCSI, 3);
    rig.busyloop = 77;
    rig.k.fail_request = VHOST_SET_VRING_BUSYLOOP_TIMEOUT;
    rig.k.fail_code = -ENOTTY;
    rig_refused(&rig, -ENOTTY, "does not poll");
}

static void test_a_device_that_is_not_there_says_what_to_do(void **state)
{
    static const struct {
        int error;
        const char *words;
    } cases[] = {
        { -ENOENT, "modprobe vhost_net" },
        { -ENODEV, "the module vhost_net is missing" },
        { -EACCES, "read and write access to the node" },
    };
    struct kernel_rig rig;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        rig_prepare(&rig, VHOST_KERNEL_NET, 2);
        rig.k.open_error = cases[i].error;
        rig_refused(&rig, cases[i].error, cases[i].words);
    }
    rig_prepare(&rig, VHOST_KERNEL_NET, 2);
    rig.k.fail_request = VHOST_SET_OWNER;
    rig.k.fail_code = -EBUSY;
    rig_refused(&rig, -EBUSY, "has been claimed already");
    rig_prepare(&rig, VHOST_KERNEL_NET, 2);
    rig.k.fail_request = VHOST_GET_FEATURES;
    rig.k.fail_code = -ENOTTY;
    rig_refused(&rig, -ENOTTY, "kernel:/dev/vhost-net: not a vhost node");
}

static void test_a_node_of_another_class_is_refused(void **state)
{
    static const char *const words[] = {
        [VHOST_KERNEL_NET] = "not a vhost-net node",
        [VHOST_KERNEL_VSOCK] = "not a vhost-vsock node",
        [VHOST_KERNEL_SCSI] = "not a vhost-scsi node",
    };

    (void)state;
    for (unsigned kind = 1; kind <= 3; kind++) {
        struct kernel_rig rig;

        rig_prepare(&rig, kind, kind == VHOST_KERNEL_SCSI ? 3 : 2);
        rig.k.kind = kind % 3 + 1;
        rig_refused(&rig, -ENOTTY, words[kind]);
    }
}

static void test_numbers_of_queues_that_a_class_does_not_have(void **state)
{
    struct kernel_rig rig;

    (void)state;
    rig_prepare(&rig, VHOST_KERNEL_NET, 3);
    rig_refused(&rig, -EINVAL, "a control queue is for the owner");
    rig_prepare(&rig, VHOST_KERNEL_VSOCK, 4);
    rig_refused(&rig, -EINVAL, "vsock has 2, or 3");
    rig_prepare(&rig, VHOST_KERNEL_SCSI, 2);
    rig_refused(&rig, -EINVAL, "at least one for requests");
}

static void test_nodes_that_are_given_are_good_for_one_init(void **state)
{
    struct kernel_rig rig;
    int nodes[2];

    (void)state;
    rig_prepare(&rig, VHOST_KERNEL_NET, 4);
    nodes[0] = fake_open_node(&rig.k);
    nodes[1] = fake_open_node(&rig.k);
    rig.options.nodes = nodes;
    rig.options.n_nodes = 2;
    assert_int_equal(rig_init(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_stop(&rig), 0);
    vhost_dev_cleanup(&rig.dev);
    rig.dev.vqs = rig.vqs;
    rig.dev.nvqs = 4;
    rig_refused(&rig, -EBADF, "good for one init");

    /* What is never used is closed too; and what could not be taken. */
    rig_prepare(&rig, VHOST_KERNEL_NET, 2);
    nodes[0] = fake_open_node(&rig.k);
    rig.options.nodes = nodes;
    rig.options.n_nodes = 1;
    rig.options.guest_cid = 7;
    rig_refused(&rig, -EINVAL, "only a vsock device");
    rig_prepare(&rig, VHOST_KERNEL_NET, 2);
    nodes[0] = fake_open_node(&rig.k);
    rig.options.nodes = nodes;
    rig.options.n_nodes = 1;
    rig.options.n_backends = 0;
    rig.kernel = vh_kernel_new(&fake_kernel_sys, &rig.k, &rig.options, NULL);
    rig_down(&rig);
}

static void test_a_change_of_memory_goes_to_each_node(void **state)
{
    const struct vhost_memory_section more = {
        .gpa = RIG_GPA * 16,
        .size = 0x1000,
        .hva = (void *)UINT64_C(0x7f0000000000),
        .fd = -1,
    };
    struct kernel_rig rig;

    (void)state;
    rig_up(&rig, VHOST_KERNEL_NET, 4);
    assert_int_equal(rig_start(&rig), 0);
    vhost_memory_begin(rig.map);
    assert_int_equal(vhost_memory_add(rig.map, &more), 0);
    assert_int_equal(vhost_memory_commit(rig.map, &rig.err), 0);
    assert_int_equal(rig.k.nodes[0].n_regions, 2);
    assert_int_equal(rig.k.nodes[1].n_regions, 2);
    rig_down(&rig);
}

static void
test_more_regions_than_slots_are_refused_with_the_limit(void **state)
{
    struct kernel_rig rig;

    (void)state;
    rig_prepare(&rig, VHOST_KERNEL_NET, 2);
    rig.k.limit_text = "2\n";
    assert_int_equal(rig_init(&rig), 0);
    vhost_memory_begin(rig.map);
    for (unsigned i = 1; i < 3; i++) {
        const struct vhost_memory_section more = {
            .gpa = RIG_GPA * 16 * i,
            .size = 0x1000,
            .hva = (void *)(UINT64_C(0x7f0000000000) + i * 0x2000),
            .fd = -1,
        };
        assert_int_equal(vhost_memory_add(rig.map, &more), 0);
    }
    assert_int_equal(vhost_memory_commit(rig.map, &rig.err), -ENOSPC);
    rig_expect(rig.err, -ENOSPC, "3 regions, the back end takes 2");
    rig_down(&rig);

    /* The parameter was changed under us: the kernel knows best. */
    rig_prepare(&rig, VHOST_KERNEL_NET, 2);
    rig.k.limit = 0;
    assert_int_equal(rig_init(&rig), 0);
    assert_int_equal(rig_start(&rig), -E2BIG);
    rig_expect(vhost_dev_get_error(&rig.dev), -E2BIG, "max_mem_regions");
    rig_down(&rig);
}

static void test_the_log_goes_to_each_node_and_back(void **state)
{
    struct kernel_rig rig;

    (void)state;
    rig_up(&rig, VHOST_KERNEL_NET, 4);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(vhost_log_start(rig.map, &rig.err), 0);
    for (unsigned i = 0; i < 2; i++) {
        const struct fake_node *node = &rig.k.nodes[i];

        assert_int_equal(node->log_base, (uintptr_t)rig.dev.log->log);
        assert_int_equal(node->features[0] >> 26 & 1, 1);
        assert_int_equal(node->q[1].addr.flags, 1);
        assert_int_equal(node->q[1].addr.log_guest_addr,
                         rig.queues[2 * i + 1].used);
        assert_int_not_equal(node->q[1].backend, -1);
    }
    assert_int_equal(vhost_kernel_set_log_fd(rig.kernel, 9, NULL), 0);
    assert_int_equal(rig.k.nodes[1].log_fd, 9);
    assert_int_equal(vhost_log_stop(rig.map, &rig.err), 0);
    assert_int_equal(rig.k.nodes[1].features[0] >> 26 & 1, 0);
    assert_int_equal(rig.k.nodes[1].q[1].addr.flags, 0);
    rig_down(&rig);
}

/* Whatever fails, and whenever: words, nothing open, and it can be done again.
 */
static void each_call_fails_once(enum vhost_kernel_kind kind, unsigned queues)
{
    unsigned n_init, n_start;
    struct kernel_rig rig;

    rig_prepare(&rig, kind, queues);
    rig.options.workers = kind == VHOST_KERNEL_SCSI ? 1 : 0;
    rig.k.can_work = true;
    assert_int_equal(rig_init(&rig), 0);
    n_init = rig.k.n_calls;
    assert_int_equal(rig_start(&rig), 0);
    n_start = rig.k.n_calls - n_init;
    rig_down(&rig);
    for (unsigned i = 1; i <= n_init; i++) {
        rig_prepare(&rig, kind, queues);
        rig.options.workers = kind == VHOST_KERNEL_SCSI ? 1 : 0;
        rig.k.can_work = true;
        rig.k.fail_at = i;
        if (rig_init(&rig) < 0) {
            assert_non_null(rig.err);
            assert_int_equal(rig.k.n_open, 0);
            assert_int_equal(rig_init(&rig), 0);
        }
        assert_int_equal(rig_start(&rig), 0);
        rig_down(&rig);
    }
    rig_prepare(&rig, kind, queues);
    rig.options.workers = kind == VHOST_KERNEL_SCSI ? 1 : 0;
    rig.k.can_work = true;
    assert_int_equal(rig_init(&rig), 0);
    for (unsigned i = 1; i <= n_start; i++) {
        rig.k.fail_at = rig.k.n_calls + i;
        assert_int_equal(rig_start(&rig), -EIO);
        assert_non_null(vhost_dev_get_error(&rig.dev));
        for (unsigned q = 0; q < queues; q++) {
            assert_int_equal(rig.queues[q].base, 10 + q);
        }
    }
    assert_int_equal(rig_start(&rig), 0);
    rig_down(&rig);
}

static void test_each_call_of_a_network_device_fails_once(void **state)
{
    (void)state;
    each_call_fails_once(VHOST_KERNEL_NET, 4);
}

static void test_each_call_of_a_vsock_fails_once(void **state)
{
    (void)state;
    each_call_fails_once(VHOST_KERNEL_VSOCK, 2);
}

static void test_each_call_of_a_scsi_device_fails_once(void **state)
{
    (void)state;
    each_call_fails_once(VHOST_KERNEL_SCSI, 5);
}

static void test_options_are_checked(void **state)
{
    struct {
        struct vhost_kernel_options known;
        uint64_t later;
    } o = { .known = { .size = sizeof(o), .kind = VHOST_KERNEL_NET } };
    struct vhost_error *err = NULL;
    struct vhost_kernel *kernel = vhost_kernel_new(&o.known, &err);

    (void)state;
    assert_non_null(kernel);
    assert_int_equal(vhost_kernel_set_log_fd(kernel, 1, &err), -EINVAL);
    rig_expect(err, -EINVAL, "no device uses it");
    vhost_error_free(err);
    err = NULL;
    assert_int_equal(vhost_kernel_set_guest_cid(kernel, 9, &err), -EINVAL);
    rig_expect(err, -EINVAL, "for vsock devices");
    vhost_error_free(err);
    err = NULL;
    vhost_kernel_free(kernel);
    o.later = 1;
    assert_null(vhost_kernel_new(&o.known, &err));
    rig_expect(err, -E2BIG, "later version");
    vhost_error_free(err);
    err = NULL;
    o.later = 0;
    o.known.kind = 4;
    assert_null(vhost_kernel_new(&o.known, &err));
    rig_expect(err, -EINVAL, "no such kind");
    vhost_error_free(err);
    err = NULL;
    o.known.kind = VHOST_KERNEL_NET;
    o.known.tap = "an-interface-name-too-long";
    assert_null(vhost_kernel_new(&o.known, &err));
    rig_expect(err, -EINVAL, "1 to 15 characters");
    vhost_error_free(err);
    assert_null(vhost_kernel_new(NULL, NULL));
}

static void test_a_node_of_another_kind_is_refused_by_the_host_too(void **state)
{
    const struct vhost_kernel_options options = { .kind = VHOST_KERNEL_NET,
                                                  .path = "/dev/null" };
    struct vhost_kernel *kernel = vhost_kernel_new(&options, NULL);
    struct vhost_virtqueue vqs[2] = { { .num = 0 } };
    struct vhost_dev dev = { .vqs = vqs, .nvqs = 2 };
    struct vhost_error *err = NULL;

    (void)state;
    assert_int_equal(
        vhost_dev_init(&dev, kernel, VHOST_BACKEND_TYPE_KERNEL, 0, &err),
        -ENOTTY);
    rig_expect(err, -ENOTTY, "kernel:/dev/null: not a vhost node");
    vhost_error_free(err);
    vhost_kernel_free(kernel);
}

static void test_one_line_says_which_device(void **state)
{
    static const struct {
        const char *where;
        const char *words;
    } wrong[] = {
        { "", "there are net?tap=NAME" },
        { "blk", "kernel:blk: no device of the kernel" },
        { "net?", NULL },
        { "net?tap", "'tap' is none of its fields" },
        { "net?tap=", "'tap=' is none" },
        { "net?frob=1", "'frob=1' is none" },
        { "net?cid=5", "only a vsock device" },
        { "vsock?cid=five", "'cid=five' is none" },
        { "vsock?cid=-5", "'cid=-5' is none" },
        { "vsock?cid=99999999999999999999", "is none" },
        { "scsi?tpgt=65536", "'tpgt=65536' is none" },
        { "scsi?fork=child", "'fork=child' is none" },
    };
    struct vhost_error *err = NULL;
    struct vhost_kernel *kernel = vhost_kernel_new_uri(
        "scsi?wwpn=naa.5&tpgt=3&workers=2&path=/dev/x&fork=kthread", &err);

    (void)state;
    assert_non_null(kernel);
    assert_int_equal(kernel->options.kind, VHOST_KERNEL_SCSI);
    assert_string_equal(kernel->options.wwpn, "naa.5");
    assert_int_equal(kernel->options.tpgt, 3);
    assert_int_equal(kernel->options.workers, 2);
    assert_string_equal(kernel->options.path, "/dev/x");
    assert_int_equal(kernel->options.fork, VHOST_KERNEL_FORK_KTHREAD);
    vhost_kernel_free(kernel);
    kernel = vhost_kernel_new_uri("net?tap=tap7", &err);
    assert_string_equal(kernel->options.tap, "tap7");
    vhost_kernel_free(kernel);
    kernel = vhost_kernel_new_uri("vsock?cid=4294967294", &err);
    assert_int_equal(kernel->options.guest_cid, 4294967294);
    vhost_kernel_free(kernel);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        kernel = vhost_kernel_new_uri(wrong[i].where, &err);
        if (wrong[i].words) {
            assert_null(kernel);
            rig_expect(err, -EINVAL, wrong[i].words);
            vhost_error_free(err);
            err = NULL;
        }
        vhost_kernel_free(kernel);
    }
}

static void test_what_there_is_of_a_configuration(void **state)
{
    struct kernel_rig rig;
    uint8_t config[9];
    uint64_t cid;

    (void)state;
    rig_up(&rig, VHOST_KERNEL_VSOCK, 2);
    assert_int_equal(vhost_dev_get_config(&rig.dev, config, 8, &rig.err), 0);
    memcpy(&cid, config, sizeof(cid));
    assert_int_equal(le64toh(cid), 42);
    assert_int_equal(vhost_dev_get_config(&rig.dev, config, 9, &rig.err),
                     -E2BIG);
    rig_down(&rig);
    rig_up(&rig, VHOST_KERNEL_NET, 2);
    assert_int_equal(vhost_dev_get_config(&rig.dev, config, 6, &rig.err),
                     -ENOSYS);
    rig_expect(rig.err, -ENOSYS, "for the owner to make up");
    rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_old_kernel_has_64_bits_and_old_messages),
        cmocka_unit_test(test_vsock_runs_with_its_cid),
        cmocka_unit_test(test_a_cid_that_can_t_be_is_refused),
        cmocka_unit_test(test_scsi_has_an_endpoint_while_it_runs),
        cmocka_unit_test(test_a_scsi_target_that_is_not_there),
        cmocka_unit_test(test_workers_share_the_request_queues),
        cmocka_unit_test(test_who_serves_the_queues_is_chosen_before_the_claim),
        cmocka_unit_test(test_busy_polling_is_told_to_each_queue),
        cmocka_unit_test(test_a_device_that_is_not_there_says_what_to_do),
        cmocka_unit_test(test_a_node_of_another_class_is_refused),
        cmocka_unit_test(test_numbers_of_queues_that_a_class_does_not_have),
        cmocka_unit_test(test_nodes_that_are_given_are_good_for_one_init),
        cmocka_unit_test(test_a_change_of_memory_goes_to_each_node),
        cmocka_unit_test(
            test_more_regions_than_slots_are_refused_with_the_limit),
        cmocka_unit_test(test_the_log_goes_to_each_node_and_back),
        cmocka_unit_test(test_each_call_of_a_network_device_fails_once),
        cmocka_unit_test(test_each_call_of_a_vsock_fails_once),
        cmocka_unit_test(test_each_call_of_a_scsi_device_fails_once),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_one_line_says_which_device),
        cmocka_unit_test(test_what_there_is_of_a_configuration),
        cmocka_unit_test(
            test_a_node_of_another_kind_is_refused_by_the_host_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
