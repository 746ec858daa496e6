/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device of the embedded back end that does what a test says, in a thread:
 * for classes that the back end itself does not serve.
 *
 * It takes a buffer in one piece, whatever pieces it came in.  Buffers to be
 * filled later are held, and given back by scripted_give(), from within
 * @on_buffer of any queue, or at the end.
 */
#ifndef VH_TESTS_FUNC_SCRIPTED_H
#define VH_TESTS_FUNC_SCRIPTED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhost/server.h>

#define SCRIPTED_HOLD UINT32_MAX
#define SCRIPTED_QUEUES 3
#define SCRIPTED_HELD 256
#define SCRIPTED_ROOM (1 << 20)

struct scripted;

struct scripted_buffer {
    unsigned queue;
    const uint8_t *out;
    size_t out_len;
    uint8_t *in; /* copied to the buffer afterwards */
    size_t in_len;
};

/* Return: bytes of @in that are filled, or SCRIPTED_HOLD. */
typedef uint32_t scripted_fn(struct scripted *s,
                             const struct scripted_buffer *buffer);

/**
 * scripted_up() - a device in a thread
 * @type: VIRTIO_ID_…
 * @n_queues: at most SCRIPTED_QUEUES
 * @on_buffer: called in that thread
 * @arg: see scripted_arg()
 */
struct scripted *scripted_up(uint16_t type, unsigned n_queues,
                             scripted_fn *on_buffer, void *arg);

/** scripted_down() - no front end is there any more */
void scripted_down(struct scripted *s);

void *scripted_arg(const struct scripted *s);

/** scripted_uri() - for the driver */
const char *scripted_uri(const struct scripted *s);

/** scripted_config() - the configuration that it tells */
void scripted_config(struct scripted *s, const void *config, size_t len);

/** scripted_claim() - say that @more bytes were written than were, from now on
 */
void scripted_claim(struct scripted *s, uint32_t more);

/** scripted_give() - fill the first held buffer of a queue
 *
 * Return: false if none is held.
 */
bool scripted_give(struct scripted *s, unsigned queue, const void *data,
                   size_t len);

#endif
