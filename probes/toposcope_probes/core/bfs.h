/* Breadth-first search over a graph: alone, by workers that share its state, by workers that send messages.
 *
 * All are level-synchronous and top-down. `bfs_shared`: one frontier and one array of parents for all; a vertex
 * is won by compare-and-swap. `bfs_messages`: each worker owns a block of the vertices and keeps their parents
 * to itself; for a vertex of another's it sends (vertex, parent) through a mailbox in shared memory, once for
 * each vertex and sender, as distributed implementations of Graph500 do. */
#ifndef TOPOSCOPE_BFS_H
#define TOPOSCOPE_BFS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "graph.h"
#include "workload.h"

struct bfs_message {
    uint32_t vertex, parent;
};

/* What all workers share, in shared memory; the counts of level n are at n % 3. */
struct bfs_shared {
    _Alignas(256) _Atomic uint32_t found[3]; /* vertices of the frontier */
    _Alignas(256) _Atomic uint32_t taken[3]; /* of these, given out to workers */
    struct barrier barrier;
};

struct bfs {
    struct graph graph;
    unsigned workers;
    uint32_t block; /* vertices that one worker owns */
    struct bfs_shared *shared;
    _Atomic uint32_t *parents;  /* shared memory: the result */
    uint32_t *frontiers[2];     /* shared memory: of even and odd levels */
    uint32_t *mail_counts;      /* shared memory: from each worker to each */
    struct bfs_message *mail;   /* shared memory: `block` places from each worker to each */
    uint32_t *lone_parents;     /* of the search alone, by worker 0 */
    uint32_t *lone_queue;
};

/* What a worker keeps to itself when messages are sent. */
struct bfs_own {
    uint32_t *parents;      /* of its block */
    uint32_t *frontiers[2]; /* likewise */
    unsigned char *sent;    /* by vertex of the graph */
};

void bfs_open(struct bfs *bfs, unsigned workers, bool messages); /* bfs->graph is there */
void bfs_close(struct bfs *bfs);
struct bfs_own *bfs_own_open(const struct bfs *bfs);
void bfs_own_close(struct bfs_own *own);

void bfs_alone(const struct bfs *bfs, uint32_t root);
/* False when the time was over. */
bool bfs_together_shared(const struct bfs *bfs, const struct member *member, uint32_t root);
bool bfs_together_messages(const struct bfs *bfs, struct bfs_own *own, const struct member *member, uint32_t root);
/* After a search by messages: puts the own block's parents into the result. */
void bfs_gather(const struct bfs *bfs, const struct bfs_own *own, const struct member *member);

/* Whether parents are a breadth-first tree, by the rules of Graph500 (section 8): the tree has no cycle, each
 * of its edges is one of the graph's and joins neighbouring levels, no edge of the graph spans more than one
 * level or leaves what was reached. Writes the edges within what was reached. */
bool bfs_is_right(const struct bfs *bfs, const _Atomic uint32_t *parents, uint32_t root, double *edges);

#endif
