#include <stdlib.h>
#include <string.h>

#include "bfs.h"

struct bfs_own *bfs_own_open(const struct bfs *bfs)
{
    struct bfs_own *own = allocate(1, sizeof *own);
    own->parents = allocate(bfs->block, sizeof *own->parents);
    own->sent = allocate(bfs->graph.vertices, 1);
    for (unsigned i = 0; i < 2; i++)
        own->frontiers[i] = allocate(bfs->block, sizeof **own->frontiers);
    return own;
}

void bfs_own_close(struct bfs_own *own)
{
    for (unsigned i = 0; i < 2; i++)
        free(own->frontiers[i]);
    free(own->sent);
    free(own->parents);
    free(own);
}

/* One worker's search: what it knows, and where it stands. */
struct search {
    const struct bfs *bfs;
    struct bfs_own *own;
    uint32_t first; /* vertex of the own block */
    unsigned index;
    uint32_t found; /* vertices of the next frontier so far */
    uint32_t *next;
};

static void win(struct search *search, uint32_t vertex, uint32_t parent)
{
    uint32_t *place = &search->own->parents[vertex - search->first];
    if (*place == GRAPH_NO_VERTEX) {
        *place = parent;
        search->next[search->found++] = vertex;
    }
}

static void send(struct search *search, uint32_t vertex, uint32_t parent)
{
    const struct bfs *bfs = search->bfs;
    if (search->own->sent[vertex])
        return;
    search->own->sent[vertex] = 1;
    size_t box = (size_t)search->index * bfs->workers + vertex / bfs->block;
    bfs->mail[box * bfs->block + bfs->mail_counts[box]++] = (struct bfs_message){vertex, parent};
}

static void expand_own(struct search *search, const uint32_t *frontier, uint32_t size)
{
    const struct graph *graph = &search->bfs->graph;
    for (uint32_t i = 0; i < size; i++) {
        uint32_t vertex = frontier[i];
        for (uint32_t j = graph->offsets[vertex]; j < graph->offsets[vertex + 1]; j++) {
            uint32_t next = graph->targets[j];
            if (next - search->first < search->bfs->block)
                win(search, next, vertex);
            else
                send(search, next, vertex);
        }
    }
}

static void receive(struct search *search)
{
    const struct bfs *bfs = search->bfs;
    for (unsigned sender = 0; sender < bfs->workers; sender++) {
        size_t box = (size_t)sender * bfs->workers + search->index;
        for (uint32_t i = 0; i < bfs->mail_counts[box]; i++)
            win(search, bfs->mail[box * bfs->block + i].vertex, bfs->mail[box * bfs->block + i].parent);
    }
}

static bool begin(struct search *search, const struct member *member, uint32_t root)
{
    const struct bfs *bfs = search->bfs;
    memset(search->own->parents, 0xff, bfs->block * sizeof *search->own->parents); /* GRAPH_NO_VERTEX */
    memset(search->own->sent, 0, bfs->graph.vertices);
    search->next = search->own->frontiers[0];
    if (root - search->first < bfs->block)
        win(search, root, root);
    if (member->index == 0)
        for (unsigned i = 0; i < 3; i++)
            atomic_store(&bfs->shared->found[i], i == 0);
    return barrier_meet(&bfs->shared->barrier, member);
}

bool bfs_together_messages(const struct bfs *bfs, struct bfs_own *own, const struct member *member, uint32_t root)
{
    struct search search = {
        .bfs = bfs, .own = own, .first = member->index * bfs->block, .index = member->index};
    if (!begin(&search, member, root))
        return false;
    for (unsigned level = 0; atomic_load(&bfs->shared->found[level % 3]) > 0; level++) {
        uint32_t size = search.found;
        search.found = 0;
        search.next = own->frontiers[(level + 1) % 2];
        if (member->index == 0)
            atomic_store(&bfs->shared->found[(level + 2) % 3], 0);
        memset(&bfs->mail_counts[(size_t)member->index * bfs->workers], 0, bfs->workers * sizeof *bfs->mail_counts);
        expand_own(&search, own->frontiers[level % 2], size);
        if (!barrier_meet(&bfs->shared->barrier, member)) /* all mail is there */
            return false;
        receive(&search);
        atomic_fetch_add(&bfs->shared->found[(level + 1) % 3], search.found);
        if (!barrier_meet(&bfs->shared->barrier, member)) /* all mail is read, all counts are in */
            return false;
    }
    return true;
}

void bfs_gather(const struct bfs *bfs, const struct bfs_own *own, const struct member *member)
{
    uint32_t first = member->index * bfs->block;
    for (uint32_t i = 0; i < bfs->block && first + i < bfs->graph.vertices; i++)
        atomic_store_explicit(&bfs->parents[first + i], own->parents[i], memory_order_relaxed);
}
