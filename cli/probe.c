/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `vhost probe`: what does a device offer?
 *
 * The device is initialised, as by any front end, but never started: no queue
 * is handed over and no feature is acknowledged, so that probing a device
 * changes nothing in it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_ids.h>
#include <vhost/kernel.h>
#include <vhost/memory.h>
#include <vhost/names.h>
#include <vhost/user.h>
#include <vhost/vdpa.h>
#include <vhost/vhost.h>

#include "cli.h"
#include "out.h"
#include "probe.h"

enum { KEY_TYPE = 1000 };

struct probe {
    struct client client;
    const char *uri;
    uint32_t device_id; /* 0: none */
    struct vhost_user *user;
    struct vhost_vdpa *vdpa;
    struct vhost_kernel *kernel; /* one of the three */
    struct vhost_memory_map *map;
    struct vhost_virtqueue vqs[3];
    struct vhost_dev dev;
    struct vhost_user_info info;
    bool has_state;
    bool has_status;
    uint8_t status;
    bool has_config;
    struct probe_blk blk;
};

static const struct argp_option options[] = {
    { .name = "type",
      .key = KEY_TYPE,
      .arg = "TYPE",
      .doc = "what the device is taken for: blk, or none to name no more than "
             "the features that all devices share (default: blk)" },
    { 0 },
};

static const struct argp_child children[] = { { .argp = &client_argp }, { 0 } };

static void set_type(struct probe *p, const char *type,
                     struct argp_state *state)
{
    if (strcmp(type, "blk") == 0) {
        p->device_id = VIRTIO_ID_BLOCK;
    } else if (strcmp(type, "none") == 0) {
        p->device_id = 0;
    } else {
        argp_error(state, "no device type '%s'; there are: blk, none", type);
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct probe *p = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &p->client;
        return 0;
    case KEY_TYPE:
        set_type(p, arg, state);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            return ARGP_ERR_UNKNOWN;
        }
        p->uri = arg;
        return 0;
    case ARGP_KEY_END:
        if (p->uri && !client_uri_path(p->uri)) {
            argp_error(state, "which device? A URI begins with 'user:', "
                              "'kernel:' or 'vdpa:'");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = children,
    .args_doc = "[URI]",
    .doc = "Show what a device offers: features, protocol features, queues, "
           "memory slots, configuration.  Without a URI: which devices of the "
           "kernel this machine has.\vURI is user:PATH, the socket of a "
           "vhost-user back end; vdpa:PATH, the node of a vDPA device; or "
           "kernel:net, kernel:vsock or kernel:scsi.",
};

/* As few queues as a device of its kind can have. */
static int init_kernel(struct probe *p, struct vhost_error **errp)
{
    struct vhost_kernel_info info;

    p->kernel = vhost_kernel_new_uri(client_uri_path(p->uri), errp);
    p->map = vhost_memory_map_new();
    if (!p->kernel || !p->map) {
        return -1;
    }
    vhost_kernel_get_info(p->kernel, &info);
    p->dev = (struct vhost_dev){
        .map = p->map,
        .vqs = p->vqs,
        .nvqs = info.kind == VHOST_KERNEL_SCSI ? 3 : 2,
    };
    return vhost_dev_init(&p->dev, p->kernel, VHOST_BACKEND_TYPE_KERNEL, 0,
                          errp);
}

static int init_device(struct probe *p, struct vhost_error **errp)
{
    VhostBackendType type = VHOST_BACKEND_TYPE_USER;
    struct vhost_user_options o = {
        .size = sizeof(o),
        .path = client_uri_path(p->uri),
        .deadline_ms = p->client.deadline_ms,
        .long_deadline_ms = p->client.deadline_ms,
    };

    if (strncmp(p->uri, "kernel:", 7) == 0) {
        return init_kernel(p, errp);
    }
    if (strncmp(p->uri, "vdpa:", 5) == 0) {
        const struct vhost_vdpa_options v = { .size = sizeof(v),
                                              .path = o.path };

        type = VHOST_BACKEND_TYPE_VDPA;
        p->vdpa = vhost_vdpa_new(&v, errp);
        if (!p->vdpa) {
            return -1;
        }
    } else {
        p->user = vhost_user_new(&o, errp);
        if (!p->user) {
            return -1;
        }
    }
    p->map = vhost_memory_map_new();
    if (!p->map) {
        return -ENOMEM;
    }
    p->dev = (struct vhost_dev){
        .map = p->map,
        .vqs = p->vqs,
        .nvqs = 1,
        .vq_index_end = 1,
    };
    return vhost_dev_init(&p->dev,
                          p->vdpa ? (void *)p->vdpa : (void *)p->user, type, 0,
                          errp);
}

/* Of a vDPA device: what both kinds have. */
static void get_vdpa_info(struct probe *p)
{
    struct vhost_vdpa_info info;

    vhost_vdpa_get_info(p->vdpa, &info);
    memcpy(p->info.features, info.features, sizeof(info.features));
    p->info.max_queues = info.queues;
    p->info.max_mem_slots = 0; /* as many as there are */
    p->device_id = info.device_id;
}

/* How many queues it can have only its owner knows. */
static void get_kernel_info(struct probe *p)
{
    static const uint32_t ids[] = { [VHOST_KERNEL_NET] = VIRTIO_ID_NET,
                                    [VHOST_KERNEL_VSOCK] = VIRTIO_ID_VSOCK,
                                    [VHOST_KERNEL_SCSI] = VIRTIO_ID_SCSI };
    struct vhost_kernel_info info;

    vhost_kernel_get_info(p->kernel, &info);
    memcpy(p->info.features, info.features, sizeof(info.features));
    p->info.max_mem_slots = info.max_mem_slots;
    p->info.max_queues = p->dev.nvqs;
    p->device_id = ids[info.kind];
}

static int read_config(struct probe *p, struct vhost_error **errp)
{
    struct virtio_blk_config config;
    struct vhost_error *err = NULL;
    int r;

    if (p->device_id != VIRTIO_ID_BLOCK) {
        return 0;
    }
    memset(&config, 0, sizeof(config));
    r = vhost_dev_get_config(&p->dev, (uint8_t *)&config, PROBE_BLK_CONFIG_LEN,
                             &err);
    if (r == -ENOSYS || r == -ENOTSUP) {
        /* A device without a configuration is worth showing all the same. */
        vhost_error_free(err);
        return 0;
    }
    if (r < 0) {
        *errp = err;
        return r;
    }
    probe_blk_decode(&p->blk, &config, p->info.features[0]);
    p->has_config = true;
    return 0;
}

static int read_status(struct probe *p, struct vhost_error **errp)
{
    struct vhost_error *err = NULL;
    int r = vhost_dev_get_status(&p->dev, &p->status, &err);

    if (r == -ENOSYS || r == -ENOTSUP) {
        vhost_error_free(err);
        return 0;
    }
    if (r < 0) {
        *errp = err;
        return r;
    }
    p->has_status = true;
    return 0;
}

static int probe_device(struct probe *p, struct vhost_error **errp)
{
    int r = init_device(p, errp);

    if (r < 0) {
        return r;
    }
    if (p->vdpa) {
        get_vdpa_info(p);
    } else if (p->kernel) {
        get_kernel_info(p);
    } else {
        vhost_user_get_info(p->user, &p->info);
    }
    p->has_state = vhost_supports_device_state(&p->dev);
    r = read_status(p, errp);
    return r < 0 ? r : read_config(p, errp);
}

static void probe_close(struct probe *p)
{
    vhost_dev_cleanup(&p->dev);
    vhost_user_free(p->user);
    vhost_vdpa_free(p->vdpa);
    vhost_kernel_free(p->kernel);
    vhost_memory_map_free(p->map);
}

static const char *name_of(const struct probe *p, bool protocol, unsigned bit)
{
    return protocol ? vhost_protocol_feature_name(bit)
                    : vhost_feature_name(p->device_id, bit);
}

static void print_bits(const struct probe *p, bool protocol,
                       const uint64_t *words, unsigned n_words)
{
    for (unsigned bit = 0; bit < 64 * n_words; bit++) {
        uint64_t mask = UINT64_C(1) << (bit % 64);
        const char *name = name_of(p, protocol, bit);

        if (!(words[bit / 64] & mask)) {
            continue;
        }
        printf("  %3u  %s%s\n", bit, name ? name : "unknown",
               protocol && (p->info.acked_protocol_features & mask)
                   ? "  (in use)"
                   : "");
    }
}

/* "0x0b ACKNOWLEDGE DRIVER FEATURES_OK" */
static void print_status(const struct probe *p)
{
    static const char *const names[8] = {
        "ACKNOWLEDGE", "DRIVER", "DRIVER_OK",   "FEATURES_OK",
        NULL,          NULL,     "NEEDS_RESET", "FAILED",
    };
    char text[80];
    size_t len;

    if (!p->has_status) {
        out_row("status", "not offered");
        return;
    }
    len = (size_t)snprintf(text, sizeof(text), "0x%02x", p->status);
    for (unsigned i = 0; i < 8; i++) {
        if ((p->status >> i & 1) && names[i]) {
            len += (size_t)snprintf(text + len, sizeof(text) - len, " %s",
                                    names[i]);
        }
    }
    out_row("status", "%s", text);
}

static void print_text(const struct probe *p)
{
    printf("%s\n", p->uri);
    out_row("queues", "%" PRIu64, p->info.max_queues);
    if (p->info.max_mem_slots != 0) {
        out_row("memory slots", "%" PRIu64, p->info.max_mem_slots);
    } else {
        out_row("memory slots", "unlimited");
    }
    print_status(p);
    out_row("device state", "%s",
            p->has_state ? "can be saved" : "not offered");
    if (p->has_config) {
        probe_blk_print(&p->blk);
    } else if (p->device_id == VIRTIO_ID_BLOCK) {
        out_row("configuration", "not offered");
    }
    printf("features\n");
    print_bits(p, false, p->info.features, 2);
    if (p->user) { /* of vhost-user alone */
        printf("protocol features\n");
        print_bits(p, true, &p->info.protocol_features, 1);
    }
}

static json_object *json_bits(const struct probe *p, bool protocol,
                              const uint64_t *words, unsigned n_words)
{
    json_object *o = json_object_new_object();
    json_object *names = json_object_new_array();
    json_object *unknown = json_object_new_array();
    char bits[40];

    for (unsigned bit = 0; bit < 64 * n_words; bit++) {
        const char *name = name_of(p, protocol, bit);

        if (!(words[bit / 64] >> (bit % 64) & 1)) {
            continue;
        }
        if (name) {
            json_object_array_add(names, json_object_new_string(name));
        } else {
            json_object_array_add(unknown, json_object_new_int((int)bit));
        }
    }
    if (n_words > 1 && words[1] != 0) {
        snprintf(bits, sizeof(bits), "0x%" PRIx64 "%016" PRIx64, words[1],
                 words[0]);
    } else {
        snprintf(bits, sizeof(bits), "0x%" PRIx64, words[0]);
    }
    out_json_text(o, "bits", bits);
    json_object_object_add(o, "names", names);
    json_object_object_add(o, "unknown", unknown);
    return o;
}

static const char *type_name(const struct probe *p)
{
    switch (p->device_id) {
    case VIRTIO_ID_NET:
        return "net";
    case VIRTIO_ID_BLOCK:
        return "blk";
    case VIRTIO_ID_SCSI:
        return "scsi";
    case VIRTIO_ID_VSOCK:
        return "vsock";
    default:
        return "none";
    }
}

static void print_json(const struct probe *p)
{
    const struct vhost_user_info *info = &p->info;
    json_object *o = json_object_new_object();

    out_json_text(o, "uri", p->uri);
    out_json_text(o, "type", type_name(p));
    out_json_uint(o, "queues", info->max_queues);
    json_object_object_add(o, "memory_slots",
                           info->max_mem_slots
                               ? json_object_new_uint64(info->max_mem_slots)
                               : NULL);
    json_object_object_add(
        o, "status", p->has_status ? json_object_new_int(p->status) : NULL);
    out_json_bool(o, "device_state", p->has_state);
    json_object_object_add(o, "features",
                           json_bits(p, false, info->features, 2));
    json_object_object_add(o, "protocol_features",
                           json_bits(p, true, &info->protocol_features, 1));
    json_object_object_add(
        o, "protocol_features_in_use",
        json_bits(p, true, &info->acked_protocol_features, 1));
    json_object_object_add(o, "config",
                           p->has_config ? probe_blk_json(&p->blk) : NULL);
    out_json(o);
}

int probe_main(int argc, char **argv)
{
    struct probe p = { .client = CLIENT_DEFAULTS,
                       .device_id = VIRTIO_ID_BLOCK };
    struct vhost_error *err = NULL;
    int r;

    argp_parse(&argp, argc, argv, 0, NULL, &p);
    if (!p.uri) {
        return probe_host(p.client.json);
    }
    r = probe_device(&p, &err);
    if (r < 0) {
        out_library_error(err);
    } else if (p.client.json) {
        print_json(&p);
    } else {
        print_text(&p);
    }
    probe_close(&p);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
