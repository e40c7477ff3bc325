/* Context switches told apart, for kernels in which ends sleep by design: the sleeping is the thing measured,
 * so only switches that it does not explain spoil a batch. */
#ifndef TOPOSCOPE_CHURN_H
#define TOPOSCOPE_CHURN_H

#include <stdbool.h>
#include <sys/resource.h>

struct churn {
    long slept, preempted; /* voluntary and involuntary switches of the calling thread (getrusage(2)) */
};

static inline struct churn churn_take(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (struct churn){.slept = usage.ru_nvcsw, .preempted = usage.ru_nivcsw};
}

/* What happened since; takes it anew. */
static inline struct churn churn_renew(struct churn *churn)
{
    struct churn before = *churn;
    *churn = churn_take();
    return (struct churn){.slept = churn->slept - before.slept, .preempted = churn->preempted - before.preempted};
}

/* Whether `hand_overs` between two ends explain their switches. On CPUs of their own neither should have been
 * preempted. On one CPU each hand-over is one switch, which counts as a preemption when the woken end gets the
 * CPU at once; two more are the batch's edges. */
static inline bool churn_is_explained(struct churn one, struct churn other, bool same_cpu, long hand_overs)
{
    if (!same_cpu)
        return one.preempted + other.preempted == 0;
    return one.slept + one.preempted + other.slept + other.preempted <= hand_overs + 2;
}

#endif
