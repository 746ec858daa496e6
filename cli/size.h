/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers and sizes, as people write and read them. */
#ifndef CLI_SIZE_H
#define CLI_SIZE_H

#include <stdint.h>

#define SIZE_TEXT_MAX 32

/** size_parse() - read "512", "4K", "1M", "2GiB"
 * @text: decimal digits, then nothing, or one of K M G T, then nothing or
 *     "iB"; the letter may be small.  The units are powers of 1024
 * @sizep: where to store it; untouched on failure
 *
 * Return: 0; -EINVAL for anything else; -ERANGE past 2^64 - 1.
 */
int size_parse(const char *text, uint64_t *sizep);

/** size_parse_number() - read a decimal number
 * @text: decimal digits and nothing else
 * @min: the least allowed
 * @max: the most allowed
 * @numberp: where to store it; untouched on failure
 *
 * Return: 0; -EINVAL if it is no number; -ERANGE if it is too small or large.
 */
int size_parse_number(const char *text, uint64_t min, uint64_t max,
                      uint64_t *numberp);

/** size_format() - "256.0 MiB", "512 B"
 * @text: filled in
 * @size: bytes, may be a rate
 *
 * Return: @text.
 */
const char *size_format(char text[SIZE_TEXT_MAX], double size);

#endif
