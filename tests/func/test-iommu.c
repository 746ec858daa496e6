/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk and a network behind an IOMMU: our front end and our back end, which
 * is told nothing but addresses that somebody translates; or does so late, or
 * never, or takes it back.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/virtio_blk.h>

#include <vhost/log.h>

#include "check.h"
#include "paged.h"

#define BIT(n) (UINT64_C(1) << (n))
#define SLOTS 12u
#define DATA_PAGES 6u /* a request's room for data; its head is on another */
#define SLOT_PAGES (DATA_PAGES + 1)
#define PLACE 16384u /* bytes of the disk that a slot has to itself */
#define PATIENCE_S 20

#if defined(__SANITIZE_THREAD__)
#define ROUNDS 150u
#else
#define ROUNDS 1500u
#endif

struct slot {
    bool busy, is_write;
    uint32_t at, len; /* in its place */
    uint64_t head, data;
    unsigned char content[PLACE];
};

struct disk {
    struct paged g;
    struct slot slots[SLOTS];
    char path[64];
    unsigned n_done;
};

static const uint64_t layouts[] = {
    0, BIT(28) | BIT(29), BIT(35), BIT(34), BIT(34) | BIT(28) | BIT(29),
};

static void disk_up(struct disk *d, uint64_t features, unsigned timeout_ms)
{
    int fd;

    memset(d, 0, sizeof(*d));
    strcpy(d->path, "/tmp/test-iommu-XXXXXX");
    fd = mkstemp(d->path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SLOTS * PLACE), 0);
    close(fd);
    paged_up(&d->g, vhost_server_blk(d->path, NULL), 1, features, timeout_ms);
    for (unsigned i = 0; i < SLOTS; i++) {
        d->slots[i].head =
            PAGED_IOVA + (PAGED_RINGS + i * SLOT_PAGES) * PAGED_PAGE;
    }
}

static void disk_down(struct disk *d)
{
    paged_down(&d->g);
    unlink(d->path);
}

/* A read or a write of any sectors of its place, wherever data may lie. */
static void submit(struct disk *d, struct slot *slot)
{
    struct paged *g = &d->g;
    struct virtio_blk_outhdr header = { .type = 0 };
    uint64_t place = (uint64_t)(slot - d->slots) * PLACE;
    uint64_t status = slot->head + 100;

    slot->is_write = paged_pick(g, 2);
    slot->len = 512 * (1 + paged_pick(g, PLACE / 512));
    slot->at = 512 * paged_pick(g, (PLACE - slot->len) / 512 + 1);
    slot->data = slot->head + PAGED_PAGE + paged_pick(g, 2 * PAGED_PAGE - 1);
    header.type = htole32(slot->is_write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN);
    header.sector = htole64((place + slot->at) / 512);
    memcpy(paged_at(g, slot->head), &header, 16);
    *(unsigned char *)paged_at(g, status) = 0xff;
    for (uint32_t i = 0; slot->is_write && i < slot->len; i++) {
        slot->content[slot->at + i] = (unsigned char)paged_pick(g, 256);
    }
    if (slot->is_write) {
        memcpy(paged_at(g, slot->data), slot->content + slot->at, slot->len);
    } else {
        memset(paged_at(g, slot->data), 0xee, slot->len);
    }
    {
        struct vh_sg sg[] = { { slot->head, 16 },
                              { slot->data, slot->len },
                              { status, 1 } };
        unsigned n_out = slot->is_write ? 2 : 1;

        assert_int_equal(vh_ring_add(g->rings[0], sg, n_out, 3 - n_out, slot),
                         0);
    }
    slot->busy = true;
}

static void submit_idle(struct disk *d)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (!d->slots[i].busy) {
            submit(d, &d->slots[i]);
        }
    }
    if (vh_ring_publish(d->g.rings[0])) {
        vhost_notifier_set(&d->g.kick[0]);
    }
}

static void check_done(struct disk *d, struct slot *slot)
{
    struct paged *g = &d->g;

    assert_true(slot->busy);
    assert_int_equal(*(unsigned char *)paged_at(g, slot->head + 100),
                     VIRTIO_BLK_S_OK);
    if (memcmp(paged_at(g, slot->data), slot->content + slot->at, slot->len) !=
        0) {
        fail_msg("a request of %u bytes has other data than it should",
                 slot->len);
    }
    slot->busy = false;
    d->n_done++;
}

static unsigned reap(struct disk *d)
{
    struct vh_ring_used used[SLOTS];
    int n = vh_ring_take(d->g.rings[0], used, SLOTS);

    if (n < 0) {
        fail_msg("the ring is broken: %s", d->g.rings[0]->broken);
    }
    for (int i = 0; i < n; i++) {
        check_done(d, used[i].cookie);
    }
    return (unsigned)n;
}

static void wait_a_little(struct paged *g)
{
    struct pollfd pfds[] = {
        { .fd = vhost_dev_get_fd(&g->dev), .events = POLLIN },
        { .fd = g->call[0].fd, .events = POLLIN },
    };

    poll(pfds, 2, 1);
    vhost_notifier_test_and_clear(&g->call[0]);
}

static unsigned n_busy(const struct disk *d)
{
    unsigned n = 0;

    for (unsigned i = 0; i < SLOTS; i++) {
        n += d->slots[i].busy;
    }
    return n;
}

/* Until not more than @n are under way. */
static void work(struct disk *d, unsigned n)
{
    time_t deadline = time(NULL) + PATIENCE_S;

    do {
        vh_ring_enable_call(d->g.rings[0]);
        if (reap(d) == 0) {
            wait_a_little(&d->g);
        }
        paged_pump(&d->g);
        if (time(NULL) > deadline) {
            fail_msg("%u requests are not done", n_busy(d));
        }
    } while (n_busy(d) > n);
}

static void run(struct disk *d, unsigned rounds,
                void (*disturb)(struct disk *d))
{
    unsigned until = d->n_done + rounds;

    while (d->n_done < until) {
        submit_idle(d);
        if (disturb) {
            disturb(d);
        }
        work(d, SLOTS - 1);
    }
    work(d, 0);
}

static void every_page_is_asked_for_and_leads_where_it_should(void **state)
{
    static struct disk d;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(layouts); i++) {
        disk_up(&d, layouts[i], 0);
        paged_start(&d.g);
        run(&d, ROUNDS, NULL);
        assert_true(d.g.n_asked >= SLOTS * 4);
        /* And it remembers. */
        assert_true(d.g.n_asked < PAGED_PAGES * 3);
        paged_stop(&d.g);
        paged_start(&d.g);
        run(&d, SLOTS, NULL);
        paged_stop(&d.g);
        assert_int_equal(d.g.n_faults, 0);
        disk_down(&d);
    }
}

static void a_slow_owner_is_waited_for(void **state)
{
    static struct disk d;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(layouts); i++) {
        disk_up(&d, layouts[i], 0);
        d.g.slow = 2;
        paged_start(&d.g);
        run(&d, ROUNDS / 3, NULL);
        paged_stop(&d.g);
        assert_int_equal(d.g.n_faults, 0);
        disk_down(&d);
    }
}

static void move_any(struct disk *d)
{
    paged_move(&d->g,
               PAGED_RINGS + paged_pick(&d->g, PAGED_PAGES - PAGED_RINGS));
    if (paged_pick(&d->g, 8) == 0) {
        paged_move(&d->g, paged_pick(&d->g, PAGED_RINGS / 2));
    }
}

static void nothing_touches_a_page_that_was_taken_back(void **state)
{
    static struct disk d;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(layouts); i++) {
        disk_up(&d, layouts[i], 0);
        d.g.slow = 8;
        paged_start(&d.g);
        run(&d, ROUNDS, move_any);
        paged_stop(&d.g);
        paged_check_poison(&d.g);
        assert_int_equal(d.g.n_faults, 0);
        disk_down(&d);
    }
}

static void report(void *opaque, uint64_t gpa, uint64_t size)
{
    bool *reported = opaque;

    for (uint64_t at = gpa; at < gpa + size; at += PAGED_PAGE) {
        reported[at / PAGED_PAGE % 0x100000] = true;
    }
}

/* Of rings, too, whose pages lie anywhere. */
static void what_is_written_through_an_iommu_is_logged(void **state)
{
    static unsigned char before[PAGED_FRAMES][PAGED_PAGE];
    static bool reported[0x100000];
    static struct disk d;
    struct vhost_error *err = NULL;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(layouts); i++) {
        unsigned n_changed = 0;

        memset(reported, 0, sizeof(reported));
        disk_up(&d, layouts[i], 0);
        paged_start(&d.g);
        assert_int_equal(vhost_log_start(d.g.map, &err), 0);
        for (unsigned round = 0; round < 20; round++) {
            unsigned n = 0;

            /* What the driver writes is not the device's to log. */
            submit_idle(&d);
            work(&d, 0);
            for (unsigned k = 0; k < SLOTS; k++) {
                submit(&d, &d.slots[k]);
            }
            for (int f = 0; f < (int)PAGED_FRAMES; f++) {
                memcpy(before[f], paged_frame(&d.g, f), PAGED_PAGE);
            }
            if (vh_ring_publish(d.g.rings[0])) {
                vhost_notifier_set(&d.g.kick[0]);
            }
            work(&d, 0);
            assert_int_equal(vhost_log_sync(d.g.map, report, reported, &err),
                             0);
            for (int f = 0; f < (int)PAGED_FRAMES; f++) {
                int page = d.g.frame_of[f];

                /* Of rings the driver writes a part. */
                if (memcmp(before[f], paged_frame(&d.g, f), PAGED_PAGE) == 0 ||
                    (page < (int)PAGED_RINGS && page != 5 && page != 6)) {
                    continue;
                }
                n++;
                if (!reported[paged_gpa(&d.g, f) / PAGED_PAGE % 0x100000]) {
                    fail_msg("a change of page %d was not reported", page);
                }
            }
            n_changed += n;
        }
        assert_true(n_changed > 20);
        assert_int_equal(vhost_log_stop(d.g.map, &err), 0);
        paged_stop(&d.g);
        disk_down(&d);
    }
}

/* Give a request up, and begin anew. */
static void fail_at(struct disk *d, unsigned page)
{
    time_t deadline = time(NULL) + PATIENCE_S;

    submit_idle(d);
    while (d->g.n_errors[0] == 0 || d->g.n_faults == 0) {
        wait_a_little(&d->g);
        paged_pump(&d->g);
        if (time(NULL) > deadline) {
            fail_msg("nobody was told of the fault");
        }
    }
    assert_int_equal((d->g.fault - PAGED_IOVA) / PAGED_PAGE, page);
    paged_stop(&d->g);
}

static void an_address_that_leads_nowhere_is_a_fault(void **state)
{
    static struct disk d;
    unsigned page = PAGED_RINGS + 3 * SLOT_PAGES; /* of a header */

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(layouts); i++) {
        disk_up(&d, layouts[i], 0);
        d.g.frame_of[d.g.pages[page].frame] = 1000;
        paged_start(&d.g);
        d.g.pages[page].frame = PAGED_NOWHERE;
        fail_at(&d, page);
        disk_down(&d);
    }
}

static void what_may_only_be_read_is_not_written_to(void **state)
{
    static struct disk d;
    unsigned page = PAGED_RINGS + 3 * SLOT_PAGES; /* its status is there too */
    unsigned char old[PAGED_PAGE];

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(layouts); i++) {
        disk_up(&d, layouts[i], 0);
        d.g.pages[page].access = VHOST_IOMMU_READ;
        paged_start(&d.g);
        submit(&d, &d.slots[3]);
        memcpy(old, paged_frame(&d.g, d.g.pages[page].frame), PAGED_PAGE);
        fail_at(&d, page);
        assert_memory_equal(old, paged_frame(&d.g, d.g.pages[page].frame),
                            PAGED_PAGE);
        disk_down(&d);
    }
}

static void a_translation_that_never_comes_is_a_fault(void **state)
{
    static struct disk d;
    unsigned page = PAGED_RINGS + 3 * SLOT_PAGES;

    (void)state;
    disk_up(&d, 0, 100);
    paged_start(&d.g);
    d.g.frame_of[d.g.pages[page].frame] = 1000;
    d.g.pages[page].frame = PAGED_MOVING;
    fail_at(&d, page);
    disk_down(&d);
}

static void a_ring_that_leads_nowhere_is_told_and_may_come(void **state)
{
    static struct disk d;
    time_t deadline = time(NULL) + PATIENCE_S;
    int frame;

    (void)state;
    disk_up(&d, 0, 0);
    frame = d.g.pages[5].frame; /* of the device's area */
    d.g.pages[5].frame = PAGED_NOWHERE;
    paged_start(&d.g);
    while (d.g.n_errors[0] == 0 || d.g.n_faults == 0) {
        wait_a_little(&d.g);
        paged_pump(&d.g);
        assert_true(time(NULL) <= deadline);
    }
    /* The guest has seen to it. */
    d.g.pages[5].frame = frame;
    assert_int_equal(
        vhost_device_iotlb_miss(&d.g.dev, PAGED_IOVA + 5 * PAGED_PAGE, true),
        0);
    run(&d, SLOTS, NULL);
    paged_stop(&d.g);
    disk_down(&d);
}

/* A network device keeps buffers for a frame that needs more: each takes two,
 * and there is an odd number of them. */
#define RX 25u
#define RX_LEN 700u
#define FRAME 1000u

static uint64_t rx_at(unsigned i)
{
    /* On two pages. */
    return PAGED_IOVA + (PAGED_RINGS + i * 2) * PAGED_PAGE + 3700;
}

static void put_rx(struct paged *g, unsigned i)
{
    struct vh_sg sg = { rx_at(i), RX_LEN };

    memset(paged_at(g, rx_at(i)), 0, RX_LEN);
    assert_int_equal(vh_ring_add(g->rings[0], &sg, 0, 1, g->window + i), 0);
}

/* The frame of a source: to all, and zeroes behind its header. */
static void check_frame(struct paged *g, unsigned i, uint32_t len, bool first)
{
    const unsigned char *at = paged_at(g, rx_at(i));

    assert_int_equal(len, first ? RX_LEN : 12 + FRAME - RX_LEN);
    if (!first) {
        assert_int_equal(at[0], 0);
        return;
    }
    assert_int_equal(at[10], 2); /* buffers */
    for (unsigned k = 0; k < 6; k++) {
        assert_int_equal(at[12 + k], 0xff);
    }
    assert_int_equal(at[12 + 12], 0x88);
    assert_int_equal(at[12 + 13], 0xb5);
}

/* Takes what is used, and tells which one is not.  Return: how many are. */
static unsigned take_rx(struct paged *g, unsigned n, unsigned *leftp)
{
    static bool out[RX];
    unsigned left = 0, taken = 0;
    struct vh_ring_used used;

    memset(out, true, sizeof(out));
    while (taken < RX - 1) {
        if (vh_ring_take(g->rings[0], &used, 1) == 1) {
            unsigned i = (unsigned)((unsigned char *)used.cookie - g->window);

            check_frame(g, i, used.len, (n + taken) % 2 == 0);
            out[i] = false;
            taken++;
        } else {
            wait_a_little(g);
            paged_pump(g);
        }
    }
    while (!out[left]) {
        left++;
    }
    *leftp = left;
    for (unsigned i = 0; i < RX; i++) {
        if (!out[i]) {
            put_rx(g, i);
        }
    }
    return taken;
}

static void buffers_that_are_held_are_given_back(void **state)
{
    static const uint64_t mrg = BIT(15);
    static struct paged g;

    (void)state;
    for (unsigned layout = 0; layout < 2; layout++) {
        unsigned left, n = 0;

        paged_up(&g, vhost_server_net("source:1000", NULL), 2,
                 mrg | (layout ? BIT(34) : 0), 0);
        g.slow = 8;
        paged_start(&g);
        for (unsigned i = 0; i < RX; i++) {
            put_rx(&g, i);
        }
        while (n < ROUNDS) {
            if (vh_ring_publish(g.rings[0])) {
                vhost_notifier_set(&g.kick[0]);
            }
            n += take_rx(&g, n, &left);
            paged_move(&g, PAGED_RINGS + 2 * left + paged_pick(&g, 2));
        }
        paged_stop(&g);
        paged_check_poison(&g);
        assert_int_equal(g.n_faults, 0);
        paged_down(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_page_is_asked_for_and_leads_where_it_should),
        cmocka_unit_test(a_slow_owner_is_waited_for),
        cmocka_unit_test(nothing_touches_a_page_that_was_taken_back),
        cmocka_unit_test(what_is_written_through_an_iommu_is_logged),
        cmocka_unit_test(an_address_that_leads_nowhere_is_a_fault),
        cmocka_unit_test(what_may_only_be_read_is_not_written_to),
        cmocka_unit_test(a_translation_that_never_comes_is_a_fault),
        cmocka_unit_test(a_ring_that_leads_nowhere_is_told_and_may_come),
        cmocka_unit_test(buffers_that_are_held_are_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
