/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device IOTLB: vhost-user specification, "IOMMU support".
 *
 * An update says where in our memory an iova leads, in the terms of the memory
 * table: its user addresses, which are made up (mem.c), and not our own.
 *
 * Without the second channel a back end could not ask, and without acks
 * nobody would know when it has forgotten: it needs both, or it is not shown
 * the feature.
 */
#include "backend/user/request.h"

#include <errno.h>
#include <linux/vhost_types.h>

#include "backend/ops.h"
#include "util/error.h"

#define F_IOMMU (UINT64_C(1) << 33)

uint64_t vh_user_iotlb_hidden(const struct vhost_user *user)
{
    return vh_user_has(user, VH_PF_BACKEND_REQ) &&
                   vh_user_has(user, VH_PF_REPLY_ACK)
               ? 0
               : F_IOMMU;
}

/* From our address to that of the table; the core took it from there. */
static int to_user_addr(struct vhost_dev *dev,
                        const struct vhost_iotlb_msg *msg, uint64_t *addrp)
{
    const struct vhost_user *user = dev->opaque;

    for (int i = 0; i < dev->n_mem_sections; i++) {
        const struct vhost_memory_section *s = &dev->mem_sections[i];
        uint64_t hva = (uint64_t)(uintptr_t)s->hva;

        if (msg->uaddr >= hva && msg->uaddr - hva < s->size &&
            msg->size <= s->size - (msg->uaddr - hva)) {
            *addrp = vh_user_section_addr(user, s) + (msg->uaddr - hva);
            return 0;
        }
    }
    return vh_be_fail(dev, -EFAULT, "IOTLB_MSG", VH_NO_QUEUE,
                      "the translation of iova %#llx is not in memory that the "
                      "back end sees",
                      (unsigned long long)msg->iova);
}

int vh_user_send_iotlb(struct vhost_dev *dev, struct vhost_iotlb_msg *iotlb)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_IOTLB_MSG);
    msg.size = sizeof(msg.payload.iotlb);
    msg.payload.iotlb.iova = iotlb->iova;
    msg.payload.iotlb.size = iotlb->size;
    msg.payload.iotlb.perm = iotlb->perm;
    msg.payload.iotlb.type = iotlb->type;
    if (iotlb->type == VHOST_IOTLB_UPDATE &&
        to_user_addr(dev, iotlb, &msg.payload.iotlb.user_addr) < 0) {
        return -EFAULT;
    }
    return vh_user_post_any(dev, &msg, VH_NO_QUEUE);
}
