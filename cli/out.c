/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>

#include "out.h"
#include "progress.h"

void out_error(const char *format, ...)
{
    va_list args;

    progress_hide();
    fputs("vhost: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void out_library_error(struct vhost_error *err)
{
    out_error("%s", err ? vhost_error_message(err) : "out of memory");
    vhost_error_free(err);
}

void out_row(const char *label, const char *format, ...)
{
    va_list args;

    printf("  %-22s ", label);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void out_json(json_object *object)
{
    puts(json_object_to_json_string_ext(
        object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                    JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
}

const char *out_duration(char text[OUT_DURATION_MAX], double ns)
{
    if (ns < 1000) {
        snprintf(text, OUT_DURATION_MAX, "%.0f ns", ns);
    } else if (ns < 1e6) {
        snprintf(text, OUT_DURATION_MAX, "%.3g us",
                 ns < 999.5e3 ? ns / 1e3 : 999.0);
    } else if (ns < 1e9) {
        snprintf(text, OUT_DURATION_MAX, "%.3g ms",
                 ns < 999.5e6 ? ns / 1e6 : 999.0);
    } else {
        snprintf(text, OUT_DURATION_MAX, "%.2f s", ns / 1e9);
    }
    return text;
}

void out_json_uint(json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key, json_object_new_uint64(value));
}

void out_json_double(json_object *object, const char *key, double value)
{
    json_object_object_add(object, key, json_object_new_double(value));
}

void out_json_text(json_object *object, const char *key, const char *value)
{
    json_object_object_add(object, key, json_object_new_string(value));
}

void out_json_bool(json_object *object, const char *key, bool value)
{
    json_object_object_add(object, key, json_object_new_boolean(value));
}
