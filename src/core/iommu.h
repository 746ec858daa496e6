/* SPDX-License-Identifier: BSD-3-Clause */
/* The device IOTLB, for the other files of the core. */
#ifndef VH_CORE_IOMMU_H
#define VH_CORE_IOMMU_H

#include "core/core.h"

/** vh_core_iommu_settle() - the device starts: has it an IOMMU? */
void vh_core_iommu_settle(struct vhost_dev *dev);

/** vh_core_iommu_asks() - does the back end ask for what it lacks? */
bool vh_core_iommu_asks(const struct vhost_dev *dev);

/** vh_core_iommu_tell() - post all to one that can't ask, before any ring
 * Return: 0, or what the owner or the back end failed with. */
int vh_core_iommu_tell(struct vhost_dev *dev);

/** vh_core_iotlb_forget() - take back all that it knows */
int vh_core_iotlb_forget(struct vhost_dev *dev);

/** vh_core_iotlb_prime() - post what the back end will ask for first */
int vh_core_iotlb_prime(struct vhost_dev *dev);

/** vh_core_iotlb_post() - the same as vhost_device_iotlb_miss(), unsettled */
int vh_core_iotlb_post(struct vhost_dev *dev, uint64_t iova, bool write);

/** vh_core_iommu_hva() - where @size bytes at @iova are; NULL if nowhere */
void *vh_core_iommu_hva(struct vhost_dev *dev, uint64_t iova, uint64_t size);

/** vh_core_iotlb_fault() - the back end could not access @iova */
void vh_core_iotlb_fault(struct vhost_dev *dev, uint64_t iova, bool write);

#endif
