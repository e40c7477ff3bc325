/* What happened to a thread during a visit, which is too coarse to tell batch by batch. */
#ifndef TOPOSCOPE_CHECKS_H
#define TOPOSCOPE_CHECKS_H

/* Time the calling thread has waited for a CPU while it could run, in ns since it began; -1 where the kernel
 * does not say (Documentation/scheduler/sched-stats.rst: second number of /proc/<pid>/schedstat). */
double run_delay_ns(void);

/* Dependent register additions per second: one a cycle on every CPU we know, so the effective frequency.
 * Takes about 10 µs; the fastest of a few tries, so an interruption does not count. */
double additions_per_s(void);

#endif
