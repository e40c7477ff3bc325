/* Personalised PageRank from three sources, each worker for itself: the isolated case.
 *
 * Nothing is shared: each worker copies the graph into memory of its own and ranks from the same three sources
 * one after the other, by power iteration (Page, Brin, Motwani, Winograd, 1999; teleporting, and the rank of
 * vertices without edges, go back to the source). The vectors are allocated and given back inside the timed
 * part, as a worker would. Threads and processes differ in the address space alone. Checked are the sum of the
 * ranks, which is 1, and that all workers got what the lone one got. Edges: arcs of all workers' iterations. */
#include <math.h>
#include <stdlib.h>

#include "chase.h"
#include "graph.h"
#include "limit.h"
#include "placement.h"
#include "workload.h"

enum { SOURCES = 3 };
#define DAMPING 0.85

/* What came out of one source: the ranks' sum, and a sum weighted by vertex that tells vectors apart. */
struct ranking {
    double mass, weighted;
};

struct visit {
    struct graph graph;
    unsigned scale, iterations;
    uint32_t sources[SOURCES];
    struct ranking *lone;    /* SOURCES of them */
    struct ranking *of_workers; /* shared memory: SOURCES for each worker */
    unsigned workers;
};

struct copy {
    struct graph graph;
    void *memory;
};

static void *copy_graph(const struct worker *worker)
{
    const struct visit *visit = worker->context;
    struct copy *copy = allocate(1, sizeof *copy);
    copy->memory = allocate(1, graph_bytes(visit->scale));
    graph_copy(&copy->graph, &visit->graph, copy->memory);
    return copy;
}

static void free_copy(const struct worker *worker)
{
    struct copy *copy = worker->own;
    free(copy->memory);
    free(copy);
}

static void iterate(const struct graph *graph, uint32_t source, double *rank, double *part)
{
    double stranded = 0;
    for (uint32_t v = 0; v < graph->vertices; v++) {
        uint32_t degree = graph_degree(graph, v);
        part[v] = degree > 0 ? rank[v] / degree : 0;
        stranded += degree > 0 ? 0 : rank[v];
    }
    for (uint32_t v = 0; v < graph->vertices; v++) {
        double sum = 0;
        for (uint32_t i = graph->offsets[v]; i < graph->offsets[v + 1]; i++)
            sum += part[graph->targets[i]];
        rank[v] = DAMPING * sum;
    }
    rank[source] += 1 - DAMPING + DAMPING * stranded;
}

static struct ranking rank_from(const struct graph *graph, uint32_t source, unsigned iterations)
{
    double *rank = allocate(graph->vertices, sizeof *rank), *part = allocate(graph->vertices, sizeof *part);
    struct ranking ranking = {0, 0};
    rank[source] = 1;
    for (unsigned i = 0; i < iterations; i++)
        iterate(graph, source, rank, part);
    for (uint32_t v = 0; v < graph->vertices; v++) {
        ranking.mass += rank[v];
        ranking.weighted += rank[v] * (v % 8191 + 1);
    }
    free(part);
    free(rank);
    return ranking;
}

static void rank_all(const struct worker *worker, struct ranking *rankings)
{
    const struct visit *visit = worker->context;
    const struct copy *copy = worker->own;
    for (unsigned i = 0; i < SOURCES; i++)
        rankings[i] = rank_from(&copy->graph, visit->sources[i], visit->iterations);
}

static void alone(const struct worker *worker)
{
    const struct visit *visit = worker->context;
    rank_all(worker, visit->lone);
}

static bool together(const struct worker *worker)
{
    const struct visit *visit = worker->context;
    rank_all(worker, &visit->of_workers[worker->member->index * SOURCES]);
    return true;
}

static bool check(const struct worker *worker)
{
    const struct visit *visit = worker->context;
    bool right = true;
    for (unsigned i = 0; i < visit->workers * SOURCES; i++) {
        const struct ranking *one = &visit->of_workers[i], *lone = &visit->lone[i % SOURCES];
        right &= fabs(one->mass - 1) < 1e-9 && fabs(one->weighted - lone->weighted) <= 1e-12 * lone->weighted;
    }
    return right;
}

static double edges_alone(const struct worker *worker)
{
    const struct visit *visit = worker->context;
    return (double)visit->graph.arcs * visit->iterations * SOURCES;
}

static double edges_together(const struct worker *worker)
{
    const struct visit *visit = worker->context;
    return edges_alone(worker) * visit->workers;
}

static void measure(struct visit *visit, struct crew crew, unsigned rounds, struct result *result)
{
    struct workload workload = {.enter = copy_graph, .leave = free_copy, .alone = alone, .together = together,
                                .check = check, .edges_alone = edges_alone, .edges_together = edges_together,
                                .context = visit, .rounds = rounds};
    struct arena arena = {.bytes = graph_bytes(visit->scale)};
    uint64_t random = 2;
    arena.node = placement_node_of_cpu(crew.target->cpus[0], result);
    if (!result_is_ok(result) || !arena_open(&arena, result))
        return;
    graph_build(&visit->graph, arena.memory, visit->scale, 1);
    for (unsigned i = 0; i < SOURCES; i++)
        do
            visit->sources[i] = random_below(&random, visit->graph.vertices);
        while (graph_degree(&visit->graph, visit->sources[i]) == 0);
    visit->workers = crew.target->count;
    visit->lone = allocate(SOURCES, sizeof *visit->lone);
    size_t rankings_bytes = visit->workers * SOURCES * sizeof *visit->of_workers;
    visit->of_workers = shared_map(rankings_bytes);
    workload_run(&workload, crew, result);
    shared_unmap(visit->of_workers, rankings_bytes);
    free(visit->lone);
    arena_close(&arena, result);
}

int kernel_workload_pagerank(struct request *request)
{
    struct crew crew = {.model = request_model(request), .max_ms = limit_ms(request, 1000)};
    struct visit visit = {.graph = {0}};
    visit.scale = (unsigned)request_number(request, "scale", 12, GRAPH_SCALE_LEAST, GRAPH_SCALE_MOST);
    visit.iterations = (unsigned)request_number(request, "iterations", 3, 1, 1000);
    unsigned rounds = (unsigned)request_number(request, "rounds", 12, 3, WORKLOAD_ROUNDS_MAX);
    request_targets(request, 1, 4096);
    for (unsigned i = 0; i < request->target_count; i++) {
        struct result *result = result_begin(request, &request->targets[i]);
        crew.target = &request->targets[i];
        result_variant(result, "model", model_name(crew.model));
        result_fact_number(result, "scale", visit.scale);
        measure(&visit, crew, rounds, result);
        result_end(result);
    }
    return 0;
}
