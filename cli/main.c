/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command `vhost`: one table is dispatch and help.
 *
 * argp(3) prints the help of a verb, --version and usage errors, and ends the
 * program by itself; the name it shows is argv[0], so each verb is given
 * "vhost VERB" there.
 */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vhost/version.h>

#include "cli.h"
#include "out.h"
#include "system.h"

/* clang-format off */
static const struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} verbs[] = {
    { "bench",  bench_main,  "measure a device" },
    { "bridge", bridge_main, "join a network device and a tap" },
    { "copy",   copy_main,   "copy between files and block devices" },
    { "fs",     fs_main,     "list, read and write files behind virtio-fs" },
    { "probe",  probe_main,  "show what a device offers" },
    { "serve",  serve_main,  "serve a file as a device" },
    { "state",  state_main,  "save or load the state of a device" },
};
/* clang-format on */

#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void print_usage(FILE *to)
{
    fputs("Usage: vhost VERB [OPTION...] [ARGUMENT...]\n"
          "       vhost --help | --version\n\n",
          to);
    for (size_t i = 0; i < N_VERBS; i++) {
        fprintf(to, "  %-8s %s\n", verbs[i].name, verbs[i].help);
    }
    fputs("\n'vhost VERB --help' tells more about a verb.\n", to);
}

static int unknown(const char *what)
{
    out_error("no %s '%s'; 'vhost --help' lists the verbs",
              what[0] == '-' ? "option" : "verb", what);
    return EXIT_USAGE;
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
    char name[32];
    int r;

    snprintf(name, sizeof(name), "vhost %s", verb->name);
    argv[0] = name;
    argp_err_exit_status = EXIT_USAGE;
    r = verb->run(argc, argv);
    return system_flush() < 0 ? EXIT_FAILURE : r;
}

int main(int argc, char **argv)
{
    static char version[32];

    system_prepare();
    setlocale(LC_CTYPE, "");
    snprintf(version, sizeof(version), "vhost %s", vhost_version());
    argp_program_version = version;
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0) {
        print_usage(stdout);
        return EXIT_SUCCESS;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts(version);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < N_VERBS; i++) {
        if (strcmp(argv[1], verbs[i].name) == 0) {
            return run_verb(&verbs[i], argc - 1, argv + 1);
        }
    }
    return unknown(argv[1]);
}
