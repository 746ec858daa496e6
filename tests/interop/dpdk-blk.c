/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk on DPDK's librte_vhost, which tracks what is in flight as that library
 * has it: to be killed, and to finish what the one before it had taken.
 *
 *     dpdk-blk SOCKET IMAGE
 *
 * It holds on to what it takes, for a while, and finishes it in any order: so
 * that there is something in flight whenever it is killed.  It tells the
 * socket that it listens by a line, and at its end how much it has finished of
 * what others left.
 *
 * It trusts its front end: a test's.
 */
#include <endian.h>
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <linux/virtio_blk.h>

#include <rte_eal.h>
#include <rte_vhost.h>

#define PIECES 8
#define RING_MAX 1024
#define SECTOR 512
#define NAP_US 20

#define DESC_F_NEXT 1
#define PACKED_F_AVAIL (1u << 7)
#define PACKED_F_USED (1u << 15)
#define FEATURES (1ULL << 30 | 1ULL << 32 | 1ULL << 34)
#define F_PACKED 34
#define PROTOCOL_FEATURES (1ULL << 3 | 1ULL << 12)

/* A request that is in flight. */
struct held {
    uint16_t id;
    uint16_t entry; /* of a packed ring: its first in the in-flight buffer */
    uint16_t n;     /* pieces */
    struct iovec pieces[PIECES];
};

static struct disk {
    int vid;
    int image;
    bool packed;
    struct rte_vhost_memory *mem;
    struct rte_vhost_vring ring;
    struct rte_vhost_ring_inflight flight;
    uint16_t avail; /* of a packed ring: a place */
    uint16_t used;
    bool avail_wrap;
    bool used_wrap;
    struct held held[RING_MAX];
    unsigned n_held;
    unsigned seed;
    pthread_t thread;
    _Atomic bool stop;
} disk;

static void add_piece(struct held *held, uint64_t gpa, uint64_t len)
{
    uint64_t got = len;
    uint64_t hva = rte_vhost_va_from_guest_pa(disk.mem, gpa, &got);

    if (!hva || got != len || held->n == PIECES) {
        errx(1, "a piece of %llu bytes at %#llx", (unsigned long long)len,
             (unsigned long long)gpa);
    }
    held->pieces[held->n].iov_base = (void *)(uintptr_t)hva;
    held->pieces[held->n++].iov_len = len;
}

static void read_split(struct held *held, uint16_t head)
{
    const struct vring_desc *desc = &disk.ring.desc[head];

    *held = (struct held){ .id = head };
    add_piece(held, desc->addr, desc->len);
    while (desc->flags & DESC_F_NEXT) {
        desc = &disk.ring.desc[desc->next];
        add_piece(held, desc->addr, desc->len);
    }
}

static bool take_split(void)
{
    struct held *held = &disk.held[disk.n_held];
    uint16_t mask = (uint16_t)(disk.ring.size - 1);

    if (disk.avail ==
        __atomic_load_n(&disk.ring.avail->idx, __ATOMIC_ACQUIRE)) {
        return false;
    }
    read_split(held, disk.ring.avail->ring[disk.avail++ & mask]);
    rte_vhost_set_inflight_desc_split(disk.vid, 0, held->id);
    disk.n_held++;
    return true;
}

static bool is_available(uint16_t flags)
{
    return !!(flags & PACKED_F_AVAIL) == disk.avail_wrap &&
           !!(flags & PACKED_F_USED) != disk.avail_wrap;
}

static void step(uint16_t *at, bool *wrap, unsigned n)
{
    *at = (uint16_t)(*at + n);
    if (*at >= disk.ring.size) {
        *at = (uint16_t)(*at - disk.ring.size);
        *wrap = !*wrap;
    }
}

static bool take_packed(void)
{
    struct vring_packed_desc *desc = &disk.ring.desc_packed[disk.avail];
    struct held *held = &disk.held[disk.n_held];
    uint16_t first = disk.avail, last;

    if (!is_available(__atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE))) {
        return false;
    }
    *held = (struct held){ 0 };
    do {
        last = disk.avail;
        desc = &disk.ring.desc_packed[last];
        add_piece(held, desc->addr, desc->len);
        step(&disk.avail, &disk.avail_wrap, 1);
    } while (desc->flags & DESC_F_NEXT);
    held->id = desc->id;
    rte_vhost_set_inflight_desc_packed(disk.vid, 0, first, last, &held->entry);
    disk.n_held++;
    return true;
}

static void show_split(const struct held *held)
{
    struct vring_used_elem *elem =
        &disk.ring.used->ring[disk.used & (disk.ring.size - 1)];

    rte_vhost_set_last_inflight_io_split(disk.vid, 0, held->id);
    elem->id = held->id;
    elem->len = 1;
    __atomic_store_n(&disk.ring.used->idx, ++disk.used, __ATOMIC_RELEASE);
    rte_vhost_clr_inflight_desc_split(disk.vid, 0, disk.used, held->id);
}

static void show_packed(const struct held *held)
{
    struct vring_packed_desc *desc = &disk.ring.desc_packed[disk.used];

    rte_vhost_set_last_inflight_io_packed(disk.vid, 0, held->entry);
    desc->id = held->id;
    desc->len = 1;
    __atomic_store_n(
        &desc->flags,
        (uint16_t)(disk.used_wrap ? PACKED_F_AVAIL | PACKED_F_USED : 0),
        __ATOMIC_RELEASE);
    rte_vhost_clr_inflight_desc_packed(disk.vid, 0, held->entry);
    step(&disk.used, &disk.used_wrap, held->n);
}

static void finish_one(unsigned i)
{
    struct held held = disk.held[i];
    const struct virtio_blk_outhdr *header = held.pieces[0].iov_base;
    uint8_t *status = held.pieces[held.n - 1].iov_base;
    const struct iovec *iov = held.pieces + 1;
    off_t at = (off_t)le64toh(header->sector) * SECTOR;
    int n = held.n - 2;
    ssize_t r = le32toh(header->type) == VIRTIO_BLK_T_OUT
                    ? pwritev(disk.image, iov, n, at)
                    : preadv(disk.image, iov, n, at);

    *status = r < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
    disk.held[i] = disk.held[--disk.n_held];
    if (disk.packed) {
        show_packed(&held);
    } else {
        show_split(&held);
    }
    rte_vhost_vring_call(disk.vid, 0);
}

static void *work(void *arg)
{
    while (!atomic_load(&disk.stop) || disk.n_held > 0) {
        while (!atomic_load(&disk.stop) && disk.n_held < RING_MAX &&
               (disk.packed ? take_packed() : take_split())) {
        }
        if (disk.n_held > 0) {
            finish_one((unsigned)rand_r(&disk.seed) % disk.n_held);
        }
        usleep(NAP_US);
    }
    return arg;
}

/* What another has left, the oldest first; the library sorts it the other way
 * round. */
static void take_what_was_left(void)
{
    const struct rte_vhost_resubmit_info *left = disk.flight.resubmit_inflight;

    for (unsigned i = left ? left->resubmit_num : 0; i-- > 0;) {
        struct held *held = &disk.held[disk.n_held++];
        uint16_t entry = left->resubmit_list[i].index;

        if (disk.packed) {
            const struct rte_vhost_inflight_desc_packed *desc =
                disk.flight.inflight_packed->desc;
            uint16_t n = desc[entry].num;

            *held = (struct held){ .entry = entry };
            step(&disk.avail, &disk.avail_wrap, n);
            for (; n > 0; n--) {
                add_piece(held, desc[entry].addr, desc[entry].len);
                held->id = desc[entry].id;
                entry = desc[entry].next;
            }
        } else {
            read_split(held, entry);
        }
    }
    printf("%u were left\n", disk.n_held);
}

static int on_new(int vid)
{
    uint64_t features;
    uint16_t avail, used;

    disk.vid = vid;
    disk.n_held = 0;
    if (rte_vhost_get_negotiated_features(vid, &features) ||
        rte_vhost_get_mem_table(vid, &disk.mem) ||
        rte_vhost_get_vhost_vring(vid, 0, &disk.ring) ||
        rte_vhost_get_vhost_ring_inflight(vid, 0, &disk.flight)) {
        errx(1, "no device");
    }
    disk.packed = features >> F_PACKED & 1;
    if (disk.ring.size > RING_MAX || !disk.flight.inflight_split) {
        errx(1, "a ring of %u, in-flight buffer %p", disk.ring.size,
             (void *)disk.flight.inflight_split);
    }
    if (disk.packed
            ? rte_vhost_get_vring_base_from_inflight(vid, 0, &avail, &used)
            : rte_vhost_get_vring_base(vid, 0, &avail, &used)) {
        errx(1, "no base");
    }
    disk.avail = disk.packed ? avail & 0x7fff : avail;
    disk.avail_wrap = avail >> 15;
    disk.used = disk.packed ? used & 0x7fff : used;
    disk.used_wrap = used >> 15;
    take_what_was_left();
    atomic_store(&disk.stop, false);
    return pthread_create(&disk.thread, NULL, work, NULL) ? -1 : 0;
}

static void on_gone(int vid)
{
    atomic_store(&disk.stop, true);
    pthread_join(disk.thread, NULL);
    free(disk.mem);
    rte_vhost_set_vring_base(
        vid, 0, (uint16_t)(disk.avail | (disk.packed && disk.avail_wrap) << 15),
        (uint16_t)(disk.used | (disk.packed && disk.used_wrap) << 15));
}

static void start_eal(void)
{
    char *args[] = { "dpdk-blk",
                     "--lcores",
                     "0@0",
                     "--no-pci",
                     "--no-huge",
                     "-m",
                     "64",
                     "--no-telemetry",
                     "--no-shconf",
                     "--iova-mode=va",
                     "--log-level=lib.vhost:3",
                     NULL };

    if (rte_eal_init(sizeof(args) / sizeof(args[0]) - 1, args) < 0) {
        errx(1, "rte_eal_init");
    }
}

int main(int argc, char **argv)
{
    static const struct rte_vhost_device_ops ops = {
        .new_device = on_new,
        .destroy_device = on_gone,
    };

    if (argc != 3) {
        errx(2, "usage: dpdk-blk SOCKET IMAGE");
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    disk.image = open(argv[2], O_RDWR | O_CLOEXEC);
    if (disk.image < 0) {
        err(1, "%s", argv[2]);
    }
    disk.seed = (unsigned)getpid();
    start_eal();
    if (rte_vhost_driver_register(argv[1], 0) ||
        rte_vhost_driver_set_features(argv[1], FEATURES) ||
        rte_vhost_driver_set_protocol_features(argv[1], PROTOCOL_FEATURES) ||
        rte_vhost_driver_callback_register(argv[1], &ops) ||
        rte_vhost_driver_start(argv[1])) {
        errx(1, "%s: rte_vhost", argv[1]);
    }
    for (;;) {
        pause();
    }
}
