/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Translations that are there, and questions for others.
 *
 * A page is asked for once, whoever waits for it; the answer is news for all
 * that wait, and each looks again, and may find that it needs another page.  A
 * question that is refused, or not answered in time, is remembered until one
 * of those that wait has looked: that one has an address that leads nowhere,
 * which is its driver's fault, and the front end's to know of (ACCESS_FAIL).
 *
 * The answer to the question itself says only whether there is one: the
 * translation comes on the other channel.
 *
 * vhost-user specification, "IOMMU support".
 */
#include "server/iommu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <linux/vhost_types.h>

#include "server/server.h"
#include "util/clock.h"
#include "util/fd.h"

#define F_IOMMU 33
#define PAGE UINT64_C(4096) /* no IOMMU has smaller ones */

bool vh_server_has_iommu(const struct vhost_server *srv)
{
    return srv->session.features >> F_IOMMU & 1;
}

/* Questions */

static int miss_is_understood(void *arg, int result, struct vh_msg *reply,
                              struct vhost_error **errp)
{
    struct vh_miss *miss = arg;

    (void)reply;
    (void)errp;
    miss->ack_due = false;
    if (result < 0 && miss->waits) {
        miss->waits = false;
        miss->failed = true;
        miss->srv->iommu.news = true;
    }
    return 0;
}

static int tell(struct vhost_server *srv, uint8_t type, uint64_t iova,
                unsigned access, struct vh_miss *miss)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_BACK_IOTLB_MSG);
    msg.size = sizeof(msg.payload.iotlb);
    msg.payload.iotlb.iova = iova;
    msg.payload.iotlb.perm = (uint8_t)access;
    msg.payload.iotlb.type = type;
    return vh_server_ask(srv, &msg, miss ? miss_is_understood : NULL, miss);
}

static void arm_timer(struct vhost_server *srv, int64_t deadline)
{
    struct itimerspec when = { .it_value = { .tv_sec = deadline / 1000000000,
                                             .tv_nsec =
                                                 deadline % 1000000000 } };

    timerfd_settime(srv->iommu.timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Before the first question. */
static bool get_ready(struct vhost_server *srv)
{
    struct vh_siommu *iommu = &srv->iommu;

    if (iommu->misses) {
        return true;
    }
    iommu->timer_fd =
        timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    iommu->misses = calloc(VH_MISSES_MAX, sizeof(*iommu->misses));
    if (iommu->timer_fd < 0 || !iommu->misses ||
        vh_server_watch(srv, iommu->timer_fd, VH_EVENT_MISS, 0) < 0) {
        vh_fd_close(&iommu->timer_fd);
        free(iommu->misses);
        iommu->misses = NULL;
        return false;
    }
    return true;
}

static bool is_free(const struct vh_miss *miss)
{
    return !miss->waits && !miss->ack_due && !miss->failed;
}

/* The question for @iova's page, if it is open; else a place for it, or NULL.
 */
static struct vh_miss *find_miss(struct vh_siommu *iommu, uint64_t iova,
                                 unsigned access)
{
    struct vh_miss *place = NULL;

    for (unsigned i = 0; i < VH_MISSES_MAX; i++) {
        struct vh_miss *miss = &iommu->misses[i];

        if ((miss->waits || miss->failed) && miss->iova / PAGE == iova / PAGE &&
            (miss->access & access) == access) {
            return miss;
        }
        if (is_free(miss)) {
            place = miss;
        }
    }
    return place;
}

static void begin_miss(struct vhost_server *srv, struct vh_miss *miss,
                       uint64_t iova, unsigned access)
{
    unsigned ms = srv->options.iotlb_timeout_ms;
    struct itimerspec armed;

    *miss = (struct vh_miss){
        .srv = srv,
        .iova = iova,
        .access = access,
        .deadline = vh_deadline_in(ms ? ms : VH_MISS_WAIT_MS),
        .waits = true,
        .ack_due = true,
    };
    if (tell(srv, VHOST_IOTLB_MISS, iova, access, miss) < 0) {
        miss->ack_due = miss->waits = false;
        miss->failed = true;
        srv->iommu.news = true;
    }
    /* Deadlines come in the order of the questions: the first one counts. */
    timerfd_gettime(srv->iommu.timer_fd, &armed);
    if (armed.it_value.tv_sec == 0 && armed.it_value.tv_nsec == 0) {
        arm_timer(srv, miss->deadline);
    }
}

/* Return: of how many bytes nothing is known. */
static uint64_t ask(struct vhost_server *srv, uint64_t iova, uint64_t want,
                    unsigned access)
{
    uint64_t in_page = PAGE - iova % PAGE;
    struct vh_miss *miss;

    miss = get_ready(srv) ? find_miss(&srv->iommu, iova, access) : NULL;
    if (!miss) {
        return want; /* after the next news */
    }
    if (miss->failed) {
        srv->iommu.refused = true;
        miss->failed = false;
        vh_server_log(srv, "no translation of iova %#" PRIx64, iova);
        tell(srv, VHOST_IOTLB_ACCESS_FAIL, iova, access, NULL);
    } else if (!miss->waits) {
        begin_miss(srv, miss, iova, access);
    }
    return want < in_page ? want : in_page;
}

uint8_t *vh_iommu_look(struct vhost_server *srv, uint64_t iova, uint64_t want,
                       uint64_t *len, unsigned access)
{
    const struct vh_iotlb_entry *entry = vh_iotlb_find(&srv->iommu.tlb, iova);

    if (!entry || (entry->access & access) != access) {
        *len = ask(srv, iova, want, access);
        return NULL;
    }
    *len = entry->last - iova >= want ? want : entry->last - iova + 1;
    return entry->hva + (iova - entry->iova);
}

/* Answers */

static bool is_for(const struct vh_miss *miss, uint64_t iova, uint64_t last)
{
    return (miss->waits || miss->failed) && miss->iova >= iova &&
           miss->iova <= last;
}

/* Return: false if nobody has asked for that much. */
static bool answer(struct vh_siommu *iommu, uint64_t iova, uint64_t last,
                   unsigned access)
{
    bool any = false;

    for (unsigned i = 0; i < VH_MISSES_MAX; i++) {
        struct vh_miss *miss = &iommu->misses[i];

        if (is_for(miss, iova, last) &&
            (miss->access & access) == miss->access) {
            miss->waits = miss->failed = false;
            any = true;
        }
    }
    return any;
}

/* The answer to a question was less than what was asked for. */
static void give_up(struct vh_siommu *iommu, uint64_t iova, uint64_t last)
{
    for (unsigned i = 0; i < VH_MISSES_MAX; i++) {
        struct vh_miss *miss = &iommu->misses[i];

        if (is_for(miss, iova, last)) {
            miss->waits = false;
            miss->failed = true;
        }
    }
}

void vh_iommu_answered(struct vhost_server *srv, uint64_t iova, uint64_t last,
                       unsigned access)
{
    struct vh_siommu *iommu = &srv->iommu;

    if (iommu->misses && !answer(iommu, iova, last, access)) {
        give_up(iommu, iova, last);
    }
    for (unsigned i = 0; i < srv->n_queues; i++) {
        struct vh_squeue *q = &srv->queues[i];

        q->awaits |= !q->ring && vh_qiommu_is_at(q, iova, last);
    }
    iommu->news = true;
}

void vh_iommu_on_timer(struct vhost_server *srv)
{
    struct vh_siommu *iommu = &srv->iommu;
    int64_t next = INT64_MAX;
    uint64_t n;

    if (iommu->timer_fd < 0 ||
        read(iommu->timer_fd, &n, sizeof(n)) != sizeof(n)) {
        return;
    }
    for (unsigned i = 0; i < VH_MISSES_MAX; i++) {
        struct vh_miss *miss = &iommu->misses[i];

        if (miss->waits && vh_deadline_passed(miss->deadline)) {
            miss->waits = false;
            miss->failed = true;
            iommu->news = true;
        } else if (miss->waits && miss->deadline < next) {
            next = miss->deadline;
        }
    }
    if (next != INT64_MAX) {
        arm_timer(srv, next);
    }
}

void vh_iommu_wake(struct vhost_server *srv)
{
    srv->iommu.news = false;
    for (unsigned i = 0; i < srv->n_queues; i++) {
        struct vh_squeue *q = &srv->queues[i];
        int r = 0;

        if (!q->awaits) {
            continue;
        }
        q->awaits = false;
        if (q->ring) {
            vh_squeue_wake(q);
        } else {
            r = vh_squeue_start(q);
        }
        if (r < 0) {
            vh_server_log(srv, "queue %u can't run: %s", i,
                          srv->session.why ? srv->session.why : strerror(-r));
        }
    }
    srv->session.why = NULL;
}

void vh_iommu_forget(struct vhost_server *srv)
{
    vh_iotlb_clear(&srv->iommu.tlb);
}

void vh_iommu_end(struct vhost_server *srv)
{
    struct vh_siommu *iommu = &srv->iommu;

    vh_iommu_forget(srv);
    vh_server_unwatch(srv, iommu->timer_fd);
    vh_fd_close(&iommu->timer_fd);
    free(iommu->misses);
    free(iommu->reached);
    *iommu = (struct vh_siommu){ .timer_fd = -1 };
}

/* Looks of a ring */

void vh_iommu_pop(struct vhost_server *srv)
{
    srv->iommu.refused = false;
    srv->iommu.n_reached = 0;
}

static void *to_piece(struct vhost_server *srv, uint64_t iova, uint64_t want,
                      uint64_t *len, unsigned access)
{
    struct vh_siommu *iommu = &srv->iommu;
    uint64_t got = 0;
    uint8_t *hva = vh_iommu_look(srv, iova, want, &got, access);
    unsigned n = iommu->n_reached;

    /* A piece that is not in one is looked for twice. */
    if (n > 0 && iommu->reached[n - 1].iova == iova) {
        n--;
    }
    if (hva && n < VH_SQUEUE_PIECES) {
        iommu->reached[n++] = (struct vh_reach){ iova, iova + (got - 1) };
    }
    iommu->n_reached = n;
    *len = got;
    return hva;
}

void *vh_iommu_to_table(void *arg, uint64_t iova, uint64_t want, uint64_t *len)
{
    return vh_iommu_look(arg, iova, want, len, VH_IOTLB_READ);
}

void *vh_iommu_to_read(void *arg, uint64_t iova, uint64_t want, uint64_t *len)
{
    return to_piece(arg, iova, want, len, VH_IOTLB_READ);
}

void *vh_iommu_to_write(void *arg, uint64_t iova, uint64_t want, uint64_t *len)
{
    return to_piece(arg, iova, want, len, VH_IOTLB_WRITE);
}
