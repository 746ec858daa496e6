/* SPDX-License-Identifier: BSD-3-Clause */
/* The block device of the server, through a ring made by hand. */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <pthread.h>

#include "ring/ring.h"
#include "server-rig.h"

#define FEATURES (RIG_VERSION_1 | VH_F_PROTOCOL_FEATURES | F_FLUSH)
#define F_FLUSH (UINT64_C(1) << VIRTIO_BLK_F_FLUSH)
#define F_EVENT_IDX (UINT64_C(1) << 29)
#define N 64 /* entries of the ring */

/* Where things lie in the memory. */
#define DESC 0u
#define AVAIL 4096u
#define USED 8192u
#define HEADER 16384u /* 16 bytes for each request, then its status */
#define DATA 65536u

#define NOTHING 0x77 /* a status that nobody wrote */

struct disk {
    struct rig rig;
    struct vh_ring *ring;
    int kick, call, err;
    int fds;
};

static int set_up(void **state)
{
    struct disk *d = calloc(1, sizeof(*d));
    int fds = rig_count_fds();

    assert_non_null(d);
    rig_init(&d->rig);
    d->fds = fds;
    d->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    *state = d;
    return 0;
}

static int tear_down(void **state)
{
    struct disk *d = *state;

    vh_ring_free(d->ring);
    rig_cleanup(&d->rig);
    close(d->kick);
    close(d->call);
    close(d->err);
    assert_int_equal(rig_count_fds(), d->fds);
    free(d);
    return 0;
}

static void new_ring(struct disk *d, uint64_t features, uint32_t base)
{
    struct vh_ring_config config = {
        .size = N,
        .features = features,
        .desc = d->rig.mem + DESC,
        .driver = d->rig.mem + AVAIL,
        .device = d->rig.mem + USED,
        .base = base,
    };

    vh_ring_free(d->ring);
    d->ring = NULL;
    memset(d->rig.mem, 0, HEADER);
    assert_int_equal(vh_ring_new(&d->ring, &config), 0);
}

/* From an open connection to a queue that was kicked, not yet enabled. */
static void start(struct disk *d, uint64_t features)
{
    struct vh_mem_region region = rig_region();

    rig_negotiate(&d->rig, features);
    new_ring(d, features, 0);
    assert_int_equal(rig_set_table(&d->rig, &region, 1), 0);
    assert_int_equal(rig_do_state(&d->rig, VH_SET_VRING_NUM, 0, N), 0);
    assert_int_equal(rig_do_state(&d->rig, VH_SET_VRING_BASE, 0, 0), 0);
    assert_int_equal(rig_set_addr(&d->rig, 0, RIG_USER + DESC, RIG_USER + AVAIL,
                                  RIG_USER + USED),
                     0);
    assert_int_equal(rig_do_fd(&d->rig, VH_SET_VRING_ERR, 0, d->err), 0);
    assert_int_equal(rig_do_fd(&d->rig, VH_SET_VRING_CALL, 0, d->call), 0);
    assert_int_equal(rig_do_fd(&d->rig, VH_SET_VRING_KICK, 0, d->kick), 0);
}

static struct disk *open_with(void **state, const char *path,
                              const struct vhost_server_blk_options *options)
{
    struct disk *d = *state;

    rig_serve(&d->rig, path, options, NULL);
    start(d, FEATURES);
    assert_int_equal(rig_do_state(&d->rig, VH_SET_VRING_ENABLE, 0, 1), 0);
    return d;
}

static struct disk *open_disk(void **state)
{
    return open_with(state, NULL, NULL);
}

static uint8_t *data(const struct disk *d)
{
    return d->rig.mem + DATA;
}

static uint8_t *status_of(const struct disk *d, unsigned slot)
{
    return d->rig.mem + HEADER + slot * 32 + 16;
}

static struct vh_sg sg(uint64_t at, uint32_t len)
{
    return (struct vh_sg){ .addr = RIG_GPA + at, .len = len };
}

static void put_header(struct disk *d, unsigned slot, uint32_t type,
                       uint64_t sector)
{
    struct virtio_blk_outhdr header = { .type = type, .sector = sector };

    memcpy(d->rig.mem + HEADER + slot * 32, &header, sizeof(header));
    *status_of(d, slot) = NOTHING;
}

static void add(struct disk *d, const struct vh_sg *pieces, unsigned n_out,
                unsigned n_in)
{
    assert_int_equal(vh_ring_add(d->ring, pieces, n_out, n_in, d), 0);
}

static void add_request(struct disk *d, unsigned slot, uint32_t type,
                        uint64_t sector, uint32_t len)
{
    struct vh_sg pieces[3] = { sg(HEADER + slot * 32, 16) };
    bool reads = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
    unsigned n = 1;

    put_header(d, slot, type, sector);
    if (len > 0) {
        pieces[n++] = sg(DATA, len);
    }
    pieces[n] = sg(HEADER + slot * 32 + 16, 1);
    add(d, pieces, reads ? 1 : n, reads ? n : 1);
}

static void kick(struct disk *d)
{
    if (vh_ring_publish(d->ring)) {
        assert_int_equal(eventfd_write(d->kick, 1), 0);
    }
}

/* Serve until @n buffers came back.  Return: how many did. */
static unsigned collect(struct disk *d, unsigned n, uint32_t *len)
{
    struct pollfd pfd = { .fd = vhost_server_get_fd(d->rig.server),
                          .events = POLLIN };
    struct vh_ring_used used;
    unsigned got = 0;

    for (;;) {
        while (vh_ring_take(d->ring, &used, 1) == 1) {
            *len = used.len;
            got++;
        }
        if (got >= n || poll(&pfd, 1, 10000) <= 0) {
            return got;
        }
        assert_int_equal(vhost_server_dispatch(d->rig.server, NULL), 0);
    }
}

/* One request, to its end.  Return: its status. */
static uint8_t finish(struct disk *d, uint32_t *len)
{
    kick(d);
    assert_int_equal(collect(d, 1, len), 1);
    return *status_of(d, 0);
}

static uint8_t request(struct disk *d, uint32_t type, uint64_t sector,
                       uint32_t len)
{
    uint32_t used;

    add_request(d, 0, type, sector, len);
    return finish(d, &used);
}

static void read_file(const struct disk *d, uint64_t at, void *buf, size_t len)
{
    int fd = open(d->rig.disk, O_RDONLY | O_CLOEXEC);

    assert_int_equal(pread(fd, buf, len, (off_t)at), len);
    close(fd);
}

static bool all_are(const uint8_t *at, size_t len, uint8_t value)
{
    for (size_t i = 0; i < len; i++) {
        if (at[i] != value) {
            return false;
        }
    }
    return true;
}

/* Transfers */

static void test_what_is_written_is_in_the_file_and_read_back(void **state)
{
    struct disk *d = open_disk(state);
    uint8_t in_file[8192];
    uint32_t len;

    for (int i = 0; i < 8192; i++) {
        data(d)[i] = (uint8_t)(i * 7);
    }
    add_request(d, 0, VIRTIO_BLK_T_OUT, 8, 8192);
    assert_int_equal(finish(d, &len), VIRTIO_BLK_S_OK);
    assert_int_equal(len, 1);
    read_file(d, 4096, in_file, sizeof(in_file));
    assert_memory_equal(in_file, data(d), 8192);

    memset(data(d), 0, 8192);
    add_request(d, 0, VIRTIO_BLK_T_IN, 8, 8192);
    assert_int_equal(finish(d, &len), VIRTIO_BLK_S_OK);
    assert_int_equal(len, 8193);
    assert_memory_equal(in_file, data(d), 8192);
    assert_int_equal(request(d, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
}

static void test_pieces_may_be_cut_anywhere(void **state)
{
    struct disk *d = open_disk(state);
    uint8_t in_file[512];
    uint32_t len;
    /* Header and data in one piece; data and status in one piece. */
    struct vh_sg whole[2] = { sg(DATA, 16 + 512), sg(DATA + 600, 1) };
    struct vh_sg bits[6] = { sg(DATA, 5),         sg(DATA + 5, 11),
                             sg(DATA + 4096, 1),  sg(DATA + 4097, 511),
                             sg(DATA + 8192, 10), sg(DATA + 9000, 1) };
    struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_OUT, .sector = 3 };

    memcpy(data(d), &header, 16);
    memset(data(d) + 16, 0x5a, 512);
    add(d, whole, 1, 1);
    finish(d, &len);
    assert_int_equal(data(d)[600], VIRTIO_BLK_S_OK);
    read_file(d, 3 * 512, in_file, 512);
    assert_true(all_are(in_file, 512, 0x5a));

    header.type = VIRTIO_BLK_T_IN;
    memcpy(data(d), &header, 16);
    memset(data(d) + 16, 0, 10000);
    bits[4].len = 1;
    bits[3].len = 511;
    add(d, bits, 2, 3);
    finish(d, &len);
    assert_int_equal(data(d)[8192], VIRTIO_BLK_S_OK);
    assert_int_equal(len, 513);
    assert_true(all_are(data(d) + 4096, 512, 0x5a));
    /* The status is the last byte of all. */
    bits[2] = sg(DATA + 20000, 513);
    add(d, bits, 2, 1);
    finish(d, &len);
    assert_true(all_are(data(d) + 20000, 512, 0x5a));
    assert_int_equal(data(d)[20512], VIRTIO_BLK_S_OK);
}

static void test_many_requests_at_once_all_come_back(void **state)
{
    struct disk *d = open_disk(state);
    uint32_t len;

    for (int round = 0; round < 200; round++) {
        for (unsigned slot = 0; slot < N / 4; slot++) {
            add_request(d, slot, slot % 2 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
                        slot * 8, 4096);
        }
        kick(d);
        assert_int_equal(collect(d, N / 4, &len), N / 4);
        for (unsigned slot = 0; slot < N / 4; slot++) {
            assert_int_equal(*status_of(d, slot), VIRTIO_BLK_S_OK);
        }
    }
}

static void test_the_last_block_is_there_and_none_behind_it(void **state)
{
    struct disk *d = open_disk(state);
    uint64_t end = RIG_DISK_SIZE / 512;

    assert_int_equal(request(d, VIRTIO_BLK_T_IN, end - 1, 512), 0);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, end - 1, 1024), 1);
    assert_int_equal(request(d, VIRTIO_BLK_T_OUT, end, 512), 1);
    assert_int_equal(request(d, VIRTIO_BLK_T_OUT, UINT64_MAX, 512), 1);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, UINT64_MAX / 512, 512), 1);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 511), 1);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 0), 0);
}

static void test_large_blocks_are_addressed_whole(void **state)
{
    struct vhost_server_blk_options options = { .block_size = 4096 };
    struct disk *d = open_with(state, NULL, &options);

    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 8, 4096), 0);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 1, 4096), 1);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 8, 512), 1);
}

static void test_a_file_that_became_shorter_gives_errors(void **state)
{
    struct disk *d = open_disk(state);

    assert_int_equal(truncate(d->rig.disk, 1000), 0);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 4096), 1);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 512), 0);
}

static void test_memory_that_o_direct_will_not_have_is_served(void **state)
{
    struct vhost_server_blk_options options = { .direct = true };
    struct vhost_error *err = NULL;
    struct disk *d = *state;
    struct vhost_server *probe;
    struct vh_sg pieces[3] = { sg(HEADER, 16), sg(DATA + 1, 1024),
                               sg(HEADER + 16, 1) };
    int fds[2];
    uint32_t len;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    probe = vhost_server_new_fd(fds[0], vhost_server_blk(d->rig.disk, &options),
                                NULL, &err);
    close(fds[1]);
    if (!probe) { /* the file system has no O_DIRECT */
        assert_non_null(strstr(vhost_error_message(err), "O_DIRECT"));
        vhost_error_free(err);
        skip();
    }
    vhost_server_free(probe);

    open_with(state, NULL, &options);
    memset(data(d), 0x33, 4096);
    put_header(d, 0, VIRTIO_BLK_T_OUT, 2);
    add(d, pieces, 2, 1);
    assert_int_equal(finish(d, &len), VIRTIO_BLK_S_OK);
    memset(data(d), 0, 4096);
    put_header(d, 0, VIRTIO_BLK_T_IN, 2);
    add(d, pieces, 1, 2);
    assert_int_equal(finish(d, &len), VIRTIO_BLK_S_OK);
    assert_true(all_are(data(d) + 1, 1024, 0x33));
}

/* Other requests */

static void test_the_id_is_the_serial_or_the_name_of_the_file(void **state)
{
    struct vhost_server_blk_options options = { .serial = "abc" };
    struct disk *d = open_with(state, NULL, &options);
    uint32_t len;

    memset(data(d), 0xff, 64);
    add_request(d, 0, VIRTIO_BLK_T_GET_ID, 0, 20);
    assert_int_equal(finish(d, &len), VIRTIO_BLK_S_OK);
    assert_int_equal(len, 21);
    assert_memory_equal(data(d), "abc\0\0\0", 6);
    assert_true(all_are(data(d) + 3, 17, 0));
    assert_int_equal(data(d)[20], 0xff);
}

static uint8_t range(struct disk *d, uint32_t type, uint64_t sector,
                     uint32_t n_sectors, uint32_t flags)
{
    struct virtio_blk_discard_write_zeroes r = { .sector = sector,
                                                 .num_sectors = n_sectors,
                                                 .flags = flags };

    memcpy(data(d), &r, sizeof(r));
    return request(d, type, 0, sizeof(r));
}

static void fill_disk(struct disk *d)
{
    memset(data(d), 0xee, 65536);
    assert_int_equal(request(d, VIRTIO_BLK_T_OUT, 0, 65536), 0);
}

static void test_zeroes_are_zeroes_whether_unmapped_or_not(void **state)
{
    struct disk *d = open_disk(state);
    uint8_t in_file[65536];

    fill_disk(d);
    assert_int_equal(range(d, VIRTIO_BLK_T_WRITE_ZEROES, 1, 7, 0), 0);
    assert_int_equal(range(d, VIRTIO_BLK_T_WRITE_ZEROES, 16, 32, 1), 0);
    read_file(d, 0, in_file, sizeof(in_file));
    assert_true(all_are(in_file, 512, 0xee));
    assert_true(all_are(in_file + 512, 7 * 512, 0));
    assert_true(all_are(in_file + 8 * 512, 8 * 512, 0xee));
    assert_true(all_are(in_file + 16 * 512, 32 * 512, 0));
    assert_true(all_are(in_file + 48 * 512, 80 * 512, 0xee));
    assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, 0, 128, 0), 0);
}

static void test_ranges_that_can_not_be_are_refused(void **state)
{
    struct disk *d = open_disk(state);
    uint64_t end = RIG_DISK_SIZE / 512;

    assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, end - 1, 2, 0), 1);
    assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, UINT64_MAX, 2, 0), 1);
    assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, 0, 1, 1), 2);
    assert_int_equal(range(d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2), 2);
    assert_int_equal(request(d, VIRTIO_BLK_T_DISCARD, 0, 8), 1);
    assert_int_equal(request(d, VIRTIO_BLK_T_DISCARD, 0, 32), 1);
    assert_int_equal(request(d, VIRTIO_BLK_T_DISCARD, 0, 0), 1);
    assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, 0, 0, 0), 0);
}

static void test_unknown_requests_are_said_to_be_unsupported(void **state)
{
    struct disk *d = open_disk(state);

    assert_int_equal(request(d, 99, 0, 512), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(request(d, UINT32_MAX, 0, 0), VIRTIO_BLK_S_UNSUPP);
}

static void test_a_read_only_disk_is_not_written(void **state)
{
    struct vhost_server_blk_options options = { .read_only = true };
    struct disk *d = open_with(state, NULL, &options);

    assert_int_equal(request(d, VIRTIO_BLK_T_OUT, 0, 512), 1);
    assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, 0, 1, 0), 1);
    assert_int_equal(range(d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0), 1);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 512), 0);
    assert_int_equal(request(d, VIRTIO_BLK_T_FLUSH, 0, 0), 0);
}

static void test_a_disk_without_a_file_answers_everything(void **state)
{
    struct disk *d = open_with(state, "null:1048576", NULL);

    assert_int_equal(request(d, VIRTIO_BLK_T_OUT, 0, 4096), 0);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 2047, 512), 0);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 2048, 512), 1);
    assert_int_equal(request(d, VIRTIO_BLK_T_FLUSH, 0, 0), 0);
    assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, 0, 8, 0), 0);
}

/* Drivers that can't be answered */

static void expect_broken(struct disk *d)
{
    eventfd_t n;

    kick(d);
    rig_turn(&d->rig);
    assert_int_equal(eventfd_read(d->err, &n), 0);
    assert_non_null(strstr(d->rig.log, "queue 0 is broken"));
    assert_false(vh_ring_has_used(d->ring));
    /* Nothing more is taken, but the front end is still served. */
    add_request(d, 1, VIRTIO_BLK_T_IN, 0, 512);
    vh_ring_publish(d->ring);
    assert_int_equal(eventfd_write(d->kick, 1), 0);
    rig_turn(&d->rig);
    assert_int_equal(*status_of(d, 1), NOTHING);
    assert_int_equal(rig_get_base(&d->rig, 0) > 0, 1);
}

static void test_no_room_for_a_status_breaks_the_ring(void **state)
{
    struct disk *d = open_disk(state);
    struct vh_sg piece = sg(HEADER, 16);

    put_header(d, 0, VIRTIO_BLK_T_FLUSH, 0);
    add(d, &piece, 1, 0);
    expect_broken(d);
}

static void test_a_header_too_short_breaks_the_ring(void **state)
{
    struct disk *d = open_disk(state);
    struct vh_sg pieces[2] = { sg(HEADER, 15), sg(HEADER + 16, 1) };

    put_header(d, 0, VIRTIO_BLK_T_FLUSH, 0);
    add(d, pieces, 1, 1);
    expect_broken(d);
}

static void test_an_address_outside_memory_breaks_the_ring(void **state)
{
    struct disk *d = open_disk(state);
    struct vh_sg pieces[3] = { sg(HEADER, 16), sg(RIG_MEM_SIZE - 256, 512),
                               sg(HEADER + 16, 1) };
    eventfd_t n;

    put_header(d, 0, VIRTIO_BLK_T_OUT, 0);
    add(d, pieces, 2, 1);
    kick(d);
    rig_turn(&d->rig);
    assert_int_equal(eventfd_read(d->err, &n), 0);
    assert_int_equal(*status_of(d, 0), NOTHING);
    assert_true(rig_is_quiet(&d->rig));
}

static void test_a_broken_ring_works_again_after_a_restart(void **state)
{
    struct disk *d = open_disk(state);
    struct vh_sg piece = sg(HEADER, 16);

    put_header(d, 0, VIRTIO_BLK_T_FLUSH, 0);
    add(d, &piece, 1, 0);
    kick(d);
    rig_turn(&d->rig);
    rig_get_base(&d->rig, 0);
    new_ring(d, FEATURES, 0);
    assert_int_equal(rig_do_state(&d->rig, VH_SET_VRING_BASE, 0, 0), 0);
    assert_int_equal(rig_do_fd(&d->rig, VH_SET_VRING_KICK, 0, d->kick), 0);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 512), 0);
}

/* States of the ring */

static void test_a_ring_runs_only_while_it_is_enabled(void **state)
{
    struct disk *d = *state;
    uint32_t len;

    rig_serve(&d->rig, NULL, NULL, NULL);
    start(d, FEATURES);
    add_request(d, 0, VIRTIO_BLK_T_IN, 0, 512);
    kick(d);
    rig_turn(&d->rig);
    assert_int_equal(*status_of(d, 0), NOTHING);
    /* What was there before is looked for once. */
    assert_int_equal(rig_do_state(&d->rig, VH_SET_VRING_ENABLE, 0, 1), 0);
    assert_int_equal(collect(d, 1, &len), 1);

    assert_int_equal(rig_do_state(&d->rig, VH_SET_VRING_ENABLE, 0, 0), 0);
    add_request(d, 0, VIRTIO_BLK_T_IN, 0, 512);
    vh_ring_publish(d->ring);
    assert_int_equal(eventfd_write(d->kick, 1), 0);
    rig_turn(&d->rig);
    assert_int_equal(*status_of(d, 0), NOTHING);
    assert_int_equal(rig_do_state(&d->rig, VH_SET_VRING_ENABLE, 0, 1), 0);
    assert_int_equal(collect(d, 1, &len), 1);
    assert_int_equal(*status_of(d, 0), 0);
}

static void test_without_bit_30_rings_are_enabled_from_the_start(void **state)
{
    struct disk *d = *state;

    rig_serve(&d->rig, NULL, NULL, NULL);
    start(d, RIG_VERSION_1);
    assert_int_equal(request(d, VIRTIO_BLK_T_OUT, 0, 512), 0);
    assert_int_equal(range(d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), 0);
}

static void test_a_ring_without_a_kick_fd_is_polled(void **state)
{
    struct disk *d = open_disk(state);
    uint32_t len;

    assert_int_equal(rig_do_fd(&d->rig, VH_SET_VRING_KICK, 0, -1), 0);
    for (int i = 0; i < 3; i++) {
        add_request(d, 0, VIRTIO_BLK_T_IN, 0, 512);
        vh_ring_publish(d->ring);
        assert_int_equal(collect(d, 1, &len), 1);
    }
}

/* Does not end before the main thread says so: that would wake a sleep. */
static void *publish_late(void *arg)
{
    struct disk *d = arg;
    struct pollfd pfd = { .fd = d->err, .events = POLLIN };

    usleep(20000);
    vh_ring_publish(d->ring);
    poll(&pfd, 1, -1);
    return NULL;
}

static void test_run_serves_a_ring_without_a_kick_fd(void **state)
{
    struct disk *d = open_disk(state);
    struct vh_ring_used used;
    pthread_t thread;

    assert_int_equal(rig_do_fd(&d->rig, VH_SET_VRING_KICK, 0, -1), 0);
    while (vhost_server_run(d->rig.server, 5, NULL) == 1) {
    }
    /* Nothing wakes it, and yet it does not wait for ever. */
    add_request(d, 0, VIRTIO_BLK_T_IN, 0, 512);
    assert_int_equal(pthread_create(&thread, NULL, publish_late, d), 0);
    while (!vh_ring_has_used(d->ring)) {
        assert_true(vhost_server_run(d->rig.server, -1, NULL) >= 0);
    }
    assert_int_equal(eventfd_write(d->err, 1), 0);
    pthread_join(thread, NULL);
    assert_int_equal(vh_ring_take(d->ring, &used, 1), 1);
}

static void test_the_base_is_where_the_next_ring_goes_on(void **state)
{
    struct disk *d = open_disk(state);

    for (int i = 0; i < 5; i++) {
        assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 512), 0);
    }
    assert_int_equal(rig_get_base(&d->rig, 0), 5);
    assert_int_equal(rig_get_base(&d->rig, 0), 5);
    /* The same ring goes on, and the call fd is still known. */
    assert_int_equal(rig_do_fd(&d->rig, VH_SET_VRING_KICK, 0, d->kick), 0);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 512), 0);
    assert_int_equal(rig_get_base(&d->rig, 0), 6);
}

static void
test_all_that_was_taken_is_finished_before_a_ring_stops(void **state)
{
    struct disk *d = open_disk(state);
    uint32_t len, base;

    for (unsigned slot = 0; slot < N / 4; slot++) {
        add_request(d, slot, VIRTIO_BLK_T_OUT, slot * 8, 4096);
    }
    kick(d);
    vhost_server_dispatch(d->rig.server, NULL);
    base = rig_get_base(&d->rig, 0);
    len = 0;
    for (struct vh_ring_used used; vh_ring_take(d->ring, &used, 1) == 1;) {
        len++;
    }
    assert_int_equal(len, base);
}

static void test_memory_may_be_replaced_under_a_ring(void **state)
{
    struct disk *d = open_disk(state);
    struct vh_mem_region region = rig_region();
    uint32_t len;

    for (int i = 0; i < 10; i++) {
        assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 512), 0);
        assert_int_equal(rig_set_table(&d->rig, &region, 1), 0);
    }
    /* Without its memory it waits; with it, it goes on. */
    assert_int_equal(rig_region_do(&d->rig, VH_REM_MEM_REG, &region), 0);
    add_request(d, 0, VIRTIO_BLK_T_IN, 0, 512);
    vh_ring_publish(d->ring);
    assert_int_equal(eventfd_write(d->kick, 1), 0);
    rig_turn(&d->rig);
    assert_int_equal(*status_of(d, 0), NOTHING);
    assert_int_equal(rig_region_do(&d->rig, VH_ADD_MEM_REG, &region), 0);
    assert_int_equal(collect(d, 1, &len), 1);
    assert_int_equal(*status_of(d, 0), 0);
}

static void test_a_reset_status_stops_the_ring(void **state)
{
    struct disk *d = open_disk(state);

    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 512), 0);
    assert_int_equal(rig_do_u64(&d->rig, VH_SET_STATUS, 0), 0);
    add_request(d, 0, VIRTIO_BLK_T_IN, 0, 512);
    vh_ring_publish(d->ring);
    assert_int_equal(eventfd_write(d->kick, 1), 0);
    rig_turn(&d->rig);
    assert_int_equal(*status_of(d, 0), NOTHING);
}

static void test_a_front_end_may_go_in_the_middle_of_everything(void **state)
{
    for (int i = 0; i < 20; i++) {
        struct disk *d = open_disk(state);

        for (unsigned slot = 0; slot < N / 4; slot++) {
            add_request(d, slot, VIRTIO_BLK_T_OUT, slot * 8, 4096);
        }
        kick(d);
        for (int j = 0; j < i % 3; j++) {
            vhost_server_dispatch(d->rig.server, NULL);
        }
        rig_stop(&d->rig);
    }
}

/* Who is told */

static void test_calls_only_those_who_want_it(void **state)
{
    struct disk *d = open_disk(state);
    eventfd_t n;

    vh_ring_enable_call(d->ring);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 512), 0);
    assert_int_equal(eventfd_read(d->call, &n), 0);
    vh_ring_disable_call(d->ring);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 512), 0);
    assert_int_equal(eventfd_read(d->call, &n), -1);
}

static void test_a_full_call_fd_that_blocks_does_not_hold_us_up(void **state)
{
    struct disk *d = open_disk(state);
    int call = eventfd(0, EFD_CLOEXEC);

    assert_int_equal(eventfd_write(call, UINT64_MAX - 1), 0);
    assert_int_equal(rig_do_fd(&d->rig, VH_SET_VRING_CALL, 0, call), 0);
    vh_ring_enable_call(d->ring);
    assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 512), 0);
    close(call);
}

static void test_polling_finds_what_was_not_kicked(void **state)
{
    struct vhost_server_options options = { .size = sizeof(options),
                                            .poll_us = 1000000 };
    struct disk *d = *state;
    struct vh_ring_used used;

    rig_serve(&d->rig, NULL, NULL, &options);
    start(d, FEATURES);
    assert_int_equal(rig_do_state(&d->rig, VH_SET_VRING_ENABLE, 0, 1), 0);
    add_request(d, 0, VIRTIO_BLK_T_IN, 0, 512);
    kick(d);
    while (vhost_server_run(d->rig.server, 5000, NULL) == 1 &&
           !vh_ring_has_used(d->ring)) {
    }
    assert_int_equal(vh_ring_take(d->ring, &used, 1), 1);
    /* Now it looks by itself: no kick is wanted, and none comes. */
    add_request(d, 0, VIRTIO_BLK_T_IN, 0, 512);
    assert_false(vh_ring_publish(d->ring));
    while (vhost_server_run(d->rig.server, 5000, NULL) == 1 &&
           !vh_ring_has_used(d->ring)) {
    }
    assert_int_equal(vh_ring_take(d->ring, &used, 1), 1);
}

static void test_the_event_index_works_from_sleep_to_sleep(void **state)
{
    struct disk *d = *state;

    rig_serve(&d->rig, NULL, NULL, NULL);
    start(d, FEATURES | F_EVENT_IDX);
    assert_int_equal(rig_do_state(&d->rig, VH_SET_VRING_ENABLE, 0, 1), 0);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 512), 0);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_what_is_written_is_in_the_file_and_read_back),
        T(test_pieces_may_be_cut_anywhere),
        T(test_many_requests_at_once_all_come_back),
        T(test_the_last_block_is_there_and_none_behind_it),
        T(test_large_blocks_are_addressed_whole),
        T(test_a_file_that_became_shorter_gives_errors),
        T(test_memory_that_o_direct_will_not_have_is_served),
        T(test_the_id_is_the_serial_or_the_name_of_the_file),
        T(test_zeroes_are_zeroes_whether_unmapped_or_not),
        T(test_ranges_that_can_not_be_are_refused),
        T(test_unknown_requests_are_said_to_be_unsupported),
        T(test_a_read_only_disk_is_not_written),
        T(test_a_disk_without_a_file_answers_everything),
        T(test_no_room_for_a_status_breaks_the_ring),
        T(test_a_header_too_short_breaks_the_ring),
        T(test_an_address_outside_memory_breaks_the_ring),
        T(test_a_broken_ring_works_again_after_a_restart),
        T(test_a_ring_runs_only_while_it_is_enabled),
        T(test_without_bit_30_rings_are_enabled_from_the_start),
        T(test_a_ring_without_a_kick_fd_is_polled),
        T(test_run_serves_a_ring_without_a_kick_fd),
        T(test_the_base_is_where_the_next_ring_goes_on),
        T(test_all_that_was_taken_is_finished_before_a_ring_stops),
        T(test_memory_may_be_replaced_under_a_ring),
        T(test_a_reset_status_stops_the_ring),
        T(test_a_front_end_may_go_in_the_middle_of_everything),
        T(test_calls_only_those_who_want_it),
        T(test_a_full_call_fd_that_blocks_does_not_hold_us_up),
        T(test_polling_finds_what_was_not_kicked),
        T(test_the_event_index_works_from_sleep_to_sleep),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
