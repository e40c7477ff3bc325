/* A parallel workload, measured: round after round, first by one worker alone, then by all together.
 *
 * A round: worker 0 does the work alone while the others wait, and all do it together, in turns one or the
 * other first, since the second finds warm caches; each settles its results; worker 0 checks them, untimed. One
 * sample of edges_per_s is the edges of a round by the time of the worker that took longest; speedup_ratio is
 * that rate by the lone worker's of the same round, so that a machine which moves hits both. A round is dropped
 * in which a worker was moved, or waited for its CPU for more than a hundredth of its time, while all were at
 * work; where that happened to the lone worker it gives no speedup_ratio. Where the kernel does not tell how
 * long a worker waited, any context switch is one too many. Work of about a millisecond fits into a slice of a
 * busy CPU. */
#ifndef TOPOSCOPE_WORKLOAD_H
#define TOPOSCOPE_WORKLOAD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "kernel.h"

enum { WORKLOAD_ROUNDS_MAX = 64, WORKLOAD_TRIES_MAX = 4 * WORKLOAD_ROUNDS_MAX };

/* Rounds are repeated until as many as wanted were kept, but only so often. */
static inline unsigned workload_tries(unsigned rounds)
{
    return 4 * rounds;
}

/* Where workers wait for each other, in shared memory. */
struct barrier {
    _Alignas(256) atomic_uint arrived;
    _Alignas(256) atomic_uint phase;
    atomic_bool broken;
};

/* Spins, and naps once it takes long. False when the time was over for one of the workers. */
bool barrier_meet(struct barrier *barrier, const struct member *member);

struct worker {
    const struct member *member;
    void *context;
    void *own; /* what enter() gave */
    unsigned round;
    struct barrier *barrier;
};

struct workload {
    void *(*enter)(const struct worker *worker);   /* private memory of a worker; may be NULL */
    void (*leave)(const struct worker *worker);    /* gives it back; may be NULL */
    void (*alone)(const struct worker *worker);
    bool (*together)(const struct worker *worker); /* false when the time was over */
    void (*settle)(const struct worker *worker);   /* after the timed part; may be NULL */
    bool (*check)(const struct worker *worker);    /* worker 0: are the round's results right? */
    double (*edges_alone)(const struct worker *worker); /* worker 0, after check: edges that each way went over */
    double (*edges_together)(const struct worker *worker);
    void *context;
    unsigned rounds; /* to be kept; at most WORKLOAD_ROUNDS_MAX */
};

/* Runs the crew and writes samples, counts and the fact rounds_verified; the result is refused where too few
 * rounds were kept or a result was wrong. */
void workload_run(const struct workload *workload, struct crew crew, struct result *result);

#endif
