/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands of the control queue (virtio 1.3, 5.1.6.5).
 *
 * What is not offered is not served: frames are not filtered, so there are no
 * modes, tables of addresses or VLANs to set.  A command without room for its
 * answer breaks the ring; anything else that is wrong is answered.
 */
#include "server/net.h"

#include <endian.h>
#include <string.h>

#include "util/atomic.h"

/* Return: false if the driver may not say that. */
static bool set_pairs(struct vh_net *net, const void *data)
{
    uint16_t pairs;

    memcpy(&pairs, data, sizeof(pairs));
    pairs = le16toh(pairs);
    if (pairs < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || pairs > net->options.pairs) {
        return false;
    }
    net->pairs_told = pairs;
    net->peer->rearrange(net);
    for (unsigned i = 0; i < pairs; i++) {
        if (net->pairs[i].rx) {
            vh_squeue_wake(net->pairs[i].rx);
        }
    }
    return true;
}

static bool set_mac(struct vh_net *net, const void *data)
{
    memcpy(net->mac, data, sizeof(net->mac));
    return true;
}

#define DATA_MAX 6

static const struct command {
    uint8_t class;
    uint8_t cmd;
    uint8_t feature;
    uint8_t len;
    bool (*run)(struct vh_net *net, const void *data);
} commands[] = {
    /* clang-format off */
    { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
      VIRTIO_NET_F_MQ, 2, set_pairs },
    { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET,
      VIRTIO_NET_F_CTRL_MAC_ADDR, 6, set_mac },
    /* clang-format on */
};

static bool run(struct vh_net *net, struct vh_iov out, uint32_t len)
{
    struct virtio_net_ctrl_hdr header;
    uint8_t data[DATA_MAX];

    if (!vh_iov_take(&out, &header, sizeof(header))) {
        return false;
    }
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        const struct command *c = &commands[i];

        if (c->class == header.class && c->cmd == header.cmd) {
            return vh_net_has(net, c->feature) &&
                   len == sizeof(header) + c->len &&
                   vh_iov_take(&out, data, c->len) && c->run(net, data);
        }
    }
    return false;
}

const char *vh_net_control(struct vh_net *net, struct vh_squeue *q,
                           struct vh_chain *chain)
{
    uint8_t *ack;
    bool ok;

    if (chain->n_in == 0) {
        return "a control command without room for its answer";
    }
    ack = chain->iov[chain->n_out].iov_base;
    ok = run(net, (struct vh_iov){ chain->iov, chain->n_out }, chain->out_len);
    VH_WRITE_ONCE(*ack, ok ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
    vh_squeue_complete(q, chain->id, 1);
    return NULL;
}
