/* SPDX-License-Identifier: BSD-3-Clause */
/* Are the barriers of the driver's side of a split ring needed, and tested? */
#define BARRIER_SOURCE "ring/split-driver.c"
#define BARRIER_LAYOUT 0
#define BARRIER_DRIVER 1

#include "ring-barrier.h"
