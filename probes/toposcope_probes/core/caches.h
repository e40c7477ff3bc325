/* How large the caches of the calling thread's CPU say they are. */
#ifndef TOPOSCOPE_CACHES_H
#define TOPOSCOPE_CACHES_H

#include <stddef.h>

/* Bytes of the data or unified cache of level 1 to 3 that this CPU uses; 0 where it does not say. x86-64 from
 * CPUID (Intel SDM: leaf 4; AMD APM: leaf 8000_001Dh), since glibc before 2.37 gives the sum over all level-3
 * caches of an EPYC; elsewhere from sysconf(3). */
size_t cache_bytes(unsigned level);

#endif
