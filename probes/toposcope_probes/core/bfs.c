#include "bfs.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64, FOUND_HELD = 256 };

static size_t mail_places(const struct bfs *bfs)
{
    return (size_t)bfs->workers * bfs->workers * bfs->block;
}

void bfs_open(struct bfs *bfs, unsigned workers, bool messages)
{
    size_t vertices = bfs->graph.vertices;
    bfs->workers = workers;
    bfs->block = (uint32_t)((vertices + workers - 1) / workers);
    bfs->shared = shared_map(sizeof *bfs->shared);
    bfs->parents = shared_map(vertices * sizeof *bfs->parents);
    for (unsigned i = 0; i < 2; i++)
        bfs->frontiers[i] = shared_map(vertices * sizeof **bfs->frontiers);
    bfs->mail_counts = messages ? shared_map((size_t)workers * workers * sizeof *bfs->mail_counts) : NULL;
    bfs->mail = messages ? shared_map(mail_places(bfs) * sizeof *bfs->mail) : NULL;
    bfs->lone_parents = allocate(vertices, sizeof *bfs->lone_parents);
    bfs->lone_queue = allocate(vertices, sizeof *bfs->lone_queue);
}

void bfs_close(struct bfs *bfs)
{
    size_t vertices = bfs->graph.vertices;
    free(bfs->lone_queue);
    free(bfs->lone_parents);
    if (bfs->mail != NULL) {
        shared_unmap(bfs->mail, mail_places(bfs) * sizeof *bfs->mail);
        shared_unmap(bfs->mail_counts, (size_t)bfs->workers * bfs->workers * sizeof *bfs->mail_counts);
    }
    for (unsigned i = 0; i < 2; i++)
        shared_unmap(bfs->frontiers[i], vertices * sizeof **bfs->frontiers);
    shared_unmap(bfs->parents, vertices * sizeof *bfs->parents);
    shared_unmap(bfs->shared, sizeof *bfs->shared);
}

void bfs_alone(const struct bfs *bfs, uint32_t root)
{
    const struct graph *graph = &bfs->graph;
    uint32_t head = 0, tail = 1, *parents = bfs->lone_parents, *queue = bfs->lone_queue;
    memset(parents, 0xff, graph->vertices * sizeof *parents); /* GRAPH_NO_VERTEX */
    parents[root] = queue[0] = root;
    while (head < tail) {
        uint32_t vertex = queue[head++];
        for (uint32_t i = graph->offsets[vertex]; i < graph->offsets[vertex + 1]; i++) {
            uint32_t next = graph->targets[i];
            if (parents[next] == GRAPH_NO_VERTEX) {
                parents[next] = vertex;
                queue[tail++] = next;
            }
        }
    }
}

/* Vertices found by one worker, put into the next frontier many at a time. */
struct found {
    uint32_t *frontier, held[FOUND_HELD];
    _Atomic uint32_t *count;
    unsigned held_count;
};

static void found_flush(struct found *found)
{
    uint32_t at = atomic_fetch_add_explicit(found->count, found->held_count, memory_order_relaxed);
    memcpy(found->frontier + at, found->held, found->held_count * sizeof *found->held);
    found->held_count = 0;
}

static void expand(const struct bfs *bfs, uint32_t vertex, struct found *found)
{
    const struct graph *graph = &bfs->graph;
    for (uint32_t i = graph->offsets[vertex]; i < graph->offsets[vertex + 1]; i++) {
        uint32_t next = graph->targets[i], none = GRAPH_NO_VERTEX;
        if (atomic_load_explicit(&bfs->parents[next], memory_order_relaxed) != none ||
            !atomic_compare_exchange_strong_explicit(&bfs->parents[next], &none, vertex, memory_order_relaxed,
                                                     memory_order_relaxed))
            continue;
        found->held[found->held_count++] = next;
        if (found->held_count == FOUND_HELD)
            found_flush(found);
    }
}

static void expand_level(const struct bfs *bfs, unsigned level, uint32_t size)
{
    struct bfs_shared *shared = bfs->shared;
    struct found found = {.frontier = bfs->frontiers[(level + 1) % 2], .count = &shared->found[(level + 1) % 3]};
    const uint32_t *frontier = bfs->frontiers[level % 2];
    for (;;) {
        uint32_t from = atomic_fetch_add_explicit(&shared->taken[level % 3], CHUNK, memory_order_relaxed);
        if (from >= size)
            break;
        uint32_t to = from + CHUNK < size ? from + CHUNK : size;
        for (uint32_t i = from; i < to; i++)
            expand(bfs, frontier[i], &found);
    }
    found_flush(&found);
}

/* Own part of the parents and, by worker 0, all counts are as before a search. */
static bool begin(const struct bfs *bfs, const struct member *member, uint32_t root)
{
    struct bfs_shared *shared = bfs->shared;
    uint32_t from = member->index * bfs->block, to = from + bfs->block;
    for (uint32_t v = from; v < to && v < bfs->graph.vertices; v++)
        atomic_store_explicit(&bfs->parents[v], v == root ? root : GRAPH_NO_VERTEX, memory_order_relaxed);
    if (member->index == 0) {
        for (unsigned i = 0; i < 3; i++) {
            atomic_store(&shared->found[i], i == 0);
            atomic_store(&shared->taken[i], 0);
        }
        bfs->frontiers[0][0] = root;
    }
    return barrier_meet(&shared->barrier, member);
}

bool bfs_together_shared(const struct bfs *bfs, const struct member *member, uint32_t root)
{
    struct bfs_shared *shared = bfs->shared;
    if (!begin(bfs, member, root))
        return false;
    for (unsigned level = 0;; level++) {
        uint32_t size = atomic_load(&shared->found[level % 3]);
        if (size == 0)
            return true;
        if (member->index == 0) { /* the level before last's counts; nobody looks at them during this level */
            atomic_store(&shared->found[(level + 2) % 3], 0);
            atomic_store(&shared->taken[(level + 2) % 3], 0);
        }
        expand_level(bfs, level, size);
        if (!barrier_meet(&shared->barrier, member))
            return false;
    }
}
