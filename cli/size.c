/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * strtoull(3) takes signs, blanks and hexadecimal, and wraps negatives; a
 * size that goes wrong silently destroys a disk, so digits are read here one
 * by one, with each step checked.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "size.h"

static int parse_digits(const char **textp, uint64_t *valuep)
{
    const char *p = *textp;
    uint64_t value = 0;

    if (*p < '0' || *p > '9') {
        return -EINVAL;
    }
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) {
            return -ERANGE;
        }
    }
    *textp = p;
    *valuep = value;
    return 0;
}

static int parse_unit(const char *text, unsigned *shiftp)
{
    static const char letters[] = "KMGT";
    const char *letter;
    char c = text[0];

    if (c == '\0') {
        *shiftp = 0;
        return 0;
    }
    if (c >= 'a' && c <= 'z') {
        c = (char)(c - 'a' + 'A');
    }
    letter = strchr(letters, c);
    if (!letter || (text[1] != '\0' && strcmp(text + 1, "iB") != 0)) {
        return -EINVAL;
    }
    *shiftp = 10 * (unsigned)(letter - letters + 1);
    return 0;
}

int size_parse(const char *text, uint64_t *sizep)
{
    uint64_t value;
    unsigned shift;
    int r = parse_digits(&text, &value);

    if (r < 0) {
        return r;
    }
    r = parse_unit(text, &shift);
    if (r < 0) {
        return r;
    }
    if (value > UINT64_MAX >> shift) {
        return -ERANGE;
    }
    *sizep = value << shift;
    return 0;
}

int size_parse_number(const char *text, uint64_t min, uint64_t max,
                      uint64_t *numberp)
{
    uint64_t value;
    int r = parse_digits(&text, &value);

    if (r < 0) {
        return r;
    }
    if (*text != '\0') {
        return -EINVAL;
    }
    if (value < min || value > max) {
        return -ERANGE;
    }
    *numberp = value;
    return 0;
}

const char *size_format(char text[SIZE_TEXT_MAX], double size)
{
    static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
                                         "TiB", "PiB", "EiB" };
    size_t i = 0;

    while (size >= 1024 && i + 1 < sizeof(units) / sizeof(units[0])) {
        size /= 1024;
        i++;
    }
    snprintf(text, SIZE_TEXT_MAX, i == 0 ? "%.0f %s" : "%.1f %s", size,
             units[i]);
    return text;
}
