/* SPDX-License-Identifier: BSD-3-Clause */
/* What every test includes: cmocka, and how to see leaks. */
#ifndef VH_TESTS_CHECK_H
#define VH_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
