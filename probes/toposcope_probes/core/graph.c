#include "graph.h"

#include <stdlib.h>
#include <string.h>

#include "chase.h"
#include "request.h"

struct edge {
    uint32_t one, other;
};

static size_t offsets_bytes(size_t vertices)
{
    return (vertices + 1 + 15) / 16 * 16 * sizeof(uint32_t); /* so that the targets begin a line */
}

size_t graph_bytes(unsigned scale)
{
    size_t vertices = (size_t)1 << scale;
    return offsets_bytes(vertices) + 2 * GRAPH_EDGE_FACTOR * vertices * sizeof(uint32_t);
}

/* One edge: at each of the scale's levels one of four quadrants, 57 : 19 : 19 : 5. */
static struct edge draw_edge(unsigned scale, uint64_t *random)
{
    struct edge edge = {0, 0};
    for (unsigned level = 0; level < scale; level++) {
        uint32_t draw = random_below(random, 100);
        edge.one = edge.one << 1 | (draw >= 76);
        edge.other = edge.other << 1 | ((draw >= 57 && draw < 76) || draw >= 95);
    }
    return edge;
}

static uint32_t *draw_labels(uint32_t vertices, uint64_t *random)
{
    uint32_t *labels = allocate(vertices, sizeof *labels);
    for (uint32_t i = 0; i < vertices; i++) { /* Fisher and Yates, inside out */
        uint32_t other = random_below(random, i + 1);
        labels[i] = labels[other];
        labels[other] = i;
    }
    return labels;
}

/* Counting sort of both directions of all edges by their first vertex. */
static void fill_rows(struct graph *graph, const struct edge *edges, uint32_t edge_count)
{
    uint32_t *next = allocate(graph->vertices, sizeof *next);
    memset(graph->offsets, 0, (graph->vertices + 1UL) * sizeof *graph->offsets);
    for (uint32_t i = 0; i < edge_count; i++) {
        graph->offsets[edges[i].one + 1]++;
        graph->offsets[edges[i].other + 1]++;
    }
    for (uint32_t v = 0; v < graph->vertices; v++) {
        graph->offsets[v + 1] += graph->offsets[v];
        next[v] = graph->offsets[v];
    }
    for (uint32_t i = 0; i < edge_count; i++) {
        graph->targets[next[edges[i].one]++] = edges[i].other;
        graph->targets[next[edges[i].other]++] = edges[i].one;
    }
    graph->arcs = graph->offsets[graph->vertices];
    free(next);
}

static void lay_out(struct graph *graph, void *memory, uint32_t vertices)
{
    graph->vertices = vertices;
    graph->offsets = memory;
    graph->targets = (uint32_t *)(void *)((char *)memory + offsets_bytes(vertices));
}

void graph_build(struct graph *graph, void *memory, unsigned scale, uint64_t seed)
{
    uint32_t vertices = 1U << scale, wanted = vertices * GRAPH_EDGE_FACTOR, kept = 0;
    struct edge *edges = allocate(wanted, sizeof *edges);
    uint32_t *labels = draw_labels(vertices, &seed);
    for (uint32_t i = 0; i < wanted; i++) {
        struct edge edge = draw_edge(scale, &seed);
        if (edge.one != edge.other)
            edges[kept++] = (struct edge){labels[edge.one], labels[edge.other]};
    }
    lay_out(graph, memory, vertices);
    fill_rows(graph, edges, kept);
    free(labels);
    free(edges);
}

void graph_copy(struct graph *copy, const struct graph *graph, void *memory)
{
    lay_out(copy, memory, graph->vertices);
    copy->arcs = graph->arcs;
    memcpy(copy->offsets, graph->offsets, (graph->vertices + 1UL) * sizeof *graph->offsets);
    memcpy(copy->targets, graph->targets, (size_t)graph->arcs * sizeof *graph->targets);
}
