/* CPU numbers: reading lists of them, and pinning the calling thread to one, verified. */
#ifndef TOPOSCOPE_CPUS_H
#define TOPOSCOPE_CPUS_H

#include <stdbool.h>
#include <stddef.h>

#include "request.h"

#define CPUS_MAX 8192 /* NR_CPUS of the largest distribution kernels */

/* Reads "0<separator>2-3" into target->cpus (allocated); false when it is no such list. */
bool cpus_parse(const char *text, char separator, struct target *target);

/* Remembers which CPUs the process was given; the pinning below never leaves them. Call once, first. */
void cpus_remember_allowed(void);
bool cpu_is_allowed(int cpu);

/* Lets the calling thread run on all of them again; threads and processes inherit where they may run. */
void cpus_unpin(void);

/* Pins the calling thread and checks that it runs there; else false, and `why` says what the matter is. */
bool cpu_pin(int cpu, char *why, size_t why_bytes);

/* The CPU and the NUMA node that the calling thread is on (getcpu(2)). */
int cpu_here(void);
int node_here(void);

#endif
