/* A Kronecker graph as Graph500 generates it (graph500.org, specification 2.0): 2^scale vertices, edge_factor
 * undirected edges a vertex, initiator A = 0.57, B = C = 0.19, labels shuffled. Self-loops are left out,
 * multiple edges stay. Stored by rows: the neighbours of v are targets[offsets[v]] to targets[offsets[v + 1]],
 * each edge in both directions. */
#ifndef TOPOSCOPE_GRAPH_H
#define TOPOSCOPE_GRAPH_H

#include <stddef.h>
#include <stdint.h>

enum { GRAPH_SCALE_LEAST = 4, GRAPH_SCALE_MOST = 24, GRAPH_EDGE_FACTOR = 16 };
#define GRAPH_NO_VERTEX UINT32_MAX

struct graph {
    uint32_t vertices, arcs; /* arcs: edges in both directions */
    uint32_t *offsets, *targets;
};

/* Memory that a graph of this scale needs. */
size_t graph_bytes(unsigned scale);

/* Builds it in `memory` of graph_bytes(scale); the same seed gives the same graph. */
void graph_build(struct graph *graph, void *memory, unsigned scale, uint64_t seed);

/* The same graph in other memory of graph_bytes. */
void graph_copy(struct graph *copy, const struct graph *graph, void *memory);

static inline uint32_t graph_degree(const struct graph *graph, uint32_t vertex)
{
    return graph->offsets[vertex + 1] - graph->offsets[vertex];
}

#endif
