/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user protocol as data: one row for each request of both
 * directions.  Codec, checks, traces, tests and documentation read it; no
 * other file knows sizes or which message needs which feature.
 *
 * Source: vhost-user specification, "Front-end message types" and "Back-end
 * message types".
 */
#ifndef VH_WIRE_TABLE_H
#define VH_WIRE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/proto.h"

/* Who sends it. */
enum vh_dir {
    VH_FROM_FRONT, /* front end to back end, main channel */
    VH_FROM_BACK,  /* back end to front end, second channel */
};

/* What comes back. */
enum vh_reply_rule {
    VH_REPLY_NONE,         /* nothing; with need_reply and REPLY_ACK, an ack */
    VH_REPLY_ACK_COVERED,  /* the same; whatever is answered later tells the
                              sender enough */
    VH_REPLY_ACK_WANTED,   /* the same, and the sender should want the ack */
    VH_REPLY_ACK_ALWAYS,   /* the same, and the sender must want the ack */
    VH_REPLY_OWN,          /* an answer of its own, never an ack */
    VH_REPLY_IF_POSTCOPY,  /* an answer of its own in postcopy, else
                              as VH_REPLY_ACK_WANTED */
    VH_REPLY_IF_LOG_SHMFD, /* an answer of its own if LOG_SHMFD is in use */
};

/* What the payload is made of; names the member of union vh_payload. */
enum vh_payload_kind {
    VH_PAYLOAD_NONE,
    VH_PAYLOAD_U64,
    VH_PAYLOAD_STATE,
    VH_PAYLOAD_ADDR,
    VH_PAYLOAD_MEM_TABLE,
    VH_PAYLOAD_MEM_REGION,
    VH_PAYLOAD_LOG,
    VH_PAYLOAD_IOTLB,
    VH_PAYLOAD_CONFIG,
    VH_PAYLOAD_AREA,
    VH_PAYLOAD_INFLIGHT,
    VH_PAYLOAD_UUID,
    VH_PAYLOAD_DEVICE_STATE,
    VH_PAYLOAD_CRYPTO,
    VH_PAYLOAD_MMAP,
    VH_PAYLOAD_SHMEM_CONFIG,
};

/* Gates: a protocol feature bit, or one of these. */
#define VH_GATE_NONE (-1)
#define VH_GATE_PROTOCOL (-2)       /* VHOST_USER_F_PROTOCOL_FEATURES offered */
#define VH_GATE_PROTOCOL_ACKED (-3) /* … and acknowledged */
#define VH_GATE_IOMMU (-4)          /* virtio bit 33 */

struct vh_msg_row {
    const char *name; /* "GET_FEATURES" */
    uint16_t id;
    uint8_t dir;       /* enum vh_dir */
    uint8_t payload;   /* enum vh_payload_kind of the request */
    uint16_t size_min; /* of the request's payload, in bytes */
    uint16_t size_max;
    uint8_t fds_min; /* with the request */
    uint8_t fds_max;
    uint8_t reply;         /* enum vh_reply_rule */
    uint8_t reply_payload; /* enum vh_payload_kind of an answer of its own */
    uint16_t reply_min;
    uint16_t reply_max;
    uint8_t reply_fds_min;
    uint8_t reply_fds_max;
    int8_t gate;     /* protocol feature bit, or VH_GATE_… */
    bool per_device; /* sent once per device, not per queue */
};

/** vh_msg_row() - the row of a request; NULL if there is none */
const struct vh_msg_row *vh_msg_row(enum vh_dir dir, uint32_t id);

/** vh_msg_name() - its name, or "unknown request" */
const char *vh_msg_name(enum vh_dir dir, uint32_t id);

/** vh_msg_rows() - all of them, *np long, sorted by direction and id */
const struct vh_msg_row *vh_msg_rows(size_t *np);

/** vh_protocol_feature_name() - "VHOST_USER_PROTOCOL_F_MQ"; NULL if none */
const char *vh_protocol_feature_name(unsigned bit);

/**
 * vh_protocol_features_usable() - drop bits whose dependencies are missing
 * @features: a set of protocol features
 *
 * 14 (in-band) needs 3 and 5; 20 needs 12; 23 needs 20; 10, 11, 18 and 22
 * need 5.
 *
 * Return: the largest subset in which every bit has what it needs.
 */
uint64_t vh_protocol_features_usable(uint64_t features);

#endif
