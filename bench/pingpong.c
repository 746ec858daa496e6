/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A request at depth 1, by polling on both sides, beside what it is made of:
 *
 *     pingpong [ROUNDS [CORE CORE]]
 *
 * A cache line goes to the other core and back; then a read of 4 KiB goes to
 * our own back end, in a thread on that same core, and its completion comes
 * back.  Nothing that moves by cache lines can be faster than the first; a ring
 * takes several lines each way.
 *
 * In each round both are measured, one after the other, by the same two
 * threads: how far a line has to go changes from one minute to the next.
 */
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <vhost/blk.h>
#include <vhost/server.h>

#define TRIPS 1000u /* of one piece */
#define PIECES 200u
#define ROUNDS_MAX 1000u
#define BLOCK 4096u
#define POLL_US 1000000u
#define DEADLINE_MS 10000

enum what { LINE_EACH, LINE_SHARED, REQUEST, WHATS };

/* Two lines, and neither that of anything else; the prefetcher takes pairs. */
struct lines {
    alignas(128) uint64_t there;
    alignas(128) uint64_t back;
    alignas(128) enum what now;
};

static struct lines lines;

struct other_side {
    struct vhost_server *server;
    unsigned cpu;
};

static void pin(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0) {
        err(1, "core %u", cpu);
    }
}

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), compare);
    return values[n / 2];
}

static void await(const uint64_t *line, uint64_t value)
{
    while (__atomic_load_n(line, __ATOMIC_ACQUIRE) != value) {
        ;
    }
}

static uint64_t *line_back(enum what what)
{
    return what == LINE_EACH ? &lines.back : &lines.there;
}

/* Odd numbers go there, even ones come back. */
static void trip_line(enum what what)
{
    static uint64_t n;

    n += 2;
    __atomic_store_n(&lines.there, n - 1, __ATOMIC_RELEASE);
    await(line_back(what), n);
}

/* The other side of it, for so many trips as one round has. */
static void answer_lines(enum what what)
{
    static uint64_t n;

    for (unsigned i = 0; i < TRIPS * PIECES; i++) {
        n += 2;
        await(&lines.there, n - 1);
        __atomic_store_n(line_back(what), n, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&lines.now, REQUEST, __ATOMIC_RELEASE);
}

static void *other_side(void *arg)
{
    struct other_side *side = arg;
    struct vhost_error *error = NULL;

    pin(side->cpu);
    for (;;) {
        enum what what = __atomic_load_n(&lines.now, __ATOMIC_ACQUIRE);

        if (what != REQUEST) {
            answer_lines(what);
        } else if (vhost_server_run(side->server, 1000, &error) < 0) {
            errx(1, "%s", vhost_error_message(error));
        }
    }
}

static struct vhost_blk_queue *queue;
static char *buffer;

static void submit(void)
{
    int r = vhost_blk_read(queue, 0, buffer, BLOCK, buffer);

    if (r >= 0) {
        r = vhost_blk_submit(queue);
    }
    if (r < 0) {
        errx(1, "read: %s", strerror(-r));
    }
}

static void complete(void)
{
    struct vhost_completion done = { 0 };
    int r = vhost_blk_wait(queue, &done, 1, 1, DEADLINE_MS);

    if (r == 0) {
        errx(1, "the back end hangs");
    }
    if (r < 0 || done.result < 0) {
        errx(1, "read: %s", strerror(-(r < 0 ? r : done.result)));
    }
}

static void trip_request(enum what what)
{
    (void)what;
    submit();
    complete();
}

/* Nanoseconds there and back. */
static double measure(enum what what)
{
    void (*trip)(enum what) = what == REQUEST ? trip_request : trip_line;
    static double pieces[PIECES];

    if (what != REQUEST) {
        __atomic_store_n(&lines.now, what, __ATOMIC_RELEASE);
        /*
         * The server looks up from its ring after a request only.  It may have
         * done so already: then this one is served after the lines.
         */
        submit();
    }
    for (unsigned i = 0; i < PIECES; i++) {
        double start = now_ns();

        for (unsigned k = 0; k < TRIPS; k++) {
            trip(what);
        }
        pieces[i] = (now_ns() - start) / TRIPS;
    }
    if (what != REQUEST) {
        complete();
    }
    return median(pieces, PIECES);
}

static void report(double ns[WHATS][ROUNDS_MAX], unsigned rounds)
{
    double each[ROUNDS_MAX], shared[ROUNDS_MAX];

    for (unsigned i = 0; i < rounds; i++) {
        each[i] = ns[REQUEST][i] / ns[LINE_EACH][i];
        shared[i] = ns[REQUEST][i] / ns[LINE_SHARED][i];
    }
    /* Sorts, so that the first is the least. */
    median(each, rounds);
    printf("ratio %.2f (%.2f to %.2f): a request to a line each way; "
           "%.2f to one line for both\n",
           each[rounds / 2], each[0], each[rounds - 1], median(shared, rounds));
    printf("request %.0f ns, line each way %.0f ns, one line %.0f ns\n",
           median(ns[REQUEST], rounds), median(ns[LINE_EACH], rounds),
           median(ns[LINE_SHARED], rounds));
}

static struct vhost_blk *open_disk(const char *path)
{
    struct vhost_blk_options options = {
        .size = sizeof(options),
        .polling = true,
    };
    struct vhost_error *error = NULL;
    struct vhost_blk *disk;
    char uri[80];

    snprintf(uri, sizeof(uri), "user:%s", path);
    disk = vhost_blk_open(uri, &options, &error);
    if (!disk) {
        errx(1, "%s", vhost_error_message(error));
    }
    queue = vhost_blk_get_queue(disk, 0);
    buffer = vhost_blk_alloc(disk, BLOCK);
    if (!buffer) {
        errx(1, "no memory");
    }
    return disk;
}

static void start_other_side(struct other_side *side, const char *path)
{
    struct vhost_server_options options = {
        .size = sizeof(options),
        .poll_us = POLL_US,
    };
    struct vhost_error *error = NULL;
    pthread_t thread;

    side->server = vhost_server_new(
        path, vhost_server_blk("null:1073741824", NULL), &options, &error);
    if (!side->server) {
        errx(1, "%s", vhost_error_message(error));
    }
    lines.now = REQUEST;
    if (pthread_create(&thread, NULL, other_side, side)) {
        errx(1, "no thread");
    }
    pthread_detach(thread);
}

int main(int argc, char **argv)
{
    static double ns[WHATS][ROUNDS_MAX];
    static struct other_side side = { .cpu = 1 };
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 15, cpu = 0;
    char dir[] = "/tmp/pingpong-XXXXXX", path[64];

    if (argc > 3) {
        cpu = (unsigned)atoi(argv[2]);
        side.cpu = (unsigned)atoi(argv[3]);
    }
    if (rounds < 1 || rounds > ROUNDS_MAX || cpu == side.cpu) {
        errx(2, "usage: pingpong [ROUNDS [CORE CORE]]; two different cores");
    }
    pin(cpu);
    if (!mkdtemp(dir)) {
        err(1, "%s", dir);
    }
    snprintf(path, sizeof(path), "%s/blk.sock", dir);
    start_other_side(&side, path);
    open_disk(path);
    for (unsigned i = 0; i < rounds; i++) {
        for (enum what what = 0; what < WHATS; what++) {
            ns[what][i] = measure(what);
        }
    }
    report(ns, rounds);
    unlink(path);
    rmdir(dir);
    /* Both sides end with the process; there is nothing to save. */
    _exit(fflush(stdout));
}
