/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Groups of queues, and the address space that each is in.
 *
 * A reset puts every group back into address space 0, where guest memory is;
 * so what the owner wants is kept, and said again before each DRIVER_OK.
 */
#include "backend/vdpa/vdpa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/ops.h"
#include "util/error.h"

#define GROUPS_MAX 65536u /* there are no more queues */

int vh_vdpa_groups_init(struct vhost_vdpa *vdpa)
{
    struct vhost_vdpa_info *info = &vdpa->info;
    int r = 0;

    info->groups = info->address_spaces = 1;
    if (vh_vdpa_has(vdpa, VH_VDPA_F_ASID)) {
        r = vh_vdpa_call(vdpa, "GET_GROUP_NUM", VH_NO_QUEUE,
                         VH_VDPA_GET_GROUP_NUM, &info->groups);
    }
    if (r == 0 && vh_vdpa_has(vdpa, VH_VDPA_F_ASID)) {
        r = vh_vdpa_call(vdpa, "GET_AS_NUM", VH_NO_QUEUE, VH_VDPA_GET_AS_NUM,
                         &info->address_spaces);
    }
    if (r < 0) {
        return r;
    }
    if (info->groups == 0 || info->groups > GROUPS_MAX) {
        return vh_be_fail(vdpa->dev, -EPROTO, "GET_GROUP_NUM", VH_NO_QUEUE,
                          "%s: the device says it has %u groups of queues",
                          vdpa->name, info->groups);
    }
    vdpa->asids = calloc(info->groups, sizeof(*vdpa->asids));
    return vdpa->asids ? 0
                       : vh_be_fail(vdpa->dev, -ENOMEM, "malloc", VH_NO_QUEUE,
                                    "out of memory");
}

int vh_vdpa_groups_start(struct vhost_vdpa *vdpa)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < vdpa->info.groups; i++) {
        struct vhost_vring_state state = { .index = i, .num = vdpa->asids[i] };

        if (state.num != 0) {
            r = vh_vdpa_call(vdpa, "SET_GROUP_ASID", VH_NO_QUEUE,
                             VH_VDPA_SET_GROUP_ASID, &state);
        }
    }
    return r;
}

static int check_asid(const struct vhost_vdpa *vdpa, const char *operation,
                      uint32_t asid, struct vhost_error **errp)
{
    if (!vh_vdpa_has(vdpa, VH_VDPA_F_ASID)) {
        return vh_error(errp, -ENOTSUP, operation, VH_NO_QUEUE,
                        "%s: the device has one address space "
                        "(VHOST_BACKEND_F_IOTLB_ASID is not offered)",
                        vdpa->name);
    }
    if (asid >= vdpa->info.address_spaces) {
        return vh_error(errp, -EINVAL, operation, VH_NO_QUEUE,
                        "%s: address space %u: there are %u", vdpa->name, asid,
                        vdpa->info.address_spaces);
    }
    return 0;
}

int vhost_vdpa_get_group(struct vhost_vdpa *vdpa, unsigned queue,
                         uint32_t *groupp, struct vhost_error **errp)
{
    struct vhost_vring_state state = { .index = queue };
    int r = check_asid(vdpa, "GET_VRING_GROUP", 0, errp);

    if (r < 0) {
        return r;
    }
    r = vh_vdpa_ioctl(vdpa, VH_VDPA_GET_VRING_GROUP, &state);
    if (r < 0) {
        return vh_error(errp, r, "GET_VRING_GROUP", (int)queue,
                        "%s: the group of queue %u: %s", vdpa->name, queue,
                        strerror(-r));
    }
    *groupp = state.num;
    return 0;
}

int vhost_vdpa_set_group_asid(struct vhost_vdpa *vdpa, uint32_t group,
                              uint32_t asid, struct vhost_error **errp)
{
    int r = check_asid(vdpa, "SET_GROUP_ASID", asid, errp);

    if (r < 0) {
        return r;
    }
    if (group >= vdpa->info.groups) {
        return vh_error(errp, -EINVAL, "SET_GROUP_ASID", VH_NO_QUEUE,
                        "%s: group %u: there are %u", vdpa->name, group,
                        vdpa->info.groups);
    }
    if (vdpa->status & VH_VDPA_DRIVER_OK) {
        return vh_error(errp, -EBUSY, "SET_GROUP_ASID", VH_NO_QUEUE,
                        "%s: the device is started", vdpa->name);
    }
    vdpa->asids[group] = asid;
    return 0;
}

static int change(struct vhost_vdpa *vdpa, const struct vhost_vdpa_mapping *m,
                  uint8_t type, struct vhost_error **errp)
{
    const struct vhost_iotlb_msg msg = { .iova = m->iova,
                                         .size = m->size,
                                         .uaddr = (uint64_t)(uintptr_t)m->addr,
                                         .perm = (uint8_t)m->access,
                                         .type = type };
    const struct vhost_vdpa_info *info = &vdpa->info;
    int r = check_asid(vdpa, "IOTLB_MSG", m->asid, errp);

    if (r < 0) {
        return r;
    }
    if (m->asid == 0 || m->size == 0 || m->access > VHOST_ACCESS_RW) {
        return vh_error(errp, -EINVAL, "IOTLB_MSG", VH_NO_QUEUE,
                        "%s: address space 0 is the guest's, and a mapping has "
                        "a size and an access",
                        vdpa->name);
    }
    if (m->iova < info->iova_first || m->iova > info->iova_last ||
        m->size - 1 > info->iova_last - m->iova) {
        return vh_error(errp, -ERANGE, "IOTLB_MSG", VH_NO_QUEUE,
                        "%s: %#llx bytes at %#llx: the device reaches %#llx to "
                        "%#llx",
                        vdpa->name, (unsigned long long)m->size,
                        (unsigned long long)m->iova,
                        (unsigned long long)info->iova_first,
                        (unsigned long long)info->iova_last);
    }
    r = vh_vdpa_send(vdpa, m->asid, &msg);
    return r == 0 ? 0
                  : vh_error(errp, r, "IOTLB_MSG", VH_NO_QUEUE,
                             "%s: %#llx bytes at %#llx: %s", vdpa->name,
                             (unsigned long long)m->size,
                             (unsigned long long)m->iova, strerror(-r));
}

int vhost_vdpa_map(struct vhost_vdpa *vdpa,
                   const struct vhost_vdpa_mapping *mapping,
                   struct vhost_error **errp)
{
    return change(vdpa, mapping, VHOST_IOTLB_UPDATE, errp);
}

int vhost_vdpa_unmap(struct vhost_vdpa *vdpa,
                     const struct vhost_vdpa_mapping *mapping,
                     struct vhost_error **errp)
{
    return change(vdpa, mapping, VHOST_IOTLB_INVALIDATE, errp);
}
