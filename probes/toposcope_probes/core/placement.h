/* Memory homed on a chosen NUMA node, and proof of it.
 *
 * The node is bound before the first touch (mbind(2), MPOL_BIND, never moving a page) and asked for before
 * and after the visit (move_pages(2) without targets, which needs no privilege). Where a sandbox denies
 * mbind, the first touch decides, so be on a CPU of that node; facts.home_verified says whether the pages
 * were seen there, facts.home_doubt why not. Raw system calls, so libnuma is not needed. */
#ifndef TOPOSCOPE_PLACEMENT_H
#define TOPOSCOPE_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "result.h"

struct arena {
    size_t bytes;
    int node;          /* wanted home */
    bool private_huge; /* private memory that asks for huge pages, else shared base pages */
    void *memory;
    bool bound, verified;
};

/* Pins the calling thread to the CPU and gives its node; -1 with the result refused where that can't be. */
int placement_node_of_cpu(int cpu, struct result *result);

/* Maps, binds and touches; fill in bytes, node and private_huge. False with the result refused where the node
 * has no memory for us. */
bool arena_map(struct arena *arena, struct result *result);

/* Around a visit: ask where the pages are, and write the facts home_node, home_bound, home_verified and, where
 * not verified, home_doubt. */
void arena_begin(struct arena *arena, struct result *result);
void arena_end(struct arena *arena, struct result *result);

/* Both of the first, and the end with unmapping, for memory that serves one visit. */
bool arena_open(struct arena *arena, struct result *result);
void arena_close(struct arena *arena, struct result *result);

#endif
