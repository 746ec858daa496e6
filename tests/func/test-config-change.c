/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk that grows while it is in use: the back end tells by its own channel,
 * and the driver shows the new size.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

#include <vhost/blk.h>
#include <vhost/server.h>

#include "wire/proto.h"

#define BLOCK 4096
#define WAIT_MS 10000

struct rig {
    char file[64];
    char socket[64];
    struct vhost_server *server;
    pthread_t thread;
    atomic_bool stop;
    atomic_bool refresh;
    atomic_int refreshed; /* what the last one returned; 1: not yet */
    struct vhost_blk *disk;
    unsigned n_changes;
};

static void *serve(void *arg)
{
    struct rig *rig = arg;

    while (!rig->stop) {
        vhost_server_run(rig->server, 10, NULL);
        if (rig->refresh) {
            struct vhost_error *err = NULL;

            rig->refresh = false;
            rig->refreshed = vhost_server_config_changed(rig->server, &err);
            vhost_error_free(err);
        }
    }
    return NULL;
}

static void on_change(struct vhost_blk *disk, void *opaque)
{
    struct rig *rig = opaque;

    (void)disk;
    rig->n_changes++;
}

static void up(struct rig *rig, uint64_t hide_protocol)
{
    struct vhost_server_options how = {
        .size = sizeof(how),
        .hide_protocol_features = hide_protocol,
    };
    struct vhost_blk_options options = { .size = sizeof(options),
                                         .config_changed = on_change,
                                         .opaque = rig };
    char uri[80];
    int fd;

    memset(rig, 0, sizeof(*rig));
    snprintf(rig->file, sizeof(rig->file), "test-change-%d.img", (int)getpid());
    snprintf(rig->socket, sizeof(rig->socket), "test-change-%d.sock",
             (int)getpid());
    snprintf(uri, sizeof(uri), "user:%s", rig->socket);
    fd = open(rig->file, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    assert_return_code(fd, errno);
    close(fd);
    assert_int_equal(truncate(rig->file, 16 * BLOCK), 0);
    rig->server = vhost_server_new(
        rig->socket, vhost_server_blk(rig->file, NULL), &how, NULL);
    assert_non_null(rig->server);
    assert_int_equal(pthread_create(&rig->thread, NULL, serve, rig), 0);
    rig->disk = vhost_blk_open(uri, &options, NULL);
    assert_non_null(rig->disk);
}

static void down(struct rig *rig)
{
    vhost_blk_close(rig->disk);
    rig->stop = true;
    pthread_join(rig->thread, NULL);
    vhost_server_free(rig->server);
    unlink(rig->file);
}

static uint64_t capacity(struct rig *rig)
{
    struct vhost_blk_info info;

    vhost_blk_get_info(rig->disk, &info);
    return info.capacity;
}

/* The server looks at its file again.  Return: what it said. */
static int refresh(struct rig *rig, off_t size)
{
    assert_int_equal(truncate(rig->file, size), 0);
    rig->refreshed = 1;
    rig->refresh = true;
    for (int i = 0; i < WAIT_MS && rig->refreshed == 1; i++) {
        usleep(1000);
    }
    return rig->refreshed;
}

static bool hears(struct rig *rig, int ms)
{
    struct pollfd pfd = { .fd = vhost_blk_get_fd(rig->disk), .events = POLLIN };
    struct vhost_error *err = NULL;
    unsigned before = rig->n_changes;

    if (poll(&pfd, 1, ms) <= 0) {
        return false;
    }
    if (vhost_blk_dispatch(rig->disk, &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    return rig->n_changes > before;
}

static void test_a_disk_that_grew_is_used_to_its_new_end(void **state)
{
    struct vhost_completion done;
    struct vhost_blk_queue *q;
    struct rig rig;
    char *buf;

    (void)state;
    up(&rig, 0);
    q = vhost_blk_get_queue(rig.disk, 0);
    buf = vhost_blk_alloc(rig.disk, BLOCK);
    assert_int_equal(capacity(&rig), 16 * BLOCK);
    assert_int_not_equal(vhost_blk_write(q, 31 * BLOCK, buf, BLOCK, buf), 0);

    assert_int_equal(refresh(&rig, 32 * BLOCK), 0);
    assert_true(hears(&rig, WAIT_MS));
    assert_int_equal(capacity(&rig), 32 * BLOCK);
    assert_int_equal(vhost_blk_write(q, 31 * BLOCK, buf, BLOCK, buf), 0);
    assert_int_equal(vhost_blk_submit(q), 0);
    assert_int_equal(vhost_blk_wait(q, &done, 1, 1, WAIT_MS), 1);
    assert_int_equal(done.result, 0);

    /* Once for each change, and silence after that. */
    assert_int_equal(rig.n_changes, 1);
    assert_false(hears(&rig, 50));
    down(&rig);
}

static void
test_a_change_is_told_to_whoever_waits_for_something_else(void **state)
{
    struct rig rig;

    (void)state;
    up(&rig, 0);
    assert_int_equal(refresh(&rig, 20 * BLOCK), 0);
    /* This asks the back end, and finds the request on the other channel. */
    assert_non_null(vhost_blk_alloc(rig.disk, 256 << 20));
    assert_true(rig.n_changes == 0);
    assert_true(hears(&rig, WAIT_MS) || hears(&rig, WAIT_MS));
    assert_int_equal(capacity(&rig), 20 * BLOCK);
    down(&rig);
}

static void test_a_disk_that_became_empty_stays_as_it_was(void **state)
{
    struct rig rig;

    (void)state;
    up(&rig, 0);
    assert_int_equal(refresh(&rig, BLOCK / 16), -EINVAL);
    assert_false(hears(&rig, 50));
    assert_int_equal(capacity(&rig), 16 * BLOCK);
    down(&rig);
}

static void
test_without_the_channel_nobody_hears_and_all_else_works(void **state)
{
    struct rig rig;

    (void)state;
    up(&rig, VH_PF(BACKEND_REQ));
    assert_int_equal(refresh(&rig, 32 * BLOCK), 0);
    assert_false(hears(&rig, 50));
    assert_int_equal(capacity(&rig), 16 * BLOCK);
    down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_disk_that_grew_is_used_to_its_new_end),
        cmocka_unit_test(
            test_a_change_is_told_to_whoever_waits_for_something_else),
        cmocka_unit_test(test_a_disk_that_became_empty_stays_as_it_was),
        cmocka_unit_test(
            test_without_the_channel_nobody_hears_and_all_else_works),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
