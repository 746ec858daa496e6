/* SPDX-License-Identifier: BSD-3-Clause */
/* Are the barriers of the driver's side of a packed ring needed, and tested? */
#define BARRIER_SOURCE "ring/packed-driver.c"
#define BARRIER_LAYOUT BIT(VH_RING_F_PACKED)
#define BARRIER_DRIVER 1

#include "ring-barrier.h"
