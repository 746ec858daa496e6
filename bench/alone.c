/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cycles per packet of a network driver alone, see alone.h:
 *
 *     alone-… LAYOUT mergeable|plain scalar|vector CPU
 *
 * LAYOUT is split, split-in-order, packed or packed-in-order.  Prints a line:
 * for transmit, then for receive, cycles in the driver's calls, and with what a
 * program does around them; then how much of the core was ours, see core();
 * then in words what ran.
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

uint64_t alone_tick;

struct figure {
    double driver;
    double all;
};

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
 * How long independent additions take, beside dependent ones: a quarter to a
 * third where the core is ours.  If another thread shares its execution units
 * (a neighbour on the same core of the host, of which nothing else tells) it
 * is a half, and so is all the rest of the run slower.
 */
static double core(void)
{
    uint64_t a = 0, b = 0, c = 0, d = 0, from = alone_now(), between, to;

    for (int i = 0; i < 20000; i++) {
        __asm__ volatile("add $1, %0\n\tadd $1, %0\n\t"
                         "add $1, %0\n\tadd $1, %0\n\t"
                         "add $1, %0\n\tadd $1, %0\n\t"
                         "add $1, %0\n\tadd $1, %0"
                         : "+r"(a));
    }
    between = alone_now();
    for (int i = 0; i < 20000; i++) {
        __asm__ volatile("add $1, %0\n\tadd $1, %1\n\t"
                         "add $1, %2\n\tadd $1, %3\n\t"
                         "add $1, %0\n\tadd $1, %1\n\t"
                         "add $1, %2\n\tadd $1, %3"
                         : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
    }
    to = alone_now();
    return (double)alone_spent(between, to) /
           (double)alone_spent(from, between);
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

static struct figure measure(struct alone_device *device,
                             unsigned (*burst)(struct alone_device *,
                                               struct alone_cost *))
{
    static double driver[PIECES], all[PIECES];

    for (unsigned i = 0; i < WARM_UP + PIECES; i++) {
        struct alone_cost cost = { 0 };
        unsigned n = 0;

        for (unsigned k = 0; k < BURSTS; k++) {
            n += burst(device, &cost);
        }
        if (!n) {
            errx(1, "nothing moves");
        }
        if (i >= WARM_UP) {
            driver[i - WARM_UP] = (double)cost.driver / n;
            all[i - WARM_UP] = (double)cost.all / n;
        }
    }
    return (struct figure){ median(driver, PIECES), median(all, PIECES) };
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
    double share[3];

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
    share[0] = core();
    tx = measure(&device, transmit);
    share[1] = core();
    rx = measure(&device, receive);
    share[2] = core();
    printf("%.1f %.1f %.1f %.1f %.2f %s\n", tx.driver, tx.all, rx.driver,
           rx.all, median(share, 3), what);
    fflush(stdout);
    /* The front end is not closed: it and its device end with the process. */
    _exit(0);
}
