/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals are a flag that loops look at: every wait of the command is cut
 * into slices, so a signal that comes just before a wait is seen soon after.
 * The handlers are installed without SA_RESTART to cut the current one short.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "out.h"
#include "system.h"

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
    (void)signo;
    interrupted = 1;
}

static void check_stdout(void)
{
    if (system_flush() < 0) {
        _exit(EXIT_FAILURE);
    }
}

int system_flush(void)
{
    static bool told;
    bool broken = ferror(stdout);

    errno = broken ? EIO : 0;
    if (fflush(stdout) == 0 && !broken) {
        return 0;
    }
    if (!told) {
        out_error("standard output: %s", strerror(errno));
        told = true;
    }
    return -1;
}

/* A vDPA device locks all memory that it reaches: as much as we may. */
static void allow_locked_memory(void)
{
    struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
    struct rlimit limit;

    if (setrlimit(RLIMIT_MEMLOCK, &all) < 0 &&
        getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_MEMLOCK, &limit);
    }
}

void system_prepare(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            /* Read only: what is written there fails, as it would have. */
            if (open("/dev/null", O_RDONLY) != fd) {
                _exit(EXIT_FAILURE);
            }
        }
    }
    signal(SIGPIPE, SIG_IGN);
    atexit(check_stdout);
    allow_locked_memory();
}

void system_catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static volatile sig_atomic_t hung_up;

static void on_hangup(int signo)
{
    (void)signo;
    hung_up = 1;
}

void system_catch_hangup(void)
{
    struct sigaction action = { .sa_handler = on_hangup };

    sigemptyset(&action.sa_mask);
    sigaction(SIGHUP, &action, NULL);
}

bool system_take_hangup(void)
{
    bool taken = hung_up != 0;

    hung_up = 0;
    return taken;
}

bool system_interrupted(void)
{
    return interrupted != 0;
}

uint64_t system_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
