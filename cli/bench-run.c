/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One thread a queue, and nothing shared between them but the clock's limits
 * and a flag to stop.  The main thread keeps the control channel, so that a
 * back end that dies ends the measurement, and draws the progress line.
 *
 * A request counts if it completes between the end of the warm-up and the
 * end of the measured time.  Its latency is from just before it was
 * prepared until the call that brought its completion returned, as a program
 * sees it: time in our own queue included.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench-run.h"
#include "out.h"
#include "progress.h"
#include "size.h"
#include "system.h"

#define SLICE_MS 100
#define BURST 64u
#define ERROR_MAX 160

struct request {
    uint64_t began;
    char *buf;
    bool is_read;
};

struct worker {
    const struct bench_job *job;
    struct vhost_blk_queue *queue;
    pthread_t thread;
    uint64_t from; /* when counting begins and ends */
    uint64_t until;
    atomic_bool *stop;
    uint64_t random;
    uint64_t first_block; /* sequential: this thread's part of the disk */
    uint64_t n_blocks;
    uint64_t next;
    unsigned in_flight;
    uint64_t last_completion;
    struct request *requests;
    char *memory;
    char *pattern; /* what is written: one block */
    struct histogram *latency;
    uint64_t reads;
    uint64_t writes;
    atomic_ullong counted; /* for the progress line */
    bool hangs;
    char error[ERROR_MAX];
};

/* xorshift64*: fast, and good enough to choose blocks. */
static uint64_t random_next(struct worker *w)
{
    w->random ^= w->random >> 12;
    w->random ^= w->random << 25;
    w->random ^= w->random >> 27;
    return w->random * UINT64_C(0x2545f4914f6cdd1d);
}

/* A number below @limit, without a division. */
static uint64_t random_below(struct worker *w, uint64_t limit)
{
    return (uint64_t)(((unsigned __int128)random_next(w) * limit) >> 64);
}

static uint64_t choose_offset(struct worker *w)
{
    uint64_t block;

    if (w->job->random) {
        block = random_below(w, w->n_blocks);
    } else {
        block = w->next;
        w->next = w->next + 1 < w->n_blocks ? w->next + 1 : 0;
    }
    return (w->first_block + block) * w->job->block_size;
}

static bool choose_read(struct worker *w)
{
    unsigned percent = w->job->read_percent;

    return percent == 100 || (percent > 0 && random_below(w, 100) < percent);
}

static bool broken(struct worker *w, const char *what, const char *why)
{
    snprintf(w->error, sizeof(w->error), "%s%s", what, why);
    return false;
}

static bool prepare_request(struct worker *w, struct request *rq, uint64_t now)
{
    uint64_t offset = choose_offset(w);
    size_t len = w->job->block_size;
    int r;

    rq->began = now;
    rq->is_read = choose_read(w);
    r = rq->is_read ? vhost_blk_read(w->queue, offset, rq->buf, len, rq)
                    : vhost_blk_write(w->queue, offset, w->pattern, len, rq);
    if (r == -EAGAIN) {
        snprintf(w->error, sizeof(w->error),
                 "the queue is full with %u requests of this size; try a "
                 "smaller --depth",
                 w->in_flight);
        return false;
    }
    if (r < 0) {
        return broken(w, rq->is_read ? "read: " : "write: ", strerror(-r));
    }
    w->in_flight++;
    return true;
}

static void count(struct worker *w, const struct request *rq, uint64_t now)
{
    if (now < w->from || now >= w->until) {
        return;
    }
    histogram_record(w->latency, now - rq->began);
    if (rq->is_read) {
        w->reads++;
    } else {
        w->writes++;
    }
}

/* Counts a completion, and sends the next request in its place. */
static bool complete(struct worker *w, const struct vhost_completion *done,
                     uint64_t now)
{
    struct request *rq = done->cookie;

    w->in_flight--;
    if (done->result < 0) {
        return broken(w, rq->is_read ? "a read failed: " : "a write failed: ",
                      strerror(-done->result));
    }
    count(w, rq, now);
    return now >= w->until || prepare_request(w, rq, now);
}

static bool turn(struct worker *w)
{
    struct vhost_completion done[BURST];
    uint64_t now;
    int n = vhost_blk_wait(w->queue, done, BURST, 1, SLICE_MS);

    if (n < 0) {
        const char *why = vhost_blk_queue_error(w->queue);

        return broken(w, "", why ? why : strerror(-n));
    }
    now = system_now();
    if (n > 0) {
        w->last_completion = now;
    } else if (now - w->last_completion > w->job->request_ms * 1000000ull) {
        w->hangs = true;
        snprintf(w->error, sizeof(w->error),
                 "none of its requests completed within %u ms",
                 w->job->request_ms);
        return false;
    }
    for (int i = 0; i < n; i++) {
        if (!complete(w, &done[i], now)) {
            return false;
        }
    }
    atomic_store_explicit(&w->counted, w->reads + w->writes,
                          memory_order_relaxed);
    return vhost_blk_submit(w->queue) == 0 ||
           broken(w, "the queue is broken", "");
}

static void *work(void *opaque)
{
    struct worker *w = opaque;
    bool ok = true;

    w->last_completion = system_now();
    for (unsigned i = 0; ok && i < w->job->depth; i++) {
        ok = prepare_request(w, &w->requests[i], system_now());
    }
    if (ok && vhost_blk_submit(w->queue) < 0) {
        ok = broken(w, "the queue is broken", "");
    }
    while (ok && w->in_flight > 0 && !atomic_load(w->stop)) {
        ok = turn(w);
    }
    if (!ok) {
        atomic_store(w->stop, true);
    }
    return NULL;
}

static bool setup_worker(struct worker *w, unsigned index)
{
    const struct bench_job *job = w->job;
    struct vhost_blk_info info;
    uint64_t blocks;

    vhost_blk_get_info(job->disk, &info);
    blocks = info.capacity / job->block_size;
    w->n_blocks = job->random ? blocks : blocks / job->queues;
    w->first_block = job->random ? 0 : index * w->n_blocks;
    if (w->n_blocks == 0) {
        out_error("%s: too small for blocks of %llu bytes", job->name,
                  (unsigned long long)job->block_size);
        return false;
    }
    w->random = UINT64_C(0x9e3779b97f4a7c15) * (index + 1);
    w->queue = vhost_blk_get_queue(job->disk, index);
    w->latency = histogram_new();
    w->requests = calloc(job->depth, sizeof(*w->requests));
    w->memory = vhost_blk_alloc(job->disk, (job->depth + 1) * job->block_size);
    if (!w->latency || !w->requests || !w->memory) {
        out_error("out of memory");
        return false;
    }
    for (unsigned i = 0; i < job->depth; i++) {
        w->requests[i].buf = w->memory + i * job->block_size;
    }
    /* Read buffers would soon hold what the disk held: writes have their
     * own, or a mix would end in copying zeroes. */
    w->pattern = w->memory + job->depth * job->block_size;
    for (uint64_t i = 0; i < job->block_size; i += sizeof(uint64_t)) {
        uint64_t value = random_next(w);

        memcpy(w->pattern + i, &value, sizeof(value));
    }
    return true;
}

static bool setup(const struct bench_job *job, struct worker *workers,
                  atomic_bool *stop)
{
    for (unsigned i = 0; i < job->queues; i++) {
        workers[i].job = job;
        workers[i].stop = stop;
        if (!setup_worker(&workers[i], i)) {
            return false;
        }
    }
    return true;
}

/* Starts as many threads as it can: how many. */
static unsigned launch(const struct bench_job *job, struct worker *workers,
                       uint64_t now)
{
    for (unsigned i = 0; i < job->queues; i++) {
        int r;

        workers[i].from = now + job->warm_up_ns;
        workers[i].until = workers[i].from + job->time_ns;
        r = pthread_create(&workers[i].thread, NULL, work, &workers[i]);
        if (r != 0) {
            out_error("cannot start a thread: %s", strerror(r));
            return i;
        }
    }
    return job->queues;
}

static void show(const struct bench_job *job, struct worker *workers,
                 struct progress *p, uint64_t elapsed)
{
    char text[96], rate[SIZE_TEXT_MAX];
    uint64_t ops = 0;
    double seconds, iops;

    for (unsigned i = 0; i < job->queues; i++) {
        ops += atomic_load_explicit(&workers[i].counted, memory_order_relaxed);
    }
    if (elapsed <= job->warm_up_ns) {
        progress_text(p, elapsed, "warming up");
        return;
    }
    seconds = (double)(elapsed - job->warm_up_ns) / 1e9;
    iops = (double)ops / seconds;
    snprintf(text, sizeof(text), "%.0f IOPS  %s/s", iops,
             size_format(rate, iops * (double)job->block_size));
    progress_text(p, elapsed, text);
}

/* Keeps the control channel while the threads measure. */
static bool supervise(const struct bench_job *job, struct worker *workers,
                      atomic_bool *stop, uint64_t began)
{
    uint64_t total = job->warm_up_ns + job->time_ns, elapsed = 0;
    struct vhost_error *err = NULL;
    struct progress progress;
    bool ok = true;

    progress_begin(&progress, NULL, total, job->quiet);
    while (ok && elapsed < total && !atomic_load(stop)) {
        struct pollfd fd = { .fd = vhost_blk_get_fd(job->disk),
                             .events = POLLIN };

        poll(&fd, 1, total - elapsed < SLICE_MS * 1000000ull ? 10 : SLICE_MS);
        if (system_interrupted()) {
            out_error("interrupted");
            ok = false;
        } else if (vhost_blk_dispatch(job->disk, &err) < 0) {
            out_library_error(err);
            ok = false;
        }
        elapsed = system_now() - began;
        show(job, workers, &progress, elapsed);
    }
    progress_end(&progress, false);
    if (!ok) {
        atomic_store(stop, true);
    }
    return ok;
}

static bool measure(const struct bench_job *job, struct worker *workers,
                    atomic_bool *stop)
{
    uint64_t began = system_now();
    unsigned n = launch(job, workers, began);
    bool ok = n == job->queues;
    bool told = false;

    if (ok) {
        ok = supervise(job, workers, stop, began);
        told = !ok;
    } else {
        atomic_store(stop, true);
        told = true;
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].error[0] != '\0' && !told) {
            out_error("%s: %s", job->name, workers[i].error);
            told = true;
        }
    }
    return ok && !told;
}

static void collect(const struct bench_job *job, const struct worker *workers,
                    struct bench_result *result)
{
    result->latency = histogram_new();
    result->seconds = (double)job->time_ns / 1e9;
    for (unsigned i = 0; result->latency && i < job->queues; i++) {
        histogram_merge(result->latency, workers[i].latency);
        result->reads += workers[i].reads;
        result->writes += workers[i].writes;
    }
}

bool bench_run(const struct bench_job *job, struct bench_result *result)
{
    struct worker *workers = calloc(job->queues, sizeof(*workers));
    atomic_bool stop = false;
    bool ok;

    if (!workers) {
        out_error("out of memory");
        return false;
    }
    ok = setup(job, workers, &stop) && measure(job, workers, &stop);
    if (ok) {
        collect(job, workers, result);
        ok = result->latency != NULL;
    }
    /* The buffers go with the device: some may be in flight still. */
    for (unsigned i = 0; i < job->queues; i++) {
        result->hangs |= workers[i].hangs;
        histogram_free(workers[i].latency);
        free(workers[i].requests);
    }
    free(workers);
    return ok;
}
