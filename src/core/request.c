/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests that stand for themselves: state, words, and down the table.
 *
 * An answer that makes no sense fails the call and leaves the device: messages
 * still begin where they should.
 */
#include "core/core.h"

#include <errno.h>
#include <vhost/request.h>

#include "backend/ops.h"
#include "util/error.h"

#define MTU_MIN 68 /* virtio 1.3, 5.1.4.1 */
#define SESSION_MAX 4096

static int answered(struct vhost_dev *dev, int r, struct vhost_error **errp)
{
    if (r < 0) {
        vh_error_copy(errp, vhost_dev_get_error(dev));
    }
    return r == -EPROTO ? r : vh_core_fault(dev, r);
}

int vhost_dev_migration_done(struct vhost_dev *dev, const uint8_t *mac,
                             struct vhost_error **errp)
{
    int r;

    vh_core_enter(dev);
    r = vh_core_silent(dev, "SEND_RARP");
    return answered(dev, r < 0 ? r : vh_be_migration_done(dev, mac), errp);
}

int vhost_dev_set_mtu(struct vhost_dev *dev, uint16_t mtu,
                      struct vhost_error **errp)
{
    int r;

    vh_core_enter(dev);
    r = vh_core_silent(dev, "NET_SET_MTU");
    if (r == 0 && mtu < MTU_MIN) {
        r = vh_be_fail(dev, -EINVAL, "NET_SET_MTU", VH_NO_QUEUE,
                       "an MTU of %u: the least is %d", mtu, MTU_MIN);
    }
    return answered(dev, r < 0 ? r : vh_be_net_set_mtu(dev, mtu), errp);
}

int vhost_dev_get_status(struct vhost_dev *dev, uint8_t *status,
                         struct vhost_error **errp)
{
    int r;

    vh_core_enter(dev);
    r = vh_core_silent(dev, "GET_STATUS");
    return answered(dev, r < 0 ? r : vh_be_get_status(dev, status), errp);
}

int vhost_dev_create_crypto_session(struct vhost_dev *dev, void *session,
                                    uint32_t size, struct vhost_error **errp)
{
    int r;

    vh_core_enter(dev);
    r = vh_core_silent(dev, "CREATE_CRYPTO_SESSION");
    if (r == 0 && size > SESSION_MAX) {
        r = vh_be_fail(dev, -E2BIG, "CREATE_CRYPTO_SESSION", VH_NO_QUEUE,
                       "a session of %u bytes, a message takes %d", size,
                       SESSION_MAX);
    }
    return answered(
        dev, r < 0 ? r : vh_be_crypto_create_session(dev, session, size), errp);
}

int vhost_dev_close_crypto_session(struct vhost_dev *dev, uint64_t session_id,
                                   struct vhost_error **errp)
{
    int r;

    vh_core_enter(dev);
    r = vh_core_silent(dev, "CLOSE_CRYPTO_SESSION");
    return answered(
        dev, r < 0 ? r : vh_be_crypto_close_session(dev, session_id), errp);
}

int vhost_net_set_backend(struct vhost_dev *hdev, struct vhost_vring_file *file)
{
    int r;

    vh_core_enter(hdev);
    r = vh_core_silent(hdev, "NET_SET_BACKEND");
    return r < 0 ? r : vh_be_net_set_backend(hdev, file);
}
