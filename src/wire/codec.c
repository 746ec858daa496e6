/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes are taken apart in two steps.  The first sees that they are a message
 * at all; it needs no table, so that framing survives messages that we do not
 * know.  The second asks the table whether the message makes sense.
 *
 * A struct vh_msg is large, its payload mostly small: what lies behind
 * @size is cleared only as far as a payload that may be short can reach, so
 * that nobody reads what was there before, and nobody pays for 4 KiB.
 */
#include "wire/codec.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "util/fd.h"

#define CONFIG_HDR_SIZE offsetof(struct vh_config, data)

/* Every payload that may come shorter than its structure ends before this. */
#define SHORT_PAYLOAD_END 336u

static_assert(8 + VH_MEM_TABLE_MAX * sizeof(struct vh_mem_region_xen) <=
                  SHORT_PAYLOAD_END,
              "a Xen memory table is cleared");
static_assert(sizeof(struct vh_config) <= SHORT_PAYLOAD_END,
              "a configuration is cleared");

static void init_header(struct vh_msg *msg, uint32_t request, uint32_t size)
{
    msg->request = request;
    msg->flags = VH_MSG_VERSION;
    msg->size = size;
    msg->n_fds = 0;
    for (int i = 0; i < VH_MSG_FDS_MAX; i++) {
        msg->fds[i] = -1;
    }
}

void vh_msg_init(struct vh_msg *msg, uint32_t request)
{
    init_header(msg, request, 0);
    /* The caller will fill in a structure, and may leave out its padding. */
    memset(&msg->payload, 0, sizeof(msg->payload));
}

void vh_msg_init_u64(struct vh_msg *msg, uint32_t request, uint64_t value)
{
    init_header(msg, request, sizeof(value));
    msg->payload.u64 = value;
}

void vh_msg_init_state(struct vh_msg *msg, uint32_t request, uint32_t index,
                       uint32_t num)
{
    init_header(msg, request, sizeof(msg->payload.state));
    msg->payload.state = (struct vh_vring_state){ .index = index, .num = num };
}

void vh_msg_init_fd(struct vh_msg *msg, uint32_t request, uint32_t index,
                    int fd)
{
    vh_msg_init_u64(msg, request, index);
    if (fd < 0) {
        msg->payload.u64 |= VH_VRING_NOFD;
        return;
    }
    msg->fds[0] = fd;
    msg->n_fds = 1;
}

size_t vh_msg_encode(const struct vh_msg *msg, uint8_t *buf)
{
    const uint32_t header[] = { msg->request, msg->flags, msg->size };

    static_assert(sizeof(header) == VH_MSG_HDR_SIZE, "header");
    assert(msg->size <= VH_MSG_PAYLOAD_MAX);
    memcpy(buf, header, sizeof(header));
    memcpy(buf + sizeof(header), msg->payload.raw, msg->size);
    return sizeof(header) + msg->size;
}

int vh_msg_decode_header(struct vh_msg *msg, const uint8_t *buf)
{
    uint32_t header[3];

    memcpy(header, buf, sizeof(header));
    msg->request = header[0];
    msg->flags = header[1];
    msg->size = header[2];
    if ((msg->flags & VH_MSG_F_VERSION_MASK) != VH_MSG_VERSION ||
        msg->size > VH_MSG_PAYLOAD_MAX) {
        return -EPROTO;
    }
    return 0;
}

void vh_msg_decode_payload(struct vh_msg *msg, const uint8_t *buf)
{
    uint32_t size = msg->size;

    assert(size <= VH_MSG_PAYLOAD_MAX);
    memcpy(msg->payload.raw, buf, size);
    if (size < SHORT_PAYLOAD_END) {
        memset(msg->payload.raw + size, 0, SHORT_PAYLOAD_END - size);
    }
}

/* What a payload says of itself: NULL, or what is wrong. */

static const char *check_index(uint64_t index)
{
    return index < VH_QUEUES_MAX ? NULL : "queue index out of range";
}

/* Bits 0 to 7 the queue, bit 8 set if and only if no fd came along. */
static const char *check_vring_fd(uint64_t value, unsigned n_fds)
{
    if (!!(value & VH_VRING_NOFD) != (n_fds == 0)) {
        return "the no-fd bit and the fds disagree";
    }
    return check_index(value & ~(uint64_t)VH_VRING_NOFD);
}

static const char *check_table_size(const struct vh_msg *msg)
{
    uint32_t n = msg->payload.table.n;

    if (n > VH_MEM_TABLE_MAX) {
        return "too many memory regions";
    }
    if (msg->size != 8 + n * sizeof(struct vh_mem_region) &&
        msg->size != 8 + n * sizeof(struct vh_mem_region_xen)) {
        return "size does not fit the number of memory regions";
    }
    return NULL;
}

static const char *check_table(const struct vh_msg *msg)
{
    const char *why = check_table_size(msg);

    if (!why && msg->n_fds != msg->payload.table.n) {
        why = "not one fd for each memory region";
    }
    return why;
}

static const char *check_config(const struct vh_msg *msg)
{
    return msg->payload.config.size == msg->size - CONFIG_HDR_SIZE
               ? NULL
               : "size does not fit the length of the configuration";
}

static bool size_is_one_of(const struct vh_msg *msg, uint32_t a, uint32_t b)
{
    return msg->size == a || msg->size == b;
}

static const char *check_size_of_two(const struct vh_msg *msg,
                                     const struct vh_msg_row *row)
{
    return size_is_one_of(msg, row->size_min, row->size_max)
               ? NULL
               : "wrong size of payload";
}

static const char *check_payload(const struct vh_msg *msg,
                                 const struct vh_msg_row *row)
{
    const union vh_payload *payload = &msg->payload;

    switch ((enum vh_payload_kind)row->payload) {
    case VH_PAYLOAD_U64:
        return row->fds_max ? check_vring_fd(payload->u64, msg->n_fds) : NULL;
    case VH_PAYLOAD_STATE:
        return check_index(payload->state.index);
    case VH_PAYLOAD_ADDR:
        return check_index(payload->addr.index);
    case VH_PAYLOAD_AREA:
        return check_vring_fd(payload->area.queue, msg->n_fds);
    case VH_PAYLOAD_MEM_TABLE:
        return check_table(msg);
    case VH_PAYLOAD_CONFIG:
        return check_config(msg);
    case VH_PAYLOAD_MEM_REGION:
    case VH_PAYLOAD_IOTLB:
    case VH_PAYLOAD_INFLIGHT:
    case VH_PAYLOAD_UUID:
        return check_size_of_two(msg, row);
    case VH_PAYLOAD_NONE:
    case VH_PAYLOAD_LOG:
    case VH_PAYLOAD_DEVICE_STATE:
    case VH_PAYLOAD_CRYPTO:
    case VH_PAYLOAD_MMAP:
    case VH_PAYLOAD_SHMEM_CONFIG:
        break;
    }
    return NULL;
}

static const char *check_bounds(const struct vh_msg *msg,
                                const struct vh_msg_row *row)
{
    if (msg->size < row->size_min || msg->size > row->size_max) {
        return "wrong size of payload";
    }
    if (msg->n_fds < row->fds_min || msg->n_fds > row->fds_max) {
        return "wrong number of fds";
    }
    return NULL;
}

/* 0 if @what is NULL, else it is why not. */
static int verdict(const char *what, const char **why)
{
    if (!what) {
        return 0;
    }
    *why = what;
    return -EPROTO;
}

int vh_msg_check_request(enum vh_dir dir, const struct vh_msg *msg,
                         const char **why)
{
    const struct vh_msg_row *row = vh_msg_row(dir, msg->request);
    const char *what;

    if (!row) {
        return verdict("unknown request", why);
    }
    if (msg->flags & VH_MSG_F_REPLY) {
        return verdict("a reply where a request was due", why);
    }
    what = check_bounds(msg, row);
    return verdict(what ? what : check_payload(msg, row), why);
}

static const char *check_ack(const struct vh_msg *msg)
{
    if (msg->size != sizeof(msg->payload.u64)) {
        return "wrong size of acknowledgement";
    }
    return msg->n_fds ? "fds with an acknowledgement" : NULL;
}

/* Answers that have more than one size, but not every size in between. */
static bool answer_size_fits(const struct vh_msg *msg,
                             const struct vh_msg_row *row)
{
    if (msg->size < row->reply_min || msg->size > row->reply_max) {
        return false;
    }
    switch ((enum vh_payload_kind)row->reply_payload) {
    case VH_PAYLOAD_CONFIG: /* 0 says that it failed */
        return msg->size == 0 || msg->size >= CONFIG_HDR_SIZE;
    case VH_PAYLOAD_INFLIGHT:
    case VH_PAYLOAD_MEM_REGION:
    case VH_PAYLOAD_UUID:
        return size_is_one_of(msg, row->reply_min, row->reply_max);
    case VH_PAYLOAD_MEM_TABLE: /* as long as it says itself */
        return check_table_size(msg) == NULL;
    case VH_PAYLOAD_U64: /* 16: SET_LOG_BASE sent back as it came */
        return msg->size % sizeof(msg->payload.u64) == 0;
    default:
        return true;
    }
}

static const char *check_answer(const struct vh_msg *msg,
                                const struct vh_msg_row *row)
{
    if (row->reply_payload == VH_PAYLOAD_NONE && row->reply != VH_REPLY_OWN) {
        return "a request that has no answer of its own";
    }
    if (!answer_size_fits(msg, row)) {
        return "wrong size of payload";
    }
    if (msg->n_fds < row->reply_fds_min || msg->n_fds > row->reply_fds_max) {
        return "wrong number of fds";
    }
    return NULL;
}

int vh_msg_check_reply(enum vh_dir dir, uint32_t request, bool ack,
                       const struct vh_msg *msg, const char **why)
{
    const struct vh_msg_row *row = vh_msg_row(dir, request);

    if (!row) {
        return verdict("unknown request", why);
    }
    if (msg->request != request) {
        return verdict("the reply to another request", why);
    }
    if (msg->flags != (VH_MSG_VERSION | VH_MSG_F_REPLY)) {
        return verdict("wrong flags", why);
    }
    return verdict(ack ? check_ack(msg) : check_answer(msg, row), why);
}

void vh_msg_close_fds(struct vh_msg *msg)
{
    vh_fd_close_all(msg->fds, msg->n_fds);
    msg->n_fds = 0;
}
