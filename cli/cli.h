/* SPDX-License-Identifier: BSD-3-Clause */
/* What the verbs of the command share. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#define EXIT_USAGE 2

/* Each verb has argv[0] "vhost VERB", and returns the exit status. */
int bench_main(int argc, char **argv);
int bridge_main(int argc, char **argv);
int copy_main(int argc, char **argv);
int fs_main(int argc, char **argv);
int probe_main(int argc, char **argv);
int serve_main(int argc, char **argv);
int state_main(int argc, char **argv);

/**
 * struct client - what every verb that talks to a back end can be told
 * @deadline_ms: for answers of the back end; 0: the library's default
 * @request_ms: how long requests may stay without any completion
 * @reconnect_ms: how long to look for a back end that is gone; 0: not at all
 * @json: the result as a JSON object
 */
struct client {
    unsigned deadline_ms;
    unsigned request_ms;
    unsigned reconnect_ms;
    bool json;
};

#define CLIENT_REQUEST_MS 30000
#define CLIENT_DEFAULTS                 \
    {                                   \
        .request_ms = CLIENT_REQUEST_MS \
    }

/* Options of struct client, as a child of a verb's parser. */
extern const struct argp client_argp;

/* The same for verbs that can outlive a back end; instead of client_argp. */
extern const struct argp reconnect_argp;

/** client_uri_path() - is this the name of a device?
 * @name: of a device or a file
 *
 * Return: what follows "user:", "kernel:" or "vdpa:"; NULL for other names.
 */
const char *client_uri_path(const char *name);

/** cli_need_number() - the argument of an option, or a usage error
 * @state: of the parser; a bad argument ends the program
 * @option: its name, for the message
 * @text: as given
 * @max: the most allowed; the least is 1
 *
 * Return: the number.
 */
unsigned cli_need_number(struct argp_state *state, const char *option,
                         const char *text, unsigned max);

/** cli_need_size() - the same for a size that is a power of two
 * @min: the least allowed
 */
uint64_t cli_need_size(struct argp_state *state, const char *option,
                       const char *text, uint64_t min, uint64_t max);

#endif
