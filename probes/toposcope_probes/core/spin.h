/* Waiting for the other end, never beyond a deadline: on a busy host it may not be on its CPU at all. */
#ifndef TOPOSCOPE_SPIN_H
#define TOPOSCOPE_SPIN_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "ticks.h"

struct spin {
    uint64_t deadline_ticks;
    unsigned turns;
};

static inline struct spin spin_for_ns(double ns)
{
    return (struct spin){.deadline_ticks = ticks_now() + ticks_from_ns(ns)};
}

/* One turn of a waiting loop; true when time is up. Looks at the clock every 256 turns only, so that the loop
 * stays as tight as the memory operation it waits by. */
static inline bool spin_is_over(struct spin *spin)
{
    return (++spin->turns & 255u) == 0 && ticks_now() > spin->deadline_ticks;
}

/* How long an end spins for another to come, and, many times what a batch takes, for one to go on. On a CPU
 * shared with strangers many short looks meet sooner than few long ones: who spins uses up what the scheduler
 * owes it, and then waits for the strangers' slices (docs/benchmarks-kernels.md has the comparison). */
#define MEET_NS 100e3
#define SPIN_NS 400e3

/* Leaves the CPU to others for about that long. */
static inline void nap_ns(long ns)
{
    struct timespec length = {.tv_sec = 0, .tv_nsec = ns};
    nanosleep(&length, NULL);
}

/* Sleeps after the nth miss in a row: 50 µs, and after the first 64 (some 10 ms) ever longer up to 3.2 ms, so
 * that an end that stays away costs little CPU time. Counts the miss. */
static inline void nap_after_miss(unsigned *misses)
{
    unsigned doublings = *misses < 64 ? 0 : *misses - 64;
    nap_ns(50000L << (doublings < 6 ? doublings : 6));
    ++*misses;
}

#endif
