/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The line is written with a leading carriage return and erased to its end,
 * so it needs no more of the terminal than ANSI.  @visible is the only state
 * of the module: there is one standard error, and an error message must not
 * land in the middle of a bar.
 */
#include <langinfo.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "progress.h"
#include "size.h"
#include "system.h"

#define CELLS 24u
#define EIGHTHS 8u
#define REDRAW_NS 100000000u

static bool visible;

static void draw_bar(double part, bool utf8)
{
    static const char *const eighths[EIGHTHS] = { " ", "▏", "▎", "▍",
                                                  "▌", "▋", "▊", "▉" };
    unsigned filled = (unsigned)(part * CELLS * EIGHTHS);

    for (unsigned i = 0; i < CELLS; i++) {
        unsigned here = filled > i * EIGHTHS ? filled - i * EIGHTHS : 0;

        if (here >= EIGHTHS) {
            fputs(utf8 ? "█" : "#", stderr);
        } else {
            fputs(utf8 ? eighths[here] : "-", stderr);
        }
    }
}

static void draw(struct progress *p, uint64_t done, const char *text)
{
    double part = p->total > 0 ? (double)done / (double)p->total : 1;
    bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;

    if (part > 1) {
        part = 1;
    }
    fputc('\r', stderr);
    if (p->label) {
        fprintf(stderr, "%s  ", p->label);
    }
    draw_bar(part, utf8);
    fprintf(stderr, " %3u %%  %s\033[K", (unsigned)(part * 100), text);
    fflush(stderr);
    visible = true;
}

static bool is_due(struct progress *p)
{
    uint64_t now = system_now();

    if (!p->shown || now - p->drawn < REDRAW_NS) {
        return false;
    }
    p->drawn = now;
    return true;
}

void progress_begin(struct progress *p, const char *label, uint64_t total,
                    bool quiet)
{
    *p = (struct progress){
        .label = label,
        .total = total,
        .shown = !quiet && isatty(STDERR_FILENO),
        .began = system_now(),
    };
}

void progress_bytes(struct progress *p, uint64_t done)
{
    char rate[SIZE_TEXT_MAX], text[96];
    double seconds, speed, left;

    if (!is_due(p)) {
        return;
    }
    seconds = (double)(p->drawn - p->began) / 1e9;
    speed = seconds > 0 ? (double)done / seconds : 0;
    left = speed > 0 && p->total > done ? (double)(p->total - done) / speed : 0;
    snprintf(text, sizeof(text), "%s/s  %.0f s left", size_format(rate, speed),
             left);
    draw(p, done, text);
}

void progress_text(struct progress *p, uint64_t done, const char *text)
{
    if (is_due(p)) {
        draw(p, done, text);
    }
}

void progress_end(struct progress *p, bool complete)
{
    char rate[SIZE_TEXT_MAX], text[96];
    double seconds = (double)(system_now() - p->began) / 1e9;

    if (!p->shown) {
        return;
    }
    if (!complete) {
        progress_hide();
        return;
    }
    snprintf(text, sizeof(text), "%s/s  in %.1f s",
             size_format(rate, seconds > 0 ? (double)p->total / seconds : 0),
             seconds);
    draw(p, p->total, text);
    fputc('\n', stderr);
    visible = false;
}

void progress_hide(void)
{
    if (visible) {
        fputs("\r\033[K", stderr);
        visible = false;
    }
}
