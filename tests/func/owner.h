/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the owner of a device knows of it, from what it has called and been
 * told: and so what is to come of the next call.
 */
#ifndef VH_TESTS_FUNC_OWNER_H
#define VH_TESTS_FUNC_OWNER_H

#include "check.h"
#include "guest.h"

/* Bits of protocol features. */
#define F(n) (UINT64_C(1) << (n))
#define LOG_SHMFD 1
#define REPLY_ACK 3
#define MEM_SLOTS 15

enum under_way { NOTHING, A_START, A_STOP, A_COMMIT };

/* What the owner knows, from what it has called and been told. */
struct owner {
    struct guest g;
    uint64_t hidden; /* protocol features that its back ends lack */
    bool there;      /* between init and cleanup */
    bool gone;       /* its back end has ended, noticed or not */
    bool broken;     /* ring memory was taken away as it ran */
    bool started;
    bool ram; /* is in the map, with the rings */
    bool log;
    bool logged; /* as it was started */
    bool masked[GUEST_QUEUES];
    bool runs[GUEST_QUEUES];
    enum under_way op;
    bool called_off;
    bool told; /* of the end of op */
    int result;
    unsigned n_requests; /* that went through */
};

/** owner_check_asked() - after a call that asks the back end something: only
 * its loss is an excuse */
void owner_check_asked(const struct owner *m, int r);

/** owner_check_maybe() - after one that may find out that it is gone, and need
 * not */
void owner_check_maybe(const struct owner *m, int r);

/** owner_check_words() - a failure has words, and nothing else has */
void owner_check_words(const struct owner *m, int r);

/** owner_check_device() - what is to be seen of the device */
void owner_check_device(const struct owner *m);

/** owner_check_busy() - was it refused since something else is under way? */
bool owner_check_busy(const struct owner *m, int r);

/* What came of a start and of a stop; of one queue that rests now. */
void owner_check_started(struct owner *m, int r);
void owner_check_stopped(struct owner *m, int r);
void owner_rests(struct owner *m, unsigned queue);

/* Where the ends of operations are told, and what is made of them. */
void owner_ended(struct vhost_dev *dev, int result, void *opaque);
void owner_committed(struct vhost_memory_map *map, int result,
                     const struct vhost_error *error, void *opaque);
void owner_check_end(struct owner *m);

#endif
