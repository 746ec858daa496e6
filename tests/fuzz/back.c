/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The embedded back end against a front end that says what the input says.
 *
 * The input is a script.  Each step is a message that makes sense, then bent
 * in as many bytes as the script says; or bytes written to the guest's memory;
 * or a kick; or several honest messages that lead on to where it gets
 * interesting.  After each step the server does all that it can.
 *
 * Left out is postcopy: whoever touches a page that is to come waits for it,
 * and there is one thread here.
 */
#include <linux/vhost_types.h>
#include <linux/virtio_ids.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vhost/server.h>

#include "fuzz/bytes.h"
#include "fuzz/wire.h"
#include "ring/layout.h"
#include "util/fd.h"
#include "wire/codec.h"

#define GPA UINT64_C(0x10000)
#define USER UINT64_C(0x7000000000)
#define HALF UINT64_C(0x8000) /* a region; there are two */
#define SIZE (2 * HALF)
#define IOVA UINT64_C(0x7f00000000) /* of both, one after the other */
#define PAGE UINT64_C(0x1000)
#define RING UINT64_C(0x1000) /* what one queue takes of the first */
#define QUEUES 3
#define ENTRIES 8u
#define STEPS 120
#define BIT(n) (UINT64_C(1) << (n))

/* Made once; a child of the machine, not of the input. */
static struct {
    int memory, log, event[2 * QUEUES], null, disk;
    uint8_t *at;
    char disk_path[64];
} world;

struct front {
    struct bytes in;
    struct vhost_server *server;
    int sock;
    int side;     /* our end of the second channel, or -1 */
    int inflight; /* the last buffer that came, or -1 */
    struct vh_inflight_area area;
    int pipe[2]; /* of a state */
    bool packed, by_gpa, net, iommu;
    uint16_t next[QUEUES]; /* where the driver writes; bit 15: has wrapped */
};

static int sized_memfd(uint64_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    CLAIM(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    return fd;
}

static void make_world(void)
{
    world.memory = sized_memfd(SIZE);
    world.at =
        mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, world.memory, 0);
    CLAIM(world.at != MAP_FAILED);
    world.log = sized_memfd(0x1000);
    world.disk = sized_memfd(0x100000);
    snprintf(world.disk_path, sizeof(world.disk_path), "/proc/self/fd/%d",
             world.disk);
    world.null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (unsigned i = 0; i < 2 * QUEUES; i++) {
        world.event[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
}

static void learn(struct front *f, struct vh_msg *msg)
{
    if (msg->request == VH_GET_INFLIGHT_FD && msg->n_fds == 1) {
        vh_fd_close(&f->inflight);
        f->inflight = msg->fds[0];
        f->area = msg->payload.inflight;
        msg->n_fds = 0;
    }
    vh_msg_close_fds(msg);
}

/* What the front end calls a byte of memory. */
static uint64_t address(const struct front *f, uint64_t at)
{
    uint64_t half = at / HALF;

    return (f->by_gpa ? GPA + half * 2 * HALF : USER + half * 4 * HALF) +
           at % HALF;
}

/* Some pages; most are where one would think, and may be used. */
static void translation(const struct front *f, struct vh_iotlb *m, uint8_t byte)
{
    static const uint8_t perms[] = { VHOST_ACCESS_RW, VHOST_ACCESS_RW,
                                     VHOST_ACCESS_RO, VHOST_ACCESS_WO };
    uint64_t at = byte % 16 * PAGE;
    uint64_t to = byte & 0x40 ? SIZE - PAGE - at : at;

    *m = (struct vh_iotlb){ .iova = IOVA + at,
                            .size = PAGE,
                            .user_addr = address(f, to),
                            .perm = perms[byte >> 4 & 3],
                            .type = byte & 0x80 ? VHOST_IOTLB_INVALIDATE
                                                : VHOST_IOTLB_UPDATE };
}

static void translate(struct front *f, uint8_t byte)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_IOTLB_MSG);
    msg.size = sizeof(msg.payload.iotlb);
    translation(f, &msg.payload.iotlb, byte);
    wire_send_bent(f->sock, &msg, &f->in, 0);
}

/* The server does what it can; what it says is thrown away, but a question may
 * have an answer. */
static bool turn(struct front *f)
{
    struct pollfd pfd = { .fd = vhost_server_get_fd(f->server),
                          .events = POLLIN };
    struct vh_msg msg;
    int r = 0;

    for (int i = 0; i < 20 && r == 0 && poll(&pfd, 1, 0) > 0; i++) {
        r = vhost_server_dispatch(f->server, NULL);
    }
    while (wire_receive(f->sock, &msg)) {
        learn(f, &msg);
    }
    while (f->side >= 0 && wire_receive(f->side, &msg)) {
        uint8_t answer = take_u8(&f->in);

        if (msg.request == VH_BACK_IOTLB_MSG && !(answer & 2)) {
            uint64_t page = (msg.payload.iotlb.iova - IOVA) / PAGE % 16;

            translate(f, (uint8_t)(answer & 0x40 ? answer & 0x7f : page));
        }
        if (answer & 1) {
            msg.flags |= VH_MSG_F_REPLY;
            msg.size = 8;
            msg.payload.u64 = answer >> 3;
            wire_send_bent(f->side, &msg, &f->in, answer >> 1 & 3);
        }
        vh_msg_close_fds(&msg);
    }
    return r == 0;
}

static void table(struct vh_mem_region *region, unsigned i)
{
    *region = (struct vh_mem_region){ .gpa = GPA + i * 2 * HALF,
                                      .size = HALF,
                                      .user_addr = USER + i * 4 * HALF,
                                      .mmap_offset = i * HALF };
}

static void addresses(const struct front *f, struct vh_vring_addr *addr,
                      uint32_t i)
{
    uint64_t at = f->iommu ? IOVA + i * RING : address(f, i * RING);

    *addr = (struct vh_vring_addr){ .index = i,
                                    .flags = i & 1,
                                    .desc = at,
                                    .avail = at + 0x400,
                                    .used = at + 0x800,
                                    .log = GPA + i * RING + 0x800 };
}

static uint64_t features(const struct front *f, uint8_t bits)
{
    return BIT(32) | VH_F_PROTOCOL_FEATURES | BIT(VH_RING_F_INDIRECT_DESC) |
           (bits & 1 ? BIT(VH_RING_F_EVENT_IDX) : 0) |
           (bits & 2 ? BIT(VH_RING_F_IN_ORDER) : 0) | (bits & 4 ? BIT(26) : 0) |
           (f->net ? BIT(15) | BIT(16) | BIT(17) | BIT(22) : BIT(6) | BIT(9)) |
           (f->packed ? BIT(VH_RING_F_PACKED) : 0) |
           (f->iommu && !(bits & 8) ? BIT(33) : 0);
}

/* A state that might be loaded: the pipe holds it. */
static void state_fd(struct front *f, struct vh_msg *msg, uint8_t byte)
{
    struct {
        uint32_t magic;
        uint16_t version, type;
        uint32_t len;
        uint8_t body[64];
    } state = { htobe32(0x76686473),
                htobe16(1),
                htobe16(f->net ? VIRTIO_ID_NET : VIRTIO_ID_BLOCK),
                htobe32(byte & 63),
                { 0 } };
    bool load = byte >> 6 & 1;

    vh_fd_close(&f->pipe[0]);
    vh_fd_close(&f->pipe[1]);
    CLAIM(pipe2(f->pipe, O_CLOEXEC | O_NONBLOCK) == 0);
    take(&f->in, state.body, byte & 63);
    if (load) {
        CLAIM(write(f->pipe[1], &state, 12 + (byte & 63)) > 0);
        vh_fd_close(&f->pipe[1]);
    }
    msg->size = 8;
    msg->payload.device_state.direction = load;
    msg->n_fds = 1;
    msg->fds[0] = f->pipe[!load];
}

static void side_fd(struct front *f, struct vh_msg *msg)
{
    int pair[2];

    vh_fd_close(&f->side);
    CLAIM(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    f->side = pair[0];
    msg->n_fds = 1;
    msg->fds[0] = pair[1];
}

static void fill_memory(struct vh_msg *msg, uint8_t byte)
{
    if (msg->request == VH_SET_MEM_TABLE) {
        msg->payload.table.n = 2;
        msg->size = 8 + 2 * sizeof(struct vh_mem_region);
        msg->n_fds = 2;
        msg->fds[0] = msg->fds[1] = world.memory;
        table(&msg->payload.table.regions[0], 0);
        table(&msg->payload.table.regions[1], 1);
        return;
    }
    msg->size = sizeof(msg->payload.region);
    msg->n_fds = msg->request == VH_ADD_MEM_REG;
    msg->fds[0] = world.memory;
    table(&msg->payload.region.region, byte & 1);
}

static void fill_queue(struct front *f, struct vh_msg *msg, uint8_t byte)
{
    uint32_t i = byte % QUEUES;

    switch (msg->request) {
    case VH_SET_VRING_NUM:
        vh_msg_init_state(msg, msg->request, i, ENTRIES);
        break;
    case VH_SET_VRING_ADDR:
        msg->size = sizeof(msg->payload.addr);
        addresses(f, &msg->payload.addr, i);
        break;
    case VH_SET_VRING_BASE:
        vh_msg_init_state(msg, msg->request, i,
                          f->packed ? VH_PACKED_BASE_NEW : 0);
        f->next[i] = 0;
        break;
    case VH_SET_VRING_KICK:
        vh_msg_init_fd(msg, msg->request, i, world.event[i]);
        break;
    case VH_SET_VRING_CALL:
    case VH_SET_VRING_ERR:
        vh_msg_init_fd(msg, msg->request, i, world.event[QUEUES + i]);
        break;
    default: /* an index, or a number */
        msg->size = vh_msg_row(VH_FROM_FRONT, msg->request)
                        ? vh_msg_row(VH_FROM_FRONT, msg->request)->size_min
                        : 8;
        msg->payload.state.index = i;
        msg->payload.state.num = byte >> 7;
    }
}

/* The message that a front end would send in some situation. */
static void fill(struct front *f, struct vh_msg *msg, uint8_t byte)
{
    switch (msg->request) {
    case VH_SET_FEATURES:
        vh_msg_init_u64(msg, msg->request, features(f, byte));
        break;
    case VH_SET_PROTOCOL_FEATURES:
        vh_msg_init_u64(msg, msg->request,
                        UINT64_C(0xffffff) &
                            ~(f->by_gpa ? 0 : VH_PF(GPA_ADDRESSES)) &
                            ~(byte & 1 ? VH_PF(INBAND_NOTIFICATIONS) : 0));
        break;
    case VH_SET_MEM_TABLE:
    case VH_ADD_MEM_REG:
    case VH_REM_MEM_REG:
        fill_memory(msg, byte);
        break;
    case VH_SET_LOG_BASE:
        msg->size = sizeof(msg->payload.log);
        msg->payload.log.size = 0x1000;
        msg->n_fds = 1;
        msg->fds[0] = world.log;
        break;
    case VH_IOTLB_MSG:
        msg->size = sizeof(msg->payload.iotlb);
        translation(f, &msg->payload.iotlb, byte);
        break;
    case VH_SET_BACKEND_REQ_FD:
        side_fd(f, msg);
        break;
    case VH_GET_CONFIG:
    case VH_SET_CONFIG:
        msg->size = 12 + 8;
        msg->payload.config.offset = byte & 0x3c;
        msg->payload.config.size = 8;
        break;
    case VH_GET_INFLIGHT_FD:
        msg->size = sizeof(msg->payload.inflight);
        msg->payload.inflight.n_queues = QUEUES;
        msg->payload.inflight.queue_size = ENTRIES;
        break;
    case VH_SET_INFLIGHT_FD:
        msg->size = sizeof(msg->payload.inflight);
        msg->payload.inflight = f->area;
        msg->n_fds = f->inflight >= 0;
        msg->fds[0] = f->inflight;
        break;
    case VH_SET_DEVICE_STATE_FD:
        state_fd(f, msg, byte);
        break;
    default:
        fill_queue(f, msg, byte);
    }
}

static void say(struct front *f, uint32_t request, uint8_t byte, unsigned bends)
{
    struct vh_msg msg;

    vh_msg_init(&msg, request);
    fill(f, &msg, byte);
    if (byte & 0x80) {
        msg.flags |= VH_MSG_F_NEED_REPLY;
    }
    wire_send_bent(f->sock, &msg, &f->in, bends);
    if (request == VH_SET_BACKEND_REQ_FD) {
        vh_msg_close_fds(&msg); /* the other end of side */
    }
}

static void start_queue(struct front *f, uint8_t i)
{
    static const uint32_t requests[] = {
        VH_SET_VRING_NUM,  VH_SET_VRING_BASE, VH_SET_VRING_ADDR,
        VH_SET_VRING_CALL, VH_SET_VRING_KICK,
    };

    for (size_t k = 0; k < sizeof(requests) / sizeof(requests[0]); k++) {
        say(f, requests[k], i, 0);
    }
    say(f, VH_SET_VRING_ENABLE, (uint8_t)(0x80 | i), 0);
}

static void negotiate(struct front *f, uint8_t byte)
{
    say(f, VH_GET_FEATURES, 0, 0);
    say(f, VH_GET_PROTOCOL_FEATURES, 0, 0);
    say(f, VH_SET_PROTOCOL_FEATURES, byte, 0);
    say(f, VH_SET_OWNER, 0, 0);
    say(f, VH_SET_FEATURES, byte, 0);
    say(f, VH_SET_MEM_TABLE, byte, 0);
    if (f->iommu && byte & 0x10) {
        say(f, VH_SET_BACKEND_REQ_FD, 0, 0);
    }
}

/* One descriptor of a request, somewhere in memory. */
static void describe(struct front *f, uint32_t q, unsigned k, uint16_t flags)
{
    uint8_t where = take_u8(&f->in), len = take_u8(&f->in);
    uint64_t gpa = (f->iommu ? IOVA : GPA) + 0x3000 + where * 64u;
    uint16_t next = f->next[q];
    uint8_t *at = world.at + q * RING;

    if (f->packed) {
        uint16_t slot = next % ENTRIES;
        bool wrap = !(next / ENTRIES & 1);
        struct vh_packed_desc desc = {
            .addr = gpa,
            .len = k == 1 ? len * 16u : 16,
            .id = next % ENTRIES,
            .flags = (uint16_t)(flags |
                                (wrap ? VH_PACKED_F_AVAIL : VH_PACKED_F_USED)),
        };

        memcpy(at + slot * sizeof(desc), &desc, sizeof(desc));
        f->next[q] = (uint16_t)(next + 1);
    } else {
        struct vh_desc desc = { .addr = gpa,
                                .len = k == 1 ? len * 16u : 16,
                                .flags = flags,
                                .next = (uint16_t)(k + 1) };

        memcpy(at + k * sizeof(desc), &desc, sizeof(desc));
    }
    if (k == 0) { /* what a disk takes for a header */
        world.at[0x3000 + where * 64u] = len % 16;
    }
}

static void request(struct front *f, uint32_t q, uint8_t byte)
{
    struct vh_avail *avail = (struct vh_avail *)(world.at + q * RING + 0x400);

    describe(f, q, 0, VH_DESC_F_NEXT);
    describe(f, q, 1,
             (uint16_t)(VH_DESC_F_NEXT | (byte & 1 ? VH_DESC_F_WRITE : 0)));
    describe(f, q, 2, VH_DESC_F_WRITE);
    if (!f->packed) {
        avail->ring[avail->idx % ENTRIES] = 0;
        avail->idx++;
    }
    eventfd_write(world.event[q], 1);
}

static void step(struct front *f)
{
    uint8_t op = take_u8(&f->in), byte = take_u8(&f->in);
    uint16_t at;

    switch (op % 16) {
    case 0:
        negotiate(f, byte);
        break;
    case 1:
        start_queue(f, byte % QUEUES);
        break;
    case 2:
    case 3:
    case 4:
        request(f, op / 16 % QUEUES, byte);
        break;
    case 5:
    case 6:
        at = take_u16(&f->in);
        take(&f->in, world.at + at % (SIZE - 32), byte % 32);
        break;
    case 7:
        eventfd_write(world.event[byte % QUEUES], 1);
        break;
    case 9:
    case 10:
        if (f->iommu) {
            translate(f, byte);
            break;
        }
        say(f, byte % (VH_REQUEST_END + 2), take_u8(&f->in), op / 64);
        break;
    case 8:
        vhost_server_config_changed(f->server, NULL);
        break;
    default:
        say(f, byte % (VH_REQUEST_END + 2), take_u8(&f->in), op / 64);
    }
}

static struct vhost_server_device *make_device(uint8_t kind)
{
    static const struct vhost_server_blk_options blk = { .queues = QUEUES };

    switch (kind % 4) {
    case 0:
        return vhost_server_blk(world.disk_path, &blk);
    case 1:
        return vhost_server_net("loop:", NULL);
    default:
        return vhost_server_blk("null:1048576", &blk);
    }
}

static void run(struct front *f, int server_end, uint8_t kind)
{
    const struct vhost_server_options options = {
        .hide_protocol_features = VH_PF(PAGEFAULT),
        .offer_protocol_features = VH_PF(INBAND_NOTIFICATIONS),
        .offer_features = kind & 16 ? BIT(33) : 0,
    };

    f->net = kind % 4 == 1;
    f->packed = kind & 4;
    f->by_gpa = kind & 8;
    f->iommu = kind & 16;
    f->server =
        vhost_server_new_fd(server_end, make_device(kind), &options, NULL);
    CLAIM(f->server);
    for (int i = 0; i < STEPS && f->in.left > 0 && turn(f); i++) {
        step(f);
    }
    turn(f);
    vh_fd_close(&f->sock);
    vhost_server_dispatch(f->server, NULL);
    vhost_server_free(f->server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct front f = {
        .in = { data, size }, .side = -1, .inflight = -1, .pipe = { -1, -1 }
    };
    int pair[2], before;
    uint64_t n;

    if (!world.at) {
        make_world();
    }
    before = wire_next_fd();
    memset(world.at, 0, SIZE);
    CLAIM(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    f.sock = pair[0];
    run(&f, pair[1], take_u8(&f.in));
    vh_fd_close(&f.side);
    vh_fd_close(&f.inflight);
    vh_fd_close(&f.pipe[0]);
    vh_fd_close(&f.pipe[1]);
    for (unsigned i = 0; i < 2 * QUEUES; i++) {
        (void)!read(world.event[i], &n, sizeof(n));
    }
    CLAIM(wire_next_fd() == before);
    return 0;
}
