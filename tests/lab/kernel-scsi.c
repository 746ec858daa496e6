/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost-scsi of a real kernel: units of a target that is a file and memory, see
 * guest/devices.sh.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost_types.h>
#include <linux/virtio_scsi.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "lab/kernel-guest.h"

#define REQUESTS 2u /* the first queue for them */
#define QUEUES 5u
#define BLOCK 512u
#define DATA 3072u    /* of one request; what it begins with comes before */
#define IN_FLIGHT 16u /* each of 3 pieces */
#define FILE_BLOCKS (16u * 2048u)

static const struct vhost_kernel_options options = {
    .size = sizeof(options),
    .kind = VHOST_KERNEL_SCSI,
    .wwpn = "naa.5001405000000001",
    .tpgt = 1,
};

/* Request, response and data lie in one buffer. */
static int command(struct guest *g, unsigned queue, unsigned lun,
                   const uint8_t *cdb, size_t cdb_len, bool write, void *data,
                   uint32_t len)
{
    static unsigned turn;
    unsigned i = turn++ % GUEST_BUFS;
    char *buf = guest_buf(g, queue, i);
    uint64_t at = guest_addr(g, queue, i);
    struct virtio_scsi_cmd_req *req = (void *)buf;
    struct virtio_scsi_cmd_resp *resp = (void *)(buf + 128);
    struct vh_sg sg[4] = { { at, sizeof(*req) } };
    unsigned n_out = 1;
    uint32_t got;

    memset(buf, 0, GUEST_BUF);
    *req = (struct virtio_scsi_cmd_req){ .lun = { 1, 1, 0x40, (uint8_t)lun } };
    memcpy(req->cdb, cdb, cdb_len);
    resp->response = 0xff;
    if (write && len > 0) {
        memcpy(buf + 1024, data, len);
        sg[n_out++] = (struct vh_sg){ at + 1024, len };
    }
    sg[n_out] = (struct vh_sg){ at + 128, sizeof(*resp) };
    sg[n_out + 1] = (struct vh_sg){ at + 1024, len };
    guest_give(g, queue, sg, n_out, !write && len > 0 ? 2 : 1, i + 1);
    assert_int_equal(guest_take(g, queue, &got, 0), i + 1);
    if (!write && len > 0) {
        memcpy(data, buf + 1024, len);
    }
    return resp->response << 8 | resp->status;
}

static int transfer(struct guest *g, unsigned queue, unsigned lun, bool write,
                    uint32_t block, void *data)
{
    const uint8_t cdb[10] = { write ? 0x2a : 0x28,
                              0,
                              (uint8_t)(block >> 24),
                              (uint8_t)(block >> 16),
                              (uint8_t)(block >> 8),
                              (uint8_t)block,
                              0,
                              0,
                              DATA / BLOCK,
                              0 };

    return command(g, queue, lun, cdb, sizeof(cdb), write, data, DATA);
}

/* The first command after a start may be answered with "it was reset". */
static void wake(struct guest *g, unsigned lun)
{
    const uint8_t ready[6] = { 0 };
    int r = -1;

    for (unsigned i = 0; i < 5 && r != 0; i++) {
        r = command(g, REQUESTS, lun, ready, sizeof(ready), false, NULL, 0);
    }
    assert_int_equal(r, 0);
}

/* Of the first queue for requests, and nobody waits for it. */
static void give_write(struct guest *g, unsigned i, uint32_t block,
                       const void *data)
{
    char *buf = guest_buf(g, REQUESTS, i);
    uint64_t at = guest_addr(g, REQUESTS, i);
    struct virtio_scsi_cmd_req *req = (void *)buf;
    const struct vh_sg sg[] = { { at, sizeof(*req) },
                                { at + 1024, DATA },
                                { at + 128,
                                  sizeof(struct virtio_scsi_cmd_resp) } };

    memset(buf, 0, GUEST_BUF);
    *req = (struct virtio_scsi_cmd_req){ .lun = { 1, 1, 0x40, 0 } };
    req->cdb[0] = 0x2a;
    req->cdb[4] = (uint8_t)(block >> 8);
    req->cdb[5] = (uint8_t)block;
    req->cdb[8] = DATA / BLOCK;
    memcpy(buf + 1024, data, DATA);
    guest_give(g, REQUESTS, sg, 2, 1, i + 1);
}

static void fill(uint8_t *data, unsigned seed)
{
    for (unsigned i = 0; i < DATA; i++) {
        data[i] = (uint8_t)(seed * 13 + i * 3 + (i >> 8));
    }
}

static void write_and_read(struct guest *g, unsigned lun, unsigned n,
                           unsigned seed)
{
    uint8_t want[DATA], got[DATA];

    for (unsigned k = 0; k < n; k++) {
        fill(want, seed + k);
        assert_int_equal(transfer(g, REQUESTS + k % (QUEUES - REQUESTS), lun,
                                  true, 8 * k, want),
                         0);
    }
    for (unsigned k = 0; k < n; k++) {
        fill(want, seed + k);
        memset(got, 0, sizeof(got));
        assert_int_equal(transfer(g, REQUESTS + (k + 1) % (QUEUES - REQUESTS),
                                  lun, false, 8 * k, got),
                         0);
        assert_memory_equal(got, want, DATA);
    }
}

static void test_a_file_is_written_and_read_back(void **state)
{
    struct vhost_kernel_info info;
    uint8_t want[DATA], got[DATA];
    struct guest g;
    int fd;

    (void)state;
    guest_up(&g, &options, QUEUES, F_VERSION_1);
    vhost_kernel_get_info(g.kernel, &info);
    assert_int_equal(info.nodes, 1);
    assert_int_equal(info.scsi_abi, 1);
    guest_start(&g);
    wake(&g, 0);
    wake(&g, 1);
    write_and_read(&g, 0, 60, 1);
    write_and_read(&g, 1, 60, 2);
    guest_down(&g);
    /* And it is in the file. */
    fd = open("/tmp/lun0.img", O_RDONLY | O_CLOEXEC);
    for (unsigned k = 0; k < 60; k++) {
        fill(want, 1 + k);
        assert_int_equal(pread(fd, got, DATA, 8 * k * BLOCK), DATA);
        assert_memory_equal(got, want, DATA);
    }
    close(fd);
}

static void test_it_says_what_it_is_and_what_is_wrong(void **state)
{
    const uint8_t inquiry[6] = { 0x12, 0, 0, 0, 96, 0 };
    uint8_t data[DATA] = { 0 };
    struct guest g;

    (void)state;
    guest_up(&g, &options, QUEUES, F_VERSION_1);
    guest_start(&g);
    wake(&g, 0);
    assert_int_equal(command(&g, REQUESTS, 0, inquiry, 6, false, data, 96), 0);
    assert_int_equal(data[0], 0); /* a disk */
    assert_memory_equal(data + 8, "LIO-ORG ", 8);
    /* A unit that is not there; a block behind the end. */
    assert_int_not_equal(command(&g, REQUESTS, 9, inquiry, 6, false, data, 96),
                         -1);
    assert_int_not_equal(transfer(&g, REQUESTS, 0, false, FILE_BLOCKS, data),
                         0);
    write_and_read(&g, 0, 5, 9);
    guest_down(&g);
}

static void test_it_goes_on_after_a_stop_and_in_another_device(void **state)
{
    struct guest g;

    (void)state;
    guest_up(&g, &options, QUEUES, F_VERSION_1);
    guest_start(&g);
    wake(&g, 0);
    write_and_read(&g, 0, 30, 3);
    guest_stop(&g);
    assert_int_equal(g.queues[REQUESTS].base_source, VHOST_BASE_FROM_DEVICE);
    assert_true(g.queues[REQUESTS].base > 0);
    guest_start(&g);
    wake(&g, 0);
    write_and_read(&g, 0, 30, 4);
    guest_stop(&g);
    vhost_dev_cleanup(&g.dev);
    vhost_kernel_free(g.kernel);
    assert_int_equal(guest_take_up(&g, &options), 0);
    guest_start(&g);
    wake(&g, 0);
    write_and_read(&g, 0, 30, 5);
    guest_down(&g);
}

static void test_workers_serve_the_request_queues(void **state)
{
    struct vhost_kernel_options o = options;
    struct vhost_error *err = NULL;
    uint32_t id[QUEUES], extra;
    struct guest g;

    (void)state;
    o.workers = 2;
    guest_up(&g, &o, QUEUES, F_VERSION_1);
    for (unsigned i = 0; i < QUEUES; i++) {
        assert_int_equal(vhost_kernel_get_worker(g.kernel, i, &id[i], &err), 0);
    }
    assert_int_equal(id[0], id[1]);
    assert_int_not_equal(id[2], id[0]);
    assert_int_not_equal(id[3], id[0]);
    assert_int_not_equal(id[3], id[2]);
    assert_int_equal(id[4], id[2]);
    guest_start(&g);
    wake(&g, 0);
    write_and_read(&g, 0, 30, 6);
    assert_int_equal(vhost_kernel_free_worker(g.kernel, id[2], &err), -EBUSY);
    assert_non_null(strstr(vhost_error_message(err), "attached"));
    vhost_error_free(err);
    err = NULL;
    /* While it runs, to a new one. */
    assert_int_equal(vhost_kernel_new_worker(g.kernel, &extra, &err), 0);
    assert_int_equal(vhost_kernel_attach_worker(g.kernel, 3, extra, &err), 0);
    assert_int_equal(vhost_kernel_free_worker(g.kernel, id[3], &err), 0);
    write_and_read(&g, 0, 30, 7);
    guest_down(&g);
}

static void test_what_it_writes_is_logged(void **state)
{
    uint64_t dirty[GUEST_SIZE / 4096 / 64] = { 0 };
    struct vhost_error *err = NULL;
    unsigned page = (REQUESTS * 0x4000 + 0x2000) / 4096;
    struct guest g;

    (void)state;
    guest_up(&g, &options, QUEUES, F_VERSION_1);
    guest_start(&g);
    wake(&g, 0);
    assert_int_equal(vhost_log_start(g.map, &err), 0);
    write_and_read(&g, 0, 12, 8);
    memset(dirty, 0, sizeof(dirty));
    assert_int_equal(
        vhost_log_sync_bitmap(g.map, dirty, GUEST_GPA, GUEST_SIZE / 4096, &err),
        0);
    assert_true(le64toh(dirty[page / 64]) >> (page % 64) & 1);
    assert_int_equal(vhost_log_stop(g.map, &err), 0);
    guest_down(&g);
}

static void test_events_that_were_missed_are_counted_over(void **state)
{
    uint32_t missed = 7;
    struct guest g;

    (void)state;
    guest_up(&g, &options, QUEUES, F_VERSION_1);
    assert_int_equal(vhost_kernel_set_events_missed(g.kernel, 1, NULL), 0);
    assert_int_equal(vhost_kernel_get_events_missed(g.kernel, &missed, NULL),
                     0);
    assert_int_equal(missed, 1);
    guest_down(&g);
}

static void test_a_target_that_is_not_there_or_not_free(void **state)
{
    struct vhost_kernel_options o = options;
    struct guest g, h;

    (void)state;
    o.wwpn = "naa.5001405000000099";
    guest_up(&g, &o, QUEUES, F_VERSION_1);
    assert_true(vhost_dev_start(&g.dev, &g.vdev, true) < 0);
    assert_non_null(strstr(vhost_error_message(vhost_dev_get_error(&g.dev)),
                           "naa.5001405000000099/tpgt_1"));
    guest_down(&g);
    guest_up(&g, &options, QUEUES, F_VERSION_1);
    guest_start(&g);
    guest_up(&h, &options, QUEUES, F_VERSION_1);
    assert_true(vhost_dev_start(&h.dev, &h.vdev, true) < 0);
    assert_non_null(strstr(vhost_error_message(vhost_dev_get_error(&h.dev)),
                           "another device uses it"));
    guest_stop(&g);
    guest_start(&h);
    wake(&h, 0);
    guest_down(&h);
    guest_down(&g);
}

static void begin_to_write(struct guest *g, const void *arg)
{
    (void)arg;
    guest_up(g, &options, QUEUES, F_VERSION_1);
    guest_start(g);
    wake(g, 0);
}

static void write_on(struct guest *g, unsigned round)
{
    write_and_read(g, 0, 6, round);
}

static void test_a_program_that_is_killed_leaves_the_target(void **state)
{
    struct guest g;

    (void)state;
    guest_is_killed(begin_to_write, write_on, NULL);
    begin_to_write(&g, NULL);
    write_and_read(&g, 0, 12, 10);
    guest_down(&g);
}

/* What is under way at a stop is ended by it, or done at the next start. */
static void test_a_stop_with_commands_in_flight_loses_none(void **state)
{
    uint8_t want[DATA], got[DATA];
    struct guest g;
    uint32_t len;

    (void)state;
    begin_to_write(&g, NULL);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned k = 0; k < IN_FLIGHT; k++) {
            fill(want, round * 100 + k);
            give_write(&g, k, 8 * k, want);
        }
        guest_stop(&g);
        guest_start(&g);
        for (unsigned k = 0; k < IN_FLIGHT; k++) {
            assert_int_not_equal(guest_take(&g, REQUESTS, &len, 0), 0);
        }
        for (unsigned k = 0; k < IN_FLIGHT; k++) {
            fill(want, round * 100 + k);
            assert_int_equal(transfer(&g, REQUESTS + 1, 0, false, 8 * k, got),
                             0);
            assert_memory_equal(got, want, DATA);
        }
    }
    for (unsigned k = 0; k < IN_FLIGHT; k++) {
        give_write(&g, k, 8 * k, want); /* and let go of */
    }
    guest_down(&g);
    begin_to_write(&g, NULL);
    write_and_read(&g, 0, 6, 3);
    guest_down(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_is_written_and_read_back),
        cmocka_unit_test(test_it_says_what_it_is_and_what_is_wrong),
        cmocka_unit_test(test_it_goes_on_after_a_stop_and_in_another_device),
        cmocka_unit_test(test_workers_serve_the_request_queues),
        cmocka_unit_test(test_what_it_writes_is_logged),
        cmocka_unit_test(test_events_that_were_missed_are_counted_over),
        cmocka_unit_test(test_a_target_that_is_not_there_or_not_free),
        cmocka_unit_test(test_a_program_that_is_killed_leaves_the_target),
        cmocka_unit_test(test_a_stop_with_commands_in_flight_loses_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
