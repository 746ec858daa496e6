/* SPDX-License-Identifier: BSD-3-Clause */
/* What a vDPA device reaches; comes with backend/vdpa/vdpa.h. */
#ifndef VH_BACKEND_VDPA_MAPS_H
#define VH_BACKEND_VDPA_MAPS_H

#include "backend/vdpa/vdpa.h"

struct vh_vdpa_range { /* behind an IOMMU: one that the device knows */
    uint64_t iova;
    uint64_t last;
    uint64_t uaddr;
    uint8_t perm;
};

/* map.c */

/** vh_vdpa_send() - one message; @iotlb->type says which
 * Return: 0 or a negative errno, without words. */
int vh_vdpa_send(struct vhost_vdpa *vdpa, uint32_t asid,
                 const struct vhost_iotlb_msg *iotlb);
/** vh_vdpa_batch() - begin or end one; 0 where there are none */
int vh_vdpa_batch(struct vhost_vdpa *vdpa, bool begin);
/** vh_vdpa_forget() - nothing of address space @asid is mapped any more */
int vh_vdpa_forget(struct vhost_vdpa *vdpa, uint32_t asid);
/** vh_vdpa_check_range() - can the device reach it?  -ERANGE, with words */
int vh_vdpa_check_range(struct vhost_vdpa *vdpa, uint64_t iova, uint64_t size);
int vh_vdpa_map_failed(struct vhost_vdpa *vdpa, int r, uint64_t iova,
                       uint64_t size);
int vh_vdpa_set_mem_table(struct vhost_dev *dev, struct vhost_memory *mem);
bool vh_vdpa_keeps_memory(struct vhost_dev *dev);
/** vh_vdpa_after_reset() - what the device reached, it does not any more */
int vh_vdpa_after_reset(struct vhost_vdpa *vdpa);
void vh_vdpa_maps_free(struct vhost_vdpa *vdpa);

/* iotlb.c */
int vh_vdpa_send_iotlb(struct vhost_dev *dev, struct vhost_iotlb_msg *msg);

/* group.c */
int vh_vdpa_groups_init(struct vhost_vdpa *vdpa);
int vh_vdpa_groups_start(struct vhost_vdpa *vdpa);

#endif
