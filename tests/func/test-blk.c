/* SPDX-License-Identifier: BSD-3-Clause */
/* The block driver and the embedded back end, in two processes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vhost/blk.h>
#include <vhost/server.h>
#include <vhost/user.h>

#include "check.h"
#include "driver/blk.h"
#include "wire/proto.h"

#define MIB (1u << 20)
#define DISK_SIZE (64u * MIB)
#define WAIT_MS 20000

struct rig {
    char dir[64];
    char image[128];
    char socket[128];
    char uri[140];
    pid_t server;
    struct vhost_blk *disk;
    struct vhost_blk_queue *q;
    unsigned char *buf;
};

/*
 * Starts the back end in a process of its own, which goes when the test goes:
 * on the socket @fd, or on rig->socket if that is -1.  @other is closed there.
 */
static void serve_as(struct rig *rig, int fd, int other,
                     const struct vhost_server_blk_options *options,
                     const struct vhost_server_options *how)
{
    struct vhost_server *server;
    struct vhost_server_device *device;
    char byte = 0;
    int ready[2];

    assert_int_equal(pipe(ready), 0);
    rig->server = fork();
    assert_true(rig->server >= 0);
    if (rig->server > 0) {
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (other >= 0) {
        close(other);
    }
    device = vhost_server_blk(rig->image, options);
    server = fd >= 0 ? vhost_server_new_fd(fd, device, how, NULL)
                     : vhost_server_new(rig->socket, device, how, NULL);
    if (!server || write(ready[1], &byte, 1) != 1) {
        _exit(1);
    }
    while (vhost_server_run(server, -1, NULL) >= 0) {
    }
    _exit(0);
}

static void serve(struct rig *rig, int fd, int other,
                  const struct vhost_server_blk_options *options)
{
    serve_as(rig, fd, other, options, NULL);
}

static void end_server(struct rig *rig)
{
    if (rig->server > 0) {
        kill(rig->server, SIGKILL);
        waitpid(rig->server, NULL, 0);
        rig->server = 0;
    }
}

static int up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    int fd;

    assert_non_null(rig);
    snprintf(rig->dir, sizeof(rig->dir), "/tmp/test-blk-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    snprintf(rig->image, sizeof(rig->image), "%s/image", rig->dir);
    snprintf(rig->socket, sizeof(rig->socket), "%s/socket", rig->dir);
    snprintf(rig->uri, sizeof(rig->uri), "user:%s", rig->socket);
    fd = open(rig->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, DISK_SIZE), 0);
    close(fd);
    *state = rig;
    return 0;
}

static int down(void **state)
{
    struct rig *rig = *state;

    vhost_blk_close(rig->disk);
    end_server(rig);
    unlink(rig->image);
    unlink(rig->socket);
    rmdir(rig->dir);
    free(rig);
    return 0;
}

/* A disk over one end of a socket pair, its back end at the other. */
static void open_with(struct rig *rig,
                      const struct vhost_server_blk_options *served,
                      const struct vhost_blk_options *options)
{
    struct vhost_error *error = NULL;
    struct vhost_user *user;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
                     0);
    serve(rig, pair[1], pair[0], served);
    close(pair[1]);
    user = vhost_user_new_fd(pair[0], NULL, &error);
    assert_non_null(user);
    rig->disk = vh_blk_open_over(vh_link_of_user(user), options, &error);
    if (!rig->disk) {
        fail_msg("%s", vhost_error_message(error));
    }
    rig->q = vhost_blk_get_queue(rig->disk, 0);
}

/* Waits for @n completions, all of them good. */
static void finish(struct vhost_blk_queue *q, unsigned n)
{
    struct vhost_completion done[64];

    assert_int_equal(vhost_blk_submit(q), 0);
    assert_int_equal(vhost_blk_wait(q, done, 64, n, WAIT_MS), n);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(done[i].result, 0);
    }
}

static void fill(void *buf, size_t len, unsigned seed)
{
    uint32_t *words = buf;

    for (size_t i = 0; i < len / 4; i++) {
        words[i] = (uint32_t)(i * 2654435761u + seed);
    }
}

static void check_fill(const void *buf, size_t len, unsigned seed)
{
    const uint32_t *words = buf;

    for (size_t i = 0; i < len / 4; i++) {
        assert_int_equal(words[i], (uint32_t)(i * 2654435761u + seed));
    }
}

static bool is_zero(const unsigned char *buf, size_t len)
{
    return buf[0] == 0 && memcmp(buf, buf + 1, len - 1) == 0;
}

static int shared_file(unsigned char **addrp, size_t len)
{
    int fd = memfd_create("mine", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    *addrp = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(*addrp, MAP_FAILED);
    return fd;
}

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n;
}

static unsigned count_shared_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    unsigned n = 0;

    while (fgets(line, sizeof(line), maps)) {
        n += strstr(line, "memfd:") != NULL;
    }
    fclose(maps);
    return n;
}

static void test_info_is_what_the_back_end_serves(void **state)
{
    struct rig *rig = *state;
    struct vhost_blk_info info;

    open_with(
        rig,
        &(struct vhost_server_blk_options){ .queues = 4, .block_size = 4096 },
        &(struct vhost_blk_options){ .queues = 2, .queue_size = 64 });
    vhost_blk_get_info(rig->disk, &info);
    assert_int_equal(info.capacity, DISK_SIZE);
    assert_int_equal(info.block_size, 4096);
    assert_false(info.read_only);
    assert_true(info.flush);
    assert_int_equal(info.queues, 2);
    assert_int_equal(info.max_queues, 4);
    assert_int_equal(info.queue_size, 64);
    assert_true(info.max_segments > 1);
    assert_non_null(vhost_blk_get_queue(rig->disk, 1));
    assert_null(vhost_blk_get_queue(rig->disk, 2));
    assert_int_equal(vhost_blk_dispatch(rig->disk, NULL), 0);
}

static void write_and_read_back(struct rig *rig,
                                const struct vhost_blk_options *options)
{
    unsigned char *buf;

    open_with(rig, NULL, options);
    buf = vhost_blk_alloc(rig->disk, 2 * MIB);
    assert_non_null(buf);
    fill(buf, MIB, 7);
    for (unsigned i = 0; i < 32; i++) {
        assert_int_equal(vhost_blk_write(rig->q, MIB + i * 32768,
                                         buf + i * 32768, 32768, NULL),
                         0);
    }
    finish(rig->q, 32);
    assert_int_equal(vhost_blk_flush(rig->q, NULL), 0);
    finish(rig->q, 1);
    assert_int_equal(vhost_blk_read(rig->q, MIB, buf + MIB, MIB, NULL), 0);
    finish(rig->q, 1);
    check_fill(buf + MIB, MIB, 7);
}

static void test_what_is_written_is_read_back(void **state)
{
    struct rig *rig = *state;
    unsigned char block[4096];
    int fd;

    write_and_read_back(rig, NULL);
    fd = open(rig->image, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, block, sizeof(block), MIB), sizeof(block));
    check_fill(block, sizeof(block), 7);
    close(fd);
}

static void test_the_same_when_polling(void **state)
{
    write_and_read_back(*state, &(struct vhost_blk_options){ .polling = true });
}

static void test_the_same_on_a_small_queue(void **state)
{
    struct rig *rig = *state;
    unsigned char *buf;

    open_with(
        rig, NULL,
        &(struct vhost_blk_options){ .queue_size = 4, .pool_size = 65536 });
    buf = vhost_blk_alloc(rig->disk, 2 * MIB);
    fill(buf, MIB, 3);
    for (unsigned i = 0; i < 16; i++) {
        int r =
            vhost_blk_write(rig->q, i * 65536, buf + i * 65536, 65536, NULL);

        if (r == -EAGAIN) {
            finish(rig->q, 4);
            i--;
        }
    }
    finish(rig->q, 4);
    assert_int_equal(vhost_blk_read(rig->q, 0, buf + MIB, MIB, NULL), 0);
    finish(rig->q, 1);
    check_fill(buf + MIB, MIB, 3);
}

static void test_vectors_gather_and_scatter(void **state)
{
    struct rig *rig = *state;
    struct iovec iov[200];
    unsigned char *buf;

    open_with(rig, NULL, NULL);
    buf = vhost_blk_alloc(rig->disk, 2 * MIB);
    fill(buf, MIB, 9);
    /* 200 pieces: more than one request takes, and no block ends where a
     * piece does; the last one makes it whole blocks. */
    for (unsigned i = 0; i < 200; i++) {
        iov[i] = (struct iovec){ buf + i * 1000, 1000 };
    }
    iov[199].iov_len = 1000 - 200000 % 512;
    assert_int_equal(vhost_blk_writev(rig->q, 0, iov, 200, NULL), 0);
    finish(rig->q, 1);
    for (unsigned i = 0; i < 200; i++) { /* back, each at twice the distance */
        iov[i].iov_base = buf + i * 2000;
    }
    memset(buf, 0, MIB);
    assert_int_equal(vhost_blk_readv(rig->q, 0, iov, 200, NULL), 0);
    finish(rig->q, 1);
    fill(buf + MIB, MIB, 9);
    for (unsigned i = 0; i < 200; i++) {
        assert_memory_equal(buf + i * 2000, buf + MIB + i * 1000,
                            iov[i].iov_len);
    }
}

static void test_the_callers_memory_can_be_mapped(void **state)
{
    struct rig *rig = *state;
    unsigned char *mine;
    int fd = shared_file(&mine, 4 * MIB);

    open_with(rig, NULL, NULL);
    assert_int_equal(vhost_blk_read(rig->q, 0, mine, 512, NULL), -EFAULT);
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(
            vhost_blk_map(rig->disk, mine + MIB, 2 * MIB, fd, MIB, NULL), 0);
        fill(mine + MIB, MIB, round);
        assert_int_equal(vhost_blk_write(rig->q, 0, mine + MIB, MIB, NULL), 0);
        finish(rig->q, 1);
        assert_int_equal(vhost_blk_read(rig->q, 0, mine + 2 * MIB, MIB, NULL),
                         0);
        finish(rig->q, 1);
        check_fill(mine + 2 * MIB, MIB, round);
        assert_int_equal(vhost_blk_unmap(rig->disk, mine + MIB, NULL), 0);
        assert_int_equal(vhost_blk_read(rig->q, 0, mine + MIB, 512, NULL),
                         -EFAULT);
    }
    munmap(mine, 4 * MIB);
    close(fd);
}

static void map_refused(struct rig *rig, void *addr, size_t size, int fd,
                        int code)
{
    struct vhost_error *error = NULL;

    assert_int_equal(vhost_blk_map(rig->disk, addr, size, fd, 0, &error), code);
    assert_int_equal(vhost_error_code(error), code);
    vhost_error_free(error);
}

/* A back end that refuses memory breaks the device: none must get to it. */
static void test_memory_that_can_not_be_shared_does_no_harm(void **state)
{
    struct rig *rig = *state;
    unsigned char *mine;
    unsigned char *hole;
    int fd = shared_file(&mine, MIB);
    int read_only = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int path = open(rig->dir, O_PATH | O_CLOEXEC);
    int pair[2];

    open_with(rig, NULL, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
                     0);
    hole = mmap(NULL, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(hole, MAP_FAILED);
    munmap(hole, MIB);
    map_refused(rig, mine, MIB, -1, -EBADF);
    map_refused(rig, mine, MIB, 1000000, -EBADF);
    map_refused(rig, mine, 4096, read_only, -EACCES);
    map_refused(rig, mine, 4096, path, -EBADF);
    map_refused(rig, mine, 4096, pair[0], -ENODEV);
    map_refused(rig, mine, 2 * MIB, fd, -EINVAL);
    map_refused(rig, hole, MIB, fd, -EFAULT);
    map_refused(rig, NULL, MIB, fd, -EFAULT);
    /* After all of it the device works, with memory whose file is closed. */
    assert_int_equal(vhost_blk_map(rig->disk, mine, MIB, fd, 0, NULL), 0);
    close(fd);
    assert_int_equal(vhost_blk_read(rig->q, 0, mine, MIB, NULL), 0);
    finish(rig->q, 1);
    assert_int_equal(vhost_blk_dispatch(rig->disk, NULL), 0);
    end_server(rig);
    assert_int_equal(vhost_blk_dispatch(rig->disk, NULL), -ENOTCONN);
    map_refused(rig, mine, MIB, fd, -ENOTCONN);
    munmap(mine, MIB);
    close(read_only);
    close(path);
    close(pair[0]);
    close(pair[1]);
}

/* Whose back end is sent each file again whenever a region comes or goes. */
static void test_files_may_be_closed_where_there_are_no_slots(void **state)
{
    const struct vhost_server_options bare = {
        .hide_protocol_features = VH_PF(CONFIGURE_MEM_SLOTS) | VH_PF(REPLY_ACK)
    };
    struct rig *rig = *state;
    unsigned char *mine[4];
    unsigned fds = count_fds();

    serve_as(rig, -1, -1, NULL, &bare);
    rig->disk = vhost_blk_open(rig->uri, NULL, NULL);
    assert_non_null(rig->disk);
    rig->q = vhost_blk_get_queue(rig->disk, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(mine); i++) {
        int fd = shared_file(&mine[i], MIB);

        assert_int_equal(vhost_blk_map(rig->disk, mine[i], MIB, fd, 0, NULL),
                         0);
        close(fd);
    }
    assert_int_equal(vhost_blk_unmap(rig->disk, mine[1], NULL), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(mine); i++) {
        fill(mine[i], MIB, i);
        assert_int_equal(vhost_blk_write(rig->q, i * MIB, mine[i], MIB, NULL),
                         i == 1 ? -EFAULT : 0);
        finish(rig->q, i != 1);
    }
    assert_int_equal(vhost_blk_read(rig->q, 3 * MIB, mine[0], MIB, NULL), 0);
    finish(rig->q, 1);
    check_fill(mine[0], MIB, 3);
    vhost_blk_close(rig->disk);
    rig->disk = NULL;
    assert_int_equal(count_fds(), fds);
    for (unsigned i = 0; i < ARRAY_SIZE(mine); i++) {
        munmap(mine[i], MIB);
    }
}

static void test_discard_and_write_zeroes_clear_a_range(void **state)
{
    struct rig *rig = *state;
    struct vhost_blk_info info;
    unsigned char *buf;

    open_with(rig, NULL, NULL);
    vhost_blk_get_info(rig->disk, &info);
    assert_true(info.discard && info.write_zeroes);
    buf = vhost_blk_alloc(rig->disk, MIB);
    fill(buf, MIB, 5);
    assert_int_equal(vhost_blk_write(rig->q, 0, buf, MIB, NULL), 0);
    finish(rig->q, 1);
    assert_int_equal(vhost_blk_discard(rig->q, 0, 65536, NULL), 0);
    assert_int_equal(vhost_blk_write_zeroes(rig->q, 65536, 65536, false, NULL),
                     0);
    assert_int_equal(vhost_blk_write_zeroes(rig->q, 131072, 512, true, NULL),
                     0);
    finish(rig->q, 3);
    assert_int_equal(vhost_blk_read(rig->q, 0, buf, MIB, NULL), 0);
    finish(rig->q, 1);
    assert_true(is_zero(buf + 65536, 65536 + 512));
    assert_false(is_zero(buf + 131072 + 512, 512));
}

static void test_the_serial_number_is_read(void **state)
{
    struct rig *rig = *state;
    char *id;

    open_with(rig, &(struct vhost_server_blk_options){ .serial = "number-1" },
              NULL);
    id = vhost_blk_alloc(rig->disk, 20);
    memset(id, 'x', 20);
    assert_int_equal(vhost_blk_get_id(rig->q, id, NULL), 0);
    finish(rig->q, 1);
    assert_memory_equal(id, "number-1\0", 9);
}

struct worker {
    struct rig *rig;
    unsigned index;
    unsigned wrong;
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct vhost_blk_queue *q = vhost_blk_get_queue(w->rig->disk, w->index);
    uint64_t base = w->index * 8ull * MIB;
    struct vhost_completion done[32];
    unsigned char *buf = w->rig->buf + w->index * 2 * MIB;

    for (unsigned round = 0; round < 20; round++) {
        fill(buf, MIB, w->index * 100 + round);
        for (unsigned i = 0; i < 32; i++) {
            w->wrong += vhost_blk_write(q, base + i * 32768, buf + i * 32768,
                                        32768, NULL) != 0;
        }
        w->wrong += vhost_blk_submit(q) != 0;
        w->wrong += vhost_blk_wait(q, done, 32, 32, WAIT_MS) != 32;
        w->wrong += vhost_blk_read(q, base, buf + MIB, MIB, NULL) != 0;
        w->wrong += vhost_blk_submit(q) != 0;
        w->wrong += vhost_blk_wait(q, done, 32, 1, WAIT_MS) != 1;
        w->wrong += memcmp(buf, buf + MIB, MIB) != 0;
    }
    return NULL;
}

static void test_four_queues_serve_four_threads(void **state)
{
    struct rig *rig = *state;
    struct worker workers[4];
    pthread_t threads[4];
    unsigned char *mine;
    int fd = shared_file(&mine, MIB);

    open_with(rig, &(struct vhost_server_blk_options){ .queues = 4 },
              &(struct vhost_blk_options){ .queues = 4 });
    rig->buf = vhost_blk_alloc(rig->disk, 8 * MIB);
    assert_non_null(rig->buf);
    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (struct worker){ .rig = rig, .index = i };
        assert_int_equal(
            pthread_create(&threads[i], NULL, worker_main, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 100; i++) { /* while memory comes and goes */
        assert_int_equal(vhost_blk_map(rig->disk, mine, MIB, fd, 0, NULL), 0);
        assert_int_equal(vhost_blk_unmap(rig->disk, mine, NULL), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].wrong, 0);
    }
    munmap(mine, MIB);
    close(fd);
}

static void test_what_lies_beyond_the_end_is_refused(void **state)
{
    struct rig *rig = *state;
    char *buf;

    open_with(rig, NULL, NULL);
    buf = vhost_blk_alloc(rig->disk, 4096);
    assert_int_equal(vhost_blk_read(rig->q, DISK_SIZE, buf, 512, NULL),
                     -ERANGE);
    assert_int_equal(vhost_blk_write(rig->q, DISK_SIZE - 512, buf, 1024, NULL),
                     -ERANGE);
    assert_int_equal(vhost_blk_read(rig->q, 100, buf, 512, NULL), -EINVAL);
    assert_int_equal(vhost_blk_read(rig->q, DISK_SIZE - 512, buf, 512, NULL),
                     0);
    finish(rig->q, 1);
}

static void test_a_read_only_device_takes_no_writes(void **state)
{
    struct rig *rig = *state;
    struct vhost_blk_info info;
    char *buf;

    open_with(rig, &(struct vhost_server_blk_options){ .read_only = true },
              NULL);
    vhost_blk_get_info(rig->disk, &info);
    assert_true(info.read_only);
    buf = vhost_blk_alloc(rig->disk, 4096);
    assert_int_equal(vhost_blk_write(rig->q, 0, buf, 512, NULL), -EROFS);
    assert_int_equal(vhost_blk_read(rig->q, 0, buf, 512, NULL), 0);
    finish(rig->q, 1);
}

static void test_more_queues_than_there_are_fail_with_both_numbers(void **state)
{
    struct rig *rig = *state;
    struct vhost_blk_options options = { .queues = 4 };
    struct vhost_error *error = NULL;

    serve(rig, -1, -1, NULL);
    assert_null(vhost_blk_open(rig->uri, &options, &error));
    assert_int_equal(vhost_error_code(error), -EINVAL);
    print_message("%s\n", vhost_error_message(error));
    assert_non_null(strstr(vhost_error_message(error), rig->uri));
    assert_non_null(strchr(vhost_error_message(error), '4'));
    assert_non_null(strchr(vhost_error_message(error), '1'));
    vhost_error_free(error);
}

static void test_impossible_options_are_refused(void **state)
{
    static const struct vhost_blk_options wrong[] = {
        { .queue_size = 3 }, { .queue_size = 2 }, { .queue_size = 65536 },
        { .queues = 70000 }, { .layout = 7 },
    };
    struct rig *rig = *state;
    struct vhost_error *error = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_null(vhost_blk_open(rig->uri, &wrong[i], &error));
        assert_int_equal(vhost_error_code(error), -EINVAL);
        vhost_error_free(error);
        error = NULL;
    }
    assert_null(vhost_blk_open(rig->uri, NULL, &error));
    assert_int_equal(vhost_error_code(error), -ENOENT);
    /* The name of the device stands there once. */
    assert_memory_equal(vhost_error_message(error), rig->uri, strlen(rig->uri));
    assert_null(strstr(vhost_error_message(error) + 1, rig->uri));
    vhost_error_free(error);
}

/* Built against a later header, or an earlier one. */
static void test_options_of_another_size_are_taken(void **state)
{
    struct {
        struct vhost_blk_options known;
        char later[512];
    } options = { .known = { .size = sizeof(options), .queues = 2 } };
    struct rig *rig = *state;
    struct vhost_blk_info info;
    struct vhost_error *error = NULL;

    serve(rig, -1, -1, &(struct vhost_server_blk_options){ .queues = 4 });
    rig->disk = vhost_blk_open(rig->uri, &options.known, NULL);
    assert_non_null(rig->disk);
    vhost_blk_get_info(rig->disk, &info);
    assert_int_equal(info.queues, 2);
    vhost_blk_close(rig->disk);

    options.later[511] = 1;
    rig->disk = vhost_blk_open(rig->uri, &options.known, &error);
    assert_null(rig->disk);
    assert_int_equal(vhost_error_code(error), -EINVAL);
    vhost_error_free(error);

    options.known.size = offsetof(struct vhost_blk_options, queues);
    options.known.layout = 77;
    rig->disk = vhost_blk_open(rig->uri, &options.known, NULL);
    assert_non_null(rig->disk);
    vhost_blk_get_info(rig->disk, &info);
    assert_int_equal(info.queues, 1);
}

/* Six times this is no number of an unsigned. */
static void test_a_deadline_of_weeks_is_not_cut_to_nothing(void **state)
{
    struct rig *rig = *state;
    unsigned char *mine;
    int fd = shared_file(&mine, MIB);

    serve(rig, -1, -1, NULL);
    rig->disk = vhost_blk_open(
        rig->uri, &(struct vhost_blk_options){ .deadline_ms = 715827883 },
        NULL);
    assert_non_null(rig->disk);
    kill(rig->server, SIGSTOP);
    if (fork() == 0) {
        usleep(100000);
        kill(rig->server, SIGCONT);
        _exit(0);
    }
    assert_int_equal(vhost_blk_map(rig->disk, mine, MIB, fd, 0, NULL), 0);
    wait(NULL);
    munmap(mine, MIB);
    close(fd);
}

static void *kill_soon(void *arg)
{
    struct rig *rig = arg;

    usleep(50000);
    kill(rig->server, SIGKILL);
    return NULL;
}

/* What no honest driver does: a buffer outside of the memory. */
static void break_ring(struct vhost_blk_queue *q)
{
    const struct vh_sg sg[] = { { .addr = 4096, .len = 16 },
                                { .addr = 8192, .len = 1 } };

    assert_int_equal(vh_ring_add(q->vq->ring, sg, 1, 1, q->free), 0);
    q->n_prepared++;
    assert_int_equal(vhost_blk_submit(q), 0);
}

static void given_up_by_the_back_end(struct rig *rig, bool polling,
                                     bool dispatched)
{
    struct vhost_completion done;
    struct pollfd control = { .events = POLLIN };

    open_with(rig, &(struct vhost_server_blk_options){ .queues = 2 },
              &(struct vhost_blk_options){ .queues = 2, .polling = polling });
    break_ring(rig->q);
    if (dispatched) {
        control.fd = vhost_blk_get_fd(rig->disk);
        assert_int_equal(poll(&control, 1, WAIT_MS), 1);
        assert_int_equal(vhost_blk_dispatch(rig->disk, NULL), 0);
    }
    assert_int_equal(vhost_blk_wait(rig->q, &done, 1, 1, -1), -EPROTO);
    assert_non_null(strstr(vhost_blk_queue_error(rig->q), "says"));
    rig->q = vhost_blk_get_queue(rig->disk, 1);
    assert_int_equal(vhost_blk_flush(rig->q, NULL), 0);
    finish(rig->q, 1); /* the other one goes on */
    vhost_blk_close(rig->disk);
    rig->disk = NULL;
    end_server(rig);
}

static void test_a_queue_that_the_back_end_gave_up_says_so(void **state)
{
    given_up_by_the_back_end(*state, false, false);
    given_up_by_the_back_end(*state, false, true);
    given_up_by_the_back_end(*state, true, false);
    given_up_by_the_back_end(*state, true, true);
}

static unsigned lost;

static void on_lost(struct vhost_blk *disk, const char *reason, void *opaque)
{
    (void)disk;
    assert_non_null(reason);
    assert_ptr_equal(opaque, &lost);
    lost++;
}

static void dies_while_waited_for(struct rig *rig, bool polling)
{
    struct vhost_completion done;
    struct pollfd control = { .events = POLLIN };
    pthread_t thread;
    char *buf;

    lost = 0;
    open_with(rig, NULL,
              &(struct vhost_blk_options){
                  .polling = polling, .lost = on_lost, .opaque = &lost });
    buf = vhost_blk_alloc(rig->disk, 4096);
    kill(rig->server, SIGSTOP);
    assert_int_equal(vhost_blk_read(rig->q, 0, buf, 4096, NULL), 0);
    assert_int_equal(vhost_blk_submit(rig->q), 0);
    /* One that hangs ends a wait by the timeout alone. */
    assert_int_equal(vhost_blk_wait(rig->q, &done, 1, 1, 20), 0);
    assert_int_equal(pthread_create(&thread, NULL, kill_soon, rig), 0);
    assert_int_equal(vhost_blk_wait(rig->q, &done, 1, 1, -1), -ENOTCONN);
    pthread_join(thread, NULL);
    assert_int_equal(vhost_blk_read(rig->q, 0, buf, 4096, NULL), -ENOTCONN);
    control.fd = vhost_blk_get_fd(rig->disk);
    assert_int_equal(poll(&control, 1, WAIT_MS), 1);
    assert_int_equal(vhost_blk_dispatch(rig->disk, NULL), -ENOTCONN);
    assert_int_equal(vhost_blk_dispatch(rig->disk, NULL), -ENOTCONN);
    assert_int_equal(lost, 1);
}

static void test_a_back_end_that_dies_ends_a_sleeping_wait(void **state)
{
    dies_while_waited_for(*state, false);
}

static void test_a_back_end_that_dies_ends_a_spinning_wait(void **state)
{
    dies_while_waited_for(*state, true);
}

static void open_then_hang(struct rig *rig)
{
    serve(rig, -1, -1, NULL);
    rig->disk = vhost_blk_open(
        rig->uri, &(struct vhost_blk_options){ .deadline_ms = 1000 }, NULL);
    assert_non_null(rig->disk);
    rig->q = vhost_blk_get_queue(rig->disk, 0);
    kill(rig->server, SIGSTOP);
}

/* Does closing give up before @ms?  If not the back end goes on by then. */
static bool close_gives_up_within(struct rig *rig, unsigned ms)
{
    struct pollfd end = { .events = POLLIN };
    int done[2];
    pid_t waker;
    int status;

    assert_int_equal(pipe(done), 0);
    waker = fork();
    if (waker == 0) {
        close(done[1]);
        end.fd = done[0];
        if (poll(&end, 1, (int)ms) == 0) {
            kill(rig->server, SIGCONT);
            _exit(1);
        }
        _exit(0);
    }
    close(done[0]);
    vhost_blk_close(rig->disk);
    rig->disk = NULL;
    close(done[1]);
    assert_int_equal(waitpid(waker, &status, 0), waker);
    return WEXITSTATUS(status) == 0;
}

static void note_reason(struct vhost_blk *disk, const char *reason,
                        void *opaque)
{
    (void)disk;
    snprintf(opaque, 256, "%s", reason);
}

/* And not only that it is lost: what the first failing call said. */
static void test_why_a_disk_was_lost_is_told(void **state)
{
    char reason[256] = "";
    struct vhost_error *error = NULL;
    struct rig *rig = *state;
    unsigned char *mine;
    int fd = shared_file(&mine, MIB);

    serve(rig, -1, -1, NULL);
    rig->disk = vhost_blk_open(rig->uri,
                               &(struct vhost_blk_options){ .deadline_ms = 50,
                                                            .lost = note_reason,
                                                            .opaque = reason },
                               NULL);
    assert_non_null(rig->disk);
    kill(rig->server, SIGSTOP);
    map_refused(rig, mine, MIB, fd, -ETIMEDOUT);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(vhost_blk_dispatch(rig->disk, &error), -ENOTCONN);
        assert_non_null(strstr(vhost_error_message(error), "no answer to"));
        vhost_error_free(error);
        error = NULL;
    }
    assert_non_null(strstr(reason, "no answer to"));
    assert_non_null(strstr(reason, rig->uri));
    munmap(mine, MIB);
    close(fd);
}

static void test_an_idle_disk_that_hangs_is_given_up_soon(void **state)
{
    struct rig *rig = *state;

    open_then_hang(rig);
    assert_true(close_gives_up_within(rig, 5000));
}

static void test_requests_in_flight_are_given_time_when_closing(void **state)
{
    struct rig *rig = *state;
    void *buf;

    open_then_hang(rig);
    buf = vhost_blk_alloc(rig->disk, 4096);
    assert_int_equal(vhost_blk_read(rig->q, 0, buf, 4096, NULL), 0);
    assert_int_equal(vhost_blk_submit(rig->q), 0);
    assert_false(close_gives_up_within(rig, 2000));
}

static void test_a_disk_reopened_often_leaves_nothing_behind(void **state)
{
    struct rig *rig = *state;
    unsigned fds = count_fds();

    serve(rig, -1, -1, &(struct vhost_server_blk_options){ .queues = 2 });
    for (unsigned i = 0; i < 50; i++) {
        struct vhost_blk_options options = { .queues = 1 + i % 2,
                                             .polling = i % 3 == 0 };
        struct vhost_error *error = NULL;
        char *buf;

        rig->disk = vhost_blk_open(rig->uri, &options, &error);
        if (!rig->disk) {
            fail_msg("%s", vhost_error_message(error));
        }
        rig->q = vhost_blk_get_queue(rig->disk, i % 2);
        buf = vhost_blk_alloc(rig->disk, 4096);
        assert_int_equal(vhost_blk_read(rig->q, 0, buf, 4096, NULL), 0);
        if (i % 5) {
            finish(rig->q, 1);
        } else { /* closed with a request in flight */
            assert_int_equal(vhost_blk_submit(rig->q), 0);
        }
        vhost_blk_close(rig->disk);
        rig->disk = NULL;
    }
    assert_int_equal(count_fds(), fds);
    assert_int_equal(count_shared_mappings(), 0);
}

static void test_a_disk_whose_back_end_died_leaves_nothing_behind(void **state)
{
    struct rig *rig = *state;
    unsigned fds = count_fds();

    open_with(rig, NULL, NULL);
    end_server(rig);
    vhost_blk_close(rig->disk);
    rig->disk = NULL;
    assert_int_equal(count_fds(), fds);
    assert_int_equal(count_shared_mappings(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_info_is_what_the_back_end_serves),
        TEST(test_what_is_written_is_read_back),
        TEST(test_the_same_when_polling),
        TEST(test_the_same_on_a_small_queue),
        TEST(test_vectors_gather_and_scatter),
        TEST(test_the_callers_memory_can_be_mapped),
        TEST(test_memory_that_can_not_be_shared_does_no_harm),
        TEST(test_files_may_be_closed_where_there_are_no_slots),
        TEST(test_discard_and_write_zeroes_clear_a_range),
        TEST(test_the_serial_number_is_read),
        TEST(test_four_queues_serve_four_threads),
        TEST(test_what_lies_beyond_the_end_is_refused),
        TEST(test_a_read_only_device_takes_no_writes),
        TEST(test_more_queues_than_there_are_fail_with_both_numbers),
        TEST(test_impossible_options_are_refused),
        TEST(test_options_of_another_size_are_taken),
        TEST(test_a_deadline_of_weeks_is_not_cut_to_nothing),
        TEST(test_a_queue_that_the_back_end_gave_up_says_so),
        TEST(test_a_back_end_that_dies_ends_a_sleeping_wait),
        TEST(test_a_back_end_that_dies_ends_a_spinning_wait),
        TEST(test_why_a_disk_was_lost_is_told),
        TEST(test_an_idle_disk_that_hangs_is_given_up_soon),
        TEST(test_requests_in_flight_are_given_time_when_closing),
        TEST(test_a_disk_reopened_often_leaves_nothing_behind),
        TEST(test_a_disk_whose_back_end_died_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
