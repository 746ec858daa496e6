/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests that stand for themselves, and what a back end is told for
 * addresses: the bytes on the wire.
 */
#include "check.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/vhost_types.h>

#include "lib/user-rig.h"

#define XEN_REGION 40

static struct rig rig_of(uint64_t protocol)
{
    return (struct rig){
        .peer = { .features = RIG_F_VERSION_1 | VH_F_PROTOCOL_FEATURES,
                  .protocol = protocol },
    };
}

static const uint8_t mac[6] = { 0x52, 0x54, 0, 0xaa, 0xbb, 0xcc };

static void test_announces_a_guest(void **state)
{
    static const uint8_t want[8] = { 0x52, 0x54, 0, 0xaa, 0xbb, 0xcc, 0, 0 };
    struct rig rig = rig_of(VH_PF(RARP) | VH_PF(REPLY_ACK));
    const struct peer_entry *e;

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_migration_done(&rig.dev, mac), 0);
    assert_int_equal(vh_be_get_status(&rig.dev, &(uint8_t){ 0 }), -ENOTSUP);
    rig_down(&rig);
    e = peer_find(&rig.peer, VH_SEND_RARP, 0);
    assert_int_equal(e->flags, VH_MSG_VERSION); /* no ack is asked for */
    assert_int_equal(e->size, 8);
    assert_memory_equal(&e->u64, want, 8);
    assert_int_equal(peer_count(&rig.peer, VH_GET_STATUS), 0);
    rig_free(&rig);
}

static void test_what_is_not_in_use_is_not_sent(void **state)
{
    struct vhost_vring_state big = { .num = 1 };
    uint8_t session[8] = { 0 };
    struct rig rig = rig_of(VH_PF(REPLY_ACK) | VH_PF(CRYPTO_SESSION));

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_migration_done(&rig.dev, mac), -ENOTSUP);
    assert_non_null(strstr(rig_words(&rig), "PROTOCOL_F_RARP is not in use"));
    assert_int_equal(vh_be_net_set_mtu(&rig.dev, 1500), 0);
    assert_int_equal(user_ops.vhost_set_vring_endian(&rig.dev, &big), -ENOTSUP);
    assert_int_equal(vh_be_crypto_create_session(&rig.dev, session, 8),
                     -ENOTSUP);
    assert_int_equal(vh_be_crypto_close_session(&rig.dev, 1), -ENOTSUP);
    rig_down(&rig);
    assert_int_equal(rig.peer.acked_protocol, VH_PF(REPLY_ACK));
    assert_int_equal(rig.peer.n_log, 3); /* the negotiation */
    rig_free(&rig);
}

static void test_tells_the_mtu(void **state)
{
    static const struct peer_rule refuse = { .request = VH_NET_SET_MTU,
                                             .act = PEER_REFUSE,
                                             .nth = 2 };
    struct rig rig = rig_of(VH_PF(NET_MTU) | VH_PF(REPLY_ACK));

    (void)state;
    rig.peer.rules = &refuse;
    rig.peer.n_rules = 1;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_net_set_mtu(&rig.dev, 9000), 0);
    assert_int_equal(vh_be_net_set_mtu(&rig.dev, 9001), -EREMOTEIO);
    assert_non_null(strstr(rig_words(&rig), "refused NET_SET_MTU"));
    rig_down(&rig);
    assert_true(peer_find(&rig.peer, VH_NET_SET_MTU, 0)->u64 == 9000);
    rig_free(&rig);
}

static void test_tells_the_byte_order(void **state)
{
    struct rig rig = rig_of(VH_PF(CROSS_ENDIAN));
    const struct peer_entry *e;

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_set_vring_endian(&rig.dev, 3, true), 0);
    assert_int_equal(vh_be_set_vring_endian(&rig.dev, 4, false), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig_down(&rig);
    e = peer_find(&rig.peer, VH_SET_VRING_ENDIAN, 0);
    assert_int_equal(e->state.index, 3);
    assert_int_equal(e->state.num, 1);
    assert_int_equal(peer_find(&rig.peer, VH_SET_VRING_ENDIAN, 1)->state.num,
                     0);
    rig_free(&rig);
}

static void test_reads_the_status(void **state)
{
    static const uint64_t wide = 0x100;
    static const struct peer_rule rule = { VH_GET_STATUS, PEER_REPLY, 2, &wide,
                                           8 };
    struct rig rig = rig_of(VH_PF(STATUS));
    uint8_t status = 0;

    (void)state;
    rig.peer.rules = &rule;
    rig.peer.n_rules = 1;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_dev_start(&rig.dev, true), 0);
    assert_int_equal(vh_be_get_status(&rig.dev, &status), 0);
    assert_int_equal(status, 7); /* ACKNOWLEDGE, DRIVER, DRIVER_OK */
    assert_int_equal(vh_be_get_status(&rig.dev, &status), -EPROTO);
    assert_int_equal(status, 7);
    rig_down(&rig);
    rig_free(&rig);
}

static void test_crypto_sessions_go_through_as_they_are(void **state)
{
    static const uint8_t answer[200] = { 9, 8, 7 };
    static const struct peer_rule rules[] = {
        { VH_CREATE_CRYPTO_SESSION, PEER_REPLY, 1, answer, sizeof(answer) },
        { VH_CREATE_CRYPTO_SESSION, PEER_REPLY, 2, answer, 199 },
    };
    struct rig rig = rig_of(VH_PF(CRYPTO_SESSION));
    uint8_t session[200] = { 1, 2, 3, 4 };
    const struct peer_entry *e;

    (void)state;
    rig.options.extra = VH_PF(CRYPTO_SESSION);
    rig.options.size = sizeof(rig.options);
    rig.peer.rules = rules;
    rig.peer.n_rules = ARRAY_SIZE(rules);
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(
        vh_be_crypto_create_session(&rig.dev, session, sizeof(session)), 0);
    assert_memory_equal(session, answer, sizeof(session));
    assert_int_equal(
        vh_be_crypto_create_session(&rig.dev, session, sizeof(session)),
        -EPROTO);
    assert_non_null(strstr(rig_words(&rig), "answered by one of 199"));
    assert_int_equal(vh_be_crypto_close_session(&rig.dev, 0x1234567890), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig_down(&rig);
    e = peer_find(&rig.peer, VH_CREATE_CRYPTO_SESSION, 0);
    assert_int_equal(e->size, 200);
    assert_memory_equal(&e->u64, "\1\2\3\4\0\0\0\0", 8);
    assert_true(peer_find(&rig.peer, VH_CLOSE_CRYPTO_SESSION, 0)->u64 ==
                0x1234567890);
    rig_free(&rig);
}

/* Addresses */

static struct vhost_memory_section memory(int fd)
{
    return (struct vhost_memory_section){
        .gpa = 0x100000,
        .size = 0x2000,
        .hva = (void *)(uintptr_t)0x7f1200000000,
        .fd = fd,
        .fd_offset = 0x3000,
        .page_size = 4096,
        .xen_flags = 0x101,
        .xen_domid = 7,
    };
}

/* Gives the back end one section, and one ring in it. */
static void describe(struct rig *rig, struct vhost_memory_section *section)
{
    struct vhost_memory mem = { .nregions = 1 };
    struct vhost_virtqueue vq = {
        .desc = (char *)section->hva,
        .avail = (char *)section->hva + 0x400,
        .used = (char *)section->hva + 0x800,
        .desc_phys = 0x100000,
        .avail_phys = 0x100400,
        .used_phys = 0x100800,
    };
    struct vhost_vring_addr addr = { .index = 0 };

    assert_int_equal(rig_up(rig), 0);
    rig->dev.mem_sections = section;
    rig->dev.n_mem_sections = 1;
    assert_int_equal(vh_be_set_mem_table(&rig->dev, &mem), 0);
    assert_int_equal(vh_be_vq_get_addr(&rig->dev, &addr, &vq), 0);
    assert_int_equal(vh_be_set_vring_addr(&rig->dev, &addr), 0);
    assert_int_equal(vh_be_sync(&rig->dev), 0);
    rig_down(rig);
}

static void assert_addresses(const struct rig *rig, uint64_t user_addr)
{
    const struct vh_vring_addr *addr =
        &peer_find(&rig->peer, VH_SET_VRING_ADDR, 0)->addr;
    const struct vh_mem_region *region =
        &peer_find(&rig->peer, VH_ADD_MEM_REG, 0)->region.region;

    assert_true(region->gpa == 0x100000);
    assert_true(region->user_addr == user_addr);
    assert_true(region->mmap_offset == 0x3000);
    assert_true(addr->desc == user_addr);
    assert_true(addr->avail == user_addr + 0x400);
    assert_true(addr->used == user_addr + 0x800);
}

static struct rig rig_with_slots(uint64_t protocol)
{
    struct rig rig =
        rig_of(protocol | VH_PF(REPLY_ACK) | VH_PF(CONFIGURE_MEM_SLOTS));

    rig.peer.n_slots = 8;
    rig.options.size = sizeof(rig.options);
    return rig;
}

static void test_user_addresses_are_those_of_the_guest(void **state)
{
    struct vhost_memory_section section = memory(0);
    struct rig with = rig_with_slots(VH_PF(GPA_ADDRESSES));
    struct rig without = rig_with_slots(0);

    (void)state;
    describe(&with, &section);
    assert_true(with.peer.acked_protocol & VH_PF(GPA_ADDRESSES));
    assert_addresses(&with, 0x100000);
    rig_free(&with);
    describe(&without, &section);
    assert_addresses(&without, 0x100000);
    rig_free(&without);
}

static void test_our_own_are_told_if_asked_for(void **state)
{
    struct vhost_memory_section section = memory(0);
    struct rig rig = rig_with_slots(VH_PF(GPA_ADDRESSES));

    (void)state;
    rig.options.host_addresses = true;
    describe(&rig, &section);
    assert_int_equal(rig.peer.acked_protocol & VH_PF(GPA_ADDRESSES), 0);
    assert_addresses(&rig, 0x7f1200000000);
    rig_free(&rig);
}

static void assert_xen(const uint8_t *bytes)
{
    static const uint8_t want[XEN_REGION] = {
        0, 0,    0x10, 0, 0, 0, 0, 0, /* guest address */
        0, 0x20, 0,    0, 0, 0, 0, 0, /* size */
        0, 0,    0x10, 0, 0, 0, 0, 0, /* user address */
        0, 0x30, 0,    0, 0, 0, 0, 0, /* offset in the file */
        1, 1,    0,    0, 7, 0, 0, 0, /* flags, domain */
    };

    assert_memory_equal(bytes, want, sizeof(want));
}

static void test_xen_has_a_region_of_its_own(void **state)
{
    struct vhost_memory_section section = memory(0);
    struct rig slots = rig_with_slots(VH_PF(XEN_MMAP) | VH_PF(PAGEFAULT));
    struct rig table = rig_of(VH_PF(XEN_MMAP));
    struct rig nobody = rig_with_slots(VH_PF(XEN_MMAP));
    const struct peer_entry *e;

    (void)state;
    slots.options.extra = VH_PF(XEN_MMAP);
    describe(&slots, &section);
    assert_true(slots.peer.acked_protocol & VH_PF(XEN_MMAP));
    assert_false(slots.peer.acked_protocol & VH_PF(PAGEFAULT));
    e = peer_find(&slots.peer, VH_ADD_MEM_REG, 0);
    assert_int_equal(e->size, 48);
    assert_true(e->u64 == 0); /* padding */
    assert_xen((const uint8_t *)&e->u64 + 8);
    rig_free(&slots);

    table.options.required = VH_PF(XEN_MMAP);
    describe(&table, &section);
    e = peer_find(&table.peer, VH_SET_MEM_TABLE, 0);
    assert_int_equal(e->size, 48);
    assert_true(e->u64 == 1); /* one region, padding */
    assert_xen((const uint8_t *)&e->u64 + 8);
    rig_free(&table);

    describe(&nobody, &section); /* asked for it: nobody gets it */
    assert_int_equal(nobody.peer.acked_protocol & VH_PF(XEN_MMAP), 0);
    assert_int_equal(peer_find(&nobody.peer, VH_ADD_MEM_REG, 0)->size, 40);
    rig_free(&nobody);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_announces_a_guest),
        cmocka_unit_test(test_what_is_not_in_use_is_not_sent),
        cmocka_unit_test(test_tells_the_mtu),
        cmocka_unit_test(test_tells_the_byte_order),
        cmocka_unit_test(test_reads_the_status),
        cmocka_unit_test(test_crypto_sessions_go_through_as_they_are),
        cmocka_unit_test(test_user_addresses_are_those_of_the_guest),
        cmocka_unit_test(test_our_own_are_told_if_asked_for),
        cmocka_unit_test(test_xen_has_a_region_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
