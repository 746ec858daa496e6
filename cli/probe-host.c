/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `vhost probe` without a URI: which devices of the kernel are there?
 *
 * Nothing is opened: a node of a module that is not loaded would load it.  A
 * node can be there without its module, since it makes the kernel load that.
 */
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "out.h"
#include "probe.h"

/* clang-format off */
static const struct kind {
    const char *path;
    const char *pattern; /* of the paths of all its nodes */
    const char *module;
    const char *uri;     /* of one; it ends with ':': its path follows */
    const char *what;
} kinds[] = {
    { "/dev/vhost-net", "/dev/vhost-net", "vhost_net", "kernel:net?tap=NAME", "network devices over taps" },
    { "/dev/vhost-vsock", "/dev/vhost-vsock", "vhost_vsock", "kernel:vsock?cid=N", "stream sockets" },
    { "/dev/vhost-scsi", "/dev/vhost-scsi", "vhost_scsi", "kernel:scsi?wwpn=NAME", "SCSI targets of configfs" },
    { "/dev/vhost-vdpa-N", "/dev/vhost-vdpa-[0-9]*", "vhost_vdpa", "vdpa:", "a vDPA device" },
    { "/dev/vduse/control", "/dev/vduse/control", "vduse", NULL, "vDPA devices in user space" },
    { "/dev/net/tun", "/dev/net/tun", "tun", NULL, "taps" },
};

static const char *const limits[] = { "max_mem_regions", "max_iotlb_entries" };
/* clang-format on */

#define URI_MAX 300
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))
#define N_LIMITS (sizeof(limits) / sizeof(limits[0]))

/* One that is built in may not be seen there. */
static bool is_loaded(const char *module)
{
    char path[64];

    snprintf(path, sizeof(path), "/sys/module/%s", module);
    return access(path, F_OK) == 0;
}

/* A parameter of the module vhost; 0: it is not told. */
static uint64_t read_limit(const char *name)
{
    uint64_t value = 0;
    char path[80];
    FILE *file;

    snprintf(path, sizeof(path), "/sys/module/vhost/parameters/%s", name);
    file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%" SCNu64, &value) != 1) {
            value = 0;
        }
        fclose(file);
    }
    return value;
}

/* "" if there is none. */
static void make_uri(char uri[URI_MAX], const struct kind *kind,
                     const char *path)
{
    const char *text = path && kind->uri ? kind->uri : "";
    size_t len = strlen(text);

    snprintf(uri, URI_MAX, "%s%s", text,
             len > 0 && text[len - 1] == ':' ? path : "");
}

/* One node of a kind; @path NULL: there is none. */
static void print_node(const struct kind *kind, const char *path)
{
    const char *node = path ? path : kind->path;
    char uri[URI_MAX];

    if (!path) {
        out_row(node, "no: modprobe %s", kind->module);
        return;
    }
    make_uri(uri, kind, path);
    out_row(node, "%s%s, %s%s%s",
            access(path, R_OK | W_OK) == 0 ? "yes" : "no permission",
            is_loaded(kind->module) ? ""
                                    : ", module built in or not loaded yet",
            kind->what, *uri ? ": " : "", uri);
}

static json_object *node_json(const struct kind *kind, const char *path)
{
    json_object *o = json_object_new_object();
    char uri[URI_MAX];

    make_uri(uri, kind, path);
    out_json_text(o, "path", path ? path : kind->path);
    out_json_bool(o, "present", path != NULL);
    out_json_bool(o, "accessible",
                  path != NULL && access(path, R_OK | W_OK) == 0);
    out_json_text(o, "module", kind->module);
    out_json_bool(o, "module_loaded", is_loaded(kind->module));
    json_object_object_add(o, "uri", *uri ? json_object_new_string(uri) : NULL);
    return o;
}

/* Each node of each kind, or the kind if it has none; @list NULL: as text. */
static void each_node(json_object *list)
{
    for (size_t i = 0; i < N_KINDS; i++) {
        glob_t found = { .gl_pathc = 0 };
        bool some = glob(kinds[i].pattern, 0, NULL, &found) == 0;

        for (size_t k = 0; k < (some ? found.gl_pathc : 1); k++) {
            const char *path = some ? found.gl_pathv[k] : NULL;

            if (list) {
                json_object_array_add(list, node_json(&kinds[i], path));
            } else {
                print_node(&kinds[i], path);
            }
        }
        globfree(&found);
    }
}

static void print_text(const struct utsname *name)
{
    printf("%s %s, %s\n", name->sysname, name->release, name->machine);
    each_node(NULL);
    for (size_t i = 0; i < N_LIMITS; i++) {
        uint64_t value = read_limit(limits[i]);

        if (value != 0) {
            out_row(limits[i], "%" PRIu64, value);
        } else {
            out_row(limits[i], "not told: modprobe vhost");
        }
    }
}

static void print_json(const struct utsname *name)
{
    json_object *o = json_object_new_object();
    json_object *nodes = json_object_new_array();

    out_json_text(o, "kernel", name->release);
    out_json_text(o, "machine", name->machine);
    each_node(nodes);
    json_object_object_add(o, "nodes", nodes);
    for (size_t i = 0; i < N_LIMITS; i++) {
        uint64_t value = read_limit(limits[i]);

        json_object_object_add(o, limits[i],
                               value ? json_object_new_uint64(value) : NULL);
    }
    out_json(o);
}

int probe_host(bool json)
{
    struct utsname name;

    if (uname(&name) < 0) {
        out_error("uname: %s", strerror(errno));
        return EXIT_FAILURE;
    }
    if (json) {
        print_json(&name);
    } else {
        print_text(&name);
    }
    return EXIT_SUCCESS;
}
