/* Preloaded into an instrument that allocates its arrays by posix_memalign: large ones get huge pages where the
 * machine gives them on request (madvise(2)). glibc's tunable glibc.malloc.hugetlb=1 does not reach them there.
 *
 *   cc -O2 -shared -fPIC -o huge_malloc.so bench/huge_malloc.c */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_BYTES (2UL << 20)

int posix_memalign(void **place, size_t alignment, size_t bytes)
{
    if (bytes < 2 * HUGE_BYTES) {
        int (*real)(void **, size_t, size_t);
        *(void **)&real = dlsym(RTLD_NEXT, "posix_memalign");
        return real(place, alignment, bytes);
    }
    size_t whole = (bytes + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
    char *mapped =
        mmap(NULL, whole + HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return ENOMEM;
    *place = mapped + (HUGE_BYTES - (uintptr_t)mapped % HUGE_BYTES) % HUGE_BYTES;
    madvise(*place, whole, MADV_HUGEPAGE);
    return 0;
}

/* What is aligned like that came from above, and stays mapped until the end. */
void free(void *place)
{
    static void (*real)(void *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "free");
    if ((uintptr_t)place % HUGE_BYTES != 0)
        real(place);
}
