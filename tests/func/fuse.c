/* SPDX-License-Identifier: BSD-3-Clause */
/* The device: buffers, and lies about them. */
#include "fuse-inside.h"

#include <errno.h>
#include <string.h>

#define DEVICE_ID 26

void fuse_tell(struct fuse *fuse, enum fuse_lie lie, uint32_t opcode,
               unsigned nth)
{
    fuse->lie = lie;
    fuse->lie_opcode = opcode;
    fuse->lie_in = nth;
}

void fuse_tell_value(struct fuse *fuse, uint32_t opcode, unsigned at,
                     uint64_t value, unsigned len)
{
    fuse->lie_at = at;
    fuse->lie_value = value;
    fuse->lie_len = len;
    fuse_tell(fuse, FUSE_BODY_VALUE, opcode, 1);
}

void fuse_set_max(struct fuse *fuse, uint32_t max_write, uint32_t flags)
{
    fuse->max_write = max_write;
    fuse->flags = flags;
}

unsigned fuse_count(struct fuse *fuse, uint32_t opcode)
{
    return fuse->counts[opcode];
}

int64_t fuse_lookups(struct fuse *fuse)
{
    return fuse->lookups;
}

unsigned fuse_handles(struct fuse *fuse)
{
    return fuse->n_handles;
}

static size_t copy_in(struct fuse *fuse, const struct vh_chain *chain)
{
    size_t len = 0;

    for (unsigned i = 0; i < chain->n_out; i++) {
        must(len + chain->iov[i].iov_len <= sizeof(fuse->in));
        memcpy(fuse->in + len, chain->iov[i].iov_base, chain->iov[i].iov_len);
        len += chain->iov[i].iov_len;
    }
    return len;
}

static void copy_out(const struct vh_chain *chain, size_t at, const void *data,
                     size_t len)
{
    const uint8_t *from = data;

    for (unsigned i = chain->n_out; i < chain->n_out + chain->n_in && len > 0;
         i++) {
        size_t have = chain->iov[i].iov_len;

        if (at >= have) {
            at -= have;
            continue;
        }
        have = have - at < len ? have - at : len;
        memcpy((char *)chain->iov[i].iov_base + at, from, have);
        from += have;
        len -= have;
        at = 0;
    }
    must(len == 0);
}

/* Is it now that a lie is told? */
static enum fuse_lie lie_now(struct fuse *fuse)
{
    if (fuse->lie == FUSE_TRUTH || fuse->lie_opcode != fuse->header.opcode ||
        --fuse->lie_in > 0) {
        return FUSE_TRUTH;
    }
    return atomic_exchange(&fuse->lie, FUSE_TRUTH);
}

static void bend_body(struct fuse *fuse, enum fuse_lie lie)
{
    uint64_t value = fuse->lie_value;

    switch (lie) {
    case FUSE_BODY_SHORT:
        fuse->body_len--;
        break;
    case FUSE_BODY_NONE:
        fuse->body_len = 0;
        break;
    case FUSE_BODY_VALUE:
        memcpy(fuse->body + fuse->lie_at, &value, fuse->lie_len);
        break;
    case FUSE_DIRENTS_CUT:
        fuse->body_len = fuse->last_name + 1;
        break;
    case FUSE_DIRENTS_CUT2:
        fuse->body_len = fuse->last_name - 4;
        break;
    default:
        break;
    }
}

static void bend_header(struct fuse_out_header *out, enum fuse_lie lie)
{
    switch (lie) {
    case FUSE_LEN_HUGE:
        out->len = UINT32_MAX;
        break;
    case FUSE_LEN_ONE_MORE:
        out->len++;
        break;
    case FUSE_LEN_SMALL:
        out->len = 8;
        break;
    case FUSE_OTHER_UNIQUE:
        out->unique += 2;
        break;
    case FUSE_ERROR_POSITIVE:
        out->error = 5;
        break;
    case FUSE_ERROR_HUGE:
        out->error = INT32_MIN;
        break;
    default:
        break;
    }
}

static void give(struct fuse *fuse, struct fuse_held held)
{
    fuse->done[fuse->n_done++] = held;
    if (fuse->has_late) {
        fuse->done[fuse->n_done++] = fuse->late;
        fuse->has_late = false;
    }
}

static void answer(struct fuse *fuse, struct fuse_held held,
                   const struct vh_chain *chain, int r, enum fuse_lie lie)
{
    struct fuse_out_header out = { .error = lie == FUSE_IO_ERROR ? -EIO
                                            : lie == FUSE_NO_SYS ? -ENOSYS
                                                                 : r,
                                   .unique = fuse->header.unique };

    if (out.error < 0) {
        fuse->body_len = 0;
    }
    bend_body(fuse, lie);
    out.len = (uint32_t)(sizeof(out) + fuse->body_len);
    held.len = out.len;
    bend_header(&out, lie);
    if (lie == FUSE_NOTHING || lie == FUSE_HALF_HEADER) {
        held.len = lie == FUSE_NOTHING ? 0 : 8;
    } else {
        copy_out(chain, 0, &out, sizeof(out));
        copy_out(chain, sizeof(out), fuse->body, fuse->body_len);
    }
    if (lie == FUSE_NO_ANSWER) {
        must(fuse->n_kept < FUSE_HELD_MAX);
        fuse->kept[fuse->n_kept++] = held;
    } else if (lie == FUSE_LATE) {
        fuse->late = held;
        fuse->has_late = true;
    } else {
        give(fuse, held);
    }
}

static struct fuse *fuse_of(const struct vhost_server_device *device)
{
    return (struct fuse *)device;
}

static const char *serve(struct vhost_server_device *device,
                         struct vh_squeue *queue, struct vh_chain *chain)
{
    struct fuse *fuse = fuse_of(device);
    struct fuse_held held = { queue, chain->id, 0 };
    size_t len = copy_in(fuse, chain);
    enum fuse_lie lie;
    int r;

    must(len >= sizeof(fuse->header));
    memcpy(&fuse->header, fuse->in, sizeof(fuse->header));
    must(fuse->header.len == len);
    must(fuse->header.opcode < FUSE_OPCODES);
    must(fuse_requests[fuse->header.opcode]);
    must((queue->index == 0) == (fuse->header.opcode == FUSE_FORGET));
    fuse->args = fuse->in + sizeof(fuse->header);
    fuse->args_len = len - sizeof(fuse->header);
    fuse->body_len = 0;
    pthread_mutex_lock(&fuse->store->lock);
    r = fuse_requests[fuse->header.opcode](fuse);
    pthread_mutex_unlock(&fuse->store->lock);
    fuse->counts[fuse->header.opcode]++;
    if (fuse->header.opcode == FUSE_FORGET) {
        must(chain->n_in == 0);
        give(fuse, held);
    } else {
        lie = lie_now(fuse);
        if (lie == FUSE_BREAK) {
            return "told to";
        }
        answer(fuse, held, chain, r, lie);
    }
    return NULL;
}

static bool submit(struct vhost_server_device *device)
{
    (void)device;
    return true;
}

static unsigned reap(struct vhost_server_device *device, bool wait)
{
    struct fuse *fuse = fuse_of(device);
    unsigned n = 0;

    if (wait) { /* a queue stops: nothing may stay */
        while (fuse->n_kept > 0) {
            fuse->done[fuse->n_done++] = fuse->kept[--fuse->n_kept];
        }
        if (fuse->has_late) {
            fuse->done[fuse->n_done++] = fuse->late;
            fuse->has_late = false;
        }
    }
    for (; n < fuse->n_done; n++) {
        vh_squeue_complete(fuse->done[n].queue, fuse->done[n].id,
                           fuse->done[n].len);
    }
    fuse->n_done = 0;
    return n;
}

static bool arm(struct vhost_server_device *device)
{
    return fuse_of(device)->n_done > 0;
}

static int open_device(struct vhost_server_device *device,
                       struct vhost_error **errp)
{
    (void)errp;
    device->what = "fuse";
    return 0;
}

static void free_device(struct vhost_server_device *device)
{
    free(fuse_of(device));
}

static void get_config(struct vhost_server_device *device, uint8_t *config,
                       uint32_t size)
{
    (void)device;
    memset(config, 0, size);
    strcpy((char *)config, "the-files");
    config[36] = 1;
}

static int queue_start(struct vhost_server_device *device,
                       struct vh_squeue *queue)
{
    (void)device;
    (void)queue;
    return 0;
}

/* What is open is the state. */
static size_t save(const struct vhost_server_device *device, uint8_t *body)
{
    memcpy(body, fuse_of(device)->handles, sizeof(fuse_of(device)->handles));
    return sizeof(fuse_of(device)->handles);
}

static const char *load(struct vhost_server_device *device, const uint8_t *body,
                        size_t len)
{
    struct fuse *fuse = fuse_of(device);

    if (len != sizeof(fuse->handles)) {
        return "not of the right size";
    }
    memcpy(fuse->handles, body, len);
    for (unsigned i = 0; i < FUSE_HANDLES; i++) {
        fuse->n_handles += fuse->handles[i] != 0;
        fuse->lookups += fuse->handles[i] > 1;
    }
    return NULL;
}

static const struct vh_server_device_ops ops = {
    .open = open_device,
    .free = free_device,
    .get_config = get_config,
    .queue_start = queue_start,
    .serve = serve,
    .submit = submit,
    .reap = reap,
    .arm = arm,
    .save = save,
    .load = load,
};

struct fuse *fuse_new(struct fuse_store *store)
{
    struct fuse *fuse = calloc(1, sizeof(*fuse));

    must(fuse);
    fuse->device = (struct vhost_server_device){ .ops = &ops,
                                                 .type = DEVICE_ID,
                                                 .n_queues = 2,
                                                 .n_queues_told = 2,
                                                 .queue_size_max = 1024,
                                                 .event_fd = -1 };
    fuse->store = store;
    fuse->max_write = 128 << 10;
    fuse->flags = FUSE_MAX_PAGES | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES;
    return fuse;
}

struct vhost_server_device *fuse_device(struct fuse *fuse)
{
    return &fuse->device;
}
