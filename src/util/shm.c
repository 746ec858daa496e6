/* SPDX-License-Identifier: BSD-3-Clause */
#include "util/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "util/fd.h"

/* The last seal keeps a peer from adding one that would lock us out. */
#define SHM_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* The default size of huge pages: 0 if this system has none. */
static size_t huge_page_size(void)
{
    FILE *meminfo = fopen("/proc/meminfo", "re");
    char line[256];
    size_t kib = 0;

    if (!meminfo) {
        return 0;
    }
    while (fgets(line, sizeof(line), meminfo)) {
        if (sscanf(line, "Hugepagesize: %zu kB", &kib) == 1) {
            break;
        }
    }
    fclose(meminfo);
    return kib * 1024;
}

static size_t page_size(bool huge)
{
    return huge ? huge_page_size() : (size_t)sysconf(_SC_PAGESIZE);
}

/* To pass the limit would raise SIGXFSZ, which ends the process. */
static bool passes_limit(size_t len)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           limit.rlim_cur != RLIM_INFINITY && len > limit.rlim_cur;
}

/* The mapping comes last: before it, hugetlbfs has not reserved its pages. */
static int set_up_file(struct vh_shm *shm, bool must_seal)
{
    if (ftruncate(shm->fd, (off_t)shm->len) < 0 ||
        (fcntl(shm->fd, F_ADD_SEALS, SHM_SEALS) < 0 && must_seal)) {
        return -errno;
    }
    shm->addr =
        mmap(NULL, shm->len, PROT_READ | PROT_WRITE, MAP_SHARED, shm->fd, 0);
    return shm->addr == MAP_FAILED ? -errno : 0;
}

static int shm_new(struct vh_shm *shm, const char *name, size_t len, bool huge,
                   bool must_seal)
{
    struct vh_shm new = VH_SHM_NULL;
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int r;

    if (len == 0) {
        return -EINVAL;
    }
    new.page_size = page_size(huge);
    if (new.page_size == 0) {
        return -ENOMEM;
    }
    if (len > INT64_MAX - new.page_size) {
        return -EFBIG;
    }
    new.len = (len + new.page_size - 1) & ~(new.page_size - 1);
    if (passes_limit(new.len)) {
        return -EFBIG;
    }
    new.fd = memfd_create(name, flags | (huge ? MFD_HUGETLB : 0));
    if (new.fd < 0) {
        return -errno;
    }
    r = set_up_file(&new, must_seal);
    if (r < 0) {
        vh_fd_close(&new.fd);
        return r;
    }
    *shm = new;
    return 0;
}

int vh_shm_new(struct vh_shm *shm, const char *name, size_t len, bool huge)
{
    return shm_new(shm, name, len, huge, true);
}

int vh_shm_new_sealed_if_possible(struct vh_shm *shm, const char *name,
                                  size_t len)
{
    return shm_new(shm, name, len, false, false);
}

void vh_shm_free(struct vh_shm *shm)
{
    if (shm->addr) {
        munmap(shm->addr, shm->len);
    }
    vh_fd_close(&shm->fd);
    *shm = VH_SHM_NULL;
}
