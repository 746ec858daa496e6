/* SPDX-License-Identifier: BSD-3-Clause */
/* A queue of the block driver, against a device side driven by hand. */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/virtio_blk.h>

#include "check.h"
#include "driver/blk.h"
#include "ring/devring.h"

#define BIT(n) (UINT64_C(1) << (n))
#define USUAL_FEATURES                                                   \
    (BIT(32) | BIT(VH_RING_F_INDIRECT_DESC) | BIT(VH_RING_F_EVENT_IDX) | \
     BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_DISCARD) |               \
     BIT(VIRTIO_BLK_F_WRITE_ZEROES))
#define SIZE 16u
#define BUF_LEN (1u << 20)
#define PAGE 4096u

struct rig {
    struct vhost_blk disk;
    struct vh_virtq vq;
    struct vhost_blk_queue q;
    struct vh_devring *device;
    int control[2];
    char *buf;
    /* What the device saw last. */
    uint32_t type;
    uint64_t sector;
    uint64_t data_len;
    unsigned n_data;
    unsigned char range[16];
    int status; /* that it gives; -1: leaves it alone */
    struct vh_chain chain;
    struct iovec iov[64];
};

static void *to_host(void *arg, uint64_t gpa, uint64_t want, uint64_t *len)
{
    *len = want;
    return vhost_memory_translate(arg, gpa, want);
}

static const struct vh_blk_limits usual_limits = {
    .capacity = UINT64_C(1) << 40,
    .block_size = 512,
    .max_segments = 6,
    .max_segment_size = 65536,
    .max_discard = 1 << 20,
    .discard_alignment = 4096,
    .max_zeroes = 1 << 20,
    .zeroes_may_unmap = true,
    .queues = 1,
};

static struct rig *rig_new(uint64_t features,
                           const struct vh_blk_limits *limits)
{
    struct rig *rig = aligned_alloc(64, (sizeof(*rig) + 63) / 64 * 64);
    struct vh_device *device;
    uint16_t table = features & BIT(VH_RING_F_INDIRECT_DESC) ? 12 : 0;

    assert_non_null(rig);
    memset(rig, 0, sizeof(*rig));
    device = &rig->disk.device;
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, rig->control), 0);
    device->control_fd = rig->control[0];
    device->features = features;
    device->spec.queue_size = SIZE;
    device->map = vhost_memory_map_new();
    device->pool = vh_pool_new(device->map, 4 * BUF_LEN, false);
    rig->disk.limits = *limits;
    rig->disk.capacity = limits->capacity;
    rig->vq.kick.fd = rig->vq.call.fd = -1;
    assert_int_equal(vh_virtq_open(&rig->vq, device, 0, table), 0);
    assert_int_equal(vh_blk_queue_open(&rig->q, &rig->disk, &rig->vq), 0);
    assert_int_equal(
        vh_devring_new(&rig->device,
                       &(struct vh_devring_config){
                           .size = SIZE,
                           .features = features,
                           .desc = vhost_memory_translate(
                               device->map, rig->vq.desc_gpa, 16 * SIZE),
                           .driver = vhost_memory_translate(
                               device->map, rig->vq.driver_gpa, 2 * SIZE),
                           .device = vhost_memory_translate(
                               device->map, rig->vq.device_gpa, 8 * SIZE),
                           .translate = to_host,
                           .translate_arg = device->map }),
        0);
    rig->buf = vh_pool_alloc(device->pool, BUF_LEN, PAGE);
    assert_non_null(rig->buf);
    rig->chain.iov = rig->iov;
    rig->chain.iov_max = ARRAY_SIZE(rig->iov);
    return rig;
}

static void rig_free(struct rig *rig)
{
    vh_devring_free(rig->device);
    vh_virtq_close(&rig->vq, &rig->disk.device);
    vh_blk_queue_close(&rig->q);
    vhost_memory_map_free(rig->disk.device.map);
    vh_pool_free(rig->disk.device.pool);
    close(rig->control[0]);
    close(rig->control[1]);
    free(rig);
}

/* Takes one request, and notes what it is. */
static bool pop(struct rig *rig)
{
    const struct virtio_blk_outhdr *header;
    int r = vh_devring_pop(rig->device, &rig->chain);

    assert_true(r >= 0);
    if (r == 0) {
        return false;
    }
    assert_true(rig->chain.n_out >= 1 && rig->chain.n_in >= 1);
    assert_int_equal(rig->iov[0].iov_len, 16);
    header = rig->iov[0].iov_base;
    rig->type = le32toh(header->type);
    rig->sector = le64toh(header->sector);
    rig->n_data = rig->chain.n_out + rig->chain.n_in - 2u;
    rig->data_len = (uint64_t)rig->chain.out_len + rig->chain.in_len - 17;
    if (rig->type == VIRTIO_BLK_T_DISCARD ||
        rig->type == VIRTIO_BLK_T_WRITE_ZEROES) {
        assert_int_equal(rig->iov[1].iov_len, 16);
        memcpy(rig->range, rig->iov[1].iov_base, 16);
    }
    return true;
}

/* Completes the request that was popped last. */
static void push(struct rig *rig)
{
    const struct iovec *last =
        &rig->iov[rig->chain.n_out + rig->chain.n_in - 1];

    assert_int_equal(last->iov_len, 1);
    if (rig->status >= 0) {
        *(uint8_t *)last->iov_base = (uint8_t)rig->status;
    }
    vh_devring_push(rig->device, rig->chain.id, rig->chain.in_len);
}

static unsigned serve(struct rig *rig)
{
    unsigned n = 0;

    for (; pop(rig); n++) {
        push(rig);
    }
    vh_devring_publish(rig->device);
    return n;
}

/* Submits, serves, and gives the one completion that must come of it. */
static int run(struct rig *rig, unsigned parts, void *cookie)
{
    struct vhost_completion done[2];

    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    assert_int_equal(serve(rig), parts);
    assert_int_equal(vhost_blk_poll(&rig->q, done, 2), 1);
    assert_ptr_equal(done[0].cookie, cookie);
    assert_int_equal(rig->q.n_inflight, 0);
    assert_int_equal(rig->q.n_free, SIZE);
    return done[0].result;
}

static void test_a_read_is_header_data_status(void **state)
{
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);

    (void)state;
    assert_int_equal(vhost_blk_read(&rig->q, 8192, rig->buf, 4096, rig), 0);
    assert_false(pop(rig)); /* nothing moves before submit */
    assert_int_equal(run(rig, 1, rig), 0);
    assert_int_equal(rig->type, VIRTIO_BLK_T_IN);
    assert_int_equal(rig->sector, 16);
    assert_int_equal(rig->chain.n_out, 1);
    assert_int_equal(rig->chain.n_in, 2);
    assert_ptr_equal(rig->iov[1].iov_base, rig->buf);
    assert_int_equal(rig->data_len, 4096);

    assert_int_equal(vhost_blk_write(&rig->q, 0, rig->buf, 512, NULL), 0);
    assert_int_equal(run(rig, 1, NULL), 0);
    assert_int_equal(rig->type, VIRTIO_BLK_T_OUT);
    assert_int_equal(rig->chain.n_out, 2);
    rig_free(rig);
}

static void test_status_bytes_become_results(void **state)
{
    static const struct {
        int status;
        int result;
    } rows[] = { { 0, 0 },        { -1, -EPROTO }, { 1, -EIO },
                 { 2, -ENOTSUP }, { 3, -EPROTO },  { 255, -EPROTO } };
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        rig->status = rows[i].status;
        assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, rig), 0);
        assert_int_equal(run(rig, 1, rig), rows[i].result);
    }
    rig_free(rig);
}

/* There are back ends that count the data alone. */
static void test_the_status_counts_and_not_the_length(void **state)
{
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);
    struct vhost_completion done;

    (void)state;
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, rig), 0);
    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    assert_true(pop(rig));
    *(uint8_t *)rig->iov[2].iov_base = 0;
    vh_devring_push(rig->device, rig->chain.id, 0);
    vh_devring_publish(rig->device);
    assert_int_equal(vhost_blk_poll(&rig->q, &done, 1), 1);
    assert_int_equal(done.result, 0);
    rig_free(rig);
}

static void test_requests_that_can_not_be_are_refused(void **state)
{
    struct vh_blk_limits limits = usual_limits;
    struct rig *rig;
    uint64_t end = limits.capacity;

    (void)state;
    limits.block_size = 4096;
    rig = rig_new(USUAL_FEATURES, &limits);
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 0, rig), -EINVAL);
    assert_int_equal(vhost_blk_read(&rig->q, 512, rig->buf, 4096, rig),
                     -EINVAL);
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, rig), -EINVAL);
    assert_int_equal(vhost_blk_read(&rig->q, end, rig->buf, 4096, rig),
                     -ERANGE);
    assert_int_equal(vhost_blk_read(&rig->q, end - 4096, rig->buf, 8192, rig),
                     -ERANGE);
    assert_int_equal(
        vhost_blk_read(&rig->q, UINT64_MAX - 4095, rig->buf, 4096, rig),
        -ERANGE);
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig, 4096, rig), -EFAULT);
    assert_int_equal(vhost_blk_get_id(&rig->q, (char *)rig, rig), -EFAULT);
    assert_int_equal(vhost_blk_discard(&rig->q, 0, 0, rig), -EINVAL);
    assert_int_equal(vhost_blk_discard(&rig->q, end, 4096, rig), -ERANGE);
    rig->disk.capacity = 0;
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 4096, rig), -ERANGE);
    assert_int_equal(rig->q.n_free, SIZE);
    rig->q.writable = false;
    assert_int_equal(vhost_blk_write(&rig->q, 0, rig->buf, 4096, rig), -EROFS);
    assert_int_equal(vhost_blk_writev(&rig->q, 0, NULL, 0, rig), -EROFS);
    assert_int_equal(vhost_blk_discard(&rig->q, 0, 4096, rig), -EROFS);
    assert_int_equal(vhost_blk_write_zeroes(&rig->q, 0, 4096, true, rig),
                     -EROFS);
    rig_free(rig);
}

static void test_what_is_not_negotiated_is_not_sent(void **state)
{
    struct rig *rig = rig_new(BIT(32), &usual_limits);
    struct vhost_completion done;

    (void)state;
    assert_int_equal(vhost_blk_discard(&rig->q, 0, 512, rig), -ENOTSUP);
    assert_int_equal(vhost_blk_write_zeroes(&rig->q, 0, 512, false, rig),
                     -ENOTSUP);
    assert_int_equal(vhost_blk_flush(&rig->q, rig), 0);
    assert_int_equal(vhost_blk_poll(&rig->q, &done, 1), 0);
    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    assert_false(pop(rig));
    assert_int_equal(vhost_blk_wait(&rig->q, &done, 1, 1, 0), 1);
    assert_ptr_equal(done.cookie, rig);
    assert_int_equal(done.result, 0);
    assert_int_equal(rig->q.n_free, SIZE);
    rig_free(rig);
}

static void test_a_large_buffer_is_cut_into_segments_then_parts(void **state)
{
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);
    struct vhost_completion done;
    uint64_t at = 100;

    (void)state;
    /* 64 KiB a segment, 6 segments a request */
    assert_int_equal(vhost_blk_read(&rig->q, 100 * 512, rig->buf, BUF_LEN, rig),
                     0);
    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(pop(rig));
        assert_int_equal(rig->sector, at);
        assert_int_equal(rig->n_data, i < 2 ? 6 : 4);
        at += rig->data_len / 512;
        push(rig);
        vh_devring_publish(rig->device);
        assert_int_equal(vhost_blk_poll(&rig->q, &done, 1), i == 2);
    }
    assert_int_equal(at, 100 + BUF_LEN / 512);
    assert_ptr_equal(done.cookie, rig);
    assert_int_equal(rig->q.n_free, SIZE);
    rig_free(rig);
}

static void test_the_first_failure_of_a_part_is_the_result(void **state)
{
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);
    struct vhost_completion done[3];

    (void)state;
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, BUF_LEN, rig), 0);
    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(pop(rig));
        rig->status = (int)i; /* good, -EIO, -ENOTSUP */
        push(rig);
    }
    vh_devring_publish(rig->device);
    assert_int_equal(vhost_blk_poll(&rig->q, done, 3), 1);
    assert_int_equal(done[0].result, -EIO);
    rig_free(rig);
}

static void test_vectors_are_cut_on_block_boundaries(void **state)
{
    struct vh_blk_limits limits = usual_limits;
    struct iovec iov[12];
    struct rig *rig;
    uint64_t total = 0;

    (void)state;
    limits.max_segments = 3;
    rig = rig_new(USUAL_FEATURES, &limits);
    /* 12 * 384 bytes, with gaps: 9 blocks; never more than 3 segments */
    for (unsigned i = 0; i < 12; i++) {
        iov[i].iov_base = rig->buf + i * 1024;
        iov[i].iov_len = 384;
    }
    assert_int_equal(vhost_blk_readv(&rig->q, 0, iov, 12, rig), 0);
    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    while (pop(rig)) {
        assert_int_equal(rig->sector, total / 512);
        assert_int_equal(rig->data_len % 512, 0);
        assert_true(rig->n_data <= 3);
        for (unsigned i = 1; i <= rig->n_data; i++) {
            for (size_t k = 0; k < rig->iov[i].iov_len; k++, total++) {
                size_t at =
                    (size_t)((char *)rig->iov[i].iov_base + k - rig->buf);

                assert_int_equal(at, total / 384 * 1024 + total % 384);
            }
        }
        push(rig);
    }
    assert_int_equal(total, 12 * 384);
    vh_devring_publish(rig->device);
    assert_int_equal(
        vhost_blk_poll(&rig->q, &(struct vhost_completion){ 0 }, 1), 1);
    rig_free(rig);
}

static void test_empty_buffers_in_a_vector_are_skipped(void **state)
{
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);
    struct iovec iov[] = { { NULL, 0 },
                           { rig->buf, 256 },
                           { NULL, 0 },
                           { rig->buf + 256, 256 },
                           { NULL, 0 } };

    (void)state;
    assert_int_equal(vhost_blk_writev(&rig->q, 0, iov, 5, rig), 0);
    assert_int_equal(run(rig, 1, rig), 0);
    assert_int_equal(rig->n_data, 1); /* neighbours are one segment */
    assert_int_equal(vhost_blk_readv(&rig->q, 0, iov, 1, rig), -EINVAL);
    iov[1].iov_len = SIZE_MAX;
    assert_int_equal(vhost_blk_readv(&rig->q, 0, iov, 5, rig), -EINVAL);
    rig_free(rig);
}

static void test_a_block_in_too_many_pieces_is_too_big(void **state)
{
    struct vh_blk_limits limits = usual_limits;
    struct iovec iov[4];
    struct rig *rig;

    (void)state;
    limits.max_segments = 3;
    rig = rig_new(USUAL_FEATURES, &limits);
    for (unsigned i = 0; i < 4; i++) {
        iov[i] = (struct iovec){ rig->buf + i * 1024, 128 };
    }
    assert_int_equal(vhost_blk_readv(&rig->q, 0, iov, 4, rig), -E2BIG);
    assert_int_equal(rig->q.n_free, SIZE);
    rig_free(rig);
}

static void test_a_full_queue_takes_nothing_in_part(void **state)
{
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);
    struct vhost_completion done[SIZE];

    (void)state;
    for (unsigned i = 0; i < SIZE - 2; i++) {
        assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, NULL), 0);
    }
    /* three parts, room for two */
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, BUF_LEN, rig),
                     -EAGAIN);
    assert_int_equal(
        vhost_blk_discard(&rig->q, 0, 3 * usual_limits.max_discard, rig),
        -EAGAIN);
    assert_int_equal(rig->q.n_free, 2);
    assert_int_equal(vhost_blk_flush(&rig->q, NULL), 0);
    assert_int_equal(vhost_blk_get_id(&rig->q, rig->buf, NULL), 0);
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, NULL), -EAGAIN);
    assert_int_equal(vhost_blk_flush(&rig->q, NULL), -EAGAIN);
    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    assert_int_equal(serve(rig), SIZE);
    assert_int_equal(vhost_blk_poll(&rig->q, done, SIZE), SIZE);
    assert_int_equal(rig->q.n_free, SIZE);
    rig_free(rig);
}

static void test_what_an_empty_queue_can_not_hold_is_too_big(void **state)
{
    struct vh_blk_limits limits = usual_limits;
    struct rig *rig;

    (void)state;
    limits.max_segments = 1;
    limits.max_segment_size = 4096;
    rig = rig_new(USUAL_FEATURES, &limits);
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, SIZE * 4096, rig), 0);
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, BUF_LEN, rig),
                     -E2BIG);
    assert_int_equal(run(rig, SIZE, rig), 0);
    assert_int_equal(vhost_blk_discard(&rig->q, 0, limits.capacity, rig),
                     -E2BIG);
    rig_free(rig);

    /* Without indirect tables each part takes three descriptors. */
    rig = rig_new(USUAL_FEATURES & ~BIT(VH_RING_F_INDIRECT_DESC), &limits);
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 6 * 4096, rig),
                     -E2BIG);
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 5 * 4096, rig), 0);
    assert_int_equal(run(rig, 5, rig), 0);
    rig_free(rig);
}

static uint64_t range_bytes(const struct rig *rig)
{
    uint32_t sectors;

    memcpy(&sectors, rig->range + 8, sizeof(sectors));
    return (uint64_t)le32toh(sectors) * 512;
}

static void test_discards_are_cut_where_the_device_likes_it(void **state)
{
    struct vh_blk_limits limits = usual_limits;
    static const uint64_t want[] = { 7680, 8192, 8192, 512 };
    struct rig *rig;
    uint64_t at = 512;

    (void)state;
    limits.max_discard = 8192;
    rig = rig_new(USUAL_FEATURES, &limits);
    assert_int_equal(vhost_blk_discard(&rig->q, at, 3 * 8192, rig), 0);
    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
        uint64_t sector;

        assert_true(pop(rig));
        memcpy(&sector, rig->range, sizeof(sector));
        assert_int_equal(le64toh(sector), at / 512);
        assert_int_equal(range_bytes(rig), want[i]);
        assert_int_equal(rig->range[12], 0);
        at += want[i];
        push(rig);
    }
    assert_false(pop(rig));
    rig_free(rig);
}

static void test_zeroes_may_free_space_only_if_the_device_says_so(void **state)
{
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);

    (void)state;
    assert_int_equal(vhost_blk_write_zeroes(&rig->q, 0, 4096, true, rig), 0);
    assert_int_equal(run(rig, 1, rig), 0);
    assert_int_equal(rig->type, VIRTIO_BLK_T_WRITE_ZEROES);
    assert_int_equal(rig->range[12], 1);
    assert_int_equal(range_bytes(rig), 4096);
    assert_int_equal(vhost_blk_write_zeroes(&rig->q, 0, 4096, false, rig), 0);
    assert_int_equal(run(rig, 1, rig), 0);
    assert_int_equal(rig->range[12], 0);
    rig->disk.limits.zeroes_may_unmap = false;
    assert_int_equal(vhost_blk_write_zeroes(&rig->q, 0, 4096, true, rig), 0);
    assert_int_equal(run(rig, 1, rig), 0);
    assert_int_equal(rig->range[12], 0);
    rig_free(rig);
}

static void test_a_broken_ring_says_so_from_then_on(void **state)
{
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);
    struct vhost_completion done;
    struct vh_used *used;

    (void)state;
    assert_null(vhost_blk_queue_error(&rig->q));
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, rig), 0);
    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    used = vhost_memory_translate(rig->disk.device.map, rig->vq.device_gpa,
                                  sizeof(*used));
    used->ring[0].id = htole32(SIZE);
    vh_store_release(&used->idx, htole16(1));
    assert_int_equal(vhost_blk_wait(&rig->q, &done, 1, 1, -1), -EPROTO);
    assert_int_equal(vhost_blk_poll(&rig->q, &done, 1), -EPROTO);
    assert_non_null(strstr(vhost_blk_queue_error(&rig->q), "queue 0: "));
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, rig), -EPROTO);
    assert_int_equal(vhost_blk_flush(&rig->q, rig), -EPROTO);
    assert_int_equal(vhost_blk_submit(&rig->q), -EPROTO);
    rig_free(rig);
}

static bool readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

static void test_the_fd_tells_of_all_that_is_left(void **state)
{
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);
    struct vhost_completion done[4];
    int fd = vhost_blk_queue_fd(&rig->q);

    (void)state;
    assert_false(readable(fd));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, rig), 0);
    }
    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    assert_true(pop(rig));
    push(rig);
    assert_true(vh_devring_publish(rig->device)); /* it is asked to call */
    vhost_notifier_set(&rig->vq.call);
    assert_int_equal(vhost_blk_poll(&rig->q, done, 4), 1);
    assert_false(readable(fd));
    assert_true(pop(rig));
    push(rig);
    assert_true(vh_devring_publish(rig->device)); /* and asked again */
    assert_true(pop(rig));
    push(rig);
    vh_devring_publish(rig->device);
    assert_int_equal(vhost_blk_poll(&rig->q, done, 1), 1);
    assert_true(readable(fd)); /* one is left */
    assert_int_equal(vhost_blk_wait(&rig->q, done, 1, 1, 0), 1);
    assert_false(readable(fd));
    rig_free(rig);
}

static void test_a_flush_done_here_shows_on_the_fd(void **state)
{
    struct rig *rig = rig_new(BIT(32), &usual_limits);
    struct vhost_completion done;
    int fd = vhost_blk_queue_fd(&rig->q);

    (void)state;
    assert_int_equal(vhost_blk_flush(&rig->q, rig), 0);
    assert_false(readable(fd));
    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    assert_true(readable(fd));
    assert_int_equal(vhost_blk_poll(&rig->q, &done, 1), 1);
    assert_false(readable(fd));
    rig_free(rig);
}

static void test_a_hang_up_ends_a_wait_after_the_last_completion(void **state)
{
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);
    struct vhost_completion done[2];

    (void)state;
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, rig), 0);
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, rig), 0);
    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    assert_true(pop(rig));
    push(rig);
    vh_devring_publish(rig->device);
    shutdown(rig->control[1], SHUT_RDWR);
    assert_int_equal(vhost_blk_wait(&rig->q, done, 2, 2, -1), 1);
    assert_int_equal(vhost_blk_wait(&rig->q, done, 2, 1, -1), -ENOTCONN);
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, rig), -ENOTCONN);
    assert_non_null(strstr(vhost_blk_queue_error(&rig->q), "gone"));
    rig_free(rig);
}

static void test_a_spinning_wait_sees_a_hang_up_too(void **state)
{
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);
    struct vhost_completion done;
    int r = 0;

    (void)state;
    rig->disk.device.spec.polling = true;
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, rig), 0);
    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    assert_int_equal(vhost_blk_wait(&rig->q, &done, 1, 1, 1), 0);
    close(rig->control[1]);
    rig->control[1] = -1;
    assert_int_equal(vhost_blk_wait(&rig->q, &done, 1, 1, -1), -ENOTCONN);
    /* A second queue, which only ever polls, learns it as well. */
    rig->vq.failed = 0;
    rig->disk.device.gone = 0;
    while (r == 0) {
        r = vhost_blk_poll(&rig->q, &done, 1);
    }
    assert_int_equal(r, -ENOTCONN);
    rig_free(rig);
}

/* A program may have a loop of its own around waits without time. */
static void test_waits_without_time_see_a_hang_up_too(void **state)
{
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);
    struct vhost_completion done;
    int r = 0;

    (void)state;
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, rig), 0);
    assert_int_equal(vhost_blk_submit(&rig->q), 0);
    shutdown(rig->control[1], SHUT_RDWR);
    for (unsigned i = 0; i < 100000000 && r == 0; i++) {
        r = vhost_blk_wait(&rig->q, &done, 1, 1, 0);
    }
    assert_int_equal(r, -ENOTCONN);
    rig_free(rig);
}

static void test_a_wait_for_nothing_returns_at_once(void **state)
{
    struct rig *rig = rig_new(USUAL_FEATURES, &usual_limits);
    struct vhost_completion done;

    (void)state;
    assert_int_equal(vhost_blk_wait(&rig->q, &done, 1, 1, -1), 0);
    assert_int_equal(vhost_blk_read(&rig->q, 0, rig->buf, 512, rig), 0);
    /* prepared, but not submitted: it can't come */
    assert_int_equal(vhost_blk_wait(&rig->q, &done, 1, 1, -1), 0);
    assert_int_equal(vhost_blk_wait(&rig->q, &done, 0, 0, -1), 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_read_is_header_data_status),
        cmocka_unit_test(test_status_bytes_become_results),
        cmocka_unit_test(test_the_status_counts_and_not_the_length),
        cmocka_unit_test(test_requests_that_can_not_be_are_refused),
        cmocka_unit_test(test_what_is_not_negotiated_is_not_sent),
        cmocka_unit_test(test_a_large_buffer_is_cut_into_segments_then_parts),
        cmocka_unit_test(test_the_first_failure_of_a_part_is_the_result),
        cmocka_unit_test(test_vectors_are_cut_on_block_boundaries),
        cmocka_unit_test(test_empty_buffers_in_a_vector_are_skipped),
        cmocka_unit_test(test_a_block_in_too_many_pieces_is_too_big),
        cmocka_unit_test(test_a_full_queue_takes_nothing_in_part),
        cmocka_unit_test(test_what_an_empty_queue_can_not_hold_is_too_big),
        cmocka_unit_test(test_discards_are_cut_where_the_device_likes_it),
        cmocka_unit_test(test_zeroes_may_free_space_only_if_the_device_says_so),
        cmocka_unit_test(test_a_broken_ring_says_so_from_then_on),
        cmocka_unit_test(test_the_fd_tells_of_all_that_is_left),
        cmocka_unit_test(test_a_flush_done_here_shows_on_the_fd),
        cmocka_unit_test(test_a_hang_up_ends_a_wait_after_the_last_completion),
        cmocka_unit_test(test_a_spinning_wait_sees_a_hang_up_too),
        cmocka_unit_test(test_waits_without_time_see_a_hang_up_too),
        cmocka_unit_test(test_a_wait_for_nothing_returns_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
