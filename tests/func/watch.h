/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a thread does behind the caller's back: memory from the heap, locks,
 * system calls.
 *
 * Allocations and locks are counted by functions of the same names here, which
 * the linker prefers to those of libc; system calls by the kernel's own means
 * for it (Syscall User Dispatch), which hands each to a signal handler.
 */
#ifndef WATCH_H
#define WATCH_H

#include <stdbool.h>

struct watch_counts {
    unsigned allocations; /* and what is freed */
    unsigned locks;
    unsigned doorbells; /* write(2) */
    unsigned system_calls;
    long system_call; /* the number of the last one but write(2) */
};

/** watch_begin() - once in each test, since cmocka has handlers of its own
 *
 * Return: false if this kernel does not show system calls.
 */
bool watch_begin(void);

/** watch_on() - count for this thread, until watch_off(); may be repeated, and
 * must be: a system call that was counted ends the watch for others
 */
void watch_on(void);
void watch_off(void);

/** watch_take() - what was counted since the last take */
struct watch_counts watch_take(void);

/** watch_give() - count that again, and forget what was counted since */
void watch_give(struct watch_counts counts);

#endif
