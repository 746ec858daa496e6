/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Objects by UUID; each has one owner, a device or the program, and only that
 * may remove it.
 *
 * The file of an object comes after its name: until then it is there, so that
 * nobody else takes the name, and can't be looked up yet.
 *
 * The lock is held for no longer than it takes to walk the list: devices of
 * different threads meet here.
 */
#include "core/share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <vhost/object.h>

#include "backend/ops.h"
#include "util/error.h"
#include "util/fd.h"

#define EACH_MAX 256 /* fds are few, and back ends are not to take them all */

struct object {
    TAILQ_ENTRY(object) entry;
    const struct vhost_dev *owner; /* NULL: the program */
    uint8_t uuid[VHOST_UUID_SIZE];
    bool awaited; /* its file is asked for */
    int fd;       /* -1: it has none */
};

struct vhost_objects {
    pthread_mutex_t lock;
    TAILQ_HEAD(, object) list;
};

struct vhost_objects *vhost_objects_new(void)
{
    struct vhost_objects *objects = calloc(1, sizeof(*objects));

    if (objects) {
        pthread_mutex_init(&objects->lock, NULL);
        TAILQ_INIT(&objects->list);
    }
    return objects;
}

static void drop(struct vhost_objects *objects, struct object *object)
{
    TAILQ_REMOVE(&objects->list, object, entry);
    vh_fd_close(&object->fd);
    free(object);
}

void vhost_objects_free(struct vhost_objects *objects)
{
    struct object *object;

    if (!objects) {
        return;
    }
    while ((object = TAILQ_FIRST(&objects->list)) != NULL) {
        drop(objects, object);
    }
    pthread_mutex_destroy(&objects->lock);
    free(objects);
}

static struct object *find(const struct vhost_objects *objects,
                           const uint8_t *uuid)
{
    struct object *object;

    TAILQ_FOREACH (object, &objects->list, entry) {
        if (memcmp(object->uuid, uuid, VHOST_UUID_SIZE) == 0) {
            return object;
        }
    }
    return NULL;
}

static bool has_too_many(const struct vhost_objects *objects,
                         const struct vhost_dev *owner)
{
    const struct object *object;
    unsigned n = 0;

    TAILQ_FOREACH (object, &objects->list, entry) {
        n += object->owner == owner;
    }
    return n >= EACH_MAX;
}

static int insert(struct vhost_objects *objects, const struct vhost_dev *owner,
                  const uint8_t *uuid, struct object **objectp)
{
    struct object *object;

    if (find(objects, uuid)) {
        return -EEXIST;
    }
    if (has_too_many(objects, owner)) {
        return -ENOSPC;
    }
    object = calloc(1, sizeof(*object));
    if (!object) {
        return -ENOMEM;
    }
    object->owner = owner;
    object->fd = -1;
    memcpy(object->uuid, uuid, VHOST_UUID_SIZE);
    TAILQ_INSERT_HEAD(&objects->list, object, entry);
    *objectp = object;
    return 0;
}

int vhost_objects_add(struct vhost_objects *objects, const uint8_t *uuid,
                      int fd)
{
    struct object *object;
    int r = fcntl(fd, F_GETFD) < 0 ? -errno : 0;

    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&objects->lock);
    r = insert(objects, NULL, uuid, &object);
    if (r == 0) {
        object->fd = fd;
    }
    pthread_mutex_unlock(&objects->lock);
    if (r < 0) {
        vh_fd_close(&fd);
    }
    return r;
}

static int remove_object(struct vhost_objects *objects,
                         const struct vhost_dev *owner, const uint8_t *uuid)
{
    struct object *object;
    int r = 0;

    pthread_mutex_lock(&objects->lock);
    object = find(objects, uuid);
    if (!object) {
        r = -ENOENT;
    } else if (object->owner != owner) {
        r = -EPERM;
    } else {
        drop(objects, object);
    }
    pthread_mutex_unlock(&objects->lock);
    return r;
}

int vhost_objects_remove(struct vhost_objects *objects, const uint8_t *uuid)
{
    return remove_object(objects, NULL, uuid);
}

int vhost_objects_lookup(struct vhost_objects *objects, const uint8_t *uuid)
{
    const struct object *object;
    int r = -ENOENT;

    pthread_mutex_lock(&objects->lock);
    object = find(objects, uuid);
    if (object && object->fd >= 0) {
        r = vh_fd_dup(object->fd);
    } else if (object && object->awaited) {
        r = -EAGAIN;
    }
    pthread_mutex_unlock(&objects->lock);
    return r;
}

/* Of a device */

int vh_core_object_add(struct vhost_dev *dev, const uint8_t *uuid)
{
    struct vhost_objects *objects = dev->objects;
    struct object *object;
    int r;

    if (!objects) {
        return -ENOTSUP;
    }
    pthread_mutex_lock(&objects->lock);
    r = insert(objects, dev, uuid, &object);
    if (r == 0) {
        object->awaited = true;
    }
    pthread_mutex_unlock(&objects->lock);
    return r;
}

/* It may have been removed meanwhile. */
void vh_core_object_is(struct vhost_dev *dev, const uint8_t *uuid, int fd)
{
    struct vhost_objects *objects = dev->objects;
    struct object *object;

    pthread_mutex_lock(&objects->lock);
    object = find(objects, uuid);
    if (object && object->owner == dev && object->awaited) {
        object->awaited = false;
        object->fd = fd;
        fd = -1;
    }
    pthread_mutex_unlock(&objects->lock);
    vh_fd_close(&fd);
}

int vh_core_object_remove(struct vhost_dev *dev, const uint8_t *uuid)
{
    return dev->objects ? remove_object(dev->objects, dev, uuid) : -ENOTSUP;
}

int vh_core_object_lookup(struct vhost_dev *dev, const uint8_t *uuid)
{
    return dev->objects ? vhost_objects_lookup(dev->objects, uuid) : -ENOTSUP;
}

void vh_core_objects_clear(struct vhost_dev *dev)
{
    struct vhost_objects *objects = dev->objects;
    struct object *object, *next;

    if (!objects) {
        return;
    }
    pthread_mutex_lock(&objects->lock);
    for (object = TAILQ_FIRST(&objects->list); object; object = next) {
        next = TAILQ_NEXT(object, entry);
        if (object->owner == dev) {
            drop(objects, object);
        }
    }
    pthread_mutex_unlock(&objects->lock);
}

int vhost_dev_get_shared_object(struct vhost_dev *dev, const uint8_t *uuid,
                                struct vhost_error **errp)
{
    int fd = -1;
    int r;

    vh_core_enter(dev);
    r = vh_core_silent(dev, "GET_SHARED_OBJECT");
    if (r == 0) {
        r = vh_core_fault(dev, vh_be_get_shared_object(dev, uuid, &fd));
    }
    if (r < 0) {
        vh_error_copy(errp, vhost_dev_get_error(dev));
    }
    return r < 0 ? r : fd;
}
