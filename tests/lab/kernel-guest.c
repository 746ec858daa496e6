/* SPDX-License-Identifier: BSD-3-Clause */
#include "lab/kernel-guest.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define RING_ROOM 0x4000u
#define BUFS_AT 0x40000u

static uint64_t base_of(const struct guest *guest)
{
    return guest->iommu ? GUEST_IOVA : GUEST_GPA;
}

static uint64_t buf_at(unsigned queue, unsigned i)
{
    return BUFS_AT + (queue * GUEST_BUFS + i) * GUEST_BUF;
}

void *guest_buf(struct guest *guest, unsigned queue, unsigned i)
{
    return (char *)guest->ram.hva + buf_at(queue, i);
}

uint64_t guest_addr(const struct guest *guest, unsigned queue, unsigned i)
{
    return base_of(guest) + buf_at(queue, i);
}

static int translate(struct vhost_vdev *vdev, uint64_t iova, bool write,
                     struct vhost_iommu_entry *entry)
{
    struct guest *guest = vdev->opaque;

    (void)write;
    if (iova < GUEST_IOVA || iova - GUEST_IOVA >= GUEST_SIZE) {
        return -EFAULT;
    }
    guest->n_translated++;
    *entry = (struct vhost_iommu_entry){
        .iova = iova & ~UINT64_C(0xfff),
        .size = 0x1000,
        .gpa = GUEST_GPA + ((iova - GUEST_IOVA) & ~UINT64_C(0xfff)),
        .access = VHOST_IOMMU_READ_WRITE,
    };
    return 0;
}

static void vring_error(struct vhost_vdev *vdev, unsigned queue)
{
    ((struct guest *)vdev->opaque)->n_errors[queue]++;
}

/* A part at a time, each of many pages. */
static int replay(struct vhost_vdev *vdev)
{
    struct vhost_iommu_entry entry = { .size = GUEST_SIZE / 8,
                                       .access = VHOST_IOMMU_READ_WRITE };
    int r = 0;

    for (uint64_t at = 0; r == 0 && at < GUEST_SIZE; at += entry.size) {
        entry.iova = GUEST_IOVA + at;
        entry.gpa = GUEST_GPA + at;
        r = vhost_iommu_map(vdev, &entry);
    }
    ((struct guest *)vdev->opaque)->n_replays++;
    return r;
}

static const struct vhost_iommu_ops iommu_ops = { .translate = translate,
                                                  .replay = replay };
static int host_notifier(struct vhost_vdev *vdev, unsigned queue, void *page,
                         size_t size)
{
    struct guest *guest = vdev->opaque;

    (void)size;
    guest->doorbells[queue] = page;
    return 0;
}

static const struct vhost_vdev_ops vdev_ops = {
    .vring_error = vring_error,
    .host_notifier = host_notifier,
};

static void memory_up(struct guest *guest)
{
    guest->map = vhost_memory_map_new();
    assert_non_null(guest->map);
    assert_int_equal(
        vhost_memory_alloc(&guest->ram, GUEST_SIZE, 0, &guest->err), 0);
    guest->ram.gpa = GUEST_GPA;
    vhost_memory_begin(guest->map);
    assert_int_equal(vhost_memory_add(guest->map, &guest->ram), 0);
    assert_int_equal(vhost_memory_commit(guest->map, &guest->err), 0);
}

static void ring_up(struct guest *guest, unsigned i)
{
    uint64_t at = i * RING_ROOM;
    char *ours = (char *)guest->ram.hva + at;
    const struct vh_ring_config config = { .size = GUEST_RING,
                                           .features = F_VERSION_1,
                                           .desc = ours,
                                           .driver = ours + 0x1000,
                                           .device = ours + 0x2000 };

    assert_int_equal(vh_ring_new(&guest->rings[i], &config), 0);
    assert_int_equal(vhost_notifier_init(&guest->kicks[i], false), 0);
    assert_int_equal(vhost_notifier_init(&guest->calls[i], false), 0);
    guest->queues[i] = (struct vhost_vdev_queue){
        .size = GUEST_RING,
        .desc = base_of(guest) + at,
        .avail = base_of(guest) + at + 0x1000,
        .used = base_of(guest) + at + 0x2000,
        .kick_fd = guest->kicks[i].fd,
        .call_fd = guest->calls[i].fd,
    };
}

static int take_up(struct guest *guest, void *opaque, VhostBackendType type)
{
    static const int bits[] = { 9,  15, 17, 22,
                                23, 32, 33, VHOST_INVALID_FEATURE_BIT };
    int r;

    assert_non_null(opaque);
    vhost_error_free(guest->err);
    guest->err = NULL;
    guest->dev = (struct vhost_dev){ .vqs = guest->vqs,
                                     .nvqs = guest->n_queues,
                                     .vq_index_end = (int)guest->n_queues,
                                     .map = guest->map };
    memset(guest->vqs, 0, sizeof(guest->vqs));
    r = vhost_dev_init(&guest->dev, opaque, type, 0, &guest->err);
    if (r == 0) {
        vhost_ack_features(&guest->dev, bits, guest->features);
    }
    return r;
}

int guest_take_up(struct guest *guest,
                  const struct vhost_kernel_options *options)
{
    guest->kernel = vhost_kernel_new(options, &guest->err);
    return take_up(guest, guest->kernel, VHOST_BACKEND_TYPE_KERNEL);
}

int guest_take_up_vdpa(struct guest *guest,
                       const struct vhost_vdpa_options *options)
{
    guest->vdpa = vhost_vdpa_new(options, &guest->err);
    return take_up(guest, guest->vdpa, VHOST_BACKEND_TYPE_VDPA);
}

static void without_device_up(struct guest *guest, unsigned n_queues,
                              uint64_t features)
{
    memset(guest, 0, sizeof(*guest));
    guest->n_queues = n_queues;
    guest->features = features;
    guest->iommu = features & F_IOMMU;
    memory_up(guest);
    for (unsigned i = 0; i < n_queues; i++) {
        ring_up(guest, i);
    }
    guest->vdev =
        (struct vhost_vdev){ .nqueues = n_queues,
                             .queues = guest->queues,
                             .ops = &vdev_ops,
                             .opaque = guest,
                             .iommu = guest->iommu ? &iommu_ops : NULL };
}

void guest_up(struct guest *guest, const struct vhost_kernel_options *options,
              unsigned n_queues, uint64_t features)
{
    without_device_up(guest, n_queues, features);
    if (guest_take_up(guest, options) < 0) {
        fail_msg("%s", vhost_error_message(guest->err));
    }
}

void guest_up_vdpa(struct guest *guest,
                   const struct vhost_vdpa_options *options, unsigned n_queues,
                   uint64_t features)
{
    without_device_up(guest, n_queues, features);
    if (guest_take_up_vdpa(guest, options) < 0) {
        fail_msg("%s", vhost_error_message(guest->err));
    }
}

void guest_start(struct guest *guest)
{
    if (vhost_dev_start(&guest->dev, &guest->vdev, true) < 0) {
        fail_msg("%s", vhost_error_message(vhost_dev_get_error(&guest->dev)));
    }
}

/* Without SUSPEND nobody tells where a ring stood, but the ring itself. */
static bool is_recovered(const struct guest *guest, int r)
{
    bool is = guest->vdpa && r == -ENOTSUP;

    for (unsigned i = 0; i < guest->n_queues; i++) {
        is &= guest->queues[i].base_source == VHOST_BASE_RECOVERED;
    }
    return is;
}

void guest_stop(struct guest *guest)
{
    int r = vhost_dev_stop(&guest->dev, &guest->vdev, true);

    if (r < 0 && !is_recovered(guest, r)) {
        fail_msg("%s", vhost_error_message(vhost_dev_get_error(&guest->dev)));
    }
}

void guest_down(struct guest *guest)
{
    if (vhost_dev_is_started(&guest->dev)) {
        guest_stop(guest);
    }
    vhost_dev_cleanup(&guest->dev);
    vhost_kernel_free(guest->kernel);
    vhost_vdpa_free(guest->vdpa);
    for (unsigned i = 0; i < guest->n_queues; i++) {
        vh_ring_free(guest->rings[i]);
        vhost_notifier_cleanup(&guest->kicks[i]);
        vhost_notifier_cleanup(&guest->calls[i]);
    }
    vhost_memory_map_free(guest->map);
    vhost_memory_free(&guest->ram);
    vhost_error_free(guest->err);
}

void guest_give(struct guest *guest, unsigned queue, const struct vh_sg *sg,
                unsigned n_out, unsigned n_in, uintptr_t cookie)
{
    assert_int_equal(
        vh_ring_add(guest->rings[queue], sg, n_out, n_in, (void *)cookie), 0);
    if (!vh_ring_publish(guest->rings[queue])) {
        return;
    }
    if (guest->rings_doorbells) {
        *guest->doorbells[queue] = (uint16_t)queue;
    } else {
        vhost_notifier_set(&guest->kicks[queue]);
    }
}

uintptr_t guest_take(struct guest *guest, unsigned queue, uint32_t *len,
                     unsigned seconds)
{
    time_t until = time(NULL) + (seconds ? seconds : GUEST_WAIT_S);
    struct vh_ring_used used;
    int n;

    while ((n = vh_ring_take(guest->rings[queue], &used, 1)) == 0 &&
           time(NULL) <= until) {
        struct pollfd fds[] = {
            { .fd = guest->calls[queue].fd, .events = POLLIN },
            { .fd = vhost_dev_get_fd(&guest->dev), .events = POLLIN },
        };

        if (vh_ring_enable_call(guest->rings[queue])) {
            continue;
        }
        poll(fds, 2, 100);
        vhost_notifier_test_and_clear(&guest->calls[queue]);
        assert_int_equal(vhost_dev_dispatch(&guest->dev), 0);
    }
    assert_true(n >= 0);
    *len = n > 0 ? used.len : 0;
    return n > 0 ? (uintptr_t)used.cookie : 0;
}

static void work_until_killed(int fd,
                              void (*begins)(struct guest *, const void *),
                              void (*works)(struct guest *, unsigned),
                              const void *arg)
{
    struct guest guest;

    begins(&guest, arg);
    for (unsigned round = 0;; round++) {
        works(&guest, round);
        if (write(fd, "", 1) != 1) {
            _exit(1);
        }
    }
}

void guest_is_killed(void (*begins)(struct guest *guest, const void *arg),
                     void (*works)(struct guest *guest, unsigned round),
                     const void *arg)
{
    int ready[2], status;
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        work_until_killed(ready[1], begins, works, arg);
    }
    close(ready[1]);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(read(ready[0], &byte, 1), 1);
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    close(ready[0]);
}

void guest_without_rights(void (*does)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        assert_int_equal(setuid(65534), 0);
        does();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}
