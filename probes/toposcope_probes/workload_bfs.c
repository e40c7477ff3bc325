/* Level-synchronous parallel breadth-first search over one shared Kronecker graph: the cooperative case.
 *
 * The graph is one read-only mapping for all, threads and processes alike. What differs is how the workers
 * cooperate: `exchange=shared`, the threads' way, keeps parents and frontier in common and wins vertices by
 * compare-and-swap; `exchange=messages`, the processes' way, leaves each worker its block of vertices and sends
 * the rest, through shared memory, which is the fastest way there is. Each model has its own way unless told
 * otherwise, so a comparison of models is one of ways to program; `exchange` on both tells what the address
 * space alone does. Each result is validated as Graph500 does, outside the timed part. Edges are those of the
 * input within what was reached, counted once, as in Graph500's TEPS. */
#include <stdlib.h>

#include "bfs.h"
#include "chase.h"
#include "limit.h"
#include "placement.h"

struct visit {
    struct bfs bfs;
    unsigned scale;
    bool messages;
    uint32_t roots[WORKLOAD_TRIES_MAX];
    double edges; /* of the round that was checked last */
};

static void *enter(const struct worker *worker)
{
    const struct visit *visit = worker->context;
    return visit->messages ? bfs_own_open(&visit->bfs) : NULL;
}

static void leave(const struct worker *worker)
{
    if (worker->own != NULL)
        bfs_own_close(worker->own);
}

static void alone(const struct worker *worker)
{
    const struct visit *visit = worker->context;
    bfs_alone(&visit->bfs, visit->roots[worker->round]);
}

static bool together(const struct worker *worker)
{
    const struct visit *visit = worker->context;
    uint32_t root = visit->roots[worker->round];
    return visit->messages ? bfs_together_messages(&visit->bfs, worker->own, worker->member, root)
                           : bfs_together_shared(&visit->bfs, worker->member, root);
}

static void settle(const struct worker *worker)
{
    const struct visit *visit = worker->context;
    if (visit->messages)
        bfs_gather(&visit->bfs, worker->own, worker->member);
}

/* The lone worker's tree is right when it reached what the other one did. */
static bool check(const struct worker *worker)
{
    struct visit *visit = worker->context;
    bool right = bfs_is_right(&visit->bfs, visit->bfs.parents, visit->roots[worker->round], &visit->edges);
    for (uint32_t v = 0; v < visit->bfs.graph.vertices && right; v++)
        right = (visit->bfs.lone_parents[v] == GRAPH_NO_VERTEX) ==
                (atomic_load_explicit(&visit->bfs.parents[v], memory_order_relaxed) == GRAPH_NO_VERTEX);
    return right;
}

static double edges(const struct worker *worker)
{
    const struct visit *visit = worker->context;
    return visit->edges;
}

/* Vertices that can reach the vertex with the most edges: what lies apart from the main part is no search. */
static void draw_roots(struct visit *visit, unsigned count)
{
    const struct graph *graph = &visit->bfs.graph;
    uint32_t hub = 0;
    uint64_t random = 2;
    for (uint32_t v = 1; v < graph->vertices; v++)
        hub = graph_degree(graph, v) > graph_degree(graph, hub) ? v : hub;
    bfs_alone(&visit->bfs, hub);
    for (unsigned i = 0; i < count; i++)
        do
            visit->roots[i] = random_below(&random, graph->vertices);
        while (visit->bfs.lone_parents[visit->roots[i]] == GRAPH_NO_VERTEX);
}

static void measure(struct visit *visit, struct crew crew, unsigned rounds, struct result *result)
{
    struct workload workload = {.enter = enter, .leave = leave, .alone = alone, .together = together,
                                .settle = settle, .check = check, .edges_alone = edges,
                                .edges_together = edges, .context = visit, .rounds = rounds};
    struct arena arena = {.bytes = graph_bytes(visit->scale)};
    arena.node = placement_node_of_cpu(crew.target->cpus[0], result);
    if (!result_is_ok(result) || !arena_open(&arena, result))
        return;
    graph_build(&visit->bfs.graph, arena.memory, visit->scale, 1);
    bfs_open(&visit->bfs, crew.target->count, visit->messages);
    draw_roots(visit, workload_tries(rounds));
    workload_run(&workload, crew, result);
    bfs_close(&visit->bfs);
    arena_close(&arena, result);
}

/* A round and its check take some ten milliseconds at 2^14 vertices, and in proportion beyond. */
static unsigned patience_ms(unsigned scale)
{
    return scale <= 14 ? 1000 : 1000U << (scale - 14);
}

int kernel_workload_bfs(struct request *request)
{
    static const char *const exchanges[] = {"shared", "messages", NULL};
    struct visit *visit = allocate(1, sizeof *visit);
    visit->scale = (unsigned)request_number(request, "scale", 13, GRAPH_SCALE_LEAST, GRAPH_SCALE_MOST);
    struct crew crew = {.model = request_model(request), .max_ms = limit_ms(request, patience_ms(visit->scale))};
    visit->messages = request_choice(request, "exchange", exchanges, crew.model == MODEL_PROCESS) == 1;
    unsigned rounds = (unsigned)request_number(request, "rounds", 12, 3, WORKLOAD_ROUNDS_MAX);
    request_targets(request, 1, 256);
    for (unsigned i = 0; i < request->target_count; i++) {
        struct result *result = result_begin(request, &request->targets[i]);
        crew.target = &request->targets[i];
        result_variant(result, "model", model_name(crew.model));
        result_fact_text(result, "exchange", "%s", exchanges[visit->messages]);
        result_fact_number(result, "scale", visit->scale);
        measure(visit, crew, rounds, result);
        result_end(result);
    }
    free(visit);
    return 0;
}
