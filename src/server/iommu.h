/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver behind an IOMMU (VIRTIO_F_ACCESS_PLATFORM): its addresses, of rings
 * and in them, mean what the front end says.
 *
 *   iommu.c          translations that are there, and questions for others
 *   iommu-queue.c    what one queue reaches by them
 *   on-iotlb.c       the front end's answers, and what it takes back
 *
 * What is not known is asked for, and the queue leaves the rounds until there
 * is news; so nobody waits for the front end, and a question has a deadline.
 *
 * Threads: the server's.
 */
#ifndef VH_SERVER_IOMMU_H
#define VH_SERVER_IOMMU_H

#include <stdbool.h>
#include <stdint.h>

#include "mem/iotlb.h"
#include "ring/devring.h"

#define VH_MISSES_MAX 128 /* questions at a time */
#define VH_MISS_WAIT_MS 10000

struct vhost_server;
struct vh_qiommu;
struct vh_squeue;

/* A question, or a place for one. */
struct vh_miss {
    struct vhost_server *srv;
    uint64_t iova;
    int64_t deadline;
    unsigned access;
    bool waits;   /* for a translation */
    bool ack_due; /* whether it was understood */
    bool failed;  /* there will be none; until somebody has heard of it */
};

struct vh_reach { /* addresses that a buffer is at */
    uint64_t iova;
    uint64_t last;
};

struct vh_siommu {
    struct vh_iotlb_map tlb;
    struct vh_miss *misses; /* NULL: nothing was ever asked */
    int timer_fd;           /* of the deadlines; -1 as long as that */
    bool news;              /* for those that wait */
    bool refused;           /* what the last look was for, if it failed */
    unsigned n_reached;     /* by the buffer that is being popped */
    struct vh_reach *reached;
};

/** vh_server_has_iommu() - are addresses translated? */
bool vh_server_has_iommu(const struct vhost_server *srv);

/** vh_iommu_look() - where an address leads
 * @want: bytes from there
 * @len: of how many this is true, at least 1
 * @access: VH_IOTLB_…
 *
 * Return: NULL if that is not known: then somebody was asked, or srv->iommu
 * says that he has refused.
 */
uint8_t *vh_iommu_look(struct vhost_server *srv, uint64_t iova, uint64_t want,
                       uint64_t *len, unsigned access);

/** vh_iommu_pop() - a buffer is about to be popped */
void vh_iommu_pop(struct vhost_server *srv);

/** vh_iommu_to_table(), _to_read(), _to_write() - each a vh_translate_fn over
 * a server, the latter two for pieces of the buffer that is being popped */
vh_translate_fn vh_iommu_to_table, vh_iommu_to_read, vh_iommu_to_write;

/** vh_iommu_answered() - translations of these addresses have come
 * @access: what they allow; 0: there will be none
 */
void vh_iommu_answered(struct vhost_server *srv, uint64_t iova, uint64_t last,
                       unsigned access);

/** vh_iommu_on_timer() - a deadline may have passed */
void vh_iommu_on_timer(struct vhost_server *srv);

/** vh_iommu_wake() - there is news: those that wait look again */
void vh_iommu_wake(struct vhost_server *srv);

/** vh_iommu_forget() - all translations; no ring runs */
void vh_iommu_forget(struct vhost_server *srv);

/** vh_iommu_end() - of the session; the second channel is closed */
void vh_iommu_end(struct vhost_server *srv);

/* Of a queue */

/** vh_qiommu_begin() - a queue starts: where is its ring?
 * @config: filled in, of its ring
 *
 * Return: 1; 0 if it has to wait until it is known, or there is nothing to wait
 * for, in words to the log; -EINVAL if it can't be there; -ENOMEM.
 */
int vh_qiommu_begin(struct vh_squeue *q, struct vh_devring_config *config);

/** vh_qiommu_end() - its ring stands still; also without an IOMMU */
void vh_qiommu_end(struct vh_squeue *q);

/** vh_qiommu_took(), vh_qiommu_done() - a buffer was popped; nobody touches it
 * any more */
void vh_qiommu_took(struct vh_squeue *q, uint16_t id);
void vh_qiommu_done(struct vh_squeue *q, uint16_t id);

/** vh_qiommu_wait() - a buffer could not be popped yet
 * Return: NULL, or why it never can be.
 */
const char *vh_qiommu_wait(struct vh_squeue *q);

/** vh_qiommu_is_at() - is its ring there, in part?  Also if it does not run */
bool vh_qiommu_is_at(const struct vh_squeue *q, uint64_t iova, uint64_t last);

/** vh_qiommu_reaches() - is a buffer there that is not returned? */
bool vh_qiommu_reaches(const struct vh_squeue *q, uint64_t iova, uint64_t last);

/** vh_qiommu_at() - what lies at @offset of area @which of its ring: 0
 * descriptors, 1 the driver's, 2 the device's
 * @len: of how many bytes this is true, at most as it was set
 */
const uint8_t *vh_qiommu_at(const struct vh_squeue *q, unsigned which,
                            uint64_t offset, uint64_t *len);

#endif
