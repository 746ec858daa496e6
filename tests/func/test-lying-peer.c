/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Back ends that hang, die, or lie, at every message in turn: the front end
 * gets an error with words, within the deadline, and loses no fd and no
 * mapping.
 */
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vhost/blk.h>
#include <vhost/user.h>

#include "driver/blk.h"
#include "proxy.h"
#include "util/clock.h"

#define DEADLINE_MS 200
#define IMAGE_SIZE (1 << 20)

static char image[] = "/tmp/libvhost-lying-XXXXXX";

static int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(d);
    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n;
}

static int count_shared_mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512];
    int n = 0;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        n += strstr(line, "memfd:") != NULL;
    }
    fclose(f);
    return n;
}

static struct vhost_blk *open_disk(int fd, struct vhost_error **errp)
{
    struct vhost_user_options chr = {
        .size = sizeof(chr),
        .path = "lying",
        .deadline_ms = DEADLINE_MS,
        .long_deadline_ms = DEADLINE_MS,
    };
    struct vhost_blk_options options = {
        .layout = VHOST_LAYOUT_SPLIT, /* the one that the proxy lies in */
        .size = sizeof(options),
        .deadline_ms = DEADLINE_MS,
        .pool_size = 1 << 20,
    };
    struct vhost_user *user = vhost_user_new_fd(fd, &chr, errp);

    return user ? vh_blk_open_over(vh_link_of_user(user), &options, errp) : NULL;
}

/* Reads a block.  Return: its result, or what the queue says. */
static int read_block(struct vhost_blk *disk)
{
    struct vhost_blk_queue *q = vhost_blk_get_queue(disk, 0);
    char *buf = vhost_blk_alloc(disk, 4096);
    struct vhost_completion done;
    int r;

    assert_non_null(buf);
    r = vhost_blk_read(q, 0, buf, 4096, buf);
    if (r == 0) {
        vhost_blk_submit(q);
        r = vhost_blk_wait(q, &done, 1, 1, 2000);
        r = r == 1 ? done.result : r == 0 ? -ETIMEDOUT : r;
    }
    return r;
}

struct outcome {
    bool lied;
    bool opened;
    int code;
    int read;
    char message[512];
};

/* One life of a device before a back end with one lie. */
static struct outcome live(const struct lie *lie, enum ring_lie ring)
{
    struct outcome o = { .lied = false };
    struct vhost_error *error = NULL;
    struct vhost_blk *disk;
    struct proxy *p;
    int64_t begin;
    int fd;

    p = proxy_new(image, lie, ring, &fd);
    begin = vh_clock_ns();
    disk = open_disk(fd, &error);
    o.opened = disk != NULL;
    if (disk) {
        assert_null(error);
        o.read = read_block(disk);
        if (o.read < 0 && vhost_blk_queue_error(vhost_blk_get_queue(disk, 0))) {
            snprintf(o.message, sizeof(o.message), "%s",
                     vhost_blk_queue_error(vhost_blk_get_queue(disk, 0)));
        }
        vhost_blk_close(disk);
    } else {
        assert_non_null(error);
        o.code = vhost_error_code(error);
        snprintf(o.message, sizeof(o.message), "%s",
                 vhost_error_message(error));
        assert_true(o.code < 0);
        assert_true(strlen(o.message) > 10);
        vhost_error_free(error);
    }
    /* A hang is not a matter of timing: deadlines are 200 ms, this is 20 s. */
    assert_true(vh_clock_ns() - begin < INT64_C(20000000000));
    o.lied = proxy_lied(p);
    proxy_free(p);
    return o;
}

/*
 * The lie comes at the first message that it could hit, then at the second,
 * and so on, until the device has lived and closed before its turn.  Up to
 * some message all are noticed by the open or the read; after it only the
 * answers to the stop are left, and they fail nothing any more.
 */
static unsigned tell_at_every_message(enum lie_kind kind)
{
    int fds = count_fds(), maps = count_shared_mappings();
    unsigned k = 0, noticed = 0;
    bool harmless = false;
    struct outcome o;

    do {
        struct lie lie = { .kind = kind, .at = k, .value = 1 };

        o = live(&lie, RING_HONEST);
        if (o.opened && o.read == 0) {
            harmless = true;
        } else {
            assert_true(o.lied);
            assert_false(harmless && kind != LIE_TWICE);
            noticed++;
        }
        assert_int_equal(count_fds(), fds);
        assert_int_equal(count_shared_mappings(), maps);
        assert_true(k++ < 200);
    } while (o.lied);
    return noticed;
}

#define TELL(name, kind, at_least)                                   \
    static void name(void **state)                                   \
    {                                                                \
        (void)state;                                                 \
        assert_in_range(tell_at_every_message(kind), at_least, 200); \
    }

TELL(survives_a_peer_that_stops_answering_at_any_reply, LIE_NEVER_ANSWER, 10)
TELL(survives_a_peer_that_hangs_up_at_any_reply, LIE_HANG_UP, 10)
TELL(survives_a_peer_that_dies_on_any_request, LIE_DIE_ON, 10)
TELL(refuses_a_wrong_id_in_any_reply, LIE_WRONG_ID, 10)
TELL(refuses_a_request_where_any_reply_is_due, LIE_NO_REPLY_FLAG, 10)
TELL(refuses_a_wrong_version_in_any_reply, LIE_WRONG_VERSION, 10)
TELL(refuses_any_reply_that_is_too_short, LIE_TOO_SHORT, 10)
TELL(refuses_any_reply_that_is_too_long, LIE_TOO_LONG, 10)
TELL(refuses_a_huge_size_in_any_reply, LIE_HUGE_SIZE, 10)
TELL(refuses_an_fd_with_any_reply, LIE_ONE_FD, 10)
TELL(refuses_too_many_fds_with_any_reply, LIE_TOO_MANY_FDS, 10)
TELL(refuses_garbage_where_any_reply_is_due, LIE_GARBAGE, 10)
TELL(survives_a_peer_that_dies_within_any_reply, LIE_HALF_A_REPLY, 10)
TELL(survives_any_reply_that_comes_twice, LIE_TWICE, 0)
TELL(reports_any_request_that_is_refused, LIE_REFUSE, 5)

static struct outcome tell(enum lie_kind kind, uint32_t request, uint64_t value)
{
    struct lie lie = { .kind = kind, .request = request, .value = value };
    struct outcome o = live(&lie, RING_HONEST);

    assert_true(o.lied);
    assert_false(o.opened);
    return o;
}

static void says_what_hangs_and_how_long_it_waited(void **state)
{
    struct outcome o = tell(LIE_NEVER_ANSWER, 1, 0);

    (void)state;
    assert_int_equal(o.code, -ETIMEDOUT);
    assert_non_null(strstr(o.message, "GET_FEATURES"));
    assert_non_null(strstr(o.message, "lying"));
}

static void refuses_a_queue_count_of_zero(void **state)
{
    struct outcome o = tell(LIE_SET_VALUE, 17, 0);

    (void)state;
    assert_int_equal(o.code, -EPROTO);
    assert_non_null(strstr(o.message, "queue"));
}

static void refuses_features_without_version_1(void **state)
{
    struct outcome o = tell(LIE_CLEAR_BITS, 1, UINT64_C(1) << 32);

    (void)state;
    assert_int_equal(o.code, -ENOTSUP);
    assert_non_null(strstr(o.message, "VERSION_1"));
}

static void refuses_zero_memory_slots(void **state)
{
    struct outcome o = tell(LIE_SET_VALUE, 36, 0);

    (void)state;
    assert_int_equal(o.code, -EPROTO);
    assert_non_null(strstr(o.message, "slot"));
}

static void refuses_a_configuration_shorter_or_longer_than_asked(void **state)
{
    static const uint64_t sizes[] = { 1, 8, 36, 59, 61, 256 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct outcome o = tell(LIE_CONFIG_SIZE, 24, sizes[i]);

        assert_int_equal(o.code, -EPROTO);
        assert_non_null(strstr(o.message, "GET_CONFIG"));
        assert_non_null(strstr(o.message, "60"));
    }
}

static void reports_a_configuration_that_is_refused(void **state)
{
    struct outcome o = tell(LIE_CONFIG_SIZE, 24, 0);

    (void)state;
    assert_non_null(strstr(o.message, "GET_CONFIG"));
}

static void reports_features_that_are_not_accepted(void **state)
{
    /* GET_STATUS without FEATURES_OK. */
    struct outcome o = tell(LIE_SET_VALUE, 40, 3);

    (void)state;
    assert_non_null(strstr(o.message, "feature"));
}

/* What the device wrote into the ring is never believed. */
static void breaks_the_queue_for_every_lie_on_the_ring(void **state)
{
    const struct lie none = { .kind = LIE_NONE };
    int fds = count_fds(), maps = count_shared_mappings();

    (void)state;
    for (int ring = RING_ID_OUT_OF_RANGE; ring < RING_LIES; ring++) {
        struct outcome o = live(&none, (enum ring_lie)ring);

        assert_true(o.opened);
        assert_true(o.lied);
        if (ring == RING_ID_TWICE) {
            /* The first is good, and the second comes with it. */
            assert_true(o.read == 0 || o.read == -EPROTO);
        } else if (ring == RING_LENGTH_ZERO) {
            assert_true(o.read < 0);
        } else {
            assert_int_equal(o.read, -EPROTO);
            assert_true(strlen(o.message) > 10);
        }
        assert_int_equal(count_fds(), fds);
        assert_int_equal(count_shared_mappings(), maps);
    }
}

static int make_image(void **state)
{
    int fd = mkstemp(image);

    (void)state;
    return fd < 0 || ftruncate(fd, IMAGE_SIZE) < 0 || close(fd) < 0;
}

static int remove_image(void **state)
{
    (void)state;
    return unlink(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_a_peer_that_stops_answering_at_any_reply),
        cmocka_unit_test(survives_a_peer_that_hangs_up_at_any_reply),
        cmocka_unit_test(survives_a_peer_that_dies_on_any_request),
        cmocka_unit_test(refuses_a_wrong_id_in_any_reply),
        cmocka_unit_test(refuses_a_request_where_any_reply_is_due),
        cmocka_unit_test(refuses_a_wrong_version_in_any_reply),
        cmocka_unit_test(refuses_any_reply_that_is_too_short),
        cmocka_unit_test(refuses_any_reply_that_is_too_long),
        cmocka_unit_test(refuses_a_huge_size_in_any_reply),
        cmocka_unit_test(refuses_an_fd_with_any_reply),
        cmocka_unit_test(refuses_too_many_fds_with_any_reply),
        cmocka_unit_test(refuses_garbage_where_any_reply_is_due),
        cmocka_unit_test(survives_a_peer_that_dies_within_any_reply),
        cmocka_unit_test(survives_any_reply_that_comes_twice),
        cmocka_unit_test(reports_any_request_that_is_refused),
        cmocka_unit_test(says_what_hangs_and_how_long_it_waited),
        cmocka_unit_test(refuses_a_queue_count_of_zero),
        cmocka_unit_test(refuses_features_without_version_1),
        cmocka_unit_test(refuses_zero_memory_slots),
        cmocka_unit_test(refuses_a_configuration_shorter_or_longer_than_asked),
        cmocka_unit_test(reports_a_configuration_that_is_refused),
        cmocka_unit_test(reports_features_that_are_not_accepted),
        cmocka_unit_test(breaks_the_queue_for_every_lie_on_the_ring),
    };

    return cmocka_run_group_tests(tests, make_image, remove_image);
}
