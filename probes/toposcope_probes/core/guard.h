/* What happened to a thread during a batch: was it switched out, did it move to another CPU?
 *
 * getrusage(2) with RUSAGE_THREAD counts a thread's context switches; a batch with one holds time in which
 * the thread did not run. A hypervisor that takes the CPU away shows in neither (only as steal time). */
#ifndef TOPOSCOPE_GUARD_H
#define TOPOSCOPE_GUARD_H

/* Why a batch was dropped; kept first. The order is that of precedence: a cause goes before its effect. */
enum outcome { OUTCOME_KEPT, OUTCOME_DEADLINE, OUTCOME_MIGRATION, OUTCOME_CONTEXT_SWITCH, OUTCOME_COUNT };

struct guard {
    long context_switches;
    int cpu;
};

/* "deadline", "migration", "context_switch": the names in batches_dropped. */
const char *outcome_name(enum outcome outcome);

struct guard guard_take(void);

/* What happened since the guard was taken (kept, migration or context_switch); takes it anew. */
enum outcome guard_renew(struct guard *guard);

/* The cause among two outcomes of one batch, e.g. those of its two ends. */
enum outcome outcome_merge(enum outcome one, enum outcome other);

#endif
