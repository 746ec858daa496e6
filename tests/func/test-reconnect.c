/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk whose back end is killed under verified writes, again and again: no
 * request is lost, none is corrupted.
 *
 * RECONNECT_KILLS tells how often; 60 for each of four kinds of disk by default.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vhost/blk.h>
#include <vhost/server.h>

#include "check.h"

#define BLOCK 4096u
#define BLOCKS 2048u
#define DEPTH 128u
#define WAIT_MS 20000

struct write {
    unsigned block;
    uint32_t version;
    bool busy;
    unsigned char *buf;
};

struct rig {
    char dir[64];
    char image[128];
    char socket[128];
    char uri[140];
    unsigned queues;
    _Atomic pid_t server;
    struct vhost_blk *disk;
    _Atomic unsigned n_lost;
    _Atomic unsigned n_resumed;
    unsigned n_given_up;
    char words[160];
    /* the load */
    struct write writes[DEPTH];
    uint32_t version[BLOCKS]; /* as last completed */
    bool busy[BLOCKS];
    uint64_t random;
    uint64_t n_done;
    uint64_t n_steps;
    _Atomic bool stop;
};

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* A back end in a process of its own, listening when this returns. */
static void serve(struct rig *rig)
{
    const struct vhost_server_blk_options blk = { .queues = rig->queues };
    struct vhost_server *server;
    char byte = 0;
    int ready[2];
    pid_t pid;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) {
        rig->server = pid;
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    server = vhost_server_new(rig->socket, vhost_server_blk(rig->image, &blk),
                              NULL, NULL);
    if (!server || write(ready[1], &byte, 1) != 1) {
        _exit(1);
    }
    while (vhost_server_run(server, -1, NULL) >= 0) {
    }
    _exit(0);
}

static void kill_server(struct rig *rig)
{
    pid_t pid = rig->server;

    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        rig->server = 0;
    }
}

static int up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    int fd;

    assert_non_null(rig);
    snprintf(rig->dir, sizeof(rig->dir), "/tmp/test-reconnect-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    snprintf(rig->image, sizeof(rig->image), "%s/image", rig->dir);
    snprintf(rig->socket, sizeof(rig->socket), "%s/socket", rig->dir);
    snprintf(rig->uri, sizeof(rig->uri), "user:%s", rig->socket);
    fd = open(rig->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)BLOCKS * BLOCK), 0);
    close(fd);
    rig->queues = 2;
    rig->random = 88172645463325252u;
    *state = rig;
    return 0;
}

static int down(void **state)
{
    struct rig *rig = *state;

    vhost_blk_close(rig->disk);
    kill_server(rig);
    unlink(rig->image);
    unlink(rig->socket);
    rmdir(rig->dir);
    free(rig);
    return 0;
}

static void on_lost(struct vhost_blk *disk, const char *reason, void *opaque)
{
    struct rig *rig = opaque;

    (void)disk;
    assert_non_null(reason);
    snprintf(rig->words, sizeof(rig->words), "%s", reason);
    rig->n_lost++;
}

static void on_resumed(struct vhost_blk *disk, void *opaque)
{
    struct rig *rig = opaque;

    (void)disk;
    rig->n_resumed++;
}

static void open_disk(struct rig *rig, unsigned layout, bool polling,
                      unsigned reconnect_ms)
{
    struct vhost_blk_options options = {
        .queues = 2,
        .layout = layout,
        .polling = polling,
        .deadline_ms = 2000,
        .lost = on_lost,
        .resumed = on_resumed,
        .reconnect_ms = reconnect_ms,
        .opaque = rig,
    };
    struct vhost_error *error = NULL;

    rig->disk = vhost_blk_open(rig->uri, &options, &error);
    if (!rig->disk) {
        fail_msg("%s", vhost_error_message(error));
    }
}

/* The load: each block says which it is, and how often it was written. */

static unsigned random_block(struct rig *rig)
{
    rig->random ^= rig->random << 13;
    rig->random ^= rig->random >> 7;
    rig->random ^= rig->random << 17;
    return (unsigned)(rig->random % BLOCKS);
}

static void stamp(unsigned char *buf, uint32_t block, uint32_t version)
{
    for (unsigned i = 0; i < BLOCK; i += 8) {
        memcpy(buf + i, &block, 4);
        memcpy(buf + i + 4, &version, 4);
    }
}

static void prepare(struct rig *rig, struct vhost_blk_queue *q)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        struct write *w = &rig->writes[i];
        unsigned block = random_block(rig);

        if (w->busy || rig->busy[block]) {
            continue;
        }
        w->block = block;
        w->version = rig->version[block] + 1;
        stamp(w->buf, block, w->version);
        if (vhost_blk_write(q, (uint64_t)block * BLOCK, w->buf, BLOCK, w) < 0) {
            break;
        }
        w->busy = rig->busy[block] = true;
    }
    assert_int_equal(vhost_blk_submit(q), 0);
}

static unsigned complete(struct rig *rig, const struct vhost_completion *done,
                         int n)
{
    if (n < 0) {
        fail_msg("%s", strerror(-n));
    }
    for (int i = 0; i < n; i++) {
        struct write *w = done[i].cookie;

        assert_int_equal(done[i].result, 0);
        assert_true(w->busy); /* and so not completed twice */
        w->busy = rig->busy[w->block] = false;
        rig->version[w->block] = w->version;
    }
    rig->n_done += (unsigned)n;
    return (unsigned)n;
}

static unsigned step(struct rig *rig, struct vhost_blk_queue *q, bool polling)
{
    struct vhost_completion done[DEPTH];

    prepare(rig, q);
    if (polling && ++rig->n_steps % 64 == 0) {
        assert_int_equal(vhost_blk_dispatch(rig->disk, NULL), 0);
    }
    return complete(rig, done,
                    polling ? vhost_blk_poll(q, done, DEPTH)
                            : vhost_blk_wait(q, done, DEPTH, 1, 100));
}

static void drain(struct rig *rig, struct vhost_blk_queue *q)
{
    int64_t deadline = now_ns() + WAIT_MS * INT64_C(1000000);

    for (unsigned busy = 1; busy > 0;) {
        struct vhost_completion done[DEPTH];

        complete(rig, done, vhost_blk_wait(q, done, DEPTH, 1, 100));
        busy = 0;
        for (unsigned i = 0; i < DEPTH; i++) {
            busy += rig->writes[i].busy;
        }
        assert_true(now_ns() < deadline);
    }
}

/* By the file itself, which no driver of ours has a hand in. */
static void verify(struct rig *rig)
{
    unsigned char found[BLOCK];
    unsigned char expected[BLOCK];
    int fd = open(rig->image, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    for (unsigned block = 0; block < BLOCKS; block++) {
        assert_int_equal(pread(fd, found, BLOCK, (off_t)block * BLOCK), BLOCK);
        memset(expected, 0, BLOCK);
        if (rig->version[block] > 0) {
            stamp(expected, block, rig->version[block]);
        }
        assert_memory_equal(found, expected, BLOCK);
    }
    close(fd);
}

static void begin(struct rig *rig)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        rig->writes[i].buf = vhost_blk_alloc(rig->disk, BLOCK);
        assert_non_null(rig->writes[i].buf);
    }
}

static unsigned n_kills(void)
{
    const char *text = getenv("RECONNECT_KILLS");

    return text ? (unsigned)atoi(text) : 60;
}

static int by_size(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* One thread for all: its waits look for the back end. */
static void run_alone(struct rig *rig, unsigned layout, bool polling)
{
    unsigned kills = n_kills();
    int64_t *took = calloc(kills, sizeof(*took));
    struct vhost_blk_queue *q;

    assert_non_null(took);
    serve(rig);
    open_disk(rig, layout, polling, VHOST_RECONNECT_ALWAYS);
    begin(rig);
    q = vhost_blk_get_queue(rig->disk, 0);
    for (unsigned k = 0; k < kills; k++) {
        uint64_t until = rig->n_done + 1 + random_block(rig) % 500;
        int64_t deadline = now_ns() + WAIT_MS * INT64_C(1000000);
        uint64_t before;

        while (rig->n_done < until) {
            step(rig, q, polling);
            assert_true(now_ns() < deadline);
        }
        kill_server(rig);
        if (k % 2) {
            step(rig, q, polling); /* it may notice before the next is there */
        }
        serve(rig);
        took[k] = now_ns();
        /* What the old one had completed does not count. */
        before = rig->n_resumed;
        while (rig->n_resumed == before) {
            step(rig, q, polling);
            assert_true(now_ns() < deadline);
        }
        while (step(rig, q, polling) == 0) {
            assert_true(now_ns() < deadline);
        }
        took[k] = now_ns() - took[k];
    }
    drain(rig, q);
    verify(rig);
    assert_true(rig->n_resumed >= kills);
    qsort(took, kills, sizeof(*took), by_size);
    print_message("# %u kills, %llu writes; first completion after listening: "
                  "median %.2f ms, at most %.2f ms\n",
                  kills, (unsigned long long)rig->n_done,
                  (double)took[kills / 2] / 1e6, (double)took[kills - 1] / 1e6);
    free(took);
}

static void test_a_split_disk_outlives_its_back_ends(void **state)
{
    run_alone(*state, VHOST_LAYOUT_SPLIT, false);
}

static void test_a_packed_disk_outlives_its_back_ends(void **state)
{
    run_alone(*state, VHOST_LAYOUT_PACKED, false);
}

static void test_a_polling_disk_outlives_its_back_ends(void **state)
{
    run_alone(*state, VHOST_LAYOUT_AUTO, true);
}

static void *load(void *arg)
{
    struct rig *rig = arg;
    struct vhost_blk_queue *q = vhost_blk_get_queue(rig->disk, 1);

    while (!rig->stop) {
        step(rig, q, false);
    }
    drain(rig, q);
    return NULL;
}

/* One thread has a queue; another the device, and kills its back ends. */
static void test_a_disk_with_a_thread_for_its_queue(void **state)
{
    struct rig *rig = *state;
    unsigned kills = n_kills();
    int64_t deadline;
    pthread_t thread;

    serve(rig);
    open_disk(rig, VHOST_LAYOUT_PACKED, false, VHOST_RECONNECT_ALWAYS);
    begin(rig);
    assert_int_equal(pthread_create(&thread, NULL, load, rig), 0);
    for (unsigned k = 0; k < kills; k++) {
        unsigned before = rig->n_resumed;

        poll(NULL, 0, (int)(k * 5 % 8));
        kill_server(rig);
        serve(rig);
        deadline = now_ns() + WAIT_MS * INT64_C(1000000);
        while (rig->n_resumed == before) {
            struct pollfd pfd = { .fd = vhost_blk_get_fd(rig->disk),
                                  .events = POLLIN };

            poll(&pfd, 1, 1000);
            assert_int_equal(vhost_blk_dispatch(rig->disk, NULL), 0);
            assert_true(now_ns() < deadline);
        }
    }
    rig->stop = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    verify(rig);
    assert_true(rig->n_lost >= kills);
}

/* Dispatches until the disk has resumed or failed, or time is up. */
static int attend(struct rig *rig, unsigned n_resumed, int ms)
{
    int64_t deadline = now_ns() + ms * INT64_C(1000000);
    int r = 0;

    while (r == 0 && rig->n_resumed < n_resumed && now_ns() < deadline) {
        struct pollfd pfd = { .fd = vhost_blk_get_fd(rig->disk),
                              .events = POLLIN };

        poll(&pfd, 1, 20);
        r = vhost_blk_dispatch(rig->disk, NULL);
    }
    return r;
}

static void test_it_is_given_up_after_the_time_that_was_set(void **state)
{
    struct rig *rig = *state;
    struct vhost_completion done;
    struct vhost_blk_queue *q;
    void *buf;

    serve(rig);
    open_disk(rig, VHOST_LAYOUT_AUTO, false, 100);
    q = vhost_blk_get_queue(rig->disk, 0);
    buf = vhost_blk_alloc(rig->disk, BLOCK);
    kill_server(rig);
    assert_int_equal(vhost_blk_read(q, 0, buf, BLOCK, buf), 0);
    assert_int_equal(vhost_blk_submit(q), 0); /* it waits */
    assert_int_equal(attend(rig, 1, WAIT_MS), -ENOTCONN);
    assert_int_equal(rig->n_lost, 2); /* gone; given up */
    assert_non_null(strstr(rig->words, "has not come back within 0.1 s"));
    assert_int_equal(vhost_blk_wait(q, &done, 1, 1, WAIT_MS), -ENOTCONN);
}

static void test_one_that_comes_back_with_less_is_not_taken(void **state)
{
    struct rig *rig = *state;

    serve(rig);
    open_disk(rig, VHOST_LAYOUT_AUTO, false, VHOST_RECONNECT_ALWAYS);
    kill_server(rig);
    rig->queues = 1;
    serve(rig);
    assert_int_equal(attend(rig, 1, 200), 0);
    assert_int_equal(rig->n_resumed, 0);
    /* Its successor has what it takes. */
    kill_server(rig);
    rig->queues = 2;
    serve(rig);
    assert_int_equal(attend(rig, 1, WAIT_MS), 0);
    assert_int_equal(rig->n_resumed, 1);
}

static void test_closing_ends_the_search(void **state)
{
    struct rig *rig = *state;

    serve(rig);
    open_disk(rig, VHOST_LAYOUT_AUTO, false, VHOST_RECONNECT_ALWAYS);
    kill_server(rig);
    assert_int_equal(attend(rig, 1, 50), 0);
    assert_int_equal(rig->n_lost, 1);
    vhost_blk_close(rig->disk);
    rig->disk = NULL;
}

/* Memory that is allocated while nobody is there is there for the next. */
static void test_memory_may_grow_meanwhile(void **state)
{
    struct rig *rig = *state;
    struct vhost_completion done;
    struct vhost_blk_queue *q;
    unsigned char *buf;

    serve(rig);
    open_disk(rig, VHOST_LAYOUT_AUTO, false, VHOST_RECONNECT_ALWAYS);
    q = vhost_blk_get_queue(rig->disk, 0);
    kill_server(rig);
    assert_int_equal(attend(rig, 1, 20), 0);
    buf = vhost_blk_alloc(rig->disk, 100u << 20); /* not in the first region */
    assert_non_null(buf);
    stamp(buf, 5, 1);
    rig->version[5] = 1;
    assert_int_equal(vhost_blk_write(q, 5 * BLOCK, buf, BLOCK, buf), 0);
    assert_int_equal(vhost_blk_submit(q), 0);
    serve(rig);
    assert_int_equal(vhost_blk_wait(q, &done, 1, 1, WAIT_MS), 1);
    assert_int_equal(done.result, 0);
    verify(rig);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_split_disk_outlives_its_back_ends),
        TEST(test_a_packed_disk_outlives_its_back_ends),
        TEST(test_a_polling_disk_outlives_its_back_ends),
        TEST(test_a_disk_with_a_thread_for_its_queue),
        TEST(test_it_is_given_up_after_the_time_that_was_set),
        TEST(test_one_that_comes_back_with_less_is_not_taken),
        TEST(test_closing_ends_the_search),
        TEST(test_memory_may_grow_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
