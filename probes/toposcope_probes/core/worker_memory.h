/* What memory an idle worker takes: Pss and page tables (own_memory.h) of the process, or of the family of
 * processes, with workers less those without, by worker. The kernel's own structures and stacks do not show. */
#ifndef TOPOSCOPE_WORKER_MEMORY_H
#define TOPOSCOPE_WORKER_MEMORY_H

enum { WORKERS_MAX = 64 };

/* Bytes by worker; negative where /proc does not say or a worker could not be started. All have ended on
 * return. The caller has a watchdog.h, since both wait for the workers. */
double memory_of_threads(unsigned workers);
double memory_of_processes(unsigned workers);

#endif
