/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk whose back end is killed again and again, whatever that is:
 *
 *     inflight-exercise split|packed KILLS PROGRAM [OPTION…] [-- PROGRAM…]
 *
 * SOCKET and IMAGE in the options stand for the paths of these.  Two programs
 * take turns: each finishes what the other has left.
 */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "lib/disk-guest.h"

#define START_S 10
#define OPTIONS 32

static char **programs[2]; /* their arguments; the other may be missing */
static unsigned turn;

/* "--socket=SOCKET" with the path in place of the last word */
static char *fill_in(const struct disk_guest *guest, char *option)
{
    static const char *const words[] = { "SOCKET", "IMAGE" };
    const char *const paths[] = { guest->socket, guest->image };

    for (unsigned i = 0; i < 2; i++) {
        char *at = strstr(option, words[i]);
        char *filled = NULL;

        if (at && asprintf(&filled, "%.*s%s%s", (int)(at - option), option,
                           paths[i], at + strlen(words[i])) > 0) {
            option = fill_in(guest, filled);
        }
    }
    return option;
}

static void run(const struct disk_guest *guest, char **arguments)
{
    char *filled[OPTIONS] = { 0 };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; arguments[i] && i < OPTIONS - 1; i++) {
        filled[i] = fill_in(guest, arguments[i]);
    }
    execvp(filled[0], filled);
    err(1, "%s", filled[0]);
}

static void serve(struct disk_guest *guest)
{
    const struct timespec nap = { .tv_nsec = 5 * 1000 * 1000 };
    time_t end = time(NULL) + START_S;

    unlink(guest->socket);
    guest->server = fork();
    assert_true(guest->server >= 0);
    if (guest->server == 0) {
        run(guest, programs[turn % 2 && programs[1]]);
    }
    turn++;
    while (access(guest->socket, F_OK) != 0) {
        assert_true(time(NULL) <= end);
        assert_int_equal(waitpid(guest->server, NULL, WNOHANG), 0);
        nanosleep(&nap, NULL);
    }
}

static void test_nothing_is_lost_when_a_back_end_is_killed(void **state)
{
    char **argv = *state;
    struct disk_guest guest;
    uint64_t features = strcmp(argv[1], "packed") == 0 ? UINT64_C(1) << 34 : 0;

    disk_guest_init(&guest, serve, NULL);
    disk_guest_outlive(&guest, features, (unsigned)atoi(argv[2]));
    print_message("%u writes, %u back ends\n", guest.n_done,
                  guest.n_resumed + 1);
    disk_guest_cleanup(&guest);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(
            test_nothing_is_lost_when_a_back_end_is_killed, argv),
    };

    if (argc < 4) {
        errx(2, "usage: inflight-exercise split|packed KILLS PROGRAM "
                "[OPTION...] [-- PROGRAM...]");
    }
    programs[0] = argv + 3;
    for (int i = 3; i < argc - 1; i++) {
        if (strcmp(argv[i], "--") == 0) {
            argv[i] = NULL;
            programs[1] = argv + i + 1;
        }
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
