/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of messages as lines of tab-separated words: for gen-protocol.py.
 */
#include <stdio.h>

#include "wire/table.h"

static const char *payload_name(unsigned kind)
{
    static const char *const names[] = {
        [VH_PAYLOAD_NONE] = "-",
        [VH_PAYLOAD_U64] = "u64",
        [VH_PAYLOAD_STATE] = "vring state",
        [VH_PAYLOAD_ADDR] = "vring address",
        [VH_PAYLOAD_MEM_TABLE] = "memory table",
        [VH_PAYLOAD_MEM_REGION] = "memory region",
        [VH_PAYLOAD_LOG] = "log",
        [VH_PAYLOAD_IOTLB] = "IOTLB",
        [VH_PAYLOAD_CONFIG] = "configuration",
        [VH_PAYLOAD_AREA] = "vring area",
        [VH_PAYLOAD_INFLIGHT] = "in-flight buffer",
        [VH_PAYLOAD_UUID] = "UUID",
        [VH_PAYLOAD_DEVICE_STATE] = "device state",
        [VH_PAYLOAD_CRYPTO] = "crypto session",
        [VH_PAYLOAD_MMAP] = "mapping",
        [VH_PAYLOAD_SHMEM_CONFIG] = "shared memory",
    };

    return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "?";
}

static const char *reply_name(unsigned rule)
{
    static const char *const names[] = {
        [VH_REPLY_NONE] = "none",
        [VH_REPLY_ACK_COVERED] = "covered",
        [VH_REPLY_ACK_WANTED] = "ack",
        [VH_REPLY_ACK_ALWAYS] = "must-ack",
        [VH_REPLY_OWN] = "own",
        [VH_REPLY_IF_POSTCOPY] = "postcopy",
        [VH_REPLY_IF_LOG_SHMFD] = "log-shmfd",
    };

    return rule < sizeof(names) / sizeof(names[0]) ? names[rule] : "?";
}

static const char *gate_name(int gate)
{
    switch (gate) {
    case VH_GATE_NONE:
        return "-";
    case VH_GATE_PROTOCOL:
        return "VHOST_USER_F_PROTOCOL_FEATURES offered";
    case VH_GATE_PROTOCOL_ACKED:
        return "VHOST_USER_F_PROTOCOL_FEATURES acknowledged";
    case VH_GATE_IOMMU:
        return "VIRTIO_F_ACCESS_PLATFORM";
    default:
        return vh_protocol_feature_name((unsigned)gate);
    }
}

int main(void)
{
    size_t n;
    const struct vh_msg_row *rows = vh_msg_rows(&n);

    for (size_t i = 0; i < n; i++) {
        const struct vh_msg_row *r = &rows[i];

        printf("%s\t%u\t%s\t%s\t%u\t%u\t%u\t%u\t", r->name, r->id,
               r->dir == VH_FROM_FRONT ? "front" : "back",
               payload_name(r->payload), r->size_min, r->size_max, r->fds_min,
               r->fds_max);
        printf("%s\t%s\t%u\t%u\t%u\t%u\t%s\n", reply_name(r->reply),
               payload_name(r->reply_payload), r->reply_min, r->reply_max,
               r->reply_fds_min, r->reply_fds_max, gate_name(r->gate));
    }
    return ferror(stdout) ? 1 : 0;
}
