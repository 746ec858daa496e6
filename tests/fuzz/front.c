/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole device against a back end that lies where the input says so; built
 * with RECONNECTS, one that dies now and then, and is followed by another.
 *
 * The library waits in poll(2) and looks at one clock; the linker puts ours in
 * their place.  So the back end works while the library waits, in the same
 * thread; where there is nothing to wait for, time passes at once; and a wait
 * without an end shows.
 */
#include <poll.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <time.h>

#include <vhost/postcopy.h>
#include <vhost/reconnect.h>
#include <vhost/vhost.h>

#include "fuzz/bytes.h"
#include "fuzz/peer.h"
#include "fuzz/wire.h"
#include "util/fd.h"
#include "wire/proto.h"

#define GPA UINT64_C(0x10000)
#define SIZE 0x4000u
#define QUEUES 2
#define BIT(n) (UINT64_C(1) << (n))
#define STEPS 40
#define POLLS 20000
#define WINDOW 0x10000u
#ifdef RECONNECTS
#define KINDS 24 /* of steps */
#else
#define KINDS 20
#endif

struct owner {
    struct bytes in;
    struct peer peer;
    struct vhost_dev dev;
    struct vhost_user *user;
    struct vhost_virtqueue vqs[QUEUES];
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[QUEUES];
    struct vhost_memory_map *map;
    struct vhost_objects *objects;
    struct vhost_inflight inflight;
    bool there[4]; /* sections */
    bool busy;     /* an operation is under way */
    bool cleaning; /* nothing may be called back into */
};

static struct {
    struct vhost_memory_section memory;
    void *window;
    int kick[QUEUES], call[QUEUES];
    int listener;
    struct sockaddr_un at;
} world;

static struct owner *now_running;
static int64_t clock_ns;
static unsigned n_polls;

int __real_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    int r;

    CLAIM(timeout >= 0 && now_running);
    CLAIM(++n_polls < POLLS);
    peer_turn(&now_running->peer);
    r = __real_poll(fds, n, 0);
    if (r == 0) {
        clock_ns += timeout * INT64_C(1000000);
    }
    return r;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    (void)id;
    t->tv_sec = clock_ns / 1000000000;
    t->tv_nsec = clock_ns % 1000000000;
    clock_ns += 1000;
    return 0;
}

/* Where back ends are found. */
static void make_listener(void)
{
    world.at.sun_family = AF_UNIX;
    snprintf(world.at.sun_path, sizeof(world.at.sun_path),
             "/tmp/vhost-fuzz-%d.sock", (int)getpid());
    unlink(world.at.sun_path);
    world.listener =
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CLAIM(world.listener >= 0);
    CLAIM(bind(world.listener, (struct sockaddr *)&world.at,
               sizeof(world.at)) == 0);
    CLAIM(listen(world.listener, 16) == 0);
}

static void make_world(void)
{
    CLAIM(vhost_memory_alloc(&world.memory, 4 * SIZE, 0, NULL) == 0);
    for (unsigned i = 0; i < QUEUES; i++) {
        struct vhost_notifier a, b;

        CLAIM(vhost_notifier_init(&a, false) == 0);
        CLAIM(vhost_notifier_init(&b, false) == 0);
        world.kick[i] = a.fd;
        world.call[i] = b.fd;
    }
    world.window =
        mmap(NULL, WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CLAIM(world.window != MAP_FAILED);
    make_listener();
}

static int on_translate(struct vhost_vdev *vdev, uint64_t iova, bool write,
                        struct vhost_iommu_entry *entry)
{
    uint64_t page = iova & ~UINT64_C(0xfff);

    (void)vdev;
    if (page < GPA || page >= GPA + 0x10000) {
        return page & 0x1000 ? -EFAULT : -EINPROGRESS;
    }
    entry->iova = page;
    entry->size = 0x1000;
    entry->gpa = page;
    entry->access = write ? VHOST_IOMMU_READ_WRITE : VHOST_IOMMU_READ;
    return 0;
}

static int on_host_notifier(struct vhost_vdev *vdev, unsigned queue, void *page,
                            size_t size)
{
    CLAIM(queue < vdev->nqueues && (!page || size > 0));
    return 0;
}

static void on_lost(struct vhost_vdev *vdev, const char *reason)
{
    (void)vdev;
    CLAIM(reason && reason[0]);
}

static void on_dirty(void *opaque, uint64_t gpa, uint64_t size)
{
    (void)opaque;
    CLAIM(gpa % VHOST_LOG_PAGE == 0 && size % VHOST_LOG_PAGE == 0 && size > 0);
}

static int on_config(struct vhost_dev *dev)
{
    uint8_t config[8];

    return vhost_dev_get_config(dev, config, sizeof(config), NULL);
}

static void on_done(struct vhost_dev *dev, int result, void *opaque)
{
    struct owner *o = opaque;

    CLAIM(o->busy && (result == 0 || vhost_dev_get_error(dev)));
    o->busy = false;
}

static const struct vhost_iommu_ops iommu_ops = { .translate = on_translate };
static const struct vhost_vdev_ops vdev_ops = {
    .lost = on_lost,
    .host_notifier = on_host_notifier,
};
static const VhostDevConfigOps config_ops = {
    .vhost_dev_config_notifier = on_config,
};

/* A section comes or goes. */
static void change_memory(struct owner *o, uint8_t which)
{
    struct vhost_memory_section s = world.memory;
    unsigned i = which % 4;

    s.gpa = GPA + i * 2 * SIZE;
    s.size = SIZE;
    s.hva = (uint8_t *)s.hva + i * SIZE;
    s.fd_offset = i * SIZE;
    vhost_memory_begin(o->map);
    CLAIM((o->there[i] ? vhost_memory_remove(o->map, s.gpa, s.size)
                       : vhost_memory_add(o->map, &s)) == 0);
    o->there[i] = !o->there[i];
    vhost_memory_commit(o->map, NULL);
}

static void move_state(struct owner *o, bool load)
{
    struct vhost_stream *stream;
    uint8_t state[64] = { 0 };
    struct vhost_error *error = NULL;
    int r;

    state[3] = take_u8(&o->in) % 40;
    stream =
        vhost_stream_new_memory(load ? state : NULL, load ? sizeof(state) : 0);
    CLAIM(stream);
    vhost_stream_set_limit(stream, 1 << 20);
    r = load ? vhost_load_backend_state(&o->dev, stream, &error)
             : vhost_save_backend_state(&o->dev, stream, &error);
    CLAIM((r < 0) == (error != NULL));
    vhost_error_free(error);
    vhost_stream_free(stream);
}

static void track_inflight(struct owner *o)
{
    if (o->dev.started || o->busy) {
        return;
    }
    vhost_dev_prepare_inflight(&o->dev, &o->vdev);
    if (!o->inflight.addr) {
        vhost_dev_get_inflight(&o->dev, 8, &o->inflight);
    }
    vhost_dev_set_inflight(&o->dev, &o->inflight);
}

static void postcopy(struct owner *o, uint8_t byte)
{
    int (*const calls[])(struct vhost_user *, struct vhost_error **) = {
        vhost_user_postcopy_advise,
        vhost_user_postcopy_listen,
        vhost_user_postcopy_end,
    };
    struct vhost_error *error = NULL;
    uint64_t gpa;

    CLAIM((calls[byte % 3](o->user, &error) < 0) == (error != NULL));
    if (vhost_user_postcopy_fd(o->user) >= 0) {
        vhost_user_postcopy_fault(o->user, &gpa);
    }
    vhost_error_free(error);
}

static void config(struct owner *o, uint8_t byte)
{
    uint8_t space[256] = { 0 };
    struct vhost_error *error = NULL;

    if (byte & 1) {
        vhost_dev_set_config(&o->dev, space, byte, byte >> 2, 0);
        return;
    }
    if (vhost_dev_get_config(&o->dev, space, (uint32_t)byte + 1, &error) < 0) {
        CLAIM(error);
    }
    vhost_error_free(error);
}

static void request(struct owner *o, uint8_t byte)
{
    uint8_t data[16] = { byte, 1, 2, 3, 4, 5 };
    int fd;

    switch (byte % 6) {
    case 0:
        vhost_dev_migration_done(&o->dev, data, NULL);
        break;
    case 1:
        vhost_dev_set_mtu(&o->dev, 1500, NULL);
        break;
    case 2:
        vhost_dev_get_status(&o->dev, data, NULL);
        break;
    case 3:
        vhost_dev_create_crypto_session(&o->dev, data, sizeof(data), NULL);
        break;
    case 4:
        vhost_dev_close_crypto_session(&o->dev, 7, NULL);
        break;
    default:
        fd = vhost_dev_get_shared_object(&o->dev, data, NULL);
        if (fd >= 0) {
            vh_fd_close(&fd);
        }
    }
}

static void start_or_stop(struct owner *o, bool async)
{
    int r;

    if (o->busy) {
        return;
    }
    if (async) {
        o->busy = true;
        r = o->dev.started
                ? vhost_dev_stop_async(&o->dev, &o->vdev, true, on_done, o)
                : vhost_dev_start_async(&o->dev, &o->vdev, true, on_done, o);
        if (r < 0) {
            o->busy = false;
        }
        return;
    }
    if (o->dev.started) {
        vhost_dev_stop(&o->dev, &o->vdev, true);
        return;
    }
    r = vhost_dev_start(&o->dev, &o->vdev, true);
    CLAIM(r == 0 ? o->dev.started : vhost_dev_get_error(&o->dev) != NULL);
}

static void shared_memory(struct owner *o, uint8_t byte)
{
    uint64_t size = vhost_dev_get_shmem_size(&o->dev, 0);

    if (size > 0 && size <= WINDOW) {
        vhost_dev_set_shmem_window(&o->dev, 0, byte & 1 ? world.window : NULL,
                                   NULL);
    }
}

/* What concerns more than the device itself. */
static void step_outside(struct owner *o, uint8_t op, uint8_t byte)
{
    switch (op) {
    case 4:
        vhost_log_start(o->map, NULL);
        break;
    case 5:
        vhost_log_stop(o->map, NULL);
        break;
    case 6:
        vhost_log_sync(o->map, on_dirty, NULL, NULL);
        break;
    case 7:
    case 8:
        change_memory(o, byte);
        break;
    case 14:
        vhost_iommu_invalidate(&o->vdev, GPA, byte * 0x1000u,
                               byte & 1 ? VHOST_IOMMU_UNMAP
                                        : VHOST_IOMMU_DEVICE_UNMAP);
        break;
    case 15:
        shared_memory(o, byte);
        break;
    case 16:
        clock_ns += byte * INT64_C(1000000000);
        break;
    case 17:
        postcopy(o, byte);
        break;
    default:
        break;
    }
}

/* What becomes of the back end: only where another one may come. */
static void step_of_back_end(struct owner *o, uint8_t op, uint8_t byte)
{
    switch (op) {
    case 20:
        peer_hang_up(&o->peer);
        break;
    case 21: /* it can't be found; or it can again */
        if (unlink(world.at.sun_path) < 0) {
            close(world.listener);
            make_listener();
            o->peer.listener = world.listener;
        }
        break;
    default:
        clock_ns += byte * INT64_C(1000000);
    }
}

static void step(struct owner *o)
{
    uint8_t op = take_u8(&o->in), byte = take_u8(&o->in);

    if (op % KINDS >= 20) {
        step_of_back_end(o, op % KINDS, byte);
    }
    switch (op % KINDS) {
    case 0:
    case 1:
        start_or_stop(o, false);
        break;
    case 2:
        start_or_stop(o, true);
        break;
    case 3:
        vhost_dev_cancel(&o->dev);
        break;
    case 9:
        vhost_virtqueue_mask(&o->dev, &o->vdev, byte % QUEUES, byte & 2);
        vhost_virtqueue_pending(&o->dev, byte % QUEUES);
        break;
    case 10:
        config(o, byte);
        break;
    case 11:
        move_state(o, byte & 1);
        break;
    case 12:
        track_inflight(o);
        break;
    case 13:
        request(o, byte);
        break;
    case 18:
        vhost_reset_device(&o->dev);
        break;
    case 19:
        peer_ask(&o->peer);
        break;
    default:
        step_outside(o, op % KINDS, byte);
    }
    peer_turn(&o->peer);
    vhost_dev_dispatch(&o->dev);
}

static void describe(struct owner *o, uint8_t how)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        uint64_t at = GPA + i * 0x1000;

        o->queues[i] = (struct vhost_vdev_queue){ .size = 8,
                                                  .desc = at,
                                                  .avail = at + 0x400,
                                                  .used = at + 0x800,
                                                  .kick_fd = world.kick[i],
                                                  .call_fd = world.call[i] };
    }
    o->vdev = (struct vhost_vdev){ .nqueues = QUEUES,
                                   .queues = o->queues,
                                   .ops = &vdev_ops,
                                   .iommu = how & 1 ? &iommu_ops : NULL };
    o->dev = (struct vhost_dev){
        .vqs = o->vqs, .nvqs = QUEUES, .map = o->map, .objects = o->objects
    };
    vhost_dev_set_config_notifier(&o->dev, &config_ops);
}

static void run(struct owner *o, int fd, uint8_t how)
{
    static const int bits[] = { 29, 32, 33, 34, VHOST_INVALID_FEATURE_BIT };
    const struct vhost_user_options options = {
        .extra = how & 2 ? UINT64_C(0xffffff) & ~VH_PF(XEN_MMAP) : 0,
        .host_addresses = how & 4,
        .path = fd < 0 ? world.at.sun_path : NULL,
    };
    const struct vhost_reconnect again = { .total_ms = how & 16 ? 3000 : 0 };
    struct vhost_error *error = NULL;

    o->user = fd >= 0 ? vhost_user_new_fd(fd, &options, NULL)
                      : vhost_user_new(&options, NULL);
    CLAIM(o->user);
    if (vhost_dev_init(&o->dev, o->user, VHOST_BACKEND_TYPE_USER, 0, &error) <
        0) {
        CLAIM(error && vhost_error_message(error)[0]);
        vhost_error_free(error);
        vhost_user_free(o->user);
        return;
    }
    if (fd < 0) {
        CLAIM(vhost_dev_set_reconnect(&o->dev, &again) == 0);
    }
    vhost_ack_features(&o->dev, bits, o->peer.features);
    for (int i = 0; i < STEPS && o->in.left > 0; i++) {
        step(o);
    }
    if (o->dev.started && !o->busy) {
        vhost_dev_stop(&o->dev, &o->vdev, true);
    }
    if (o->busy) {
        vhost_dev_cancel(&o->dev);
        for (int i = 0; i < 100 && o->busy; i++) {
            clock_ns += INT64_C(1000000000);
            vhost_dev_dispatch(&o->dev);
        }
        CLAIM(!o->busy);
    }
    if (o->dev.started) {
        vhost_dev_stop(&o->dev, &o->vdev, true);
    }
    vhost_dev_cleanup(&o->dev);
    vhost_user_free(o->user);
}

/* As it was: at its place, with nobody before it. */
static void end_listener(void)
{
    int fd;

    while ((fd = accept(world.listener, NULL, NULL)) >= 0) {
        close(fd);
    }
    if (access(world.at.sun_path, F_OK) < 0) {
        close(world.listener);
        make_listener();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct owner *o = calloc(1, sizeof(*o));
    int pair[2], before;
    uint8_t how;

    CLAIM(o);
    if (!world.window) {
        make_world();
    }
    before = wire_next_fd();
#ifdef RECONNECTS
    pair[0] = pair[1] = -1;
#else
    CLAIM(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
#endif
    o->in = (struct bytes){ data, size };
    o->inflight = (struct vhost_inflight)VHOST_INFLIGHT_INIT;
    o->map = vhost_memory_map_new();
    o->objects = vhost_objects_new();
    how = take_u8(&o->in);
    o->peer = (struct peer){ .in = &o->in,
                             .sock = pair[0],
                             .listener = pair[0] < 0 ? world.listener : -1,
                             .side = -1,
                             .state = -1 };
    o->peer.protocol = UINT64_C(0xffffff) & ~(uint64_t)take_u32(&o->in);
    o->peer.features = BIT(26) | BIT(29) | VH_F_PROTOCOL_FEATURES | BIT(32) |
                       (how & 1 ? BIT(33) : 0) | (how & 8 ? BIT(34) : 0);
    now_running = o;
    n_polls = 0;
    describe(o, how);
    change_memory(o, 0);
    change_memory(o, 1);
    run(o, pair[1], how);
    peer_hang_up(&o->peer);
    end_listener();
    now_running = NULL;
    vhost_dev_free_inflight(&o->inflight);
    vhost_memory_map_free(o->map);
    vhost_objects_free(o->objects);
    free(o);
    CLAIM(wire_next_fd() == before);
    return 0;
}
