/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cycles per packet of a network driver alone, see alone.h:
 *
 *     alone-… LAYOUT mergeable|plain scalar|vector CPU
 *
 * LAYOUT is split, split-in-order, packed or packed-in-order.  Prints a line:
 * for transmit, then for receive, cycles in the driver's calls, and with what a
 * program does around them; then what share of the figures is of times when the
 * core was ours alone, see is_quiet(); then in words what ran.
 *
 * A cycle is one of the time stamp counter.  Each figure is the median over
 * many short pieces of the run: those during which something else ran on this
 * core fall out.
 */
#include <err.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alone.h"

#define BURSTS 64u /* of one piece */
#define PIECES 512u
#define WARM_UP 64u
#define PATIENCE (16 * PIECES) /* for a quiet core: about a second */
#define ADDITIONS 1000

uint64_t alone_tick;

struct figure {
    double driver;
    double all;
    double quiet; /* the share of it that is of a quiet core */
};

typedef unsigned burst_fn(struct alone_device *device, struct alone_cost *cost);

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

static void measure_clock(void)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 1000; i++) {
        uint64_t from = alone_now(), to = alone_now();

        best = to - from < best ? to - from : best;
    }
    alone_tick = best;
}

/*
 * Is the core ours alone?  Independent additions then take a quarter to a third
 * of the time of dependent ones; if another thread shares the execution units
 * (a neighbour on the same core of the host, of which nothing else tells), a
 * half, and everything else is slower as well.
 */
static bool is_quiet(void)
{
    uint64_t a = 0, b = 0, c = 0, d = 0, from = alone_now(), between, to;

    for (int i = 0; i < ADDITIONS; i++) {
        __asm__ volatile("add $1, %0\n\tadd $1, %0\n\t"
                         "add $1, %0\n\tadd $1, %0\n\t"
                         "add $1, %0\n\tadd $1, %0\n\t"
                         "add $1, %0\n\tadd $1, %0"
                         : "+r"(a));
    }
    between = alone_now();
    for (int i = 0; i < ADDITIONS; i++) {
        __asm__ volatile("add $1, %0\n\tadd $1, %1\n\t"
                         "add $1, %2\n\tadd $1, %3\n\t"
                         "add $1, %0\n\tadd $1, %1\n\t"
                         "add $1, %2\n\tadd $1, %3"
                         : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
    }
    to = alone_now();
    return (double)alone_spent(between, to) <
           0.37 * (double)alone_spent(from, between);
}

static unsigned transmit(struct alone_device *device, struct alone_cost *cost)
{
    unsigned n = alone_front.send(cost);

    if (alone_step_tx(device) != n) {
        errx(1, "what was sent is not on the ring");
    }
    return n;
}

static unsigned receive(struct alone_device *device, struct alone_cost *cost)
{
    if (alone_step_rx(device, ALONE_BURST) != ALONE_BURST) {
        errx(1, "no buffers to receive into");
    }
    return alone_front.receive(cost);
}

static struct alone_cost measure_piece(struct alone_device *device,
                                       burst_fn *burst, unsigned *np)
{
    struct alone_cost cost = { 0 };
    unsigned n = 0;

    for (unsigned k = 0; k < BURSTS; k++) {
        n += burst(device, &cost);
    }
    if (!n) {
        errx(1, "nothing moves");
    }
    *np = n;
    return cost;
}

/* Of the pieces before and after which the core was ours; if those are too few
 * to tell, then of all. */
static struct figure measure(struct alone_device *device, burst_fn *burst)
{
    static double driver[PIECES], all[PIECES];
    bool quiet, was_quiet = true, take_all = false;
    unsigned n_quiet = 0, i = 0, n;

    for (unsigned k = 0; k < WARM_UP; k++) {
        measure_piece(device, burst, &n);
    }
    for (unsigned tried = 0; i < PIECES; tried++) {
        struct alone_cost cost = measure_piece(device, burst, &n);

        quiet = is_quiet();
        driver[i] = (double)cost.driver / n;
        all[i] = (double)cost.all / n;
        if (quiet && was_quiet) {
            n_quiet++;
        }
        if ((quiet && was_quiet) || take_all) {
            i++;
        } else if (tried == PATIENCE) {
            take_all = true;
            i = 0;
            n_quiet = 0;
        }
        was_quiet = quiet;
    }
    return (struct figure){ median(driver, PIECES), median(all, PIECES),
                            (double)n_quiet / PIECES };
}

static bool one_of(const char *what, const char *yes, const char *no)
{
    if (strcmp(what, yes) && strcmp(what, no)) {
        errx(2, "%s: neither %s nor %s", what, yes, no);
    }
    return strcmp(what, yes) == 0;
}

static struct alone_variant parse(char **argv)
{
    const char *layout = argv[1];
    struct alone_variant v = {
        .packed = strncmp(layout, "packed", 6) == 0,
        .mergeable = one_of(argv[2], "mergeable", "plain"),
        .vector = one_of(argv[3], "vector", "scalar"),
        .cpu = (unsigned)atoi(argv[4]),
    };

    v.in_order = strchr(layout, '-') != NULL;
    one_of(layout, v.packed ? "packed" : "split",
           v.packed ? "packed-in-order" : "split-in-order");
    return v;
}

/* Before any thread is made, so that all sleep on the core that is measured,
 * and none runs beside it. */
static void pin(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0) {
        err(1, "core %u", cpu);
    }
}

int main(int argc, char **argv)
{
    static struct alone_device device;
    char dir[] = "/tmp/alone-XXXXXX", path[64];
    struct figure tx, rx;
    const char *what;

    if (argc != 5) {
        errx(2, "usage: %s LAYOUT mergeable|plain scalar|vector CPU", argv[0]);
    }
    device.variant = parse(argv);
    pin(device.variant.cpu);
    if (!mkdtemp(dir)) {
        err(1, "%s", dir);
    }
    snprintf(path, sizeof(path), "%s/net.sock", dir);
    alone_device_start(&device, path);
    what = alone_front.open(path, &device.variant);
    alone_device_wait(&device);
    unlink(path);
    rmdir(dir);
    alone_step_quiet(&device);
    measure_clock();
    tx = measure(&device, transmit);
    rx = measure(&device, receive);
    printf("%.1f %.1f %.1f %.1f %.2f %s\n", tx.driver, tx.all, rx.driver,
           rx.all, tx.quiet < rx.quiet ? tx.quiet : rx.quiet, what);
    fflush(stdout);
    /* The front end is not closed: it and its device end with the process. */
    _exit(0);
}
