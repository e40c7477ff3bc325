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

/* How long an end spins for another that may not be on its CPU. The longest batch is a tenth of it. */
#define SPIN_NS 400e3

/* Leaves the CPU to others for about that long. */
static inline void nap_ns(long ns)
{
    struct timespec length = {.tv_sec = 0, .tv_nsec = ns};
    nanosleep(&length, NULL);
}

/* The nap after the nth miss in a row, doubling up to 50 µs << limit: who waits for an end that was stopped
 * spins for ever less of the time, 3 ms of the first 20. Counts the miss. */
static inline void nap_after_miss(unsigned *misses, unsigned limit)
{
    nap_ns(50000L << (*misses < limit ? *misses : limit));
    ++*misses;
}

#endif
