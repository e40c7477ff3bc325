#include "caches.h"

#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>

static size_t from_leaf(unsigned leaf, unsigned level)
{
    enum { CACHES_MAX = 16, TYPE_NONE = 0, TYPE_INSTRUCTION = 2 };
    for (unsigned index = 0; index < CACHES_MAX; index++) {
        unsigned a = 0, b = 0, c = 0, d = 0;
        if (!__get_cpuid_count(leaf, index, &a, &b, &c, &d) || (a & 31) == TYPE_NONE)
            break;
        if ((a & 31) != TYPE_INSTRUCTION && (a >> 5 & 7) == level)
            return ((b >> 22) + 1UL) * ((b >> 12 & 1023) + 1) * ((b & 4095) + 1) * (c + 1UL);
    }
    return 0;
}
#endif

size_t cache_bytes(unsigned level)
{
#if defined(__x86_64__)
    size_t bytes = from_leaf(0x8000001d, level);
    return bytes > 0 ? bytes : from_leaf(4, level);
#else
    static const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    long bytes = level >= 1 && level <= 3 ? sysconf(names[level - 1]) : 0;
    return bytes > 0 ? (size_t)bytes : 0;
#endif
}
