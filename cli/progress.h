/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One line on a terminal that says how far a verb is:
 *
 *     ██████████████▋           61 %  1.4 GiB/s  2 s left
 *
 * Nothing at all where standard error is no terminal.  Control thread.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct progress - a line in the making
 * @label: what is being done, put in front; NULL: nothing
 * @total: what 100 % is
 * @shown: is there a line at all?
 */
struct progress {
    const char *label;
    uint64_t total;
    bool shown;
    uint64_t began;
    uint64_t drawn;
};

/** progress_begin() - start a line
 * @p: filled in
 * @label: lent until progress_end(); or NULL
 * @total: bytes, or any other unit
 * @quiet: show nothing
 */
void progress_begin(struct progress *p, const char *label, uint64_t total,
                    bool quiet);

/** progress_bytes() - so many of the total are done; draws at times */
void progress_bytes(struct progress *p, uint64_t done);

/** progress_text() - the same, with words of the caller's for the rate */
void progress_text(struct progress *p, uint64_t done, const char *text);

/** progress_end() - leave the line; if @complete, show it full first */
void progress_end(struct progress *p, bool complete);

/** progress_hide() - erase a half-written line, so that words may follow */
void progress_hide(void);

#endif
