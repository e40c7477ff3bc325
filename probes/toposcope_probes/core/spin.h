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

/* Leaves the CPU to others for about that long. */
static inline void nap_ns(long ns)
{
    struct timespec length = {.tv_sec = 0, .tv_nsec = ns};
    nanosleep(&length, NULL);
}

#endif
