/* SPDX-License-Identifier: BSD-3-Clause */
/* Are the barriers of the device's side of a split ring needed, and tested? */
#define BARRIER_SOURCE "ring/split-device.c"
#define BARRIER_LAYOUT 0
#define BARRIER_DRIVER 0

#include "ring-barrier.h"
