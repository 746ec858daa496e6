/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages of doorbell: a back end that is hardware, or has it, gives a page for
 * a queue, and whoever writes there has kicked it.  The owner shows it to the
 * guest at the place of the queue's doorbell.
 *
 * The page is ours to map, since its size and life are ours to check; and it
 * is unmapped only after the owner has returned from the call that takes it
 * away.  The owner has it while the queue is started, so a page that came
 * before is given then, and one that was there at the last stop again.
 *
 * vhost-user specification, "VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG".
 */
#include "core/share.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct vh_host_notifier {
    void *page; /* NULL: there is none */
    bool up;    /* the queue is started: the owner may have it */
    bool told;  /* he has it */
};

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void unmap(void *page)
{
    if (page) {
        munmap(page, page_size());
    }
}

static int map(int fd, uint64_t offset, uint64_t size, void **pagep)
{
    void *page;

    if (size != page_size() || offset % size != 0 || offset > INT64_MAX) {
        return -EINVAL;
    }
    page =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    if (page == MAP_FAILED) {
        /* A vDPA device has doorbells to write to, and none to read. */
        page = mmap(NULL, size, PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    }
    if (page == MAP_FAILED) {
        return -errno;
    }
    *pagep = page;
    return 0;
}

/* Hands @page to the owner, or takes it from him if it is NULL. */
static int tell(struct vhost_dev *dev, unsigned i, void *page)
{
    const struct vhost_vdev_ops *ops = dev->vdev ? dev->vdev->ops : NULL;

    if (!ops || !ops->host_notifier) {
        return -ENOTSUP;
    }
    return ops->host_notifier(dev->vdev, (unsigned)dev->vq_index + i, page,
                              page ? page_size() : 0);
}

static void take_back(struct vhost_dev *dev, unsigned i)
{
    struct vh_host_notifier *n = &dev->priv->host_notifiers[i];

    if (n->told) {
        tell(dev, i, NULL);
        n->told = false;
    }
}

static int replace(struct vhost_dev *dev, unsigned i, void *page)
{
    struct vh_host_notifier *n = &dev->priv->host_notifiers[i];
    void *old = n->page;

    if (!page) {
        take_back(dev, i);
    } else if (n->up) {
        int r = tell(dev, i, page);

        if (r < 0) {
            return r;
        }
        n->told = true;
    }
    n->page = page;
    unmap(old);
    return 0;
}

int vh_core_host_notifier(struct vhost_dev *dev, unsigned queue, int fd,
                          uint64_t offset, uint64_t size)
{
    unsigned i = queue - (unsigned)dev->vq_index;
    void *page = NULL;
    int r = i < dev->nvqs ? 0 : -EINVAL;

    if (r == 0 && fd >= 0) {
        r = map(fd, offset, size, &page);
    }
    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&dev->priv->sharing);
    r = replace(dev, i, page);
    pthread_mutex_unlock(&dev->priv->sharing);
    if (r < 0) {
        unmap(page);
    }
    return r;
}

int vh_core_host_notifiers_new(struct vhost_dev *dev)
{
    dev->priv->host_notifiers =
        calloc(dev->nvqs, sizeof(*dev->priv->host_notifiers));
    return dev->priv->host_notifiers ? 0 : -ENOMEM;
}

void vh_core_host_notifier_up(struct vhost_dev *dev, unsigned i)
{
    struct vh_host_notifier *n = &dev->priv->host_notifiers[i];

    pthread_mutex_lock(&dev->priv->sharing);
    n->up = true;
    if (n->page && !n->told) {
        n->told = tell(dev, i, n->page) == 0;
    }
    pthread_mutex_unlock(&dev->priv->sharing);
}

void vh_core_host_notifier_down(struct vhost_dev *dev, unsigned i)
{
    pthread_mutex_lock(&dev->priv->sharing);
    take_back(dev, i);
    dev->priv->host_notifiers[i].up = false;
    pthread_mutex_unlock(&dev->priv->sharing);
}

void vh_core_host_notifiers_clear(struct vhost_dev *dev)
{
    pthread_mutex_lock(&dev->priv->sharing);
    for (unsigned i = 0; i < dev->nvqs; i++) {
        replace(dev, i, NULL);
    }
    pthread_mutex_unlock(&dev->priv->sharing);
}
