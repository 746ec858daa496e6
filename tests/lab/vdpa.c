/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vDPA devices of a real kernel, as a VMM has them: shadow queues that come and
 * go under load, devices that stand still and go on, address spaces, doorbells
 * that are pages.  /dev/vhost-vdpa-0 and -1 are the kernel's simulators, -2 and
 * -3 PCI devices by vp_vdpa; see guest/devices.sh.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <vhost/log.h>

#include "backend/vdpa/uapi.h"
#include "check.h"
#include "lab/kernel-guest.h"

#define BLOCKS 1000u /* of GUEST_BUF bytes, in use */
#define SECTORS (GUEST_BUF / 512)
#define DATA_BUFS 20u  /* requests at a time, each with three descriptors */
#define HEADER_BUF 24u /* and the buffer with all headers and states */
#define SWITCHES 60u
#define PAGES ((GUEST_GPA + GUEST_SIZE) / VHOST_LOG_PAGE)

static struct vhost_vdpa_options at(const char *path, bool shadow)
{
    return (struct vhost_vdpa_options){
        .size = sizeof(struct vhost_vdpa_options),
        .path = path,
        .shadow_queues = shadow,
    };
}

/* A disk of which each block is as it was written last */

struct request {
    bool write;
    unsigned epoch; /* of the log, as it was given */
    uint32_t block;
    uint32_t generation;
};

struct load {
    struct guest g;
    uint32_t generations[BLOCKS];
    bool taken[BLOCKS]; /* by a request under way */
    struct request requests[DATA_BUFS];
    bool busy[DATA_BUFS];
    unsigned n_done;
    bool logged;                /* the log is on */
    unsigned epoch;             /* how often it was switched */
    unsigned n_logged;          /* pages that were to be in it, and were */
    unsigned char dirty[PAGES]; /* reported */
    uint64_t expected[2 * DATA_BUFS * 64];
    unsigned n_expected;
};

static void fill(char *data, uint32_t block, uint32_t generation)
{
    uint32_t x = block * 2654435761u ^ generation * 40503u;

    for (unsigned i = 0; i < GUEST_BUF; i += sizeof(x)) {
        x = x * 1664525u + 1013904223u;
        memcpy(data + i, &x, sizeof(x));
    }
}

static void check_data(const char *data, uint32_t block, uint32_t generation)
{
    static char want[GUEST_BUF];

    fill(want, block, generation);
    if (memcmp(data, want, GUEST_BUF) != 0) {
        fail_msg("block %u is not as it was written the %u. time", block,
                 generation);
    }
}

static void give(struct load *l, unsigned i, bool write, uint32_t block)
{
    struct guest *g = &l->g;
    struct request *request = &l->requests[i];
    struct virtio_blk_outhdr header = {
        .type = write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
        .sector = (uint64_t)block * SECTORS,
    };
    uint64_t headers = guest_addr(g, 0, HEADER_BUF);
    struct vh_sg sg[3] = {
        { headers + i * sizeof(header), sizeof(header) },
        { guest_addr(g, 0, i), GUEST_BUF },
        { headers + 2048 + i, 1 },
    };

    *request = (struct request){ write, l->epoch, block,
                                 l->generations[block] + (write ? 1 : 0) };
    memcpy((char *)guest_buf(g, 0, HEADER_BUF) + i * sizeof(header), &header,
           sizeof(header));
    ((char *)guest_buf(g, 0, HEADER_BUF))[2048 + i] = 0x55;
    if (write) {
        fill(guest_buf(g, 0, i), block, request->generation);
    } else {
        memset(guest_buf(g, 0, i), 0xee, GUEST_BUF);
    }
    l->taken[block] = true;
    l->busy[i] = true;
    guest_give(g, 0, sg, write ? 2 : 1, write ? 1 : 2, i + 1);
}

static void expect_dirty(struct load *l, unsigned epoch, uint64_t gpa)
{
    if (l->logged && epoch == l->epoch &&
        l->n_expected < ARRAY_SIZE(l->expected)) {
        l->expected[l->n_expected++] = gpa / VHOST_LOG_PAGE;
    }
}

static void finish(struct load *l, unsigned i)
{
    struct request *request = &l->requests[i];
    const char *states = (const char *)guest_buf(&l->g, 0, HEADER_BUF) + 2048;

    assert_true(l->busy[i]);
    assert_int_equal(states[i], 0);
    expect_dirty(l, request->epoch, guest_addr(&l->g, 0, HEADER_BUF));
    if (request->write) {
        l->generations[request->block] = request->generation;
    } else {
        check_data(guest_buf(&l->g, 0, i), request->block, request->generation);
        expect_dirty(l, request->epoch, guest_addr(&l->g, 0, i));
    }
    l->taken[request->block] = false;
    l->busy[i] = false;
    l->n_done++;
}

static void take_one(struct load *l)
{
    uint32_t len;
    uintptr_t i = guest_take(&l->g, 0, &len, 0);

    assert_true(i > 0 && i <= DATA_BUFS);
    finish(l, (unsigned)i - 1);
}

static bool anything_under_way(const struct load *l)
{
    for (unsigned i = 0; i < DATA_BUFS; i++) {
        if (l->busy[i]) {
            return true;
        }
    }
    return false;
}

static void give_all(struct load *l)
{
    for (unsigned i = 0; i < DATA_BUFS; i++) {
        uint32_t block = (uint32_t)rand() % BLOCKS;

        if (!l->busy[i] && !l->taken[block]) {
            give(l, i, rand() % 2, block);
        }
    }
}

static void drain(struct load *l)
{
    while (anything_under_way(l)) {
        take_one(l);
    }
}

/* All that was ever written is there. */
static void read_everything(struct load *l)
{
    for (uint32_t block = 0; block < BLOCKS; block++) {
        if (l->generations[block] == 0) {
            continue;
        }
        give(l, block % DATA_BUFS, false, block);
        if (block % DATA_BUFS == DATA_BUFS - 1) {
            drain(l);
        }
        while (l->busy[(block + 1) % DATA_BUFS]) {
            take_one(l);
        }
    }
    drain(l);
}

/* First each block is written, for its content to be known. */
static void load_up(struct load *l, const struct vhost_vdpa_options *options)
{
    memset(l, 0, sizeof(*l));
    guest_up_vdpa(&l->g, options, 1, F_VERSION_1);
    guest_start(&l->g);
    for (uint32_t block = 0; block < BLOCKS; block++) {
        while (l->busy[block % DATA_BUFS]) {
            take_one(l);
        }
        give(l, block % DATA_BUFS, true, block);
    }
    drain(l);
}

static void report(void *opaque, uint64_t gpa, uint64_t size)
{
    struct load *l = opaque;

    memset(l->dirty + gpa / VHOST_LOG_PAGE, 1, size / VHOST_LOG_PAGE);
}

/* What was seen to be written is in the log. */
static void check_log(struct load *l)
{
    assert_int_equal(vhost_log_sync(l->g.map, report, l, NULL), 0);
    for (unsigned i = 0; i < l->n_expected; i++) {
        if (!l->dirty[l->expected[i]]) {
            fail_msg("page %#llx was written, and is not in the log",
                     (unsigned long long)l->expected[i]);
        }
    }
    l->n_logged += l->n_expected;
    l->n_expected = 0;
    memset(l->dirty, 0, sizeof(l->dirty));
}

static void switch_log(struct load *l)
{
    struct vhost_error *err = NULL;
    int r;

    if (l->logged) {
        check_log(l);
    }
    r = l->logged ? vhost_log_stop(l->g.map, &err)
                  : vhost_log_start(l->g.map, &err);
    if (r < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    l->logged = !l->logged;
    l->epoch++;
}

static void work(struct load *l, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        give_all(l);
        assert_int_equal(vhost_dev_dispatch(&l->g.dev), 0);
        take_one(l);
    }
}

static void test_shadow_queues_come_and_go_under_load(void **state)
{
    static struct load l;
    struct vhost_vdpa_options options = at("/dev/vhost-vdpa-1", false);
    unsigned before;

    (void)state;
    load_up(&l, &options);
    before = l.n_done;
    for (unsigned i = 0; i < SWITCHES; i++) {
        give_all(&l); /* under way while it is switched */
        switch_log(&l);
        work(&l, 30);
    }
    drain(&l);
    assert_true(l.n_done - before >= SWITCHES * 30);
    assert_true(l.n_logged >= SWITCHES * 4);
    read_everything(&l);
    guest_down(&l.g);
}

/* Stopped with a log on, and started with it; and stopped without. */
static void test_a_stop_under_shadows_loses_nothing(void **state)
{
    static struct load l;
    struct vhost_vdpa_options options = at("/dev/vhost-vdpa-1", false);

    (void)state;
    load_up(&l, &options);
    for (unsigned i = 0; i < 12; i++) {
        if (i % 3 == 0) {
            switch_log(&l);
        }
        give_all(&l);
        take_one(&l);
        guest_stop(&l.g);
        assert_int_equal(l.g.queues[0].base_source, VHOST_BASE_FROM_DEVICE);
        guest_start(&l.g);
        work(&l, 5);
    }
    drain(&l);
    read_everything(&l);
    guest_down(&l.g);
}

/* Memory that a PCI device reaches is locked. */
static int lock_all(void **state)
{
    const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

    (void)state;
    return setrlimit(RLIMIT_MEMLOCK, &all);
}

/* One that can't be suspended has shadows from its start, or no log. */
static void test_a_pci_disk_has_shadows_all_the_time(void **state)
{
    static struct load l;
    const struct rlimit little = { GUEST_SIZE, RLIM_INFINITY };
    struct vhost_vdpa_options options = at("/dev/vhost-vdpa-3", false);
    struct vhost_error *err = NULL;

    (void)state;
    guest_up_vdpa(&l.g, &options, 1, F_VERSION_1);
    guest_start(&l.g);
    assert_int_equal(vhost_log_start(l.g.map, &err), -ENOTSUP);
    vhost_error_free(err);
    guest_down(&l.g);

    /* Memory for the rings is locked too: that much is too little. */
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &little), 0);
    options.shadow_queues = true;
    guest_up_vdpa(&l.g, &options, 1, F_VERSION_1);
    assert_true(vhost_dev_start(&l.g.dev, &l.g.vdev, true) < 0);
    assert_non_null(strstr(vhost_error_message(vhost_dev_get_error(&l.g.dev)),
                           "RLIMIT_MEMLOCK"));
    assert_int_equal(lock_all(NULL), 0);
    guest_down(&l.g);
    load_up(&l, &options);
    for (unsigned i = 0; i < 10; i++) {
        switch_log(&l);
        work(&l, 10);
    }
    drain(&l);
    read_everything(&l);
    guest_down(&l.g);
}

/* Standing still */

static void test_a_suspended_disk_goes_on_where_it_stood(void **state)
{
    static struct load l;
    struct vhost_vdpa_options options = at("/dev/vhost-vdpa-1", false);
    struct vhost_vdpa_info info;
    uint32_t len;

    (void)state;
    load_up(&l, &options);
    vhost_vdpa_get_info(l.g.vdpa, &info);
    assert_true(info.backend_features & VH_VDPA_F_SUSPEND);
    assert_true(info.backend_features & VH_VDPA_F_RESUME);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(vhost_vdpa_suspend(l.g.vdpa, NULL), 0);
        assert_int_equal(vhost_vdpa_suspend(l.g.vdpa, NULL), 0);
        give_all(&l);
        assert_int_equal(guest_take(&l.g, 0, &len, 1), 0);
        assert_int_equal(vhost_vdpa_resume(l.g.vdpa, NULL), 0);
        drain(&l);
    }
    /* And one that is stopped as it stands tells where. */
    assert_int_equal(vhost_vdpa_suspend(l.g.vdpa, NULL), 0);
    give_all(&l);
    guest_stop(&l.g);
    assert_int_equal(l.g.queues[0].base_source, VHOST_BASE_FROM_DEVICE);
    guest_start(&l.g);
    drain(&l);
    read_everything(&l);
    guest_down(&l.g);
}

/* Doorbells */

static void test_doorbells_of_a_pci_disk_are_pages(void **state)
{
    static struct load l;
    struct vhost_vdpa_options options = at("/dev/vhost-vdpa-3", false);

    (void)state;
    load_up(&l, &options);
    assert_non_null(l.g.doorbells[0]);
    l.g.rings_doorbells = true; /* and its eventfd is silent */
    work(&l, 50);
    drain(&l);
    read_everything(&l);
    guest_stop(&l.g);
    assert_null(l.g.doorbells[0]);
    guest_down(&l.g);
}

static void test_so_are_those_of_a_pci_network_device(void **state)
{
    struct vhost_vdpa_options options = at("/dev/vhost-vdpa-2", false);
    struct guest g;
    uint32_t len;

    (void)state;
    guest_up_vdpa(&g, &options, 2, F_VERSION_1);
    guest_start(&g);
    assert_non_null(g.doorbells[0]);
    assert_non_null(g.doorbells[1]);
    g.rings_doorbells = true;
    for (unsigned k = 0; k < 100; k++) {
        unsigned i = k % GUEST_BUFS;
        struct vh_sg sg = { guest_addr(&g, 1, i), 76 };

        memset(guest_buf(&g, 1, i), 0, 76);
        guest_give(&g, 1, &sg, 1, 0, i + 1);
        assert_int_equal(guest_take(&g, 1, &len, 0), i + 1);
    }
    guest_down(&g);
}

static void test_the_simulator_has_no_such_pages(void **state)
{
    struct vhost_vdpa_options options = at("/dev/vhost-vdpa-1", false);
    struct guest g;

    (void)state;
    guest_up_vdpa(&g, &options, 1, F_VERSION_1);
    guest_start(&g);
    assert_null(g.doorbells[0]);
    guest_down(&g);
}

/* Address spaces: of the simulated network device, whose third queue takes
 * commands, and is a group of its own. */

#define COMMANDS 2u
#define F_NET (F_VERSION_1 | F(VIRTIO_NET_F_CTRL_VQ) | F(23))

/* Return: the device's answer; -1: none within @seconds. */
static int set_mac(struct guest *g, unsigned i, unsigned seconds)
{
    static const uint8_t command[] = { VIRTIO_NET_CTRL_MAC,
                                       VIRTIO_NET_CTRL_MAC_ADDR_SET,
                                       0x52,
                                       0x54,
                                       0,
                                       1,
                                       2,
                                       3 };
    uint8_t *buf = guest_buf(g, COMMANDS, i);
    uint64_t where = guest_addr(g, COMMANDS, i);
    struct vh_sg sg[3] = { { where, 2 }, { where + 2, 6 }, { where + 64, 1 } };
    uint32_t len;

    memcpy(buf, command, sizeof(command));
    buf[64] = 0x55;
    guest_give(g, COMMANDS, sg, 2, 1, i + 1);
    return guest_take(g, COMMANDS, &len, seconds) == i + 1 ? buf[64] : -1;
}

static void frame_comes_back(struct guest *g, unsigned i)
{
    struct vh_sg in = { guest_addr(g, 0, i), 256 };
    struct vh_sg out = { guest_addr(g, 1, i), 76 };
    char *sent = guest_buf(g, 1, i);
    uint32_t len;

    memset(sent, 0, 12);
    memset(sent + 12, (int)i + 1, 64);
    memset(sent + 12, 0xff, 6);
    guest_give(g, 0, &in, 0, 1, i + 1);
    guest_give(g, 1, &out, 1, 0, i + 1);
    assert_int_equal(guest_take(g, 1, &len, 0), i + 1);
    assert_int_equal(guest_take(g, 0, &len, 0), i + 1);
    assert_int_equal(len, 76);
    assert_memory_equal(guest_buf(g, 0, i), sent, 76);
}

static void
test_a_group_in_another_address_space_reaches_what_is_there(void **state)
{
    struct vhost_vdpa_options options = at("/dev/vhost-vdpa-0", false);
    struct vhost_vdpa_mapping mapping = {
        .asid = 1, .access = 3, .iova = GUEST_GPA, .size = GUEST_SIZE
    };
    struct vhost_vdpa_info info;
    uint32_t groups[3];
    struct guest g;

    (void)state;
    guest_up_vdpa(&g, &options, 3, F_NET);
    vhost_vdpa_get_info(g.vdpa, &info);
    assert_int_equal(info.groups, 2);
    assert_true(info.address_spaces >= 2);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(vhost_vdpa_get_group(g.vdpa, i, &groups[i], NULL), 0);
    }
    assert_int_equal(groups[0], groups[1]);
    assert_int_not_equal(groups[0], groups[COMMANDS]);

    /* One for all: everything works. */
    guest_start(&g);
    frame_comes_back(&g, 0);
    assert_int_equal(set_mac(&g, 0, 0), VIRTIO_NET_OK);
    guest_stop(&g);

    /* Its own, with all memory there. */
    assert_int_equal(
        vhost_vdpa_set_group_asid(g.vdpa, groups[COMMANDS], 1, NULL), 0);
    mapping.addr = g.ram.hva;
    assert_int_equal(vhost_vdpa_map(g.vdpa, &mapping, &g.err), 0);
    guest_start(&g);
    frame_comes_back(&g, 1);
    assert_int_equal(set_mac(&g, 1, 0), VIRTIO_NET_OK);

    /* Taken away there, it is still there for the others. */
    assert_int_equal(vhost_vdpa_unmap(g.vdpa, &mapping, &g.err), 0);
    assert_int_equal(set_mac(&g, 2, 2), -1);
    frame_comes_back(&g, 2);
    guest_down(&g);
}

/* Its control queue is a shadow, alone there, and the others go over and back:
 * what was set is set again, which the simulator acknowledges. */
static void test_a_network_device_goes_over_with_its_control_queue(void **state)
{
    struct vhost_vdpa_options options = at("/dev/vhost-vdpa-0", false);
    struct vhost_error *err = NULL;
    struct guest g;

    (void)state;
    guest_up_vdpa(&g, &options, 3, F_NET);
    guest_start(&g);
    assert_int_equal(set_mac(&g, 0, 0), VIRTIO_NET_OK);
    assert_int_equal(vhost_log_start(g.map, &err), -ENOTSUP);
    assert_non_null(strstr(vhost_error_message(err), "control queue"));
    vhost_error_free(err);
    guest_down(&g);

    options.shadow_control_queue = true;
    guest_up_vdpa(&g, &options, 3, F_NET);
    guest_start(&g);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(set_mac(&g, i, 0), VIRTIO_NET_OK);
        frame_comes_back(&g, i);
        assert_int_equal(i % 2 ? vhost_log_stop(g.map, NULL)
                               : vhost_log_start(g.map, NULL),
                         0);
    }
    assert_int_equal(set_mac(&g, 10, 0), VIRTIO_NET_OK);
    frame_comes_back(&g, 10);
    guest_down(&g);
}

/* What is refused */

static void test_what_can_not_be_is_refused_in_words(void **state)
{
    struct vhost_vdpa_options options = at("/dev/vhost-vdpa-1", false);
    struct vhost_vdpa_options missing = at("/dev/vhost-vdpa-77", false);
    struct vhost_error *err = NULL;
    struct vhost_vdpa *second;
    struct vhost_virtqueue vq = { 0 };
    struct vhost_dev dev = { .vqs = &vq, .nvqs = 1, .vq_index_end = 1 };
    struct guest g;
    uint64_t used;

    (void)state;
    guest_up_vdpa(&g, &options, 1, F_VERSION_1);
    second = vhost_vdpa_new(&options, NULL);
    assert_int_equal(
        vhost_dev_init(&dev, second, VHOST_BACKEND_TYPE_VDPA, 0, &err), -EBUSY);
    assert_non_null(strstr(vhost_error_message(err), "vhost-vdpa-1"));
    vhost_error_free(err);
    err = NULL;
    vhost_vdpa_free(second);
    second = vhost_vdpa_new(&missing, NULL);
    assert_int_equal(
        vhost_dev_init(&dev, second, VHOST_BACKEND_TYPE_VDPA, 0, &err),
        -ENOENT);
    vhost_error_free(err);
    vhost_vdpa_free(second);

    /* A ring that is in no memory, and one that is not aligned. */
    used = g.queues[0].used;
    g.queues[0].used = GUEST_GPA + GUEST_SIZE;
    assert_int_equal(vhost_dev_start(&g.dev, &g.vdev, true), -ENOMEM);
    g.queues[0].used = used + 1;
    assert_int_equal(vhost_dev_start(&g.dev, &g.vdev, true), -EINVAL);
    g.queues[0].used = used;
    g.queues[0].size = 1024; /* the simulator has 256 */
    assert_true(vhost_dev_start(&g.dev, &g.vdev, true) < 0);
    g.queues[0].size = GUEST_RING;
    guest_start(&g);
    guest_down(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shadow_queues_come_and_go_under_load),
        cmocka_unit_test(test_a_stop_under_shadows_loses_nothing),
        cmocka_unit_test(test_a_pci_disk_has_shadows_all_the_time),
        cmocka_unit_test(test_a_suspended_disk_goes_on_where_it_stood),
        cmocka_unit_test(test_doorbells_of_a_pci_disk_are_pages),
        cmocka_unit_test(test_so_are_those_of_a_pci_network_device),
        cmocka_unit_test(test_the_simulator_has_no_such_pages),
        cmocka_unit_test(
            test_a_group_in_another_address_space_reaches_what_is_there),
        cmocka_unit_test(
            test_a_network_device_goes_over_with_its_control_queue),
        cmocka_unit_test(test_what_can_not_be_is_refused_in_words),
    };

    return cmocka_run_group_tests(tests, lock_all, NULL);
}
