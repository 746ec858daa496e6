/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vDPA devices of a real kernel whose programs are killed or let go of them in
 * the middle, and what can't be had: each leaves a device that works.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "lab/vdpa-disk.h"

#define SIM "/dev/vhost-vdpa-1"
#define PCI "/dev/vhost-vdpa-3"

static const struct vhost_vdpa_options sim = { .size = sizeof(sim),
                                               .path = SIM };
static const struct vhost_vdpa_options pci = { .size = sizeof(pci),
                                               .path = PCI };

static void says(const struct vhost_error *err, int code, const char *words)
{
    assert_int_equal(vhost_error_code(err), code);
    if (!strstr(vhost_error_message(err), words)) {
        fail_msg("\"%s\" does not say \"%s\"", vhost_error_message(err), words);
    }
}

static void refuses_to_start(struct guest *g, int code, const char *words)
{
    assert_int_equal(vhost_dev_start(&g->dev, &g->vdev, true), code);
    says(vhost_dev_get_error(&g->dev), code, words);
}

static void test_a_stop_with_requests_in_flight_loses_none(void **state)
{
    bool seen[DISK_DEPTH] = { false };
    struct guest g;

    (void)state;
    guest_up_vdpa(&g, &sim, 1, F_VERSION_1);
    guest_start(&g);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < DISK_DEPTH; i++) {
            disk_write(&g, i, round);
        }
        guest_stop(&g);
        guest_start(&g);
        memset(seen, 0, sizeof(seen));
        for (unsigned i = 0; i < DISK_DEPTH; i++) {
            int done = disk_done(&g, 0);

            assert_true(done >= 0 && !seen[done]);
            seen[done] = true;
        }
        disk_is_all(&g, round);
    }
    /* The program lets go of it all with requests in flight. */
    for (unsigned i = 0; i < DISK_DEPTH; i++) {
        disk_write(&g, i, 77);
    }
    guest_down(&g);
    guest_up_vdpa(&g, &sim, 1, F_VERSION_1);
    guest_start(&g);
    disk_round_trip(&g, 78);
    guest_down(&g);
}

static void test_a_disk_on_the_pci_bus_begins_its_rings_anew(void **state)
{
    struct guest g;

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        guest_up_vdpa(&g, &pci, 1, F_VERSION_1);
        guest_start(&g);
        disk_round_trip(&g, round);
        for (unsigned i = 0; i < DISK_DEPTH; i++) {
            disk_write(&g, i, round);
        }
        guest_stop(&g); /* with those in flight */
        refuses_to_start(&g, -EOPNOTSUPP, "begins its rings anew only");
        guest_down(&g);
    }
}

#define ROUNDS 4u

/* Runs a guest in another process; ends it while it works, or at rest. */
static void is_killed(const struct vhost_vdpa_options *options,
                      unsigned n_queues,
                      void (*works)(struct guest *, unsigned), bool at_rest)
{
    int ready[2], status;
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        struct guest g;

        guest_up_vdpa(&g, options, n_queues, F_VERSION_1);
        guest_start(&g);
        for (unsigned round = 0;; round++) {
            works(&g, round);
            if (write(ready[1], "", 1) != 1) {
                _exit(1);
            }
            while (at_rest && round + 1 == ROUNDS) {
                pause();
            }
        }
    }
    close(ready[1]);
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert_int_equal(read(ready[0], &byte, 1), 1);
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    close(ready[0]);
}

static void is_left(const struct vhost_vdpa_options *options, unsigned n_queues,
                    void (*works)(struct guest *, unsigned), bool at_rest)
{
    struct guest g;

    is_killed(options, n_queues, works, at_rest);
    guest_up_vdpa(&g, options, n_queues, F_VERSION_1);
    guest_start(&g);
    works(&g, 9);
    guest_down(&g);
}

static void test_a_program_that_is_killed_leaves_the_disk(void **state)
{
    const struct vhost_vdpa_options vduse = { .size = sizeof(vduse),
                                              .path = getenv("VDUSE_DISK") };

    (void)state;
    assert_non_null(vduse.path); /* see test-vdpa.sh */
    is_left(&sim, 1, disk_round_trip, false);
    is_left(&pci, 1, disk_round_trip, false);
    /* Over a request whose memory goes qemu-storage-daemon may abort. */
    is_left(&vduse, 1, disk_round_trip, true);
}

/* To nobody: the simulator takes none up that finds no buffer. */
static void send_frames(struct guest *g, unsigned round)
{
    uint32_t len;

    for (unsigned i = 0; i < GUEST_BUFS; i++) {
        const struct vh_sg sg = { guest_addr(g, 1, i), 76 };
        char *frame = guest_buf(g, 1, i);

        memset(frame, 0, 12);
        memset(frame + 12, (int)round, 64);
        memcpy(frame + 12, "\x02\0\0\0\0\x77", 6);
        guest_give(g, 1, &sg, 1, 0, i + 1);
    }
    for (unsigned i = 0; i < GUEST_BUFS; i++) {
        assert_int_not_equal(guest_take(g, 1, &len, 0), 0);
    }
}

static void test_a_program_that_is_killed_leaves_the_network(void **state)
{
    const struct vhost_vdpa_options nets[] = {
        { .size = sizeof(nets[0]), .path = "/dev/vhost-vdpa-0" },
        { .size = sizeof(nets[0]), .path = "/dev/vhost-vdpa-2" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(nets); i++) {
        is_left(&nets[i], 2, send_frames, false);
    }
}

/* By a node that is given open. */
static void given(int fd, int code, const char *words)
{
    struct vhost_error *err = NULL;
    struct vhost_vdpa *vdpa = vhost_vdpa_new_fd(fd, NULL, &err);
    struct vhost_virtqueue vqs[1] = { { .num = 0 } };
    struct vhost_dev dev = { .vqs = vqs, .nvqs = 1 };

    assert_non_null(vdpa);
    assert_int_equal(
        vhost_dev_init(&dev, vdpa, VHOST_BACKEND_TYPE_VDPA, 0, &err), code);
    says(err, code, words);
    vhost_error_free(err);
    vhost_vdpa_free(vdpa);
}

static void refused(const char *path, int code, const char *words)
{
    const struct vhost_vdpa_options options = { .size = sizeof(options),
                                                .path = path };
    struct vhost_error *err = NULL;
    struct vhost_vdpa *vdpa = vhost_vdpa_new(&options, &err);
    struct vhost_virtqueue vqs[1] = { { .num = 0 } };
    struct vhost_dev dev = { .vqs = vqs, .nvqs = 1 };

    assert_int_equal(
        vhost_dev_init(&dev, vdpa, VHOST_BACKEND_TYPE_VDPA, 0, &err), code);
    says(err, code, words);
    vhost_error_free(err);
    vhost_vdpa_free(vdpa);
}

static void without_permission(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        assert_int_equal(setuid(65534), 0);
        refused(SIM, -EACCES, "read and write access");
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_a_device_that_can_t_be_had_says_why(void **state)
{
    struct guest g;
    int fd = open(SIM, O_RDWR | O_CLOEXEC);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ioctl(fd, _IO(0xAF, 0x01), NULL), 0); /* SET_OWNER */
    refused(SIM, -EBUSY, "another program has the device");
    given(fd, -EBUSY, "claimed already");
    refused("/dev/vhost-vdpa-77", -ENOENT, "vhost_vdpa");
    refused("/dev/vhost-net", -ENODEV, "not a vhost-vdpa node");
    given(open("/dev/null", O_RDWR | O_CLOEXEC), -ENODEV,
          "not a vhost-vdpa node");
    without_permission();
    /* and none of it has harmed the device */
    guest_up_vdpa(&g, &sim, 1, F_VERSION_1);
    guest_start(&g);
    disk_round_trip(&g, 1);
    guest_down(&g);
}

static void test_memory_out_of_reach_is_refused(void **state)
{
    struct vhost_memory_section far = { .gpa = 0 };
    struct guest g;

    (void)state;
    guest_up_vdpa(&g, &pci, 1, F_VERSION_1);
    assert_int_equal(vhost_memory_alloc(&far, 0x10000, 0, &g.err), 0);
    far.gpa = UINT64_C(1) << 40; /* the PCI bus has 39 bits */
    vhost_memory_begin(g.map);
    assert_int_equal(vhost_memory_add(g.map, &far), 0);
    assert_int_equal(vhost_memory_commit(g.map, &g.err), 0);
    refuses_to_start(&g, -ERANGE, "the device reaches 0 to 0x7fffffffff");
    vhost_memory_begin(g.map);
    assert_int_equal(vhost_memory_remove(g.map, far.gpa, 0x10000), 0);
    assert_int_equal(vhost_memory_commit(g.map, &g.err), 0);
    guest_start(&g);
    disk_round_trip(&g, 2);
    guest_down(&g);
    vhost_memory_free(&far);
}

/* It can't ask: what is told is all that it has. */
static void reaches_what_it_was_told(const struct vhost_vdpa_options *options)
{
    struct vhost_iommu_entry entry = { .size = GUEST_BUF,
                                       .access = VHOST_IOMMU_READ_WRITE };
    uint8_t want[DISK_DATA];
    struct guest g;
    uint8_t *there;
    uint32_t len;

    guest_up_vdpa(&g, options, 1, F_VERSION_1 | F_IOMMU);
    guest_start(&g);
    assert_true(vhost_dev_has_iommu(&g.dev));
    assert_int_equal(g.n_replays, 1);
    disk_round_trip(&g, 4);
    assert_int_equal(g.n_translated, 0);
    /* The guest gives one page another place, and back. */
    entry.iova = guest_addr(&g, 0, 0);
    entry.gpa = entry.iova - GUEST_IOVA + GUEST_GPA + GUEST_SIZE / 2;
    assert_int_equal(vhost_iommu_invalidate(&g.vdev, entry.iova, GUEST_BUF,
                                            VHOST_IOMMU_UNMAP),
                     0);
    assert_int_equal(vhost_iommu_map(&g.vdev, &entry), 0);
    there = (uint8_t *)g.ram.hva + (entry.gpa - GUEST_GPA);
    memcpy(there, guest_buf(&g, 0, 0), 64); /* the same request */
    disk_read(&g, 0);
    assert_int_equal(guest_take(&g, 0, &len, 0), 1);
    assert_int_equal(there[DISK_STATUS], 0);
    disk_fill(want, 0, 4);
    assert_memory_equal(there + GUEST_BUF - DISK_DATA, want, DISK_DATA);
    assert_int_equal(((uint8_t *)guest_buf(&g, 0, 0))[GUEST_BUF - 1], 0xee);
    assert_int_equal(vhost_iommu_replay(&g.vdev), 0);
    assert_int_equal(g.n_replays, 2);
    disk_round_trip(&g, 5);
    guest_down(&g);
}

static void test_behind_an_iommu_it_reaches_what_it_was_told(void **state)
{
    (void)state;
    reaches_what_it_was_told(&sim);
    reaches_what_it_was_told(&pci);
}

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n;
}

static unsigned fds_before;

static int note_fds(void **state)
{
    (void)state;
    fds_before = count_fds();
    return 0;
}

static int no_fd_is_left(void **state)
{
    (void)state;
    assert_int_equal(count_fds(), fds_before);
    return 0;
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, note_fds, no_fd_is_left)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_stop_with_requests_in_flight_loses_none),
        TEST(test_a_disk_on_the_pci_bus_begins_its_rings_anew),
        TEST(test_a_program_that_is_killed_leaves_the_disk),
        TEST(test_a_program_that_is_killed_leaves_the_network),
        TEST(test_a_device_that_can_t_be_had_says_why),
        TEST(test_memory_out_of_reach_is_refused),
        TEST(test_behind_an_iommu_it_reaches_what_it_was_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
