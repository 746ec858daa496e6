/* SPDX-License-Identifier: BSD-3-Clause */
#include "scripted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "server/device.h"
#include "server/iov.h"
#include "server/queue.h"

#define IOVECS 64

struct held {
    struct vh_squeue *queue;
    uint16_t id;
    unsigned n_iov;
    struct iovec iov[IOVECS];
};

struct scripted {
    struct vhost_server_device device; /* first */
    struct vhost_server *server;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint claim;
    char uri[80];
    scripted_fn *on_buffer;
    void *arg;
    uint8_t config[256];
    uint8_t out[SCRIPTED_ROOM];
    uint8_t in[SCRIPTED_ROOM];
    struct held held[SCRIPTED_HELD];
    unsigned n_held;
    unsigned n_given; /* since the last reap */
};

static struct scripted *of(struct vhost_server_device *device)
{
    return (struct scripted *)device;
}

static int dev_open(struct vhost_server_device *device,
                    struct vhost_error **errp)
{
    (void)device;
    (void)errp;
    return 0;
}

static void dev_free(struct vhost_server_device *device)
{
    (void)device; /* scripted_down() does */
}

static void dev_get_config(struct vhost_server_device *device, uint8_t *config,
                           uint32_t size)
{
    size_t len = sizeof(of(device)->config);

    memcpy(config, of(device)->config, size < len ? size : len);
}

static int dev_queue_start(struct vhost_server_device *device,
                           struct vh_squeue *queue)
{
    (void)device;
    (void)queue;
    return 0;
}

static void hold(struct scripted *s, struct vh_squeue *queue,
                 const struct vh_chain *chain)
{
    struct held *h = &s->held[s->n_held++];

    assert_true(s->n_held <= SCRIPTED_HELD && chain->n_in <= IOVECS);
    h->queue = queue;
    h->id = chain->id;
    h->n_iov = chain->n_in;
    memcpy(h->iov, chain->iov + chain->n_out, chain->n_in * sizeof(h->iov[0]));
}

static const char *dev_serve(struct vhost_server_device *device,
                             struct vh_squeue *queue, struct vh_chain *chain)
{
    struct scripted *s = of(device);
    struct vh_iov out = { chain->iov, chain->n_out };
    struct vh_iov in = { chain->iov + chain->n_out, chain->n_in };
    uint32_t len;

    if (chain->out_len > SCRIPTED_ROOM || chain->in_len > SCRIPTED_ROOM ||
        !vh_iov_take(&out, s->out, chain->out_len)) {
        return "a buffer larger than the test thought of";
    }
    memset(s->in, 0xdd, chain->in_len);
    len = s->on_buffer(s, &(struct scripted_buffer){
                              .queue = queue->index,
                              .out = s->out,
                              .out_len = chain->out_len,
                              .in = s->in,
                              .in_len = chain->in_len,
                          });
    if (len == SCRIPTED_HOLD) {
        hold(s, queue, chain);
        return NULL;
    }
    vh_iov_put(&in, s->in, len);
    vh_squeue_complete(queue, chain->id, len + s->claim);
    return NULL;
}

static void give(struct scripted *s, unsigned at, const void *data, size_t len)
{
    struct held h = s->held[at];
    struct vh_iov in = { h.iov, h.n_iov };

    s->n_held--;
    memmove(&s->held[at], &s->held[at + 1],
            (s->n_held - at) * sizeof(s->held[0]));
    vh_iov_put(&in, data, len);
    vh_squeue_complete(h.queue, h.id, (uint32_t)len + s->claim);
    s->n_given++;
}

bool scripted_give(struct scripted *s, unsigned queue, const void *data,
                   size_t len)
{
    for (unsigned i = 0; i < s->n_held; i++) {
        if (s->held[i].queue->index == queue) {
            give(s, i, data, len);
            return true;
        }
    }
    return false;
}

static bool dev_submit(struct vhost_server_device *device)
{
    (void)device;
    return true;
}

/* Only a queue that stops waits: then what is held goes back empty. */
static unsigned dev_reap(struct vhost_server_device *device, bool wait)
{
    struct scripted *s = of(device);
    unsigned n;

    while (wait && s->n_held > 0) {
        s->claim = 0;
        give(s, 0, NULL, 0);
    }
    n = s->n_given;
    s->n_given = 0;
    return n;
}

static bool dev_arm(struct vhost_server_device *device)
{
    (void)device;
    return false;
}

static const struct vh_server_device_ops scripted_ops = {
    .open = dev_open,
    .free = dev_free,
    .get_config = dev_get_config,
    .queue_start = dev_queue_start,
    .serve = dev_serve,
    .submit = dev_submit,
    .reap = dev_reap,
    .arm = dev_arm,
};

static void *serve(void *arg)
{
    struct scripted *s = arg;

    while (!s->stop) {
        vhost_server_run(s->server, 20, NULL);
    }
    return NULL;
}

struct scripted *scripted_up(uint16_t type, unsigned n_queues,
                             scripted_fn *on_buffer, void *arg)
{
    struct scripted *s = calloc(1, sizeof(*s));
    struct vhost_error *error = NULL;

    assert_non_null(s);
    s->device = (struct vhost_server_device){
        .ops = &scripted_ops,
        .type = type,
        .protocol = UINT64_C(1) << 9, /* CONFIG */
        .n_queues = n_queues,
        .n_queues_told = n_queues,
        .queue_size_max = 1024,
        .event_fd = -1,
        .what = "a scripted device",
    };
    s->on_buffer = on_buffer;
    s->arg = arg;
    snprintf(s->uri, sizeof(s->uri), "user:test-scripted-%d.sock",
             (int)getpid());
    s->server =
        vhost_server_new(strchr(s->uri, ':') + 1, &s->device, NULL, &error);
    if (!s->server) {
        fail_msg("%s", vhost_error_message(error));
    }
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
    return s;
}

void scripted_down(struct scripted *s)
{
    s->stop = true;
    pthread_join(s->thread, NULL);
    vhost_server_free(s->server);
    free(s);
}

void *scripted_arg(const struct scripted *s)
{
    return s->arg;
}

const char *scripted_uri(const struct scripted *s)
{
    return s->uri;
}

void scripted_config(struct scripted *s, const void *config, size_t len)
{
    assert_true(len <= sizeof(s->config));
    memcpy(s->config, config, len);
}

void scripted_claim(struct scripted *s, uint32_t more)
{
    s->claim = more;
}
