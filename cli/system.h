/* SPDX-License-Identifier: BSD-3-Clause */
/* What the verbs need of the system: time, signals, sound descriptors. */
#ifndef CLI_SYSTEM_H
#define CLI_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

/** system_prepare() - make the process safe to write output from
 *
 * Opens whichever of descriptors 0, 1 and 2 is closed, so that no disk image
 * ever gets the number that printf() writes to; turns SIGPIPE into an error
 * of write(2); makes an unwritten standard output end with status 1; and lets
 * the process lock as much memory as it may.
 */
void system_prepare(void);

/** system_flush() - has all of standard output arrived?
 *
 * Return: 0, or -1 after a message.
 */
int system_flush(void);

/** system_catch_signals() - let SIGINT and SIGTERM set a flag, not kill */
void system_catch_signals(void);

/** system_catch_hangup() - let SIGHUP set another, and mean "look again" */
void system_catch_hangup(void);

/** system_take_hangup() - did it come, since this was asked last? */
bool system_take_hangup(void);

/** system_interrupted() - did one of them come? */
bool system_interrupted(void);

/** system_now() - monotonic time in nanoseconds */
uint64_t system_now(void);

#endif
