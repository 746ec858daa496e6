/* SPDX-License-Identifier: BSD-3-Clause */
#include "watch.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#define SYSCALL_DISPATCH_FILTER_ALLOW 0
#define SYSCALL_DISPATCH_FILTER_BLOCK 1
#endif

/* Of one thread: there is one that is watched. */
static __thread bool watching;
static __thread volatile char selector;
static struct watch_counts counts;

/* libc's own. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void __libc_free(void *p);

static void count_allocation(void)
{
    counts.allocations += watching;
}

void *malloc(size_t size)
{
    count_allocation();
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    count_allocation();
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    count_allocation();
    return __libc_realloc(p, size);
}

void free(void *p)
{
    count_allocation();
    __libc_free(p);
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    static int (*lock)(pthread_mutex_t *);

    if (!lock) {
        *(void **)&lock = dlsym(RTLD_NEXT, "pthread_mutex_lock");
    }
    counts.locks += watching;
    return lock(mutex);
}

/*
 * The call was not made yet: count it, make it, and leave its result where the
 * caller looks for it.  The selector stays at "allow", or the return from this
 * handler would be the next call to be caught.
 */
static void on_system_call(int signo, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    long number = info->si_syscall;
    long r;

    (void)signo;
    selector = SYSCALL_DISPATCH_FILTER_ALLOW;
    if (number == SYS_write) {
        counts.doorbells++;
    } else {
        counts.system_calls++;
        counts.system_call = number;
    }
    register long r10 __asm__("r10") = regs[REG_R10];
    register long r8 __asm__("r8") = regs[REG_R8];
    register long r9 __asm__("r9") = regs[REG_R9];
    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "a"(number), "D"(regs[REG_RDI]), "S"(regs[REG_RSI]),
                       "d"(regs[REG_RDX]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    regs[REG_RAX] = r;
}

bool watch_begin(void)
{
    struct sigaction action = { .sa_sigaction = on_system_call,
                                .sa_flags = SA_SIGINFO };

    sigemptyset(&action.sa_mask);
    return sigaction(SIGSYS, &action, NULL) == 0 &&
           prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0,
                 &selector) == 0;
}

void watch_on(void)
{
    watching = true;
    selector = SYSCALL_DISPATCH_FILTER_BLOCK;
}

void watch_off(void)
{
    selector = SYSCALL_DISPATCH_FILTER_ALLOW;
    watching = false;
}

struct watch_counts watch_take(void)
{
    struct watch_counts taken = counts;

    memset(&counts, 0, sizeof(counts));
    return taken;
}

void watch_give(struct watch_counts given)
{
    counts = given;
}
