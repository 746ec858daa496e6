/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vhost/memory.h>

#include "util/shm.h"

/* The number the next fd will have: higher than before, if one has leaked. */
static int next_fd(void)
{
    int fd = dup(1);

    close(fd);
    return fd;
}

static size_t small_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Of a line of /proc/meminfo; 0 if there is no such line. */
static size_t meminfo(const char *name)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[256];
    size_t value = 0;

    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, name, strlen(name)) == 0) {
            assert_int_equal(sscanf(line + strlen(name), "%zu", &value), 1);
        }
    }
    fclose(file);
    return value;
}

static void test_is_zeroed_and_whole_pages(void **state)
{
    struct vh_shm shm;
    struct stat st;

    (void)state;
    assert_int_equal(vh_shm_new(&shm, "test", small_page() + 1, false), 0);
    assert_int_equal(shm.len, 2 * small_page());
    assert_int_equal(shm.page_size, small_page());
    assert_int_equal(fstat(shm.fd, &st), 0);
    assert_int_equal(st.st_size, shm.len);
    for (size_t i = 0; i < shm.len; i++) {
        assert_int_equal(((char *)shm.addr)[i], 0);
    }
    vh_shm_free(&shm);
}

static void test_whole_pages_stay_as_many(void **state)
{
    struct vh_shm shm;

    (void)state;
    assert_int_equal(vh_shm_new(&shm, "test", 3 * small_page(), false), 0);
    assert_int_equal(shm.len, 3 * small_page());
    vh_shm_free(&shm);
}

static void test_the_file_is_the_memory(void **state)
{
    struct vh_shm shm;
    char *peer;

    (void)state;
    assert_int_equal(vh_shm_new(&shm, "test", 1, false), 0);
    peer = mmap(NULL, shm.len, PROT_READ | PROT_WRITE, MAP_SHARED, shm.fd, 0);
    assert_ptr_not_equal(peer, MAP_FAILED);
    strcpy(peer, "hello");
    assert_string_equal(shm.addr, "hello");
    munmap(peer, shm.len);
    vh_shm_free(&shm);
}

static void test_a_peer_can_change_neither_size_nor_seals(void **state)
{
    struct vh_shm shm;

    (void)state;
    assert_int_equal(vh_shm_new(&shm, "test", 2 * small_page(), false), 0);
    assert_int_equal(fcntl(shm.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(shm.fd, F_GET_SEALS),
                     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    assert_int_equal(ftruncate(shm.fd, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(shm.fd, (off_t)(4 * shm.len)), -1);
    assert_int_equal(errno, EPERM);
    vh_shm_free(&shm);
}

static void test_free_leaves_nothing_and_may_be_called_again(void **state)
{
    int before = next_fd();
    struct vh_shm shm;
    unsigned char resident;
    void *addr;
    size_t len;

    (void)state;
    assert_int_equal(vh_shm_new(&shm, "test", 1, false), 0);
    addr = shm.addr;
    len = shm.len;
    vh_shm_free(&shm);
    assert_int_equal(mincore(addr, len, &resident), -1);
    assert_int_equal(next_fd(), before);
    assert_null(shm.addr);
    assert_int_equal(shm.fd, -1);
    vh_shm_free(&shm);
}

static void test_a_failure_leaves_all_untouched(void **state)
{
    int before = next_fd();
    struct vh_shm shm = { .len = 77, .fd = 55 };

    (void)state;
    assert_int_equal(vh_shm_new(&shm, "test", 0, false), -EINVAL);
    assert_int_equal(vh_shm_new(&shm, "test", SIZE_MAX, false), -EFBIG);
    assert_int_equal(vh_shm_new(&shm, "test", SIZE_MAX / 4, false), -ENOMEM);
    assert_int_equal(shm.len, 77);
    assert_int_equal(shm.fd, 55);
    assert_int_equal(next_fd(), before);
}

static void test_huge_pages_are_there_or_the_error_says_so(void **state)
{
    int before = next_fd();
    size_t huge_page = meminfo("Hugepagesize:") * 1024;
    struct vhost_memory_section section = { .gpa = 5, .size = 77, .fd = 55 };
    struct vhost_error *err = NULL;
    int r = vhost_memory_alloc(&section, 1, VHOST_MEMORY_HUGE, &err);

    (void)state;
    if (meminfo("HugePages_Free:") > 0) {
        assert_int_equal(r, 0);
        assert_int_equal(section.size, huge_page);
        assert_int_equal(section.page_size, huge_page);
        *(char *)section.hva = 1;
        vhost_memory_free(&section);
    } else {
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(vhost_error_code(err), -ENOMEM);
        assert_non_null(strstr(vhost_error_message(err), "huge pages"));
        assert_int_equal(section.size, 77);
        assert_int_equal(section.fd, 55);
        vhost_error_free(err);
    }
    assert_int_equal(next_fd(), before);
}

static void test_allocated_memory_describes_itself(void **state)
{
    int before = next_fd();
    struct vhost_memory_section section = { .gpa = 0x1234000 };

    (void)state;
    assert_int_equal(vhost_memory_alloc(&section, 5000, 0, NULL), 0);
    assert_true(section.gpa == 0x1234000);
    assert_int_equal(section.size % small_page(), 0);
    assert_true(section.size >= 5000);
    assert_true(section.fd >= 0);
    assert_int_equal(section.fd_offset, 0);
    assert_int_equal(section.page_size, small_page());
    memset(section.hva, 1, section.size);
    vhost_memory_free(&section);
    assert_null(section.hva);
    assert_int_equal(section.fd, -1);
    vhost_memory_free(&section);
    assert_int_equal(next_fd(), before);
}

static void test_freeing_a_section_of_zeros_closes_nothing(void **state)
{
    struct vhost_memory_section section = { 0 };
    int was = fcntl(0, F_GETFD);

    (void)state;
    vhost_memory_free(&section);
    assert_int_equal(fcntl(0, F_GETFD), was);
    assert_int_equal(section.fd, -1);
}

static void test_bad_requests_for_memory_are_refused(void **state)
{
    struct vhost_memory_section section = { .fd = 55 };
    struct vhost_error *err = NULL;

    (void)state;
    assert_int_equal(vhost_memory_alloc(&section, 0, 0, NULL), -EINVAL);
    assert_int_equal(vhost_memory_alloc(&section, 1, 2, &err), -EINVAL);
    assert_int_equal(vhost_error_code(err), -EINVAL);
    vhost_error_free(err);
    assert_int_equal(section.fd, 55);
}

/* The signal that comes with it would end the process. */
static void test_a_limit_on_files_is_an_error_and_no_signal(void **state)
{
    struct vh_shm shm = VH_SHM_NULL;
    struct rlimit old, low;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = old;
    low.rlim_cur = 1u << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_int_equal(vh_shm_new(&shm, "test", (1u << 20) + 1, false), -EFBIG);
    assert_int_equal(vh_shm_new(&shm, "test", 1u << 20, false), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    vh_shm_free(&shm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_zeroed_and_whole_pages),
        cmocka_unit_test(test_whole_pages_stay_as_many),
        cmocka_unit_test(test_the_file_is_the_memory),
        cmocka_unit_test(test_a_peer_can_change_neither_size_nor_seals),
        cmocka_unit_test(test_free_leaves_nothing_and_may_be_called_again),
        cmocka_unit_test(test_a_failure_leaves_all_untouched),
        cmocka_unit_test(test_huge_pages_are_there_or_the_error_says_so),
        cmocka_unit_test(test_allocated_memory_describes_itself),
        cmocka_unit_test(test_freeing_a_section_of_zeros_closes_nothing),
        cmocka_unit_test(test_bad_requests_for_memory_are_refused),
        cmocka_unit_test(test_a_limit_on_files_is_an_error_and_no_signal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
