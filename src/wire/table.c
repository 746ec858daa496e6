/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rows stand in the order of their ids, without a gap, so that an id is
 * an index.  Sizes are bounds of what peers put on the wire:
 *
 *   IOTLB           26 bytes, or 32 with the padding of a C structure
 *   in-flight       20 bytes, or 24 likewise
 *   memory          a region has 32 bytes, or 40 with XEN_MMAP
 *   SET_LOG_BASE    some answer with a u64, some with nothing, some echo
 *   GET_CONFIG      size 0 in the answer: the back end has no such bytes
 *   GET_SHARED_OBJECT  some front ends forget the UUID, and some back ends
 *                   send it back with the fd
 *   REM_MEM_REG     needs no fd, but old front ends send one
 *
 * Which sizes between the bounds make sense, the codec knows.
 */
#include "wire/table.h"

#include <assert.h>

/* Payloads: kind, smallest and largest size. */
#define NONE VH_PAYLOAD_NONE, 0, 0
#define U64 VH_PAYLOAD_U64, 8, 8
#define STATE VH_PAYLOAD_STATE, 8, 8
#define ADDR VH_PAYLOAD_ADDR, 40, 40
#define TABLE VH_PAYLOAD_MEM_TABLE, 8, 8 + VH_MEM_TABLE_MAX * 40
#define REGION VH_PAYLOAD_MEM_REGION, 40, 48
#define LOG VH_PAYLOAD_LOG, 16, 16
#define IOTLB VH_PAYLOAD_IOTLB, 26, 32
#define CONFIG VH_PAYLOAD_CONFIG, 12, 12 + VH_CONFIG_MAX
#define CONFIG_ANSWER VH_PAYLOAD_CONFIG, 0, 12 + VH_CONFIG_MAX
#define AREA VH_PAYLOAD_AREA, 24, 24
#define INFLIGHT VH_PAYLOAD_INFLIGHT, 20, 24
#define UUID VH_PAYLOAD_UUID, 16, 16
#define MAYBE_UUID VH_PAYLOAD_UUID, 0, 16
#define DEVSTATE VH_PAYLOAD_DEVICE_STATE, 8, 8
#define CRYPTO VH_PAYLOAD_CRYPTO, 0, VH_MSG_PAYLOAD_MAX
#define MMAP VH_PAYLOAD_MMAP, 40, 40
#define SHMEM VH_PAYLOAD_SHMEM_CONFIG, 2056, 2056

/* Replies: rule, payload, fewest and most fds. */
#define NO VH_REPLY_NONE, NONE, 0, 0
#define ACK VH_REPLY_ACK_WANTED, NONE, 0, 0
#define COVERED VH_REPLY_ACK_COVERED, NONE, 0, 0
#define MUST_ACK VH_REPLY_ACK_ALWAYS, NONE, 0, 0
#define IF_SHMFD VH_REPLY_IF_LOG_SHMFD, VH_PAYLOAD_U64, 0, 16, 0, 0
#define OR_TABLE VH_REPLY_IF_POSTCOPY, TABLE, 0, 0
#define OR_REGION VH_REPLY_IF_POSTCOPY, REGION, 0, 0
#define OWN VH_REPLY_OWN

#define FREE VH_GATE_NONE
#define PROTOCOL VH_GATE_PROTOCOL
#define PROTOCOL_ACKED VH_GATE_PROTOCOL_ACKED
#define IOMMU VH_GATE_IOMMU
#define ONCE true
#define EACH false

#define F(name) #name, VH_##name, VH_FROM_FRONT
#define B(name) "BACKEND_" #name, VH_BACK_##name, VH_FROM_BACK

/* clang-format off */
static const struct vh_msg_row rows[] = {
    /* name, payload, fds, reply, gate, per device */
    { F(GET_FEATURES),            NONE,       0, 0, OWN, U64, 0, 0,            FREE, EACH },
    { F(SET_FEATURES),            U64,        0, 0, ACK,                       FREE, EACH },
    { F(SET_OWNER),               NONE,       0, 0, NO,                        FREE, ONCE },
    { F(RESET_OWNER),             NONE,       0, 0, NO,                        FREE, ONCE },
    { F(SET_MEM_TABLE),           TABLE,      0, 8, OR_TABLE,                  FREE, ONCE },
    { F(SET_LOG_BASE),            LOG,        0, 1, IF_SHMFD,                  FREE, ONCE },
    { F(SET_LOG_FD),              NONE,       1, 1, NO,                        FREE, EACH },
    { F(SET_VRING_NUM),           STATE,      0, 0, NO,                        FREE, EACH },
    { F(SET_VRING_ADDR),          ADDR,       0, 0, ACK,                       FREE, EACH },
    { F(SET_VRING_BASE),          STATE,      0, 0, NO,                        FREE, EACH },
    { F(GET_VRING_BASE),          STATE,      0, 0, OWN, STATE, 0, 0,          FREE, EACH },
    { F(SET_VRING_KICK),          U64,        0, 1, COVERED,                   FREE, EACH },
    { F(SET_VRING_CALL),          U64,        0, 1, COVERED,                   FREE, EACH },
    { F(SET_VRING_ERR),           U64,        0, 1, COVERED,                   FREE, EACH },
    { F(GET_PROTOCOL_FEATURES),   NONE,       0, 0, OWN, U64, 0, 0,            PROTOCOL, EACH },
    { F(SET_PROTOCOL_FEATURES),   U64,        0, 0, NO,                        PROTOCOL, EACH },
    { F(GET_QUEUE_NUM),           NONE,       0, 0, OWN, U64, 0, 0,            VH_PF_MQ, ONCE },
    { F(SET_VRING_ENABLE),        STATE,      0, 0, ACK,                       PROTOCOL_ACKED, EACH },
    { F(SEND_RARP),               U64,        0, 0, NO,                        VH_PF_RARP, EACH },
    { F(NET_SET_MTU),             U64,        0, 0, ACK,                       VH_PF_NET_MTU, ONCE },
    { F(SET_BACKEND_REQ_FD),      NONE,       1, 1, ACK,                       VH_PF_BACKEND_REQ, ONCE },
    { F(IOTLB_MSG),               IOTLB,      0, 0, MUST_ACK,                  IOMMU, EACH },
    { F(SET_VRING_ENDIAN),        STATE,      0, 0, NO,                        VH_PF_CROSS_ENDIAN, EACH },
    { F(GET_CONFIG),              CONFIG,     0, 0, OWN, CONFIG_ANSWER, 0, 0,  VH_PF_CONFIG, EACH },
    { F(SET_CONFIG),              CONFIG,     0, 0, ACK,                       VH_PF_CONFIG, EACH },
    { F(CREATE_CRYPTO_SESSION),   CRYPTO,     0, 0, OWN, CRYPTO, 0, 0,         VH_PF_CRYPTO_SESSION, EACH },
    { F(CLOSE_CRYPTO_SESSION),    U64,        0, 0, NO,                        VH_PF_CRYPTO_SESSION, EACH },
    { F(POSTCOPY_ADVISE),         NONE,       0, 0, OWN, NONE, 1, 1,           VH_PF_PAGEFAULT, EACH },
    { F(POSTCOPY_LISTEN),         NONE,       0, 0, MUST_ACK,                  VH_PF_PAGEFAULT, EACH },
    { F(POSTCOPY_END),            NONE,       0, 0, MUST_ACK,                  VH_PF_PAGEFAULT, EACH },
    { F(GET_INFLIGHT_FD),         INFLIGHT,   0, 0, OWN, INFLIGHT, 0, 1,       VH_PF_INFLIGHT_SHMFD, EACH },
    { F(SET_INFLIGHT_FD),         INFLIGHT,   1, 1, NO,                        VH_PF_INFLIGHT_SHMFD, EACH },
    { F(GPU_SET_SOCKET),          NONE,       1, 1, NO,                        FREE, EACH },
    { F(RESET_DEVICE),            NONE,       0, 0, NO,                        VH_PF_RESET_DEVICE, ONCE },
    { F(VRING_KICK),              STATE,      0, 0, ACK,                       VH_PF_INBAND_NOTIFICATIONS, EACH },
    { F(GET_MAX_MEM_SLOTS),       NONE,       0, 0, OWN, U64, 0, 0,            VH_PF_CONFIGURE_MEM_SLOTS, EACH },
    { F(ADD_MEM_REG),             REGION,     1, 1, OR_REGION,                 VH_PF_CONFIGURE_MEM_SLOTS, ONCE },
    { F(REM_MEM_REG),             REGION,     0, 1, ACK,                       VH_PF_CONFIGURE_MEM_SLOTS, ONCE },
    { F(SET_STATUS),              U64,        0, 0, NO,                        VH_PF_STATUS, EACH },
    { F(GET_STATUS),              NONE,       0, 0, OWN, U64, 0, 0,            VH_PF_STATUS, EACH },
    { F(GET_SHARED_OBJECT),       MAYBE_UUID, 0, 0, OWN, MAYBE_UUID, 0, 1,     VH_PF_SHARED_OBJECT, EACH },
    { F(SET_DEVICE_STATE_FD),     DEVSTATE,   1, 1, OWN, U64, 0, 1,            VH_PF_DEVICE_STATE, EACH },
    { F(CHECK_DEVICE_STATE),      NONE,       0, 0, OWN, U64, 0, 0,            VH_PF_DEVICE_STATE, EACH },
    { F(GET_SHMEM_CONFIG),        NONE,       0, 0, OWN, SHMEM, 0, 0,          VH_PF_SHMEM, EACH },
    { F(GET_VRING_BASE_SKIP_DRAIN),STATE,      0, 0, OWN, STATE, 0, 0,          VH_PF_GET_VRING_BASE_SKIP_DRAIN, EACH },

    { B(IOTLB_MSG),               IOTLB,      0, 0, NO,                        IOMMU, EACH },
    { B(CONFIG_CHANGE_MSG),       NONE,       0, 0, NO,                        VH_PF_CONFIG, EACH },
    { B(VRING_HOST_NOTIFIER_MSG), AREA,       0, 1, ACK,                       VH_PF_HOST_NOTIFIER, EACH },
    { B(VRING_CALL),              STATE,      0, 0, NO,                        VH_PF_INBAND_NOTIFICATIONS, EACH },
    { B(VRING_ERR),               STATE,      0, 0, NO,                        VH_PF_INBAND_NOTIFICATIONS, EACH },
    { B(SHARED_OBJECT_ADD),       UUID,       0, 0, NO,                        VH_PF_SHARED_OBJECT, EACH },
    { B(SHARED_OBJECT_REMOVE),    UUID,       0, 0, NO,                        VH_PF_SHARED_OBJECT, EACH },
    { B(SHARED_OBJECT_LOOKUP),    UUID,       0, 0, OWN, U64, 0, 1,            VH_PF_SHARED_OBJECT, EACH },
    { B(SHMEM_MAP),               MMAP,       1, 1, ACK,                       VH_PF_SHMEM, EACH },
    { B(SHMEM_UNMAP),             MMAP,       0, 0, ACK,                       VH_PF_SHMEM, EACH },
};
/* clang-format on */

#define N_FRONT (VH_REQUEST_END - 1)
#define N_BACK (VH_BACK_REQUEST_END - 1)

static_assert(sizeof(rows) / sizeof(rows[0]) == N_FRONT + N_BACK,
              "a row for each request");

const struct vh_msg_row *vh_msg_row(enum vh_dir dir, uint32_t id)
{
    if (id < 1) {
        return NULL;
    }
    if (dir == VH_FROM_FRONT) {
        return id <= N_FRONT ? &rows[id - 1] : NULL;
    }
    return id <= N_BACK ? &rows[N_FRONT + id - 1] : NULL;
}

const char *vh_msg_name(enum vh_dir dir, uint32_t id)
{
    const struct vh_msg_row *row = vh_msg_row(dir, id);

    return row ? row->name : "unknown request";
}

const struct vh_msg_row *vh_msg_rows(size_t *np)
{
    *np = sizeof(rows) / sizeof(rows[0]);
    return rows;
}

#define NAME(bit) [VH_PF_##bit] = "VHOST_USER_PROTOCOL_F_" #bit

static const char *const feature_names[] = {
    NAME(MQ),
    NAME(LOG_SHMFD),
    NAME(RARP),
    NAME(REPLY_ACK),
    [VH_PF_NET_MTU] = "VHOST_USER_PROTOCOL_F_MTU",
    NAME(BACKEND_REQ),
    NAME(CROSS_ENDIAN),
    NAME(CRYPTO_SESSION),
    NAME(PAGEFAULT),
    NAME(CONFIG),
    NAME(BACKEND_SEND_FD),
    NAME(HOST_NOTIFIER),
    NAME(INFLIGHT_SHMFD),
    NAME(RESET_DEVICE),
    NAME(INBAND_NOTIFICATIONS),
    NAME(CONFIGURE_MEM_SLOTS),
    NAME(STATUS),
    NAME(XEN_MMAP),
    NAME(SHARED_OBJECT),
    NAME(DEVICE_STATE),
    NAME(GET_VRING_BASE_INFLIGHT),
    NAME(GPA_ADDRESSES),
    NAME(SHMEM),
    NAME(GET_VRING_BASE_SKIP_DRAIN),
};

static_assert(sizeof(feature_names) / sizeof(feature_names[0]) == VH_PF_END,
              "a name for each protocol feature");

const char *vh_protocol_feature_name(unsigned bit)
{
    return bit < VH_PF_END ? feature_names[bit] : NULL;
}

uint64_t vh_protocol_features_usable(uint64_t features)
{
    static const struct {
        uint64_t bit;
        uint64_t needs;
    } rules[] = {
        { VH_PF(INBAND_NOTIFICATIONS), VH_PF(BACKEND_REQ) | VH_PF(REPLY_ACK) },
        { VH_PF(BACKEND_SEND_FD), VH_PF(BACKEND_REQ) },
        { VH_PF(HOST_NOTIFIER), VH_PF(BACKEND_REQ) },
        { VH_PF(SHARED_OBJECT), VH_PF(BACKEND_REQ) },
        { VH_PF(SHMEM), VH_PF(BACKEND_REQ) },
        { VH_PF(GET_VRING_BASE_INFLIGHT), VH_PF(INFLIGHT_SHMFD) },
        /* After 20, on which it stands. */
        { VH_PF(GET_VRING_BASE_SKIP_DRAIN), VH_PF(GET_VRING_BASE_INFLIGHT) },
    };

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if ((features & rules[i].needs) != rules[i].needs) {
            features &= ~rules[i].bit;
        }
    }
    return features;
}
