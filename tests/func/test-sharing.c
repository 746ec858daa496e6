/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a back end shares with its front end: pages of doorbell, memory, and
 * objects that go on to other devices.  The device here has nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#include <vhost/server.h>
#include <vhost/vhost.h>

#include "server/server.h"

#define GPA UINT64_C(0x100000)
#define SIZE 0x10000u
#define PAGE 4096u
#define N_QUEUES 2
#define WAIT_MS 5000
#define REGION 3 /* the shared memory region that there is */
#define REGION_PAGES 8
#define PENDING 1

/* The device */

struct device {
    struct vhost_server_device base;
    uint8_t uuid[VHOST_UUID_SIZE];
    int file; /* the object by that name; lent */
};

static int device_open(struct vhost_server_device *device,
                       struct vhost_error **errp)
{
    (void)device;
    (void)errp;
    return 0;
}

static void device_free(struct vhost_server_device *device)
{
    (void)device;
}

static void get_config(struct vhost_server_device *device, uint8_t *config,
                       uint32_t size)
{
    (void)device;
    memset(config, 0, size);
}

static int queue_start(struct vhost_server_device *device,
                       struct vh_squeue *queue)
{
    (void)device;
    (void)queue;
    return 0;
}

static const char *serve(struct vhost_server_device *device,
                         struct vh_squeue *queue, struct vh_chain *chain)
{
    (void)device;
    (void)queue;
    (void)chain;
    return "it takes none";
}

static bool submit(struct vhost_server_device *device)
{
    (void)device;
    return true;
}

static unsigned reap(struct vhost_server_device *device, bool wait)
{
    (void)device;
    (void)wait;
    return 0;
}

static bool arm(struct vhost_server_device *device)
{
    (void)device;
    return false;
}

static const struct vh_server_device_ops device_ops = {
    .open = device_open,
    .free = device_free,
    .get_config = get_config,
    .queue_start = queue_start,
    .serve = serve,
    .submit = submit,
    .reap = reap,
    .arm = arm,
};

static int device_object(struct vhost_server_device *base, const uint8_t *uuid)
{
    struct device *device = (struct device *)base;

    return memcmp(uuid, device->uuid, VHOST_UUID_SIZE) == 0 ? device->file : -1;
}

static uint64_t device_shmem_size(struct vhost_server_device *base, uint8_t id)
{
    (void)base;
    return id == REGION ? REGION_PAGES * PAGE : 0;
}

static const struct vh_server_share_ops share_ops = {
    .object = device_object,
    .shmem_size = device_shmem_size,
};

/* The rig: a device of either side, and a thread for the back end's */

struct told {
    unsigned n; /* how often */
    void *page; /* last */
    int result; /* of the next */
};

struct rig {
    struct device device;
    struct vhost_server *server;
    pthread_t thread;
    atomic_bool stop;
    const struct vh_msg *question; /* for the thread to ask */
    atomic_uint n_questions;
    atomic_int result; /* of it; PENDING: none yet */
    int fd;            /* that came with the answer; or -1 */

    struct vhost_user *user;
    struct vhost_dev dev;
    struct vhost_virtqueue vqs[N_QUEUES];
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[N_QUEUES];
    struct vhost_memory_map *map;
    struct vhost_memory_section memory;
    struct told told[N_QUEUES];
};

static int answered(void *arg, int result, struct vh_msg *reply,
                    struct vhost_error **errp)
{
    struct rig *rig = arg;

    (void)errp;
    if (reply && reply->n_fds == 1) {
        rig->fd = reply->fds[0];
        reply->n_fds = 0;
    }
    rig->result = result;
    return 0;
}

static void *run(void *arg)
{
    struct rig *rig = arg;
    unsigned n_asked = 0;

    while (!rig->stop) {
        vhost_server_run(rig->server, 1, NULL);
        if (n_asked != rig->n_questions) {
            int r = vh_server_ask(rig->server, rig->question, answered, rig);

            n_asked++;
            if (r < 0) {
                rig->result = r;
            }
        }
    }
    return NULL;
}

/* The back end asks, and the front end's loop turns.  Return: the answer. */
static int ask(struct rig *rig, const struct vh_msg *msg)
{
    struct pollfd pfd = { .fd = vhost_dev_get_fd(&rig->dev), .events = POLLIN };

    rig->fd = -1;
    rig->question = msg;
    rig->result = PENDING;
    rig->n_questions++;
    for (int i = 0; i < WAIT_MS && rig->result == PENDING; i++) {
        if (poll(&pfd, 1, 1) > 0 && vhost_dev_dispatch(&rig->dev) < 0) {
            fail_msg("%s", vhost_error_message(vhost_dev_get_error(&rig->dev)));
        }
    }
    assert_int_not_equal(rig->result, PENDING);
    return rig->result;
}

static int on_notifier(struct vhost_vdev *vdev, unsigned queue, void *page,
                       size_t size)
{
    struct rig *rig = vdev->opaque;
    struct told *told = &rig->told[queue];

    assert_int_equal(size, page ? PAGE : 0);
    told->n++;
    if (told->result == 0) {
        told->page = page;
    }
    return told->result;
}

static const struct vhost_vdev_ops vdev_ops = { .host_notifier = on_notifier };

static void front_up(struct rig *rig, int fd, struct vhost_objects *objects)
{
    static const int bits[] = { 32, VHOST_INVALID_FEATURE_BIT };
    struct vhost_user_options options = { .size = sizeof(options) };
    struct vhost_error *err = NULL;

    rig->map = vhost_memory_map_new();
    assert_int_equal(vhost_memory_alloc(&rig->memory, SIZE, 0, &err), 0);
    rig->memory.gpa = GPA;
    vhost_memory_begin(rig->map);
    assert_int_equal(vhost_memory_add(rig->map, &rig->memory), 0);
    assert_int_equal(vhost_memory_commit(rig->map, &err), 0);
    for (unsigned i = 0; i < N_QUEUES; i++) {
        uint64_t at = GPA + i * PAGE;

        rig->queues[i] = (struct vhost_vdev_queue){ .size = 8,
                                                    .desc = at,
                                                    .avail = at + 0x400,
                                                    .used = at + 0x800,
                                                    .kick_fd = -1,
                                                    .call_fd = -1 };
    }
    rig->vdev = (struct vhost_vdev){ .nqueues = N_QUEUES,
                                     .queues = rig->queues,
                                     .ops = &vdev_ops,
                                     .opaque = rig };
    rig->dev.vqs = rig->vqs;
    rig->dev.nvqs = N_QUEUES;
    rig->dev.map = rig->map;
    rig->dev.objects = objects;
    rig->user = vhost_user_new_fd(fd, &options, &err);
    assert_non_null(rig->user);
    if (vhost_dev_init(&rig->dev, rig->user, VHOST_BACKEND_TYPE_USER, 0, &err) <
        0) {
        fail_msg("%s", vhost_error_message(err));
    }
    vhost_ack_features(&rig->dev, bits, UINT64_MAX);
}

static void rig_up(struct rig *rig, struct vhost_objects *objects)
{
    int fds[2];

    memset(rig, 0, sizeof(*rig));
    rig->device.base = (struct vhost_server_device){
        .ops = &device_ops,
        .share = &share_ops,
        .protocol = VH_PF(BACKEND_SEND_FD) | VH_PF(HOST_NOTIFIER) |
                    VH_PF(SHARED_OBJECT) | VH_PF(SHMEM),
        .n_queues = N_QUEUES,
        .n_queues_told = N_QUEUES,
        .queue_size_max = 64,
        .event_fd = -1,
        .what = "a thing",
    };
    rig->device.file = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    rig->server = vhost_server_new_fd(fds[0], &rig->device.base, NULL, NULL);
    assert_non_null(rig->server);
    assert_int_equal(pthread_create(&rig->thread, NULL, run, rig), 0);
    front_up(rig, fds[1], objects);
}

static void rig_down(struct rig *rig)
{
    vhost_dev_cleanup(&rig->dev);
    vhost_user_free(rig->user);
    rig->stop = true;
    pthread_join(rig->thread, NULL);
    vhost_server_free(rig->server);
    vhost_memory_map_free(rig->map);
    vhost_memory_free(&rig->memory);
}

static void start(struct rig *rig)
{
    if (vhost_dev_start(&rig->dev, &rig->vdev, true) < 0) {
        fail_msg("%s", vhost_error_message(vhost_dev_get_error(&rig->dev)));
    }
}

static void stop(struct rig *rig)
{
    assert_int_equal(vhost_dev_stop(&rig->dev, &rig->vdev, true), 0);
}

/* A file of some pages, each of which says which it is. */
static int make_file(unsigned n_pages)
{
    int fd = memfd_create("pages", MFD_CLOEXEC);

    assert_return_code(fd, errno);
    assert_int_equal(ftruncate(fd, n_pages * PAGE), 0);
    for (unsigned i = 0; i < n_pages; i++) {
        char c = (char)('a' + i);

        assert_int_equal(pwrite(fd, &c, 1, i * PAGE), 1);
    }
    return fd;
}

/* May this byte be read, and written?  The kernel tries for us. */
static bool may_read(const void *at)
{
    int fds[2];
    bool may;

    assert_int_equal(pipe(fds), 0);
    may = write(fds[1], at, 1) == 1;
    close(fds[0]);
    close(fds[1]);
    return may;
}

static bool may_write(void *at)
{
    int fds[2];
    bool may;

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "w", 1), 1);
    may = read(fds[0], at, 1) == 1;
    close(fds[0]);
    close(fds[1]);
    return may;
}

/* Pages of doorbell */

static int give_page(struct rig *rig, unsigned queue, int fd, uint64_t offset,
                     uint64_t size)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_BACK_VRING_HOST_NOTIFIER_MSG);
    msg.size = sizeof(msg.payload.area);
    msg.payload.area = (struct vh_vring_area){
        .queue = queue | (fd < 0 ? VH_VRING_NOFD : 0),
        .size = size,
        .offset = offset,
    };
    if (fd >= 0) {
        msg.fds[0] = fd;
        msg.n_fds = 1;
    }
    return ask(rig, &msg);
}

static void
test_a_page_of_doorbell_is_the_owners_while_its_queue_runs(void **state)
{
    int fd = make_file(2);
    struct rig rig;
    char *page;

    (void)state;
    rig_up(&rig, NULL);
    assert_int_equal(give_page(&rig, 1, fd, PAGE, PAGE), 0);
    assert_int_equal(rig.told[1].n, 0); /* it does not run yet */
    for (unsigned round = 0; round < 2; round++) {
        start(&rig);
        assert_int_equal(rig.told[1].n, 2 * round + 1);
        page = rig.told[1].page;
        assert_non_null(page);
        assert_int_equal(page[0], 'b');
        page[8] = (char)('A' + round);
        assert_int_equal(pread(fd, &page[16], 1, PAGE + 8), 1);
        assert_int_equal(page[16], 'A' + round);
        stop(&rig);
        assert_int_equal(rig.told[1].n, 2 * round + 2);
        assert_null(rig.told[1].page);
        assert_true(may_read(page)); /* for the next time */
    }
    assert_int_equal(rig.told[0].n, 0);
    rig_down(&rig);
    assert_false(may_read(page));
    close(fd);
}

static void test_a_page_is_replaced_before_the_old_one_goes(void **state)
{
    int fd = make_file(2);
    struct rig rig;
    char *first, *second;

    (void)state;
    rig_up(&rig, NULL);
    start(&rig);
    assert_int_equal(give_page(&rig, 0, fd, 0, PAGE), 0);
    first = rig.told[0].page;
    assert_int_equal(first[0], 'a');
    assert_int_equal(give_page(&rig, 0, fd, PAGE, PAGE), 0);
    second = rig.told[0].page;
    assert_int_equal(second[0], 'b');
    assert_ptr_not_equal(first, second);
    assert_false(may_read(first));
    assert_int_equal(rig.told[0].n, 2);

    /* One that the owner does not want changes nothing. */
    rig.told[0].result = -EBUSY;
    assert_int_equal(give_page(&rig, 0, fd, 0, PAGE), -EREMOTEIO);
    assert_ptr_equal(rig.told[0].page, second);
    assert_true(may_read(second));
    rig.told[0].result = 0;

    assert_int_equal(give_page(&rig, 0, -1, 0, 0), 0);
    assert_null(rig.told[0].page);
    assert_false(may_read(second));
    stop(&rig);
    start(&rig);
    assert_null(rig.told[0].page);
    stop(&rig);
    rig_down(&rig);
    close(fd);
}

static void test_a_page_is_a_page_of_a_queue_that_is_there(void **state)
{
    int fd = make_file(4);
    struct rig rig;

    (void)state;
    rig_up(&rig, NULL);
    start(&rig);
    assert_int_equal(give_page(&rig, N_QUEUES, fd, 0, PAGE), -EREMOTEIO);
    assert_int_equal(give_page(&rig, 0, fd, 0, 2 * PAGE), -EREMOTEIO);
    assert_int_equal(give_page(&rig, 0, fd, 0, PAGE / 2), -EREMOTEIO);
    assert_int_equal(give_page(&rig, 0, fd, 0, 0), -EREMOTEIO);
    assert_int_equal(give_page(&rig, 0, fd, 12, PAGE), -EREMOTEIO);
    assert_int_equal(give_page(&rig, 0, fd, ~UINT64_C(0xfff), PAGE),
                     -EREMOTEIO);
    assert_int_equal(rig.told[0].n, 0);
    stop(&rig);
    rig_down(&rig);
    close(fd);
}

/* Shared memory */

static int shmem(struct rig *rig, uint32_t request, int fd, unsigned id,
                 struct vh_mmap what)
{
    struct vh_msg msg;

    vh_msg_init(&msg, request);
    msg.size = sizeof(msg.payload.mmap);
    msg.payload.mmap = what;
    msg.payload.mmap.shmid = (uint8_t)id;
    if (request == VH_BACK_SHMEM_MAP) {
        msg.fds[0] = fd;
        msg.n_fds = 1;
    }
    return ask(rig, &msg);
}

/* Of the file from page @from: @n pages to page @to of the region. */
static int map_pages(struct rig *rig, int fd, unsigned from, unsigned to,
                     unsigned n)
{
    return shmem(rig, VH_BACK_SHMEM_MAP, fd, REGION,
                 (struct vh_mmap){ .fd_offset = from * PAGE,
                                   .shm_offset = to * PAGE,
                                   .len = n * PAGE,
                                   .flags = 1 });
}

static int unmap_pages(struct rig *rig, unsigned at, unsigned n)
{
    return shmem(rig, VH_BACK_SHMEM_UNMAP, -1, REGION,
                 (struct vh_mmap){ .shm_offset = at * PAGE, .len = n * PAGE });
}

static char *open_window(struct rig *rig)
{
    struct vhost_error *err = NULL;
    char *base = mmap(NULL, REGION_PAGES * PAGE, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(base, MAP_FAILED);
    assert_int_equal(vhost_dev_set_shmem_window(&rig->dev, REGION, base, &err),
                     0);
    return base;
}

/* "..ab....": which page of the file is where; '.': inaccessible. */
static void assert_window(const char *base, const char *want)
{
    char have[REGION_PAGES + 1] = { 0 };

    for (unsigned i = 0; i < REGION_PAGES; i++) {
        have[i] = may_read(base + i * PAGE) ? base[i * PAGE] : '.';
    }
    assert_string_equal(have, want);
}

static void test_pieces_of_files_come_into_a_window(void **state)
{
    int fd = make_file(REGION_PAGES);
    struct rig rig;
    char *base;

    (void)state;
    rig_up(&rig, NULL);
    assert_true(vhost_dev_get_shmem_size(&rig.dev, REGION) ==
                REGION_PAGES * PAGE);
    assert_true(vhost_dev_get_shmem_size(&rig.dev, 0) == 0);
    assert_int_equal(map_pages(&rig, fd, 0, 0, 1), -EREMOTEIO);
    base = open_window(&rig);
    assert_window(base, "........");
    assert_int_equal(map_pages(&rig, fd, 0, 2, 2), 0);
    assert_window(base, "..ab....");
    assert_int_equal(map_pages(&rig, fd, 5, 7, 1), 0);
    assert_int_equal(map_pages(&rig, fd, 4, 4, 1), 0);
    assert_int_equal(map_pages(&rig, fd, 7, 0, 1), 0);
    assert_window(base, "h.abe..f");
    base[2 * PAGE] = 'X'; /* it is the file, no copy */
    assert_int_equal(pread(fd, base + PAGE * 2 + 1, 1, 0), 1);
    assert_int_equal(base[2 * PAGE + 1], 'X');

    assert_int_equal(unmap_pages(&rig, 2, 2), 0);
    assert_window(base, "h...e..f");
    assert_int_equal(unmap_pages(&rig, 2, 2), -EREMOTEIO);
    assert_int_equal(map_pages(&rig, fd, 1, 1, 3), 0);
    assert_window(base, "hbcde..f");
    rig_down(&rig);
    assert_window(base, "........");
    munmap(base, REGION_PAGES * PAGE);
    close(fd);
}

static void test_pieces_do_not_overlap_and_lie_inside(void **state)
{
    static const struct {
        unsigned from, at, n;
    } bad[] = {
        { 0, 2, 3 }, { 0, 1, 2 }, { 0, 4, 1 },        { 0, 3, 1 }, { 0, 0, 8 },
        { 0, 3, 3 }, { 0, 7, 2 }, { 0, 8, 1 },        { 0, 0, 0 }, { 0, 0, 9 },
        { 0, 9, 1 }, { 0, 1, 6 }, { 0, 1u << 19, 1 },
    };
    static const struct vh_mmap worse[] = {
        { .len = PAGE / 2 },
        { .len = PAGE + 1 },
        { .len = PAGE, .shm_offset = 1 },
        { .len = PAGE, .fd_offset = 1 },
        { .len = PAGE, .shm_offset = ~UINT64_C(0xfff) },
        { .len = ~UINT64_C(0xfff), .shm_offset = PAGE },
        { .len = PAGE, .fd_offset = ~UINT64_C(0xfff) },
        { .len = PAGE, .flags = 2 },
    };
    int fd = make_file(REGION_PAGES);
    struct rig rig;
    char *base;

    (void)state;
    rig_up(&rig, NULL);
    base = open_window(&rig);
    assert_int_equal(map_pages(&rig, fd, 0, 2, 3), 0);
    assert_window(base, "..abc...");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(map_pages(&rig, fd, bad[i].from, bad[i].at, bad[i].n),
                         -EREMOTEIO);
    }
    for (size_t i = 0; i < ARRAY_SIZE(worse); i++) {
        assert_int_equal(shmem(&rig, VH_BACK_SHMEM_MAP, fd, REGION, worse[i]),
                         -EREMOTEIO);
    }
    assert_int_equal(shmem(&rig, VH_BACK_SHMEM_MAP, fd, REGION - 1,
                           (struct vh_mmap){ .len = PAGE }),
                     -EREMOTEIO);
    assert_int_equal(unmap_pages(&rig, 2, 2), -EREMOTEIO);
    assert_int_equal(unmap_pages(&rig, 3, 2), -EREMOTEIO);
    assert_int_equal(unmap_pages(&rig, 2, 4), -EREMOTEIO);
    assert_int_equal(unmap_pages(&rig, 0, 8), -EREMOTEIO);
    assert_window(base, "..abc...");
    rig_down(&rig);
    munmap(base, REGION_PAGES * PAGE);
    close(fd);
}

static void test_what_is_to_be_read_only_is(void **state)
{
    int fd = make_file(2);
    struct rig rig;
    char *base;

    (void)state;
    rig_up(&rig, NULL);
    base = open_window(&rig);
    assert_int_equal(shmem(&rig, VH_BACK_SHMEM_MAP, fd, REGION,
                           (struct vh_mmap){ .len = PAGE }),
                     0);
    assert_int_equal(map_pages(&rig, fd, 1, 1, 1), 0);
    assert_window(base, "ab......");
    assert_false(may_write(base));
    assert_true(may_write(base + PAGE));
    rig_down(&rig);
    munmap(base, REGION_PAGES * PAGE);
    close(fd);
}

/*
 * Kernels differ in whether a mapping that fails has made a hole by then: for
 * a pipe it has not, for a file that is sealed it may have.
 */
static void test_what_can_not_be_mapped_leaves_no_hole(void **state)
{
    int sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct rig rig;
    int fds[2];
    char *base;

    (void)state;
    rig_up(&rig, NULL);
    base = open_window(&rig);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(ftruncate(sealed, 2 * PAGE), 0);
    assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
    assert_int_equal(map_pages(&rig, fds[0], 0, 2, 2), -EREMOTEIO);
    assert_int_equal(map_pages(&rig, sealed, 0, 4, 2), -EREMOTEIO);
    assert_window(base, "........");
    /* No hole: nothing else may come to lie there. */
    assert_int_equal(msync(base, REGION_PAGES * PAGE, MS_ASYNC), 0);
    close(fds[0]);
    close(fds[1]);
    close(sealed);
    rig_down(&rig);
    munmap(base, REGION_PAGES * PAGE);
}

static void test_a_reset_takes_everything_away(void **state)
{
    int fd = make_file(REGION_PAGES);
    struct rig rig;
    char *base;

    (void)state;
    rig_up(&rig, NULL);
    base = open_window(&rig);
    start(&rig);
    assert_int_equal(map_pages(&rig, fd, 0, 0, 2), 0);
    assert_int_equal(map_pages(&rig, fd, 2, 4, 2), 0);
    stop(&rig);
    assert_window(base, "ab..cd.."); /* stopped is not reset */
    assert_int_equal(vhost_reset_device(&rig.dev), 0);
    assert_window(base, "........");
    assert_int_equal(map_pages(&rig, fd, 1, 1, 4), 0);
    assert_window(base, ".bcde...");

    /* And so does another window. */
    assert_int_equal(vhost_dev_set_shmem_window(&rig.dev, REGION, NULL, NULL),
                     0);
    assert_window(base, "........");
    assert_int_equal(map_pages(&rig, fd, 1, 1, 4), -EREMOTEIO);
    rig_down(&rig);
    munmap(base, REGION_PAGES * PAGE);
    close(fd);
}

static void test_a_window_is_what_it_is_said_to_be(void **state)
{
    struct vhost_error *err = NULL;
    struct rig rig;

    (void)state;
    rig_up(&rig, NULL);
    assert_int_equal(vhost_dev_set_shmem_window(&rig.dev, 0, &rig, &err),
                     -ENOENT);
    assert_non_null(strstr(vhost_error_message(err), "no such region"));
    vhost_error_free(err);
    err = NULL;
    assert_int_equal(
        vhost_dev_set_shmem_window(&rig.dev, REGION, (char *)PAGE + 1, &err),
        -EINVAL);
    vhost_error_free(err);
    rig_down(&rig);
}

/* Objects */

static int object(struct rig *rig, uint32_t request, const uint8_t *uuid)
{
    struct vh_msg msg;

    vh_msg_init(&msg, request);
    msg.size = VHOST_UUID_SIZE;
    memcpy(msg.payload.uuid, uuid, VHOST_UUID_SIZE);
    return ask(rig, &msg);
}

static bool is_same(int a, int b)
{
    struct stat sa, sb;

    return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_ino == sb.st_ino;
}

/* Until the file of an object has come. */
static int await(struct rig *rig, struct vhost_objects *objects,
                 const uint8_t *uuid)
{
    struct pollfd pfd = { .fd = vhost_dev_get_fd(&rig->dev), .events = POLLIN };
    int fd;

    while ((fd = vhost_objects_lookup(objects, uuid)) == -EAGAIN) {
        assert_true(poll(&pfd, 1, WAIT_MS) > 0);
        assert_int_equal(vhost_dev_dispatch(&rig->dev), 0);
    }
    return fd;
}

static void test_an_object_of_one_device_is_found_by_another(void **state)
{
    static const uint8_t uuid[VHOST_UUID_SIZE] = { 9, 8, 7 };
    static const uint8_t other[VHOST_UUID_SIZE] = { 9, 8, 6 };
    struct vhost_objects *objects = vhost_objects_new();
    int file = make_file(1);
    struct rig gpu, video;
    int fd;

    (void)state;
    rig_up(&gpu, objects);
    rig_up(&video, objects);
    memcpy(gpu.device.uuid, uuid, VHOST_UUID_SIZE);
    gpu.device.file = file;
    assert_int_equal(object(&video, VH_BACK_SHARED_OBJECT_LOOKUP, uuid),
                     -EREMOTEIO);
    assert_int_equal(object(&gpu, VH_BACK_SHARED_OBJECT_ADD, uuid), 0);
    fd = await(&gpu, objects, uuid);
    assert_true(is_same(fd, file));
    close(fd);
    assert_int_equal(object(&video, VH_BACK_SHARED_OBJECT_LOOKUP, uuid), 0);
    assert_true(is_same(video.fd, file));
    close(video.fd);

    /* It is not the other's to remove, nor to have again. */
    assert_int_equal(object(&video, VH_BACK_SHARED_OBJECT_REMOVE, uuid),
                     -EREMOTEIO);
    assert_int_equal(object(&video, VH_BACK_SHARED_OBJECT_ADD, uuid),
                     -EREMOTEIO);
    assert_int_equal(vhost_objects_remove(objects, uuid), -EPERM);
    assert_int_equal(object(&gpu, VH_BACK_SHARED_OBJECT_REMOVE, other),
                     -EREMOTEIO);
    assert_int_equal(object(&video, VH_BACK_SHARED_OBJECT_LOOKUP, uuid), 0);
    close(video.fd);
    assert_int_equal(object(&gpu, VH_BACK_SHARED_OBJECT_REMOVE, uuid), 0);
    assert_int_equal(object(&video, VH_BACK_SHARED_OBJECT_LOOKUP, uuid),
                     -EREMOTEIO);

    /* What a back end has added goes with it. */
    assert_int_equal(object(&gpu, VH_BACK_SHARED_OBJECT_ADD, uuid), 0);
    close(await(&gpu, objects, uuid));
    rig_down(&gpu);
    assert_int_equal(vhost_objects_lookup(objects, uuid), -ENOENT);
    rig_down(&video);
    vhost_objects_free(objects);
    close(file);
}

static void test_the_program_shares_objects_too(void **state)
{
    static const uint8_t uuid[VHOST_UUID_SIZE] = { 1 };
    static const uint8_t owned[VHOST_UUID_SIZE] = { 2 };
    struct vhost_objects *objects = vhost_objects_new();
    struct vhost_error *err = NULL;
    int file = make_file(1);
    struct rig rig;
    int fd;

    (void)state;
    rig_up(&rig, objects);
    assert_int_equal(vhost_objects_add(objects, uuid, dup(file)), 0);
    assert_int_equal(vhost_objects_add(objects, uuid, dup(file)), -EEXIST);
    assert_int_equal(vhost_objects_add(objects, owned, -1), -EBADF);
    assert_int_equal(object(&rig, VH_BACK_SHARED_OBJECT_LOOKUP, uuid), 0);
    assert_true(is_same(rig.fd, file));
    close(rig.fd);
    assert_int_equal(object(&rig, VH_BACK_SHARED_OBJECT_REMOVE, uuid),
                     -EREMOTEIO);
    assert_int_equal(vhost_objects_remove(objects, uuid), 0);
    assert_int_equal(vhost_objects_remove(objects, uuid), -ENOENT);

    /* And may ask for one by itself, on the first channel. */
    memcpy(rig.device.uuid, owned, VHOST_UUID_SIZE);
    rig.device.file = file;
    fd = vhost_dev_get_shared_object(&rig.dev, owned, &err);
    assert_true(is_same(fd, file));
    close(fd);
    assert_int_equal(vhost_dev_get_shared_object(&rig.dev, uuid, &err),
                     -ENOENT);
    assert_non_null(strstr(vhost_error_message(err), "no such object"));
    vhost_error_free(err);
    rig_down(&rig);
    vhost_objects_free(objects);
    close(file);
}

static void test_a_back_end_can_not_take_all_fds(void **state)
{
    struct vhost_objects *objects = vhost_objects_new();
    struct rig rig;

    (void)state;
    rig_up(&rig, objects);
    for (unsigned i = 0; i <= 256; i++) {
        const uint8_t uuid[VHOST_UUID_SIZE] = { (uint8_t)i, (uint8_t)(i >> 8) };

        assert_int_equal(object(&rig, VH_BACK_SHARED_OBJECT_ADD, uuid),
                         i < 256 ? 0 : -EREMOTEIO);
    }
    rig_down(&rig);
    vhost_objects_free(objects);
}

static void test_without_a_table_nothing_is_shared(void **state)
{
    static const uint8_t uuid[VHOST_UUID_SIZE] = { 1 };
    struct vhost_error *err = NULL;
    struct rig rig;

    (void)state;
    rig_up(&rig, NULL);
    assert_int_equal(object(&rig, VH_BACK_SHARED_OBJECT_ADD, uuid), -ENOTSUP);
    assert_int_equal(vhost_dev_get_shared_object(&rig.dev, uuid, &err),
                     -ENOTSUP);
    vhost_error_free(err);
    rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_a_page_of_doorbell_is_the_owners_while_its_queue_runs),
        cmocka_unit_test(test_a_page_is_replaced_before_the_old_one_goes),
        cmocka_unit_test(test_a_page_is_a_page_of_a_queue_that_is_there),
        cmocka_unit_test(test_pieces_of_files_come_into_a_window),
        cmocka_unit_test(test_pieces_do_not_overlap_and_lie_inside),
        cmocka_unit_test(test_what_is_to_be_read_only_is),
        cmocka_unit_test(test_what_can_not_be_mapped_leaves_no_hole),
        cmocka_unit_test(test_a_reset_takes_everything_away),
        cmocka_unit_test(test_a_window_is_what_it_is_said_to_be),
        cmocka_unit_test(test_an_object_of_one_device_is_found_by_another),
        cmocka_unit_test(test_the_program_shares_objects_too),
        cmocka_unit_test(test_a_back_end_can_not_take_all_fds),
        cmocka_unit_test(test_without_a_table_nothing_is_shared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
