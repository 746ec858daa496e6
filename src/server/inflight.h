/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In-flight tracking (vhost-user specification, "Inflight I/O tracking"): what
 * a queue has taken and not given back, in a buffer that outlives us.
 *
 * A queue that starts while there is a buffer has a struct vh_qflight.
 *
 * Threads: the server's.
 */
#ifndef VH_SERVER_INFLIGHT_H
#define VH_SERVER_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/devring.h"
#include "util/shm.h"

struct vh_qflight;
struct vh_squeue;

/** struct vh_inflight - the buffer of a session
 * @map: NULL: none
 * @base: where it begins in @map
 * @region: bytes of each queue's part
 * @made: what GET_INFLIGHT_FD gave away
 */
struct vh_inflight {
    void *map;
    size_t map_len;
    uint8_t *base;
    size_t region;
    unsigned n_queues;
    struct vh_shm made;
};

/** vh_inflight_region() - bytes that a queue of @size entries needs */
size_t vh_inflight_region(uint32_t size, bool packed);

/** vh_inflight_unset() - let go of it; also of none */
void vh_inflight_unset(struct vh_inflight *inflight);

/** vh_qflight_begin() - a queue starts: what did the one before us leave?
 * @config: of its ring, which is not made yet; base is set to where it goes on
 *
 * Return: 0, also without a buffer; -EINVAL if that is not as it must be, with
 * session.why; -ENOMEM.
 */
int vh_qflight_begin(struct vh_squeue *q, struct vh_devring_config *config);

/** vh_qflight_end() - the queue has stopped; also without a buffer */
void vh_qflight_end(struct vh_squeue *q);

/** vh_qflight_held() - the next of what was left, in order; false: no more
 * @held: its descs are lent until the next call
 */
bool vh_qflight_held(struct vh_squeue *q, struct vh_held *held);

/** vh_qflight_not_yet() - the last that was handed out is to come again */
void vh_qflight_not_yet(struct vh_squeue *q);

/** vh_qflight_resumed() - it was popped again
 * @id: of its chain */
void vh_qflight_resumed(struct vh_squeue *q, uint16_t id);

/** vh_qflight_n_left() - how many there are to come, or are given back and can't
 * be shown yet; also without a buffer */
unsigned vh_qflight_n_left(const struct vh_squeue *q);

/** vh_qflight_took() - a buffer was popped
 * @id: of its chain
 * @at: vh_devring_base() before the pop
 *
 * Return: NULL; or constant words, if the driver has made available more than
 * it can have: then nothing is written down.
 */
const char *vh_qflight_took(struct vh_squeue *q, uint16_t id, uint32_t at);

/** vh_qflight_pushed() - it was given back, and not published */
void vh_qflight_pushed(struct vh_squeue *q, uint16_t id);

/** vh_qflight_publish(), vh_qflight_published() - around that */
void vh_qflight_publish(struct vh_squeue *q);
void vh_qflight_published(struct vh_squeue *q);

#endif
