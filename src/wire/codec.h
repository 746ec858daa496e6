/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages and bytes: pure, no I/O.  What the fuzzers fuzz.
 *
 * Trust: a decoded message has a known version, a size in bounds and no more
 * fds than a message can have; whether it fits its row of the table is asked
 * by vh_msg_check_request() and vh_msg_check_reply(), before any payload
 * field is used.  Missing bytes of a payload that may be short are zero.
 */
#ifndef VH_WIRE_CODEC_H
#define VH_WIRE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/payload.h"
#include "wire/table.h"

struct vh_msg {
    uint32_t request;
    uint32_t flags;
    uint32_t size; /* of the payload */
    unsigned n_fds;
    int fds[VH_MSG_FDS_MAX];
    union vh_payload payload;
};

/** vh_msg_init() - a request without payload or fds; flags: the version
 *
 * The payload is zero, so that padding is.  The other vh_msg_init_…() leave
 * what is behind the payload as it was: do not make that longer.
 */
void vh_msg_init(struct vh_msg *msg, uint32_t request);

/** vh_msg_init_u64() - a request with a u64 */
void vh_msg_init_u64(struct vh_msg *msg, uint32_t request, uint64_t value);

/** vh_msg_init_state() - a request with a vring state */
void vh_msg_init_state(struct vh_msg *msg, uint32_t request, uint32_t index,
                       uint32_t num);

/** vh_msg_init_fd() - SET_VRING_KICK and its kin: index, and an fd or -1 */
void vh_msg_init_fd(struct vh_msg *msg, uint32_t request, uint32_t index,
                    int fd);

/**
 * vh_msg_encode() - to bytes
 * @msg: a message
 * @buf: at least VH_MSG_HDR_SIZE + msg->size bytes
 *
 * Return: how many bytes were written.
 */
size_t vh_msg_encode(const struct vh_msg *msg, uint8_t *buf);

/**
 * vh_msg_decode_header() - the first 12 bytes
 * @msg: request, flags and size are set; payload and fds are not touched
 * @buf: VH_MSG_HDR_SIZE bytes
 *
 * Return: 0, or -EPROTO if the version is not 1 or the size passes
 * VH_MSG_PAYLOAD_MAX.
 */
int vh_msg_decode_header(struct vh_msg *msg, const uint8_t *buf);

/**
 * vh_msg_decode_payload() - the bytes behind the header
 * @msg: its header is decoded; the payload is filled in
 * @buf: msg->size bytes
 *
 * What a short payload leaves out is zero.
 */
void vh_msg_decode_payload(struct vh_msg *msg, const uint8_t *buf);

/**
 * vh_msg_check_request() - does a request fit its row?
 * @dir: who sent it
 * @msg: header, payload and fds
 * @why: set on failure: what is wrong, a constant string
 *
 * Checks: known id, no reply flag, size, number of fds, and what the payload
 * says of its own size (regions in a table, bytes of a configuration).
 *
 * Return: 0, or -EPROTO.
 */
int vh_msg_check_request(enum vh_dir dir, const struct vh_msg *msg,
                         const char **why);

/**
 * vh_msg_check_reply() - does a reply fit the request?
 * @dir: who sent the request
 * @request: its id
 * @ack: the reply is an acknowledgement (u64), not an answer of its own
 * @msg: the reply
 * @why: set on failure
 *
 * Checks: same id, flags exactly version 1 and reply, size, number of fds.
 *
 * Return: 0, or -EPROTO.
 */
int vh_msg_check_reply(enum vh_dir dir, uint32_t request, bool ack,
                       const struct vh_msg *msg, const char **why);

/** vh_msg_close_fds() - close what came with a message; n_fds is 0 then */
void vh_msg_close_fds(struct vh_msg *msg);

#endif
