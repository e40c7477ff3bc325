#include <stdlib.h>

#include "bfs.h"

static bool has_edge(const struct graph *graph, uint32_t from, uint32_t to)
{
    for (uint32_t i = graph->offsets[from]; i < graph->offsets[from + 1]; i++)
        if (graph->targets[i] == to)
            return true;
    return false;
}

/* The level of a vertex, by walking up until a level is known; GRAPH_NO_VERTEX where the way up is a cycle or
 * leads to nowhere. */
static uint32_t level_of(const _Atomic uint32_t *parents, const uint32_t *levels, uint32_t vertex,
                         uint32_t vertices)
{
    uint32_t steps = 0;
    while (levels[vertex] == GRAPH_NO_VERTEX) {
        vertex = atomic_load_explicit(&parents[vertex], memory_order_relaxed);
        if (vertex >= vertices || ++steps > vertices)
            return GRAPH_NO_VERTEX;
    }
    return levels[vertex] + steps;
}

/* Whether all edges of a vertex stay within one level and within what was reached. */
static bool edges_are_right(const struct graph *graph, const uint32_t *levels, uint32_t vertex)
{
    for (uint32_t i = graph->offsets[vertex]; i < graph->offsets[vertex + 1]; i++) {
        uint32_t own = levels[vertex], other = levels[graph->targets[i]];
        if ((own == GRAPH_NO_VERTEX) != (other == GRAPH_NO_VERTEX) || own > other + 1 || other > own + 1)
            return own == other; /* both unreached: the additions above wrap around */
    }
    return true;
}

bool bfs_is_right(const struct bfs *bfs, const _Atomic uint32_t *parents, uint32_t root, double *edges)
{
    const struct graph *graph = &bfs->graph;
    uint32_t *levels = allocate(graph->vertices, sizeof *levels);
    bool right = atomic_load(&parents[root]) == root;
    for (uint32_t v = 0; v < graph->vertices; v++)
        levels[v] = GRAPH_NO_VERTEX;
    levels[root] = 0;
    *edges = 0;
    for (uint32_t v = 0; v < graph->vertices && right; v++) {
        uint32_t parent = atomic_load_explicit(&parents[v], memory_order_relaxed);
        if (parent == GRAPH_NO_VERTEX || v == root)
            continue;
        levels[v] = level_of(parents, levels, v, graph->vertices);
        right = levels[v] != GRAPH_NO_VERTEX && has_edge(graph, v, parent);
    }
    for (uint32_t v = 0; v < graph->vertices && right; v++) {
        right = edges_are_right(graph, levels, v);
        if (levels[v] != GRAPH_NO_VERTEX)
            *edges += graph_degree(graph, v) / 2.0;
    }
    free(levels);
    return right;
}
