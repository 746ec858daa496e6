/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The same start without a library, to compare with bench-start:
 *
 *     start-plain SOCKET QUEUES pipelined|enabling|waiting [REGIONS]
 *
 * The sequence is that of QEMU's front end: 7 + 2n messages to take up the back
 * end, 3 + 6n to start n queues, each in a sendmsg(2) of its own; "pipelined"
 * waits for replies only, as QEMU up to 8.1 does, "enabling" also for the
 * memory and for each queue that is enabled, as later ones do, and "waiting"
 * for an acknowledgement of each message.  Prints messages, waits, and the time
 * from connect to running: until an answer says that the back end has seen the
 * last message.
 */
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define VERSION 1u
#define NEED_REPLY 8u
#define RAM_GPA (UINT64_C(64) << 20)
#define RAM_SIZE (UINT64_C(64) << 20)
#define REGION (UINT64_C(2) << 20)
#define REGIONS_MAX 509
#define ENTRIES 128u
#define RING_BYTES 8192u
#define FEATURES (UINT64_C(1) << 30 | UINT64_C(1) << 32)
/* MQ, REPLY_ACK, CONFIG, RESET_DEVICE, CONFIGURE_MEM_SLOTS */
#define PROTOCOL 0xa209u

enum {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    SET_VRING_ERR = 14,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    GET_QUEUE_NUM = 17,
    SET_VRING_ENABLE = 18,
    GET_MAX_MEM_SLOTS = 36,
    ADD_MEM_REG = 37,
};

struct message {
    uint32_t request;
    uint32_t flags;
    uint32_t size;
    uint64_t payload[5];
} __attribute__((packed));

static int sock;
static bool waiting, enabling;
static bool acks; /* REPLY_ACK is in use */
static unsigned n_messages, n_waits;

static void receive(void)
{
    struct message m;
    size_t got = 0;

    while (got < 12) {
        ssize_t n = recv(sock, (char *)&m + got, 12 - got, 0);

        if (n <= 0) {
            errx(1, "the back end has gone");
        }
        got += (size_t)n;
    }
    got = 0;
    while (got < m.size) {
        ssize_t n = recv(sock, (char *)m.payload + got, m.size - got, 0);

        if (n <= 0) {
            errx(1, "the back end has gone");
        }
        got += (size_t)n;
    }
    n_waits++;
}

static void say(uint32_t request, const uint64_t *payload, unsigned words,
                int fd, bool replies)
{
    bool late = request == SET_VRING_ENABLE || request == ADD_MEM_REG;
    bool ack = (waiting || (enabling && late)) && acks && !replies;
    struct message m = { .request = request,
                         .flags = VERSION | (ack ? NEED_REPLY : 0),
                         .size = words * 8 };
    struct iovec iov = { &m, 12 + m.size };
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { { 0 } };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (words > 0) {
        memcpy(m.payload, payload, words * 8);
    }
    if (fd >= 0) {
        struct cmsghdr *cmsg;

        mh.msg_control = control.buf;
        mh.msg_controllen = sizeof(control.buf);
        cmsg = CMSG_FIRSTHDR(&mh);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
    }
    if (sendmsg(sock, &mh, 0) < 0) {
        err(1, "sendmsg");
    }
    n_messages++;
    if (replies || ack) {
        receive();
    }
}

static void say_u64(uint32_t request, uint64_t value)
{
    say(request, &value, 1, -1, false);
}

static void say_state(uint32_t request, uint32_t index, uint32_t num)
{
    say_u64(request, index | (uint64_t)num << 32);
}

static void say_fd(uint32_t request, uint64_t index, int fd)
{
    say(request, &index, 1, fd, false);
}

static void take_up(unsigned n, int fd)
{
    say(GET_FEATURES, NULL, 0, -1, true);
    say(GET_PROTOCOL_FEATURES, NULL, 0, -1, true);
    say_u64(SET_PROTOCOL_FEATURES, PROTOCOL);
    acks = true;
    say(GET_QUEUE_NUM, NULL, 0, -1, true);
    say(GET_MAX_MEM_SLOTS, NULL, 0, -1, true);
    say(SET_OWNER, NULL, 0, -1, false);
    say(GET_FEATURES, NULL, 0, -1, true);
    for (unsigned i = 0; i < n; i++) {
        say_fd(SET_VRING_CALL, i, fd);
        say_fd(SET_VRING_ERR, i, fd);
    }
}

/* The rings are in the first, and the others behind it with gaps. */
static void add_memory(unsigned n, const int *fds)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t gpa = RAM_GPA;
        uint64_t size = RAM_SIZE;

        if (i > 0) {
            gpa = 2 * RAM_GPA + (uint64_t)i * 2 * REGION;
            size = REGION;
        }

        const uint64_t region[5] = { 0, gpa, size, gpa, 0 };

        say(ADD_MEM_REG, region, 5, fds[i], false);
    }
}

static void start(unsigned n, int fd, const int *kicks)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t ring = RAM_GPA + (uint64_t)i * RING_BYTES;
        const uint64_t addr[5] = { i, ring, ring + 4096, ring + 16 * ENTRIES,
                                   0 };

        say_state(SET_VRING_NUM, i, ENTRIES);
        say_state(SET_VRING_BASE, i, 0);
        say(SET_VRING_ADDR, addr, 5, -1, false);
        say_fd(SET_VRING_KICK, i, kicks[i]);
        say_fd(SET_VRING_CALL, i, fd);
        say_state(SET_VRING_ENABLE, i, 1);
    }
    say(GET_FEATURES, NULL, 0, -1, true);
}

int main(int argc, char **argv)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    unsigned n, n_regions = argc == 5 ? (unsigned)atoi(argv[4]) : 1;
    struct timespec from, to;
    static int ram[REGIONS_MAX];
    int kicks[256];

    if (argc < 4 || argc > 5 || n_regions < 1 || n_regions > REGIONS_MAX ||
        (n = (unsigned)atoi(argv[2])) < 1 || n > 256 ||
        strlen(argv[1]) >= sizeof(addr.sun_path)) {
        errx(2, "usage: start-plain SOCKET QUEUES pipelined|enabling|waiting "
                "[REGIONS]");
    }
    waiting = strcmp(argv[3], "waiting") == 0;
    enabling = strcmp(argv[3], "enabling") == 0;
    for (unsigned i = 0; i < n_regions; i++) {
        ram[i] = memfd_create("ram", MFD_CLOEXEC);
        if (ram[i] < 0 ||
            ftruncate(ram[i], (off_t)(i ? REGION : RAM_SIZE)) < 0) {
            err(1, "memfd_create");
        }
    }
    for (unsigned i = 0; i < n; i++) {
        kicks[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    strcpy(addr.sun_path, argv[1]);
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    clock_gettime(CLOCK_MONOTONIC, &from);
    if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        err(1, "%s", argv[1]);
    }
    take_up(n, event);
    say_u64(SET_FEATURES, FEATURES);
    add_memory(n_regions, ram);
    start(n, event, kicks);
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("start messages %u round-trips %u us %.0f\n", n_messages, n_waits,
           (double)(to.tv_sec - from.tv_sec) * 1e6 +
               (double)(to.tv_nsec - from.tv_nsec) / 1e3);
    return 0;
}
