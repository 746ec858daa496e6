/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space, and the interrupt of its changes.
 *
 * A back end that has a file descriptor for it (vDPA) is given one of three:
 * the guest's own, the one that keeps it while it is masked, or, where the
 * owner has none for the guest, the one by which dispatch hears of changes.
 */
#include "core/core.h"

#include <errno.h>
#include <string.h>

#include "backend/ops.h"
#include "util/error.h"

/*
 * An answer that is no answer to the question does not break the device: the
 * back end serves its queues all the same, and whoever asked knows.
 */
static int answered(struct vhost_dev *dev, int r)
{
    return r == -EPROTO ? r : vh_core_fault(dev, r);
}

/* One that was given up may have a channel still: it is asked no more. */
static int may_ask(struct vhost_dev *dev, const char *operation)
{
    vh_core_enter(dev);
    return vh_core_talks(dev) ? 0 : vh_core_silent(dev, operation);
}

int vhost_dev_get_config(struct vhost_dev *hdev, uint8_t *config,
                         uint32_t config_len, struct vhost_error **errp)
{
    int r = may_ask(hdev, "get config");

    if (r == 0) {
        r = answered(hdev, vh_be_get_config(hdev, config, config_len));
    }
    if (r < 0) {
        vh_error_copy(errp, vhost_dev_get_error(hdev));
    }
    return r;
}

int vhost_dev_set_config(struct vhost_dev *dev, const uint8_t *data,
                         uint32_t offset, uint32_t size, uint32_t flags)
{
    int r = may_ask(dev, "set config");

    return r < 0 ? r
                 : answered(dev,
                            vh_be_set_config(dev, data, offset, size, flags));
}

void vhost_dev_set_config_notifier(struct vhost_dev *dev,
                                   const VhostDevConfigOps *ops)
{
    dev->config_ops = ops;
}

static struct vhost_notifier *masked_notifier(struct vhost_dev *dev)
{
    return &dev->vqs[VHOST_QUEUE_NUM_CONFIG_INR].masked_config_notifier;
}

static struct vhost_notifier *config_notifier(struct vhost_dev *dev)
{
    return dev->vdev->config_notifier ? dev->vdev->config_notifier
                                      : &dev->priv->config_news;
}

static int give(struct vhost_dev *dev, bool mask)
{
    return vh_be_set_config_call(dev, mask ? masked_notifier(dev)->fd
                                           : config_notifier(dev)->fd);
}

int vh_core_config_up(struct vhost_dev *dev)
{
    struct vhost_dev_priv *priv = dev->priv;
    int r;

    if (!vh_be_has_config_call(dev)) {
        return 0;
    }
    r = vhost_notifier_init(masked_notifier(dev), false);
    if (r < 0) {
        return vh_be_fail(dev, r, "eventfd", VH_NO_QUEUE,
                          "no eventfd for the configuration: %s", strerror(-r));
    }
    pthread_mutex_lock(&priv->masking);
    r = give(dev, priv->config_masked);
    priv->config_up = r == 0;
    if (r == 0) {
        /* It may have changed since its owner read it, and nobody told. */
        vhost_notifier_set(priv->config_masked ? masked_notifier(dev)
                                               : config_notifier(dev));
    }
    pthread_mutex_unlock(&priv->masking);
    if (r < 0) {
        vhost_notifier_cleanup(masked_notifier(dev));
    }
    return r;
}

void vh_core_config_down(struct vhost_dev *dev)
{
    struct vhost_dev_priv *priv = dev->priv;

    if (!priv->config_up) {
        return;
    }
    pthread_mutex_lock(&priv->masking);
    priv->config_up = false;
    if (vh_core_talks(dev)) {
        vh_be_set_config_call(dev, -1);
    }
    vhost_notifier_cleanup(masked_notifier(dev));
    pthread_mutex_unlock(&priv->masking);
}

/* Any thread may mask: dev->error is not cleared, it may be another's. */
int vhost_config_mask(struct vhost_dev *hdev, struct vhost_vdev *vdev,
                      bool mask)
{
    struct vhost_dev_priv *priv = hdev->priv;
    int r = 0;

    (void)vdev; /* it is the one that the device was started with */
    pthread_mutex_lock(&priv->masking);
    if (priv->config_up) {
        r = give(hdev, mask);
    }
    if (r == 0) {
        priv->config_masked = mask;
    }
    pthread_mutex_unlock(&priv->masking);
    return r;
}

bool vhost_config_pending(struct vhost_dev *hdev)
{
    struct vhost_dev_priv *priv = hdev->priv;
    bool pending;

    pthread_mutex_lock(&priv->masking);
    pending =
        priv->config_up && vhost_notifier_test_and_clear(masked_notifier(hdev));
    pthread_mutex_unlock(&priv->masking);
    return pending;
}
