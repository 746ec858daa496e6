/* SPDX-License-Identifier: BSD-3-Clause */
/* What `vhost serve` does for every type of device. */
#ifndef CLI_SERVE_H
#define CLI_SERVE_H

#include <argp.h>
#include <stdint.h>

#include <vhost/server.h>

#define SERVE_QUEUE_SIZE_MAX 32768u
#define SERVE_FAULTS_MAX 16u

/**
 * struct serve - what every type can be told
 * @device_id: its VIRTIO_ID_…, for the names of features
 * @socket: where front ends connect; required
 * @options: of the server
 * @faults, @n_faults: to be made on purpose; filled in by the parser
 */
struct serve {
    uint32_t device_id;
    const char *socket;
    struct vhost_server_options options;
    struct vhost_server_fault faults[SERVE_FAULTS_MAX];
    unsigned n_faults;
};

/* Options of struct serve, as a child of a type's parser. */
extern const struct argp serve_argp;

/** serve_run() - until a signal ends it
 * @s: as parsed
 * @device: given; NULL: memory is short
 * @what: for the line that says that it serves
 *
 * Return: the exit status.
 */
int serve_run(const struct serve *s, struct vhost_server_device *device,
              const char *what);

/* Each type has argv[0] "vhost serve TYPE", but blk, the first there was. */
int serve_blk_main(int argc, char **argv);
int serve_net_main(int argc, char **argv);

#endif
