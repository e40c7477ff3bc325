/* Much memory on a node, in pages of a stated size, under a cap; one step above placement.h. */
#ifndef TOPOSCOPE_PAGES_H
#define TOPOSCOPE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "placement.h"

#define HUGE_PAGE_BYTES (2UL << 20) /* of x86-64, and of aarch64 with base pages of 4 KiB */

struct pages {
    size_t bytes;       /* wanted */
    int node;           /* -1: that of the target's first CPU */
    bool huge;          /* ask for transparent huge pages (madvise(2)), else base pages */
    bool must_be_huge;  /* not applicable where the kernel does not give them */
    size_t limit_bytes; /* more is not taken; 0: a quarter of the machine's memory */
    char *memory;       /* begins where a huge page would */
    struct arena arena;
};

/* The key node=N; -1 where it was not given. */
int pages_node(struct request *request);

/* Pins the calling thread to the target's first CPU, maps, binds, touches and verifies node and page size;
 * writes the result's node, the facts of arena_open, page_bytes and huge_pages_ratio (the share of the memory
 * in huge pages). False with the result refused where it can't be. */
bool pages_open(struct pages *pages, const struct target *target, struct result *result);
void pages_close(struct pages *pages, struct result *result);

#endif
