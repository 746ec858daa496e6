/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver of DPDK, net_virtio_user, for alone.c.
 *
 * Its driver frees what was sent into the pool of the mbufs, and takes what to
 * receive into from there; a program takes mbufs from the pool to send, and
 * frees those that it has received.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_version.h>

#include "alone.h"

#define MBUFS 8191u /* best one less than a power of two, says its manual */
#define CACHE 250u  /* as of its testpmd */

static struct rte_mempool *pool;
static FILE *log_stream;
static char *log_text;
static size_t log_size;

static void ok(int r, const char *what)
{
    if (r < 0) {
        fflush(log_stream);
        errx(1, "%s: %s\n%s", what, strerror(-r), log_text);
    }
}

static void start_eal(const char *socket, const struct alone_variant *v)
{
    char device[256], cores[32];
    char *args[] = {
        "alone",
        "--lcores",
        cores,
        "--no-pci",
        "--in-memory",
        "--single-file-segments",
        "--no-telemetry",
        "--iova-mode=va",
        "-m",
        "64",
        "--log-level=pmd.net.virtio.*:debug",
        "--force-max-simd-bitwidth=512",
        "--vdev",
        device,
        NULL,
    };
    int n = 0;

    snprintf(cores, sizeof(cores), "0@%u", v->cpu);
    snprintf(device, sizeof(device),
             "net_virtio_user0,path=%s,queues=1,queue_size=%u,in_order=%d,"
             "mrg_rxbuf=%d,packed_vq=%d,vectorized=%d",
             socket, ALONE_QUEUE_SIZE, v->in_order, v->mergeable, v->packed,
             v->vector);
    while (args[n]) {
        n++;
    }
    log_stream = open_memstream(&log_text, &log_size);
    if (!log_stream || rte_openlog_stream(log_stream)) {
        errx(1, "no log");
    }
    ok(rte_eal_init(n, args), "rte_eal_init");
}

static void start_port(void)
{
    struct rte_eth_conf conf = { 0 };

    pool = rte_pktmbuf_pool_create("mbufs", MBUFS, CACHE, 0,
                                   RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    if (!pool) {
        errx(1, "no mbufs");
    }
    ok(rte_eth_dev_configure(0, 1, 1, &conf), "configure");
    ok(rte_eth_rx_queue_setup(0, 0, ALONE_QUEUE_SIZE, 0, NULL, pool), "rx");
    ok(rte_eth_tx_queue_setup(0, 0, ALONE_QUEUE_SIZE, 0, NULL), "tx");
    ok(rte_eth_dev_start(0), "start");
}

/* "virtio: using packed ring vectorized Tx path on port 0": the part between;
 * the driver decides silently, and says so only here. */
static void path_taken(const char *direction, char *path, size_t size)
{
    char line[256];
    FILE *f = fmemopen(log_text, log_size, "r");

    snprintf(path, size, "?");
    while (f && fgets(line, sizeof(line), f)) {
        char *from = strstr(line, "using "), *to = strstr(line, direction);

        if (from && to && from < to) {
            from += strlen("using ");
            snprintf(path, size, "%.*s", (int)(to - from), from);
        }
    }
    if (f) {
        fclose(f);
    }
}

static const char *dpdk_open(const char *socket, const struct alone_variant *v)
{
    static char what[256];
    char tx[64], rx[64];

    start_eal(socket, v);
    start_port();
    fflush(log_stream);
    path_taken(" Tx path", tx, sizeof(tx));
    path_taken(" Rx path", rx, sizeof(rx));
    snprintf(what, sizeof(what), "%s; tx: %s; rx: %s", rte_version(), tx, rx);
    return what;
}

static unsigned dpdk_send(struct alone_cost *cost)
{
    struct rte_mbuf *frames[ALONE_BURST];
    uint64_t t0 = alone_now(), t1, t2;
    unsigned n;

    if (rte_pktmbuf_alloc_bulk(pool, frames, ALONE_BURST)) {
        errx(1, "out of mbufs");
    }
    for (unsigned i = 0; i < ALONE_BURST; i++) {
        frames[i]->data_len = ALONE_FRAME;
        frames[i]->pkt_len = ALONE_FRAME;
    }
    t1 = alone_now();
    n = rte_eth_tx_burst(0, 0, frames, ALONE_BURST);
    t2 = alone_now();
    cost->driver += alone_spent(t1, t2);
    cost->all += alone_spent(t0, t1) + alone_spent(t1, t2);
    if (n < ALONE_BURST) {
        rte_pktmbuf_free_bulk(frames + n, ALONE_BURST - n);
    }
    return n;
}

static unsigned dpdk_receive(struct alone_cost *cost)
{
    struct rte_mbuf *frames[ALONE_BURST];
    uint64_t t0 = alone_now(), t1, t2;
    unsigned n = rte_eth_rx_burst(0, 0, frames, ALONE_BURST);

    t1 = alone_now();
    if (n && frames[n - 1]->pkt_len != ALONE_FRAME) {
        errx(1, "received %u bytes", frames[n - 1]->pkt_len);
    }
    t2 = alone_now();
    rte_pktmbuf_free_bulk(frames, n);
    cost->driver += alone_spent(t0, t1);
    cost->all += alone_spent(t0, t1) + alone_spent(t2, alone_now());
    return n;
}

const struct alone_front alone_front = {
    .open = dpdk_open,
    .send = dpdk_send,
    .receive = dpdk_receive,
};
