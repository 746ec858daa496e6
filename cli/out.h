/* SPDX-License-Identifier: BSD-3-Clause */
/* What the command says: errors, tables for people, JSON for programs. */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

#include <vhost/error.h>

/** out_error() - one line on standard error, "vhost: …"
 *
 * Erases the progress line first.  Control thread.
 */
void out_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** out_library_error() - the same, for an error of the library
 * @err: given; NULL is allowed
 */
void out_library_error(struct vhost_error *err);

/** out_row() - a line of a table: label, then text */
void out_row(const char *label, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** out_json() - print an object
 * @object: given
 */
void out_json(json_object *object);

/** out_duration() - "850 ns", "12.3 us", "1.04 s"
 * @text: filled in
 * @ns: nanoseconds
 *
 * Return: @text.
 */
#define OUT_DURATION_MAX 32
const char *out_duration(char text[OUT_DURATION_MAX], double ns);

/* Members of a JSON object.  When memory is short the member is null. */
void out_json_uint(json_object *object, const char *key, uint64_t value);
void out_json_double(json_object *object, const char *key, double value);
void out_json_text(json_object *object, const char *key, const char *value);
void out_json_bool(json_object *object, const char *key, bool value);

#endif
