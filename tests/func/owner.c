/* SPDX-License-Identifier: BSD-3-Clause */
#include "owner.h"

#include <errno.h>
#include <string.h>

static bool is_gone(int r)
{
    return r == -ENOTCONN || r == -ECONNRESET;
}

/* A call that asks the back end something: only its loss is an excuse. */
void owner_check_asked(const struct owner *m, int r)
{
    if (m->broken) {
        assert_true(r == -EPROTO || is_gone(r));
    } else if (m->gone) {
        assert_true(is_gone(r));
    } else {
        assert_int_equal(r, 0);
    }
}

/* One that may find out that it is gone, and need not. */
void owner_check_maybe(const struct owner *m, int r)
{
    if (r != 0 || (!m->gone && !m->broken)) {
        owner_check_asked(m, r);
    }
}

void owner_check_words(const struct owner *m, int r)
{
    const struct vhost_error *error = vhost_dev_get_error(&m->g.dev);

    if (r < 0) {
        assert_non_null(error);
        assert_int_equal(vhost_error_code(error), r);
        assert_true(strlen(vhost_error_message(error)) > 0);
    } else {
        assert_null(error);
    }
}

void owner_check_device(const struct owner *m)
{
    const struct vhost_dev *dev = &m->g.dev;
    enum vhost_dev_state quiet =
        m->started ? VHOST_DEV_STARTED : VHOST_DEV_IDLE;
    /* It may have come to its end, untold. */
    bool turns = m->op == A_START || m->op == A_STOP;

    if (!m->there) {
        assert_int_equal(dev->state, VHOST_DEV_NONE);
        return;
    }
    if (m->broken) {
        assert_true(dev->state == VHOST_DEV_BROKEN ||
                    (m->gone && dev->state == VHOST_DEV_LOST));
    } else if (!m->gone || dev->state != VHOST_DEV_LOST) {
        assert_true(dev->state == quiet ||
                    (turns && (dev->state == VHOST_DEV_STARTED ||
                               dev->state == VHOST_DEV_IDLE)));
    }
    if (turns) {
        return;
    }
    assert_int_equal(dev->started, m->started);
    assert_int_equal(m->g.vdev.vhost_started, m->started);
    assert_ptr_equal(dev->vdev, m->started ? &m->g.vdev : NULL);
    for (unsigned i = 0; i < GUEST_QUEUES; i++) {
        assert_int_equal(dev->vqs[i].started, m->runs[i]);
        assert_int_equal(dev->vqs[i].masked, m->masked[i]);
    }
}

/* A queue at rest.  All that was asked for is done: so we know where it is. */
void owner_rests(struct owner *m, unsigned i)
{
    if (m->g.queues[i].base_source == VHOST_BASE_UNKNOWN) {
        m->g.queues[i].base = vh_ring_base(m->g.rings[i]);
    }
    assert_int_equal(m->g.queues[i].base, vh_ring_base(m->g.rings[i]));
    m->runs[i] = false;
}

static void set_running(struct owner *m, bool started)
{
    m->started = started;
    for (unsigned i = 0; i < GUEST_QUEUES; i++) {
        if (started) {
            m->runs[i] = true;
        } else {
            owner_rests(m, i);
        }
    }
}

/* Ends */

void owner_check_started(struct owner *m, int r)
{
    bool can_log = !m->logged || !(m->hidden & F(LOG_SHMFD));
    bool can = can_log && m->ram;

    if (!can && !m->broken && !m->called_off) {
        assert_true(r == (can_log ? -ENOMEM : -ENOTSUP) ||
                    (m->gone && is_gone(r)));
    } else if (m->called_off) {
        assert_true(r == -ECANCELED || (m->gone && is_gone(r)));
    } else {
        owner_check_asked(m, r);
    }
    if (r == 0) {
        set_running(m, true);
    }
}

void owner_check_stopped(struct owner *m, int r)
{
    if (m->called_off) {
        assert_int_equal(r, -ECANCELED);
        assert_int_equal(m->g.dev.state, VHOST_DEV_LOST);
        m->gone = true;
    } else if (m->gone) {
        assert_true(r == 0 || r == -EPROTO || is_gone(r));
    } else {
        owner_check_asked(m, r);
    }
    set_running(m, false);
}

void owner_ended(struct vhost_dev *dev, int result, void *opaque)
{
    struct owner *m = opaque;

    owner_check_words(m, result);
    assert_false(m->told);
    m->told = true;
    m->result = result;
    (void)dev;
}

void owner_committed(struct vhost_memory_map *map, int result,
                     const struct vhost_error *error, void *opaque)
{
    struct owner *m = opaque;

    (void)map;
    assert_int_equal(error != NULL, result < 0);
    assert_false(m->told);
    m->told = true;
    m->result = result;
}

/* What an operation under way has come to. */
void owner_check_end(struct owner *m)
{
    enum under_way op = m->op;

    if (!m->told) {
        return;
    }
    m->op = NOTHING;
    m->told = false;
    switch (op) {
    case A_START:
        if (m->result == 0 && m->gone && !m->called_off) {
            set_running(m, true); /* all answers were there before */
        } else {
            owner_check_started(m, m->result);
        }
        break;
    case A_STOP:
        owner_check_stopped(m, m->result);
        break;
    case A_COMMIT:
        m->gone |= m->called_off; /* which is how it ended */
        owner_check_maybe(m, m->result);
        break;
    case NOTHING:
        fail_msg("the end of nothing was told");
    }
    m->called_off = false;
}

/* Whether it is refused since something else is under way. */
bool owner_check_busy(const struct owner *m, int r)
{
    if (m->op == NOTHING) {
        return false;
    }
    assert_true(r == -EBUSY || (m->gone && is_gone(r)) ||
                (m->broken && r == -EPROTO));
    owner_check_words(m, r);
    return true;
}
