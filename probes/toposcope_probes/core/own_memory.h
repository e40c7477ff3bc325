/* What memory this process has, by its own account. */
#ifndef TOPOSCOPE_OWN_MEMORY_H
#define TOPOSCOPE_OWN_MEMORY_H

#include <stdbool.h>

/* Pss counts a page that n processes map as an n-th, so that the sum over a family of processes is what they
 * take together (Documentation/filesystems/proc.rst, smaps_rollup and VmPTE). */
struct own_memory {
    unsigned long pss_bytes, resident_bytes, huge_bytes, page_table_bytes;
};

/* False where /proc says nothing. */
bool own_memory_read(struct own_memory *memory);

#endif
