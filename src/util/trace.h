/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Trace points: USDT probes of the provider "libvhost", one nop each when
 * nobody looks.  See them with bpftrace -l 'usdt:/path/libvhost.so:*'.
 */
#ifndef VH_UTIL_TRACE_H
#define VH_UTIL_TRACE_H

#ifdef HAVE_SYS_SDT_H
#include <sys/sdt.h>
#define vh_trace1(name, a) STAP_PROBE1(libvhost, name, a)
#define vh_trace2(name, a, b) STAP_PROBE2(libvhost, name, a, b)
#define vh_trace3(name, a, b, c) STAP_PROBE3(libvhost, name, a, b, c)
#else
#define vh_trace1(name, a) ((void)(a))
#define vh_trace2(name, a, b) ((void)(a), (void)(b))
#define vh_trace3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

#endif
