/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space.  The kernel checks what is asked against the device,
 * but with one errno for all that may be wrong: so it is looked at before.
 */
#include "backend/vdpa/entries.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/ops.h"
#include "util/error.h"

/* A kernel that does not tell the size checks alone. */
static int check(const struct vhost_vdpa *vdpa, const char *operation,
                 uint32_t offset, uint32_t size)
{
    uint32_t has = vdpa->info.config_size;

    if (size == 0) {
        return vh_be_fail(vdpa->dev, -EINVAL, operation, VH_NO_QUEUE,
                          "%s: %s of 0 bytes", vdpa->name, operation);
    }
    if (has != 0 && (offset > has || size > has - offset)) {
        return vh_be_fail(vdpa->dev, -E2BIG, operation, VH_NO_QUEUE,
                          "%s: %s of %u bytes at %u: the configuration has %u",
                          vdpa->name, operation, size, offset, has);
    }
    return 0;
}

static struct vhost_vdpa_config *new_config(struct vhost_vdpa *vdpa,
                                            uint32_t offset, uint32_t size)
{
    struct vhost_vdpa_config *config = calloc(1, sizeof(*config) + size);

    if (!config) {
        vh_be_fail(vdpa->dev, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
        return NULL;
    }
    config->off = offset;
    config->len = size;
    return config;
}

int vh_vdpa_get_config(struct vhost_dev *dev, uint8_t *data, uint32_t len)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    struct vhost_vdpa_config *config;
    int r = check(vdpa, "GET_CONFIG", 0, len);

    if (r < 0) {
        return r;
    }
    config = new_config(vdpa, 0, len);
    if (!config) {
        return -ENOMEM;
    }
    r = vh_vdpa_call(vdpa, "GET_CONFIG", VH_NO_QUEUE, VHOST_VDPA_GET_CONFIG,
                     config);
    if (r == 0) {
        memcpy(data, config->buf, len);
    }
    free(config);
    return r;
}

/* At the destination of a migration too: it is the device that decides. */
int vh_vdpa_set_config(struct vhost_dev *dev, const uint8_t *data,
                       uint32_t offset, uint32_t size, uint32_t flags)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    struct vhost_vdpa_config *config;
    int r = check(vdpa, "SET_CONFIG", offset, size);

    (void)flags;
    if (r < 0) {
        return r;
    }
    config = new_config(vdpa, offset, size);
    if (!config) {
        return -ENOMEM;
    }
    memcpy(config->buf, data, size);
    r = vh_vdpa_call(vdpa, "SET_CONFIG", VH_NO_QUEUE, VHOST_VDPA_SET_CONFIG,
                     config);
    free(config);
    return r;
}

int vh_vdpa_set_config_call(struct vhost_dev *dev, int fd)
{
    struct vhost_vdpa *vdpa = dev->opaque;

    vdpa->config_fd = fd; /* a reset may make the device forget it */
    return vh_vdpa_call(vdpa, "SET_CONFIG_CALL", VH_NO_QUEUE,
                        VHOST_VDPA_SET_CONFIG_CALL, &fd);
}
