/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests (virtio 1.3, 5.11.6 "Device Operation"): each lies in a slot of
 * memory that the back end sees, and has pieces as Linux makes them, since
 * there are servers that look for just these: header, arguments, data to be
 * written; header of the answer, the rest of it.
 *
 * What the back end writes can change at any time, so an answer is copied out
 * before it is looked at.  Its header must agree with itself, with what the
 * ring says was written, and with the request.  A server that breaks this can't
 * be talked to any more: the queue is failed, and with it the session.
 *
 * A request that nobody waits for any more keeps its slot until the back end
 * gives it back: until then it may write there.
 */
#include "driver/fs-slot.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <linux/fuse.h>

#include "driver/fs.h"
#include "util/clock.h"
#include "util/error.h"

/* Where things lie in the head of a slot.  Each begins on a line of its own. */
#define HEAD_SIZE 4096
#define AT_ARGS 64
#define AT_NAME 192
#define AT_ANSWER 1024
#define AT_BODY 1088
#define ARGS_MAX (AT_NAME - AT_ARGS)
#define BODY_MAX (HEAD_SIZE - AT_BODY)
#define ALIGN 4096
#define ERRNO_MAX 4095 /* as the system has it: what is below is no errno */
#define TAKE 8

static_assert(sizeof(struct fuse_in_header) <= AT_ARGS, "head of a slot");
static_assert(AT_NAME + VH_FS_NAME_MAX + 1 <= AT_ANSWER, "head of a slot");

static size_t slot_size(size_t transfer_size)
{
    return HEAD_SIZE + ((transfer_size + ALIGN - 1) & ~(size_t)(ALIGN - 1));
}

size_t vh_fs_slots_size(size_t transfer_size)
{
    return VH_FS_SLOTS * slot_size(transfer_size) + ALIGN;
}

int vh_fs_slots_open(struct vhost_fs *fs)
{
    size_t each = slot_size(fs->options.transfer_size);
    char *memory = vh_pool_alloc(
        fs->device.pool, vh_fs_slots_size(fs->options.transfer_size), ALIGN);
    struct vh_pool_hit hit = { 0 };
    uint64_t gpa;

    if (!memory || !vh_pool_find(fs->device.pool, &hit, memory, &gpa)) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < VH_FS_SLOTS; i++) {
        fs->slots[i] = (struct vh_fs_slot){
            .head = memory + i * each,
            .head_gpa = gpa + i * each,
            .data = memory + i * each + HEAD_SIZE,
            .data_gpa = gpa + i * each + HEAD_SIZE,
        };
    }
    fs->forgets.memory = memory + VH_FS_SLOTS * each;
    fs->forgets.gpa = gpa + VH_FS_SLOTS * each;
    for (unsigned i = 0; i < VH_FS_FORGETS; i++) {
        fs->forgets.free[fs->forgets.n_free++] =
            fs->forgets.memory + (size_t)i * VH_FS_FORGET_SIZE;
    }
    return 0;
}

static_assert(VH_FS_FORGETS * VH_FS_FORGET_SIZE <= ALIGN, "vh_fs_slots_size()");

static struct vh_virtq *requests(const struct vhost_fs *fs)
{
    return &fs->device.queues[VH_FS_REQUESTS];
}

static struct vh_fs_slot *free_slot(struct vhost_fs *fs)
{
    for (unsigned i = 0; i < VH_FS_SLOTS; i++) {
        if (fs->slots[i].state == VH_FS_SLOT_FREE) {
            return &fs->slots[i];
        }
    }
    return NULL;
}

bool vh_fs_has_free_slot(const struct vhost_fs *fs)
{
    return free_slot((struct vhost_fs *)fs) != NULL;
}

bool vh_fs_slots_busy(const struct vhost_fs *fs)
{
    bool busy = false;

    for (unsigned i = 0; i < VH_FS_SLOTS; i++) {
        busy = busy || fs->slots[i].state == VH_FS_SLOT_SENT ||
               fs->slots[i].state == VH_FS_SLOT_ABANDONED;
    }
    return busy;
}

static int64_t deadline_of(const struct vhost_fs *fs)
{
    return vh_deadline_in(fs->options.request_ms);
}

static int late(const struct vhost_fs *fs, const char *what,
                struct vhost_error **errp)
{
    return vh_error(errp, -ETIMEDOUT, what, VH_FS_REQUESTS,
                    "%s: no answer within %g s", what,
                    fs->options.request_ms / 1000.0);
}

/* The queue is broken: its own words say why. */
static int broken(const struct vhost_fs *fs, int r, const char *what,
                  struct vhost_error **errp)
{
    const struct vh_virtq *vq = requests(fs);
    const char *why = vq->failed ? vq->error : strerrordesc_np(-r);

    return vh_error(errp, r, what, VH_FS_REQUESTS, "%s: %s", what,
                    why ? why : "failed");
}

int vh_fs_lied(struct vhost_fs *fs, const char *why, struct vhost_error **errp)
{
    vh_virtq_fail(requests(fs), -EPROTO, why);
    return vh_error(errp, -EPROTO, "FUSE", VH_FS_REQUESTS,
                    "the back end broke the rules of FUSE: %s", why);
}

/* Return: how many answers have come, or why the queue is broken. */
static int collect(struct vhost_fs *fs)
{
    struct vh_ring_used used[TAKE];
    int n = vh_virtq_take(requests(fs), used, TAKE);

    for (int i = 0; i < n; i++) {
        struct vh_fs_slot *slot = used[i].cookie;

        slot->used_len = used[i].len;
        slot->state = slot->state == VH_FS_SLOT_ABANDONED ? VH_FS_SLOT_FREE
                                                          : VH_FS_SLOT_ANSWERED;
    }
    return n;
}

/* Waits until something has come, of whichever request. */
static int collect_some(struct vhost_fs *fs, int64_t deadline)
{
    for (;;) {
        int n = collect(fs);

        if (n != 0) {
            return n < 0 ? n : 0;
        }
        if (vh_deadline_passed(deadline)) {
            return -ETIMEDOUT;
        }
        n = vh_virtq_wait(requests(fs), deadline);
        if (n < 0) {
            return n;
        }
    }
}

void vh_fs_fill_header(struct vhost_fs *fs, struct fuse_in_header *header,
                       uint32_t opcode, uint64_t node, size_t len)
{
    fs->unique += 2; /* odd ones are for interrupts */
    *header = (struct fuse_in_header){
        .len = (uint32_t)(sizeof(*header) + len),
        .opcode = opcode,
        .unique = fs->unique,
        .nodeid = node,
        .uid = fs->options.uid,
        .gid = fs->options.gid,
    };
}

static bool is_small(const struct vh_fs_call *call)
{
    return call->reply_max <= BODY_MAX;
}

/* Copies the request into the slot.  Return: how many pieces it has. */
static unsigned fill_out(struct vhost_fs *fs, struct vh_fs_slot *slot,
                         struct vh_sg *sg)
{
    const struct vh_fs_call *call = &slot->call;
    size_t name_len = call->name ? strlen(call->name) + 1 : 0;
    struct fuse_in_header header;
    unsigned n = 0;

    vh_fs_fill_header(fs, &header, call->opcode, call->node,
                      call->args_len + name_len + call->data_len);
    slot->unique = header.unique;
    memcpy(slot->head, &header, sizeof(header));
    sg[n++] = (struct vh_sg){ slot->head_gpa, sizeof(header) };
    if (call->args_len > 0) {
        memcpy(slot->head + AT_ARGS, call->args, call->args_len);
        sg[n++] = (struct vh_sg){ slot->head_gpa + AT_ARGS,
                                  (uint32_t)call->args_len };
    }
    if (name_len > 0) {
        memcpy(slot->head + AT_NAME, call->name, name_len);
        sg[n++] =
            (struct vh_sg){ slot->head_gpa + AT_NAME, (uint32_t)name_len };
    }
    if (call->data_len > 0) {
        memcpy(slot->data, call->data, call->data_len);
        sg[n++] = (struct vh_sg){ slot->data_gpa, (uint32_t)call->data_len };
    }
    return n;
}

static unsigned fill_in(struct vh_fs_slot *slot, struct vh_sg *sg)
{
    const struct vh_fs_call *call = &slot->call;

    /* What nobody wrote must not pass for an answer, nor one before it. */
    memset(slot->head + AT_ANSWER, 0, sizeof(struct fuse_out_header));
    sg[0] = (struct vh_sg){ slot->head_gpa + AT_ANSWER,
                            sizeof(struct fuse_out_header) };
    if (call->reply_max == 0) {
        return 1;
    }
    sg[1] = (struct vh_sg){ is_small(call) ? slot->head_gpa + AT_BODY
                                           : slot->data_gpa,
                            (uint32_t)call->reply_max };
    return 2;
}

static int post(struct vhost_fs *fs, struct vh_fs_slot *slot)
{
    struct vh_sg sg[VH_FS_PIECES + 1];
    unsigned n_out = fill_out(fs, slot, sg);
    unsigned n_in = fill_in(slot, sg + n_out);

    assert(n_out + n_in <= VH_FS_PIECES);
    return vh_ring_add(requests(fs)->ring, sg, n_out, n_in, slot);
}

/* Waits for a slot, and for room in the ring. */
static int begin(struct vhost_fs *fs, const struct vh_fs_call *call,
                 int64_t deadline, struct vh_fs_slot **slotp)
{
    for (;;) {
        struct vh_fs_slot *slot = free_slot(fs);
        int r = requests(fs)->failed;

        if (r == 0 && slot) {
            slot->call = *call;
            r = post(fs, slot);
            *slotp = slot;
            if (r != -ENOSPC) {
                return r;
            }
        }
        if (r == 0 || r == -ENOSPC) {
            r = collect_some(fs, deadline);
        }
        if (r < 0) {
            return r;
        }
    }
}

int vh_fs_begin(struct vhost_fs *fs, const struct vh_fs_call *call,
                struct vh_fs_slot **slotp, struct vhost_error **errp)
{
    int64_t deadline = deadline_of(fs);
    struct vh_fs_slot *slot = NULL;
    int r;

    assert(call->args_len <= ARGS_MAX && call->data_len <= fs->chunk &&
           (is_small(call) || call->reply_max <= fs->chunk));
    if (fs->is_paused) {
        return vh_error(errp, -EBUSY, call->what, VH_NO_QUEUE,
                        "%s: the session was saved, and may go on elsewhere: "
                        "resume it first",
                        call->what);
    }
    r = begin(fs, call, deadline, &slot);
    if (r == 0) {
        slot->state = VH_FS_SLOT_SENT;
        slot->deadline = deadline;
        r = vh_virtq_submit(requests(fs));
    }
    if (r < 0) {
        return r == -ETIMEDOUT ? late(fs, call->what, errp)
                               : broken(fs, r, call->what, errp);
    }
    *slotp = slot;
    return 0;
}

/* Does the header make sense?  Return: NULL, or what is wrong. */
static const char *check_header(const struct vh_fs_slot *slot,
                                const struct fuse_out_header *header)
{
    if (slot->used_len < sizeof(*header)) {
        return "an answer shorter than its header";
    }
    if (header->len < sizeof(*header) || header->len > slot->used_len) {
        return "an answer whose length is not what was written";
    }
    if (header->unique != slot->unique) {
        return "an answer to another request";
    }
    if (header->error > 0 || header->error < -ERRNO_MAX) {
        return "an error that is none";
    }
    if (header->error == 0 &&
        header->len - sizeof(*header) < slot->call.reply_min) {
        return "an answer that is too short";
    }
    return NULL;
}

/* Takes up an answer.  Return: as vh_fs_finish(). */
static ssize_t take_answer(struct vhost_fs *fs, struct vh_fs_slot *slot,
                           struct vhost_error **errp)
{
    const struct vh_fs_call *call = &slot->call;
    struct fuse_out_header header;
    const char *why;
    size_t len;

    memcpy(&header, slot->head + AT_ANSWER, sizeof(header));
    why = check_header(slot, &header);
    if (why) {
        return vh_fs_lied(fs, why, errp);
    }
    if (header.error < 0) {
        const char *words = strerrordesc_np(-header.error);

        return vh_error(errp, header.error, call->what, VH_NO_QUEUE, "%s: %s",
                        call->what, words ? words : "failed");
    }
    /* The ring has seen to it that no more than reply_max was written. */
    len = header.len - sizeof(header);
    if (len > 0) {
        memcpy(call->reply, is_small(call) ? slot->head + AT_BODY : slot->data,
               len);
    }
    return (ssize_t)len;
}

ssize_t vh_fs_finish(struct vhost_fs *fs, struct vh_fs_slot *slot,
                     struct vhost_error **errp)
{
    const char *what = slot->call.what;
    ssize_t r = 0;

    while (slot->state != VH_FS_SLOT_ANSWERED && r == 0) {
        r = collect_some(fs, slot->deadline);
    }
    if (slot->state == VH_FS_SLOT_ANSWERED) {
        r = take_answer(fs, slot, errp);
        slot->state = VH_FS_SLOT_FREE;
        return r;
    }
    slot->state = VH_FS_SLOT_ABANDONED;
    return r == -ETIMEDOUT ? late(fs, what, errp)
                           : broken(fs, (int)r, what, errp);
}

ssize_t vh_fs_call(struct vhost_fs *fs, const struct vh_fs_call *call,
                   struct vhost_error **errp)
{
    struct vh_fs_slot *slot;
    int r = vh_fs_begin(fs, call, &slot, errp);

    return r < 0 ? r : vh_fs_finish(fs, slot, errp);
}
