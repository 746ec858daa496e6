/* SPDX-License-Identifier: BSD-3-Clause */
/* A whole device against a scripted back end that gives or takes state. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core-rig.h"
#include "lib/peer.h"
#include "util/error.h"
#include "util/stream.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define NO_FD 0x100

/* What the back end does with its end of the pipe. */
struct script {
    uint64_t answer;   /* to SET_DEVICE_STATE_FD */
    bool with_fd;      /* in the answer: the other direction's end of a pipe */
    uint64_t give;     /* how many bytes of state */
    uint64_t take_max; /* hang up after so many; 0: take all */
    bool stall;        /* hold the pipe, and do nothing */
    bool die;          /* hang up altogether, halfway */
    bool dead;
    bool busy;
    bool wrong; /* a byte was not as expected */
    uint64_t taken;
    int fd;
    int held;
    pthread_t thread;
};

/* Bytes of a state: such that a gap or a swap shows. */
static void pattern(uint8_t *buf, size_t len, uint64_t at)
{
    for (size_t i = 0; i < len; i++) {
        buf[i] = (uint8_t)((at + i) * 131 >> 3);
    }
}

static void *give(void *arg)
{
    struct script *s = arg;
    uint8_t *buf = malloc(MIB);
    uint64_t at = 0;

    while (at < s->give) {
        uint64_t want = s->give - at;
        ssize_t n;

        if (want > 1000 && at == 0) {
            want = 1000; /* then chunks and writes do not begin together */
        }
        want = want < MIB ? want : MIB;
        if (s->give < 8 * MIB) {
            pattern(buf, want, at);
        }
        n = write(s->fd, buf, want);
        if (n <= 0) {
            break;
        }
        at += (uint64_t)n;
    }
    free(buf);
    close(s->fd);
    return NULL;
}

static void *take(void *arg)
{
    struct script *s = arg;
    uint8_t *want = malloc(MIB);
    uint8_t *buf = malloc(MIB);
    ssize_t n;

    while ((n = read(s->fd, buf, s->take_max ? 1 : MIB)) > 0) {
        pattern(want, (size_t)n, s->taken);
        s->wrong |= memcmp(want, buf, (size_t)n) != 0;
        s->taken += (uint64_t)n;
        if (s->taken == s->take_max) {
            break;
        }
    }
    free(want);
    free(buf);
    close(s->fd);
    return NULL;
}

static void answer_with_fd(struct peer *peer, uint64_t word, int fd)
{
    struct {
        uint32_t header[3];
        uint64_t word;
    } __attribute__((packed)) bytes = {
        { VH_SET_DEVICE_STATE_FD, 5, 8 },
        word,
    };
    char space[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec iov = { .iov_base = &bytes, .iov_len = sizeof(bytes) };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = space,
                          .msg_controllen = sizeof(space) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    *c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
                           .cmsg_level = SOL_SOCKET,
                           .cmsg_type = SCM_RIGHTS };
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    sendmsg(peer->fd, &msg, MSG_NOSIGNAL);
}

static bool on_state(struct peer *peer, struct peer_entry *entry, int fd)
{
    struct script *s = peer->hook_arg;
    bool saves = entry->state.index == VHOST_TRANSFER_STATE_DIRECTION_SAVE;
    int fds[2] = { -1, -1 };

    assert_true(fd >= 0);
    if (s->busy) {
        pthread_join(s->thread, NULL); /* the transfer before this one */
        s->busy = false;
    }
    s->fd = fd;
    if (s->with_fd) {
        close(fd);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        s->fd = fds[saves ? 1 : 0];
        answer_with_fd(peer, s->answer, fds[saves ? 0 : 1]);
        close(fds[saves ? 0 : 1]);
    } else {
        peer_reply_u64(peer, entry->request, s->answer);
    }
    if (s->stall) {
        if (s->held > 0) {
            close(s->held); /* of the transfer before this one */
        }
        s->held = s->fd;
        return true;
    }
    if ((s->answer & 0xff) != 0) {
        close(s->fd);
        return true;
    }
    if (s->die) {
        assert_int_equal(write(s->fd, "half", 4), 4);
        close(s->fd);
        shutdown(peer->fd, SHUT_RDWR);
        return true;
    }
    s->busy = true;
    pthread_create(&s->thread, NULL, saves ? give : take, s);
    return true;
}

struct bench {
    struct peer peer;
    struct script script;
    struct vhost_user *user;
    struct vhost_virtqueue vqs[1];
    struct vhost_dev dev;
    unsigned n_fds;
};

static void up(struct bench *b)
{
    struct vhost_user_options options = { .path = "test",
                                          .deadline_ms = 2000,
                                          .long_deadline_ms = 2000 };
    struct vhost_error *err = NULL;

    b->n_fds = peer_n_fds();
    b->peer.features = UINT64_C(1) << 32 | VH_F_PROTOCOL_FEATURES;
    b->peer.protocol |= VH_PF(REPLY_ACK);
    b->peer.hook = on_state;
    b->peer.hook_at = VH_SET_DEVICE_STATE_FD;
    b->peer.hook_arg = &b->script;
    b->user = vhost_user_new_fd(peer_start(&b->peer), &options, &err);
    b->dev.vqs = b->vqs;
    b->dev.nvqs = 1;
    assert_int_equal(
        vhost_dev_init(&b->dev, b->user, VHOST_BACKEND_TYPE_USER, 0, &err), 0);
}

/* Nothing is left behind, not even on the other side. */
static void down(struct bench *b)
{
    vhost_dev_cleanup(&b->dev);
    vhost_user_free(b->user);
    peer_stop(&b->peer);
    peer_free(&b->peer);
    if (b->script.busy) {
        pthread_join(b->script.thread, NULL);
    }
    if (b->script.stall) {
        close(b->script.held);
    }
    assert_int_equal(peer_n_fds(), b->n_fds);
}

#define BENCH(...)                                                      \
    {                                                                   \
        .peer.protocol = VH_PF(DEVICE_STATE), .script = { __VA_ARGS__ } \
    }

static void assert_failed(int r, struct vhost_error *err, int code,
                          const char *words)
{
    assert_int_equal(r, code);
    assert_int_equal(vhost_error_code(err), code);
    if (!strstr(vhost_error_message(err), words)) {
        fail_msg("\"%s\" does not say \"%s\"", vhost_error_message(err), words);
    }
    vhost_error_free(err);
}

/* Both forms: that which waits, and that which dispatch moves. */

static bool later;

struct waiter {
    bool told;
    int result;
    unsigned n_dispatched;
};

static void told(struct vhost_dev *dev, int result, void *opaque)
{
    struct waiter *w = opaque;

    assert_false(w->told);
    assert_int_equal(vhost_error_code(vhost_dev_get_error(dev)), result);
    w->told = true;
    w->result = result;
}

static void loop(struct vhost_dev *dev, struct waiter *w)
{
    while (!w->told) {
        struct pollfd p = { .fd = vhost_dev_get_fd(dev), .events = POLLIN };

        assert_int_equal(poll(&p, 1, 10000), 1);
        vhost_dev_dispatch(dev);
        w->n_dispatched++;
    }
}

static int loop_copy(struct vhost_dev *dev, int r, struct waiter *w,
                     struct vhost_error **errp)
{
    if (r == 0) {
        loop(dev, w);
        r = w->result;
    }
    vh_error_copy(errp, vhost_dev_get_error(dev));
    return r;
}

static int save_state(struct vhost_dev *dev, struct vhost_stream *s,
                      struct vhost_error **errp)
{
    struct waiter w = { false };

    return later ? loop_copy(dev,
                             vhost_save_backend_state_async(dev, s, told, &w),
                             &w, errp)
                 : vhost_save_backend_state(dev, s, errp);
}

static int load_state(struct vhost_dev *dev, struct vhost_stream *s,
                      struct vhost_error **errp)
{
    struct waiter w = { false };

    return later ? loop_copy(dev,
                             vhost_load_backend_state_async(dev, s, told, &w),
                             &w, errp)
                 : vhost_load_backend_state(dev, s, errp);
}

/* Saving */

static void check_saved(struct vhost_stream *s, uint64_t len)
{
    uint8_t *got = malloc(MIB);
    uint8_t *want = malloc(MIB);
    uint64_t at = 0;
    uint32_t n = 1;
    size_t left;

    while (n > 0) {
        assert_int_equal(vh_stream_get_be32(s, &n, NULL), 0);
        assert_true(n <= MIB);
        assert_int_equal(vhost_stream_read(s, got, n, NULL), 0);
        pattern(want, n, at);
        assert_memory_equal(got, want, n);
        at += n;
    }
    assert_int_equal(at, len);
    vhost_stream_get_data(s, &left);
    assert_int_equal(left, 0);
    free(got);
    free(want);
}

static void save(uint64_t len, bool with_fd)
{
    struct bench b =
        BENCH(.answer = with_fd ? 0 : NO_FD, .with_fd = with_fd, .give = len);
    struct vhost_stream *s = vhost_stream_new_memory(NULL, 0);
    struct vhost_error *err = NULL;

    up(&b);
    assert_true(vhost_supports_device_state(&b.dev));
    if (save_state(&b.dev, s, &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    check_saved(s, len);
    down(&b);
    vhost_stream_free(s);
}

static void test_saves_any_amount(void **state)
{
    (void)state;
    save(0, false);
    save(1, false);
    save(1000, false);
    save(MIB, false);
    save(MIB + 1, false);
    save(3 * MIB + 12345, false);
}

static void test_uses_the_fd_of_the_back_end(void **state)
{
    (void)state;
    save(0, true);
    save(2 * MIB + 3, true);
}

static void test_the_request_says_what_is_to_be_done(void **state)
{
    struct bench b = BENCH(.answer = NO_FD);
    struct vhost_stream *s = vhost_stream_new_memory(NULL, 0);
    const struct peer_entry *e;

    (void)state;
    up(&b);
    assert_int_equal(save_state(&b.dev, s, NULL), 0);
    assert_int_equal(load_state(&b.dev, s, NULL), 0);
    pthread_join(b.script.thread, NULL);
    b.script.busy = false;
    e = peer_find(&b.peer, VH_SET_DEVICE_STATE_FD, 0);
    assert_int_equal(e->size, 8);
    assert_int_equal(e->n_fds, 1);
    assert_true(e->u64 == 0); /* save, stopped */
    e = peer_find(&b.peer, VH_SET_DEVICE_STATE_FD, 1);
    assert_true(e->u64 == 1); /* load, stopped */
    assert_int_equal(peer_count(&b.peer, VH_CHECK_DEVICE_STATE), 2);
    vhost_stream_free(s);
    down(&b);
}

static uint64_t swallowed;

static ssize_t swallow(void *opaque, const void *data, size_t len, int ms)
{
    (void)opaque;
    (void)data;
    (void)ms;
    swallowed += len;
    return (ssize_t)len;
}

static void test_saves_a_gibibyte(void **state)
{
    static const struct vhost_stream_ops ops = { .write = swallow };
    struct bench b = BENCH(.answer = NO_FD, .give = GIB);
    struct vhost_stream *s = vhost_stream_new(&ops, NULL);

    (void)state;
    swallowed = 0;
    up(&b);
    assert_int_equal(save_state(&b.dev, s, NULL), 0);
    /* All but the last chunk are full ones, however it was written. */
    assert_int_equal(swallowed, GIB + 4 * (GIB / MIB + 1));
    down(&b);
    vhost_stream_free(s);
}

static void save_fails(struct bench *b, unsigned ms, int code,
                       const char *words)
{
    struct vhost_stream *s = vhost_stream_new_memory(NULL, 0);
    struct vhost_error *err = NULL;
    const uint8_t *data;
    size_t len;
    int r;

    up(b);
    vhost_stream_set_deadline(s, ms);
    r = save_state(&b->dev, s, &err);
    assert_failed(r, err, code, words);
    /* Whatever is there does not look like the whole. */
    data = vhost_stream_get_data(s, &len);
    assert_true(len < 4 || memcmp(data + len - 4, "\0\0\0\0", 4) != 0);
    vhost_stream_free(s);
    down(b);
}

static void
test_a_back_end_that_gives_nothing_ends_at_the_deadline(void **state)
{
    struct bench b = BENCH(.answer = NO_FD, .stall = true);

    (void)state;
    save_fails(&b, 30, -ETIMEDOUT, "gives no more of its state for 0.03 s");
}

static void test_a_back_end_that_dies_is_gone(void **state)
{
    struct bench b = BENCH(.answer = NO_FD, .die = true);
    struct vhost_stream *s = vhost_stream_new_memory(NULL, 0);
    struct vhost_error *err = NULL;
    size_t len;

    (void)state;
    up(&b);
    assert_int_equal(save_state(&b.dev, s, &err), -ECONNRESET);
    vhost_error_free(err);
    assert_int_equal(b.dev.state, VHOST_DEV_LOST);
    vhost_stream_get_data(s, &len);
    if (later) {
        assert_true(len <= 4 + 4); /* it may be missed first */
    } else {
        assert_int_equal(len, 4 + 4); /* "half", and no end */
    }
    err = NULL;
    assert_int_equal(vhost_check_device_state(&b.dev, &err), -ENOTCONN);
    assert_non_null(err);
    vhost_error_free(err);
    vhost_stream_free(s);
    down(&b);
}

static void test_a_back_end_may_refuse(void **state)
{
    struct bench b = BENCH(.answer = NO_FD | 5);
    struct bench c = BENCH(.answer = NO_FD, .give = 7);
    struct bench d = BENCH(.answer = 7); /* the no-fd bit forgotten */
    uint64_t no = 9;
    struct peer_rule rule = { VH_CHECK_DEVICE_STATE, PEER_REPLY, 0, &no, 8 };

    (void)state;
    save_fails(&b, 1000, -EIO, "refused to transfer its state (error 5)");
    save_fails(&d, 1000, -EIO, "refused to transfer its state (error 7)");
    c.peer.rules = &rule;
    c.peer.n_rules = 1;
    save_fails(&c, 1000, -EIO, "transfer of its state failed (error 9)");
}

static void contradicts(uint64_t answer, bool with_fd)
{
    struct bench b = BENCH(.answer = answer, .with_fd = with_fd);
    struct vhost_error *err = NULL;
    int fds[2];
    int reply = 77;
    int r;

    up(&b);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    r = vhost_set_device_state_fd(&b.dev, VHOST_TRANSFER_STATE_DIRECTION_SAVE,
                                  VHOST_TRANSFER_STATE_PHASE_STOPPED, fds[1],
                                  &reply, &err);
    assert_failed(r, err, -EPROTO, "contradicts itself");
    assert_int_equal(reply, -1);
    close(fds[0]);
    /* The connection is sound. */
    assert_int_equal(b.dev.state, VHOST_DEV_IDLE);
    assert_int_equal(vhost_check_device_state(&b.dev, NULL), 0);
    down(&b);
}

static void test_answers_that_contradict_themselves(void **state)
{
    (void)state;
    contradicts(5, true);         /* an error, and an fd */
    contradicts(NO_FD, true);     /* no fd, says it, and sends one */
    contradicts(NO_FD | 5, true); /* both */
    contradicts(0, false);        /* an fd, says it, and sends none */
}

/* Loading */

static void load(const uint64_t *chunks, unsigned n, bool with_fd)
{
    struct bench b = BENCH(.answer = with_fd ? 0 : NO_FD, .with_fd = with_fd);
    struct vhost_stream *s = vhost_stream_new_memory(NULL, 0);
    uint8_t *buf = malloc(MIB);
    struct vhost_error *err = NULL;
    uint64_t at = 0;
    size_t left;

    for (unsigned i = 0; i < n; i++) {
        pattern(buf, chunks[i], at);
        at += chunks[i];
        assert_int_equal(vh_stream_put_be32(s, (uint32_t)chunks[i], NULL), 0);
        assert_int_equal(vhost_stream_write(s, buf, chunks[i], NULL), 0);
    }
    assert_int_equal(vh_stream_put_be32(s, 0, NULL), 0);
    assert_int_equal(vhost_stream_write(s, "next", 4, NULL), 0);
    up(&b);
    if (load_state(&b.dev, s, &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    pthread_join(b.script.thread, NULL);
    b.script.busy = false;
    assert_int_equal(b.script.taken, at);
    assert_false(b.script.wrong);
    assert_memory_equal(vhost_stream_get_data(s, &left), "next", 4);
    down(&b);
    vhost_stream_free(s);
    free(buf);
}

static void test_loads_any_amount(void **state)
{
    static const uint64_t one[] = { 1 };
    static const uint64_t many[] = { 7, MIB, 1, MIB, MIB - 3, 65536 };

    (void)state;
    load(NULL, 0, false);
    load(one, 1, false);
    load(many, 6, false);
    load(NULL, 0, true);
    load(many, 6, true);
}

static void load_fails(struct bench *b, const void *bytes, size_t len, int code,
                       const char *words)
{
    struct vhost_stream *s = vhost_stream_new_memory(bytes, len);
    struct vhost_error *err = NULL;
    int r;

    up(b);
    vhost_stream_set_deadline(s, 30);
    r = load_state(&b->dev, s, &err);
    assert_failed(r, err, code, words);
    assert_int_equal(b->dev.state, VHOST_DEV_IDLE);
    vhost_stream_free(s);
    down(b);
}

static void test_streams_that_are_no_state_are_refused(void **state)
{
    static const char *const huge = "\0\x10\0\1x"; /* 1 MiB and 1 byte */
    struct bench b[5] = { BENCH(.answer = NO_FD), BENCH(.answer = NO_FD),
                          BENCH(.answer = NO_FD), BENCH(.answer = NO_FD),
                          BENCH(.answer = NO_FD) };

    (void)state;
    load_fails(&b[0], "", 0, -ENODATA, "ends after 0 bytes of 4");
    load_fails(&b[1], "\0\0", 2, -ENODATA, "ends after 2 bytes of 4");
    load_fails(&b[2], "\0\0\0\5abc", 7, -ENODATA, "ends after 3 bytes of 5");
    load_fails(&b[3], huge, 5, -EBADMSG, "a chunk of 1048577");
    load_fails(&b[4], "\0\0\0\1\0\xff\xff\xff\xff", 9, -EBADMSG,
               "after 1 bytes of state, a chunk of 4294967295");
}

static size_t make_big(uint8_t **bytes)
{
    size_t len = 4 + MIB + 4 + MIB + 4;

    *bytes = calloc(1, len);
    memcpy(*bytes, "\0\x10\0\0", 4);
    pattern(*bytes + 4, MIB, 0);
    memcpy(*bytes + 4 + MIB, "\0\x10\0\0", 4);
    pattern(*bytes + 8 + MIB, MIB, MIB);
    return len;
}

static void
test_a_back_end_that_takes_nothing_ends_at_the_deadline(void **state)
{
    struct bench b = BENCH(.answer = NO_FD, .stall = true);
    uint8_t *bytes;
    size_t len = make_big(&bytes);

    (void)state;
    load_fails(&b, bytes, len, -ETIMEDOUT, "takes no more of its state");
    free(bytes);
}

/* SIGPIPE would end this process. */
static void test_a_back_end_that_stops_reading_is_asked_why(void **state)
{
    struct bench b = BENCH(.answer = NO_FD, .take_max = 10);
    struct bench c = BENCH(.answer = NO_FD, .take_max = 10);
    uint64_t no = 3;
    struct peer_rule rule = { VH_CHECK_DEVICE_STATE, PEER_REPLY, 0, &no, 8 };
    uint8_t *bytes;
    size_t len = make_big(&bytes);

    (void)state;
    load_fails(&b, bytes, len, -EPIPE, "bytes: Broken pipe");
    c.peer.rules = &rule;
    c.peer.n_rules = 1;
    load_fails(&c, bytes, len, -EIO, "transfer of its state failed (error 3)");
    free(bytes);
}

/* Where it can't be */

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int try_fd(struct vhost_dev *dev, struct vhost_error **errp)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int reply = 5;
    int r = vhost_set_device_state_fd(dev, VHOST_TRANSFER_STATE_DIRECTION_LOAD,
                                      VHOST_TRANSFER_STATE_PHASE_STOPPED, fd,
                                      &reply, errp);

    assert_true(fd >= 0);
    assert_false(is_open(fd)); /* it was given, and is closed in any case */
    assert_int_equal(reply, -1);
    return r;
}

static void test_without_the_feature_it_says_so(void **state)
{
    struct bench b = BENCH(.answer = NO_FD);
    struct vhost_error *err = NULL;
    int r;

    (void)state;
    b.peer.protocol = 0;
    up(&b);
    assert_false(vhost_supports_device_state(&b.dev));
    r = try_fd(&b.dev, &err);
    assert_failed(r, err, -ENOTSUP, "DEVICE_STATE is not in use");
    err = NULL;
    r = vhost_check_device_state(&b.dev, &err);
    assert_failed(r, err, -ENOTSUP, "DEVICE_STATE is not in use");
    down(&b);
    assert_int_equal(b.peer.n_seen[VH_SET_DEVICE_STATE_FD], 0);
    assert_int_equal(b.peer.n_seen[VH_CHECK_DEVICE_STATE], 0);
}

static void test_a_kind_of_back_end_without_it_says_so(void **state)
{
    struct core_rig rig;
    struct vhost_error *err = NULL;
    int r;

    (void)state;
    core_rig_up(&rig, 1);
    assert_false(vhost_supports_device_state(&rig.dev));
    r = try_fd(&rig.dev, &err);
    assert_failed(r, err, -ENOSYS, "no such operation");
    err = NULL;
    r = vhost_check_device_state(&rig.dev, &err);
    assert_failed(r, err, -ENOSYS, "no such operation");
    core_rig_down(&rig);
}

static void test_a_started_device_keeps_its_state(void **state)
{
    struct core_rig rig;
    struct vhost_error *err = NULL;
    int r;

    (void)state;
    core_rig_up(&rig, 1);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    r = try_fd(&rig.dev, &err);
    assert_failed(r, err, -EBUSY, "while it is stopped");
    assert_int_equal(vhost_check_device_state(&rig.dev, NULL), -EBUSY);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

/* Resetting */

static int reset(struct bench *b, uint64_t protocol)
{
    struct bench new = BENCH(.answer = NO_FD);
    int r;

    *b = new;
    b->peer.protocol = protocol;
    up(b);
    r = vhost_reset_device(&b->dev);
    assert_int_equal(vhost_error_code(vhost_dev_get_error(&b->dev)), r);
    if (r == 0) { /* all of it has been heard after this */
        assert_int_equal(
            vhost_dev_get_config(&b->dev, (uint8_t[1]){ 0 }, 1, NULL), 0);
    }
    return r;
}

static void test_a_reset_is_asked_for_as_the_back_end_understands(void **state)
{
    static struct bench b;

    (void)state;
    assert_int_equal(
        reset(&b, VH_PF(CONFIG) | VH_PF(RESET_DEVICE) | VH_PF(STATUS)), 0);
    assert_int_equal(b.peer.n_seen[VH_RESET_DEVICE], 1);
    assert_int_equal(b.peer.n_seen[VH_SET_STATUS], 0);
    down(&b);
    assert_int_equal(reset(&b, VH_PF(CONFIG) | VH_PF(STATUS)), 0);
    assert_int_equal(b.peer.n_seen[VH_RESET_DEVICE], 0);
    assert_int_equal(b.peer.n_seen[VH_SET_STATUS], 1);
    assert_int_equal(b.peer.status, 0);
    down(&b);
    assert_int_equal(reset(&b, 0), -ENOSYS);
    down(&b);
}

static void test_a_started_device_is_not_reset(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    core_rig_assert_error(&rig, vhost_reset_device(&rig.dev), -ENOSYS);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    core_rig_assert_error(&rig, vhost_reset_device(&rig.dev), -EBUSY);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

/* Without waiting */

static int now_later(void **state)
{
    (void)state;
    later = true;
    return 0;
}

static int no_more_later(void **state)
{
    (void)state;
    later = false;
    return 0;
}

/* Its owner's functions have room for a few bytes, every third time. */
struct tight {
    struct vhost_stream *inside;
    unsigned turn;
};

static ssize_t write_tight(void *opaque, const void *data, size_t len, int ms)
{
    struct tight *t = opaque;

    assert_int_equal(ms, 0);
    if (t->turn++ % 3 != 0) {
        return -EAGAIN;
    }
    len = len < 100000 ? len : 100000;
    assert_int_equal(vhost_stream_write(t->inside, data, len, NULL), 0);
    return (ssize_t)len;
}

static ssize_t read_tight(void *opaque, void *data, size_t len, int ms)
{
    struct tight *t = opaque;

    assert_int_equal(ms, 0);
    if (t->turn++ % 3 != 0) {
        return -EAGAIN;
    }
    len = t->turn % 2 ? 1 : len;
    return vhost_stream_read(t->inside, data, len, NULL) == 0 ? (ssize_t)len
                                                              : 0;
}

static void test_a_stream_that_is_not_ready_is_tried_again(void **state)
{
    static const struct vhost_stream_ops ops = { .read = read_tight,
                                                 .write = write_tight };
    struct bench b = BENCH(.answer = NO_FD, .give = 300000);
    struct bench c = BENCH(.answer = NO_FD);
    struct tight tight = { vhost_stream_new_memory(NULL, 0), 0 };
    struct vhost_stream *s = vhost_stream_new(&ops, &tight);

    (void)state;
    up(&b);
    assert_int_equal(save_state(&b.dev, s, NULL), 0);
    down(&b);
    up(&c);
    assert_int_equal(load_state(&c.dev, s, NULL), 0);
    pthread_join(c.script.thread, NULL);
    c.script.busy = false;
    assert_int_equal(c.script.taken, 300000);
    assert_false(c.script.wrong);
    down(&c);
    vhost_stream_free(s);
    vhost_stream_free(tight.inside);
}

/* Both ends are pipes that fill up; the loop rests until there is room. */
static void test_the_loop_rests_while_nothing_moves(void **state)
{
    struct bench b = BENCH(.answer = NO_FD, .give = MIB);
    struct vhost_stream *s, *all = vhost_stream_new_memory(NULL, 0);
    struct waiter w = { false };
    unsigned n_idle = 0;
    uint8_t buf[4096];
    int fds[2];

    (void)state;
    up(&b);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    s = vhost_stream_new_fd(fds[1]);
    assert_int_equal(vhost_save_backend_state_async(&b.dev, s, told, &w), 0);
    while (!w.told || n_idle == 0) {
        struct pollfd p = { .fd = vhost_dev_get_fd(&b.dev), .events = POLLIN };
        ssize_t n;

        if (!w.told && poll(&p, 1, 20) == 1) {
            vhost_dev_dispatch(&b.dev);
            w.n_dispatched++;
            continue;
        }
        n_idle++;
        for (unsigned i = 0; i < 8; i++) {
            struct pollfd q = { .fd = fds[0], .events = POLLIN };

            n = poll(&q, 1, 0) == 1 ? read(fds[0], buf, sizeof(buf)) : 0;
            vhost_stream_write(all, buf, (size_t)n, NULL);
        }
    }
    assert_int_equal(w.result, 0);
    assert_true(n_idle > 10); /* the pipe holds 64 KiB, and it was 1 MiB */
    assert_true(w.n_dispatched < 20 * n_idle);
    close(fds[1]);
    for (ssize_t n; (n = read(fds[0], buf, sizeof(buf))) > 0;) {
        vhost_stream_write(all, buf, (size_t)n, NULL);
    }
    check_saved(all, MIB);
    close(fds[0]);
    vhost_stream_free(s);
    vhost_stream_free(all);
    down(&b);
}

static void test_one_that_is_cancelled_leaves_the_device_as_it_was(void **state)
{
    struct bench b = BENCH(.answer = NO_FD, .stall = true);
    struct vhost_stream *s = vhost_stream_new_memory(NULL, 0);
    size_t len;

    (void)state;
    up(&b);
    for (unsigned n = 0; n < 3; n++) { /* dispatched before */
        struct waiter w = { false };

        assert_int_equal(vhost_save_backend_state_async(&b.dev, s, told, &w),
                         0);
        assert_int_equal(vhost_save_backend_state_async(&b.dev, s, told, &w),
                         -EBUSY);
        for (unsigned i = 0; i < n; i++) {
            struct pollfd p = { .fd = vhost_dev_get_fd(&b.dev),
                                .events = POLLIN };

            poll(&p, 1, 20);
            vhost_dev_dispatch(&b.dev);
        }
        assert_int_equal(vhost_dev_cancel(&b.dev), 0);
        loop(&b.dev, &w);
        assert_int_equal(w.result, -ECANCELED);
        assert_int_equal(b.dev.state, VHOST_DEV_IDLE);
    }
    vhost_stream_get_data(s, &len);
    assert_int_equal(len, 0);
    assert_int_equal(vhost_check_device_state(&b.dev, NULL), 0);
    vhost_stream_free(s);
    down(&b);
}

static void test_cleanup_ends_a_transfer(void **state)
{
    struct bench b = BENCH(.answer = NO_FD, .stall = true);
    struct vhost_stream *s = vhost_stream_new_memory(NULL, 0);
    struct waiter w = { false };

    (void)state;
    up(&b);
    assert_int_equal(vhost_save_backend_state_async(&b.dev, s, told, &w), 0);
    down(&b);
    assert_true(w.told);
    assert_int_equal(w.result, -ECANCELED);
    vhost_stream_free(s);
}

#define LATER(test)                                                    \
    {                                                                  \
#test "_without_waiting", test, now_later, no_more_later, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saves_any_amount),
        LATER(test_saves_any_amount),
        cmocka_unit_test(test_uses_the_fd_of_the_back_end),
        LATER(test_uses_the_fd_of_the_back_end),
        cmocka_unit_test(test_the_request_says_what_is_to_be_done),
        LATER(test_the_request_says_what_is_to_be_done),
        cmocka_unit_test(test_saves_a_gibibyte),
        cmocka_unit_test(
            test_a_back_end_that_gives_nothing_ends_at_the_deadline),
        LATER(test_a_back_end_that_gives_nothing_ends_at_the_deadline),
        cmocka_unit_test(test_a_back_end_that_dies_is_gone),
        LATER(test_a_back_end_that_dies_is_gone),
        cmocka_unit_test(test_a_back_end_may_refuse),
        LATER(test_a_back_end_may_refuse),
        cmocka_unit_test(test_answers_that_contradict_themselves),
        cmocka_unit_test(test_loads_any_amount),
        LATER(test_loads_any_amount),
        cmocka_unit_test(test_streams_that_are_no_state_are_refused),
        LATER(test_streams_that_are_no_state_are_refused),
        cmocka_unit_test(
            test_a_back_end_that_takes_nothing_ends_at_the_deadline),
        LATER(test_a_back_end_that_takes_nothing_ends_at_the_deadline),
        cmocka_unit_test(test_a_back_end_that_stops_reading_is_asked_why),
        LATER(test_a_back_end_that_stops_reading_is_asked_why),
        LATER(test_a_stream_that_is_not_ready_is_tried_again),
        LATER(test_the_loop_rests_while_nothing_moves),
        LATER(test_one_that_is_cancelled_leaves_the_device_as_it_was),
        LATER(test_cleanup_ends_a_transfer),
        cmocka_unit_test(test_without_the_feature_it_says_so),
        cmocka_unit_test(test_a_kind_of_back_end_without_it_says_so),
        cmocka_unit_test(test_a_started_device_keeps_its_state),
        cmocka_unit_test(test_a_reset_is_asked_for_as_the_back_end_understands),
        cmocka_unit_test(test_a_started_device_is_not_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
