/* SPDX-License-Identifier: BSD-3-Clause */
/* Little-endian, as rings are, to the host's order and back: the same step. */
#ifndef VH_RING_ENDIAN_H
#define VH_RING_ENDIAN_H

#include <endian.h>
#include <stdint.h>

static inline uint16_t vh_le16(uint16_t x)
{
    return htole16(x);
}

static inline uint32_t vh_le32(uint32_t x)
{
    return htole32(x);
}

static inline uint64_t vh_le64(uint64_t x)
{
    return htole64(x);
}

#endif
