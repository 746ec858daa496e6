/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whatever may be called, in any order.
 *
 * A device and its owner, who calls what comes to his mind: also what is to be
 * refused, and also while an operation is under way, or the back end is gone.
 * A model knows what is to come of each call, and what is to be seen of the
 * device afterwards.  Now and then a request goes through a queue that runs,
 * which shows that back end, memory and indices are what both think.
 *
 * Not called is what contracts forbid, such as to start a started device: that
 * is an assertion, not an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/virtio_blk.h>

#include <vhost/async.h>
#include <vhost/log.h>

#include "owner.h"
#include "util/atomic.h"

#define DISK_SIZE (1u << 20)
#define LEN 4096u
#define PATIENCE 10000 /* milliseconds */
#define STEPS 400
#ifdef __SANITIZE_THREAD__
#define SEEDS 3
#else
#define SEEDS 12
#endif

static char image[64];

static int make_image(void **state)
{
    static unsigned char bytes[DISK_SIZE];
    int fd;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)(i / 512 * 7 + i);
    }
    snprintf(image, sizeof(image), "/tmp/test-any-order-XXXXXX");
    fd = mkstemp(image);
    if (fd < 0 || write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes)) {
        return -1;
    }
    return close(fd);
}

static int remove_image(void **state)
{
    (void)state;
    return unlink(image);
}

/* What may be called */

static void init(struct owner *m)
{
    const struct vhost_server_options options = { .size = sizeof(options),
                                                  .hide_protocol_features =
                                                      m->hidden };
    const struct vhost_server_blk_options disk = { .size = sizeof(disk),
                                                   .queues = GUEST_QUEUES };

    if (m->there) {
        return;
    }
    guest_device_up(&m->g, vhost_server_blk(image, &disk), &options);
    m->there = true;
    m->gone = m->broken = false;
}

static void cleanup(struct owner *m)
{
    if (!m->there || m->started || m->op == A_COMMIT) {
        return;
    }
    m->called_off = m->op != NOTHING; /* a start */
    vhost_dev_cleanup(&m->g.dev);
    assert_int_equal(m->told, m->called_off);
    owner_check_end(m);
    guest_device_down(&m->g);
    memset(m->masked, 0, sizeof(m->masked));
    m->there = false;
}

static void start(struct owner *m)
{
    int r;

    if (!m->there || m->started) {
        return;
    }
    m->logged = m->op == NOTHING ? m->log : m->logged;
    r = vhost_dev_start(&m->g.dev, &m->g.vdev, true);
    if (!owner_check_busy(m, r)) {
        owner_check_words(m, r);
        owner_check_started(m, r);
    }
}

static void start_async(struct owner *m)
{
    int r;

    if (!m->there || m->started) {
        return;
    }
    m->logged = m->op == NOTHING ? m->log : m->logged;
    r = vhost_dev_start_async(&m->g.dev, &m->g.vdev, true, owner_ended, m);
    if (!owner_check_busy(m, r)) {
        owner_check_maybe(m, r);
        m->op = r == 0 ? A_START : NOTHING;
    }
}

static void stop(struct owner *m)
{
    int r;

    if (!m->there || !m->started) {
        return;
    }
    r = vhost_dev_stop(&m->g.dev, &m->g.vdev, true);
    if (!owner_check_busy(m, r)) {
        owner_check_words(m, r);
        owner_check_stopped(m, r);
    }
}

static void stop_async(struct owner *m)
{
    int r;

    if (!m->there || !m->started) {
        return;
    }
    r = vhost_dev_stop_async(&m->g.dev, &m->g.vdev, true, owner_ended, m);
    if (!owner_check_busy(m, r)) {
        assert_int_equal(r, 0);
        m->op = A_STOP;
    }
}

static void cancel(struct owner *m)
{
    int r;

    if (!m->there) {
        return;
    }
    r = vhost_dev_cancel(&m->g.dev);
    if (m->op == NOTHING) {
        assert_int_equal(r, -ENOENT);
    } else if (m->called_off) {
        assert_int_equal(r, -EALREADY);
    } else {
        /* Its end may be there already. */
        assert_true(r == 0 || r == -EALREADY);
    }
    m->called_off |= r == 0;
}

static void dispatch(struct owner *m)
{
    int r;

    if (!m->there) {
        return;
    }
    r = vhost_dev_dispatch(&m->g.dev);
    if (m->op == NOTHING || !m->called_off) {
        owner_check_maybe(m, r);
    }
    owner_check_end(m);
}

/* The owner has nothing else to do until it is told of the end. */
static void see_it_end(struct owner *m)
{
    while (m->op != NOTHING) {
        struct pollfd p = { .fd = vhost_dev_get_fd(&m->g.dev),
                            .events = POLLIN };

        assert_int_equal(poll(&p, 1, PATIENCE), 1);
        dispatch(m);
    }
}

static void queue_stop(struct owner *m)
{
    unsigned i = guest_pick(&m->g, GUEST_QUEUES);
    int r;

    if (!m->there) {
        return;
    }
    r = vhost_virtqueue_stop(&m->g.dev, &m->g.vdev, &m->g.vqs[i], i);
    if (owner_check_busy(m, r)) {
        return;
    }
    if (m->runs[i]) {
        owner_check_asked(m, r);
    } else {
        assert_true(r == 0 || m->gone || m->broken);
    }
    owner_rests(m, i);
}

static void queue_start(struct owner *m)
{
    unsigned i = guest_pick(&m->g, GUEST_QUEUES);
    int r;

    if (!m->there || !m->started || m->runs[i]) {
        return;
    }
    r = vhost_virtqueue_start(&m->g.dev, &m->g.vdev, &m->g.vqs[i], i);
    if (!owner_check_busy(m, r)) {
        owner_check_asked(m, r);
        owner_check_words(m, r);
        m->runs[i] = r == 0;
    }
}

static void mask(struct owner *m)
{
    unsigned i = guest_pick(&m->g, GUEST_QUEUES);
    bool on = guest_pick(&m->g, 2);
    int r;

    if (!m->there) {
        return;
    }
    r = vhost_virtqueue_mask(&m->g.dev, &m->g.vdev, (int)i, on);
    owner_check_maybe(m, r);
    m->masked[i] = r == 0 ? on : m->masked[i];
}

static void read_config(struct owner *m)
{
    struct virtio_blk_config config;
    struct vhost_error *error = NULL;
    int r;

    if (!m->there) {
        return;
    }
    r = vhost_dev_get_config(&m->g.dev, (uint8_t *)&config, sizeof(config),
                             &error);
    owner_check_asked(m, r);
    assert_int_equal(error ? vhost_error_code(error) : 0, r);
    if (r == 0) {
        assert_int_equal(config.capacity, DISK_SIZE / 512);
    }
    vhost_error_free(error);
}

/* Guest memory: the far section comes and goes; nothing of a ring is in it. */
static void begin_far(struct owner *m)
{
    const struct vhost_memory_section *s = &m->g.far.section;

    vhost_memory_begin(m->g.map);
    if (m->g.far.mapped) {
        assert_int_equal(vhost_memory_add(m->g.map, s), -EEXIST);
        assert_int_equal(vhost_memory_remove(m->g.map, s->gpa, s->size), 0);
    } else {
        assert_int_equal(vhost_memory_remove(m->g.map, s->gpa, s->size),
                         -ENOENT);
        assert_int_equal(vhost_memory_add(m->g.map, s), 0);
    }
}

static void commit(struct owner *m)
{
    struct vhost_error *error = NULL;
    int r;

    if (m->op == A_COMMIT) {
        return;
    }
    begin_far(m);
    if (guest_pick(&m->g, 4) == 0) {
        vhost_memory_abort(m->g.map);
        return;
    }
    r = vhost_memory_commit(m->g.map, &error);
    owner_check_maybe(m, r);
    assert_int_equal(error ? vhost_error_code(error) : 0, r);
    vhost_error_free(error);
    m->g.far.mapped = !m->g.far.mapped;
}

static void commit_async(struct owner *m)
{
    struct vhost_error *error = NULL;
    int r;

    if (!m->there || m->op != NOTHING) {
        return; /* told of two ends the model would be confused */
    }
    begin_far(m);
    r = vhost_memory_commit_async(m->g.map, owner_committed, m, &error);
    if (r == -EINPROGRESS) {
        m->op = A_COMMIT;
    } else {
        owner_check_maybe(m, r);
    }
    vhost_error_free(error);
    m->g.far.mapped = !m->g.far.mapped;
}

/* That with the rings: an idle device does without until it starts. */
static void move_ram(struct owner *m)
{
    const struct vhost_memory_section *s = &m->g.ram.section;
    bool breaks = m->started && !m->gone && !m->broken;
    struct vhost_error *error = NULL;
    int r;

    if (m->op != NOTHING || (m->ram && guest_pick(&m->g, 8))) {
        return;
    }
    for (unsigned i = 0; i < GUEST_QUEUES; i++) {
        breaks &= m->runs[i];
    }
    if (m->ram && m->started && !breaks) {
        return;
    }
    vhost_memory_begin(m->g.map);
    assert_int_equal(m->ram ? vhost_memory_remove(m->g.map, s->gpa, s->size)
                            : vhost_memory_add(m->g.map, s),
                     0);
    r = vhost_memory_commit(m->g.map, &error);
    if (m->ram && breaks) {
        assert_int_equal(r, -ENOMEM);
        m->broken = true;
    } else {
        owner_check_maybe(m, r);
    }
    assert_int_equal(error ? vhost_error_code(error) : 0, r);
    vhost_error_free(error);
    m->ram = !m->ram;
}

static void log_switch(struct owner *m)
{
    struct vhost_error *error = NULL;
    int r;

    if (m->op == A_COMMIT) {
        return;
    }
    r = m->log ? vhost_log_stop(m->g.map, &error)
               : vhost_log_start(m->g.map, &error);
    if (!m->log && m->there && (m->hidden & F(LOG_SHMFD))) {
        assert_true(r == -ENOTSUP || (m->broken && r == -EPROTO));
    } else {
        owner_check_maybe(m, r);
        m->log = !m->log && r == 0;
    }
    assert_int_equal(error ? vhost_error_code(error) : 0, r);
    vhost_error_free(error);
}

static void take_range(void *opaque, uint64_t gpa, uint64_t size)
{
    (void)opaque;
    assert_int_equal(gpa % VHOST_LOG_PAGE, 0);
    assert_true(size > 0 && size % VHOST_LOG_PAGE == 0);
}

static void log_sync(struct owner *m)
{
    int r;

    if (m->op == A_COMMIT) {
        return;
    }
    r = vhost_log_sync(m->g.map, take_range, NULL, NULL);
    assert_int_equal(r, m->log ? 0 : -EINVAL);
}

static void back_end_ends(struct owner *m)
{
    if (m->there && !m->gone && guest_pick(&m->g, 6) == 0) {
        guest_server_down(&m->g);
        m->gone = true;
    }
}

/* What an owner does who has noticed. */
static void begin_anew(struct owner *m)
{
    if (m->gone || m->broken) {
        see_it_end(m);
        stop(m);
        cleanup(m);
        if (!m->ram) {
            move_ram(m);
        }
        init(m);
    }
}

/* A request through a queue that runs, and the call that it brings. */
static void request(struct owner *m)
{
    unsigned i = guest_pick(&m->g, GUEST_QUEUES);
    struct guest_area *area = m->g.far.mapped ? &m->g.far : &m->g.ram;
    struct virtio_blk_outhdr header = {
        .type = VIRTIO_BLK_T_IN,
        .sector = guest_pick(&m->g, (DISK_SIZE - LEN) / 512),
    };
    struct vh_sg sg[3];
    struct pollfd call = { .events = POLLIN };
    unsigned char *at;

    if (!m->runs[i] || m->gone || m->broken || m->op != NOTHING) {
        return;
    }
    sg[0] = (struct vh_sg){ guest_buffer(&m->g, &m->g.ram, 16, false), 16 };
    sg[1] = (struct vh_sg){ guest_buffer(&m->g, area, LEN, true), LEN };
    sg[2] = (struct vh_sg){ guest_buffer(&m->g, &m->g.ram, 1, true), 1 };
    memcpy(guest_at(&m->g, sg[0].addr), &header, sizeof(header));
    vhost_notifier_test_and_clear(&m->g.call[i]);
    vhost_notifier_test_and_clear(&m->g.vqs[i].masked_notifier);
    assert_int_equal(vh_ring_add(m->g.rings[i], sg, 1, 2, m), 0);
    guest_publish(&m->g, i);
    guest_kick(&m->g, i);
    assert_int_equal(guest_take(&m->g, i).len, LEN + 1);
    assert_int_equal(*(unsigned char *)guest_at(&m->g, sg[2].addr), 0);
    at = guest_at(&m->g, sg[1].addr);
    for (unsigned b = 0; b < LEN; b++) {
        size_t where = (size_t)header.sector * 512 + b;

        assert_int_equal(at[b], (unsigned char)(where / 512 * 7 + where));
    }
    call.fd = m->masked[i] ? m->g.vqs[i].masked_notifier.fd : m->g.call[i].fd;
    assert_int_equal(poll(&call, 1, PATIENCE), 1);
    assert_int_equal(vhost_virtqueue_pending(&m->g.dev, (int)i), m->masked[i]);
    m->n_requests++;
}

/* A life */

static const struct {
    const char *name;
    void (*call)(struct owner *m);
} calls[] = {
    { "init", init },
    { "init", init },
    { "init", init },
    { "cleanup", cleanup },
    { "start", start },
    { "start", start },
    { "start", start },
    { "start_async", start_async },
    { "start_async", start_async },
    { "stop", stop },
    { "stop_async", stop_async },
    { "cancel", cancel },
    { "dispatch", dispatch },
    { "dispatch", dispatch },
    { "see_it_end", see_it_end },
    { "see_it_end", see_it_end },
    { "queue_stop", queue_stop },
    { "queue_start", queue_start },
    { "queue_start", queue_start },
    { "mask", mask },
    { "read_config", read_config },
    { "commit", commit },
    { "commit_async", commit_async },
    { "move_ram", move_ram },
    { "log_switch", log_switch },
    { "log_sync", log_sync },
    { "back_end_ends", back_end_ends },
    { "begin_anew", begin_anew },
    { "begin_anew", begin_anew },
    { "request", request },
    { "request", request },
    { "request", request },
};

/* Return: how many requests went through. */
static unsigned live(uint64_t features, uint64_t hidden, unsigned seed)
{
    struct owner m = { .hidden = hidden, .ram = true };
    bool says = getenv("ANY_ORDER") != NULL;

    guest_without_device_up(&m.g, GUEST_QUEUES, features);
    m.g.seed = seed;
    for (unsigned i = 0; i < STEPS; i++) {
        unsigned which = guest_pick(&m.g, ARRAY_SIZE(calls));

        if (says) {
            print_message("%u.%u %s\n", seed, i, calls[which].name);
        }
        calls[which].call(&m);
        owner_check_end(&m);
        owner_check_device(&m);
    }
    if (m.there) {
        see_it_end(&m);
        stop(&m);
        cleanup(&m);
    }
    if (!m.ram) {
        move_ram(&m);
    }
    guest_without_device_down(&m.g);
    return m.n_requests;
}

static void lives(uint64_t features, uint64_t hidden)
{
    unsigned n = 0;

    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        n += live(features, hidden, seed * 7919);
    }
    assert_true(n > SEEDS * STEPS / 100);
}

static void test_split_rings_and_all_that_there_is(void **state)
{
    (void)state;
    lives(0, 0);
}

static void test_packed_rings_and_all_that_there_is(void **state)
{
    (void)state;
    lives(F(VH_RING_F_PACKED), 0);
}

static void test_a_back_end_that_acknowledges_nothing(void **state)
{
    (void)state;
    lives(0, F(REPLY_ACK));
}

static void test_a_back_end_with_a_table_and_no_log(void **state)
{
    (void)state;
    lives(F(VH_RING_F_PACKED), F(MEM_SLOTS) | F(LOG_SHMFD));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_rings_and_all_that_there_is),
        cmocka_unit_test(test_packed_rings_and_all_that_there_is),
        cmocka_unit_test(test_a_back_end_that_acknowledges_nothing),
        cmocka_unit_test(test_a_back_end_with_a_table_and_no_log),
    };

    return cmocka_run_group_tests(tests, make_image, remove_image);
}
