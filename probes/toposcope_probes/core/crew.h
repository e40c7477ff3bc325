/* The same work on several CPUs at once, by threads or by processes.
 *
 * Each member is pinned (verified), waits until all are there, keeps its CPU busy for WARM_UP_NS so that all
 * have left their idle states, then works. The first member is the calling thread itself, so what it writes
 * into ordinary memory is there afterwards; what the others write must lie in memory from shared_map.
 *
 * A crew that lasts keeps its members between its runs, and moves them to the CPUs of the next target: starting and
 * ending a member costs as much as what it measures. It stays until its work, its context or the like differ, a
 * member fails, crew_dismiss or the program's end. What its members are to see of a later target must lie in
 * memory from shared_map that was there at its first run.
 *
 * Member processes die with this one (prctl(2), PR_SET_PDEATHSIG, checked against a parent that is already
 * gone), are killed when they outlive their time, and are always reaped. */
#ifndef TOPOSCOPE_CREW_H
#define TOPOSCOPE_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "request.h"
#include "result.h"

#define WARM_UP_NS 100000.0
#define GATHER_MS 200 /* for all to get onto their CPUs, which may be busy */

struct member {
    unsigned index; /* 0 is the calling thread */
    unsigned count;
    int cpu;
    uint64_t deadline_ticks; /* when the work must end: max_ms after its begin */
};

typedef void crew_work(const struct member *member, void *context);

struct crew {
    enum model model;
    const struct target *target;
    unsigned max_ms;
    crew_work *work;
    void *context; /* for the processes a copy, made when the crew starts */
    bool lasts;
};

/* Runs the crew to its end and writes the checks run_delay_ns, frequency_ratio, frequency_hz,
 * context_switches and warm_up_ns. False when the work was not done by all; then the result has been refused
 * with the reason. */
bool crew_run(const struct crew *crew, struct result *result);

/* Ends the members of a crew that lasts; the next one starts its own. */
void crew_dismiss(void);

/* Zeroed memory that member processes share; shared_unmap gives it back. */
void *shared_map(size_t bytes);
void shared_unmap(void *memory, size_t bytes);

/* Has this process killed when its parent dies; false when the parent was no longer `parent_pid`. */
bool die_with_parent(int parent_pid);

#endif
