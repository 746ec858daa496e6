/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory shared with another process or thread: the only file that defines
 * memory orders.  Every use says which accesses it orders, and against whom.
 *
 *   VH_READ_ONCE(x)   one load, of a value the other side may change; what it
 *                     gave is checked and used, never read again
 *   VH_WRITE_ONCE     one store, ordered against nothing
 *   vh_load_acquire   what follows is read after it: an index, before the
 *                     entries that it publishes
 *   vh_store_release  what precedes is visible before it: entries, before the
 *                     index that publishes them
 *   vh_full_barrier   a store before a load: "I published" before "are you
 *                     asleep?"; the one barrier that x86 does not give free
 *   vh_cpu_relax      inside a spin
 */
#ifndef VH_UTIL_ATOMIC_H
#define VH_UTIL_ATOMIC_H

#define VH_READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define VH_WRITE_ONCE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#define vh_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define vh_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define vh_full_barrier() __atomic_thread_fence(__ATOMIC_SEQ_CST)

static inline void vh_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
