/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/vhost_types.h>

#include "lib/user-rig.h"

#define N_SECTIONS 12
#define SIZE 0x10000u

static const struct peer with_slots = {
    .features = RIG_F_VERSION_1 | VH_F_PROTOCOL_FEATURES,
    .protocol = VH_PF(REPLY_ACK) | VH_PF(CONFIGURE_MEM_SLOTS),
    .n_slots = 10,
};
static const struct peer with_table = {
    .features = RIG_F_VERSION_1 | VH_F_PROTOCOL_FEATURES,
    .protocol = VH_PF(REPLY_ACK),
};
static const struct peer plain = { .features = RIG_F_VERSION_1 };

/* Each section with a file of its own, so that the files can be told apart. */
static struct vhost_memory_section sections[N_SECTIONS];
static ino_t inodes[N_SECTIONS];

static int make_sections(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_SECTIONS; i++) {
        struct stat st;
        int fd = memfd_create("test", MFD_CLOEXEC);

        assert_int_equal(fstat(fd, &st), 0);
        inodes[i] = st.st_ino;
        sections[i] = (struct vhost_memory_section){
            .gpa = (uint64_t)i * 2 * SIZE,
            .size = SIZE,
            .hva = (void *)(uintptr_t)(0x7f0000000000 + i * 2 * SIZE),
            .fd = fd,
            .fd_offset = i * 0x1000,
            .page_size = 0x1000,
        };
    }
    return 0;
}

static int close_sections(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_SECTIONS; i++) {
        close(sections[i].fd);
    }
    return 0;
}

/* Sections @from to @to of the device, posted. */
static int set_table(struct rig *rig, unsigned from, unsigned to)
{
    struct vhost_memory mem = { .nregions = to - from };

    rig->dev.mem_sections = &sections[from];
    rig->dev.n_mem_sections = (int)(to - from);
    return vh_be_set_mem_table(&rig->dev, &mem);
}

static void assert_region(const struct vh_mem_region *region, unsigned i)
{
    assert_int_equal(region->gpa, sections[i].gpa);
    assert_int_equal(region->size, sections[i].size);
    assert_int_equal(region->mmap_offset, sections[i].fd_offset);
    /* No address of ours leaves the process. */
    assert_int_equal(region->user_addr, sections[i].gpa);
}

static void test_sends_a_whole_table_where_there_are_no_slots(void **state)
{
    struct rig rig = { .peer = with_table };
    const struct peer_entry *entry;

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(set_table(&rig, 2, 5), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    assert_int_equal(rig_round_trips(&rig), 3);
    rig_down(&rig);

    entry = peer_find(&rig.peer, VH_SET_MEM_TABLE, 0);
    assert_true(entry->flags & VH_MSG_F_NEED_REPLY);
    assert_int_equal(entry->size, 8 + 3 * 32);
    assert_int_equal(entry->table.n, 3);
    assert_int_equal(entry->n_fds, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_region(&entry->table.regions[i], 2 + i);
        assert_int_equal(entry->inodes[i], inodes[2 + i]);
    }
    rig_free(&rig);
}

static void test_says_how_many_regions_there_may_be(void **state)
{
    struct rig table = { .peer = with_table };
    struct rig slots = { .peer = with_slots };

    (void)state;
    assert_int_equal(rig_up(&table), 0);
    assert_int_equal(set_table(&table, 0, 9), -ENOSPC);
    assert_string_equal(rig_words(&table),
                        "user:test: 9 memory regions, the back end takes 8");
    rig_down(&table);
    assert_int_equal(peer_count(&table.peer, VH_SET_MEM_TABLE), 0);
    rig_free(&table);

    assert_int_equal(rig_up(&slots), 0);
    assert_int_equal(set_table(&slots, 0, 10), 0);
    assert_int_equal(vh_be_sync(&slots.dev), 0);
    assert_int_equal(set_table(&slots, 0, 11), -ENOSPC);
    rig_down(&slots);
    assert_int_equal(peer_count(&slots.peer, VH_ADD_MEM_REG), 10);
    rig_free(&slots);
}

static void test_refuses_memory_without_a_file(void **state)
{
    struct vhost_memory_section bare = { .gpa = 0x1000, .size = 1, .fd = -1 };
    struct vhost_memory mem = { .nregions = 1 };
    struct rig rig = { .peer = with_table };

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    rig.dev.mem_sections = &bare;
    rig.dev.n_mem_sections = 1;
    assert_int_equal(vh_be_set_mem_table(&rig.dev, &mem), -EINVAL);
    assert_non_null(strstr(rig_words(&rig), "0x1000 has no file"));
    rig_down(&rig);
    rig_free(&rig);
}

static void test_tells_only_what_changed_where_there_are_slots(void **state)
{
    static const uint32_t expected[] = {
        VH_ADD_MEM_REG, VH_ADD_MEM_REG, VH_ADD_MEM_REG, /* 0 1 2 */
        VH_REM_MEM_REG, VH_REM_MEM_REG,                 /* 1 0 */
        VH_ADD_MEM_REG, VH_ADD_MEM_REG,                 /* 3 4 */
    };
    static const unsigned added[] = { 0, 1, 2, 3, 4 };
    static const unsigned removed[] = { 1, 0 };
    struct rig rig = { .peer = with_slots };

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(set_table(&rig, 0, 3), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    assert_int_equal(set_table(&rig, 2, 5), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    assert_int_equal(set_table(&rig, 2, 5), 0); /* no change, no message */
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    assert_int_equal(rig_round_trips(&rig), 5);
    rig_down(&rig);

    peer_assert_log(&rig.peer, 4, expected, ARRAY_SIZE(expected));
    for (unsigned i = 0; i < ARRAY_SIZE(added); i++) {
        const struct peer_entry *add = peer_find(&rig.peer, VH_ADD_MEM_REG, i);

        assert_true(add->flags & VH_MSG_F_NEED_REPLY);
        assert_region(&add->region.region, added[i]);
        assert_int_equal(add->n_fds, 1);
        assert_int_equal(add->inodes[0], inodes[added[i]]);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(removed); i++) {
        const struct peer_entry *rem = peer_find(&rig.peer, VH_REM_MEM_REG, i);

        assert_region(&rem->region.region, removed[i]);
        assert_int_equal(rem->n_fds, 0);
    }
    rig_free(&rig);
}

static void test_a_refused_change_of_slots_breaks_the_device(void **state)
{
    static const struct peer_rule rule = { .request = VH_REM_MEM_REG,
                                           .act = PEER_REFUSE };
    struct rig rig = { .peer = with_slots };

    (void)state;
    rig.peer.rules = &rule;
    rig.peer.n_rules = 1;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(set_table(&rig, 0, 2), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    assert_int_equal(rig.dev.state, VHOST_DEV_NONE);
    assert_int_equal(set_table(&rig, 1, 2), 0);
    assert_int_equal(vh_be_sync(&rig.dev), -EREMOTEIO);
    assert_string_equal(rig_words(&rig),
                        "user:test: the back end refused REM_MEM_REG");
    assert_int_equal(rig.dev.state, VHOST_DEV_BROKEN);
    /* Nobody knows what it has, so no difference can be told. */
    assert_int_equal(set_table(&rig, 0, 2), -EPROTO);
    assert_true(vh_be_is_connected(&rig.dev));
    rig_down(&rig);
    rig_free(&rig);
}

static void test_a_refused_table_can_be_sent_again(void **state)
{
    static const struct peer_rule rule = { .request = VH_SET_MEM_TABLE,
                                           .act = PEER_REFUSE,
                                           .nth = 1 };
    struct rig rig = { .peer = with_table };

    (void)state;
    rig.peer.rules = &rule;
    rig.peer.n_rules = 1;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(set_table(&rig, 0, 2), 0);
    assert_int_equal(vh_be_sync(&rig.dev), -EREMOTEIO);
    vh_error_clear(&rig.dev.error);
    assert_int_equal(set_table(&rig, 0, 2), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig_down(&rig);
    rig_free(&rig);
}

/* Else memory would be freed under a back end that has not yet let go. */
static void test_a_barrier_stands_in_for_the_ack(void **state)
{
    static const uint32_t expected[] = { VH_SET_MEM_TABLE, VH_GET_FEATURES };
    struct rig rig = { .peer = plain };

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(set_table(&rig, 0, 2), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0); /* one is enough */
    rig_down(&rig);
    peer_assert_log(&rig.peer, 1, expected, ARRAY_SIZE(expected));
    assert_false(peer_find(&rig.peer, VH_SET_MEM_TABLE, 0)->flags &
                 VH_MSG_F_NEED_REPLY);
    rig_free(&rig);
}

/* Connects to the front end, as a back end that was restarted. */
static void dial(struct rig *rig, const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(addr.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    peer_start_on(&rig->peer, fd);
}

static void test_forgets_what_the_last_back_end_had(void **state)
{
    struct rig rig = { .peer = with_slots, .options.listen = true };
    char dir[] = "/tmp/vhost-test-XXXXXX";
    char path[64];

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    rig.options.path = path;
    rig.user = vhost_user_new(&rig.options, NULL);
    assert_non_null(rig.user);
    for (int i = 0; i < 2; i++) {
        dial(&rig, path);
        assert_int_equal(rig_init(&rig), 0);
        assert_int_equal(set_table(&rig, 0, 3), 0);
        assert_int_equal(vh_be_sync(&rig.dev), 0);
        vh_be_cleanup(&rig.dev);
        peer_stop(&rig.peer);
        assert_int_equal(peer_count(&rig.peer, VH_ADD_MEM_REG), 3);
        peer_free(&rig.peer);
    }
    vhost_user_free(rig.user);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sends_a_whole_table_where_there_are_no_slots),
        cmocka_unit_test(test_says_how_many_regions_there_may_be),
        cmocka_unit_test(test_refuses_memory_without_a_file),
        cmocka_unit_test(test_tells_only_what_changed_where_there_are_slots),
        cmocka_unit_test(test_a_refused_change_of_slots_breaks_the_device),
        cmocka_unit_test(test_a_refused_table_can_be_sent_again),
        cmocka_unit_test(test_a_barrier_stands_in_for_the_ack),
        cmocka_unit_test(test_forgets_what_the_last_back_end_had),
    };

    return cmocka_run_group_tests(tests, make_sections, close_sections);
}
