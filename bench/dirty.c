/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long does one pass over a dirty log take?
 *
 *     bench-dirty [ROUNDS]
 *
 * Against a loop that looks at each word, swaps it for 0 if it is not, and
 * reports page by page: the same bitmap, in the same run, by turns.  Of a log
 * without a dirty page, against memory being read.
 *
 * The back end is a table of functions that do nothing; by it comes the log's
 * memory, into which each pattern is copied before each pass.  A pass in which
 * the thread did not have its processor for more than a twentieth of the time
 * does not count.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <vhost/vhost.h>

#define GIB (UINT64_C(1) << 30)
#define CLUSTER 64u /* pages */
#define SAMPLES_MAX 1000
#define USERS 3                     /* migration, display, translated code */
#define BLOCK (UINT64_C(256) << 10) /* pages */

struct bench {
    struct vhost_dev dev;
    struct vhost_virtqueue vq;
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queue;
    struct vhost_memory_map *map;
    struct vhost_log *log;
    uint64_t size; /* of the guest */
    uint64_t pages;
    vhost_log_chunk_t *pattern;
    uint64_t *users[USERS];
    bool wrong; /* a pass did not bring the pattern */
};

/* A back end that does nothing */

static int take_up(struct vhost_dev *dev, void *opaque)
{
    dev->opaque = opaque;
    return 0;
}

static void let_go(struct vhost_dev *dev)
{
    (void)dev;
}

static unsigned slots(struct vhost_dev *dev)
{
    (void)dev;
    return 1;
}

static int get_features(struct vhost_dev *dev, uint64_t *features)
{
    (void)dev;
    *features = UINT64_C(1) << 26 | UINT64_C(1) << 32;
    return 0;
}

static int set_features(struct vhost_dev *dev, uint64_t features)
{
    (void)dev;
    (void)features;
    return 0;
}

static int set_mem_table(struct vhost_dev *dev, struct vhost_memory *mem)
{
    (void)dev;
    (void)mem;
    return 0;
}

static int set_log_base(struct vhost_dev *dev, uint64_t base,
                        struct vhost_log *log)
{
    struct bench *b = dev->opaque;

    (void)base;
    b->log = log;
    return 0;
}

static int set_vring_call(struct vhost_dev *dev, struct vhost_vring_file *file)
{
    (void)dev;
    (void)file;
    return 0;
}

static const VhostOps nothing = {
    .vhost_backend_init = take_up,
    .vhost_backend_cleanup = let_go,
    .vhost_backend_memslots_limit = slots,
    .vhost_get_features = get_features,
    .vhost_set_features = set_features,
    .vhost_set_mem_table = set_mem_table,
    .vhost_set_log_base = set_log_base,
    .vhost_set_vring_call = set_vring_call,
};

static void die(const char *what, const struct vhost_error *err)
{
    fprintf(stderr, "bench-dirty: %s: %s\n", what,
            err ? vhost_error_message(err) : strerror(errno));
    exit(1);
}

/* The guest's memory is never touched: only addresses are needed. */
static void map_memory(struct bench *b)
{
    struct vhost_memory_section s = { .size = b->size, .fd = -1 };
    struct vhost_error *err = NULL;

    s.hva = mmap(NULL, b->size, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s.hva == MAP_FAILED) {
        die("mmap", NULL);
    }
    vhost_memory_begin(b->map);
    if (vhost_memory_add(b->map, &s) < 0 ||
        vhost_memory_commit(b->map, &err) < 0) {
        die("memory", err);
    }
}

static void up(struct bench *b, uint64_t size)
{
    struct vhost_error *err = NULL;

    memset(b, 0, sizeof(*b));
    b->size = size;
    b->pages = size / VHOST_LOG_PAGE;
    b->map = vhost_memory_map_new();
    b->pattern = calloc(b->pages / 8, 1);
    for (unsigned i = 0; i < USERS; i++) {
        b->users[i] = calloc(b->pages / 8, 1);
        if (!b->users[i]) {
            die("malloc", NULL);
        }
    }
    if (!b->map || !b->pattern) {
        die("malloc", NULL);
    }
    map_memory(b);
    b->vdev = (struct vhost_vdev){ .nqueues = 1, .queues = &b->queue };
    b->queue.kick_fd = b->queue.call_fd = -1;
    b->dev.vqs = &b->vq;
    b->dev.nvqs = 1;
    b->dev.map = b->map;
    b->dev.vhost_ops = &nothing;
    if (vhost_dev_init(&b->dev, b, VHOST_BACKEND_TYPE_NONE, 0, &err) < 0 ||
        vhost_log_start(b->map, &err) < 0) {
        die("init", err);
    }
    if (vhost_dev_start(&b->dev, &b->vdev, false) < 0) {
        die("start", vhost_dev_get_error(&b->dev));
    }
}

static void down(struct bench *b)
{
    vhost_dev_stop(&b->dev, &b->vdev, false);
    vhost_dev_cleanup(&b->dev);
    vhost_memory_map_free(b->map);
    free(b->pattern);
    for (unsigned i = 0; i < USERS; i++) {
        free(b->users[i]);
    }
}

/* Patterns */

static uint64_t pick(uint64_t *seed, uint64_t n)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (*seed >> 20) % n;
}

static void set(struct bench *b, uint64_t page, uint64_t n)
{
    for (uint64_t p = page; p < page + n && p < b->pages; p++) {
        b->pattern[p / VHOST_LOG_BITS] |= (vhost_log_chunk_t)1
                                          << p % VHOST_LOG_BITS;
    }
}

static void no_pages(struct bench *b)
{
    (void)b;
}

static void one_in_a_hundred(struct bench *b)
{
    uint64_t seed = 1;

    for (uint64_t i = 0; i < b->pages / 100 / CLUSTER; i++) {
        set(b, pick(&seed, b->pages), CLUSTER);
    }
}

static void every_second_cluster(struct bench *b)
{
    for (uint64_t p = 0; p < b->pages; p += 2 * CLUSTER) {
        set(b, p, CLUSTER);
    }
}

static void every_second_page(struct bench *b)
{
    uint64_t seed = 2;

    for (uint64_t p = 0; p < b->pages; p++) {
        set(b, p, pick(&seed, 2));
    }
}

/* Passes */

/*
 * What is told of goes where a VMM keeps it: a bitmap for each user of the
 * knowledge, in blocks, with bits that other threads set as well.  It is the
 * same for one page as for many.
 */

static void __attribute__((noinline))
set_bits(uint64_t *bitmap, uint64_t at, uint64_t n)
{
    while (n > 0) {
        uint64_t step = 64 - at % 64 < n ? 64 - at % 64 : n;
        uint64_t bits = step < 64 ? (UINT64_C(1) << step) - 1 : UINT64_MAX;

        __atomic_fetch_or(&bitmap[at / 64], bits << at % 64, __ATOMIC_RELAXED);
        at += step;
        n -= step;
    }
}

static void __attribute__((noinline))
mark(void *opaque, uint64_t gpa, uint64_t size)
{
    struct bench *b = opaque;
    uint64_t page = gpa / VHOST_LOG_PAGE;
    uint64_t left = size / VHOST_LOG_PAGE;

    while (left > 0) {
        uint64_t n = BLOCK - page % BLOCK < left ? BLOCK - page % BLOCK : left;

        for (unsigned i = 0; i < USERS; i++) {
            set_bits(b->users[i] + page / BLOCK * (BLOCK / 64), page % BLOCK,
                     n);
        }
        page += n;
        left -= n;
    }
}

static void word_by_word(struct bench *b)
{
    vhost_log_sink_fn *volatile which = mark;
    vhost_log_sink_fn *sink = which;

    for (uint64_t i = 0; i < b->pages / VHOST_LOG_BITS; i++) {
        vhost_log_chunk_t bits;

        if (!__atomic_load_n(&b->log->log[i], __ATOMIC_RELAXED)) {
            continue;
        }
        bits = __atomic_exchange_n(&b->log->log[i], 0, __ATOMIC_SEQ_CST);
        while (bits) {
            uint64_t page = i * VHOST_LOG_BITS + (uint64_t)__builtin_ctzl(bits);

            sink(b, page * VHOST_LOG_PAGE, VHOST_LOG_PAGE);
            bits &= bits - 1;
        }
    }
}

static void by_ranges(struct bench *b)
{
    vhost_log_sync(b->map, mark, b, NULL);
}

static void by_bitmap(struct bench *b)
{
    vhost_log_sync_bitmap(b->map, b->users[0], 0, b->pages, NULL);
}

/* At the C library's best. */
static void read_memory(struct bench *b)
{
    b->wrong |= memchr(b->log->log, 1, b->pages / 8) != NULL;
}

static double now(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* Microseconds; less than 0: the thread had to wait. */
static double one_pass(struct bench *b, void (*pass)(struct bench *b))
{
    double wall, cpu;

    for (unsigned i = 0; i < USERS; i++) {
        memset(b->users[i], 0, b->pages / 8);
    }
    memcpy(b->log->log, b->pattern, b->pages / 8);
    wall = now(CLOCK_MONOTONIC);
    cpu = now(CLOCK_THREAD_CPUTIME_ID);
    pass(b);
    cpu = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
    wall = now(CLOCK_MONOTONIC) - wall;
    b->wrong |= memcmp(b->users[0], b->pattern, b->pages / 8) != 0;
    return wall > cpu * 1.05 + 2 ? -1 : wall;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

#define WAYS 4

static double median(double *samples, unsigned n)
{
    qsort(samples, n, sizeof(*samples), compare);
    return n ? samples[n / 2] : 0;
}

/* The last way is for a log without a dirty page. */
static void measure(uint64_t size, const char *name,
                    void (*make)(struct bench *b), unsigned rounds)
{
    static void (*const ways[WAYS])(
        struct bench * b) = { word_by_word, by_ranges, by_bitmap, read_memory };
    static double samples[WAYS][SAMPLES_MAX];
    static struct bench b;
    unsigned n_ways = make == no_pages ? WAYS : WAYS - 1;
    unsigned n[WAYS] = { 0 };
    double m[WAYS] = { 0 };

    up(&b, size);
    make(&b);
    for (unsigned i = 0; i < rounds * n_ways; i++) {
        unsigned w = i % n_ways;
        double us = one_pass(&b, ways[w]);

        if (us >= 0) {
            samples[w][n[w]++] = us;
        }
    }
    for (unsigned w = 0; w < n_ways; w++) {
        m[w] = median(samples[w], n[w]);
    }
    printf("%5llu GiB  %-20s %10.1f %9.1f %9.1f %9.1f %8.1f %8.1f%s\n",
           (unsigned long long)(size / GIB), name, m[0], m[1], m[2], m[3],
           m[0] / m[1], m[0] / m[2], b.wrong ? "  WRONG PAGES" : "");
    down(&b);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 31;

    if (argc > 2 || rounds == 0 || rounds > SAMPLES_MAX) {
        fprintf(stderr, "usage: bench-dirty [ROUNDS]\n");
        return 2;
    }
    printf("medians of %u passes, in us\n"
           "%9s  %-20s %10s %9s %9s %9s %8s %8s\n",
           rounds, "guest", "dirty", "by words", "ranges", "bitmap", "a read",
           "x ranges", "x bitmap");
    measure(64 * GIB, "none", no_pages, rounds);
    measure(64 * GIB, "1 %, clusters of 64", one_in_a_hundred, rounds);
    measure(64 * GIB, "50 %, clusters of 64", every_second_cluster, rounds);
    measure(64 * GIB, "50 %, anywhere", every_second_page, rounds);
    measure(1024 * GIB, "none", no_pages, rounds);
    measure(1024 * GIB, "1 %, clusters of 64", one_in_a_hundred,
            rounds / 4 + 1);
    return 0;
}
