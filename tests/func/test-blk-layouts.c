/* SPDX-License-Identifier: BSD-3-Clause */
/* The block driver on the embedded back end, in every layout of the rings. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

#include <vhost/blk.h>
#include <vhost/server.h>

#define BLOCK 4096
#define BLOCKS 64
#define WAIT_MS 10000

struct rig {
    char socket[64];
    char file[64];
    struct vhost_server *server;
    pthread_t thread;
    atomic_bool stop;
    struct vhost_blk *disk;
    char *memory;
};

static void *serve(void *arg)
{
    struct rig *rig = arg;

    while (!rig->stop) {
        vhost_server_run(rig->server, 20, NULL);
    }
    return NULL;
}

static void rig_up(struct rig *rig, struct vhost_blk_options *options,
                   uint64_t hide)
{
    struct vhost_server_options server = { .size = sizeof(server),
                                           .hide_features = hide };
    struct vhost_error *error = NULL;
    char uri[80];
    FILE *file;

    memset(rig, 0, sizeof(*rig));
    snprintf(rig->socket, sizeof(rig->socket), "test-blk-%d.sock",
             (int)getpid());
    snprintf(rig->file, sizeof(rig->file), "test-blk-%d.img", (int)getpid());
    file = fopen(rig->file, "w");
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), BLOCK * BLOCKS), 0);
    fclose(file);
    rig->server = vhost_server_new(
        rig->socket, vhost_server_blk(rig->file, NULL), &server, &error);
    assert_non_null(rig->server);
    assert_int_equal(pthread_create(&rig->thread, NULL, serve, rig), 0);
    options->size = sizeof(*options);
    snprintf(uri, sizeof(uri), "user:%s", rig->socket);
    rig->disk = vhost_blk_open(uri, options, &error);
    if (!rig->disk) {
        fail_msg("%s", vhost_error_message(error));
    }
    rig->memory = vhost_blk_alloc(rig->disk, BLOCK * BLOCKS);
    assert_non_null(rig->memory);
}

static void rig_down(struct rig *rig)
{
    vhost_blk_close(rig->disk);
    rig->stop = true;
    pthread_join(rig->thread, NULL);
    vhost_server_free(rig->server);
    unlink(rig->file);
}

/* Every block, as many in flight as there is room for. */
static void all_blocks(struct rig *rig, bool write)
{
    struct vhost_blk_queue *q = vhost_blk_get_queue(rig->disk, 0);
    struct vhost_completion done[BLOCKS];
    unsigned next = 0, n_done = 0;

    while (n_done < BLOCKS) {
        int n;

        while (next < BLOCKS) {
            char *at = rig->memory + (size_t)next * BLOCK;
            uint64_t offset = (uint64_t)next * BLOCK;
            int r = write ? vhost_blk_write(q, offset, at, BLOCK, at)
                          : vhost_blk_read(q, offset, at, BLOCK, at);

            if (r == -EAGAIN) {
                break;
            }
            assert_int_equal(r, 0);
            next++;
        }
        assert_int_equal(vhost_blk_submit(q), 0);
        n = vhost_blk_wait(q, done, BLOCKS, 1, WAIT_MS);
        assert_true(n > 0);
        for (int i = 0; i < n; i++) {
            assert_int_equal(done[i].result, 0);
        }
        n_done += (unsigned)n;
    }
}

static void write_and_read(struct rig *rig, unsigned seed)
{
    for (size_t i = 0; i < BLOCK * BLOCKS; i++) {
        rig->memory[i] = (char)(i / BLOCK * 3 + i + seed);
    }
    all_blocks(rig, true);
    memset(rig->memory, 0, BLOCK * BLOCKS);
    all_blocks(rig, false);
    for (size_t i = 0; i < BLOCK * BLOCKS; i++) {
        if (rig->memory[i] != (char)(i / BLOCK * 3 + i + seed)) {
            fail_msg("byte %zu is wrong", i);
        }
    }
}

static void in_every_layout(struct vhost_blk_options base, uint64_t hide)
{
    for (unsigned l = VHOST_LAYOUT_SPLIT; l <= VHOST_LAYOUT_PACKED_IN_ORDER;
         l++) {
        struct vhost_blk_options options = base;
        struct vhost_blk_info info;
        struct rig rig;

        options.layout = l;
        rig_up(&rig, &options, hide);
        vhost_blk_get_info(rig.disk, &info);
        assert_int_equal(info.layout, l);
        for (unsigned i = 0; i < 10; i++) {
            write_and_read(&rig, i);
        }
        rig_down(&rig);
    }
}

static void test_what_is_written_is_read_in_every_layout(void **state)
{
    (void)state;
    in_every_layout((struct vhost_blk_options){ .queue_size = 64 }, 0);
}

static void test_also_when_polling(void **state)
{
    (void)state;
    in_every_layout((struct vhost_blk_options){ .polling = true }, 0);
}

static void test_also_without_indirect_tables_and_event_index(void **state)
{
    (void)state;
    in_every_layout((struct vhost_blk_options){ .queue_size = 16 }, UINT64_C(3)
                                                                        << 28);
}

static void test_also_with_spinning_and_without(void **state)
{
    (void)state;
    in_every_layout((struct vhost_blk_options){ .spin_us = 50 }, 0);
    in_every_layout((struct vhost_blk_options){ .spin_us = VHOST_SPIN_NEVER },
                    0);
}

static void test_auto_is_never_in_order(void **state)
{
    struct vhost_blk_options options = { .layout = VHOST_LAYOUT_AUTO };
    struct vhost_blk_info info;
    struct rig rig;

    (void)state;
    rig_up(&rig, &options, 0);
    vhost_blk_get_info(rig.disk, &info);
    assert_int_equal(info.layout, VHOST_LAYOUT_PACKED);
    rig_down(&rig);
    options = (struct vhost_blk_options){ .layout = VHOST_LAYOUT_AUTO };
    rig_up(&rig, &options, UINT64_C(1) << 34);
    vhost_blk_get_info(rig.disk, &info);
    assert_int_equal(info.layout, VHOST_LAYOUT_SPLIT);
    rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read_in_every_layout),
        cmocka_unit_test(test_also_when_polling),
        cmocka_unit_test(test_also_without_indirect_tables_and_event_index),
        cmocka_unit_test(test_also_with_spinning_and_without),
        cmocka_unit_test(test_auto_is_never_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
