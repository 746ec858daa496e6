/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver that writes whatever comes to its mind into its rings, while its
 * front end rearranges everything: the server lives, lets go of all of it, and
 * never writes outside of what it was given.
 */
#include <linux/virtio_blk.h>

#include "ring/layout.h"
#include "server-rig.h"

#define N_QUEUES 2
#define SIZE 16u
#define AREA UINT64_C(0x8000) /* of the ring's memory, for each queue */
#define PAGES UINT64_C(0x20000)
#define EDGE UINT64_C(0x80000) /* what follows is not in the table */
#define BIT(n) (UINT64_C(1) << (n))
#define FEATURES                                                         \
    (RIG_VERSION_1 | VH_F_PROTOCOL_FEATURES | BIT(VH_RING_F_EVENT_IDX) | \
     BIT(VH_RING_F_INDIRECT_DESC))

#define SESSIONS 40
#define STEPS 150
#define GUARD 0x5a

struct guest {
    struct rig rig;
    unsigned short seed[3];
    uint16_t avail[N_QUEUES];
    int kick[N_QUEUES];
    int call[N_QUEUES];
    unsigned n_calls;
};

static int set_up(void **state)
{
    struct guest *g = calloc(1, sizeof(*g));

    assert_non_null(g);
    rig_init(&g->rig);
    for (unsigned i = 0; i < N_QUEUES; i++) {
        g->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        g->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    *state = g;
    return 0;
}

static int tear_down(void **state)
{
    struct guest *g = *state;

    rig_cleanup(&g->rig);
    for (unsigned i = 0; i < N_QUEUES; i++) {
        close(g->kick[i]);
        close(g->call[i]);
    }
    free(g);
    return 0;
}

static uint32_t draw(struct guest *g, uint32_t below)
{
    return (uint32_t)nrand48(g->seed) % below;
}

static struct vh_mem_region table(void)
{
    struct vh_mem_region region = rig_region();

    region.size = EDGE;
    return region;
}

static void start(struct guest *g, uint32_t i)
{
    uint64_t at = RIG_USER + i * AREA;
    struct rig *rig = &g->rig;
    struct vh_avail *avail = (struct vh_avail *)(rig->mem + i * AREA + 0x1000);

    /* What was published before is not to be served again. */
    g->avail[i] = (uint16_t)rig_get_base(rig, i);
    avail->idx = g->avail[i];
    rig_do_state(rig, VH_SET_VRING_NUM, i, SIZE);
    rig_do_state(rig, VH_SET_VRING_BASE, i, g->avail[i]);
    rig_set_addr(rig, i, at, at + 0x1000, at + 0x2000);
    rig_do_fd(rig, VH_SET_VRING_CALL, i, g->call[i]);
    rig_do_fd(rig, VH_SET_VRING_KICK, i, g->kick[i]);
    rig_do_state(rig, VH_SET_VRING_ENABLE, i, 1);
}

/* An address: mostly in a page, seldom across the edge, or nowhere. */
static uint64_t draw_address(struct guest *g)
{
    switch (draw(g, 12)) {
    case 0:
        return RIG_GPA + EDGE - draw(g, 0x2000);
    case 1:
        return RIG_GPA - draw(g, 0x1000);
    case 2:
        return UINT64_MAX - draw(g, 0x1000);
    case 3:
        return RIG_GPA + draw(g, (uint32_t)PAGES); /* the rings themselves */
    default:
        return RIG_GPA + PAGES + draw(g, 64) * 0x1000;
    }
}

static void draw_descriptor(struct guest *g, struct vh_desc *desc, uint32_t n)
{
    static const uint32_t lens[] = { 16, 16, 1, 512, 4096, 0, 17, 15, 65536 };

    desc->addr = draw_address(g);
    desc->len = draw(g, 40) ? lens[draw(g, ARRAY_SIZE(lens))] : UINT32_MAX;
    desc->flags = (uint16_t)draw(g, draw(g, 10) ? 4 : 8);
    desc->next = (uint16_t)draw(g, draw(g, 20) ? n : 0x10000);
}

/* A table for indirect descriptors, where one may point. */
static void draw_page(struct guest *g)
{
    uint64_t at = PAGES + draw(g, 64) * 0x1000;
    struct vh_desc *desc = (struct vh_desc *)(g->rig.mem + at);
    struct virtio_blk_outhdr header = {
        .type = draw(g, 15),
        .sector = draw(g, 8) ? draw(g, 10000) : UINT64_MAX - draw(g, 2),
    };

    if (draw(g, 2)) {
        memcpy(g->rig.mem + at, &header, sizeof(header));
        return;
    }
    for (unsigned i = 0; i < 8; i++) {
        draw_descriptor(g, &desc[i], 8);
    }
}

/* A chain that would be right, in the ring's first descriptors. */
static void write_good_chain(struct guest *g, struct vh_desc *desc)
{
    uint64_t page = PAGES + draw(g, 60) * 0x1000;
    bool out = draw(g, 2);
    struct virtio_blk_outhdr header = { .type = out, .sector = draw(g, 8000) };

    memcpy(g->rig.mem + page, &header, sizeof(header));
    desc[0] = (struct vh_desc){ RIG_GPA + page, 16, VH_DESC_F_NEXT, 1 };
    desc[1] = (struct vh_desc){
        RIG_GPA + page + 0x1000, 4096,
        (uint16_t)(VH_DESC_F_NEXT | (out ? 0 : VH_DESC_F_WRITE)), 2
    };
    desc[2] =
        (struct vh_desc){ RIG_GPA + page + 0x2000, 1, VH_DESC_F_WRITE, 0 };
}

static void publish(struct guest *g, uint32_t i)
{
    uint8_t *at = g->rig.mem + i * AREA;
    struct vh_desc *desc = (struct vh_desc *)at;
    struct vh_avail *avail = (struct vh_avail *)(at + 0x1000);
    uint32_t n = 1 + draw(g, 4);

    for (uint32_t k = 0; k < n; k++) {
        uint16_t head = (uint16_t)draw(g, draw(g, 30) ? SIZE : 0x10000);

        if (draw(g, 10)) {
            write_good_chain(g, desc);
            head = 0;
        } else {
            draw_descriptor(g, &desc[draw(g, SIZE)], SIZE);
            draw_page(g);
        }
        avail->ring[g->avail[i]++ % SIZE] = head;
    }
    avail->idx = (uint16_t)(g->avail[i] + (draw(g, 40) ? 0 : draw(g, 0x10000)));
    eventfd_write(g->kick[i], 1);
}

static void count_calls(struct guest *g)
{
    eventfd_t n;

    for (unsigned i = 0; i < N_QUEUES; i++) {
        g->n_calls += eventfd_read(g->call[i], &n) == 0;
    }
}

static void rearrange(struct guest *g)
{
    struct vh_mem_region region = table();
    uint32_t i = draw(g, N_QUEUES);

    switch (draw(g, 8)) {
    case 0:
        rig_set_table(&g->rig, &region, 1);
        break;
    case 1:
        rig_region_do(&g->rig, VH_REM_MEM_REG, &region);
        rig_region_do(&g->rig, VH_ADD_MEM_REG, &region);
        break;
    case 2:
        rig_do_state(&g->rig, VH_SET_VRING_ENABLE, i, draw(g, 2));
        break;
    case 3:
        rig_do_u64(&g->rig, VH_SET_STATUS, 0);
        break;
    case 4:
        rig_do_u64(&g->rig, VH_SET_FEATURES,
                   FEATURES ^ (draw(g, 2) ? BIT(VH_RING_F_EVENT_IDX) : 0));
        break;
    case 5:
        rig_do_fd(&g->rig, VH_SET_VRING_KICK, i, -1);
        break;
    default:
        start(g, i);
        break;
    }
}

static void play(struct guest *g)
{
    struct vh_mem_region region = table();

    rig_negotiate(&g->rig, FEATURES);
    assert_int_equal(rig_set_table(&g->rig, &region, 1), 0);
    for (uint32_t i = 0; i < N_QUEUES; i++) {
        start(g, i);
    }
    for (unsigned step = 0; step < STEPS; step++) {
        publish(g, draw(g, N_QUEUES));
        for (uint32_t runs = draw(g, 3); runs > 0; runs--) {
            assert_true(vhost_server_run(g->rig.server, 0, NULL) >= 0);
        }
        count_calls(g);
        if (draw(g, 4) == 0) {
            rearrange(g);
        }
    }
    /* Whatever became of the rings: the session goes on. */
    assert_int_not_equal(rig_get(&g->rig, VH_GET_FEATURES), 0);
}

static void play_all(struct guest *g, const char *disk)
{
    struct vhost_server_blk_options options = { .queues = N_QUEUES };
    uint8_t *guard = g->rig.mem + EDGE;
    size_t len = RIG_MEM_SIZE - EDGE;
    int fds = rig_count_fds();

    memset(guard, GUARD, len);
    for (unsigned session = 0; session < SESSIONS; session++) {
        g->seed[0] = (unsigned short)session;
        rig_serve(&g->rig, disk, &options, NULL);
        play(g);
        if (session % 2) { /* gone, with requests under way */
            vh_sock_free(g->rig.sock);
            g->rig.sock = NULL;
            rig_turn(&g->rig);
        }
        rig_stop(&g->rig);
        assert_int_equal(rig_count_fds(), fds);
    }
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(guard[i], GUARD);
    }
    /* It was not all nonsense: else the test would test nothing. */
    assert_true(g->n_calls > SESSIONS);
}

static void test_lives_through_whatever_is_in_a_ring(void **state)
{
    play_all(*state, NULL);
}

static void test_lives_through_it_without_a_file_too(void **state)
{
    play_all(*state, "null:4194304");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_lives_through_whatever_is_in_a_ring, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_lives_through_it_without_a_file_too, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
